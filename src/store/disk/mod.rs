//! The store of a workspace: objects in a folder.
//!
//! ```text
//! pack-0001.data, pack-0001.index   small objects, many in one file (`format`, `index`, `appender`)
//! large/ab/<digest>                 large ones, each a file (`large`)
//! incoming/                         large ones on their way
//! twins/ab/<digest>                 small ones once more, as files that restored files are hard links to (`twins`)
//! quarantine/                       what was found corrupt
//! ```
//!
//! Loose files are dear where there are many (100,000 of them cost more to create than to hash and write); packs are not.
//! A pack belongs to one process at a time, so there are about as many as there were processes at once. Whoever only reads
//! writes nothing, unless something is corrupt. Nothing is ever removed but what is corrupt, and what `clear` is told that
//! nobody needs; no pack's number is ever used again. What is put to be put on record is put under a `hold`, so that it is
//! not cleared away in between (`guard`).

mod appender;
pub mod clear;
mod copy;
pub(in crate::store) mod files;
mod format;
mod guard;
mod index;
mod large;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_clear;
#[cfg(test)]
mod tests_damage;
mod twins;
pub mod verify;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use appender::{Appender, Unsynced};
use format::{HEADER, LARGE};
use index::{Index, Place, QUARANTINE};
use large::Large;
use twins::Twins;

use super::{Hold, Store, StoreError};
use crate::digest::Digest;

/// So many data files are held open for reading.
const OPEN: usize = 32;

/// Objects in a folder. All methods may be called from several threads, and several processes may use one folder.
#[derive(Debug)]
pub struct DiskStore {
    folder: PathBuf,
    /// Locked after `appender`, where both are.
    index: RwLock<Index>,
    appender: Mutex<Option<Appender>>,
    /// Told when a thread has written what the appender had gathered.
    settled: Condvar,
    readers: Mutex<BTreeMap<u32, Arc<File>>>,
    large: Large,
    twins: Twins,
    /// Packs that are not durable yet and belong to no appender any more.
    retired: Mutex<Vec<Unsynced>>,
    /// The last pack whose name was made durable.
    named: AtomicU32,
    /// One at a time, so that who comes second waits for what the first began.
    flushing: Mutex<()>,
}

