//! Environments of v2: by reference, inline, and as documents of their own.

use super::super::conda;
use super::super::doc::At;
use super::super::legacy;
use super::super::look::Context;
use super::super::model::{Environment, Keys, Toml};
use super::super::names;
use super::ours::{self, Ours};
use crate::value::Value;

/// A document of its own.
pub(super) fn document(context: &mut Context<'_>, at: &At<'_>, name: &str) {
    let Some(mut one) = table(context, at, name) else { return };
    if let Some((place, text)) = at.get("description").and_then(|place| Some((place.clone(), place.scalar()?))) {
        one.keys.insert(0, ("description".into(), Toml::text(text)));
        context.report.taken(&place, "description");
    }
    context.proposal.environment(one);
}

/// The environment that a job names.
pub(super) fn of(
    context: &mut Context<'_>,
    at: &At<'_>,
    variables: Vec<(String, String)>,
    fallback: &str,
) -> Option<String> {
    let Some(text) = at.scalar() else {
        let kept = at.get("tags").and_then(|tags| tags.get("amlrun.environment")?.scalar());
        let given = at.get("name").and_then(|name| name.scalar());
        let name = kept.or(given).map_or_else(|| fallback.to_owned(), |name| names::plain(&name));
        let mut one = table(context, at, &name)?;
        one.variables = variables;
        return Some(context.proposal.environment(one));
    };
    let path = text.strip_prefix("file:").unwrap_or(&text);
    let file = names::from(at.doc.folder(), path).filter(|path| context.look.there(path) == Some(false));
    let base = match file {
        Some(path) => {
            let doc = context.doc(&path)?;
            context.report.translated(at, format!("environments, from {path}"));
            let one = table(context, &doc.at(), &names::plain(names::stem(&path)))?;
            context.report.rest(&doc, "an Amlfile has nothing like it");
            context.proposal.environment(one)
        }
        None => known(context, &text).unwrap_or(legacy::named(context, at, &text)?),
    };
    if context.report.rows().iter().all(|row| row.file != at.doc.file || row.key != at.path) {
        context.report.translated(at, format!("environment = \"{base}\""));
    }
    if variables.is_empty() {
        return Some(base);
    }
    let mut with = context.proposal.environments.iter().find(|one| one.name == base).cloned()?;
    with.variables.extend(variables);
    with.name = names::plain(&format!("{base}-{fallback}"));
    Some(context.proposal.environment(with))
}

/// One of the documents that were read already: `azureml:NAME:1`, `azureml:NAME@latest`.
fn known(context: &Context<'_>, text: &str) -> Option<String> {
    let name = text.strip_prefix("azureml:")?.split([':', '@']).next()?;
    context.proposal.environments.iter().find(|one| one.name == name).map(|one| one.name.clone())
}

fn table(context: &mut Context<'_>, at: &At<'_>, name: &str) -> Option<Environment> {
    let ours = ours::of(context, at, "tags");
    if ours.text("default").is_some() {
        context.report.translated(at, "no environment");
        return None;
    }
    let mut one = described(context, at, name, &ours)?;
    one.keys.extend(ours.toml("spark").map(|spark| ("spark".to_owned(), spark)));
    Some(one)
}

fn described(context: &mut Context<'_>, at: &At<'_>, name: &str, ours: &Ours) -> Option<Environment> {
    if let Some(keys) = kept(context, ours) {
        for key in ["image", "build", "conda_file"] {
            if let Some(place) = at.get(key) {
                context.report.translated(&place, "what `amlrun export` kept stands for it");
            }
        }
        let comments = vec![format!("From {}.", at.place())];
        return Some(Environment { name: name.to_owned(), comments, keys, ..Environment::default() });
    }
    let image = at.get("image").and_then(|place| Some((place.clone(), place.scalar()?)));
    let mut one = packages(context, at, name);
    if let Some((place, image)) = image {
        if let Some(one) = &mut one {
            one.comments.push(format!("It ran in {image}, with these packages built into it."));
            context.report.none(
                &place,
                "packages are installed in an environment of their own; `docker = { image = … }` stands alone",
            );
        } else {
            context.report.translated(&place, "docker = { image = … }");
            let keys: Keys = vec![("docker".into(), Toml::Table(vec![("image".into(), Toml::text(image))]))];
            one = Some(Environment {
                name: name.to_owned(),
                comments: vec![format!("From {}.", place.place())],
                keys,
                ..Environment::default()
            });
        }
    }
    if let Some(build) = at.get("build") {
        let path =
            build.get("path").and_then(|path| path.scalar()).and_then(|path| names::from(at.doc.folder(), &path));
        let file = build.get("dockerfile_path").and_then(|path| path.scalar()).unwrap_or_else(|| "Dockerfile".into());
        if let Some(path) = path {
            let dockerfile = if path == "." { file } else { format!("{path}/{file}") };
            context.report.translated(&build, "docker = { dockerfile = … }");
            let docker =
                Toml::Table(vec![("dockerfile".into(), Toml::text(dockerfile)), ("context".into(), Toml::text(path))]);
            one = Some(Environment {
                name: name.to_owned(),
                comments: vec![format!("From {}.", build.place())],
                keys: vec![("docker".into(), docker)],
                ..Environment::default()
            });
        }
    }
    for key in ["version", "tags", "os_type", "inference_config", "datastore", "auto_delete_setting"] {
        if let Some(place) = at.get(key) {
            context.report.none(&place, "environments go by their content, not by a version");
        }
    }
    one.or_else(|| {
        context.report.none(at, "neither an image nor a conda file");
        None
    })
}

/// What `amlrun export` kept of an environment that v2 has in other words.
fn kept(context: &Context<'_>, ours: &Ours) -> Option<Keys> {
    if ours.text("user_managed").is_some() {
        let keys = ["user_managed", "interpreter"].into_iter();
        return Some(keys.filter_map(|key| Some((key.to_owned(), ours.toml(key)?))).collect());
    }
    for key in ["requirements", "conda"] {
        let Some(Toml::Value(Value::Text(path))) = ours.toml(key) else { continue };
        if names::from("", &path).is_some_and(|path| context.look.there(&path) == Some(false)) {
            return Some(vec![(key.to_owned(), Toml::text(path))]);
        }
    }
    Some(vec![("docker".to_owned(), ours.toml("docker")?)])
}

/// `conda_file`: a path, or the specification itself.
fn packages(context: &mut Context<'_>, at: &At<'_>, name: &str) -> Option<Environment> {
    let place = at.get("conda_file")?;
    let Some(text) = place.scalar() else {
        let found = conda::read(&place);
        return (!place.entries().is_empty()).then(|| legacy::from_conda(context, &found, None, &place, name));
    };
    let path = names::from(at.doc.folder(), &text)?;
    let Some(doc) = context.doc(&path) else {
        context.report.none(&place, format!("{path} is not there"));
        let comments = vec![format!("{path}, which {} names, is not there: list the packages here.", place.place())];
        return Some(Environment {
            name: name.to_owned(),
            comments,
            keys: vec![("packages".into(), Toml::List(Vec::new()))],
            ..Environment::default()
        });
    };
    context.report.translated(&place, format!("packages, from {path}"));
    let found = conda::read(&doc.at());
    let one = legacy::from_conda(context, &found, Some(&path), &doc.at(), name);
    context.report.rest(&doc, "conda's own");
    Some(one)
}
