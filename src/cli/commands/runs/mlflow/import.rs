//! Runs of MLflow onto the record, from a server or an `mlruns` folder. They are shown, compared and drawn as amlrun's own,
//! and no job is ever fresh by one: nobody knows what they ran on. A run that is on record already is left alone.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::Desk;
use super::{Done, OF, RUN, client, folder, server, tell};
use crate::cli::assemble::make_state;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::surroundings::Surroundings;
use crate::clock::Timestamp;
use crate::content::{self};
use crate::digest::Digest;
use crate::history::sqlite::SqliteHistory;
use crate::history::{Begun, Ended, Entry, History, HistoryError, Invocation, Status};
use crate::ids::{JobName, RunId};
use crate::launch::{Outcome, Usage};
use crate::logged::{Logged, Point, Series};
use crate::relpath::RelPath;
use crate::staleness::{Fingerprint, Recorded, fingerprint};
use crate::store::Store as _;
use crate::store::capture::capture;
use crate::tracking::ARTIFACTS;

/// A run of MLflow.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) experiment: String,
    pub(super) user: String,
    /// As MLflow names it, or its number.
    pub(super) status: String,
    pub(super) started: u64,
    pub(super) ended: Option<u64>,
    pub(super) params: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) metrics: BTreeMap<String, Vec<Point>>,
    /// Where its artifacts are, for whoever found it.
    pub(super) artifacts: String,
}

/// Where runs are taken from.
pub(super) trait Source {
    /// The runs there, oldest first, without their metrics' points and artifacts.
    fn runs(&mut self) -> Result<Vec<Found>, CliError>;
    /// Reads the points of a run's metrics.
    fn points(&mut self, run: &mut Found) -> Result<(), CliError>;
    /// Writes a run's artifacts into a folder, which is there; says what could not be had.
    fn artifacts(&mut self, run: &Found, to: &Path) -> Result<Vec<String>, CliError>;
}

/// Takes these runs (by identity, experiment or name), or all.
pub(in crate::cli::commands::runs) fn import(
    desk: &Desk<'_>,
    from: &str,
    names: &[String],
    here: &Surroundings,
) -> Result<Exit, CliError> {
    let mut source: Box<dyn Source> = match client(from, here) {
        Some(client) => Box::new(server::Server::new(client)),
        None => Box::new(folder::Folder::open(&here.cwd.join(from.strip_prefix("file://").unwrap_or(from)))?),
    };
    let mut found = source.runs()?;
    let is_named = |run: &Found, name: &String| {
        run.experiment == *name || run.name == *name || (name.len() >= 4 && run.id.starts_with(name.as_str()))
    };
    for name in names {
        if !found.iter().any(|run| is_named(run, name)) {
            return Err(CliError::nothing(format!(
                "no run and no experiment there is {}",
                crate::console::words::name(name)
            )));
        }
    }
    found.retain(|run| names.is_empty() || names.iter().any(|name| is_named(run, name)));
    if found.is_empty() {
        return Err(CliError::nothing("there are no runs"));
    }
    make_state(&desk.state)?;
    let mut history = SqliteHistory::open(&desk.state.join("history.db"), true);
    let mut all = Vec::new();
    for mut run in found {
        let why_not = why_not(&history, &run)?;
        let mut done =
            Done { run: run.id.clone(), name: job(&run), other: Some(run.id.clone()), why_not, ..Done::default() };
        if done.why_not.is_none() {
            done.notes = record(desk, &mut history, &mut *source, &mut run)?;
        }
        all.push(done);
    }
    Ok(tell(desk, &all, "imported", ""))
}

/// Why a run is left alone.
fn why_not(history: &dyn History, run: &Found) -> Result<Option<String>, CliError> {
    let is_id = run.id.len() == 32 && run.id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !is_id {
        return Ok(Some("its identity is not one of MLflow's".to_owned()));
    }
    let is_there = |id: &str| match history.run(id) {
        Ok(run) => Ok(run.begun.run.0 == id),
        Err(HistoryError::NoSuchRun(_) | HistoryError::Ambiguous { .. }) => Ok(false),
        Err(error) => Err(error),
    };
    if is_there(&run.id)? {
        return Ok(Some("it is on record already".to_owned()));
    }
    for (tag, what) in [(RUN, "it is"), (OF, "it belongs to")] {
        if let Some(own) = run.tags.get(tag)
            && is_there(own)?
        {
            return Ok(Some(format!("{what} run {} of this project", own.get(..8).unwrap_or(own))));
        }
    }
    if run.ended.is_none() && matches!(run.status.as_str(), "RUNNING" | "1" | "SCHEDULED" | "2") {
        return Ok(Some("it goes on".to_owned()));
    }
    Ok(None)
}

