//! The model registry: what a script registers goes on record with its run; it sees its own models and those of the record.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Answered, Asked, Wrong, experiment_id, pairs, stages};
use crate::logged::Logged;
use crate::tracking::server::Registered;
use crate::tracking::{ARTIFACTS, CHILDREN, MODELS};

/// The property that says that a name was registered.
const REGISTERED: &str = "mlflow.registered_model.";

/// Every version that a script sees, by name and number: those of the record, those of its own run, with its aliases.
pub(super) fn versions(asked: &Asked<'_>, logged: &Logged) -> Vec<Registered> {
    let mut all = asked.shared.register();
    let own = logged.own.models.iter().filter_map(|model| {
        Some(Registered {
            name: model.name.clone(),
            version: model.version?,
            run: asked.live.about.run.clone(),
            experiment: asked.live.about.experiment.clone(),
            path: model.path.clone(),
            at: model.at,
            tags: model.tags.clone(),
            aliases: BTreeSet::new(),
        })
    });
    all.extend(own);
    for given in &logged.own.aliases {
        for of in all.iter_mut().filter(|of| of.name == given.model) {
            of.aliases.remove(&given.alias);
            if Some(of.version) == given.version {
                of.aliases.insert(given.alias.clone());
            }
        }
    }
    for given in &logged.own.model_tags {
        for of in all.iter_mut().filter(|of| of.name == given.model && of.version == given.version) {
            given.put(&mut of.tags);
        }
    }
    all.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
    all
}

/// Marks an answer about these versions, or about there being none, unless they are the run's own.
pub(super) fn tell<'v>(asked: &Asked<'_>, versions: impl IntoIterator<Item = &'v Registered>) {
    let mut versions = versions.into_iter().peekable();
    if versions.peek().is_none() || versions.any(|of| of.run != asked.live.about.run) {
        asked.live.tell_of_others();
    }
}

/// When a name was registered; none where it was not.
pub(super) fn since(logged: &Logged, versions: &[Registered], name: &str) -> Option<u64> {
    let own = logged.own.properties.get(&format!("{REGISTERED}{name}"));
    let first = versions.iter().filter(|of| of.name == name).map(|of| of.at).min();
    first.or_else(|| own?.parse().ok())
}

/// A version as MLflow writes it.
pub(super) fn shown(of: &Registered) -> Value {
    let mut version = json!({
        "name": of.name,
        "version": of.version.to_string(),
        "creation_timestamp": of.at,
        "last_updated_timestamp": of.at,
        "current_stage": stages::stage(of),
        "description": of.tags.get(stages::DESCRIPTION).map_or("", String::as_str),
        "source": told_source(of),
        "status": "READY",
    });
    if !of.run.is_empty() {
        version["run_id"] = of.run.clone().into();
    }
    let tags = of.tags.iter().filter(|(key, _)| ![stages::STAGE, stages::DESCRIPTION].contains(&key.as_str()));
    let tags: Vec<Value> = tags.map(|(key, value)| json!({ "key": key, "value": value })).collect();
    if !tags.is_empty() {
        version["tags"] = tags.into();
    }
    if !of.aliases.is_empty() {
        version["aliases"] = of.aliases.iter().cloned().collect();
    }
    version
}

/// A model with its newest versions, as MLflow writes it.
fn model(name: &str, at: u64, versions: &[Registered]) -> Value {
    let own: Vec<&Registered> = versions.iter().filter(|of| of.name == name).collect();
    let updated = own.iter().map(|of| of.at).max().unwrap_or(at);
    let mut model = json!({ "name": name, "creation_timestamp": at, "last_updated_timestamp": updated });
    let newest = stages::newest(own.iter().copied());
    if !newest.is_empty() {
        model["latest_versions"] = newest.into_iter().map(shown).collect();
    }
    let aliases = own.iter().flat_map(|of| of.aliases.iter().map(|alias| (alias, of.version)));
    let aliases: Vec<Value> =
        aliases.map(|(alias, version)| json!({ "alias": alias, "version": version.to_string() })).collect();
    if !aliases.is_empty() {
        model["aliases"] = aliases.into();
    }
    model
}

pub(super) fn no_model(name: &str) -> Wrong {
    Wrong::absent(format!("Registered Model with name={name} not found"))
}

/// `registered-models/create`.
pub(super) fn create(asked: &Asked<'_>) -> Answered {
    let name = asked.needed("name")?;
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    if since(logged, &versions(asked, logged), &name).is_some() {
        return Err(Wrong::there(format!("Registered Model (name={name}) already exists.")));
    }
    let at = asked.live.about.started;
    asked.live.append(&mut state, &[json!({ "property": format!("{REGISTERED}{name}"), "value": at.to_string() })])?;
    Ok(json!({ "registered_model": model(&name, at, &[]) }))
}

