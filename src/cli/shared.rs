//! Which shared cache an invocation uses, and for what.

use std::path::Path;

use super::error::CliError;
use super::options::CacheOptions;
use super::surroundings::Surroundings;
use crate::cache::address::Address;
use crate::cache::breaker::Guarded;
use crate::cache::credentials::Settings;
use crate::cache::open;
use crate::diagnostic::Diagnostic;
use crate::engine::sharing::Sharing;
use crate::project::model::{CacheMode, Workspace};

/// A cache that was chosen, and what it may be used for.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Where it is.
    pub address: Address,
    /// What it is used for; never [`CacheMode::Off`].
    pub mode: CacheMode,
    /// Whether it is read only because this is the pull request of a fork.
    pub fork: bool,
    settings: Settings,
}

impl Chosen {
    /// The cache itself. Nothing is sent before it is used.
    #[must_use]
    pub fn open(&self) -> Guarded {
        open::open(&self.address, self.settings.clone())
    }

    /// The cache, to share runs by. `state` is the workspace's `.amlrun`.
    #[must_use]
    pub fn sharing(&self, state: &Path) -> Sharing {
        let key = self.settings.variables.get("AMLRUN_CACHE_KEY").map(String::as_str).filter(|key| !key.is_empty());
        Sharing::new(self.open(), self.mode == CacheMode::ReadWrite, key, Some(state))
    }
}

/// The cache of `--cache`, else of the workspace; none where there is none or the mode is off.
///
/// # Errors
/// Where an address or a mode is none.
pub fn choose(
    options: &CacheOptions,
    workspace: Option<&Workspace>,
    root: &Path,
    here: &Surroundings,
) -> Result<Option<Chosen>, CliError> {
    let declared = workspace.and_then(|workspace| workspace.cache.as_ref());
    let parsed = match (&options.cache, declared) {
        (Some(text), _) => Address::parse(text, &here.cwd).map_err(|why| format!("`--cache {text}` {why}")),
        (None, Some((text, _))) => Address::parse(text, root).map_err(|why| format!("the workspace's `cache` {why}")),
        (None, None) => return Ok(None),
    };
    let address = parsed.map_err(CliError::usage)?;
    let asked = match (options.cache_mode.as_deref(), here.variable("AMLRUN_CACHE_MODE")) {
        (Some(text), _) => Some((text, "--cache-mode")),
        (None, Some(text)) => Some((text, "AMLRUN_CACHE_MODE")),
        (None, None) => None,
    };
    let fork = asked.is_none() && is_fork(here);
    let mode = match asked {
        Some(("read-write", _)) => CacheMode::ReadWrite,
        Some(("read", _)) => CacheMode::Read,
        Some(("off", _)) => CacheMode::Off,
        Some((text, whose)) => {
            return Err(CliError::usage(format!("`{whose}` is `{text}`; read-write, read and off are understood")));
        }
        None => match workspace.map_or(CacheMode::ReadWrite, |workspace| workspace.cache_mode) {
            // What a fork's Amlfile says of writing is not asked.
            CacheMode::ReadWrite if fork => CacheMode::Read,
            mode => mode,
        },
    };
    let settings = Settings { variables: here.variables.clone() };
    Ok((mode != CacheMode::Off).then_some(Chosen { address, mode, fork, settings }))
}

/// What is wrong with the workspace's own address.
#[must_use]
pub fn fault(workspace: &Workspace, root: &Path) -> Option<Diagnostic> {
    let (text, span) = workspace.cache.as_ref()?;
    let why = Address::parse(text, root).err()?;
    let fault = Diagnostic::error("bad-cache", span.clone(), format!("the cache `{text}` {why}"), "no such address");
    Some(fault.help("a folder, s3://BUCKET/PLACE, az://CONTAINER/PLACE, gs://BUCKET/PLACE or https://HOST/PLACE"))
}

/// Whether a CI service says that this is the pull request of a fork: of somebody who may not be trusted to write.
/// Sources: GitHub's `GITHUB_EVENT_PATH`, GitLab's `CI_MERGE_REQUEST_*`, Azure Pipelines' `System.PullRequest.IsFork`.
fn is_fork(here: &Surroundings) -> bool {
    let is = |name: &str, value: &str| here.variable(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
    if is("SYSTEM_PULLREQUEST_ISFORK", "true") {
        return true;
    }
    if let (Some(source), Some(target)) =
        (here.variable("CI_MERGE_REQUEST_SOURCE_PROJECT_ID"), here.variable("CI_MERGE_REQUEST_PROJECT_ID"))
    {
        return source != target;
    }
    if !here.variable("GITHUB_EVENT_NAME").is_some_and(|event| event.starts_with("pull_request")) {
        return false;
    }
    let event = here.variable("GITHUB_EVENT_PATH").and_then(|path| std::fs::read(path).ok());
    let event: Option<serde_json::Value> = event.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let name = |end: &str| {
        let event = event.as_ref()?;
        event.pointer(&format!("/pull_request/{end}/repo/full_name"))?.as_str().map(str::to_owned)
    };
    // Where it cannot be told, it is taken for one.
    match (name("head"), name("base")) {
        (Some(head), Some(base)) => head != base,
        _ => true,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files of a test need not be atomic")]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn check(mode: Option<&str>, variables: &[(&str, &str)], expected: Option<CacheMode>) {
        let here = Surroundings {
            argv: Vec::new(),
            cwd: "/work".into(),
            variables: variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
            terminal: false,
            stdout_terminal: false,
        };
        let options = CacheOptions { cache: Some("cache".to_owned()), cache_mode: mode.map(str::to_owned) };
        let chosen = choose(&options, None, Path::new("/work"), &here).unwrap();
        assert_eq!(chosen.map(|chosen| chosen.mode), expected, "{mode:?} {variables:?}");
    }

    #[test]
    fn a_fork_only_reads_unless_told_otherwise() {
        check(None, &[], Some(CacheMode::ReadWrite));
        check(Some("off"), &[], None);
        check(Some("read"), &[("AMLRUN_CACHE_MODE", "off")], Some(CacheMode::Read));
        check(None, &[("AMLRUN_CACHE_MODE", "off")], None);
        let azure = ("SYSTEM_PULLREQUEST_ISFORK", "True");
        check(None, &[azure], Some(CacheMode::Read));
        check(None, &[azure, ("AMLRUN_CACHE_MODE", "read-write")], Some(CacheMode::ReadWrite));
        let gitlab = |source| [("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", source), ("CI_MERGE_REQUEST_PROJECT_ID", "1")];
        check(None, &gitlab("1"), Some(CacheMode::ReadWrite));
        check(None, &gitlab("2"), Some(CacheMode::Read));
        let folder = tempfile::tempdir().unwrap();
        let event = folder.path().join("event.json");
        let path = event.display().to_string();
        let github = [("GITHUB_EVENT_NAME", "pull_request"), ("GITHUB_EVENT_PATH", path.as_str())];
        check(None, &github, Some(CacheMode::Read));
        let repo = |name: &str| serde_json::json!({"repo": {"full_name": name}});
        let write = |head: &str| {
            let event_text = serde_json::json!({"pull_request": {"head": repo(head), "base": repo("o/r")}});
            std::fs::write(&event, event_text.to_string()).unwrap();
        };
        write("o/r");
        check(None, &github, Some(CacheMode::ReadWrite));
        write("x/r");
        check(None, &github, Some(CacheMode::Read));
        check(None, &[("GITHUB_EVENT_NAME", "push")], Some(CacheMode::ReadWrite));
    }
}
