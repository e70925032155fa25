//! A run as MLflow's clients see it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answered, Asked, Wrong, experiment_id};
use crate::logged::{Logged, Point, Series};
use crate::tracking::server::{Live, Recorded};

/// The property that says that a run was deleted.
pub(super) const LIFECYCLE: &str = "mlflow.lifecycle_stage";
/// The tag that holds a run's name.
pub(super) const NAME: &str = "mlflow.runName";
/// The property that says whose a run within the run is.
pub(super) const USER: &str = "mlflow.user_id";

/// Everything that MLflow tells of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) experiment: String,
    pub(super) user: String,
    pub(super) status: &'static str,
    pub(super) started: u64,
    pub(super) ended: Option<u64>,
    pub(super) is_deleted: bool,
    pub(super) metrics: BTreeMap<String, Point>,
    pub(super) params: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    datasets: Vec<Value>,
    models_in: Vec<Value>,
    models_out: Vec<Value>,
}

/// MLflow's name of a status.
fn status(name: &str) -> &'static str {
    match name {
        "Completed" => "FINISHED",
        "Failed" | "NotResponding" => "FAILED",
        "Canceled" => "KILLED",
        _ => "RUNNING",
    }
}

/// The value that MLflow takes for the last: of the highest step, of several the latest, of several the largest.
fn last(series: &Series) -> Option<(String, Point)> {
    let key = |point: &Point| (point.step, point.at);
    let order = |a: &&Point, b: &&Point| key(a).cmp(&key(b)).then(a.value.total_cmp(&b.value));
    Some((series.name.clone(), *series.points.iter().max_by(order)?))
}

impl Shown {
    /// The run itself (none) or a child of one that goes on.
    pub(super) fn live(live: &Live, logged: &Logged, of: Option<&str>) -> Option<Self> {
        let facts = logged.facts(of)?;
        let about = &live.about;
        let child = of.and_then(|id| logged.children.iter().find(|child| child.id == id));
        let own = facts.experiment.as_ref().filter(|_| child.is_some());
        let mut tags: BTreeMap<String, String> =
            facts.tags.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
        let name = child.map_or(about.name.as_str(), |child| child.name.as_str());
        tags.entry(NAME.to_owned()).or_insert_with(|| name.to_owned());
        let kind = |kind: &str| -> Vec<Value> {
            facts.datasets.iter().filter_map(|dataset| dataset.get(kind).cloned()).collect()
        };
        Some(Self {
            id: of.unwrap_or(&about.run).to_owned(),
            name: tags.get(NAME).cloned().unwrap_or_default(),
            experiment: own.unwrap_or(&about.experiment).clone(),
            user: facts.properties.get(USER).unwrap_or(&about.user).clone(),
            status: status(facts.status.as_deref().unwrap_or_default()),
            started: child.map_or(about.started, |child| child.started),
            ended: child.map_or(logged.ended, |child| child.ended),
            is_deleted: facts.properties.get(LIFECYCLE).is_some_and(|stage| stage == "deleted"),
            metrics: logged.series.iter().filter(|series| series.of.as_deref() == of).filter_map(last).collect(),
            params: facts.params.clone(),
            tags,
            datasets: kind("dataset_input"),
            models_in: kind("model_input"),
            models_out: kind("model_output"),
        })
    }

    /// One that is on record.
    pub(super) fn recorded(run: &Recorded) -> Self {
        let mut tags = run.tags.clone();
        tags.entry(NAME.to_owned()).or_insert_with(|| run.name.clone());
        let at = run.ended.unwrap_or(run.started);
        let metric = |(name, value): (&String, &f64)| (name.clone(), Point { at, step: 0, value: *value });
        Self {
            id: run.id.clone(),
            name: tags.get(NAME).cloned().unwrap_or_default(),
            experiment: run.experiment.clone(),
            user: run.user.clone(),
            status: status(&run.status),
            started: run.started,
            ended: run.ended,
            metrics: run.metrics.iter().map(metric).collect(),
            params: run.params.clone(),
            tags,
            ..Self::default()
        }
    }

    pub(super) fn info(&self) -> Value {
        let experiment = experiment_id(&self.experiment);
        let mut info = json!({
            "run_uuid": self.id,
            "run_id": self.id,
            "run_name": self.name,
            "experiment_id": experiment,
            "user_id": self.user,
            "status": self.status,
            "start_time": self.started,
            "artifact_uri": format!("mlflow-artifacts:/{experiment}/{}/artifacts", self.id),
            "lifecycle_stage": if self.is_deleted { "deleted" } else { "active" },
        });
        if let Some(ended) = self.ended {
            info["end_time"] = ended.into();
        }
        info
    }

