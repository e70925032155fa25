//! `amlrun models show`: a version with what it is tied to: file, digest, run, environment.

use std::fmt::Write as _;

use serde_json::json;

use super::version_json;
use crate::cli::commands::runs::{Desk, record};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::clean::{clean, width};
use crate::console::{self, json as wire, words};
use crate::history::History;
use crate::history::models::Version;

/// Shows it.
pub(super) fn show(desk: &Desk<'_>, version: &Version) -> Result<Exit, CliError> {
    let run = desk.history.run(&version.run.0).ok();
    let key = match &version.environment {
        Some(digest) => desk.history.key(digest)?,
        None => None,
    };
    let metrics = || run.iter().filter_map(|run| run.ended.as_ref()).flat_map(|ended| &ended.metrics);
    let params = || run.iter().flat_map(|run| &run.begun.params);
    let commit = run.as_ref().and_then(|run| run.invocation.properties.get("azureml.git.commit"));
    if desk.json {
        let mut all = version_json(version);
        all["environment_facts"] = json!(key.map(|key| key.facts));
        all["commit"] = json!(commit);
        all["snapshot"] = json!(run.as_ref().map(|run| run.begun.fingerprint.sources));
        all["params"] = params().map(|(name, value)| (name.clone(), value.clone())).collect();
        all["metrics"] = metrics().map(|(name, value)| (name.clone(), record::json_number(*value))).collect();
        console::out(&wire::document(&all));
        return Ok(Exit::Done);
    }
    let mut pairs = vec![
        ("model", version.name.clone()),
        ("version", version.version.to_string()),
        ("registered", version.registered.to_string()),
        ("run", format!("{} of {}", version.run, version.job)),
        ("path", version.path.clone()),
    ];
    if !version.aliases.is_empty() {
        pairs.insert(2, ("aliases", version.aliases.iter().cloned().collect::<Vec<_>>().join(" ")));
    }
    match &version.content {
        Some(content) => {
            let what = if content.tag == 'd' { "folder, " } else { "" };
            pairs.push(("digest", format!("{} ({what}{})", content.digest, words::bytes(content.size))));
        }
        None => pairs.push(("digest", "none: the run left nothing there".to_owned())),
    }
    pairs.extend(version.environment.map(|digest| ("environment", digest.to_string())));
    pairs.extend(run.as_ref().map(|run| ("sources", run.begun.fingerprint.sources.to_string())));
    pairs.extend(commit.map(|commit| ("commit", commit.clone())));
    let mut text = String::new();
    let widest = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or_default();
    for (name, value) in &pairs {
        let _ = writeln!(text, "{name:widest$}  {}", clean(value));
    }
    let params = params().map(|(name, value)| (name.clone(), record::plain(value))).collect::<Vec<_>>();
    let metrics = metrics().map(|(name, value)| (name.clone(), value.to_string())).collect::<Vec<_>>();
    let tags = version.tags.clone().into_iter().collect::<Vec<_>>();
    let facts = key.map(|key| key.facts.into_iter().collect::<Vec<_>>()).unwrap_or_default();
    for (head, pairs) in [("tags", tags), ("parameters", params), ("metrics", metrics), ("environment", facts)] {
        let widest = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or_default();
        if !pairs.is_empty() {
            let _ = writeln!(text, "\n{head}");
        }
        for (name, value) in pairs {
            let padding = " ".repeat(widest.saturating_sub(width(&name)));
            let _ = writeln!(text, "  {}{padding}  {}", clean(&name), clean(&value));
        }
    }
    console::out(&text);
    Ok(Exit::Done)
}
