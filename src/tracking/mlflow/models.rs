//! Logged models, as the clients of MLflow 3 have them: what is told of a model is kept as MLflow writes it.

use serde_json::{Value, json};

use super::{Answered, Asked, Wrong, pairs, text};
use crate::clock::{Clock as _, SystemClock};

/// One that is known.
fn known(asked: &Asked<'_>, id: &str) -> Result<Value, Wrong> {
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let found = logged.own.logged_models.get(id).cloned();
    found.ok_or_else(|| Wrong::absent(format!("Logged model with ID '{id}' not found")))
}

fn keep(asked: &Asked<'_>, id: &str, model: &Value) -> Result<(), Wrong> {
    let mut state = asked.live.state();
    Ok(asked.live.append(&mut state, &[json!({ "logged_model": id, "value": model })])?)
}

/// Sets pairs in the list at `info.tags` or `data.params`.
fn set(model: &mut Value, at: (&str, &str), new: &[Value]) {
    let Some(part) = model.get_mut(at.0) else { return };
    let mut list = part.get(at.1).and_then(Value::as_array).cloned().unwrap_or_default();
    for (key, value) in pairs(new) {
        list.retain(|item| item.get("key").and_then(text).as_ref() != Some(&key));
        list.push(json!({ "key": key, "value": value }));
    }
    if !list.is_empty() {
        part[at.1] = list.into();
    }
}

/// `POST logged-models`.
pub(super) fn create(asked: &Asked<'_>) -> Answered {
    let experiment = asked.needed("experiment_id")?;
    let id = format!("m-{}", uuid::Uuid::new_v4().simple());
    let now = SystemClock::new().now().0;
    let name = asked.text("name").filter(|name| !name.is_empty()).unwrap_or_else(|| "model".to_owned());
    let mut model = json!({
        "info": {
            "model_id": id,
            "experiment_id": experiment,
            "name": name,
            "creation_timestamp_ms": now,
            "last_updated_timestamp_ms": now,
            "artifact_uri": format!("mlflow-artifacts:/{experiment}/models/{id}/artifacts"),
            "status": "LOGGED_MODEL_PENDING",
        },
        "data": {},
    });
    for field in ["model_type", "source_run_id"] {
        if let Some(value) = asked.text(field).filter(|value| !value.is_empty()) {
            model["info"][field] = value.into();
        }
    }
    set(&mut model, ("info", "tags"), &asked.list("tags"));
    set(&mut model, ("data", "params"), &asked.list("params"));
    keep(asked, &id, &model)?;
    Ok(json!({ "model": model }))
}

/// `GET logged-models/ID`: also one of an earlier run.
pub(super) fn get(asked: &Asked<'_>, id: &str) -> Answered {
    let model = match known(asked, id) {
        Err(wrong) => asked.shared.earlier(asked.live).logged_model(id).map(|(_, model)| model).ok_or(wrong)?,
        own => own?,
    };
    Ok(json!({ "model": model }))
}

/// `PATCH logged-models/ID`.
pub(super) fn finalize(asked: &Asked<'_>, id: &str) -> Answered {
    let mut model = known(asked, id)?;
    let status = match asked.text("status").unwrap_or_default().as_str() {
        "2" | "LOGGED_MODEL_READY" => "LOGGED_MODEL_READY",
        "3" | "LOGGED_MODEL_UPLOAD_FAILED" => "LOGGED_MODEL_UPLOAD_FAILED",
        other => return Err(Wrong::invalid(format!("Invalid model status: {other}"))),
    };
    model["info"]["status"] = status.into();
    keep(asked, id, &model)?;
    Ok(json!({ "model": model }))
}

/// `PATCH logged-models/ID/tags`.
pub(super) fn tags(asked: &Asked<'_>, id: &str) -> Answered {
    let mut model = known(asked, id)?;
    set(&mut model, ("info", "tags"), &asked.list("tags"));
    keep(asked, id, &model)?;
    Ok(json!({ "model": model }))
}

/// `POST logged-models/ID/params`.
pub(super) fn params(asked: &Asked<'_>, id: &str) -> Answered {
    let mut model = known(asked, id)?;
    set(&mut model, ("data", "params"), &asked.list("params"));
    keep(asked, id, &model)?;
    Ok(json!({}))
}

/// `POST logged-models/search`: those of this run, by name or source run.
pub(super) fn search(asked: &Asked<'_>) -> Answered {
    let filter = asked.text("filter").unwrap_or_default();
    let clauses: Vec<(String, String)> = filter
        .split(" AND ")
        .flat_map(|part| part.split(" and "))
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches(['\'', '"']).to_owned()))
        .collect();
    let mut state = asked.live.state();
    let models = asked.live.logged(&mut state)?.own.logged_models.values();
    let fits = |model: &&Value| {
        let info = |name: &str| model.get("info").and_then(|info| info.get(name)).and_then(text);
        clauses.iter().all(|(name, value)| info(name.trim_start_matches("attributes.")).as_ref() == Some(value))
    };
    let found: Vec<Value> = models.filter(fits).cloned().collect();
    Ok(if found.is_empty() { json!({}) } else { json!({ "models": found }) })
}
