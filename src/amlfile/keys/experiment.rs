//! The keys of `[experiments.*]`.

use super::{Key, Kind, SWEEP, Tagged, key};

/// `[experiments.*]`.
pub const EXPERIMENT: &[Key] = &[
    key("description", Kind::Text, "", "What the experiment does."),
    key(
        "source_directory",
        Kind::Text,
        "\".\"",
        "The folder that the snapshot is taken of; also the working directory of the job.",
    ),
    key(
        "sources",
        Kind::List(&Kind::Text),
        "",
        "Globs relative to the source directory that narrow the snapshot; [] takes no file of it.",
    ),
    key("script", Kind::Text, "", "The script to run, relative to the source directory."),
    key("command", Kind::Text, "", "A command line to run instead of a script."),
    key("arguments", Kind::List(&Kind::Scalar), "[]", "Arguments of the script or command. `${name}` is interpolated."),
    key("params", Kind::Map(&Kind::Value), "", "Parameters, over those of the workspace. `--set name=value` wins."),
    key(
        "inputs",
        Kind::Paths,
        "",
        "Files and folders that the job reads. An output of another experiment makes an edge of the graph.",
    ),
    key("outputs", Kind::Paths, "", "Files and folders that the job writes; published when it succeeded."),
    key("metrics", Kind::List(&Kind::Text), "[]", "Metric files that the job writes."),
    key("environment", Kind::Text, "", "The environment to run in."),
    key("target", Kind::Text, "", "The target to run on."),
    key(
        "framework",
        Kind::Choice(&["python", "pyspark", "pytorch", "tensorflow", "cntk"]),
        "\"python\"",
        "What submits the script: \"pyspark\" uses spark-submit.",
    ),
    key("resources", Kind::Table(RESOURCES), "", "What a job takes."),
    key("retries", Kind::Count, "0", "How often a failed job is tried again."),
    key(
        "needs",
        Kind::List(&Kind::Text),
        "[]",
        "Experiments, or cells of one, that must be done before: edges that no file shows.",
    ),
    key("tags", Kind::Map(&Kind::Scalar), "", "Tags of the runs; no part of the key."),
    key(
        "secrets",
        Kind::List(&Kind::Text),
        "[]",
        "Environment variables that are passed through and written nowhere: no key, no record, no log.",
    ),
    key("cache", Kind::Bool, "true", "false: the job always runs."),
    key(
        "isolation",
        Kind::Choice(&["snapshot", "in-place"]),
        "\"snapshot\"",
        "Whether the job runs in a run directory of its own, or in the project.",
    ),
    key("matrix", Kind::Map(&Kind::List(&Kind::Value)), "", "Lists of values: one job for each combination."),
    key("distributed", Kind::Tagged(&DISTRIBUTED), "", "How the script is started on several processes or nodes."),
    super::environment::AZUREML,
    key("sweep", Kind::Table(SWEEP), "", "A search over parameters: one trial for each proposal."),
];

const RESOURCES: &[Key] = &[
    key("cpus", Kind::Positive, "1", "Processors."),
    key("gpus", Kind::Count, "0", "GPUs."),
    key("memory", Kind::Memory, "", "Memory, as in \"4GiB\"."),
    key("time", Kind::Time, "", "The longest a run may take, as in \"1h 30m\"."),
];

const DISTRIBUTED: Tagged = Tagged {
    tag: "type",
    doc: "How the processes find each other.",
    variants: &[
        (
            "pytorch",
            &[
                key("backend", Kind::Choice(&["nccl", "gloo", "mpi"]), "", "The communication backend."),
                key("port", Kind::Positive, "", "The port of the first process."),
            ],
        ),
        (
            "mpi",
            &[
                key("processes_per_node", Kind::Positive, "", "Processes on each node."),
                key("implementation", Kind::Choice(&["openmpi", "intelmpi"]), "", "Which MPI."),
            ],
        ),
        (
            "tensorflow",
            &[
                key("workers", Kind::Positive, "", "Workers."),
                key("parameter_servers", Kind::Count, "0", "Parameter servers."),
            ],
        ),
    ],
    common: &[
        key("nodes", Kind::Positive, "1", "Nodes."),
        key("processes", Kind::Positive, "", "Processes in all; one a node where not given."),
    ],
};
