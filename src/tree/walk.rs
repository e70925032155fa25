//! One walk: tasks for the crew, and the way of results from files up to what was asked for.
//!
//! A folder is finished by whoever finishes the last of its parts; its node is digested there and handed to the folder
//! above. So no thread waits for another, no recursion is as deep as the tree, and no more is held in memory than the
//! folders between the root and those at work.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::crew::Crew;
use super::link::Base;
use super::pending::Pending;
use super::probe::{self, Probe};
use super::read::Large;
use super::sources::Sources;
use super::top::Group;
use super::{Folder, Ground, Measured, TreeError, Watch};
use crate::content::{Content, Entry, Kind, Node};
use crate::digest::Digest;
use crate::digest::buffer::Buffer;
use crate::relpath::RelPath;

/// Something for a thread to do.
pub(super) enum Task {
    /// Read a folder and begin on it.
    Folder(FolderTask),
    /// Go on with part of a folder.
    Part(Arc<Pending>, Arc<OwnedFd>, std::ops::Range<usize>),
    /// Help with a large file.
    Pieces(Arc<Large>, FileUp),
    /// Look at paths that were asked for.
    Group(Arc<Group>, std::ops::Range<usize>),
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) names: Vec<u8>,
    pub(super) bytes: Buffer,
    node: Vec<u8>,
}

/// Where a folder lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// What was asked for.
    pub(super) slot: usize,
    /// Its path on disk, absolute.
    pub(super) disk: Vec<u8>,
    /// Its path from the measured root.
    pub(super) seen: Vec<u8>,
    /// The real tree that it is part of.
    pub(super) base: Arc<Base>,
}

/// A folder to be read.
pub(super) struct FolderTask {
    pub(super) place: Place,
    pub(super) up: Up,
    pub(super) sources: Option<Sources>,
    pub(super) attempt: u8,
}

/// Where a result goes.
#[derive(Clone)]
pub(super) enum Up {
    /// To whoever asked; with the stamp of the path itself.
    Top(usize, Probe),
    /// Into a folder, as the entry of this number.
    Entry(Arc<Pending>, usize),
}

/// Where a file's digest goes.
#[derive(Clone)]
pub(super) enum FileUp {
    /// Into its folder, cache row and all.
    Entry(Arc<Pending>, usize),
    /// Elsewhere: it was asked for by its path, or a link leads to it.
    Away { up: Up, slot: usize, folder: Vec<u8>, name: Vec<u8> },
}

/// An entry's content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) files: u64,
}

impl Row {
    pub(super) fn of_file(digest: Digest, probe: &Probe) -> Self {
        let kind = if probe.is_executable() { Kind::Executable } else { Kind::File };
        Self { kind, digest, size: probe.size, files: 1 }
    }

    pub(super) fn of_link(text: &[u8]) -> Self {
        Self { kind: Kind::Link, digest: Digest::of(text), size: text.len() as u64, files: 1 }
    }

    fn measured(&self, probe: Probe) -> Measured {
        let content = Content { kind: self.kind, digest: self.digest, size: self.size };
        Measured { content, stamp: probe.into(), files: self.files }
    }
}

/// One walk.
pub(super) struct Walk<'a> {
    pub(super) ground: &'a Ground,
    pub(super) watch: &'a dyn Watch,
    /// When it began: what changed since is not settled.
    pub(super) now: i64,
    tops: Mutex<Vec<Option<Measured>>>,
    faults: Mutex<BTreeMap<usize, TreeError>>,
    folders: Option<Mutex<Vec<Folder>>>,
    files: AtomicU64,
    bytes: AtomicU64,
}

/// Files and bytes after which progress is told.
const TELL: (u64, u64) = (256, 8 << 20);

