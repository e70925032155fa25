//! Command and spark jobs, alone or in a pipeline, inline or of a component.

use std::collections::BTreeMap;

use super::super::doc::At;
use super::super::look::Context;
use super::super::model::{Experiment, Keys, Toml};
use super::super::names;
use super::distribution::distribution;
use super::{Bound, Scope, environment, expression};
use crate::value::Value;

/// A command job.
pub(super) fn command(context: &mut Context<'_>, at: &At<'_>, name: &str, scope: &Scope) -> Option<String> {
    let one = build(context, at, at, name, scope, &BTreeMap::new())?;
    Some(context.proposal.experiment(one))
}

/// A command job as an experiment. `job` has inputs, outputs and compute; `code` what is run, which may stand in a
/// component, or in the `trial` of a sweep; `extra` are further names, as in `search_space.x`.
pub(super) fn build(
    context: &mut Context<'_>,
    job: &At<'_>,
    code: &At<'_>,
    name: &str,
    scope: &Scope,
    extra: &BTreeMap<String, String>,
) -> Option<Experiment> {
    let name = names::free(name, |name| context.proposal.experiments.iter().all(|one| one.name != name));
    let mut one = Experiment { name, comments: vec![format!("From {}.", job.place())], ..Experiment::default() };
    about(context, job, &mut one);
    source(context, code, &mut one);
    let bound = inputs(context, job, code, &mut one, scope);
    let folders = outputs(context, job, code, &mut one, scope);
    let place = code.get("command")?;
    let text = place.scalar()?;
    let known = |name: &str| reference(name, &bound, &one, extra, scope);
    let (command, unknown) = expression::translate(text.trim_end(), &known);
    context.report.taken(&place, "command");
    for name in unknown {
        one.comments.push(format!("${{{{{name}}}}} names nothing that is known here."));
    }
    let made: Vec<String> = folders.iter().map(|name| format!("'${{outputs.{name}}}'")).collect();
    one.command = Some(if made.is_empty() { command } else { format!("mkdir -p {} && {command}", made.join(" ")) });
    common(context, job, code, &mut one, scope);
    // A parameter that nothing names would only be warned about.
    let used =
        |name: &str, one: &Experiment| one.command.as_ref().is_some_and(|text| text.contains(&format!("${{{name}}}")));
    let unused: Vec<_> = one.params.iter().filter(|(name, _)| !used(name, &one)).cloned().collect();
    for (name, value) in &unused {
        one.comments.push(format!("Input {name} = {value} is in no command."));
    }
    one.params.retain(|param| !unused.contains(param));
    Some(one)
}

/// A spark job: its entry, submitted with spark-submit.
pub(super) fn spark(context: &mut Context<'_>, at: &At<'_>, name: &str, scope: &Scope) {
    let mut one =
        Experiment { name: name.to_owned(), comments: vec![format!("From {}.", at.place())], ..Experiment::default() };
    about(context, at, &mut one);
    source(context, at, &mut one);
    let bound = inputs(context, at, at, &mut one, scope);
    outputs(context, at, at, &mut one, scope);
    if let Some(file) = at.get("entry").and_then(|entry| entry.get("file")) {
        one.script = file.scalar();
        context.report.taken(&file, "script");
    } else if let Some(entry) = at.get("entry") {
        context.report.none(&entry, "a class of a jar; an Amlfile runs a script or a command");
        one.command = Some("spark-submit".into());
    }
    if let Some(args) = at.get("args") {
        let text = args.scalar().unwrap_or_default();
        let known = |name: &str| reference(name, &bound, &one, &BTreeMap::new(), scope);
        let (text, _) = expression::translate(&text, &known);
        let words = shell_words::split(&text).unwrap_or_else(|_| text.split_whitespace().map(str::to_owned).collect());
        one.arguments = words.into_iter().map(Value::Text).collect();
        context.report.taken(&args, "arguments");
    }
    one.more.push(("framework".into(), Toml::text("pyspark")));
    common(context, at, at, &mut one, scope);
    let mut table: Keys = Vec::new();
    if let Some(jars) = at.get("jars") {
        table.push(("jars".into(), Toml::texts(jars.scalars())));
        context.report.taken(&jars, "environments.NAME.spark.jars");
    }
    if let Some(conf) = at.get("conf") {
        let pairs =
            conf.entries().into_iter().filter_map(|entry| Some((entry.key.clone(), Toml::text(entry.scalar()?))));
        table.push(("configuration".into(), Toml::Table(pairs.collect())));
        context.report.taken(&conf, "environments.NAME.spark.configuration");
    }
    if !table.is_empty() {
        let known = one.environment.clone();
        let base = context.proposal.environments.iter().find(|e| Some(&e.name) == known.as_ref()).cloned();
        let mut with = base.unwrap_or_default();
        if with.keys.is_empty() {
            with.keys.push(("packages".into(), Toml::texts(["pyspark".to_owned()])));
        }
        with.name = names::plain(&format!("{}-spark", one.name));
        with.keys.push(("spark".into(), Toml::Table(table)));
        one.environment = Some(context.proposal.environment(with));
    }
    context.proposal.experiment(one);
}

