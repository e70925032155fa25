//! How many processes a job is started with.

use super::super::doc::At;
use super::super::look::Context;
use super::super::model::{Experiment, Keys, Toml};

/// `distribution` and `resources.instance_count` as the keys of `distributed`.
pub(super) fn distribution(
    context: &mut Context<'_>,
    place: Option<&At<'_>>,
    resources: Option<&At<'_>>,
    one: &mut Experiment,
) {
    let count = resources.and_then(|at| at.get("instance_count"));
    let nodes = count.as_ref().and_then(At::whole).filter(|n| *n > 0).unwrap_or(1);
    let whole = |key: &str| place.and_then(|at| at.get(key)).and_then(|at| at.whole()).filter(|n| *n > 0);
    let kind = place.and_then(|at| at.get("type")).and_then(|at| at.scalar()).unwrap_or_default().to_lowercase();
    let each = whole("process_count_per_instance").unwrap_or(1);
    let mut keys: Keys = match kind.as_str() {
        "pytorch" | "mpi" => vec![
            ("type".into(), Toml::text(&kind)),
            ("nodes".into(), Toml::integer(nodes)),
            ("processes".into(), Toml::integer(nodes.saturating_mul(each))),
        ],
        "tensorflow" => vec![
            ("type".into(), Toml::text("tensorflow")),
            ("nodes".into(), Toml::integer(nodes)),
            ("processes".into(), Toml::integer(nodes)),
            ("workers".into(), Toml::integer(whole("worker_count").unwrap_or(nodes))),
        ],
        _ => Vec::new(),
    };
    if let (Some(servers), "tensorflow") = (whole("parameter_server_count"), kind.as_str()) {
        keys.push(("parameter_servers".into(), Toml::integer(servers)));
    }
    match (place, keys.is_empty()) {
        (Some(place), false) => context.report.translated(place, "distributed"),
        (Some(place), true) => context.report.none(place, "no launcher of that kind"),
        _ => {}
    }
    if let Some(count) = count {
        match (nodes, keys.is_empty()) {
            (1, _) => context.report.holds(&count),
            (_, false) => context.report.translated(&count, "distributed.nodes"),
            (_, true) => context.report.none(&count, "several nodes without a distribution: no launcher is known"),
        }
    }
    one.distributed = keys;
}
