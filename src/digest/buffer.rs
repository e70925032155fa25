//! Memory that files are read into, before their bytes are digested.
//!
//! Called by what reads files: the tree, the store, transfers. It may never say anything about what the bytes mean.

use std::ops::{Deref, DerefMut};

/// Where buffers begin: on a multiple of this. The system copies from pages of its own. To a place that begins a few bytes
/// further in its page than the source in its own (as large pieces of memory from `malloc` do, by 16), each load of the copy
/// waits for a store that it only seems to depend on: reading and digesting 2 GiB took 1.7 s of CPU so, and 0.8 s from the
/// beginning of a page.
const PAGE: usize = 4096;

/// Zeroed bytes, of a length that is given or grows. It is a slice of bytes.
#[derive(Debug, Default)]
pub struct Buffer {
    /// The bytes, with up to a page before them.
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// A buffer of so many bytes.
    #[must_use]
    pub fn new(length: usize) -> Self {
        // Zeroed by the system: filling 256 KiB by hand for each small file was an eighth of what a thousand short jobs cost.
        let mut memory = vec![0; length + PAGE];
        // Should no page begin in it, reading into what is there is only slower.
        let start = Some(memory.as_ptr().align_offset(PAGE)).filter(|start| *start < PAGE).unwrap_or_default();
        memory.truncate(start + length);
        Self { memory, start }
    }

    /// The buffer, with at least so many bytes; what was in it may be gone.
    pub fn lend(&mut self, length: usize) -> &mut [u8] {
        if self.len() < length {
            *self = Self::new(length);
        }
        self
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.memory.get(self.start..).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_a_page_and_has_the_length_asked_for() {
        for length in [0, 1, 100, PAGE, PAGE + 1, 256 << 10] {
            let mut buffer = Buffer::new(length);
            assert_eq!(buffer.len(), length);
            assert_eq!(buffer.as_ptr().align_offset(PAGE), 0, "{length}");
            buffer.fill(7);
            assert_eq!(buffer.lend(length).len(), length);
            assert!(buffer.iter().all(|byte| *byte == 7), "lent again, it is the same");
            assert_eq!(buffer.lend(length + 1).len(), length + 1);
        }
        assert!(Buffer::default().is_empty());
    }
}