thread_local! {
    /// Where small files are read to; at most a little over 1 MiB. Not to be held over anything but a `put`.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DiskStore {
    /// A store in a folder, which is made when the first object is put. Nothing is read or written before it is used.
    pub fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            index: RwLock::default(),
            appender: Mutex::default(),
            settled: Condvar::new(),
            readers: Mutex::default(),
            large: Large::new(folder),
            twins: Twins::new(folder),
            retired: Mutex::default(),
            named: AtomicU32::new(0),
            flushing: Mutex::default(),
        }
    }

    /// The index, read if it was not yet.
    fn index(&self) -> Result<RwLockReadGuard<'_, Index>, StoreError> {
        let read = || self.index.read().unwrap_or_else(PoisonError::into_inner);
        let index = read();
        if index.is_loaded() {
            return Ok(index);
        }
        drop(index);
        let mut index = self.index_mut();
        if !index.is_loaded() {
            index.load(&self.folder, None)?;
        }
        drop(index);
        Ok(read())
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what other processes added; whether there was anything.
    fn refresh(&self) -> Result<bool, StoreError> {
        if self.notice()? {
            return Ok(true);
        }
        let own = lock(&self.appender).as_ref().map(Appender::number);
        self.index_mut().refresh(&self.folder, own)
    }

    /// Reads everything again where packs were taken away since it was read; whether it did.
    fn notice(&self) -> Result<bool, StoreError> {
        let known = self.index()?.generation();
        let is_old = guard::generation(&self.folder) != known;
        if is_old {
            self.reload()?;
        }
        Ok(is_old)
    }

    fn reload(&self) -> Result<(), StoreError> {
        // What is written is read from the files; what is not yet, only this process knows. A full pack is written out.
        let holder = lock(&self.appender);
        let own = holder.as_ref().map(Appender::number);
        lock(&self.readers).clear();
        let loaded = self.index_mut().load(&self.folder, own);
        drop(holder);
        loaded
    }

    fn put_small(&self, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if self.index()?.has(&digest) {
            return Ok(());
        }
        self.append(digest, bytes, &|index| index.has(&digest))
    }

    /// Adds an object to a pack, unless it `is_there`.
    fn append(&self, digest: Digest, bytes: &[u8], is_there: &dyn Fn(&Index) -> bool) -> Result<(), StoreError> {
        let mut holder = lock(&self.appender);
        loop {
            // Another thread may have put it while this one waited.
            if is_there(&*self.index()?) {
                return Ok(());
            }
            let Some(appender) = holder.as_mut() else {
                *holder = Some(Appender::take(&self.folder, &mut self.index_mut())?);
                continue;
            };
            if appender.is_full() {
                holder = self.written(holder);
                if let Some(full) = holder.as_mut().filter(|appender| appender.is_full()) {
                    full.write_out()?;
                    lock(&self.retired).extend(full.handles());
                    *holder = None;
                }
            } else if appender.is_due() {
                let outgoing = appender.take_out();
                drop(holder);
                let written = outgoing.write();
                // It is still the same appender: who replaces it waits until nobody writes.
                holder = lock(&self.appender);
                let settled = holder.as_mut().map_or(Ok(()), |appender| appender.settle(outgoing, written));
                self.settled.notify_all();
                settled?;
            } else if appender.is_stuffed() {
                holder = self.written(holder);
            } else {
                let record = appender.append(digest, bytes, &*self.index()?);
                self.index_mut().add(appender.number(), &[record]);
                return Ok(());
            }
        }
    }

    /// Waits until no thread is writing.
    fn written<'a>(&self, holder: MutexGuard<'a, Option<Appender>>) -> MutexGuard<'a, Option<Appender>> {
        let writing = |holder: &mut Option<Appender>| holder.as_ref().is_some_and(Appender::is_writing);
        self.settled.wait_while(holder, writing).unwrap_or_else(PoisonError::into_inner)
    }

    /// A small object's bytes, verified, from wherever they are right.
    fn get_small(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let places = self.index()?.places(digest);
        for (place, length) in places {
            let bytes = match self.read(place, length) {
                Ok(bytes) => bytes,
                Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => Vec::new(),
                // The pack was taken away; what was needed of it lies in another one.
                Err(why) if why.kind() == io::ErrorKind::NotFound => {
                    self.reload()?;
                    if self.index()?.places(digest).contains(&(place, length)) {
                        continue;
                    }
                    return self.get_small(digest);
                }
                Err(why) if files::is_bad_block(&why) => Vec::new(),
                Err(why) => return Err(StoreError::at("read", &index::data_path(&self.folder, place.pack))(why)),
            };
            if bytes.len() == length as usize && Digest::of(&bytes) == *digest {
                return Ok(Some(bytes));
            }
            self.quarantine(digest, place, &bytes);
        }
        Ok(None)
    }

    fn read(&self, place: Place, length: u32) -> io::Result<Vec<u8>> {
        if let Some(pending) = lock(&self.appender).as_ref().and_then(|appender| appender.pending(place, length)) {
            return Ok(pending.to_vec());
        }
        let known = lock(&self.readers).get(&place.pack).map(Arc::clone);
        let file = if let Some(file) = known {
            file
        } else {
            let file = Arc::new(File::open(index::data_path(&self.folder, place.pack))?);
            let mut readers = lock(&self.readers);
            if readers.len() >= OPEN {
                readers.clear();
            }
            readers.insert(place.pack, Arc::clone(&file));
            file
        };
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, u64::from(place.offset) + HEADER as u64)?;
        Ok(bytes)
    }

    /// Data before index: no record is durable before what it leads to. Then their names, the first time.
    fn sync(&self, unsynced: &Unsynced) -> Result<(), StoreError> {
        let synced = unsynced.data.sync_data().and_then(|()| unsynced.index.sync_data());
        synced.map_err(StoreError::at("write", &index::data_path(&self.folder, unsynced.number)))?;
        if self.named.swap(unsynced.number, Ordering::Relaxed) != unsynced.number {
            let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
            synced.map_err(|why| {
                self.named.store(0, Ordering::Relaxed);
                StoreError::at("write", &self.folder)(why)
            })?;
        }
        Ok(())
    }

    /// Forgets a corrupt object, and keeps its bytes for whoever wants to know. In a store that cannot be written it is
    /// forgotten by this process alone.
    fn quarantine(&self, digest: &Digest, place: Place, bytes: &[u8]) {
        self.index_mut().mask(digest, place);
        let folder = self.folder.join(QUARANTINE);
        if files::make_folder(&folder).is_ok() {
            drop(files::write_new(&folder.join(index::masked_name(digest, place)), bytes, 0o444));
        }
    }
}

