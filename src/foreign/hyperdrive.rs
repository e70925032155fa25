//! `HyperDrive` definitions: `hdconfig.yml` of CLI v1 and the wire form of SDK v1 (azure-ml.md §1.7, §1.9).

use super::doc::{At, Doc};
use super::model::{Experiment, Keys, Toml};
use super::report::Report;
use crate::value::Value;

/// A search, as the keys of an Amlfile's `sweep`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// `sweep`.
    pub sweep: Keys,
    /// `sweep.space`.
    pub space: Keys,
    /// `sweep.early_termination`.
    pub termination: Keys,
}

impl Search {
    /// Puts it into an experiment: its parameters are appended to the arguments, as the service does, and those that are
    /// there already give way.
    pub fn apply(&self, to: &mut Experiment) {
        to.sweep.clone_from(&self.sweep);
        to.space.clone_from(&self.space);
        to.termination.clone_from(&self.termination);
        for (name, _) in &self.space {
            let is_it = |word: &Value| matches!(word, Value::Text(text) if text.starts_with('-') && text.trim_start_matches('-') == name);
            if let Some(place) = to.arguments.iter().position(is_it) {
                to.arguments.remove(place);
                if place < to.arguments.len()
                    && !matches!(&to.arguments[place], Value::Text(text) if text.starts_with('-'))
                {
                    to.arguments.remove(place);
                }
            }
            to.params.retain(|(param, _)| param != name);
            to.arguments.push(Value::Text(format!("--{name}")));
            to.arguments.push(Value::Text(format!("${{{name}}}")));
        }
    }
}

/// Whether a document is a `HyperDrive` definition.
#[must_use]
pub fn is_hyperdrive(doc: &Doc) -> bool {
    let at = doc.at();
    at.find("primary_metric_name").is_some() || (at.find("sampling").is_some() && at.find("max_total_runs").is_some())
}

/// Reads a definition.
pub fn read(at: &At<'_>, report: &mut Report) -> Search {
    let mut search = Search::default();
    if let Some(sampling) = at.said("sampling").or_else(|| at.said("generator_config")) {
        sampling_of(&sampling, &mut search, report);
    }
    let metric = at
        .said("primary_metric_name")
        .or_else(|| at.said("primary_metric_config").and_then(|config| config.said("name")));
    let goal = at
        .said("primary_metric_goal")
        .or_else(|| at.said("primary_metric_config").and_then(|config| config.said("goal")));
    if let Some(metric) = metric {
        search.sweep.push(("metric".into(), Toml::text(metric.scalar().unwrap_or_default())));
        report.taken(&metric, "sweep.metric");
    }
    if let Some(goal) = goal {
        let word =
            if goal.scalar().unwrap_or_default().to_lowercase().contains("max") { "maximize" } else { "minimize" };
        search.sweep.push(("goal".into(), Toml::text(word)));
        report.taken(&goal, "sweep.goal");
    }
    for (key, becomes) in [("max_total_runs", "max_trials"), ("max_concurrent_runs", "max_concurrent")] {
        if let Some((place, number)) =
            at.said(key).and_then(|place| Some((place.clone(), place.whole().filter(|n| *n > 0)?)))
        {
            search.sweep.push((becomes.into(), Toml::integer(number)));
            report.taken(&place, format!("sweep.{becomes}"));
        }
    }
    if let Some((place, minutes)) =
        at.said("max_duration_minutes").and_then(|place| Some((place.clone(), place.whole().filter(|n| *n > 0)?)))
    {
        search.sweep.push(("max_duration".into(), Toml::text(format!("{minutes}m"))));
        report.translated(&place, format!("sweep.max_duration = \"{minutes}m\""));
    }
    if let Some(policy) = at.said("policy").or_else(|| at.said("policy_config")) {
        search.termination = policy_of(&policy, report);
    }
    search
}