/// What describes a job.
fn about(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment) {
    for (key, becomes) in
        [("description", "description"), ("display_name", "description"), ("experiment_name", "tags.experiment")]
    {
        let Some((place, text)) = at.get(key).and_then(|place| Some((place.clone(), place.scalar()?))) else {
            continue;
        };
        if key == "experiment_name" {
            one.tags.push(("experiment".into(), Value::Text(text)));
        } else if one.description.is_none() {
            one.description = Some(text.trim().replace('\n', " "));
        }
        context.report.taken(&place, becomes);
    }
    for entry in at.get("tags").map(|tags| tags.entries()).unwrap_or_default() {
        let Some(value) = entry.value().filter(|value| !matches!(value, Value::List(_))) else { continue };
        context.report.taken(&entry, "tags");
        if one.tags.iter().all(|(name, _)| *name != entry.key) && !entry.key.is_empty() {
            one.tags.push((entry.key.clone(), value));
        }
    }
}

/// `code`: the source directory. Without it nothing of the project is in the job's folder.
fn source(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment) {
    let Some((place, text)) = at.get("code").and_then(|place| Some((place.clone(), place.scalar()?))) else {
        one.sources = Some(Vec::new());
        return;
    };
    if names::is_remote(&text) || text.starts_with("git+") {
        one.comments.push(format!("Its code is {text}: check it out, and name the folder in source_directory."));
        context.report.none(&place, "code comes from the project");
        return;
    }
    match names::from(at.doc.folder(), &text) {
        Some(path) => {
            context.report.taken(&place, format!("source_directory = \"{path}\""));
            one.source_directory = (path != ".").then_some(path);
        }
        None => context.report.none(&place, "it lies outside of the workspace"),
    }
}

/// Inputs: values become parameters, data becomes inputs.
fn inputs(
    context: &mut Context<'_>,
    job: &At<'_>,
    code: &At<'_>,
    one: &mut Experiment,
    scope: &Scope,
) -> BTreeMap<String, Bound> {
    let mut bound = BTreeMap::new();
    let given = job.get("inputs").map(|table| table.entries()).unwrap_or_default();
    let is_component = code.doc.file != job.doc.file || code.path != job.path;
    let declared =
        if is_component { code.get("inputs").map(|table| table.entries()).unwrap_or_default() } else { Vec::new() };
    for entry in given.into_iter().chain(declared) {
        if bound.contains_key(&entry.key) {
            context.report.translated(&entry, "given where the component is used");
            continue;
        }
        let name = names::plain(&entry.key);
        match self::bound(&entry, scope) {
            Some(Bound::Literal(value)) => {
                one.params.push((name.clone(), escaped(value.clone())));
                context.report.translated(&entry, format!("params.{name}"));
                bound.insert(entry.key.clone(), Bound::Literal(value));
            }
            Some(Bound::Path(text)) if names::is_remote(&text) => {
                let path = names::placeholder(&text);
                one.comments.push(format!("Input {name} is {text}: put it at {path}."));
                context.report.translated(&entry, format!("inputs.{name} = \"{path}\", to be put there"));
                one.inputs.push((name, path.clone()));
                bound.insert(entry.key.clone(), Bound::Path(path));
            }
            Some(Bound::Path(path)) => {
                context.report.translated(&entry, format!("inputs.{name} = \"{path}\""));
                one.inputs.push((name, path.clone()));
                bound.insert(entry.key.clone(), Bound::Path(path));
            }
            None => context.report.none(&entry, "it has no value: a component's input that is given nowhere"),
        }
    }
    bound
}

