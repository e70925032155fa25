//! Packs: many small objects in one blob, or a part of a large one. Pure bytes; `docs/cache-format.md` describes them.
//!
//! ```text
//! pack    "AMLpack1"  blocks  index  footer
//! block   the bytes of some objects, one after the other, as they are or as a zstd frame
//! index   blocks:  n u32, each: stored u32  raw u32  packed u8                                     little-endian, zstd
//!         entries: n u32, each: digest 32 B  size u64  part u32  parts u32  block u32  offset u32  length u32
//! footer  stored u32  raw u32  "AMLindx1"                                          lengths of the index
//! ```
//!
//! An index is believed in nothing but where to look: what is found there is used only where its digest is that of the
//! object. So a wrong index is a miss, never a wrong byte; its numbers are held to the limits below before memory is asked
//! for.

use crate::digest::Digest;

const MAGIC: &[u8; 8] = b"AMLpack1";
const FOOT: &[u8; 8] = b"AMLindx1";
/// Bytes of the footer.
const FOOTER: usize = 16;
/// Bytes of an entry in the index.
const ENTRY: usize = 60;
/// Bytes of a block's line in the index.
const BLOCK: usize = 9;

/// A block is closed once it holds so much.
const BLOCK_FULL: usize = 256 << 10;
/// A pack of small objects is closed once it holds so much.
const PACK_FULL: usize = 8 << 20;
/// Objects above this travel alone, in parts of [`PART`].
pub const SMALL: u64 = 4 << 20;
/// A part of a large object.
pub const PART: u64 = 8 << 20;
/// No block is longer when unpacked.
const LONGEST_BLOCK: u32 = 8 << 20;
/// No index is longer when unpacked.
const LONGEST_INDEX: u32 = 32 << 20;

/// A block: where its bytes lie in the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Of its first byte, in the pack.
    pub from: u64,
    /// Bytes in the pack.
    pub stored: u32,
    /// Bytes when unpacked.
    pub raw: u32,
    /// Whether it is a zstd frame.
    pub packed: bool,
}

/// An object, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The whole object's digest.
    pub digest: Digest,
    /// The whole object's size.
    pub size: u64,
    /// Which part, from 0.
    pub part: u32,
    /// Of how many.
    pub parts: u32,
    /// In which block.
    pub block: u32,
    /// Where in the unpacked block.
    pub offset: u32,
    /// How long.
    pub length: u32,
}

/// What is in a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// Its blocks, in the order of their places.
    pub blocks: Vec<Block>,
    /// Its objects.
    pub entries: Vec<Entry>,
}

/// A pack that was written.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Its name: the digest of `bytes`.
    pub digest: Digest,
    /// All of it.
    pub bytes: Vec<u8>,
    /// How many bytes at its end are index and footer.
    pub tail: u32,
    /// What is in it.
    pub index: Index,
}

/// Gathers objects into packs.
#[derive(Debug, Default)]
pub struct Packer {
    bytes: Vec<u8>,
    block: Vec<u8>,
    raw: usize,
    index: Index,
}

impl Packer {
    /// Whether nothing is gathered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.entries.is_empty()
    }

    /// Adds a small object; the pack where it is full now.
    pub fn add(&mut self, digest: Digest, bytes: &[u8]) -> Option<Packed> {
        if !self.block.is_empty() && self.block.len() + bytes.len() > BLOCK_FULL {
            self.close();
        }
        let entry = Entry {
            digest,
            size: bytes.len() as u64,
            part: 0,
            parts: 1,
            block: number(self.index.blocks.len()),
            offset: number(self.block.len()),
            length: number(bytes.len()),
        };
        self.index.entries.push(entry);
        self.block.extend_from_slice(bytes);
        self.raw += bytes.len();
        (self.raw >= PACK_FULL).then(|| self.finish()).flatten()
    }

    /// What is gathered, as a pack.
    pub fn finish(&mut self) -> Option<Packed> {
        if self.is_empty() {
            return None;
        }
        self.close();
        let this = std::mem::take(self);
        Some(seal(this.bytes, this.index))
    }

    fn close(&mut self) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(MAGIC);
        }
        let raw = std::mem::take(&mut self.block);
        let (stored, packed) = squeeze(&raw);
        let stored = stored.as_deref().unwrap_or(&raw);
        let from = self.bytes.len() as u64;
        self.index.blocks.push(Block { from, stored: number(stored.len()), raw: number(raw.len()), packed });
        self.bytes.extend_from_slice(stored);
    }
}

