//! Content digests (BLAKE3, 256 bits) and the one way to digest structured data without ambiguity.
//!
//! Called by every module that names content. It may never see a path or a clock.

pub mod buffer;
pub mod pieces;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BLAKE3 digest of 32 bytes. Written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Wraps the 32 bytes of a digest computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hex digits: enough to tell digests apart on a screen.
    #[must_use]
    pub fn short(&self) -> String {
        let mut hex = self.to_string();
        hex.truncate(12);
        hex
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

/// Seals bytes with a secret: a keyed BLAKE3, which only who has the secret can make.
#[derive(Clone)]
pub struct Sealer([u8; 32]);

impl Sealer {
    /// A sealer for one purpose, with a secret of any length.
    #[must_use]
    pub fn new(purpose: &str, secret: &[u8]) -> Self {
        Self(blake3::derive_key(purpose, secret))
    }

    /// The seal of some bytes.
    #[must_use]
    pub fn seal(&self, bytes: &[u8]) -> Digest {
        blake3::keyed_hash(&self.0, bytes).into()
    }

    /// Whether this is their seal, compared in constant time.
    #[must_use]
    pub fn is_sealed(&self, bytes: &[u8], seal: &Digest) -> bool {
        blake3::keyed_hash(&self.0, bytes) == blake3::Hash::from_bytes(seal.0)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(***)")
    }
}

/// A text that is not a digest of 64 hex digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest of 64 hex digits")]
pub struct NotADigest(pub String);

impl FromStr for Digest {
    type Err = NotADigest;
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        blake3::Hash::from_hex(text).map(Self::from).map_err(|_| NotADigest(text.to_owned()))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Digests structured data: every field carries its name's and its value's length, so that no two structures
/// run together (`["ab", "c"]` and `["a", "bc"]` differ, and so do an absent and an empty value).
#[derive(Debug, Clone)]
pub struct Digester(blake3::Hasher);

impl Digester {
    /// `domain` keeps digests of different kinds of thing apart.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let mut this = Self(blake3::Hasher::new());
        this.bytes(domain.as_bytes());
        this
    }

    /// Adds bytes, preceded by their length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a named text.
    pub fn field(&mut self, name: &str, value: &str) -> &mut Self {
        self.bytes(name.as_bytes()).bytes(value.as_bytes())
    }

    /// Adds a count, which delimits a list.
    pub fn count(&mut self, n: usize) -> &mut Self {
        self.0.update(&(n as u64).to_le_bytes());
        self
    }

    /// Adds a digest.
    pub fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.bytes(digest.as_bytes())
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(&self) -> Digest {
        self.0.finalize().into()
    }
}
