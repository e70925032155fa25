//! Files that small objects are restored from by hard link: `twins/ab/<digest>`, beside the packs that hold the objects.
//!
//! A twin is the first file that an object was restored to, under a second name. It is never believed: its bytes are
//! digested each time before another link to it is made, and where it is missing, changed or lost in a power cut, the pack
//! makes the next one. So nothing is lost with it, and clearing takes all that no file in a project shares.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::large::{on_shelves, shelved};
use super::{copy, files};
use crate::digest::Digest;
use crate::digest::buffer::Buffer;
use crate::store::StoreError;

thread_local! {
    /// What a twin is read into: at most a byte more than the largest of the small objects.
    static BUFFER: RefCell<Buffer> = RefCell::default();
}

/// Bytes of the least buffer.
const LEAST: usize = 64 << 10;
/// Names that one file may have, its own among them. Each new one changes the file's ctime, and who reads it meanwhile begins
/// again: a mark that a thousand jobs leave, all alike, may not keep its readers busy.
const NAMES: u64 = 8;

/// The twins below a store's folder.
#[derive(Debug)]
pub(super) struct Twins {
    folder: PathBuf,
}

impl Twins {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.join("twins") }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        shelved(&self.folder, digest)
    }

    /// Links a new file to the twin of an object of that length, verified; false where there is none, or no link can be.
    ///
    /// # Errors
    /// Where the new file is there already.
    pub(super) fn link(&self, digest: &Digest, length: u32, to: &Path) -> Result<bool, StoreError> {
        let path = self.path(digest);
        let Ok(file) = File::open(&path) else { return Ok(false) };
        if file.metadata().is_ok_and(|found| found.nlink() >= NAMES) {
            return Ok(false);
        }
        let is_right = BUFFER.with_borrow_mut(|buffer| {
            // One byte more, so that one that has grown is seen.
            let wanted = length as usize + 1;
            let buffer = buffer.lend(wanted.max(LEAST));
            let filled = copy::fill_at(&file, buffer.get_mut(..wanted)?, 0).ok()?;
            (filled == length as usize && Digest::of(buffer.get(..filled)?) == *digest).then_some(())
        });
        if is_right.is_none() {
            files::discard(&path);
            return Ok(false);
        }
        match fs::hard_link(&path, to) {
            Ok(()) => Ok(true),
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Err(StoreError::at("link", to)(why)),
            // Another file system, too many links, or a rule against links: then a copy.
            Err(_) => Ok(false),
        }
    }

    /// Makes a file that an object was just written to its twin. Where that cannot be, the next file is a copy too.
    pub(super) fn keep(&self, digest: &Digest, written: &Path) {
        let path = self.path(digest);
        let kept = fs::hard_link(written, &path);
        if kept.is_err_and(|why| why.kind() == io::ErrorKind::NotFound)
            && path.parent().is_some_and(|shelf| files::make_folder(shelf).is_ok())
        {
            drop(fs::hard_link(written, &path));
        }
    }

    /// All twins that share their bytes with no file in a project, or whose object is not `needed`; and the bytes that come
    /// back when they go.
    pub(super) fn idle(&self, needed: impl Fn(&Digest) -> bool) -> Result<(Vec<PathBuf>, u64), StoreError> {
        let (mut idle, mut bytes) = (Vec::new(), 0);
        for (digest, path) in on_shelves(&self.folder)? {
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            let is_shared = found.nlink() > 1;
            if !is_shared || !needed(&digest) {
                bytes += if is_shared { 0 } else { found.size() };
                idle.push(path);
            }
        }
        Ok((idle, bytes))
    }
}
