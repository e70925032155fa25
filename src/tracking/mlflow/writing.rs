//! What a script logs: checked as MLflow checks it, then appended to the log of its run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::runs::{LIFECYCLE, NAME, Shown, USER, asked_run, which};
use super::{Answered, Asked, Wrong, experiments, number, pairs, text};
use crate::logged::Logged;

/// MLflow's limits of a batch: metrics, parameters, tags.
const BATCH: (usize, usize, usize) = (1000, 100, 100);

/// A line about the run itself or a child.
pub(super) fn line(of: Option<&str>, mut fields: Value) -> Value {
    if let Some(id) = of {
        fields["run"] = id.into();
    }
    fields
}

/// Appends what `lines` makes of what was logged so far.
fn write(
    asked: &Asked<'_>,
    lines: impl FnOnce(&Logged, Option<&str>) -> Result<Vec<Value>, Wrong>,
) -> Result<(), Wrong> {
    let id = asked_run(asked)?;
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let which = which(asked.live, logged, &id)?;
    let of = which.as_deref();
    if logged.facts(of).and_then(|facts| facts.properties.get(LIFECYCLE)).is_some_and(|stage| stage == "deleted") {
        return Err(Wrong::invalid(format!("The run {id} must be in the 'active' state. Current state is deleted.")));
    }
    let lines: Vec<Value> = lines(logged, of)?.into_iter().map(|fields| line(of, fields)).collect();
    Ok(asked.live.append(&mut state, &lines)?)
}

/// A name as MLflow takes it.
fn checked(name: &str) -> Result<(), Wrong> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | ':' | '/');
    if name.is_empty() || !name.chars().all(fits) {
        return Err(Wrong::invalid(format!(
            "Invalid value \"{name}\" for parameter 'key' supplied: Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
        )));
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Wrong::invalid(format!(
            "Invalid value \"{name}\" for parameter 'key' supplied: Names may be treated as files in certain cases, and must not resolve to other names when treated as such."
        )));
    }
    if name.chars().count() > 250 {
        return Err(Wrong::invalid(format!("'{name}' exceeds the maximum length of 250 characters")));
    }
    Ok(())
}

fn metric_line(item: &Value, run: &str) -> Result<Value, Wrong> {
    let name = item.get("key").and_then(text).unwrap_or_default();
    checked(&name)?;
    let value = item.get("value").unwrap_or(&Value::Null);
    let is_number = |text: &str| matches!(text, "NaN" | "Infinity" | "-Infinity") || text.parse::<f64>().is_ok();
    let at = item.get("timestamp").and_then(number).unwrap_or_default();
    if !value.is_number() && !value.as_str().is_some_and(is_number) {
        return Err(Wrong::invalid(format!(
            "Got invalid value {value} for metric '{name}' (timestamp={at}). Please specify value as a valid double (64-bit floating point)"
        )));
    }
    let step = item.get("step").and_then(number).unwrap_or_default();
    let mut line = json!({ "at": at, "metric": name, "value": value, "step": step });
    // A metric of a logged model stands with that, too.
    if let Some(model) = item.get("model_id").and_then(text).filter(|id| !id.is_empty()) {
        let mut of =
            json!({ "key": name, "value": value, "timestamp": at, "step": step, "model_id": model, "run_id": run });
        for field in ["dataset_name", "dataset_digest"] {
            if let Some(value) = item.get(field).and_then(text).filter(|value| !value.is_empty()) {
                of[field] = value.into();
            }
        }
        line["of_model"] = of;
    }
    Ok(line)
}

fn param_line(logged: &Logged, of: Option<&str>, id: &str, name: &str, value: &str) -> Result<Option<Value>, Wrong> {
    checked(name)?;
    if value.chars().count() > 6000 {
        return Err(Wrong::invalid(format!("'{name}' exceeds the maximum length of 6000 characters")));
    }
    match logged.facts(of).and_then(|facts| facts.params.get(name)) {
        Some(old) if old == value => Ok(None),
        Some(old) => Err(Wrong::invalid(format!(
            "Changing param values is not allowed. Param with key='{name}' was already logged with value='{old}' for run ID='{id}'. Attempted logging new value '{value}'."
        ))),
        None => Ok(Some(json!({ "param": name, "value": value }))),
    }
}

