//! Where built environments lie in the user's cache, and what says that one is whole.
//!
//! `environments-v1/<key>/` is the environment, at its final place from the start (its scripts name it); a note in it,
//! written last, says that it is complete. `environments-v1/<key>.lock` is held while somebody builds.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::stamp::Stamp;
use super::{EnvironmentError, Halt};
use crate::digest::Digest;
use crate::staleness::Key;

/// The name of the note in a complete environment.
const NOTE: &str = "amlrun-environment.json";

/// The place of one environment.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The environment's folder.
    pub(super) folder: PathBuf,
    lock: PathBuf,
}

/// What the note says.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    format: u32,
    key: Digest,
    /// The interpreter that `bin/python` leads to, as it was.
    base: Stamp,
}

impl Place {
    /// The place of an environment with this key. Half of the digest's digits keep the paths in `#!` lines short.
    pub(super) fn new(cache: &Path, key: &Key) -> Self {
        let mut name = key.digest.to_string();
        name.truncate(32);
        let parent = cache.join("environments-v1");
        Self { lock: parent.join(format!("{name}.lock")), folder: parent.join(name) }
    }

    /// The environment's interpreter.
    pub(super) fn python(&self) -> PathBuf {
        self.folder.join("bin").join("python")
    }

    fn note(&self, key: &Key) -> Option<Note> {
        let note: Note = serde_json::from_slice(&std::fs::read(self.folder.join(NOTE)).ok()?).ok()?;
        (note.format == 1 && note.key == key.digest).then_some(note)
    }

    /// Whether a complete environment with this key is there, and the interpreter that it was built with still is.
    pub(super) fn is_complete(&self, key: &Key) -> bool {
        self.note(key).is_some_and(|note| Stamp::of(&self.python()) == Some(note.base))
    }

    /// Whether it was complete with this key once, whatever became of its interpreter.
    pub(super) fn was_complete(&self, key: &Key) -> bool {
        self.note(key).is_some()
    }

    /// As [`Place::hold`], without waiting.
    pub(super) fn try_hold(&self) -> Result<Result<File, TryLockError>, EnvironmentError> {
        let file = open(&self.lock)?;
        Ok(file.try_lock().map(|()| file))
    }

    /// Waits until nobody else builds here, and keeps others out until the file is closed, by a crash too.
    pub(super) fn hold(&self, halt: &Halt) -> Result<File, EnvironmentError> {
        hold(&self.lock, halt)
    }

    /// Removes what is there.
    pub(super) fn clear(&self) -> Result<(), EnvironmentError> {
        // The note goes first: a removal that is cut short may not leave a folder that looks whole.
        for gone in [std::fs::remove_file(self.folder.join(NOTE)), std::fs::remove_dir_all(&self.folder)] {
            match gone {
                Err(source) if !missing(&source) => {
                    return Err(EnvironmentError::Io { doing: "remove", path: self.folder.clone(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Says that the environment is complete, once all of it is on disk.
    pub(super) fn complete(&self, key: &Key) -> Result<(), EnvironmentError> {
        let failed = |source| EnvironmentError::Io { doing: "complete", path: self.folder.clone(), source };
        let base = Stamp::of(&self.python());
        let base = base.ok_or_else(|| failed(std::io::Error::other("its interpreter is missing")))?;
        let note = Note { format: 1, key: key.digest, base };
        let bytes = serde_json::to_vec(&note).map_err(|error| failed(error.into()))?;
        settle(&self.folder).map_err(failed)?;
        write_whole(&self.folder.join(NOTE), &bytes).map_err(failed)
    }

    /// The bytes of the files in it.
    pub(super) fn size(&self) -> u64 {
        size(&self.folder)
    }
}

fn missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// Takes the exclusive lock of a file, which is made where it is missing and never removed.
pub(super) fn hold(path: &Path, halt: &Halt) -> Result<File, EnvironmentError> {
    let file = open(path)?;
    halt.lock(&file, path)?;
    Ok(file)
}

fn open(path: &Path) -> Result<File, EnvironmentError> {
    let failed = |source| EnvironmentError::Io { doing: "open", path: path.to_owned(), source };
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
    File::options().read(true).append(true).create(true).open(path).map_err(failed)
}

/// Writes a file whole or not at all, durably: beside its place, then renamed.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mode = path.metadata().map_or(0o644, |data| data.permissions().mode() & 0o777);
    let mut builder = tempfile::Builder::new();
    let mut file = builder.permissions(std::fs::Permissions::from_mode(mode)).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// Brings everything of a folder to the disk, so that a note written after it never outlives it.
fn settle(folder: &Path) -> std::io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::fs::syncfs(File::open(folder)?)?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _file = File::open(folder)?;
        rustix::fs::sync();
    }
    Ok(())
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let one = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(one).sum()
}
