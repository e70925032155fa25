//! Code that an interpreter imports from where somebody works on it: editable installs, and folders that a `.pth` file names.
//!
//! A job finds the code as it is, not as it was installed, so what is in it is part of the environment's key. What counts
//! is what can be imported: Python files and compiled modules everywhere, and all files of a package (a folder with an
//! `__init__.py`), as packages read data that lies beside them. Every folder and file is a [`Witness`], so that nothing is
//! read again while nothing moved.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::installed::{has_extension as has, names as names_in};
use super::stamp::Witness;
use crate::digest::{Digest, Digester};

/// Folders in which nothing is of the code itself.
const FOREIGN: [&str; 4] = ["__pycache__", "node_modules", "site-packages", "dist-packages"];

/// The digest of the code below a folder, by paths relative to it.
pub(super) fn code(folder: &Path, witnesses: &mut Vec<Witness>) -> Digest {
    let mut digester = Digester::new("imported code");
    let mut seen = BTreeSet::new();
    let mut open = vec![(folder.to_owned(), false)];
    while let Some((at, within)) = open.pop() {
        let Ok(found) = at.metadata() else { continue };
        // A link may lead back to where it lies.
        if !seen.insert((found.dev(), found.ino())) {
            continue;
        }
        witnesses.push(Witness::of(&at));
        let names = names_in(&at);
        let holds = |name: &str| names.iter().any(|other| other == name);
        if holds("pyvenv.cfg") || holds("conda-meta") {
            continue;
        }
        let is_package = within || holds("__init__.py");
        for name in &names {
            let path = at.join(name);
            if name.starts_with('.') || FOREIGN.contains(&name.as_str()) || has(name, "egg-info") {
                continue;
            }
            if path.is_dir() {
                open.push((path, is_package));
            } else if is_package && !has(name, "pyc") || has(name, "py") || has(name, "so") {
                witnesses.push(Witness::of(&path));
                let bytes = std::fs::read(&path).unwrap_or_default();
                let inside = path.strip_prefix(folder).unwrap_or(&path);
                digester.bytes(inside.as_os_str().as_bytes()).digest(&Digest::of(&bytes));
            }
        }
    }
    digester.finish()
}

/// The folder that an editable install was made from, by its `direct_url.json`.
pub(super) fn origin(direct: &serde_json::Value) -> Option<PathBuf> {
    direct.pointer("/dir_info/editable").and_then(serde_json::Value::as_bool).filter(|editable| *editable)?;
    let address = direct.pointer("/url").and_then(serde_json::Value::as_str)?;
    let path = PathBuf::from(unescaped(address.strip_prefix("file://")?));
    path.is_absolute().then_some(path)
}

/// A URL's path with its `%20`s as what they stand for.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'%').then(|| after.get(..2)).flatten().and_then(|code| std::str::from_utf8(code).ok());
        if let Some(code) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(code);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write files")]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_imported_counts_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        for folder in ["pkg/sub", "data", "venv/lib", ".git", "pkg/__pycache__"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::fs::write(at("venv/pyvenv.cfg"), "").unwrap();
        std::fs::write(at("pkg/__init__.py"), "").unwrap();
        std::os::unix::fs::symlink("..", at("pkg/loop")).unwrap();
        let digest = || code(place.path(), &mut Vec::new());
        let mut last = digest();
        let rows = [
            ("top.py", true),
            ("notes.txt", false),
            ("data/table.csv", false),
            ("data/tool.py", true),
            ("pkg/config.json", true),
            ("pkg/sub/table.csv", true),
            ("pkg/__pycache__/a.pyc", false),
            ("venv/lib/b.py", false),
            (".git/c.py", false),
        ];
        for (path, counts) in rows {
            std::fs::write(at(path), "1").unwrap();
            let now = digest();
            assert_eq!(now != last, counts, "{path}");
            last = now;
        }
    }

    #[test]
    fn an_editable_install_tells_where_it_was_made_from() {
        let told = |text: &str| origin(&serde_json::from_str(text).unwrap());
        let rows = [
            (r#"{"url": "file:///a%20b/c", "dir_info": {"editable": true}}"#, Some("/a b/c")),
            (r#"{"url": "file:///a/100%", "dir_info": {"editable": true}}"#, Some("/a/100%")),
            (r#"{"url": "file:///a", "dir_info": {}}"#, None),
            (r#"{"url": "https://host/a", "dir_info": {"editable": true}}"#, None),
        ];
        for (text, path) in rows {
            assert_eq!(told(text), path.map(PathBuf::from), "{text}");
        }
    }
}
