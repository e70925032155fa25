//! The model registry, as far as a script that registers what it trained needs it: what is registered goes on record with
//! the run; versions count within the run.

use serde_json::{Value, json};

use super::{Answered, Asked, Wrong, pairs};
use crate::logged::Logged;

/// The property that says that a name was registered.
const REGISTERED: &str = "mlflow.registered_model.";

fn is_known(logged: &Logged, name: &str) -> bool {
    logged.own.properties.contains_key(&format!("{REGISTERED}{name}"))
        || logged.own.models.iter().any(|model| model.name == name)
}

fn model(asked: &Asked<'_>, name: &str) -> Value {
    let at = asked.live.about.started;
    json!({ "name": name, "creation_timestamp": at, "last_updated_timestamp": at })
}

/// `registered-models/create`.
pub(super) fn create(asked: &Asked<'_>) -> Answered {
    let name = asked.needed("name")?;
    let mut state = asked.live.state();
    if is_known(asked.live.logged(&mut state)?, &name) {
        return Err(Wrong::there(format!("Registered Model (name={name}) already exists.")));
    }
    let at = asked.live.about.started.to_string();
    asked.live.append(&mut state, &[json!({ "property": format!("{REGISTERED}{name}"), "value": at })])?;
    Ok(json!({ "registered_model": model(asked, &name) }))
}

/// `registered-models/get`.
pub(super) fn get(asked: &Asked<'_>) -> Answered {
    let name = asked.needed("name")?;
    let mut state = asked.live.state();
    if !is_known(asked.live.logged(&mut state)?, &name) {
        return Err(Wrong::absent(format!("Registered Model with name={name} not found")));
    }
    Ok(json!({ "registered_model": model(asked, &name) }))
}

fn version_of(asked: &Asked<'_>, name: &str, number: usize, source: &str, run: &str) -> Value {
    let at = asked.live.about.started;
    let mut version = json!({
        "name": name,
        "version": number.to_string(),
        "creation_timestamp": at,
        "last_updated_timestamp": at,
        "current_stage": "None",
        "description": "",
        "source": source,
        "status": "READY",
    });
    if !run.is_empty() {
        version["run_id"] = run.into();
    }
    version
}

/// Where a source lies among what is kept with the run.
fn path_of(source: &str) -> String {
    let parts: Vec<&str> = source.split('/').collect();
    if let Some(at) = parts.iter().position(|part| *part == "models").filter(|at| parts.len() > at + 1) {
        return format!("{}/{}", crate::tracking::MODELS, parts.get(at + 1..).unwrap_or_default().join("/"));
    }
    match parts.iter().position(|part| *part == "artifacts") {
        Some(at) => parts.get(at..).unwrap_or_default().join("/"),
        None => source
            .strip_prefix("models:/")
            .map_or_else(|| source.to_owned(), |id| format!("{}/{id}", crate::tracking::MODELS)),
    }
}

/// `model-versions/create`.
pub(super) fn version(asked: &Asked<'_>) -> Answered {
    let (name, source) = (asked.needed("name")?, asked.needed("source")?);
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    if !is_known(logged, &name) {
        return Err(Wrong::absent(format!("Registered Model with name={name} not found")));
    }
    let number = logged.own.models.iter().filter(|model| model.name == name).count() + 1;
    let tags: serde_json::Map<String, Value> =
        pairs(&asked.list("tags")).into_iter().map(|(name, value)| (name, value.into())).collect();
    asked.live.append(&mut state, &[json!({ "model": name, "path": path_of(&source), "tags": tags })])?;
    let run = asked.text("run_id").unwrap_or_default();
    Ok(json!({ "model_version": version_of(asked, &name, number, &source, &run) }))
}

/// `model-versions/get`.
pub(super) fn get_version(asked: &Asked<'_>) -> Answered {
    let (name, number) = (asked.needed("name")?, asked.needed("version")?);
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let mut of_name = logged.own.models.iter().filter(|model| model.name == name);
    let found = at.and_then(|at| of_name.nth(at));
    let found =
        found.ok_or_else(|| Wrong::absent(format!("Model Version (name={name}, version={number}) not found")))?;
    let number = at.unwrap_or_default() + 1;
    Ok(json!({ "model_version": version_of(asked, &name, number, &found.path, &asked.live.about.run) }))
}
