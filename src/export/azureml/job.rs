//! One job as a command or a sweep.

use super::super::context::Context;
use super::paths::{Bound, Outer, bind};
use super::{Node, Nodes, command, space, spark, sweep};
use crate::foreign::Outcome;
use crate::foreign::model::Toml;
use crate::foreign::write;
use crate::plan::Job;
use crate::project::model::{Isolation, TargetKind};
use crate::value::Value;
use crate::yaml::write::Item;

type Map = Vec<(String, Item)>;

/// The document of a job, or its part of a pipeline.
pub(super) fn document(
    context: &mut Context<'_>,
    job: &Job,
    node: &Node,
    nodes: &Nodes,
    outer: &mut Outer,
    environment: Item,
) -> Map {
    let project = context.project;
    let experiment = &project.experiments[job.experiment];
    let index = context.plan.jobs.iter().position(|other| other.name == job.name).unwrap_or_default();
    let mut bound = bind(context, index, nodes, outer);
    if job.framework == "pyspark" {
        return of_spark(context, job, node, nodes, bound, environment);
    }
    let text = command::command(context, job, &mut bound);
    let mut code: Map = Vec::new();
    if job.sources.as_ref().is_none_or(|globs| !globs.is_empty()) {
        code.push(("code".to_owned(), Item::text(context.path(&job.source_directory))));
    }
    code.push(("command".to_owned(), Item::text(text)));
    code.push(("environment".to_owned(), environment));
    let (variables, theirs) = context.variables(job);
    if !variables.is_empty() {
        let pairs = variables.into_iter().map(|(name, value)| (name, Item::text(value))).collect();
        code.push(("environment_variables".to_owned(), Item::Map(pairs)));
    }
    let shape = shape(context, job);
    let mut map = about(context, job, if experiment.sweep.is_some() { "sweep" } else { "command" });
    let mut kept = Vec::new();
    kept.push(("amlrun.experiment".to_owned(), node.experiment.clone()));
    kept.append(&mut bound.properties);
    if !theirs.is_empty() {
        let texts = theirs.into_iter().map(|(name, text)| (name, Toml::text(text))).collect();
        kept.push(("amlrun.variables".to_owned(), write::toml(&Toml::Table(texts))));
        let environment = project.environments[job.environment].name.clone();
        let why = "what holds `${env.…}` is the caller's and written nowhere: give it in environment_variables; its text is kept \
                   for `amlrun import`";
        context.say("environments", &environment, "variables", Outcome::NoCounterpart, why);
    }
    keep(context, job, nodes, &mut kept);
    if let Some(sweep) = &experiment.sweep {
        map.extend(sweep::keys(context, job, sweep));
        kept.extend(space::kept(context, job, sweep));
        code.extend(shape);
        map.push(("trial".to_owned(), Item::Map(code)));
    } else {
        map.extend(code);
        map.extend(shape);
        if let Some(time) = job.resources.time {
            let limit = ("timeout".to_owned(), Item::Scalar(time.as_secs().into()));
            map.push(("limits".to_owned(), Item::Map(vec![limit])));
        }
    }
    if let Some(compute) = compute(context, job) {
        map.push(("compute".to_owned(), Item::text(compute)));
    }
    for (key, pairs) in [("inputs", bound.inputs), ("outputs", bound.outputs)] {
        if !pairs.is_empty() {
            map.push((key.to_owned(), Item::Map(pairs)));
        }
    }
    map.push(properties(kept));
    account(context, job);
    map
}

/// What every job says of itself.
fn about(context: &Context<'_>, job: &Job, kind: &str) -> Map {
    let experiment = &context.project.experiments[job.experiment];
    let mut map = vec![("type".to_owned(), Item::text(kind)), ("display_name".to_owned(), Item::text(&job.name.0))];
    if let Some(description) = &experiment.description {
        map.push(("description".to_owned(), Item::text(description)));
    }
    if !job.tags.is_empty() {
        let tags = job.tags.iter().map(|(name, value)| (name.clone(), Item::text(value))).collect();
        map.push(("tags".to_owned(), Item::Map(tags)));
    }
    map
}

fn properties(kept: Vec<(String, String)>) -> (String, Item) {
    ("properties".to_owned(), Item::Map(kept.into_iter().map(|(key, value)| (key, Item::text(value))).collect()))
}

