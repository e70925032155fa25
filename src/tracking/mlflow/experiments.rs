//! Experiments: those of the project, and names that a script gives to its own.
//!
//! A script that sets an experiment which nobody knows goes on in its own one, under that name: with the run and the
//! experiment given to it, MLflow's client would otherwise refuse to begin its run.

use serde_json::{Value, json};

use super::{Answered, Asked, Wrong, experiment_id};
use crate::tracking::server::State;

/// MLflow's own first experiment.
const DEFAULT: (&str, &str) = ("0", "Default");

/// The name of the experiment of an identity.
pub(super) fn name_of(asked: &Asked<'_>, state: &State, id: &str) -> Option<String> {
    let own = std::iter::once(&asked.live.about.experiment);
    let mut known = own.chain(&asked.shared.experiments).chain(&state.experiments);
    let found = known.find(|name| experiment_id(name) == id).cloned();
    found.or_else(|| (id == DEFAULT.0).then(|| DEFAULT.1.to_owned()))
}

fn shown(asked: &Asked<'_>, id: &str, name: &str) -> Value {
    let at = asked.live.about.started;
    json!({
        "experiment_id": id,
        "name": name,
        "artifact_location": format!("mlflow-artifacts:/{id}"),
        "lifecycle_stage": "active",
        "last_update_time": at,
        "creation_time": at,
    })
}

/// Identities and names of all experiments that the run sees, its own first.
fn all(asked: &Asked<'_>) -> Result<Vec<(String, String)>, Wrong> {
    let live = asked.live;
    let mut state = live.state();
    let alias = live.logged(&mut state)?.own.experiment.clone();
    let own = &live.about.experiment;
    let mut all = vec![(experiment_id(own), alias.unwrap_or_else(|| own.clone()))];
    let others = asked.shared.experiments.iter().chain(&state.experiments).filter(|name| *name != own);
    all.extend(others.map(|name| (experiment_id(name), name.clone())));
    all.push((DEFAULT.0.to_owned(), DEFAULT.1.to_owned()));
    Ok(all)
}

/// `experiments/get`.
pub(super) fn get(asked: &Asked<'_>) -> Answered {
    let id = asked.needed("experiment_id")?;
    let found = all(asked)?.into_iter().find(|(known, _)| *known == id);
    let (id, name) = found.ok_or_else(|| Wrong::absent(format!("No Experiment with id={id} exists")))?;
    Ok(json!({ "experiment": shown(asked, &id, &name) }))
}

/// `experiments/get-by-name`.
pub(super) fn by_name(asked: &Asked<'_>) -> Answered {
    let name = asked.needed("experiment_name")?;
    let own = asked.live.about.experiment == name;
    let found = all(asked)?.into_iter().enumerate().find(|(at, (_, known))| *known == name || (own && *at == 0));
    let (_, (id, name)) =
        found.ok_or_else(|| Wrong::absent(format!("Could not find experiment with name '{name}'")))?;
    Ok(json!({ "experiment": shown(asked, &id, &name) }))
}

/// `experiments/create`.
pub(super) fn create(asked: &Asked<'_>) -> Answered {
    let name = asked.needed("name")?;
    if all(asked)?.iter().any(|(_, known)| *known == name) || asked.live.about.experiment == name {
        return Err(Wrong::there(format!("Experiment(name={name}) already exists.")));
    }
    let live = asked.live;
    let mut state = live.state();
    let has_name = live.logged(&mut state)?.own.experiment.is_some();
    let id = if has_name {
        state.experiments.insert(name.clone());
        experiment_id(&name)
    } else {
        live.append(&mut state, &[json!({ "experiment": name })])?;
        experiment_id(&live.about.experiment)
    };
    Ok(json!({ "experiment_id": id }))
}

/// `experiments/search`: by name only.
pub(super) fn search(asked: &Asked<'_>) -> Answered {
    let filter = asked.text("filter").unwrap_or_default();
    let wanted = filter.trim().strip_prefix("name").map(str::trim_start).and_then(|rest| rest.strip_prefix('='));
    let wanted = wanted.map(|text| text.trim().trim_matches(['\'', '"', '`']).to_owned());
    if wanted.is_none() && !filter.trim().is_empty() {
        return Err(Wrong::invalid("amlrun answers `name = '…'` for experiments only"));
    }
    let found = all(asked)?.into_iter().filter(|(_, name)| wanted.as_ref().is_none_or(|wanted| wanted == name));
    let list: Vec<Value> = found.map(|(id, name)| shown(asked, &id, &name)).collect();
    Ok(if list.is_empty() { json!({}) } else { json!({ "experiments": list }) })
}
