//! Holds a document against the table of keys: unknown keys, wrong types, values that cannot be.

use super::document::{Document, Entry, Item, Node, Table};
use super::keys::{EXPRESSIONS, Key, Kind, ROOT, Tagged};
use super::suggest::nearest;
use super::units::{self, NoAmount};
use crate::diagnostic::{Diagnostic, Label, Span};

/// Adds a fault for everything that does not have the shape of an Amlfile.
pub(super) fn check(document: &Document<'_>, faults: &mut Vec<Diagnostic>) {
    let mut shape = Shape { text: document.text, faults };
    shape.keys(ROOT, &document.root);
}

struct Shape<'a> {
    text: &'a str,
    faults: &'a mut Vec<Diagnostic>,
}

impl Shape<'_> {
    fn keys(&mut self, known: &[Key], table: &Table<'_>) {
        for entry in table.entries() {
            match known.iter().find(|key| key.name == entry.key) {
                Some(key) => self.value(key.kind, &entry.key, &entry.item),
                None => self.unknown(known.iter().map(|key| key.name), entry),
            }
        }
    }

    fn unknown<'k>(&mut self, known: impl Iterator<Item = &'k str> + Clone, entry: &Entry<'_>) {
        let message = format!("unknown key `{}`", entry.key);
        let fault = Diagnostic::error("unknown-key", entry.key_span.clone(), message, "not a key of this table");
        self.faults.push(match nearest(&entry.key, known.clone()) {
            Some(near) => fault.fix("a key with a similar name exists", entry.key_span.clone(), near),
            None => fault.help(format!("the keys here are {}", listed(known))),
        });
    }

    fn value(&mut self, kind: Kind, key: &str, item: &Item<'_>) {
        match (kind, &item.node) {
            (Kind::Text, Node::Text(text)) if text.trim().is_empty() => {
                self.refuse("empty-text", item, format!("`{key}` is empty"), "no text here");
            }
            (Kind::Text | Kind::Scalar | Kind::Value, Node::Text(_))
            | (Kind::Bool | Kind::Scalar | Kind::Value, Node::Bool(_))
            | (Kind::Number | Kind::Scalar | Kind::Value, Node::Float(..))
            | (Kind::Format | Kind::Number | Kind::Scalar | Kind::Value, Node::Integer(Some(_))) => {}
            (_, Node::Integer(None)) => {
                let message = format!("the number of `{key}` is too large");
                self.refuse("out-of-range", item, message, "does not fit into 64 bits");
            }
            (Kind::Count | Kind::Positive, Node::Integer(Some(number))) => self.count(kind, key, *number, item),
            (Kind::Memory, Node::Text(text)) => self.amount(key, item, units::memory(text).err(), "memory"),
            (Kind::Time, Node::Text(text)) => self.amount(key, item, units::time(text).err(), "time"),
            (Kind::Choice(choices), Node::Text(text)) => {
                if !choices.contains(&text.as_ref()) {
                    self.choice(key, text, choices, &item.span);
                }
            }
            (Kind::List(element), Node::List(items)) => {
                for item in items {
                    self.value(*element, key, item);
                }
            }
            (Kind::Value, Node::List(items)) => {
                for item in items {
                    self.value(Kind::Scalar, key, item);
                }
            }
            (Kind::Paths, Node::List(items)) => {
                for item in items {
                    self.value(Kind::Text, key, item);
                }
            }
            (Kind::Paths, Node::Table(table)) => {
                for entry in table.entries() {
                    self.value(Kind::Text, &entry.key, &entry.item);
                }
            }
            (Kind::Map(kind), Node::Table(table)) => {
                for entry in table.entries() {
                    self.value(*kind, &entry.key, &entry.item);
                }
            }
            (Kind::Table(keys), Node::Table(table)) => self.keys(keys, table),
            (Kind::Tagged(tagged), Node::Table(table)) => self.tagged(tagged, key, item, table),
            (Kind::Expression, Node::Table(table)) => self.expression(key, item, table),
            _ => self.mistyped(kind, key, item),
        }
    }

    fn refuse(&mut self, code: &'static str, item: &Item<'_>, message: String, label: &str) {
        self.faults.push(Diagnostic::error(code, item.span.clone(), message, label));
    }

    fn count(&mut self, kind: Kind, key: &str, number: i64, item: &Item<'_>) {
        let least = i64::from(matches!(kind, Kind::Positive));
        if number < least {
            let message = format!("`{key}` must be at least {least}, not {number}");
            self.refuse("out-of-range", item, message, "too small");
        } else if number > i64::from(u32::MAX) {
            self.refuse(
                "out-of-range",
                item,
                format!("`{key}` must be at most {}, not {number}", u32::MAX),
                "too large",
            );
        }
    }

    fn amount(&mut self, key: &str, item: &Item<'_>, fault: Option<NoAmount>, what: &'static str) {
        let Some(NoAmount { why, meant }) = fault else { return };
        let code = if what == "memory" { "bad-memory" } else { "bad-time" };
        let help =
            if what == "memory" { "memory is written as in \"4GiB\"" } else { "time is written as in \"1h 30m\"" };
        let message = format!("`{key}` {why}");
        let fault = Diagnostic::error(code, item.span.clone(), message, format!("not an amount of {what}"));
        self.faults.push(match meant {
            Some(meant) => fault.fix(help, item.span.clone(), quoted(&meant)),
            None => fault.help(help),
        });
    }

    fn choice(&mut self, key: &str, text: &str, choices: &[&str], span: &Span) {
        let message = format!("`{key}` cannot be `{text}`");
        let fault = Diagnostic::error("unknown-value", span.clone(), message, "not one of the values");
        self.faults.push(match nearest(text, choices.iter().copied()) {
            Some(near) => fault.fix("a similar value exists", span.clone(), quoted(near)),
            None => fault.help(format!("the values are {}", listed(choices.iter().copied()))),
        });
    }

    fn tagged(&mut self, tagged: &Tagged, key: &str, item: &Item<'_>, table: &Table<'_>) {
        let names = tagged.variants.iter().map(|(name, _)| *name);
        let Some(tag) = table.get(tagged.tag) else {
            let message = format!("`{key}` has no `{}`", tagged.tag);
            let fault =
                Diagnostic::error("missing-key", item.span.clone(), message, format!("needs a `{}`", tagged.tag));
            self.faults.push(fault.help(format!("`{}` is one of {}", tagged.tag, listed(names))));
            return;
        };
        let Some(text) = tag.text() else { return self.mistyped(Kind::Text, tagged.tag, tag) };
        let Some((_, keys)) = tagged.variants.iter().find(|(name, _)| *name == text) else {
            let names: Vec<&str> = names.collect();
            return self.choice(tagged.tag, text, &names, &tag.span);
        };
        for entry in table.entries().iter().filter(|entry| entry.key != tagged.tag) {
            let known = tagged.common.iter().chain(keys.iter());
            if let Some(key) = known.clone().find(|key| key.name == entry.key) {
                self.value(key.kind, &entry.key, &entry.item);
                continue;
            }
            self.unknown(known.map(|key| key.name).chain([tagged.tag]), entry);
            let other = tagged.variants.iter().find(|(_, keys)| keys.iter().any(|key| key.name == entry.key));
            if let (Some((other, _)), Some(fault)) = (other, self.faults.last_mut()) {
                let text = format!("`{}` is a key of `{other}`", entry.key);
                fault.context.push(Label { span: tag.span.clone(), text });
            }
        }
    }

    /// `{ uniform = [0, 1] }`: one name, and as many arguments as it takes.
    fn expression(&mut self, key: &str, item: &Item<'_>, table: &Table<'_>) {
        let [entry] = table.entries() else {
            let message = format!("the space of `{key}` must be one expression, as in {{ uniform = [0, 1] }}");
            return self.refuse("bad-expression", item, message, "not one expression");
        };
        let Some(expression) = EXPRESSIONS.iter().find(|e| e.name == entry.key) else {
            let names = EXPRESSIONS.iter().map(|e| e.name);
            let message = format!("unknown expression `{}`", entry.key);
            let span = entry.key_span.clone();
            let fault = Diagnostic::error("bad-expression", span.clone(), message, "not an expression");
            self.faults.push(match nearest(&entry.key, names.clone()) {
                Some(near) => fault.fix("an expression with a similar name exists", span, near),
                None => fault.help(format!("the expressions are {}", listed(names))),
            });
            return;
        };
        if expression.name == "choice" {
            return self.choices(key, &entry.item);
        }
        let lone = expression.arguments.len() == 1;
        let arguments = match &entry.item.node {
            Node::List(items) => items.as_slice(),
            _ if lone => std::slice::from_ref(&entry.item),
            _ => return self.mistyped(Kind::List(&Kind::Number), &entry.key, &entry.item),
        };
        if arguments.len() != expression.arguments.len() {
            let message = format!(
                "`{}` takes {} ({}), not {}",
                expression.name,
                expression.arguments.len(),
                expression.arguments.join(", "),
                arguments.len()
            );
            return self.refuse("bad-expression", &entry.item, message, "wrong number of arguments");
        }
        let before = self.faults.len();
        for argument in arguments {
            self.value(Kind::Number, &entry.key, argument);
        }
        if self.faults.len() == before {
            self.arguments(expression.name, expression.arguments, arguments, &entry.item);
        }
    }

    /// What the arguments of an expression must fulfil together.
    fn arguments(&mut self, name: &str, names: &[&str], items: &[Item<'_>], all: &Item<'_>) {
        let of = |wanted: &str| {
            let at = names.iter().position(|name| *name == wanted)?;
            items.get(at)?.number()
        };
        let why = if items.iter().any(|item| item.number().is_none_or(|number| !number.is_finite())) {
            "takes finite numbers"
        } else if of("min").zip(of("max")).is_some_and(|(min, max)| min >= max) {
            "needs a min below its max"
        } else if of("sigma").is_some_and(|sigma| sigma < 0.0) {
            "needs a sigma of 0 or more"
        } else if of("q").is_some_and(|q| q <= 0.0) {
            "needs a q above 0"
        } else if name == "randint" && items.first().and_then(Item::integer).is_none_or(|upper| upper < 1) {
            "needs a whole number of 1 or more"
        } else {
            return;
        };
        self.refuse("bad-expression", all, format!("`{name}` {why}"), "cannot be drawn from");
    }

    /// The values of a `choice`; a table among them is a space of its own.
    fn choices(&mut self, key: &str, item: &Item<'_>) {
        let Some(items) = item.list() else { return self.mistyped(Kind::List(&Kind::Value), "choice", item) };
        if items.is_empty() {
            return self.refuse("bad-expression", item, "`choice` has no values".into(), "nothing to choose from");
        }
        for item in items {
            match item.table() {
                None => self.value(Kind::Value, key, item),
                Some(table) => {
                    for entry in table.entries() {
                        let kind = if entry.item.table().is_some() { Kind::Expression } else { Kind::Value };
                        self.value(kind, &entry.key, &entry.item);
                    }
                }
            }
        }
    }

    fn mistyped(&mut self, kind: Kind, key: &str, item: &Item<'_>) {
        let message = format!("`{key}` must be {}, not {}", kind.describe(), item.type_name());
        let fault =
            Diagnostic::error("wrong-type", item.span.clone(), message, format!("this is {}", item.type_name()));
        let raw = self.text.get(item.span.clone()).unwrap_or_default();
        let bare = item.text().unwrap_or_default();
        self.faults.push(match (kind, &item.node) {
            (Kind::Text | Kind::Choice(_), Node::Integer(_) | Node::Float(..) | Node::Bool(_) | Node::Date)
            | (Kind::Scalar | Kind::Value, Node::Date) => fault.fix("put it in quotes", item.span.clone(), quoted(raw)),
            (Kind::Memory, Node::Integer(_)) => {
                fault.fix("add a unit", item.span.clone(), quoted(&format!("{raw}GiB")))
            }
            (Kind::Time, Node::Integer(_)) => fault.fix("add a unit", item.span.clone(), quoted(&format!("{raw}s"))),
            (Kind::Bool, Node::Text(_)) if matches!(bare, "true" | "false") => {
                fault.fix("leave the quotes out", item.span.clone(), bare)
            }
            (Kind::Count | Kind::Positive | Kind::Format | Kind::Number, Node::Text(_))
                if bare.parse::<f64>().is_ok() =>
            {
                fault.fix("leave the quotes out", item.span.clone(), bare)
            }
            (Kind::List(_) | Kind::Paths, Node::Text(_) | Node::Integer(_) | Node::Float(..) | Node::Bool(_)) => {
                fault.fix("make it a list", item.span.clone(), format!("[{raw}]"))
            }
            _ => fault,
        });
    }
}

impl Kind {
    /// What a value of this kind is, as in `a list of texts`.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Text | Self::Choice(_) => "a text",
            Self::Bool => "true or false",
            Self::Count | Self::Positive | Self::Format => "a whole number",
            Self::Number => "a number",
            Self::Memory => "an amount of memory in quotes",
            Self::Time => "a length of time in quotes",
            Self::Scalar => "a text, a number, or true or false",
            Self::Value => "a text, a number, true or false, or a list of these",
            Self::List(Self::Text) => "a list of texts",
            Self::List(Self::Number) => "a list of numbers",
            Self::List(_) => "a list",
            Self::Paths => "a list of paths, or a table of names and paths",
            Self::Map(_) | Self::Table(_) | Self::Tagged(_) => "a table",
            Self::Expression => "an expression, as in { uniform = [0, 1] }",
        }
    }
}

/// A TOML string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Names in backticks, with commas between.
pub(crate) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
