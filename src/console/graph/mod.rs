//! The graph of jobs: as a tree for people, as DOT and Mermaid for pictures, as JSON for programs.

mod drawings;
mod json;
mod tree;

pub use drawings::{dot, mermaid};
pub use json::json;
pub use tree::tree;

use crate::ids::JobId;
use crate::plan::job::{Job, Plan};

/// A plan's jobs with their identities, in the plan's order.
fn numbered(plan: &Plan) -> impl Iterator<Item = (JobId, &Job)> {
    plan.jobs.iter().enumerate().map(|(i, job)| (JobId(i), job))
}

#[cfg(test)]
mod tests;
