//! What is in a snapshot and what is not, and why: each entry with the line of the ignore file that decided.
//!
//! Called by `cli` for `snapshot ls --explain`. What is in is what the walk itself takes, digest for digest; this only adds
//! the reasons and what was left out, so it cannot say another thing than a run does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::excluded::joined;
use super::link::Base;
use super::listing::Listing;
use super::probe::Probe;
use super::sources::Sources;
use super::walk::Place;
use super::{Ground, Measured, SourceSpec, TreeError, Watch, What};
use crate::digest::Digest;
use crate::relpath::RelPath;

/// Why an entry is in a snapshot, or is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// In: nothing keeps it out.
    Plain,
    /// In: it is the script.
    Script,
    /// In: `sources` names it; and the place of the rule that ignores it, if one does.
    Named(Option<String>),
    /// In: a rule takes it back; its place, as in `.gitignore:3`.
    TakenBack(String),
    /// Out: a rule ignores it; its place.
    Ignored(String),
    /// Out: never part of a snapshot, whatever the rules say.
    Never,
    /// Out: a job of the project declares it as an output.
    Output,
    /// Out: it is a declared input of the experiment.
    Input,
    /// Out: `sources` does not ask for it.
    Unasked,
    /// Out: a folder in which nothing is taken.
    Empty,
}

impl Why {
    /// Whether it is in.
    #[must_use]
    pub fn is_in(&self) -> bool {
        matches!(self, Self::Plain | Self::Script | Self::Named(_) | Self::TakenBack(_))
    }
}

/// One entry of a source directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Relative to the source directory.
    pub path: RelPath,
    /// Whether it is a folder. One that is out stands for all below it.
    pub folder: bool,
    /// Bytes: of the file, or of all files below that are taken (of a folder that is out: of all files below).
    pub size: u64,
    /// Its content, where it is in.
    pub digest: Option<Digest>,
    /// Why.
    pub why: Why,
}

/// A source directory, explained.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The snapshot.
    pub measured: Measured,
    /// All entries, by path; of a folder that is out only itself.
    pub entries: Vec<Explained>,
}

/// What the walk through the reasons finds: by path whether it is a folder, its size where it is out, and why.
type Reasons = BTreeMap<Vec<u8>, (bool, u64, Why)>;

impl Ground {
    /// Measures a source directory and explains it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn explain(&self, spec: &SourceSpec, watch: &dyn Watch) -> Result<Explanation, TreeError> {
        let (measured, folders) = self.folders(What::Sources(spec), watch)?;
        let disk = self.root.join(spec.directory.as_path());
        let sources =
            Sources::new(spec, &disk, self).map_err(|why| TreeError { doing: "walk", path: disk.clone(), why })?;
        let disk = disk.as_os_str().as_bytes();
        let place = Place { slot: 0, disk: disk.to_owned(), seen: Vec::new(), base: Base::new(disk) };
        let mut reasons = Reasons::new();
        self.reasons(place, sources, &mut reasons);
        let mut entries = Vec::new();
        for folder in folders {
            for entry in folder.entries {
                let path = folder.path.join(OsStr::from_bytes(&entry.name));
                // What a link leads to is taken with it, and has no reason of its own.
                let why = reasons.remove(path.as_bytes()).map(|(_, _, why)| why).filter(Why::is_in);
                entries.push(Explained {
                    path,
                    folder: entry.kind == crate::content::Kind::Folder,
                    size: entry.size,
                    digest: Some(entry.digest),
                    why: why.unwrap_or(Why::Plain),
                });
            }
        }
        for (path, (folder, size, why)) in reasons {
            let why = if why.is_in() { Why::Empty } else { why };
            // A file that was taken a moment ago and is not any more has moved.
            if let (Ok(path), true) = (RelPath::new(OsStr::from_bytes(&path)), folder || why != Why::Empty) {
                entries.push(Explained { path, folder, size, digest: None, why });
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Explanation { measured, entries })
    }

    /// Walks the folders that the rules let in; what cannot be read has no reasons.
    fn reasons(&self, place: Place, sources: Sources, found: &mut Reasons) {
        let mut open = vec![(place, sources, None)];
        let mut buffer = Vec::new();
        while let Some((place, mut sources, ignored)) = open.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let Ok(folder) = rustix::fs::open(place.disk.as_slice(), flags, Mode::empty()) else { continue };
            let Ok(mut listing) = Listing::read(folder.as_fd(), &mut buffer) else { continue };
            for at in 0..listing.len() {
                if listing.kind(at) == FileType::Unknown
                    && let Ok(probe) = Probe::of(folder.as_fd(), listing.c_name(at))
                {
                    listing.set_kind(at, probe.file_type());
                }
            }
            sources.take_rules(self, &place, &folder, &listing);
            for at in 0..listing.len() {
                let (mut why, below) = sources.why(self, &place, &listing, at);
                if let (Why::Unasked, Some(rule)) = (&why, &ignored) {
                    why = Why::Ignored(String::clone(rule));
                }
                let is_folder = listing.kind(at) == FileType::Directory;
                let disk = joined(&place.disk, listing.name(at));
                let seen = joined(&place.seen, listing.name(at));
                let size = if why.is_in() { 0 } else { size_of(Path::new(OsStr::from_bytes(&disk))) };
                if let (Some(below), true) = (below, is_folder) {
                    let place = Place { slot: 0, disk, seen: seen.clone(), base: place.base.clone() };
                    let rule = if let Why::Ignored(rule) = &why { Some(rule.clone()) } else { None };
                    open.push((place, below, rule));
                    if !why.is_in() {
                        continue; // it is the way to something that is taken nevertheless
                    }
                }
                found.insert(seen, (is_folder, size, why));
            }
        }
    }
}

/// Bytes of a file, or of all files below a folder, as far as they can be looked at. Links are not followed.
fn size_of(path: &Path) -> u64 {
    let (mut total, mut open) = (0, vec![path.to_owned()]);
    while let Some(path) = open.pop() {
        let Ok(found) = path.symlink_metadata() else { continue };
        if found.is_dir() {
            open.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            total += found.len();
        }
    }
    total
}
