//! Files and folders as DVC hashes them (<https://dvc.org/doc/user-guide/project-structure/internal-files>), to see
//! whether what its lock says is still so.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use md5::{Digest, Md5};

use crate::foreign::dvc::lock::Hashed;

/// Whether what lies at a path is what was hashed.
pub(super) fn matches(root: &Path, hashed: &Hashed) -> io::Result<bool> {
    let place = root.join(&hashed.path);
    Ok(match hashed.md5.strip_suffix(".dir") {
        Some(md5) => place.is_dir() && folder(&place, hashed.unix)? == md5,
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
fn folder(place: &Path, unix: bool) -> io::Result<String> {
    let mut files = Vec::new();
    list(place, "", &mut files)?;
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

fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(io::Error::other(format!("a name in {} is no UTF-8", folder.display())));
        };
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if entry.path().is_dir() {
            list(&entry.path(), &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
