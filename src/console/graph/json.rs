//! The graph as JSON: `{"jobs": [{"name": …, "experiment": …, "needs": […], …}]}`, in an order in which needs come first.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plan::job::{Command, Plan};
use crate::project::model::{InputPath, Project};
use crate::value::Value;

/// One job. The wire form is public.
#[derive(Debug, Serialize)]
struct Node<'a> {
    name: &'a str,
    experiment: &'a str,
    goal: bool,
    needs: Vec<&'a str>,
    command: Vec<&'a str>,
    source_directory: String,
    params: &'a BTreeMap<String, Value>,
    inputs: BTreeMap<&'a str, String>,
    outputs: BTreeMap<&'a str, String>,
    metrics: Vec<String>,
    environment: &'a str,
    target: &'a str,
    tags: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Graph<'a> {
    jobs: Vec<Node<'a>>,
}

/// The graph of a plan. Paths are relative to the Amlfile's folder; values of secrets and variables are not in it.
#[must_use]
pub fn json(project: &Project, plan: &Plan) -> String {
    let jobs = plan
        .jobs
        .iter()
        .map(|job| Node {
            name: &job.name.0,
            experiment: project.experiments.get(job.experiment).map_or("", |e| &e.name),
            goal: job.goal,
            needs: job.needs.iter().filter_map(|id| plan.jobs.get(id.0)).map(|need| need.name.0.as_str()).collect(),
            command: match &job.command {
                Command::Script { script, arguments, .. } => {
                    std::iter::once(script).chain(arguments).map(String::as_str).collect()
                }
                Command::Shell(text) => vec![text],
            },
            source_directory: job.source_directory.to_string(),
            params: &job.params,
            inputs: job.inputs.iter().map(|input| (input.name.as_str(), input_path(&input.path))).collect(),
            outputs: job
                .outputs
                .iter()
                .filter(|output| !output.metric)
                .map(|output| (output.name.as_str(), output.path.to_string()))
                .collect(),
            metrics: job.outputs.iter().filter(|output| output.metric).map(|output| output.path.to_string()).collect(),
            environment: project.environments.get(job.environment).map_or("", |e| &e.name),
            target: project.targets.get(job.target).map_or("", |t| &t.name),
            tags: &job.tags,
        })
        .collect();
    crate::console::json::document(&Graph { jobs })
}

fn input_path(path: &InputPath) -> String {
    match path {
        InputPath::Inside(path) => path.to_string(),
        InputPath::Absolute(path) => path.display().to_string(),
    }
}
