//! `amlrun snapshot restore RUN DIR`: a run's sources, and nothing else, in a new folder.

use std::path::Path;

use super::{Desk, is_empty, lost};
use crate::cli::commands::new_folder::NewFolder;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::{self, json, words};
use crate::store::{restore, snapshot};

pub(super) fn restore(desk: &Desk<'_>, run: &str, to: &Path) -> Result<Exit, CliError> {
    let run = desk.run(run)?;
    let shown = to.display();
    let new = NewFolder::new(to)?;
    let tree = run.begun.fingerprint.sources;
    let mut files = 0;
    if !is_empty(&tree) {
        if !restore::write_sources(&desk.store, &tree, &new.inside())? {
            return Err(lost(&run));
        }
        let leaves = |list: Vec<(_, crate::content::Entry)>| {
            list.iter().filter(|(_, entry)| entry.kind != crate::content::Kind::Folder).count()
        };
        files = snapshot::list(&desk.store, &tree)?.map_or(0, leaves);
    }
    new.put()?;
    if desk.json {
        console::out(&json::document(&serde_json::json!({ "run": run.begun.run, "folder": to, "files": files })));
    } else {
        let short = run.begun.run.short();
        console::err(&format!("wrote the snapshot of run {short} to `{shown}`: {}", words::count(files, "file")));
    }
    Ok(Exit::Done)
}
