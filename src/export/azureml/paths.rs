//! Inputs and outputs: which become inputs and outputs of a v2 job by their own names, and which must be laid out where
//! the script looks for them.
//!
//! In v2 the service chooses where data lies and tells the command by `${{inputs.x}}`. A command that names its data by
//! `${inputs.x}` and `${outputs.x}` is told the same way. Data that is only found by its path in the project (a script
//! that reads `../data/x.csv` by itself, a folder that several jobs write into) is put there before the command runs, and
//! taken from there after it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::context::Context;
use super::super::names::{free, identifier};
use super::Nodes;
use crate::foreign::Look;
use crate::plan::Job;
use crate::project::model::{Action, Experiment, InputPath};
use crate::project::template;
use crate::relpath::RelPath;
use crate::yaml::write::Item;

/// An output, by the order of the job's.
pub(super) struct Out {
    pub(super) key: String,
    pub(super) folder: bool,
}

/// Inputs of the pipeline, which its jobs share: key, path, item.
pub(super) struct Outer {
    pub(super) inputs: Vec<(String, String, Item)>,
    pub(super) taken: BTreeSet<String>,
    pub(super) is_pipeline: bool,
}

/// What a job's paths become.
#[derive(Default)]
pub(super) struct Bound {
    pub(super) inputs: Vec<(String, Item)>,
    pub(super) outputs: Vec<(String, Item)>,
    /// `inputs.x` and `outputs.x` as the command says them: a reference of v2, or a path (which needs quotes).
    pub(super) references: BTreeMap<String, Spoken>,
    /// Lines before the command and after it.
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
    /// `amlrun.…`.
    pub(super) properties: Vec<(String, String)>,
    pub(super) taken: BTreeSet<String>,
    /// Parameters that are inputs: name, key.
    pub(super) params: Vec<(String, String)>,
}

/// How a command names a path.
#[derive(Clone)]
pub(super) enum Spoken {
    /// `${{inputs.x}}`.
    Reference(String),
    /// Where it was laid out.
    Path(String),
}

/// The keys and kinds of a job's outputs.
pub(super) fn outputs(look: &dyn Look, job: &Job) -> Vec<Out> {
    let mut taken = BTreeSet::new();
    let one = |output: &crate::plan::job::Output| Out {
        key: free(&identifier(&output.name, false), &mut taken),
        folder: !output.metric && is_folder(look, &output.path.to_string()),
    };
    job.outputs.iter().map(one).collect()
}

/// What lies there says it; else the name: one with an ending is a file.
fn is_folder(look: &dyn Look, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    look.there(path).unwrap_or_else(|| !name.trim_start_matches('.').contains('.'))
}

/// The jobs that a job waits for though it reads nothing of theirs.
pub(super) fn awaited(job: &Job) -> Vec<usize> {
    let reads = |id: &&crate::ids::JobId| job.inputs.iter().all(|input| !input.from.contains(id));
    job.needs.iter().filter(reads).map(|id| id.0).collect()
}

