//! Builds a document from the parser's events, by the rules of TOML on who may add to which table.

use std::borrow::Cow;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::EventReceiver;
use toml_parser::{ErrorSink, Raw, Source, Span as At};

use crate::amlfile::document::{Entry, Item, Node, Origin, Table};
use crate::diagnostic::{Diagnostic, Span};
use crate::value::Value;

type Key<'s> = (Cow<'s, str>, Span);

/// A list or a table in braces that is not closed yet.
enum Open<'s> {
    List(Vec<Item<'s>>, usize),
    Table(Table<'s>, usize, usize),
}

pub(super) struct Builder<'s> {
    source: Source<'s>,
    root: Table<'s>,
    /// From the root to the table of the last header, by the positions of the entries; none where that header was at
    /// fault, and what follows it belongs nowhere.
    current: Option<Vec<Step>>,
    /// The keys read so far of a header, or of an entry; those of entries within braces follow those of the outer ones.
    keys: Vec<Key<'s>>,
    /// Where the header began, while one is read.
    header: Option<usize>,
    open: Vec<Open<'s>>,
    /// A value without a key: the whole of a text that is one value.
    alone: Option<Item<'s>>,
    faults: Vec<Diagnostic>,
}

/// A way down: an entry, and for a list of tables the last of them.
#[derive(Clone, Copy)]
struct Step(usize);

fn span(at: At) -> Span {
    at.start()..at.end()
}

impl<'s> Builder<'s> {
    pub(super) fn new(source: Source<'s>) -> Self {
        let root = Table::made(Origin::Headed);
        let (keys, open, faults) = (Vec::new(), Vec::new(), Vec::new());
        Self { source, root, current: Some(Vec::new()), keys, header: None, open, alone: None, faults }
    }

    pub(super) fn finish(self) -> (Table<'s>, Vec<Diagnostic>) {
        (self.root, self.faults)
    }

    /// The value that the text was; none where it has a part that no parameter can have.
    pub(super) fn value(&self) -> Option<Value> {
        self.alone.as_ref()?.value()
    }

    fn table(&mut self) -> Option<&mut Table<'s>> {
        let steps = self.current.as_ref()?;
        steps.iter().try_fold(&mut self.root, |table, step| last_table(&mut table.at(step.0)?.item))
    }

    /// Ends a header: makes its table the current one.
    fn enter(&mut self, end: usize, many: bool) {
        let Some(start) = self.header.take() else { return };
        let mut keys = std::mem::take(&mut self.keys);
        self.current = None;
        let Some(last) = keys.pop() else { return };
        let mut steps = Vec::with_capacity(keys.len() + 1);
        let mut table = &mut self.root;
        for key in keys {
            let at = match table.position(&key.0) {
                Some(at) => at,
                None => table.push(entry(&key, Origin::Implied, key.1.clone())),
            };
            steps.push(Step(at));
            let Some(found) = table.at(at) else { return };
            let first = found.key_span.clone();
            match last_table(&mut found.item) {
                Some(inner) if inner.origin != Origin::Inline => table = inner,
                _ => return self.faults.push(duplicate(&key, &first, "cannot be added to")),
            }
        }
        let header = start..end;
        let at = match table.position(&last.0) {
            None => {
                let mut entry = entry(&last, Origin::Headed, header.clone());
                if many {
                    let first = std::mem::replace(&mut entry.item.node, Node::Tables(Vec::new()));
                    push_table(&mut entry.item, Item { span: header, node: first });
                }
                table.push(entry)
            }
            Some(at) => {
                let Some(found) = table.at(at) else { return };
                let first = found.key_span.clone();
                match &mut found.item.node {
                    Node::Table(inner) if !many && inner.origin == Origin::Implied => {
                        inner.origin = Origin::Headed;
                        found.item.span = header;
                        found.key_span = last.1;
                    }
                    Node::Tables(_) if many => {
                        let node = Node::Table(Table::made(Origin::Headed));
                        push_table(&mut found.item, Item { span: header, node });
                    }
                    _ => return self.faults.push(duplicate(&last, &first, "a second time")),
                }
                at
            }
        };
        steps.push(Step(at));
        self.current = Some(steps);
    }

    /// A value is complete: it goes where it belongs.
    fn put(&mut self, item: Item<'s>) {
        match self.open.last_mut() {
            Some(Open::List(items, _)) => items.push(item),
            Some(Open::Table(table, base, _)) => {
                let keys = self.keys.split_off((*base).min(self.keys.len()));
                insert(table, keys, item, &mut self.faults);
            }
            None => {
                let keys = std::mem::take(&mut self.keys);
                if keys.is_empty() {
                    self.alone = Some(item);
                    return;
                }
                let mut faults = std::mem::take(&mut self.faults);
                if let Some(table) = self.table() {
                    insert(table, keys, item, &mut faults);
                }
                self.faults = faults;
            }
        }
    }

    fn close(&mut self, end: usize) {
        match self.open.pop() {
            Some(Open::List(items, start)) => self.put(Item { span: start..end, node: Node::List(items) }),
            Some(Open::Table(mut table, base, start)) => {
                self.keys.truncate(base);
                seal(&mut table);
                self.put(Item { span: start..end, node: Node::Table(table) });
            }
            None => {}
        }
    }

    /// What is still open when something else begins was never closed.
    fn abandon(&mut self) {
        self.open.clear();
        self.keys.clear();
    }
}

