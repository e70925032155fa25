//! A sweep that goes on: its trials, what may begin next, and when it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::follow::Files;
use super::search::Search;
use super::stop::Stop;
use crate::digest::Digest;
use crate::history::Ended;
use crate::history::sweeps::{Sweep, Trial, TrialState};
use crate::ids::{JobId, JobName, RunId};
use crate::logged::{Logged, Series};
use crate::project::sweep as declared;
use crate::staleness::{Fingerprint, Reason, Recorded};
use crate::tracking::Tail;

/// Proposals of a search that does not learn are put on record so many at once.
const AHEAD: usize = 64;

/// A trial in this invocation.
#[derive(Debug)]
pub struct Going {
    /// As it is on record.
    pub trial: Trial,
    /// The job, from when it may begin.
    pub job: Option<JobId>,
    /// How it is ended before its time.
    pub stop: Stop,
    /// Whether something of it is under way in this invocation.
    pub is_open: bool,
    /// Whether its proposal is on disk.
    pub is_durable: bool,
    /// What it left, where that was learnt in this invocation.
    pub left: Option<Left>,
    /// How far what it logs to its run was read.
    pub tail: Tail,
    /// How far its metric files were read.
    pub growing: Files,
    /// So many of the logged values were judged.
    pub judged: usize,
}

impl Going {
    /// A trial of which nothing is under way.
    #[must_use]
    pub fn new(trial: Trial, is_durable: bool) -> Self {
        Self {
            trial,
            job: None,
            stop: Stop::default(),
            is_open: false,
            is_durable,
            left: None,
            growing: Files::new(),
            tail: Tail::default(),
            judged: 0,
        }
    }
}

/// Why nothing more is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// All that was asked for was proposed.
    Exhausted,
    /// `max_duration` is over.
    TimeUp,
    /// More trials failed than may.
    TooManyFailed,
    /// What the trials run from is no longer what it was: the sweep is judged again.
    Moved,
    /// The user canceled it.
    Canceled,
    /// No trial logs the metric.
    NoMetric,
}

/// A sweep in this invocation.
pub struct Session<'p> {
    /// The job that it is.
    pub node: JobId,
    /// What the Amlfile says.
    pub declared: &'p declared::Sweep,
    /// As it is on record.
    pub record: Sweep,
    /// What is held while it goes on, so that no two invocations do.
    pub lock: Digest,
    /// What the sweep's own result depends on.
    pub fingerprint: Fingerprint,
    /// Why it was stale.
    pub reasons: Vec<Reason>,
    /// The pure half.
    pub search: Search,
    /// By number.
    pub trials: Vec<Going>,
    /// What all looks at the trials leave out, so that a look does not cost more the longer a sweep goes on: nothing
    /// happens any more to so many of the first of them.
    pub settled: usize,
    /// The first trial of each job.
    pub firsts: BTreeMap<JobName, usize>,
    /// The numbers of the trials of this invocation's jobs.
    pub of: BTreeMap<JobId, usize>,
    /// So many at once.
    pub at_once: usize,
    /// When it began, in this invocation.
    pub since: Duration,
    /// Why nothing more is proposed.
    pub over: Option<Over>,
    /// How far its end is.
    pub ending: Ending,
    /// How often what the best trial left was not to be had.
    pub lost: u32,
    /// Whether it was told that a file is too large to be followed.
    pub is_told_of_size: bool,
}

/// How far the end of a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Trials are under way, or to be.
    No,
    /// The run that stands for it is being put on record.
    Recording,
    /// That is on disk.
    Recorded,
    /// What the best trial left is being published.
    Publishing,
}

/// What the run of a trial left.
#[derive(Debug, Clone)]
pub struct Left {
    /// The run.
    pub run: RunId,
    /// Its declared outputs.
    pub outputs: Vec<Recorded>,
    /// Its `outputs/`.
    pub kept: Vec<Recorded>,
    /// Its metrics.
    pub metrics: BTreeMap<String, f64>,
    /// The primary metric as it was logged.
    pub logged: Vec<f64>,
}

/// The values of a metric as a run logged them, or the one number that is on record.
fn values_of(logged: Option<&Logged>, metrics: &BTreeMap<String, f64>, metric: &str) -> Vec<f64> {
    let own = |series: &&Series| series.of.is_none() && series.name == metric;
    let series = logged.and_then(|logged| logged.series.iter().find(own));
    match series {
        Some(series) => series.points.iter().map(|point| point.value).collect(),
        None => metrics.get(metric).copied().into_iter().collect(),
    }
}

