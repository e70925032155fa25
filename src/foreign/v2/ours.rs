//! What `amlrun export` kept for the way back: `amlrun.KEY` in a job's `properties`, or in an environment's `tags`.
//!
//! It only completes what the document says by v2's own keys (a name, a path in the project, keys that v2 lacks): commands,
//! inputs and edges are read from the document itself, so that an edit to it counts.

use std::collections::BTreeMap;

use super::super::doc::At;
use super::super::look::Context;
use super::super::model::{Cell, Experiment, Toml};
use crate::amlfile::document::Item;
use crate::diagnostic::Source;
use crate::value::Value;

/// The kept keys, without `amlrun.`.
#[derive(Debug, Default)]
pub(super) struct Ours(BTreeMap<String, String>);

/// Reads them from `properties` or `tags`, and accounts for them.
pub(super) fn of(context: &mut Context<'_>, at: &At<'_>, table: &str) -> Ours {
    let mut found = BTreeMap::new();
    for entry in at.get(table).map(|table| table.entries()).unwrap_or_default() {
        if let (Some(key), Some(text)) = (entry.key.strip_prefix("amlrun."), entry.scalar()) {
            context.report.taken(&entry, "what `amlrun export` kept");
            found.insert(key.to_owned(), text);
        }
    }
    Ours(found)
}

/// Reads them from a job's `properties`, and leaves the account to [`of`].
pub(super) fn peek(at: &At<'_>) -> Ours {
    let entries = at.get("properties").map(|table| table.entries()).unwrap_or_default();
    let kept =
        entries.iter().filter_map(|entry| Some((entry.key.strip_prefix("amlrun.")?.to_owned(), entry.scalar()?)));
    Ours(kept.collect())
}

/// The name that an experiment had.
pub(super) fn name(at: &At<'_>) -> Option<String> {
    at.get("properties")?.get("amlrun.experiment")?.scalar().filter(|name| is_name(name))
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !matches!(c, '[' | ']' | '$' | '{' | '}' | '*' | '?' | ',' | '=');
    !name.is_empty() && name.chars().all(plain)
}

/// Where an output of a job lies in the project.
pub(super) fn output(at: &At<'_>, key: &str) -> Option<String> {
    let path = at.get("properties")?.get(&format!("amlrun.output.{key}"))?.scalar()?;
    super::super::names::from("", &path)
}

impl Ours {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A path of the project, seen from its top.
    pub(super) fn path(&self, key: &str) -> Option<String> {
        super::super::names::from("", self.text(key)?)
    }

    /// A value as TOML writes it.
    pub(super) fn toml(&self, key: &str) -> Option<Toml> {
        let table = format!("x = {}", self.text(key)?).parse::<toml::Table>().ok()?;
        model(table.get("x")?)
    }

    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let Toml::List(items) = self.toml(key)? else { return None };
        let text = |item: Toml| match item {
            Toml::Value(Value::Text(text)) => Some(text),
            _ => None,
        };
        items.into_iter().map(text).collect()
    }

    /// The name of an input, an output or a parameter by its key there.
    pub(super) fn name(&self, kind: &str, key: &str) -> Option<String> {
        self.text(&format!("{kind}-name.{key}")).map(str::to_owned)
    }

    /// A parameter's value, where the document could only have its text, and still has it.
    pub(super) fn value(&self, key: &str, text: &str) -> Option<Value> {
        let value = as_value(self.toml(&format!("param.{key}"))?)?;
        (value.to_string() == text).then_some(value)
    }

    /// The cell of a matrix that the job was.
    pub(super) fn cell(&self) -> Option<Cell> {
        let axes = self.texts("matrix")?;
        // A name that another tool's file gives is one that an Amlfile takes.
        let is_axis = |axis: &String| !axis.is_empty() && super::super::names::plain(axis) == *axis;
        let is_twice = axes.iter().enumerate().any(|(at, axis)| axes.iter().skip(at + 1).any(|other| other == axis));
        if axes.is_empty() || is_twice || !axes.iter().all(is_axis) {
            return None;
        }
        let all = axes.iter().map(|axis| match self.exact(&format!("axis.{axis}")) {
            Some(Value::List(values)) => values,
            _ => Vec::new(),
        });
        let all = all.collect();
        let axes = axes.into_iter().map(|axis| Some((axis.clone(), self.exact(&format!("cell.{axis}"))?)));
        let matrix = self.text("matrix-name").filter(|name| is_name(name))?.to_owned();
        Some(Cell { matrix, job: self.text("job")?.to_owned(), axes: axes.collect::<Option<_>>()?, all })
    }

    /// A value as TOML writes it, numbers by their letters: they are part of a job's name.
    fn exact(&self, key: &str) -> Option<Value> {
        match self.draw(key)? {
            Toml::Value(value) => Some(value),
            Toml::List(_) | Toml::Table(_) => None,
        }
    }

    /// What a parameter is drawn from: tables in their order, numbers by their letters.
    pub(super) fn draw(&self, key: &str) -> Option<Toml> {
        let source = Source { name: key.to_owned(), text: format!("[params]\nx = {}", self.text(key)?) };
        let (document, _) = crate::amlfile::parse(&source);
        if document.broken {
            return None;
        }
        whole(document.root.get("params")?.table()?.get("x")?)
    }

    /// What searched parameters are where a trial leaves them out, and what that names.
    pub(super) fn defaults(&self) -> Vec<(String, Value)> {
        let Some(Toml::Table(pairs)) = self.draw("defaults") else { return Vec::new() };
        let value = |(name, value)| if let Toml::Value(value) = value { Some((name, value)) } else { None };
        pairs.into_iter().filter_map(value).collect()
    }

    /// A command without the searched parameters that the export appended to it, as amlrun appends them itself.
    pub(super) fn without_appended(&self, command: String) -> String {
        let appended = |key: &String| {
            let name = self.name("param", key).unwrap_or_else(|| key.clone());
            format!(" {} ${{{{search_space.{key}}}}}", shell_words::quote(&format!("--{name}")))
        };
        let end: String = self.texts("appended").unwrap_or_default().iter().map(appended).collect();
        command.strip_suffix(&end).map(str::to_owned).unwrap_or(command)
    }

    /// The variables whose values are the caller's, as an Amlfile writes them.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let Some(Toml::Table(pairs)) = self.toml("variables") else { return Vec::new() };
        let text = |(name, value): (String, Toml)| match value {
            Toml::Value(Value::Text(text)) => Some((name, text)),
            _ => None,
        };
        pairs.into_iter().filter_map(text).collect()
    }

    /// The keys that v2 has no words for.
    pub(super) fn complete(&self, one: &mut Experiment) {
        // What `code` says holds; without it nothing of the folder is taken, and only the directory is missing.
        if one.sources.as_ref().is_some_and(Vec::is_empty) {
            let kept = self.path("source_directory");
            one.source_directory = kept.filter(|path| path != ".");
        }
        one.sources = self.texts("sources").or_else(|| one.sources.take());
        one.metrics.extend(self.texts("metrics").unwrap_or_default());
        one.needs.extend(self.texts("needs").unwrap_or_default());
        if let Some(Toml::Table(pairs)) = self.toml("resources") {
            let new = pairs.into_iter().filter(|(key, _)| one.resources.iter().all(|(known, _)| known != key));
            one.resources.extend(new.collect::<Vec<_>>());
        }
        for key in ["retries", "secrets", "cache", "isolation"] {
            let known = one.more.iter().any(|(name, _)| name == key);
            one.more.extend(self.toml(key).filter(|_| !known).map(|value| (key.to_owned(), value)));
        }
    }
}

