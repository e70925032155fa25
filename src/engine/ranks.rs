//! `distributed`: a job's processes are started by a small Python program, the same on every target; this makes its words.
//!
//! Called by `argv` and, when a run is over, by `attempt` and `elsewhere`. It starts nothing.

use serde_json::json;

use super::argv::Parts;
use crate::history::Ended;
use crate::launch::{Outcome, Program};
use crate::plan::job::Job;
use crate::project::model::Distributed;

/// The program.
const TEXT: &str = include_str!("ranks.py");
/// What `-c` is given: the program comes as an argument, so that it can start itself again with another role.
const BEGIN: &str = "import sys; exec(sys.argv[1])";
/// How the word on the rank that failed begins.
const WORD: &str = "amlrun: rank ";
/// Variables that are not declared as secrets and are such.
const TOKENS: [&str; 2] = ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"];

/// How many processes there are.
fn processes(distributed: &Distributed) -> u32 {
    let number = |name: &str| distributed.options.get(name).and_then(|text| text.parse::<u32>().ok());
    match distributed.kind.as_str() {
        "tensorflow" => {
            number("workers").unwrap_or(distributed.processes).saturating_add(number("parameter_servers").unwrap_or(0))
        }
        _ => distributed.processes,
    }
}

/// How many nodes and processes a job has; none where it is one process.
pub(super) fn spread(job: &Job) -> Option<(u32, u32)> {
    job.distributed.as_ref().map(|distributed| (distributed.nodes.max(1), processes(distributed).max(1)))
}

/// What Python is given to start the ranks: each of them the same Python with these arguments, or these words.
fn arguments(job: &Job, distributed: &Distributed, python: bool, argv: &[String]) -> Vec<String> {
    let mut secrets: Vec<&str> = job.secrets.iter().map(String::as_str).collect();
    secrets.extend(TOKENS);
    let spec = json!({
        "type": distributed.kind,
        "nodes": distributed.nodes.max(1),
        "processes": processes(distributed).max(1),
        "options": distributed.options,
        "secrets": secrets,
        "python": python,
        "argv": argv,
    });
    // Isolated: a module of the project's must not stand in for one that it needs itself.
    ["-I", "-c", BEGIN, TEXT].into_iter().map(str::to_owned).chain([spec.to_string()]).collect()
}

/// What is executed on this machine or in a container here, where `parts` is what each rank is.
pub(super) fn around(job: &Job, parts: Parts, python: impl FnOnce() -> Vec<String>) -> Vec<String> {
    let Some(distributed) = &job.distributed else { return parts.whole() };
    let (mut argv, rest, is_python) = match parts {
        Parts::Python(python, rest) => (python, rest, true),
        Parts::Words(words) => (python(), words, false),
    };
    argv.extend(arguments(job, distributed, is_python, &rest));
    argv
}

/// What is executed on another machine.
pub(super) fn around_there(job: &Job, program: Program) -> Program {
    let Some(distributed) = &job.distributed else { return program };
    match program {
        Program::Python(rest) => Program::Python(arguments(job, distributed, true, &rest)),
        Program::Words(words) => {
            let first = std::iter::once("python3".to_owned());
            Program::Words(first.chain(arguments(job, distributed, false, &words)).collect())
        }
    }
}

/// The record of a run names the rank that failed.
pub(super) fn note<'l>(job: &Job, ended: &mut Ended, tail: impl IntoIterator<Item = &'l String>) {
    if job.distributed.is_none() || !matches!(ended.outcome, Outcome::Failed { .. } | Outcome::Killed { .. }) {
        return;
    }
    let said = tail.into_iter().filter(|line| line.starts_with(WORD)).last();
    ended.notes.extend(said.and_then(|line| line.strip_prefix("amlrun: ")).map(str::to_owned));
}
