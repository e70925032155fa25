//! Experiments to jobs: one for each cell of a matrix, with everything interpolated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::amlfile::{suggest::nearest, typed};
use crate::diagnostic::{Diagnostic, Span};
use crate::ids::JobName;
use crate::project::model::{AZUREML_VARIABLE, Action, Declared, Experiment, InputPath, Project};
use crate::project::outside_fault;
use crate::relpath::RelPath;
use crate::value::Value;

use super::Request;
use super::expand::{Paths, Values};
use super::job::{Command, Input, Job, Output, Role, Runner};
use super::trial;

/// More cells than anybody means.
const MOST_CELLS: usize = 100_000;

/// What the request says about all jobs.
pub(super) struct Settings<'r> {
    /// `--set`.
    pub set: BTreeMap<&'r str, Value>,
    /// `--target`, as an index.
    pub target: Option<usize>,
    /// For `${env.X}`.
    pub variables: &'r BTreeMap<String, String>,
}

/// Reads them; a name that nobody knows is a fault.
pub(super) fn settings<'r>(project: &Project, request: &'r Request, faults: &mut Vec<Diagnostic>) -> Settings<'r> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    if !request.set.is_empty() {
        known.extend(project.params.keys().map(String::as_str));
        for experiment in &project.experiments {
            known.extend(experiment.params.keys().map(String::as_str));
            known.extend(experiment.matrix.iter().map(|(name, ..)| name.as_str()));
            known.extend(experiment.sweep.iter().flat_map(|sweep| sweep.names()));
        }
    }
    let mut set = BTreeMap::new();
    for (name, value) in &request.set {
        if !known.contains(name.as_str()) {
            let fault =
                Diagnostic::bare("unknown-parameter", format!("`--set {name}=…`: there is no parameter `{name}`"));
            faults.push(or_listed(fault, nearest(name, known.iter().copied()), "parameters", known.iter().copied()));
        }
        set.insert(name.as_str(), typed(value));
    }
    let target = request.target.as_ref().and_then(|name| {
        let found = project.targets.iter().position(|target| target.name == *name);
        if found.is_none() {
            let fault = Diagnostic::bare("unknown-target", format!("`--target {name}`: there is no target `{name}`"));
            let names = project.targets.iter().map(|target| target.name.as_str());
            faults.push(or_listed(fault, nearest(name, names.clone()), "targets", names));
        }
        found
    });
    Settings { set, target, variables: &request.variables }
}

/// The names that there are, where none is near and they are few.
fn or_listed<'n>(
    fault: Diagnostic,
    near: Option<&str>,
    what: &str,
    names: impl Iterator<Item = &'n str> + Clone,
) -> Diagnostic {
    match (near, names.clone().count()) {
        (None, 0) => fault.help(format!("the Amlfile has no {what}")),
        (None, 1..=12) => fault.help(format!("the {what} are {}", crate::amlfile::listed(names))),
        _ => did_you_mean(fault, near),
    }
}

pub(super) fn did_you_mean(fault: Diagnostic, near: Option<&str>) -> Diagnostic {
    match near {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault,
    }
}

/// A fault of one job, by its place in the list.
pub(super) type OfJob = (usize, Diagnostic);

/// All jobs of the project, in the order of the text; the cells of one experiment stand together. The second list holds
/// what matters only where the job is wanted.
pub(super) fn jobs(
    project: &Project,
    settings: &Settings<'_>,
    goals: &[String],
    root: &Path,
    faults: &mut Vec<Diagnostic>,
) -> (Vec<Job>, Vec<OfJob>) {
    let mut jobs = Vec::with_capacity(project.experiments.len());
    let mut unset = Vec::new();
    for (index, experiment) in project.experiments.iter().enumerate() {
        check_sources(experiment, faults);
        let first = faults.len();
        let pins = trial::pins(experiment, settings, goals);
        for (number, mut cell) in cells(experiment, settings, faults).into_iter().enumerate() {
            let before = faults.len();
            cell.extend(pins.iter().cloned());
            let role = trial::role(experiment, &cell);
            let alone = trial::pinned_alone(experiment, &cell);
            let (job, missing) = job(project, settings, root, (index, experiment), (cell, role), faults);
            unset.extend(missing.into_iter().chain(alone).map(|fault| (jobs.len(), fault)));
            jobs.push(job);
            // The cells of one experiment have the same faults; those of the first few are enough.
            if number > 0 && faults.len() > before {
                let places: Vec<_> = faults[first..before].iter().map(|f| (f.code, f.primary.clone())).collect();
                let mut at = before;
                while at < faults.len() {
                    let seen = places.contains(&(faults[at].code, faults[at].primary.clone()));
                    if seen { drop(faults.remove(at)) } else { at += 1 }
                }
            }
        }
    }
    (jobs, unset)
}