fn tag_line(name: &str, value: &str) -> Result<Value, Wrong> {
    checked(name)?;
    Ok(json!({ "tag": name, "value": value }))
}

/// `runs/log-metric`.
pub(super) fn metric(asked: &Asked<'_>) -> Answered {
    asked.needed("key")?;
    let id = asked_run(asked)?;
    write(asked, |_, _| Ok(vec![metric_line(&Value::Object(asked.fields.clone()), &id)?]))?;
    Ok(json!({}))
}

/// `runs/log-parameter`.
pub(super) fn param(asked: &Asked<'_>) -> Answered {
    let (id, name) = (asked_run(asked)?, asked.needed("key")?);
    let value = asked.text("value").unwrap_or_default();
    write(asked, |logged, of| Ok(param_line(logged, of, &id, &name, &value)?.into_iter().collect()))?;
    Ok(json!({}))
}

/// `runs/set-tag`.
pub(super) fn tag(asked: &Asked<'_>) -> Answered {
    let name = asked.needed("key")?;
    write(asked, |_, _| Ok(vec![tag_line(&name, &asked.text("value").unwrap_or_default())?]))?;
    Ok(json!({}))
}

/// `runs/delete-tag`.
pub(super) fn delete_tag(asked: &Asked<'_>) -> Answered {
    let (id, name) = (asked_run(asked)?, asked.needed("key")?);
    write(asked, |logged, of| {
        let is_known = logged.facts(of).and_then(|facts| facts.tags.get(&name)).is_some_and(Option::is_some);
        if !is_known {
            return Err(Wrong::absent(format!("No tag with name: {name} in run with id {id}")));
        }
        Ok(vec![json!({ "tag": name, "value": null })])
    })?;
    Ok(json!({}))
}

/// `runs/log-batch`: all of it or nothing.
pub(super) fn batch(asked: &Asked<'_>) -> Answered {
    let id = asked_run(asked)?;
    let (metrics, params, tags) = (asked.list("metrics"), pairs(&asked.list("params")), pairs(&asked.list("tags")));
    for (name, count, most) in
        [("metrics", metrics.len(), BATCH.0), ("params", params.len(), BATCH.1), ("tags", tags.len(), BATCH.2)]
    {
        if count > most {
            return Err(Wrong::invalid(format!(
                "A batch logging request can contain at most {most} {name}. Got {count} {name}. Please split up {name} across multiple requests and try again."
            )));
        }
    }
    write(asked, |logged, of| {
        let mut lines = Vec::with_capacity(metrics.len() + params.len() + tags.len());
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in &params {
            if let Some(other) = seen.insert(name, value).filter(|other| other != value) {
                return Err(Wrong::invalid(format!(
                    "Duplicate parameter keys have been submitted with different values: '{name}': '{other}', '{value}'"
                )));
            }
            lines.extend(param_line(logged, of, &id, name, value)?);
        }
        for item in &metrics {
            lines.push(metric_line(item, &id)?);
        }
        for (name, value) in &tags {
            lines.push(tag_line(name, value)?);
        }
        Ok(lines)
    })?;
    Ok(json!({}))
}

/// `runs/log-inputs`.
pub(super) fn inputs(asked: &Asked<'_>) -> Answered {
    write(asked, |_, _| {
        let datasets = asked.list("datasets").into_iter().map(|input| json!({ "dataset": { "dataset_input": input } }));
        let models = asked.list("models").into_iter().map(|input| json!({ "dataset": { "model_input": input } }));
        Ok(datasets.chain(models).collect())
    })?;
    Ok(json!({}))
}

/// `runs/outputs`.
pub(super) fn outputs(asked: &Asked<'_>) -> Answered {
    let output = |output| json!({ "dataset": { "model_output": output } });
    write(asked, |_, _| Ok(asked.list("models").into_iter().map(output).collect()))?;
    Ok(json!({}))
}

