//! The engine: carries a plan out against the ports. It decides nothing itself: `staleness` judges, `schedule` orders.
//!
//! Called by `cli`. Its own thread owns all state and tells all events; hashing, building, running and collecting happen
//! on worker threads that answer by mail.

pub mod adopt;
mod argv;
mod aside;
pub mod attempt;
pub mod byproducts;
pub mod collect;
pub mod commit;
pub mod container;
pub mod drive;
pub mod elsewhere;
pub mod hearing;
pub mod heavy;
pub mod hints;
pub mod housekeeping;
pub mod in_place;
pub mod inspect;
pub mod interrupt;
pub mod judging;
pub mod keyed;
pub mod locks;
pub mod looking;
pub mod measuring;
pub mod memory;
mod parcel;
pub mod publish;
mod ranks;
pub mod recover;
pub mod settled;
pub mod sharing;
mod spark;
pub mod stage;
mod starting;
pub mod surroundings;
pub mod sweeping;
pub mod task;
pub mod telling;
mod tracked;
pub mod turn;
pub mod uncommitted;
pub mod variables;
pub mod workers;

use std::collections::BTreeMap;
use std::path::Path;

use self::sweeping::arena::Arena;
use crate::clock::Clock;
use crate::environment::Environments;
use crate::ids::JobId;
use crate::plan::job::{Job, Plan};
use crate::project::model::{Link, Project};
use crate::schedule::Capacity;
use crate::store::Store;
use crate::target::Target;
use crate::target::remote::Remote;
use crate::tracking::server::Server;
use crate::tree::Ground;

/// The outside world, as far as the engine is concerned: a seam each.
pub struct World<'w> {
    /// The time.
    pub clock: &'w dyn Clock,
    /// The workspace's folder, absolute.
    pub root: &'w Path,
    /// Its state: `.amlrun`.
    pub state: &'w Path,
    /// The project's files.
    pub ground: &'w Ground,
    /// The objects.
    pub store: &'w dyn Store,
    /// The environments.
    pub environments: &'w dyn Environments,
    /// This machine.
    pub local: &'w dyn Target,
    /// The cache shared with others; none where there is none.
    pub shared: Option<&'w sharing::Sharing>,
    /// The tracking server; none where scripts log into files only.
    pub tracking: Option<&'w Server>,
    /// The targets elsewhere, by their places in the project.
    pub remotes: &'w Remotes<'w>,
    /// Locks between invocations.
    pub locks: &'w locks::Locks,
    /// The variables of this process.
    pub variables: &'w BTreeMap<String, String>,
}

/// Targets elsewhere, by their places in the project.
pub type Remotes<'r> = BTreeMap<usize, Box<dyn Remote + 'r>>;

/// How a plan is carried out.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the machine has.
    pub machine: Capacity,
    /// Go on with what does not depend on a failure.
    pub keep_going: bool,
    /// Run the goals even where they are fresh.
    pub force: bool,
    /// This program, for the watchdog; none starts no watchdog.
    pub program: Option<std::path::PathBuf>,
    /// Leave runs elsewhere alone after their submission.
    pub detach: bool,
    /// Follow runs that were submitted before, and submit nothing.
    pub attach: bool,
    /// Go on with the sweeps among the goals although they ended.
    pub resume: bool,
}

/// What is carried out.
#[derive(Debug, Clone, Copy)]
pub struct Work<'w> {
    /// The plan.
    pub plan: &'w Plan,
    /// What it was made from.
    pub project: &'w Project,
    /// The jobs that sweeps add while it is carried out; none before.
    pub trials: Option<&'w Arena>,
}

impl<'w> Work<'w> {
    /// A plan that nobody has begun with.
    #[must_use]
    pub fn new(plan: &'w Plan, project: &'w Project) -> Self {
        Self { plan, project, trials: None }
    }

    /// A job of the plan, or a trial that was added to it.
    #[must_use]
    pub fn job(&self, id: JobId) -> &'w Job {
        let trial = |arena: &'w Arena| arena.get(id.0.checked_sub(self.plan.jobs.len())?);
        self.trials.and_then(trial).unwrap_or_else(|| &self.plan.jobs[id.0])
    }

    /// How restored files come into the project.
    #[must_use]
    pub fn link(&self) -> bool {
        self.project.workspace.link == Link::Hardlink
    }
}

/// What keeps a plan from being carried out at all.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EngineError {
    #[error("inputs are missing")]
    InputsMissing(Vec<(JobId, usize)>),
    #[error(transparent)]
    Tree(#[from] crate::tree::TreeError),
    #[error(transparent)]
    History(#[from] crate::history::HistoryError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error("environment `{name}`: {source}")]
    Environment { name: String, source: crate::environment::EnvironmentError },
    #[error("could not {doing} {path}: {why}")]
    State { doing: &'static str, path: std::path::PathBuf, why: String },
}

#[cfg(test)]
mod tests;
