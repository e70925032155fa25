//! What an Amlfile declares, resolved: references are indices, defaults are applied, places in the text are kept.
//!
//! Filled by `project::resolve`; read by `plan`, `engine` and the faces. Pure values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::Span;
use crate::relpath::RelPath;
use crate::value::Value;

/// What an `azureml` key says is a declared variable of the job by this name: its script sees it, and a change of it makes
/// the job stale.
pub const AZUREML_VARIABLE: &str = "AMLRUN_AZUREML";

/// The whole project.
#[derive(Debug, Clone)]
pub struct Project {
    /// `[workspace]`.
    pub workspace: Workspace,
    /// `[params]`: the parameters of every experiment, with the place of each value.
    pub params: BTreeMap<String, (Value, Span)>,
    /// `[environments.*]` in the order of the text, and last the built-in default where an experiment uses it.
    pub environments: Vec<Environment>,
    /// `[targets.*]` in the order of the text; the first is always the built-in `local`.
    pub targets: Vec<Target>,
    /// `[experiments.*]` in the order of the text.
    pub experiments: Vec<Experiment>,
}

/// `[workspace]`.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// Its name; the folder's where none is given.
    pub name: String,
    /// `description`.
    pub description: Option<String>,
    /// `cache`: the shared cache's address, carried out by a later format of the store.
    pub cache: Option<(String, Span)>,
    /// `cache_mode`: what the shared cache is used for.
    pub cache_mode: CacheMode,
    /// How restored files come into the project.
    pub link: Link,
}

/// `[workspace] cache_mode`: what the shared cache is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMode {
    /// Results are taken from it and put into it.
    ReadWrite,
    /// Results are only taken from it.
    Read,
    /// It is not used.
    Off,
}

/// `[workspace] link`: how a file of the store comes into the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A reflink where the file system can, else a copy.
    Copy,
    /// A read-only hard link to the store's object.
    Hardlink,
}

/// `[environments.*]`.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Where its table is headed; `0..0` for the built-in one.
    pub span: Span,
    /// `description`.
    pub description: Option<String>,
    /// What it is.
    pub kind: EnvironmentKind,
    /// `variables`: set for the job, and part of its key (texts with `${…}` are interpolated per job).
    pub variables: BTreeMap<String, (String, Span)>,
    /// `spark`: what spark-submit is given; part of its key.
    pub spark: Option<Spark>,
    /// `azureml`: `shim` or `sdk`; none where that is to be found out.
    pub azureml: Option<String>,
}

/// The kinds of environment.
#[derive(Debug, Clone, PartialEq)]
pub enum EnvironmentKind {
    /// Nothing is installed. `interpreter` is a path or a name on PATH; `None` with no interpreter at all (a bare command).
    UserManaged {
        /// As written; `python3` is looked for where a script has none.
        interpreter: Option<String>,
    },
    /// Built by amlrun.
    Managed {
        /// `python = "3.11"`: the version asked for, as written.
        python: Option<String>,
        /// Where the packages come from.
        packages: Packages,
    },
    /// `conda = "conda.yml"`: built of what PyPI has of it.
    Conda(RelPath),
    /// `docker = { … }`.
    Docker(Docker),
}

/// `docker = { … }`: exactly one of image and dockerfile is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Docker {
    /// `image`.
    pub image: Option<String>,
    /// `dockerfile`.
    pub dockerfile: Option<RelPath>,
    /// `context`: the folder that the Dockerfile is built in.
    pub context: Option<RelPath>,
    /// `gpus`.
    pub gpus: bool,
    /// `shm_size`, in bytes.
    pub shm_size: Option<u64>,
    /// `platform`.
    pub platform: Option<String>,
    /// `arguments`: more arguments for `docker run`.
    pub arguments: Vec<String>,
}

/// `spark = { … }`: what spark-submit adds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spark {
    /// Where it stands.
    pub span: Span,
    /// Maven coordinates.
    pub packages: Vec<String>,
    /// Where the packages come from.
    pub repositories: Vec<String>,
    /// Archives for the class path.
    pub jars: Vec<String>,
    /// Python modules for driver and workers.
    pub py_files: Vec<String>,
    /// Spark's properties.
    pub configuration: BTreeMap<String, String>,
}

/// Where a managed environment's packages come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Packages {
    /// `packages = ["scikit-learn==1.7.2"]`: PEP 508 requirements; may be empty.
    Listed(Vec<String>),
    /// `requirements = "requirements.txt"`, or `"pyproject.toml"`.
    File(RelPath),
}