/// The names that the texts of an experiment refer to, as in `inputs.x`.
fn referenced(experiment: &Experiment) -> BTreeSet<String> {
    let command = match &experiment.action {
        Action::Command(text, _) => Some(text),
        Action::Script(..) => None,
    };
    let texts = experiment.arguments.iter().map(|(text, _)| text).chain(command);
    texts.flat_map(|text| template::names(text)).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Binds the paths of a job.
pub(super) fn bind(context: &Context<'_>, index: usize, nodes: &Nodes, outer: &mut Outer) -> Bound {
    let mut bound = Bound::default();
    let job = &context.plan.jobs[index];
    let experiment = &context.project.experiments[job.experiment];
    let referenced = referenced(experiment);
    inputs(context, job, experiment, &referenced, nodes, outer, &mut bound);
    let Some(node) = &nodes.0[index] else { return bound };
    for (output, out) in job.outputs.iter().zip(&node.outputs) {
        let kind = if out.folder { "uri_folder" } else { "uri_file" };
        bound.outputs.push((out.key.clone(), Item::Map(vec![("type".to_owned(), Item::text(kind))])));
        bound.property(&format!("output.{}", out.key), output.path.to_string());
        if output.name != out.key {
            bound.property(&format!("output-name.{}", out.key), output.name.clone());
        }
        let name = format!("outputs.{}", output.name);
        let reference = format!("${{{{outputs.{}}}}}", out.key);
        if referenced.contains(&name) {
            bound.references.insert(name, Spoken::Reference(reference));
            continue;
        }
        let seen = seen(&output.path, job);
        bound.make_folder_of(&seen);
        let (from, to) = (shell_words::quote(&seen).into_owned(), format!("\"{reference}\""));
        bound.after.push(if out.folder { format!("cp -R {from}/. {to}/") } else { format!("cp {from} {to}") });
    }
    for other in awaited(job).into_iter().filter_map(|other| nodes.0.get(other)?.as_ref()) {
        let text = format!("${{{{parent.jobs.{}.outputs.amlrun_done}}}}", other.key);
        let key = free(&format!("amlrun_after_{}", other.key), &mut bound.taken);
        bound.inputs.push((key, Item::text(text)));
    }
    if node.awaited {
        let item = Item::Map(vec![("type".to_owned(), Item::text("uri_folder"))]);
        bound.outputs.push(("amlrun_done".to_owned(), item));
    }
    bound
}

fn seen(path: &RelPath, job: &Job) -> String {
    path.seen_from(&job.source_directory).to_string_lossy().into_owned()
}

fn inputs(
    context: &Context<'_>,
    job: &Job,
    experiment: &Experiment,
    referenced: &BTreeSet<String>,
    nodes: &Nodes,
    outer: &mut Outer,
    bound: &mut Bound,
) {
    for (at, input) in job.inputs.iter().enumerate() {
        let name = experiment.inputs.get(at).map_or(input.name.as_str(), |declared| declared.name());
        let reference = format!("inputs.{name}");
        let key = identifier(&input.name, false);
        let (path, here) = match &input.path {
            InputPath::Inside(path) => (Some(path), context.path(path)),
            InputPath::Absolute(path) => (None, path.to_string_lossy().into_owned()),
        };
        let hits = path.map(|path| hits(context, input, path, nodes)).unwrap_or_default();
        let exact = hits.len() == 1 && hits.first().is_some_and(|hit| Some(&hit.path) == path);
        if hits.is_empty() || exact {
            let (item, folder) = match hits.first() {
                Some(hit) => (Item::text(&hit.binding), hit.folder),
                None => local(context, outer, &key, &here),
            };
            let key = bound.input(&key, item, &input.name);
            let spoken = format!("${{{{inputs.{key}}}}}");
            if referenced.contains(&reference) {
                bound.references.insert(reference, Spoken::Reference(spoken));
            } else {
                let place = path.map_or(here, |path| seen(path, job));
                bound.lay_out(&spoken, "", &place, folder);
            }
            continue;
        }
        // Several jobs write into it, or one writes around it: it is put together.
        let Some(path) = path else { continue };
        let place = seen(path, job);
        if has_more(context, path) {
            let (item, folder) = local(context, outer, &key, &here);
            let key = bound.input(&key, item, &input.name);
            bound.property(&format!("input.{key}"), path.to_string());
            bound.lay_out(&format!("${{{{inputs.{key}}}}}"), "", &place, folder);
        }
        for hit in hits {
            let key = bound.input(&key, Item::text(&hit.binding), &input.name);
            bound.property(&format!("input.{key}"), path.to_string());
            let spoken = format!("${{{{inputs.{key}}}}}");
            match path.as_path().strip_prefix(hit.path.as_path()) {
                Ok(rest) if path != &hit.path => {
                    let folder = is_folder(context.look, &path.to_string());
                    bound.lay_out(&spoken, &rest.to_string_lossy(), &place, folder);
                }
                _ => bound.lay_out(&spoken, "", &seen(&hit.path, job), hit.folder),
            }
        }
        bound.references.insert(reference, Spoken::Path(place));
    }
}

/// An output of another job that an input is, lies in, or holds.
struct Hit {
    path: RelPath,
    folder: bool,
    binding: String,
}

fn hits(context: &Context<'_>, input: &crate::plan::job::Input, path: &RelPath, nodes: &Nodes) -> Vec<Hit> {
    let mut found = Vec::new();
    for from in &input.from {
        let (Some(other), Some(Some(node))) = (context.plan.jobs.get(from.0), nodes.0.get(from.0)) else { continue };
        for (output, out) in other.outputs.iter().zip(&node.outputs) {
            if output.path.is_within(path) || path.is_within(&output.path) {
                let binding = format!("${{{{parent.jobs.{}.outputs.{}}}}}", node.key, out.key);
                found.push(Hit { path: output.path.clone(), folder: out.folder, binding });
            }
        }
    }
    found
}

/// Whether a folder holds files of the project that no job makes.
fn has_more(context: &Context<'_>, path: &RelPath) -> bool {
    let made = |path: &RelPath| {
        let outputs = context.plan.jobs.iter().flat_map(|job| &job.outputs);
        outputs.clone().any(|output| path.is_within(&output.path))
    };
    let mut folders = vec![path.clone()];
    let mut looked = 0;
    while let Some(folder) = folders.pop() {
        for (name, is_folder) in context.look.list(&folder.to_string()) {
            let below = folder.join(&name);
            looked += 1;
            match (made(&below), is_folder) {
                (true, _) => {}
                (false, true) if looked < 10_000 => folders.push(below),
                (false, _) => return true,
            }
        }
    }
    false
}

/// Data of the project: an input of the pipeline, or of the job where it stands alone.
fn local(context: &Context<'_>, outer: &mut Outer, key: &str, here: &str) -> (Item, bool) {
    let in_project = here.strip_prefix(&format!("{}/", context.back)).unwrap_or(here);
    let folder = is_folder(context.look, in_project);
    let kind = if folder { "uri_folder" } else { "uri_file" };
    let item = Item::Map(vec![("type".to_owned(), Item::text(kind)), ("path".to_owned(), Item::text(here))]);
    if !outer.is_pipeline {
        return (item, folder);
    }
    let known = outer.inputs.iter().find(|(_, path, _)| path == here).map(|(key, ..)| key.clone());
    let key = known.unwrap_or_else(|| {
        let key = free(key, &mut outer.taken);
        outer.inputs.push((key.clone(), here.to_owned(), item));
        key
    });
    (Item::text(format!("${{{{parent.inputs.{key}}}}}")), folder)
}

impl Bound {
    /// Adds an input under a free key, and answers with it.
    pub(super) fn input(&mut self, key: &str, item: Item, name: &str) -> String {
        let key = free(key, &mut self.taken);
        self.inputs.push((key.clone(), item));
        if name != key {
            self.property(&format!("input-name.{key}"), name.to_owned());
        }
        key
    }

    pub(super) fn property(&mut self, key: &str, value: String) {
        self.properties.push((format!("amlrun.{key}"), value));
    }

    /// Puts what lies at a reference to a place that the script knows.
    fn lay_out(&mut self, reference: &str, below: &str, place: &str, folder: bool) {
        let from = if below.is_empty() { reference.to_owned() } else { format!("{reference}/{}", in_double(below)) };
        let to = shell_words::quote(place).into_owned();
        if folder {
            self.before.push(format!("mkdir -p {to}"));
            self.before.push(format!("cp -R \"{from}/.\" {to}/"));
        } else {
            self.make_folder_of(place);
            self.before.push(format!("ln -sfn \"{from}\" {to}"));
        }
    }

    fn make_folder_of(&mut self, place: &str) {
        let Some((folder, _)) = place.rsplit_once('/').filter(|(folder, _)| !folder.is_empty()) else { return };
        let line = format!("mkdir -p {}", shell_words::quote(folder));
        if !self.before.contains(&line) {
            self.before.push(line);
        }
    }
}

/// A text within double quotes of a shell.
fn in_double(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