/// `runs/log-model`: kept in the tag that MLflow keeps it in.
pub(super) fn model(asked: &Asked<'_>) -> Answered {
    const HISTORY: &str = "mlflow.log-model.history";
    let model: Option<Value> = asked.text("model_json").and_then(|text| serde_json::from_str(&text).ok());
    let model = model.ok_or_else(|| Wrong::invalid("Malformed model info. \n the model is no JSON"))?;
    write(asked, |logged, of| {
        let old = logged.facts(of).and_then(|facts| facts.tags.get(HISTORY)).cloned().flatten();
        let mut models: Vec<Value> = old.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        models.push(model);
        Ok(vec![json!({ "tag": HISTORY, "value": Value::from(models).to_string() })])
    })?;
    Ok(json!({}))
}

/// `runs/create`: a run within the run.
pub(super) fn create(asked: &Asked<'_>) -> Answered {
    let live = asked.live;
    let mut state = live.state();
    let tags = pairs(&asked.list("tags"));
    let tagged = tags.iter().find(|(name, _)| name == NAME).map(|(_, value)| value.clone());
    let id = uuid::Uuid::new_v4().simple().to_string();
    let name = asked.text("run_name").filter(|name| !name.is_empty()).or(tagged);
    let name = name.unwrap_or_else(|| format!("run-{}", id.get(..8).unwrap_or_default()));
    let experiment = match asked.text("experiment_id") {
        None => None,
        Some(wanted) => {
            let known = experiments::name_of(asked, &state, &wanted);
            Some(known.ok_or_else(|| Wrong::absent(format!("No Experiment with id={wanted} exists")))?)
        }
    };
    let mut lines = vec![json!({ "at": asked.number("start_time").unwrap_or_default(), "child": id, "name": name })];
    let of = Some(id.as_str());
    if let Some(user) = asked.text("user_id").filter(|user| !user.is_empty()) {
        lines.push(line(of, json!({ "property": USER, "value": user })));
    }
    if let Some(other) = experiment.filter(|name| *name != live.about.experiment) {
        lines.push(line(of, json!({ "experiment": other })));
    }
    for (name, value) in &tags {
        lines.push(line(of, tag_line(name, value)?));
    }
    live.append(&mut state, &lines)?;
    let shown = Shown::live(live, live.logged(&mut state)?, of).ok_or_else(|| Wrong::absent("the run is gone"))?;
    Ok(json!({ "run": shown.whole() }))
}

/// `runs/update`.
pub(super) fn update(asked: &Asked<'_>) -> Answered {
    let id = asked_run(asked)?;
    write(asked, |_, _| {
        let mut lines = Vec::new();
        if let Some(status) = asked.text("status") {
            let status = match status.as_str() {
                "FINISHED" | "3" => "Completed",
                "FAILED" | "4" => "Failed",
                "KILLED" | "5" => "Canceled",
                _ => "Running",
            };
            lines.push(json!({ "at": asked.number("end_time").unwrap_or_default(), "status": status }));
        }
        if let Some(name) = asked.text("run_name").filter(|name| !name.is_empty()) {
            lines.push(tag_line(NAME, &name)?);
        }
        Ok(lines)
    })?;
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let which = which(asked.live, logged, &id)?;
    let shown = Shown::live(asked.live, logged, which.as_deref()).ok_or_else(|| Wrong::absent("the run is gone"))?;
    Ok(json!({ "run_info": shown.info() }))
}

/// `runs/delete` and `runs/restore`: a mark, nothing goes.
pub(super) fn set_deleted(asked: &Asked<'_>, is_deleted: bool) -> Answered {
    let id = asked_run(asked)?;
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let Some(id) = which(asked.live, logged, &id)? else {
        return Err(Wrong::forbidden("a script cannot delete the run that it is; `amlrun runs rm` does"));
    };
    let now = if is_deleted { "deleted" } else { "active" };
    asked.live.append(&mut state, &[line(Some(&id), json!({ "property": LIFECYCLE, "value": now }))])?;
    Ok(json!({}))
}
