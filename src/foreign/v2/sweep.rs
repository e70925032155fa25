//! Sweep jobs.

use std::collections::BTreeMap;

use super::super::doc::At;
use super::super::hyperdrive::policy_of;
use super::super::look::Context;
use super::super::model::{Experiment, Keys, Toml};
use super::{Scope, job, ours, space};

/// A sweep.
pub(super) fn import(context: &mut Context<'_>, at: &At<'_>, name: &str, scope: &Scope) -> Option<String> {
    let trial = at.get("trial")?;
    // A component in a file, or the trial itself.
    let file = trial
        .scalar()
        .and_then(|text| super::super::names::from(at.doc.folder(), text.strip_prefix("file:").unwrap_or(&text)));
    let doc = match file {
        Some(path) => {
            context.report.translated(&trial, format!("the experiment, from {path}"));
            context.doc(&path)
        }
        None => None,
    };
    let code = doc.as_ref().map_or_else(|| trial.clone(), super::super::doc::Doc::at);
    let ours = ours::peek(at);
    let space = space::space(context, at, &ours);
    let names = space::names(at, &ours);
    let mut extra: BTreeMap<String, String> = BTreeMap::new();
    for (key, name) in &names {
        extra.insert(format!("search_space.{key}"), name.clone());
        // A trial of a component has the parameter as an input.
        if doc.is_some() {
            extra.insert(format!("inputs.{key}"), name.clone());
        }
    }
    let mut one = job::build(context, at, &code, name, scope, &extra)?;
    if let Some(doc) = &doc {
        context.report.rest(doc, "an Amlfile has nothing like it");
    }
    one.params.retain(|(name, _)| names.iter().all(|(_, known)| known != name));
    for (name, value) in ours.defaults() {
        if one.params.iter().all(|(known, _)| *known != name) {
            one.params.push((name, value));
        }
    }
    one.space = space;
    one.sweep = settings(context, at, &mut one);
    if let Some(policy) = at.get("early_termination") {
        one.termination = policy_of(&policy, &mut context.report);
    }
    Some(context.proposal.experiment(one))
}

fn settings(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment) -> Keys {
    let mut keys: Keys = Vec::new();
    if let Some(place) = at.get("sampling_algorithm") {
        let kind = place.scalar().or_else(|| place.get("type")?.scalar()).unwrap_or_default();
        let rule = place.get("rule").and_then(|rule| rule.scalar()).unwrap_or_default();
        let sampling = match (kind.as_str(), rule.as_str()) {
            (_, "sobol") => "sobol",
            ("grid" | "bayesian" | "random", _) => kind.as_str(),
            _ => "random",
        };
        keys.push(("sampling".into(), Toml::text(sampling)));
        if place.entries().is_empty() {
            context.report.taken(&place, "sweep.sampling");
        }
        for entry in place.entries() {
            match (entry.key.as_str(), entry.whole()) {
                ("type" | "rule", _) => context.report.taken(&entry, "sweep.sampling"),
                ("seed", Some(seed)) if seed >= 0 => {
                    keys.push(("seed".into(), Toml::integer(seed)));
                    context.report.taken(&entry, "sweep.seed");
                }
                _ => {}
            }
        }
    }
    if let Some(objective) = at.get("objective") {
        if let Some((place, text)) =
            objective.get("primary_metric").and_then(|place| Some((place.clone(), place.scalar()?)))
        {
            keys.push(("metric".into(), Toml::text(text)));
            context.report.taken(&place, "sweep.metric");
        }
        if let Some((place, text)) = objective.get("goal").and_then(|place| Some((place.clone(), place.scalar()?))) {
            keys.push((
                "goal".into(),
                Toml::text(if text.to_lowercase().starts_with("max") { "maximize" } else { "minimize" }),
            ));
            context.report.taken(&place, "sweep.goal");
        }
    }
    for entry in at.get("limits").map(|limits| limits.entries()).unwrap_or_default() {
        let Some(number) = entry.whole().filter(|n| *n > 0) else { continue };
        let (key, value) = match entry.key.as_str() {
            "max_total_trials" => ("max_trials", Toml::integer(number)),
            "max_concurrent_trials" => ("max_concurrent", Toml::integer(number)),
            "timeout" => ("max_duration", Toml::text(format!("{number}s"))),
            "trial_timeout" => ("trial_timeout", Toml::text(format!("{number}s"))),
            _ => continue,
        };
        keys.push((key.into(), value));
        context.report.translated(&entry, format!("sweep.{key}"));
    }
    // The limits of a sweep are not those of a job.
    one.resources.retain(|(key, _)| key != "time");
    keys
}