fn escaped(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(crate::project::template::escape(&text)),
        other => other,
    }
}

/// What an input is bound to.
pub(super) fn bound(at: &At<'_>, scope: &Scope) -> Option<Bound> {
    let from_text = |text: &str, is_path: bool| match expression::whole(text) {
        Some(name) => of_parent(name, scope),
        None if is_path && names::is_remote(text) => Some(Bound::Path(text.to_owned())),
        None if is_path => Some(Bound::Path(names::from(at.doc.folder(), text)?)),
        None => Some(Bound::Literal(Value::Text(text.to_owned()))),
    };
    match at.value() {
        Some(Value::Text(text)) => from_text(&text, false),
        Some(value) => Some(Bound::Literal(value)),
        None => {
            let path = at.get("path").or_else(|| at.get("uri")).and_then(|path| path.scalar());
            match path {
                Some(path) => from_text(&path, true),
                None => at.get("value").or_else(|| at.get("default")).and_then(|value| bound(&value, scope)),
            }
        }
    }
}

fn of_parent(name: &str, scope: &Scope) -> Option<Bound> {
    if let Some(name) = name.strip_prefix("parent.inputs.") {
        return scope.inputs.get(name).cloned();
    }
    if let Some(name) = name.strip_prefix("parent.outputs.") {
        return scope.outputs.get(name).cloned().map(Bound::Path);
    }
    let (job, output) = name.strip_prefix("parent.jobs.")?.split_once(".outputs.")?;
    scope.jobs.get(&format!("{job}.{output}")).cloned().map(Bound::Path)
}

/// Outputs; answers with those that are folders, which the service makes before the job begins.
fn outputs(context: &mut Context<'_>, job: &At<'_>, code: &At<'_>, one: &mut Experiment, scope: &Scope) -> Vec<String> {
    let mut folders = Vec::new();
    let is_component = code.doc.file != job.doc.file || code.path != job.path;
    let declared =
        if is_component { code.get("outputs").map(|table| table.entries()).unwrap_or_default() } else { Vec::new() };
    let given = job.get("outputs").map(|table| table.entries()).unwrap_or_default();
    let kind_of = |key: &str| {
        let found = [job, code].into_iter().find_map(|at| at.get("outputs")?.get(key)?.get("type")?.scalar());
        found.unwrap_or_default()
    };
    for entry in given.into_iter().chain(declared) {
        let name = names::plain(&entry.key);
        if one.outputs.iter().any(|(known, _)| *known == name) {
            context.report.translated(&entry, "named where the component is used");
            continue;
        }
        let path =
            output_path(&entry, scope).or_else(|| scope.jobs.get(&format!("{}.{}", job.key, entry.key)).cloned());
        let path = path.unwrap_or_else(|| format!("outputs/{}/{name}", one.name));
        if !matches!(kind_of(&entry.key).as_str(), "uri_file" | "mltable") {
            folders.push(name.clone());
        }
        context.report.translated(&entry, format!("outputs.{name} = \"{path}\""));
        one.outputs.push((name, path));
    }
    folders
}

/// The path of an output that an outer one is bound to.
pub(super) fn output_path(at: &At<'_>, scope: &Scope) -> Option<String> {
    let text = at.scalar().or_else(|| at.get("path").and_then(|path| path.scalar()))?;
    match of_parent(expression::whole(&text)?, scope) {
        Some(Bound::Path(path)) => Some(path),
        _ => None,
    }
}

