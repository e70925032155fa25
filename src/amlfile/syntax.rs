//! TOML text to a document, with every fault of syntax in our own words.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, Entry, Item, Node, Table};
use crate::diagnostic::Diagnostic;
use crate::value::Value;

/// Reads what can be read.
pub(super) fn read<'s>(text: &'s str, faults: &mut Vec<Diagnostic>) -> Document<'s> {
    // A byte order mark is no part of TOML, but editors write it.
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        faults.push(Diagnostic::error("syntax", span, error.message().to_owned(), ""));
    }
    Document { text, root: table(root.into_inner()), broken: false }
}

/// A value as it is typed on a command line: as TOML would have it, else a text.
#[must_use]
pub fn typed(text: &str) -> Value {
    let read = DeValue::parse(text).ok().and_then(|value| item(value).value());
    read.unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn table(entries: DeTable<'_>) -> Table<'_> {
    let mut entries: Vec<Entry<'_>> = entries
        .into_iter()
        .map(|(key, value)| Entry { key_span: key.span(), key: key.into_inner(), item: item(value) })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    Table(entries)
}

fn item(value: Spanned<DeValue<'_>>) -> Item<'_> {
    let span = value.span();
    let node = match value.into_inner() {
        DeValue::String(text) => Node::Text(text),
        DeValue::Integer(number) => Node::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Float(number) => {
            let text = number.as_str();
            Node::Float(text.parse().unwrap_or(f64::NAN), Cow::Owned(text.to_owned()))
        }
        DeValue::Boolean(bool) => Node::Bool(bool),
        DeValue::Datetime(_) => Node::Date,
        DeValue::Array(items) => Node::List(items.into_iter().map(item).collect()),
        DeValue::Table(entries) => Node::Table(table(entries)),
    };
    Item { span, node }
}
