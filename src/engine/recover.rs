//! Clears away what an invocation that was killed left behind: its run directories go, and what an in-place job had put by
//! comes back.

use std::fs;
use std::path::Path;

use super::{World, in_place, publish};
use crate::digest::Digest;

/// The key of the lock that an invocation holds while it lives.
#[must_use]
pub fn invocation_key(invocation: &str) -> Digest {
    Digest::of(invocation.as_bytes())
}

/// The key of the lock that the watchdog of an invocation holds: until it is free, jobs of an invocation that was killed
/// may still write.
#[must_use]
pub fn guard_key(invocation: &str) -> Digest {
    Digest::of(format!("guard {invocation}").as_bytes())
}

/// Whether an invocation still runs.
#[must_use]
pub fn alive(world: &World<'_>, invocation: &str) -> bool {
    world.locks.held_elsewhere(&invocation_key(invocation))
}

/// Clears the run directories of invocations that are no more, one clearing at a time. What could not be cleared is left
/// for the next time; the answer says why, where outputs of the project are concerned.
pub fn clear(world: &World<'_>, own: &str) -> Vec<String> {
    let work = world.state.join("work");
    let names = || {
        let names = fs::read_dir(&work).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name != own)
    };
    let mut faults = Vec::new();
    if names().next().is_none() {
        return faults;
    }
    let Some(_alone) = world.locks.hold(&Digest::of(b"clear")) else { return faults };
    for name in names() {
        if alive(world, &name) {
            continue;
        }
        drop(world.locks.hold(&guard_key(&name)));
        let folder = work.join(&name);
        for run in fs::read_dir(&folder).into_iter().flatten().flatten() {
            faults.extend(in_place::undo(world.root, &run.path()).err());
        }
        remove_work(&folder);
    }
    faults
}

/// Removes the folder of an invocation, but for the runs that hold outputs which could not be brought back.
pub fn remove_work(folder: &Path) {
    let runs = fs::read_dir(folder).into_iter().flatten().flatten();
    if runs.filter(|run| !remove_run(&run.path())).count() == 0 {
        let _ = publish::remove(folder);
    }
}

/// Removes the folder of a run, unless it holds outputs that could not be brought back. Tells whether it did.
pub fn remove_run(folder: &Path) -> bool {
    if in_place::holds_outputs(folder) {
        return false;
    }
    let _ = publish::remove(folder);
    true
}
