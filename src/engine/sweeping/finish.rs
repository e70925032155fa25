//! The end of a sweep: the run that stands for it, and the outputs of its best trial.

use std::collections::BTreeSet;

use super::begin::plain;
use super::session::{Ending, Left, Over, Session};
use super::{Engine, EngineError, OnDisk, Starter};
use crate::amlfile::{listed, suggest::nearest};
use crate::engine::attempt::ending;
use crate::engine::commit::Waiting;
use crate::engine::judging::shown;
use crate::engine::workers::{Brought, Mail, Order, Restore};
use crate::event::{BestTrial, Event};
use crate::history::sweeps::{SweepState, TrialState};
use crate::history::{Begun, Entry};
use crate::ids::{JobId, RunId};
use crate::launch::Outcome;
use crate::staleness::Past;
use crate::store::Hold;

/// So often what the best trial left may turn out to be damaged.
const MOST_LOST: u32 = 3;

impl Engine<'_, '_, '_> {
    /// All trials are over: what comes of it.
    pub(super) fn end_sweep(&mut self, node: JobId) {
        let Some(session) = self.sweeps.going.get(&node) else { return };
        match session.over {
            Some(Over::Moved) => {
                let lock = session.lock;
                self.sweeps.going.remove(&node);
                self.moved(node, Some(lock));
                return;
            }
            Some(Over::Canceled) => {
                self.close(node, SweepState::Canceled, Some("it was canceled".to_owned()), true);
                self.drop_session(node);
                self.fail_before_start(node, "it was canceled; `amlrun sweep resume` goes on with it".to_owned());
                return;
            }
            Some(Over::TooManyFailed) => {
                let failed = session.count(TrialState::Failed);
                self.fail_sweep(node, format!("{failed} trials failed, more than its `max_failed`"));
                return;
            }
            Some(Over::NoMetric) => {
                let why = without_metric(session);
                self.fail_sweep(node, why);
                return;
            }
            _ => {}
        }
        let Some(best) = session.search.best(session.seen()).and_then(|best| usize::try_from(best).ok()) else {
            let why = without_best(&session.record.metric, &session.seen().collect::<Vec<_>>());
            self.fail_sweep(node, why);
            return;
        };
        let is_whole = |left: &Left| left.outputs.iter().all(|output| self.judge.in_store(output));
        if let Some(left) = session.trials[best].left.clone().filter(is_whole) {
            self.record_sweep(node, best, &left);
            return;
        }
        // It ended in an earlier invocation, or what it left is damaged: it is judged as any job, and runs where it must.
        if session.lost >= MOST_LOST {
            let why = "what its best trial left is lost again and again".to_owned();
            self.fail_sweep(node, why);
            return;
        }
        if let Some(session) = self.sweeps.going.get_mut(&node) {
            session.lost += 1;
            session.unsettle(best);
        }
        self.begin_trial(node, best);
    }

    /// Puts the run on record that stands for the whole sweep.
    fn record_sweep(&mut self, node: JobId, best: usize, left: &Left) {
        let work = self.judge.work;
        let job = work.job(node);
        let Some(session) = self.sweeps.going.get_mut(&node) else { return };
        let trial = session.trials[best].trial.clone();
        let run = RunId::fresh();
        let values = job.params.iter().filter(|(name, _)| plain(name)).chain(trial.values.iter().map(|(n, v)| (n, v)));
        let begun = Begun {
            run: run.clone(),
            invocation: self.invocation.id.clone(),
            job: job.name.clone(),
            experiment: work.project.experiments[job.experiment].name.clone(),
            target: work.project.targets[job.target].name.clone(),
            environment: work.project.environments[job.environment].name.clone(),
            started: session.record.started,
            attempt: 1,
            fingerprint: session.fingerprint.clone(),
            params: values
                .map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default()))
                .collect(),
            tags: job.tags.clone(),
            reasons: session.reasons.clone(),
            inputs: job.inputs.iter().map(|input| (input.name.clone(), shown(&input.path))).collect(),
            source_directory: job.source_directory.clone(),
        };
        let mut ended = ending(self.judge.world, &run, Outcome::Succeeded);
        ended.outputs.clone_from(&left.outputs);
        ended.kept.clone_from(&left.kept);
        ended.metrics.clone_from(&left.metrics);
        ended.cached = job.cache;
        ended.notes.push(format!(
            "the best of {} trials is number {}, run {} ({})",
            session.trials.len(),
            trial.number,
            left.run.short(),
            trial.job
        ));
        let time_is_up = session.over == Some(Over::TimeUp);
        session.record.state = SweepState::Completed;
        session.record.ended = Some(ended.ended);
        session.record.best = Some(trial.number);
        session.record.run = Some(run);
        session.record.why = time_is_up.then(|| "its `max_duration` was over".to_owned());
        session.ending = Ending::Recording;
        let digest = session.fingerprint.digest();
        let record = Box::new(session.record.clone());
        self.judge.learn(node, digest, Past { run: ended.run.clone(), outputs: ended.outputs.clone() });
        self.note_begun(node, &begun);
        self.share(node, &ended);
        let key = self.judge.surroundings.of[node.0].and_then(|at| self.judge.surroundings.keys[at].clone());
        let waiting = Waiting::Engine(self.post.mailbox.clone(), Mail::Sweep(OnDisk::Ended(node)));
        let entries = vec![Entry::Begun(Box::new(begun)), Entry::Ended(Box::new(ended)), Entry::Sweep(record)];
        self.order(entries, key, Some(waiting), self.judge.world.store.hold());
    }

    /// Publishes what the best trial left, as far as it does not lie in the project already.
    pub(super) fn publish_best(&mut self, node: JobId, worker: Starter<'_>) -> Result<(), EngineError> {
        let Some(session) = self.sweeps.going.get_mut(&node) else { return Ok(()) };
        session.ending = Ending::Publishing;
        let Some(run) = session.record.run.clone() else { return Ok(()) };
        let outputs = self.judge.to_restore(node)?;
        if outputs.is_empty() {
            self.sweep_is_done(node);
            return Ok(());
        }
        let scratch = self.scratch().join(format!("restore-{}", node.0));
        self.send(Order::Restore(Restore { job: node, run, outputs, scratch }), worker);
        Ok(())
    }

    /// Hears that outputs are back; hands on what is none of a sweep's end.
    pub(in crate::engine) fn sweep_restored(&mut self, restore: &Restore, brought: Brought) -> Option<Brought> {
        let node = restore.job;
        let is_ending = |session: &Session<'_>| session.ending == Ending::Publishing;
        if !self.sweeps.going.get(&node).is_some_and(is_ending) {
            return Some(brought);
        }
        match brought {
            Brought::Back(aside) => {
                for (path, place) in aside {
                    self.teller.warn(Some(node), format!("`{path}` was edited by hand: set aside as {place}"));
                }
                self.sweep_is_done(node);
            }
            Brought::Lost(path) => {
                let why = format!("the stored `{path}` is damaged or gone: it was set aside, the trial runs again");
                self.teller.warn(Some(node), why);
                if let Some(session) = self.sweeps.going.get_mut(&node) {
                    session.ending = Ending::No;
                    session.record.state = SweepState::Running;
                }
            }
            Brought::Failed(why) => {
                self.drop_session(node);
                self.fail_before_start(node, why);
            }
        }
        None
    }

    fn sweep_is_done(&mut self, node: JobId) {
        let Some(session) = self.sweeps.going.get(&node) else { return };
        let Some(run) = session.record.run.clone() else { return };
        let best = session.record.best.and_then(|best| session.trials.get(usize::try_from(best).ok()?));
        let best = best.and_then(|going| {
            let trial = &going.trial;
            let (number, job) = (trial.number, trial.job.clone());
            Some(BestTrial { number, job, run: trial.run.clone()?, objective: trial.objective? })
        });
        let (trials, completed) = (session.trials.len(), session.count(TrialState::Completed));
        let (failed, stopped) = (session.count(TrialState::Failed), session.count(TrialState::Stopped));
        let sweep = session.record.id.clone();
        let elapsed = self.judge.world.clock.elapsed().saturating_sub(session.since);
        let contents: Vec<_> =
            self.judge.recorded(node).iter().filter_map(|o| Some((o.path.clone(), o.content()?))).collect();
        self.settle(node, &contents);
        self.dirty.insert(node);
        self.runs.insert(node, run.clone());
        self.teller.tell(Event::SweepFinished { job: node, sweep, trials, completed, failed, stopped, best });
        self.teller.tell(Event::JobFinished {
            job: node,
            run,
            outcome: Outcome::Succeeded,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            log: String::new(),
            tail: Vec::new(),
        });
        self.drop_session(node);
        self.schedule.done(node);
    }

    /// The sweep has no result.
    fn fail_sweep(&mut self, node: JobId, why: String) {
        self.close(node, SweepState::Failed, Some(why.clone()), true);
        self.drop_session(node);
        self.fail_before_start(node, why);
    }

    /// Nothing more happens in this invocation: the sweep stays as it is, and the next one goes on with it.
    pub(super) fn leave_sweep(&mut self, node: JobId) {
        self.drop_session(node);
        self.schedule.judge_again(node);
    }

    fn close(&mut self, node: JobId, state: SweepState, why: Option<String>, has_ended: bool) {
        let now = self.judge.world.clock.now();
        let Some(session) = self.sweeps.going.get_mut(&node) else { return };
        session.record.state = state;
        session.record.why = why;
        session.record.ended = has_ended.then_some(now);
        let record = session.record.clone();
        self.order(vec![Entry::Sweep(Box::new(record))], None, None, Hold::default());
    }

    fn drop_session(&mut self, node: JobId) {
        if let Some(session) = self.sweeps.going.remove(&node) {
            let _ = std::fs::remove_file(super::cancel_file(self.judge.world.state, &session.record.id));
            self.judge.world.locks.release(&session.lock);
        }
    }
}