/// `inputs.x` and the like as an Amlfile refers to it.
fn reference(
    name: &str,
    bound: &BTreeMap<String, Bound>,
    one: &Experiment,
    extra: &BTreeMap<String, String>,
    scope: &Scope,
) -> Option<String> {
    if let Some(found) = extra.get(name) {
        return Some(format!("${{{found}}}"));
    }
    if let Some(key) = name.strip_prefix("inputs.") {
        return bound.get(key).map(|found| match found {
            Bound::Literal(_) => format!("${{{}}}", names::plain(key)),
            Bound::Path(_) => format!("${{inputs.{}}}", names::plain(key)),
        });
    }
    if let Some(key) = name.strip_prefix("outputs.") {
        let key = names::plain(key);
        return one.outputs.iter().any(|(known, _)| *known == key).then(|| format!("${{outputs.{key}}}"));
    }
    match of_parent(name, scope)? {
        Bound::Literal(value) => Some(crate::project::template::escape(&value.to_string())),
        Bound::Path(_) => None,
    }
}

/// Environment, compute, resources, limits and distribution.
fn common(context: &mut Context<'_>, job: &At<'_>, code: &At<'_>, one: &mut Experiment, scope: &Scope) {
    let get = |key: &str| job.get(key).or_else(|| code.get(key)).filter(|at| !super::super::report::is_empty(at.node));
    let variables = get("environment_variables").map(|table| {
        let wrapped = table.entries();
        for entry in &wrapped {
            context.report.taken(entry, "variables of the environment");
        }
        wrapped
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), crate::project::template::escape(&entry.scalar()?))))
            .collect()
    });
    let variables: Vec<(String, String)> = variables.unwrap_or_default();
    match get("environment") {
        Some(place) => one.environment = environment::of(context, &place, variables, &one.name),
        None if !variables.is_empty() => {
            let keys = vec![("user_managed".into(), Toml::Value(Value::Bool(true)))];
            let new = super::super::model::Environment {
                name: one.name.clone(),
                comments: vec![format!("From {}.", job.place())],
                keys,
                variables,
            };
            one.environment = Some(context.proposal.environment(new));
        }
        None => {}
    }
    let compute = get("compute").map(|place| (place.scalar().unwrap_or_default(), Some(place)));
    if let Some((text, place)) = compute.or_else(|| scope.compute.clone().map(|text| (text, None))) {
        let name = text.strip_prefix("azureml:").unwrap_or(&text).rsplit('/').next().unwrap_or_default().to_owned();
        if name == "local" {
            if let Some(place) = &place {
                context.report.taken(place, "this machine, the target of jobs that name none");
            }
        } else if !name.is_empty() {
            let workspace = context.workspace.clone();
            let target = super::super::workspace::target(
                &name,
                place.as_ref().unwrap_or(job),
                workspace.as_ref(),
                &mut context.proposal,
            );
            if let Some(place) = &place {
                let becomes = format!("targets.{target}; jobs run here until it is chosen (`--target {target}`)");
                context.report.translated(place, becomes);
            }
            one.former_target = Some(target);
        }
    }
    if let Some((place, seconds)) = get("limits")
        .and_then(|limits| limits.get("timeout"))
        .and_then(|place| Some((place.clone(), place.whole().filter(|n| *n > 0)?)))
    {
        one.resources.push(("time".into(), Toml::text(format!("{seconds}s"))));
        context.report.translated(&place, "resources.time");
    }
    if scope.rerun || get("is_deterministic").and_then(|place| place.truth()) == Some(false) {
        one.more.push(("cache".into(), Toml::Value(Value::Bool(false))));
        if let Some(place) = &get("is_deterministic") {
            context.report.translated(place, "cache = false");
        }
    } else if let Some(place) = &get("is_deterministic") {
        context.report.holds(place);
    }
    distribution(context, get("distribution").as_ref(), get("resources").as_ref(), one);
}
