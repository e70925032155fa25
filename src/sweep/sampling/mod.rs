//! How the next point is chosen.
//!
//! A sampler's proposal follows from the sweep (its space, its seed) and from what was seen, from nothing else: whichever
//! process asks, and how often, it is the same. So nothing of a sampler is ever stored; what it keeps in memory only spares
//! it to look at all trials again. A learner's proposal also depends
//! on which trials had ended when it was asked, which is a matter of time: a sweep that goes on after it was killed keeps
//! the proposals that are on record, and asks only for those after them.
//!
//! No sampler waits: it is asked whenever a slot is free, and knows which trials still run.
//!
//! No point is proposed twice, neither one of this sweep nor, but for grids, one of `resume_from`: a draw that was seen
//! is drawn again. A space of which every point was proposed has none left, and the sweep ends.

mod gaussian;
mod grid;
mod random;
mod sobol;
#[cfg(test)]
mod tests;
mod tpe;

use std::collections::BTreeSet;

use super::space::{Point, Space, key};
use super::{Goal, Seen, Trial, Values};
use crate::project::sweep::{Sampling, Sweep};

/// Chooses the next point.
pub trait Sampler {
    /// The point of the next trial, whose number is the count of `seen.trials`; none where the space is exhausted.
    fn propose(&mut self, seen: &Seen) -> Option<Values>;
}

/// The sampler of a sweep.
#[must_use]
pub fn sampler(sweep: &Sweep) -> Box<dyn Sampler + Send> {
    let space = Space::of(sweep);
    let seed = u64::from(sweep.seed);
    match sweep.sampling {
        Sampling::Grid => Box::new(grid::Grid::new(space)),
        Sampling::Random => Box::new(random::Random::new(space, seed)),
        Sampling::Sobol => Box::new(sobol::Sobol::new(space, seed)),
        Sampling::Bayesian => match gaussian::Gaussian::new(&space, Goal::of(sweep), seed) {
            Some(gaussian) => Box::new(gaussian),
            None => Box::new(tpe::Tpe::new(space, Goal::of(sweep), seed)),
        },
    }
}

/// The points that were proposed already, gathered while the list of trials grows: to make them anew for every proposal
/// would cost a sweep the square of its trials.
#[derive(Default)]
struct Known {
    keys: BTreeSet<String>,
    /// So many trials of `resume_from` and of the sweep itself are in it.
    counts: (usize, usize),
    /// The last of the sweep's own.
    last: Option<String>,
    /// Whether all were read anew the last time.
    is_anew: bool,
}

impl Known {
    /// Takes in what was proposed since it was asked last: trials of this sweep and, where `earlier` is set, those of the
    /// sweeps that it resumes from. A list that is not the one of the last time grown longer is read anew.
    fn catch_up(&mut self, seen: &Seen, earlier: bool) -> &Self {
        let of_earlier: &[Trial] = if earlier { &seen.earlier } else { &[] };
        let last = self.counts.1.checked_sub(1).map(|last| seen.trials.get(last).map(|trial| key(&trial.values)));
        let is_anew = self.counts.0 != of_earlier.len() || last.is_some_and(|last| last != self.last);
        self.is_anew = is_anew;
        if is_anew {
            *self = Self { is_anew, ..Self::default() };
            self.keys.extend(of_earlier.iter().map(|trial| key(&trial.values)));
            self.counts.0 = of_earlier.len();
        }
        for trial in seen.trials.iter().skip(self.counts.1) {
            let key = key(&trial.values);
            self.last = Some(key.clone());
            self.keys.insert(key);
        }
        self.counts.1 = seen.trials.len();
        self
    }

    fn has(&self, values: &Values) -> bool {
        self.keys.contains(&key(values))
    }
}

/// The first of these draws that is new. Where so many in a row are not that the space may be all but exhausted, the one
/// of the points that are left that `pick` chooses among their count; none where none is left.
fn fresh(
    space: &Space,
    known: &Known,
    draws: impl IntoIterator<Item = Point>,
    pick: impl FnOnce(usize) -> usize,
) -> Option<Values> {
    /// So many draws in a row may be known.
    const TRIES: usize = 200;
    /// A larger space is not exhausted by any sweep.
    const COUNTED: u64 = 1 << 20;
    let mut last = None;
    for point in draws.into_iter().take(TRIES) {
        let values = space.values(&point);
        if !known.has(&values) {
            return Some(values);
        }
        last = Some(values);
    }
    match space.size() {
        Some(size) if size <= COUNTED => {
            let points = (0..size).filter_map(|index| Some(space.values(&space.nth(index)?)));
            let left: Vec<Values> = points.filter(|values| !known.has(values)).collect();
            let chosen = pick(left.len());
            left.into_iter().nth(chosen)
        }
        // A normal distribution rounded to very few values; or a very uneven space.
        _ => last,
    }
}
