//! Objects that are files of their own: `large/ab/<digest>`, read-only, whole from the moment they have that name.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use super::copy::{self, Fault};
use super::files;
use super::index::{QUARANTINE, names};
use crate::digest::Digest;
use crate::store::StoreError;

/// Where objects lie until they have their name. A file there that nobody holds the lock of is a killed process's.
const INCOMING: &str = "incoming";

/// The large objects below a store's folder.
#[derive(Debug)]
pub(super) struct Large {
    folder: PathBuf,
    cleaned: Once,
    counter: AtomicU64,
    /// Objects that are not durable yet.
    unsynced: Mutex<Vec<PathBuf>>,
}

/// A file on its way into the store; it vanishes unless it is given its name.
struct Incoming {
    file: File,
    path: PathBuf,
    named: bool,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.named {
            files::discard(&self.path);
        }
    }
}

impl Large {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            cleaned: Once::new(),
            counter: AtomicU64::new(0),
            unsynced: Mutex::new(Vec::new()),
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        shelved(&self.folder.join("large"), digest)
    }

    /// All objects, and where they lie.
    pub(super) fn all(&self) -> Result<Vec<(Digest, PathBuf)>, StoreError> {
        on_shelves(&self.folder.join("large"))
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        fs::symlink_metadata(self.path(digest)).is_ok_and(|found| found.is_file())
    }

    /// Keeps bytes of that digest.
    pub(super) fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if self.has(digest) {
            return Ok(());
        }
        let incoming = self.incoming()?;
        (&incoming.file).write_all(bytes).map_err(StoreError::at("write", &incoming.path))?;
        self.name(incoming, digest)
    }

    /// Keeps what follows in a file of about `size` bytes, unless it comes out not to be large: then its bytes are returned.
    pub(super) fn put_file(
        &self,
        from: &File,
        path: &Path,
        size: u64,
        least: u64,
    ) -> Result<Result<(Digest, u64), Vec<u8>>, StoreError> {
        let incoming = self.incoming()?;
        let (digest, size) = copy::copy(from, &incoming.file, size).map_err(|fault| match fault {
            Fault::Reading(why) => StoreError::at("read", path)(why),
            Fault::Writing(why) => StoreError::at("write", &incoming.path)(why),
        })?;
        if size < least {
            return Ok(Err(fs::read(&incoming.path).map_err(StoreError::at("read", &incoming.path))?));
        }
        if !self.has(&digest) {
            self.name(incoming, &digest)?;
        }
        Ok(Ok((digest, size)))
    }

    /// A new file of our own, locked as long as it has no name.
    fn incoming(&self) -> Result<Incoming, StoreError> {
        let folder = self.folder.join(INCOMING);
        files::make_folder(&folder)?;
        self.cleaned.call_once(|| {
            for name in names(&folder).unwrap_or_default() {
                let path = folder.join(name);
                if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                    files::discard(&path);
                }
            }
        });
        loop {
            let path = folder.join(format!("{}-{}", std::process::id(), self.counter.fetch_add(1, Ordering::Relaxed)));
            let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
            match made {
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
                Err(why) => return Err(StoreError::at("create", &path)(why)),
                Ok(file) => {
                    let held = !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock));
                    // Another process may have cleaned it away before it was locked.
                    if held && file.metadata().is_ok_and(|found| found.nlink() > 0) {
                        return Ok(Incoming { file, path, named: false });
                    }
                }
            }
        }
    }

    fn name(&self, mut incoming: Incoming, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        if let Some(shelf) = path.parent() {
            files::make_folder(shelf)?;
        }
        let sealed = incoming.file.set_permissions(Permissions::from_mode(0o444));
        sealed.and_then(|()| fs::rename(&incoming.path, &path)).map_err(StoreError::at("write", &path))?;
        incoming.named = true;
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).push(path);
        Ok(())
    }

    /// The first bytes of an object, not verified.
    pub(super) fn peek(&self, digest: &Digest, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let file = File::open(self.path(digest)).ok()?;
        io::Read::read_exact(&mut &file, &mut bytes).ok().map(|()| bytes)
    }

    /// An object's bytes, verified.
    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(digest);
        let Some((file, size)) = open(&path)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let read = io::Read::read_to_end(&mut &file, &mut bytes);
        if readable(read, &path)?.is_some() && Digest::of(&bytes) == *digest {
            return Ok(Some(bytes));
        }
        self.quarantine(digest, &path, &file);
        Ok(None)
    }

    /// Writes an object to a new file, verified; false where it is missing or was corrupt.
    pub(super) fn write_to(&self, digest: &Digest, to: &Path, mode: u32, link: bool) -> Result<bool, StoreError> {
        let path = self.path(digest);
        let Some((file, size)) = open(&path)? else { return Ok(false) };
        if link && mode & 0o111 == 0 {
            if readable(copy::digest(&file), &path)?.is_none_or(|(found, _)| found != *digest) {
                self.quarantine(digest, &path, &file);
                return Ok(false);
            }
            match fs::hard_link(&path, to) {
                Ok(()) => return Ok(true),
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => return Err(StoreError::at("link", to)(why)),
                // Another file system, too many links, or a rule against links: then a copy.
                Err(_) => {}
            }
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut temporary = tempfile::Builder::new();
        let temporary = temporary.prefix(".amlrun-").permissions(Permissions::from_mode(mode)).tempfile_in(folder);
        let temporary = temporary.map_err(StoreError::at("create", to))?;
        let copied = match copy::copy(&file, temporary.as_file(), size) {
            Ok(copied) => Ok(copied),
            Err(Fault::Reading(why)) => Err(why),
            Err(Fault::Writing(why)) => return Err(StoreError::at("write", to)(why)),
        };
        if readable(copied, &path)?.is_none_or(|(found, _)| found != *digest) {
            self.quarantine(digest, &path, &file);
            return Ok(false);
        }
        temporary.persist_noclobber(to).map_err(|refused| StoreError::at("write", to)(refused.error))?;
        Ok(true)
    }

    /// Whether an object is right, and its size; none where it is not there any more. One that is not right is set apart.
    pub(super) fn verify(&self, digest: &Digest) -> Result<Option<(bool, u64)>, StoreError> {
        let path = self.path(digest);
        let Some((file, size)) = open(&path)? else { return Ok(None) };
        let right = readable(copy::digest(&file), &path)?.is_some_and(|(found, _)| found == *digest);
        if !right {
            self.quarantine(digest, &path, &file);
        }
        Ok(Some((right, size)))
    }

    /// Takes a corrupt object out of the way, unless another process has put a right one in its place already.
    fn quarantine(&self, digest: &Digest, path: &Path, corrupt: &File) {
        let inode = |found: io::Result<fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
        let folder = self.folder.join(QUARANTINE);
        if inode(fs::symlink_metadata(path)) == inode(corrupt.metadata()) && files::make_folder(&folder).is_ok() {
            drop(fs::rename(path, folder.join(digest.to_string())));
        }
    }

    /// Makes all that was put durable.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let paths = std::mem::take(&mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner));
        for (at, path) in paths.iter().enumerate() {
            let folder = path.parent().unwrap_or(path);
            let synced = match File::open(path).and_then(|file| file.sync_data()) {
                // Found corrupt since.
                Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
                synced => synced.and_then(|()| File::open(folder)).and_then(|folder| folder.sync_all()),
            };
            if let Err(why) = synced {
                let rest = paths.get(at..).unwrap_or_default();
                self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(rest);
                return Err(StoreError::at("write", path)(why));
            }
        }
        Ok(())
    }
}

/// Where the file of a digest lies below a folder: by the digest's beginning, so that no folder grows long.
pub(super) fn shelved(folder: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.to_string();
    let first: String = hex.chars().take(2).collect();
    folder.join(first).join(hex)
}

/// All files that lie so below a folder.
pub(super) fn on_shelves(folder: &Path) -> Result<Vec<(Digest, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    for first in names(folder)? {
        let below = folder.join(first);
        let object = |name: String| Some((name.parse().ok()?, below.join(name)));
        found.extend(names(&below)?.into_iter().filter_map(object));
    }
    Ok(found)
}

/// An object's file and its size; none where it is missing.
fn open(path: &Path) -> Result<Option<(File, u64)>, StoreError> {
    match File::open(path).and_then(|file| file.metadata().map(|found| (file, found))) {
        Ok((file, found)) => Ok(found.is_file().then_some((file, found.size()))),
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(why) => Err(StoreError::at("read", path)(why)),
    }
}

/// What was read; none where the disk cannot give it back, which is corruption like any other.
fn readable<T>(read: io::Result<T>, path: &Path) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(why) if files::is_bad_block(&why) => Ok(None),
        Err(why) => Err(StoreError::at("read", path)(why)),
    }
}
