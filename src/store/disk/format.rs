//! The bytes of a pack: entries in `pack-NNNN.data`, records in `pack-NNNN.index`.
//!
//! ```text
//! entry    "AMLo"  length u32  digest 32 B  checksum u32   then the object's bytes          little-endian
//! record   digest 32 B  offset u64  length u32  checksum u32    offset: of the entry; length: of the object
//! ```
//!
//! The checksums tell what was damaged or half-written; that an object is right is told by its digest alone. Bytes inside an
//! object that look like an entry do no harm for the same reason.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::digest::Digest;

/// Objects above this are files of their own.
pub(super) const LARGE: u64 = 1 << 20;
/// A pack is not added to once it is so long.
pub(super) const FULL: u64 = 256 << 20;

const MAGIC: &[u8; 4] = b"AMLo";
/// Bytes before each object.
pub(super) const HEADER: usize = 44;
/// Bytes of a record.
pub(super) const RECORD: usize = 48;

/// Where an object lies in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) digest: Digest,
    /// Of the entry's header.
    pub(super) offset: u64,
    /// Of the object.
    pub(super) length: u32,
}

impl Record {
    /// Where the entry ends.
    pub(super) fn end(&self) -> u64 {
        self.offset + HEADER as u64 + u64::from(self.length)
    }

    /// As it stands in the index of the pack of that number.
    pub(super) fn encode(&self, pack: u32) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..32].copy_from_slice(self.digest.as_bytes());
        bytes[32..40].copy_from_slice(&self.offset.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.length.to_le_bytes());
        let sum = checksum(pack, &bytes[..44]);
        bytes[44..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(pack: u32, bytes: &[u8; RECORD]) -> Option<Self> {
        let length = u32::from_le_bytes(part(bytes, 40));
        let right = checksum(pack, &bytes[..44]) == u32::from_le_bytes(part(bytes, 44)) && u64::from(length) <= LARGE;
        let offset = u64::from_le_bytes(part(bytes, 32));
        (right && offset <= 2 * FULL).then(|| Self { digest: Digest::from_bytes(part(bytes, 0)), offset, length })
    }

    /// The header of the entry.
    pub(super) fn header(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..40].copy_from_slice(self.digest.as_bytes());
        let sum = checksum(0, &bytes[..40]);
        bytes[40..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn of_header(offset: u64, bytes: &[u8; HEADER]) -> Option<Self> {
        let length = u32::from_le_bytes(part(bytes, 4));
        let right = bytes.starts_with(MAGIC)
            && checksum(0, &bytes[..40]) == u32::from_le_bytes(part(bytes, 40))
            && u64::from(length) <= LARGE;
        right.then(|| Self { digest: Digest::from_bytes(part(bytes, 8)), offset, length })
    }
}

/// `N` bytes from a place; zeros for those that are not there.
fn part<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    bytes.get(from..from + N).and_then(|b| b.try_into().ok()).unwrap_or([0; N])
}

/// Tells damage, not malice. Every step is one-to-one in what was gathered before and in the word.
fn checksum(pack: u32, bytes: &[u8]) -> u32 {
    let mut sum = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(pack);
    for word in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..word.len()].copy_from_slice(word);
        sum = (sum ^ u64::from_le_bytes(padded)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
    sum ^= sum >> 32;
    u32::try_from(sum & u64::from(u32::MAX)).unwrap_or_default()
}

/// The records of an index, and whether all were right. Part of a record at the end is no damage: it was being written.
pub(super) fn records(pack: u32, bytes: &[u8]) -> (Vec<Record>, bool) {
    let whole = bytes.as_chunks::<RECORD>().0;
    let found: Vec<Record> = whole.iter().filter_map(|bytes| Record::decode(pack, bytes)).collect();
    let right = found.len() == whole.len();
    (found, right)
}

/// Finds the entries of a data file between two places, by their headers; what is damaged is skipped. `verify` leaves out
/// those whose bytes are not right.
pub(super) fn scan(data: &File, from: u64, to: u64, verify: bool) -> io::Result<Vec<Record>> {
    let mut found = Vec::new();
    let mut at = from;
    let mut bytes = Vec::new();
    while let Some(room) = to.checked_sub(at).filter(|room| *room >= HEADER as u64) {
        let mut header = [0; HEADER];
        data.read_exact_at(&mut header, at)?;
        let record = Record::of_header(at, &header).filter(|record| record.end() <= to);
        let Some(record) = record else {
            at = next_magic(data, at + 1, to)?;
            continue;
        };
        debug_assert!(room >= HEADER as u64 + u64::from(record.length));
        if verify {
            bytes.resize(record.length as usize, 0);
            data.read_exact_at(&mut bytes, at + HEADER as u64)?;
            if Digest::of(&bytes) != record.digest {
                // Its length may be the damage: what it seems to cover is looked through as well.
                at = next_magic(data, at + 1, to)?;
                continue;
            }
        }
        found.push(record);
        at = record.end();
    }
    Ok(found)
}

/// The first place from `at` where an entry could begin; `to` where there is none.
fn next_magic(data: &File, mut at: u64, to: u64) -> io::Result<u64> {
    let mut window = vec![0; 64 << 10];
    while at + MAGIC.len() as u64 <= to {
        let wanted = window.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
        data.read_exact_at(&mut window[..wanted], at)?;
        if let Some(i) = window[..wanted].windows(MAGIC.len()).position(|bytes| bytes == MAGIC) {
            return Ok(at + i as u64);
        }
        at += (wanted + 1 - MAGIC.len()) as u64;
    }
    Ok(to)
}
