//! Locks between invocations: one file, a byte a key. They end with the process, so nothing is ever to be unlocked by hand.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::digest::Digest;
use crate::sys::{Locking, lock_byte};

/// The locks of one invocation. A key that this invocation holds already is granted again: within an invocation the
/// engine keeps keys apart itself.
#[derive(Debug)]
pub struct Locks {
    path: PathBuf,
    file: OnceLock<Option<File>>,
}

impl Locks {
    /// Locks in this file, which is made when the first lock is asked for.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { path: state.join("lock"), file: OnceLock::new() }
    }

    fn file(&self) -> Option<&File> {
        let open = || File::options().create(true).truncate(false).read(true).write(true).open(&self.path).ok();
        self.file.get_or_init(open).as_ref()
    }

    /// Takes the lock of a key if nobody else has it. Where the file system has no locks it is granted: two invocations
    /// may then do the same work twice, which costs time and nothing else.
    #[must_use]
    pub fn try_lock(&self, key: &Digest) -> bool {
        self.file().is_none_or(|file| lock_byte(file, place(key), Locking::Try).unwrap_or(true))
    }

    /// Lets it go.
    pub fn release(&self, key: &Digest) {
        if let Some(file) = self.file() {
            let _ = lock_byte(file, place(key), Locking::Release);
        }
    }

    /// Something that waits until nobody has the lock of a key, without taking it; for a thread of its own.
    pub fn waiter(&self, key: &Digest) -> impl FnOnce() + Send + 'static {
        let (path, place) = (self.path.clone(), place(key));
        move || {
            // A descriptor of its own, so that a lock which this invocation takes meanwhile is not let go by mistake.
            if let Ok(file) = File::options().read(true).write(true).open(path) {
                let _ = lock_byte(&file, place, Locking::Wait);
            }
        }
    }

    /// Waits until nobody has the lock of a key and takes it; it is held as long as the answer, or a copy of it in
    /// another process, is open. None where there are no locks.
    #[must_use]
    pub fn hold(&self, key: &Digest) -> Option<File> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&self.path).ok()?;
        lock_byte(&file, place(key), Locking::Wait).ok()?.then_some(file)
    }

    /// Whether somebody else has the lock of a key. Where that cannot be found out it is said to be so: whoever asks wants
    /// to clear something away, and what is in use must never be.
    #[must_use]
    pub fn held_elsewhere(&self, key: &Digest) -> bool {
        match File::open(&self.path) {
            Ok(file) if file.metadata().is_ok_and(|found| found.is_file()) => {
                lock_byte(&file, place(key), Locking::Ask).unwrap_or(true)
            }
            Ok(_) => true,
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        }
    }
}

/// The byte of a key.
fn place(key: &Digest) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&key.as_bytes()[..8]);
    u64::from_le_bytes(bytes) >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_keeps_others_out_until_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Locks::new(folder.path()), Locks::new(folder.path()));
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert!(one.try_lock(&a));
        assert!(!two.try_lock(&a) && two.held_elsewhere(&a));
        assert!(two.try_lock(&b));
        one.release(&a);
        assert!(two.try_lock(&a));
    }

    #[test]
    fn to_ask_for_a_lock_takes_nothing_from_anybody() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::new(folder.path());
        let key = Digest::of(b"key");
        assert!(!locks.held_elsewhere(&key), "no file, no lock");
        let held = locks.hold(&key).unwrap();
        let copy = held.try_clone().unwrap();
        drop(held);
        assert!(locks.held_elsewhere(&key), "a copy holds it as well");
        drop(copy);
        assert!(!locks.held_elsewhere(&key) && locks.try_lock(&key));
    }

    #[test]
    fn where_locks_do_not_work_everything_may_be_in_use() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lock")).unwrap();
        let locks = Locks::new(folder.path());
        assert!(locks.try_lock(&Digest::of(b"key")) && locks.held_elsewhere(&Digest::of(b"key")));
    }
}
