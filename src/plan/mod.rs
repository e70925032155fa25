//! The plan: the jobs that one request asks for, as a graph without cycles, needs before the needy.
//!
//! Called by `cli` with a resolved project. Pure: it reads no file and no clock.

mod cells;
mod declared;
mod expand;
mod goals;
mod graph;
pub mod job;
mod order;
mod outputs;
pub mod request;
pub mod trial;

use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, any_error, sort};
use crate::project::model::Project;

pub use expand::in_quotes as quoted_after;
pub use job::{Job, Plan};
pub use request::Request;
pub use trial::trial;

/// Plans a request. The plan is only to be carried out where there is no error among the faults; a fault `nothing-matched`
/// says that a goal names nothing. `root` is the workspace's folder, absolute.
#[must_use]
pub fn build(project: &Project, request: &Request, root: PathBuf) -> (Plan, Vec<Diagnostic>) {
    let mut faults = Vec::new();
    let settings = cells::settings(project, request, &mut faults);
    let (mut jobs, unset) = cells::jobs(project, &settings, &request.goals, &root, &mut faults);
    let declared_outputs = declared::globs(project, &jobs);
    let goals = goals::select(&request.goals, project, &mut jobs, &root);
    let edges = graph::connect(project, &mut jobs, &mut faults);
    let mut plan = Plan { declared_outputs, root, request: request.clone(), ..Plan::default() };
    let wanted = order::wanted(&jobs);
    faults.extend(unset.into_iter().filter(|(job, _)| wanted[*job]).map(|(_, fault)| fault));
    match order::order(&jobs) {
        Some(order) if !any_error(&faults) => order::arrange(jobs, &order, &wanted, &mut plan),
        Some(_) => {}
        None => order::cycles(&jobs, &edges, &mut faults),
    }
    sort(&mut faults);
    faults.extend(goals);
    (plan, faults)
}

#[cfg(test)]
mod tests;
