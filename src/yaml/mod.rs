//! YAML as a tree in which every key and every value knows its place, for the files of other tools: what `amlrun import`
//! reads, metric files, parameter files. Pure.
//!
//! The one place that knows granit-parser. A hostile text costs a bounded amount: nesting, nodes (those that an alias
//! repeats included) and bytes are limited, and nothing recurses deeper than the limit.
//!
//! Scalars are those of YAML 1.2's core schema, as the tools whose files these are read them (`yes` is a text). Numbers
//! keep the text they were written as. Merge keys (`<<`) are resolved. A key that is there twice is a fault.

mod build;
mod scalar;
#[cfg(test)]
mod tests;
pub mod write;

use crate::diagnostic::{Diagnostic, Span};
use crate::value::Number;

/// Longer texts are not read, in bytes.
pub const LONGEST: usize = 32 << 20;
/// More nodes than this are not made, those that aliases repeat included.
pub const MOST_NODES: usize = 1_000_000;
/// Lists and maps are not nested deeper than this.
pub const DEEPEST: usize = 100;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands; for what an alias repeats, where the original stands.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What can stand in a YAML file.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number, with the text it was written as.
    Float(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its key, as a text whatever it is.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub node: Node,
}

/// Why a text is no YAML, or more than is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One sentence, lower case, no final period.
    pub message: String,
    /// Where.
    pub span: Span,
}

impl Fault {
    /// As it is drawn.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic::error("not-yaml", self.span.clone(), self.message.clone(), "")
    }
}

/// The documents of a text, in order; none for an empty one.
///
/// # Errors
/// The first fault.
pub fn documents(text: &str) -> Result<Vec<Node>, Fault> {
    build::documents(text)
}

/// The one document of a text; `Null` where it is empty.
///
/// # Errors
/// The first fault; a second document is one.
pub fn parse(text: &str) -> Result<Node, Fault> {
    let mut documents = documents(text)?;
    match documents.get(1) {
        Some(second) => {
            Err(Fault { message: "a second document, where one is expected".into(), span: second.span.clone() })
        }
        None => Ok(documents.pop().unwrap_or(Node { span: 0..0, value: Value::Null })),
    }
}

impl Node {
    /// The value of a key, where this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of a key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; none where it is no map.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items of a list; none where it is no list.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Any scalar as its text: a number as it was written.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Integer(value) => Some(value.to_string()),
            Value::Float(number) => Some(number.text.clone()),
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The whole number, where it is one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        if let Value::Integer(value) = self.value { Some(value) } else { None }
    }

    /// The number, where it is one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a metric or a bound of a search, as every YAML reader gives it")]
    pub fn number(&self) -> Option<f64> {
        match &self.value {
            Value::Integer(value) => Some(*value as f64),
            Value::Float(number) => Some(number.value),
            _ => None,
        }
    }

    /// `true` or `false`, where it is one of them.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self.value { Some(value) } else { None }
    }

    /// Whether nothing stands there.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The node at a dotted path, as in `train.lr` or `layers.0`; a key that has dots itself is found too.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Self> {
        if path.is_empty() {
            return Some(self);
        }
        if let Some(node) = self.get(path) {
            return Some(node);
        }
        path.match_indices('.')
            .find_map(|(dot, _)| {
                let (head, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
                let below = match &self.value {
                    Value::List(items) => items.get(head.parse::<usize>().ok()?),
                    _ => self.get(head),
                };
                below?.at(rest)
            })
            .or_else(|| self.items().get(path.parse::<usize>().ok()?))
    }

    /// As JSON; numbers that JSON does not have become texts.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Float(number) => {
                serde_json::Number::from_f64(number.value).map_or_else(|| number.text.clone().into(), Into::into)
            }
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Self::json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}
