//! `${…}`, `foreach` and `matrix` of dvc.yaml.

use super::merge;
use crate::foreign::doc::At;
use crate::yaml::{Entry, Node, Value};

/// A stage as it is run.
#[derive(Debug, Clone)]
pub(super) struct Concrete<'d> {
    /// Its name, as in `train@a`.
    pub(super) name: String,
    /// Its definition.
    pub(super) at: At<'d>,
    /// What names stand for in it.
    pub(super) values: Node,
}

/// More stages are not made of one.
const MOST: usize = 10_000;

/// The stages that an entry stands for.
pub(super) fn unroll<'d>(entry: &At<'d>, values: &Node) -> Vec<Concrete<'d>> {
    if let (Some(each), Some(body)) = (entry.get("foreach"), entry.get("do")) {
        let list = each.scalar().and_then(|text| node(&text, values)).unwrap_or_else(|| each.node.clone());
        let items: Vec<(String, Node)> = match &list.value {
            Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.node.clone())).collect(),
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| (item.scalar().unwrap_or_else(|| at.to_string()), item.clone()))
                .collect(),
            _ => Vec::new(),
        };
        let is_map = matches!(list.value, Value::Map(_));
        return items
            .into_iter()
            .take(MOST)
            .map(|(key, item)| {
                let mut known = vec![("item", item)];
                if is_map {
                    known.push(("key", text(&key)));
                }
                Concrete { name: format!("{}@{key}", entry.key), at: body.clone(), values: with(values, known) }
            })
            .collect();
    }
    if let Some(axes) = entry.get("matrix") {
        let mut cells: Vec<(Vec<String>, Vec<Entry>)> = vec![(Vec::new(), Vec::new())];
        for axis in axes.entries() {
            let list = axis.scalar().and_then(|text| node(&text, values)).unwrap_or_else(|| axis.node.clone());
            let mut next = Vec::new();
            for (names, chosen) in &cells {
                for (at, item) in list.items().iter().enumerate() {
                    if next.len() >= MOST {
                        break;
                    }
                    let (mut names, mut chosen) = (names.clone(), chosen.clone());
                    names.push(item.scalar().unwrap_or_else(|| format!("{}{at}", axis.key)));
                    chosen.push(Entry { key: axis.key.clone(), key_span: axis.span.clone(), node: item.clone() });
                    next.push((names, chosen));
                }
            }
            cells = next;
        }
        let one = |(names, chosen): (Vec<String>, Vec<Entry>)| {
            let item = Node { span: 0..0, value: Value::Map(chosen) };
            Concrete {
                name: format!("{}@{}", entry.key, names.join("-")),
                at: entry.clone(),
                values: with(values, vec![("item", item)]),
            }
        };
        return cells.into_iter().map(one).collect();
    }
    vec![Concrete { name: entry.key.clone(), at: entry.clone(), values: values.clone() }]
}

fn text(text: &str) -> Node {
    Node { span: 0..0, value: Value::Text(text.to_owned()) }
}

fn with(values: &Node, known: Vec<(&str, Node)>) -> Node {
    let mut all = values.clone();
    let entries = known.into_iter().map(|(key, node)| Entry { key: key.to_owned(), key_span: 0..0, node }).collect();
    merge(&mut all, &Node { span: 0..0, value: Value::Map(entries) });
    all
}

/// What a text that is one `${…}` stands for.
pub(super) fn node(text: &str, values: &Node) -> Option<Node> {
    let name = text.trim().strip_prefix("${")?.strip_suffix('}')?;
    (!name.contains('}')).then(|| lookup(name, values))?
}

/// `a.b[0].c`.
fn lookup(name: &str, values: &Node) -> Option<Node> {
    values.at(&name.trim().replace('[', ".").replace(']', "")).cloned()
}

/// A text with its `${…}` put in; names that are known to nobody stay. `\${` is a literal `${`. The second answer are the
/// names that were put in.
pub(super) fn expand(text: &str, values: &Node) -> (String, Vec<String>) {
    let (mut out, mut used) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('\\') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((name, next)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        if let Some(found) = lookup(name, values) {
            out.push_str(&shown(&found));
            used.push(name.trim().to_owned());
        } else {
            out.push_str("${");
            out.push_str(name);
            out.push('}');
        }
        rest = next;
    }
    out.push_str(rest);
    (out, used)
}

/// A value on a command line: a map is `--key value`, as DVC's dictionaries are unpacked.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::Null => String::new(),
        Value::Map(entries) => {
            let option = |entry: &Entry| match &entry.node.value {
                Value::Bool(true) => Some(format!("--{}", entry.key)),
                Value::Bool(false) | Value::Null => None,
                _ => Some(format!("--{} {}", entry.key, quoted(&shown(&entry.node)))),
            };
            entries.iter().filter_map(option).collect::<Vec<_>>().join(" ")
        }
        Value::List(items) => items.iter().map(shown).collect::<Vec<_>>().join(" "),
        _ => node.scalar().unwrap_or_default(),
    }
}

fn quoted(text: &str) -> String {
    if text.contains(char::is_whitespace) { format!("'{text}'") } else { text.to_owned() }
}
