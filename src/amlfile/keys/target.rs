//! The keys of `[targets.*]`, by type.

use super::{Key, Kind, Tagged, key};

/// `[targets.*]`.
pub const TARGET: Tagged = Tagged {
    tag: "type",
    doc: "What kind of compute it is.",
    variants: &[
        ("local", LOCAL),
        ("ssh", SSH),
        ("slurm", SLURM),
        ("spark", SPARK),
        ("ray", RAY),
        ("kubernetes", KUBERNETES),
        ("azureml", AZUREML),
    ],
    common: &[key("description", Kind::Text, "", "What the target is.")],
};

const LOCAL: &[Key] = &[
    key("cpus", Kind::Positive, "", "How many processors jobs may take together; all where not given."),
    key("gpus", Kind::Count, "", "How many GPUs jobs may take together; all where not given."),
    key("memory", Kind::Memory, "", "How much memory jobs may take together; all where not given."),
];

const SSH: &[Key] = &[
    key("host", Kind::Text, "", "The host as ssh knows it: an alias, a name, or user@name."),
    key("user", Kind::Text, "", "The user to log in as; ssh's own configuration decides where none is given."),
    key("port", Kind::Positive, "22", "The port of the ssh server."),
    key("identity", Kind::Text, "", "The private key file to log in with."),
    key("directory", Kind::Text, "", "The folder on the host that runs are kept in."),
    key("options", Kind::List(&Kind::Text), "", "More options for ssh, as in \"-J\", \"gateway\"."),
    key("cpus", Kind::Positive, "", "How many processors jobs may take together on the host."),
    key("gpus", Kind::Count, "", "How many GPUs jobs may take together on the host."),
    key("memory", Kind::Memory, "", "How much memory jobs may take together on the host."),
];

const SLURM: &[Key] = &[
    key("login", Kind::Text, "", "The ssh target to submit through; left out: sbatch on this machine."),
    key("partition", Kind::Text, "", "The partition (queue)."),
    key("account", Kind::Text, "", "The account that is charged."),
    key("qos", Kind::Text, "", "The quality of service."),
    key("gres", Kind::Text, "", "Generic resources per node, as in \"gpu:a100:2\"."),
    key("constraint", Kind::Text, "", "Features that the nodes must have."),
    key("reservation", Kind::Text, "", "The reservation to run in."),
    key("directory", Kind::Text, "", "The folder on the cluster that runs are kept in."),
    key("modules", Kind::List(&Kind::Text), "", "Environment modules to load first."),
    key("options", Kind::List(&Kind::Text), "", "More options for sbatch, as in \"--exclusive\"."),
];

const SPARK: &[Key] = &[
    key("master", Kind::Text, "", "The master: spark://host:port, yarn, k8s://…, or local[2]."),
    key("deploy_mode", Kind::Choice(&["client", "cluster"]), "\"client\"", "Where the driver runs."),
    key("home", Kind::Text, "", "The folder of the Spark installation; SPARK_HOME where not given."),
    key("login", Kind::Text, "", "The ssh target to submit through."),
    key("configuration", Kind::Map(&Kind::Scalar), "", "Spark's properties for every job on this target."),
    key("options", Kind::List(&Kind::Text), "", "More options for spark-submit."),
];

const RAY: &[Key] = &[
    key("address", Kind::Text, "", "The cluster's dashboard, as in \"http://head:8265\"."),
    key(
        "headers",
        Kind::Map(&Kind::Text),
        "",
        "HTTP headers for the dashboard; `${env.X}` keeps secrets out of the file.",
    ),
    key("login", Kind::Text, "", "The ssh target on which the nodes' files are; left out: they are on this machine."),
    key("directory", Kind::Text, "", "The folder that runs are kept in, at the same path on all nodes."),
];

const KUBERNETES: &[Key] = &[
    key("context", Kind::Text, "", "The context of the kubeconfig; the current one where none is given."),
    key("kubeconfig", Kind::Text, "", "The kubeconfig file."),
    key("namespace", Kind::Text, "\"default\"", "The namespace."),
    key("image", Kind::Text, "", "The image for jobs whose environment is no container."),
    key("service_account", Kind::Text, "", "The service account of the pods."),
    key("volume", Kind::Text, "", "The volume claim for inputs and outputs."),
    key("queue", Kind::Text, "", "The queue, where a queueing controller admits jobs."),
    key("gpu_resource", Kind::Text, "\"nvidia.com/gpu\"", "The name of the GPU resource."),
    key("node_selector", Kind::Map(&Kind::Text), "", "Labels that the nodes must have."),
    key("tolerations", Kind::List(&Kind::Text), "", "Taints that the pods bear, as in \"gpu=true:NoSchedule\"."),
];

const AZUREML: &[Key] = &[
    key("subscription", Kind::Text, "", "The subscription's identity."),
    key("resource_group", Kind::Text, "", "The resource group."),
    key("workspace", Kind::Text, "", "The workspace."),
    key("compute", Kind::Text, "", "The compute target there; serverless where none is given."),
    key("instance_type", Kind::Text, "", "The machine size of serverless compute."),
    key("environment", Kind::Text, "", "A registered environment, as in \"azureml:name:1\"."),
    key("datastore", Kind::Text, "", "The datastore for inputs and outputs."),
];
