//! Takes the results that a `dvc.lock` vouches for into the store and the records, so that the first `amlrun` runs
//! nothing. What the lock says is checked against the bytes that lie there first.

use std::path::Path;

use super::md5;
use crate::cli::assemble::{self, Parts};
use crate::cli::error::CliError;
use crate::cli::options::{Common, PlanOptions};
use crate::cli::project;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console;
use crate::diagnostic::any_error;
use crate::engine::{Work, adopt};
use crate::foreign::dvc::lock::Locked;

/// Adopts what still holds.
pub(super) fn adopt(amlfile: &Path, locks: &[Locked], common: &Common, here: &Surroundings) -> Result<(), CliError> {
    let root = amlfile.parent().unwrap_or(Path::new("."));
    let say = |text: &str| {
        if !common.quiet {
            console::err(text);
        }
    };
    let mut holds: Vec<&str> = Vec::new();
    for lock in locks {
        let differs = lock.reads.iter().chain(&lock.leaves).find_map(|hashed| match md5::matches(root, hashed) {
            Ok(true) => None,
            Ok(false) => Some(format!("`{}` is not what dvc.lock says", hashed.path)),
            Err(error) => Some(format!("`{}` could not be read: {error}", hashed.path)),
        });
        match differs {
            None => holds.push(&lock.experiment),
            Some(why) => say(&format!("not adopted: {}: {why}", lock.experiment)),
        }
    }
    if holds.is_empty() {
        return Ok(());
    }
    let common = Common { file: Some(amlfile.to_owned()), ..common.clone() };
    let (loaded, faults) = project::examine(project::read(&common, here)?, &common, here);
    if any_error(&faults) {
        say("nothing was adopted: the Amlfile has faults that must be mended first; then import again");
        return Ok(());
    }
    let clock = SystemClock::new();
    let plan = loaded.plan(&PlanOptions { goals: Vec::new(), set: Vec::new(), target: None }, here)?;
    let parts = Parts::new(&loaded, &plan, here, &clock)?;
    parts.make_state()?;
    let reader = parts.history(true);
    let mut writer = parts.history(true);
    let invocation = assemble::invocation(here, &loaded, &clock);
    let work = Work::new(&plan, &loaded.project);
    let chosen = |name: &str| holds.contains(&name);
    let note = "adopted from dvc.lock: DVC ran it, amlrun did not";
    let adopted = adopt::adopt(work, &parts.world(), &reader, &mut writer, &invocation, &chosen, note)
        .map_err(|error| assemble::engine_error(error, &loaded, &plan))?;
    for (job, why) in &adopted.refused {
        say(&format!("not adopted: {job}: {why}"));
    }
    if !adopted.jobs.is_empty() {
        let names: Vec<String> = adopted.jobs.iter().map(ToString::to_string).collect();
        say(&format!("adopted from dvc.lock, so that they need not run: {}", names.join(", ")));
    }
    Ok(())
}
