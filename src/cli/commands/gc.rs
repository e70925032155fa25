//! `amlrun gc`: clears the store of what no run needs that is to stay. Records stay; it is the objects that go.

use serde::Serialize;

use super::runs::Desk;
use crate::amlfile::units;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, GcOptions};
use crate::cli::project::find_root;
use crate::cli::surroundings::Surroundings;
use crate::clock::{Clock, SystemClock};
use crate::console::table::{Cell, Table};
use crate::console::{self, json, words};
use crate::engine::housekeeping::{Because, Keep, NeedError, Needed, Nodes, needed};
use crate::store::disk::clear::{ClearError, Cleared};

/// So many runs that go are named.
const NAMED: usize = 20;

/// What it came to, as data.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    objects: u64,
    bytes: u64,
    kept_objects: u64,
    kept_bytes: u64,
    /// Not needed, but in packs that other invocations add to.
    busy_bytes: u64,
    kept: Vec<Kept>,
    /// Runs that can no longer be restored (the newest first).
    dropped: Vec<Dropped>,
}

#[derive(Debug, Serialize)]
struct Kept {
    run: String,
    job: String,
    because: &'static str,
}

#[derive(Debug, Serialize)]
struct Dropped {
    run: String,
    job: String,
    started: String,
}

/// Clears up.
///
/// # Errors
/// Where the records cannot be read whole, another clearing is at work, or the store refuses.
pub fn run(options: &GcOptions, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let max_size = options.max_size.as_deref().map(|text| {
        units::memory(text)
            .map_err(|_| CliError::usage(format!("`--max-size {text}` is not a size")).hint("as in 500MiB, 20GiB, 2TB"))
    });
    let keep = Keep { runs: options.keep_runs, days: options.keep_days, max_size: max_size.transpose()? };
    let clock = SystemClock::new();
    let desk = Desk::open(find_root(common, here)?, common, here, &clock);
    let nodes = Nodes::of(&desk.store);
    let mut plan = Needed::default();
    let cleared = desk.store.clear(options.dry_run, &mut || {
        plan = needed(&desk.history, &nodes, &keep, clock.now())?;
        Ok(plan.objects.clone())
    });
    let cleared = cleared.map_err(|error: ClearError<NeedError>| match error {
        ClearError::Busy => CliError::world(error).hint("it needs no help from this one"),
        ClearError::Needed(NeedError::Unreadable(_)) => {
            CliError::world(error).hint("nothing was cleared; `amlrun` sets a damaged history aside")
        }
        error => CliError::world(error),
    })?;
    let report = report(options.dry_run, &cleared, &plan);
    if common.json {
        console::out(&json::document(&report));
        return Ok(Exit::Done);
    }
    tell(&desk, &report, &keep, &plan);
    if cleared.damaged > 0 {
        console::err(&format!(
            "warning: {} that should stay {} damaged and set apart; `amlrun cache verify` heals what can be healed",
            words::count(usize::try_from(cleared.damaged).unwrap_or(usize::MAX), "object"),
            if cleared.damaged == 1 { "was" } else { "were" },
        ));
    }
    Ok(Exit::Done)
}

fn report(dry_run: bool, cleared: &Cleared, plan: &Needed) -> Report {
    let because = |because: &Because| match because {
        Because::Pinned => "pinned",
        Because::Registered => "registered",
        Because::InProgress => "in-progress",
        Because::Latest => "latest",
        Because::Asked => "asked",
    };
    Report {
        dry_run,
        objects: cleared.objects,
        bytes: cleared.bytes,
        kept_objects: cleared.kept,
        kept_bytes: cleared.kept_bytes,
        busy_bytes: cleared.busy_bytes,
        kept: plan
            .kept
            .iter()
            .map(|(run, why)| Kept {
                run: run.begun.run.0.clone(),
                job: run.begun.job.0.clone(),
                because: because(why),
            })
            .collect(),
        dropped: plan
            .dropped
            .iter()
            .map(|run| Dropped {
                run: run.begun.run.0.clone(),
                job: run.begun.job.0.clone(),
                started: run.begun.started.to_string(),
            })
            .collect(),
    }
}

fn tell(desk: &Desk<'_>, report: &Report, keep: &Keep, plan: &Needed) {
    if report.dry_run && !report.dropped.is_empty() {
        let mut table = Table::new(&["RUN", "JOB", "STARTED"]);
        for (run, dropped) in plan.dropped.iter().zip(&report.dropped).take(NAMED) {
            table.row([Cell::from(run.begun.run.short()), dropped.job.clone().into(), dropped.started.clone().into()]);
        }
        console::out(&table.render(desk.style, console::terminal::out_width()));
        let more = report.dropped.len().saturating_sub(NAMED);
        if more > 0 {
            console::out(&format!("and {more} more\n"));
        }
    }
    let objects = |n: u64| words::count(usize::try_from(n).unwrap_or(usize::MAX), "object");
    let would = if report.dry_run { "would clear" } else { "cleared" };
    let comes = if report.dry_run { "would come" } else { "came" };
    let number = |wanted: &str| report.kept.iter().filter(|kept| kept.because == wanted).count();
    console::err(&format!(
        "{would} {}; {} {comes} back; {}, {} stay for {} ({} pinned, {}{} in progress, {} the last of their jobs, {} asked for)",
        objects(report.objects),
        words::bytes(report.bytes),
        objects(report.kept_objects),
        words::bytes(report.kept_bytes),
        words::count(report.kept.len(), "run"),
        number("pinned"),
        match number("registered") {
            0 => String::new(),
            runs => format!("{runs} with registered models, "),
        },
        number("in-progress"),
        number("latest"),
        number("asked"),
    ));
    if report.busy_bytes > 0 {
        let busy = words::bytes(report.busy_bytes);
        console::err(&format!(
            "note: {busy} more lie in packs that another invocation adds to; a later gc clears them"
        ));
    }
    if keep.max_size.is_some_and(|most| plan.always > most) {
        let always = words::bytes(plan.always);
        console::err(&format!(
            "warning: what always stays has {always}, more than `--max-size`: `amlrun runs unpin` lets pinned runs go"
        ));
    }
}
