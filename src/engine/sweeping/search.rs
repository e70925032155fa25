//! The thinking part of a sweep (`crate::sweep`) as the engine uses it: records in, values, reasons and the best trial out.

use crate::history::sweeps::{Trial, TrialState};
use crate::plan::trial::left_to_search;
use crate::project::sweep::{Sampling, Sweep};
use crate::sweep::policy::{Broken, Rung};
use crate::sweep::{self, Curve, Decision, Goal, Phase, Policy, Sampler, Seen, State};
use crate::value::Value;

/// A search that goes on.
pub struct Search {
    sampler: Box<dyn Sampler + Send>,
    policy: Box<dyn Policy + Send + Sync>,
    goal: Goal,
    learns: bool,
    /// Whether trials may be ended before their time.
    pub stops: bool,
    /// The names of the space, in the order of the text.
    names: Vec<String>,
    seen: Seen,
}

/// A trial as the thinking part sees it.
fn seen(trial: &Trial) -> sweep::Trial {
    let values = trial.values.iter().cloned().collect();
    sweep::Trial { number: trial.number, values, state: state(trial) }
}

fn state(trial: &Trial) -> State {
    match trial.state {
        TrialState::Proposed | TrialState::Running => State::Running,
        TrialState::Completed => State::Done(trial.objective),
        TrialState::Failed => State::Failed,
        TrialState::Stopped => State::Stopped(trial.objective),
    }
}

fn curve(trial: &Trial) -> Curve<'_> {
    let phase = match trial.state {
        TrialState::Proposed | TrialState::Running => Phase::Running,
        TrialState::Completed => Phase::Done,
        TrialState::Failed | TrialState::Stopped => Phase::Ended,
    };
    Curve { number: trial.number, values: &trial.logged, judged: 0, phase }
}

impl Search {
    /// The search of a sweep, but for what is `pinned`; `earlier` are the trials of the sweeps that it resumes from.
    #[must_use]
    pub fn new(sweep: &Sweep, pinned: &[(String, Value)], earlier: &[Trial]) -> Self {
        let open = left_to_search(sweep, pinned);
        Self {
            sampler: sweep::sampler(&open),
            policy: sweep::policy(&open),
            goal: Goal::of(sweep),
            learns: sweep.sampling == Sampling::Bayesian,
            stops: sweep.termination.is_some_and(|end| end.rule != crate::project::sweep::Rule::Never),
            names: sweep.names().into_iter().map(str::to_owned).collect(),
            seen: Seen { trials: Vec::new(), earlier: earlier.iter().map(seen).collect() },
        }
    }

    /// Whether proposals depend on what came of earlier ones.
    #[must_use]
    pub fn learns(&self) -> bool {
        self.learns
    }

    /// The values of the next trial, in the order of the space; none where it is exhausted.
    pub fn propose<'t>(&mut self, trials: impl ExactSizeIterator<Item = &'t Trial>) -> Option<Vec<(String, Value)>> {
        let known = self.seen.trials.len();
        if self.learns {
            for (at, trial) in trials.enumerate() {
                match self.seen.trials.get_mut(at) {
                    // Its values are what they were.
                    Some(known) => known.state = state(trial),
                    None => self.seen.trials.push(seen(trial)),
                }
            }
        } else {
            self.seen.trials.extend(trials.skip(known).map(seen));
        }
        let mut values: Vec<(String, Value)> = self.sampler.propose(&self.seen)?.into_iter().collect();
        let place = |name: &String| self.names.iter().position(|other| other == name);
        values.sort_by_key(|(name, _)| place(name));
        Some(values)
    }

    /// What a trial comes to by what it logged.
    #[must_use]
    pub fn objective(&self, logged: &[f64]) -> Option<f64> {
        self.goal.best(logged)
    }

    /// Why a running trial is not worth going on with, by what it logged after its first `judged` values.
    #[must_use]
    pub fn judge<'t>(&self, trial: &Trial, judged: usize, all: impl Iterator<Item = &'t Trial>) -> Option<String> {
        let of = Curve { judged, ..curve(trial) };
        let others: Vec<Curve<'_>> = all.filter(|other| !other.logged.is_empty()).map(curve).collect();
        match self.policy.judge(&of, &others) {
            Decision::Continue => None,
            Decision::Stop(stop) => Some(reason(&stop)),
        }
    }

    /// The best of the trials that ran to their end, which alone leave outputs.
    #[must_use]
    pub fn best<'t>(&self, trials: impl Iterator<Item = &'t Trial>) -> Option<u32> {
        let mut best: Option<(u32, f64)> = None;
        for trial in trials.filter(|trial| trial.state == TrialState::Completed) {
            let Some(value) = trial.objective.filter(|value| value.is_finite()) else { continue };
            if best.is_none_or(|(_, than)| self.goal.is_better(value, than)) {
                best = Some((trial.number, value));
            }
        }
        best.map(|(number, _)| number)
    }
}

/// Why a trial was stopped, with the numbers.
fn reason(stop: &sweep::Stop) -> String {
    let value = stop.value.map_or_else(|| "no number".to_owned(), |value| value.to_string());
    let rung = |rung: &Rung| format!("rank {} of {}, {} go on", rung.rank, rung.of, rung.kept);
    let why = match &stop.rule {
        Broken::Bandit { best, of, bound, slack_factor, slack_amount } => {
            let slack = match (slack_factor, slack_amount) {
                (Some(factor), _) => format!("slack_factor {factor}"),
                (None, Some(amount)) => format!("slack_amount {amount}"),
                (None, None) => String::new(),
            };
            format!("bandit: needed {bound}, as the best is {best} (trial {of}, {slack})")
        }
        Broken::MedianStopping { median, of } => {
            let median = median.map_or_else(|| "no number".to_owned(), |median| median.to_string());
            format!("median_stopping: the median of {of} trials is {median}")
        }
        Broken::TruncationSelection { rank, of, cut, truncation_percentage } => {
            format!("truncation_selection: rank {rank} of {of}, {cut} are ended ({truncation_percentage} %)")
        }
        Broken::Asha(at) => format!("asha: {}", rung(at)),
        Broken::Hyperband { bracket, rung: at } => format!("hyperband: {} in bracket {bracket}", rung(at)),
    };
    format!("{value} at interval {}; {why}", stop.interval)
}
