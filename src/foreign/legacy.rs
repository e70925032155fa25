//! The environment section of SDK v1 in all its dialects, and the `.compute` files of before 1.0 (azure-ml.md §1.3, §1.7).

use super::conda::{self, Conda};
use super::curated;
use super::doc::{At, Doc};
use super::look::Context;
use super::model::{Environment, Keys, Toml};
use super::names;

/// Pythons that the SDK itself wrote into every new file: no one's choice.
const DEFAULT_PYTHONS: &[&str] = &["3.6.2", "3.8.13", "3.8.1", "3.6.9", "3.10.18"];

/// An environment from a conda specification. Its packages as a list where PyPI has them all; else the file itself.
pub fn from_conda(
    context: &mut Context<'_>,
    found: &Conda,
    file: Option<&str>,
    at: &At<'_>,
    name: &str,
) -> Environment {
    let mut one = Environment { name: name.to_owned(), ..Environment::default() };
    one.comments.push(format!("From {}.", file.unwrap_or(&at.place())));
    if let Some(list) = at.get("dependencies") {
        account(context, &list, found);
    }
    if let Some(name) = at.get("name") {
        context.report.taken(&name, format!("environments.{}", one.name));
    }
    if let Some(channels) = at.get("channels") {
        context.report.none(&channels, "packages come from PyPI; conda reads its channels from the file");
    }
    if let Some(python) = &found.python {
        let written = at.get("dependencies").map(|list| list.scalars()).unwrap_or_default();
        let is_default = written.iter().any(|text| {
            text.strip_prefix("python=")
                .is_some_and(|version| DEFAULT_PYTHONS.contains(&version.trim_start_matches('=')))
        });
        if is_default {
            one.comments
                .push(format!("The SDK had put in Python {python}; add python = \"{python}\" where it matters."));
        } else {
            one.keys.push(("python".into(), Toml::text(python)));
        }
    }
    for (from, to) in &found.renamed {
        one.comments.push(format!("conda's {from} is {to} on PyPI."));
    }
    for gone in found.ignored.iter().filter(|text| conda::is_retired(text)) {
        one.comments.push(format!("{gone} is left out: the SDK is retired."));
    }
    match file {
        Some(file) if !found.refused.is_empty() => {
            one.comments
                .push(format!("PyPI does not have {}: conda builds it from the file.", found.refused.join(", ")));
            one.keys = vec![("conda".into(), Toml::text(file))];
        }
        _ => {
            for refused in &found.refused {
                one.comments.push(format!("Left out: {refused} has no known name on PyPI."));
            }
            one.keys.push(("packages".into(), Toml::texts(found.packages.clone())));
        }
    }
    one
}

/// A line for each package of a conda file.
fn account(context: &mut Context<'_>, list: &At<'_>, found: &Conda) {
    let packages = list.items().into_iter().flat_map(|item| match item.get("pip") {
        Some(pip) => pip.items(),
        None => vec![item],
    });
    for item in packages {
        let Some(text) = item.scalar() else { continue };
        let text = text.trim();
        let report = &mut context.report;
        if let Some((_, to)) = found.renamed.iter().find(|(from, _)| from == text) {
            report.translated(&item, format!("packages: {to}"));
        } else if conda::is_retired(text) {
            report.none(&item, "the SDK is retired; amlrun answers `azureml.core.Run` itself where it can");
        } else if found.ignored.iter().any(|ignored| ignored == text) {
            report.holds(&item);
        } else if found.refused.iter().any(|refused| refused == text) {
            report.none(&item, "no known name on PyPI; `conda = \"…\"` builds it where conda is installed");
        } else if text.starts_with("python") && found.python.is_some() && !found.packages.iter().any(|p| p == text) {
            report.translated(&item, "python");
        } else {
            report.taken(&item, "packages");
        }
    }
}

/// The `environment:` of a run configuration: a table, a path to one, or a name. `root` is the project's folder.
pub fn environment(context: &mut Context<'_>, at: &At<'_>, root: &str, name: &str) -> Option<String> {
    if let Some(text) = at.scalar() {
        let candidates = [names::from(root, &text), names::from(at.doc.folder(), &text)];
        let found = candidates.into_iter().flatten().find(|path| context.look.there(path) == Some(false));
        if let Some(path) = found {
            let doc = context.doc(&path)?;
            context.report.translated(at, format!("environments, from {path}"));
            let found = environment_table(context, &doc.at(), root, name);
            context.report.rest(&doc, "no counterpart in an environment");
            return found;
        }
        return named(context, at, &text);
    }
    environment_table(context, at, root, name)
}

