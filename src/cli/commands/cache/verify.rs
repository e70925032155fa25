//! `amlrun cache verify`: every object of this project's store read, what is damaged set apart, what can be healed healed:
//! from the project's own outputs, and from the shared cache where there is one.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cli::commands::runs::Desk;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{CacheOptions, Common};
use crate::cli::project::{self, find_root};
use crate::cli::shared;
use crate::cli::surroundings::Surroundings;
use crate::clock::{Clock, SystemClock};
use crate::console::{self, json, progress, words};
use crate::content::Kind;
use crate::diagnostic::any_error;
use crate::digest::Digest;
use crate::engine::housekeeping::{Keep, Lack, Needed, Nodes, lacking, needed};
use crate::engine::recover;
use crate::engine::sharing::{Sharing, pull, record};
use crate::relpath::RelPath;
use crate::store::Store;
use crate::store::capture::capture;
use crate::store::digesting::Digesting;

/// What it came to, as data.
#[derive(Debug, Default, Serialize)]
struct Report {
    objects: u64,
    bytes: u64,
    /// Objects that were set apart.
    damaged: Vec<String>,
    /// Objects that runs need which stay, and that were damaged or gone: how many there were, and how many are back.
    lacked: usize,
    healed: usize,
    /// What cannot be restored any more.
    lost: Vec<Lost>,
}

#[derive(Debug, Serialize)]
struct Lost {
    run: String,
    job: String,
    what: String,
}

/// Verifies.
///
/// # Errors
/// Where the store or the records cannot be read.
pub(super) fn verify(options: &CacheOptions, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let clock = SystemClock::new();
    let desk = Desk::open(find_root(common, here)?, common, here, &clock);
    let sharing = sharing(options, common, here, &desk)?;
    // What is about to be healed must not be cleared away; what is read needs no hold.
    let shown = here.terminal && !common.quiet && !common.json;
    let bar = progress::ByteBar::new("verifying", desk.store.weight()?, shown);
    let verified = desk.store.verify(&|bytes| bar.add(bytes))?;
    drop(bar);
    let mut report = Report {
        objects: verified.objects,
        bytes: verified.bytes,
        damaged: verified.damaged.iter().map(Digest::to_string).collect(),
        ..Report::default()
    };
    let _hold = desk.store.hold();
    let (mut plan, mut missing) = look(&desk, &clock)?;
    let mut ever = BTreeSet::new();
    // A node that is back may name more that is gone.
    while !missing.is_empty() {
        ever.extend(missing.iter().copied());
        heal_from_project(&desk, &plan)?;
        if let Some(sharing) = &sharing {
            heal_from_cache(&desk, sharing, &plan, &missing);
        }
        let before = missing;
        (plan, missing) = look(&desk, &clock)?;
        if missing == before {
            break;
        }
    }
    desk.store.flush()?;
    report.lacked = ever.len();
    report.healed = ever.iter().filter(|digest| desk.store.has(digest)).count();
    let lost = lacking(&desk.store, &plan.kept)?;
    report.lost = lost.iter().map(|lack| told(&plan, lack)).collect();
    if common.json {
        console::out(&json::document(&report));
    } else {
        tell(&report, sharing.is_some());
    }
    Ok(if report.lost.is_empty() { Exit::Done } else { Exit::World })
}

/// What must be there, and what of it is not.
fn look(desk: &Desk<'_>, clock: &SystemClock) -> Result<(Needed, BTreeSet<Digest>), CliError> {
    let plan =
        needed(&desk.history, &Nodes::of(&desk.store), &Keep::default(), clock.now()).map_err(CliError::world)?;
    let missing = plan.objects.iter().filter(|digest| !desk.store.has(digest)).copied().collect();
    Ok((plan, missing))
}

