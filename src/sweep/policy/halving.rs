//! Successive halving without waiting, and Hyperband over it.
//!
//! `asha`: Li et al., "A System for Massively Parallel Hyperparameter Tuning", `MLSys` 2020 (arXiv 1810.05934), as the
//! stopping rule that follows from it where trials are not paused: a trial that comes to a rung goes on where it is among
//! the best `1/reduction_factor` of those that came there so far.
//!
//! `hyperband`: Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18, 2018: brackets
//! that begin to cut at different resources. Each trial belongs to a bracket by its number, in the proportions of the paper;
//! within its bracket it is judged as by `asha`.

use super::{Broken, Curve, Decision, Policy, Rung, When, stop};
use crate::project::sweep::Halving;

/// The rungs of a bracket: at these intervals it is cut.
#[derive(Debug, Clone)]
struct Ladder {
    when: When,
    rungs: Vec<usize>,
    factor: u32,
}

impl Ladder {
    /// From the first rung on, each `factor` times as far as the one before it, and none at the end of a whole trial.
    fn new(when: When, first: u64, halving: Halving) -> Self {
        /// No trial logs more values.
        const END: u64 = 1 << 40;
        let end = halving.max.map_or(END, u64::from);
        let factor = u64::from(halving.factor.max(2));
        let interval = when.interval.max(1) as u64;
        let mut rungs = Vec::new();
        let mut rung = first.max(1);
        while rung < end {
            let applied = usize::try_from(rung.div_ceil(interval) * interval).unwrap_or(usize::MAX);
            if applied >= when.delay && rungs.last() != Some(&applied) && (applied as u64) < end {
                rungs.push(applied);
            }
            rung = rung.saturating_mul(factor);
        }
        Self { when, rungs, factor: halving.factor.max(2) }
    }

    /// The first rung among those that the trial came to lately at which it is not kept, and its value there.
    fn cut<'c, 'v: 'c>(
        &self,
        trial: &Curve<'_>,
        peers: &(impl Iterator<Item = &'c Curve<'v>> + Clone),
    ) -> Option<(usize, Option<f64>, Rung)> {
        let lately = self.rungs.iter().filter(|rung| trial.judged < **rung && **rung <= trial.values.len());
        lately.copied().find_map(|point| {
            let mine = self.when.best(trial, point);
            let came = peers.clone().filter(|peer| peer.number != trial.number && peer.values.len() >= point);
            let (rank, of) = self.when.rank(mine, came.map(|peer| self.when.best(peer, point)));
            let kept = (of / self.factor).max(1);
            (rank > kept).then_some((point, mine, Rung { rank, of, kept }))
        })
    }
}

/// Asynchronous successive halving.
pub(super) struct Asha(Ladder);

impl Asha {
    pub(super) fn new(when: When, halving: Halving) -> Self {
        Self(Ladder::new(when, u64::from(halving.min), halving))
    }
}

impl Policy for Asha {
    fn judge(&self, trial: &Curve<'_>, others: &[Curve<'_>]) -> Decision {
        match self.0.cut(trial, &others.iter()) {
            Some((point, value, rung)) => stop(point, value, Broken::Asha(rung)),
            None => Decision::Continue,
        }
    }
}

/// Brackets of successive halving.
pub(super) struct Hyperband {
    /// By the paper's `s`.
    brackets: Vec<Ladder>,
    /// The bracket of each trial of a round.
    round: Vec<usize>,
}

impl Hyperband {
    pub(super) fn new(when: When, halving: Halving) -> Self {
        let (first, factor) = (u64::from(halving.min.max(1)), u64::from(halving.factor.max(2)));
        let most = u64::from(halving.max.unwrap_or(halving.min));
        // s_max = floor(log_η(R / r_min))
        let mut starts = vec![first];
        while let Some(next) = starts.last().map(|rung| rung.saturating_mul(factor)).filter(|next| *next <= most) {
            starts.push(next);
        }
        let count = starts.len() as u64;
        // n = ceil((s_max + 1) / (s + 1) * η^s)
        let shares = (0_u32..).take(starts.len());
        let shares = shares.map(|s| count.saturating_mul(factor.saturating_pow(s)).div_ceil(u64::from(s) + 1));
        let brackets = starts.iter().rev().map(|start| Ladder::new(when, *start, halving)).collect();
        Self { brackets, round: round(&shares.collect::<Vec<_>>()) }
    }

    fn bracket(&self, number: u32) -> usize {
        self.round.get(number as usize % self.round.len().max(1)).copied().unwrap_or(0)
    }
}

/// Of every round of as many trials as all brackets have, each bracket has its share, mixed evenly, so that a sweep that
/// ends early had some of all.
fn round(shares: &[u64]) -> Vec<usize> {
    /// More trials than any sweep has.
    const LONGEST: u64 = 1 << 13;
    let all = shares.iter().fold(0_u64, |sum, share| sum.saturating_add(*share));
    let mut given = vec![0_u64; shares.len()];
    let turns = 1..=all.min(LONGEST);
    turns
        .map(|turn| {
            // The one that lags most behind its share; of several the one that cuts most.
            let lag = |s: usize| i128::from(turn) * i128::from(shares[s]) - i128::from(given[s]) * i128::from(all);
            let chosen = (0..shares.len()).max_by_key(|s| (lag(*s), *s)).unwrap_or(0);
            given[chosen] += 1;
            chosen
        })
        .collect()
}

impl Policy for Hyperband {
    fn judge(&self, trial: &Curve<'_>, others: &[Curve<'_>]) -> Decision {
        let bracket = self.bracket(trial.number);
        let Some(ladder) = self.brackets.get(bracket) else { return Decision::Continue };
        let peers = others.iter().filter(|other| self.bracket(other.number) == bracket);
        match ladder.cut(trial, &peers) {
            Some((point, value, rung)) => {
                let bracket = u32::try_from(bracket).unwrap_or(u32::MAX);
                stop(point, value, Broken::Hyperband { bracket, rung })
            }
            None => Decision::Continue,
        }
    }
}
