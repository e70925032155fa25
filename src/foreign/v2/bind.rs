//! What the names of a job stand for: its inputs, outputs and parameters, and those of the pipeline around it.

use std::collections::BTreeMap;

use super::super::doc::At;
use super::super::look::Context;
use super::super::model::Experiment;
use super::super::names;
use super::ours::Ours;
use super::{Bound, Scope, expression};
use crate::value::Value;

/// Inputs: values become parameters, data becomes inputs.
pub(super) fn inputs(
    context: &mut Context<'_>,
    job: &At<'_>,
    code: &At<'_>,
    one: &mut Experiment,
    scope: &Scope,
    ours: &Ours,
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
        if !ours.is_empty() && entry.key.starts_with("amlrun_after_") {
            context.report.translated(&entry, "needs");
            continue;
        }
        let mut name = names::plain(&entry.key);
        let mut found = self::bound(&entry, scope);
        if let Some(Bound::Literal(value)) = &mut found {
            name = ours.name("param", &entry.key).unwrap_or(name);
            *value = ours.value(&entry.key, &value.to_string()).unwrap_or_else(|| value.clone());
        } else {
            name = ours.name("input", &entry.key).unwrap_or(name);
            found = ours.path(&format!("input.{}", entry.key)).map(Bound::Path).or(found);
        }
        // Two keys that come to one name, as a damaged file may have them.
        let is_param = matches!(found, Some(Bound::Literal(_)));
        let same = |path: &String| one.inputs.iter().any(|(known, other)| *known == name && other == path);
        if !matches!(&found, Some(Bound::Path(path)) if same(path)) {
            name = names::free(&name, |name| {
                let taken = one.inputs.iter().any(|(known, _)| known == name);
                if is_param { one.params.iter().all(|(known, _)| known != name) } else { !taken }
            });
        }
        match found {
            Some(Bound::Path(path)) if one.inputs.contains(&(name.clone(), path.clone())) => {
                context.report.translated(&entry, format!("inputs.{name}, with others"));
                bound.insert(entry.key.clone(), Bound::Path(path));
            }
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
pub(super) fn outputs(
    context: &mut Context<'_>,
    job: &At<'_>,
    code: &At<'_>,
    one: &mut Experiment,
    scope: &Scope,
    ours: &Ours,
) -> Vec<String> {
    let metrics = ours.texts("metrics").unwrap_or_default();
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
        if !ours.is_empty() && entry.key == "amlrun_done" {
            context.report.translated(&entry, "needs of another job");
            continue;
        }
        let name = ours.name("output", &entry.key).unwrap_or_else(|| names::plain(&entry.key));
        if one.outputs.iter().any(|(known, _)| *known == name) {
            context.report.translated(&entry, "named where the component is used");
            continue;
        }
        let path = output_path(&entry, scope)
            .or_else(|| ours.path(&format!("output.{}", entry.key)))
            .or_else(|| scope.jobs.get(&format!("{}.{}", job.key, entry.key)).cloned());
        let path = path.unwrap_or_else(|| format!("outputs/{}/{name}", one.name));
        if name == path && metrics.contains(&path) {
            context.report.translated(&entry, "metrics");
            continue;
        }
        if ours.is_empty() && !matches!(kind_of(&entry.key).as_str(), "uri_file" | "mltable") {
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
pub(super) fn reference(
    name: &str,
    bound: &BTreeMap<String, Bound>,
    one: &Experiment,
    extra: &BTreeMap<String, String>,
    scope: &Scope,
    ours: &Ours,
) -> Option<String> {
    if let Some(found) = extra.get(name) {
        return Some(format!("${{{found}}}"));
    }
    if let Some(key) = name.strip_prefix("inputs.") {
        return bound.get(key).map(|found| match found {
            Bound::Literal(_) => format!("${{{}}}", ours.name("param", key).unwrap_or_else(|| names::plain(key))),
            Bound::Path(_) => format!("${{inputs.{}}}", ours.name("input", key).unwrap_or_else(|| names::plain(key))),
        });
    }
    if let Some(key) = name.strip_prefix("outputs.") {
        let name = ours.name("output", key).unwrap_or_else(|| names::plain(key));
        let is_there =
            one.outputs.iter().any(|(known, _)| *known == name) || ours.text(&format!("output.{key}")).is_some();
        return is_there.then(|| format!("${{outputs.{name}}}"));
    }
    match of_parent(name, scope)? {
        Bound::Literal(value) => Some(crate::project::template::escape(&value.to_string())),
        Bound::Path(_) => None,
    }
}
