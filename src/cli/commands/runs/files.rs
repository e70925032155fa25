//! `amlrun runs files` and `runs download`: what a run left, by the names that the original gives it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Desk, logs};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::{self, json, words};
use crate::content::{Content, Kind};
use crate::history::Run;
use crate::store::{Store, restore, snapshot};
use crate::vcs::PATCH;

/// Where a file of a run is.
pub(in crate::cli::commands) enum Place {
    /// In the store.
    Stored(Content),
    /// Among its logs.
    Log(u64),
}

impl Place {
    pub(in crate::cli::commands) fn size(&self) -> u64 {
        match self {
            Self::Stored(content) => content.size,
            Self::Log(size) => *size,
        }
    }

    /// The bytes; none where they are lost.
    pub(in crate::cli::commands) fn read(
        &self,
        desk: &Desk<'_>,
        run: &Run,
        name: &str,
    ) -> Result<Option<Vec<u8>>, CliError> {
        match self {
            Self::Stored(content) => Ok(desk.store.get(&content.digest)?),
            Self::Log(_) => Ok(fs::read(desk.kept(run).join(name)).ok()),
        }
    }
}

/// Every file: declared outputs at their paths, `outputs/…`, `logs/…` and `user_logs/std_log.txt`.
pub(in crate::cli::commands) fn files(desk: &Desk<'_>, run: &Run) -> Result<BTreeMap<String, Place>, CliError> {
    let mut found = BTreeMap::new();
    let recorded = run.ended.iter().flat_map(|ended| ended.outputs.iter().chain(&ended.kept));
    for (path, content) in recorded.filter_map(|recorded| Some((&recorded.path, recorded.content()?))) {
        if content.kind != Kind::Folder {
            found.insert(path.to_string(), Place::Stored(content));
            continue;
        }
        let below = snapshot::list(&desk.store, &content.digest)?.ok_or_else(|| {
            CliError::world(format!("the list of files in {} is lost: the store lacks it", words::path(path)))
        })?;
        for (inner, entry) in below.into_iter().filter(|(_, entry)| entry.kind != Kind::Folder) {
            let content = Content { kind: entry.kind, digest: entry.digest, size: entry.size };
            found.insert(format!("{path}/{inner}"), Place::Stored(content));
        }
    }
    let folder = desk.kept(run);
    for name in logs::names(&folder) {
        let size = fs::metadata(folder.join(&name)).map_or(0, |file| file.len());
        found.insert(name, Place::Log(size));
    }
    found.extend(patch(desk, run).map(|place| (PATCH.to_owned(), place)));
    Ok(found)
}

/// The patch of what a run had that its commit has not: on record with its end, until then beside its logs, and so it is for
/// a run that nobody saw the end of.
pub(super) fn patch(desk: &Desk<'_>, run: &Run) -> Option<Place> {
    let mut kept = run.ended.iter().flat_map(|ended| &ended.kept);
    if let Some(recorded) = kept.find(|kept| kept.path.as_bytes() == PATCH.as_bytes()) {
        return recorded.content().map(Place::Stored);
    }
    fs::metadata(desk.kept(run).join(PATCH)).ok().map(|file| Place::Log(file.len()))
}

pub(super) fn list(desk: &Desk<'_>, text: &str) -> Result<Exit, CliError> {
    let run = desk.run(text)?;
    let files = files(desk, &run)?;
    if desk.json {
        let rows: Vec<_> =
            files.iter().map(|(name, place)| serde_json::json!({ "name": name, "size": place.size() })).collect();
        console::out(&json::document(&rows));
    } else {
        for name in files.keys() {
            console::out(&format!("{}\n", console::clean::clean(name)));
        }
    }
    Ok(Exit::Done)
}

/// Writes files of a run below a folder; all of them, or those of these names and those in folders of these names.
pub(super) fn download(desk: &Desk<'_>, text: &str, names: &[String], to: &Path) -> Result<Exit, CliError> {
    let run = desk.run(text)?;
    let all = files(desk, &run)?;
    let inside = |name: &str, wanted: &String| {
        let wanted = wanted.trim_end_matches('/');
        name == wanted || name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
    };
    for wanted in names {
        if !all.keys().any(|name| inside(name, wanted)) {
            let short = run.begun.run.short();
            return Err(CliError::nothing(format!("run {short} has no file {}", words::name(wanted)))
                .hint(format!("`amlrun runs files {short}` lists them")));
        }
    }
    let chosen = all.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| inside(name, wanted)));
    let mut written = Vec::new();
    for (name, place) in chosen {
        let at = to.join(name);
        let failed = |error: std::io::Error| CliError::world(format!("could not write `{}`: {error}", at.display()));
        if fs::symlink_metadata(&at).is_ok() {
            return Err(CliError::usage(format!("`{}` is there already", at.display()))
                .hint("name another folder with `--to`; nothing is written over"));
        }
        at.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
        match place {
            Place::Log(_) => drop(fs::copy(desk.kept(&run).join(name), &at).map_err(failed)?),
            Place::Stored(content) => {
                if !restore::write_tree(&desk.store, content, &at, false)? {
                    return Err(CliError::world(format!(
                        "`{name}` cannot be had: the store lacks it, or holds it damaged"
                    )));
                }
            }
        }
        written.push(name);
    }
    if desk.json {
        console::out(&json::document(&serde_json::json!({ "folder": to, "files": written })));
    } else {
        console::err(&format!("wrote {} to `{}`", words::count(written.len(), "file"), to.display()));
    }
    Ok(Exit::Done)
}