/// The cells of the matrix, the last axis fastest; one that is empty without a matrix.
fn cells(experiment: &Experiment, settings: &Settings<'_>, faults: &mut Vec<Diagnostic>) -> Vec<Vec<(String, Value)>> {
    let mut cells = vec![Vec::new()];
    for (axis, values, span) in &experiment.matrix {
        let set = settings.set.get(axis.as_str()).map(std::slice::from_ref);
        let values = set.unwrap_or(values);
        if cells.len().saturating_mul(values.len()) > MOST_CELLS {
            let message = format!("the matrix of `{}` has more than {MOST_CELLS} cells", experiment.name);
            faults.push(Diagnostic::error("matrix-too-large", span.clone(), message, "this axis makes it too large"));
            break;
        }
        let mut next = Vec::with_capacity(cells.len() * values.len());
        for cell in &cells {
            for value in values {
                let mut cell: Vec<(String, Value)> = cell.clone();
                cell.push((axis.clone(), value.clone()));
                next.push(cell);
            }
        }
        cells = next;
    }
    cells
}

/// `train`, or `train[alpha=0.1,seed=1]`. A value with a character that has a meaning there stands in quotes.
fn name(experiment: &Experiment, cell: &[(String, Value)]) -> JobName {
    if cell.is_empty() {
        return JobName(experiment.name.clone());
    }
    let values: Vec<String> = cell.iter().map(|(axis, value)| format!("{axis}={}", shown(value))).collect();
    JobName(format!("{}[{}]", experiment.name, values.join(",")))
}

/// A value as it stands in a job's name.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    let awkward = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '[' | ']' | ',' | '=' | '"' | '*' | '?');
    if text.is_empty() || text.contains(awkward) { crate::amlfile::quoted(&text) } else { text }
}

