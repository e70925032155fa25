//! What a snapshot takes of a folder: what `sources` asks for, without what is ignored, excluded or an input.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::excluded::{Excluded, Here, joined};
use super::explain::Why;
use super::listing::Listing;
use super::narrow::{Narrow, Said};
use super::probe::Probe;
use super::rules::{Rules, Ruling};
use super::walk::Place;
use super::{Ground, SourceSpec};

/// Names that are never part of a snapshot, in whatever folder.
const NEVER: [&[u8]; 4] = [b".git", b".amlrun", b"Amlfile", b"Amlfile.lock"];

/// What is taken of one folder that is being walked.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    pub(super) narrow: Narrow,
    rules: Rules,
    /// The inputs of the experiment.
    without: Arc<Excluded>,
}

impl Sources {
    /// For a source directory at `disk`, or what is wrong with its globs.
    pub(super) fn new(spec: &SourceSpec, disk: &Path, ground: &Ground) -> Result<Self, String> {
        let mut without = Excluded::default();
        for path in &spec.without {
            without.add(path);
        }
        let is_out = spec.without.iter().any(|path| spec.directory.is_within(path));
        let narrow = if is_out { Narrow::script_only(spec)? } else { Narrow::new(spec)? };
        let rules = if narrow.is_empty() { Rules::none() } else { Rules::new(disk, &ground.root) };
        Ok(Self { narrow, rules, without: Arc::new(without) })
    }

    /// Whether a path of the workspace is never part of this snapshot.
    pub(super) fn excludes(&self, ground: &Ground, path: &[u8]) -> bool {
        path.split(|&b| b == b'/').any(|name| NEVER.contains(&name))
            || ground.excluded.holds(path)
            || self.without.holds(path)
    }

    /// Leaves out of a listing what is not taken; what is taken of each folder in it (and of what a link leads to).
    pub(super) fn select(
        &mut self,
        ground: &Ground,
        place: &Place,
        folder: &OwnedFd,
        listing: &mut Listing,
    ) -> BTreeMap<usize, Self> {
        self.take_rules(ground, place, folder, listing);
        let path = ground.relative(&place.disk);
        let excluded = path.map(|path| (ground.excluded.within(path), self.without.within(path)));
        let excluded = excluded.filter(|(a, b)| !(a.is_empty() && b.is_empty()));
        let mut below = BTreeMap::new();
        for at in 0..listing.len() {
            if !listing.is_taken(at) {
                continue;
            }
            match self.choose(ground, place, excluded.as_ref(), listing, at) {
                Some(Choice::File) => {}
                Some(Choice::Folder(sources)) => {
                    below.insert(at, sources);
                }
                None => listing.leave(at),
            }
        }
        below
    }

    /// What is taken of one entry; none where nothing is.
    fn choose(
        &self,
        ground: &Ground,
        place: &Place,
        excluded: Option<&(Here<'_>, Here<'_>)>,
        listing: &Listing,
        at: usize,
    ) -> Option<Choice> {
        let name = listing.name(at);
        let is_folder = leads_to_folder(place, listing, at);
        let is_out = NEVER.contains(&name) || excluded.is_some_and(|(a, b)| a.has(name) || b.has(name));
        if is_out {
            if is_folder {
                return self.narrow.of_excluded(name).map(|narrow| self.below(narrow, &self.rules));
            }
            return (self.narrow.of_file(name) == Said::Script).then_some(Choice::File);
        }
        // Most names are not asked for where `sources` narrows, and most folders have no rules: no path is built for those.
        let seen = if self.rules.is_empty() { Vec::new() } else { joined(&place.seen, name) };
        let ruling = |is_folder: bool| {
            if self.rules.is_empty() {
                return Ruling { ignored: false, below: Some(self.rules.clone()) };
            }
            self.rules.of(&seen, is_folder)
        };
        let note = |is_folder: bool| {
            if let Some(rule) = self.rules.place(&seen, is_folder) {
                ground.declared(&joined(&place.disk, name), rule);
            }
        };
        if !is_folder {
            let said = self.narrow.of_file(name);
            if said == Said::Nothing {
                return None;
            }
            let is_ignored = ruling(false).ignored;
            if is_ignored && said == Said::Welcome {
                return None;
            }
            if is_ignored {
                note(false);
            }
            return Some(Choice::File);
        }
        let mut verdict = ruling(true);
        if verdict.below.is_some() && listing.kind(at) == FileType::Symlink && ruling(false).ignored {
            verdict = ruling(false);
        }
        let (said, narrow) = self.narrow.of_folder(name, verdict.below.is_none())?;
        if verdict.ignored && said == Said::Named {
            note(true);
        }
        let is_forced = verdict.ignored && said == Said::Named;
        let rules = verdict.below.filter(|_| !is_forced).unwrap_or_else(|| self.rules.clone());
        Some(self.below(narrow, &rules))
    }