/// `registered-models/get`.
pub(super) fn get(asked: &Asked<'_>) -> Answered {
    let name = asked.needed("name")?;
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let versions = versions(asked, logged);
    if !logged.own.properties.contains_key(&format!("{REGISTERED}{name}")) || versions.iter().any(|of| of.name == name)
    {
        tell(asked, versions.iter().filter(|of| of.name == name));
    }
    let at = since(logged, &versions, &name).ok_or_else(|| no_model(&name))?;
    Ok(json!({ "registered_model": model(&name, at, &versions) }))
}

/// A comparison of a filter: a name, a value, and whether they are to be the same.
type Clause = (String, String, bool);

/// The comparisons of a filter that knows `=` and `!=`.
fn clauses(asked: &Asked<'_>) -> Result<Vec<Clause>, Wrong> {
    let filter = asked.text("filter").unwrap_or_default();
    let parts =
        filter.split(" AND ").flat_map(|part| part.split(" and ")).map(str::trim).filter(|part| !part.is_empty());
    let clause = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let value = value.trim();
        let quoted = value.strip_prefix(['\'', '"'])?.strip_suffix(['\'', '"'])?;
        let (name, is_same) = name.strip_suffix('!').map_or((name, true), |name| (name, false));
        let name: String = name.trim().chars().filter(|c| !matches!(c, '`' | '"')).collect();
        let fits = name.chars().all(|c| c.is_alphanumeric() || "._- ".contains(c));
        fits.then(|| (name, quoted.to_owned(), is_same))
    };
    parts
        .map(|part| {
            clause(part).ok_or_else(|| {
                Wrong::invalid(format!(
                    "Invalid filter `{part}`: amlrun compares names, run_id and tags by `=` and `!=` here"
                ))
            })
        })
        .collect()
}

/// A tag that a clause asks for.
fn tag(name: &str) -> Option<&str> {
    name.strip_prefix("tags.").or_else(|| name.strip_prefix("tag."))
}

/// Whether a version fits: by name, run, number, source and tags.
fn fits(of: &Registered, clauses: &[Clause]) -> Result<bool, Wrong> {
    for (name, value, is_same) in clauses {
        let found = match name.as_str() {
            "name" => of.name.clone(),
            "run_id" => of.run.clone(),
            "version_number" => of.version.to_string(),
            "source_path" => told_source(of),
            other => match tag(other) {
                Some(tag) => of.tags.get(tag).cloned().unwrap_or_default(),
                None => return Err(Wrong::invalid(format!("Invalid attribute key '{other}' specified."))),
            },
        };
        if (found == *value) != *is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A page of a list, under a name.
fn page(asked: &Asked<'_>, under: &str, all: Vec<Value>) -> Value {
    let from = asked.text("page_token").and_then(|token| token.parse::<usize>().ok()).unwrap_or_default();
    let most = asked.number("max_results").and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0);
    let rest: Vec<Value> = all.into_iter().skip(from).collect();
    let taken = most.unwrap_or(usize::MAX).min(rest.len());
    let mut answer = json!({});
    if taken < rest.len() {
        answer["next_page_token"] = (from + taken).to_string().into();
    }
    if taken > 0 {
        answer[under] = rest.into_iter().take(taken).collect();
    }
    answer
}

/// `registered-models/search`.
pub(super) fn search(asked: &Asked<'_>) -> Answered {
    let clauses = clauses(asked)?;
    // Models themselves have no tags here: only their versions do.
    if let Some((other, ..)) = clauses.iter().find(|(name, ..)| name != "name" && tag(name).is_none()) {
        return Err(Wrong::invalid(format!(
            "Invalid attribute key '{other}' specified: amlrun searches models by name"
        )));
    }
    let fits = |name: &&str| clauses.iter().all(|(key, value, is_same)| (key == "name" && value == name) == *is_same);
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let versions = versions(asked, logged);
    let own = logged.own.properties.keys().filter_map(|name| name.strip_prefix(REGISTERED));
    let names: BTreeSet<&str> = versions.iter().map(|of| of.name.as_str()).chain(own).collect();
    asked.live.tell_of_others();
    let names = names.into_iter().filter(fits);
    let all = names.filter_map(|name| Some(model(name, since(logged, &versions, name)?, &versions))).collect();
    Ok(page(asked, "registered_models", all))
}

/// `model-versions/search`: the newest first.
pub(super) fn search_versions(asked: &Asked<'_>) -> Answered {
    let clauses = clauses(asked)?;
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let mut found = Vec::new();
    for of in versions(asked, logged) {
        if fits(&of, &clauses)? {
            found.push(of);
        }
    }
    if !clauses.iter().any(|(name, value, is_same)| name == "run_id" && *value == asked.live.about.run && *is_same) {
        asked.live.tell_of_others();
    }
    found.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.name.cmp(&b.name)).then_with(|| b.version.cmp(&a.version)));
    Ok(page(asked, "model_versions", found.iter().map(shown).collect()))
}