pub(super) fn job(
    project: &Project,
    settings: &Settings<'_>,
    root: &Path,
    (index, experiment): (usize, &Experiment),
    (cell, role): (Vec<(String, Value)>, Role),
    faults: &mut Vec<Diagnostic>,
) -> (Job, Vec<Diagnostic>) {
    let mut values = Values {
        project,
        settings,
        experiment,
        cell: &cell,
        role,
        used: BTreeMap::new(),
        faults,
        unset: Vec::new(),
        unknown: 0,
        searched: 0,
    };
    let mut inputs: Vec<Input> =
        experiment.inputs.iter().filter_map(|input| input_of(&mut values, input, root)).collect();
    inputs.extend(
        experiment
            .params_file
            .as_ref()
            .and_then(|(file, keys)| Some(Input { keys: Some(keys.clone()), ..input_of(&mut values, file, root)? })),
    );
    let mut outputs = Vec::with_capacity(experiment.outputs.len() + experiment.metrics.len());
    outputs.extend(experiment.outputs.iter().filter_map(|output| output_of(&mut values, output, false)));
    for metric in experiment.metrics.iter().filter_map(|metric| output_of(&mut values, metric, true)) {
        // A metric file that is an output with a name already stays that one.
        match outputs.iter_mut().find(|output: &&mut Output| output.path == metric.path && !output.metric) {
            Some(output) => output.metric = true,
            None => outputs.push(metric),
        }
    }
    let paths = Paths { inputs: &inputs, outputs: &outputs };
    // What the command names reaches the script by it; what a sweep searches and nothing names is appended.
    let used = std::mem::take(&mut values.used);
    let mut arguments: Vec<String> =
        experiment.arguments.iter().map(|(text, span)| values.with_paths(text, span, paths)).collect();
    let line = match &experiment.action {
        Action::Command(text, span) => values.shell(text, span, paths),
        Action::Script(..) => String::new(),
    };
    arguments.extend(trial::appended(experiment, &cell, &values.used));
    values.used.extend(used);
    let command = match &experiment.action {
        Action::Script(script, _) => Command::Script { script: script.clone(), arguments, runner: runner(script) },
        Action::Command(..) => {
            let mut line = line;
            for argument in &arguments {
                line.push(' ');
                line.push_str(&shell_words::quote(argument));
            }
            Command::Shell(line)
        }
    };
    let environment = project.environments.get(experiment.environment);
    let mut variables: BTreeMap<String, String> = environment
        .into_iter()
        .flat_map(|environment| &environment.variables)
        .map(|(name, (text, span))| (name.clone(), values.with_paths(text, span, paths)))
        .collect();
    if let Some(choice) = experiment.azureml.as_ref().or(environment.and_then(|found| found.azureml.as_ref())) {
        variables.insert(AZUREML_VARIABLE.to_owned(), choice.clone());
    }
    let (mut params, unset) = trial::finished(values);
    for (axis, value) in &cell {
        params.entry(axis.clone()).or_insert_with(|| value.clone());
    }
    let job = Job {
        role,
        name: name(experiment, &cell),
        experiment: index,
        cell,
        params,
        command,
        source_directory: experiment.source_directory.clone(),
        sources: experiment.sources.as_ref().map(|globs| globs.iter().map(|(glob, _)| glob.clone()).collect()),
        inputs,
        outputs,
        variables,
        environment: experiment.environment,
        target: settings.target.unwrap_or(experiment.target),
        framework: experiment.framework.clone(),
        resources: experiment.resources.clone(),
        retries: experiment.retries,
        secrets: experiment.secrets.clone(),
        tags: experiment.tags.clone(),
        cache: experiment.cache,
        isolation: experiment.isolation,
        distributed: experiment.distributed.clone(),
        needs: Vec::new(),
        goal: false,
        span: experiment.span.clone(),
    };
    (job, unset)
}

fn runner(script: &str) -> Runner {
    match Path::new(script).extension().and_then(|extension| extension.to_str()) {
        Some(extension) if extension.eq_ignore_ascii_case("py") => Runner::Python,
        Some("sh") => Runner::Shell,
        Some("R" | "r") => Runner::Rscript,
        _ => Runner::Itself,
    }
}

fn input_of(values: &mut Values<'_>, declared: &Declared, root: &Path) -> Option<Input> {
    let text = values.path_text(declared)?;
    let path = if text.starts_with('/') {
        match Path::new(&text).strip_prefix(root) {
            Ok(inside) => InputPath::Inside(relative(values, "inputs", &inside.to_string_lossy(), &declared.span)?),
            Err(_) => InputPath::Absolute(PathBuf::from(&text)),
        }
    } else {
        InputPath::Inside(relative(values, "inputs", &text, &declared.span)?)
    };
    let name = declared.name.clone().unwrap_or(text);
    Some(Input { name, path, keys: None, from: Vec::new(), span: declared.span.clone() })
}

fn output_of(values: &mut Values<'_>, declared: &Declared, metric: bool) -> Option<Output> {
    let text = values.path_text(declared)?;
    let path = relative(values, if metric { "metrics" } else { "outputs" }, &text, &declared.span)?;
    Some(Output { name: declared.name.clone().unwrap_or(text), path, metric, span: declared.span.clone() })
}

fn relative(values: &mut Values<'_>, key: &str, text: &str, span: &Span) -> Option<RelPath> {
    RelPath::new(text).map_err(|outside| values.faults.push(outside_fault(key, text, span, outside))).ok()
}

/// `sources` are globs that stay in the source directory.
fn check_sources(experiment: &Experiment, faults: &mut Vec<Diagnostic>) {
    for (glob, span) in experiment.sources.iter().flatten() {
        if let Err(outside) = RelPath::new(glob) {
            faults.push(outside_fault("sources", glob, span, outside));
        } else if let Err(error) = globset::Glob::new(glob) {
            let message = format!("`{glob}` is not a glob: {}", error.kind());
            faults.push(Diagnostic::error("bad-glob", span.clone(), message, "not a glob"));
        }
    }
}
