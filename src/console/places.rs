//! Where in the Amlfile a reason has its cause: the line that a reader should look at.

use crate::diagnostic::{Source, Span};
use crate::ids::JobId;
use crate::plan::job::{Job, Plan};
use crate::project::model::{Action, Project};
use crate::staleness::Reason;
use crate::value::Value;

/// Looks up places.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The project.
    pub project: &'a Project,
    /// The plan.
    pub plan: &'a Plan,
    /// The Amlfile's text.
    pub source: &'a Source,
}

impl Places<'_> {
    /// The place of a job's reason, as in `Amlfile:12`; none where the cause is in no text: a changed file, `--force`, a
    /// value of `--set`.
    #[must_use]
    pub fn of(&self, job: JobId, reason: &Reason) -> Option<String> {
        let span = self.span(self.plan.jobs.get(job.0)?, reason)?;
        if span.is_empty() {
            return None;
        }
        let (line, _) = self.source.position(span.start);
        Some(format!("{}:{line}", self.source.name))
    }

    fn span(&self, job: &Job, reason: &Reason) -> Option<Span> {
        let experiment = self.project.experiments.get(job.experiment)?;
        let environment = self.project.environments.get(job.environment);
        match reason {
            Reason::CommandChanged { .. } => match &experiment.action {
                Action::Script(_, span) | Action::Command(_, span) => Some(span.clone()),
            },
            Reason::ParamChanged { name, is: Some(_), .. } => self.param(job, name),
            Reason::VariableChanged { name, .. } => environment?.variables.get(name).map(|(_, span)| span.clone()),
            Reason::EnvironmentChanged { .. } => environment.map(|environment| environment.span.clone()),
            Reason::InputChanged { name, .. } | Reason::InputMissing { name, .. } => {
                job.inputs.iter().find(|input| input.name == *name).map(|input| input.span.clone())
            }
            Reason::OutputNotRecorded { path } | Reason::OutputLost { path } => {
                job.outputs.iter().find(|output| output.path == *path).map(|output| output.span.clone())
            }
            Reason::UpstreamMayChange { job } => {
                self.plan.jobs.iter().find(|other| other.name == *job).map(|other| other.span.clone())
            }
            Reason::NotCached | Reason::FrameworkChanged { .. } | Reason::DistributedChanged { .. } => {
                Some(experiment.span.clone())
            }
            Reason::NeverRan
            | Reason::Forced
            | Reason::LastRunFailed { .. }
            | Reason::InputsMoved { .. }
            | Reason::ParamChanged { .. }
            | Reason::SourceChanged { .. }
            | Reason::MoreFiles { .. }
            | Reason::FormatChanged { .. } => None,
        }
    }

    /// The axis of a matrix, the experiment's parameter or the workspace's; none where `--set` gave another value.
    fn param(&self, job: &Job, name: &str) -> Option<Span> {
        let experiment = self.project.experiments.get(job.experiment)?;
        if job.cell.iter().any(|(axis, _)| axis == name) {
            return experiment.matrix.iter().find(|(axis, ..)| axis == name).map(|(.., span)| span.clone());
        }
        let (declared, span) = experiment.params.get(name).or_else(|| self.project.params.get(name))?;
        let as_written = |value: &Value| matches!(value, Value::Text(text) if text.contains("${"));
        let used = job.params.get(name)?;
        (used == declared || as_written(declared)).then(|| span.clone())
    }
}
