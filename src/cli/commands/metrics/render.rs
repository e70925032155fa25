//! A comparison as a table, Markdown, CSV and JSON.

use std::fmt::Write as _;

use super::{Better, Comparison, Row};
use crate::cli::commands::runs::record::{json_number, number};
use crate::console::json as documents;
use crate::console::style::{Paint, Style};
use crate::console::table::{Cell, Table};
use crate::console::terminal;

/// `0.25 (-0.05)`, with `*` at the best.
fn shown(comparison: &Comparison, at: usize, name: &str) -> Option<(String, bool)> {
    let row = &comparison.rows[at];
    let value = *row.values().get(name)?;
    let best = comparison.best.get(name).is_some_and(|best| best.contains(&at));
    Some((cell(value, row.before(name), best), best))
}

/// A value, how it differs from the one before, and whether it is the best.
pub(super) fn cell(value: f64, before: Option<f64>, best: bool) -> String {
    let mut text = number(value);
    if let Some(before) = before.filter(|before| before.to_bits() != value.to_bits()) {
        let change = value - before;
        let sign = if change > 0.0 { "+" } else { "" };
        let _ = write!(text, " ({sign}{})", number(change));
    }
    if best {
        text.push_str(" *");
    }
    text
}

fn head(comparison: &Comparison, name: &str) -> String {
    headed(name, comparison.better.get(name).copied())
}

/// A metric as the head of a column.
pub(super) fn headed(name: &str, better: Option<Better>) -> String {
    match better {
        Some(Better::Smaller) => format!("{name} ↓"),
        Some(Better::Larger) => format!("{name} ↑"),
        None => name.to_owned(),
    }
}

/// A text as a cell of a Markdown table.
pub(super) fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A text as a field of a CSV file.
pub(super) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

pub(super) fn table(comparison: &Comparison, style: Style) -> String {
    let mut heads = vec!["JOB".to_owned(), "RUN".to_owned(), "AGAINST".to_owned()];
    heads.extend(comparison.names.iter().map(|name| format!(">{}", head(comparison, name))));
    let mut table = Table::new(&heads);
    for (at, row) in comparison.rows.iter().enumerate() {
        let mut cells: Vec<Cell> =
            vec![row.now.begun.job.0.as_str().into(), row.now.begun.run.short().into(), against(row).into()];
        cells.extend(comparison.names.iter().map(|name| match shown(comparison, at, name) {
            Some((text, true)) => Cell::painted(text, Paint::Good),
            Some((text, false)) => text.into(),
            None => "".into(),
        }));
        table.row(cells);
    }
    table.render(style, terminal::out_width())
}

fn against(row: &Row) -> String {
    row.was.as_ref().map(|was| was.begun.run.short().to_owned()).unwrap_or_default()
}

pub(super) fn markdown(comparison: &Comparison) -> String {
    let mut text = String::from("| job |");
    for name in &comparison.names {
        let _ = write!(text, " {} |", escaped(&head(comparison, name)));
    }
    text.push_str("\n| --- |");
    text.push_str(&" ---: |".repeat(comparison.names.len()));
    text.push('\n');
    for (at, row) in comparison.rows.iter().enumerate() {
        let _ = write!(text, "| {} |", escaped(&row.now.begun.job.0));
        for name in &comparison.names {
            let cell = match shown(comparison, at, name) {
                Some((cell, true)) => format!("**{}**", cell.trim_end_matches(" *")),
                Some((cell, false)) => cell,
                None => String::new(),
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}

/// One line a job and metric: every digit, no cell that is two things.
pub(super) fn csv(comparison: &Comparison) -> String {
    let mut text = String::from("job,run,metric,value,against,was,best\n");
    for (at, row) in comparison.rows.iter().enumerate() {
        for name in &comparison.names {
            let Some(value) = row.values().get(name) else { continue };
            let was = row.before(name).map(|was| was.to_string()).unwrap_or_default();
            let best = comparison.best.get(name).is_some_and(|best| best.contains(&at));
            let (job, run) = (quoted(&row.now.begun.job.0), &row.now.begun.run.0);
            let against = row.was.as_ref().map(|was| was.begun.run.0.clone()).unwrap_or_default();
            let _ = writeln!(text, "{job},{run},{},{value},{against},{was},{best}", quoted(name));
        }
    }
    text
}

pub(super) fn json(comparison: &Comparison) -> String {
    let rows: Vec<_> = comparison
        .rows
        .iter()
        .enumerate()
        .map(|(at, row)| {
            let metrics: serde_json::Map<_, _> = comparison
                .names
                .iter()
                .filter_map(|name| {
                    let value = *row.values().get(name)?;
                    let best = comparison.best.get(name).is_some_and(|best| best.contains(&at));
                    let was = row.before(name).map(json_number);
                    Some((name.clone(), serde_json::json!({ "value": json_number(value), "was": was, "best": best })))
                })
                .collect();
            serde_json::json!({
                "job": row.now.begun.job,
                "run": row.now.begun.run,
                "against": row.was.as_ref().map(|was| &was.begun.run),
                "params": row.now.begun.params,
                "metrics": metrics,
            })
        })
        .collect();
    documents::document(&rows)
}
