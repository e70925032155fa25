//! Runs to an MLflow server: experiment, parameters, metrics with their steps and times, tags, artifacts, runs within runs,
//! and what is registered of them as models.
//!
//! A run that is there carries its identity here as a tag, and another one when all of it was sent: what was cut short is
//! removed there and sent anew, what is whole is left alone.

use std::collections::BTreeMap;
use std::fs::File;

use serde_json::{Value, json};

use super::super::{Desk, files, record};
use super::{CHILD, Done, OF, RUN, SENT, client, register, tell};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::surroundings::Surroundings;
use crate::history::{History, Query, Run, Status};
use crate::logged::{Facts, Logged, Point};
use crate::store::Store as _;
use crate::tracking::client::{Client, served};
use crate::tracking::{ARTIFACTS, CHILDREN};

/// MLflow's limits: metrics, parameters and tags of a request; characters of a parameter and of a tag.
const LIMITS: (usize, usize, usize, usize, usize) = (1000, 100, 100, 6000, 5000);

/// Sends these runs, or all that are over.
pub(in crate::cli::commands::runs) fn export(
    desk: &Desk<'_>,
    address: &str,
    names: &[String],
    here: &Surroundings,
) -> Result<Exit, CliError> {
    let client = client(address, here).ok_or_else(|| {
        CliError::usage("`--mlflow` needs the address of an MLflow server")
            .hint("as in `--mlflow http://127.0.0.1:5000`")
    })?;
    let runs = if names.is_empty() {
        // Oldest first, as they came to be.
        let mut runs = desk.history.runs(&Query::default())?;
        runs.reverse();
        runs
    } else {
        names.iter().map(|name| desk.run(name)).collect::<Result<_, _>>()?
    };
    if runs.is_empty() {
        return Err(CliError::nothing("no run is on record"));
    }
    let mut sender = Sender { desk, client, experiments: BTreeMap::new() };
    let mut all = Vec::new();
    for run in runs {
        all.push(sender.run(&run)?);
    }
    // In the order of their numbers, which the server gives anew.
    for version in desk.history.models()? {
        let of = all.iter_mut().find(|done| done.run == version.run.0);
        let Some((done, id)) = of.and_then(|done| done.other.clone().map(|id| (done, id))) else { continue };
        done.models.push(register::register(&sender.client, &version, &id)?);
    }
    Ok(tell(desk, &all, "sent", &format!(" to {}", sender.client.server())))
}

struct Sender<'d, 'c> {
    desk: &'d Desk<'c>,
    client: Client,
    /// Identities by name.
    experiments: BTreeMap<String, String>,
}

/// A text of an answer.
pub(super) fn text(answer: &Value, path: &str) -> String {
    answer.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A name as MLflow takes it.
fn named(name: &str) -> String {
    let fits = |c: char| c.is_alphanumeric() || "_-. /:".contains(c);
    name.chars().map(|c| if fits(c) { c } else { '_' }).take(250).collect()
}

fn cut(value: &str, most: usize) -> (String, bool) {
    let short: String = value.chars().take(most).collect();
    let is_cut = short.len() < value.len();
    (short, is_cut)
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Completed => "FINISHED",
        Status::Canceled => "KILLED",
        _ => "FAILED",
    }
}

fn metric(name: &str, point: Point) -> Value {
    let value = match serde_json::Number::from_f64(point.value) {
        Some(number) => Value::Number(number),
        None if point.value.is_nan() => "NaN".into(),
        None if point.value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    };
    json!({ "key": named(name), "value": value, "timestamp": point.at, "step": point.step })
}

impl Sender<'_, '_> {
    fn experiment(&mut self, name: &str) -> Result<String, CliError> {
        if let Some(id) = self.experiments.get(name) {
            return Ok(id.clone());
        }
        let id = match self.client.get("experiments/get-by-name", &[("experiment_name", name)]) {
            Ok(found) if text(&found, "/experiment/lifecycle_stage") == "deleted" => {
                return Err(CliError::world(format!("the experiment `{name}` is deleted on {}", self.client.server()))
                    .hint("restore it there"));
            }
            Ok(found) => text(&found, "/experiment/experiment_id"),
            Err(error) if error.code == "RESOURCE_DOES_NOT_EXIST" => {
                text(&self.client.post("experiments/create", &json!({ "name": name }))?, "/experiment_id")
            }
            Err(error) => return Err(error.into()),
        };
        self.experiments.insert(name.to_owned(), id.clone());
        Ok(id)
    }

