//! Outputs by the names that the Amlfile gives them: `model` for what `outputs = { model = "models/ridge-${alpha}.pkl" }` says.
//!
//! The record of a run has paths alone. So the Amlfile of now is asked, with the parameters that the run had; where it cannot
//! be read, or has no such name, there is none: what was named is taken for a path then.

use std::collections::BTreeMap;

use crate::cli::commands::runs::record;
use crate::cli::options::Common;
use crate::cli::project::{self, Loaded};
use crate::cli::surroundings::Surroundings;
use crate::diagnostic::any_error;
use crate::history::Run;
use crate::ids::JobName;
use crate::plan::{self, Job, Plan, Request};
use crate::relpath::RelPath;

/// The Amlfile of now.
pub(super) struct Declared<'d> {
    loaded: Loaded,
    here: &'d Surroundings,
}

impl<'d> Declared<'d> {
    /// Reads it; none where it is gone or has faults, which are for other commands to tell.
    pub(super) fn read(common: &Common, here: &'d Surroundings) -> Option<Self> {
        let (loaded, faults) = project::examine(project::read(common, here).ok()?, common, here);
        (!any_error(&faults)).then_some(Self { loaded, here })
    }

    fn plan(&self, goals: Vec<String>, set: Vec<(String, String)>) -> Option<Plan> {
        let request = Request { goals, set, target: None, variables: self.here.variables.clone() };
        let (plan, faults) = plan::build(&self.loaded.project, &request, self.loaded.root.clone());
        (!any_error(&faults)).then_some(plan)
    }

    /// The paths of the outputs of this name, and the job of each.
    pub(super) fn outputs(&self, name: &str) -> BTreeMap<RelPath, JobName> {
        let plan = self.plan(Vec::new(), Vec::new()).unwrap_or_default();
        let of = |job: &Job| named(job, name).map(|path| (path, job.name.clone()));
        plan.jobs.iter().filter_map(of).collect()
    }

    /// The path of the output of this name in a run, which may have had other parameters than the Amlfile gives its job.
    pub(super) fn output_of(&self, run: &Run, name: &str) -> Option<RelPath> {
        let begun = &run.begun;
        let find = |plan: Plan| plan.jobs.into_iter().find(|job| job.name == begun.job);
        let goals = vec![begun.job.0.clone()];
        let job = find(self.plan(goals.clone(), Vec::new())?)?;
        let had = |(name, value): (&String, &serde_json::Value)| {
            let is_set = job.params.contains_key(name) && !job.cell.iter().any(|(axis, _)| axis == name);
            is_set.then(|| (name.clone(), record::plain(value)))
        };
        let set: Vec<(String, String)> = begun.params.iter().filter_map(had).collect();
        named(&find(self.plan(goals, set)?)?, name)
    }
}

/// The output of this name; not one that has its path for a name, and no metric file.
fn named(job: &Job, name: &str) -> Option<RelPath> {
    let mut outputs = job.outputs.iter().filter(|output| !output.metric && output.name != output.path.to_string());
    outputs.find(|output| output.name == name).map(|output| output.path.clone())
}
