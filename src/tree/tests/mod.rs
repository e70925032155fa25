//! The ground as its callers see it, on real folders.

mod cached;
mod links;
mod paths;
mod properties;
mod snapshots;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Ground, Measured, SourceSpec, TreeError, Watch, What};
use crate::content::Kind;
use crate::relpath::RelPath;

/// Counts what a walk read.
#[derive(Debug, Default)]
struct Reads {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Watch for Reads {
    fn saw(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A workspace of its own.
struct Field(tempfile::TempDir);

impl Field {
    fn new(files: &[&str]) -> Self {
        let field = Self(tempfile::tempdir().unwrap());
        for path in files {
            field.write(path, path);
        }
        field
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(path)
    }

    /// Writes a file, and the folders above it.
    fn write(&self, path: impl AsRef<Path>, text: &str) {
        fs::create_dir_all(self.at(&path).parent().unwrap()).unwrap();
        File::create(self.at(path)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn folder(&self, path: impl AsRef<Path>) {
        fs::create_dir_all(self.at(path)).unwrap();
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, self.at(path)).unwrap();
    }

    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn ground(&self) -> Ground {
        Ground::open(self.0.path(), &self.at(".amlrun"))
    }

    /// What is at a path, by a ground of its own.
    fn measure(&self, path: &str) -> Result<Option<Measured>, TreeError> {
        self.ground().measure(&[PathBuf::from(path)], &Reads::default()).pop().unwrap()
    }

    fn content(&self, path: &str) -> crate::content::Content {
        self.measure(path).unwrap().unwrap().content
    }

    /// The entries of a tree: `path` for a file, `path*` for an executable one, `path@` for a link, `path/` for a folder.
    fn list(&self, what: What<'_>) -> Vec<String> {
        list(&self.ground(), what)
    }

    fn sources(&self, spec: &SourceSpec) -> Vec<String> {
        self.list(What::Sources(spec)).into_iter().filter(|path| !path.ends_with('/')).collect()
    }
}

fn list(ground: &Ground, what: What<'_>) -> Vec<String> {
    let (_, folders) = ground.folders(what, &Reads::default()).unwrap();
    let mut paths: Vec<String> = folders
        .iter()
        .flat_map(|folder| folder.entries.iter().map(move |entry| (folder, entry)))
        .map(|(folder, entry)| {
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            let mark = match entry.kind {
                Kind::File => "",
                Kind::Executable => "*",
                Kind::Link => "@",
                Kind::Folder => "/",
            };
            format!("{}{mark}", folder.path.join(name).as_path().display())
        })
        .collect();
    paths.sort();
    paths
}

fn rel(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}
