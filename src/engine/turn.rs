//! The engine's loop: asks the schedule for orders, has them carried out, tells it the facts, and tells the listeners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use super::commit;
use super::interrupt::Interrupt;
use super::judging::{Judge, Lacking};
use super::sharing::line::Line;
use super::sweeping::Sweeps;
use super::telling::Teller;
use super::workers::{Mail, Order};
use super::{EngineError, Options};
use crate::digest::Digest;
use crate::event::{Event, Summary};
use crate::history::Invocation;
use crate::ids::{JobId, RunId};
use crate::plan::job::Role;
use crate::project::model::InputPath;
use crate::schedule::{Schedule, State};
use crate::staleness::{Fingerprint, Reason, Verdict};
use crate::target::watchdog::Watchdog;
use crate::tree::Measured;

/// How often the listeners are told that time goes by.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// The engine's addresses and its own post.
pub struct Post {
    /// To the workers.
    pub orders: Sender<Order>,
    /// To itself.
    pub mailbox: SyncSender<Mail>,
    /// What it hears.
    pub post: Receiver<Mail>,
    /// To the committer.
    pub committer: commit::Address,
}

impl Post {
    /// Tells the engine that records cannot be written.
    pub fn commit_failed(mailbox: &SyncSender<Mail>) {
        let _ = mailbox.send(Mail::CommitFailed);
    }
}

/// A job between its verdict and its end.
pub(super) struct Pending {
    pub(super) fingerprint: Fingerprint,
    pub(super) digest: Digest,
    pub(super) reasons: Vec<Reason>,
}

/// The engine at work.
pub struct Engine<'e, 't, 'l> {
    pub(super) judge: Judge<'e>,
    pub(super) schedule: Schedule,
    pub(super) options: &'e Options,
    pub(super) invocation: &'e Invocation,
    pub(super) teller: &'e mut Teller<'t, 'l>,
    pub(super) post: Post,
    pub(super) watchdog: Option<Watchdog>,
    pub(super) begun: bool,
    pub(super) workers: usize,
    pub(super) busy: usize,
    pub(super) pending: BTreeMap<JobId, Pending>,
    pub(super) runs: BTreeMap<JobId, RunId>,
    pub(super) started: BTreeMap<JobId, Duration>,
    pub(super) running: BTreeSet<Digest>,
    pub(super) blocked: BTreeSet<JobId>,
    pub(super) dirty: BTreeSet<JobId>,
    pub(super) elsewhere: BTreeMap<JobId, usize>,
    /// Runs elsewhere that are over, by their targets.
    pub(super) over: BTreeMap<usize, Vec<RunId>>,
    pub(super) lost: BTreeSet<JobId>,
    pub(super) moves: BTreeMap<JobId, u32>,
    pub(super) building: BTreeMap<String, String>,
    /// Snapshots whose weight was told.
    pub(super) weighed: BTreeSet<usize>,
    pub(super) commit_failed: bool,
    /// The line to the shared cache; none where there is none.
    pub(super) line: Option<Line<'e>>,
    /// The sweeps that go on, and their trials.
    pub(super) sweeps: Sweeps<'e>,
    stopped: bool,
    pub(super) broken: bool,
    ticked: Duration,
    pub(super) summary: Summary,
}

/// What came of it all.
pub struct Finished {
    /// The counts.
    pub summary: Summary,
    /// What was found of a plan of which nothing ran.
    pub settled: Vec<(InputPath, Option<Measured>)>,
    /// Runs elsewhere that are over, by their targets.
    pub over: BTreeMap<usize, Vec<RunId>>,
}

/// What the loop starts when it needs it first.
pub(super) type Starter<'s> = &'s mut dyn FnMut();

