//! The port of the shared cache: whole blobs by name, in a folder, an object store or a web server that others use too.
//!
//! Called by `engine::sharing` and `cli`. It knows two kinds of blob and nothing of what is in them: records, named by the
//! digest of a fingerprint, and packs, named by the digest of their bytes. A blob is there whole or not at all, and a
//! record that is there is not replaced by `create`. Nothing that comes from here may be trusted: who reads checks digests.
//!
//! - `address`: which cache is meant; `open`: the cache of an address;
//! - `folder`, `object` (`s3://`, `az://`, `gs://`), `web` (`https://`), `memory` (the fake): the implementations;
//! - `wire`, `credentials`: HTTP and what it takes; `breaker`: gives a dead cache up;
//! - `pack`: many small objects in one blob; `known`: which objects lie in which packs.

pub mod address;
pub mod breaker;
pub mod credentials;
pub mod folder;
pub mod known;
pub mod memory;
pub mod object;
pub mod open;
pub mod pack;
pub mod web;
mod wire;

use std::fmt;
use std::time::SystemTime;

use crate::digest::Digest;

/// The folder of the layout's version: another version would lie beside it. `docs/cache-format.md` describes it.
pub const LAYOUT: &str = "amlrun-v1";

/// No record is larger.
pub const LARGEST_RECORD: u64 = 16 << 20;
/// No pack is larger.
pub const LARGEST_PACK: u64 = 64 << 20;

/// The kinds of blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What came of a fingerprint; named by the fingerprint's digest.
    Record,
    /// Objects; named by the digest of the blob's bytes.
    Pack,
}

impl Kind {
    /// Its folder.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Record => "records",
            Self::Pack => "packs",
        }
    }

    /// The most bytes that one may have.
    #[must_use]
    pub fn limit(self) -> u64 {
        match self {
            Self::Record => LARGEST_RECORD,
            Self::Pack => LARGEST_PACK,
        }
    }
}

/// The name of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// What it is.
    pub kind: Kind,
    /// Which.
    pub digest: Digest,
}

impl Name {
    /// A record's.
    #[must_use]
    pub fn record(digest: Digest) -> Self {
        Self { kind: Kind::Record, digest }
    }

    /// A pack's.
    #[must_use]
    pub fn pack(digest: Digest) -> Self {
        Self { kind: Kind::Pack, digest }
    }

    /// The name of a path below the cache's place; none for what is no blob of this layout.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(LAYOUT)?.strip_prefix('/')?;
        let (folder, rest) = rest.split_once('/')?;
        let (fan, name) = rest.split_once('/')?;
        let kind = [Kind::Record, Kind::Pack].into_iter().find(|kind| kind.folder() == folder)?;
        let digest: Digest = name.parse().ok()?;
        (name.starts_with(fan) && fan.len() == 2 && digest.to_string() == name).then_some(Self { kind, digest })
    }
}

impl fmt::Display for Name {
    /// The path below the cache's place, as in `amlrun-v1/packs/ab/abcd…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest.to_string();
        let fan = digest.get(..2).unwrap_or_default();
        write!(f, "{LAYOUT}/{}/{fan}/{digest}", self.kind.folder())
    }
}

/// A part of a blob: so many bytes from a place on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Of the first byte.
    pub from: u64,
    /// How many.
    pub length: u64,
}

/// What came of a `create`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    New,
    /// One of that name was there already, and stays.
    Exists,
}

/// A blob of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Name,
    /// Bytes.
    pub size: u64,
    /// When it was last written, by the cache's clock.
    pub written: SystemTime,
}

/// Why the cache could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It cannot be reached, does not answer, or says that it is broken.
    #[error("{0}")]
    Down(String),
    /// It does not let us.
    #[error("{0}")]
    Refused(String),
    /// It has no room.
    #[error("{0}")]
    Full(String),
    /// What it answered makes no sense: too large, cut off, not what was asked for.
    #[error("{0}")]
    Wrong(String),
    /// It cannot do such a thing at all: a plain web server has no list.
    #[error("{0}")]
    Unable(String),
    /// It was given up in this invocation, and the user was told.
    #[error("the cache was given up")]
    GivenUp,
}

/// The port. All methods may be called from several threads.
pub trait Remote: Send + Sync {
    /// A blob's bytes, or a part of them; none where it is not there. No more than the part, or than a blob of the kind may
    /// have, is read.
    ///
    /// # Errors
    /// Where it cannot be had, or is larger.
    fn get(&self, name: &Name, part: Option<Range>) -> Result<Option<Vec<u8>>, Fault>;

    /// The size of a blob; none where it is not there.
    ///
    /// # Errors
    /// Where that cannot be told.
    fn size(&self, name: &Name) -> Result<Option<u64>, Fault>;

    /// Puts a blob there in one step, unless one of the name is there.
    ///
    /// # Errors
    /// Where it cannot be written; nothing of it is visible then.
    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created, Fault>;

    /// Puts a blob in the place of another, in one step: for one that was found to be damaged.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn replace(&self, name: &Name, bytes: &[u8]) -> Result<(), Fault>;

    /// All blobs of a kind, in no order.
    ///
    /// # Errors
    /// Where they cannot be listed.
    fn list(&self, kind: Kind) -> Result<Vec<Listed>, Fault>;

    /// Removes a blob; one that is not there is fine.
    ///
    /// # Errors
    /// Where it cannot be removed.
    fn remove(&self, name: &Name) -> Result<(), Fault>;

    /// Removes what killed writers left of blobs that never came to be, where it is older than that.
    fn tidy(&self, _older: SystemTime) {}

    /// Cuts short what is being asked on other threads, which fails then, and all that is asked later.
    fn abandon(&self) {}
}

#[cfg(test)]
mod tests;
