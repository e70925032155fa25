//! Content by digest, and tree nodes. A node is one folder's entries, as bytes that are stored and digested. Trees of nodes are Merkle trees: one
//! changed file changes the nodes on its path and no other.

use crate::digest::Digest;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file; its digest is that of its bytes.
    File,
    /// The same with an exec bit of its owner.
    Executable,
    /// A symlink; its digest is that of its target's text.
    Link,
    /// A folder; its digest is that of its node.
    Folder,
}

impl Kind {
    /// As it stands in a node.
    #[must_use]
    pub fn tag(self) -> u8 {
        match self {
            Self::File => b'f',
            Self::Executable => b'x',
            Self::Link => b'l',
            Self::Folder => b'd',
        }
    }

    /// The kind of a tag.
    #[must_use]
    pub fn of_tag(tag: u8) -> Option<Self> {
        [Self::File, Self::Executable, Self::Link, Self::Folder].into_iter().find(|k| k.tag() == tag)
    }
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name: any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Its content.
    pub digest: Digest,
    /// Bytes: of the file, of the link's text, or of all files below a folder.
    pub size: u64,
}

/// What is at a path: a whole tree, a file or a link, by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// What it is.
    pub kind: Kind,
    /// Its content; for a folder that of its node.
    pub digest: Digest,
    /// Bytes in all.
    pub size: u64,
}

impl Content {
    /// Kind and content in one digest, as it enters a fingerprint.
    #[must_use]
    pub fn key(&self) -> Digest {
        let mut digester = crate::digest::Digester::new("amlrun content");
        digester.bytes(&[self.kind.tag()]).digest(&self.digest);
        digester.finish()
    }
}

/// Begins every node, so that no file's bytes are taken for one by mistake.
pub const MAGIC: &[u8] = b"amlrun tree 1\n";

/// The bytes of a folder's node. `entries` must be sorted by name.
#[must_use]
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut node = Node::new(Vec::with_capacity(MAGIC.len() + entries.len() * 64));
    for entry in entries {
        node.push(&entry.name, entry.kind, &entry.digest, entry.size);
    }
    node.into_bytes()
}

/// A folder's node while it is written, for callers that have no [`Entry`] for each name.
#[derive(Debug)]
pub struct Node(Vec<u8>);

impl Node {
    /// Begins a node in a buffer, whatever it held.
    #[must_use]
    pub fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(MAGIC);
        Self(buffer)
    }

    /// Adds an entry; the next in the order of names.
    pub fn push(&mut self, name: &[u8], kind: Kind, digest: &Digest, size: u64) {
        self.0.push(kind.tag());
        self.0.extend_from_slice(digest.as_bytes());
        self.0.extend_from_slice(&size.to_le_bytes());
        self.0.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.0.extend_from_slice(name);
    }

    /// Its digest, which is the folder's content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// Its bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The entries of a node's bytes; none where the bytes are not a node, or one that could do harm: a name that is empty,
/// `.`, `..`, holds `/` or NUL, or stands out of order.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut entries: Vec<Entry> = Vec::new();
    while !rest.is_empty() {
        let (head, tail) = rest.split_at_checked(45)?;
        let kind = Kind::of_tag(*head.first()?)?;
        let digest = Digest::from_bytes(head.get(1..33)?.try_into().ok()?);
        let size = u64::from_le_bytes(head.get(33..41)?.try_into().ok()?);
        let length = usize::try_from(u32::from_le_bytes(head.get(41..45)?.try_into().ok()?)).ok()?;
        let (name, after) = tail.split_at_checked(length)?;
        let harmful = name.is_empty() || name == b"." || name == b".." || name.iter().any(|b| matches!(b, 0 | b'/'));
        if harmful || entries.last().is_some_and(|last| last.name.as_slice() >= name) {
            return None;
        }
        entries.push(Entry { name: name.to_vec(), kind, digest, size });
        rest = after;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8], kind: Kind) -> Entry {
        Entry { name: name.to_vec(), kind, digest: Digest::of(name), size: name.len() as u64 }
    }

    #[test]
    fn a_node_comes_back() {
        let all = [(b'a', Kind::File), (b'b', Kind::Executable), (b'c', Kind::Link), (b'd', Kind::Folder)];
        let mut entries: Vec<Entry> = all.iter().map(|(name, kind)| entry(&[*name], *kind)).collect();
        entries.push(entry(b"e\n\xff", Kind::File));
        entries.push(entry(&[b'x'; 255], Kind::File));
        assert_eq!(decode(&encode(&entries)), Some(entries));
        assert_eq!(decode(&encode(&[])), Some(Vec::new()));
    }

    #[test]
    fn a_harmful_or_broken_node_is_refused() {
        let check = |names: &[&[u8]]| {
            let entries: Vec<Entry> = names.iter().map(|name| entry(name, Kind::File)).collect();
            assert_eq!(decode(&encode(&entries)), None, "{names:?}");
        };
        check(&[b""]);
        check(&[b"."]);
        check(&[b".."]);
        check(&[b"a/b"]);
        check(&[b"a\0"]);
        check(&[b"b", b"a"]);
        check(&[b"a", b"a"]);
        let whole = encode(&[entry(b"name", Kind::File)]);
        for end in (0..whole.len()).filter(|&end| end != MAGIC.len()) {
            assert_eq!(decode(&whole[..end]), None, "cut at {end}");
        }
        assert_eq!(decode(b"amlrun tree 2\n"), None);
    }
}
