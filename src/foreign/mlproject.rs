//! `MLproject` files of MLflow with their entry points and environments
//! (<https://mlflow.org/docs/latest/ml/projects/>).

use super::conda;
use super::doc::At;
use super::legacy;
use super::look::Context;
use super::model::{Environment, Experiment, Keys, Toml};
use super::names;
use crate::project::template::escape;
use crate::value::Value;

/// Reads one.
pub fn import(context: &mut Context<'_>, path: &str) {
    let Some(doc) = context.doc(path) else { return };
    let at = doc.at();
    let folder = doc.folder().to_owned();
    let name = at.get("name").and_then(|name| name.scalar());
    if let (Some(place), Some(name)) = (at.get("name"), &name) {
        context.report.taken(&place, "workspace.name");
        context.proposal.name.get_or_insert_with(|| name.clone());
    }
    let environment = environment(context, &at, &folder, &names::plain(name.as_deref().unwrap_or("main")));
    for entry in at.get("entry_points").map(|table| table.entries()).unwrap_or_default() {
        entry_point(context, &entry, &folder, environment.as_deref());
    }
    context.report.rest(&doc, "an Amlfile has nothing like it");
}

fn entry_point(context: &mut Context<'_>, at: &At<'_>, folder: &str, environment: Option<&str>) {
    let mut one = Experiment {
        name: names::plain(&at.key),
        comments: vec![format!("Entry point {} of {}.", at.key, at.place())],
        source_directory: (!folder.is_empty()).then(|| folder.to_owned()),
        environment: environment.map(str::to_owned),
        ..Experiment::default()
    };
    let Some((place, command)) = at.get("command").and_then(|place| Some((place.clone(), place.scalar()?))) else {
        context.report.none(at, "an entry point without a command");
        return;
    };
    let mut references: Vec<(String, String)> = Vec::new();
    for entry in at.get("parameters").map(|table| table.entries()).unwrap_or_default() {
        let key = entry.key.clone();
        let name = names::plain(&key);
        // `name: float`, or `name: { type: float, default: 0.1 }`.
        let kind = entry.scalar().or_else(|| entry.get("type")?.scalar()).unwrap_or_else(|| "string".into());
        let default = entry.get("default").and_then(|default| default.value());
        match (&default, kind.as_str()) {
            (Some(Value::Text(text)), "path") if !names::is_remote(text) => {
                let Some(path) = names::from(folder, text) else {
                    context.report.none(&entry, "it leads out of the workspace");
                    continue;
                };
                context.report.translated(&entry, format!("inputs.{name} = \"{path}\""));
                one.inputs.push((name.clone(), path));
                references.push((key, format!("${{inputs.{name}}}")));
            }
            (Some(Value::Text(text)), "path") => {
                let path = names::placeholder(text);
                one.comments.push(format!("Input {name} is {text}: put it at {path}."));
                context.report.translated(&entry, format!("inputs.{name} = \"{path}\", to be put there"));
                one.inputs.push((name.clone(), path));
                references.push((key, format!("${{inputs.{name}}}")));
            }
            (Some(value), _) => {
                let value = match value {
                    Value::Text(text) => Value::Text(escape(text)),
                    other => other.clone(),
                };
                context.report.translated(&entry, format!("params.{name}"));
                one.params.push((name.clone(), value));
                references.push((key, format!("${{{name}}}")));
            }
            (None, _) => {
                one.comments
                    .push(format!("Parameter {name} ({kind}) has no default: give it with --set {name}=…, or here."));
                context.report.translated(&entry, format!("params.{name}, which has no value yet"));
                one.params.push((name.clone(), Value::Text(String::new())));
                references.push((key, format!("${{{name}}}")));
            }
        }
    }
    one.command = Some(braces(&command, &references));
    context.report.translated(&place, "command, `{x}` as `${x}`");
    context.proposal.experiment(one);
}

