//! A store that keeps nothing: what is "captured" into it is only digested, as the real one would.

use std::fs::File;
use std::path::Path;

use super::{Store, StoreError};
use crate::digest::Digest;

/// Digests and forgets.
#[derive(Debug, Clone, Copy)]
pub struct Digesting;

impl Store for Digesting {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        Ok(Digest::of(bytes))
    }

    fn put_file(&self, path: &Path, known: Option<(Digest, u64)>) -> Result<(Digest, u64), StoreError> {
        if let Some(known) = known {
            return Ok(known);
        }
        let mut hasher = blake3::Hasher::new();
        File::open(path).and_then(|file| hasher.update_reader(file).map(drop)).map_err(|source| StoreError {
            doing: "read",
            path: path.to_owned(),
            source,
        })?;
        Ok((hasher.finalize().into(), hasher.count()))
    }

    fn has(&self, _: &Digest) -> bool {
        false
    }

    fn get(&self, _: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn write_to(&self, _: &Digest, _: &Path, _: bool, _: bool) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
