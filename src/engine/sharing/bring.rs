//! Objects out of the cache into the store: as few requests as will do, many at once, every object checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::{Sharing, each};
use crate::cache::known::{PackRef, Place};
use crate::cache::pack::{self, Block, PART};
use crate::cache::{Fault, Name, Range, Remote as _};
use crate::digest::Digest;
use crate::store::{Store, StoreError};

/// Blocks that lie no farther apart than this are read in one go.
const GAP: u64 = 128 << 10;
/// No more is read in one go.
const READ: u64 = 8 << 20;
/// A pack that is not larger is read whole.
const SMALL_PACK: u64 = 256 << 10;

/// Why objects could not be brought.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The cache.
    #[error(transparent)]
    Remote(#[from] Fault),
    /// This machine's own store: a full disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A temporary file.
    #[error("could not write {path}: {why}")]
    Scratch {
        /// Where.
        path: String,
        /// What the system said.
        why: std::io::Error,
    },
}

/// Learns what is in these packs, where that is not known yet. Packs that are gone or whose index is none stay unknown.
///
/// # Errors
/// Where the cache cannot be asked.
pub fn learn(sharing: &Sharing, packs: &[PackRef]) -> Result<(), Stopped> {
    let unknown: Vec<PackRef> = {
        let known = sharing.known();
        packs.iter().filter(|pack| !known.has_pack(&pack.pack)).copied().collect()
    };
    each(&unknown, |pack| {
        let tail = Range { from: pack.size.saturating_sub(u64::from(pack.tail)), length: u64::from(pack.tail) };
        match sharing.remote.get(&Name::pack(pack.pack), Some(tail)) {
            Ok(Some(tail)) if sharing.known().learn(*pack, &tail) => {}
            Ok(None) => {}
            Ok(Some(_)) | Err(Fault::Wrong(_)) => sharing.distrust(&pack.pack),
            Err(fault) => return Err(Stopped::Remote(fault)),
        }
        Ok(())
    })
}

/// A read of some neighbouring blocks of a pack.
#[derive(Debug)]
struct Read {
    pack: PackRef,
    blocks: Vec<(Block, Vec<Place>)>,
}

impl Read {
    fn range(&self) -> Range {
        let from = self.blocks.first().map_or(0, |(block, _)| block.from);
        let to = self.blocks.last().map_or(0, |(block, _)| block.from + u64::from(block.stored));
        Range { from, length: to.saturating_sub(from) }
    }
}

