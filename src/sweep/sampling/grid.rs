//! Every point of a space, in the order of the text, the last parameter fastest.

use super::super::space::Space;
use super::super::{Seen, Values};
use super::{Known, Sampler};

/// The grid.
pub(super) struct Grid {
    space: Space,
    /// All before it were proposed.
    next: u64,
    known: Known,
}

impl Grid {
    pub(super) fn new(space: Space) -> Self {
        Self { space, next: 0, known: Known::default() }
    }
}

impl Sampler for Grid {
    /// The first point that was not proposed yet: so a grid that grew goes on with what is new.
    fn propose(&mut self, seen: &Seen) -> Option<Values> {
        let known = self.known.catch_up(seen, false);
        if known.is_anew {
            self.next = 0;
        }
        loop {
            let values = self.space.values(&self.space.nth(self.next)?);
            if !known.has(&values) {
                return Some(values);
            }
            self.next += 1;
        }
    }
}