impl<'e, 't, 'l> Engine<'e, 't, 'l> {
    /// An engine that has done nothing yet.
    pub fn new(
        mut judge: Judge<'e>,
        schedule: Schedule,
        options: &'e Options,
        invocation: &'e Invocation,
        teller: &'e mut Teller<'t, 'l>,
        post: Post,
    ) -> Self {
        judge.resume = options.resume;
        Self {
            judge,
            schedule,
            options,
            invocation,
            teller,
            post,
            watchdog: None,
            begun: false,
            workers: 0,
            busy: 0,
            pending: BTreeMap::new(),
            runs: BTreeMap::new(),
            started: BTreeMap::new(),
            running: BTreeSet::new(),
            blocked: BTreeSet::new(),
            dirty: BTreeSet::new(),
            elsewhere: BTreeMap::new(),
            over: BTreeMap::new(),
            lost: BTreeSet::new(),
            moves: BTreeMap::new(),
            building: BTreeMap::new(),
            weighed: BTreeSet::new(),
            commit_failed: false,
            line: None,
            sweeps: Sweeps::default(),
            stopped: false,
            broken: false,
            ticked: Duration::ZERO,
            summary: Summary::default(),
        }
    }

    /// Goes on until every job is settled. After an error nothing new begins, but what runs is heard to its end and put on
    /// record: hours of work are not thrown away because something else could not be read.
    ///
    /// # Errors
    /// Where the history cannot be read.
    pub fn run(
        &mut self,
        interrupt: &Interrupt,
        worker: Starter<'_>,
        committer: Starter<'_>,
    ) -> Result<(), EngineError> {
        let mut result = Ok(());
        loop {
            match self.turn(interrupt, worker, committer) {
                Ok(true) => return result,
                Ok(false) => {}
                Err(error) => {
                    self.broken = true;
                    result = result.and(Err(error));
                }
            }
        }
    }

    /// One round; tells whether everything is settled.
    fn turn(
        &mut self,
        interrupt: &Interrupt,
        worker: Starter<'_>,
        committer: Starter<'_>,
    ) -> Result<bool, EngineError> {
        if !self.stopped && (interrupt.asked() || self.commit_failed || self.broken) {
            self.stopped = true;
            if interrupt.asked() {
                self.judge.world.environments.halt();
            }
            self.schedule.stop();
            for job in std::mem::take(&mut self.blocked) {
                self.schedule.canceled(job);
            }
        }
        self.cut_short(interrupt);
        let mut progress = self.take_arrived(committer);
        progress |= self.sweep_on(worker)?;
        while let Some(job) = self.schedule.next_to_judge() {
            progress = true;
            self.judge_job(job, worker, committer)?;
        }
        while let Some((job, gpus)) = self.schedule.next_to_start() {
            progress = true;
            self.start(job, gpus, worker, committer)?;
        }
        for (job, because, needed) in self.schedule.take_skipped() {
            if self.is_trial(job) {
                continue;
            }
            self.summary.skipped += 1;
            let because = self.judge.work.job(because).name.clone();
            self.teller.tell(Event::JobSkipped { job, because, needed });
        }
        if self.busy == 0 && (self.broken || self.schedule.settled()) {
            return Ok(true);
        }
        if progress {
            return Ok(false);
        }
        match self.post.post.recv_timeout(TICK) {
            Ok(mail) => self.hear(mail),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(true),
        }
        // What has arrived meanwhile is heard before the next look at the schedule, but not without end.
        for _ in 0..256 {
            let Ok(mail) = self.post.post.try_recv() else { break };
            self.hear(mail);
        }
        let now = self.judge.world.clock.elapsed();
        if now.saturating_sub(self.ticked) >= TICK {
            self.ticked = now;
            self.follow_trials();
            self.tell_cache();
            self.teller.tick();
        }
        Ok(false)
    }

    /// The counts, and what was found of a plan of which nothing ran.
    pub fn finish(mut self) -> Finished {
        let canceled = |job: &usize| self.schedule.state(JobId(*job)) == State::Canceled;
        self.summary.canceled =
            (0..self.judge.work.plan.jobs.len()).filter(canceled).count().saturating_sub(self.summary.detached);
        let settled = if self.begun { Vec::new() } else { self.judge.found.paths.into_iter().collect() };
        Finished { summary: self.summary, settled, over: self.over }
    }

