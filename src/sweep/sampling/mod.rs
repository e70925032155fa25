//! How the next point is chosen.
//!
//! A sampler's proposal follows from the sweep (its space, its seed) and from what was seen, from nothing else: whichever
//! process asks, and how often, it is the same. So nothing of a sampler is ever stored. A learner's proposal also depends
//! on which trials had ended when it was asked, which is a matter of time: a sweep that goes on after it was killed keeps
//! the proposals that are on record, and asks only for those after them.
//!
//! No sampler waits: it is asked whenever a slot is free, and knows which trials still run.
//!
//! No point is proposed twice, neither one of this sweep nor, but for grids, one of `resume_from`: a draw that was seen
//! is drawn again. A space of which every point was proposed has none left, and the sweep ends.

mod grid;
mod random;
mod sobol;
mod tpe;

use std::collections::BTreeSet;

use super::space::{Point, Space, key};
use super::{Goal, Seen, Values};
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
        Sampling::Bayesian => Box::new(tpe::Tpe::new(space, Goal::of(sweep), seed)),
    }
}

/// The points that were proposed already.
struct Known(BTreeSet<String>);

impl Known {
    /// Those of this sweep, and where `earlier` is set those of the sweeps that it resumes from.
    fn new(seen: &Seen, earlier: bool) -> Self {
        let earlier = seen.earlier.iter().filter(|_| earlier);
        Self(seen.trials.iter().chain(earlier).map(|trial| key(&trial.values)).collect())
    }

    fn has(&self, values: &Values) -> bool {
        self.0.contains(&key(values))
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
