//! What comes of reading a file, on its way to where it was asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cache::Known;
use super::crew::Crew;
use super::excluded::joined;
use super::probe::Probe;
use super::read::{self, Large, Outcome};
use super::walk::{FileUp, Row, Scratch, Task, Up, Walk};
use crate::digest::Digest;

impl Walk<'_> {
    /// Hashes pieces of a large file, and with the last hand hands its digest on.
    pub(super) fn pieces(&self, large: Arc<Large>, up: FileUp, crew: &Crew<'_, Task>, scratch: &mut Scratch) {
        large.work(&mut scratch.bytes, |bytes| {
            self.saw(0, bytes);
            !self.watch.is_over()
        });
        if large.hands.fetch_sub(1, Ordering::AcqRel) == 1 {
            let (outcome, tries) = large.finish();
            self.read(outcome, up, tries, crew, scratch);
        }
    }

    /// Takes what came of reading a file.
    pub(super) fn read(
        &self,
        outcome: Outcome,
        up: FileUp,
        tries: usize,
        crew: &Crew<'_, Task>,
        scratch: &mut Scratch,
    ) {
        match outcome {
            Outcome::Large(file, probe) if probe.size < read::LARGE => {
                let outcome = read::small(&file, probe, &mut scratch.bytes);
                self.read(outcome, up, tries, crew, scratch);
            }
            Outcome::Large(file, probe) => {
                crew.worked(usize::try_from(probe.size >> 12).unwrap_or(usize::MAX >> 1));
                let hands = crew.hands();
                let large = Arc::new(Large::new(file, probe, hands, tries));
                crew.push((0..hands).map(|_| Task::Pieces(large.clone(), up.clone())));
            }
            Outcome::Read(digest, probe) => self.file_done(up, digest, probe, crew, scratch),
            Outcome::Vanished => match up {
                FileUp::Entry(pending, at) => {
                    let disk = pending.disk(at);
                    self.vanished(Up::Entry(pending, at), 0, disk, crew, scratch);
                }
                FileUp::Away { up, slot, folder, name } => {
                    self.vanished(up, slot, joined(&folder, &name), crew, scratch);
                }
            },
            Outcome::Refused(errno) => self.file_failed(up, &errno, crew, scratch),
            Outcome::Restless => {
                self.file_failed(up, &"it kept changing while it was read; is something writing it?", crew, scratch);
            }
        }
    }

    fn file_done(&self, up: FileUp, digest: Digest, probe: Probe, crew: &Crew<'_, Task>, scratch: &mut Scratch) {
        let row = Row::of_file(digest, &probe);
        match up {
            FileUp::Entry(pending, at) => {
                let is_settled = self.is_worth_keeping(&probe, &pending.place.disk, pending.listing.name(at));
                let mut found = pending.found();
                if is_settled {
                    found.fresh.push((at, Known { probe, digest }));
                }
                found.rows[at] = Some(row);
                drop(found);
                self.finish(pending, crew, scratch);
            }
            FileUp::Away { up, folder, name, .. } => {
                if self.is_worth_keeping(&probe, &folder, &name) {
                    self.ground.cache.learn_row(self.ground.key(&folder), &name, Some(Known { probe, digest }));
                }
                let up = match up {
                    // The stamp of what was read, not of what was looked at before.
                    Up::Top(slot, _) => Up::Top(slot, probe),
                    entry @ Up::Entry(..) => entry,
                };
                self.deliver(up, Some(row), crew, scratch);
            }
        }
    }

    fn file_failed(&self, up: FileUp, why: &dyn std::fmt::Display, crew: &Crew<'_, Task>, scratch: &mut Scratch) {
        match up {
            FileUp::Entry(pending, at) => {
                self.fault(pending.place.slot, "read", pending.disk(at), why);
                self.finish(pending, crew, scratch);
            }
            FileUp::Away { up, slot, folder, name } => {
                self.fault(slot, "read", joined(&folder, &name), why);
                self.deliver(up, None, crew, scratch);
            }
        }
    }

    /// Whether a file's stamp proves something from now on. A file that was changed just now is looked at again when the
    /// cache is saved; one from the future is told.
    pub(super) fn is_worth_keeping(&self, probe: &Probe, folder: &[u8], name: &[u8]) -> bool {
        if probe.is_settled(self.now) {
            return self.ground.keeps(folder);
        }
        self.ground.unsettled(probe, folder, name);
        false
    }
}
