//! A proposal as the text of a commented Amlfile. Pure.

use std::fmt::Write as _;

use super::model::{Environment, Experiment, Keys, Proposal, Target, Toml};
use crate::value::Value;

/// The text. What it says of its own origin are the files in `sources`.
#[must_use]
pub fn amlfile(proposal: &Proposal, sources: &[String]) -> String {
    let mut text =
        String::from("# Next: `amlrun -n` says what would run, `amlrun` runs it, `amlrun why JOB` explains.\n");
    if !sources.is_empty() {
        note(&mut text, &format!("Made by `amlrun import` from {}.", sources.join(", ")));
    }
    proposal.notes.iter().for_each(|line| note(&mut text, line));
    text.push_str("format = 1\n");
    if let Some(name) = &proposal.name {
        let _ = writeln!(text, "\n[workspace]\nname = {}", quote(name));
    }
    if !proposal.params.is_empty() {
        text.push_str("\n[params]\n");
        proposal.params.iter().for_each(|(name, one)| {
            let _ = writeln!(text, "{} = {}", key(name), value(one));
        });
    }
    proposal.environments.iter().for_each(|one| environment(&mut text, one));
    proposal.targets.iter().for_each(|one| target(&mut text, one));
    proposal.experiments.iter().for_each(|one| experiment(&mut text, one));
    text
}

fn environment(text: &mut String, one: &Environment) {
    text.push('\n');
    one.comments.iter().for_each(|line| note(text, line));
    let _ = writeln!(text, "[environments.{}]", key(&one.name));
    keys(text, &one.keys);
    if !one.variables.is_empty() {
        let pairs: Vec<_> = one.variables.iter().map(|(name, value)| (name.clone(), Toml::text(value))).collect();
        let _ = writeln!(text, "variables = {}", toml(&Toml::Table(pairs)));
    }
}

fn target(text: &mut String, one: &Target) {
    text.push('\n');
    one.comments.iter().for_each(|line| note(text, line));
    let _ = writeln!(text, "[targets.{}]", key(&one.name));
    keys(text, &one.keys);
}

fn experiment(text: &mut String, one: &Experiment) {
    text.push('\n');
    one.comments.iter().for_each(|line| note(text, line));
    let _ = writeln!(text, "[experiments.{}]", key(&one.name));
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{name} = {value}");
        }
    };
    let quoted = |text: &Option<String>| text.as_ref().map(|text| quote(text));
    line("description", quoted(&one.description));
    line("source_directory", quoted(&one.source_directory));
    line("sources", one.sources.as_ref().map(|globs| toml(&Toml::texts(globs.clone()))));
    line("script", quoted(&one.script));
    line("command", quoted(&one.command));
    line("arguments", arguments(&one.arguments));
    line("params", table(one.params.iter().map(|(name, one)| (name, value(one)))));
    line("inputs", paths(&one.inputs));
    line("outputs", paths(&one.outputs));
    line("metrics", (!one.metrics.is_empty()).then(|| toml(&Toml::texts(one.metrics.clone()))));
    line("environment", quoted(&one.environment));
    if let Some(target) = &one.former_target {
        line(
            "# target",
            Some(format!("{}      # where it ran; without this line it runs on this machine", quote(target))),
        );
    }
    line("resources", table(one.resources.iter().map(|(name, one)| (name, toml(one)))));
    line("needs", (!one.needs.is_empty()).then(|| toml(&Toml::texts(one.needs.clone()))));
    line("tags", table(one.tags.iter().map(|(name, one)| (name, value(one)))));
    let axes = one.matrix.iter().map(|(name, values)| (name, value(&Value::List(values.clone()))));
    line("matrix", table(axes));
    line("distributed", table(one.distributed.iter().map(|(name, one)| (name, toml(one)))));
    keys(text, &one.more);
    for (name, table) in
        [("sweep", &one.sweep), ("sweep.space", &one.space), ("sweep.early_termination", &one.termination)]
    {
        if !table.is_empty() {
            let _ = writeln!(text, "\n[experiments.{}.{name}]", key(&one.name));
            keys(text, table);
        }
    }
}

