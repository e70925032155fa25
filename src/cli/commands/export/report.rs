//! What an export says of itself.

use serde_json::json;

use super::{Code, Done};
use crate::cli::options::Common;
use crate::cli::surroundings::Surroundings;
use crate::console::style::Paint;
use crate::console::table::{Cell, Table};
use crate::console::{self, Style};
use crate::export::Exported;
use crate::foreign::Outcome;
use crate::tree::asset::VERSION;

pub(super) fn print(exported: &Exported, code: &[Code], common: &Common, here: &Surroundings) {
    let style = Style::choose(&common.color, |name| here.variable(name), here.stdout_terminal);
    let columns = console::terminal::out_width();
    let mut table = Table::new(&["FROM", "KEY", "OUTCOME", "BECOMES"]);
    for row in exported.report.rows() {
        let paint = if row.outcome == Outcome::NoCounterpart { Paint::Caution } else { Paint::Bold };
        table.row([
            Cell::from(format!("{}:{}", row.file, row.line)),
            Cell::from(&row.key),
            Cell::painted(row.outcome.name(), paint),
            Cell::from(&row.becomes),
        ]);
    }
    if !table.is_empty() {
        console::out(&table.render(style, columns));
    }
    let mut table = Table::new(&["CODE", "FILES", "BYTES", "HASH"]);
    for one in code {
        if let Ok(asset) = &one.found {
            table.row([
                Cell::from(shown(one)),
                Cell::from(asset.files.len().to_string()),
                Cell::from(asset.bytes.to_string()),
                Cell::from(&asset.hash),
            ]);
        }
    }
    if !table.is_empty() {
        console::out(&table.render(style, columns));
    }
    code.iter().flat_map(notes).for_each(|note| console::err(&format!("note: {note}")));
}

fn shown(one: &Code) -> String {
    if one.directory.is_root() { ".".to_owned() } else { one.directory.to_string() }
}

/// What the user should know of what would be uploaded.
fn notes(one: &Code) -> Vec<String> {
    let place = shown(one);
    let asset = match &one.found {
        Ok(asset) => asset,
        Err(why) => return vec![format!("code {place}: Azure ML could not take it: {why}")],
    };
    let mut notes = Vec::new();
    if asset.files.is_empty() {
        notes.push(format!("code {place}: there is no file in it, which Azure ML refuses"));
    }
    let unwanted = asset.by_mistake();
    if !unwanted.is_empty() {
        let rules = asset.ignore.map_or_else(|| "no ignore file".to_owned(), |file| format!("its {file}"));
        notes.push(format!(
            "code {place}: Azure ML would upload {} too; it reads {rules} at the top of the folder, and no other",
            unwanted.join(", ")
        ));
    }
    notes
}

pub(super) fn document(
    exported: &Exported,
    folder: &str,
    done: Done,
    code: &[Code],
    takers: &[String],
) -> serde_json::Value {
    let code: Vec<serde_json::Value> = code
        .iter()
        .map(|one| match &one.found {
            Ok(asset) => json!({
                "directory": shown(one),
                "hash": asset.hash,
                "hash_version": VERSION,
                "files": asset.files.len(),
                "bytes": asset.bytes,
                "ignore_file": asset.ignore,
                "notes": notes(one),
            }),
            Err(why) => json!({ "directory": shown(one), "error": why }),
        })
        .collect();
    json!({
        "outcome": done,
        "directory": folder,
        "files": exported.files,
        "keys": exported.report.rows(),
        "code": code,
        "left_out": exported.left_out,
        "made_stale": takers,
    })
}
