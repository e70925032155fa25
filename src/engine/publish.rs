//! Publishes outputs into the project, each whole and in one step, and restores them. What lies in the way and is in no
//! record is set aside, never lost.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::World;
use super::measuring::Counter;
use crate::content::{Content, Kind};
use crate::relpath::RelPath;
use crate::store::capture::capture;
use crate::store::digesting::Digesting;
use crate::store::{restore, snapshot};

/// Why an output could not be published.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} {path}: {why}")]
pub struct PublishError {
    /// What was tried.
    pub doing: &'static str,
    /// Where.
    pub path: PathBuf,
    /// What the system said.
    pub why: String,
}

impl PublishError {
    fn new(doing: &'static str, path: &Path, why: impl std::fmt::Display) -> Self {
        Self { doing, path: path.to_owned(), why: why.to_string() }
    }
}

/// Moves what a run left at `from` to its place in the project. Tells where that which lay there was set aside, if it was
/// something that no run is known to have made.
///
/// # Errors
/// Where the project cannot be written; what lay there is still there then.
pub fn publish(
    world: &World<'_>,
    path: &RelPath,
    from: &Path,
    content: &Content,
    run: &str,
) -> Result<Option<PathBuf>, PublishError> {
    let to = prepare(world, path)?;
    let Ok(there) = fs::symlink_metadata(&to) else {
        return move_to(from, &to).map(|()| None);
    };
    let aside = if known(world, path.as_path(), Some(content)) { None } else { Some(aside_place(world, path, run)?) };
    if let Some(aside) = &aside {
        copy_aside(&to, aside, there.is_dir())?;
    }
    if !there.is_dir() && content.kind != Kind::Folder {
        return move_to(from, &to).map(|()| aside);
    }
    exchange(from, &to).map(|()| aside)
}

/// What lies at the place of an output, as a run would record it: links are their texts.
#[must_use]
pub fn as_output(world: &World<'_>, at: &Path) -> Option<Content> {
    let found = capture(&Digesting, &world.root.join(at), &|| false);
    found.ok().flatten().map(|measured| measured.content)
}

/// The place of an output in the project, in a folder that is there and may be written.
///
/// # Errors
/// Where the folder cannot be made or written.
pub fn prepare(world: &World<'_>, path: &RelPath) -> Result<PathBuf, PublishError> {
    let to = world.root.join(path.as_path());
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|e| PublishError::new("make", parent, e))?;
        let writable = rustix::fs::access(parent, rustix::fs::Access::WRITE_OK);
        writable.map_err(|e| PublishError::new("write into", parent, io::Error::from(e)))?;
    }
    Ok(to)
}

/// Whether what lies there can be had again: it is what is about to be published, or the store has all of it. A link is
/// its text.
pub(super) fn known(world: &World<'_>, at: &Path, content: Option<&Content>) -> bool {
    let had = |now: &Content| content == Some(now) || snapshot::present(world.store, now);
    if fs::symlink_metadata(world.root.join(at)).is_ok_and(|there| there.is_symlink()) {
        return as_output(world, at).is_some_and(|now| had(&now));
    }
    let now = world.ground.measure(&[at.to_owned()], &Counter::default()).pop();
    match now {
        Some(Ok(Some(now))) if had(&now.content) => true,
        Some(Ok(_)) => as_output(world, at).is_some_and(|now| had(&now)),
        _ => false,
    }
}

/// A place for a hand-edited output: `.amlrun/aside/<run>/<path>`, with a number where that is taken.
///
/// # Errors
/// Where it cannot be made.
pub fn aside_place(world: &World<'_>, path: &RelPath, run: &str) -> Result<PathBuf, PublishError> {
    let short = run.get(..8).unwrap_or(run);
    for number in 0.. {
        let folder = if number == 0 { short.to_owned() } else { format!("{short}-{number}") };
        let place = world.state.join("aside").join(folder).join(path.as_path());
        if fs::symlink_metadata(&place).is_ok() {
            continue;
        }
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(|e| PublishError::new("make", parent, e))?;
        }
        return Ok(place);
    }
    Err(PublishError::new("find a place for", path.as_path(), "no number is free"))
}

/// Puts what lies there aside without taking it away: a file by a second name for its bytes (the rename that follows
/// replaces the first), a folder by moving it.
fn copy_aside(there: &Path, aside: &Path, folder: bool) -> Result<(), PublishError> {
    if !folder && fs::hard_link(there, aside).is_ok() {
        return Ok(());
    }
    fs::rename(there, aside).map_err(|e| PublishError::new("set aside", there, e))
}

fn move_to(from: &Path, to: &Path) -> Result<(), PublishError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => across(from, to),
        done => done.map_err(|e| PublishError::new("publish", to, e)),
    }
}

/// Moves something to where nothing is, also to another file system.
///
/// # Errors
/// Where it cannot be moved; it is still at `from` then.
pub fn shift(from: &Path, to: &Path) -> Result<(), PublishError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => across(from, to).and_then(|()| remove(from)),
        done => done.map_err(|e| PublishError::new("move", from, e)),
    }
}

/// Swaps the new for the old in one step, and removes the old.
fn exchange(from: &Path, to: &Path) -> Result<(), PublishError> {
    if fs::symlink_metadata(to).is_err() {
        return move_to(from, to);
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => remove(from),
        Err(error) if error == rustix::io::Errno::XDEV => across(from, to),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            // A file system without exchange: two renames, with the old one kept until the new one is in place.
            let old = beside(to, "old");
            fs::rename(to, &old).map_err(|e| PublishError::new("move", to, e))?;
            if let Err(error) = fs::rename(from, to) {
                let _ = fs::rename(&old, to);
                return Err(PublishError::new("publish", to, error));
            }
            remove(&old)
        }
        Err(error) => Err(PublishError::new("publish", to, error)),
    }
}

/// The output's place is on another file system than the run directory (it is a mount, or a link led there): a copy beside
/// it first, then one step.
fn across(from: &Path, to: &Path) -> Result<(), PublishError> {
    let near = beside(to, "new");
    copy_all(from, &near).map_err(|e| PublishError::new("copy", &near, e))?;
    if fs::symlink_metadata(to).is_ok_and(|there| there.is_dir()) || near.is_dir() {
        exchange(&near, to)
    } else {
        fs::rename(&near, to).map_err(|e| PublishError::new("publish", to, e))
    }
}

fn beside(path: &Path, word: &str) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.amlrun-{word}-{}", std::process::id()))
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !kind.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Removes a file, a link or a whole folder; nothing there is fine.
///
/// # Errors
/// Where it cannot be removed.
pub fn remove(path: &Path) -> Result<(), PublishError> {
    let removed = match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PublishError::new("remove", path, error)),
        _ => Ok(()),
    }
}

/// Brings an output back from the store. `Ok(None)`: an object is missing or was corrupt, and nothing was changed; else
/// where that which lay there was set aside.
///
/// # Errors
/// Where the project cannot be written.
pub fn bring_back(
    world: &World<'_>,
    path: &RelPath,
    content: &Content,
    scratch: &Path,
    run: &str,
    link: bool,
) -> Result<Option<Option<PathBuf>>, PublishError> {
    let written = restore::write_tree(world.store, content, scratch, link);
    if !written.map_err(|error| PublishError::new("restore", &world.root.join(path.as_path()), error))? {
        return Ok(None);
    }
    publish(world, path, scratch, content, run).map(Some)
}
