//! The account: what became of every key of every file, with its place.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::doc::{At, Doc};
use crate::yaml::{Node, Value};

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It stands in the Amlfile as it stood.
    Taken,
    /// It stands in the Amlfile in other words.
    Translated,
    /// It says what holds without it.
    Default,
    /// There is nothing like it in an Amlfile.
    NoCounterpart,
}

impl Outcome {
    /// As it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Translated => "translated",
            Self::Default => "default",
            Self::NoCounterpart => "no counterpart",
        }
    }
}

/// One line of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The file, relative to the workspace.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The key, dotted.
    pub key: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Where it stands now, or how it was translated, or why it was not.
    pub becomes: String,
}

/// The account of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    rows: Vec<Row>,
    known: BTreeMap<String, BTreeSet<String>>,
}

impl Report {
    /// The lines, by file and line.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Adds a line.
    pub fn add(&mut self, at: &At<'_>, outcome: Outcome, becomes: impl Into<String>) {
        self.line(&at.doc.file, at.line(), &at.path, outcome, becomes);
    }

    /// Adds a line of a place that no [`At`] can tell.
    pub fn line(&mut self, file: &str, line: usize, key: &str, outcome: Outcome, becomes: impl Into<String>) {
        self.known.entry(file.to_owned()).or_default().insert(key.to_owned());
        let becomes = becomes.into();
        self.rows.push(Row { file: file.to_owned(), line, key: key.to_owned(), outcome, becomes });
    }

    /// It stands in the Amlfile as it stood.
    pub fn taken(&mut self, at: &At<'_>, becomes: impl Into<String>) {
        self.add(at, Outcome::Taken, becomes);
    }

    /// It stands there in other words.
    pub fn translated(&mut self, at: &At<'_>, becomes: impl Into<String>) {
        self.add(at, Outcome::Translated, becomes);
    }

    /// It says what holds without it.
    pub fn holds(&mut self, at: &At<'_>) {
        self.add(at, Outcome::Default, "holds without it");
    }

    /// There is nothing like it.
    pub fn none(&mut self, at: &At<'_>, why: impl Into<String>) {
        self.add(at, Outcome::NoCounterpart, why);
    }

    /// Whether a key, or a table that it stands in, is in the account.
    #[must_use]
    pub fn knows(&self, file: &str, path: &str) -> bool {
        let Some(known) = self.known.get(file) else { return false };
        known.contains(path)
            || path.match_indices(['.', '[']).any(|(at, _)| path.get(..at).is_some_and(|p| known.contains(p)))
    }

    /// Accounts for what no front took: empty values say nothing, the others have no counterpart.
    pub fn rest(&mut self, doc: &Doc, why: &str) {
        self.rest_of(&doc.at(), why);
    }

    fn rest_of(&mut self, at: &At<'_>, why: &str) {
        if !at.path.is_empty() && self.knows(&at.doc.file, &at.path) {
            return;
        }
        let below = match &at.node.value {
            Value::Map(entries) if !entries.is_empty() => at.entries(),
            Value::List(items) if items.iter().any(is_table) || self.knows_below(at) => at.items(),
            _ if is_empty(at.node) => return self.add(at, Outcome::Default, "empty"),
            _ => return self.none(at, why),
        };
        for below in &below {
            self.rest_of(below, why);
        }
    }

    /// Whether an item of a list is in the account.
    fn knows_below(&self, at: &At<'_>) -> bool {
        let start = format!("{}[", at.path);
        let known = self.known.get(&at.doc.file);
        known.is_some_and(|known| known.range(start.clone()..).next().is_some_and(|key| key.starts_with(&start)))
    }

    /// Sorts the account for reading.
    pub fn sort(&mut self) {
        self.rows.sort_by(|a, b| (&a.file, a.line, &a.key).cmp(&(&b.file, b.line, &b.key)));
        self.rows.dedup();
    }

    /// How many lines have each outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }
}

fn is_table(node: &Node) -> bool {
    matches!(&node.value, Value::Map(entries) if !entries.is_empty())
}

/// Whether nothing is said: null, an empty text, list or map.
#[must_use]
pub fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    }
}
