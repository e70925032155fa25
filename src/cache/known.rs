//! Which objects lie in which packs of a cache: gathered from the indexes of the packs that were read or written here.
//!
//! It is kept in a file of the workspace's state, so that the next push sends only what is new. What it says may be out of
//! date (a clean-up of the cache may have removed a pack): who relies on a pack asks for it first. The file is a cache of a
//! cache: where it is damaged, what follows the damage is forgotten.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pack::{self, Block, Entry, Index, Packed};
use crate::digest::Digest;

/// The file is begun anew once it is longer.
const LONGEST: u64 = 256 << 20;
/// Bytes before the index of each pack: its digest, its size, the length of its tail, and a check.
const HEAD: usize = 32 + 8 + 4 + 8;

/// A pack as a record names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRef {
    /// Its name.
    pub pack: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// How many bytes at its end are index and footer.
    pub tail: u32,
    /// Where it holds nothing but a part of a large object: which object. Such a pack is read whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<Digest>,
}

impl PackRef {
    /// How a record names a pack that was written.
    #[must_use]
    pub fn of(packed: &Packed) -> Self {
        let part = packed.index.entries.first().filter(|entry| entry.parts > 1);
        Self {
            pack: packed.digest,
            size: packed.bytes.len() as u64,
            tail: packed.tail,
            part_of: part.map(|entry| entry.digest),
        }
    }
}

/// Where an object, or a part of one, lies.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The pack.
    pub pack: PackRef,
    /// Its block.
    pub block: Block,
    /// Its entry.
    pub entry: Entry,
}

/// What is known of one cache.
#[derive(Debug, Default)]
pub struct Known {
    file: Option<PathBuf>,
    packs: BTreeMap<Digest, (PackRef, Arc<Index>)>,
    /// The packs of an object, each with its place in the index: one for a small object, one a part for a large one.
    objects: BTreeMap<Digest, Vec<(Digest, u32)>>,
    /// What is not in the file yet.
    fresh: Vec<u8>,
}

impl Known {
    /// What is known without a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a file tells; a missing one tells nothing.
    #[must_use]
    pub fn load(file: &Path) -> Self {
        let mut this = Self { file: Some(file.to_owned()), ..Self::default() };
        let mut bytes = Vec::new();
        if File::open(file).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes)).is_err() {
            return this;
        }
        let mut rest = bytes.as_slice();
        let mut whole = 0;
        while let Some((pack, tail, after)) = read(rest) {
            if let Some(index) = Index::decode(tail, pack.size) {
                this.take(pack, index);
            }
            rest = after;
            whole = bytes.len() - rest.len();
        }
        if whole < bytes.len() || bytes.len() as u64 == LONGEST {
            drop(OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(whole as u64)));
        }
        this
    }

    /// Keeps what was learnt since. That it cannot be written is no harm.
    pub fn save(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        let Some(file) = self.file.as_ref().filter(|_| !fresh.is_empty()) else { return };
        let write = || {
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new().append(true).create(true).open(file)?;
            file.lock()?;
            if file.metadata()?.len() > LONGEST / 2 {
                file.set_len(0)?;
            }
            file.write_all(&fresh)
        };
        drop(write());
    }

    fn take(&mut self, pack: PackRef, index: Index) {
        for (at, entry) in (0_u32..).zip(&index.entries) {
            self.objects.entry(entry.digest).or_default().push((pack.pack, at));
        }
        let part = index.entries.first().filter(|entry| entry.parts > 1).map(|entry| entry.digest);
        self.packs.insert(pack.pack, (PackRef { part_of: part, ..pack }, Arc::new(index)));
    }

    /// Learns what is in a pack from the bytes at its end. False where they are no index.
    pub fn learn(&mut self, pack: PackRef, tail: &[u8]) -> bool {
        if self.packs.contains_key(&pack.pack) {
            return true;
        }
        let Some(index) = Index::decode(tail, pack.size) else { return false };
        self.fresh.extend_from_slice(&head(&pack, tail));
        self.fresh.extend_from_slice(tail);
        self.take(pack, index);
        true
    }

    /// Forgets a pack that turned out to be damaged or gone.
    pub fn forget(&mut self, pack: &Digest) {
        self.packs.remove(pack);
        self.objects.retain(|_, places| {
            places.retain(|(of, _)| of != pack);
            !places.is_empty()
        });
        // The file is written anew without it.
        self.fresh.clear();
        if let Some(file) = &self.file {
            drop(fs::remove_file(file));
        }
    }

    /// Whether a pack's index is known.
    #[must_use]
    pub fn has_pack(&self, pack: &Digest) -> bool {
        self.packs.contains_key(pack)
    }

    /// Where all of an object lies: one place for a small object, one a part for a large one, in their order. None where
    /// any part is not known. Of several packs that hold it, those that `prefer` names are taken.
    #[must_use]
    pub fn places(&self, digest: &Digest, prefer: &dyn Fn(&Digest) -> bool) -> Option<Vec<Place>> {
        let all = self.objects.get(digest)?;
        let place = |(pack, at): &(Digest, u32)| {
            let (pack, index) = self.packs.get(pack)?;
            let entry = *index.entries.get(*at as usize)?;
            Some(Place { pack: *pack, block: *index.blocks.get(entry.block as usize)?, entry })
        };
        let all: Vec<Place> = all.iter().filter_map(place).collect();
        let parts = all.first()?.entry.parts;
        let one = |part: u32| {
            let mut of_part = all.iter().filter(|place| place.entry.part == part);
            let first = of_part.clone().next();
            of_part.find(|place| prefer(&place.pack.pack)).or(first).copied()
        };
        if all.iter().any(|place| place.entry.parts != parts) || parts as usize > all.len() {
            return None;
        }
        (0..parts).map(one).collect()
    }

    /// All packs that are known.
    #[must_use]
    pub fn packs(&self) -> Vec<PackRef> {
        self.packs.values().map(|(pack, _)| *pack).collect()
    }
}

fn head(pack: &PackRef, tail: &[u8]) -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    bytes[..32].copy_from_slice(pack.pack.as_bytes());
    bytes[32..40].copy_from_slice(&pack.size.to_le_bytes());
    bytes[40..44].copy_from_slice(&pack.tail.to_le_bytes());
    let mut checked = bytes[..44].to_vec();
    checked.extend_from_slice(tail);
    bytes[44..].copy_from_slice(&Digest::of(&checked).as_bytes()[..8]);
    bytes
}

fn read(bytes: &[u8]) -> Option<(PackRef, &[u8], &[u8])> {
    let (begins, rest) = bytes.split_at_checked(HEAD)?;
    let pack = PackRef {
        pack: Digest::from_bytes(begins.get(..32)?.try_into().ok()?),
        size: u64::from_le_bytes(begins.get(32..40)?.try_into().ok()?),
        tail: u32::from_le_bytes(begins.get(40..44)?.try_into().ok()?),
        part_of: None,
    };
    let (tail, rest) = rest.split_at_checked(pack.tail as usize)?;
    (head(&pack, tail) == begins).then_some((pack, tail, rest))
}

/// Whether an object is large enough to travel in parts.
#[must_use]
pub fn is_large(size: u64) -> bool {
    size > pack::SMALL
}
