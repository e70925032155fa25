//! Where the text says something about a job, for `amlrun why`.

use crate::diagnostic::Span;
use crate::project::model::{Action, Project};

use super::job::Job;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'f> {
    /// The script or the command.
    Command,
    /// One of the arguments, from 0.
    Argument(usize),
    /// A parameter: the value that counts, or the axis of the matrix.
    Param(&'f str),
    /// A variable of the environment.
    Variable(&'f str),
    /// An input, by its name.
    Input(&'f str),
    /// An output, by its name.
    Output(&'f str),
    /// The environment's table.
    Environment,
    /// `distributed`.
    Distributed,
    /// The experiment's name.
    Experiment,
}

/// Where it stands; none for what is not in the text (a default, `--set`).
#[must_use]
pub fn place(project: &Project, job: &Job, field: Field<'_>) -> Option<Span> {
    let experiment = project.experiments.get(job.experiment)?;
    let environment = project.environments.get(job.environment);
    let span = match field {
        Field::Command => match &experiment.action {
            Action::Script(_, span) | Action::Command(_, span) => span,
        },
        Field::Argument(at) => &experiment.arguments.get(at)?.1,
        Field::Param(name) => match experiment.matrix.iter().find(|(axis, ..)| axis == name) {
            Some((.., span)) => span,
            None => &experiment.params.get(name).or_else(|| project.params.get(name))?.1,
        },
        Field::Variable(name) => &environment?.variables.get(name)?.1,
        Field::Input(name) => &job.inputs.iter().find(|input| input.name == name)?.span,
        Field::Output(name) => &job.outputs.iter().find(|output| output.name == name)?.span,
        Field::Environment => &environment.filter(|environment| !environment.is_built_in())?.span,
        Field::Distributed => &experiment.distributed.as_ref()?.span,
        Field::Experiment => &experiment.span,
    };
    Some(span.clone())
}
