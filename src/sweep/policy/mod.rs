//! When a trial is not worth going on with.
//!
//! The engine asks at every logging of the primary metric, and acts on the answer at once. An interval is one logging: a
//! trial is *at interval N* when it logged N values. A rule is applied at every multiple of `evaluation_interval` that is
//! at least `delay_evaluation`, once: [`Curve::judged`] says up to where it was, so that several values that were read at
//! once are judged one by one.
//!
//! What counts at interval N, of the trial and of the others, are values up to N only. Of the others those take part that
//! logged N values, whatever became of them, and those that ended well with fewer, with what they have. NaN and infinite
//! values are intervals but no numbers; a trial without any number is worse than all others. Equal is never worse.

mod halving;
mod original;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::Goal;
use crate::project::sweep::{Rule, Sweep};

/// What a trial logged. It borrows the values: at every logging all trials of a sweep are looked at, however long their
/// curves are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve<'v> {
    /// The trial's number.
    pub number: u32,
    /// The values of the primary metric in the order of their logging.
    pub values: &'v [f64],
    /// So many of them were judged before; the engine counts them: after each judgement it is the length of `values`. Of
    /// the others it is not looked at.
    pub judged: usize,
    /// Where the trial is.
    pub phase: Phase,
}

/// Where a trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It may log more.
    Running,
    /// It ended well.
    Done,
    /// It failed, was cancelled, or a policy ended it.
    Ended,
}

/// A rule of early termination.
pub trait Policy {
    /// Whether a trial goes on, given the others: all trials of the sweep that logged anything. The trial itself may be
    /// among them; it is told by its number and left out.
    fn judge(&self, trial: &Curve<'_>, others: &[Curve<'_>]) -> Decision;
}

/// What becomes of a trial.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It goes on.
    Continue,
    /// It is ended, and recorded as cancelled with this reason.
    Stop(Stop),
}

/// Why a trial was ended, with the numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// The interval at which it was judged.
    pub interval: u32,
    /// The trial's best value up to there; none where it logged no number.
    pub value: Option<f64>,
    /// The rule, and what the value was held against.
    #[serde(flatten)]
    pub rule: Broken,
}

/// The rule that a trial did not meet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum Broken {
    /// Worse than the best by more than the slack.
    Bandit {
        /// The best value of the others at the interval.
        best: f64,
        /// The trial that it is from.
        of: u32,
        /// The value that the trial would have needed.
        bound: f64,
        /// `slack_factor`, where it is that.
        slack_factor: Option<f64>,
        /// `slack_amount`, where it is that.
        slack_amount: Option<f64>,
    },
    /// Its best is worse than the median of the running averages.
    MedianStopping {
        /// The median; none where half of the trials logged no number.
        median: Option<f64>,
        /// Of so many trials, this one included.
        of: u32,
    },
    /// Among the worst.
    TruncationSelection {
        /// Its rank, 1 for the best.
        rank: u32,
        /// Of so many trials, this one included.
        of: u32,
        /// So many of them are ended.
        cut: u32,
        /// `truncation_percentage`.
        truncation_percentage: u32,
    },
    /// Not among those of its rung that go on.
    Asha(Rung),
    /// Not among those of its rung that go on, in its bracket.
    Hyperband {
        /// The bracket, named as in the paper: the highest begins with the fewest intervals.
        bracket: u32,
        /// The rung.
        #[serde(flatten)]
        rung: Rung,
    },
}

/// What a trial's value was held against at a rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Its rank among those that came to the rung so far, 1 for the best.
    pub rank: u32,
    /// Of so many, this one included.
    pub of: u32,
    /// So many of them go on.
    pub kept: u32,
}

/// The policy of a sweep.
#[must_use]
pub fn policy(sweep: &Sweep) -> Box<dyn Policy + Send + Sync> {
    let Some(termination) = sweep.termination else { return Box::new(Never) };
    let when =
        When { goal: Goal::of(sweep), interval: termination.interval as usize, delay: termination.delay as usize };
    match termination.rule {
        Rule::Never => Box::new(Never),
        Rule::Bandit(slack) => Box::new(original::Bandit { when, slack }),
        Rule::Median => Box::new(original::Median { when }),
        Rule::Truncation(percentage) => Box::new(original::Truncation { when, percentage }),
        Rule::Asha(halving) => Box::new(halving::Asha::new(when, halving)),
        Rule::Hyperband(halving) => Box::new(halving::Hyperband::new(when, halving)),
    }
}

/// When a rule is applied, and which way is better.
#[derive(Debug, Clone, Copy)]
struct When {
    goal: Goal,
    interval: usize,
    delay: usize,
}

impl When {
    /// The intervals of a trial at which it is to be judged now.
    fn points(self, trial: &Curve<'_>) -> impl Iterator<Item = usize> {
        let interval = self.interval.max(1);
        let first = (trial.judged + 1).max(self.delay).div_ceil(interval).max(1) * interval;
        (first..=trial.values.len()).step_by(interval)
    }

    /// The best up to an interval.
    fn best(self, curve: &Curve<'_>, point: usize) -> Option<f64> {
        self.goal.best(up_to(curve, point))
    }

    /// Whether a value is worse than another one; one that is missing is worse than all.
    fn is_worse(self, a: Option<f64>, b: Option<f64>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => self.goal.is_better(b, a),
            (a, b) => a.is_none() && b.is_some(),
        }
    }

    /// The rank of a value among others, 1 for the best: one more than there are better ones; and of how many.
    fn rank(self, value: Option<f64>, others: impl Iterator<Item = Option<f64>>) -> (u32, u32) {
        let (mut rank, mut of) = (1, 1);
        for other in others {
            of += 1;
            rank += u32::from(self.is_worse(value, other));
        }
        (rank, of)
    }
}

/// The others that take part at an interval.
fn part<'c, 'v>(trial: &Curve<'_>, others: &'c [Curve<'v>], point: usize) -> impl Iterator<Item = &'c Curve<'v>> {
    let number = trial.number;
    others.iter().filter(move |other| {
        let came = other.values.len() >= point || other.phase == Phase::Done && !other.values.is_empty();
        other.number != number && came
    })
}

fn up_to<'v>(curve: &Curve<'v>, point: usize) -> &'v [f64] {
    curve.values.get(..point).unwrap_or(curve.values)
}

/// A trial is ended at this interval.
fn stop(point: usize, value: Option<f64>, rule: Broken) -> Decision {
    Decision::Stop(Stop { interval: u32::try_from(point).unwrap_or(u32::MAX), value, rule })
}

/// Lets every trial run to its end.
struct Never;

impl Policy for Never {
    fn judge(&self, _: &Curve<'_>, _: &[Curve<'_>]) -> Decision {
        Decision::Continue
    }
}
