//! What was asked for on the command line, as far as it shapes the plan.

use std::collections::BTreeMap;

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Goals: names, cells (`train[alpha=0.1]`), globs (`train*`), output paths (relative to the Amlfile's folder). None: all.
    pub goals: Vec<String>,
    /// `--set NAME=VALUE`, as typed.
    pub set: Vec<(String, String)>,
    /// `--target NAME`: for every job.
    pub target: Option<String>,
    /// The environment variables of this invocation, for `${env.X}`.
    pub variables: BTreeMap<String, String>,
}
