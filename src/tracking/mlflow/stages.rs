//! What may become of a version of a model in MLflow's registry: its stage, its description, its tags.
//!
//! The register knows tags alone, so a stage and a description are tags of a version, under names of their own.

use serde_json::{Value, json};

use super::registry::{asked_version, no_model, shown, since, tell, versions};
use super::{Answered, Asked, Wrong};
use crate::tracking::server::Registered;

/// The tag that a stage is.
pub(super) const STAGE: &str = "mlflow.stage";
/// The tag that a description is.
pub(super) const DESCRIPTION: &str = "mlflow.description";

/// The stages, the first for a version that was given none.
const STAGES: [&str; 4] = ["None", "Staging", "Production", "Archived"];

/// The stage of a version.
pub(super) fn stage(of: &Registered) -> &str {
    of.tags.get(STAGE).map_or(STAGES[0], String::as_str)
}

/// A stage in whatever case, as MLflow writes it.
fn named(stage: &str) -> Result<&'static str, Wrong> {
    STAGES.into_iter().find(|known| known.eq_ignore_ascii_case(stage)).ok_or_else(|| {
        Wrong::invalid(format!("Invalid Model Version stage: {stage}. Value must be one of {}.", STAGES.join(", ")))
    })
}

/// The newest version of each stage, in the order in which the stages come up.
pub(super) fn newest<'v>(versions: impl Iterator<Item = &'v Registered>) -> Vec<&'v Registered> {
    let mut newest: Vec<&Registered> = Vec::new();
    for of in versions {
        match newest.iter_mut().find(|other| stage(other) == stage(of)) {
            Some(other) => *other = of,
            None => newest.push(of),
        }
    }
    newest
}

/// The line that gives a version a tag, or takes it away.
fn line(of: &Registered, tag: &str, value: Option<&str>) -> Value {
    json!({ "model": of.name, "version": of.version, "model_tag": tag, "value": value })
}

fn change(asked: &Asked<'_>, lines: &[Value]) -> Result<(), Wrong> {
    let mut state = asked.live.state();
    Ok(asked.live.append(&mut state, lines)?)
}

/// `model-versions/transition-stage`; the versions that were in that stage may be archived with it.
pub(super) fn transition(asked: &Asked<'_>) -> Answered {
    let to = named(&asked.needed("stage")?)?;
    let of = asked_version(asked)?;
    let mut lines = vec![line(&of, STAGE, Some(to))];
    if asked.text("archive_existing_versions").is_some_and(|asked| asked == "true") {
        if !matches!(to, "Staging" | "Production") {
            return Err(Wrong::invalid(format!(
                "Model version transition cannot archive existing model versions because '{to}' is not an Active stage. Valid stages are ['Staging', 'Production']"
            )));
        }
        let mut state = asked.live.state();
        let logged = asked.live.logged(&mut state)?;
        let all = versions(asked, logged);
        let others: Vec<&Registered> =
            all.iter().filter(|other| other.name == of.name && other.version != of.version).collect();
        tell(asked, others.iter().copied().chain([&of]));
        let there = others.into_iter().filter(|other| stage(other) == to);
        lines.extend(there.map(|other| line(other, STAGE, Some("Archived"))));
    }
    change(asked, &lines)?;
    Ok(json!({ "model_version": shown(&asked_version(asked)?) }))
}

/// `registered-models/get-latest-versions`: the newest of each of these stages, or of all.
pub(super) fn latest(asked: &Asked<'_>) -> Answered {
    let name = asked.needed("name")?;
    let wanted = asked.list("stages");
    let wanted: Vec<&str> = wanted.iter().filter_map(Value::as_str).map(named).collect::<Result<_, _>>()?;
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let mut all = versions(asked, logged);
    let known = since(logged, &all, &name);
    all.retain(|of| of.name == name);
    tell(asked, &all);
    known.ok_or_else(|| no_model(&name))?;
    let fits = |of: &&Registered| wanted.is_empty() || wanted.contains(&stage(of));
    let found: Vec<Value> = newest(all.iter()).into_iter().filter(fits).map(shown).collect();
    Ok(if found.is_empty() { json!({}) } else { json!({ "model_versions": found }) })
}

/// `model-versions/update`: the description.
pub(super) fn update(asked: &Asked<'_>) -> Answered {
    let of = asked_version(asked)?;
    change(asked, &[line(&of, DESCRIPTION, asked.text("description").as_deref())])?;
    Ok(json!({ "model_version": shown(&asked_version(asked)?) }))
}

/// `model-versions/set-tag`.
pub(super) fn set_tag(asked: &Asked<'_>) -> Answered {
    let (of, key) = (asked_version(asked)?, asked.needed("key")?);
    change(asked, &[line(&of, &key, Some(&asked.text("value").unwrap_or_default()))])?;
    Ok(json!({}))
}

/// `model-versions/delete-tag`.
pub(super) fn delete_tag(asked: &Asked<'_>) -> Answered {
    let (of, key) = (asked_version(asked)?, asked.needed("key")?);
    change(asked, &[line(&of, &key, None)])?;
    Ok(json!({}))
}
