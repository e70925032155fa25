//! What a process knows of the packs: every object's places, from all indexes, read when first asked for.
//!
//! It only reads. A damaged or missing index is made up for by looking through the data; the next process that adds to the
//! pack writes it anew (`appender`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::format::{self, FULL, RECORD, Record};
use crate::digest::Digest;
use crate::store::StoreError;

/// Where an object lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) pack: u32,
    /// Of the entry's header. Packs are shorter than 4 GiB.
    pub(super) offset: u32,
}

/// A pack as it was last read.
#[derive(Debug, Default)]
struct Pack {
    /// The index file's inode and the bytes of it that were read; a rewritten index is another file.
    inode: u64,
    read: u64,
    /// Nothing is added to it any more.
    full: bool,
    damaged: bool,
}

/// All places, by digest. One object may lie in several packs: two processes may have stored it at once.
#[derive(Debug, Default)]
pub(super) struct Index {
    loaded: bool,
    /// Of the store, when it was read (`guard`).
    generation: u64,
    places: BTreeMap<(Digest, Place), u32>,
    /// Places whose bytes are not those of the digest.
    masked: BTreeSet<(Digest, Place)>,
    packs: BTreeMap<u32, Pack>,
}

/// The data file of a pack.
pub(super) fn data_path(folder: &Path, pack: u32) -> PathBuf {
    folder.join(format!("pack-{pack:04}.data"))
}

/// The index file of a pack.
pub(super) fn index_path(folder: &Path, pack: u32) -> PathBuf {
    folder.join(format!("pack-{pack:04}.index"))
}

