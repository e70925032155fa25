//! `amlrun runs restore`: a run's outputs back into the project, or all that it left into a new folder.
//!
//! Everything is written beside its place first, each object verified; only when all of it is there does anything move. So
//! a store that lacks an object changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Desk;
use crate::cli::assemble::setup;
use crate::cli::commands::new_folder::NewFolder;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::surroundings::Surroundings;
use crate::console::{self, json, words};
use crate::content::{Content, Kind, encode};
use crate::digest::Digest;
use crate::engine::measuring::Counter;
use crate::engine::{World, publish, recover};
use crate::environment::Builder;
use crate::history::{Ended, Run};
use crate::relpath::{RelPath, escape};
use crate::staleness::Recorded;
use crate::store::{Store, restore};
use crate::target::local::Local;
use crate::tree::Ground;
use crate::vcs::PATCH;

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Report {
    run: String,
    restored: Vec<RelPath>,
    /// Already there as recorded.
    unchanged: Vec<RelPath>,
    aside: Vec<Aside>,
}

/// Something that lay in the way.
#[derive(Debug, Serialize)]
struct Aside {
    path: RelPath,
    place: String,
}

/// Puts the outputs into the project.
pub(super) fn into_project(desk: &Desk<'_>, text: &str, here: &Surroundings) -> Result<Exit, CliError> {
    let run = desk.run(text)?;
    let ended = over(&run)?;
    if ended.outputs.is_empty() {
        let short = run.begun.run.short();
        return Err(CliError::nothing(format!("run {short} left no outputs; it ended as {}", run.status.name()))
            .hint(format!("`amlrun runs restore {short} --to DIR` brings back its sources")));
    }
    let ground = Ground::open(&desk.root, &desk.state);
    let (mut report, mut wanted) = (Report { run: run.begun.run.0.clone(), ..Report::default() }, Vec::new());
    for output in &ended.outputs {
        let content = content(output)?;
        if there(&ground, &desk.root, &output.path, &content) {
            report.unchanged.push(output.path.clone());
        } else {
            wanted.push((output.path.clone(), content));
        }
    }
    if !wanted.is_empty() {
        let scratch = Scratch::new(desk)?;
        for (number, (path, content)) in wanted.iter().enumerate() {
            let place = scratch.folder.join(number.to_string());
            if !restore::write_tree(&desk.store, content, &place, false)? {
                return Err(missing(&run, &format!("the output `{}`", words::path(path))));
            }
        }
        move_in(desk, here, &ground, &scratch, &wanted, &mut report)?;
    }
    tell(desk, &report);
    Ok(Exit::Done)
}

/// Moves what lies in the scratch folder to its places.
fn move_in(
    desk: &Desk<'_>,
    here: &Surroundings,
    ground: &Ground,
    scratch: &Scratch<'_, '_>,
    wanted: &[(RelPath, Content)],
    report: &mut Report,
) -> Result<(), CliError> {
    let environments = Builder::new(setup(&desk.root, desk.root.join("Amlfile.lock"), here));
    let world = World {
        clock: desk.clock,
        root: &desk.root,
        state: &desk.state,
        ground,
        store: &desk.store,
        environments: &environments,
        local: &Local::new(desk.clock),
        shared: None,
        tracking: None,
        remotes: &std::collections::BTreeMap::new(),
        locks: &desk.locks,
        variables: &here.variables,
    };
    for (number, (path, content)) in wanted.iter().enumerate() {
        let from = scratch.folder.join(number.to_string());
        let aside = publish::publish(&world, path, &from, content, &report.run).map_err(CliError::world)?;
        report.restored.push(path.clone());
        if let Some(place) = aside {
            report.aside.push(Aside { path: path.clone(), place: desk.shown(&place) });
        }
    }
    Ok(())
}

fn tell(desk: &Desk<'_>, report: &Report) {
    if desk.json {
        console::out(&json::document(report));
        return;
    }
    let short = report.run.get(..8).unwrap_or_default();
    for path in &report.restored {
        console::err(&format!("restored `{}` from run {short}", words::path(path)));
    }
    for aside in &report.aside {
        let path = words::path(&aside.path);
        console::err(&format!("`{path}` was something else: it was set aside as `{}`", aside.place));
    }
    if report.restored.is_empty() {
        console::err(&format!(
            "all outputs of run {short} are in place: {}",
            words::count(report.unchanged.len(), "output")
        ));
    }
}