impl Left {
    /// What a run that ended left.
    #[must_use]
    pub fn of(ended: &Ended, logged: Option<&Logged>, metric: &str) -> Self {
        Self {
            logged: values_of(logged, &ended.metrics, metric),
            run: ended.run.clone(),
            outputs: ended.outputs.clone(),
            kept: ended.kept.clone(),
            metrics: ended.metrics.clone(),
        }
    }
}

impl Session<'_> {
    /// The trials as they are on record.
    pub fn seen(&self) -> impl ExactSizeIterator<Item = &Trial> {
        self.trials.iter().map(|going| &going.trial)
    }

    /// Proposes nothing more, and ends what is under way; the first reason stays.
    pub fn end_with(&mut self, over: Over, why: &str) {
        if self.ending == Ending::No && self.over.as_ref().is_none_or(|was| *was == Over::Exhausted) {
            self.unsettled().filter(|(_, of)| of.is_open).for_each(|(_, going)| going.stop.ask(why.to_owned()));
            self.over = Some(over);
        }
    }

    /// Whether so many trials ended well without the metric that none will have it: another script, another name. At once
    /// would be too early, as a single trial may have nothing to tell.
    #[must_use]
    pub fn lacks_metric(&self) -> bool {
        /// At least so many.
        const LEAST: usize = 3;
        self.trials.iter().all(|going| going.trial.logged.is_empty())
            && self.count(TrialState::Completed) >= self.at_once.max(LEAST)
    }

    /// Adds a trial.
    pub fn add(&mut self, going: Going) {
        self.firsts.entry(going.trial.job.clone()).or_insert(self.trials.len());
        self.trials.push(going);
    }

    /// Those to which something may happen yet, with their numbers.
    pub fn unsettled(&self) -> impl Iterator<Item = (usize, &Going)> {
        self.trials.iter().enumerate().skip(self.settled)
    }

    /// Leaves out of further looks what is over.
    pub fn settle(&mut self) {
        let is_settled = |going: &&Going| going.trial.state.is_over() && !going.is_open;
        self.settled += self.trials.iter().skip(self.settled).take_while(is_settled).count();
    }

    /// A trial that was over is to run again.
    pub fn unsettle(&mut self, number: usize) {
        self.trials[number].left = None;
        self.trials[number].trial.state = TrialState::Proposed;
        self.settled = self.settled.min(number);
    }

    /// How many are under way.
    #[must_use]
    pub fn open(&self) -> usize {
        self.unsettled().filter(|(_, going)| going.is_open).count()
    }

    /// How many are in this state.
    #[must_use]
    pub fn count(&self, state: TrialState) -> usize {
        self.trials.iter().filter(|going| going.trial.state == state).count()
    }

    /// The next trial to begin: one that is proposed, on record, and not under way; nor is an earlier one of the same
    /// values, whose result it will have.
    #[must_use]
    pub fn next(&self) -> Option<usize> {
        let may = |(at, going): &(usize, &Going)| {
            let is_waiting = !going.trial.state.is_over() && !going.is_open && going.is_durable;
            is_waiting && self.twin(*at).is_none_or(|twin| self.trials[twin].trial.state.is_over())
        };
        self.unsettled().find(may).map(|(at, _)| at)
    }

    /// The first trial of the same values, where there is one before this.
    #[must_use]
    pub fn twin(&self, at: usize) -> Option<usize> {
        let first = *self.firsts.get(&self.trials.get(at)?.trial.job)?;
        (first < at).then_some(first)
    }

    /// Whether any trial waits to begin.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.unsettled().any(|(_, going)| !going.trial.state.is_over() && !going.is_open)
    }

    /// How many to propose now, so that no slot waits for a record.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let most = self.declared.max_trials.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let left = most.saturating_sub(self.trials.len());
        let waiting = self.unsettled().filter(|(_, going)| !going.trial.state.is_over() && !going.is_open).count();
        let wanted = if self.search.learns() {
            self.at_once.saturating_sub(self.open() + waiting)
        } else if waiting < AHEAD / 2 {
            AHEAD
        } else {
            0
        };
        wanted.min(left)
    }

    /// Whether there is room for another trial.
    #[must_use]
    pub fn has_room(&self, blocked: usize) -> bool {
        self.open().saturating_sub(blocked) < self.at_once
    }
}
