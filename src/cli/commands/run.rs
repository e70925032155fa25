//! `amlrun [GOAL…]`: runs what is stale.

use crate::cli::assemble::{self, Parts};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::RunOptions;
use crate::cli::project::{self, Loaded};
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console;
use crate::engine::drive::{self, Records, drive};
use crate::engine::interrupt::Interrupt;
use crate::engine::telling::Teller;
use crate::engine::{Options, Work, inspect};
use crate::event::{Event, Summary};
use crate::plan::job::Plan;
use crate::vcs;

/// Runs, or says what would run.
///
/// # Errors
/// What keeps it from running at all.
pub fn run(options: &RunOptions, here: &Surroundings) -> Result<Exit, CliError> {
    let loaded = project::load(&options.common, here)?;
    let plan = loaded.plan(&options.plan, here)?;
    loaded.available(&plan)?;
    let clock = SystemClock::new();
    let parts = Parts::new(&loaded, &plan, here, &clock)?;
    if options.dry_run {
        return dry_run(options, here, &loaded, &plan, &parts, &clock);
    }
    if options.detach {
        return Err(CliError::usage("`--detach` is for remote targets: a job on this machine ends with amlrun"));
    }
    let interrupt =
        Interrupt::listen().map_err(|error| CliError::world(format!("could not listen to signals: {error}")))?;
    parts.make_state()?;
    let mut listener = console::listener(assemble::choice(&options.common, here, false));
    let engine = Options {
        machine: assemble::machine(options, here),
        keep_going: options.keep_going,
        force: options.force,
        program: Some("/proc/self/exe".into()),
    };
    // It writes nothing, but may set a damaged history aside.
    let reader = parts.history(true);
    let properties = || vcs::properties(&loaded.root, &here.variables);
    let records = Records { reader: &reader, writer: Box::new(parts.history(true)), properties: &properties };
    let invocation = assemble::invocation(here, &loaded, &clock);
    let world = parts.world();
    let work = Work { plan: &plan, project: &loaded.project };
    let summary = drive(work, &world, records, &invocation, &engine, &interrupt, &mut [&mut *listener])
        .map_err(|error| assemble::engine_error(error, &loaded, &plan))?;
    Ok(exit(&summary))
}

fn exit(summary: &Summary) -> Exit {
    match summary {
        Summary { interrupted: true, .. } => Exit::Interrupted,
        Summary { failed: 0, .. } => Exit::Done,
        _ => Exit::JobFailed,
    }
}

fn dry_run(
    options: &RunOptions,
    here: &Surroundings,
    loaded: &Loaded,
    plan: &Plan,
    parts: &Parts<'_>,
    clock: &SystemClock,
) -> Result<Exit, CliError> {
    let mut listener = console::listener(assemble::choice(&options.common, here, true));
    let mut listeners: [&mut dyn crate::event::Listener; 1] = [&mut *listener];
    let mut teller = Teller::new(clock, &mut listeners);
    let work = Work { plan, project: &loaded.project };
    drive::register(work, &assemble::invocation(here, loaded, clock), true, &mut teller);
    let judged = inspect::inspect(work, &parts.world(), &parts.history(false), options.force, &mut teller)
        .map_err(|error| assemble::engine_error(error, loaded, plan))?;
    let summary = inspect::tell(&judged, &mut teller);
    teller.tell(Event::InvocationFinished { summary });
    Ok(Exit::Done)
}