impl<'a> Walk<'a> {
    pub(super) fn new(ground: &'a Ground, watch: &'a dyn Watch, tops: usize, lists: bool) -> Self {
        Self {
            ground,
            watch,
            now: probe::now(),
            tops: Mutex::new(vec![None; tops]),
            faults: Mutex::default(),
            folders: lists.then(Mutex::default),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Carries tasks out to the end. Whatever was asked for has a result then; none where nothing was there.
    pub(super) fn run(self, tasks: Vec<Task>) -> (Vec<Result<Option<Measured>, TreeError>>, Vec<Folder>) {
        let hands = || self.ground.hands();
        Crew::run(&hands, tasks, |task, crew, scratch: &mut Scratch| match task {
            // What is left is let go of, so that the crew comes to its end.
            _ if self.watch.is_over() => {}
            Task::Folder(task) => self.folder(task, crew, scratch),
            Task::Part(pending, folder, range) => self.part(&pending, &folder, range, crew, scratch),
            Task::Pieces(large, up) => self.pieces(large, up, crew, scratch),
            Task::Group(group, range) => self.group(&group, range, crew, scratch),
        });
        self.tell();
        let is_over = self.watch.is_over();
        let given_up = || TreeError { doing: "measure", path: self.ground.root.clone(), why: "interrupted".to_owned() };
        let mut faults = self.faults.into_inner().unwrap_or_else(PoisonError::into_inner);
        let tops = self.tops.into_inner().unwrap_or_else(PoisonError::into_inner);
        let tops = tops.into_iter().enumerate().map(|(slot, top)| faults.remove(&slot).map_or(Ok(top), Err));
        let tops = tops.map(|top| if is_over { Err(given_up()) } else { top }).collect();
        let folders = self.folders.map(|folders| folders.into_inner().unwrap_or_else(PoisonError::into_inner));
        let mut folders = folders.unwrap_or_default();
        folders.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        (tops, folders)
    }

    /// Counts for progress.
    pub(super) fn saw(&self, files: u64, bytes: u64) {
        let files = self.files.fetch_add(files, Ordering::Relaxed) + files;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if files >= TELL.0 || bytes >= TELL.1 {
            self.tell();
        }
    }

    fn tell(&self) {
        let (files, bytes) = (self.files.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed));
        if files > 0 || bytes > 0 {
            self.watch.saw(files, bytes);
        }
    }

    /// Records why something could not be measured. Of several reasons that of the first path is told, so that the same
    /// fault is told each time.
    pub(super) fn fault(&self, slot: usize, doing: &'static str, disk: Vec<u8>, why: impl std::fmt::Display) {
        let path = PathBuf::from(OsString::from_vec(disk));
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.get(&slot).is_none_or(|known| path < known.path) {
            faults.insert(slot, TreeError { doing, path, why: why.to_string() });
        }
    }

    /// Hands a result on; what is finished by it is finished.
    pub(super) fn deliver(&self, up: Up, row: Option<Row>, crew: &Crew<'_, Task>, scratch: &mut Scratch) {
        match up {
            Up::Top(slot, probe) => self.set_top(slot, row, probe),
            Up::Entry(pending, at) => {
                pending.found().rows[at] = row;
                self.finish(pending, crew, scratch);
            }
        }
    }

    fn set_top(&self, slot: usize, row: Option<Row>, probe: Probe) {
        self.tops.lock().unwrap_or_else(PoisonError::into_inner)[slot] = row.map(|row| row.measured(probe));
    }

    /// Sets several results at once.
    pub(super) fn set_tops(&self, results: &[(usize, Row, Probe)]) {
        let mut tops = self.tops.lock().unwrap_or_else(PoisonError::into_inner);
        for (slot, row, probe) in results {
            tops[*slot] = Some(row.measured(*probe));
        }
    }

    /// Tells that something listed is gone: the folder it was listed in is read again, once.
    pub(super) fn vanished(&self, up: Up, slot: usize, disk: Vec<u8>, crew: &Crew<'_, Task>, scratch: &mut Scratch) {
        match &up {
            Up::Top(..) => self.fault(slot, "read", disk, "it vanished while it was read"),
            Up::Entry(pending, _) => pending.lose(self, disk),
        }
        self.deliver(up, None, crew, scratch);
    }

    /// Finishes one part of a folder; with the last one the folder, and so on upwards.
    pub(super) fn finish(&self, mut pending: Arc<Pending>, crew: &Crew<'_, Task>, scratch: &mut Scratch) {
        while pending.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            if pending.vanished.load(Ordering::Acquire) && pending.attempt == 0 {
                crew.push([Task::Folder(pending.again())]);
                return;
            }
            let (row, is_changed) = self.conclude(&pending, scratch);
            match pending.up.clone() {
                Up::Top(slot, probe) => return self.set_top(slot, Some(row), probe),
                Up::Entry(above, at) => {
                    // Git knows no empty folders: with one counted, a clone would have another key.
                    if is_changed {
                        above.is_changed.store(true, Ordering::Relaxed);
                    }
                    let is_pruned = pending.sources.is_some() && row.files == 0;
                    above.found().rows[at] = (!is_pruned).then_some(row);
                    pending = above;
                }
            }
        }
    }

    /// A folder's content, when all its parts are finished, and whether it is another than the cache knows.
    fn conclude(&self, pending: &Pending, scratch: &mut Scratch) -> (Row, bool) {
        let mut found = std::mem::take(&mut *pending.found());
        let (mut size, mut files) = (0, 0);
        let mut node = Node::new(std::mem::take(&mut scratch.node));
        for (at, row) in found.rows.iter().enumerate() {
            if let Some(row) = row {
                node.push(pending.listing.name(at), row.kind, &row.digest, row.size);
                size += row.size;
                files += row.files;
            }
        }
        let digest = node.digest();
        scratch.node = node.into_bytes();
        let is_changed = pending.is_changed();
        if is_changed && pending.sources.is_none() && self.folders.is_none() {
            self.ground.remember_node(digest, &scratch.node);
        }
        pending.learn(self, &mut found.fresh);
        let is_top = matches!(pending.up, Up::Top(..));
        if let Some(folders) = &self.folders
            && (files > 0 || is_top || pending.sources.is_none())
        {
            let entries = found.rows.iter().enumerate().filter_map(|(at, row)| {
                let Row { kind, digest, size, .. } = (*row)?;
                Some(Entry { name: pending.listing.name(at).to_vec(), kind, digest, size })
            });
            let path = RelPath::new(OsStr::from_bytes(&pending.place.seen)).unwrap_or_default();
            let folder = Folder { path, entries: entries.collect() };
            folders.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        }
        (Row { kind: Kind::Folder, digest, size, files }, is_changed)
    }
}
