//! Symlinks. A link within the measured tree is what its text says, since what it leads to counts by itself. One that leads
//! out of the tree counts as the file or folder it leads to, since a script reads through it; so does one by an absolute
//! path, which would make the key depend on where the project lies. A link that leads nowhere, to a device, to a folder that
//! holds it or to what is never part of a snapshot is its text.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{CWD, FileType};
use rustix::io::Errno;

use super::excluded::joined;
use super::pending::Pending;
use super::probe::Probe;
use super::read;
use super::walk::{FileUp, FolderTask, Place, Row, Scratch, Task, Up, Walk};

/// How often links may lead out of trees that links led into.
const DEPTH: usize = 16;

/// A tree of real folders: what was asked for, or what a link leads to.
#[derive(Debug)]
pub(super) struct Base {
    disk: Vec<u8>,
    real: OnceLock<Option<PathBuf>>,
    /// The tree that the link is in, and the real folder that it lies in.
    above: Option<(Arc<Base>, PathBuf)>,
    depth: usize,
}

impl Base {
    /// What was asked for.
    pub(super) fn new(disk: &[u8]) -> Arc<Self> {
        Arc::new(Self { disk: disk.to_owned(), real: OnceLock::new(), above: None, depth: 0 })
    }

    /// Without symlinks on the way; none where it cannot be told.
    fn real(&self) -> Option<&Path> {
        self.real.get_or_init(|| Path::new(OsStr::from_bytes(&self.disk)).canonicalize().ok()).as_deref()
    }

    /// The way from here to a folder of this tree.
    fn way<'a>(&self, disk: &'a [u8]) -> &'a [u8] {
        let way = disk.get(self.disk.len()..).unwrap_or_default();
        way.strip_prefix(b"/").unwrap_or(way)
    }

    /// Whether a real folder is being walked at this moment: it is `here` or above it, or above a link that led here.
    fn is_on_the_way(&self, target: &Path, here: &Path) -> bool {
        here.starts_with(target) || self.above.as_ref().is_some_and(|(above, link)| above.is_on_the_way(target, link))
    }
}

/// Where a link leads.
pub(super) enum Leads {
    /// To be taken as its text.
    Text(Row),
    /// To a file or folder that counts in its place.
    To(PathBuf, Probe),
    /// It is gone.
    Vanished,
    /// The system refused.
    Refused(Errno),
}

impl Walk<'_> {
    /// Where an entry leads that is a link.
    pub(super) fn leads(&self, pending: &Pending, folder: &OwnedFd, at: usize) -> Leads {
        let text = match rustix::fs::readlinkat(folder, pending.listing.c_name(at), Vec::new()) {
            Ok(text) => text,
            Err(Errno::NOENT | Errno::INVAL) => return Leads::Vanished,
            Err(errno) => return Leads::Refused(errno),
        };
        let text = text.as_bytes();
        let as_text = Leads::Text(Row::of_link(text));
        let base = &pending.place.base;
        let (Ok(target), Some(real)) =
            (PathBuf::from(OsStr::from_bytes(&pending.disk(at))).canonicalize(), base.real())
        else {
            return as_text;
        };
        let way = base.way(&pending.place.disk);
        if target.starts_with(real) && stays_within(text, way) {
            return as_text;
        }
        let here = if way.is_empty() { real.to_owned() } else { real.join(OsStr::from_bytes(way)) };
        if base.is_on_the_way(&target, &here) || self.is_out_of_bounds(pending, &target) {
            return as_text;
        }
        let Ok(name) = CString::new(target.as_os_str().as_bytes()) else { return as_text };
        match Probe::of(CWD, &name) {
            Ok(probe) if matches!(probe.file_type(), FileType::RegularFile | FileType::Directory) => {
                Leads::To(target, probe)
            }
            _ => as_text,
        }
    }

    /// Whether what lies there is never part of this tree.
    fn is_out_of_bounds(&self, pending: &Pending, target: &Path) -> bool {
        let Some(path) = self.ground.relative(target.as_os_str().as_bytes()) else { return false };
        match &pending.sources {
            Some(sources) => sources.excludes(self.ground, path),
            None => self.ground.is_state(path),
        }
    }

    /// Follows a link, as one part of its folder.
    pub(super) fn follow(
        &self,
        pending: &Arc<Pending>,
        at: usize,
        target: &Path,
        probe: &Probe,
        scratch: &mut Scratch,
    ) -> Followed {
        let (place, disk) = (&pending.place, target.as_os_str().as_bytes());
        if probe.file_type() == FileType::Directory {
            if place.base.depth >= DEPTH {
                let why = format!("links that lead out of the tree are nested more than {DEPTH} deep here");
                self.fault(place.slot, "follow", pending.disk(at), why);
                return Followed::Nothing;
            }
            let here = place.base.real().map(|real| real.join(OsStr::from_bytes(place.base.way(&place.disk))));
            let base = Base {
                disk: disk.to_owned(),
                real: OnceLock::from(Some(target.to_owned())),
                above: Some((place.base.clone(), here.unwrap_or_default())),
                depth: place.base.depth + 1,
            };
            let seen = joined(&place.seen, pending.listing.name(at));
            return Followed::Task(Task::Folder(FolderTask {
                place: Place { slot: place.slot, disk: disk.to_owned(), seen, base: Arc::new(base) },
                up: Up::Entry(pending.clone(), at),
                sources: pending.below.get(&at).cloned(),
                attempt: 0,
            }));
        }
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else { return Followed::Nothing };
        let (folder, name) = (folder.as_os_str().as_bytes(), name.as_bytes());
        if let Some(digest) = self.trusted(folder, name, probe) {
            return Followed::Row(Row::of_file(digest, probe));
        }
        let Ok(path) = CString::new(disk) else { return Followed::Nothing };
        let up = FileUp::Away {
            up: Up::Entry(pending.clone(), at),
            slot: place.slot,
            folder: folder.to_owned(),
            name: name.to_owned(),
        };
        Followed::Read(read::digest(CWD.as_fd(), &path, &mut scratch.bytes), up)
    }
}

/// What following a link takes.
pub(super) enum Followed {
    /// Nothing more.
    Row(Row),
    /// A walk; it finishes a part.
    Task(Task),
    /// What came of reading the file; it finishes a part.
    Read(read::Outcome, FileUp),
    /// It could not be followed.
    Nothing,
}

/// Whether a link's text, read in a folder `way` below the root, names nothing above the root on its way.
fn stays_within(text: &[u8], way: &[u8]) -> bool {
    let names = |path: &[u8]| path.split(|&b| b == b'/').filter(|name| !name.is_empty()).count();
    if text.starts_with(b"/") {
        return false;
    }
    let mut depth = names(way);
    for name in text.split(|&b| b == b'/') {
        match name {
            b"" | b"." => {}
            b".." if depth == 0 => return false,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_within_the_tree_or_climbs_out() {
        let check = |text: &str, way: &str, stays: bool| {
            assert_eq!(stays_within(text.as_bytes(), way.as_bytes()), stays, "{text} in {way}");
        };
        check("a", "", true);
        check("../a", "", false);
        check("../a", "sub", true);
        check("./../../a", "sub", false);
        check("x/../../a", "", false);
        check("a/..", "", true);
        check("/a", "sub", false);
    }
}