/// The name of its job: no job of a project has a slash in its name.
fn job(run: &Found) -> String {
    format!("{}/{}", run.experiment, run.name)
}

/// Puts a run on record, with its artifacts in the store.
fn record(
    desk: &Desk<'_>,
    history: &mut SqliteHistory,
    source: &mut dyn Source,
    run: &mut Found,
) -> Result<Vec<String>, CliError> {
    source.points(run)?;
    let folder = tempfile::tempdir().map_err(|error| CliError::world(format!("could not make a folder: {error}")))?;
    let artifacts = folder.path().join(ARTIFACTS);
    std::fs::create_dir(&artifacts)
        .map_err(|error| CliError::world(format!("could not make `{}`: {error}", artifacts.display())))?;
    let mut notes = source.artifacts(run, &artifacts)?;
    let _hold = desk.store.hold();
    let mut kept = Vec::new();
    let is_empty = std::fs::read_dir(&artifacts).map_or(true, |mut entries| entries.next().is_none());
    if let (false, Ok(path)) = (is_empty, RelPath::new(ARTIFACTS))
        && let Some(measured) = capture(&desk.store, &artifacts, &|| false)?
    {
        kept.push(Recorded::new(path, measured.content));
    }
    desk.store.flush()?;
    let entries = entries(run, kept, &notes);
    if let Err(error) = history.record(&entries) {
        return Err(error.into());
    }
    notes.sort();
    Ok(notes)
}

fn entries(run: &Found, kept: Vec<Recorded>, notes: &[String]) -> Vec<Entry> {
    let id = RunId(run.id.clone());
    let git = [("commit", "commit"), ("branch", "branch"), ("repoURL", "repository_uri")];
    let mut properties = BTreeMap::new();
    for (mlflow, aml) in git {
        let name = format!("mlflow.source.git.{mlflow}");
        // An address may hold credentials, and who made it is not known.
        if let Some(value) = run.tags.get(&name).filter(|value| !value.contains('@')) {
            properties.insert(format!("azureml.git.{aml}"), value.clone());
            properties.insert(name, value.clone());
        }
    }
    let started = Timestamp(run.started);
    let invocation = Invocation {
        id: run.id.clone(),
        started,
        argv: vec!["mlflow".to_owned()],
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: String::new(),
        user: run.user.clone(),
        properties,
    };
    let command = run.tags.get("mlflow.source.name").into_iter().cloned();
    let params = run.params.clone();
    let begun = Begun {
        run: id.clone(),
        invocation: run.id.clone(),
        job: JobName(job(run)),
        experiment: run.experiment.clone(),
        target: "mlflow".to_owned(),
        environment: "mlflow".to_owned(),
        started,
        attempt: 1,
        fingerprint: Fingerprint {
            format: fingerprint::FORMAT,
            command: std::iter::once("script".to_owned()).chain(command).collect(),
            params: params.clone(),
            variables: BTreeMap::new(),
            framework: "python".to_owned(),
            distributed: BTreeMap::new(),
            environment: None,
            sources: Digest::of(&content::encode(&[])),
            inputs: BTreeMap::from([("mlflow".to_owned(), Digest::of(run.id.as_bytes()))]),
        },
        params: BTreeMap::new(),
        tags: run.tags.clone(),
        reasons: Vec::new(),
        inputs: BTreeMap::new(),
        source_directory: RelPath::root(),
    };
    let mut logged = Logged::default();
    logged.own.params = params;
    logged.series = run
        .metrics
        .iter()
        .map(|(name, points)| Series { of: None, name: name.clone(), points: points.clone() })
        .collect();
    let (status, outcome) = match run.status.as_str() {
        "FINISHED" | "3" => (Status::Completed, Outcome::Succeeded),
        "KILLED" | "5" => (Status::Canceled, Outcome::Canceled),
        _ => (Status::Failed, Outcome::Broken { why: "MLflow says that it failed".to_owned() }),
    };
    let ended = Ended {
        run: id,
        status,
        outcome,
        ended: Timestamp(run.ended.unwrap_or(run.started)),
        usage: Usage::default(),
        outputs: Vec::new(),
        kept,
        metrics: logged.metrics(None),
        cached: false,
        inputs_moved: false,
        notes: notes.to_vec(),
        logged: Some(Box::new(logged)),
    };
    vec![Entry::Elsewhere(Box::new(invocation)), Entry::Begun(Box::new(begun)), Entry::Ended(Box::new(ended))]
}
