//! `amlrun runs tag` and `runs rm`: what may be changed about a run that is over.

use std::collections::BTreeMap;

use super::Desk;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::{self, json, words};
use crate::history::History;
use crate::history::sqlite::SqliteHistory;
use crate::ids::RunId;

/// The original's limits: tags of a run, and bytes of a key and of a value.
const LIMITS: (usize, usize, usize) = (50, 100, 1000);

/// Sets `NAME=VALUE`, removes `NAME` with `remove`.
pub(super) fn tag(desk: &Desk<'_>, text: &str, set: &[String], remove: &[String]) -> Result<Exit, CliError> {
    let run = desk.run(text)?;
    let mut tags = run.begun.tags.clone();
    edit(&mut tags, set, remove, || format!("run {}", run.begun.run.short()))?;
    if tags != run.begun.tags {
        SqliteHistory::open(&desk.state.join("history.db"), true).retag(&run.begun.run, &tags)?;
    }
    if desk.json {
        console::out(&json::document(&serde_json::json!({ "run": run.begun.run, "tags": tags })));
    } else {
        for (name, value) in &tags {
            console::out(&format!("{}={}\n", console::clean::clean(name), console::clean::clean(value)));
        }
    }
    Ok(Exit::Done)
}

/// Sets `NAME=VALUE` and removes names among the tags of something.
pub(in crate::cli::commands) fn edit(
    tags: &mut BTreeMap<String, String>,
    set: &[String],
    remove: &[String],
    of: impl Fn() -> String,
) -> Result<(), CliError> {
    for pair in set {
        let (name, value) = pair.split_once('=').unwrap_or((pair.as_str(), ""));
        if name.is_empty() || name.len() > LIMITS.1 || value.len() > LIMITS.2 {
            return Err(CliError::usage(format!("{} is not a tag", words::name(pair))).hint(format!(
                "a tag is NAME=VALUE, with at most {} characters before the `=` and {} after it",
                LIMITS.1, LIMITS.2
            )));
        }
        tags.insert(name.to_owned(), value.to_owned());
    }
    for name in remove {
        if tags.remove(name).is_none() {
            return Err(CliError::nothing(format!("{} has no tag {}", of(), words::name(name))));
        }
    }
    if tags.len() > LIMITS.0 {
        return Err(CliError::usage(format!("at most {} tags are kept", LIMITS.0)));
    }
    Ok(())
}

/// Takes runs off the record, with their logs.
pub(super) fn remove(desk: &Desk<'_>, names: &[String]) -> Result<Exit, CliError> {
    // All are found before any is removed.
    let mut runs = names.iter().map(|name| desk.run(name)).collect::<Result<Vec<_>, _>>()?;
    runs.sort_by(|a, b| a.begun.run.0.cmp(&b.begun.run.0));
    runs.dedup_by(|a, b| a.begun.run == b.begun.run);
    let pins = desk.history.pins()?;
    let elsewhere = desk.history.tickets(None)?;
    let models = desk.history.models()?;
    for run in &runs {
        let short = run.begun.run.short();
        let submitted = elsewhere.iter().any(|(ticket, _)| ticket.run == run.begun.run);
        if run.ended.is_none() && (submitted || run.status == crate::history::Status::Running) {
            return Err(CliError::usage(format!("run {short} goes on")).hint("end it first"));
        }
        if pins.contains(&run.begun.run) {
            return Err(CliError::usage(format!("run {short} is pinned"))
                .hint(format!("`amlrun runs unpin {short}` lets it go")));
        }
        if let Some(model) = models.iter().find(|version| version.run == run.begun.run) {
            let name = console::clean::clean(&model.name);
            return Err(CliError::usage(format!(
                "run {short} made version {} of model {}",
                model.version,
                words::name(&model.name)
            ))
            .hint(format!("`amlrun models rm {name}@{}` takes that off the register", model.version)));
        }
    }
    let ids: Vec<RunId> = runs.iter().map(|run| run.begun.run.clone()).collect();
    SqliteHistory::open(&desk.state.join("history.db"), true).remove(&ids)?;
    for run in &runs {
        // What cannot be removed is found by nobody any more; `amlrun gc` takes it.
        let _ = std::fs::remove_dir_all(desk.kept(run));
    }
    if desk.json {
        console::out(&json::document(&serde_json::json!({ "removed": ids })));
    } else {
        for run in &runs {
            console::err(&format!("removed run {} of {}", run.begun.run.short(), run.begun.job.0));
        }
    }
    Ok(Exit::Done)
}