/// A pack of one part of a large object.
#[must_use]
pub fn of_part(digest: Digest, size: u64, part: u32, bytes: &[u8]) -> Packed {
    let (stored, packed) = squeeze(bytes);
    let stored = stored.as_deref().unwrap_or(bytes);
    let mut pack = Vec::with_capacity(stored.len() + 128);
    pack.extend_from_slice(MAGIC);
    pack.extend_from_slice(stored);
    let block = Block { from: MAGIC.len() as u64, stored: number(stored.len()), raw: number(bytes.len()), packed };
    let entry = Entry { digest, size, part, parts: parts(size), block: 0, offset: 0, length: number(bytes.len()) };
    seal(pack, Index { blocks: vec![block], entries: vec![entry] })
}

/// How many parts a large object travels in.
#[must_use]
pub fn parts(size: u64) -> u32 {
    u32::try_from(size.div_ceil(PART).max(1)).unwrap_or(u32::MAX)
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Packed bytes, where that saves a twentieth.
fn squeeze(raw: &[u8]) -> (Option<Vec<u8>>, bool) {
    // Of what does not shrink at its beginning, no more is tried: models and pictures mostly do not.
    let probe = raw.get(..64 << 10).filter(|_| raw.len() > 256 << 10);
    let shrinks = |raw: &[u8]| zstd::bulk::compress(raw, 3).ok().filter(|packed| packed.len() < raw.len() / 20 * 19);
    if probe.is_some_and(|probe| shrinks(probe).is_none()) {
        return (None, false);
    }
    let packed = shrinks(raw);
    let is_packed = packed.is_some();
    (packed, is_packed)
}

fn seal(mut bytes: Vec<u8>, index: Index) -> Packed {
    let raw = index.encode();
    let stored = zstd::bulk::compress(&raw, 3).unwrap_or_default();
    bytes.extend_from_slice(&stored);
    bytes.extend_from_slice(&number(stored.len()).to_le_bytes());
    bytes.extend_from_slice(&number(raw.len()).to_le_bytes());
    bytes.extend_from_slice(FOOT);
    Packed { digest: Digest::of(&bytes), tail: number(stored.len() + FOOTER), bytes, index }
}

impl Index {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.blocks.len() * BLOCK + self.entries.len() * ENTRY);
        bytes.extend_from_slice(&number(self.blocks.len()).to_le_bytes());
        for block in &self.blocks {
            bytes.extend_from_slice(&block.stored.to_le_bytes());
            bytes.extend_from_slice(&block.raw.to_le_bytes());
            bytes.push(u8::from(block.packed));
        }
        bytes.extend_from_slice(&number(self.entries.len()).to_le_bytes());
        for entry in &self.entries {
            bytes.extend_from_slice(entry.digest.as_bytes());
            bytes.extend_from_slice(&entry.size.to_le_bytes());
            for number in [entry.part, entry.parts, entry.block, entry.offset, entry.length] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads the index from the end of a pack of `size` bytes; none where it is none, or says what cannot be.
    #[must_use]
    pub fn decode(tail: &[u8], size: u64) -> Option<Self> {
        let (rest, foot) = tail.split_at_checked(tail.len().checked_sub(FOOTER)?)?;
        let (stored, raw) = (word(foot, 0)?, word(foot, 4)?);
        if foot.get(8..) != Some(FOOT) || raw > LONGEST_INDEX {
            return None;
        }
        let packed = rest.get(rest.len().checked_sub(stored as usize)?..)?;
        let bytes = zstd::bulk::decompress(packed, raw as usize).ok().filter(|bytes| bytes.len() == raw as usize)?;
        let blocks_end = size.checked_sub(u64::from(stored) + FOOTER as u64)?;
        let this = Self::read(&bytes)?;
        let end = this.blocks.last().map_or(MAGIC.len() as u64, |block| block.from + u64::from(block.stored));
        (end == blocks_end).then_some(this)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let count = word(bytes, 0)? as usize;
        let (blocks, rest) = bytes.get(4..)?.split_at_checked(count.checked_mul(BLOCK)?)?;
        let mut this = Self::default();
        let mut from = MAGIC.len() as u64;
        for line in blocks.as_chunks::<BLOCK>().0 {
            let (stored, raw, packed) = (word(line, 0)?, word(line, 4)?, *line.get(8)?);
            if raw > LONGEST_BLOCK || packed > 1 || (packed == 0 && stored != raw) || stored > LONGEST_BLOCK {
                return None;
            }
            this.blocks.push(Block { from, stored, raw, packed: packed == 1 });
            from += u64::from(stored);
        }
        let count = word(rest, 0)? as usize;
        let entries = rest.get(4..)?;
        if entries.len() != count.checked_mul(ENTRY)? {
            return None;
        }
        for line in entries.as_chunks::<ENTRY>().0 {
            let entry = Entry {
                digest: Digest::from_bytes(line.get(..32)?.try_into().ok()?),
                size: u64::from_le_bytes(line.get(32..40)?.try_into().ok()?),
                part: word(line, 40)?,
                parts: word(line, 44)?,
                block: word(line, 48)?,
                offset: word(line, 52)?,
                length: word(line, 56)?,
            };
            let block = this.blocks.get(entry.block as usize)?;
            let inside = u64::from(entry.offset) + u64::from(entry.length) <= u64::from(block.raw);
            let whole = entry.parts == 1 && u64::from(entry.length) == entry.size;
            let part = entry.parts == parts(entry.size) && entry.part < entry.parts && entry.parts > 1;
            if !inside || !(whole || part) {
                return None;
            }
            this.entries.push(entry);
        }
        Some(this)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// The bytes of a block; none where they are not what the index says.
#[must_use]
pub fn unpack(block: &Block, stored: &[u8]) -> Option<Vec<u8>> {
    if stored.len() != block.stored as usize {
        return None;
    }
    let raw = if block.packed { zstd::bulk::decompress(stored, block.raw as usize).ok()? } else { stored.to_vec() };
    (raw.len() == block.raw as usize).then_some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn objects(packed: &Packed) -> Vec<(Digest, Vec<u8>)> {
        let tail = &packed.bytes[packed.bytes.len() - packed.tail as usize..];
        let index = Index::decode(tail, packed.bytes.len() as u64).unwrap();
        assert_eq!(index, packed.index);
        let object = |entry: &Entry| {
            let block = index.blocks[entry.block as usize];
            let from = usize::try_from(block.from).unwrap();
            let raw = unpack(&block, &packed.bytes[from..from + block.stored as usize]).unwrap();
            let from = entry.offset as usize;
            (entry.digest, raw[from..from + entry.length as usize].to_vec())
        };
        index.entries.iter().map(object).collect()
    }

    proptest! {
        #[test]
        fn objects_come_back(all in prop::collection::vec((0_usize..70_000, 0_u8..255), 0..40)) {
            let all: Vec<Vec<u8>> = all.into_iter().map(|(length, byte)| vec![byte; length]).collect();
            let mut packer = Packer::default();
            let mut packs: Vec<Packed> = all.iter().filter_map(|bytes| packer.add(Digest::of(bytes), bytes)).collect();
            packs.extend(packer.finish());
            let back: Vec<_> = packs.iter().flat_map(objects).collect();
            prop_assert!(back.iter().all(|(digest, bytes)| Digest::of(bytes) == *digest));
            prop_assert_eq!(back.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), all);
        }

        #[test]
        fn a_damaged_index_is_none_or_leads_to_places_inside(flip in 0_usize..2000, bit in 0_u8..8) {
            let mut packer = Packer::default();
            for n in 0..30_u8 {
                let bytes = vec![n; 3000];
                packer.add(Digest::of(&bytes), &bytes);
            }
            let mut packed = packer.finish().unwrap();
            let tail = packed.bytes.len() - packed.tail as usize;
            let at = tail + flip % packed.tail as usize;
            packed.bytes[at] ^= 1 << bit;
            if let Some(index) = Index::decode(&packed.bytes[tail..], packed.bytes.len() as u64) {
                for entry in index.entries {
                    prop_assert!(entry.offset + entry.length <= index.blocks[entry.block as usize].raw);
                }
            }
        }
    }

    #[test]
    fn a_part_is_a_pack() {
        let bytes = vec![7; usize::try_from(PART).unwrap()];
        let packed = of_part(Digest::of(&bytes), PART * 2 + 1, 1, &bytes);
        assert_eq!(packed.index.entries[0].parts, 3);
        assert!(packed.bytes.len() < bytes.len() / 100);
        assert_eq!(objects(&packed)[0].1.len(), bytes.len());
    }

    #[test]
    fn a_bomb_is_none() {
        let block = Block { from: 8, stored: 0, raw: 100, packed: true };
        let bomb = zstd::bulk::compress(&vec![0; 10 << 20], 3).unwrap();
        assert_eq!(unpack(&Block { stored: number(bomb.len()), ..block }, &bomb), None);
    }
}
