//! The thinking part of a sweep: what to try next, when a trial is not worth going on with, which trial is the best.
//!
//! The engine asks and carries out: it proposes by a [`Sampler`], runs each point as a job, hears what the trials log, asks
//! a [`Policy`] at every logging, and asks [`best`] at the end. What it asks with, [`Seen`] and [`Curve`], it makes from its
//! records, so that a sweep that was killed goes on where it was: nothing here remembers anything that could not be found
//! anew from the Amlfile's sweep (its seed above all) and what was seen.
//!
//! May never: read a file, a clock or any randomness but that of the seed, start a process or a thread, tell an event.
//!
//! ```text
//! project::sweep::Sweep ─▶ sampling::sampler ─propose(&Seen)─▶ Values (a job's parameters)
//!                       └▶ policy::policy ─judge(&Curve, others)─▶ Decision
//! ```
//!
//! Definitions, with what the original leaves open: `docs/sweeps.md`.

pub mod policy;
pub mod rng;
pub mod sampling;
pub mod space;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use policy::{Curve, Decision, Phase, Policy, Stop, policy};
pub use sampling::{Sampler, sampler};
pub use space::Space;

use crate::project::sweep::Sweep;
use crate::value::Value;

/// A point of a space: the value of each parameter that is set there. Parameters of nested choices that were not chosen
/// are missing.
pub type Values = BTreeMap<String, Value>;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Less is.
    Minimize,
    /// More is.
    Maximize,
}

impl Goal {
    /// The goal of a sweep.
    #[must_use]
    pub fn of(sweep: &Sweep) -> Self {
        if sweep.maximize { Self::Maximize } else { Self::Minimize }
    }

    /// Whether `a` is better than `b`; equal is not better.
    #[must_use]
    pub fn is_better(self, a: f64, b: f64) -> bool {
        match self {
            Self::Minimize => a < b,
            Self::Maximize => a > b,
        }
    }

    /// The best of what was logged: the objective of a trial. NaN and infinite values are no numbers here; nothing where
    /// there are no others.
    #[must_use]
    pub fn best(self, logged: &[f64]) -> Option<f64> {
        let finite = logged.iter().copied().filter(|value| value.is_finite());
        finite.reduce(|best, value| if self.is_better(value, best) { value } else { best })
    }
}

/// A trial as a learner sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Its number: 0 for the first that was proposed.
    pub number: u32,
    /// Its point.
    pub values: Values,
    /// What became of it.
    pub state: State,
}

/// What became of a trial. An objective is what [`Goal::best`] makes of what it logged; one that is NaN or infinite is as
/// good as none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum State {
    /// It was proposed: it waits or runs.
    Running,
    /// It ended well (or was restored). Without an objective it logged no number: learners take it for the worst.
    Done(Option<f64>),
    /// It failed, or took too long: learners take it for the worst.
    Failed,
    /// A policy ended it: learners take it for worse than those that ended well.
    Stopped(Option<f64>),
}

impl State {
    /// Its objective, where it has a number.
    #[must_use]
    pub fn objective(self) -> Option<f64> {
        match self {
            Self::Done(objective) | Self::Stopped(objective) => objective.filter(|value| value.is_finite()),
            Self::Running | Self::Failed => None,
        }
    }
}

/// What a sweep knows when it asks for the next point.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Every trial that was proposed so far, in the order of the numbers, whatever became of it. The next one's number is
    /// how many there are.
    pub trials: Vec<Trial>,
    /// The trials of the sweeps that this one resumes from (`resume_from`), in their order. Those whose points do not lie
    /// in the space teach nothing.
    pub earlier: Vec<Trial>,
}

/// The best of these trials: of those with a number as their objective, the one with the best; of several, the first. Trials
/// that failed are none of them; those that a policy ended are, as in the original. To leave them out (they publish no
/// outputs), filter before.
#[must_use]
pub fn best<'t>(trials: impl IntoIterator<Item = &'t Trial>, goal: Goal) -> Option<&'t Trial> {
    let valued = trials.into_iter().filter_map(|trial| Some((trial, trial.state.objective()?)));
    let best = valued.reduce(|best, next| if goal.is_better(next.1, best.1) { next } else { best });
    best.map(|(trial, _)| trial)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(number: u32, state: State) -> Trial {
        Trial { number, values: Values::new(), state }
    }

    #[test]
    fn the_best_is_the_first_of_the_best_numbers() {
        let trials = [
            trial(0, State::Done(Some(f64::NAN))),
            trial(1, State::Failed),
            trial(2, State::Done(Some(0.5))),
            trial(3, State::Stopped(Some(0.5))),
            trial(4, State::Done(Some(0.7))),
            trial(5, State::Done(Some(0.7))),
            trial(6, State::Done(Some(f64::INFINITY))),
            trial(7, State::Done(None)),
            trial(8, State::Running),
        ];
        assert_eq!(best(&trials, Goal::Minimize).map(|t| t.number), Some(2));
        assert_eq!(best(&trials, Goal::Maximize).map(|t| t.number), Some(4));
        assert_eq!(best(&trials[..2], Goal::Maximize), None);
        assert_eq!(best(&[], Goal::Maximize), None);
    }

    #[test]
    fn an_objective_is_the_best_number_that_was_logged() {
        let logged = [f64::NAN, 3.0, 1.0, f64::NEG_INFINITY, 2.0];
        assert_eq!(Goal::Minimize.best(&logged), Some(1.0));
        assert_eq!(Goal::Maximize.best(&logged), Some(3.0));
        assert_eq!(Goal::Maximize.best(&[f64::NAN]), None);
    }
}
