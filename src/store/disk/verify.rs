//! Reads all that is in the store and sets apart what is not what it should be. Others may go on meanwhile.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;

use rayon::prelude::*;

use super::index::{self, Place};
use super::{DiskStore, files, lock};
use crate::digest::Digest;
use crate::store::{Store, StoreError};

/// What is read by one thread at a time.
const SHARE: usize = 256;

/// What a look at everything came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Copies of objects that were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects of which a copy was damaged. It was set apart in `quarantine/`.
    pub damaged: BTreeSet<Digest>,
    /// Those of them of which no right copy is left.
    pub lost: BTreeSet<Digest>,
}

/// One copy of an object.
type Copy = (Place, u32, Digest);

impl DiskStore {
    /// Bytes that [`DiskStore::verify`] will read, about.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn weight(&self) -> Result<u64, StoreError> {
        Ok(self.contents()?.values().sum())
    }

    /// Reads every object, on all processors; `watch` is told the bytes as they are read, from many threads. What another
    /// process takes away meanwhile counts as never seen.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn verify(&self, watch: &(dyn Fn(u64) + Sync)) -> Result<Verified, StoreError> {
        self.reload()?;
        let mut copies: Vec<Copy> = {
            let index = self.index()?;
            let sound = index.all().filter(|(digest, place, _)| !index.is_masked(digest, *place));
            sound.map(|(digest, place, length)| (place, length, digest)).collect()
        };
        // As they lie on disk.
        copies.sort_unstable();
        let found: Mutex<Verified> = Mutex::default();
        copies.par_chunks(SHARE).try_for_each(|copies| -> Result<(), StoreError> {
            let mut part = Verified::default();
            for (place, length, digest) in copies {
                match self.is_right(*place, *length, digest)? {
                    None => continue,
                    Some(true) => {}
                    Some(false) => drop(part.damaged.insert(*digest)),
                }
                part.objects += 1;
                part.bytes += u64::from(*length);
                watch(u64::from(*length));
            }
            add(&found, part);
            Ok(())
        })?;
        for (digest, _) in self.large.all()? {
            if let Some((right, size)) = self.large.verify(&digest)? {
                let damaged = if right { BTreeSet::new() } else { BTreeSet::from([digest]) };
                add(&found, Verified { objects: 1, bytes: size, damaged, lost: BTreeSet::new() });
                watch(size);
            }
        }
        let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.lost = found.damaged.iter().filter(|digest| !self.has(digest)).copied().collect();
        Ok(found)
    }

    /// Whether a copy is right; none where it was taken away. One that is not is set apart.
    fn is_right(&self, place: Place, length: u32, digest: &Digest) -> Result<Option<bool>, StoreError> {
        let bytes = match self.read(place, length) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof || files::is_bad_block(&why) => Vec::new(),
            Err(why) => return Err(StoreError::at("read", &index::data_path(&self.folder, place.pack))(why)),
        };
        let right = bytes.len() == length as usize && Digest::of(&bytes) == *digest;
        if !right {
            self.quarantine(digest, place, &bytes);
        }
        Ok(Some(right))
    }
}

fn add(found: &Mutex<Verified>, part: Verified) {
    let mut found = lock(found);
    found.objects += part.objects;
    found.bytes += part.bytes;
    found.damaged.extend(part.damaged);
}
