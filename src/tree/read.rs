//! Digests of files' bytes: read whole, and seen to be the same file before and after.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use blake3::hazmat::ChainingValue;
use rustix::fs::{Advice, FileType, OFlags};
use rustix::io::Errno;

use super::probe::Probe;
use crate::digest::Digest;
use crate::digest::buffer::Buffer;
use crate::digest::pieces::{self, PIECE};

/// Bytes read at once: small enough to stay in a core's own cache until they are hashed.
const BUFFER: usize = 256 * 1024;
/// Bytes of the smallest buffer.
const LEAST: usize = 16 * 1024;
/// Files from this size on are hashed by all threads.
pub(super) const LARGE: u64 = 4 << 20;
/// How often a file that changes under the reader is begun again.
const TRIES: usize = 5;

/// What became of a file.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its bytes, and the stamp that it had all the while.
    Read(Digest, Probe),
    /// It is to be hashed in pieces.
    Large(OwnedFd, Probe),
    /// It is no longer there, or no longer a regular file.
    Vanished,
    /// The system refused.
    Refused(Errno),
    /// It was never the same before and after reading.
    Restless,
}

/// What is left in the buffer of a file that was read: all of it, or none where it is longer than the buffer.
pub(super) fn bytes<'b>(probe: &Probe, buffer: &'b [u8]) -> Option<&'b [u8]> {
    let size = usize::try_from(probe.size).ok().filter(|size| *size < BUFFER)?;
    buffer.get(..size)
}

/// Reads a file of an open folder. `buffer` is only lent.
pub(super) fn digest(folder: BorrowedFd<'_>, name: &CStr, buffer: &mut Buffer) -> Outcome {
    // NONBLOCK: should the file have become a FIFO, opening it must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::openat(folder, name, flags, rustix::fs::Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Outcome::Vanished,
        Err(errno) => return Outcome::Refused(errno),
    };
    match Probe::open(file.as_fd()) {
        Ok(probe) if probe.file_type() != FileType::RegularFile => Outcome::Vanished,
        Ok(probe) if probe.size >= LARGE => Outcome::Large(file, probe),
        Ok(probe) => small(&file, probe, buffer),
        Err(errno) => Outcome::Refused(errno),
    }
}

/// Reads an open file alone, until it was the same before and after.
pub(super) fn small(file: &OwnedFd, mut before: Probe, buffer: &mut Buffer) -> Outcome {
    for _ in 0..TRIES {
        // One byte more than the file has, so that its end is seen by the read that gets all of it.
        let enough =
            usize::try_from(before.size).unwrap_or(BUFFER).saturating_add(1).clamp(LEAST, BUFFER).next_power_of_two();
        let buffer = buffer.lend(enough);
        let (digest, length) = match whole(file, before.size, buffer) {
            Ok(read) => read,
            Err(errno) => return Outcome::Refused(errno),
        };
        match Probe::open(file.as_fd()) {
            Ok(after) if after == before && length == after.size => return Outcome::Read(digest, after),
            Ok(after) => before = after,
            Err(errno) => return Outcome::Refused(errno),
        }
    }
    Outcome::Restless
}

/// One pass over a file: its digest and its length. All of a file shorter than the buffer lies in it afterwards.
fn whole(file: &OwnedFd, size: u64, buffer: &mut [u8]) -> Result<(Digest, u64), Errno> {
    let mut got = read_at(file, buffer, 0)?;
    while got < buffer.len() && got as u64 != size {
        match read_at(file, &mut buffer[got..], got as u64)? {
            0 => break,
            more => got += more,
        }
    }
    if got < buffer.len() {
        return Ok((Digest::of(&buffer[..got]), got as u64));
    }
    let mut hasher = blake3::Hasher::new();
    let mut length = 0;
    while got > 0 {
        hasher.update(&buffer[..got]);
        length += got as u64;
        got = read_at(file, buffer, length)?;
    }
    Ok((hasher.finalize().into(), length))
}

