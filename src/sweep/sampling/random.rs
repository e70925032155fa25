//! Independent draws, each from its own stream of the seed: that of its number.

use super::super::rng::Rng;
use super::super::space::Space;
use super::super::{Seen, Values};
use super::{Known, Sampler, fresh};

/// Random sampling.
pub(super) struct Random {
    space: Space,
    seed: u64,
    known: Known,
}

impl Random {
    pub(super) fn new(space: Space, seed: u64) -> Self {
        Self { space, seed, known: Known::default() }
    }
}

impl Sampler for Random {
    fn propose(&mut self, seen: &Seen) -> Option<Values> {
        let mut rng = Rng::of(self.seed, &[seen.trials.len() as u64]);
        let mut other = rng.clone();
        let draws = std::iter::repeat_with(|| self.space.sample(&mut rng));
        fresh(&self.space, self.known.catch_up(seen, true), draws, |left| other.below(left))
    }
}