/// A curated environment, or one that only the workspace knows.
pub fn named(context: &mut Context<'_>, at: &At<'_>, name: &str) -> Option<String> {
    let bare = name.rsplit("azureml:").next().unwrap_or(name);
    let bare = bare.split("/environments/").last().unwrap_or(bare);
    let short = names::plain(bare.split(['@', ':', '/']).next().unwrap_or(bare).trim_start_matches("AzureML-"));
    if let Some((python, packages)) = curated::find(name) {
        let mut keys: Keys = Vec::new();
        if let Some(python) = python {
            keys.push(("python".into(), Toml::text(python)));
        }
        keys.push(("packages".into(), Toml::texts(packages)));
        let comments = vec![
            format!("{name} ({}) was a curated image of Azure ML; these are its main packages.", at.place()),
            "Compare versions where results must be the same to the last digit.".to_owned(),
        ];
        context.report.translated(at, format!("environments.{short}: the main packages of that curated image"));
        return Some(context.proposal.environment(Environment { name: short, comments, keys, variables: Vec::new() }));
    }
    let comments = vec![format!("{name} ({}) is known to the workspace alone: list its packages here.", at.place())];
    let keys = vec![("packages".into(), Toml::List(Vec::new()))];
    context
        .report
        .none(at, "registered in the workspace, its packages are not known here; an empty one stands in for it");
    Some(context.proposal.environment(Environment { name: short, comments, keys, variables: Vec::new() }))
}

fn environment_table(context: &mut Context<'_>, at: &At<'_>, root: &str, fallback: &str) -> Option<String> {
    let given = at.said("name").and_then(|name| name.scalar());
    if let Some(name) = at.said("name") {
        context.report.translated(&name, "the name of the environment");
    }
    let python = at.find("python");
    let mut one = python_part(context, at, python.as_ref(), root);
    if let (None, Some(name), true) = (&one, &given, given.as_ref().is_some_and(|name| curated::is_curated(name))) {
        let at = at.said("name").unwrap_or_else(|| at.clone());
        return named(context, &at, name);
    }
    let docker = docker_image(context, at);
    if let Some((keys, comment)) = docker {
        match &mut one {
            None => one = Some(Environment { keys, ..Environment::default() }),
            Some(one) => one.comments.push(comment),
        }
    }
    let variables = variables(context, at);
    if one.is_none() && variables.is_empty() {
        return None;
    }
    let mut one = one.unwrap_or_else(|| Environment {
        keys: vec![("packages".into(), Toml::List(Vec::new()))],
        ..Environment::default()
    });
    one.variables = variables;
    let default = |name: &&String| !name.is_empty() && *name != "default-environment" && *name != "project_environment";
    one.name =
        names::plain(given.as_ref().filter(default).map_or(fallback, String::as_str).trim_start_matches("AzureML-"));
    if let Some(spark) = at.said("spark") {
        spark_packages(context, &spark, &mut one);
    }
    Some(context.proposal.environment(one))
}

/// `python:` in a run configuration; in the Title-case dialect its keys stand at the top.
fn python_part(context: &mut Context<'_>, at: &At<'_>, python: Option<&At<'_>>, root: &str) -> Option<Environment> {
    let find = |key: &str| python.and_then(|python| python.find(key)).or_else(|| at.find(key));
    let managed_by_user = find("userManagedDependencies").or_else(|| find("userManagedEnvironment"));
    let interpreter = find("interpreterPath").or_else(|| find("pythonLocation"));
    let is_user_managed = managed_by_user.as_ref().and_then(At::truth) == Some(true);
    if let Some(place) = &managed_by_user {
        if is_user_managed {
            context.report.taken(place, "user_managed");
        } else {
            context.report.holds(place);
        }
    }
    if let Some(place) = interpreter.filter(|place| place.scalar().is_some()) {
        let path = place.scalar().unwrap_or_default();
        if is_user_managed && path != "python" {
            context.report.taken(&place, "interpreter");
            let keys = vec![
                ("user_managed".into(), Toml::Value(crate::value::Value::Bool(true))),
                ("interpreter".into(), Toml::text(path)),
            ];
            return Some(Environment {
                comments: vec![format!("From {}.", place.place())],
                keys,
                ..Environment::default()
            });
        }
        context.report.add(&place, super::Outcome::Default, "used only where the user manages the dependencies");
    }
    if is_user_managed {
        let keys = vec![("user_managed".into(), Toml::Value(crate::value::Value::Bool(true)))];
        return Some(Environment { comments: vec![format!("From {}.", at.place())], keys, ..Environment::default() });
    }
    if let Some(inline) = find("condaDependencies").filter(|inline| !inline.entries().is_empty()) {
        let found = conda::read(&inline);
        return Some(from_conda(context, &found, None, &inline, "environment"));
    }
    let file = find("condaDependenciesFile").filter(|file| file.scalar().is_some_and(|text| !text.is_empty()))?;
    let text = file.scalar()?;
    let candidates = [names::from(root, &text), names::from(at.doc.folder(), &text)];
    let path = candidates.into_iter().flatten().find(|path| context.look.there(path) == Some(false));
    let Some(path) = path else {
        context.report.none(&file, format!("{text} is not there"));
        let comments = vec![format!("{text}, which {} names, is not there: list the packages here.", file.place())];
        let keys = vec![("packages".into(), Toml::List(Vec::new()))];
        return Some(Environment { comments, keys, ..Environment::default() });
    };
    context.report.translated(&file, format!("packages, from {path}"));
    let doc = context.doc(&path)?;
    let found = conda::read(&doc.at());
    let one = from_conda(context, &found, Some(&path), &doc.at(), "environment");
    context.report.rest(&doc, "conda's own");
    Some(one)
}