fn read_at(file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    loop {
        match rustix::io::pread(file, &mut *buffer, at) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// A large file while it is hashed, piece by piece, by whoever has time.
#[derive(Debug)]
pub(super) struct Large {
    file: OwnedFd,
    before: Probe,
    next: AtomicUsize,
    torn: AtomicBool,
    values: Mutex<Vec<ChainingValue>>,
    failed: Mutex<Option<Errno>>,
    /// Threads that are still at it.
    pub(super) hands: AtomicUsize,
    tries: usize,
}

impl Large {
    pub(super) fn new(file: OwnedFd, before: Probe, hands: usize, tries: usize) -> Self {
        // Only advice: where it is refused, reading is slower.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
        let pieces = pieces::count(before.size);
        Self {
            file,
            before,
            next: AtomicUsize::new(0),
            torn: AtomicBool::new(false),
            values: Mutex::new(vec![[0; 32]; pieces]),
            failed: Mutex::default(),
            hands: AtomicUsize::new(hands),
            tries,
        }
    }

    /// Hashes pieces until none is left. `saw` is told how many bytes were read, and says whether to go on.
    pub(super) fn work(&self, buffer: &mut Buffer, saw: impl Fn(u64) -> bool) {
        let buffer = buffer.lend(PIECE);
        let count = pieces::count(self.before.size);
        loop {
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
            if piece >= count || self.torn.load(Ordering::Relaxed) {
                return;
            }
            let (start, wanted) = pieces::span(piece, self.before.size);
            let mut got = 0;
            while got < wanted {
                match read_at(&self.file, &mut buffer[got..wanted], start + got as u64) {
                    Ok(0) => {
                        self.torn.store(true, Ordering::Relaxed);
                        return;
                    }
                    Ok(n) => got += n,
                    Err(errno) => {
                        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(errno);
                        self.torn.store(true, Ordering::Relaxed);
                        return;
                    }
                }
            }
            let value = pieces::value(start, &buffer[..wanted]);
            self.values.lock().unwrap_or_else(PoisonError::into_inner)[piece] = value;
            if !saw(wanted as u64) {
                self.torn.store(true, Ordering::Relaxed);
                return;
            }
        }
    }

    /// What became of it, once all hands are done; `Large` where it must be begun again.
    pub(super) fn finish(self: std::sync::Arc<Self>) -> (Outcome, usize) {
        if let Some(errno) = *self.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            return (Outcome::Refused(errno), 0);
        }
        let after = match Probe::open(self.file.as_fd()) {
            Ok(after) => after,
            Err(errno) => return (Outcome::Refused(errno), 0),
        };
        if after == self.before && !self.torn.load(Ordering::Relaxed) {
            let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
            return (Outcome::Read(pieces::root(&values, after.size), after), 0);
        }
        if self.tries + 1 >= TRIES {
            return (Outcome::Restless, 0);
        }
        match rustix::io::fcntl_dupfd_cloexec(&self.file, 0) {
            Ok(file) => (Outcome::Large(file, after), self.tries + 1),
            Err(errno) => (Outcome::Refused(errno), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn every_size_has_the_digest_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let open = rustix::fs::open(folder.path(), OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        let mut buffer = Buffer::default();
        let (buffered, large, piece) = (BUFFER as u64, LARGE, PIECE as u64);
        for size in [
            0,
            1,
            1023,
            1024,
            1025,
            buffered - 1,
            buffered,
            buffered + 1,
            large - 1,
            large,
            large + 1,
            large + piece,
            large + piece + 1,
            2 * large,
            2 * large + 3 * piece - 1,
            3 * large + 1024,
        ] {
            let bytes: Vec<u8> = (0..size).map(|n| (n ^ (n >> 13)).to_le_bytes()[0]).collect();
            let path = folder.path().join("file");
            std::fs::remove_file(&path).ok();
            std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), &bytes).unwrap();
            let outcome = match digest(open.as_fd(), c"file", &mut buffer) {
                Outcome::Large(file, probe) => {
                    let large = Arc::new(Large::new(file, probe, 2, 0));
                    std::thread::scope(|scope| {
                        scope.spawn(|| large.work(&mut Buffer::default(), |_| true));
                        large.work(&mut buffer, |_| true);
                    });
                    large.finish().0
                }
                other => other,
            };
            let Outcome::Read(found, probe) = outcome else { panic!("{size}: {outcome:?}") };
            assert_eq!((found, probe.size), (Digest::of(&bytes), size));
        }
    }

    #[test]
    fn what_is_gone_or_no_file_has_vanished() {
        let folder = tempfile::tempdir().unwrap();
        let open = rustix::fs::open(folder.path(), OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("folder", folder.path().join("link")).unwrap();
        for name in [c"none", c"folder", c"link"] {
            let outcome = digest(open.as_fd(), name, &mut Buffer::default());
            assert!(matches!(outcome, Outcome::Vanished), "{name:?}: {outcome:?}");
        }
    }

    #[test]
    fn a_large_file_that_is_cut_while_it_is_read_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create_new(folder.path().join("file")).unwrap();
        file.set_len(2 * LARGE).unwrap();
        let open = rustix::fs::open(folder.path(), OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        let Outcome::Large(reader, probe) = digest(open.as_fd(), c"file", &mut Buffer::default()) else {
            panic!("not large")
        };
        file.set_len(LARGE).unwrap();
        let large = Arc::new(Large::new(reader, probe, 1, 0));
        large.work(&mut Buffer::default(), |_| true);
        let (outcome, tries) = large.finish();
        assert!(matches!(outcome, Outcome::Large(_, probe) if probe.size == LARGE) && tries == 1);
    }
}