/// Inputs and outputs: a list where every name is the path, else a table.
fn paths(paths: &[(String, String)]) -> Option<String> {
    if paths.is_empty() {
        return None;
    }
    if paths.iter().all(|(name, path)| name == path || name.is_empty()) {
        return Some(toml(&Toml::texts(paths.iter().map(|(_, path)| path.clone()))));
    }
    table(paths.iter().map(|(name, path)| (name, quote(path))))
}

/// `["--alpha", "${alpha}"]`, broken where it grows long: an option and its value on a line.
fn arguments(arguments: &[Value]) -> Option<String> {
    if arguments.is_empty() {
        return None;
    }
    let words: Vec<String> = arguments.iter().map(value).collect();
    let short = format!("[{}]", words.join(", "));
    if short.chars().count() <= 90 {
        return Some(short);
    }
    let mut long = String::from("[");
    let is_option = |word: &String| word.starts_with("\"-");
    for (at, word) in words.iter().enumerate() {
        let follows = at > 0 && is_option(&words[at - 1]) && !is_option(word);
        long.push_str(if follows { " " } else { "\n    " });
        long.push_str(word);
        long.push(',');
    }
    long.push_str("\n]");
    Some(long)
}

fn keys(text: &mut String, keys: &Keys) {
    for (name, one) in keys {
        let _ = writeln!(text, "{} = {}", key(name), toml(one));
    }
}

fn table<'n>(pairs: impl Iterator<Item = (&'n String, String)>) -> Option<String> {
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{} = {value}", key(name))).collect();
    (!pairs.is_empty()).then(|| format!("{{ {} }}", pairs.join(", ")))
}

/// A value as TOML writes it.
#[must_use]
pub fn toml(one: &Toml) -> String {
    match one {
        Toml::Value(one) => value(one),
        Toml::List(items) => {
            let items: Vec<String> = items.iter().map(toml).collect();
            let short = format!("[{}]", items.join(", "));
            if short.chars().count() <= 100 { short } else { format!("[\n    {},\n]", items.join(",\n    ")) }
        }
        Toml::Table(pairs) => table(pairs.iter().map(|(name, one)| (name, toml(one)))).unwrap_or_else(|| "{}".into()),
    }
}

/// A parameter's value as TOML writes it.
#[must_use]
pub fn value(one: &Value) -> String {
    match one {
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(number) => float(number),
        Value::Text(text) => quote(text),
        Value::List(items) => format!("[{}]", items.iter().map(value).collect::<Vec<_>>().join(", ")),
    }
}

/// A float as TOML takes it, as close to how it was written as it can be: `.5` is `0.5`, `1.` is `1.0`.
fn float(number: &crate::value::Number) -> String {
    if number.value.is_nan() {
        return "nan".to_owned();
    }
    if number.value.is_infinite() {
        return if number.value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let is_float = |text: &str| matches!(format!("x = {text}").parse::<toml::Table>(), Ok(table) if matches!(table.get("x"), Some(toml::Value::Float(_))));
    if is_float(&number.text) {
        return number.text.clone();
    }
    let shown = number.value.to_string();
    if is_float(&shown) { shown } else { format!("{:?}", number.value) }
}

/// A key: bare where it can be.
#[must_use]
pub fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { name.to_owned() } else { quote(name) }
}

/// A text: as a literal string where that spares escapes, else as a basic string.
#[must_use]
pub fn quote(text: &str) -> String {
    let literal = text.contains(['"', '\\']) && !text.contains('\'') && text.chars().all(|c| !c.is_control());
    if literal {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A comment's line; no text can end it.
fn note(text: &mut String, line: &str) {
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(text, "# {}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_and_numbers_are_read_back(text in "\\PC{0,12}|[\\x00-\\x7f]{0,12}", number in proptest::num::f64::ANY) {
            let written = format!("{} = {}\nn = {}", key(&format!("k{text}")), quote(&text), value(&Value::Float(number.into())));
            let table: toml::Table = written.parse().map_err(|e| TestCaseError::fail(format!("{e}: {written}")))?;
            prop_assert_eq!(table.get(&format!("k{text}")).and_then(toml::Value::as_str), Some(text.as_str()));
            let read = table.get("n").and_then(toml::Value::as_float).unwrap();
            prop_assert!(read.to_bits() == number.to_bits() || (read.is_nan() && number.is_nan()));
        }
    }
}
