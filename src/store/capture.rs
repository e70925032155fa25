//! Takes what a job left at a path into the store: a file, a link, or a folder with all that is in it.
//!
//! Called by `engine` for outputs. It follows no symlink, and it never changes what it reads.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Store, StoreError};
use crate::content::{self, Content, Entry, Kind};
use crate::digest::Digest;
use crate::tree::{Measured, Stamp};

/// So many files are taken in one go by one thread before it is worth the start of others.
const FEW: usize = 64;

/// Takes what is at `path` into the store; none where nothing is there. The digest is that of the bytes that were stored.
/// The stamp was read before the bytes, so that it proves nothing where they changed meanwhile. `stop` is asked now and
/// then; where it says so, the error's source is `ErrorKind::Interrupted`.
///
/// # Errors
/// Where something cannot be read or stored, or is neither file, folder nor symlink: the error names it.
pub fn capture(
    store: &dyn Store,
    path: &Path,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Measured>, StoreError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(why) => return Err(StoreError::at("read", path)(why)),
    };
    let (content, files) = match kind(path, &found)? {
        Kind::Folder => folder(store, path, stop)?,
        kind => (leaf(store, path, kind)?, 1),
    };
    Ok(Some(Measured { content, stamp: stamp(&found), files }))
}

/// What a path is; an error for what cannot be kept.
fn kind(path: &Path, found: &Metadata) -> Result<Kind, StoreError> {
    let kind = found.file_type();
    if kind.is_dir() {
        return Ok(Kind::Folder);
    }
    if kind.is_symlink() {
        return Ok(Kind::Link);
    }
    if kind.is_file() {
        return Ok(if found.mode() & 0o100 == 0 { Kind::File } else { Kind::Executable });
    }
    let what = match () {
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    let why = format!("it is {what}; only files, folders and symlinks can be kept");
    Err(StoreError::at("store", path)(io::Error::new(io::ErrorKind::InvalidInput, why)))
}

fn stamp(found: &Metadata) -> Stamp {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Stamp {
        inode: found.ino(),
        size: found.size(),
        mtime: nanoseconds(found.mtime(), found.mtime_nsec()),
        ctime: nanoseconds(found.ctime(), found.ctime_nsec()),
        mode: found.mode(),
    }
}

/// Takes a file or a link.
fn leaf(store: &dyn Store, path: &Path, kind: Kind) -> Result<Content, StoreError> {
    let (digest, size) = if kind == Kind::Link {
        let text = fs::read_link(path).map_err(StoreError::at("read", path))?;
        (store.put(text.as_os_str().as_bytes())?, text.as_os_str().len() as u64)
    } else {
        store.put_file(path, None)?
    };
    Ok(Content { kind, digest, size })
}

/// A folder on the way: where it is, which folder it is an entry of, and its entries. Those of folders are filled in last.
struct Open {
    path: PathBuf,
    within: Option<(usize, usize)>,
    entries: Vec<Entry>,
}

/// Takes a folder: lists it level by level (so that no depth is too deep), then its files, then its nodes from the leaves up.
fn folder(store: &dyn Store, root: &Path, stop: &(dyn Fn() -> bool + Sync)) -> Result<(Content, u64), StoreError> {
    let mut folders = vec![Open { path: root.to_owned(), within: None, entries: list(root)? }];
    let mut done = 0;
    while done < folders.len() {
        let level: Vec<(usize, usize)> = (done..folders.len())
            .flat_map(|at| folders[at].entries.iter().enumerate().map(move |(i, e)| (at, i, e.kind)))
            .filter(|(_, _, kind)| *kind == Kind::Folder)
            .map(|(at, i, _)| (at, i))
            .collect();
        done = folders.len();
        let open = |&(at, i): &(usize, usize)| {
            let path = folders[at].path.join(name(&folders[at].entries[i]));
            list(&path).map(|entries| Open { path, within: Some((at, i)), entries })
        };
        let next: Result<Vec<Open>, StoreError> =
            if level.len() < FEW { level.iter().map(open).collect() } else { level.par_iter().map(open).collect() };
        folders.extend(next?);
    }

    let files = folders.iter().flat_map(|f| &f.entries).filter(|e| e.kind != Kind::Folder).count();
    let take = |folder: &mut Open| {
        let leaves = folder.entries.iter_mut().filter(|e| e.kind != Kind::Folder);
        take_all(store, &folder.path, leaves, stop)
    };
    if files < FEW {
        folders.iter_mut().try_for_each(take)?;
    } else {
        folders.par_iter_mut().try_for_each(|folder| {
            let path = &folder.path;
            let leaves: Vec<&mut Entry> = folder.entries.iter_mut().filter(|e| e.kind != Kind::Folder).collect();
            leaves
                .into_par_iter()
                .with_min_len(16)
                .try_for_each(|entry| take_all(store, path, [entry].into_iter(), stop))
        })?;
    }

    let mut whole = Content { kind: Kind::Folder, digest: Digest::of(b""), size: 0 };
    while let Some(folder) = folders.pop() {
        let size = folder.entries.iter().map(|e| e.size).sum();
        whole = Content { kind: Kind::Folder, digest: store.put(&content::encode(&folder.entries))?, size };
        if let Some((at, i)) = folder.within {
            let entry = &mut folders[at].entries[i];
            (entry.digest, entry.size) = (whole.digest, whole.size);
        }
    }
    Ok((whole, files as u64))
}

/// Fills in what is in some entries of a folder.
fn take_all<'a>(
    store: &dyn Store,
    folder: &Path,
    entries: impl Iterator<Item = &'a mut Entry>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), StoreError> {
    for entry in entries {
        let path = folder.join(name(entry));
        if stop() {
            return Err(StoreError::at("store", &path)(io::Error::new(
                io::ErrorKind::Interrupted,
                "it was asked to stop",
            )));
        }
        let content = leaf(store, &path, entry.kind)?;
        (entry.digest, entry.size) = (content.digest, content.size);
    }
    Ok(())
}

/// The entries of a folder, sorted, their digests and sizes still to be found.
fn list(path: &Path) -> Result<Vec<Entry>, StoreError> {
    let unknown = Digest::from_bytes([0; 32]);
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(StoreError::at("read", path))? {
        let entry = entry.map_err(StoreError::at("read", path))?;
        let name = entry.file_name();
        let at = path.join(&name);
        let found = entry.metadata().map_err(StoreError::at("read", &at))?;
        entries.push(Entry { kind: kind(&at, &found)?, name: name.into_vec(), digest: unknown, size: 0 });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn name(entry: &Entry) -> OsString {
    OsString::from_vec(entry.name.clone())
}
