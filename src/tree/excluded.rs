//! What is never part of a snapshot, looked up folder by folder: a project may declare ten thousand outputs, and a folder
//! should only be compared with those that could lie in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::relpath::RelPath;

/// Paths and globs, relative to the workspace.
#[derive(Debug, Default)]
pub(super) struct Excluded {
    /// By the folder that they lie in.
    names: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    /// By the folder above their first wildcard.
    globs: BTreeMap<Vec<u8>, Globs>,
}

/// Globs relative to one folder, compiled when that folder is first walked.
#[derive(Debug, Default)]
struct Globs {
    texts: Vec<String>,
    compiled: OnceLock<GlobSet>,
}

impl Globs {
    fn set(&self) -> &GlobSet {
        self.compiled.get_or_init(|| {
            let mut builder = GlobSetBuilder::new();
            self.texts.iter().filter_map(|text| glob(text).ok()).for_each(|glob| {
                builder.add(glob);
            });
            builder.build().unwrap_or_default()
        })
    }
}

/// A glob in which `*` stays within a folder.
pub(super) fn glob(text: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).build()
}

/// Splits a glob at its last `/` before the first wildcard: the folder, and what is left of the glob (none of no wildcard).
pub(super) fn split(text: &str) -> (&str, Option<&str>) {
    let Some(wild) = text.find(['*', '?', '[', '{', '\\']) else { return (text, None) };
    match text.get(..wild).and_then(|literal| literal.rfind('/')) {
        Some(slash) => (text.get(..slash).unwrap_or_default(), text.get(slash + 1..)),
        None => ("", Some(text)),
    }
}

impl Excluded {
    /// Adds a path.
    pub(super) fn add(&mut self, path: &RelPath) {
        let path = path.as_path();
        if let Some(name) = path.file_name() {
            let folder = path.parent().map(|p| p.as_os_str().as_bytes().to_owned()).unwrap_or_default();
            self.names.entry(folder).or_default().insert(name.as_bytes().to_owned());
        }
    }

    /// Adds a glob, or says what is wrong with it.
    pub(super) fn add_glob(&mut self, text: &str) -> Result<(), String> {
        match split(text) {
            (path, None) => self.add(&RelPath::new(path).map_err(|outside| outside.to_string())?),
            (folder, Some(rest)) => {
                glob(rest).map_err(|error| error.to_string())?;
                let folder = RelPath::new(folder).map_err(|outside| outside.to_string())?;
                let globs = self.globs.entry(folder.as_bytes().to_owned()).or_default();
                globs.texts.push(rest.to_owned());
                globs.compiled = OnceLock::new();
            }
        }
        Ok(())
    }

    /// What of it could lie in a folder of the workspace.
    pub(super) fn within(&self, folder: &[u8]) -> Here<'_> {
        let mut globs = Vec::new();
        if !self.globs.is_empty() {
            let mut base = Some(Path::new(OsStr::from_bytes(folder)));
            while let Some(path) = base {
                let bytes = path.as_os_str().as_bytes();
                if let Some(found) = self.globs.get(bytes) {
                    let below = folder.get(bytes.len()..).unwrap_or_default();
                    globs.push((found.set(), below.strip_prefix(b"/").unwrap_or(below).to_owned()));
                }
                base = path.parent();
            }
        }
        Here { names: self.names.get(folder), globs }
    }

    /// Whether a path of the workspace, or a folder above it, is excluded.
    pub(super) fn holds(&self, path: &[u8]) -> bool {
        let mut path = Path::new(OsStr::from_bytes(path));
        loop {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
            if self.within(parent.as_os_str().as_bytes()).has(name.as_bytes()) {
                return true;
            }
            path = parent;
        }
    }
}

/// What is excluded in one folder.
pub(super) struct Here<'a> {
    names: Option<&'a BTreeSet<Vec<u8>>>,
    globs: Vec<(&'a GlobSet, Vec<u8>)>,
}

impl Here<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_none() && self.globs.is_empty()
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.names.is_some_and(|names| names.contains(name))
            || self.globs.iter().any(|(set, below)| set.is_match(Path::new(OsStr::from_bytes(&joined(below, name)))))
    }
}

/// A name below a folder; the folder may be empty.
pub(super) fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    path.extend_from_slice(folder);
    if !folder.is_empty() && !folder.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_globs_exclude_what_they_name_and_all_below() {
        let mut excluded = Excluded::default();
        for glob in ["models/ridge-*.pkl", "data/clean.csv", "runs/*/model.pkl", "out/**", "a[*]b", "top-*"] {
            excluded.add_glob(glob).unwrap();
        }
        excluded.add(&RelPath::new("my.toml").unwrap());
        let check = |path: &str, held: bool| assert_eq!(excluded.holds(path.as_bytes()), held, "{path}");
        check("models/ridge-0.1.pkl", true);
        check("models/ridge-0.1.pkl/inside/a/folder", true);
        check("models/lasso.pkl", false);
        check("models", false);
        check("models/sub/ridge-0.pkl", false);
        check("data/clean.csv", true);
        check("data/clean.csv.bak", false);
        check("runs/1/model.pkl", true);
        check("runs/1/2/model.pkl", false);
        check("out/a/b", true);
        check("a*b", true);
        check("axb", false);
        check("top-1", true);
        check("my.toml", true);
        check("sub/my.toml", false);
        check("", false);
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        let check = |glob: &str| assert!(Excluded::default().add_glob(glob).is_err(), "{glob}");
        check("a[");
        check("../*");
        check("/tmp/x");
    }
}
