//! `amlrun models`: the register of models, of what scripts registered and of what users take from their runs.
//!
//! All of it needs `.amlrun` alone. A version is tied to its file's digest, its run and the environment of that; what it
//! needs stays in the store, whatever `amlrun gc` clears.

mod declared;
mod register;
mod show;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::runs::{Desk, change};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, ModelsCommand};
use crate::cli::project::find_root;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console::table::{Cell, Table};
use crate::console::{self, json as wire, words};
use crate::history::History;
use crate::history::models::{Change, Version};
use crate::history::sqlite::SqliteHistory;
use crate::relpath::escape;
use crate::store::restore;

/// Carries out `amlrun models …`.
///
/// # Errors
/// Where there is no such model, or the world says no.
pub fn run(command: &ModelsCommand, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let clock = SystemClock::new();
    let desk = Desk::open(find_root(common, here)?, common, here, &clock);
    let done = match command {
        ModelsCommand::Register { name, source, tags, aliases } => {
            register::Registrar { desk: &desk, common, here }.register(name, source, tags, aliases)
        }
        ModelsCommand::List { name } => list(&desk, name.as_deref()),
        ModelsCommand::Show { model } => show::show(&desk, &found(&desk, model)?),
        ModelsCommand::Download { model, to } => download(&desk, &found(&desk, model)?, &here.cwd.join(to)),
        ModelsCommand::Tag { model, tags, remove, aliases, no_alias } => {
            tag(&desk, &found(&desk, model)?, &Edit { tags, remove, aliases, no_alias })
        }
        ModelsCommand::Rm { model } => remove(&desk, &found(&desk, model)?),
    };
    for note in desk.history.notes() {
        console::err(&format!("warning: {note}"));
    }
    done
}

/// For writing.
fn writer(desk: &Desk<'_>) -> SqliteHistory {
    SqliteHistory::open(&desk.state.join("history.db"), true)
}

/// The version that a text names: `NAME@VERSION`, `NAME@ALIAS`, or `NAME` for the newest.
fn found(desk: &Desk<'_>, text: &str) -> Result<Version, CliError> {
    let all = desk.history.models()?;
    let of = |name: &str| all.iter().filter(|version| version.name == name).cloned().collect::<Vec<_>>();
    if let Some(newest) = of(text).pop() {
        return Ok(newest);
    }
    let (name, which) = text.rsplit_once('@').unwrap_or((text, ""));
    let versions = of(name);
    let Some(newest) = versions.last() else {
        return Err(CliError::nothing(format!("no model {} is registered", words::name(name)))
            .hint("`amlrun models list` lists them"));
    };
    let number: Option<u32> = which.parse().ok();
    let is_it = |version: &&Version| Some(version.version) == number || version.aliases.contains(which);
    versions.iter().find(is_it).or((which == "latest").then_some(newest)).cloned().ok_or_else(|| {
        let known: Vec<String> = versions.iter().map(|version| version.version.to_string()).collect();
        CliError::nothing(format!("model {} has no version {}", words::name(name), words::name(which)))
            .hint(format!("it has {}", known.join(", ")))
    })
}

/// The wire form of a version.
fn version_json(version: &Version) -> Value {
    json!({
        "name": version.name,
        "version": version.version,
        "run": version.run,
        "job": version.job,
        "registered": version.registered.to_string(),
        "path": version.path,
        "kind": version.content.as_ref().map(|content| content.tag),
        "digest": version.content.as_ref().map(|content| content.digest),
        "size": version.content.as_ref().map(|content| content.size),
        "environment_digest": version.environment,
        "tags": version.tags,
        "aliases": version.aliases,
    })
}

fn list(desk: &Desk<'_>, name: Option<&str>) -> Result<Exit, CliError> {
    let mut versions = desk.history.models()?;
    versions.retain(|version| name.is_none_or(|name| version.name == name));
    if desk.json {
        console::out(&wire::document(&versions.iter().map(version_json).collect::<Vec<_>>()));
    }
    if versions.is_empty() {
        return Err(match name {
            Some(name) => CliError::nothing(format!("no model {} is registered", words::name(name))),
            None => {
                CliError::nothing("no model is registered").hint("`amlrun models register NAME PATH` registers one")
            }
        });
    }
    if !desk.json {
        let mut table = Table::new(&["MODEL", ">VERSION", "ALIASES", "RUN", "JOB", "REGISTERED", ">SIZE", "TAGS"]);
        for version in &versions {
            let tags: Vec<String> = version.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
            table.row([
                Cell::from(&version.name),
                Cell::from(version.version.to_string()),
                Cell::from(version.aliases.iter().cloned().collect::<Vec<_>>().join(" ")),
                Cell::from(version.run.short()),
                Cell::from(&version.job),
                Cell::from(version.registered.to_string()),
                Cell::from(version.content.as_ref().map_or_else(|| "-".to_owned(), |it| words::bytes(it.size))),
                Cell::from(tags.join(" ")),
            ]);
        }
        console::out(&table.render(desk.style, console::terminal::out_width()));
    }
    Ok(Exit::Done)
}

