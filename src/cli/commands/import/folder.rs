//! The folder that is imported, as the fronts see it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::foreign::Look;

/// Longer files are not read, in bytes.
const LONGEST: u64 = 32 << 20;

/// A folder on disk.
#[derive(Debug)]
pub(in crate::cli::commands) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(in crate::cli::commands) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn text(place: &Path) -> Option<Result<String, String>> {
        let found = fs::metadata(place).ok()?;
        if !found.is_file() {
            return None;
        }
        if found.len() > LONGEST {
            return Some(Err(format!("it has {} bytes, more than are read", found.len())));
        }
        let bytes = match fs::read(place) {
            Ok(bytes) => bytes,
            Err(error) => return Some(Err(error.to_string())),
        };
        Some(String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned()))
    }
}

impl Look for Folder {
    fn list(&self, folder: &str) -> Vec<(String, bool)> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<(String, bool)> = entries
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.file_type().ok()?.is_dir())))
            .collect();
        names.sort();
        names
    }

    fn read(&self, path: &str) -> Option<Result<String, String>> {
        // A path of the document: it may not lead anywhere else.
        crate::relpath::RelPath::new(path).ok()?;
        Self::text(&self.root.join(path))
    }

    fn above(&self, path: &str) -> Option<Result<String, String>> {
        Self::text(&self.root.join(path))
    }

    fn there(&self, path: &str) -> Option<bool> {
        fs::metadata(self.root.join(path)).ok().map(|found| found.is_dir())
    }
}