    fn run(&mut self, run: &Run) -> Result<Done, CliError> {
        let begun = &run.begun;
        let mut done = Done { run: begun.run.0.clone(), name: begun.job.0.clone(), ..Done::default() };
        let Some(ended) = &run.ended else {
            done.why_not = Some("it is not over".to_owned());
            return Ok(done);
        };
        let experiment = self.experiment(&begun.experiment)?;
        let filter = format!("tags.\"{RUN}\" = '{}'", begun.run.0);
        let asked = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 100 });
        let found = self.client.post("runs/search", &asked)?;
        for there in found.get("runs").and_then(Value::as_array).into_iter().flatten() {
            let id = text(there, "/info/run_id");
            let tags = there.pointer("/data/tags").and_then(Value::as_array);
            if tags.into_iter().flatten().any(|tag| text(tag, "/key") == SENT) {
                done.other = Some(id);
                done.why_not = Some("it is there already".to_owned());
                return Ok(done);
            }
            // It was cut short: with the runs within it.
            let within = format!("tags.\"{OF}\" = '{}'", begun.run.0);
            let asked = json!({ "experiment_ids": [experiment], "filter": within, "max_results": 1000 });
            let within = self.client.post("runs/search", &asked)?;
            let within = within.get("runs").and_then(Value::as_array).into_iter().flatten();
            for id in within.map(|run| text(run, "/info/run_id")).chain([id]) {
                self.client.post("runs/delete", &json!({ "run_id": id }))?;
            }
        }
        let logged = self.desk.history.logged(&begun.run)?.unwrap_or_default();
        let properties = &run.invocation.properties;
        let mut tags: BTreeMap<String, String> = begun.tags.clone();
        tags.extend(
            properties.iter().filter(|(name, _)| name.starts_with("mlflow.")).map(|(k, v)| (k.clone(), v.clone())),
        );
        for (name, value) in [("environment", &begun.environment), ("target", &begun.target), ("job", &begun.job.0)] {
            tags.insert(format!("amlrun.{name}"), value.clone());
        }
        tags.insert("amlrun.fingerprint".to_owned(), begun.fingerprint.digest().to_string());
        tags.insert("amlrun.snapshot".to_owned(), begun.fingerprint.sources.to_string());
        tags.insert(RUN.to_owned(), begun.run.0.clone());
        let params = begun.params.iter().map(|(name, value)| (name.clone(), record::plain(value))).collect();
        let at = ended.ended.0;
        let mut points: Vec<(String, Point)> = series(&logged, None);
        let is_known = |name: &String| points.iter().any(|(known, _)| known == name);
        let lone: Vec<_> = ended.metrics.iter().filter(|(name, _)| !is_known(name)).collect();
        let lone: Vec<_> =
            lone.into_iter().map(|(name, value)| (name.clone(), Point { at, step: 0, value: *value })).collect();
        points.extend(lone);
        let who = run.invocation.user.as_str();
        let begins = Begins { experiment: &experiment, name: &begun.job.0, who, started: begun.started.0 };
        let (id, root) = self.send(&begins, &tags, &params, &points, &mut done.notes)?;
        let mut roots = BTreeMap::new();
        for child in &logged.children {
            let Facts { params, tags, .. } = &child.facts;
            let mut tags: BTreeMap<String, String> =
                tags.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
            let parent = child.parent.as_ref().and_then(|parent| roots.get(parent));
            let parent = parent.map_or_else(|| id.clone(), |(id, _): &(String, Option<String>)| id.clone());
            tags.insert("mlflow.parentRunId".to_owned(), parent);
            tags.insert(CHILD.to_owned(), child.id.clone());
            tags.insert(OF.to_owned(), begun.run.0.clone());
            let name = if child.name.is_empty() { &child.id } else { &child.name };
            let begins = Begins { experiment: &experiment, name, who, started: child.started };
            let points = series(&logged, Some(&child.id));
            let sent = self.send(&begins, &tags, params, &points, &mut done.notes)?;
            let state = child.facts.status.as_deref().and_then(Status::of_name).unwrap_or(Status::Failed);
            let end = child.ended.unwrap_or(at);
            self.client.post("runs/update", &json!({ "run_id": sent.0, "status": status(state), "end_time": end }))?;
            roots.insert(child.id.clone(), sent);
        }
        self.artifacts(run, root.as_deref(), &roots, &mut done.notes)?;
        self.client.post("runs/update", &json!({ "run_id": id, "status": status(run.status), "end_time": at }))?;
        self.client.post("runs/set-tag", &json!({ "run_id": id, "key": SENT, "value": "true" }))?;
        done.other = Some(id);
        Ok(done)
    }

    /// Makes a run there and sends what was logged; its identity, and where its artifacts go.
    fn send(
        &self,
        begins: &Begins<'_>,
        tags: &BTreeMap<String, String>,
        params: &BTreeMap<String, String>,
        points: &[(String, Point)],
        notes: &mut Vec<String>,
    ) -> Result<(String, Option<String>), CliError> {
        let mut pairs = |map: &BTreeMap<String, String>, most: usize| -> Vec<Value> {
            let pair = |(name, value): (&String, &String)| {
                let (value, is_cut) = cut(value, most);
                if is_cut {
                    notes.push(format!(
                        "the value of {name} is cut to {most} characters, which is all that MLflow takes"
                    ));
                }
                json!({ "key": named(name), "value": value })
            };
            map.iter().map(pair).collect()
        };
        let (tags, params) = (pairs(tags, LIMITS.4), pairs(params, LIMITS.3));
        let user = begins.who;
        let made = self.client.post(
            "runs/create",
            &json!({ "experiment_id": begins.experiment, "user_id": user, "run_name": begins.name, "start_time": begins.started, "tags": tags }),
        )?;
        let id = text(&made, "/run/info/run_id");
        for params in params.chunks(LIMITS.1) {
            self.client.post("runs/log-batch", &json!({ "run_id": id, "params": params }))?;
        }
        let points: Vec<Value> = points.iter().map(|(name, point)| metric(name, *point)).collect();
        for metrics in points.chunks(LIMITS.0) {
            self.client.post("runs/log-batch", &json!({ "run_id": id, "metrics": metrics }))?;
        }
        let uri = text(&made, "/run/info/artifact_uri");
        let root = served(&uri);
        if root.is_none() {
            notes.push(format!("its files are not sent: the server leaves them to its clients, at {uri}"));
        }
        Ok((id, root))
    }

    /// Sends what the run left: what was logged as artifacts under its own name, the rest by its path in the project.
    fn artifacts(
        &self,
        run: &Run,
        root: Option<&str>,
        children: &BTreeMap<String, (String, Option<String>)>,
        notes: &mut Vec<String>,
    ) -> Result<(), CliError> {
        for (name, place) in files::files(self.desk, run)? {
            let parts: Vec<&str> = name.split('/').collect();
            let (root, path) = match parts.as_slice() {
                [ARTIFACTS, rest @ ..] if !rest.is_empty() => (root, rest.join("/")),
                [CHILDREN, id, rest @ ..] if !rest.is_empty() => match children.get(*id) {
                    Some((_, root)) => (root.as_deref(), rest.join("/")),
                    None => (root, name.clone()),
                },
                _ => (root, name.clone()),
            };
            let Some(root) = root else { continue };
            let Some(file) = self.open(run, &name, &place)? else {
                notes.push(format!("`{name}` is not sent: the store lacks it, or holds it damaged"));
                continue;
            };
            self.client.put_file(&format!("{root}/{path}"), &file)?;
        }
        Ok(())
    }

    /// A file of the run, checked against its digest.
    fn open(&self, run: &Run, name: &str, place: &files::Place) -> Result<Option<File>, CliError> {
        let failed = |error: std::io::Error| CliError::world(format!("could not read `{name}`: {error}"));
        match place {
            files::Place::Log(_) => File::open(self.desk.kept(run).join(name)).map(Some).map_err(failed),
            files::Place::Stored(content) => {
                let folder = tempfile::tempdir().map_err(failed)?;
                let at = folder.path().join("file");
                if !self.desk.store.write_to(&content.digest, &at, false, false)? {
                    return Ok(None);
                }
                File::open(&at).map(Some).map_err(failed)
            }
        }
    }
}

/// How a run begins there.
struct Begins<'b> {
    experiment: &'b str,
    name: &'b str,
    who: &'b str,
    started: u64,
}

/// All points of the run's (none) or a child's metrics.
fn series(logged: &Logged, of: Option<&str>) -> Vec<(String, Point)> {
    let own = logged.series.iter().filter(|series| series.of.as_deref() == of);
    own.flat_map(|series| series.points.iter().map(|point| (series.name.clone(), *point))).collect()
}