/// Adds a value under a dotted key.
fn insert<'s>(table: &mut Table<'s>, mut keys: Vec<Key<'s>>, item: Item<'s>, faults: &mut Vec<Diagnostic>) {
    let Some(last) = keys.pop() else { return };
    let mut table = table;
    for key in keys {
        let at = match table.position(&key.0) {
            Some(at) => at,
            None => table.push(entry(&key, Origin::Dotted, key.1.clone())),
        };
        let Some(found) = table.at(at) else { return };
        let first = found.key_span.clone();
        match &mut found.item.node {
            Node::Table(inner) if matches!(inner.origin, Origin::Dotted | Origin::Implied) => {
                inner.origin = Origin::Dotted;
                table = inner;
            }
            _ => return faults.push(duplicate(&key, &first, "cannot be added to")),
        }
    }
    match table.position(&last.0) {
        None => {
            table.push(Entry { key: last.0, key_span: last.1, item });
        }
        Some(at) => {
            let first = table.at(at).map_or(0..0, |entry| entry.key_span.clone());
            faults.push(duplicate(&last, &first, "a second time"));
        }
    }
}

/// A table in braces is complete, with those that its dotted keys made.
fn seal(table: &mut Table<'_>) {
    table.origin = Origin::Inline;
    for at in 0..table.entries().len() {
        if let Some(Node::Table(inner)) = table.at(at).map(|entry| &mut entry.item.node) {
            seal(inner);
        }
    }
}

fn entry<'s>(key: &Key<'s>, origin: Origin, span: Span) -> Entry<'s> {
    let node = Node::Table(Table::made(origin));
    Entry { key: key.0.clone(), key_span: key.1.clone(), item: Item { span, node } }
}

fn push_table<'s>(to: &mut Item<'s>, table: Item<'s>) {
    if let Node::Tables(tables) = &mut to.node {
        tables.push(table);
    }
}

/// The table, or the last of a list of tables.
fn last_table<'t, 's>(item: &'t mut Item<'s>) -> Option<&'t mut Table<'s>> {
    match &mut item.node {
        Node::Table(table) => Some(table),
        Node::Tables(tables) => last_table(tables.last_mut()?),
        _ => None,
    }
}

fn duplicate(key: &Key<'_>, first: &Span, label: &str) -> Diagnostic {
    let message = format!("the key `{}` is there already", key.0);
    let fault = Diagnostic::error("duplicate-key", key.1.clone(), message, label);
    if *first == (0..0) { fault } else { fault.with(first.clone(), "first here") }
}

impl EventReceiver for Builder<'_> {
    fn std_table_open(&mut self, at: At, _: &mut dyn ErrorSink) {
        self.abandon();
        self.header = Some(at.start());
    }

    fn array_table_open(&mut self, at: At, error: &mut dyn ErrorSink) {
        self.std_table_open(at, error);
    }

    fn std_table_close(&mut self, at: At, _: &mut dyn ErrorSink) {
        self.enter(at.end(), false);
    }

    fn array_table_close(&mut self, at: At, _: &mut dyn ErrorSink) {
        self.enter(at.end(), true);
    }

    fn inline_table_open(&mut self, at: At, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::Table(Table::default(), self.keys.len(), at.start()));
        true
    }

    fn inline_table_close(&mut self, at: At, _: &mut dyn ErrorSink) {
        self.close(at.end());
    }

    fn array_open(&mut self, at: At, _: &mut dyn ErrorSink) -> bool {
        self.open.push(Open::List(Vec::new(), at.start()));
        true
    }

    fn array_close(&mut self, at: At, _: &mut dyn ErrorSink) {
        self.close(at.end());
    }

    fn simple_key(&mut self, at: At, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let written = self.source.input().get(span(at)).unwrap_or_default();
        let mut key = Cow::Borrowed("");
        Raw::new_unchecked(written, encoding, at).decode_key(&mut key, error);
        self.keys.push((key, span(at)));
    }

    fn scalar(&mut self, at: At, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let written = self.source.input().get(span(at)).unwrap_or_default();
        let mut text = Cow::Borrowed("");
        let kind = Raw::new_unchecked(written, encoding, at).decode_scalar(&mut text, error);
        let node = match kind {
            ScalarKind::String => Node::Text(text),
            ScalarKind::Boolean(bool) => Node::Bool(bool),
            ScalarKind::DateTime => Node::Date,
            ScalarKind::Float => Node::Float(text.parse().unwrap_or(f64::NAN), text),
            ScalarKind::Integer(radix) => Node::Integer(i64::from_str_radix(&text, radix.value()).ok()),
        };
        self.put(Item { span: span(at), node });
    }

    fn value_sep(&mut self, _: At, _: &mut dyn ErrorSink) {
        if let Some(Open::Table(_, base, _)) = self.open.last() {
            self.keys.truncate(*base);
        }
    }

    fn newline(&mut self, _: At, _: &mut dyn ErrorSink) {
        if self.open.is_empty() && self.header.is_none() {
            self.keys.clear();
        }
    }
}
