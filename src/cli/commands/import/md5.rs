//! Files and folders as DVC hashes them (<https://dvc.org/doc/user-guide/project-structure/internal-files>), to see
//! whether what its lock says is still so.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use crate::foreign::dvc::lock::Hashed;
use crate::tree::asset::Lines;

/// Whether what lies at a path is what was hashed.
pub(super) fn matches(root: &Path, hashed: &Hashed) -> io::Result<bool> {
    let place = root.join(&hashed.path);
    Ok(match hashed.md5.strip_suffix(".dir") {
        Some(md5) => place.is_dir() && folder(&place, &ignored(root, &hashed.path), hashed.unix)? == md5,
        None => {
            place.is_file()
                && (file(&place, false)? == hashed.md5 || (hashed.unix && file(&place, true)? == hashed.md5))
        }
    })
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The MD5 of a file; `unix`: with its line ends made Unix's first, as DVC 2 did with texts.
fn file(place: &Path, unix: bool) -> io::Result<String> {
    let mut hash = Md5::new();
    if unix {
        let bytes = fs::read(place)?;
        let text: Vec<u8> = bytes
            .iter()
            .enumerate()
            .filter(|(at, byte)| !(**byte == b'\r' && bytes.get(at + 1) == Some(&b'\n')))
            .map(|(_, byte)| *byte)
            .collect();
        hash.update(&text);
        return Ok(hex(&hash.finalize()));
    }
    let mut reader = fs::File::open(place)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

/// The MD5 of a folder's listing: JSON as Python's `json.dumps(…, sort_keys=True)` writes it, by path.
fn folder(place: &Path, above: &Rules, unix: bool) -> io::Result<String> {
    let mut files = Vec::new();
    list(place, "", above, &mut files)?;
    files.sort();
    let mut listing = String::from("[");
    for (at, path) in files.iter().enumerate() {
        let md5 = file(&place.join(path), unix)?;
        if at > 0 {
            listing.push_str(", ");
        }
        let _ = write!(listing, "{{\"md5\": \"{md5}\", \"relpath\": {}}}", ascii_json(path));
    }
    listing.push(']');
    Ok(hex(&Md5::digest(listing.as_bytes())))
}

/// A JSON text with everything beyond ASCII escaped.
fn ascii_json(text: &str) -> String {
    let quoted = serde_json::Value::String(text.to_owned()).to_string();
    let mut out = String::new();
    for c in quoted.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// A `.dvcignore`: the folder that it lies in, and its lines.
type Rules = Vec<(PathBuf, Lines)>;

/// The rules of the `.dvcignore` files from the workspace down to a folder, without its own.
fn ignored(root: &Path, path: &str) -> Rules {
    let mut rules = Vec::new();
    let mut folder = root.to_owned();
    for part in path.split('/') {
        rules.extend(lines(&folder));
        folder.push(part);
    }
    rules
}

fn lines(folder: &Path) -> Option<(PathBuf, Lines)> {
    let text = fs::read_to_string(folder.join(".dvcignore")).ok()?;
    Some((folder.to_owned(), Lines::read(&text)))
}

/// Whether DVC leaves a path out: by the last line that decides, in the file nearest to it.
fn leaves_out(rules: &Rules, path: &Path, is_folder: bool) -> bool {
    let name = path.file_name().unwrap_or_default();
    if is_folder && [".git", ".hg", ".dvc"].iter().any(|own| name == *own) {
        return true;
    }
    let decides = |(base, lines): &(PathBuf, Lines)| {
        let seen = path.strip_prefix(base).ok()?.to_str()?;
        let folder = if is_folder { lines.leave_out(&format!("{seen}/")) } else { None };
        lines.leave_out(seen).or(folder)
    };
    rules.iter().rev().find_map(decides).unwrap_or(false)
}

fn list(folder: &Path, prefix: &str, above: &Rules, files: &mut Vec<String>) -> io::Result<()> {
    let mut rules = above.clone();
    rules.extend(lines(folder));
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(io::Error::other(format!("a name in {} is no UTF-8", folder.display())));
        };
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let is_folder = entry.path().is_dir();
        if leaves_out(&rules, &entry.path(), is_folder) {
            continue;
        }
        if is_folder {
            list(&entry.path(), &path, &rules, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
