//! `stat-v1`: one flat file, sections by folder and an index at the end. Reading takes the index alone; a section is read
//! when its folder is walked, so a small job in a workspace with a large cache does not pay for the rest.
//!
//! `magic:16 index offset:u64 index length:u64 turn:u64 checksum:24 sections… index`, where the index is
//! `(offset:u64 length:u32 checksum:8 key length:u16 key)*` sorted by key. All checksums are the head of a BLAKE3 digest;
//! the first is of the 40 bytes before it and the index. What fails its checksum is as good as absent.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use super::section::Section;

const MAGIC: &[u8; 16] = b"amlrun stat 1\n\0\0";
const HEAD: usize = 64;
const ENTRY: usize = 22;

/// The file as it was saved.
#[derive(Debug)]
pub(super) struct Saved {
    file: File,
    index: Vec<u8>,
    starts: Vec<u32>,
    /// How often it was saved: some tidying is done only every so many times.
    pub(super) turn: u64,
}

/// Where a section lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    offset: u64,
    pub(super) length: u32,
    checksum: [u8; 8],
}

impl Saved {
    /// Opens the file; none where there is none that this version wrote whole.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0).ok()?;
        let number = |at: usize| head.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        let (offset, length) = (number(16), number(24));
        if !head.starts_with(MAGIC) || offset.checked_add(length)? != file.metadata().ok()?.len() {
            return None;
        }
        let mut index = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut index, offset).ok()?;
        if head.get(40..) != Some(&checksum::<24>(&[head.get(..40)?, &index])) {
            return None;
        }
        let mut starts = Vec::new();
        let mut at = 0;
        while at < index.len() {
            starts.push(u32::try_from(at).ok()?);
            at += ENTRY + usize::from(u16::from_le_bytes([*index.get(at + 20)?, *index.get(at + 21)?]));
        }
        (at == index.len()).then_some(Self { file, index, starts, turn: number(32) })
    }

    /// Whether this is still the file at `path`; another invocation may have put its own there.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let identity = |m: std::fs::Metadata| (m.dev(), m.ino());
        self.file.metadata().ok().map(identity) == path.metadata().ok().map(identity)
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn key(&self, at: usize) -> &[u8] {
        let start = self.starts[at] as usize;
        let length = u16::from_le_bytes([self.index[start + 20], self.index[start + 21]]);
        &self.index[start + ENTRY..start + ENTRY + usize::from(length)]
    }

    pub(super) fn span(&self, at: usize) -> Span {
        let entry = &self.index[self.starts[at] as usize..];
        let field = |range: std::ops::Range<usize>| entry.get(range).unwrap_or_default();
        Span {
            offset: field(0..8).try_into().map_or(0, u64::from_le_bytes),
            length: field(8..12).try_into().map_or(0, u32::from_le_bytes),
            checksum: field(12..20).try_into().unwrap_or_default(),
        }
    }

    /// A folder's section.
    pub(super) fn section(&self, key: &[u8]) -> Option<Section> {
        let at = self.starts.partition_point(|&start| {
            let start = start as usize;
            let length = u16::from_le_bytes([self.index[start + 20], self.index[start + 21]]);
            &self.index[start + ENTRY..start + ENTRY + usize::from(length)] < key
        });
        (at < self.len() && self.key(at) == key).then(|| self.read(self.span(at)))?
    }

    fn read(&self, span: Span) -> Option<Section> {
        let mut bytes = vec![0; span.length as usize];
        self.file.read_exact_at(&mut bytes, span.offset).ok()?;
        (checksum(&[&bytes]) == span.checksum).then(|| Section::parse(bytes))?
    }
}

/// A section of the file to be written.
#[derive(Debug)]
pub(super) enum Piece {
    /// As it stands in the old file.
    Old(Span),
    /// New.
    New(Arc<Section>),
}

/// Writes a whole file: sections by key, in order. `old` is where old pieces come from.
pub(super) fn write(to: &mut File, turn: u64, pieces: &[(Vec<u8>, Piece)], old: Option<&Saved>) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, to);
    let mut index = Vec::new();
    let mut offset = HEAD as u64;
    let mut run: Option<(u64, u64)> = None;
    out.write_all(&[0; HEAD])?;
    for (key, piece) in pieces {
        let span = match piece {
            Piece::Old(span) => {
                // Neighbours are copied in one go.
                run = match run {
                    Some((from, length)) if from + length == span.offset => {
                        Some((from, length + u64::from(span.length)))
                    }
                    other => {
                        copy(old, other, &mut out)?;
                        Some((span.offset, u64::from(span.length)))
                    }
                };
                *span
            }
            Piece::New(section) => {
                copy(old, run.take(), &mut out)?;
                let bytes = section.bytes();
                out.write_all(bytes)?;
                Span { offset, length: u32::try_from(bytes.len()).unwrap_or(0), checksum: checksum(&[bytes]) }
            }
        };
        index.extend_from_slice(&offset.to_le_bytes());
        index.extend_from_slice(&span.length.to_le_bytes());
        index.extend_from_slice(&span.checksum);
        index.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        index.extend_from_slice(key);
        offset += u64::from(span.length);
    }
    copy(old, run, &mut out)?;
    out.write_all(&index)?;
    let mut head = Vec::with_capacity(HEAD);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&offset.to_le_bytes());
    head.extend_from_slice(&(index.len() as u64).to_le_bytes());
    head.extend_from_slice(&turn.to_le_bytes());
    let sum = checksum::<24>(&[&head, &index]);
    head.extend_from_slice(&sum);
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&head)?;
    out.flush()
}

/// Copies a run of bytes from the old file.
fn copy(old: Option<&Saved>, run: Option<(u64, u64)>, out: &mut impl Write) -> std::io::Result<()> {
    let (Some(old), Some((mut from, mut left))) = (old, run) else { return Ok(()) };
    let mut buffer = vec![0; usize::try_from(left.min(1 << 20)).unwrap_or(1 << 20)];
    while left > 0 {
        let step = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        old.file.read_exact_at(&mut buffer[..step], from)?;
        out.write_all(&buffer[..step])?;
        from += step as u64;
        left -= step as u64;
    }
    Ok(())
}

/// The first `N` bytes of the digest of these bytes on end.
fn checksum<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut sum = [0; N];
    hasher.finalize_xof().fill(&mut sum);
    sum
}
