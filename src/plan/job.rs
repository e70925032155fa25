//! A job: one experiment with one set of parameters, everything interpolated.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::diagnostic::Span;
use crate::ids::{JobId, JobName};
use crate::project::model::{Distributed, InputPath, Isolation, Resources};
use crate::relpath::RelPath;
use crate::value::Value;

use super::Request;

/// One job of a plan.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name from run to run.
    pub name: JobName,
    /// Index into `Project::experiments`.
    pub experiment: usize,
    /// The cell of the matrix, axis by axis in the order of the text; empty without a matrix.
    pub cell: Vec<(String, Value)>,
    /// The parameters that this job uses, by interpolation or as an axis of its matrix.
    pub params: BTreeMap<String, Value>,
    /// What is run.
    pub command: Command,
    /// The working directory, and the root of the snapshot.
    pub source_directory: RelPath,
    /// Globs that narrow the snapshot.
    pub sources: Option<Vec<String>>,
    /// Inputs, by name order.
    pub inputs: Vec<Input>,
    /// Declared outputs and metric files.
    pub outputs: Vec<Output>,
    /// Declared variables (of the environment), interpolated.
    pub variables: BTreeMap<String, String>,
    /// Index into `Project::environments`.
    pub environment: usize,
    /// Index into `Project::targets`.
    pub target: usize,
    /// `framework`.
    pub framework: String,
    /// What it may use.
    pub resources: Resources,
    /// How often a failed run is tried again.
    pub retries: u32,
    /// `secrets`.
    pub secrets: Vec<String>,
    /// `tags`.
    pub tags: BTreeMap<String, String>,
    /// `cache`.
    pub cache: bool,
    /// `isolation`.
    pub isolation: Isolation,
    /// `distributed`.
    pub distributed: Option<Distributed>,
    /// Jobs that must be done before this one: by file, by `needs`.
    pub needs: Vec<JobId>,
    /// Whether the request asked for it, or only a job that needs it.
    pub goal: bool,
    /// What it is of a sweep.
    pub role: Role,
    /// Where the experiment's name stands in the text.
    pub span: Span,
}

/// What a job is of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Nothing: it runs, and what it leaves is published.
    #[default]
    Plain,
    /// A sweep: its trials run, and it publishes what the best of them left. Searched parameters have no values in it.
    Sweep,
    /// A trial, which a sweep proposed: it runs from what the sweep began with, and publishes nothing.
    Trial,
}

/// What a job runs, interpolated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `script` and its arguments; the interpreter is the environment's, or that of [`Runner`].
    Script {
        /// Relative to the source directory.
        script: String,
        /// Interpolated.
        arguments: Vec<String>,
        /// Who runs it.
        runner: Runner,
    },
    /// `command`, with any arguments appended (quoted for the shell).
    Shell(String),
}

/// Who runs a script, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    /// The environment's Python.
    Python,
    /// `sh`.
    Shell,
    /// `Rscript`.
    Rscript,
    /// The script itself.
    Itself,
}

/// An input of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name; its path where it has none.
    pub name: String,
    /// Where it lies.
    pub path: InputPath,
    /// The keys of it that the job depends on, where it is a parameter file; none for an input whose whole content counts.
    pub keys: Option<Vec<String>>,
    /// The job whose output it is, or lies in, or holds.
    pub from: Vec<JobId>,
    /// Its place in the text.
    pub span: Span,
}

/// An output of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name; its path where it has none.
    pub name: String,
    /// Where it is published.
    pub path: RelPath,
    /// Whether it is a metric file.
    pub metric: bool,
    /// Its place in the text.
    pub span: Span,
}

/// The jobs of a request in an order in which needs come first (and else that of the text).
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// `jobs[i]` is `JobId(i)`.
    pub jobs: Vec<Job>,
    /// The outputs declared by every experiment of the project, in the plan or not, as globs relative to the workspace
    /// (`models/ridge-*.pkl` for `models/ridge-${alpha}.pkl`, other glob characters escaped): never part of a snapshot.
    pub declared_outputs: Vec<String>,
    /// Who needs a job: `needed_by[i]` for `JobId(i)`.
    pub needed_by: Vec<Vec<JobId>>,
    /// The workspace's folder, absolute.
    pub root: PathBuf,
    /// What it was made for; trials are planned by it while a sweep goes on.
    pub request: Request,
}
