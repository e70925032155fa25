//! What is told of the trials of a sweep before any of them runs. Plain values of the events, made by `engine`.

use serde::{Deserialize, Serialize};

/// What earlier invocations made of the trials of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// So many failed, and are not tried again.
    pub failed: usize,
    /// So many were ended by the policy.
    pub stopped: usize,
    /// Of so many the run was known before.
    pub cached: usize,
    /// The number of the best so far, and its objective.
    pub best: Option<(u32, f64)>,
}

impl Tally {
    /// Whether there is nothing to be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a run of a sweep would find on record, and what would be left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// So many of its trials are over, and stay as they are.
    pub recorded: usize,
    /// Of so many of these the run was known before.
    pub cached: usize,
    /// So many of these failed.
    pub failed: usize,
    /// So many of these were ended by the policy.
    pub stopped: usize,
    /// So many would be begun at most: which of them are known from other runs is not known before they are proposed. None
    /// where the points of the space cannot be counted.
    pub at_most: Option<usize>,
}
