//! The cache beside a running engine: threads that ask it for runs and put runs into it, so that no job waits for a push,
//! and what the engine does with their answers. Nothing is started before the first question.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;

use super::push::{Finished, Pushed};
use super::record::Record;
use super::{AT_ONCE, Sharing, pull, push};
use crate::cache::breaker::Traffic;
use crate::digest::Digest;
use crate::engine::interrupt::Interrupt;
use crate::engine::turn::{Engine, TICK};
use crate::engine::workers::Mail;
use crate::engine::{World, commit};
use crate::event::Event;
use crate::history::{Begun, Ended, Entry, History};
use crate::ids::{JobId, RunId};
use crate::staleness::{Past, Reason, Verdict};
use crate::store::{Hold, snapshot};

/// So many runs go into the cache together at most.
const BATCH: usize = 256;

/// What came from the cache's threads.
#[derive(Debug)]
pub enum Answer {
    /// To a question for a run; what was brought is there until that is on record.
    Pulled(JobId, pull::Pulled, Hold),
    /// To runs that were to be shared: what became of each; none where the cache was given up.
    Pushed(Vec<(JobId, RunId, Option<Pushed>)>),
}

/// The line to the cache's threads, and what is under way on it.
pub struct Line<'s> {
    sharing: &'s Sharing,
    pull: Box<dyn FnMut(JobId, pull::Wanted) + 's>,
    push: Box<dyn FnMut(JobId, Box<Finished>) + 's>,
    /// How the runs began that go on now.
    begun: BTreeMap<JobId, Begun>,
    /// What was asked for, so that nothing is asked twice; and whether that was because the store had lost it.
    asked: BTreeSet<(JobId, Digest, bool)>,
    /// Runs that came and are to be put on record.
    arrived: Vec<(JobId, Box<Record>, Hold)>,
    pushing: usize,
    told: Traffic,
}

impl<'s> Line<'s> {
    /// A line whose threads are started in this scope when they are needed.
    pub fn new<'env>(
        scope: &'s Scope<'s, 'env>,
        sharing: &'s Sharing,
        world: &'s World<'s>,
        scratch: PathBuf,
        properties: &'s (dyn Fn() -> BTreeMap<String, String> + Sync),
        mail: SyncSender<Mail>,
    ) -> Self {
        let (ask, asked) = channel::<(JobId, pull::Wanted)>();
        let asked = Arc::new(Mutex::new(asked));
        let mut pullers = 0;
        let (pull_mail, pull_scratch) = (mail.clone(), scratch.clone());
        let pull = move |job: JobId, wanted: pull::Wanted| {
            if pullers < AT_ONCE {
                pullers += 1;
                let (mail, scratch, asked) = (pull_mail.clone(), pull_scratch.clone(), Arc::clone(&asked));
                scope.spawn(move || {
                    loop {
                        let next = asked.lock().map_or_else(|_| None, |asked| asked.recv().ok());
                        let Some((job, wanted)) = next else { return };
                        let pulled = pull::pull(sharing, world.store, world.state, &scratch, &wanted);
                        // What was brought may have been cleared away again before this.
                        let hold = world.store.hold();
                        let pulled = match pulled {
                            pull::Pulled::Hit(record) if !is_whole(world, &record) => pull::Pulled::Miss,
                            pulled => pulled,
                        };
                        if mail.send(Mail::Cache(Answer::Pulled(job, pulled, hold))).is_err() {
                            return;
                        }
                    }
                });
            }
            let _ = ask.send((job, wanted));
        };
        let mut pusher: Option<Sender<(JobId, Box<Finished>)>> = None;
        let push = move |job: JobId, finished: Box<Finished>| {
            let pusher = pusher.get_or_insert_with(|| {
                let (order, orders) = channel();
                let (mail, scratch) = (mail.clone(), scratch.clone());
                scope.spawn(move || serve(sharing, world, &scratch, properties, &orders, &mail));
                order
            });
            let _ = pusher.send((job, finished));
        };
        Self {
            sharing,
            pull: Box::new(pull),
            push: Box::new(push),
            begun: BTreeMap::new(),
            asked: BTreeSet::new(),
            arrived: Vec::new(),
            pushing: 0,
            told: Traffic::default(),
        }
    }
}

/// Whether all that a run left is in the store.
fn is_whole(world: &World<'_>, record: &Record) -> bool {
    record.left().all(|left| left.content().is_some_and(|content| snapshot::present(world.store, &content)))
}

