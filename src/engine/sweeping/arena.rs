//! Jobs that are added while others run: a list that only grows, so that whoever holds a job keeps it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::plan::job::Job;

/// Places of the first block; each further one has twice as many.
const FIRST: usize = 64;
const BLOCKS: usize = 26;

/// The jobs. One thread adds, all may look.
#[derive(Debug, Default)]
pub struct Arena {
    blocks: [OnceLock<Box<[OnceLock<Job>]>>; BLOCKS],
    count: AtomicUsize,
}

/// The block of a place, and the place in it.
fn place(at: usize) -> (usize, usize) {
    let block = ((at / FIRST) + 1).ilog2() as usize;
    (block, at - FIRST * ((1 << block) - 1))
}

impl Arena {
    /// The job at a place.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&Job> {
        let (block, inside) = place(at);
        self.blocks.get(block)?.get()?.get(inside)?.get()
    }

    /// Adds a job; none where there is no place left (after more than a billion).
    pub fn add(&self, job: Job) -> Option<usize> {
        let at = self.count.fetch_add(1, Ordering::SeqCst);
        let (block, inside) = place(at);
        let made = || (0..FIRST << block).map(|_| OnceLock::new()).collect();
        let place = self.blocks.get(block)?.get_or_init(made).get(inside)?;
        place.set(job).is_ok().then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_each_other_from_block_to_block() {
        assert_eq!([0, 63, 64, 191, 192].map(place), [(0, 0), (0, 63), (1, 0), (1, 127), (2, 0)]);
        assert!(Arena::default().get(5).is_none());
    }
}
