//! Command jobs, alone or in a pipeline, inline or of a component; and what spark jobs have in common with them.

use std::collections::BTreeMap;

use super::super::doc::At;
use super::super::look::Context;
use super::super::model::{Experiment, Toml};
use super::super::names;
use super::bind::{inputs, outputs, reference};
use super::distribution::distribution;
use super::ours::{self, Ours};
use super::{Scope, environment, expression};
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
    let ours = ours::of(context, job, "properties");
    one.cell = ours.cell();
    about(context, job, &mut one, &ours);
    source(context, code, &mut one);
    let bound = inputs(context, job, code, &mut one, scope, &ours);
    let folders = outputs(context, job, code, &mut one, scope, &ours);
    let place = code.get("command")?;
    let text = place.scalar()?;
    let known = |name: &str| reference(name, &bound, &one, extra, scope, &ours);
    let mut unknown = Vec::new();
    let mut translate = |text: &str| {
        let (text, names) = expression::translate(text, &known);
        unknown.extend(names);
        text
    };
    let script = ours.text("script").filter(|script| names::from("", script).is_some());
    let own =
        if ours.is_empty() { text.trim_end().to_owned() } else { ours.without_appended(ours::own_command(&text)) };
    let arguments = script.and_then(|script| Some((script, ours::arguments(&own, script)?)));
    if let Some((script, words)) = arguments {
        let words = words.iter().map(|word| Value::Text(translate(word))).collect();
        context.report.translated(&place, "script, arguments");
        (one.script, one.arguments) = (Some(script.to_owned()), words);
    } else {
        let command = translate(&own);
        context.report.taken(&place, "command");
        let made: Vec<String> = folders.iter().map(|name| format!("'${{outputs.{name}}}'")).collect();
        one.command = Some(if made.is_empty() { command } else { format!("mkdir -p {} && {command}", made.join(" ")) });
    }
    for name in unknown {
        one.comments.push(format!("${{{{{name}}}}} names nothing that is known here."));
    }
    common(context, job, code, &mut one, scope, &ours);
    ours.complete(&mut one);
    // A parameter that nothing names would only be warned about.
    let used = |name: &str, one: &Experiment| {
        let arguments = one.arguments.iter().filter_map(|argument| match argument {
            Value::Text(text) => Some(text),
            _ => None,
        });
        one.command.iter().chain(arguments).any(|text| text.contains(&format!("${{{name}}}")))
    };
    let unused: Vec<_> = one.params.iter().filter(|(name, _)| !used(name, &one)).cloned().collect();
    for (name, value) in &unused {
        one.comments.push(format!("Input {name} = {value} is in no command."));
    }
    one.params.retain(|param| !unused.contains(param));
    Some(one)
}

/// What describes a job.
pub(super) fn about(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment, ours: &Ours) {
    for (key, becomes) in
        [("description", "description"), ("display_name", "description"), ("experiment_name", "tags.experiment")]
    {
        let Some((place, text)) = at.get(key).and_then(|place| Some((place.clone(), place.scalar()?))) else {
            continue;
        };
        if key == "display_name" && !ours.is_empty() {
            context.report.holds(&place); // the job's name
            continue;
        }
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
pub(super) fn source(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment) {
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

/// Environment, compute, resources, limits and distribution.
pub(super) fn common(
    context: &mut Context<'_>,
    job: &At<'_>,
    code: &At<'_>,
    one: &mut Experiment,
    scope: &Scope,
    ours: &Ours,
) {
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
    let mut variables: Vec<(String, String)> = variables.unwrap_or_default();
    for (name, text) in ours.variables() {
        if variables.iter().all(|(known, _)| *known != name) {
            variables.push((name, text));
        }
    }
    variables.sort();
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
        } else if !name.is_empty() && (place.is_some() || ours.is_empty()) {
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
