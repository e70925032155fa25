//! A run as data: what `list --json` and `show --json` print, and how its values are shown to people.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::history::{Run, Status};
use crate::launch::Outcome;
use crate::logged::{Logged, Series};
use crate::staleness::{Key, Reason, Recorded};

/// The short form.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'r> {
    run: &'r str,
    job: &'r str,
    experiment: &'r str,
    status: Status,
    /// RFC 3339, UTC.
    started: String,
    ended: Option<String>,
    elapsed_ms: u64,
    attempt: u32,
    target: &'r str,
    environment: &'r str,
    params: &'r BTreeMap<String, Value>,
    tags: &'r BTreeMap<String, String>,
    metrics: BTreeMap<&'r str, Value>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Whole<'r> {
    #[serde(flatten)]
    summary: Summary<'r>,
    outcome: Option<&'r Outcome>,
    cached: bool,
    inputs_moved: bool,
    cpu_ms: Option<u64>,
    peak_memory: Option<u64>,
    reasons: &'r [Reason],
    notes: &'r [String],
    fingerprint: String,
    command: &'r [String],
    variables: &'r BTreeMap<String, String>,
    framework: &'r str,
    distributed: &'r BTreeMap<String, String>,
    source_directory: String,
    snapshot: String,
    environment_digest: Option<String>,
    environment_facts: Option<&'r BTreeMap<String, String>>,
    inputs: BTreeMap<&'r str, Input<'r>>,
    outputs: &'r [Recorded],
    kept: &'r [Recorded],
    log: Option<String>,
    invocation: &'r str,
    argv: &'r [String],
    version: &'r str,
    host: &'r str,
    user: &'r str,
    properties: &'r BTreeMap<String, String>,
    /// What its script logged: parameters, tags, tables, children with their metrics.
    logged: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Input<'r> {
    path: &'r str,
    digest: Option<String>,
}

/// The short form of a run; `now` is for one that goes on.
pub(super) fn summary(run: &Run, now: Timestamp) -> Summary<'_> {
    let (begun, ended) = (&run.begun, run.ended.as_ref());
    Summary {
        run: &begun.run.0,
        job: &begun.job.0,
        experiment: &begun.experiment,
        status: run.status,
        started: begun.started.to_string(),
        ended: ended.map(|ended| ended.ended.to_string()),
        elapsed_ms: u64::try_from(elapsed(run, now).as_millis()).unwrap_or(u64::MAX),
        attempt: begun.attempt,
        target: &begun.target,
        environment: &begun.environment,
        params: &begun.params,
        tags: &begun.tags,
        metrics: ended
            .map(|ended| ended.metrics.iter().map(|(n, v)| (n.as_str(), json_number(*v))).collect())
            .unwrap_or_default(),
    }
}

/// A run in full; `log` is where its output lies.
pub(super) fn whole<'r>(
    run: &'r Run,
    key: Option<&'r Key>,
    logged: Option<&Logged>,
    log: Option<String>,
    now: Timestamp,
) -> Whole<'r> {
    let (begun, ended, print) = (&run.begun, run.ended.as_ref(), &run.begun.fingerprint);
    let inputs = begun
        .inputs
        .iter()
        .map(|(name, path)| (name.as_str(), Input { path, digest: print.inputs.get(name).map(ToString::to_string) }));
    Whole {
        summary: summary(run, now),
        outcome: ended.map(|ended| &ended.outcome),
        cached: ended.is_some_and(|ended| ended.cached),
        inputs_moved: ended.is_some_and(|ended| ended.inputs_moved),
        cpu_ms: ended.map(|ended| ended.usage.cpu_ms),
        peak_memory: ended.map(|ended| ended.usage.peak_memory),
        reasons: &begun.reasons,
        notes: ended.map(|ended| ended.notes.as_slice()).unwrap_or_default(),
        fingerprint: print.digest().to_string(),
        command: &print.command,
        variables: &print.variables,
        framework: &print.framework,
        distributed: &print.distributed,
        source_directory: begun.source_directory.to_string(),
        snapshot: print.sources.to_string(),
        environment_digest: print.environment.map(|digest| digest.to_string()),
        environment_facts: key.map(|key| &key.facts),
        inputs: inputs.collect(),
        outputs: ended.map(|ended| ended.outputs.as_slice()).unwrap_or_default(),
        kept: ended.map(|ended| ended.kept.as_slice()).unwrap_or_default(),
        log,
        invocation: &run.invocation.id,
        argv: &run.invocation.argv,
        version: &run.invocation.version,
        host: &run.invocation.host,
        user: &run.invocation.user,
        properties: &run.invocation.properties,
        logged: logged.map(of_logged),
    }
}

/// What a script logged, with the series of its metrics as `[step, value]`, those of the runs within it with these.
pub(super) fn of_logged(logged: &Logged) -> Value {
    let series = |of: Option<&str>| -> Value {
        let own = logged.series.iter().filter(|series| series.of.as_deref() == of);
        let points = |series: &Series| -> Value {
            series.points.iter().map(|point| Value::from(vec![point.step.into(), json_number(point.value)])).collect()
        };
        Value::Object(own.map(|series| (series.name.clone(), points(series))).collect())
    };
    let metrics = |of: Option<&str>| -> Value {
        Value::Object(logged.metrics(of).into_iter().map(|(name, value)| (name, json_number(value))).collect())
    };
    let mut whole = serde_json::to_value(logged).unwrap_or_default();
    whole["series"] = series(None);
    if let Some(children) = whole.get_mut("children").and_then(Value::as_array_mut) {
        for (child, of) in children.iter_mut().zip(&logged.children) {
            child["metrics"] = metrics(Some(&of.id));
            child["series"] = series(Some(&of.id));
        }
    }
    whole
}

/// How long it took, or has been going on.
pub(super) fn elapsed(run: &Run, now: Timestamp) -> Duration {
    match (&run.ended, run.status) {
        (Some(ended), _) => ended.ended.since(run.begun.started),
        (None, Status::NotResponding) => Duration::ZERO,
        (None, _) => now.since(run.begun.started),
    }
}

/// A metric as JSON, where what JSON has no number for is a text.
pub(in crate::cli::commands) fn json_number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

/// A metric for people: six significant digits.
pub(in crate::cli::commands) fn number(value: f64) -> String {
    let plain = value.to_string();
    if plain.len() <= 9 || !value.is_finite() {
        return plain;
    }
    let size = value.abs();
    if !(1e-5..1e15).contains(&size) {
        return format!("{value:.5e}");
    }
    #[expect(clippy::cast_possible_truncation, reason = "between -5 and 15")]
    let digits = size.log10().floor() as i32;
    let decimals = usize::try_from(5 - digits).unwrap_or_default();
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A parameter's value as a script sees it.
pub(in crate::cli::commands) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
