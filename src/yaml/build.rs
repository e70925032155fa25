//! From the parser's events to trees, within the limits.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag, options};

use super::{DEEPEST, Entry, Fault, LONGEST, MOST_NODES, Node, Value, scalar};
use crate::diagnostic::Span;

/// A list or a map that is not closed yet.
enum Open {
    List { items: Vec<Node>, start: usize, anchor: usize },
    Map { entries: Vec<Entry>, key: Option<(String, Span)>, start: usize, anchor: usize },
}

/// What was built so far.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
    done: Vec<Node>,
}

pub(super) fn documents(text: &str) -> Result<Vec<Node>, Fault> {
    if text.len() > LONGEST {
        let message = format!("the text has {} bytes; more than {LONGEST} are not read", text.len());
        return Err(Fault { message, span: 0..0 });
    }
    let limits = options! { flow_nesting_limit: DEEPEST, block_nesting_limit: DEEPEST };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, limits) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
            Fault { message: error.info(), span: at..at }
        })?;
        builder.event(event, span.byte_range().unwrap_or(0..0))?;
    }
    Ok(builder.done)
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let value = value(&text, style, tag.as_deref());
                self.node(Node { span, value }, anchor, 1)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.deeper(&span)?;
                self.open.push(Open::List { items: Vec::new(), start: span.start, anchor });
            }
            Event::MappingStart(_, anchor, _) => {
                self.deeper(&span)?;
                self.open.push(Open::Map { entries: Vec::new(), key: None, start: span.start, anchor });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&span)?,
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    return Err(Fault { message: "an alias within the value that it names".into(), span });
                };
                let (node, size) = (node.clone(), *size);
                self.room(size, &span)?;
                self.node(node, 0, size)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn deeper(&self, span: &Span) -> Result<(), Fault> {
        if self.open.len() < DEEPEST {
            return Ok(());
        }
        Err(Fault { message: format!("nested deeper than {DEEPEST} levels"), span: span.clone() })
    }

    /// Counts nodes before they are made: an alias repeats as many as its original has.
    fn room(&self, more: usize, span: &Span) -> Result<(), Fault> {
        if self.nodes.saturating_add(more) <= MOST_NODES {
            return Ok(());
        }
        Err(Fault { message: format!("more than {MOST_NODES} values, aliases included"), span: span.clone() })
    }

    fn close(&mut self, end: &Span) -> Result<(), Fault> {
        let before = self.nodes;
        let (value, start, anchor) = match self.open.pop() {
            Some(Open::List { items, start, anchor }) => (Value::List(items), start, anchor),
            Some(Open::Map { entries, start, anchor, .. }) => (Value::Map(merged(entries)?), start, anchor),
            None => return Ok(()),
        };
        // A block ends where the next thing begins; what it holds ends it for the eye.
        let last = match &value {
            Value::List(items) => items.last().map(|item| item.span.end),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.span.end.max(entry.key_span.end)).max(),
            _ => None,
        };
        let end = if end.is_empty() { last.unwrap_or(end.end) } else { end.end };
        let node = Node { span: start..end.max(start), value };
        let size = if anchor > 0 { count(&node) } else { 0 };
        self.nodes = before;
        self.node_of_size(node, anchor, 1, size)
    }

    fn node(&mut self, node: Node, anchor: usize, new: usize) -> Result<(), Fault> {
        self.node_of_size(node, anchor, new, 1)
    }

    fn node_of_size(&mut self, node: Node, anchor: usize, new: usize, size: usize) -> Result<(), Fault> {
        self.room(new, &node.span)?;
        self.nodes += new;
        if anchor > 0 {
            // What an anchor keeps is a copy: it counts too.
            self.room(size, &node.span)?;
            self.nodes += size;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.done.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some((key, key_span)) = key.take() {
                    entries.push(Entry { key, key_span, node });
                } else {
                    let text = match &node.value {
                        Value::Null => Some(String::new()),
                        _ => node.scalar(),
                    };
                    let Some(text) = text else {
                        return Err(Fault { message: "a key that is a list or a map".into(), span: node.span });
                    };
                    *key = Some((text, node.span));
                }
            }
        }
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(count).sum::<usize>(),
        Value::Map(entries) => entries.iter().map(|entry| 1 + count(&entry.node)).sum(),
        _ => 0,
    }
}

/// The entries with what `<<` brings; no key twice.
fn merged(entries: Vec<Entry>) -> Result<Vec<Entry>, Fault> {
    let mut seen: BTreeMap<&str, &Span> = BTreeMap::new();
    for entry in &entries {
        if seen.insert(&entry.key, &entry.key_span).is_some() {
            return Err(Fault {
                message: format!("the key `{}` is there twice", entry.key),
                span: entry.key_span.clone(),
            });
        }
    }
    if !seen.contains_key("<<") {
        return Ok(entries);
    }
    let own: Vec<String> = seen.keys().map(|key| (*key).to_owned()).collect();
    let mut all: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.key != "<<" {
            all.push(entry);
            continue;
        }
        let maps = match entry.node.value {
            Value::Map(_) => vec![entry.node],
            Value::List(items) => items,
            _ => return Err(Fault { message: "`<<` takes a map, or a list of maps".into(), span: entry.node.span }),
        };
        for brought in maps {
            let Value::Map(brought) = brought.value else {
                return Err(Fault { message: "`<<` takes a map, or a list of maps".into(), span: brought.span });
            };
            for more in brought {
                if !own.contains(&more.key) && all.iter().all(|have| have.key != more.key) {
                    all.push(more);
                }
            }
        }
    }
    Ok(all)
}

/// A scalar by its style and its tag.
fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    match tag.and_then(Tag::core_suffix) {
        Some("str" | "binary") => Value::Text(text.to_owned()),
        Some(_) => scalar::plain(text),
        None if style == ScalarStyle::Plain && tag.is_none_or(|tag| tag.suffix() != "!") => scalar::plain(text),
        None => Value::Text(text.to_owned()),
    }
}
