//! What happened, as one flat vocabulary for the console, JSON lines and whoever listens later.
//!
//! The engine tells events, in order, from its own thread; listeners may not reach back into it. A listener that needs a
//! fact the stream lacks gets a new event, not a back door. The wire form (`--json`) is public: `kind` in kebab-case.

mod trials;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{JobId, JobName, RunId};
use crate::launch::Outcome;
use crate::relpath::RelPath;
use crate::staleness::{Reason, Verdict};
use crate::value::Value;

pub use self::trials::{Ahead, Tally};

/// The version of the event stream, told by the first event.
pub const FORMAT: u32 = 1;

/// Where a line of output came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// stdout and stderr of the job, as `user_logs/std_log.txt` has them.
    Output,
    /// A file below `logs/`.
    Log(String),
}

/// One event.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the fields are the words of design.md")]
pub enum Event {
    /// The first event.
    InvocationStarted {
        format: u32,
        invocation: String,
        workspace: String,
        argv: Vec<String>,
        jobs: usize,
        dry_run: bool,
    },
    /// Once per job of the plan; later events carry only `job`.
    JobRegistered {
        job: JobId,
        name: JobName,
        needs: Vec<JobId>,
        target: String,
    },
    /// Sources and inputs are being read. Ephemeral: told a few times a second.
    Measuring {
        files: u64,
        bytes: u64,
    },
    /// Sources and inputs are read.
    Measured {
        files: u64,
        hashed: u64,
        bytes: u64,
    },
    /// An environment that is not locked yet is being resolved. Lines of [`Event::EnvironmentOutput`] follow.
    EnvironmentResolving {
        environment: String,
    },
    /// Resolved, and written to the lock file; or not, and the invocation fails.
    EnvironmentResolved {
        environment: String,
        locked: bool,
    },
    /// An environment is being built. A line of the installer's output follows as [`Event::EnvironmentOutput`].
    EnvironmentStarted {
        environment: String,
        key: String,
    },
    /// Ephemeral.
    EnvironmentOutput {
        environment: String,
        line: String,
    },
    EnvironmentReady {
        environment: String,
        key: String,
        built: bool,
    },
    EnvironmentFailed {
        environment: String,
        why: String,
    },
    /// Fresh, stale, or may run.
    JobJudged {
        job: JobId,
        verdict: Verdict,
    },
    /// Another invocation is running the same job; its result will be taken.
    JobWaiting {
        job: JobId,
        why: String,
    },
    /// A run that was submitted elsewhere before is followed again.
    JobAttached {
        job: JobId,
        run: RunId,
        place: String,
    },
    /// A run goes on elsewhere without this invocation.
    JobDetached {
        job: JobId,
        run: RunId,
        place: String,
    },
    JobStarted {
        job: JobId,
        run: RunId,
        attempt: u32,
    },
    /// Ephemeral.
    JobOutput {
        job: JobId,
        stream: Stream,
        line: String,
    },
    /// The latest state of a line that the job draws over itself, as progress bars do; the last one follows as
    /// [`Event::JobOutput`]. Ephemeral: what is drawn quickly is told in part.
    JobDrew {
        job: JobId,
        line: String,
    },
    /// The attempt failed and is tried again after `delay_ms`.
    JobRetried {
        job: JobId,
        outcome: Outcome,
        attempt: u32,
        delay_ms: u64,
    },
    /// The run ended and is on record.
    JobFinished {
        job: JobId,
        run: RunId,
        outcome: Outcome,
        elapsed_ms: u64,
        log: String,
        tail: Vec<String>,
    },
    /// Outputs of a fresh job came back from the store; `aside` are hand-edited ones and where they were put.
    JobRestored {
        job: JobId,
        run: RunId,
        outputs: Vec<RelPath>,
        aside: Vec<(RelPath, String)>,
    },
    /// A run of somebody else was found in the shared cache and is on record here now; it counts as any run from now on.
    CacheHit {
        job: JobId,
        run: RunId,
        user: String,
        host: String,
        started: Timestamp,
    },
    /// A run was put into the shared cache.
    CachePushed {
        job: JobId,
        run: RunId,
    },
    /// What went over the line to the shared cache so far, in bytes, and how many runs wait to be put into it. Ephemeral.
    CacheTraffic {
        sent: u64,
        received: u64,
        waiting: usize,
    },
    /// It did not run, because a job failed: one that it needs, or, without `-k`, any.
    JobSkipped {
        job: JobId,
        because: JobName,
        needed: bool,
    },
    /// A sweep begins, or goes on where it was: `known` of its trials are over.
    SweepStarted {
        job: JobId,
        sweep: String,
        sampling: String,
        metric: String,
        maximize: bool,
        max_trials: Option<u32>,
        /// `trial_timeout`, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trial_timeout: Option<u64>,
        known: usize,
        /// What is known of them.
        #[serde(default, skip_serializing_if = "Tally::is_empty")]
        tally: Tally,
        reasons: Vec<Reason>,
    },
    /// A trial begins to be a job; it is registered by the event before.
    TrialProposed {
        sweep: JobId,
        job: JobId,
        number: u32,
        values: BTreeMap<String, Value>,
    },
    /// A running trial logged the metric. Ephemeral.
    TrialLogged {
        sweep: JobId,
        job: JobId,
        number: u32,
        interval: usize,
        value: f64,
    },
    /// A trial is over, in this invocation.
    TrialEnded {
        sweep: JobId,
        job: Option<JobId>,
        number: u32,
        state: TrialState,
        objective: Option<f64>,
        cached: bool,
        why: Option<String>,
        is_best: bool,
    },
    /// A sweep is over; what the best trial left is published.
    SweepFinished {
        job: JobId,
        sweep: String,
        trials: usize,
        completed: usize,
        failed: usize,
        stopped: usize,
        best: Option<BestTrial>,
    },
    /// In a dry run: it would run, or might.
    JobWouldRun {
        job: JobId,
        reasons: Vec<Reason>,
        /// Of a sweep: what is known of its trials.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trials: Option<Ahead>,
    },
    /// Something the user should know, which stops nothing.
    Warned {
        job: Option<JobId>,
        message: String,
    },
    /// The last event.
    InvocationFinished {
        summary: Summary,
    },
}

