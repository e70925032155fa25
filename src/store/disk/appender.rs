//! Adds objects to a pack that this process alone holds the lock of.
//!
//! The lock is one on the data file, so it ends with the process; the next one to take the pack first makes good what a
//! killed process, a full disk or a damaged index left.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files;
use super::format::{self, FULL, HEADER, RECORD, Record};
use super::index::{self, Index, Place};
use crate::digest::Digest;
use crate::store::StoreError;

/// So many bytes are gathered before they are written: few enough to stay in a core's cache, and that other threads do not
/// wait long.
const BUFFER: usize = 128 << 10;

/// A pack, locked.
#[derive(Debug)]
pub(super) struct Appender {
    number: u32,
    folder: PathBuf,
    data: Arc<File>,
    index: Arc<File>,
    /// Bytes of the data file.
    written: u64,
    /// Bytes of the index file.
    indexed: u64,
    /// Entries that follow `written`.
    buffer: Vec<u8>,
    /// Records that follow `indexed`.
    records: Vec<u8>,
    /// Something was added since the last [`Self::handles`].
    unsynced: bool,
}

impl Appender {
    /// Takes the first pack that is neither full nor held by another process, or begins a new one. The objects that it
    /// finds in a pack and that its index did not name are added to `known`.
    pub(super) fn take(folder: &Path, known: &mut Index) -> Result<Self, StoreError> {
        files::make_folder(folder)?;
        for number in known.candidates() {
            let Ok(data) = OpenOptions::new().read(true).write(true).open(index::data_path(folder, number)) else {
                continue;
            };
            // A pack that cannot be locked or read is left alone, whatever the reason: a new one will do.
            if data.try_lock().is_ok()
                && let Ok((this, adopted)) = Self::recover(folder, number, data)
            {
                known.add(number, &adopted);
                if this.written < FULL {
                    return Ok(this);
                }
            }
        }
        let mut number = known.last();
        loop {
            number += 1;
            let path = index::data_path(folder, number);
            let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o664).open(&path);
            match made {
                Ok(data) if matches!(data.try_lock(), Err(fs::TryLockError::WouldBlock)) => {}
                Ok(data) => return Self::open(folder, number, data, 0, 0),
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
                Err(why) => return Err(StoreError::at("create", &path)(why)),
            }
        }
    }

    fn open(folder: &Path, number: u32, data: File, written: u64, indexed: u64) -> Result<Self, StoreError> {
        let path = index::index_path(folder, number);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o664).open(&path);
        Ok(Self {
            number,
            folder: folder.to_owned(),
            data: Arc::new(data),
            index: Arc::new(opened.map_err(StoreError::at("write", &path))?),
            written,
            indexed,
            buffer: Vec::new(),
            records: Vec::new(),
            unsynced: false,
        })
    }

    /// Makes a pack whole: objects at the end of the data that the index does not name are taken where they are right, and
    /// cut off where not; a damaged index is written anew.
    fn recover(folder: &Path, number: u32, data: File) -> Result<(Self, Vec<Record>), StoreError> {
        let path = index::data_path(folder, number);
        let fault = || StoreError::at("read", &path);
        let length = data.metadata().map_err(fault())?.size();
        let index_path = index::index_path(folder, number);
        let mut bytes = Vec::new();
        let there = match File::open(&index_path) {
            Ok(mut file) => file.read_to_end(&mut bytes).map(|_| true).map_err(StoreError::at("read", &index_path))?,
            Err(_) => false,
        };
        let (known, right) = format::records(number, &bytes);
        let end = known.iter().map(Record::end).max().unwrap_or_default();
        let whole = right && end <= length && (there || length == 0);

        let mut found = format::scan(&data, if whole { end } else { 0 }, length, true).map_err(fault())?;
        if !whole {
            // Where only a header is damaged, the record still leads to the bytes.
            let seen: BTreeSet<u64> = found.iter().map(|record| record.offset).collect();
            found.extend(known.iter().filter(|record| record.end() <= length && !seen.contains(&record.offset)));
        }
        let end = found.iter().map(Record::end).max().unwrap_or(if whole { end } else { 0 });
        if end < length {
            data.set_len(end).map_err(StoreError::at("write", &path))?;
        }
        if whole {
            let mut this = Self::open(folder, number, data, end, (bytes.len() - bytes.len() % RECORD) as u64)?;
            this.records = found.iter().flat_map(|record| record.encode(number)).collect();
            this.unsynced = !found.is_empty();
            return Ok((this, found));
        }
        let new = index_path.with_extension("index.new");
        files::discard(&new);
        let records: Vec<u8> = found.iter().flat_map(|record| record.encode(number)).collect();
        files::write_new(&new, &records, 0o664)?;
        File::open(&new).and_then(|file| file.sync_data()).map_err(StoreError::at("write", &new))?;
        fs::rename(&new, &index_path).map_err(StoreError::at("write", &index_path))?;
        Ok((Self::open(folder, number, data, end, records.len() as u64)?, found))
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn is_full(&self) -> bool {
        self.written + self.buffer.len() as u64 >= FULL
    }

    /// Adds an object; where the disk is full, nothing is added.
    pub(super) fn append(&mut self, digest: Digest, bytes: &[u8], known: &Index) -> Result<Record, StoreError> {
        if self.buffer.len() >= BUFFER {
            self.write_out()?;
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(BUFFER);
        }
        let mut offset = self.written + self.buffer.len() as u64;
        // Where this very object was once found corrupt, and cut off since, it would count as corrupt again.
        while u32::try_from(offset).is_ok_and(|o| known.is_masked(&digest, Place { pack: self.number, offset: o })) {
            self.buffer.push(0);
            offset += 1;
        }
        let record = Record { digest, offset, length: u32::try_from(bytes.len()).unwrap_or(u32::MAX) };
        self.buffer.extend_from_slice(&record.header());
        self.buffer.extend_from_slice(bytes);
        self.records.extend_from_slice(&record.encode(self.number));
        self.unsynced = true;
        Ok(record)
    }

    /// The bytes of an object that is not written yet; none where it is.
    pub(super) fn pending(&self, place: Place, length: u32) -> Option<&[u8]> {
        let from = u64::from(place.offset).checked_sub(self.written).filter(|_| place.pack == self.number)?;
        let from = usize::try_from(from).ok()? + HEADER;
        self.buffer.get(from..from + length as usize)
    }

    /// Hands everything to the system: the data, then the records that lead to it.
    pub(super) fn write_out(&mut self) -> Result<(), StoreError> {
        if let Err(why) = self.data.write_all_at(&self.buffer, self.written) {
            drop(self.data.set_len(self.written));
            return Err(StoreError::at("write", &index::data_path(&self.folder, self.number))(why));
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if let Err(why) = self.index.write_all_at(&self.records, self.indexed) {
            drop(self.index.set_len(self.indexed));
            return Err(StoreError::at("write", &index::index_path(&self.folder, self.number))(why));
        }
        self.indexed += self.records.len() as u64;
        self.records.clear();
        Ok(())
    }

    /// What is to be made durable; none where nothing was added since the last time.
    pub(super) fn handles(&mut self) -> Option<Unsynced> {
        std::mem::take(&mut self.unsynced).then(|| Unsynced {
            number: self.number,
            data: Arc::clone(&self.data),
            index: Arc::clone(&self.index),
        })
    }
}

/// A pack that was added to.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub(super) number: u32,
    pub(super) data: Arc<File>,
    pub(super) index: Arc<File>,
}

impl Drop for Appender {
    /// What was put is kept if it can be; who needs to know whether it was, calls `flush`.
    fn drop(&mut self) {
        drop(self.write_out());
    }
}
