//! `runs/search`: the run, the runs within it, and those on record, by MLflow's filter grammar.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::runs::Shown;
use super::{Answered, Asked, Wrong, experiment_id, text};
use crate::filter::{self, Filter, Is, Key, Space};

/// What the runs within a run are found by, and a run itself.
const PARENT: (Space, &str) = (Space::Tag, "mlflow.parentRunId");
const OWN: (Space, &str) = (Space::Attribute, "run_id");

/// What a key of a filter stands for.
fn value(run: &Shown, key: &Key) -> Option<Is> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact in a double")]
    let time = |at: u64| Is::Number(at as f64);
    let name = key.name.as_str();
    match key.space {
        Space::Metric => run.metrics.get(name).map(|point| Is::Number(point.value)),
        Space::Param => run.params.get(name).cloned().map(Is::Text),
        Space::Tag => run.tags.get(name).cloned().map(Is::Text),
        Space::Attribute => Some(match name.to_ascii_lowercase().as_str() {
            "run_id" => Is::Text(run.id.clone()),
            "run_name" | "job" => Is::Text(run.name.clone()),
            "status" => Is::Text(run.status.to_owned()),
            "user_id" => Is::Text(run.user.clone()),
            "experiment" => Is::Text(run.experiment.clone()),
            "start_time" | "created" => time(run.started),
            "end_time" => time(run.ended?),
            "artifact_uri" => Is::Text(run.info().get("artifact_uri").and_then(text).unwrap_or_default()),
            _ => return None,
        }),
    }
}

fn compare(a: &Is, b: &Is) -> Ordering {
    match (a, b) {
        (Is::Number(a), Is::Number(b)) => a.total_cmp(b),
        (Is::Text(a), Is::Text(b)) => a.cmp(b),
        (Is::Number(_), Is::Text(_)) => Ordering::Less,
        (Is::Text(_), Is::Number(_)) => Ordering::Greater,
    }
}

/// Every run that a script sees.
fn all(asked: &Asked<'_>, filter: &Filter) -> Result<Vec<Shown>, Wrong> {
    let live = asked.live;
    let mut state = live.state();
    let logged = live.logged(&mut state)?;
    let children = logged.children.iter().map(|child| Some(child.id.as_str()));
    let mut all: Vec<Shown> =
        std::iter::once(None).chain(children).filter_map(|of| Shown::live(live, logged, of)).collect();
    drop(state);
    let own = &live.about.run;
    // No other run fits then, whatever is on record.
    if [PARENT, OWN].iter().any(|(space, name)| filter.demands(*space, name, own)) {
        return Ok(all);
    }
    all.extend(asked.shared.earlier(live).runs().iter().filter(|run| run.id != *own).map(Shown::recorded));
    Ok(all)
}

/// `runs/search`.
pub(super) fn runs(asked: &Asked<'_>) -> Answered {
    let filter = Filter::parse(&asked.text("filter").unwrap_or_default()).map_err(Wrong::invalid)?;
    let experiments: Vec<String> = asked.list("experiment_ids").iter().filter_map(text).collect();
    let mut order: Vec<(Key, bool)> = Vec::new();
    for item in asked.list("order_by").iter().filter_map(text) {
        let (name, direction) = item.trim().rsplit_once(char::is_whitespace).unwrap_or((item.trim(), "ASC"));
        let (name, descending) = match direction.to_ascii_uppercase().as_str() {
            "ASC" => (name, false),
            "DESC" => (name, true),
            _ => (item.trim(), false),
        };
        order.push((filter::key(name).map_err(Wrong::invalid)?, descending));
    }
    let view = asked.text("run_view_type").unwrap_or_default();
    let seen = |run: &Shown| match view.as_str() {
        "ALL" | "3" => true,
        "DELETED_ONLY" | "2" => run.is_deleted,
        _ => !run.is_deleted,
    };
    let mut found = all(asked, &filter)?;
    found.retain(|run| seen(run) && experiments.contains(&experiment_id(&run.experiment)));
    found.retain(|run| filter.holds(&|key| value(run, key)));
    found.sort_by(|a, b| {
        let one = |(key, descending): &(Key, bool)| match (value(a, key), value(b, key)) {
            (Some(a), Some(b)) if *descending => compare(&b, &a),
            (Some(a), Some(b)) => compare(&a, &b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        let asked = order.iter().map(one).find(|order| order.is_ne()).unwrap_or(Ordering::Equal);
        asked.then(b.started.cmp(&a.started)).then(a.id.cmp(&b.id))
    });
    let most = asked.number("max_results").and_then(|most| usize::try_from(most).ok()).unwrap_or(1000);
    if most > 50_000 {
        return Err(Wrong::invalid(format!(
            "Invalid value {most} for parameter 'max_results' supplied. It must be at most 50000"
        )));
    }
    let from = asked.text("page_token").and_then(|token| token.parse::<usize>().ok()).unwrap_or_default();
    let page: Vec<Value> = found.iter().skip(from).take(most).map(Shown::whole).collect();
    let mut answer = json!({});
    if from + page.len() < found.len() {
        answer["next_page_token"] = (from + page.len()).to_string().into();
    }
    if !page.is_empty() {
        answer["runs"] = page.into();
    }
    Ok(answer)
}
