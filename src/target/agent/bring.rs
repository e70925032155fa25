//! Brings back what a run left: every file verified against what the target says it is, before anything is made of it.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::Digest as _;

use super::send::hex;
use super::{Link, read, written};
use crate::ids::RunId;
use crate::relpath::RelPath;
use crate::target::remote::Fault;

/// So many bytes come at once.
const PIECE: u64 = 2 << 20;

/// A file to come.
struct Coming {
    from: RelPath,
    to: PathBuf,
    executable: bool,
    size: u64,
    check: String,
}

/// Brings what lies at these paths of a run directory to the same paths below `into`. What is not there is not brought.
pub(super) fn collect(link: &Link, run: &RunId, paths: &[RelPath], into: &Path) -> Result<(), Fault> {
    let names: Vec<String> = paths.iter().map(written).collect();
    let answer = link.ask(&json!({"op": "list", "run": run.0, "paths": names}))?;
    let found = answer.get("found").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut coming = Vec::new();
    for (path, entries) in paths.iter().zip(found) {
        let entries = entries.as_array().cloned().unwrap_or_default();
        if !entries.is_empty() {
            let at = into.join(path.as_path());
            clear(&at).and_then(|()| make_parent(&at)).map_err(|error| here(&at, &error))?;
        }
        for entry in &entries {
            let (below, tag, size, text) = parts(entry).ok_or_else(|| strange(link))?;
            let from = if below.is_root() { path.clone() } else { path.join(below.as_path()) };
            let to = into.join(from.as_path());
            match tag {
                "d" => std::fs::create_dir_all(&to).map_err(|error| here(&to, &error))?,
                "l" => {
                    use std::os::unix::ffi::OsStringExt as _;
                    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
                    let text = std::ffi::OsString::from_vec(bytes.ok_or_else(|| strange(link))?);
                    std::os::unix::fs::symlink(text, &to).map_err(|error| here(&to, &error))?;
                }
                _ => coming.push(Coming { from, to, executable: tag == "x", size, check: text.to_owned() }),
            }
        }
    }
    let kept = fetch(link, run, &coming)?;
    // What stays there is there for the jobs that need it.
    link.ask(&json!({"op": "adopt", "run": run.0, "files": kept}))?;
    Ok(())
}

fn parts(entry: &Value) -> Option<(RelPath, &str, u64, &str)> {
    let name = entry.get(0)?.as_str()?;
    let path = if name.is_empty() { RelPath::root() } else { read(name)? };
    Some((path, entry.get(1)?.as_str()?, entry.get(2)?.as_u64()?, entry.get(3)?.as_str()?))
}

/// Fetches files, several small ones at a time; answers what they are by their digests.
fn fetch(link: &Link, run: &RunId, coming: &[Coming]) -> Result<Vec<Value>, Fault> {
    let mut kept = Vec::new();
    let mut rest = coming;
    while !rest.is_empty() {
        let mut bytes = 0;
        let count = rest.iter().take_while(|file| {
            bytes += file.size;
            bytes <= PIECE
        });
        let count = count.count().clamp(1, 2000);
        let (some, others) = rest.split_at(count.min(rest.len()));
        rest = others;
        if let [one] = some {
            kept.push(large(link, run, one)?);
            continue;
        }
        let pieces: Vec<Value> = some.iter().map(|file| json!([written(&file.from), 0, file.size])).collect();
        let (answer, data) = link.exchange(&json!({"op": "fetch", "run": run.0, "pieces": pieces}), &[])?;
        let sizes = answer.get("sizes").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut at = 0;
        for (file, size) in some.iter().zip(sizes) {
            let size = usize::try_from(size.as_u64().unwrap_or(0)).unwrap_or(0);
            let bytes = data.get(at..at + size).ok_or_else(|| strange(link))?;
            at += size;
            let mut arriving = Arriving::new(file)?;
            arriving.add(bytes)?;
            kept.push(arriving.end()?);
        }
    }
    Ok(kept)
}

fn large(link: &Link, run: &RunId, file: &Coming) -> Result<Value, Fault> {
    let mut arriving = Arriving::new(file)?;
    let mut at = 0;
    while at < file.size {
        let pieces = json!([[written(&file.from), at, PIECE.min(file.size - at)]]);
        let (_, bytes) = link.exchange(&json!({"op": "fetch", "run": run.0, "pieces": pieces}), &[])?;
        if bytes.is_empty() {
            break;
        }
        at += bytes.len() as u64;
        arriving.add(&bytes)?;
    }
    arriving.end()
}

/// A file that is being written.
struct Arriving<'f> {
    of: &'f Coming,
    file: std::fs::File,
    check: sha2::Sha256,
    digest: blake3::Hasher,
}

impl<'f> Arriving<'f> {
    fn new(of: &'f Coming) -> Result<Self, Fault> {
        let file = make_parent(&of.to).and_then(|()| std::fs::File::create(&of.to));
        let file = file.map_err(|error| here(&of.to, &error))?;
        Ok(Self { of, file, check: sha2::Sha256::new(), digest: blake3::Hasher::new() })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.check.update(bytes);
        self.digest.update(bytes);
        self.file.write_all(bytes).map_err(|error| here(&self.of.to, &error))
    }

    fn end(self) -> Result<Value, Fault> {
        let check = hex(&self.check.finalize());
        if check != self.of.check {
            let why = format!(
                "`{}` changed while it was brought back: a process that the job left still writes to it",
                self.of.from
            );
            return Err(Fault::Refused(why));
        }
        if self.of.executable {
            let mode = self.file.metadata().map_err(|error| here(&self.of.to, &error))?.permissions().mode();
            let mode = std::fs::Permissions::from_mode(mode | ((mode & 0o444) >> 2));
            self.file.set_permissions(mode).map_err(|error| here(&self.of.to, &error))?;
        }
        Ok(json!([written(&self.of.from), crate::digest::Digest::from(self.digest.finalize()).to_string(), check]))
    }
}

fn make_parent(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

/// Removes what an attempt that was cut short left there.
fn clear(path: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

fn here(path: &Path, error: &std::io::Error) -> Fault {
    Fault::Refused(format!("could not write {}: {error}", path.display()))
}

fn strange(link: &Link) -> Fault {
    Fault::Refused(format!("{}: an answer cannot be understood", link.named()))
}