/// The shared cache, where the Amlfile (if it can be read) or the command line names one.
fn sharing(
    options: &CacheOptions,
    common: &Common,
    here: &Surroundings,
    desk: &Desk<'_>,
) -> Result<Option<Sharing>, CliError> {
    let loaded = project::read(common, here).ok().map(|read| project::examine(read, common, here));
    let loaded = loaded.filter(|(_, faults)| !any_error(faults)).map(|(loaded, _)| loaded);
    let workspace = loaded.as_ref().map(|loaded| &loaded.project.workspace);
    let chosen = shared::choose(options, workspace, &desk.root, here)?;
    Ok(chosen.map(|chosen| chosen.sharing(&desk.state)))
}

/// An output that lies in the project as the run left it is as good as the object.
fn heal_from_project(desk: &Desk<'_>, plan: &Needed) -> Result<(), CliError> {
    for lack in lacking(&desk.store, &plan.kept)? {
        let Some(output) = &lack.output else { continue };
        let Some(content) = output.content() else { continue };
        let at = desk.root.join(output.path.as_path());
        let same = |found: Option<crate::tree::Measured>| {
            found.is_some_and(|found| found.content.digest == content.digest && found.content.kind == content.kind)
        };
        if content.kind != Kind::Folder && !at.symlink_metadata().is_ok_and(|found| found.len() == content.size) {
            continue;
        }
        // Looked at before anything of it is stored: it may have been edited since.
        if capture(&Digesting, &at, &|| false).is_ok_and(same) {
            let _ = capture(&desk.store, &at, &|| false);
        }
    }
    Ok(())
}

/// What the cache has comes back; a cache that cannot be asked heals nothing.
fn heal_from_cache(desk: &Desk<'_>, sharing: &Sharing, plan: &Needed, missing: &BTreeSet<Digest>) {
    let name = |run: &crate::history::Run| {
        let outputs: Vec<&RelPath> = run.ended.iter().flat_map(|e| &e.outputs).map(|output| &output.path).collect();
        record::name(&run.begun.fingerprint.digest(), outputs.into_iter())
    };
    let keys: Vec<Digest> = plan.kept.iter().map(|(run, _)| name(run)).collect();
    let invocation = uuid::Uuid::new_v4().simple().to_string();
    let _ = desk.locks.try_lock(&recover::invocation_key(&invocation));
    let work = desk.state.join("work").join(&invocation);
    let still: BTreeSet<Digest> = missing.iter().filter(|digest| !desk.store.has(digest)).copied().collect();
    if let Err(stopped) = pull::heal(sharing, &desk.store, &work.join("cache"), &still, &keys) {
        console::err(&format!("warning: the cache {}: {stopped}", sharing.remote.address()));
    }
    recover::remove_work(&work);
}

fn told(plan: &Needed, lack: &Lack) -> Lost {
    let run = plan.kept.iter().find(|(run, _)| run.begun.run == lack.run);
    let job = run.map(|(run, _)| run.begun.job.0.clone()).unwrap_or_default();
    Lost { run: lack.run.0.clone(), job, what: lack.what.clone() }
}

fn tell(report: &Report, shared: bool) {
    let count = |n: u64, noun: &str| words::count(usize::try_from(n).unwrap_or(usize::MAX), noun);
    let damaged = match report.damaged.len() {
        0 => "none is damaged".to_owned(),
        n => format!("{n} damaged, set apart in `.amlrun/objects-v1/quarantine`"),
    };
    console::err(&format!("verified {}, {}: {damaged}", count(report.objects, "object"), words::bytes(report.bytes)));
    if report.lacked > 0 {
        let what = words::count(report.lacked, "object");
        console::err(&format!("{what} that runs need which stay: {} healed", report.healed));
    }
    for lost in &report.lost {
        let short = lost.run.get(..8).unwrap_or_default();
        console::err(&format!("lost: {} of run {short} of {}", lost.what, lost.job));
    }
    if !report.lost.is_empty() {
        let other =
            if shared { "the shared cache does not have it" } else { "there is no shared cache to heal it from" };
        console::err(&format!("hint: {other}; `amlrun` runs a job again whose output is needed and lost"));
    }
}
