//! The fake of the store: objects in memory. For tests of the modules above.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::files;
use super::{Store, StoreError};
use crate::digest::Digest;

/// Objects in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<Digest, Vec<u8>>>);

impl MemoryStore {
    /// One without objects.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses an object, as a clean-up by hand would; whether there was one.
    pub fn lose(&self, digest: &Digest) -> bool {
        self.objects().remove(digest).is_some()
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        self.objects().len()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Digest, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        self.objects().entry(digest).or_insert_with(|| bytes.to_vec());
        Ok(digest)
    }

    fn put_file(&self, path: &Path, known: Option<(Digest, u64)>) -> Result<(Digest, u64), StoreError> {
        if let Some(known) = known.filter(|(digest, _)| self.has(digest)) {
            return Ok(known);
        }
        let (mut file, _) = files::open_regular(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(StoreError::at("read", path))?;
        Ok((self.put(&bytes)?, bytes.len() as u64))
    }

    fn has(&self, digest: &Digest) -> bool {
        self.objects().contains_key(digest)
    }

    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.objects().get(digest).cloned())
    }

    fn write_to(&self, digest: &Digest, to: &Path, executable: bool, link: bool) -> Result<bool, StoreError> {
        let Some(bytes) = self.get(digest)? else { return Ok(false) };
        files::write_new(to, &bytes, files::mode(executable, link))?;
        Ok(true)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
