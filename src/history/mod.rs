//! The port of history: what ran, on what, and what came of it.
//!
//! Called by `engine`, from its own thread, and by `amlrun runs`. It may never be asked whether a job is fresh: it hands
//! out records, `staleness` judges.

mod logged;
mod lost;
pub mod memory;
pub mod models;
pub mod sqlite;
pub mod sweeps;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub use logged::Salvaged;
use logged::merge;
use serde::{Deserialize, Serialize};

use self::lost::{candidates, lost};
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::ids::{JobName, RunId};
use crate::launch::{Outcome, Ticket, Usage};
use crate::logged::Logged;
use crate::relpath::RelPath;
use crate::staleness::{Fingerprint, Key, Last, Past, Recorded};

/// Why the history cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HistoryError {
    #[error("could not {doing} the history {path}: {why}")]
    Database { doing: &'static str, path: PathBuf, why: String },
    #[error(
        "the history {path} was written by a newer amlrun (format {found}, this one writes {known}); it can be read, not written"
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("no run begins with `{0}`, and no job has that name")]
    NoSuchRun(String),
    #[error("several runs begin with `{prefix}`: {candidates}")]
    Ambiguous { prefix: String, candidates: String },
}

/// One call of amlrun that may run jobs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invocation {
    /// Its identity (32 hex digits).
    pub id: String,
    /// When it began.
    pub started: Timestamp,
    /// The command line, secrets cut out.
    pub argv: Vec<String>,
    /// The version of amlrun.
    pub version: String,
    /// The machine's name.
    pub host: String,
    /// The user's name.
    pub user: String,
    /// The git properties, under the original's keys.
    pub properties: BTreeMap<String, String>,
}

impl Invocation {
    /// One of which only the identity is known.
    fn unknown(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            started: Timestamp(0),
            argv: Vec::new(),
            version: String::new(),
            host: String::new(),
            user: String::new(),
            properties: BTreeMap::new(),
        }
    }
}

/// The statuses of the original (azure-ml.md §4.1) that a run can have here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the original's")]
pub enum Status {
    NotStarted,
    Starting,
    Provisioning,
    Preparing,
    Queued,
    Running,
    Finalizing,
    CancelRequested,
    Completed,
    Failed,
    Canceled,
    NotResponding,
}

impl Status {
    /// All of them, in the order that a run can go through them.
    pub const ALL: [Self; 12] = [
        Self::NotStarted,
        Self::Starting,
        Self::Provisioning,
        Self::Preparing,
        Self::Queued,
        Self::Running,
        Self::Finalizing,
        Self::CancelRequested,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::NotResponding,
    ];

    /// As the original writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "NotStarted",
            Self::Starting => "Starting",
            Self::Provisioning => "Provisioning",
            Self::Preparing => "Preparing",
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Finalizing => "Finalizing",
            Self::CancelRequested => "CancelRequested",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
            Self::NotResponding => "NotResponding",
        }
    }

    /// The status of a run that ended like this.
    #[must_use]
    pub fn after(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Completed,
            Outcome::Canceled => Self::Canceled,
            _ => Self::Failed,
        }
    }

    /// The status of this name, in whatever case.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name().eq_ignore_ascii_case(name))
    }
}

/// A run as it begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begun {
    /// Its identity.
    pub run: RunId,
    /// The invocation that it belongs to.
    pub invocation: String,
    /// The job.
    pub job: JobName,
    /// The experiment.
    pub experiment: String,
    /// Target's name.
    pub target: String,
    /// Environment's name.
    pub environment: String,
    /// When.
    pub started: Timestamp,
    /// Counting from 1.
    pub attempt: u32,
    /// What its result depends on.
    pub fingerprint: Fingerprint,
    /// The parameters as JSON values.
    pub params: BTreeMap<String, serde_json::Value>,
    /// `tags`.
    pub tags: BTreeMap<String, String>,
    /// The reasons it was stale for.
    pub reasons: Vec<crate::staleness::Reason>,
    /// Declared inputs: name to path as in the Amlfile.
    pub inputs: BTreeMap<String, String>,
    /// The source directory, which `fingerprint.sources` is the tree of.
    pub source_directory: RelPath,
}

/// A run as it ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ended {
    /// The run.
    pub run: RunId,
    /// Its last status.
    pub status: Status,
    /// How the process ended.
    pub outcome: Outcome,
    /// When.
    pub ended: Timestamp,
    /// What it used.
    pub usage: Usage,
    /// Declared outputs and metric files as published (also those of a run that is not cached).
    pub outputs: Vec<Recorded>,
    /// `outputs/` in the working directory, kept with the run whether declared or not; the paths are relative to it.
    pub kept: Vec<Recorded>,
    /// Scalars read from the metric files.
    pub metrics: BTreeMap<String, f64>,
    /// Whether the result may stand for the fingerprint from now on.
    pub cached: bool,
    /// Whether sources or inputs moved while it ran.
    pub inputs_moved: bool,
    /// What the user should know about it.
    pub notes: Vec<String>,
    /// What its script logged. It is kept apart: records that are read do not have it, [`History::logged`] does.
    #[serde(skip)]
    pub logged: Option<Box<Logged>>,
}

impl Ended {
    /// Whether the result may stand for the fingerprint: it says so, it succeeded, and nothing moved under it.
    #[must_use]
    pub fn reusable(&self) -> bool {
        self.cached && self.status == Status::Completed && !self.inputs_moved
    }
}

/// A run in full, for `amlrun runs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// As it began.
    pub begun: Begun,
    /// As it ended; none while it runs (or where amlrun was killed under it).
    pub ended: Option<Ended>,
    /// Its status now.
    pub status: Status,
    /// The invocation it belongs to.
    pub invocation: Invocation,
}

