//! What a target is asked to run, and what it answers: plain values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::RunId;

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
