//! A sweep is taken up where it was, or begun anew.

use std::collections::BTreeMap;

use super::search::Search;
use super::session::{Ending, Going, Session};
use crate::digest::{Digest, Digester};
use crate::engine::EngineError;
use crate::engine::judging::Judge;
use crate::engine::measuring::Counter;
use crate::engine::turn::{Engine, Starter};
use crate::event::{Ahead, Event, Tally};
use crate::history::Entry;
use crate::history::sweeps::{Sweep, SweepState, Trial, TrialState};
use crate::ids::{JobId, JobName};
use crate::plan::job::Role;
use crate::plan::trial::{ENDS, is_definition, left_to_search};
use crate::project::sweep as declared;
use crate::staleness::{Fingerprint, Reason};
use crate::store::snapshot;
use crate::sweep::Space;

/// What the proposals of a sweep and their results depend on: all that the sweep itself does, but for what only says when
/// it ends.
fn key(job: &JobName, fingerprint: &Fingerprint) -> Digest {
    let mut of = fingerprint.clone();
    of.params.retain(|name, _| !ENDS.contains(&name.as_str()));
    Digester::new("amlrun sweep 1").field("job", &job.0).bytes(of.digest().as_bytes()).finish()
}

impl Engine<'_, '_, '_> {
    /// Begins with a sweep that is stale, or waits for another invocation that does.
    pub(in crate::engine) fn begin_sweep(
        &mut self,
        node: JobId,
        fingerprint: Fingerprint,
        reasons: Vec<Reason>,
        committer: Starter<'_>,
    ) -> Result<(), EngineError> {
        let work = self.judge.work;
        let job = work.job(node);
        let Some(declared) = work.project.experiments[job.experiment].sweep.as_deref() else { return Ok(()) };
        let lock = key(&job.name, &fingerprint);
        if !self.judge.world.locks.try_lock(&lock) {
            self.wait_for(node, lock);
            return Ok(());
        }
        let orders = self.judge.orders(node);
        let may_be_fresh = !orders.force && !orders.no_cache;
        if may_be_fresh && self.judge.fresh_meanwhile(node, fingerprint.digest())? {
            self.judge.world.locks.release(&lock);
            self.moves.entry(node).or_default();
            self.schedule.judge_again(node);
            return Ok(());
        }
        self.begin(committer);
        self.keep_nodes()?;
        if !self.keep_sources_of(node)? {
            self.moved(node, Some(lock));
            return Ok(());
        }
        let known = known(&self.judge, node, lock)?;
        let record = self.record_of(node, declared, lock, known.as_ref());
        let trials: Vec<Going> =
            taken_up(&self.judge, known.as_ref(), declared)?.into_iter().map(|trial| Going::new(trial, true)).collect();
        let earlier = match self.earlier(declared)? {
            Ok(earlier) => earlier,
            Err(why) => {
                self.judge.world.locks.release(&lock);
                self.fail_before_start(node, why);
                return Ok(());
            }
        };
        let at_once = self.at_once(node, declared);
        let search = Search::new(declared, &job.cell, &earlier);
        let over: Vec<&Trial> = trials.iter().map(|going| &going.trial).filter(|trial| trial.state.is_over()).collect();
        self.teller.tell(Event::SweepStarted {
            job: node,
            sweep: record.id.clone(),
            sampling: record.sampling.clone(),
            metric: record.metric.clone(),
            maximize: record.maximize,
            max_trials: record.max_trials,
            trial_timeout: declared.trial_timeout.map(|limit| limit.as_secs()),
            known: over.len(),
            tally: tally(&search, &over),
            reasons: reasons.clone(),
        });
        self.order(vec![Entry::Sweep(Box::new(record.clone()))], None, None, crate::store::Hold::default());
        let mut session = Session {
            node,
            declared,
            record,
            lock,
            fingerprint,
            reasons,
            search,
            trials: Vec::with_capacity(trials.len()),
            settled: 0,
            firsts: BTreeMap::new(),
            of: BTreeMap::new(),
            at_once,
            since: self.judge.world.clock.elapsed(),
            over: None,
            ending: Ending::No,
            lost: 0,
            is_told_of_size: false,
        };
        for going in trials {
            session.add(going);
        }
        self.started.insert(node, session.since);
        self.sweeps.going.insert(node, session);
        Ok(())
    }

    /// A sweep as it goes on record when it is begun with.
    fn record_of(&self, node: JobId, declared: &declared::Sweep, lock: Digest, known: Option<&Sweep>) -> Sweep {
        let work = self.judge.work;
        let job = work.job(node);
        Sweep {
            id: known.map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), |known| known.id.clone()),
            job: job.name.clone(),
            experiment: work.project.experiments[job.experiment].name.clone(),
            key: lock,
            invocation: self.invocation.id.clone(),
            started: known.map_or_else(|| self.judge.world.clock.now(), |known| known.started),
            ended: None,
            state: SweepState::Running,
            metric: declared.metric.clone(),
            maximize: declared.maximize,
            sampling: declared.sampling.name().to_owned(),
            max_trials: declared.max_trials,
            best: None,
            run: None,
            why: None,
        }
    }

    /// How many trials may go on at once.
    fn at_once(&self, node: JobId, declared: &declared::Sweep) -> usize {
        let job = self.judge.work.job(node);
        let at_once = if self.judge.world.remotes.contains_key(&job.target) {
            crate::engine::drive::ELSEWHERE
        } else {
            self.schedule.room(crate::engine::drive::demand(job))
        };
        let at_once = declared.max_concurrent.map_or(at_once, |most| most.min(at_once)).max(1);
        usize::try_from(at_once).unwrap_or(1)
    }

    /// The trials of the sweeps that a sweep resumes from, each named by its identity's beginning, its job or its
    /// experiment (then it is the newest); or which is not on record.
    fn earlier(&self, declared: &declared::Sweep) -> Result<Result<Vec<Trial>, String>, EngineError> {
        let mut earlier = Vec::new();
        if declared.resume_from.is_empty() {
            return Ok(Ok(earlier));
        }
        let sweeps = self.judge.history.sweeps()?;
        for name in &declared.resume_from {
            let is_it =
                |sweep: &&Sweep| sweep.id.starts_with(name) || sweep.job.0 == *name || sweep.experiment == *name;
            let Some(found) = sweeps.iter().find(is_it) else {
                return Ok(Err(format!("`resume_from` names `{name}`, and no such sweep is on record")));
            };
            if found.metric != declared.metric || found.maximize != declared.maximize {
                return Ok(Err(format!(
                    "`resume_from` names `{name}`, which compared another metric or had another goal"
                )));
            }
            earlier.extend(self.judge.history.trials(&found.id)?);
        }
        Ok(Ok(earlier))
    }

    /// Keeps the sources that all trials run from; false where they are not what was judged any more.
    fn keep_sources_of(&self, node: JobId) -> Result<bool, EngineError> {
        let (found, world) = (&self.judge.found, self.judge.world);
        let Some(at) = found.spec_of[node.0] else { return Ok(true) };
        let kept = snapshot::keep_sources(world.store, world.ground, &found.specs[at], &Counter::default());
        let kept = kept.map_err(|error| EngineError::State {
            doing: "keep the sources of",
            path: world.root.join(found.specs[at].directory.as_path()),
            why: error.to_string(),
        })?;
        Ok(kept.content.digest == found.sources[at].content.digest)
    }
}

