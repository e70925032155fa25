//! Git, through libgit2: the properties of a run under the original's keys. The only folder that knows git2.
//!
//! Called by `cli/assemble.rs` once per invocation that runs something. It never writes to the repository (not even its
//! index) and never fails: where there is no repository, or one that cannot be read, there are no properties. The keys
//! and the variables that win over the repository are those of the original (`git_tracking_info_provider.py`), which let
//! credentials in a remote's address through; here they are cut out.

mod by_hand;
mod credentials;
mod diff;
mod uncommitted;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use git2::{Repository, StatusOptions};

pub use diff::text_diff;
pub use uncommitted::{Changed, Now, PATCH, Uncommitted, uncommitted};

use by_hand::by_hand;
use credentials::without_credentials;

/// Property, the original's variable for it, and the key that MLflow knows it by.
const KEYS: [(&str, &str, Option<&str>); 6] = [
    ("azureml.git.repository_uri", "AZUREML_GIT_REPOSITORY_URI", Some("mlflow.source.git.repoURL")),
    ("azureml.git.branch", "AZUREML_GIT_BRANCH", Some("mlflow.source.git.branch")),
    ("azureml.git.commit", "AZUREML_GIT_COMMIT", Some("mlflow.source.git.commit")),
    ("azureml.git.dirty", "AZUREML_GIT_DIRTY", None),
    ("azureml.git.build_id", "AZUREML_GIT_BUILD_ID", None),
    ("azureml.git.build_uri", "AZUREML_GIT_BUILD_URI", None),
];

/// The git properties of a source directory; `variables` are the process's, whose `AZUREML_GIT_*` win over the repository.
#[must_use]
pub fn properties(directory: &Path, variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let given = |name: &str| variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let asked = |variable: &str| given(variable).is_none();
    let [uri, on, at, changed] = match Repository::discover(directory) {
        Ok(repository) => [
            asked("AZUREML_GIT_REPOSITORY_URI").then(|| remote(&repository)).flatten(),
            branch(&repository),
            commit(&repository),
            asked("AZUREML_GIT_DIRTY").then(|| dirty(&repository, directory)).flatten(),
        ],
        Err(error) if error.message().contains("unsupported extension") => by_hand(directory).unwrap_or_default(),
        Err(_) => Default::default(),
    };
    let found = [uri, on, at, changed, None, None];
    let mut properties = BTreeMap::new();
    for ((key, variable, mlflow), found) in KEYS.into_iter().zip(found) {
        let Some(value) = given(variable).map(ToOwned::to_owned).or(found) else { continue };
        let value = match key {
            "azureml.git.repository_uri" => without_credentials(&value, false),
            "azureml.git.build_uri" => without_credentials(&value, true),
            _ => Some(value),
        };
        let Some(value) = value else { continue };
        if let Some(mlflow) = mlflow {
            properties.insert(mlflow.to_owned(), value.clone());
        }
        properties.insert(key.to_owned(), value);
    }
    properties
}

/// The commit that a revision names and those before it, youngest first, up to 10,000; none where there is no repository or
/// no such revision.
#[must_use]
pub fn lineage(directory: &Path, revision: &str) -> Option<Vec<String>> {
    const MOST: usize = 10_000;
    let repository = Repository::discover(directory).ok()?;
    let commit = repository.revparse_single(revision).ok()?.peel_to_commit().ok()?;
    let mut walk = repository.revwalk().ok()?;
    walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME).ok()?;
    walk.push(commit.id()).ok()?;
    Some(walk.take(MOST).filter_map(|id| Some(id.ok()?.to_string())).collect())
}

/// The branch; none where HEAD is detached. Known before the first commit, too.
fn branch(repository: &Repository) -> Option<String> {
    let head = repository.find_reference("HEAD").ok()?;
    Some(head.symbolic_target().ok()??.strip_prefix("refs/heads/")?.to_owned())
}

/// The commit; none before the first one.
fn commit(repository: &Repository) -> Option<String> {
    Some(repository.refname_to_id("HEAD").ok()?.to_string())
}

/// The address of the remote that git would fetch from: the branch's, else `origin`, else the only one.
fn remote(repository: &Repository) -> Option<String> {
    let configured = || {
        let branch = branch(repository)?;
        repository.config().ok()?.snapshot().ok()?.get_string(&format!("branch.{branch}.remote")).ok()
    };
    let only = || match repository.remotes().ok()? {
        names if names.len() == 1 => Some(names.get(0).ok()??.to_owned()),
        _ => None,
    };
    let address = |name: String| {
        if name == "." {
            return None;
        }
        // A branch may name an address in the place of a remote.
        match repository.find_remote(&name) {
            Ok(remote) => remote.url().ok().map(ToOwned::to_owned),
            Err(_) => name.contains([':', '/']).then_some(name),
        }
    };
    configured().and_then(address).or_else(|| address("origin".to_owned())).or_else(|| address(only()?))
}

/// Whether anything in the directory differs from the commit, untracked files included: `git status --porcelain .`.
fn dirty(repository: &Repository, directory: &Path) -> Option<String> {
    let root = repository.workdir()?.canonicalize().ok()?;
    let directory = directory.canonicalize().ok()?;
    let inside = directory.strip_prefix(root).ok()?;
    let mut options = StatusOptions::new();
    // The literal path prunes the walk; submodules would be opened and walked one by one; nothing is refreshed or written.
    options.include_untracked(true).recurse_untracked_dirs(false).include_ignored(false);
    options.exclude_submodules(true).no_refresh(true).update_index(false).disable_pathspec_match(true);
    if inside.as_os_str().is_empty() {
        options.disable_pathspec_match(false);
    } else {
        options.pathspec(inside);
    }
    let changed = !repository.statuses(Some(&mut options)).ok()?.is_empty();
    Some(if changed { "True" } else { "False" }.to_owned())
}
