//! What scripts logged, beside what was declared.

use std::collections::BTreeMap;

use crate::ids::RunId;
use crate::logged::{Facts, Logged};
use crate::staleness::Recorded;

/// What was found of a run that another amlrun died under.
#[derive(Debug, Clone)]
pub struct Salvaged {
    /// The run.
    pub run: RunId,
    /// What it logged.
    pub logged: Logged,
    /// Its artifacts.
    pub kept: Vec<Recorded>,
}

/// What a script logged beside what was declared: a declared parameter stays as it is, a tag that was logged wins.
pub(super) fn merge(
    params: &mut BTreeMap<String, serde_json::Value>,
    tags: &mut BTreeMap<String, String>,
    logged: &Facts,
) {
    for (name, value) in &logged.params {
        params.entry(name.clone()).or_insert_with(|| number_or_text(value));
    }
    for (name, value) in &logged.tags {
        match value {
            Some(value) => drop(tags.insert(name.clone(), value.clone())),
            None => drop(tags.remove(name)),
        }
    }
}

/// A parameter as JSON: a number where it reads as JSON writes one, so that it can be drawn and compared.
fn number_or_text(value: &str) -> serde_json::Value {
    match serde_json::from_str::<serde_json::Number>(value) {
        Ok(number) if number.to_string() == value => serde_json::Value::Number(number),
        _ => value.into(),
    }
}