/// The lines that `amlrun export` put around a command, and the script that it runs: `(command, script)`.
pub(super) fn own_command(text: &str) -> String {
    use crate::foreign::v2::{HAND_OVER, RUN};
    let body = text.split_once(&format!("{RUN}\n")).map_or(text, |(_, body)| body);
    let body = body.split_once(&format!("\n{HAND_OVER}\n")).map_or(body, |(body, _)| body);
    body.to_owned()
}

/// The arguments after a script, where a command is nothing but an interpreter, the script and arguments.
pub(super) fn arguments(text: &str, script: &str) -> Option<Vec<String>> {
    let mut words = shell_words::split(text).ok()?.into_iter();
    let own = format!("./{script}");
    let is_script = |word: &String| *word == script || *word == own;
    let first = words.next()?;
    if !is_script(&first) && !words.next().is_some_and(|second| is_script(&second)) {
        return None;
    }
    Some(words.collect())
}

/// All of a value: a list that holds a table is one of anything.
fn whole(item: &Item<'_>) -> Option<Toml> {
    if let Some(table) = item.table() {
        let pairs = table.entries().iter().map(|entry| Some((entry.key.clone().into_owned(), whole(&entry.item)?)));
        return pairs.collect::<Option<_>>().map(Toml::Table);
    }
    match (item.value(), item.list()) {
        (Some(value), _) => Some(Toml::Value(value)),
        (None, list) => list?.iter().map(whole).collect::<Option<_>>().map(Toml::List),
    }
}

fn model(value: &toml::Value) -> Option<Toml> {
    Some(match value {
        toml::Value::String(text) => Toml::text(text),
        toml::Value::Integer(number) => Toml::integer(*number),
        toml::Value::Float(number) => Toml::Value(Value::Float((*number).into())),
        toml::Value::Boolean(truth) => Toml::Value(Value::Bool(*truth)),
        toml::Value::Array(items) => Toml::List(items.iter().map(model).collect::<Option<_>>()?),
        toml::Value::Table(table) => {
            Toml::Table(table.iter().map(|(key, value)| Some((key.clone(), model(value)?))).collect::<Option<_>>()?)
        }
        toml::Value::Datetime(_) => return None,
    })
}

fn as_value(one: Toml) -> Option<Value> {
    match one {
        Toml::Value(value) => Some(value),
        Toml::List(items) => Some(Value::List(items.into_iter().map(as_value).collect::<Option<_>>()?)),
        Toml::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_without_what_was_put_around_them() {
        let around =
            "# amlrun: lay out\nset -e\nmkdir -p a\n# amlrun: run\npython t.py 'a b'\n# amlrun: hand over\ncp a b";
        assert_eq!(own_command(around), "python t.py 'a b'");
        assert_eq!(own_command("python t.py"), "python t.py");
        assert_eq!(arguments("python t.py 'a b' ${{inputs.x}}", "t.py").unwrap(), ["a b", "${{inputs.x}}"]);
        assert_eq!(arguments("./t.sh", "t.sh").unwrap(), Vec::<String>::new());
        assert_eq!(arguments("python -u t.py", "t.py"), None);
        assert_eq!(arguments("python 't.py", "t.py"), None);
    }
}