/// What the trials log in the place of the metric.
fn without_metric(session: &Session<'_>) -> String {
    let metric = session.record.metric.as_str();
    let lefts = session.trials.iter().filter_map(|going| going.left.as_ref());
    let logged: BTreeSet<&str> = lefts.flat_map(|left| left.metrics.keys().map(String::as_str)).collect();
    let more = match nearest(metric, logged.iter().copied()) {
        Some(near) => format!("; they have a `{near}`: is that the `metric` of the sweep?"),
        // What an earlier invocation's trials logged is with their runs.
        None if logged.is_empty() && session.trials.iter().any(|going| going.left.is_none()) => {
            "; `amlrun metrics` shows what they have".to_owned()
        }
        None if logged.is_empty() => {
            format!(": declare the file that it stands in under `metrics`, or log it (`run.log(\"{metric}\", …)`)")
        }
        None => format!("; what they have is {}", listed(logged.into_iter())),
    };
    format!("{} trials ended well and none has a `{metric}`{more}", session.count(TrialState::Completed))
}

/// Why no trial is the best.
fn without_best(metric: &str, trials: &[&crate::history::sweeps::Trial]) -> String {
    let failed = trials.iter().filter(|trial| trial.state == TrialState::Failed).count();
    let of = trials.len();
    if failed == of {
        return format!("all its {of} trials failed");
    }
    format!(
        "none of its {of} trials ended with a finite `{metric}`: declare the file that it stands in under `metrics`"
    )
}
