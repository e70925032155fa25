//! Which runs are meant, and in which order: `--where` and `--sort`.

use std::cmp::Ordering;

use super::record;
use crate::cli::error::CliError;
use crate::clock::Timestamp;
use crate::filter::{self, Filter, Is, Key, Space};
use crate::history::Run;

/// A filter and an order, read.
#[derive(Debug, Default)]
pub(in crate::cli::commands) struct Select {
    filter: Filter,
    sort: Vec<(Key, bool)>,
}

impl Select {
    /// Reads `--where` and every `--sort`: a key, and `desc` or `asc` after it.
    pub(in crate::cli::commands) fn new(filter: Option<&str>, sort: &[String]) -> Result<Self, CliError> {
        let fault = |option: &str, text: &str, why: String| {
            CliError::usage(format!("{option} `{text}`: {why}"))
                .hint("as in `metrics.mse < 3000 and params.alpha > 0.1`, and `--sort 'metrics.mse desc'`")
        };
        let text = filter.unwrap_or_default();
        let filter = Filter::parse(text).map_err(|why| fault("--where", text, why))?;
        let sort = sort.iter().map(|text| {
            let (name, direction) = text.trim().rsplit_once(char::is_whitespace).unwrap_or((text.trim(), "asc"));
            let (name, descending) = match direction.to_ascii_lowercase().as_str() {
                "asc" => (name, false),
                "desc" => (name, true),
                _ => (text.trim(), false),
            };
            filter::key(name).map(|key| (key, descending)).map_err(|why| fault("--sort", text, why))
        });
        Ok(Self { filter, sort: sort.collect::<Result<_, _>>()? })
    }

    /// Whether every run is meant, in the order of the record.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Drops what does not fit and sorts the rest; runs that have no value come last, whichever the direction.
    pub(in crate::cli::commands) fn apply(&self, runs: &mut Vec<Run>, now: Timestamp) {
        runs.retain(|run| self.filter.holds(&|key| value(run, key, now)));
        runs.sort_by(|a, b| {
            let one = |(key, descending): &(Key, bool)| match (value(a, key, now), value(b, key, now)) {
                (Some(a), Some(b)) if *descending => compare(&b, &a),
                (Some(a), Some(b)) => compare(&a, &b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            };
            self.sort.iter().map(one).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
    }
}

impl PartialEq for Select {
    fn eq(&self, other: &Self) -> bool {
        self.filter == other.filter && self.sort == other.sort
    }
}

/// Numbers before texts; texts that are numbers as such.
fn compare(a: &Is, b: &Is) -> Ordering {
    let number = |is: &Is| match is {
        Is::Number(number) => Some(*number),
        Is::Text(text) => text.parse().ok(),
    };
    match (number(a), number(b), a, b) {
        (Some(a), Some(b), ..) => a.total_cmp(&b),
        (None, None, Is::Text(a), Is::Text(b)) => a.cmp(b),
        (a, b, ..) => b.is_some().cmp(&a.is_some()),
    }
}

/// What a key of a filter stands for in a run.
fn value(run: &Run, key: &Key, now: Timestamp) -> Option<Is> {
    let (begun, name) = (&run.begun, key.name.as_str());
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact in a double")]
    let time = |at: Timestamp| Is::Number(at.0 as f64);
    match key.space {
        Space::Metric => run.ended.as_ref()?.metrics.get(name).map(|value| Is::Number(*value)),
        Space::Param => begun.params.get(name).map(|value| Is::Text(record::plain(value))),
        Space::Tag => begun.tags.get(name).cloned().map(Is::Text),
        Space::Attribute => Some(match name.to_ascii_lowercase().as_str() {
            "run_id" => Is::Text(begun.run.0.clone()),
            "job" | "run_name" => Is::Text(begun.job.0.clone()),
            "status" => Is::Text(run.status.name().to_owned()),
            "start_time" | "created" => time(begun.started),
            "end_time" => time(run.ended.as_ref()?.ended),
            "duration" => Is::Number(record::elapsed(run, now).as_secs_f64()),
            "user_id" => Is::Text(run.invocation.user.clone()),
            "experiment" => Is::Text(begun.experiment.clone()),
            "target" => Is::Text(begun.target.clone()),
            "environment" => Is::Text(begun.environment.clone()),
            _ => return None,
        }),
    }
}
