//! The document: the values of an Amlfile in the order of the text, each with its place.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::diagnostic::Span;
use crate::value::{Number, Value};

/// An Amlfile as it was written.
#[derive(Debug, Clone, Default)]
pub struct Document<'s> {
    /// The text, so that a fault can point into the middle of a value.
    pub text: &'s str,
    /// The whole of it.
    pub root: Table<'s>,
    /// Whether the text has faults of syntax, so that what is missing here may only not have been understood.
    pub broken: bool,
}

/// The entries of a table in the order of the text.
#[derive(Debug, Clone, Default)]
pub struct Table<'s> {
    entries: Vec<Entry<'s>>,
    /// Where each key stands, once there are many.
    index: BTreeMap<Cow<'s, str>, usize>,
    /// How it came about, which decides who may add to it.
    pub(super) origin: Origin,
}

/// How a table came about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// By a longer header: `[a.b]` makes `a`.
    #[default]
    Implied,
    /// By its own header.
    Headed,
    /// By a dotted key.
    Dotted,
    /// In braces: complete as it is.
    Inline,
}

/// With so many entries, keys are looked up in an index.
const MANY: usize = 16;

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Entry<'s> {
    /// The key.
    pub key: Cow<'s, str>,
    /// Its place.
    pub key_span: Span,
    /// The value.
    pub item: Item<'s>,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub struct Item<'s> {
    /// Its place; that of the header for a `[table]`.
    pub span: Span,
    /// The value.
    pub node: Node<'s>,
}

/// A value.
#[derive(Debug, Clone)]
pub enum Node<'s> {
    /// A text.
    Text(Cow<'s, str>),
    /// A whole number; none where it does not fit into 64 bits.
    Integer(Option<i64>),
    /// A float, with its text without underscores.
    Float(f64, Cow<'s, str>),
    /// `true` or `false`.
    Bool(bool),
    /// A date or a time.
    Date,
    /// A list.
    List(Vec<Item<'s>>),
    /// `[[…]]`: tables, which no Amlfile has in this form.
    Tables(Vec<Item<'s>>),
    /// A table.
    Table(Table<'s>),
}

impl<'s> Table<'s> {
    /// An empty one.
    pub(super) fn made(origin: Origin) -> Self {
        Self { origin, ..Self::default() }
    }

    /// Where the entry of a key stands.
    pub(super) fn position(&self, key: &str) -> Option<usize> {
        if self.entries.len() > MANY {
            return self.index.get(key).copied();
        }
        self.entries.iter().position(|entry| entry.key == key)
    }

    /// Adds an entry, whose key must not be there; answers where it stands.
    pub(super) fn push(&mut self, entry: Entry<'s>) -> usize {
        let at = self.entries.len();
        if at == MANY {
            self.index = self.entries.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
        }
        if at >= MANY {
            self.index.insert(entry.key.clone(), at);
        }
        self.entries.push(entry);
        at
    }

    pub(super) fn at(&mut self, position: usize) -> Option<&mut Entry<'s>> {
        self.entries.get_mut(position)
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'s>] {
        &self.entries
    }

    /// The entry of a key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry<'s>> {
        self.entries.get(self.position(key)?)
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Item<'s>> {
        self.entry(key).map(|entry| &entry.item)
    }

    /// The entries of the table below a key; none where it is absent or something else.
    #[must_use]
    pub fn table(&self, key: &str) -> &[Entry<'s>] {
        self.get(key).map_or(&[], Item::entries)
    }

    /// The text of a key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<(&str, Span)> {
        let item = self.get(key)?;
        Some((item.text()?, item.span.clone()))
    }
}

impl<'s> Item<'s> {
    /// The text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.node {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self.node {
            Node::Integer(number) => number,
            _ => None,
        }
    }

    /// The whole number, where it is a count.
    #[must_use]
    pub fn count(&self) -> Option<u32> {
        self.integer().and_then(|number| u32::try_from(number).ok())
    }

    /// The number, whole or not.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a whole number beyond 2^53 is not told from its neighbours here")]
    pub fn number(&self) -> Option<f64> {
        match self.node {
            Node::Integer(number) => number.map(|n| n as f64),
            Node::Float(number, _) => Some(number),
            _ => None,
        }
    }

    /// `true` or `false`.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self.node {
            Node::Bool(bool) => Some(bool),
            _ => None,
        }
    }

    /// The elements of a list.
    #[must_use]
    pub fn list(&self) -> Option<&[Item<'s>]> {
        match &self.node {
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> Option<&Table<'s>> {
        match &self.node {
            Node::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The entries of the table; none where it is something else.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'s>] {
        self.table().map_or(&[], |table| &table.entries)
    }

    /// A scalar as a text: numbers as they were written.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        match &self.node {
            Node::Text(text) | Node::Float(_, text) => Some(text.clone().into_owned()),
            Node::Integer(number) => number.map(|number| number.to_string()),
            Node::Bool(bool) => Some(bool.to_string()),
            Node::Date | Node::List(_) | Node::Tables(_) | Node::Table(_) => None,
        }
    }

    /// A parameter's value; none where it has a date or a table in it.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        match &self.node {
            Node::Text(text) => Some(Value::Text(text.clone().into_owned())),
            Node::Integer(number) => number.map(Value::Integer),
            Node::Float(value, text) => Some(Value::Float(Number { value: *value, text: text.clone().into_owned() })),
            Node::Bool(bool) => Some(Value::Bool(*bool)),
            Node::List(items) => items.iter().map(Self::value).collect::<Option<_>>().map(Value::List),
            Node::Date | Node::Tables(_) | Node::Table(_) => None,
        }
    }

    /// The value as the user knows the type, as in `a text`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.node {
            Node::Text(_) => "a text",
            Node::Integer(_) => "a whole number",
            Node::Float(..) => "a number with a fraction",
            Node::Bool(_) => "true or false",
            Node::Date => "a date",
            Node::List(_) => "a list",
            Node::Tables(_) => "a list of tables",
            Node::Table(_) => "a table",
        }
    }
}