/// Brings small and large objects into the store; those that are there already are left alone. Returns those that could not
/// be had, or were not what they should be. `near` are the packs that are asked before others. `scratch` is a folder for
/// what is not complete.
///
/// # Errors
/// Where the cache cannot be asked or the store not be written.
pub fn bring(
    sharing: &Sharing,
    store: &dyn Store,
    scratch: &Path,
    wanted: &BTreeSet<Digest>,
    near: &BTreeSet<Digest>,
) -> Result<BTreeSet<Digest>, Stopped> {
    let missing: Vec<Digest> = wanted.iter().filter(|digest| !store.has(digest)).copied().collect();
    let mut absent = BTreeSet::new();
    let mut small: BTreeMap<(Digest, u64), (PackRef, Block, Vec<Place>)> = BTreeMap::new();
    let mut large = Vec::new();
    {
        let known = sharing.known();
        for digest in &missing {
            match known.places(digest, &|pack| near.contains(pack)) {
                None => drop(absent.insert(*digest)),
                Some(places) if places.len() > 1 => large.push((*digest, places)),
                Some(places) => {
                    for place in places {
                        let at = (place.pack.pack, place.block.from);
                        small.entry(at).or_insert_with(|| (place.pack, place.block, Vec::new())).2.push(place);
                    }
                }
            }
        }
    }
    let reads = plan(small.into_values());
    let damaged = Mutex::new(absent);
    let lose = |digest: Digest| {
        damaged.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    };
    each(&reads, |read| take(sharing, store, read, &lose))?;
    for (digest, places) in large {
        if !take_large(sharing, store, scratch, &digest, &places)? {
            lose(digest);
        }
    }
    Ok(damaged.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Neighbouring blocks go into one read.
fn plan(blocks: impl Iterator<Item = (PackRef, Block, Vec<Place>)>) -> Vec<Read> {
    let mut reads: Vec<Read> = Vec::new();
    for (pack, block, places) in blocks {
        if let Some(last) = reads.last_mut().filter(|last| last.pack.pack == pack.pack) {
            let range = last.range();
            let end = block.from + u64::from(block.stored);
            let is_near = block.from <= range.from + range.length + GAP || pack.size <= SMALL_PACK;
            if is_near && end - range.from <= READ {
                last.blocks.push((block, places));
                continue;
            }
        }
        reads.push(Read { pack, blocks: vec![(block, places)] });
    }
    reads
}

fn take(sharing: &Sharing, store: &dyn Store, read: &Read, lose: &(impl Fn(Digest) + Sync)) -> Result<(), Stopped> {
    let range = read.range();
    let got = match sharing.remote.get(&Name::pack(read.pack.pack), Some(range)) {
        Ok(got) => got,
        Err(Fault::Wrong(_)) => None,
        Err(fault) => return Err(fault.into()),
    };
    let mut is_right = true;
    for (block, places) in &read.blocks {
        let from = usize::try_from(block.from - range.from).unwrap_or(usize::MAX);
        let stored = got.as_ref().and_then(|bytes| bytes.get(from..from.checked_add(block.stored as usize)?));
        let raw = stored.and_then(|stored| pack::unpack(block, stored));
        for place in places {
            let entry = &place.entry;
            let from = entry.offset as usize;
            let object = raw.as_ref().and_then(|raw| raw.get(from..from + entry.length as usize));
            if let Some(object) = object.filter(|object| Digest::of(object) == entry.digest) {
                store.put(object)?;
            } else {
                is_right = false;
                lose(entry.digest);
            }
        }
    }
    if !is_right {
        sharing.distrust(&read.pack.pack);
    }
    Ok(())
}

/// Brings the parts of a large object side by side into one file, and takes it where it is whole and right.
fn take_large(
    sharing: &Sharing,
    store: &dyn Store,
    scratch: &Path,
    digest: &Digest,
    places: &[Place],
) -> Result<bool, Stopped> {
    let failed = |why: std::io::Error| Stopped::Scratch { path: scratch.display().to_string(), why };
    std::fs::create_dir_all(scratch).map_err(failed)?;
    let file = tempfile::Builder::new().prefix("object-").tempfile_in(scratch).map_err(failed)?;
    let out: &File = file.as_file();
    let wrong: Mutex<Vec<Digest>> = Mutex::default();
    each(places, |place| {
        let range = Range { from: place.block.from, length: u64::from(place.block.stored) };
        let got = match sharing.remote.get(&Name::pack(place.pack.pack), Some(range)) {
            Ok(got) => got,
            Err(Fault::Wrong(_)) => None,
            Err(fault) => return Err(fault.into()),
        };
        let raw = got.and_then(|stored| pack::unpack(&place.block, &stored));
        let (from, length) = (place.entry.offset as usize, place.entry.length as usize);
        let Some(part) = raw.as_ref().and_then(|raw| raw.get(from..from + length)) else {
            wrong.lock().unwrap_or_else(PoisonError::into_inner).push(place.pack.pack);
            return Ok(());
        };
        out.write_all_at(part, u64::from(place.entry.part) * PART).map_err(failed)
    })?;
    let mut wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    if wrong.is_empty() {
        let (found, _) = store.put_file(file.path(), None)?;
        if found == *digest {
            return Ok(true);
        }
        // Which part it was cannot be told.
        wrong = places.iter().map(|place| place.pack.pack).collect();
    }
    for pack in &wrong {
        sharing.distrust(pack);
    }
    Ok(false)
}
