//! Trees out of the store, verified, onto the disk.
//!
//! Called by `engine` (outputs, run directories) and by `cli`. It writes nothing outside the path it was given: folders are
//! made first, one by one, then files, and symlinks last, so that no symlink is ever followed; files that exist are never
//! overwritten.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::disk::files;
use super::{Store, StoreError, snapshot};
use crate::content::{Content, Entry, Kind};
use crate::digest::Digest;

/// So many files are written by one thread before it is worth the start of others.
const FEW: usize = 32;

/// Writes a file, a link or a whole tree to a path where nothing is. False where an object is missing or was corrupt; then,
/// and after an error, nothing is left behind. `link` asks for read-only hard links where the store can give them. A process
/// that is killed leaves a part: write to a place of your own, then rename.
///
/// # Errors
/// Where something is at the path already, or it cannot be written.
pub fn write_tree(store: &dyn Store, content: &Content, to: &Path, link: bool) -> Result<bool, StoreError> {
    match content.kind {
        Kind::File | Kind::Executable => store.write_to(&content.digest, to, content.kind == Kind::Executable, link),
        Kind::Link => write_link(store, &content.digest, to),
        Kind::Folder => {
            let Some(plan) = Plan::read(store, &content.digest)? else { return Ok(false) };
            files::make_new_folder(to)?;
            let written = plan.write(store, to, link, false);
            if !matches!(written, Ok(true)) {
                drop(fs::remove_dir_all(to));
            }
            written
        }
    }
}

/// Writes a source tree into a folder that exists already, beside what is there; folders that both have are merged. False
/// where an object is missing or was corrupt; then, and after an error, a part may be left.
///
/// # Errors
/// Where a file is at the place of one of the tree's, a symlink at that of a folder, or it cannot be written.
pub fn write_sources(store: &dyn Store, tree: &Digest, to: &Path) -> Result<bool, StoreError> {
    match Plan::read(store, tree)? {
        Some(plan) => plan.write(store, to, false, true),
        None => Ok(false),
    }
}

/// A tree, read from its nodes: all that is to be made, folders before what is in them.
struct Plan {
    /// Relative; the entries that are no folders.
    folders: Vec<(PathBuf, Vec<Entry>)>,
}

impl Plan {
    fn read(store: &dyn Store, tree: &Digest) -> Result<Option<Self>, StoreError> {
        let Some(entries) = snapshot::node(store, tree)? else { return Ok(None) };
        let mut folders = vec![(PathBuf::new(), entries)];
        let mut at = 0;
        while at < folders.len() {
            let (path, entries) = &mut folders[at];
            let (below, leaves) = std::mem::take(entries).into_iter().partition(|entry| entry.kind == Kind::Folder);
            *entries = leaves;
            let path = path.clone();
            let below: Vec<Entry> = below;
            for entry in below {
                let Some(entries) = snapshot::node(store, &entry.digest)? else { return Ok(None) };
                folders.push((path.join(OsStr::from_bytes(&entry.name)), entries));
            }
            at += 1;
        }
        Ok(Some(Self { folders }))
    }

    fn write(&self, store: &dyn Store, to: &Path, link: bool, merge: bool) -> Result<bool, StoreError> {
        for (path, _) in self.folders.iter().skip(1) {
            let path = to.join(path);
            match files::make_new_folder(&path) {
                Err(why) if merge && why.source.kind() == io::ErrorKind::AlreadyExists => {
                    // Not followed: a symlink here could lead anywhere.
                    let found = fs::symlink_metadata(&path).map_err(StoreError::at("read", &path))?;
                    if !found.is_dir() {
                        return Err(why);
                    }
                }
                made => made?,
            }
        }
        let whole = AtomicBool::new(true);
        let write = |folder: &Path, entry: &Entry| -> Result<(), StoreError> {
            if !whole.load(Ordering::Relaxed) {
                return Ok(());
            }
            let path = folder.join(OsStr::from_bytes(&entry.name));
            if !store.write_to(&entry.digest, &path, entry.kind == Kind::Executable, link)? {
                whole.store(false, Ordering::Relaxed);
            }
            Ok(())
        };
        let all: Vec<(PathBuf, &[Entry])> =
            self.folders.iter().map(|(path, entries)| (to.join(path), entries.as_slice())).collect();
        let files = |entries: &'_ [Entry]| entries.iter().filter(|entry| entry.kind != Kind::Link).count();
        if all.iter().map(|(_, entries)| files(entries)).sum::<usize>() < FEW {
            for (folder, entries) in &all {
                entries.iter().filter(|e| e.kind != Kind::Link).try_for_each(|entry| write(folder, entry))?;
            }
        } else {
            all.par_iter().try_for_each(|(folder, entries)| {
                let files = entries.par_iter().with_min_len(FEW).filter(|entry| entry.kind != Kind::Link);
                files.try_for_each(|entry| write(folder, entry))
            })?;
        }
        if !whole.into_inner() {
            return Ok(false);
        }
        for (folder, entries) in &all {
            for entry in entries.iter().filter(|entry| entry.kind == Kind::Link) {
                if !write_link(store, &entry.digest, &folder.join(OsStr::from_bytes(&entry.name)))? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Writes a symlink with the text that it had.
fn write_link(store: &dyn Store, text: &Digest, to: &Path) -> Result<bool, StoreError> {
    let Some(text) = store.get(text)? else { return Ok(false) };
    std::os::unix::fs::symlink(OsStr::from_bytes(&text), to).map_err(StoreError::at("link", to))?;
    Ok(true)
}
