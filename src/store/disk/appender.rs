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

/// So many bytes are gathered before they are written: few enough to stay in a core's cache.
const BUFFER: usize = 256 << 10;
/// So many may be gathered while those before them are being written.
const STUFFED: usize = 8 * BUFFER;

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
    /// What a thread is writing just now, from `written` and `indexed` on.
    out: Option<Arc<Chunk>>,
    /// What follows it.
    gathered: Chunk,
    /// Something was added since the last [`Self::handles`].
    unsynced: bool,
}

/// Entries, and the records that lead to them.
#[derive(Debug, Default)]
struct Chunk {
    data: Vec<u8>,
    records: Vec<u8>,
}

/// A chunk on its way to the files; it is written without a lock on the appender.
#[derive(Debug)]
pub(super) struct Outgoing {
    chunk: Arc<Chunk>,
    data: Arc<File>,
    index: Arc<File>,
    written: u64,
    indexed: u64,
}

/// Which of the two files could not be written.
#[derive(Debug)]
pub(super) enum Refused {
    Data(io::Error),
    Index(io::Error),
}

impl Outgoing {
    /// Hands the chunk to the system: the data, then the records that lead to it.
    pub(super) fn write(&self) -> Result<(), Refused> {
        self.data.write_all_at(&self.chunk.data, self.written).map_err(Refused::Data)?;
        self.index.write_all_at(&self.chunk.records, self.indexed).map_err(Refused::Index)
    }
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
                // Or taken away between its opening and its locking.
                && data.metadata().is_ok_and(|found| found.nlink() > 0)
                && let Ok((this, adopted)) = Self::recover(folder, number, data)
            {
                known.add(number, &adopted);
                if this.written < FULL {
                    return Ok(this);
                }
            }
        }
        Self::begin(folder, known.last())
    }

    /// Begins a pack of a higher number.
    pub(super) fn begin(folder: &Path, above: u32) -> Result<Self, StoreError> {
        // Not only above what is known: no number of a pack that was taken away is used again.
        let mut number = above.max(index::numbers(folder)?.last().copied().unwrap_or_default());
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
            out: None,
            gathered: Chunk::default(),
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
            this.gathered.records = found.iter().flat_map(|record| record.encode(number)).collect();
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

    /// The length of the data once all is written.
    fn end(&self) -> u64 {
        self.written + (self.out.as_ref().map_or(0, |out| out.data.len()) + self.gathered.data.len()) as u64
    }

    pub(super) fn is_full(&self) -> bool {
        self.end() >= FULL
    }

    /// Whether enough is gathered to be written, and no thread is writing.
    pub(super) fn is_due(&self) -> bool {
        self.gathered.data.len() >= BUFFER && self.out.is_none()
    }

    pub(super) fn is_writing(&self) -> bool {
        self.out.is_some()
    }

    /// Whether so much is gathered that more has to wait for the thread that is writing.
    pub(super) fn is_stuffed(&self) -> bool {
        self.gathered.data.len() >= STUFFED && self.out.is_some()
    }

    /// Adds an object.
    pub(super) fn append(&mut self, digest: Digest, bytes: &[u8], known: &Index) -> Record {
        let mut offset = self.end();
        let gathered = &mut self.gathered;
        if gathered.data.capacity() == 0 {
            gathered.data.reserve(BUFFER + (64 << 10));
        }
        // Where this very object was once found corrupt, and cut off since, it would count as corrupt again.
        while u32::try_from(offset).is_ok_and(|o| known.is_masked(&digest, Place { pack: self.number, offset: o })) {
            gathered.data.push(0);
            offset += 1;
        }
        let record = Record { digest, offset, length: u32::try_from(bytes.len()).unwrap_or(u32::MAX) };
        gathered.data.extend_from_slice(&record.header());
        gathered.data.extend_from_slice(bytes);
        gathered.records.extend_from_slice(&record.encode(self.number));
        self.unsynced = true;
        record
    }

    /// The bytes of an object that is not written yet; none where it is.
    pub(super) fn pending(&self, place: Place, length: u32) -> Option<&[u8]> {
        let from = u64::from(place.offset).checked_sub(self.written).filter(|_| place.pack == self.number)?;
        let from = usize::try_from(from).ok()? + HEADER;
        let out = self.out.as_ref().map_or(&[][..], |out| &out.data);
        let (chunk, from) = match from.checked_sub(out.len()) {
            Some(from) => (self.gathered.data.as_slice(), from),
            None => (out, from),
        };
        chunk.get(from..from + length as usize)
    }

    /// Begins to write what is gathered. [`Self::settle`] must follow before the next.
    pub(super) fn take_out(&mut self) -> Outgoing {
        let chunk = Arc::new(std::mem::take(&mut self.gathered));
        self.out = Some(Arc::clone(&chunk));
        let (data, index) = (Arc::clone(&self.data), Arc::clone(&self.index));
        Outgoing { chunk, data, index, written: self.written, indexed: self.indexed }
    }

    /// Takes note of what was written. What was not is kept for the next time.
    pub(super) fn settle(&mut self, outgoing: Outgoing, written: Result<(), Refused>) -> Result<(), StoreError> {
        self.out = None;
        let Outgoing { chunk, .. } = outgoing;
        let (length, records) = (chunk.data.len() as u64, chunk.records.len() as u64);
        match written {
            Ok(()) => {
                self.written += length;
                self.indexed += records;
                // The memory serves again, where nothing was gathered in another meanwhile.
                if let (Ok(mut chunk), true) = (Arc::try_unwrap(chunk), self.gathered.data.capacity() == 0) {
                    chunk.data.clear();
                    chunk.records.clear();
                    self.gathered = chunk;
                }
                Ok(())
            }
            Err(Refused::Data(why)) => {
                drop(self.data.set_len(self.written));
                self.gathered.data.splice(..0, chunk.data.iter().copied());
                self.gathered.records.splice(..0, chunk.records.iter().copied());
                Err(StoreError::at("write", &index::data_path(&self.folder, self.number))(why))
            }
            Err(Refused::Index(why)) => {
                self.written += length;
                drop(self.index.set_len(self.indexed));
                self.gathered.records.splice(..0, chunk.records.iter().copied());
                Err(StoreError::at("write", &index::index_path(&self.folder, self.number))(why))
            }
        }
    }

    /// Writes all that is gathered. No thread may be writing.
    pub(super) fn write_out(&mut self) -> Result<(), StoreError> {
        let outgoing = self.take_out();
        let written = outgoing.write();
        self.settle(outgoing, written)
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
