//! Reading one folder: its names, then the stamps of its files against the cache, and the bytes of those that changed.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::cache::Known;
use super::crew::Crew;
use super::excluded::joined;
use super::link::{Followed, Leads};
use super::listing::Listing;
use super::pending::{Found, Pending};
use super::probe::Probe;
use super::read::{self, Outcome};
use super::walk::{FileUp, FolderTask, Place, Row, Scratch, Task, Up, Walk};
use crate::digest::Digest;

/// Units of work (about a microsecond each) after which a folder is split, should another thread have nothing to do.
const SPLIT: usize = 250;
/// What reading a file costs, beside its bytes.
const READING: usize = 8;

/// What one thread finds in its part of a folder.
#[derive(Default)]
struct Part {
    rows: Vec<(usize, Row)>,
    fresh: Vec<(usize, Known)>,
    tasks: Vec<Task>,
    /// Files whose reading finishes a part of its own.
    reads: Vec<(Outcome, FileUp)>,
    kept: usize,
    units: usize,
    bytes: u64,
}

impl Walk<'_> {
    /// Reads a folder and begins on what is in it.
    pub(super) fn folder(&self, task: FolderTask, crew: &Crew<'_, Task>, scratch: &mut Scratch) {
        let FolderTask { place, up, mut sources, attempt } = task;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(place.disk.as_slice(), flags, Mode::empty());
        let read = open.and_then(|folder| {
            let literal = sources.as_ref().and_then(|sources| sources.narrow.literal().map(Listing::of_names));
            let is_partial = literal.is_some();
            let mut listing = literal.map_or_else(|| Listing::read(folder.as_fd(), &mut scratch.names), Ok)?;
            resolve(&mut listing, &folder, is_partial)?;
            Ok((folder, listing, is_partial))
        });
        let (folder, mut listing, is_partial) = match read {
            Ok(read) => read,
            Err(Errno::NOENT | Errno::NOTDIR) => return self.vanished(up, place.slot, place.disk, crew, scratch),
            Err(errno) => {
                self.fault(place.slot, "read", place.disk, errno);
                return self.deliver(up, None, crew, scratch);
            }
        };
        let below = if let Some(sources) = &mut sources {
            sources.select(self.ground, &place, &folder, &mut listing)
        } else {
            self.ground.leave_state(&place.disk, &mut listing);
            BTreeMap::new()
        };
        let length = listing.len();
        let pending = Arc::new(Pending {
            old: self.ground.cache.section(self.ground.key(&place.disk)),
            place,
            up,
            sources,
            attempt,
            listing,
            is_partial,
            below,
            left: AtomicUsize::new(1),
            vanished: AtomicBool::new(false),
            is_changed: AtomicBool::new(false),
            kept: AtomicUsize::new(0),
            found: Mutex::new(Found { rows: vec![None; length], fresh: Vec::new() }),
        });
        crew.worked(5);
        self.part(&pending, &Arc::new(folder), 0..length, crew, scratch);
    }

    /// Goes on with some entries of a folder.
    pub(super) fn part(
        &self,
        pending: &Arc<Pending>,
        folder: &Arc<OwnedFd>,
        range: std::ops::Range<usize>,
        crew: &Crew<'_, Task>,
        scratch: &mut Scratch,
    ) {
        let mut part = Part::default();
        let mut row = match &pending.old {
            Some(old) if range.start > 0 => old.lower_bound(pending.listing.name(range.start)),
            _ => 0,
        };
        let mut last = 0;
        for at in range.clone() {
            if part.units - last >= SPLIT {
                crew.worked(part.units - last);
                last = part.units;
                if range.end - at >= 2 && crew.is_hungry() {
                    let middle = at + (range.end - at) / 2;
                    part.tasks.push(Task::Part(pending.clone(), folder.clone(), middle..range.end));
                    part.tasks.push(Task::Part(pending.clone(), folder.clone(), at..middle));
                    break;
                }
            }
            if pending.listing.is_taken(at) {
                self.entry(pending, folder, at, &mut row, &mut part, scratch);
            }
        }
        crew.worked(part.units - last);
        self.saw(part.rows.len() as u64, part.bytes);
        pending.left.fetch_add(part.tasks.len() + part.reads.len(), Ordering::AcqRel);
        pending.kept.fetch_add(part.kept, Ordering::Relaxed);
        let mut found = pending.found();
        part.rows.iter().for_each(|(at, row)| found.rows[*at] = Some(*row));
        found.fresh.append(&mut part.fresh);
        drop(found);
        crew.push(part.tasks);
        for (outcome, up) in part.reads {
            self.read(outcome, up, 0, crew, scratch);
        }
        self.finish(pending.clone(), crew, scratch);
    }

    /// Looks at one entry.
    fn entry(
        &self,
        pending: &Arc<Pending>,
        folder: &OwnedFd,
        at: usize,
        row: &mut usize,
        part: &mut Part,
        scratch: &mut Scratch,
    ) {
        part.units += 1;
        let (place, name) = (&pending.place, pending.listing.name(at));
        match pending.listing.kind(at) {
            FileType::RegularFile => self.file(pending, folder, at, row, part, scratch),
            FileType::Directory => part.tasks.push(Task::Folder(FolderTask {
                place: Place {
                    slot: place.slot,
                    disk: joined(&place.disk, name),
                    seen: joined(&place.seen, name),
                    base: place.base.clone(),
                },
                up: Up::Entry(pending.clone(), at),
                sources: pending.below.get(&at).cloned(),
                attempt: 0,
            })),
            FileType::Symlink => match self.leads(pending, folder, at) {
                Leads::Text(row) => part.rows.push((at, row)),
                Leads::Vanished => pending.lose(self, pending.disk(at)),
                Leads::Refused(errno) => self.fault(place.slot, "read", pending.disk(at), errno),
                Leads::To(target, probe) => match self.follow(pending, at, &target, &probe, scratch) {
                    Followed::Row(row) => part.rows.push((at, row)),
                    Followed::Task(task) => part.tasks.push(task),
                    Followed::Read(outcome, up) => part.reads.push((outcome, up)),
                    Followed::Nothing => {}
                },
            },
            kind => self.fault(place.slot, "take", pending.disk(at), special(kind)),
        }
    }

    /// Looks at one file, and reads it where the cache does not know it.
    fn file(
        &self,
        pending: &Arc<Pending>,
        folder: &OwnedFd,
        at: usize,
        row: &mut usize,
        part: &mut Part,
        scratch: &mut Scratch,
    ) {
        let name = pending.listing.c_name(at);
        if let Some(old) = &pending.old
            && let Some(met) = old.seek(row, name.to_bytes())
        {
            part.kept += 1;
            let known = old.known(met);
            match Probe::of(folder.as_fd(), name) {
                Ok(probe) if probe == known.probe && probe.is_settled(self.now) => {
                    return part.rows.push((at, Row::of_file(known.digest, &probe)));
                }
                // What it is now shows when it is opened.
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return self.fault(pending.place.slot, "read", pending.disk(at), errno),
            }
        }
        part.units += READING;
        pending.is_changed.store(true, Ordering::Relaxed);
        match read::digest(folder.as_fd(), name, &mut scratch.bytes) {
            Outcome::Read(digest, probe) => {
                part.units += usize::try_from(probe.size >> 12).unwrap_or(0);
                part.bytes += probe.size;
                part.rows.push((at, Row::of_file(digest, &probe)));
                if pending.sources.is_some()
                    && let Some(bytes) = read::bytes(&probe, &scratch.bytes)
                {
                    self.watch.at_hand(&digest, bytes);
                }
                if self.is_worth_keeping(&probe, &pending.place.disk, name.to_bytes()) {
                    part.fresh.push((at, Known { probe, digest }));
                }
            }
            Outcome::Vanished => pending.lose(self, pending.disk(at)),
            Outcome::Refused(errno) => self.fault(pending.place.slot, "read", pending.disk(at), errno),
            outcome => part.reads.push((outcome, FileUp::Entry(pending.clone(), at))),
        }
    }

    /// A file's digest, where the cache knows the file by this stamp.
    pub(super) fn trusted(&self, folder: &[u8], name: &[u8], probe: &Probe) -> Option<Digest> {
        let known = self.ground.cache.row(self.ground.key(folder), name)?;
        (known.probe == *probe && probe.is_settled(self.now)).then_some(known.digest)
    }
}

/// Finds out what the entries are that the folder did not tell; of names that were asked for, some may not be there.
fn resolve(listing: &mut Listing, folder: &OwnedFd, is_partial: bool) -> Result<(), Errno> {
    for at in 0..listing.len() {
        if listing.kind(at) == FileType::Unknown {
            match Probe::of(folder.as_fd(), listing.c_name(at)) {
                Ok(probe) => listing.set_kind(at, probe.file_type()),
                Err(Errno::NOENT) if is_partial => listing.leave(at),
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}

/// Why a thing that is neither a file, a folder nor a link is not taken.
pub(super) fn special(kind: FileType) -> String {
    let name = match kind {
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "neither a file nor a folder",
    };
    format!("it is {name}, which has no content to compare; move it elsewhere, or ignore it")
}
