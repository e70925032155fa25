//! A folder of which parts are at work in several threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::FileType;

use super::cache::{Builder, Known, Section};
use super::excluded::joined;
use super::listing::Listing;
use super::sources::Sources;
use super::walk::{FolderTask, Place, Row, Up, Walk};

/// A folder of which parts are not finished.
pub(super) struct Pending {
    pub(super) place: Place,
    pub(super) up: Up,
    pub(super) sources: Option<Sources>,
    pub(super) attempt: u8,
    pub(super) listing: Listing,
    /// Whether the listing is only of names that were asked for.
    pub(super) is_partial: bool,
    /// What is taken of its folders, by number.
    pub(super) below: BTreeMap<usize, Sources>,
    pub(super) old: Option<Arc<Section>>,
    /// Parts that are not finished.
    pub(super) left: AtomicUsize,
    /// Whether something was listed and then gone.
    pub(super) vanished: AtomicBool,
    /// Whether a file in it had to be read, or a folder below it is not as the cache knows it.
    pub(super) is_changed: AtomicBool,
    /// Rows of `old` that were met.
    pub(super) kept: AtomicUsize,
    pub(super) found: Mutex<Found>,
}

/// What was found in a folder.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Vec<Option<Row>>,
    pub(super) fresh: Vec<(usize, Known)>,
}

impl Pending {
    pub(super) fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of an entry.
    pub(super) fn disk(&self, at: usize) -> Vec<u8> {
        joined(&self.place.disk, self.listing.name(at))
    }

    /// Notes that an entry is gone: the first time it is a reason to read the folder again, the second time a fault.
    pub(super) fn lose(&self, walk: &Walk<'_>, disk: Vec<u8>) {
        self.vanished.store(true, Ordering::Release);
        if self.attempt > 0 {
            walk.fault(self.place.slot, "read", disk, "it vanished while the folder was read, twice");
        }
    }

    /// The same folder, to be read again.
    pub(super) fn again(&self) -> FolderTask {
        FolderTask {
            place: self.place.clone(),
            up: self.up.clone(),
            sources: self.sources.clone(),
            attempt: self.attempt + 1,
        }
    }

    /// Whether this folder, or one below it, is not as the cache knows it.
    pub(super) fn is_changed(&self) -> bool {
        let files = self.old.as_deref().map_or(0, Section::len);
        self.kept.load(Ordering::Relaxed) != files || self.is_changed.load(Ordering::Relaxed)
    }

    /// Hands the cache what is new about this folder's files, and that some are gone.
    pub(super) fn learn(&self, walk: &Walk<'_>, fresh: &mut [(usize, Known)]) {
        let old = self.old.as_deref();
        if fresh.is_empty() && old.is_none_or(|old| self.kept.load(Ordering::Relaxed) == old.len()) {
            return;
        }
        if !walk.ground.keeps(&self.place.disk) {
            return;
        }
        fresh.sort_unstable_by_key(|(at, _)| *at);
        let mut fresh = fresh.iter().peekable();
        let mut builder = Builder::default();
        let mut row = 0;
        for at in 0..self.listing.len() {
            let name = self.listing.name(at);
            if self.is_partial
                && let Some(old) = old
            {
                // What was not asked for stays as it was.
                while row < old.len() && old.name(row) < name {
                    builder.push(old.name(row), &old.known(row));
                    row += 1;
                }
            }
            let kept = old.and_then(|old| old.seek(&mut row, name).map(|row| old.known(row)));
            if kept.is_some() {
                row += 1;
            }
            let is_file = self.listing.kind(at) == FileType::RegularFile;
            let known = fresh.next_if(|(fresh, _)| *fresh == at).map(|(_, known)| *known).or(kept.filter(|_| is_file));
            if let Some(known) = known {
                builder.push(name, &known);
            }
        }
        if self.is_partial
            && let Some(old) = old
        {
            (row..old.len()).for_each(|row| builder.push(old.name(row), &old.known(row)));
        }
        let section = builder.finish();
        if section.as_ref().map(Section::bytes) != old.map(Section::bytes) {
            walk.ground.cache.learn_section(walk.ground.key(&self.place.disk).to_vec(), section);
        }
    }
}