impl Index {
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// The generation of the store when this was read.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// All places, those of damaged objects too.
    pub(super) fn all(&self) -> impl Iterator<Item = (Digest, Place, u32)> + '_ {
        self.places.iter().map(|((digest, place), length)| (*digest, *place, *length))
    }

    /// Reads all indexes; a folder that is not there has none. What this process adds to its `own` pack is known already.
    pub(super) fn load(&mut self, folder: &Path, own: Option<u32>) -> Result<(), StoreError> {
        // Before the packs: what is taken away meanwhile is noticed then.
        let generation = super::guard::generation(folder);
        let mut found = Vec::new();
        self.packs.retain(|number, _| Some(*number) == own);
        for pack in numbers(folder)?.into_iter().filter(|number| Some(*number) != own) {
            self.read_pack(folder, pack, &mut found)?;
        }
        self.places.retain(|(_, place), _| Some(place.pack) == own);
        self.places.extend(found);
        self.generation = generation;
        self.masked = names(&folder.join(QUARANTINE))?.iter().filter_map(|name| of_masked_name(name)).collect();
        self.loaded = true;
        Ok(())
    }

    /// Reads what other processes added since; whether there was anything.
    pub(super) fn refresh(&mut self, folder: &Path, own: Option<u32>) -> Result<bool, StoreError> {
        if !self.loaded {
            return Ok(false);
        }
        let mut found = Vec::new();
        let open: Vec<u32> = self.packs.iter().filter(|(n, p)| !p.full && Some(**n) != own).map(|(n, _)| *n).collect();
        for pack in open {
            self.read_pack(folder, pack, &mut found)?;
        }
        // New packs are numbered without gaps; where some were taken away, the generation tells.
        let mut next = self.last() + 1;
        while data_path(folder, next).exists() {
            self.read_pack(folder, next, &mut found)?;
            next += 1;
        }
        let any = !found.is_empty();
        self.places.extend(found);
        Ok(any)
    }

    /// Packs that may be added to, as far as is known, damaged ones included.
    pub(super) fn candidates(&self) -> Vec<u32> {
        self.packs.iter().filter(|(_, pack)| !pack.full || pack.damaged).map(|(number, _)| *number).collect()
    }

    /// The highest number of a pack; zero where there is none.
    pub(super) fn last(&self) -> u32 {
        self.packs.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The places of an object, with its length.
    pub(super) fn places(&self, digest: &Digest) -> Vec<(Place, u32)> {
        let first = (*digest, Place { pack: 0, offset: 0 });
        let last = (*digest, Place { pack: u32::MAX, offset: u32::MAX });
        let all = self.places.range(first..=last).map(|((_, place), length)| (*place, *length));
        all.filter(|(place, _)| !self.is_masked(digest, *place)).collect()
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        let first = (*digest, Place { pack: 0, offset: 0 });
        let last = (*digest, Place { pack: u32::MAX, offset: u32::MAX });
        self.places.range(first..=last).any(|((_, place), _)| !self.is_masked(digest, *place))
    }

    /// Notes objects that lie in a pack now.
    pub(super) fn add(&mut self, pack: u32, records: &[Record]) {
        self.places.extend(records.iter().filter_map(|record| key(pack, record)));
    }

    /// Forgets a place whose bytes are not right.
    pub(super) fn mask(&mut self, digest: &Digest, place: Place) {
        self.masked.insert((*digest, place));
    }

    /// Whether an object was found corrupt at a place.
    pub(super) fn is_masked(&self, digest: &Digest, place: Place) -> bool {
        !self.masked.is_empty() && self.masked.contains(&(*digest, place))
    }

    /// Takes a pack's records as they stand on disk now, with those of a tail that its index does not name (yet).
    fn read_pack(&mut self, folder: &Path, number: u32, found: &mut Vec<Found>) -> Result<(), StoreError> {
        let path = index_path(folder, number);
        let pack = self.packs.entry(number).or_default();
        let file = match File::open(&path) {
            Ok(file) => Some(file),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(StoreError::at("read", &path)(why)),
        };
        let mut bytes = Vec::new();
        if let Some(file) = &file {
            let now = file.metadata().map_err(StoreError::at("read", &path))?;
            if now.ino() != pack.inode || now.size() < pack.read {
                *pack = Pack { inode: now.ino(), ..Pack::default() };
            }
            let new = now.size() - pack.read;
            if new < RECORD as u64 && pack.read > 0 {
                return Ok(());
            }
            bytes.resize(usize::try_from(new - new % RECORD as u64).unwrap_or_default(), 0);
            file.read_exact_at(&mut bytes, pack.read).map_err(StoreError::at("read", &path))?;
        }
        let (mut records, right) = format::records(number, &bytes);
        pack.read += bytes.len() as u64;
        pack.damaged |= !right;

        let path = data_path(folder, number);
        let data = match File::open(&path) {
            Ok(data) => data,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(why) => return Err(StoreError::at("read", &path)(why)),
        };
        let length = data.metadata().map_err(StoreError::at("read", &path))?.size();
        pack.full = length >= FULL;
        pack.damaged |= records.iter().any(|record| record.end() > length);
        records.retain(|record| record.end() <= length);
        let end = if pack.damaged { 0 } else { records.iter().map(Record::end).max().unwrap_or_default() };
        if end < length {
            pack.damaged |= file.is_none();
            // A process may be writing, or have died in it; or the data was cut meanwhile. What is not whole is not there.
            records.extend(format::scan(&data, end, length, false).unwrap_or_default());
        }
        found.extend(records.iter().filter_map(|record| key(number, record)));
        Ok(())
    }
}

/// An object's place, and its length.
type Found = ((Digest, Place), u32);

fn key(pack: u32, record: &Record) -> Option<Found> {
    u32::try_from(record.offset).ok().map(|offset| ((record.digest, Place { pack, offset }), record.length))
}

/// Where corrupt objects are put. A file there also tells that the place it names is not to be read again.
pub(super) const QUARANTINE: &str = "quarantine";

/// The name of a corrupt object out of a pack.
pub(super) fn masked_name(digest: &Digest, place: Place) -> String {
    format!("pack-{:04}-{}-{digest}", place.pack, place.offset)
}

pub(super) fn of_masked_name(name: &str) -> Option<(Digest, Place)> {
    let mut parts = name.strip_prefix("pack-")?.split('-');
    let place = Place { pack: parts.next()?.parse().ok()?, offset: parts.next()?.parse().ok()? };
    Some((parts.next()?.parse().ok()?, place))
}

/// The numbers of the packs in a folder, lowest first.
pub(super) fn numbers(folder: &Path) -> Result<BTreeSet<u32>, StoreError> {
    let number = |name: &String| name.strip_prefix("pack-")?.strip_suffix(".data")?.parse().ok();
    Ok(names(folder)?.iter().filter_map(number).collect())
}

/// The names in a folder; none where it is not there.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(why) => return Err(StoreError::at("read", folder)(why)),
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(StoreError::at("read", folder))
}
