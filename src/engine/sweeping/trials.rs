//! What becomes of trials: they are proposed, begin as jobs, end, and are counted.

use std::time::Duration;

use super::session::{Ending, Going, Left, Over, Session};
use super::{Engine, EngineError, OnDisk, Starter};
use crate::digest::Digest;
use crate::engine::commit::Waiting;
use crate::engine::drive::{ELSEWHERE, demand};
use crate::engine::workers::Mail;
use crate::event::Event;
use crate::history::sweeps::{Trial, TrialState};
use crate::history::{Begun, Ended, Entry};
use crate::ids::{JobId, RunId};
use crate::launch::Outcome;
use crate::plan;
use crate::store::Hold;

impl Engine<'_, '_, '_> {
    /// Proposes, begins and ends what can be; whether anything happened.
    pub(super) fn go_on_with(&mut self, node: JobId, worker: Starter<'_>) -> Result<bool, EngineError> {
        let now = self.judge.world.clock.elapsed();
        let closed = self.schedule.is_closed() || self.broken || self.commit_failed;
        let blocked = self.blocked.iter().filter(|job| self.sweeps.of.contains_key(job)).count();
        let Some(session) = self.sweeps.going.get_mut(&node) else { return Ok(false) };
        match session.ending {
            Ending::No => {}
            Ending::Recorded if !closed => return self.publish_best(node, worker).map(|()| true),
            Ending::Recorded if self.busy == 0 => {
                self.leave_sweep(node);
                return Ok(true);
            }
            _ => return Ok(false),
        }
        if closed {
            let is_idle = session.open() == 0;
            if is_idle {
                self.leave_sweep(node);
            }
            return Ok(is_idle);
        }
        session.settle();
        look_at_limits(session, now);
        let mut progress = self.propose(node);
        while let Some(session) = self.sweeps.going.get(&node)
            && session.over.as_ref().is_none_or(|over| *over == Over::Exhausted)
            && session.has_room(blocked)
            && let Some(number) = session.next()
        {
            progress = true;
            self.begin_trial(node, number);
        }
        let Some(session) = self.sweeps.going.get(&node) else { return Ok(true) };
        let nothing_left = match session.over {
            None => false,
            Some(Over::Exhausted) => !session.has_waiting(),
            Some(_) => true,
        };
        if nothing_left && session.open() == 0 {
            self.end_sweep(node);
            return Ok(true);
        }
        Ok(progress)
    }

    /// Asks the search for as many trials as can be used, and puts them on record.
    fn propose(&mut self, node: JobId) -> bool {
        let work = self.judge.work;
        let now = self.judge.world.clock.now();
        let Some(session) = self.sweeps.going.get_mut(&node) else { return false };
        let mut entries = Vec::new();
        let wanted = if session.over.is_none() { session.wanted() } else { 0 };
        let most = session.declared.max_trials.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        for _ in 0..wanted {
            let seen = session.trials.iter().map(|going| &going.trial);
            let Some(values) = session.search.propose(seen) else {
                session.over = Some(Over::Exhausted);
                break;
            };
            let named = plan::trial::trial(work.project, work.plan, work.job(node), &values);
            let trial = Trial {
                sweep: session.record.id.clone(),
                number: u32::try_from(session.trials.len()).unwrap_or(u32::MAX),
                job: named.as_ref().map_or_else(|_| session.record.job.clone(), |job| job.name.clone()),
                values,
                proposed: now,
                state: TrialState::Proposed,
                run: None,
                cached: false,
                objective: None,
                logged: Vec::new(),
                why: None,
                ended: None,
            };
            entries.push(Entry::Trial(Box::new(trial.clone())));
            session.add(Going::new(trial, false));
        }
        if session.over.is_none() && most.is_some_and(|most| session.trials.len() >= most) {
            session.over = Some(Over::Exhausted);
        }
        if entries.is_empty() {
            return false;
        }
        let on_disk = Mail::Sweep(OnDisk::Proposed(node, session.trials.len()));
        let waiting = Waiting::Engine(self.post.mailbox.clone(), on_disk);
        self.order(entries, None, Some(waiting), Hold::default());
        true
    }

    /// Makes a job of a trial.
    pub(super) fn begin_trial(&mut self, node: JobId, number: usize) {
        let work = self.judge.work;
        let Some(session) = self.sweeps.going.get_mut(&node) else { return };
        if let Some(twin) = session.twin(number).filter(|twin| session.trials[*twin].trial.state.is_over()) {
            let (of, left) = (session.trials[twin].trial.clone(), session.trials[twin].left.clone());
            let going = &mut session.trials[number];
            going.left = left;
            let trial = &mut going.trial;
            (trial.state, trial.run, trial.objective, trial.cached) = (of.state, of.run, of.objective, true);
            (trial.logged, trial.ended) = (of.logged, Some(self.judge.world.clock.now()));
            trial.why = Some(format!("it is trial {} again", of.number));
            self.trial_is_over(node, number, Vec::new(), None, Hold::default());
            return;
        }
        let planned = plan::trial::trial(work.project, work.plan, work.job(node), &session.trials[number].trial.values);
        let added = planned.and_then(|job| {
            let demand = demand(&job);
            let arena = work.trials.ok_or("there is no room for trials")?;
            let at = arena.add(job).ok_or("there is no room for another trial")?;
            Ok((JobId(work.plan.jobs.len() + at), demand))
        });
        let (id, demand) = match added {
            Ok(added) => added,
            Err(why) => {
                let trial = &mut session.trials[number].trial;
                (trial.state, trial.why) = (TrialState::Failed, Some(why));
                trial.ended = Some(self.judge.world.clock.now());
                self.summary.trials_failed += 1;
                self.trial_is_over(node, number, Vec::new(), None, Hold::default());
                return;
            }
        };
        let going = &mut session.trials[number];
        (going.job, going.is_open) = (Some(id), true);
        session.of.insert(id, number);
        let (number, values) = (going.trial.number, going.trial.values.iter().cloned().collect());
        self.sweeps.of.insert(id, node);
        self.judge.add(node);
        let _same = self.schedule.add(demand);
        let job = work.job(id);
        if self.judge.world.remotes.contains_key(&job.target) {
            self.schedule.send_elsewhere(id, job.target, ELSEWHERE);
        }
        let target = work.project.targets[job.target].name.clone();
        self.teller.tell(Event::JobRegistered { job: id, name: job.name.clone(), needs: Vec::new(), target });
        self.teller.tell(Event::TrialProposed { sweep: node, job: id, number, values });
    }

    /// A run begins: what goes on record then.
    pub(in crate::engine) fn begin_of_trial(&mut self, job: JobId, begun: Box<Begun>) -> Vec<Entry> {
        let run = begun.run.clone();
        let mut entries = vec![Entry::Begun(begun)];
        if let Some((session, number)) = self.trial_of(job) {
            let trial = &mut session.trials[number].trial;
            (trial.state, trial.run, trial.cached) = (TrialState::Running, Some(run), false);
            entries.push(Entry::Trial(Box::new(trial.clone())));
        }
        entries
    }

    /// A trial that was run before: its result is taken, and nothing is restored.
    pub(in crate::engine) fn trial_is_fresh(&mut self, job: JobId, since: &RunId) -> Result<(), EngineError> {
        let arrived = self.sweeps.arrived.remove(&job);
        let left = match arrived.filter(|left| left.run == *since) {
            Some(left) => Some(left),
            None => match self.judge.history.run(&since.0) {
                Ok(run) => {
                    let logged = self.judge.history.logged(since)?;
                    run.ended.as_ref().map(|ended| Left::of(ended, logged.as_ref(), self.metric_of(job)))
                }
                Err(crate::history::HistoryError::NoSuchRun(_)) => None,
                Err(error) => return Err(error.into()),
            },
        };
        self.schedule.done(job);
        self.runs.insert(job, since.clone());
        let Some((node, number)) = self.numbered(job) else { return Ok(()) };
        let now = self.judge.world.clock.now();
        let series = left.as_ref().map(|left| left.logged.clone()).unwrap_or_default();
        self.summary.fresh += 1;
        if let Some(session) = self.sweeps.going.get_mut(&node) {
            let going = &mut session.trials[number];
            let trial = &mut going.trial;
            trial.cached = trial.cached || trial.run.as_ref() != Some(since);
            (trial.state, trial.run, trial.ended) = (TrialState::Completed, Some(since.clone()), Some(now));
            (trial.why, trial.logged) = (None, series);
            trial.objective = session.search.objective(&trial.logged);
            going.left = left;
        }
        self.trial_is_over(node, number, Vec::new(), None, Hold::default());
        Ok(())
    }

    /// Remembers what a run from the shared cache left, which is not on record yet.
    pub(in crate::engine) fn trial_arrived(&mut self, job: JobId, ended: &Ended) {
        if self.is_trial(job) {
            let left = Left::of(ended, ended.logged.as_deref(), self.metric_of(job));
            self.sweeps.arrived.insert(job, left);
        }
    }

    /// The run of a trial ended: that and what the trial came to go on record together.
    pub(in crate::engine) fn trial_ended(
        &mut self,
        job: JobId,
        mut ended: Ended,
        record: Option<Hold>,
        digest: Option<Digest>,
    ) {
        self.share(job, &ended);
        let run = ended.run.clone();
        let left = Left::of(&ended, ended.logged.as_deref(), self.metric_of(job));
        let series = left.logged.clone();
        let Some((node, number)) = self.numbered(job) else { return };
        let Some(session) = self.sweeps.going.get_mut(&node) else { return };
        let going = &mut session.trials[number];
        let trial = &mut going.trial;
        if series.len() > 1 || (series.len() == 1 && trial.logged.is_empty()) {
            trial.logged = series;
        }
        trial.run = record.is_some().then(|| run.clone());
        trial.ended = Some(ended.ended);
        trial.objective = session.search.objective(&trial.logged);
        match (&ended.outcome, going.stop.why()) {
            (Outcome::Succeeded, _) if ended.inputs_moved => {
                trial.state = TrialState::Proposed;
                session.over = Some(Over::Moved);
                self.schedule.canceled(job);
            }
            (Outcome::Succeeded, _) => {
                (trial.state, trial.why) = (TrialState::Completed, None);
                going.left = Some(left);
                self.summary.ran += 1;
                self.schedule.done(job);
            }
            (Outcome::Canceled, Some(why)) if session.over.as_ref().is_none_or(|over| *over == Over::Exhausted) => {
                ended.notes.push(format!("the sweep stopped it: {why}"));
                (trial.state, trial.why) = (TrialState::Stopped, Some(why));
                self.summary.trials_stopped += 1;
                self.schedule.canceled(job);
            }
            (Outcome::Canceled, why) => {
                // The whole sweep was ended, or the invocation: the next one runs it.
                ended.notes.extend(why);
                trial.state = TrialState::Proposed;
                self.schedule.canceled(job);
            }
            (outcome, _) => {
                (trial.state, trial.why) = (TrialState::Failed, Some(phrase(outcome, session.declared.trial_timeout)));
                self.summary.trials_failed += 1;
                self.schedule.failed_alone(job);
            }
        }
        self.runs.insert(job, run.clone());
        let entries = if record.is_some() { vec![Entry::Ended(Box::new(ended))] } else { Vec::new() };
        if record.is_some() {
            self.is_over(job, &run);
        }
        self.trial_is_over(node, number, entries, digest, record.unwrap_or_default());
    }

    /// Nothing more happens to a trial: that goes on record, and is told.
    fn trial_is_over(
        &mut self,
        node: JobId,
        number: usize,
        mut entries: Vec<Entry>,
        release: Option<Digest>,
        hold: Hold,
    ) {
        let Some(session) = self.sweeps.going.get_mut(&node) else { return };
        let going = &mut session.trials[number];
        going.is_open = false;
        let (trial, going_job) = (going.trial.clone(), going.job);
        entries.push(Entry::Trial(Box::new(trial.clone())));
        let is_best = trial.state == TrialState::Completed && session.search.best(session.seen()) == Some(trial.number);
        self.commit(entries, release, hold);
        if trial.state.is_over() {
            self.teller.tell(Event::TrialEnded {
                sweep: node,
                job: going_job,
                number: trial.number,
                state: trial.state,
                objective: trial.objective,
                cached: trial.cached,
                why: trial.why,
                is_best,
            });
        }
    }

    /// A trial that could not even begin.
    pub(in crate::engine) fn trial_cannot_begin(&mut self, job: JobId, why: String) {
        self.summary.trials_failed += 1;
        self.schedule.failed_alone(job);
        let now = self.judge.world.clock.now();
        let Some((node, number)) = self.numbered(job) else { return };
        if let Some(session) = self.sweeps.going.get_mut(&node) {
            let trial = &mut session.trials[number].trial;
            (trial.state, trial.why, trial.ended) = (TrialState::Failed, Some(why), Some(now));
        }
        self.trial_is_over(node, number, Vec::new(), None, Hold::default());
    }

    /// What a trial runs from is not there any more: the sweep is judged again.
    pub(in crate::engine) fn trial_moved(&mut self, job: JobId) {
        self.schedule.canceled(job);
        if let Some((session, number)) = self.trial_of(job) {
            session.over = Some(Over::Moved);
            session.trials[number].is_open = false;
            session.trials[number].trial.state = TrialState::Proposed;
        }
    }

    /// A trial goes on elsewhere without this invocation, or was given up before it began.
    pub(in crate::engine) fn trial_left(&mut self, job: JobId) {
        if let Some((session, number)) = self.trial_of(job) {
            session.trials[number].is_open = false;
        }
    }

    /// The metric that a trial's sweep compares.
    fn metric_of(&self, job: JobId) -> &str {
        let work = self.judge.work;
        let sweep = work.project.experiments[work.job(job).experiment].sweep.as_ref();
        sweep.map_or("", |sweep| sweep.metric.as_str())
    }

    /// The sweep of a trial, and its place in it.
    fn numbered(&self, job: JobId) -> Option<(JobId, usize)> {
        let node = *self.sweeps.of.get(&job)?;
        Some((node, *self.sweeps.going.get(&node)?.of.get(&job)?))
    }
}

