//! A run elsewhere while it goes on: its output is told as it comes, a trial is ended there when its policy says so.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Stop, There, wait};
use crate::engine::attempt::{self, Note};
use crate::engine::sweeping::follow::series_of;
use crate::engine::{aside, variables};
use crate::event::Stream;
use crate::ids::RunId;
use crate::launch::{Outcome, Usage};
use crate::relpath::RelPath;
use crate::target::log::{Follower, Log};
use crate::target::mask::Mask;
use crate::target::remote::{Offsets, State};
use crate::target::{CancelState, Report};
use crate::tracking::Folder;

/// The pauses between two looks at a run: short while it is young, longer as it goes on.
const LOOKS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// The pause after it wrote something.
const TALKING: Duration = Duration::from_millis(50);

/// Where what is followed of a run is put, as it grows.
pub(in crate::engine) fn followed(scratch: &Path, run: &RunId) -> PathBuf {
    scratch.join(&run.0).with_extension("followed")
}

impl There<'_> {
    /// Follows the run to its end, and its output to the last byte.
    pub(super) fn follow(&mut self) -> Result<(Outcome, Usage, Vec<String>), Stop> {
        let world = self.bench.world;
        let run = self.begun.run.clone();
        let record = world.state.join("runs").join(&run.0);
        let path = record.join("user_logs").join("std_log.txt");
        let secrets: Vec<String> = variables::secrets(world, self.job).into_values().collect();
        let mut from = Offsets { followed: self.to_follow(), ..Offsets::default() };
        let mut is_asked_to_end = false;
        // What was heard before is not told again. A log that secrets were cut out of has another length than the one there:
        // it is taken anew.
        if secrets.is_empty() {
            from.log = std::fs::metadata(&path).map_or(0, |found| found.len());
        } else {
            let _ = std::fs::remove_file(&path);
        }
        let mut log = Log::new(&path, Mask::new(&secrets));
        let logs = self.folder.join(self.job.source_directory.as_path()).join("logs");
        let mut follower = Follower::new(&logs, &secrets);
        let mut tail = std::collections::VecDeque::new();
        let mut pause = LOOKS.0;
        let mut queued = String::new();
        loop {
            let remote = self.remote;
            let look = self.patiently(true, &mut |_| remote.look(&run, &from))?;
            let quiet = look.log.is_empty() && look.files.is_empty() && look.followed.is_empty();
            from.log += look.log.len() as u64;
            for (name, bytes) in look.files {
                *from.files.entry(name.clone()).or_default() += bytes.len() as u64;
                append(&logs.join(name.as_path()), &bytes).map_err(Stop::Failed)?;
            }
            for (path, bytes) in look.followed {
                *from.followed.entry(path.clone()).or_default() += bytes.len() as u64;
                if let Some(scratch) = &self.task.follow {
                    // For this user alone: nothing is cut out of it yet.
                    let folder = followed(scratch, &run);
                    let _ = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
                    append(&folder.join(path.as_path()), &bytes).map_err(Stop::Failed)?;
                }
            }
            let tell = &mut *self.tell;
            let mut mail = |report: Report| match report {
                Report::Line(stream, line) => {
                    let line = at_home(line, &run, world.root);
                    if stream == Stream::Output {
                        if tail.len() == attempt::TAIL {
                            tail.pop_front();
                        }
                        tail.push_back(line.clone());
                    }
                    tell(Note::Line(stream, line));
                }
                Report::Drawn(line) => tell(Note::Drawn(line)),
            };
            log.add(&look.log, &mut mail);
            follower.look(false, &mut mail);
            match look.state {
                State::Ended(outcome, usage) if quiet => {
                    log.end(&mut mail);
                    follower.look(true, &mut mail);
                    return Ok((outcome, usage, tail.into()));
                }
                State::Gone(why) if quiet => {
                    return Ok((
                        Outcome::Broken { why: format!("the run is lost: {why}") },
                        Usage::default(),
                        tail.into(),
                    ));
                }
                State::Ended(..) | State::Gone(_) => continue,
                State::Queued(why) if why != queued => {
                    queued.clone_from(&why);
                    (self.tell)(Note::Waiting(why));
                }
                State::Queued(_) | State::Running => {}
                State::Absent => {
                    return Err(Stop::Failed(format!("{}: the run is not there any more", remote.place())));
                }
            }
            if self.bench.cancel.state() != CancelState::Run {
                return Err(Stop::Detached);
            }
            if !is_asked_to_end && self.task.stop.why().is_some() {
                is_asked_to_end = true;
                self.patiently(true, &mut |_| remote.end(&run, false))?;
            }
            if quiet {
                wait(self.bench, pause);
                pause = (pause * 5 / 4).min(LOOKS.1);
            } else {
                pause = TALKING * 2;
                wait(self.bench, TALKING);
            }
        }
    }

    /// What is followed while the run goes on: of a trial the metric files that grow, and what is logged.
    fn to_follow(&self) -> BTreeMap<RelPath, u64> {
        if self.task.follow.is_none() {
            return BTreeMap::new();
        }
        let log = aside::folder().and_then(|folder| RelPath::new(Folder::at(folder.as_path().to_owned()).log()).ok());
        series_of(self.job).map(|(path, _)| path.clone()).chain(log).map(|path| (path, 0)).collect()
    }
}

/// The run directory there stands for the workspace here: whoever follows a path shall find the file.
fn at_home(line: String, run: &RunId, root: &Path) -> String {
    let mark = format!("/runs/{run}/root");
    let Some(at) = line.find(&mark) else { return line };
    let (before, after) = (line.get(..at).unwrap_or_default(), line.get(at + mark.len()..).unwrap_or_default());
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | '=' | ':' | ',');
    let kept = before
        .rfind(ends)
        .map_or(0, |at| at + before.get(at..).and_then(|s| s.chars().next()).map_or(1, char::len_utf8));
    format!("{}{}{after}", before.get(..kept).unwrap_or_default(), root.display())
}

fn append(path: &Path, bytes: &[u8]) -> Result<(), String> {
    use std::io::Write as _;
    let write = || {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::File::options().create(true).append(true).open(path)?.write_all(bytes)
    };
    write().map_err(|error| format!("could not write {}: {error}", path.display()))
}
