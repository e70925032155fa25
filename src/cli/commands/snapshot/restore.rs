//! `amlrun snapshot restore RUN DIR`: a run's sources, and nothing else, in a new folder.

use std::fs;
use std::path::Path;

use super::{Desk, is_empty, lost};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::{self, json, words};
use crate::store::{restore, snapshot};

pub(super) fn restore(desk: &Desk<'_>, run: &str, to: &Path) -> Result<Exit, CliError> {
    let run = desk.run(run)?;
    let shown = to.display();
    if fs::symlink_metadata(to).is_ok() {
        return Err(
            CliError::usage(format!("`{shown}` is there already")).hint("name a folder that does not exist yet")
        );
    }
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| CliError::world(format!("could not write `{shown}`: {error}"));
    fs::create_dir_all(parent).map_err(failed)?;
    // Dropped, and with it removed, wherever this ends early.
    let near = tempfile::Builder::new().prefix(".amlrun-restore-").tempdir_in(parent).map_err(failed)?;
    let folder = near.path().join("snapshot");
    fs::create_dir(&folder).map_err(failed)?;
    let tree = run.begun.fingerprint.sources;
    let mut files = 0;
    if !is_empty(&tree) {
        if !restore::write_sources(&desk.store, &tree, &folder)? {
            return Err(lost(&run));
        }
        let leaves = |list: Vec<(_, crate::content::Entry)>| {
            list.iter().filter(|(_, entry)| entry.kind != crate::content::Kind::Folder).count()
        };
        files = snapshot::list(&desk.store, &tree)?.map_or(0, leaves);
    }
    fs::rename(&folder, to).map_err(failed)?;
    if desk.json {
        console::out(&json::document(&serde_json::json!({ "run": run.begun.run, "folder": to, "files": files })));
    } else {
        let short = run.begun.run.short();
        console::err(&format!("wrote the snapshot of run {short} to `{shown}`: {}", words::count(files, "file")));
    }
    Ok(Exit::Done)
}
