//! The ground: walks and hashes the project's files in parallel, with a stat cache so that unchanged files are not read again.
//!
//! Called by `engine`, `store` and `cli`. It reads; the only file it writes is the stat cache, and that only in `save`.
//!
//! What counts: a tree is its names, exec bits, links and bytes, and nothing else of it (`content.rs`). At a path (an input, an
//! output) everything counts, empty folders too, but this workspace's own state folder. In a source directory what `rules.rs`,
//! `excluded.rs` and `narrow.rs` leave, without folders in which nothing is left: git keeps no empty folders, and an output
//! must not change the key by the folder that it lies in. Links are explained in `link.rs`; FIFOs, sockets and devices are
//! errors. A file is trusted unread only by the rule in `probe.rs`.

mod arrival;
pub mod asset;
mod cache;
mod crew;
mod excluded;
pub mod explain;
mod folder;
mod ground;
mod link;
mod listing;
mod narrow;
mod notes;
mod pending;
mod probe;
mod read;
mod rules;
mod sources;
mod top;
mod walk;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::content::{Content, Entry};
use crate::digest::Digest;
use crate::relpath::RelPath;
pub use ground::Ground;

/// What the snapshot of a source directory takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SourceSpec {
    /// The source directory.
    pub directory: RelPath,
    /// `sources`: globs relative to it; `Some` of none takes nothing. What they name wins over ignore rules.
    pub globs: Option<Vec<String>>,
    /// The script: always part of the snapshot, unless `globs` is `Some` of none and there is no script.
    pub script: Option<String>,
    /// Paths that are never part of it (declared inputs of the experiment).
    pub without: Vec<RelPath>,
}

/// The identity of a file's bytes as far as `stat` can tell: the same stamp, the same bytes (but see the racy rule).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime: i128,
    /// Nanoseconds since 1970.
    pub ctime: i128,
    /// `st_mode`.
    pub mode: u32,
}

/// What was found at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Its content.
    pub content: Content,
    /// Its stamp (of the folder itself, for a folder).
    pub stamp: Stamp,
    /// Files below and including it.
    pub files: u64,
}

/// Why a path could not be measured.
#[derive(Debug, Clone, thiserror::Error)]
#[error("could not {doing} `{path}`: {why}", path = path.display())]
pub struct TreeError {
    /// What was tried, as in `read`.
    pub doing: &'static str,
    /// Where.
    pub path: PathBuf,
    /// What the system said.
    pub why: String,
}

/// Counts what is read, for progress. All methods are called from many threads.
pub trait Watch: Sync {
    /// So many files were looked at, and so many bytes hashed.
    fn saw(&self, files: u64, bytes: u64);
    /// A small file of a source directory had to be read: its digest, and its bytes while they are at hand. Whoever keeps
    /// them here does not read the file a second time.
    fn at_hand(&self, _digest: &Digest, _bytes: &[u8]) {}
    /// Whether to give up; what was asked for is an error then.
    fn is_over(&self) -> bool {
        false
    }
}

/// What [`Ground::folders`] walks.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// Content at a path, as [`Ground::measure`] takes it.
    Path(&'a Path),
    /// A source directory, as [`Ground::measure_sources`] takes it.
    Sources(&'a SourceSpec),
}

/// One folder of a measured tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Relative to the measured root.
    pub path: RelPath,
    /// What is in it, sorted by name.
    pub entries: Vec<Entry>,
}