/// What became of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialState {
    /// It is proposed and has not begun.
    Proposed,
    /// Its run goes on, or went on when its invocation ended.
    Running,
    /// It ran to its end, or a run of the same fingerprint was known.
    Completed,
    /// Its run failed, timed out, or could not be carried out.
    Failed,
    /// The policy ended it before its time.
    Stopped,
}

impl TrialState {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Proposed, Self::Running, Self::Completed, Self::Failed, Self::Stopped]
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// Whether nothing more will happen to it in this sweep.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stopped)
    }
}

/// The best trial of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BestTrial {
    /// Its number.
    pub number: u32,
    /// The job that it is.
    pub job: JobName,
    /// Its run.
    pub run: RunId,
    /// The metric.
    pub objective: f64,
}

/// What an invocation came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Ran and succeeded.
    pub ran: usize,
    /// Fresh, with outputs that were put back.
    pub restored: usize,
    /// Fresh, nothing to do.
    pub fresh: usize,
    /// Ran and failed.
    pub failed: usize,
    /// Not tried, because of a failure.
    pub skipped: usize,
    /// Not finished, because of an interrupt.
    pub canceled: usize,
    /// Submitted elsewhere, and left there.
    #[serde(skip_serializing_if = "is_none")]
    pub detached: usize,
    /// Trials that ran and failed; what that means is their sweep's to say.
    #[serde(skip_serializing_if = "is_none")]
    pub trials_failed: usize,
    /// Trials that a policy ended before their time.
    #[serde(skip_serializing_if = "is_none")]
    pub trials_stopped: usize,
    /// In a dry run: would run.
    pub would_run: usize,
    /// In a dry run: may run, depending on others.
    pub may_run: usize,
    /// Whether the invocation was interrupted.
    pub interrupted: bool,
    /// From start to end, in milliseconds.
    pub elapsed_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// An event with its time and place in the stream.
#[derive(Debug, Clone, Serialize)]
pub struct Stamped {
    /// When.
    pub at: Timestamp,
    /// From 0, without gaps.
    pub seq: u64,
    /// What.
    pub event: Event,
}

/// Whoever is told.
pub trait Listener {
    /// Hears an event; called in order, from one thread.
    fn hear(&mut self, event: &Stamped);
    /// Called a few times a second while work goes on.
    fn tick(&mut self) {}
}