    /// Why an entry is taken or left out, and what is taken below it, were it a folder: [`Self::choose`] in words.
    pub(super) fn why(&self, ground: &Ground, place: &Place, listing: &Listing, at: usize) -> (Why, Option<Self>) {
        let name = listing.name(at);
        let excluded =
            ground.relative(&place.disk).map(|path| (ground.excluded.within(path), self.without.within(path)));
        let choice = self.choose(ground, place, excluded.as_ref(), listing, at);
        let (is_folder, seen) = (leads_to_folder(place, listing, at), joined(&place.seen, name));
        let is_ignored = self.rules.of(&seen, is_folder).ignored;
        let rule = self.rules.place(&seen, is_folder);
        let is_asked = |is_ignored| {
            if is_folder {
                self.narrow.of_folder(name, is_ignored).is_some()
            } else {
                self.narrow.of_file(name) != Said::Nothing
            }
        };
        let is_state = ground.relative(&place.disk).is_some_and(|folder| ground.is_state(&joined(folder, name)));
        let out = if is_state || NEVER.contains(&name) {
            Some(Why::Never)
        } else if excluded.as_ref().is_some_and(|(outputs, _)| outputs.has(name)) {
            Some(Why::Output)
        } else if excluded.as_ref().is_some_and(|(_, inputs)| inputs.has(name)) {
            Some(Why::Input)
        } else if choice.is_none() {
            Some(if is_ignored && is_asked(false) {
                Why::Ignored(rule.clone().unwrap_or_default())
            } else {
                Why::Unasked
            })
        } else {
            None
        };
        let said = if is_folder {
            self.narrow.of_folder(name, is_ignored).map_or(Said::Nothing, |(said, _)| said)
        } else {
            self.narrow.of_file(name)
        };
        let why = match (out, said) {
            (_, Said::Script) => Why::Script,
            (Some(out), _) => out,
            (None, Said::Named) => Why::Named(rule.filter(|_| is_ignored)),
            // Entered on the way to something that is taken nevertheless.
            (None, _) if is_folder && is_ignored => Why::Ignored(rule.unwrap_or_default()),
            (None, _) => rule.filter(|_| !is_ignored).map_or(Why::Plain, Why::TakenBack),
        };
        let below = match choice {
            Some(Choice::Folder(below)) => Some(below),
            _ => None,
        };
        (why, below)
    }

    fn below(&self, narrow: Narrow, rules: &Rules) -> Choice {
        Choice::Folder(Self { narrow, rules: rules.clone(), without: self.without.clone() })
    }

    /// Reads the folder's own `.gitignore`.
    pub(super) fn take_rules(&mut self, ground: &Ground, place: &Place, folder: &OwnedFd, listing: &Listing) {
        // A listing of names that were asked for says nothing of it.
        let may_be_there = self.narrow.literal().is_some() || listing.find(b".gitignore").is_some();
        if !self.rules.reads_nested() || !may_be_there {
            return;
        }
        let open = rustix::fs::openat(folder.as_fd(), c".gitignore", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mut text = Vec::new();
        if open.is_ok_and(|file| std::fs::File::from(file).read_to_end(&mut text).is_ok()) {
            let path = joined(&place.disk, b".gitignore");
            let shown = ground.relative(&path).unwrap_or(&path);
            self.rules = self.rules.with(&text, Path::new(OsStr::from_bytes(shown)), &place.seen);
        }
    }
}

enum Choice {
    /// It is taken, whatever it is.
    File,
    /// This is taken of it.
    Folder(Sources),
}

/// Whether an entry is a folder, or a link to one: a link counts as what it leads to, so rules for folders hold for it.
fn leads_to_folder(place: &Place, listing: &Listing, at: usize) -> bool {
    match listing.kind(at) {
        FileType::Directory => true,
        FileType::Symlink => {
            let path = joined(&place.disk, listing.name(at));
            let path = std::ffi::CString::new(path).ok();
            path.and_then(|path| Probe::through(CWD, &path).ok()).is_some_and(|p| p.file_type() == FileType::Directory)
        }
        _ => false,
    }
}
