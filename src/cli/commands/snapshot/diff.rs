//! `amlrun snapshot diff`: which files differ between two snapshots, renames among them.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::{Desk, is_empty, kind, lost};
use crate::cli::commands::runs::diff::{LONGEST, differences, file_diff};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, PlanOptions};
use crate::cli::project;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console::{self, json, words};
use crate::content::{Entry, Kind, encode};
use crate::digest::Digest;
use crate::engine::measuring::{Counter, spec_of};
use crate::history::Run;
use crate::relpath::RelPath;
use crate::store::memory::MemoryStore;
use crate::store::{Store, StoreError, snapshot};
use crate::tree::What;

/// One path.
#[derive(Debug, Serialize)]
struct Differing {
    path: RelPath,
    /// `added`, `removed`, `changed` or `renamed`.
    change: &'static str,
    /// Where it was, of a renamed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<RelPath>,
    was: Option<Side>,
    is: Option<Side>,
}

#[derive(Debug, Serialize)]
struct Side {
    kind: &'static str,
    bytes: u64,
    digest: String,
}

/// Two runs.
pub(super) fn runs(desk: &Desk<'_>, a: &str, b: &str, common: &Common) -> Result<Exit, CliError> {
    let (a, b) = (desk.run(a)?, desk.run(b)?);
    for run in [&a, &b] {
        let tree = run.begun.fingerprint.sources;
        if !is_empty(&tree) && snapshot::node(&desk.store, &tree)?.is_none() {
            return Err(lost(run));
        }
    }
    let is = b.begun.fingerprint.sources;
    tell(desk, &desk.store, &a, &is, common.verbose)
}

/// A run, and the sources of its job as they are now.
pub(super) fn now(desk: &Desk<'_>, a: &str, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let run = desk.run(a)?;
    let loaded = project::load(common, here)?;
    let nothing = PlanOptions { goals: Vec::new(), set: Vec::new(), target: None };
    let plan = loaded.plan(&nothing, here)?;
    let clock = SystemClock::new();
    let parts = crate::cli::assemble::Parts::new(&loaded, &plan, here, &clock)?;
    let job = plan.jobs.iter().find(|job| job.name == run.begun.job).ok_or_else(|| {
        CliError::nothing(format!("the Amlfile has no job `{}` any more", run.begun.job.0))
            .hint("name two runs to compare their snapshots")
    })?;
    let is = match spec_of(job) {
        None => Digest::of(&encode(&[])),
        Some(spec) => {
            let world = parts.world();
            let (measured, folders) = world.ground.folders(What::Sources(&spec), &Counter::default())?;
            let beside = Beside { store: &desk.store, own: MemoryStore::new() };
            for folder in &folders {
                beside.own.put(&encode(&folder.entries))?;
            }
            let is = measured.content.digest;
            if common.verbose {
                beside.take_changed(&run, &is, &loaded.root.join(spec.directory.as_path()))?;
            }
            return tell(desk, &beside, &run, &is, common.verbose);
        }
    };
    tell(desk, &desk.store, &run, &is, common.verbose)
}

/// Objects of the project as it is now, in memory, beside those of the store: a look writes nothing.
struct Beside<'s> {
    store: &'s dyn Store,
    own: MemoryStore,
}

impl Beside<'_> {
    /// Reads the files that differ, for their lines.
    fn take_changed(&self, run: &Run, is: &Digest, sources: &Path) -> Result<(), CliError> {
        for (path, _, is) in differences(self, &run.begun.fingerprint.sources, is)?.into_iter().flatten() {
            if let Some(entry) = is.filter(|entry| entry.kind != Kind::Folder && entry.size <= LONGEST) {
                // What changes this very moment has no lines to show.
                let _ = self.own.put_file(&sources.join(path.as_path()), Some((entry.digest, entry.size)));
            }
        }
        Ok(())
    }
}

impl Store for Beside<'_> {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.own.put(bytes)
    }

    fn put_file(&self, path: &Path, known: Option<(Digest, u64)>) -> Result<(Digest, u64), StoreError> {
        self.own.put_file(path, known)
    }

    fn has(&self, digest: &Digest) -> bool {
        self.own.has(digest) || self.store.has(digest)
    }

    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let own = self.own.get(digest)?;
        if own.is_some() { Ok(own) } else { self.store.get(digest) }
    }

    fn write_to(&self, digest: &Digest, to: &Path, executable: bool, link: bool) -> Result<bool, StoreError> {
        self.store.write_to(digest, to, executable, link)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn tell(desk: &Desk<'_>, store: &dyn Store, run: &Run, is: &Digest, verbose: bool) -> Result<Exit, CliError> {
    let was = run.begun.fingerprint.sources;
    let found = differences(store, &was, is)?.ok_or_else(|| lost(run))?;
    let changes = changes(&found);
    if desk.json {
        console::out(&json::document(&changes));
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for change in &changes {
        let path = words::path(&change.path);
        let sign = match change.change {
            "added" => 'A',
            "removed" => 'D',
            "renamed" => 'R',
            _ => 'M',
        };
        match &change.from {
            Some(from) => drop(writeln!(text, "{sign} {} -> {path}", words::path(from))),
            None => drop(writeln!(text, "{sign} {path}")),
        }
        if verbose && change.change == "changed" {
            for (at, was, is) in found.iter().filter(|(at, ..)| *at == change.path) {
                text.push_str(&file_diff(store, was.as_ref(), is.as_ref(), &words::path(at))?);
            }
        }
    }
    console::out(&text);
    if changes.is_empty() {
        console::err("the snapshots are alike");
    }
    Ok(Exit::Done)
}

/// Sorted by path; a file that went from one path and came to another with the same content was renamed.
fn changes(found: &[snapshot::Differs]) -> Vec<Differing> {
    let side = |entry: &Entry| Side { kind: kind(entry.kind), bytes: entry.size, digest: entry.digest.to_string() };
    let file = |entry: &Option<Entry>| entry.as_ref().filter(|e| e.kind != Kind::Folder).map(|e| (e.kind, e.digest));
    let mut gone: Vec<&snapshot::Differs> = found.iter().filter(|(_, _, is)| is.is_none()).collect();
    let mut changes = Vec::new();
    for (path, was, is) in found.iter().filter(|(_, _, is)| is.is_some()) {
        let from = if was.is_none() && file(is).is_some_and(|(_, digest)| digest != Digest::of(b"")) {
            gone.iter().position(|(_, was, _)| file(was) == file(is)).map(|at| gone.remove(at))
        } else {
            None
        };
        let before = from.map_or(was.as_ref(), |(_, was, _)| was.as_ref());
        changes.push(Differing {
            path: path.clone(),
            change: match (&from, was) {
                (Some(_), _) => "renamed",
                (None, None) => "added",
                (None, Some(_)) => "changed",
            },
            from: from.map(|(path, ..)| path.clone()),
            was: before.map(side),
            is: is.as_ref().map(side),
        });
    }
    changes.extend(gone.into_iter().map(|(path, was, _)| Differing {
        path: path.clone(),
        change: "removed",
        from: None,
        was: was.as_ref().map(side),
        is: None,
    }));
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}
