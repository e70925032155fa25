//! The keys of `[environments.*]`.

use super::{Key, Kind, key};

/// `[environments.*]`.
pub const ENVIRONMENT: &[Key] = &[
    key("description", Kind::Text, "", "What the environment is for."),
    key("python", Kind::Text, "", "The Python version to build with, as in \"3.11\"."),
    key("packages", Kind::List(&Kind::Text), "", "Python packages to install (PEP 508), as in \"pandas>=2\"."),
    key("requirements", Kind::Text, "", "A requirements.txt or a pyproject.toml that lists the packages."),
    key(
        "conda",
        Kind::Text,
        "",
        "A conda environment file: its pip part, and what PyPI has of its packages under a known name; others are refused by name.",
    ),
    key("docker", Kind::Table(DOCKER), "", "A container that the job runs in."),
    key(
        "spark",
        Kind::Table(SPARK),
        "",
        "What spark-submit adds for scripts of the framework pyspark; part of the key.",
    ),
    key("user_managed", Kind::Bool, "false", "Nothing is installed: the interpreter is used as it is."),
    key("interpreter", Kind::Text, "", "The Python of a user-managed environment: a path, or a name on PATH."),
    key("variables", Kind::Map(&Kind::Scalar), "", "Environment variables for the job; part of its key."),
    AZUREML,
];

/// `azureml`, of environments and of experiments.
pub(super) const AZUREML: Key = key(
    "azureml",
    Kind::Choice(&["shim", "sdk"]),
    "",
    "Who answers `import azureml.core`: amlrun's own stand-in, or the SDK that is installed; the SDK where it is, else the \
     stand-in, where nothing is said. Part of the key where it is given.",
);

const DOCKER: &[Key] = &[
    key("image", Kind::Text, "", "The image to run in; its digest is part of the key."),
    key("dockerfile", Kind::Text, "", "A Dockerfile to build the image from."),
    key(
        "context",
        Kind::Text,
        "",
        "The folder that the Dockerfile is built in; the Dockerfile's own where none is given.",
    ),
    key("gpus", Kind::Bool, "false", "Give the container the machine's GPUs."),
    key("shm_size", Kind::Memory, "", "The size of /dev/shm, as in \"2GiB\"."),
    key("platform", Kind::Text, "", "The platform of the image, as in \"linux/amd64\"."),
    key("arguments", Kind::List(&Kind::Text), "", "More arguments for docker run."),
];

const SPARK: &[Key] = &[
    key("packages", Kind::List(&Kind::Text), "", "Maven coordinates, as in \"group:artifact:version\"."),
    key("repositories", Kind::List(&Kind::Text), "", "Where the packages come from."),
    key(
        "jars",
        Kind::List(&Kind::Text),
        "",
        "Archives for the class path, as seen from the source directory, or by URL.",
    ),
    key(
        "py_files",
        Kind::List(&Kind::Text),
        "",
        "Modules (.py, .zip) for driver and workers, as seen from the source directory, or by URL.",
    ),
    key("configuration", Kind::Map(&Kind::Scalar), "", "Spark's properties, as in \"spark.executor.memory\" = \"2g\"."),
];
