//! The rows of one folder in the stat cache: what its files' stamps were when they were read, and what was read.
//!
//! `device:u64 (inode:u64 size:u64 mtime:i64 ctime:i64 mode:u32 digest:32 length:u16 name)*`, little-endian, sorted by name.

use crate::digest::Digest;
use crate::tree::probe::Probe;

/// Bytes of a row before its name.
const ROW: usize = 70;

/// What the cache knows about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tree) struct Known {
    pub(in crate::tree) probe: Probe,
    pub(in crate::tree) digest: Digest,
}

/// The rows of one folder.
#[derive(Debug)]
pub(in crate::tree) struct Section {
    bytes: Vec<u8>,
    /// Where each row begins.
    starts: Vec<u32>,
}

impl Section {
    /// Reads rows back; none where the bytes are not rows in order.
    pub(super) fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut this = Self { starts: Vec::with_capacity(bytes.len() / (ROW + 10)), bytes };
        let mut at = 8;
        while at < this.bytes.len() {
            let length = this.bytes.get(at + ROW - 2..at + ROW)?;
            let end = at + ROW + usize::from(u16::from_le_bytes(length.try_into().ok()?));
            let name = this.bytes.get(at + ROW..end)?;
            if this.starts.last().is_some_and(|&last| this.name_at(last as usize) >= name) {
                return None;
            }
            this.starts.push(u32::try_from(at).ok()?);
            at = end;
        }
        (this.bytes.len() >= 8).then_some(this)
    }

    pub(in crate::tree) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(in crate::tree) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(in crate::tree) fn name(&self, row: usize) -> &[u8] {
        self.name_at(self.starts[row] as usize)
    }

    fn name_at(&self, start: usize) -> &[u8] {
        let length = u16::from_le_bytes([self.bytes[start + ROW - 2], self.bytes[start + ROW - 1]]);
        &self.bytes[start + ROW..start + ROW + usize::from(length)]
    }

    /// The device that all its files lie on.
    pub(in crate::tree) fn device(&self) -> u64 {
        self.number(0)
    }

    fn number(&self, at: usize) -> u64 {
        self.bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    pub(in crate::tree) fn known(&self, row: usize) -> Known {
        let at = self.starts[row] as usize;
        let mode = self.bytes.get(at + 32..at + 36).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        let digest = self.bytes.get(at + 36..at + 68).and_then(|b| b.try_into().ok()).unwrap_or([0; 32]);
        Known {
            probe: Probe {
                device: self.device(),
                inode: self.number(at),
                size: self.number(at + 8),
                mtime: self.number(at + 16).cast_signed(),
                ctime: self.number(at + 24).cast_signed(),
                mode,
            },
            digest: Digest::from_bytes(digest),
        }
    }

    /// Finds a name at or after `row`, which moves on: names asked for in order cost one pass.
    pub(in crate::tree) fn seek(&self, row: &mut usize, name: &[u8]) -> Option<usize> {
        while *row < self.starts.len() {
            match self.name(*row).cmp(name) {
                std::cmp::Ordering::Less => *row += 1,
                std::cmp::Ordering::Equal => return Some(*row),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    /// The first row whose name is not before this one.
    pub(in crate::tree) fn lower_bound(&self, name: &[u8]) -> usize {
        self.starts.partition_point(|&start| self.name_at(start as usize) < name)
    }

    pub(in crate::tree) fn find(&self, name: &[u8]) -> Option<Known> {
        let mut row = self.lower_bound(name);
        self.seek(&mut row, name).map(|row| self.known(row))
    }
}

/// Builds a section from rows in order.
#[derive(Debug, Default)]
pub(in crate::tree) struct Builder {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Builder {
    /// Adds a row. One on another device than the first is left out: it is a mount of a single file.
    pub(in crate::tree) fn push(&mut self, name: &[u8], known: &Known) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&known.probe.device.to_le_bytes());
        } else if self.bytes.get(..8) != Some(&known.probe.device.to_le_bytes()) {
            return;
        }
        let (Ok(start), Ok(length)) = (u32::try_from(self.bytes.len()), u16::try_from(name.len())) else { return };
        self.starts.push(start);
        self.bytes.extend_from_slice(&known.probe.inode.to_le_bytes());
        self.bytes.extend_from_slice(&known.probe.size.to_le_bytes());
        self.bytes.extend_from_slice(&known.probe.mtime.to_le_bytes());
        self.bytes.extend_from_slice(&known.probe.ctime.to_le_bytes());
        self.bytes.extend_from_slice(&known.probe.mode.to_le_bytes());
        self.bytes.extend_from_slice(known.digest.as_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(name);
    }

    /// Adds a row, where there is one.
    pub(in crate::tree) fn extend(&mut self, name: &[u8], known: Option<&Known>) {
        if let Some(known) = known {
            self.push(name, known);
        }
    }

    /// The section; none of no rows.
    pub(in crate::tree) fn finish(mut self) -> Option<Section> {
        self.bytes.shrink_to_fit();
        (!self.starts.is_empty()).then_some(Section { bytes: self.bytes, starts: self.starts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(n: u64) -> Known {
        let probe = Probe { device: 7, inode: n, size: n, mtime: -1, ctime: 3, mode: 0o100_644 };
        Known { probe, digest: Digest::of(&n.to_le_bytes()) }
    }

    #[test]
    fn rows_come_back() {
        let mut builder = Builder::default();
        let names: [&[u8]; 4] = [b"a", b"b\xff", b"b\xff\n", &[b'x'; 255]];
        (0..).zip(names).for_each(|(n, name)| builder.push(name, &known(n)));
        let other = Known { probe: Probe { device: 8, ..known(9).probe }, ..known(9) };
        builder.push(b"z", &other);
        let section = Section::parse(builder.finish().unwrap().bytes).unwrap();
        assert_eq!(section.len(), 4);
        for (n, name) in (0..).zip(names) {
            assert_eq!(section.find(name), Some(known(n)));
        }
        assert_eq!(section.find(b"aa"), None);
        assert_eq!(section.find(b"z"), None);
    }

    #[test]
    fn bytes_that_are_no_rows_are_refused() {
        let mut builder = Builder::default();
        builder.push(b"b", &known(1));
        builder.push(b"a", &known(2));
        assert!(Section::parse(builder.finish().unwrap().bytes).is_none(), "out of order");
        for n in [0, 7, 9, 40, 77] {
            assert!(Section::parse(vec![1; n]).is_none(), "{n} bytes");
        }
    }
}