/// The sweep on record that a run goes on with; none where it begins anew.
fn known(judge: &Judge<'_>, node: JobId, key: Digest) -> Result<Option<Sweep>, EngineError> {
    let (job, orders) = (judge.work.job(node), judge.orders(node));
    let may_be_fresh = !orders.force && !orders.no_cache;
    let known = judge.history.sweeps()?.into_iter().find(|sweep| sweep.key == key && sweep.job == job.name);
    Ok(known.filter(|sweep| may_be_fresh || judge.resume || (!orders.force && sweep.state != SweepState::Completed)))
}

/// The trials of a sweep that is taken up.
fn taken_up(judge: &Judge<'_>, known: Option<&Sweep>, declared: &declared::Sweep) -> Result<Vec<Trial>, EngineError> {
    let Some(known) = known else { return Ok(Vec::new()) };
    let mut trials = judge.history.trials(&known.id)?;
    if let Some(most) = declared.max_trials {
        trials.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    }
    for trial in &mut trials {
        // What was under way goes on as a proposal; and after a sweep that failed, what failed is tried again.
        if !trial.state.is_over() || (known.state == SweepState::Failed && trial.state == TrialState::Failed) {
            trial.state = TrialState::Proposed;
        }
    }
    Ok(trials)
}

/// What a run of a sweep would find on record, without proposing anything; none of what is no sweep.
///
/// # Errors
/// Where the history cannot be read.
pub fn ahead(judge: &Judge<'_>, node: JobId, fingerprint: &Fingerprint) -> Result<Option<Ahead>, EngineError> {
    let job = judge.work.job(node);
    let declared = judge.work.project.experiments[job.experiment].sweep.as_deref();
    let Some(declared) = declared.filter(|_| job.role == Role::Sweep) else { return Ok(None) };
    let known = known(judge, node, key(&job.name, fingerprint))?;
    let trials = taken_up(judge, known.as_ref(), declared)?;
    let over: Vec<&Trial> = trials.iter().filter(|trial| trial.state.is_over()).collect();
    let count = |is: &dyn Fn(&Trial) -> bool| over.iter().filter(|trial| is(trial)).count();
    let points = match declared.sampling {
        declared::Sampling::Grid => Space::of(&left_to_search(declared, &job.cell)).size(),
        _ => None,
    };
    let most = declared.max_trials.map(u64::from).into_iter().chain(points).min();
    let most = most.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    Ok(Some(Ahead {
        recorded: over.len(),
        cached: count(&|trial| trial.cached),
        failed: count(&|trial| trial.state == TrialState::Failed),
        stopped: count(&|trial| trial.state == TrialState::Stopped),
        at_most: most.map(|most| most.saturating_sub(over.len())),
    }))
}

/// What is known of trials that are over.
fn tally(search: &Search, over: &[&Trial]) -> Tally {
    let count = |is: &dyn Fn(&Trial) -> bool| over.iter().filter(|trial| is(trial)).count();
    let best = search.best(over.iter().copied()).and_then(|best| over.iter().find(|trial| trial.number == best));
    Tally {
        failed: count(&|trial| trial.state == TrialState::Failed),
        stopped: count(&|trial| trial.state == TrialState::Stopped),
        cached: count(&|trial| trial.cached),
        best: best.and_then(|best| Some((best.number, best.objective?))),
    }
}

/// The values of a job that are not the definition of its sweep.
pub(super) fn plain(name: &str) -> bool {
    !is_definition(name)
}
