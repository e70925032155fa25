//! What is on record of runs that nobody saw the end of, and what a prefix may mean.

use std::collections::BTreeMap;

use super::{Ended, Status};
use crate::clock::Timestamp;
use crate::ids::RunId;
use crate::launch::{Outcome, Usage};

/// The end of a run whose invocation died under it, found out by another one at `noticed`.
pub(super) fn lost(run: RunId, noticed: Timestamp) -> Ended {
    let why = "amlrun ended while this run went on".to_owned();
    Ended {
        run,
        status: Status::NotResponding,
        outcome: Outcome::Broken { why },
        ended: noticed,
        usage: Usage::default(),
        outputs: Vec::new(),
        kept: Vec::new(),
        metrics: BTreeMap::new(),
        cached: false,
        inputs_moved: false,
        notes: vec![format!("amlrun ended while this run went on; the next one noticed at {noticed}")],
        logged: None,
    }
}

/// Runs that a prefix could mean, as in `1f0c3a9be2d4 (train)`: the first few.
pub(super) fn candidates(runs: &[(String, String)]) -> Vec<String> {
    let shown = |(id, job): &(String, String)| format!("{} ({job})", id.get(..12).unwrap_or(id));
    let mut list: Vec<String> = runs.iter().take(5).map(shown).collect();
    if runs.len() > 5 {
        list.push("…".to_owned());
    }
    list
}
