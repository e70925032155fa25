//! `amlrun snapshot ls RUN`.

use serde::Serialize;

use super::{Desk, is_empty, kind, lost};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::table::{Cell, Table};
use crate::console::{self, json, words};
use crate::content::{Entry, Kind};
use crate::relpath::RelPath;
use crate::store::snapshot;

/// A snapshot, as data.
#[derive(Debug, Serialize)]
struct Listed {
    run: String,
    job: String,
    /// The root of its tree.
    tree: String,
    source_directory: RelPath,
    files: usize,
    bytes: u64,
    entries: Vec<Line>,
}

/// One entry: folders too.
#[derive(Debug, Serialize)]
struct Line {
    path: RelPath,
    kind: &'static str,
    bytes: u64,
    digest: String,
}

pub(super) fn ls(desk: &Desk<'_>, run: &str) -> Result<Exit, CliError> {
    let run = desk.run(run)?;
    let tree = run.begun.fingerprint.sources;
    let entries: Vec<(RelPath, Entry)> =
        if is_empty(&tree) { Vec::new() } else { snapshot::list(&desk.store, &tree)?.ok_or_else(|| lost(&run))? };
    let leaves = || entries.iter().filter(|(_, entry)| entry.kind != Kind::Folder);
    let (files, bytes) = (leaves().count(), leaves().map(|(_, entry)| entry.size).sum());
    if desk.json {
        let line = |(path, entry): &(RelPath, Entry)| Line {
            path: path.clone(),
            kind: kind(entry.kind),
            bytes: entry.size,
            digest: entry.digest.to_string(),
        };
        console::out(&json::document(&Listed {
            run: run.begun.run.0.clone(),
            job: run.begun.job.0.clone(),
            tree: tree.to_string(),
            source_directory: run.begun.source_directory.clone(),
            files,
            bytes,
            entries: entries.iter().map(line).collect(),
        }));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["KIND", ">SIZE", "DIGEST", "PATH"]);
    for (path, entry) in leaves() {
        table.row([
            Cell::from(kind(entry.kind)),
            words::bytes(entry.size).into(),
            entry.digest.short().into(),
            words::path(path).into(),
        ]);
    }
    if !table.is_empty() {
        console::out(&table.render(desk.style, console::terminal::out_width()));
    }
    console::err(&format!(
        "{}, {} in the snapshot {} of run {}",
        words::count(files, "file"),
        words::bytes(bytes),
        tree.short(),
        run.begun.run.short()
    ));
    Ok(Exit::Done)
}