/// A Spark job.
fn of_spark(
    context: &mut Context<'_>,
    job: &Job,
    node: &Node,
    nodes: &Nodes,
    mut bound: Bound,
    environment: Item,
) -> Map {
    let mut map = about(context, job, "spark");
    let mut kept = vec![("amlrun.experiment".to_owned(), node.experiment.clone())];
    map.extend(spark::keys(context, job, &mut bound, environment, &mut kept));
    kept.append(&mut bound.properties);
    let (ours, theirs) = context.variables(job);
    let ours = ours.into_iter().map(|(name, value)| (name, crate::project::template::escape(&value)));
    let variables: Vec<_> = ours.chain(theirs).map(|(name, text)| (name, Toml::text(text))).collect();
    if !variables.is_empty() {
        kept.push(("amlrun.variables".to_owned(), write::toml(&Toml::Table(variables))));
    }
    keep(context, job, nodes, &mut kept);
    match compute(context, job) {
        Some(compute) => map.push(("compute".to_owned(), Item::text(compute))),
        None => map.push(("resources".to_owned(), spark::resources(context, job))),
    }
    for (key, pairs) in [("inputs", bound.inputs), ("outputs", bound.outputs)] {
        if !pairs.is_empty() {
            map.push((key.to_owned(), Item::Map(spark::direct(pairs))));
        }
    }
    map.push(properties(kept));
    account(context, job);
    map
}

/// `resources` and `distribution`.
fn shape(context: &mut Context<'_>, job: &Job) -> Map {
    let project = context.project;
    let name = project.experiments[job.experiment].name.clone();
    let whole = |number: u32| Item::Scalar(number.into());
    let mut resources: Map = Vec::new();
    let mut map: Map = Vec::new();
    if let Some(distributed) = &job.distributed {
        let number = |key: &str| distributed.options.get(key).and_then(|text| text.parse::<u32>().ok());
        let each = distributed.processes / distributed.nodes.max(1);
        resources.push(("instance_count".to_owned(), whole(distributed.nodes)));
        let mut pairs = vec![("type".to_owned(), Item::text(&distributed.kind))];
        if distributed.kind == "tensorflow" {
            pairs.push(("worker_count".to_owned(), whole(number("workers").unwrap_or(distributed.processes))));
            pairs.extend(number("parameter_servers").map(|n| ("parameter_server_count".to_owned(), whole(n))));
        } else {
            pairs.push(("process_count_per_instance".to_owned(), whole(each.max(1))));
        }
        map.push(("distribution".to_owned(), Item::Map(pairs)));
        context.say("experiments", &name, "distributed", Outcome::Translated, "distribution, resources.instance_count");
        let own = ["workers", "parameter_servers"];
        let others: Vec<&str> =
            distributed.options.keys().map(String::as_str).filter(|key| !own.contains(key)).collect();
        if !others.is_empty() {
            let why = format!("{}: v2 has no such key", others.join(", "));
            context.say("experiments", &name, "distributed", Outcome::NoCounterpart, why);
        }
    }
    let environment = &project.environments[job.environment];
    if let crate::project::model::EnvironmentKind::Docker(docker) = &environment.kind {
        let size = docker.shm_size.map(|bytes| format!("{}m", bytes.div_ceil(1 << 20)));
        resources.extend(size.map(|size| ("shm_size".to_owned(), Item::text(size))));
        if !docker.arguments.is_empty() {
            resources.push(("docker_args".to_owned(), Item::text(shell_words::join(&docker.arguments))));
        }
    }
    if !resources.is_empty() {
        map.insert(0, ("resources".to_owned(), Item::Map(resources)));
    }
    map
}

/// The compute of an `azureml` target.
fn compute(context: &mut Context<'_>, job: &Job) -> Option<String> {
    let project = context.project;
    let target = &project.targets[job.target];
    let name = project.experiments[job.experiment].name.clone();
    match target.kind {
        TargetKind::Local => None,
        TargetKind::Azureml => {
            let compute = target.options.get("compute").and_then(toml::Value::as_str)?;
            context.say("experiments", &name, "target", Outcome::Translated, format!("compute: azureml:{compute}"));
            Some(format!("azureml:{compute}"))
        }
        kind => {
            let why =
                format!("`{}` is a target of type {}: Azure ML runs on its own compute", target.name, kind.name());
            context.say("experiments", &name, "target", Outcome::NoCounterpart, why);
            None
        }
    }
}

