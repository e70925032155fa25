//! Why a job is stale, or fresh: data that text, JSON and the history are made from.
//!
//! The wire form is public; its tests stand below. Adding a kind is safe; changing one needs a note in the changelog.

use serde::{Deserialize, Serialize};

use crate::ids::{JobName, RunId};
use crate::relpath::RelPath;

/// One reason for a job to be stale. `was` and `is` are as the script or the user sees the value; a file's are digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the fields are named alike in every variant")]
pub enum Reason {
    /// No run of this job is on record.
    NeverRan,
    /// `--force`.
    Forced,
    /// `cache = false`.
    NotCached,
    /// The last run of the same fingerprint ended otherwise than well.
    LastRunFailed {
        run: RunId,
        status: String,
    },
    /// The last run's inputs moved while it ran, so its result was not kept.
    InputsMoved {
        run: RunId,
    },
    /// The last run of the same fingerprint ended well, and its result is not to be reused: what it read is in no fingerprint,
    /// or the job said `cache = false` then.
    LastRunNotCached {
        run: RunId,
    },
    CommandChanged {
        was: Vec<String>,
        is: Vec<String>,
    },
    ParamChanged {
        name: String,
        was: Option<String>,
        is: Option<String>,
    },
    VariableChanged {
        name: String,
        was: Option<String>,
        is: Option<String>,
    },
    FrameworkChanged {
        was: String,
        is: String,
    },
    DistributedChanged {
        name: String,
        was: Option<String>,
        is: Option<String>,
    },
    /// A fact of the environment: an interpreter, a package. `fact` is empty where the facts of then are gone.
    EnvironmentChanged {
        fact: String,
        was: Option<String>,
        is: Option<String>,
    },
    /// A file of the source directory; `was` is none for an added one, `is` for a removed one.
    SourceChanged {
        path: RelPath,
        was: Option<String>,
        is: Option<String>,
    },
    /// An input's content. `path` is the file that differs (below the input, where that is a folder and the trees are known).
    InputChanged {
        name: String,
        path: String,
        was: Option<String>,
        is: Option<String>,
    },
    /// More files differ than are listed one by one.
    MoreFiles {
        count: usize,
    },
    /// A declared output that the recorded run did not have.
    OutputNotRecorded {
        path: RelPath,
    },
    /// An output is neither in the project as recorded nor in the store.
    OutputLost {
        path: RelPath,
    },
    /// A job that it needs will run first: whether this one runs depends on what that gives.
    UpstreamMayChange {
        job: JobName,
    },
    /// An input that is not there and that no job makes.
    InputMissing {
        name: String,
        path: String,
    },
    /// The environment is not in `Amlfile.lock` yet, so what is in it is not known: a run resolves it first.
    EnvironmentNotLocked {
        environment: String,
    },
    /// The format of fingerprints changed with a new version of amlrun.
    FormatChanged {
        was: u32,
        is: u32,
    },
}

/// What is to be done about one output of a fresh job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// The output.
    pub path: RelPath,
    /// Whether it was edited by hand (and is set aside first) rather than missing.
    pub modified: bool,
}

/// Fresh or stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The result of `since` stands; `repairs` are the outputs to be restored from the store.
    Fresh {
        /// The run whose result it is.
        since: RunId,
        /// Outputs to restore; empty where all are in place.
        repairs: Vec<Repair>,
    },
    /// It must run, for all these reasons.
    Stale {
        /// Never empty.
        reasons: Vec<Reason>,
    },
    /// It runs if a job that it needs gives something new.
    MayRun {
        /// Only [`Reason::UpstreamMayChange`].
        reasons: Vec<Reason>,
    },
}
