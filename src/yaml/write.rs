//! Writes values as YAML in block style, such that every reader of YAML 1.1 and 1.2 reads them back as they were.

use serde_json::Value;

/// A document of these values; the order of maps is kept as far as `serde_json` keeps it, so they are given as pairs.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A scalar.
    Scalar(Value),
    /// A number as it was written; it must be one to every reader.
    Number(String),
    /// A list.
    List(Vec<Item>),
    /// A map, in this order.
    Map(Vec<(String, Item)>),
}

impl Item {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Scalar(Value::String(text.into()))
    }
}

impl From<Value> for Item {
    fn from(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.into_iter().map(Into::into).collect()),
            Value::Object(map) => Self::Map(map.into_iter().map(|(key, value)| (key, value.into())).collect()),
            scalar => Self::Scalar(scalar),
        }
    }
}

/// The text of a document.
#[must_use]
pub fn document(item: &Item) -> String {
    let mut text = String::new();
    block(&mut text, item, 0);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn block(to: &mut String, item: &Item, depth: usize) {
    match item {
        Item::Map(entries) if entries.is_empty() => to.push_str("{}\n"),
        Item::List(items) if items.is_empty() => to.push_str("[]\n"),
        Item::Scalar(value) => {
            to.push_str(&scalar(value));
            to.push('\n');
        }
        Item::Number(text) => {
            to.push_str(text);
            to.push('\n');
        }
        Item::Map(entries) => {
            for (at, (key, value)) in entries.iter().enumerate() {
                if at > 0 || !to.ends_with("- ") {
                    indent(to, depth);
                }
                to.push_str(&quoted(key));
                to.push(':');
                below(to, value, depth + 1);
            }
        }
        Item::List(items) => {
            for (at, value) in items.iter().enumerate() {
                if at > 0 || !to.ends_with("- ") {
                    indent(to, depth);
                }
                to.push_str("- ");
                block(to, value, depth + 1);
            }
        }
    }
}

/// What follows `key:`.
fn below(to: &mut String, item: &Item, depth: usize) {
    match item {
        Item::Scalar(Value::String(text)) if is_literal(text) => {
            to.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                if !line.is_empty() {
                    indent(to, depth);
                    to.push_str(line);
                }
                to.push('\n');
            }
        }
        Item::Map(entries) if !entries.is_empty() => {
            to.push('\n');
            block(to, item, depth);
        }
        Item::List(items) if !items.is_empty() => {
            to.push('\n');
            block(to, item, depth);
        }
        _ => {
            to.push(' ');
            block(to, item, depth);
        }
    }
}

fn indent(to: &mut String, depth: usize) {
    to.extend(std::iter::repeat_n("  ", depth));
}

/// Whether a text of several lines can stand as a literal block without losing anything.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n', '\t'])
        && text.lines().all(|line| !line.ends_with([' ', '\t']) && line.chars().all(|c| !c.is_control() || c == '\t'))
        && text.chars().all(|c| !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\r'))
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A text without quotes where no reader can take it for anything else; else in double quotes, as JSON has them.
fn quoted(text: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(
                c,
                '_' | '-'
                    | '.'
                    | '/'
                    | '$'
                    | '{'
                    | '}'
                    | '('
                    | ')'
                    | '='
                    | '+'
                    | ' '
                    | ':'
                    | '@'
                    | ','
                    | '['
                    | ']'
                    | '<'
                    | '>'
            )
    };
    let first = text.chars().next();
    let is_plain = first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text.chars().all(plain)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !text.contains(" -")
        && !text.contains("  ");
    let words = ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"];
    if is_plain && !words.contains(&text.to_lowercase().as_str()) {
        return text.to_owned();
    }
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn back(item: &Item) -> crate::yaml::Node {
        let text = document(item);
        super::super::parse(&text).unwrap_or_else(|fault| panic!("{fault:?} in\n{text}"))
    }

    #[test]
    fn a_document() {
        let item = Item::Map(vec![
            ("command".into(), Item::text("python train.py\necho done\n")),
            ("empty".into(), Item::Map(Vec::new())),
            (
                "list".into(),
                Item::List(vec![
                    Item::text("yes"),
                    Item::Map(vec![("a".into(), Item::text("b: c")), ("d".into(), Item::List(vec![Item::text("1")]))]),
                ]),
            ),
        ]);
        let expected = "command: |\n  python train.py\n  echo done\nempty: {}\nlist:\n  - \"yes\"\n  - a: \"b: c\"\n    d:\n      - \"1\"\n";
        assert_eq!(document(&item), expected);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(texts in proptest::collection::vec("[ -~\\n\\té:#'\"]{0,12}", 0..4), key in "[ -~]{1,8}") {
            let list = Item::List(texts.iter().map(Item::text).collect());
            let item = Item::Map(vec![(key.clone(), list), ("z z".into(), Item::text(texts.join("\n")))]);
            prop_assume!(key != "z z" && key != "<<");
            let node = back(&item);
            let read: Vec<_> = node.get(&key).unwrap().items().iter().map(|n| n.text().unwrap().to_owned()).collect();
            prop_assert_eq!(read, texts.clone());
            prop_assert_eq!(node.get("z z").unwrap().text().unwrap(), texts.join("\n"));
        }
    }
}
