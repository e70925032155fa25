//! The digest of a long file from those of its pieces, which any number of threads read and digest in any order: BLAKE3 is a
//! tree, and each piece a whole subtree of it.
//!
//! Called by `tree`, which looks at files that others may change, and by `store`, which copies. It reads no file itself.

use blake3::hazmat::{self, ChainingValue, HasherExt, Mode};

use super::Digest;

/// Bytes of a piece: a power of two, as subtrees are, and small enough to stay in a core's own cache until it is digested.
pub const PIECE: usize = 256 * 1024;

/// Pieces in so many bytes.
#[must_use]
pub fn count(size: u64) -> usize {
    usize::try_from(size.div_ceil(PIECE as u64)).unwrap_or(usize::MAX)
}

/// Where a piece begins, in bytes, and its length.
#[must_use]
pub fn span(piece: usize, size: u64) -> (u64, usize) {
    let start = piece as u64 * PIECE as u64;
    (start, usize::try_from(size.saturating_sub(start)).unwrap_or(PIECE).min(PIECE))
}

/// What a piece that begins at `start` adds to the whole.
#[must_use]
pub fn value(start: u64, bytes: &[u8]) -> ChainingValue {
    blake3::Hasher::new().set_input_offset(start).update(bytes).finalize_non_root()
}

/// The digest of `size` bytes from the values of all their pieces, of which there are at least two.
#[must_use]
pub fn root(values: &[ChainingValue], size: u64) -> Digest {
    let (left, right) = halves(values, size);
    Digest::from(hazmat::merge_subtrees_root(&left, &right, Mode::Hash))
}

fn halves(values: &[ChainingValue], size: u64) -> (ChainingValue, ChainingValue) {
    let left = hazmat::left_subtree_len(size);
    let (first, second) = values.split_at(usize::try_from(left / PIECE as u64).unwrap_or(values.len()));
    (subtree(first, left), subtree(second, size - left))
}

fn subtree(values: &[ChainingValue], size: u64) -> ChainingValue {
    if let [value] = values {
        return *value;
    }
    let (left, right) = halves(values, size);
    hazmat::merge_subtrees_non_root(&left, &right, Mode::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..5 * PIECE + 3).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for length in [PIECE + 1, 2 * PIECE - 1, 2 * PIECE, 2 * PIECE + 1, 3 * PIECE, 4 * PIECE, 5 * PIECE + 3] {
            let whole = &bytes[..length];
            let size = length as u64;
            let values: Vec<_> = (0..count(size))
                .map(|piece| {
                    let (start, length) = span(piece, size);
                    let start_at = usize::try_from(start).unwrap();
                    value(start, &whole[start_at..start_at + length])
                })
                .collect();
            assert_eq!(root(&values, size), Digest::of(whole), "{length} bytes");
        }
    }
}