    pub(super) fn whole(&self) -> Value {
        let mut data = json!({});
        let pairs = |map: &BTreeMap<String, String>| -> Vec<Value> {
            map.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
        };
        let metrics = self.metrics.iter().map(|(name, point)| metric(name, point)).collect();
        for (name, list) in [("metrics", metrics), ("params", pairs(&self.params)), ("tags", pairs(&self.tags))] {
            if !list.is_empty() {
                data[name] = list.into();
            }
        }
        let mut whole = json!({ "info": self.info(), "data": data, "inputs": {}, "outputs": {} });
        for (at, name, list) in [
            ("inputs", "dataset_inputs", &self.datasets),
            ("inputs", "model_inputs", &self.models_in),
            ("outputs", "model_outputs", &self.models_out),
        ] {
            if !list.is_empty() {
                whole[at][name] = list.clone().into();
            }
        }
        whole
    }
}

/// A value of a metric.
fn metric(name: &str, point: &Point) -> Value {
    let value = match serde_json::Number::from_f64(point.value) {
        Some(number) => Value::Number(number),
        None if point.value.is_nan() => "NaN".into(),
        None if point.value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    };
    json!({ "key": name, "value": value, "timestamp": point.at, "step": point.step })
}

/// The run of an identity as far as it may be written: none for the run itself, else a child's identity.
pub(super) fn which(live: &Live, logged: &Logged, id: &str) -> Result<Option<String>, Wrong> {
    if id == live.about.run {
        return Ok(None);
    }
    let is_child = logged.children.iter().any(|child| child.id == id);
    is_child.then(|| Some(id.to_owned())).ok_or_else(|| Wrong::absent(format!("Run with id={id} not found")))
}

/// The `run_id` of a request, or its older name.
pub(super) fn asked_run(asked: &Asked<'_>) -> Result<String, Wrong> {
    let older = asked.text("run_uuid").filter(|id| !id.is_empty());
    asked.text("run_id").filter(|id| !id.is_empty()).or(older).map_or_else(|| asked.needed("run_id"), Ok)
}

/// `runs/get`.
pub(super) fn get(asked: &Asked<'_>) -> Answered {
    let id = asked_run(asked)?;
    let live = asked.live;
    {
        let mut state = live.state();
        let logged = live.logged(&mut state)?;
        if let Ok(which) = which(live, logged, &id)
            && let Some(shown) = Shown::live(live, logged, which.as_deref())
        {
            return Ok(json!({ "run": shown.whole() }));
        }
    }
    let found = asked.shared.earlier(live).runs().into_iter().find(|run| run.id == id);
    let found = found.ok_or_else(|| Wrong::absent(format!("Run with id={id} not found")))?;
    Ok(json!({ "run": Shown::recorded(&found).whole() }))
}

/// `metrics/get-history`.
pub(super) fn history(asked: &Asked<'_>) -> Answered {
    let (id, name) = (asked_run(asked)?, asked.needed("metric_key")?);
    let live = asked.live;
    let answer = |logged: &Logged, of: Option<&str>| {
        let series = logged.series.iter().find(|series| series.of.as_deref() == of && series.name == name);
        let points = series.map(|series| series.points.as_slice()).unwrap_or_default();
        let most = asked.number("max_results").and_then(|most| usize::try_from(most).ok());
        let from = asked.text("page_token").and_then(|token| token.parse::<usize>().ok()).unwrap_or_default();
        let rest = points.get(from..).unwrap_or_default();
        let page = rest.get(..most.unwrap_or(usize::MAX).min(rest.len())).unwrap_or_default();
        let mut answer = json!({});
        if !page.is_empty() {
            answer["metrics"] = page.iter().map(|point| metric(&name, point)).collect();
        }
        if page.len() < rest.len() {
            answer["next_page_token"] = (from + page.len()).to_string().into();
        }
        answer
    };
    {
        let mut state = live.state();
        let logged = live.logged(&mut state)?;
        if let Ok(which) = which(live, logged, &id) {
            return Ok(answer(logged, which.as_deref()));
        }
    }
    let logged = asked.shared.earlier(live).logged(&id);
    let logged = logged.ok_or_else(|| Wrong::absent(format!("Run with id={id} not found")))?;
    Ok(answer(&logged, None))
}
