//! The port of the store: objects by content, each once.
//!
//! Called by `engine` and `cli`. Every object is checked against its digest before its bytes leave the store; a corrupt
//! one is quarantined and counts as missing. Nothing is written outside the store's folder but what a caller restores.
//!
//! - `disk`: the store of a workspace; `memory`: the fake;
//! - `capture`: what a job left at a path, into the store;
//! - `snapshot`: a measured source tree into the store, and what two trees differ in;
//! - `restore`: a tree out of the store;
//! - `among`: what lies at a path among what a run left.

pub mod among;
pub mod capture;
pub mod digesting;
pub mod disk;
pub mod memory;
pub mod restore;
pub mod snapshot;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_merkle;

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} `{}`: {source}", path.display())]
pub struct StoreError {
    /// What was tried, as in `write`.
    pub doing: &'static str,
    /// Where.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl StoreError {
    /// For `map_err`: names what was tried, and where.
    pub(crate) fn at<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { doing, path: path.to_owned(), source }
    }
}

/// Keeps what is in a store from being cleared away, as long as it lives.
#[derive(Debug, Default)]
pub struct Hold(Option<std::fs::File>);

impl Hold {
    /// One that ends when a file is closed.
    #[must_use]
    pub fn of(lock: Option<std::fs::File>) -> Self {
        Self(lock)
    }

    /// Whether anything is kept.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

/// The port. All methods may be called from several threads.
pub trait Store: Send + Sync {
    /// Keeps bytes; does nothing where they are kept already. Returns their digest.
    ///
    /// # Errors
    /// Where the store cannot be written (full disk, no permission).
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError>;

    /// The same for bytes whose digest was computed from these very bytes just now.
    ///
    /// # Errors
    /// As for [`Store::put`].
    fn put_digested(&self, _digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.put(bytes).map(drop)
    }

    /// Keeps a file's bytes, streaming; `known` is its digest where it was just computed, so that a present object costs
    /// no reading. Returns the digest of what was in fact read, and the size.
    ///
    /// # Errors
    /// Where the file cannot be read or the store not written.
    fn put_file(&self, path: &Path, known: Option<(Digest, u64)>) -> Result<(Digest, u64), StoreError>;

    /// Whether an object is there, without reading it.
    fn has(&self, digest: &Digest) -> bool;

    /// The first bytes of an object, not verified: for a look at what it could be, before it is read.
    fn peek(&self, digest: &Digest, length: usize) -> Option<Vec<u8>> {
        self.get(digest).ok()?.map(|mut bytes| {
            bytes.truncate(length);
            bytes
        })
    }

    /// An object's bytes, verified; none where it is missing or was corrupt.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes an object to a new file (which must not exist), verified before it is complete; false where it is missing or
    /// was corrupt, and then no file is left. `link` asks for a read-only hard link where the object is a file of its own.
    ///
    /// # Errors
    /// Where the file cannot be written.
    fn write_to(&self, digest: &Digest, to: &Path, executable: bool, link: bool) -> Result<bool, StoreError>;

    /// From now on nothing is cleared away, until the answer is dropped. Whoever puts objects, or finds that they are there
    /// already, and then puts on record what stands on them, holds from before the first until after the last: for moments,
    /// as a clearing waits for it, and never twice in one thread, as it may in turn wait for a clearing.
    fn hold(&self) -> Hold {
        Hold::default()
    }

    /// Makes all that was put visible to other processes, not durable yet.
    ///
    /// # Errors
    /// Where the disk refuses.
    fn write_out(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes all that was put durable.
    ///
    /// # Errors
    /// Where the disk refuses.
    fn flush(&self) -> Result<(), StoreError>;
}
