//! What a target is asked to run, and what it answers: plain values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::digest::Digest;
use crate::ids::RunId;
use crate::relpath::RelPath;

/// One attempt to run a job, complete: a target needs nothing else.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The run's identity.
    pub run: RunId,
    /// What is executed: a program and its arguments.
    pub argv: Vec<String>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// The whole environment of the process.
    pub variables: BTreeMap<String, String>,
    /// Read-only bind mounts where the system allows them: (what, where), both absolute.
    pub mounts: Vec<(PathBuf, PathBuf)>,
    /// The file that stdout and stderr go to, made only when there is something to write.
    pub log: PathBuf,
    /// `logs/` in the working directory, streamed live.
    pub live_logs: PathBuf,
    /// Texts that no log may hold: the values of its secrets.
    pub secrets: Vec<String>,
    /// The longest it may take.
    pub time: Option<Duration>,
    /// How long a gentle end may take before the kill.
    pub grace: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// Exit status 0.
    Succeeded,
    /// Another exit status.
    Failed {
        /// The status.
        code: i32,
    },
    /// Ended by a signal that amlrun did not send.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// Took longer than `resources.time`.
    TimedOut {
        /// The limit, in seconds.
        seconds: u64,
    },
    /// Ended on request.
    Canceled,
    /// Could not be started, or its result could not be kept.
    Broken {
        /// Why: what was tried, on which path, and what the system said.
        why: String,
    },
}

/// What an attempt used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time of the process and all that it waited for, in milliseconds.
    pub cpu_ms: u64,
    /// The largest resident set of one process, in bytes.
    pub peak_memory: u64,
}

/// One attempt to run a job on another machine, complete: a remote target needs nothing else.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The run's identity, which is also the key of its submission: what was submitted under it once is never again.
    pub run: RunId,
    /// The job's name, for people who look at an engine's queue.
    pub job: String,
    /// What is executed.
    pub program: Program,
    /// The working directory, below the run directory.
    pub cwd: RelPath,
    /// Folders that must be there, below the run directory.
    pub folders: Vec<RelPath>,
    /// What is laid out in the run directory.
    pub items: Vec<Item>,
    /// The variables that are the job's own; what every program needs besides is the target's.
    pub variables: BTreeMap<String, String>,
    /// Variables that are written nowhere.
    pub secrets: BTreeMap<String, String>,
    /// What the job runs in.
    pub recipe: Recipe,
    /// Nodes and processes in all, where it is started as several.
    pub spread: Option<(u32, u32)>,
    /// Slots of CPU.
    pub cpus: u32,
    /// GPUs.
    pub gpus: u32,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The longest it may take.
    pub time: Option<Duration>,
    /// How long a gentle end may take before the kill.
    pub grace: Duration,
}

/// What is executed on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// The recipe's Python, with these arguments.
    Python(Vec<String>),
    /// These words, found on the target's PATH.
    Words(Vec<String>),
}

/// A tree, a file or a link at its place in a run directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where, below the run directory.
    pub path: RelPath,
    /// What.
    pub content: Content,
}

/// An image as it is on this machine: elsewhere it is the same one or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of its configuration, in hex.
    pub identity: String,
    /// As the Amlfile names it, or the Dockerfile.
    pub name: String,
    /// Options of `run`, as the Amlfile has them.
    pub options: Vec<String>,
    /// The engine's client here, by which it is sent where it is not there.
    pub client: Client,
}

/// A client of docker or podman.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Absolute.
    pub program: PathBuf,
    /// All that it is given.
    pub variables: BTreeMap<String, String>,
}

/// What a job runs in, as a target can make or check it. Its key is the same wherever it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// Whatever is there: a bare command.
    Bare,
    /// An interpreter that is there already, and what was found of it here: another one would be another key.
    UserManaged {
        /// As written in the Amlfile.
        wanted: String,
        /// The facts of its key.
        facts: BTreeMap<String, String>,
    },
    /// A container.
    Container(Image),
    /// A virtual environment made from a lock.
    Managed {
        /// The digest of its key.
        key: Digest,
        /// `CPython 3.11.7`.
        python: String,
        /// `linux-x86_64-gnu`.
        platform: String,
        /// A requirements file with hashes; may be empty.
        pinned: String,
        /// One without; may be empty.
        unhashed: String,
    },
}

/// Where a run on a remote target is to be found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The run, which is the key of its submission.
    pub run: RunId,
    /// The target's name.
    pub target: String,
    /// Where that was: `azureuser@vm`, for people.
    pub place: String,
}
