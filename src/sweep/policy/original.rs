//! The three policies of the original (`azureml.train.hyperdrive`): bandit, median stopping, truncation selection.

use super::{Broken, Curve, Decision, Policy, When, part, stop, up_to};
use crate::project::sweep::Slack;
use crate::sweep::Goal;

/// Ends what is worse than the best by more than some slack.
pub(super) struct Bandit {
    pub when: When,
    pub slack: Slack,
}

impl Policy for Bandit {
    fn judge(&self, trial: &Curve<'_>, others: &[Curve<'_>]) -> Decision {
        for point in self.when.points(trial) {
            let mine = self.when.best(trial, point);
            let bests =
                part(trial, others, point).filter_map(|other| Some((self.when.best(other, point)?, other.number)));
            let leader = bests.reduce(|best, next| if self.when.goal.is_better(next.0, best.0) { next } else { best });
            let Some((best, of)) = leader else { continue };
            if mine.is_none_or(|mine| self.breaks(mine, best)) {
                let (slack_factor, slack_amount) = match self.slack {
                    Slack::Factor(factor) => (Some(factor), None),
                    Slack::Amount(amount) => (None, Some(amount)),
                };
                let rule = Broken::Bandit { best, of, bound: self.bound(best), slack_factor, slack_amount };
                return stop(point, mine, rule);
            }
        }
        Decision::Continue
    }
}

impl Bandit {
    /// The rule, in the original's form where it has one: maximising, with a positive best, `mine * (1 + slack) < best`. Its
    /// mirror image is `mine > best * (1 + slack)`. With a best below 0 these would end the best itself: there the worse
    /// side is the other one.
    fn breaks(&self, mine: f64, best: f64) -> bool {
        match (self.slack, self.when.goal) {
            (Slack::Factor(slack), Goal::Maximize) if best >= 0.0 => mine * (1.0 + slack) < best,
            (Slack::Factor(slack), Goal::Minimize) if best < 0.0 => mine * (1.0 + slack) > best,
            _ => self.when.goal.is_better(self.bound(best), mine),
        }
    }

    /// The least that a trial must have reached.
    fn bound(&self, best: f64) -> f64 {
        match (self.slack, self.when.goal) {
            (Slack::Amount(amount), Goal::Maximize) => best - amount,
            (Slack::Amount(amount), Goal::Minimize) => best + amount,
            (Slack::Factor(slack), goal) if (best >= 0.0) == (goal == Goal::Maximize) => best / (1.0 + slack),
            (Slack::Factor(slack), _) => best * (1.0 + slack),
        }
    }
}

/// Ends what never was as good as half of the others are on average.
pub(super) struct Median {
    pub when: When,
}

impl Policy for Median {
    fn judge(&self, trial: &Curve<'_>, others: &[Curve<'_>]) -> Decision {
        for point in self.when.points(trial) {
            let mine = self.when.best(trial, point);
            let all = part(trial, others, point).chain(std::iter::once(trial));
            let mut averages: Vec<Option<f64>> = all.map(|curve| average(up_to(curve, point))).collect();
            averages.sort_by(|a, b| match (a, b) {
                (Some(a), Some(b)) => a.total_cmp(b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            });
            if self.when.goal == Goal::Maximize {
                let numbers = averages.iter().take_while(|average| average.is_some()).count();
                averages[..numbers].reverse();
            }
            let median = middle(&averages);
            if self.when.is_worse(mine, median) {
                let of = u32::try_from(averages.len()).unwrap_or(u32::MAX);
                return stop(point, mine, Broken::MedianStopping { median, of });
            }
        }
        Decision::Continue
    }
}

/// The mean of the numbers among some values.
fn average(values: &[f64]) -> Option<f64> {
    // One after the other: a sum of large numbers could be infinite.
    let numbers = values.iter().filter(|value| value.is_finite());
    let (_, mean) = numbers.fold((0.0, None), |(count, mean), value| {
        let count = count + 1.0;
        (count, Some(mean.map_or(*value, |mean: f64| mean + (value / count - mean / count))))
    });
    mean
}

/// The median of sorted values; of an even number the mean of the two in the middle.
fn middle(sorted: &[Option<f64>]) -> Option<f64> {
    let high = sorted.get(sorted.len() / 2).copied().flatten()?;
    let low = sorted.get(sorted.len().saturating_sub(1) / 2).copied().flatten()?;
    Some(f64::midpoint(low, high))
}

/// Ends the worst few of a hundred.
pub(super) struct Truncation {
    pub when: When,
    pub percentage: u32,
}

impl Policy for Truncation {
    fn judge(&self, trial: &Curve<'_>, others: &[Curve<'_>]) -> Decision {
        for point in self.when.points(trial) {
            let mine = self.when.best(trial, point);
            let bests = part(trial, others, point).map(|other| self.when.best(other, point));
            let (rank, of) = self.when.rank(mine, bests);
            let cut = u32::try_from(u64::from(of) * u64::from(self.percentage) / 100).unwrap_or(of);
            if rank > of - cut.min(of) {
                let rule = Broken::TruncationSelection { rank, of, cut, truncation_percentage: self.percentage };
                return stop(point, mine, rule);
            }
        }
        Decision::Continue
    }
}