/// The source that MLflow tells: a logged model goes by its identity.
fn told_source(of: &Registered) -> String {
    match of.path.strip_prefix(MODELS).and_then(|rest| rest.strip_prefix('/')) {
        Some(id) if !id.contains('/') => format!("models:/{id}"),
        _ => source_of(of),
    }
}

/// Where the files of a version are served.
fn source_of(of: &Registered) -> String {
    let experiment = experiment_id(&of.experiment);
    let parts: Vec<&str> = of.path.split('/').collect();
    let (place, rest) = match parts.as_slice() {
        [MODELS, id, rest @ ..] => (format!("models/{id}"), rest),
        [CHILDREN, id, rest @ ..] => ((*id).to_owned(), rest),
        [ARTIFACTS, rest @ ..] | rest => (of.run.clone(), rest),
    };
    let root = format!("mlflow-artifacts:/{experiment}/{place}/artifacts");
    [&[root.as_str()], rest].concat().join("/")
}

/// Where a source lies among what is kept with the run.
fn path_of(logged: &Logged, source: &str) -> String {
    let parts: Vec<&str> = source.trim_end_matches('/').split('/').collect();
    let joined = |parts: &[&str]| parts.join("/");
    match parts.as_slice() {
        ["mlflow-artifacts:", _, "models", id, "artifacts", rest @ ..] => joined(&[&[MODELS, id], rest].concat()),
        ["mlflow-artifacts:", _, run, "artifacts", rest @ ..] => {
            let is_child = logged.children.iter().any(|child| child.id == *run);
            let place = if is_child { vec![CHILDREN, run] } else { vec![ARTIFACTS] };
            joined(&[&place, rest].concat())
        }
        ["models:", rest @ ..] => joined(&[&[MODELS], rest].concat()),
        _ => source.to_owned(),
    }
}

/// `model-versions/create`. The number is one that no other run of this amlrun was told.
pub(super) fn version(asked: &Asked<'_>) -> Answered {
    let (name, source) = (asked.needed("name")?, asked.needed("source")?);
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let all = versions(asked, logged);
    if since(logged, &all, &name).is_none() {
        return Err(no_model(&name));
    }
    let newest = all.iter().filter(|of| of.name == name).map(|of| of.version).max().unwrap_or_default();
    let number = asked.shared.number(&name, newest);
    let tags: BTreeMap<String, String> = pairs(&asked.list("tags")).into_iter().collect();
    let path = path_of(logged, &source);
    let at = asked.live.about.started;
    let line = json!({ "at": at, "model": name, "path": path, "tags": tags, "version": number });
    asked.live.append(&mut state, &[line])?;
    let run = asked.text("run_id").unwrap_or_default();
    let experiment = asked.live.about.experiment.clone();
    let of = Registered { name, version: number, run, experiment, path, at, tags, aliases: BTreeSet::new() };
    let mut told = shown(&of);
    told["source"] = source.into();
    Ok(json!({ "model_version": told }))
}

fn one(asked: &Asked<'_>, is_it: impl Fn(&Registered) -> bool) -> Result<Option<Registered>, Wrong> {
    let mut state = asked.live.state();
    let logged = asked.live.logged(&mut state)?;
    let found = versions(asked, logged).into_iter().find(is_it);
    tell(asked, &found);
    Ok(found)
}

pub(super) fn asked_version(asked: &Asked<'_>) -> Result<Registered, Wrong> {
    let (name, number) = (asked.needed("name")?, asked.needed("version")?);
    let found = one(asked, |of| of.name == name && of.version.to_string() == number)?;
    found.ok_or_else(|| Wrong::absent(format!("Model Version (name={name}, version={number}) not found")))
}

/// `model-versions/get`.
pub(super) fn get_version(asked: &Asked<'_>) -> Answered {
    Ok(json!({ "model_version": shown(&asked_version(asked)?) }))
}

/// `model-versions/get-download-uri`.
pub(super) fn download(asked: &Asked<'_>) -> Answered {
    Ok(json!({ "artifact_uri": source_of(&asked_version(asked)?) }))
}

/// `registered-models/alias`, to set it (a version) or to take it away (none).
pub(super) fn set_alias(asked: &Asked<'_>, is_set: bool) -> Answered {
    let (name, alias) = (asked.needed("name")?, asked.needed("alias")?);
    let number = if is_set { Some(asked_version(asked)?.version) } else { None };
    let mut state = asked.live.state();
    asked.live.append(&mut state, &[json!({ "alias": alias, "model": name, "version": number })])?;
    Ok(json!({}))
}

/// `registered-models/alias`, to read.
pub(super) fn of_alias(asked: &Asked<'_>) -> Answered {
    let (name, alias) = (asked.needed("name")?, asked.needed("alias")?);
    let found = one(asked, |of| of.name == name && of.aliases.contains(&alias))?;
    let found = found.ok_or_else(|| Wrong::invalid(format!("Registered model alias {alias} not found.")))?;
    Ok(json!({ "model_version": shown(&found) }))
}
