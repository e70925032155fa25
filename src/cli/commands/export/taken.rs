//! Which jobs have files that were just written among their sources. Called once they are written; it runs nothing, and what
//! it cannot tell it leaves to the next look at the jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::cli::assemble::Parts;
use crate::cli::options::PlanOptions;
use crate::cli::project::Loaded;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console::clean;
use crate::engine::measuring::{Counter, spec_of};
use crate::relpath::RelPath;
use crate::tree::explain::Explained;
use crate::tree::{Ground, SourceSpec};

/// So many jobs are named.
const NAMED: usize = 5;

/// The jobs of the whole Amlfile, whatever the goals were, that take one of the files as a source.
pub(super) fn takers(loaded: &Loaded, here: &Surroundings, written: &[PathBuf]) -> Vec<String> {
    let inside = |path: &PathBuf| RelPath::new(path.strip_prefix(&loaded.root).ok()?).ok();
    let written: BTreeSet<RelPath> = written.iter().filter_map(inside).collect();
    let options = PlanOptions { goals: Vec::new(), set: Vec::new(), target: None };
    let Ok(plan) = loaded.plan(&options, here) else { return Vec::new() };
    let clock = SystemClock::new();
    let Ok(parts) = Parts::new(loaded, &plan, here, &clock) else { return Vec::new() };
    let ground = parts.world().ground;
    // Jobs of one source directory are mostly asked the same.
    let mut known: BTreeMap<SourceSpec, bool> = BTreeMap::new();
    let mut names = Vec::new();
    for job in &plan.jobs {
        let Some(spec) = spec_of(job) else { continue };
        let is_in = match known.get(&spec) {
            Some(is_in) => *is_in,
            None => written.iter().any(|path| path.is_within(&spec.directory)) && is_source(ground, &spec, &written),
        };
        known.insert(spec, is_in);
        if is_in {
            names.push(job.name.0.clone());
        }
    }
    names
}

/// Whether one of the paths is part of a snapshot.
fn is_source(ground: &Ground, spec: &SourceSpec, paths: &BTreeSet<RelPath>) -> bool {
    let entries = ground.explain(spec, &Counter::default()).map(|found| found.entries).unwrap_or_default();
    let place = |entry: &Explained| RelPath::new(spec.directory.as_path().join(entry.path.as_path())).ok();
    entries.iter().filter(|entry| entry.why.is_in()).filter_map(place).any(|path| paths.contains(&path))
}

/// What the user should know of it.
pub(super) fn note(takers: &[String]) -> Option<String> {
    let names: Vec<_> = takers.iter().take(NAMED).map(|name| clean::clean(name).into_owned()).collect();
    let more = takers.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| {
        format!(
            "what was written is among the sources of {}{more}, and makes them stale: `--to` writes it elsewhere; `sources`, or a line \
             in an ignore file, leaves it out",
            names.join(", ")
        )
    })
}