    fn judge_job(&mut self, job: JobId, worker: Starter<'_>, committer: Starter<'_>) -> Result<(), EngineError> {
        if let Err(error) = self.refresh(job) {
            self.fail_before_start(job, error.to_string());
            return Ok(());
        }
        let fingerprint = match self.judge.fingerprint(job) {
            Ok(fingerprint) => fingerprint,
            Err(Lacking::Broken(why)) => {
                self.fail_before_start(job, why);
                return Ok(());
            }
            Err(lacking) => {
                let why = self
                    .judge
                    .lacking(job, &lacking)
                    .iter()
                    .map(super::task::describe_lacking)
                    .collect::<Vec<_>>()
                    .join("; ");
                self.fail_before_start(job, why);
                return Ok(());
            }
        };
        let digest = fingerprint.digest();
        let mut verdict = self.judge.judge(job, &fingerprint)?;
        if self.lost.contains(&job)
            && let Verdict::Fresh { repairs, .. } = &verdict
        {
            let lost = repairs.iter().map(|repair| Reason::OutputLost { path: repair.path.clone() }).collect();
            verdict = Verdict::Stale { reasons: lost };
        }
        if self.ask_cache(job, digest, &verdict) {
            return Ok(());
        }
        self.teller.tell(Event::JobJudged { job, verdict: verdict.clone() });
        match verdict {
            Verdict::Fresh { since, .. } if self.is_trial(job) => self.trial_is_fresh(job, &since)?,
            Verdict::Fresh { since, repairs } if repairs.is_empty() => {
                self.runs.insert(job, since);
                self.summary.fresh += 1;
                self.schedule.done(job);
            }
            Verdict::Fresh { since, repairs } => self.restore(job, since, &repairs, worker),
            Verdict::Stale { reasons } | Verdict::MayRun { reasons }
                if self.judge.work.job(job).role == Role::Sweep =>
            {
                self.begin_sweep(job, fingerprint, reasons, committer)?;
            }
            Verdict::Stale { reasons } | Verdict::MayRun { reasons } => {
                self.pending.insert(job, Pending { fingerprint, digest, reasons });
                self.schedule.stale(job);
            }
        }
        Ok(())
    }

    /// Looks again at what may have changed since everything was measured: what its needs made, and what another
    /// invocation did.
    fn refresh(&mut self, job: JobId) -> Result<(), EngineError> {
        if self.is_trial(job) {
            return Ok(()); // it runs from what its sweep was judged by
        }
        let plan = self.judge.work.plan;
        let mut again: Vec<InputPath> = Vec::new();
        let changed = |need: &JobId| self.dirty.contains(need);
        for input in plan.jobs[job.0].inputs.iter().filter(|input| input.from.iter().any(changed)) {
            let whole = |output: &crate::plan::job::Output| InputPath::Inside(output.path.clone()) == input.path;
            let exact = input.from.iter().any(|from| plan.jobs[from.0].outputs.iter().any(whole));
            if !exact {
                again.push(input.path.clone());
            }
        }
        if self.moves.contains_key(&job) {
            again.extend(plan.jobs[job.0].inputs.iter().map(|input| input.path.clone()));
            again.extend(plan.jobs[job.0].outputs.iter().map(|output| InputPath::Inside(output.path.clone())));
            if let Some(at) = self.judge.found.spec_of[job.0] {
                let spec = self.judge.found.specs[at].clone();
                let measured = self.judge.world.ground.measure_sources(&[spec], &super::measuring::Counter::default());
                if let Some(measured) = measured.into_iter().next() {
                    self.judge.found.sources[at] = measured?;
                }
            }
        }
        if !again.is_empty() {
            self.judge.found.look_again(self.judge.world, &again)?;
        }
        Ok(())
    }
}
