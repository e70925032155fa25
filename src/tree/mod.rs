//! The ground: walks and hashes the project's files, with a stat cache so that unchanged files are not read again.
//!
//! Called by `engine` and by `cli`. It reads; the only file it writes is the stat cache.

use std::path::{Path, PathBuf};

use crate::content::Content;
use crate::relpath::RelPath;

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
#[error("could not {doing} {path}: {why}")]
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
}
