//! What the engine does with its mail: the facts go to the schedule and the records, the events to the listeners.

use std::time::Duration;

use super::attempt::{Done, Note};
use super::commit::Waiting;
use super::drive::tell_step;
use super::turn::Engine;
use super::workers::{Brought, Mail, Restore};
use super::{commit, recover};
use crate::content::{Content, Kind};
use crate::digest::Digest;
use crate::event::Event;
use crate::history::{Ended, Entry};
use crate::ids::{JobId, RunId};
use crate::launch::Outcome;
use crate::project::model::InputPath;
use crate::relpath::RelPath;
use crate::store::Hold;
use crate::tree::Measured;

impl Engine<'_, '_, '_> {
    pub(super) fn hear(&mut self, mail: Mail) {
        match mail {
            Mail::Note(job, note) => self.note(job, note),
            Mail::Done(job, done) => {
                self.busy -= 1;
                self.done(job, done);
            }
            Mail::Restored(restore, brought) => {
                self.busy -= 1;
                self.restored(&restore, brought);
            }
            Mail::Unblocked(job) => self.unblock(job),
            Mail::Cache(answer) => self.hear_cache(answer),
            Mail::Sweep(on_disk) => self.hear_sweep(on_disk),
            Mail::CommitFailed => self.commit_failed = true,
        }
    }

    fn unblock(&mut self, job: JobId) {
        if self.blocked.remove(&job) {
            // Whoever had the lock may have been killed in the middle of it.
            for fault in recover::clear(self.judge.world, &self.invocation.id) {
                self.teller.warn(Some(job), fault);
            }
            self.judge.forget(job);
            self.schedule.judge_again(job);
        }
    }

    fn note(&mut self, job: JobId, note: Note) {
        match note {
            Note::Line(stream, line) => self.teller.tell(Event::JobOutput { job, stream, line }),
            Note::Drawn(line) => self.teller.tell(Event::JobDrew { job, line }),
            Note::Environment(name, step) => {
                if matches!(step, crate::environment::Step::Started) {
                    self.building.insert(name.clone(), String::new());
                }
                tell_step(self.teller, &name, step);
            }
            Note::Begun(begun, hold) => {
                if let Some(at) = self.judge.surroundings.of[job.0] {
                    let environment = self.judge.surroundings.environments[at].name.clone();
                    if self.building.remove(&environment).is_some() {
                        let key = self.judge.surroundings.keys[at].as_ref().map(|key| key.digest.to_string());
                        let key = key.unwrap_or_default();
                        self.teller.tell(Event::EnvironmentReady { environment, key, built: true });
                    }
                }
                let key = self.judge.surroundings.of[job.0].and_then(|at| self.judge.surroundings.keys[at].clone());
                self.teller.tell(Event::JobStarted { job, run: begun.run.clone(), attempt: begun.attempt });
                self.started.insert(job, self.judge.world.clock.elapsed());
                self.note_begun(job, &begun);
                let entries = self.begin_of_trial(job, begun);
                self.order(entries, key, None, hold);
            }
            Note::Submitting(begun, ticket, waiting, hold) => {
                self.note(job, Note::Begun(begun, hold));
                self.order(vec![Entry::Ticket(ticket)], None, Some(Waiting::Worker(waiting)), Hold::default());
            }
            Note::Attached(begun, place) => {
                self.started.insert(job, self.judge.world.clock.elapsed());
                self.teller.tell(Event::JobAttached { job, run: begun.run.clone(), place });
            }
            Note::Waiting(why) => self.teller.tell(Event::JobWaiting { job, why }),
            Note::Again { ended, attempt, delay, hold } => {
                self.is_over(job, &ended.run);
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                self.teller.tell(Event::JobRetried { job, outcome: ended.outcome.clone(), attempt, delay_ms });
                self.commit(vec![Entry::Ended(ended)], None, hold);
            }
        }
    }

    /// The target may let go of it, once that is on record.
    pub(super) fn is_over(&mut self, job: JobId, run: &RunId) {
        if let Some(target) = self.elsewhere.get(&job) {
            self.over.entry(*target).or_default().push(run.clone());
        }
    }

    pub(super) fn commit(&self, entries: Vec<Entry>, release: Option<Digest>, hold: Hold) {
        let _ = self.post.committer.send(commit::Order { entries, key: None, release, hold, waiting: None });
    }

    pub(super) fn order(
        &self,
        entries: Vec<Entry>,
        key: Option<crate::staleness::Key>,
        waiting: Option<Waiting>,
        hold: Hold,
    ) {
        let _ = self.post.committer.send(commit::Order { entries, key, release: None, hold, waiting });
    }

    fn done(&mut self, job: JobId, done: Done) {
        let digest = self.pending.get(&job).map(|pending| pending.digest);
        if let Some(digest) = &digest {
            self.running.remove(digest);
        }
        match done {
            Done::Moved => self.moved(job, digest),
            Done::Detached { run, place } => {
                if let Some(digest) = digest {
                    self.judge.world.locks.release(&digest);
                }
                self.summary.detached += 1;
                self.schedule.canceled(job);
                self.trial_left(job);
                self.teller.tell(Event::JobDetached { job, run, place });
            }
            Done::Ended { ended, contents, tail, began, hold } => {
                let record = began.then_some(hold);
                self.ended(job, *ended, &contents, tail, record, digest);
            }
        }
        let waiting: Vec<JobId> = self.blocked.iter().copied().collect();
        for other in waiting {
            if let (Some(digest), Some(pending)) = (&digest, self.pending.get(&other))
                && pending.digest == *digest
            {
                self.unblock(other);
            }
        }
    }

    pub(super) fn moved(&mut self, job: JobId, digest: Option<Digest>) {
        if let Some(digest) = digest {
            self.judge.world.locks.release(&digest);
        }
        if self.is_trial(job) {
            return self.trial_moved(job);
        }
        let times = self.moves.entry(job).or_default();
        *times += 1;
        if *times > 10 {
            self.fail_before_start(job, "its sources or inputs go on changing".to_owned());
        } else {
            self.schedule.judge_again(job);
        }
    }

    fn ended(
        &mut self,
        job: JobId,
        ended: Ended,
        contents: &[(RelPath, Content)],
        tail: Vec<String>,
        record: Option<Hold>,
        digest: Option<Digest>,
    ) {
        let outcome = ended.outcome.clone();
        let run = ended.run.clone();
        for note in &ended.notes {
            self.teller.warn(Some(job), note.clone());
        }
        let since = self.started.get(&job).copied();
        let elapsed = since.map_or(Duration::ZERO, |since| self.judge.world.clock.elapsed().saturating_sub(since));
        let log = self.judge.world.state.join("runs").join(&run.0).join("user_logs").join("std_log.txt");
        let log = log.strip_prefix(self.judge.world.root).map_or_else(|_| log.clone(), std::path::Path::to_owned);
        self.teller.tell(Event::JobFinished {
            job,
            run: run.clone(),
            outcome: outcome.clone(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            log: log.display().to_string(),
            tail: if outcome == Outcome::Succeeded { Vec::new() } else { tail },
        });
        if self.is_trial(job) {
            return self.trial_ended(job, ended, record, digest);
        }
        self.settle(job, contents);
        self.share(job, &ended);
        if let Some(hold) = record {
            self.is_over(job, &run);
            self.commit(vec![Entry::Ended(Box::new(ended))], digest, hold);
        } else if let Some(digest) = digest {
            self.judge.world.locks.release(&digest);
        }
        match outcome {
            Outcome::Succeeded => {
                self.summary.ran += 1;
                self.dirty.insert(job);
                self.runs.insert(job, run);
                self.schedule.done(job);
            }
            Outcome::Canceled => self.schedule.canceled(job),
            _ => {
                self.summary.failed += 1;
                self.schedule.failed(job);
            }
        }
    }

    /// What a run or a restore left in the project is what the jobs that need it will see. What cannot be looked at is not
    /// there for them.
    pub(super) fn settle(&mut self, job: JobId, contents: &[(RelPath, Content)]) {
        let world = self.judge.world;
        for (path, content) in contents {
            let place = InputPath::Inside(path.clone());
            // Where a job depends on it, it is read once more: a process that the run left behind may have written to it after
            // it was collected, and what depends on it must be judged by what lies there.
            let is_needed = self.judge.work.plan.needed_by.get(job.0).is_some_and(|needy| !needy.is_empty());
            if !is_needed && matches!(content.kind, Kind::File | Kind::Executable) {
                let stamp = world.ground.stamp(path.as_path()).ok().flatten().unwrap_or_default();
                let measured = Measured { content: *content, stamp, files: 1 };
                self.judge.found.paths.insert(place, Some(measured));
            } else if let Err(error) = self.judge.found.look_again(world, std::slice::from_ref(&place)) {
                self.judge.found.paths.insert(place, None);
                self.teller.warn(Some(job), error.to_string());
            }
        }
    }

    fn restored(&mut self, restore: &Restore, brought: Brought) {
        let job = restore.job;
        let Some(brought) = self.sweep_restored(restore, brought) else { return };
        match brought {
            Brought::Back(aside) => {
                let contents: Vec<(RelPath, Content)> = restore
                    .outputs
                    .iter()
                    .filter_map(|output| Some((output.path.clone(), output.content()?)))
                    .collect();
                self.settle(job, &contents);
                self.dirty.insert(job);
                self.summary.restored += 1;
                let outputs = restore.outputs.iter().map(|output| output.path.clone()).collect();
                self.teller.tell(Event::JobRestored { job, run: restore.run.clone(), outputs, aside });
                self.runs.insert(job, restore.run.clone());
                self.schedule.done(job);
            }
            Brought::Lost(path) => {
                let then = if self.line.is_some() { "the cache is asked for it" } else { "the job runs again" };
                let message = format!("the stored `{path}` is damaged or gone: it was set aside, {then}");
                self.teller.warn(Some(job), message);
                self.lost.insert(job);
                self.moves.entry(job).or_default();
                self.schedule.judge_again(job);
            }
            Brought::Failed(why) => self.fail_before_start(job, why),
        }
    }

    /// A job that fails without having begun.
    pub(super) fn fail_before_start(&mut self, job: JobId, why: String) {
        if self.is_trial(job) {
            return self.trial_cannot_begin(job, why);
        }
        self.teller.tell(Event::JobFinished {
            job,
            run: RunId(String::new()),
            outcome: Outcome::Broken { why },
            elapsed_ms: 0,
            log: String::new(),
            tail: Vec::new(),
        });
        self.summary.failed += 1;
        self.schedule.failed(job);
    }
}
