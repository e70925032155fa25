//! Azure ML v2 YAML: command, sweep, pipeline, spark, component, environment and compute documents (azure-ml.md §5.1).

mod bind;
mod distribution;
mod environment;
mod expression;
mod job;
mod matrix;
mod ours;
mod pipeline;
mod space;
mod spark;
mod sweep;

use std::collections::BTreeMap;

use super::doc::{At, Doc};
use super::look::Context;
use super::names;
use crate::value::Value;

/// What `amlrun export` writes before what a job needs laid out; see `export::azureml`.
pub const LAY_OUT: &str = "# amlrun: lay out";
/// The job's own command follows.
pub const RUN: &str = "# amlrun: run";
/// The job's own command is over.
pub const HAND_OVER: &str = "# amlrun: hand over";

/// What a name of an outer document stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bound {
    /// A value.
    Literal(Value),
    /// A path of the workspace.
    Path(String),
}

/// What `${{parent…}}` means in a job of a pipeline.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// `parent.inputs.x`.
    inputs: BTreeMap<String, Bound>,
    /// `parent.outputs.x`.
    outputs: BTreeMap<String, String>,
    /// `parent.jobs.J.outputs.x`, by `J.x`.
    jobs: BTreeMap<String, String>,
    /// The compute of jobs that name none.
    compute: Option<String>,
    /// `settings.force_rerun`.
    rerun: bool,
    /// How many pipelines it lies in.
    depth: usize,
}

const JOBS: &[&str] = &["command", "sweep", "pipeline", "spark", "parallel", "automl", "import", "data_transfer"];
const COMPUTES: &[&str] = &["amlcompute", "computeinstance", "virtualmachine", "synapsespark", "kubernetes"];

/// Whether a document is one of these.
#[must_use]
pub fn is_v2(doc: &Doc) -> bool {
    let root = &doc.root;
    let text = |key: &str| root.get(key).and_then(crate::yaml::Node::text).unwrap_or_default();
    if text("$schema").contains("azureml") {
        return true;
    }
    let has = |key: &str| root.get(key).is_some();
    match text("type") {
        "command" => has("command"),
        "sweep" => has("trial"),
        "pipeline" => has("jobs"),
        "spark" => has("entry") || has("code"),
        kind if COMPUTES.contains(&kind) => has("name"),
        _ => {
            (has("command") && has("environment"))
                || (has("conda_file") && (has("image") || has("build")))
                || (has("name") && has("image") && root.entries().len() <= 6 && !has("services") && !has("jobs"))
        }
    }
}

/// Whether a document is a component, which a pipeline refers to.
#[must_use]
pub fn is_component(doc: &Doc) -> bool {
    let schema = doc.root.get("$schema").and_then(crate::yaml::Node::text).unwrap_or_default();
    schema.to_lowercase().contains("component") || doc.root.get("is_deterministic").is_some()
}

/// Reads one.
pub fn import(context: &mut Context<'_>, path: &str) {
    let is_read = context.read.iter().any(|known| known == path);
    let Some(doc) = context.doc(path) else { return };
    if is_component(&doc) && is_read {
        return; // a pipeline has it
    }
    let at = doc.at();
    if let Some(schema) = at.get("$schema") {
        context.report.add(&schema, super::Outcome::Default, "`amlrun schema` writes that of an Amlfile");
    }
    let kind = at.get("type").and_then(|kind| kind.scalar()).unwrap_or_default();
    let schema = at.get("$schema").and_then(|schema| schema.scalar()).unwrap_or_default().to_lowercase();
    let name = title(context, &at, path);
    if let Some(place) = at.get("type").filter(|_| JOBS.contains(&kind.as_str())) {
        context.report.translated(&place, "the kind of job: by the keys of its experiment");
    }
    if schema.contains("pipeline") || kind == "pipeline" {
        pipeline::import(context, &at, &name, &Scope::default());
    } else if schema.contains("sweep") || kind == "sweep" {
        sweep::import(context, &at, &name, &Scope::default());
    } else if schema.contains("spark") || kind == "spark" {
        spark::import(context, &at, &name, &Scope::default());
    } else if schema.contains("environment") || (kind.is_empty() && at.get("command").is_none()) {
        environment::document(context, &at, &name);
    } else if COMPUTES.contains(&kind.as_str()) {
        compute(context, &at, &name);
    } else if kind == "command" || kind.is_empty() {
        job::command(context, &at, &name, &Scope::default());
    } else {
        context
            .report
            .none(&at.get("type").unwrap_or_else(|| at.clone()), format!("jobs of type {kind} have no counterpart"));
        context.proposal.notes.push(format!("{path}: jobs of type {kind} have no counterpart."));
    }
    matrix::fold(&mut context.proposal);
    context.report.rest(&doc, "an Amlfile has nothing like it");
}

/// The name of a document's job: its own, else its file's, else its folder's.
fn title(context: &mut Context<'_>, at: &At<'_>, path: &str) -> String {
    if let Some(name) = ours::name(at) {
        return name;
    }
    if let Some((place, name)) = at.get("name").and_then(|place| Some((place.clone(), place.scalar()?))) {
        context.report.taken(&place, "the name");
        return names::plain(&name);
    }
    let stem = names::stem(path);
    let folder = names::folder(path).rsplit('/').next().unwrap_or_default();
    let general = ["job", "pipeline", "component", "main", "train"];
    if general.contains(&stem) && !folder.is_empty() && folder != "src" {
        return names::plain(&if stem == "job" { folder.to_owned() } else { format!("{folder}-{stem}") });
    }
    names::plain(stem)
}

fn compute(context: &mut Context<'_>, at: &At<'_>, name: &str) {
    if let Some(kind) = at.get("type") {
        context.report.translated(&kind, format!("targets.{name}, of type azureml"));
    }
    let workspace = context.workspace.clone();
    super::workspace::target(name, at, workspace.as_ref(), &mut context.proposal);
}