impl Store for DiskStore {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        self.put_digested(&digest, bytes)?;
        Ok(digest)
    }

    fn put_digested(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() as u64 > LARGE {
            return self.large.put(digest, bytes).map(drop);
        }
        self.put_small(*digest, bytes)
    }

    fn put_file(&self, path: &Path, known: Option<(Digest, u64)>) -> Result<(Digest, u64), StoreError> {
        if let Some((digest, size)) = known {
            let there = if size > LARGE { self.large.has(&digest) } else { self.index()?.has(&digest) };
            if there {
                return Ok((digest, size));
            }
        }
        let (file, found) = files::open_regular(path)?;
        let mut size = found.len();
        if size <= LARGE {
            let stored = BUFFER.with_borrow_mut(|bytes| match files::read_up_to(&file, size, LARGE, bytes) {
                Ok(Some(filled)) => Ok(Some((self.put(&bytes[..filled])?, filled as u64))),
                Ok(None) => Ok(None),
                Err(why) => Err(StoreError::at("read", path)(why)),
            });
            if let Some(stored) = stored? {
                return Ok(stored);
            }
            // It has grown since.
            io::Seek::rewind(&mut &file).map_err(StoreError::at("read", path))?;
            size = LARGE + 1;
        }
        let stored = self.large.put_file(&file, path, size, LARGE + 1)?;
        stored.or_else(|bytes| self.put(&bytes).map(|digest| (digest, bytes.len() as u64)))
    }

    fn has(&self, digest: &Digest) -> bool {
        let known = || self.index().is_ok_and(|index| index.has(digest));
        known() || self.large.has(digest) || (self.refresh().unwrap_or_default() && known())
    }

    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let mut found = self.get_small(digest)?;
        if found.is_none() {
            found = self.large.get(digest)?;
        }
        if found.is_none() && self.refresh()? {
            found = self.get_small(digest)?;
        }
        Ok(found)
    }

    fn peek(&self, digest: &Digest, length: usize) -> Option<Vec<u8>> {
        let place = self.index().ok()?.places(digest).first().copied();
        let Some((place, whole)) = place else { return self.large.peek(digest, length) };
        self.read(place, whole.min(u32::try_from(length).ok()?)).ok()
    }

    fn write_to(&self, digest: &Digest, to: &Path, executable: bool, link: bool) -> Result<bool, StoreError> {
        let mode = files::mode(executable, link);
        let is_twin = link && !executable;
        if is_twin
            && let Some((_, length)) = self.index()?.places(digest).first().copied()
            && length > 0
            && self.twins.link(digest, length, to)?
        {
            return Ok(true);
        }
        let mut bytes = self.get_small(digest)?;
        if bytes.is_none() {
            if self.large.write_to(digest, to, mode, link)? {
                return Ok(true);
            }
            if self.refresh()? {
                bytes = self.get_small(digest)?;
            }
        }
        let Some(bytes) = bytes else { return Ok(false) };
        files::write_new(to, &bytes, mode)?;
        if is_twin && !bytes.is_empty() {
            self.twins.keep(digest, to);
        }
        Ok(true)
    }

    fn hold(&self) -> Hold {
        let inside = guard::enter(&self.folder);
        // What cannot be read now is heard of when it is used.
        let _ = self.notice();
        Hold::of(inside)
    }

    fn write_out(&self) -> Result<(), StoreError> {
        self.written(lock(&self.appender)).as_mut().map_or(Ok(()), Appender::write_out)
    }

    fn flush(&self) -> Result<(), StoreError> {
        let _one = lock(&self.flushing);
        let mut open = std::mem::take(&mut *lock(&self.retired));
        let mut written = Ok(());
        if let Some(appender) = self.written(lock(&self.appender)).as_mut() {
            written = appender.write_out();
            open.extend(appender.handles());
        }
        if let Err(why) = written.and_then(|()| open.iter().try_for_each(|unsynced| self.sync(unsynced))) {
            lock(&self.retired).append(&mut open);
            return Err(why);
        }
        self.large.flush()
    }
}
