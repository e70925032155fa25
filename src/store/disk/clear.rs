//! Takes away what nobody needs any more: large objects by their names, small ones by writing their packs anew.
//!
//! What stays is copied first, into other packs, and made durable, while others go on putting and reading. Then, for a
//! moment, nobody is let in, what is needed is asked once more, and the old packs go. So a kill at any point leaves every
//! needed object somewhere, at worst twice; the next clearing finds that. A pack that another process adds to is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::format::{HEADER, LARGE};
use super::index::{self, Place, QUARANTINE};
use super::{DiskStore, appender::Appender, files, guard, lock};
use crate::digest::Digest;
use crate::store::{Store, StoreError};

/// What a clearing came to, or would come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Objects that go.
    pub objects: u64,
    /// Bytes that come back.
    pub bytes: u64,
    /// Objects that stay.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Bytes that nobody needs and that stay for now, in packs which other processes add to.
    pub busy_bytes: u64,
    /// Objects that were needed and found damaged.
    pub damaged: u64,
}

/// Why nothing was cleared.
#[derive(Debug, thiserror::Error)]
pub enum ClearError<E> {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process is at it.
    #[error("another `amlrun gc` is at work in this store")]
    Busy,
    /// What is needed could not be found out.
    #[error(transparent)]
    Needed(E),
}

/// A pack that this clearing holds the lock of.
struct Old {
    number: u32,
    /// Holds the lock.
    _data: File,
    /// What is to be taken out of it before it goes.
    live: Vec<Digest>,
}

/// What is to go.
#[derive(Default)]
struct Survey {
    old: Vec<Old>,
    large: BTreeMap<Digest, (PathBuf, u64)>,
    quarantine: Vec<PathBuf>,
    twins: Vec<PathBuf>,
    cleared: Cleared,
}

impl DiskStore {
    /// Takes away what `needed` does not name; it is asked twice, the second time while nobody else is in the store, and
    /// must not put anything. With `dry_run` nothing is changed.
    ///
    /// # Errors
    /// Where another process is at it, what is needed cannot be found out, or the store refuses.
    pub fn clear<E>(
        &self,
        dry_run: bool,
        needed: &mut dyn FnMut() -> Result<BTreeSet<Digest>, E>,
    ) -> Result<Cleared, ClearError<E>> {
        if !self.folder.is_dir() {
            return Ok(Cleared::default());
        }
        let _clearer = match guard::clearer(&self.folder) {
            Ok(Some(clearer)) => Some(clearer),
            Ok(None) => return Err(ClearError::Busy),
            Err(_) if dry_run => None,
            Err(why) => return Err(why.into()),
        };
        self.flush()?;
        *lock(&self.appender) = None;
        let first = needed().map_err(ClearError::Needed)?;
        let mut survey = self.survey(&first)?;
        if dry_run {
            return Ok(survey.cleared);
        }
        let going: BTreeSet<u32> = survey.old.iter().map(|old| old.number).collect();
        for digest in survey.old.iter().flat_map(|old| &old.live) {
            survey.cleared.damaged += u64::from(!self.take_out(digest, &going)?);
        }
        self.flush()?;

        let _alone = guard::alone(&self.folder)?;
        let now = needed().map_err(ClearError::Needed)?;
        for digest in now.difference(&first) {
            self.take_out(digest, &going)?;
        }
        self.flush()?;
        self.remove(&survey, &now)?;
        drop(survey.old);
        self.reload()?;
        Ok(survey.cleared)
    }

    /// Sees to it that an object which lies in a pack that goes lies in another one too; false where it is damaged.
    fn take_out(&self, digest: &Digest, going: &BTreeSet<u32>) -> Result<bool, StoreError> {
        let elsewhere: Vec<_> = {
            let places = self.index()?.places(digest);
            if places.is_empty() {
                return Ok(true); // it is large, or was never here
            }
            places.into_iter().filter(|(place, _)| !going.contains(&place.pack)).collect()
        };
        // A copy that is only believed to be right is not enough to let this one go.
        for (place, length) in elsewhere {
            if self.read(place, length).is_ok_and(|bytes| Digest::of(&bytes) == *digest) {
                return Ok(true);
            }
        }
        let Some(bytes) = self.get_small(digest)? else { return Ok(false) };
        self.append(*digest, &bytes, &|_| false)?;
        Ok(true)
    }

