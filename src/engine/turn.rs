//! The engine's loop: asks the schedule for orders, has them carried out, tells it the facts, and tells the listeners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use super::attempt::{Done, Note, Task};
use super::commit;
use super::drive::tell_step;
use super::interrupt::Interrupt;
use super::judging::{Judge, shown};
use super::telling::Teller;
use super::workers::{Brought, Mail, Order, Restore};
use super::{EngineError, Options, recover};
use crate::content::{Content, Kind};
use crate::digest::Digest;
use crate::event::{Event, Summary};
use crate::history::{Begun, Ended, Entry, Invocation};
use crate::ids::{JobId, RunId};
use crate::launch::Outcome;
use crate::project::model::InputPath;
use crate::relpath::RelPath;
use crate::schedule::{Schedule, State};
use crate::staleness::{Fingerprint, Reason, Repair, Verdict};
use crate::target::watchdog::Watchdog;
use crate::tree::Measured;

/// How often the listeners are told that time goes by.
const TICK: Duration = Duration::from_millis(100);

/// The engine's addresses and its own post.
pub struct Post {
    /// To the workers.
    pub orders: Sender<Order>,
    /// To itself.
    pub mailbox: Sender<Mail>,
    /// What it hears.
    pub post: Receiver<Mail>,
    /// To the committer.
    pub committer: commit::Address,
}

impl Post {
    /// Tells the engine that records cannot be written.
    pub fn commit_failed(mailbox: &Sender<Mail>) {
        let _ = mailbox.send(Mail::CommitFailed);
    }
}

/// A job between its verdict and its end.
struct Pending {
    fingerprint: Fingerprint,
    digest: Digest,
    reasons: Vec<Reason>,
}

/// The engine at work.
pub struct Engine<'e, 't, 'l> {
    judge: Judge<'e>,
    schedule: Schedule,
    options: &'e Options,
    invocation: &'e Invocation,
    teller: &'e mut Teller<'t, 'l>,
    post: Post,
    watchdog: Option<Watchdog>,
    begun: bool,
    workers: usize,
    busy: usize,
    pending: BTreeMap<JobId, Pending>,
    runs: BTreeMap<JobId, RunId>,
    started: BTreeMap<JobId, Duration>,
    running: BTreeSet<Digest>,
    blocked: BTreeSet<JobId>,
    dirty: BTreeSet<JobId>,
    lost: BTreeSet<JobId>,
    moves: BTreeMap<JobId, u32>,
    building: BTreeMap<String, String>,
    commit_failed: bool,
    summary: Summary,
}

/// What the loop starts when it needs it first.
type Starter<'s> = &'s mut dyn FnMut();

