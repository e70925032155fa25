//! What a run leaves for a CI service: the summary in Markdown, the report for readers of `JUnit`'s.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use super::error::CliError;
use super::options::RunOptions;
use super::surroundings::Surroundings;
use crate::console::ci::{Compared, Report};
use crate::history::{History, Query, Run, Status};

/// The branch of a run, among the git properties (azure-ml.md).
const BRANCH: &str = "azureml.git.branch";
/// So many runs of a job are looked through for one of the base branch.
const FAR: usize = 200;

/// Where a summary goes: `--summary`, else GitHub's.
#[must_use]
pub fn summary(options: &RunOptions, here: &Surroundings) -> Option<PathBuf> {
    let asked = options.summary.as_ref().map(|file| here.cwd.join(file));
    asked.or_else(|| here.variable("GITHUB_STEP_SUMMARY").map(PathBuf::from))
}

/// Whether a run is to leave anything.
#[must_use]
pub fn is_asked(options: &RunOptions, here: &Surroundings) -> bool {
    options.junit.is_some() || summary(options, here).is_some()
}

/// Writes what is asked for.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(
    report: &Report,
    options: &RunOptions,
    here: &Surroundings,
    history: &dyn History,
) -> Result<(), CliError> {
    let failed = |path: &std::path::Path, error: std::io::Error| {
        CliError::world(format!("could not write {}: {error}", path.display()))
    };
    if let Some(path) = summary(options, here) {
        let base = base(here);
        let compared: BTreeMap<String, Vec<Compared>> =
            report.runs().map(|(job, run)| (job.to_owned(), compare(history, job, &run.0, base.as_deref()))).collect();
        let text = report.markdown(&|job| compared.get(job).cloned().unwrap_or_default(), base.as_deref());
        let append = || OpenOptions::new().create(true).append(true).open(&path)?.write_all(text.as_bytes());
        append().map_err(|error| failed(&path, error))?;
    }
    if let Some(path) = options.junit.as_ref().map(|file| here.cwd.join(file)) {
        let text = report.junit();
        let write = || std::fs::File::create(&path)?.write_all(text.as_bytes());
        write().map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// The branch that a pull request goes to, as the services tell it.
fn base(here: &Surroundings) -> Option<String> {
    let names = ["GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "SYSTEM_PULLREQUEST_TARGETBRANCH"];
    let found = names.iter().find_map(|name| here.variable(name))?;
    Some(found.strip_prefix("refs/heads/").unwrap_or(found).to_owned())
}

/// The metrics of a run beside those of the last one of its job on the base branch; without one, of the one before it. What
/// cannot be read is not compared.
fn compare(history: &dyn History, job: &str, run: &str, base: Option<&str>) -> Vec<Compared> {
    let Ok(now) = history.run(run) else { return Vec::new() };
    let query = Query { job: Some(job.to_owned()), limit: Some(FAR), ..Query::default() };
    let others = history.runs(&query).unwrap_or_default();
    let of_base = |other: &&Run| {
        other.status == Status::Completed
            && other.begun.run != now.begun.run
            && base.is_none_or(|base| other.invocation.properties.get(BRANCH).is_some_and(|branch| branch == base))
    };
    let before = others.iter().find(of_base).and_then(|other| other.ended.as_ref());
    let metrics = now.ended.as_ref().map(|ended| ended.metrics.clone()).unwrap_or_default();
    let was = |name: &String| before.and_then(|ended| ended.metrics.get(name)).copied();
    metrics.into_iter().map(|(name, is)| Compared { was: was(&name), name, is }).collect()
}
