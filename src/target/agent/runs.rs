//! What is asked about runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Link, read, surroundings, written};
use crate::ids::RunId;
use crate::launch::{Outcome, Parcel, Program, Usage};
use crate::relpath::RelPath;
use crate::target::remote::{Cargo, Fault, Finding, Look, Offsets, State};

/// What a host may give to jobs; what is not said is what it has.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// Processors.
    pub cpus: Option<u64>,
    /// GPUs.
    pub gpus: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
}

/// One look at a run, as the far side answers it.
#[derive(Debug)]
pub struct Looked {
    /// The state as the far side writes it.
    pub(super) answer: Value,
    /// More of stdout and stderr.
    pub log: Vec<u8>,
    /// More of the files below `logs/`.
    pub files: Vec<(RelPath, Vec<u8>)>,
    /// More of the files that are followed.
    pub followed: Vec<(RelPath, Vec<u8>)>,
}

impl Link {
    /// Makes the environment and lays the run directory out.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn prepare(
        &self,
        parcel: &Parcel,
        room: &Room,
        cargo: &dyn Cargo,
        told: &mut dyn FnMut(String),
    ) -> Result<(), Fault> {
        let around = surroundings::ready(self, &parcel.recipe, told)?;
        let argv = match &parcel.program {
            Program::Words(words) => words.clone(),
            Program::Python(rest) => {
                let python = around.python.clone().unwrap_or_else(|| "python3".to_owned());
                std::iter::once(python).chain(rest.iter().cloned()).collect()
            }
        };
        let mut variables = around.variables.clone();
        variables.extend(parcel.variables.clone());
        let spec = json!({
            "job": parcel.job,
            "argv": argv,
            "cwd": if parcel.cwd.is_root() { String::new() } else { written(&parcel.cwd) },
            "variables": variables,
            "path": around.path,
            "container": around.container,
            "cpus": parcel.cpus,
            "gpus": parcel.gpus,
            "memory": parcel.memory,
            "time": parcel.time.map(|time| time.as_secs_f64()),
            "grace": parcel.grace.as_secs_f64(),
            "secrets": parcel.secrets.keys().collect::<Vec<_>>(),
            "room": {"cpus": room.cpus, "gpus": room.gpus, "memory": room.memory},
        });
        super::send::lay(self, parcel, &spec, cargo)
    }

    /// Starts a supervisor for a run that was laid out; where there is one, or was, nothing happens.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn start(&self, parcel: &Parcel) -> Result<(), Fault> {
        self.ask(&json!({"op": "start", "run": parcel.run.0, "secrets": parcel.secrets})).map(drop)
    }

    /// One look at a run.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn look(&self, run: &RunId, from: &Offsets, slurm: bool) -> Result<Look, Fault> {
        let Looked { answer, log, files, followed } = self.looked(run, from, if slurm { "slurm" } else { "host" })?;
        Ok(Look { state: state(&answer), log, files, followed })
    }

    /// One look: the state as the far side writes it, and what is new of the output. The engine is that which the far side asks.
    pub(super) fn looked(&self, run: &RunId, from: &Offsets, engine: &str) -> Result<Looked, Fault> {
        let offsets = |of: &BTreeMap<RelPath, u64>| -> serde_json::Map<String, Value> {
            of.iter().map(|(path, at)| (written(path), json!(at))).collect()
        };
        let (seen, follow) = (offsets(&from.files), offsets(&from.followed));
        let ask = json!({
            "op": "look", "run": run.0, "log": from.log, "logs": true, "seen": seen, "follow": follow, engine: true
        });
        let (answer, data) = self.exchange(&ask, &[])?;
        let number = |value: Option<&Value>| usize::try_from(value.and_then(Value::as_u64).unwrap_or(0)).unwrap_or(0);
        let mut rest = data.as_slice();
        let mut cut = |size: usize| {
            let (piece, others) = rest.split_at(size.min(rest.len()));
            rest = others;
            piece.to_vec()
        };
        let log = cut(number(answer.get("log")));
        let mut pieces = |name: &str| {
            let mut files = Vec::new();
            for entry in answer.get(name).and_then(Value::as_array).into_iter().flatten() {
                let piece = cut(number(entry.get(1)));
                if let Some(path) = entry.get(0).and_then(Value::as_str).and_then(read) {
                    files.push((path, piece));
                }
            }
            files
        };
        let (files, followed) = (pieces("files"), pieces("followed"));
        Ok(Looked { answer: answer.get("state").cloned().unwrap_or(Value::Null), log, files, followed })
    }

    /// Where runs stand.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn states(&self, runs: &[RunId], slurm: bool) -> Result<Vec<State>, Fault> {
        let runs: Vec<&String> = runs.iter().map(|run| &run.0).collect();
        let answer = self.ask(&json!({"op": if slurm { "slurm_states" } else { "states" }, "runs": runs}))?;
        Ok(answer.get("states").and_then(Value::as_array).into_iter().flatten().map(state).collect())
    }

    /// Asks for a run's end.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn end(&self, run: &RunId, now: bool, slurm: bool) -> Result<(), Fault> {
        self.ask(&json!({"op": if slurm { "slurm_end" } else { "end" }, "run": run.0, "now": now})).map(drop)
    }

    /// Brings back what a run left.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn collect(&self, run: &RunId, paths: &[RelPath], into: &std::path::Path) -> Result<(), Fault> {
        super::bring::collect(self, run, paths, into)
    }

    /// Lets go of runs.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn forget(&self, runs: &[RunId]) -> Result<(), Fault> {
        let runs: Vec<&String> = runs.iter().map(|run| &run.0).collect();
        self.ask(&json!({"op": "forget", "runs": runs})).map(drop)
    }

    /// What is there.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn check(&self, now: u64) -> Result<Vec<Finding>, Fault> {
        let answer = self.ask(&json!({"op": "check"}))?;
        Ok(surroundings::findings(&self.place(), &answer, now))
    }
}

