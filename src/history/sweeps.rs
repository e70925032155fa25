//! Sweeps on record: what was proposed, what became of each trial, and where the sweep stands.
//!
//! A trial is on record before its job starts, so a sweep that was killed goes on with the same numbers and values. A trial
//! stays readable when its run is taken off the record.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::digest::Digest;
pub use crate::event::TrialState;
use crate::ids::{JobName, RunId};
use crate::value::{Number, Value};

/// Where a sweep stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SweepState {
    /// It goes on, or its invocation ended before it did: then the next one goes on with it.
    Running,
    /// It ended, and what the best trial left is published.
    Completed,
    /// It ended without a result.
    Failed,
    /// It was ended by the user.
    Canceled,
}

impl SweepState {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Running, Self::Completed, Self::Failed, Self::Canceled].into_iter().find(|state| state.name() == name)
    }
}

/// A sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Its identity (32 hex digits).
    pub id: String,
    /// The job that it is.
    pub job: JobName,
    /// The experiment.
    pub experiment: String,
    /// What its proposals and their results depend on: the same key goes on with the same trials.
    pub key: Digest,
    /// The invocation that began it, or went on with it last.
    pub invocation: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Where it stands.
    pub state: SweepState,
    /// The metric that is compared.
    pub metric: String,
    /// Whether more is better.
    pub maximize: bool,
    /// How trials are proposed.
    pub sampling: String,
    /// The most trials; none for a grid that ends by itself.
    pub max_trials: Option<u32>,
    /// The number of the best trial.
    pub best: Option<u32>,
    /// The run that stands for the whole sweep, which has the outputs of the best trial.
    pub run: Option<RunId>,
    /// Why it ended as it did.
    pub why: Option<String>,
}

/// A trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The sweep's identity.
    pub sweep: String,
    /// From 0, in the order of the proposals.
    pub number: u32,
    /// The job that it is.
    pub job: JobName,
    /// What was proposed, in the order of the space.
    pub values: Vec<(String, Value)>,
    /// When.
    pub proposed: Timestamp,
    /// What became of it.
    pub state: TrialState,
    /// The run: its own, or the one that it was restored from.
    pub run: Option<RunId>,
    /// Whether the run was known before, and nothing ran.
    pub cached: bool,
    /// The primary metric at its end; NaN where the script logged that. None where it logged none.
    pub objective: Option<f64>,
    /// The primary metric as it was logged.
    pub logged: Vec<f64>,
    /// Why it failed or was stopped.
    pub why: Option<String>,
    /// When it was over.
    pub ended: Option<Timestamp>,
}

/// Values as JSON, with numbers as they were written: a job's name and fingerprint are made of them.
#[must_use]
pub fn encode(values: &[(String, Value)]) -> serde_json::Value {
    values.iter().map(|(name, value)| serde_json::json!([name, encoded(value)])).collect()
}

fn encoded(value: &Value) -> serde_json::Value {
    match value {
        Value::Float(number) => serde_json::json!({ "float": number.text }),
        Value::List(items) => items.iter().map(encoded).collect(),
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}

/// The values of such a JSON; none where it is none.
#[must_use]
pub fn decode(json: &serde_json::Value) -> Option<Vec<(String, Value)>> {
    let pair = |pair: &serde_json::Value| Some((pair.get(0)?.as_str()?.to_owned(), decoded(pair.get(1)?)?));
    json.as_array()?.iter().map(pair).collect()
}

fn decoded(json: &serde_json::Value) -> Option<Value> {
    Some(match json {
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => Value::Integer(number.as_i64()?),
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(decoded).collect::<Option<_>>()?),
        serde_json::Value::Object(fields) => {
            let text = fields.get("float")?.as_str()?;
            Value::Float(Number { value: text.parse().ok()?, text: text.to_owned() })
        }
        serde_json::Value::Null => return None,
    })
}

/// Numbers as a text, `NaN` and infinities too, which JSON does not have.
#[must_use]
pub fn numbers(values: &[f64]) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}

/// The numbers of such a text.
#[must_use]
pub fn numbers_of(text: &str) -> Vec<f64> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_written() {
        let float = |text: &str| Value::Float(Number { value: text.parse().unwrap(), text: text.to_owned() });
        let values = vec![
            ("alpha".to_owned(), float("0.10")),
            ("beta".to_owned(), float("1e-3")),
            ("n".to_owned(), Value::Integer(-3)),
            ("kernel".to_owned(), Value::Text("0.10".to_owned())),
            ("on".to_owned(), Value::Bool(true)),
            ("layers".to_owned(), Value::List(vec![Value::Integer(1), float("2.50")])),
        ];
        let text = encode(&values).to_string();
        let back = decode(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(back, values);
        assert_eq!(decode(&serde_json::json!([["a", null]])), None);
        let logged = [1.0, f64::NAN, f64::NEG_INFINITY, 0.1 + 0.2];
        let back = numbers_of(&numbers(&logged));
        assert!(back[1].is_nan() && back[2] == f64::NEG_INFINITY && back[3].to_bits() == logged[3].to_bits());
    }
}
