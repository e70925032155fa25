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
    globs: globset::GlobSet,
}

impl Ground {
    /// `root`: the workspace's folder, absolute. `state`: its `.amlrun`, which may not exist; only [`Ground::save`] writes
    /// there. The stat cache is read when it is first needed.
    pub fn open(root: &Path, _state: &Path) -> Self {
        Self { root: root.to_owned(), globs: globset::GlobSet::empty() }
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
    pub fn exclude(&mut self, output_globs: &[String], _files: &[RelPath]) -> Result<(), TreeError> {
        let mut b = globset::GlobSetBuilder::new();
        for g in output_globs {
            b.add(globset::Glob::new(g).unwrap());
        }
        self.globs = b.build().unwrap();
        Ok(())
    }

    /// The content at paths (relative to the workspace, or absolute), in their order; `None` where nothing is there. A
    /// symlink at the top is followed.
    pub fn measure(&self, paths: &[PathBuf], _watch: &dyn Watch) -> Vec<Result<Option<Measured>, TreeError>> {
        paths.iter().map(|path| Ok(self.one(&self.root.join(path), None, &mut vec![]))).collect()
    }

    /// The trees of source directories, in their order.
    pub fn measure_sources(&self, specs: &[SourceSpec], _watch: &dyn Watch) -> Vec<Result<Measured, TreeError>> {
        specs
            .iter()
            .map(|spec| Ok(self.one(&self.root.join(spec.directory.as_path()), Some(spec), &mut vec![]).unwrap()))
            .collect()
    }

    /// The stamp of what is at a path, a symlink followed; `None` where nothing is there. Reads nothing.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn stamp(&self, path: &Path) -> Result<Option<Stamp>, TreeError> {
        Ok(std::fs::metadata(self.root.join(path)).ok().map(|m| st(&m)))
    }

    /// All folders of a tree with their entries, root first; none for a file.
    ///
    /// # Errors
    /// Where it cannot be measured, or nothing is there.
    pub fn folders(&self, what: What<'_>, _watch: &dyn Watch) -> Result<(Measured, Vec<Folder>), TreeError> {
        let mut folders = vec![];
        let m = match what {
            What::Path(p) => self.one(&self.root.join(p), None, &mut folders),
            What::Sources(spec) => self.one(&self.root.join(spec.directory.as_path()), Some(spec), &mut folders),
        }
        .unwrap();
        folders.reverse();
        Ok((m, folders))
    }

    fn one(&self, at: &Path, spec: Option<&SourceSpec>, folders: &mut Vec<Folder>) -> Option<Measured> {
        let m = std::fs::metadata(at).ok()?;
        if !m.is_dir() {
            let b = std::fs::read(at).ok()?;
            use std::os::unix::fs::MetadataExt;
            let kind =
                if m.mode() & 0o100 != 0 { crate::content::Kind::Executable } else { crate::content::Kind::File };
            return Some(Measured {
                content: Content { kind, digest: crate::digest::Digest::of(&b), size: m.len() },
                stamp: st(&m),
                files: 1,
            });
        }
        let mut files = 0;
        let content = self.dir(at, &RelPath::root(), spec, folders, &mut files);
        Some(Measured { content, stamp: st(&m), files })
    }

    fn dir(
        &self,
        base: &Path,
        rel: &RelPath,
        spec: Option<&SourceSpec>,
        folders: &mut Vec<Folder>,
        files: &mut u64,
    ) -> Content {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::MetadataExt;
        let mut entries = vec![];
        for e in std::fs::read_dir(base.join(rel.as_path())).unwrap().flatten() {
            let r = rel.join(e.file_name());
            let p = e.path();
            if let Some(spec) = spec {
                let n = e.file_name();
                if n == ".git" || n == ".amlrun" || n == "Amlfile" || n == "Amlfile.lock" || n == "__pycache__" {
                    continue;
                }
                let w = p.strip_prefix(&self.root).unwrap();
                if self.globs.is_match(w) || spec.without.iter().any(|x| x.as_path() == w) {
                    continue;
                }
                if let Some(g) = &spec.globs
                    && !e.file_type().unwrap().is_dir()
                {
                    let ok = g.iter().any(|g| globset::Glob::new(g).unwrap().compile_matcher().is_match(r.as_path()))
                        || spec.script.as_deref() == r.as_path().to_str();
                    if !ok {
                        continue;
                    }
                }
            }
            let t = e.file_type().unwrap();
            let c = if t.is_symlink() {
                let l = std::fs::read_link(&p).unwrap();
                Content {
                    kind: crate::content::Kind::Link,
                    digest: crate::digest::Digest::of(l.as_os_str().as_bytes()),
                    size: l.as_os_str().len() as u64,
                }
            } else if t.is_dir() {
                let before = *files;
                let c = self.dir(base, &r, spec, folders, files);
                if spec.is_some_and(|s| s.globs.is_some()) && *files == before {
                    continue;
                }
                c
            } else {
                *files += 1;
                let m = e.metadata().unwrap();
                let b = std::fs::read(&p).unwrap();
                let kind =
                    if m.mode() & 0o100 != 0 { crate::content::Kind::Executable } else { crate::content::Kind::File };
                Content { kind, digest: crate::digest::Digest::of(&b), size: m.len() }
            };
            entries.push(Entry {
                name: e.file_name().as_bytes().to_vec(),
                kind: c.kind,
                digest: c.digest,
                size: c.size,
            });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let size = entries.iter().map(|e| e.size).sum();
        let digest = crate::digest::Digest::of(&crate::content::encode(&entries));
        folders.push(Folder { path: rel.clone(), entries });
        Content { kind: crate::content::Kind::Folder, digest, size }
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
}

fn st(m: &std::fs::Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    Stamp {
        inode: m.ino(),
        size: m.len(),
        mtime: i128::from(m.mtime()) * 1_000_000_000 + i128::from(m.mtime_nsec()),
        ctime: i128::from(m.ctime()) * 1_000_000_000 + i128::from(m.ctime_nsec()),
        mode: m.mode(),
    }
}