/// The image, where a container was in use and it is not the SDK's own base: its keys, and a comment where it cannot stand.
fn docker_image(context: &mut Context<'_>, at: &At<'_>) -> Option<(Keys, String)> {
    let docker = at.said("docker")?;
    let image = docker.said("baseImage").or_else(|| docker.said("baseDockerImage"));
    if let Some(text) = docker.said("baseDockerfile") {
        context
            .report
            .none(&text, "an inline Dockerfile: write it to a file and name it in docker = { dockerfile = \"…\" }");
    }
    let image = image?;
    let name = image.scalar()?;
    if name.starts_with("mcr.microsoft.com/azureml/") {
        context.report.add(&image, super::Outcome::Default, "the SDK's base image: a managed Python takes its place");
        return None;
    }
    let mut table: Keys = vec![("image".into(), Toml::text(&name))];
    if let Some(size) = docker.said("shmSize").filter(|size| size.scalar().as_deref() != Some("2g")) {
        let text = size.scalar().unwrap_or_default().to_lowercase();
        let unit = if text.ends_with('g') { "GiB" } else { "MiB" };
        table.push(("shm_size".into(), Toml::text(format!("{}{unit}", text.trim_end_matches(['g', 'm', 'b'])))));
        context.report.translated(&size, "docker.shm_size");
    }
    if let Some(arguments) = docker.said("arguments") {
        table.push(("arguments".into(), Toml::texts(arguments.scalars())));
        context.report.taken(&arguments, "docker.arguments");
    }
    context.report.translated(&image, "docker = { image = … }, where nothing is installed on top");
    let shown = super::write::toml(&Toml::Table(table.clone()));
    Some((
        vec![("docker".into(), Toml::Table(table))],
        format!("It ran in a container: docker = {shown} with these packages built into it."),
    ))
}

/// `environmentVariables`, names as written.
pub fn variables(context: &mut Context<'_>, at: &At<'_>) -> Vec<(String, String)> {
    let Some(table) = at.find("environmentVariables") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in table.entries() {
        let Some(value) = entry.scalar() else { continue };
        if entry.key == "EXAMPLE_ENV_VAR" {
            context.report.add(&entry, super::Outcome::Default, "the SDK's example");
        } else if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            context.report.none(&entry, "no name of a variable");
        } else {
            context.report.taken(&entry, "variables");
            found.push((entry.key.clone(), crate::project::template::escape(&value)));
        }
    }
    found
}

fn spark_packages(context: &mut Context<'_>, spark: &At<'_>, one: &mut Environment) {
    let mut table: Keys = Vec::new();
    if let Some(list) = spark.said("packages") {
        let coordinate = |item: &At<'_>| {
            let part = |key: &str| item.said(key).and_then(|part| part.scalar()).unwrap_or_default();
            format!("{}:{}:{}", part("group"), part("artifact"), part("version"))
        };
        table.push(("packages".into(), Toml::texts(list.items().iter().map(coordinate))));
        context.report.translated(&list, "spark.packages");
    }
    if let Some(list) = spark.said("repositories") {
        table.push(("repositories".into(), Toml::texts(list.scalars())));
        context.report.taken(&list, "spark.repositories");
    }
    if !table.is_empty() {
        one.keys.push(("spark".into(), Toml::Table(table)));
    }
}

/// `<target>.compute` beside a Title-case run configuration: what the target was.
pub fn compute(context: &mut Context<'_>, folder: &str, target: &str) -> Option<Doc> {
    let name = format!("{target}.compute");
    let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
    context.doc(&path)
}