/// How a trial failed, in words.
fn phrase(outcome: &Outcome, timeout: Option<Duration>) -> String {
    match outcome {
        Outcome::Failed { code } => format!("exit status {code}"),
        Outcome::Killed { signal } => format!("killed by signal {signal}"),
        Outcome::TimedOut { seconds } => match timeout {
            Some(limit) if limit.as_secs() == *seconds => format!("timed out (`trial_timeout` is {seconds} s)"),
            _ => format!("timed out (`resources.time` is {seconds} s)"),
        },
        Outcome::Broken { why } => why.clone(),
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Canceled => "canceled".to_owned(),
    }
}

/// Notices that the sweep took too long, or that too many trials failed.
fn look_at_limits(session: &mut Session<'_>, now: Duration) {
    let too_many = |most: u32| session.count(TrialState::Failed) > usize::try_from(most).unwrap_or(usize::MAX);
    if session.declared.max_failed.is_some_and(too_many) {
        session.end_with(Over::TooManyFailed, "too many trials of the sweep failed");
    } else if session.over.as_ref().is_none_or(|over| *over == Over::Exhausted) && session.lacks_metric() {
        session.end_with(Over::NoMetric, "the trials of the sweep do not log its metric");
    } else if session.declared.max_duration.is_some_and(|most| now.saturating_sub(session.since) >= most) {
        session.end_with(Over::TimeUp, "the sweep's `max_duration` is over");
    }
}
