//! Files of values: what scripts write as metrics and read as parameters, in JSON, YAML, TOML, CSV or TSV, flattened with
//! dots. Pure.
//!
//! Called by `engine` for metric files and for parameter files that are inputs by key. The one place that knows the
//! `csv` crate.

mod series;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

pub use series::{Series, series};

/// Lists longer than this are data, not metrics: their items get no names.
const LONGEST_LIST: usize = 100;

/// What a file of values is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON; `NaN` and `Infinity`, which Python writes, are read.
    Json,
    /// YAML.
    Yaml,
    /// TOML.
    Toml,
    /// Columns of numbers, one row a step, between commas.
    Csv,
    /// The same between tabs.
    Tsv,
    /// A JSON object a line, one line a step.
    JsonLines,
}

impl Format {
    /// By the end of the file's name; none for other files, whose bytes mean nothing here.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// As messages name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::JsonLines => "JSON lines",
        }
    }

    /// Whether it holds a value a step.
    #[must_use]
    pub fn is_series(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv | Self::JsonLines)
    }
}

/// The tree of values in a text. What JSON has no number for is a text, as in `"nan"`.
///
/// # Errors
/// Why it is not of that format, in a sentence; CSV and TSV have no tree.
pub fn tree(bytes: &[u8], format: Format) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    let yaml = |text: &str| {
        crate::yaml::parse(text).map(|node| node.json()).map_err(|fault| {
            let line = text.get(..fault.span.start).map_or(1, |before| before.matches('\n').count() + 1);
            format!("{} at line {line}", fault.message)
        })
    };
    match format {
        // Python writes `NaN` and `Infinity`, which JSON does not have; YAML takes them for texts.
        Format::Json => serde_json::from_str(text).or_else(|error| {
            let python = ["NaN", "Infinity"].iter().any(|word| text.contains(word));
            if python { yaml(text) } else { Err(error.to_string()) }
        }),
        Format::Yaml => yaml(text),
        Format::Toml => text.parse::<toml::Table>().map(|table| of_toml(&toml::Value::Table(table))).map_err(|error| {
            let line = error.span().and_then(|span| text.get(..span.start));
            format!("{} at line {}", error.message(), line.map_or(1, |before| before.matches('\n').count() + 1))
        }),
        Format::Csv | Format::Tsv | Format::JsonLines => Err(format!("{} has no keys", format.name())),
    }
}

fn of_toml(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => {
            serde_json::Number::from_f64(*number).map_or_else(|| number.to_string().into(), Value::Number)
        }
        toml::Value::Boolean(value) => (*value).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.iter().map(of_toml).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.clone(), of_toml(value))).collect())
        }
    }
}

/// The numbers of a tree by dotted name, as in `train.loss`; the items of short lists by their places.
#[must_use]
pub fn numbers(tree: &Value) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    flatten("", tree, &mut found);
    found
}

fn flatten(name: &str, value: &Value, found: &mut BTreeMap<String, f64>) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Number(number) => drop(number.as_f64().map(|n| found.insert(name.to_owned(), n))),
        Value::String(text) => drop(not_finite(text).map(|n| found.insert(name.to_owned(), n))),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(&below(key), value, found)),
        Value::Array(items) if items.len() <= LONGEST_LIST => {
            items.iter().enumerate().for_each(|(at, value)| flatten(&below(&at.to_string()), value, found));
        }
        _ => {}
    }
}

/// What Python, Rust, YAML and JavaScript write where there is no finite number.
fn not_finite(text: &str) -> Option<f64> {
    match text {
        "NaN" | "nan" | ".nan" => Some(f64::NAN),
        "Infinity" | "inf" | ".inf" => Some(f64::INFINITY),
        "-Infinity" | "-inf" | "-.inf" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// The values of some keys of a parameter file, each as JSON text with a plain text as it is; a key may name a whole
/// table. None for a key that is not there.
#[must_use]
pub fn select<'k>(tree: &Value, keys: &'k [String]) -> Vec<(&'k str, Option<String>)> {
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    keys.iter().map(|key| (key.as_str(), at(tree, key).map(shown))).collect()
}

/// The value at a dotted path; a key that has dots itself is found too.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let step = |key: &str| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    };
    step(path)
        .or_else(|| path.match_indices('.').find_map(|(dot, _)| at(step(path.get(..dot)?)?, path.get(dot + 1..)?)))
}