    /// Looks at everything that is here, and locks the packs that are to go.
    fn survey(&self, needed: &BTreeSet<Digest>) -> Result<Survey, StoreError> {
        let mut survey = Survey::default();
        let (mut kept, mut gone) = (BTreeMap::new(), BTreeMap::new());
        // All of them are locked before any is looked into, so that nothing is added to one that goes.
        let mut packs = Vec::new();
        for number in index::numbers(&self.folder)? {
            let path = index::data_path(&self.folder, number);
            let opened = OpenOptions::new().read(true).write(true).open(&path).or_else(|_| File::open(&path));
            let data = opened.map_err(StoreError::at("read", &path))?;
            let is_ours = data.try_lock().is_ok();
            packs.push((number, data, is_ours));
        }
        self.reload()?;
        let mut by_pack: BTreeMap<u32, Vec<(Digest, Place, u32)>> = BTreeMap::new();
        for (digest, place, length) in self.index()?.all() {
            by_pack.entry(place.pack).or_default().push((digest, place, length));
        }
        // Objects of packs that stay as they are; what another process adds may not be on disk yet.
        let mut homed: BTreeSet<Digest> = BTreeSet::new();
        for (number, data, is_ours) in packs {
            let path = index::data_path(&self.folder, number);
            let mut entries = by_pack.remove(&number).unwrap_or_default();
            entries.sort_unstable_by_key(|(_, place, _)| *place);
            let length = data.metadata().map_err(StoreError::at("read", &path))?.size();
            let size = |length: u32| u64::from(length) + HEADER as u64;
            let is_live = |digest: &Digest, place: Place, homed: &BTreeSet<Digest>| {
                needed.contains(digest)
                    && !homed.contains(digest)
                    && !self.index().is_ok_and(|index| index.is_masked(digest, place))
            };
            let mut live: BTreeMap<Digest, u32> = BTreeMap::new();
            for (digest, place, length) in &entries {
                if is_live(digest, *place, &homed) {
                    live.insert(*digest, *length);
                    kept.insert(*digest, u64::from(*length));
                } else if !needed.contains(digest) {
                    gone.insert(*digest, u64::from(*length));
                }
            }
            let used: u64 = live.values().map(|length| size(*length)).sum();
            let waste = length.saturating_sub(used);
            if waste == 0 {
                if is_ours {
                    homed.extend(live.into_keys());
                }
            } else if is_ours {
                survey.cleared.bytes += waste;
                // In the order in which they lie there.
                let mut order: Vec<Digest> = Vec::with_capacity(live.len());
                order.extend(entries.iter().map(|(digest, ..)| *digest).filter(|digest| live.remove(digest).is_some()));
                // A second copy goes only where the first one is right: it is looked at like all others.
                order.extend(entries.iter().map(|(digest, ..)| *digest).filter(|digest| homed.contains(digest)));
                survey.old.push(Old { number, _data: data, live: order });
            } else {
                survey.cleared.busy_bytes += waste;
                for (digest, ..) in &entries {
                    gone.remove(digest);
                }
            }
        }
        self.survey_large(needed, &mut survey, &mut kept, &mut gone)?;
        let (twins, bytes) = self.twins.idle(|digest| needed.contains(digest))?;
        survey.twins = twins;
        survey.cleared.bytes += bytes;
        let busy = |name: &str| {
            index::of_masked_name(name).is_some_and(|(_, place)| !survey.old.iter().any(|old| old.number == place.pack))
        };
        let folder = self.folder.join(QUARANTINE);
        let names = index::names(&folder)?.into_iter().filter(|name| !busy(name));
        survey.quarantine = names.map(|name| folder.join(name)).collect();
        survey.cleared.bytes +=
            survey.quarantine.iter().filter_map(|path| fs::metadata(path).ok()).map(|found| found.size()).sum::<u64>();
        survey.cleared.objects = gone.len() as u64;
        survey.cleared.kept = kept.len() as u64;
        survey.cleared.kept_bytes = kept.values().sum();
        Ok(survey)
    }

    fn survey_large(
        &self,
        needed: &BTreeSet<Digest>,
        survey: &mut Survey,
        kept: &mut BTreeMap<Digest, u64>,
        gone: &mut BTreeMap<Digest, u64>,
    ) -> Result<(), StoreError> {
        for (digest, path) in self.large.all()? {
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            if needed.contains(&digest) {
                kept.insert(digest, found.size());
                continue;
            }
            gone.insert(digest, found.size());
            // What an output in the project is linked to takes no room that could come back.
            survey.cleared.bytes += if found.nlink() > 1 { 0 } else { found.size() };
            survey.large.insert(digest, (path, found.size()));
        }
        Ok(())
    }

    /// Takes away what was surveyed. Nobody else is in the store.
    fn remove(&self, survey: &Survey, needed: &BTreeSet<Digest>) -> Result<(), StoreError> {
        if let Some(highest) = survey.old.iter().map(|old| old.number).max() {
            // No number is ever given to another pack: whoever knows of the old one must not mistake the new one for it.
            let mut left: BTreeSet<u32> = index::numbers(&self.folder)?;
            left.retain(|number| !survey.old.iter().any(|old| old.number == *number));
            if left.last().is_none_or(|last| *last < highest) {
                Appender::begin(&self.folder, highest)?;
            }
            guard::advance(&self.folder)?;
        }
        for old in &survey.old {
            // The index first: data without an index is looked through, an index without data would name nothing.
            discard(&index::index_path(&self.folder, old.number))?;
            discard(&index::data_path(&self.folder, old.number))?;
        }
        for (path, _) in survey.large.iter().filter(|(digest, _)| !needed.contains(digest)).map(|(_, found)| found) {
            discard(path)?;
        }
        survey.quarantine.iter().chain(&survey.twins).for_each(|path| files::discard(path));
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(StoreError::at("write", &self.folder))
    }

    /// Every object that is here, once, with its size; damaged ones that are known as such are left out.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn contents(&self) -> Result<BTreeMap<Digest, u64>, StoreError> {
        let mut found = BTreeMap::new();
        {
            let index = self.index()?;
            let sound = index.all().filter(|(digest, place, _)| !index.is_masked(digest, *place));
            found.extend(sound.map(|(digest, _, length)| (digest, u64::from(length))));
        }
        for (digest, path) in self.large.all()? {
            found.insert(digest, fs::symlink_metadata(&path).map_or(LARGE, |found| found.size()));
        }
        Ok(found)
    }
}

/// Removes a file; one that is gone is fine.
fn discard(path: &std::path::Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(StoreError::at("remove", path)(why)),
        _ => Ok(()),
    }
}
