//! The reference of the Amlfile's keys as Markdown, made from the table of keys: `docs/amlfile-keys.md`.

use std::fmt::Write;

use super::keys::{EXPRESSIONS, Key, Kind, ROOT};

/// The reference.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# The keys of an Amlfile, format 1\n\nMade from the table that the parser reads; a test keeps the two alike.\n\n",
    );
    table(&mut out, "", ROOT);
    out.push_str("\n## The expressions of a sweep's space\n\n| expression | draws |\n| --- | --- |\n");
    for expression in EXPRESSIONS {
        let arguments =
            if expression.arguments.is_empty() { "…".to_owned() } else { expression.arguments.join(", ") };
        line(&mut out, &[&format!("`{} = [{arguments}]`", expression.name), expression.doc]);
    }
    out
}

fn table(out: &mut String, path: &str, keys: &[Key]) {
    if !path.is_empty() {
        head(out, path, "");
    }
    rows(out, keys);
    for key in keys {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        below(out, &path, key.kind);
    }
}

fn below(out: &mut String, path: &str, kind: Kind) {
    match kind {
        Kind::Table(keys) => table(out, path, keys),
        Kind::Map(inner) => below(out, &format!("{path}.NAME"), *inner),
        Kind::Tagged(tagged) => {
            head(out, path, "");
            rows(out, tagged.common);
            for (name, keys) in tagged.variants {
                head(out, path, &format!(" with `{} = \"{name}\"`", tagged.tag));
                if keys.is_empty() {
                    out.push_str("No keys of its own.\n");
                } else {
                    rows(out, keys);
                }
            }
        }
        _ => {}
    }
}

fn head(out: &mut String, path: &str, with: &str) {
    let _infallible = write!(out, "\n## `[{path}]`{with}\n\n");
}

fn rows(out: &mut String, keys: &[Key]) {
    out.push_str("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for key in keys {
        let value = match key.kind {
            Kind::Choice(choices) => {
                choices.iter().map(|choice| format!("`\"{choice}\"`")).collect::<Vec<_>>().join(", ")
            }
            kind => kind.describe().to_owned(),
        };
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        line(out, &[&format!("`{}`", key.name), &value, &default, key.doc]);
    }
}

fn line(out: &mut String, cells: &[&str]) {
    for cell in cells {
        let _infallible = write!(out, "| {} ", cell.replace('|', "\\|"));
    }
    out.push_str("|\n");
}
