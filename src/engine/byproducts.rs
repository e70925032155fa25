//! Files that a job wrote and nobody declared.
//!
//! In a run directory they would vanish with it, and a user of make finds them where the script wrote them; so they are
//! moved into the project, beside the outputs, where nothing is there yet and where they cannot become part of anything
//! that is hashed. They are never restored and never part of a record. All others are named and go.

use std::fs;
use std::path::Path;

use super::stage::Staged;
use super::{Work, World};
use crate::plan::job::Job;
use crate::project::model::{InputPath, Isolation};
use crate::relpath::RelPath;

/// More than this are counted, not named.
const NAMED: usize = 5;

/// Folders that tools leave everywhere and nobody misses.
const LITTER: &[&str] = &["__pycache__", ".ipynb_checkpoints", ".pytest_cache"];

/// Looks for them beside the declared outputs and in the working directory; the notes say what became of them.
pub fn tidy(work: Work<'_>, world: &World<'_>, job: &Job, staged: &Staged, sources: bool) -> Vec<String> {
    if job.isolation == Isolation::InPlace {
        return Vec::new();
    }
    let mut strays = Vec::new();
    let known = |path: &RelPath| {
        job.outputs.iter().any(|o| o.path == *path)
            || job.inputs.iter().any(|i| i.path == InputPath::Inside(path.clone()))
            || *path == job.source_directory.join("outputs")
            || *path == job.source_directory.join("logs")
            || (sources && *path == job.source_directory)
    };
    // Where sources were laid out, only the folders of outputs are looked into: what the script changed among its own
    // sources was a copy, and goes with the run directory.
    let folders: std::collections::BTreeSet<RelPath> = if sources {
        job.outputs.iter().filter_map(|o| o.path.parent()).filter(|p| !p.is_within(&job.source_directory)).collect()
    } else {
        std::iter::once(RelPath::root()).collect()
    };
    for folder in folders {
        find(&staged.folder, &folder, &known, &mut strays);
    }
    let mut kept = Vec::new();
    let mut gone = Vec::new();
    for stray in strays {
        let to = world.root.join(stray.as_path());
        let free = fs::symlink_metadata(&to).is_err() && !hashed(work, &stray);
        let moved = free
            && to.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok())
            && fs::rename(staged.folder.join(stray.as_path()), &to).is_ok();
        if moved { kept.push(stray) } else { gone.push(stray) }
    }
    let mut notes = Vec::new();
    if !kept.is_empty() {
        notes.push(format!("wrote {}, which no output declares: moved into the project, not cached", list(&kept)));
    }
    if !gone.is_empty() {
        notes.push(format!(
            "wrote {}, which no output declares: not kept; declare it in `outputs` to keep it",
            list(&gone)
        ));
    }
    notes
}

fn list(paths: &[RelPath]) -> String {
    let named: Vec<String> = paths.iter().take(NAMED).map(|path| format!("`{path}`")).collect();
    let more = paths.len().saturating_sub(NAMED);
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}

/// Whether a file there would be part of a snapshot or an input of any job of the plan.
fn hashed(work: Work<'_>, path: &RelPath) -> bool {
    work.plan.jobs.iter().any(|job| {
        let taken = job.sources.as_ref().is_none_or(|globs| !globs.is_empty());
        let input = |input: &crate::plan::job::Input| match &input.path {
            InputPath::Inside(input) => path.is_within(input) || input.is_within(path),
            InputPath::Absolute(_) => false,
        };
        let output = |o: &crate::plan::job::Output| path.is_within(&o.path) || o.path.is_within(path);
        (taken && path.is_within(&job.source_directory))
            || job.inputs.iter().any(input)
            || job.outputs.iter().any(output)
    })
}

/// Files and folders that are not known, without entering what is.
fn find(root: &Path, folder: &RelPath, known: &dyn Fn(&RelPath) -> bool, strays: &mut Vec<RelPath>) {
    let Ok(entries) = fs::read_dir(root.join(folder.as_path())) else { return };
    for entry in entries.flatten() {
        let path = folder.join(entry.file_name());
        if known(&path) || LITTER.iter().any(|litter| entry.file_name() == *litter) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => find(root, &path, known, strays),
            Ok(_) => strays.push(path),
            Err(_) => {}
        }
    }
    strays.sort();
}
