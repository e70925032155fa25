//! What differed between two runs, as text.

use super::diff::{Change, Difference, Metric, Side};
use super::record;
use crate::console::clean::{clean, width};
use crate::console::style::Paint;
use crate::console::{Style, words};
use crate::ids::RunId;

/// Values longer than this are cut.
const LONGEST: usize = 120;

/// The text: a head, then a section for each kind of thing that differs, the code first.
pub(super) fn text(difference: &Difference, style: Style) -> String {
    let d = difference;
    let mut text = String::new();
    head(&mut text, "a", &d.a, style);
    head(&mut text, "b", &d.b, style);
    match &d.code {
        None => section(&mut text, "code: the sources of one of them are no longer in the store", style),
        Some(files) if !files.is_empty() => {
            section(&mut text, &format!("code: {}", words::count(files.len(), "file")), style);
            for file in files {
                patch(&mut text, &file.diff, style);
            }
        }
        Some(_) => {}
    }
    let command: Vec<&Change> = d.command.iter().collect();
    changes(&mut text, "parameters", d.params.iter(), style);
    changes(&mut text, "command", command, style);
    changes(&mut text, "variables", &d.variables, style);
    changes(&mut text, "settings", &d.settings, style);
    changes(&mut text, "environment", &d.environment, style);
    changes(&mut text, "inputs", &d.inputs, style);
    changes(&mut text, "outputs", &d.outputs, style);
    let metrics: Vec<(&str, String)> = d.metrics.iter().map(|m| (m.name.as_str(), metric(m))).collect();
    pairs(&mut text, "metrics", &metrics, style);
    if d.alike {
        text.push_str("\nalike: code, parameters, command, environment, inputs, outputs and metrics\n");
    }
    text
}

fn head(text: &mut String, mark: &str, side: &Side, style: Style) {
    let short = RunId(side.run.clone()).short().to_owned();
    style.push(text, Paint::Bold, mark);
    for part in [&short, clean(&side.job).as_ref(), &side.started, &side.status] {
        text.push_str("  ");
        text.push_str(part);
    }
    text.push('\n');
}

fn section(text: &mut String, head: &str, style: Style) {
    text.push('\n');
    style.push(text, Paint::Bold, head);
    text.push('\n');
}

/// A unified diff, its lines painted. Tabs and all else that is text stay; what would drive a terminal is shown escaped.
fn patch(text: &mut String, diff: &str, style: Style) {
    for line in diff.lines() {
        let paint = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Paint::Bold,
            [b'+', ..] => Paint::Good,
            [b'-', ..] => Paint::Bad,
            [b'@', b'@', ..] => Paint::Active,
            _ => Paint::Plain,
        };
        let line = line.split('\t').map(clean).collect::<Vec<_>>().join("\t");
        style.push(text, paint, &line);
        text.push('\n');
    }
}

fn changes<'c>(text: &mut String, head: &str, list: impl IntoIterator<Item = &'c Change>, style: Style) {
    let line = |change: &'c Change| (change.name.as_str(), arrow(change.was.as_deref(), change.is.as_deref()));
    let lines: Vec<(&str, String)> = list.into_iter().map(line).collect();
    pairs(text, head, &lines, style);
}

fn pairs(text: &mut String, head: &str, pairs: &[(&str, String)], style: Style) {
    if pairs.is_empty() {
        return;
    }
    section(text, head, style);
    let named: Vec<_> = pairs.iter().map(|(name, value)| (clean(name), value)).collect();
    let widest = named.iter().map(|(name, _)| width(name)).max().unwrap_or_default();
    for (name, value) in named {
        let padding = " ".repeat(widest - width(&name));
        for part in ["  ", &name, &padding, "  ", value, "\n"] {
            text.push_str(part);
        }
    }
}

/// `was -> is`, `added: is`, `removed: was`.
fn arrow(was: Option<&str>, is: Option<&str>) -> String {
    let value = |text| words::value(text, LONGEST);
    match (was, is) {
        (Some(was), Some(is)) => format!("{} -> {}", value(was), value(is)),
        (None, Some(is)) => format!("added: {}", value(is)),
        (Some(was), None) => format!("removed: was {}", value(was)),
        (None, None) => String::new(),
    }
}

fn metric(metric: &Metric) -> String {
    let number = |value: Option<f64>| value.map(record::number);
    let shown = arrow(number(metric.was.0).as_deref(), number(metric.is.0).as_deref());
    match metric.delta {
        Some(delta) => format!("{shown} ({}{})", if delta > 0.0 { "+" } else { "" }, record::number(delta)),
        None => shown,
    }
}