/// Writes the file or folder of a version below a folder; every object is checked against its digest.
fn download(desk: &Desk<'_>, version: &Version, to: &Path) -> Result<Exit, CliError> {
    let shown = format!("version {} of model {}", version.version, words::name(&version.name));
    let Some(recorded) = &version.content else {
        return Err(CliError::nothing(format!(
            "{shown} has no file: its run left nothing at {}",
            words::name(&version.path)
        )));
    };
    let content = recorded
        .content()
        .ok_or_else(|| CliError::world(format!("the file of {shown} is of a kind that is not known")))?;
    let name = recorded.path.as_path().file_name().unwrap_or_default();
    let at = to.join(name);
    if std::fs::symlink_metadata(&at).is_ok() {
        return Err(CliError::usage(format!("`{}` is there already", at.display()))
            .hint("name another folder with `--to`; nothing is written over"));
    }
    std::fs::create_dir_all(to)
        .map_err(|error| CliError::world(format!("could not make `{}`: {error}", to.display())))?;
    if !restore::write_tree(&desk.store, &content, &at, false)? {
        return Err(CliError::world(format!("{shown} cannot be had: the store lacks it, or holds it damaged"))
            .hint(format!("`amlrun cache verify` says what is damaged; run {} made it", version.run.short())));
    }
    if desk.json {
        let mut all = version_json(version);
        all["file"] = json!(at);
        console::out(&wire::document(&all));
    } else {
        let path = escape(std::os::unix::ffi::OsStrExt::as_bytes(at.as_os_str()));
        console::err(&format!("wrote {shown} to `{path}`, digest {}", recorded.digest.short()));
    }
    Ok(Exit::Done)
}

/// What is to be changed about a version.
struct Edit<'e> {
    tags: &'e [String],
    remove: &'e [String],
    aliases: &'e [String],
    no_alias: &'e [String],
}

fn tag(desk: &Desk<'_>, version: &Version, edit: &Edit<'_>) -> Result<Exit, CliError> {
    let mut tags = version.tags.clone();
    change::edit(&mut tags, edit.tags, edit.remove, || {
        format!("version {} of model {}", version.version, words::name(&version.name))
    })?;
    edit.aliases.iter().try_for_each(|alias| register::checked_alias(alias))?;
    let mut history = writer(desk);
    let mut change = |change: &Change| history.change_model(&version.name, version.version, change);
    if tags != version.tags {
        change(&Change::Tags(tags))?;
    }
    for alias in edit.no_alias.iter().filter(|alias| version.aliases.contains(*alias)) {
        change(&Change::NoAlias(alias.clone()))?;
    }
    for alias in edit.aliases {
        change(&Change::Alias(alias.clone()))?;
    }
    let now = found(desk, &format!("{}@{}", version.name, version.version))?;
    if desk.json {
        console::out(&wire::document(&version_json(&now)));
    } else {
        for (name, value) in &now.tags {
            console::out(&format!("{}={}\n", console::clean::clean(name), console::clean::clean(value)));
        }
        for alias in &now.aliases {
            console::out(&format!("@{}\n", console::clean::clean(alias)));
        }
    }
    Ok(Exit::Done)
}

fn remove(desk: &Desk<'_>, version: &Version) -> Result<Exit, CliError> {
    writer(desk).change_model(&version.name, version.version, &Change::Remove)?;
    if desk.json {
        console::out(&wire::document(&json!({ "name": version.name, "version": version.version })));
    } else {
        console::err(&format!(
            "version {} of model {} is off the register; its run {} stays",
            version.version,
            words::name(&version.name),
            version.run.short()
        ));
    }
    Ok(Exit::Done)
}

/// `NAME=VALUE` pairs as tags.
fn tags_of(pairs: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    let mut tags = BTreeMap::new();
    change::edit(&mut tags, pairs, &[], String::new)?;
    Ok(tags)
}