/// Shares what has ended since it looked last, until nobody sends any more.
fn serve(
    sharing: &Sharing,
    world: &World<'_>,
    scratch: &std::path::Path,
    properties: &(dyn Fn() -> BTreeMap<String, String> + Sync),
    orders: &Receiver<(JobId, Box<Finished>)>,
    mail: &SyncSender<Mail>,
) {
    let mut of_invocation: Option<BTreeMap<String, String>> = None;
    while let Ok(first) = orders.recv() {
        let mut batch = vec![first];
        while let Ok(next) = orders.try_recv() {
            batch.push(next);
            if batch.len() == BATCH {
                break;
            }
        }
        let of_invocation = of_invocation.get_or_insert_with(properties);
        for (_, finished) in &mut batch {
            finished.invocation.properties.clone_from(of_invocation);
        }
        let (jobs, runs): (Vec<JobId>, Vec<Finished>) = batch.into_iter().map(|(job, run)| (job, *run)).unzip();
        let pushed = match push::push(sharing, world.store, world.state, scratch, &runs) {
            Ok(pushed) => pushed.into_iter().map(Some).collect(),
            Err(stopped) => {
                sharing.not_pushed(&stopped);
                vec![None; runs.len()]
            }
        };
        let answer = jobs.into_iter().zip(runs).zip(pushed).map(|((job, run), pushed)| (job, run.begun.run, pushed));
        if mail.send(Mail::Cache(Answer::Pushed(answer.collect()))).is_err() {
            return;
        }
    }
}

impl Engine<'_, '_, '_> {
    /// Asks the cache for a job that is stale here; false where it is not to be asked, or was.
    pub(in crate::engine) fn ask_cache(&mut self, job: JobId, digest: Digest, verdict: &Verdict) -> bool {
        let orders = self.judge.orders(job);
        let is_lost = self.lost.contains(&job);
        let Some(line) = &mut self.line else { return false };
        let is_stale = matches!(verdict, Verdict::Stale { .. }) && !orders.force && !orders.no_cache;
        if !is_stale || !line.sharing.reads() || !line.asked.insert((job, digest, is_lost)) {
            return false;
        }
        let declared = self.judge.work.job(job);
        let wanted = pull::Wanted {
            key: digest,
            job: declared.name.to_string(),
            outputs: declared.outputs.iter().map(|output| output.path.clone()).collect(),
            sources: false,
        };
        self.busy += 1;
        (line.pull)(job, wanted);
        true
    }

    /// Remembers how a run began, to be shared when it has ended.
    pub(in crate::engine) fn note_begun(&mut self, job: JobId, begun: &Begun) {
        if let Some(line) = self.line.as_mut().filter(|line| line.sharing.writes) {
            line.begun.insert(job, begun.clone());
        }
    }

    /// Shares a run that ended well.
    pub(in crate::engine) fn share(&mut self, job: JobId, ended: &Ended) {
        let environment = self.judge.surroundings.of[job.0].and_then(|at| self.judge.surroundings.keys[at].clone());
        let Some(line) = &mut self.line else { return };
        let Some(begun) = line.begun.remove(&job).filter(|begun| begun.run == ended.run) else { return };
        if !ended.reusable() || line.sharing.remote.is_read_only() {
            return;
        }
        let (ended, invocation) = (ended.clone(), self.invocation.clone());
        line.pushing += 1;
        (line.push)(job, Box::new(Finished { begun, ended, invocation, environment }));
    }

    /// Hears from the cache's threads.
    pub(in crate::engine) fn hear_cache(&mut self, answer: Answer) {
        match answer {
            Answer::Pulled(job, pulled, hold) => {
                self.busy -= 1;
                match pulled {
                    pull::Pulled::Hit(record) => {
                        if let Some(line) = &mut self.line {
                            line.arrived.push((job, record, hold));
                        }
                    }
                    pull::Pulled::Miss => self.schedule.judge_again(job),
                }
            }
            Answer::Pushed(pushed) => {
                for (job, run, pushed) in pushed {
                    if let Some(line) = &mut self.line {
                        line.pushing = line.pushing.saturating_sub(1);
                    }
                    self.pushed(job, run, pushed);
                }
            }
        }
        self.tell_cache();
    }

    fn pushed(&mut self, job: JobId, run: RunId, pushed: Option<Pushed>) {
        match pushed {
            Some(Pushed::New) => self.teller.tell(Event::CachePushed { job, run }),
            Some(Pushed::There) | None => {}
            Some(Pushed::Differs { outputs, run, whose }) => {
                self.teller.warn(Some(job), differs(&outputs, &run, &whose));
            }
            Some(Pushed::Not(why)) => self.teller.warn(Some(job), format!("it is not put into the cache: {why}")),
        }
    }

    /// Puts runs that came from the cache on record, and has their jobs judged again; whether there were any.
    pub(in crate::engine) fn take_arrived(&mut self, committer: &mut dyn FnMut()) -> bool {
        let arrived = self.line.as_mut().map(|line| std::mem::take(&mut line.arrived)).unwrap_or_default();
        let any = !arrived.is_empty();
        for (job, record, hold) in arrived {
            self.begin(committer);
            let address = self.line.as_ref().map(|line| line.sharing.remote.address().to_owned()).unwrap_or_default();
            let declared = self.judge.work.job(job);
            let experiment = self.judge.work.project.experiments[declared.experiment].name.clone();
            let local = localized(*record, declared.name.clone(), experiment, &address, self.judge.history);
            self.teller.tell(Event::CacheHit {
                job,
                run: local.record.begun.run.clone(),
                user: local.record.invocation.user.clone(),
                host: local.record.invocation.host.clone(),
                started: local.record.begun.started,
            });
            let Record { key, begun, ended, invocation, environment, .. } = local.record;
            self.trial_arrived(job, &ended);
            self.judge.learn(job, key, Past { run: ended.run.clone(), outputs: ended.outputs.clone() });
            if local.is_new {
                self.commit_imported(Box::new(invocation), Box::new(begun), Box::new(ended), environment, hold);
            }
            self.lost.remove(&job);
            self.schedule.judge_again(job);
        }
        any
    }

    /// Tells what went over the line, and what the user should know of it.
    pub(in crate::engine) fn tell_cache(&mut self) {
        let Some(line) = &mut self.line else { return };
        let traffic = line.sharing.remote.traffic();
        let (waiting, warnings) = (line.pushing, line.sharing.warnings());
        if traffic != std::mem::replace(&mut line.told, traffic) {
            let Traffic { sent, received, .. } = traffic;
            self.teller.tell(Event::CacheTraffic { sent, received, waiting });
        }
        for warning in warnings {
            self.teller.warn(None, warning);
        }
    }

    /// Waits until what ended is shared; Ctrl-C, or a cache that is given up, ends the wait.
    pub(in crate::engine) fn drain(&mut self, interrupt: &Interrupt) {
        while self.line.as_ref().is_some_and(|line| line.pushing > 0) {
            self.cut_short(interrupt);
            match self.post.post.recv_timeout(TICK) {
                Ok(mail) => self.hear(mail),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tell_cache();
            self.teller.tick();
        }
        self.tell_cache();
        if let Some(line) = &self.line {
            line.sharing.save();
        }
    }

    /// After Ctrl-C the cache is not waited for.
    pub(in crate::engine) fn cut_short(&self, interrupt: &Interrupt) {
        if let Some(line) = self.line.as_ref().filter(|line| interrupt.asked() && !line.sharing.remote.is_closed()) {
            line.sharing.remote.give_up();
        }
    }
}