/// What `runs list` asks for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only this job (or experiment).
    pub job: Option<String>,
    /// Only this status.
    pub status: Option<String>,
    /// The newest so many.
    pub limit: Option<usize>,
}

/// The port. One owner thread.
pub trait History: Send {
    /// Puts an invocation on record, and closes the runs of invocations that died (`NotResponding`); `alive` tells
    /// whether an invocation of that identity still runs. Runs with a ticket go on elsewhere and stay open.
    ///
    /// # Errors
    /// Where the database cannot be written.
    fn begin(&mut self, invocation: &Invocation, alive: &dyn Fn(&str) -> bool) -> Result<(), HistoryError>;

    /// The newest successful, cached run for each of these fingerprint digests, in the order asked. The job's own runs
    /// come before those of other jobs: two jobs may have one fingerprint and declare different outputs.
    ///
    /// # Errors
    /// Where the database cannot be read.
    fn past(&self, wanted: &[(JobName, Digest)]) -> Result<Vec<Option<Past>>, HistoryError>;

    /// The last run of a job that ended (or was lost).
    ///
    /// # Errors
    /// Where the database cannot be read.
    fn last(&self, job: &JobName) -> Result<Option<Last>, HistoryError>;

    /// Remembers the facts behind an environment's digest.
    ///
    /// # Errors
    /// Where the database cannot be written.
    fn remember_key(&mut self, key: &Key) -> Result<(), HistoryError>;

    /// The facts behind an environment's digest.
    ///
    /// # Errors
    /// Where the database cannot be read.
    fn key(&self, digest: &Digest) -> Result<Option<Key>, HistoryError>;

    /// Puts beginnings and ends on record, in order, in one transaction that is on disk when this returns.
    ///
    /// # Errors
    /// Where the database cannot be written; nothing of the batch is recorded then.
    fn record(&mut self, batch: &[Entry]) -> Result<(), HistoryError>;

    /// Runs, newest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    fn runs(&self, query: &Query) -> Result<Vec<Run>, HistoryError>;

    /// The one run of this identity, else the last run of the job or experiment of this name, else the one run whose
    /// identity begins with this.
    ///
    /// # Errors
    /// Where there is none or are several.
    fn run(&self, prefix: &str) -> Result<Run, HistoryError>;

    /// Runs that the user pinned: what they left stays in the store whatever becomes of others.
    ///
    /// # Errors
    /// Where the database cannot be read.
    fn pins(&self) -> Result<BTreeSet<RunId>, HistoryError>;

    /// Pins a run, or lets it go; one that is pinned already stays so.
    ///
    /// # Errors
    /// Where the database cannot be written.
    fn pin(&mut self, run: &RunId, pinned: bool) -> Result<(), HistoryError>;

    /// Replaces a run's tags.
    ///
    /// # Errors
    /// Where the database cannot be written.
    fn retag(&mut self, run: &RunId, tags: &BTreeMap<String, String>) -> Result<(), HistoryError>;

    /// Takes runs off the record, for good: their results stand for no fingerprint any more.
    ///
    /// # Errors
    /// Where the database cannot be written; nothing is removed then.
    fn remove(&mut self, runs: &[RunId]) -> Result<(), HistoryError>;

    /// The register of models, by name and version.
    ///
    /// # Errors
    /// Where the database cannot be read.
    fn models(&self) -> Result<Vec<models::Version>, HistoryError>;

    /// Registers a version of a model; the number that it got.
    ///
    /// # Errors
    /// Where the database cannot be written.
    fn register(&mut self, registration: &models::Registration) -> Result<u32, HistoryError>;

    /// Changes a version of a model, or takes it off the register.
    ///
    /// # Errors
    /// Where the database cannot be written.
    fn change_model(&mut self, name: &str, version: u32, change: &models::Change) -> Result<(), HistoryError>;

    /// What the script of a run logged, with its series; none where it logged nothing.
    ///
    /// # Errors
    /// Where the database cannot be read.
    fn logged(&self, run: &RunId) -> Result<Option<Logged>, HistoryError>;

    /// The runs that were submitted to a target elsewhere and have not ended, with their tickets, oldest first: all, or
    /// those of this fingerprint. They outlive the invocation that submitted them.
    ///
    /// # Errors
    /// Where the database cannot be read.
    fn tickets(&self, fingerprint: Option<&Digest>) -> Result<Vec<(Ticket, Run)>, HistoryError>;

    /// All sweeps, newest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    fn sweeps(&self) -> Result<Vec<sweeps::Sweep>, HistoryError>;

    /// The trials of a sweep, in the order of their numbers.
    ///
    /// # Errors
    /// Where the database cannot be read.
    fn trials(&self, sweep: &str) -> Result<Vec<sweeps::Trial>, HistoryError>;

    /// What the user should know, since this was last asked: a damaged history that was set aside, and where.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// One line of a batch.
#[derive(Debug, Clone)]
pub enum Entry {
    /// An invocation that was not one of this workspace's, of which runs follow. One that is on record already stays.
    Elsewhere(Box<Invocation>),
    /// A run begins.
    Begun(Box<Begun>),
    /// A run is about to be submitted to a target elsewhere. The ticket goes when the run ends.
    Ticket(Box<Ticket>),
    /// A run ends.
    Ended(Box<Ended>),
    /// What the script of a run logged whose amlrun died under it.
    Salvaged(Box<Salvaged>),
    /// A sweep as it stands now.
    Sweep(Box<sweeps::Sweep>),
    /// A trial as it stands now.
    Trial(Box<sweeps::Trial>),
}
