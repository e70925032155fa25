//! A job as Ray's Jobs API tells of it, and what follows from that for a run. Pure: called by the target `ray`, asks nobody.

use serde_json::Value;

use crate::launch::{Outcome, Usage};
use crate::target::agent::{Files, Noted};
use crate::target::remote::State;

/// How a job is, as Ray says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It waits.
    Pending,
    /// It runs; also what a later Ray may call otherwise, which is never taken for an end.
    Running,
    /// It was stopped.
    Stopped,
    /// Its command ended with 0.
    Succeeded,
    /// Its command ended otherwise, or never began.
    Failed,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    /// How it is.
    pub(super) status: Status,
    /// What Ray says of that.
    pub(super) message: String,
    /// How its command ended.
    pub(super) exit: Option<i64>,
    /// What went wrong, by Ray's names.
    pub(super) error: String,
    /// When it ended, in milliseconds since 1970.
    pub(super) ended: Option<u64>,
    /// The folder that its run is kept in, where amlrun submitted it.
    pub(super) directory: Option<String>,
}

impl Job {
    /// A job of an answer, with the name that it was submitted under; none where the answer is of something else.
    pub(super) fn of(value: &Value) -> Option<(String, Self)> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("submission_id");
        if id.is_empty() {
            return None; // a driver that nobody submitted: `ray.init()` by hand
        }
        let status = match text("status") {
            "PENDING" => Status::Pending,
            "STOPPED" => Status::Stopped,
            "SUCCEEDED" => Status::Succeeded,
            "FAILED" => Status::Failed,
            "" => return None,
            _ => Status::Running,
        };
        let exit = value.get("driver_exit_code").and_then(Value::as_i64);
        let ended = value.get("end_time").and_then(Value::as_u64);
        let directory = value.pointer("/metadata/amlrun_directory").and_then(Value::as_str).map(str::to_owned);
        let (message, error) = (text("message").to_owned(), text("error_type").to_owned());
        Some((id.to_owned(), Self { status, message, exit, error, ended, directory }))
    }

    /// Whether Ray has nothing more to do for it.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.status, Status::Pending | Status::Running)
    }

    /// Why it waits.
    fn why(&self, id: &str) -> String {
        let said = self.message.trim();
        let said = said.strip_prefix("Job has not started yet.").unwrap_or(said).trim().trim_end_matches('.');
        let said = said.replace(" (CPUs, GPUs, memory, custom resources)", "");
        let lower: String = said.chars().take(1).flat_map(char::to_lowercase).chain(said.chars().skip(1)).collect();
        format!("Ray job {id}: {}", if lower.is_empty() { "pending" } else { &lower })
    }

    /// Why it ended without a word from the run itself.
    pub(super) fn fault(&self, id: &str, folder: &str) -> String {
        let unseen = format!("do all nodes see {folder}? if not, name a folder that they do with `directory`");
        match (self.status, self.exit) {
            (Status::Stopped, _) => format!("Ray job {id}: it was stopped in Ray, not by amlrun"),
            (Status::Failed, Some(code)) => {
                let log = self.message.split_once("chars):").map_or("", |(_, log)| log);
                let ours = |line: &&str| {
                    let line = line.trim();
                    !line.is_empty()
                        && !line.starts_with("Running entrypoint for job")
                        && !line.contains("job_manager.py")
                };
                let last = log.lines().rfind(ours).unwrap_or("it said nothing").trim();
                format!("Ray job {id}: its command ended with {code}: {last}; {unseen}")
            }
            (Status::Failed, None) => {
                let first =
                    self.message.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason is given").trim();
                let next = match self.error.as_str() {
                    "JOB_SUPERVISOR_ACTOR_START_TIMEOUT" => {
                        "; nothing of it ran: lower `resources`, or raise RAY_JOB_START_TIMEOUT_SECONDS where the head is started"
                    }
                    "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE" => {
                        "; nothing of it ran: its node went, or none fits its `resources`"
                    }
                    "JOB_SUPERVISOR_ACTOR_DIED" => {
                        "; its node went down, or memory ran out there; `retries` tries again"
                    }
                    _ => "",
                };
                format!("Ray job {id}: {first}{next}")
            }
            _ => format!("Ray job {id}: Ray takes it to be over, but the run has left no word; {unseen}"),
        }
    }
}

/// What is known of a run from both sides.
#[derive(Debug)]
pub(super) struct Both<'b> {
    /// What the job is called in Ray.
    pub(super) id: &'b str,
    /// The folder that all nodes have to see.
    pub(super) folder: &'b str,
    /// What stands in its folder.
    pub(super) noted: &'b Noted,
    /// What Ray says; none where it does not know the job.
    pub(super) job: Option<&'b Job>,
    /// Whether it was known to be submitted.
    pub(super) submitted: bool,
    /// Whether this has been so for long enough that no news is on its way through a file system.
    pub(super) settled: bool,
}

impl Both<'_> {
    /// Whether Ray has nothing more to say of it, so that what its files do not tell will never be told.
    pub(super) fn is_silent(&self) -> bool {
        self.job.is_none_or(Job::is_over)
    }

    /// Where the run stands.
    pub(super) fn state(&self) -> State {
        let broken = |why: String| State::Ended(Outcome::Broken { why }, Usage::default());
        match (&self.noted.files, self.job) {
            (Files::Ended(state), _) => state.clone(),
            (Files::Absent, _) => State::Absent,
            (Files::Laid, None) if !self.submitted => State::Absent, // submit it (again): it never ran
            (_, Some(job)) if !job.is_over() => match (job.status, &self.noted.files) {
                (Status::Pending, Files::Laid) => State::Queued(job.why(self.id)),
                _ => State::Running,
            },
            (Files::Laid, _) if !self.settled => State::Queued(format!("Ray job {}: not listed yet", self.id)),
            (_, _) if !self.settled => State::Running,
            (_, None) if self.noted.files == Files::Told => {
                broken("it was told to end by the machine it ran on (a shutdown, or a restart of Ray?)".to_owned())
            }
            (_, None) => State::Gone(format!(
                "Ray does not know job {} any more: it was deleted, or the head was started anew",
                self.id
            )),
            (_, Some(_)) if self.noted.asked => State::Ended(Outcome::Canceled, Usage::default()),
            (_, Some(job)) => broken(job.fault(self.id, self.folder)),
        }
    }
}

/// What a cluster has, of its status: as in `2 processors (1 in use), 1 GPU (0 in use), 21.6 GiB of memory`.
pub(super) fn resources(status: &Value) -> Option<String> {
    let usage = status.pointer("/data/clusterStatus/loadMetricsReport/usage")?;
    let pair = |name: &str| {
        let pair = usage.get(name)?;
        Some((pair.get(0)?.as_f64()?, pair.get(1)?.as_f64()?))
    };
    let count = |name: &str, word: &str| {
        let (used, all) = pair(name).unwrap_or((0.0, 0.0));
        let plural = if (all - 1.0).abs() < f64::EPSILON { "" } else { "s" };
        format!("{all} {word}{plural} ({used} in use)")
    };
    let memory = pair("memory").map_or(0.0, |(_, all)| all / f64::from(1_u32 << 30));
    let nodes = status.pointer("/data/clusterStatus/loadMetricsReport/usageByNode").and_then(Value::as_object);
    let nodes = nodes
        .map_or_else(String::new, |nodes| format!("{} node{}: ", nodes.len(), if nodes.len() == 1 { "" } else { "s" }));
    Some(format!("{nodes}{}, {}, {memory:.1} GiB of memory", count("CPU", "processor"), count("GPU", "GPU")))
}