/// A run of somebody else, as it goes on record here.
pub struct Localized {
    /// The run.
    pub record: Record,
    /// Whether it is not on record yet.
    pub is_new: bool,
}

/// Makes a run one of this project's: under the names that its job has here, with a word of where it came from. A run that is
/// on record here under the same identity, and is another one, is not touched: this one gets an identity of its own.
#[must_use]
pub fn localized(
    mut record: Record,
    job: crate::ids::JobName,
    experiment: String,
    address: &str,
    history: &dyn History,
) -> Localized {
    let whose = record.whose();
    record.begun.job = job;
    record.begun.experiment = experiment;
    record.begun.reasons = Vec::<Reason>::new();
    record.ended.notes.push(format!("it was run by {whose}, and came from the cache {address}"));
    let mut is_new = true;
    if let Ok(there) = history.run(&record.begun.run.0) {
        let same = there.begun.fingerprint.digest() == record.key
            && there.ended.as_ref().is_some_and(|ended| ended.reusable() && ended.outputs == record.ended.outputs);
        if same {
            is_new = there.begun.job != record.begun.job;
        }
        if is_new {
            let run = RunId::fresh();
            record.begun.run = run.clone();
            record.ended.run = run;
        }
    }
    record.begun.invocation.clone_from(&record.invocation.id);
    Localized { record, is_new }
}

/// What is told where the cache holds another result.
#[must_use]
pub fn differs(outputs: &[String], run: &str, whose: &str) -> String {
    let shown = outputs.iter().take(3).map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
    let more = if outputs.len() > 3 { format!(" and {} more", outputs.len() - 3) } else { String::new() };
    format!(
        "it is not deterministic: the cache holds another result of the very same inputs (run {run} of {whose}), which it \
         keeps; not the same: {shown}{more}"
    )
}

impl Entry {
    /// A run that was not run here, with its invocation.
    pub(super) fn imported(
        invocation: Box<crate::history::Invocation>,
        begun: Box<Begun>,
        ended: Box<Ended>,
    ) -> [Self; 3] {
        [Self::Elsewhere(invocation), Self::Begun(begun), Self::Ended(ended)]
    }
}

impl Engine<'_, '_, '_> {
    fn commit_imported(
        &self,
        invocation: Box<crate::history::Invocation>,
        begun: Box<Begun>,
        ended: Box<Ended>,
        mut key: Option<crate::staleness::Key>,
        hold: Hold,
    ) {
        let mut hold = Some(hold);
        for entry in Entry::imported(invocation, begun, ended) {
            let last = matches!(entry, Entry::Ended(_));
            let hold = hold.take_if(|_| last).unwrap_or_default();
            let _ = self.post.committer.send(commit::Order {
                entries: vec![entry],
                key: key.take(),
                release: None,
                hold,
                waiting: None,
            });
        }
    }
}
