//! The names in a folder, sorted, in one allocation.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// Bytes for one `getdents` call.
const BUFFER: usize = 32 * 1024;

/// A folder's names.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Every name, each followed by NUL.
    bytes: Vec<u8>,
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    start: u32,
    length: u16,
    kind: FileType,
    taken: bool,
}

impl Listing {
    /// Reads an open folder. `buffer` is only lent.
    pub(super) fn read(folder: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> Result<Self, Errno> {
        buffer.clear();
        buffer.reserve(BUFFER);
        let mut listing = Self::default();
        let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                listing.push(name, entry.file_type());
            }
        }
        listing.sort();
        Ok(listing)
    }

    /// The given names, whatever they are, in a folder that need not be read.
    pub(super) fn of_names<'a>(names: impl Iterator<Item = &'a CStr>) -> Self {
        let mut listing = Self::default();
        names.for_each(|name| listing.push(name, FileType::Unknown));
        listing.sort();
        listing
    }

    fn push(&mut self, name: &CStr, kind: FileType) {
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let length = u16::try_from(name.count_bytes()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(name.to_bytes_with_nul());
        self.items.push(Item { start, length, kind, taken: true });
    }

    fn sort(&mut self) {
        let Self { bytes, items } = self;
        items.sort_unstable_by(|a, b| slice(bytes, a).cmp(slice(bytes, b)));
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn name(&self, at: usize) -> &[u8] {
        slice(&self.bytes, &self.items[at])
    }

    pub(super) fn c_name(&self, at: usize) -> &CStr {
        let item = &self.items[at];
        let start = item.start as usize;
        CStr::from_bytes_with_nul(&self.bytes[start..=start + usize::from(item.length)]).unwrap_or_default()
    }

    pub(super) fn kind(&self, at: usize) -> FileType {
        self.items[at].kind
    }

    pub(super) fn set_kind(&mut self, at: usize, kind: FileType) {
        self.items[at].kind = kind;
    }

    pub(super) fn is_taken(&self, at: usize) -> bool {
        self.items[at].taken
    }

    /// Keeps a name listed but out of the tree.
    pub(super) fn leave(&mut self, at: usize) {
        self.items[at].taken = false;
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        self.items.binary_search_by(|item| slice(&self.bytes, item).cmp(name)).ok()
    }
}

fn slice<'a>(bytes: &'a [u8], item: &Item) -> &'a [u8] {
    let start = item.start as usize;
    &bytes[start..start + usize::from(item.length)]
}