fn sampling_of(at: &At<'_>, search: &mut Search, report: &mut Report) {
    if let Some(kind) = at.said("type").or_else(|| at.said("name")) {
        let word = kind.scalar().unwrap_or_default().to_lowercase();
        let sampling = if word.contains("grid") {
            "grid"
        } else if word.contains("bayes") {
            "bayesian"
        } else if word.contains("sobol") {
            "sobol"
        } else {
            "random"
        };
        search.sweep.insert(0, ("sampling".into(), Toml::text(sampling)));
        report.taken(&kind, "sweep.sampling");
    }
    let Some(space) = at.said("parameter_space") else { return };
    // A list of { name, expression, values }, or a map of wire forms.
    for item in space.items() {
        let (Some(name), Some(expression)) = (item.said("name"), item.said("expression")) else { continue };
        let values = item.said("values").or_else(|| item.said("args"));
        let arguments: Vec<Value> = values
            .as_ref()
            .and_then(At::value)
            .map(|value| match value {
                Value::List(items) => items,
                other => vec![other],
            })
            .unwrap_or_default();
        let name = parameter(&name.scalar().unwrap_or_default());
        match self::expression(&expression.scalar().unwrap_or_default(), arguments) {
            Some(one) => {
                search.space.push((name.clone(), one));
                report.translated(&item, format!("sweep.space.{name}"));
            }
            None => report.none(&item, "no expression of a search space"),
        }
    }
    for entry in space.entries() {
        let name = parameter(&entry.key);
        match wire(&entry) {
            Some(one) => {
                search.space.push((name.clone(), one));
                report.translated(&entry, format!("sweep.space.{name}"));
            }
            None => report.none(&entry, "no expression of a search space"),
        }
    }
}

/// `["uniform", [0, 1]]`.
fn wire(at: &At<'_>) -> Option<Toml> {
    let items = at.items();
    let name = items.first()?.scalar()?;
    let Value::List(arguments) = items.get(1)?.value()? else { return None };
    expression(&name, arguments)
}

/// A parameter's name: leading dashes are no part of it.
#[must_use]
pub fn parameter(name: &str) -> String {
    super::names::plain(name.trim_start_matches('-'))
}

/// An expression by its name and its arguments, as an Amlfile has it.
#[must_use]
pub fn expression(name: &str, arguments: Vec<Value>) -> Option<Toml> {
    let name = name.to_lowercase().replace(['_', '-'], "");
    let numbers =
        |n: usize| arguments.len() == n && arguments.iter().all(|v| matches!(v, Value::Integer(_) | Value::Float(_)));
    let value = match name.as_str() {
        "choice" => {
            // `choice(1, 2)` and `choice([1, 2])`.
            let options = match arguments.as_slice() {
                [Value::List(items)] => items.clone(),
                _ => arguments,
            };
            (!options.is_empty()).then_some(Value::List(options))?
        }
        "randint" if numbers(1) => arguments.into_iter().next()?,
        "uniform" | "loguniform" | "normal" | "lognormal" if numbers(2) => Value::List(arguments),
        "quniform" | "qloguniform" | "qnormal" | "qlognormal" if numbers(3) => Value::List(arguments),
        _ => return None,
    };
    Some(Toml::Table(vec![(name, Toml::Value(value))]))
}

/// A policy: `type` (or `name`) with its numbers beside it or under `properties`.
pub fn policy_of(at: &At<'_>, report: &mut Report) -> Keys {
    let Some(kind) = at.said("type").or_else(|| at.said("name")) else { return Vec::new() };
    let word = kind.scalar().unwrap_or_default().to_lowercase();
    let policy = if word.contains("bandit") {
        "bandit"
    } else if word.contains("median") {
        "median_stopping"
    } else if word.contains("truncation") {
        "truncation_selection"
    } else {
        "none"
    };
    report.taken(&kind, "sweep.early_termination.policy");
    let mut keys: Keys = vec![("policy".into(), Toml::text(policy))];
    let own: &[&str] = match policy {
        "bandit" => &["slack_factor", "slack_amount"],
        "truncation_selection" => &["truncation_percentage"],
        _ => &[],
    };
    if policy == "none" {
        return Vec::new();
    }
    let places = [Some(at.clone()), at.said("properties")];
    for key in own.iter().chain(&["evaluation_interval", "delay_evaluation"]) {
        let Some(place) = places.iter().flatten().find_map(|place| place.said(key)) else { continue };
        match place.value() {
            // The wire has both slacks, one of them 0.
            Some(Value::Integer(0)) if key.starts_with("slack") || *key == "delay_evaluation" => report.holds(&place),
            Some(number @ (Value::Integer(_) | Value::Float(_))) => {
                keys.push(((*key).to_owned(), Toml::Value(number)));
                report.taken(&place, format!("sweep.early_termination.{key}"));
            }
            _ => report.none(&place, "not a number"),
        }
    }
    keys
}