/// `{name}` becomes its reference, `{{` and `}}` are braces, as in Python's `format`.
fn braces(text: &str, references: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let doubled =
            from.strip_prefix("{{").map(|next| ("{", next)).or_else(|| from.strip_prefix("}}").map(|next| ("}", next)));
        if let Some((brace, next)) = doubled {
            out.push_str(if out.ends_with('$') && brace == "{" { "${" } else { brace });
            rest = next;
            continue;
        }
        let name = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        if let Some(((_, reference), next)) =
            name.and_then(|(name, next)| Some((references.iter().find(|(known, _)| known == name)?, next)))
        {
            out.push_str(reference);
            rest = next;
        } else {
            let mut chars = from.chars();
            out.extend(chars.next());
            rest = chars.as_str();
        }
    }
    out.push_str(rest);
    out
}

fn environment(context: &mut Context<'_>, at: &At<'_>, folder: &str, name: &str) -> Option<String> {
    if let Some((place, text)) = at.get("conda_env").and_then(|place| Some((place.clone(), place.scalar()?))) {
        let path = names::from(folder, &text)?;
        let doc = context.doc(&path)?;
        context.report.translated(&place, format!("environments.{name}, from {path}"));
        let found = conda::read(&doc.at());
        let one = legacy::from_conda(context, &found, Some(&path), &doc.at(), name);
        context.report.rest(&doc, "conda's own");
        return Some(context.proposal.environment(one));
    }
    if let Some((place, text)) = at.get("python_env").and_then(|place| Some((place.clone(), place.scalar()?))) {
        let path = names::from(folder, &text)?;
        let doc = context.doc(&path)?;
        context.report.translated(&place, format!("environments.{name}, from {path}"));
        return Some(python_env(context, &doc.at(), folder, name));
    }
    if let Some(docker) = at.get("docker_env") {
        let image = docker.get("image").and_then(|image| image.scalar())?;
        context.report.translated(&docker, "docker = { image = … }");
        let keys: Keys = vec![("docker".into(), Toml::Table(vec![("image".into(), Toml::text(image))]))];
        return Some(context.proposal.environment(Environment {
            name: name.to_owned(),
            comments: vec![format!("From {}.", docker.place())],
            keys,
            variables: Vec::new(),
        }));
    }
    None
}

/// `python_env.yaml`: `python`, `build_dependencies`, `dependencies`.
fn python_env(context: &mut Context<'_>, at: &At<'_>, folder: &str, name: &str) -> String {
    let mut one = Environment {
        name: name.to_owned(),
        comments: vec![format!("From {}.", at.doc.file)],
        ..Environment::default()
    };
    if let Some((place, version)) = at.get("python").and_then(|place| Some((place.clone(), place.scalar()?))) {
        let minor: Vec<&str> = version.split('.').take(2).collect();
        one.keys.push(("python".into(), Toml::text(minor.join("."))));
        context.report.translated(&place, "python");
    }
    if let Some(place) = at.get("build_dependencies") {
        context.report.none(&place, "what builds packages comes with uv or pip");
    }
    let mut packages = Vec::new();
    let mut file = None;
    for item in at.get("dependencies").map(|list| list.items()).unwrap_or_default() {
        let Some(text) = item.scalar() else { continue };
        if let Some(path) = text.strip_prefix("-r ") {
            file = names::from(folder, path.trim());
            context.report.taken(&item, "requirements");
        } else {
            context.report.taken(&item, "packages");
            packages.push(text);
        }
    }
    match file {
        Some(file) => {
            for package in packages {
                one.comments.push(format!("Add {package} to {file}."));
            }
            one.keys.push(("requirements".into(), Toml::text(file)));
        }
        None => one.keys.push(("packages".into(), Toml::texts(packages))),
    }
    let doc = at.doc;
    context.report.rest(doc, "an Amlfile has nothing like it");
    context.proposal.environment(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_become_references() {
        let known = [("a".to_owned(), "${a}".to_owned()), ("d".to_owned(), "${inputs.d}".to_owned())];
        let check = |text: &str, expected: &str| assert_eq!(braces(text, &known), expected, "{text}");
        check("python t.py -a {a} {d} {b}", "python t.py -a ${a} ${inputs.d} {b}");
        check("echo {{a}} $x }", "echo {a} $x }");
    }
}