/// What stands in `properties` for the way back.
fn keep(context: &Context<'_>, job: &Job, nodes: &Nodes, kept: &mut Vec<(String, String)>) {
    let experiment = &context.project.experiments[job.experiment];
    // Without code the document names no folder, yet the command runs in it.
    if job.sources.as_ref().is_some_and(Vec::is_empty) && !job.source_directory.is_root() {
        kept.push(("amlrun.source_directory".to_owned(), job.source_directory.to_string()));
    }
    if !experiment.matrix.is_empty() {
        let axes = experiment.matrix.iter().map(|(axis, ..)| axis.clone());
        kept.push(("amlrun.matrix-name".to_owned(), experiment.name.clone()));
        kept.push(("amlrun.matrix".to_owned(), write::toml(&Toml::texts(axes))));
        kept.push(("amlrun.job".to_owned(), job.name.0.clone()));
    }
    for (axis, values, _) in &experiment.matrix {
        let value = job.cell.iter().find(|(name, _)| name == axis);
        kept.extend(value.map(|(_, value)| (format!("amlrun.cell.{axis}"), write::value(value))));
        kept.push((format!("amlrun.axis.{axis}"), write::value(&Value::List(values.clone()))));
    }
    let mut add = |key: &str, value: Toml| kept.push((format!("amlrun.{key}"), write::toml(&value)));
    let texts = |texts: Vec<String>| Toml::texts(texts);
    // A Spark job has code in any case, where its entry lies.
    if let Some(globs) = job.sources.as_ref().filter(|globs| !globs.is_empty() || job.framework == "pyspark") {
        add("sources", texts(globs.clone()));
    }
    let metrics: Vec<String> =
        job.outputs.iter().filter(|output| output.metric).map(|output| output.path.to_string()).collect();
    if !metrics.is_empty() {
        add("metrics", texts(metrics));
    }
    let awaited = super::paths::awaited(job);
    let needs: Vec<String> =
        awaited.iter().filter_map(|other| Some(nodes.0.get(*other)?.as_ref()?.experiment.clone())).collect();
    if !needs.is_empty() {
        add("needs", texts(needs));
    }
    if job.retries > 0 {
        add("retries", Toml::integer(job.retries.into()));
    }
    if !job.secrets.is_empty() {
        add("secrets", texts(job.secrets.clone()));
    }
    if !job.cache {
        add("cache", Toml::Value(Value::Bool(false)));
    }
    if job.isolation == Isolation::InPlace {
        add("isolation", Toml::text("in-place"));
    }
    let resources = &job.resources;
    let mut table: Vec<(String, Toml)> = Vec::new();
    if resources.cpus != 1 {
        table.push(("cpus".to_owned(), Toml::integer(resources.cpus.into())));
    }
    if resources.gpus != 0 {
        table.push(("gpus".to_owned(), Toml::integer(resources.gpus.into())));
    }
    if let Some(bytes) = resources.memory {
        table.push(("memory".to_owned(), Toml::text(format!("{bytes}B"))));
    }
    if let Some(time) = resources.time.filter(|_| experiment.sweep.is_some() || job.framework == "pyspark") {
        table.push(("time".to_owned(), Toml::text(format!("{}s", time.as_secs()))));
    }
    if !table.is_empty() {
        add("resources", Toml::Table(table));
    }
}

/// What became of the keys of an experiment.
fn account(context: &mut Context<'_>, job: &Job) {
    let project = context.project;
    let experiment = &project.experiments[job.experiment];
    let name = experiment.name.clone();
    let is_spark = job.framework == "pyspark";
    let translated = [
        ("description", "description"),
        ("source_directory", "code"),
        ("script", if is_spark { "entry" } else { "command" }),
        ("command", "command"),
        ("arguments", if is_spark { "args" } else { "command" }),
        ("params", "inputs, those that the command names"),
        ("inputs", "inputs"),
        ("outputs", "outputs; their paths in properties"),
        ("metrics", "outputs; no metrics of the run, which `mlflow.log_metric` makes"),
        ("environment", "environment"),
        ("tags", "tags"),
        ("matrix", "a job for each cell, which `amlrun import` makes one experiment again"),
        ("needs", "an empty folder that is handed on"),
    ];
    for (key, becomes) in translated {
        if context.has("experiments", &name, key) {
            context.say("experiments", &name, key, Outcome::Translated, becomes);
        }
    }
    let kept = [
        ("sources", job.sources.as_ref().is_some_and(|globs| !globs.is_empty()), "all of the folder is uploaded"),
        ("retries", true, "a job is not tried again there"),
        ("secrets", true, "give them in Azure Key Vault: their values are never written"),
        ("cache", !job.cache, "`settings.force_rerun` is for whole pipelines"),
        ("isolation", true, "a job runs in a copy there"),
    ];
    for (key, holds, why) in kept {
        if holds && context.has("experiments", &name, key) {
            let why = format!("{why}; kept in properties for `amlrun import`");
            context.say("experiments", &name, key, Outcome::NoCounterpart, why);
        }
    }
    if context.has("experiments", &name, "resources") {
        let resources = &job.resources;
        if resources.time.is_some() && is_spark {
            let why = "time: a Spark job has no limits there; kept in properties for `amlrun import`";
            context.say("experiments", &name, "resources", Outcome::NoCounterpart, why);
        } else if resources.time.is_some() {
            context.say("experiments", &name, "resources", Outcome::Translated, "time: limits");
        }
        if resources.cpus != 1 || resources.gpus != 0 || resources.memory.is_some() {
            let why = "cpus, gpus and memory are those of the compute; kept in properties for `amlrun import`";
            context.say("experiments", &name, "resources", Outcome::NoCounterpart, why);
        }
    }
    if experiment.params_file.is_some() {
        let why = "all of a parameter file counts there, not single keys";
        context.say("experiments", &name, "params", Outcome::NoCounterpart, why);
    }
}
