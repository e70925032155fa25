//! Clears away what an invocation that was killed left behind: its run directories go, and what an in-place job had put by
//! comes back.

use std::fs;
use std::path::Path;

use super::{World, publish};
use crate::digest::Digest;

/// The key of the lock that an invocation holds while it lives.
#[must_use]
pub fn invocation_key(invocation: &str) -> Digest {
    Digest::of(invocation.as_bytes())
}

/// Whether an invocation still runs.
#[must_use]
pub fn alive(world: &World<'_>, invocation: &str) -> bool {
    world.locks.held_elsewhere(&invocation_key(invocation))
}

/// Clears the run directories of invocations that are no more. Failures are left for the next time.
pub fn clear(world: &World<'_>, own: &str) {
    let work = world.state.join("work");
    let Ok(entries) = fs::read_dir(&work) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || alive(world, &name) {
            continue;
        }
        let Ok(runs) = fs::read_dir(entry.path()) else { continue };
        for run in runs.flatten() {
            let previous = run.path().join("previous");
            if previous.is_dir() {
                bring_back(&previous, &previous, world.root);
            }
        }
        let _ = publish::remove(&entry.path());
    }
}

/// Moves everything that was put by to where it came from. What lies there now is of a run that never ended.
fn bring_back(base: &Path, folder: &Path, root: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(below) = path.strip_prefix(base) else { continue };
        let to = root.join(below);
        let folder_in_both = path.is_dir() && to.is_dir();
        if folder_in_both {
            bring_back(base, &path, root);
        } else if publish::remove(&to).is_ok() {
            let _ = fs::rename(&path, &to);
        }
    }
}