/// Writes sources, outputs and kept files into a new folder, at the paths that they have in the project; the patch of what
/// was not committed beside it.
pub(super) fn into_folder(desk: &Desk<'_>, text: &str, to: &Path) -> Result<Exit, CliError> {
    let run = desk.run(text)?;
    let shown = to.display();
    let patch = super::files::patch(desk, &run).map(|place| (place, to.with_added_extension("patch")));
    if let Some((_, at)) = patch.as_ref().filter(|(_, at)| fs::symlink_metadata(at).is_ok()) {
        return Err(CliError::usage(format!("`{}` is there already", at.display()))
            .hint("the patch of what was not committed is written there; name another folder"));
    }
    let new = NewFolder::new(to)?;
    lay_out(&desk.store, &run, &new.inside())?;
    if let Some((place, at)) = &patch {
        let lost = || missing(&run, "the patch of what was not committed");
        let bytes = place.read(desk, &run, PATCH)?.ok_or_else(lost)?;
        put_text(at, &bytes)
            .map_err(|error| CliError::world(format!("could not write `{}`: {error}", at.display())))?;
    }
    new.put()?;
    let count = run.ended.as_ref().map_or(0, |ended| ended.outputs.len());
    let commit = run.invocation.properties.get("azureml.git.commit");
    if desk.json {
        let patch = patch.map(|(_, at)| at);
        console::out(&json::document(
            &serde_json::json!({ "run": run.begun.run, "folder": to, "commit": commit, "patch": patch }),
        ));
    } else {
        let short = run.begun.run.short();
        console::err(&format!("wrote the sources and {} of run {short} to `{shown}`", words::count(count, "output")));
        if let (Some(commit), Some((_, at))) = (commit, patch) {
            let commit = commit.get(..12).unwrap_or(commit);
            let commit = console::clean::clean(commit);
            console::err(&format!("its commit was {commit}; what that had not is in `{}`", at.display()));
        }
    }
    Ok(Exit::Done)
}

/// Writes a new file, whole or not at all.
fn put_text(at: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = at.parent().filter(|folder| !folder.as_os_str().is_empty());
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(folder.unwrap_or(Path::new(".")))?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.persist_noclobber(at).map(drop).map_err(|error| error.error)
}

fn lay_out(store: &dyn Store, run: &Run, folder: &Path) -> Result<(), CliError> {
    let begun = &run.begun;
    let make = |path: &Path| {
        fs::create_dir_all(path)
            .map_err(|error| CliError::world(format!("could not make `{}`: {error}", path.display())))
    };
    let sources = folder.join(begun.source_directory.as_path());
    make(&sources)?;
    let none = begun.fingerprint.sources == Digest::of(&encode(&[]));
    if !none && !restore::write_sources(store, &begun.fingerprint.sources, &sources)? {
        return Err(missing(run, "the sources"));
    }
    let Some(ended) = &run.ended else { return Ok(()) };
    let outputs = ended.outputs.iter().map(|output| (folder.join(output.path.as_path()), output));
    // What was logged is no part of what ran; `amlrun runs download` has it.
    let kept = ended
        .kept
        .iter()
        .filter(|file| file.path.as_bytes() == b"outputs")
        .map(|file| (sources.join(file.path.as_path()), file));
    for (place, recorded) in outputs.chain(kept) {
        place.parent().map_or(Ok(()), make)?;
        if !restore::write_tree(store, &content(recorded)?, &place, false)? {
            return Err(missing(run, &format!("`{}`", words::path(&recorded.path))));
        }
    }
    Ok(())
}

fn over(run: &Run) -> Result<&Ended, CliError> {
    run.ended.as_ref().ok_or_else(|| CliError::nothing(format!("run {} is not over", run.begun.run.short())))
}

fn content(recorded: &Recorded) -> Result<Content, CliError> {
    let unknown = || CliError::world(format!("the record of `{}` is of a kind that is not known", recorded.path));
    recorded.content().ok_or_else(unknown)
}

fn missing(run: &Run, what: &str) -> CliError {
    let short = run.begun.run.short();
    CliError::world(format!(
        "{what} of run {short} cannot be restored: the store `.amlrun/objects-v1` lacks it, or holds it damaged"
    ))
    .hint("nothing was changed; `amlrun` makes what is lost again")
}

/// Whether the project has this content at this path.
fn there(ground: &Ground, root: &Path, path: &RelPath, content: &Content) -> bool {
    let at = root.join(path.as_path());
    if content.kind == Kind::Link {
        use std::os::unix::ffi::OsStrExt;
        return fs::read_link(&at).is_ok_and(|target| Digest::of(target.as_os_str().as_bytes()) == content.digest);
    }
    let plain = fs::symlink_metadata(&at).is_ok_and(|found| !found.is_symlink());
    plain
        && matches!(ground.measure(&[path.as_path().to_owned()], &Counter::default()).pop(), Some(Ok(Some(now))) if now.content == *content)
}

/// A folder in `.amlrun/work`, locked as an invocation's, so that no other invocation clears it away while it is used; one
/// that is left by a kill, the next invocation clears.
struct Scratch<'d, 'c> {
    desk: &'d Desk<'c>,
    folder: PathBuf,
    key: Digest,
}

impl<'d, 'c> Scratch<'d, 'c> {
    fn new(desk: &'d Desk<'c>) -> Result<Self, CliError> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let key = recover::invocation_key(&name);
        let _ = desk.locks.try_lock(&key);
        let folder = desk.state.join("work").join(name);
        fs::create_dir_all(&folder).map_err(|error| {
            let path = escape(std::os::unix::ffi::OsStrExt::as_bytes(folder.as_os_str()));
            CliError::world(format!("could not make `{path}`: {error}"))
        })?;
        Ok(Self { desk, folder, key })
    }
}

impl Drop for Scratch<'_, '_> {
    fn drop(&mut self) {
        // What is left here would be cleared by the next invocation.
        let _ = fs::remove_dir_all(&self.folder);
        self.desk.locks.release(&self.key);
    }
}
