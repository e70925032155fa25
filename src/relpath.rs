//! A path inside the workspace: relative to the Amlfile's folder, `/`-separated, without `.` or `..`.
//!
//! What enters a fingerprint, a record or the store is a `RelPath`, so that the same project at another place has the
//! same keys. Bytes that are not UTF-8 are kept as they are (a `RelPath` is bytes on Unix).

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

/// A normalised path inside the workspace; empty for the workspace's own folder. Ordered by its bytes.
#[derive(Clone, Default)]
pub struct RelPath(PathBuf);

// By bytes: a `PathBuf` compares component by component, which is many times slower, and a `RelPath` is normalised.
impl PartialEq for RelPath {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RelPath {}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::hash::Hash for RelPath {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// Why a text is not a path inside the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Outside {
    /// It begins with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// It climbs above the workspace's folder.
    #[error("the path leaves the workspace")]
    Leaves,
    /// It has a NUL byte.
    #[error("the path contains a NUL byte")]
    Nul,
}

impl RelPath {
    /// The workspace's own folder.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path as a user writes it, resolving `.` and `..` by text.
    ///
    /// # Errors
    /// Where it is absolute, leaves the workspace or has a NUL byte.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Outside> {
        let path = path.as_ref();
        if path.as_os_str().as_bytes().contains(&0) {
            return Err(Outside::Nul);
        }
        if is_normal(path.as_os_str().as_bytes()) {
            return Ok(Self(path.to_owned()));
        }
        let mut clean = PathBuf::new();
        for part in path.components() {
            match part {
                std::path::Component::Normal(name) => clean.push(name),
                std::path::Component::CurDir => {}
                std::path::Component::ParentDir => {
                    if !clean.pop() {
                        return Err(Outside::Leaves);
                    }
                }
                std::path::Component::RootDir | std::path::Component::Prefix(_) => return Err(Outside::Absolute),
            }
        }
        Ok(Self(clean))
    }

    /// As a path to be joined to the workspace's folder.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The bytes of the path.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }

    /// Whether this is the workspace's own folder.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.as_os_str().is_empty()
    }

    /// Whether this is `other` or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// This path below a folder of the workspace.
    #[must_use]
    pub fn join(&self, name: impl AsRef<OsStr>) -> Self {
        Self(self.0.join(name.as_ref()))
    }

    /// The folder it lies in; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.parent().map(|p| Self(p.to_owned()))
    }

    /// How to reach this from a folder of the workspace: `data/a` from `train` is `../data/a`; `.` for the folder itself.
    #[must_use]
    pub fn seen_from(&self, folder: &Self) -> PathBuf {
        let mut here = folder.0.components().peekable();
        let mut there = self.0.components().peekable();
        while let (Some(a), Some(b)) = (here.peek(), there.peek()) {
            if a != b {
                break;
            }
            here.next();
            there.next();
        }
        let mut path: PathBuf = here.map(|_| "..").collect();
        path.extend(there);
        if path.as_os_str().is_empty() {
            path.push(".");
        }
        path
    }
}

/// Whether a path is as it would come out of [`RelPath::new`] already, as most are: ten thousand of them cost a moment.
fn is_normal(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        write!(f, "{}", self.0.display())
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// As text; a name that is not UTF-8 is written with its bytes as `\xNN` (and a backslash as `\\`), and read back so.
impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&escape(self.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = unescape(&String::deserialize(from)?);
        Self::new(OsStr::from_bytes(&bytes)).map_err(serde::de::Error::custom)
    }
}

/// Bytes as text that can be read back by [`unescape`].
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The bytes that [`escape`] wrote.
#[must_use]
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let hex = tail.get(1..3).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (tail.first(), hex) {
            (Some(b'x'), Some(byte)) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            (Some(b'\\'), _) => {
                bytes.push(b'\\');
                rest = tail.get(1..).unwrap_or_default();
            }
            _ => bytes.push(b'\\'),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Result<&str, Outside>) {
        assert_eq!(
            RelPath::new(text).map(|path| path.as_path().to_str().unwrap().to_owned()),
            expected.map(str::to_owned),
            "{text}"
        );
    }

    #[test]
    fn paths_are_normalised_by_text() {
        check("a/b", Ok("a/b"));
        check("./a//b/", Ok("a/b"));
        check("a/../b", Ok("b"));
        check("", Ok(""));
        check(".", Ok(""));
        check("..a/...", Ok("..a/..."));
        check("a/../..", Err(Outside::Leaves));
        check("/a", Err(Outside::Absolute));
        check("a\0", Err(Outside::Nul));
    }

    proptest! {
        #[test]
        fn a_path_comes_out_as_it_went_in(text in "[a./]{0,8}") {
            if let Ok(path) = RelPath::new(&text) {
                prop_assert!(path.is_root() || is_normal(path.as_bytes()));
                prop_assert_eq!(&RelPath::new(path.as_path()).unwrap(), &path);
                let slow: PathBuf = Path::new(&text).components().filter(|c| matches!(c, std::path::Component::Normal(_))).collect();
                prop_assert!(text.contains("..") || slow == path.as_path());
            }
        }
    }
}