/// A state as the far side writes it.
pub(super) fn state(value: &Value) -> State {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    match text("kind").as_str() {
        "queued" => State::Queued(text("why")),
        "running" => State::Running,
        "lost" => State::Gone("the machine went down, or the run's supervisor was killed".to_owned()),
        "ended" => {
            let usage =
                Usage { cpu_ms: number("cpu_ms").unwrap_or(0), peak_memory: number("peak_memory").unwrap_or(0) };
            State::Ended(outcome(value), usage)
        }
        _ => State::Absent,
    }
}

fn outcome(value: &Value) -> Outcome {
    let number = |name: &str| value.get(name).and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
    let has = |name: &str| value.get(name).is_some();
    if let Some(why) = value.get("broken").and_then(Value::as_str) {
        return Outcome::Broken { why: why.to_owned() };
    }
    if has("canceled") {
        return Outcome::Canceled;
    }
    if let Some(limit) = value.get("timed_out") {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a limit in seconds, at least 0")]
        let seconds = limit.as_f64().unwrap_or(0.0).max(0.0) as u64;
        return Outcome::TimedOut { seconds };
    }
    if has("ended") {
        return Outcome::Broken { why: "it was told to end by the machine it ran on (a shutdown?)".to_owned() };
    }
    // It failed where the disk takes no more: that is very likely why.
    if let Some(full) = value.get("full").and_then(Value::as_str) {
        let how = match (number("code"), number("signal")) {
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => format!("killed by signal {}", signal.unwrap_or(0)),
        };
        return Outcome::Broken { why: format!("{how}; {full}") };
    }
    match (number("code"), number("signal")) {
        (Some(0), _) => Outcome::Succeeded,
        (Some(code), _) => Outcome::Failed { code },
        (None, signal) => Outcome::Killed { signal: signal.unwrap_or(0) },
    }
}
