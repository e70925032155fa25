//! Why a job may have failed although the same command works in the project: a run sees its sources and its declared inputs
//! and nothing else. Guesses, made from what a failed job said; nothing is decided by them.

use std::collections::BTreeSet;
use std::path::Path;

use super::stage::Staged;
use crate::plan::job::{Job, Output};
use crate::project::model::Isolation;
use crate::relpath::RelPath;

/// So many paths are named.
const NAMED: usize = 5;

/// Files of the project that the last lines of a failed job name, and that were not in its run directory.
#[must_use]
pub fn unseen(root: &Path, job: &Job, staged: &Staged, tail: &[String]) -> Option<String> {
    if job.isolation == Isolation::InPlace {
        return None;
    }
    let words =
        tail.iter().flat_map(|line| line.split(|c: char| c.is_whitespace() || "'\"`‘’“”:,;=()[]{}<>".contains(c)));
    let paths: BTreeSet<RelPath> = words
        .map(|word| word.trim_end_matches(['.', '/']))
        .filter(|word| !word.is_empty())
        .filter_map(|word| meant(root, job, staged, word))
        .filter(|path| !path.is_root() && path.as_path().iter().next().is_some_and(|first| first != ".amlrun"))
        .filter(|path| there(&root.join(path.as_path())) && !there(&staged.folder.join(path.as_path())))
        // An output that lies in the project from an earlier run is for this job to write, not to read.
        .filter(|path| job.outputs.iter().all(|output| !path.is_within(&output.path) && !output.path.is_within(path)))
        .take(NAMED)
        .collect();
    let listed = paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
    let (is, was, it) = if paths.len() == 1 { ("is", "was", "it") } else { ("are", "were", "them") };
    (!paths.is_empty()).then(|| {
        format!(
            "{listed} {is} in the project and {was} not in the run, which sees its sources and its declared inputs only: \
             declare {it} under `inputs`"
        )
    })
}

/// A path that a job names, which ran in its source directory.
fn meant(root: &Path, job: &Job, staged: &Staged, word: &str) -> Option<RelPath> {
    let path = Path::new(word);
    if path.is_absolute() {
        return RelPath::new(path.strip_prefix(&staged.folder).or_else(|_| path.strip_prefix(root)).ok()?).ok();
    }
    RelPath::new(job.source_directory.as_path().join(path)).ok()
}

/// Where a job wrote an output that was looked for elsewhere: below its own working directory.
#[must_use]
pub fn misplaced(job: &Job, staged: &Staged, output: &Output) -> Option<String> {
    if job.source_directory.is_root() || !there(&staged.cwd.join(output.path.as_path())) {
        return None;
    }
    Some(format!(
        "it wrote `{}` instead: paths in the Amlfile begin at its folder, those of a script at its source directory; let it \
         write to `{}`",
        job.source_directory.join(output.path.as_path()),
        output.path.seen_from(&job.source_directory).display(),
    ))
}

fn there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The input, with the first file in it that differs where its nodes are known.
pub(super) fn first_difference(
    world: &super::World<'_>,
    path: &crate::project::model::InputPath,
    was: &crate::tree::Measured,
) -> String {
    let place = super::measuring::ground_path(path);
    let name = place.display();
    let _ =
        crate::store::snapshot::keep_nodes(world.store, world.ground, &place, &super::measuring::Counter::default());
    let now = world.ground.measure(std::slice::from_ref(&place), &super::measuring::Counter::default()).pop();
    let Some(Ok(Some(now))) = now else { return format!("`{name}`") };
    match crate::store::snapshot::difference(world.store, &was.content.digest, &now.content.digest) {
        Ok(Some(files)) if !files.is_empty() => format!("`{name}/{}`", files[0].0),
        _ => format!("`{name}`"),
    }
}