impl<'e, 't, 'l> Engine<'e, 't, 'l> {
    /// An engine that has done nothing yet.
    pub fn new(
        judge: Judge<'e>,
        schedule: Schedule,
        options: &'e Options,
        invocation: &'e Invocation,
        teller: &'e mut Teller<'t, 'l>,
        post: Post,
    ) -> Self {
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
            lost: BTreeSet::new(),
            moves: BTreeMap::new(),
            building: BTreeMap::new(),
            commit_failed: false,
            summary: Summary::default(),
        }
    }

    /// Goes on until every job is settled.
    ///
    /// # Errors
    /// Where the history cannot be read or a path not be measured.
    pub fn run(
        &mut self,
        interrupt: &Interrupt,
        worker: Starter<'_>,
        committer: Starter<'_>,
    ) -> Result<(), EngineError> {
        let mut stopped = false;
        loop {
            if !stopped && (interrupt.asked() || self.commit_failed) {
                stopped = true;
                self.schedule.stop();
                for job in std::mem::take(&mut self.blocked) {
                    self.schedule.canceled(job);
                }
            }
            let mut progress = false;
            while let Some(job) = self.schedule.next_to_judge() {
                progress = true;
                self.judge_job(job, worker)?;
            }
            while let Some((job, gpus)) = self.schedule.next_to_start() {
                progress = true;
                self.start(job, gpus, worker, committer)?;
            }
            for (job, because) in self.schedule.take_skipped() {
                self.summary.skipped += 1;
                let because = self.judge.work.plan.jobs[because.0].name.clone();
                self.teller.tell(Event::JobSkipped { job, because });
            }
            if self.schedule.settled() && self.busy == 0 {
                return Ok(());
            }
            if progress {
                continue;
            }
            match self.post.post.recv_timeout(TICK) {
                Ok(mail) => self.hear(mail)?,
                Err(RecvTimeoutError::Timeout) => self.teller.tick(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            // What has arrived meanwhile is heard before the next look at the schedule, but not without end.
            for _ in 0..256 {
                let Ok(mail) = self.post.post.try_recv() else { break };
                self.hear(mail)?;
            }
        }
    }

    /// The counts.
    pub fn finish(&mut self) -> Summary {
        let canceled = |job: &usize| self.schedule.state(JobId(*job)) == State::Canceled;
        self.summary.canceled = (0..self.judge.work.plan.jobs.len()).filter(canceled).count();
        self.summary
    }

    fn judge_job(&mut self, job: JobId, worker: Starter<'_>) -> Result<(), EngineError> {
        self.refresh(job)?;
        let fingerprint = match self.judge.fingerprint(job) {
            Ok(fingerprint) => fingerprint,
            Err(lacking) => {
                let why = self.judge.lacking(job, &lacking).iter().map(describe_lacking).collect::<Vec<_>>().join("; ");
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
        self.teller.tell(Event::JobJudged { job, verdict: verdict.clone() });
        match verdict {
            Verdict::Fresh { since, repairs } if repairs.is_empty() => {
                self.runs.insert(job, since);
                self.summary.fresh += 1;
                self.schedule.done(job);
            }
            Verdict::Fresh { since, repairs } => self.restore(job, since, &repairs, worker),
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

    fn restore(&mut self, job: JobId, since: RunId, repairs: &[Repair], worker: Starter<'_>) {
        let recorded = self.judge.recorded(job);
        let outputs = repairs.iter().filter_map(|r| recorded.iter().find(|o| o.path == r.path).cloned()).collect();
        let scratch = self.scratch().join(format!("restore-{}", job.0));
        self.send(Order::Restore(Restore { job, run: since, outputs, scratch }), worker);
    }

    fn scratch(&self) -> std::path::PathBuf {
        self.judge.world.state.join("work").join(&self.invocation.id)
    }

    fn send(&mut self, order: Order, worker: Starter<'_>) {
        self.busy += 1;
        if self.workers < self.busy.min(usize::try_from(self.options.machine.cpus).unwrap_or(1).max(1)) {
            self.workers += 1;
            worker();
        }
        let _ = self.post.orders.send(order);
    }

    fn start(
        &mut self,
        job: JobId,
        gpus: Vec<u32>,
        worker: Starter<'_>,
        committer: Starter<'_>,
    ) -> Result<(), EngineError> {
        self.begin(committer);
        let Some(pending) = self.pending.get(&job) else { return Ok(()) };
        let digest = pending.digest;
        if self.running.contains(&digest) || !self.judge.world.locks.try_lock(&digest) {
            self.wait_for(job, digest);
            return Ok(());
        }
        // Another invocation may have finished the job between the verdict and the lock.
        let orders = self.judge.orders(job);
        if !orders.force && !orders.no_cache && !self.lost.contains(&job) && self.judge.fresh_meanwhile(job, digest)? {
            self.judge.world.locks.release(&digest);
            self.moves.entry(job).or_default();
            self.schedule.judge_again(job);
            return Ok(());
        }
        self.running.insert(digest);
        let Some(pending) = self.pending.get(&job) else { return Ok(()) };
        let task = self.task(job, gpus, pending);
        self.send(Order::Run(Box::new(task)), worker);
        Ok(())
    }

    /// What is needed as soon as anything runs: the records' writer, the watchdog, a clean work folder.
    fn begin(&mut self, committer: Starter<'_>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let world = self.judge.world;
        let _ = world.locks.try_lock(&recover::invocation_key(&self.invocation.id));
        recover::clear(world, &self.invocation.id);
        if let Some(program) = &self.options.program {
            match Watchdog::start(program, &self.invocation.id) {
                Ok(watchdog) => self.watchdog = Some(watchdog),
                Err(error) => self.teller.warn(None, format!("could not start the watchdog: {error}")),
            }
        }
        committer();
    }

    fn wait_for(&mut self, job: JobId, digest: Digest) {
        self.schedule.park(job);
        self.blocked.insert(job);
        self.moves.entry(job).or_default();
        let why = "another invocation runs the same job".to_owned();
        self.teller.tell(Event::JobWaiting { job, why });
        if self.running.contains(&digest) {
            return; // a job of this invocation with the same fingerprint; its end unblocks this one
        }
        let wait = self.judge.world.locks.waiter(&digest);
        let mailbox = self.post.mailbox.clone();
        std::thread::spawn(move || {
            wait();
            let _ = mailbox.send(Mail::Unblocked(job));
        });
    }

    fn task(&self, job: JobId, gpus: Vec<u32>, pending: &Pending) -> Task {
        let work = self.judge.work;
        let declared = &work.plan.jobs[job.0];
        let found = &self.judge.found;
        let environment = self.judge.surroundings.of[job.0].map(|at| self.judge.surroundings.environments[at].clone());
        let params = declared.params.iter();
        Task {
            job,
            begun: Begun {
                run: RunId::fresh(),
                invocation: self.invocation.id.clone(),
                job: declared.name.clone(),
                experiment: work.project.experiments[declared.experiment].name.clone(),
                target: work.project.targets[declared.target].name.clone(),
                environment: work.project.environments[declared.environment].name.clone(),
                started: self.judge.world.clock.now(),
                attempt: 1,
                fingerprint: pending.fingerprint.clone(),
                params: params
                    .map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default()))
                    .collect(),
                tags: declared.tags.clone(),
                reasons: pending.reasons.clone(),
                inputs: declared.inputs.iter().map(|input| (input.name.clone(), shown(&input.path))).collect(),
                source_directory: declared.source_directory.clone(),
            },
            sources: found.spec_of[job.0].map(|at| (found.specs[at].clone(), found.sources[at])),
            inputs: declared
                .inputs
                .iter()
                .filter_map(|input| Some((input.path.clone(), found.paths.get(&input.path).copied().flatten()?)))
                .collect(),
            environment,
            gpus,
        }
    }

    fn hear(&mut self, mail: Mail) -> Result<(), EngineError> {
        match mail {
            Mail::Note(job, note) => self.note(job, note),
            Mail::Done(job, done) => {
                self.busy -= 1;
                self.done(job, done)?;
            }
            Mail::Restored(restore, brought) => {
                self.busy -= 1;
                self.restored(&restore, brought)?;
            }
            Mail::Unblocked(job) => self.unblock(job),
            Mail::CommitFailed => self.commit_failed = true,
        }
        Ok(())
    }

    fn unblock(&mut self, job: JobId) {
        if self.blocked.remove(&job) {
            self.judge.forget(job);
            self.schedule.judge_again(job);
        }
    }

    fn note(&mut self, job: JobId, note: Note) {
        match note {
            Note::Line(stream, line) => self.teller.tell(Event::JobOutput { job, stream, line }),
            Note::Environment(name, step) => {
                if matches!(step, crate::environment::Step::Started) {
                    self.building.insert(name.clone(), String::new());
                }
                tell_step(self.teller, &name, step);
            }
            Note::Begun(begun) => {
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
                let _ = self.post.committer.send(commit::Order { entry: Entry::Begun(begun), key, release: None });
            }
            Note::Again { ended, attempt, delay } => {
                let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                self.teller.tell(Event::JobRetried { job, outcome: ended.outcome.clone(), attempt, delay_ms });
                self.commit(Entry::Ended(ended), None);
            }
        }
    }

    fn commit(&self, entry: Entry, release: Option<Digest>) {
        let _ = self.post.committer.send(commit::Order { entry, key: None, release });
    }

    fn done(&mut self, job: JobId, done: Done) -> Result<(), EngineError> {
        let digest = self.pending.get(&job).map(|pending| pending.digest);
        if let Some(digest) = &digest {
            self.running.remove(digest);
        }
        match done {
            Done::Moved => self.moved(job, digest),
            Done::Ended { ended, contents, tail, began } => self.ended(job, *ended, &contents, tail, began, digest)?,
        }
        let waiting: Vec<JobId> = self.blocked.iter().copied().collect();
        for other in waiting {
            if let (Some(digest), Some(pending)) = (&digest, self.pending.get(&other))
                && pending.digest == *digest
            {
                self.unblock(other);
            }
        }
        Ok(())
    }

    fn moved(&mut self, job: JobId, digest: Option<Digest>) {
        if let Some(digest) = digest {
            self.judge.world.locks.release(&digest);
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
        began: bool,
        digest: Option<Digest>,
    ) -> Result<(), EngineError> {
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
        self.settle(contents)?;
        if began {
            self.commit(Entry::Ended(Box::new(ended)), digest);
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
        Ok(())
    }

    /// What a run or a restore left in the project is what the jobs that need it will see.
    fn settle(&mut self, contents: &[(RelPath, Content)]) -> Result<(), EngineError> {
        let world = self.judge.world;
        for (path, content) in contents {
            let place = InputPath::Inside(path.clone());
            if matches!(content.kind, Kind::File | Kind::Executable) {
                let stamp = world.ground.stamp(path.as_path()).ok().flatten().unwrap_or_default();
                let measured = Measured { content: *content, stamp, files: 1 };
                self.judge.found.paths.insert(place, Some(measured));
            } else {
                self.judge.found.look_again(world, &[place])?;
            }
        }
        Ok(())
    }

    fn restored(&mut self, restore: &Restore, brought: Brought) -> Result<(), EngineError> {
        let job = restore.job;
        match brought {
            Brought::Back(aside) => {
                let contents: Vec<(RelPath, Content)> = restore
                    .outputs
                    .iter()
                    .filter_map(|output| Some((output.path.clone(), output.content()?)))
                    .collect();
                self.settle(&contents)?;
                self.dirty.insert(job);
                self.summary.restored += 1;
                let outputs = restore.outputs.iter().map(|output| output.path.clone()).collect();
                self.teller.tell(Event::JobRestored { job, run: restore.run.clone(), outputs, aside });
                self.runs.insert(job, restore.run.clone());
                self.schedule.done(job);
            }
            Brought::Lost(path) => {
                self.teller.warn(
                    Some(job),
                    format!("the stored `{path}` is damaged or gone: it was set aside, the job runs again"),
                );
                self.lost.insert(job);
                self.moves.entry(job).or_default();
                self.schedule.judge_again(job);
            }
            Brought::Failed(why) => self.fail_before_start(job, why),
        }
        Ok(())
    }

    /// A job that fails without having begun.
    fn fail_before_start(&mut self, job: JobId, why: String) {
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

fn describe_lacking(reason: &Reason) -> String {
    match reason {
        Reason::InputMissing { name, path } if name == path => format!("the input `{path}` is not there"),
        Reason::InputMissing { name, path } => format!("the input `{name}` is not there: {path}"),
        _ => "its environment is not resolved".to_owned(),
    }
}
