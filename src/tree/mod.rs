//! The ground: walks and hashes the project's files, with a stat cache so that unchanged files are not read again.
//!
//! Called by `engine` and by `cli`. It reads; the only file it writes is the stat cache.

use std::path::{Path, PathBuf};

use crate::content::{Content, Entry};
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

/// Reads a workspace through its stat cache.
#[derive(Debug)]
pub struct Ground {
    root: PathBuf,
}

impl Ground {
    /// `root`: the workspace's folder, absolute. `state`: its `.amlrun`, which may not exist; only [`Ground::save`] writes
    /// there. The stat cache is read when it is first needed.
    pub fn open(root: &Path, _state: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The workspace's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is never part of a snapshot, beside `.git`, `.amlrun`, `Amlfile` and `Amlfile.lock`: declared outputs, as globs
    /// relative to the workspace, and files (the Amlfile in use may have another name).
    ///
    /// # Errors
    /// Where a glob is not one.
    pub fn exclude(&mut self, _output_globs: &[String], _files: &[RelPath]) -> Result<(), TreeError> {
        Ok(())
    }

    /// The content at paths (relative to the workspace, or absolute), in their order; `None` where nothing is there. A
    /// symlink at the top is followed.
    pub fn measure(&self, paths: &[PathBuf], _watch: &dyn Watch) -> Vec<Result<Option<Measured>, TreeError>> {
        paths.iter().map(|path| Err(self.absent(path))).collect()
    }

    /// The trees of source directories, in their order.
    pub fn measure_sources(&self, specs: &[SourceSpec], _watch: &dyn Watch) -> Vec<Result<Measured, TreeError>> {
        specs.iter().map(|spec| Err(self.absent(spec.directory.as_path()))).collect()
    }

    /// The stamp of what is at a path, a symlink followed; `None` where nothing is there. Reads nothing.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn stamp(&self, path: &Path) -> Result<Option<Stamp>, TreeError> {
        Err(self.absent(path))
    }

    /// All folders of a tree with their entries, root first; none for a file.
    ///
    /// # Errors
    /// Where it cannot be measured, or nothing is there.
    pub fn folders(&self, what: What<'_>, _watch: &dyn Watch) -> Result<(Measured, Vec<Folder>), TreeError> {
        Err(self.absent(match what {
            What::Path(path) => path,
            What::Sources(spec) => spec.directory.as_path(),
        }))
    }

    /// Writes the stat cache, where anything changed.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn save(&self) -> Result<(), TreeError> {
        Ok(())
    }

    /// What the user should know about what was measured: texts that stand alone.
    pub fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    fn absent(&self, path: &Path) -> TreeError {
        TreeError { doing: "measure", path: self.root.join(path), why: "this build cannot yet".to_owned() }
    }
}
