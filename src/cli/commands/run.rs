//! `amlrun [GOAL…]`: runs what is stale.

use crate::cli::assemble::{self, Parts};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::RunOptions;
use crate::cli::project::{self, Loaded, Read};
use crate::cli::report;
use crate::cli::shared;
use crate::cli::surroundings::Surroundings;
use crate::clock::{Clock, SystemClock};
use crate::console;
use crate::console::ci::{Report, Service};
use crate::engine::drive::{self, Driven, Records, drive};
use crate::engine::interrupt::Interrupt;
use crate::engine::telling::Teller;
use crate::engine::{Options, Work, inspect, settled};
use crate::event::{Event, Summary};
use crate::plan::job::Plan;
use crate::project::model::TargetKind;
use crate::vcs;

/// Runs, or says what would run.
///
/// # Errors
/// What keeps it from running at all.
pub fn run(options: &RunOptions, here: &Surroundings) -> Result<Exit, CliError> {
    if options.watch {
        return super::watch::watch(options, here);
    }
    let read = project::read(&options.common, here)?;
    let state = read.root.join(".amlrun");
    let request = project::request(&options.plan, here)?;
    let settled = settled::may_apply(&read.source.text).then(|| settled::key(&read.file, &read.source.text, &request));
    let plainly = !(report::is_asked(options, here)
        || options.dry_run
        || options.force
        || options.common.json
        || options.common.verbose);
    if plainly && let Some(jobs) = settled.as_ref().and_then(|key| settled::look(&state, &read.root, key)) {
        return Ok(still_settled(options, here, jobs));
    }
    let clock = SystemClock::new();
    let ready = Ready::new(read, options, here, &clock)?;
    if options.dry_run {
        return dry_run(options, here, &ready, &clock);
    }
    let began = clock.now();
    let driven = drive_once(&ready, options, here, &listen()?)?;
    if let Some(key) = &settled
        && !ready.loaded.warned()
        && !driven.settled.is_empty()
    {
        // A cache: where it cannot be written the next look takes longer, and that is all.
        let _ = settled::remember(&state, key, ready.work(), &driven.settled, began);
    }
    Ok(match driven.summary {
        Summary { interrupted: true, .. } => Exit::Interrupted,
        Summary { failed: 0, .. } => Exit::Done,
        _ => Exit::JobFailed,
    })
}

/// A project that was read and planned without a fault, and what it takes to run it.
#[derive(Debug)]
pub struct Ready<'c> {
    /// The project.
    pub loaded: Loaded,
    /// The plan.
    pub plan: Plan,
    /// The ports.
    pub parts: Parts<'c>,
    clock: &'c SystemClock,
}

impl<'c> Ready<'c> {
    /// Reads and plans what the options ask for.
    ///
    /// # Errors
    /// Where the Amlfile or the options have faults.
    pub fn new(
        read: Read,
        options: &RunOptions,
        here: &Surroundings,
        clock: &'c SystemClock,
    ) -> Result<Self, CliError> {
        let loaded = project::resolve(read, &options.common, here)?;
        let plan = loaded.plan(&options.plan, here)?;
        loaded.available(&plan)?;
        if options.detach
            && let Some(job) = plan.jobs.iter().find(|job| loaded.project.targets[job.target].kind == TargetKind::Local)
        {
            let name = &job.name;
            let why = format!("`--detach` is for remote targets: `{name}` runs on this machine and ends with amlrun");
            return Err(CliError::usage(why));
        }
        let mut parts = Parts::new(&loaded, &plan, here, clock)?;
        if let Some(chosen) = shared::choose(&options.cache, Some(&loaded.project.workspace), &loaded.root, here)? {
            parts.share_by(&chosen);
        }
        Ok(Self { loaded, plan, parts, clock })
    }

    /// What is carried out.
    #[must_use]
    pub fn work(&self) -> Work<'_> {
        Work::new(&self.plan, &self.loaded.project)
    }
}

/// Listens to Ctrl-C from now on.
///
/// # Errors
/// Where the system refuses.
pub fn listen() -> Result<Interrupt, CliError> {
    Interrupt::listen().map_err(|error| CliError::world(format!("could not listen to signals: {error}")))
}

/// Runs what is stale, once.
///
/// # Errors
/// What keeps it from running at all.
pub fn drive_once(
    ready: &Ready<'_>,
    options: &RunOptions,
    here: &Surroundings,
    interrupt: &Interrupt,
) -> Result<Driven, CliError> {
    let Ready { loaded, plan, parts, clock } = ready;
    parts.make_state()?;
    let mut choice = assemble::choice(&options.common, here, false);
    if options.ci {
        choice.ci.get_or_insert(Service::Other);
    }
    let mut listener = console::listener(choice);
    let mut told = Report::default();
    let engine = Options {
        machine: assemble::machine(options, here),
        keep_going: options.keep_going,
        force: options.force,
        program: Some("/proc/self/exe".into()),
        detach: options.detach,
        attach: options.attach,
        resume: options.resume,
    };
    // It writes nothing, but may set a damaged history aside.
    let reader = parts.history(true);
    let root = &loaded.root;
    let properties = || vcs::properties(root, &here.variables);
    let records = Records { reader: &reader, writer: Box::new(parts.history(true)), properties: &properties };
    let invocation = assemble::invocation(here, loaded, clock);
    let driven =
        drive(ready.work(), &parts.world(), records, &invocation, &engine, interrupt, &mut [&mut *listener, &mut told])
            .map_err(|error| assemble::engine_error(error, loaded, plan))?;
    report::write(&told, options, here, &reader)?;
    Ok(driven)
}

/// Nothing moved since every job was judged fresh.
fn still_settled(options: &RunOptions, here: &Surroundings, jobs: usize) -> Exit {
    let clock = SystemClock::new();
    let mut listener = console::listener(assemble::choice(&options.common, here, false));
    let mut listeners: [&mut dyn crate::event::Listener; 1] = [&mut *listener];
    let summary = Summary { fresh: jobs, ..Summary::default() };
    Teller::new(&clock, &mut listeners).tell(Event::InvocationFinished { summary });
    Exit::Done
}

fn dry_run(
    options: &RunOptions,
    here: &Surroundings,
    ready: &Ready<'_>,
    clock: &SystemClock,
) -> Result<Exit, CliError> {
    let Ready { loaded, plan, parts, .. } = ready;
    let mut listener = console::listener(assemble::choice(&options.common, here, true));
    let mut listeners: [&mut dyn crate::event::Listener; 1] = [&mut *listener];
    let mut teller = Teller::new(clock, &mut listeners);
    drive::register(ready.work(), &assemble::invocation(here, loaded, clock), true, &mut teller);
    let judged = inspect::inspect(ready.work(), &parts.world(), &parts.history(false), options.force, &mut teller)
        .map_err(|error| assemble::engine_error(error, loaded, plan))?;
    let summary = inspect::tell(&judged, &mut teller);
    teller.tell(Event::InvocationFinished { summary });
    Ok(Exit::Done)
}
