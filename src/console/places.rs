//! Where in the Amlfile a reason has its cause: the line that a reader should look at.

use std::collections::BTreeMap;

use crate::diagnostic::{Source, Span};
use crate::ids::{JobId, JobName};
use crate::plan::job::{Job, Plan};
use crate::project::model::{Action, Project};
use crate::staleness::Reason;
use crate::value::Value;

/// Looks up places; made once for all jobs, as there may be thousands.
#[derive(Debug)]
pub struct Places<'a> {
    project: &'a Project,
    plan: &'a Plan,
    file: &'a str,
    /// Where each line of the text begins.
    lines: Vec<usize>,
    jobs: BTreeMap<&'a JobName, &'a Job>,
}

impl<'a> Places<'a> {
    /// The places in this text, from which the project and the plan were made.
    #[must_use]
    pub fn new(project: &'a Project, plan: &'a Plan, source: &'a Source) -> Self {
        let ends = source.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self {
            project,
            plan,
            file: &source.name,
            lines: std::iter::once(0).chain(ends).collect(),
            jobs: plan.jobs.iter().map(|job| (&job.name, job)).collect(),
        }
    }

    /// The place of a job's reason, as in `Amlfile:12`; none where the cause is in no text: a changed file, `--force`, a
    /// value of `--set`.
    #[must_use]
    pub fn of(&self, job: JobId, reason: &Reason) -> Option<String> {
        let span = self.span(self.plan.jobs.get(job.0)?, reason)?;
        if span.is_empty() {
            return None;
        }
        let line = self.lines.partition_point(|begins| *begins <= span.start);
        Some(format!("{}:{line}", self.file))
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
            Reason::EnvironmentChanged { .. } | Reason::EnvironmentNotLocked { .. } => {
                environment.map(|environment| environment.span.clone())
            }
            Reason::InputChanged { name, .. } | Reason::InputMissing { name, .. } => {
                job.inputs.iter().find(|input| input.name == *name).map(|input| input.span.clone())
            }
            Reason::OutputNotRecorded { path } | Reason::OutputLost { path } => {
                job.outputs.iter().find(|output| output.path == *path).map(|output| output.span.clone())
            }
            Reason::UpstreamMayChange { job } => self.jobs.get(job).map(|other| other.span.clone()),
            Reason::NotCached | Reason::FrameworkChanged { .. } | Reason::DistributedChanged { .. } => {
                Some(experiment.span.clone())
            }
            Reason::NeverRan
            | Reason::Forced
            | Reason::LastRunFailed { .. }
            | Reason::InputsMoved { .. }
            | Reason::LastRunNotCached { .. }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunId;
    use crate::plan::Request;
    use crate::project::Found;
    use crate::relpath::RelPath;

    const TEXT: &str = "\
format = 1
[params]
seed = 7
[environments.main]
packages = []
variables = { A = \"1\" }
[experiments.prepare]
command = \"make data\"
environment = \"main\"
outputs = { clean = \"data/clean.csv\" }
[experiments.train]
command = \"fit ${seed} ${alpha} ${depth}\"
params = { depth = 3 }
matrix = { alpha = [1, 2] }
environment = \"main\"
inputs = { clean = \"data/clean.csv\" }
";

    #[test]
    fn reasons_have_their_lines() {
        let source = Source { name: "Amlfile".into(), text: TEXT.into() };
        let (document, faults) = crate::amlfile::parse(&source);
        assert_eq!(faults, []);
        let (project, faults) = crate::project::resolve(&document, "w", &|_| Found::Missing);
        assert_eq!(faults, []);
        let request = Request { set: vec![("depth".into(), "4".into())], ..Request::default() };
        let (plan, faults) = crate::plan::build(&project, &request, "/w".into());
        assert_eq!(faults, []);
        let places = Places::new(&project, &plan, &source);
        let check = |job: &str, reason: Reason, line: Option<u32>| {
            let id = plan.jobs.iter().position(|other| other.name.0 == job).unwrap();
            let expected = line.map(|line| format!("Amlfile:{line}"));
            assert_eq!(places.of(JobId(id), &reason), expected, "{reason:?}");
        };
        let (was, is) = (Some("x".to_owned()), Some("y".to_owned()));
        let param = |name: &str| Reason::ParamChanged { name: name.into(), was: was.clone(), is: is.clone() };
        let train = "train[alpha=1]";
        check(train, param("seed"), Some(3));
        check(train, param("alpha"), Some(14));
        check(train, param("depth"), None);
        check(train, param("gone"), None);
        check(train, Reason::CommandChanged { was: vec![], is: vec![] }, Some(12));
        check(train, Reason::VariableChanged { name: "A".into(), was: was.clone(), is: is.clone() }, Some(6));
        check(train, Reason::EnvironmentChanged { fact: "python".into(), was: was.clone(), is: is.clone() }, Some(4));
        check(train, Reason::EnvironmentNotLocked { environment: "main".into() }, Some(4));
        let (name, path) = ("clean".to_owned(), String::new());
        check(train, Reason::InputChanged { name: name.clone(), path: path.clone(), was, is }, Some(16));
        check(train, Reason::InputMissing { name, path }, Some(16));
        check(train, Reason::UpstreamMayChange { job: JobName("prepare".into()) }, Some(7));
        check(train, Reason::NotCached, Some(11));
        check("prepare", Reason::OutputLost { path: RelPath::new("data/clean.csv").unwrap() }, Some(10));
        check(train, Reason::NeverRan, None);
        check(train, Reason::InputsMoved { run: RunId(String::new()) }, None);
    }
}