/// `[targets.*]`.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Where its table is headed; `0..0` for the built-in one.
    pub span: Span,
    /// Its type.
    pub kind: TargetKind,
    /// `description`.
    pub description: Option<String>,
    /// Its other keys, validated by name and type; read by the target that carries them out.
    pub options: BTreeMap<String, toml::Value>,
}

/// The types of target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the Amlfile")]
pub enum TargetKind {
    Local,
    Ssh,
    Slurm,
    Spark,
    Ray,
    Kubernetes,
    Azureml,
}

impl TargetKind {
    /// Every type with its name in the Amlfile.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Local, "local"),
        (Self::Ssh, "ssh"),
        (Self::Slurm, "slurm"),
        (Self::Spark, "spark"),
        (Self::Ray, "ray"),
        (Self::Kubernetes, "kubernetes"),
        (Self::Azureml, "azureml"),
    ];

    /// Its name in the Amlfile.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("local", |(_, name)| name)
    }
}

/// `[experiments.*]`.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// Where its name stands in the text.
    pub span: Span,
    /// `description`.
    pub description: Option<String>,
    /// `source_directory`; the workspace's folder where none is given. It is also the job's working directory.
    pub source_directory: RelPath,
    /// `sources`: globs relative to the source directory that narrow the snapshot; `Some` of none takes no file.
    pub sources: Option<Vec<(String, Span)>>,
    /// What is run.
    pub action: Action,
    /// `arguments`, not yet interpolated.
    pub arguments: Vec<(String, Span)>,
    /// `params`: over those of the workspace.
    pub params: BTreeMap<String, (Value, Span)>,
    /// `params = { file = "params.yaml", keys = ["train.lr"] }`: a parameter file, and the keys of it that are read.
    pub params_file: Option<(Declared, Vec<String>)>,
    /// `inputs`, by the order of the text.
    pub inputs: Vec<Declared>,
    /// `outputs`, likewise.
    pub outputs: Vec<Declared>,
    /// `metrics`: metric files.
    pub metrics: Vec<Declared>,
    /// Index into [`Project::environments`].
    pub environment: usize,
    /// Index into [`Project::targets`].
    pub target: usize,
    /// `framework`: `python` where none is given.
    pub framework: String,
    /// `resources`.
    pub resources: Resources,
    /// `retries`: how often a failed job is tried again.
    pub retries: u32,
    /// `needs`: names of experiments (or of cells), with their places.
    pub needs: Vec<(String, Span)>,
    /// `tags`.
    pub tags: BTreeMap<String, String>,
    /// `secrets`: names of variables that are passed through and written nowhere.
    pub secrets: Vec<String>,
    /// `cache`: false runs always.
    pub cache: bool,
    /// `isolation`.
    pub isolation: Isolation,
    /// `matrix`: axes in the order of the text.
    pub matrix: Vec<(String, Vec<Value>, Span)>,
    /// `distributed`.
    pub distributed: Option<Distributed>,
    /// `azureml`: as that of the environment, and before it.
    pub azureml: Option<String>,
    /// `sweep`: not in this build.
    pub sweep: Option<Box<super::sweep::Sweep>>,
}

/// An input, an output or a metric file as declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Its name; none for one of a list, which goes by its path.
    pub name: Option<String>,
    /// Its path, not yet interpolated.
    pub path: String,
    /// Where the path stands.
    pub span: Span,
}

impl Declared {
    /// Its name, or its path as written where it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.path)
    }
}

/// What an experiment runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// `script`, relative to the source directory: run by the environment's interpreter, `.sh` by `sh`, `.R` by
    /// `Rscript`, another with a `#!` line or an exec bit by itself.
    Script(String, Span),
    /// `command`, not yet interpolated.
    Command(String, Span),
}

/// `isolation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The job runs in a run directory of its own.
    Snapshot,
    /// The job runs in the project; sources and inputs are checked again after the run.
    InPlace,
}

/// `resources`.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    /// Slots of CPU; 1 where not given.
    pub cpus: u32,
    /// GPUs; 0 where not given.
    pub gpus: u32,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The longest a run may take.
    pub time: Option<Duration>,
}

/// `distributed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distributed {
    /// `pytorch`, `mpi` or `tensorflow`.
    pub kind: String,
    /// Nodes.
    pub nodes: u32,
    /// Processes in all; one a node where none are given.
    pub processes: u32,
    /// The other keys, which depend on the type, as text.
    pub options: BTreeMap<String, String>,
    /// Where it stands.
    pub span: Span,
}

/// Where an input lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputPath {
    /// In the workspace.
    Inside(RelPath),
    /// Anywhere else: used where it lies.
    Absolute(PathBuf),
}
