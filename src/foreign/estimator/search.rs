//! Searches and distribution, as calls.

use super::super::hyperdrive::{self, Search};
use super::super::look::Context;
use super::super::model::{Experiment, Keys, Toml};
use super::super::python::Py;
use super::Place;
use super::scope::Arguments;
use crate::value::Value;

/// `HyperDriveConfig`: a search over an experiment that was made before.
pub(super) fn search(
    context: &mut Context<'_>,
    arguments: &Arguments<'_>,
    place: &Place<'_>,
    made: &[(String, String)],
) -> Option<Experiment> {
    let get = |name: &str| {
        arguments.get(
            name,
            &[
                "hyperparameter_sampling",
                "primary_metric_name",
                "primary_metric_goal",
                "max_total_runs",
                "max_concurrent_runs",
                "max_duration_minutes",
                "policy",
            ],
        )
    };
    let of = arguments.name("run_config", &[]).or_else(|| arguments.name("estimator", &[]))?;
    let (_, base) = made.iter().rev().find(|(variable, _)| *variable == of)?;
    let base = context.proposal.experiments.iter().find(|one| one.name == *base)?.clone();
    let mut found = Search::default();
    if let Some(Py::Call(callee, positional, named, _)) = get("hyperparameter_sampling") {
        let kind = if callee.contains("Grid") {
            "grid"
        } else if callee.contains("Bayesian") {
            "bayesian"
        } else {
            "random"
        };
        found.sweep.push(("sampling".into(), Toml::text(kind)));
        let space = Arguments { positional: &positional, named: &named, ..*arguments }
            .get("parameter_space", &["parameter_space"]);
        if let Some(Py::Dict(pairs)) = space {
            for (name, expression) in &pairs {
                let (Some(name), Py::Call(kind, arguments, ..)) = (name.text(), expression) else { continue };
                let values: Option<Vec<Value>> = arguments.iter().map(Py::value).collect();
                let kind = kind.rsplit('.').next().unwrap_or(kind);
                if let Some(one) = values.and_then(|values| hyperdrive::expression(kind, values)) {
                    found.space.push((hyperdrive::parameter(name), one));
                }
            }
        }
    }
    if let Some(Py::Text(metric)) = get("primary_metric_name") {
        found.sweep.push(("metric".into(), Toml::text(metric)));
    }
    if let Some(Py::Name(goal)) = get("primary_metric_goal") {
        found.sweep.push(("goal".into(), Toml::text(if goal.contains("MAX") { "maximize" } else { "minimize" })));
    }
    for (key, becomes) in [("max_total_runs", "max_trials"), ("max_concurrent_runs", "max_concurrent")] {
        if let Some(Py::Number(number)) = get(key)
            && let Ok(number) = number.parse::<i64>()
        {
            found.sweep.push((becomes.into(), Toml::integer(number)));
        }
    }
    if let Some(Py::Number(minutes)) = get("max_duration_minutes") {
        found.sweep.push(("max_duration".into(), Toml::text(format!("{minutes}m"))));
    }
    if let Some(Py::Call(callee, positional, named, _)) = get("policy") {
        found.termination = policy(&callee, &Arguments { positional: &positional, named: &named, ..*arguments });
    }
    let mut one = Experiment {
        name: format!("{}-sweep", base.name),
        comments: vec![format!("HyperDriveConfig of {}:{}.", place.path, place.line)],
        ..base
    };
    found.apply(&mut one);
    Some(one)
}

fn policy(callee: &str, arguments: &Arguments<'_>) -> Keys {
    let (policy, own): (_, &[&str]) = if callee.contains("Bandit") {
        ("bandit", &["evaluation_interval", "slack_factor", "slack_amount", "delay_evaluation"])
    } else if callee.contains("Median") {
        ("median_stopping", &["evaluation_interval", "delay_evaluation"])
    } else if callee.contains("Truncation") {
        ("truncation_selection", &["truncation_percentage", "evaluation_interval", "delay_evaluation"])
    } else {
        return Vec::new();
    };
    let mut keys: Keys = vec![("policy".into(), Toml::text(policy))];
    keys.extend(own.iter().filter_map(|key| Some(((*key).to_owned(), Toml::Value(arguments.get(key, own)?.value()?)))));
    keys
}

/// The keys of `distributed`.
pub(super) fn distributed(callee: &str, arguments: &Arguments<'_>, one: &mut Experiment) {
    let order: &[&str] = if callee.contains("Mpi") {
        &["process_count_per_node", "node_count"]
    } else if callee.contains("PyTorch") {
        &["communication_backend", "process_count", "node_count"]
    } else {
        &["worker_count", "parameter_server_count"]
    };
    let number = |key: &str| match arguments.get(key, order) {
        Some(Py::Number(text)) => text.parse::<i64>().ok().filter(|n| *n > 0),
        _ => None,
    };
    let nodes = number("node_count").unwrap_or(1);
    let kind = callee.rsplit('.').next().unwrap_or(callee).to_lowercase();
    one.distributed = if kind.contains("mpi") {
        vec![
            ("type".into(), Toml::text("mpi")),
            ("nodes".into(), Toml::integer(nodes)),
            ("processes".into(), Toml::integer(nodes.saturating_mul(number("process_count_per_node").unwrap_or(1)))),
        ]
    } else if kind.contains("pytorch") || kind.contains("nccl") || kind.contains("gloo") {
        let backend = match arguments.get("communication_backend", order) {
            Some(Py::Text(text)) => text.to_lowercase(),
            _ if kind.contains("gloo") => "gloo".to_owned(),
            _ => "nccl".to_owned(),
        };
        vec![
            ("type".into(), Toml::text("pytorch")),
            ("nodes".into(), Toml::integer(nodes)),
            ("processes".into(), Toml::integer(number("process_count").unwrap_or(nodes))),
            ("backend".into(), Toml::text(backend)),
        ]
    } else {
        let workers = number("worker_count").unwrap_or(1);
        vec![
            ("type".into(), Toml::text("tensorflow")),
            ("nodes".into(), Toml::integer(workers)),
            ("processes".into(), Toml::integer(workers)),
            ("workers".into(), Toml::integer(workers)),
            ("parameter_servers".into(), Toml::integer(number("parameter_server_count").unwrap_or(1))),
        ]
    };
}
