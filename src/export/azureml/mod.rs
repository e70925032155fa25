//! Job YAML of Azure ML v2: one job is a command or a sweep, several are a pipeline whose edges are `${{parent.jobs…}}`.
//!
//! What v2 has no key for, and no job needs there (the name, the paths in the project, `retries`), is kept in
//! `properties` as `amlrun.KEY`, where `amlrun import` finds it again; the account says so all the same.

mod command;
mod environment;
mod job;
mod paths;
mod space;
mod spark;
mod sweep;

use std::collections::BTreeSet;

use super::context::{Context, Exported};
use super::names::{free, identifier};
use crate::foreign::Outcome;
use crate::plan::Job;
use crate::yaml::write::{Item, document};

/// The schemas, by the kind of document.
const SCHEMAS: &str = "https://azuremlschemas.azureedge.net/latest";

/// A job's names and outputs there.
struct Node {
    /// Its key in a pipeline.
    key: String,
    /// The experiment's name that an import shall give it.
    experiment: String,
    outputs: Vec<paths::Out>,
    /// Whether another job waits for it though it reads nothing of it.
    awaited: bool,
}

/// What is known of all jobs before the first one is written. None: a job that cannot be had there.
struct Nodes(Vec<Option<Node>>);

/// Writes the plan.
#[must_use]
pub fn export(mut context: Context<'_>) -> Exported {
    let mut exported = Exported::default();
    let nodes = nodes(&mut context, &mut exported);
    let is_pipeline = nodes.0.iter().flatten().count() > 1;
    let mut outer = paths::Outer { inputs: Vec::new(), taken: BTreeSet::new(), is_pipeline };
    let mut environments = environment::Known::new();
    let mut jobs: Vec<(String, Vec<(String, Item)>)> = Vec::new();
    for (index, job) in context.plan.jobs.iter().enumerate() {
        let Some(node) = &nodes.0[index] else { continue };
        let environment = environment::of(&mut context, job, &mut exported.files, &mut environments);
        let has_code = job.framework == "pyspark" || job.sources.as_ref().is_none_or(|globs| !globs.is_empty());
        if has_code && !exported.code.contains(&job.source_directory) {
            exported.code.push(job.source_directory.clone());
        }
        jobs.push((node.key.clone(), job::document(&mut context, job, node, &nodes, &mut outer, environment)));
    }
    workspace(&mut context);
    if let [(key, job)] = jobs.as_mut_slice() {
        let has = |key: &str| job.iter().any(|(name, _)| name == key);
        let kind = if has("trial") {
            "sweepJob"
        } else if has("entry") {
            "sparkJob"
        } else {
            "commandJob"
        };
        job.insert(0, ("$schema".to_owned(), Item::text(format!("{SCHEMAS}/{kind}.schema.json"))));
        exported.files.insert(format!("{key}.yml"), document(&Item::Map(std::mem::take(job))));
    } else if !jobs.is_empty() {
        let jobs = jobs.into_iter().map(|(key, job)| (key, Item::Map(job))).collect();
        let text = document(&pipeline(&context, outer, jobs));
        exported.files.insert("pipeline.yml".to_owned(), text);
    }
    context.report.sort();
    exported.report = context.report;
    exported
}

fn pipeline(context: &Context<'_>, outer: paths::Outer, jobs: Vec<(String, Item)>) -> Item {
    let mut map = vec![
        ("$schema".to_owned(), Item::text(format!("{SCHEMAS}/pipelineJob.schema.json"))),
        ("type".to_owned(), Item::text("pipeline")),
        ("experiment_name".to_owned(), Item::text(identifier(&context.project.workspace.name, false))),
    ];
    if let Some(description) = &context.project.workspace.description {
        map.push(("description".to_owned(), Item::text(description)));
    }
    let settings = vec![
        ("default_compute".to_owned(), Item::text("azureml:serverless")),
        ("continue_on_step_failure".to_owned(), Item::Scalar(false.into())),
    ];
    map.push(("settings".to_owned(), Item::Map(settings)));
    if !outer.inputs.is_empty() {
        map.push((
            "inputs".to_owned(),
            Item::Map(outer.inputs.into_iter().map(|(key, _, item)| (key, item)).collect()),
        ));
    }
    map.push(("jobs".to_owned(), Item::Map(jobs)));
    Item::Map(map)
}

/// Names for all jobs; those that cannot be had there are told of.
fn nodes(context: &mut Context<'_>, exported: &mut Exported) -> Nodes {
    let (mut keys, mut names) = (BTreeSet::new(), BTreeSet::new());
    let jobs = &context.plan.jobs;
    // Plain names first, so that no cell of a matrix takes one of them.
    names.extend(jobs.iter().filter(|job| job.cell.is_empty()).map(|job| job.name.0.clone()));
    let mut nodes = Vec::new();
    for job in jobs {
        if let Some(why) = refused(context, job) {
            let experiment = context.project.experiments[job.experiment].name.clone();
            let span = job.span.clone();
            context.say_at(&span, &format!("experiments.{experiment}"), Outcome::NoCounterpart, why);
            exported.left_out.push(job.name.0.clone());
            nodes.push(None);
            continue;
        }
        let key = free(&identifier(&job.name.0, true), &mut keys);
        let experiment = if job.cell.is_empty() { job.name.0.clone() } else { free(&key, &mut names) };
        let outputs = paths::outputs(context.look, job);
        nodes.push(Some(Node { key, experiment, outputs, awaited: false }));
    }
    for job in jobs {
        for other in paths::awaited(job) {
            if let Some(Some(node)) = nodes.get_mut(other) {
                node.awaited = true;
            }
        }
    }
    Nodes(nodes)
}

/// Why a job cannot be had there.
fn refused(context: &Context<'_>, job: &Job) -> Option<&'static str> {
    if job.framework == "pyspark" { spark::refused(context, job) } else { None }
}

/// Keys of the workspace, which hold for amlrun alone.
fn workspace(context: &mut Context<'_>) {
    for (key, why) in [
        ("cache", "Azure ML reuses results of its own pipelines only"),
        ("cache_mode", "Azure ML reuses results of its own pipelines only"),
        ("link", "files are mounted or downloaded there"),
    ] {
        if context.has("workspace", "", key) {
            context.say("workspace", "", key, Outcome::NoCounterpart, why);
        }
    }
    let settings = ["name", "description"].into_iter().filter(|key| context.has("workspace", "", key));
    for key in settings.collect::<Vec<_>>() {
        let becomes = if key == "name" { "experiment_name of a pipeline" } else { "description of a pipeline" };
        context.say("workspace", "", key, Outcome::Translated, becomes);
    }
}
