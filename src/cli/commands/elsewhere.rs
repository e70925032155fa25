//! `amlrun attach` and `amlrun cancel`: runs that go on elsewhere, followed again or ended.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::run::Ready;
use crate::cli::assemble;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, RunOptions};
use crate::cli::project::{self, Loaded};
use crate::cli::surroundings::Surroundings;
use crate::clock::{Clock, SystemClock};
use crate::console::{self, words};
use crate::engine::attempt::{Bench, Done};
use crate::engine::elsewhere;
use crate::engine::locks::Locks;
use crate::engine::uncommitted::Patches;
use crate::history::sqlite::SqliteHistory;
use crate::history::{Ended, Entry, History, Run, Status};
use crate::ids::{JobId, RunId};
use crate::launch::{Outcome, Ticket, Usage};
use crate::project::model::Project;
use crate::shim::Shim;
use crate::target::command::Programs;
use crate::target::remote::{Fault, Remote, State};

/// How long a run that is asked to end may take before it is killed, and before nobody waits for it any more.
const GENTLY: Duration = Duration::from_secs(12);
const AT_ALL: Duration = Duration::from_mins(1);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(200);

/// Follows the runs that go on elsewhere again: all, or those named.
///
/// # Errors
/// Where there are none of these names, or the world says no.
pub fn attach(names: &[String], options: &RunOptions, here: &Surroundings) -> Result<Exit, CliError> {
    let loaded = project::load(&options.common, here)?;
    let history = SqliteHistory::open(&loaded.root.join(".amlrun").join("history.db"), false);
    let tickets = named(&history, names)?;
    if tickets.is_empty() {
        console::err("no run goes on elsewhere");
        return Ok(Exit::Done);
    }
    let mut options = options.clone();
    options.attach = true;
    options.plan.goals = tickets.iter().map(|(_, run)| run.begun.job.0.clone()).collect();
    options.plan.goals.sort();
    options.plan.goals.dedup();
    drop(loaded);
    let exit = super::run::run(&options, here)?;
    if matches!(exit, Exit::Done | Exit::JobFailed) {
        to_record(&tickets, &options, here)?;
    }
    Ok(exit)
}

/// Runs that are for what their jobs were before: their results go on record, and nowhere else.
fn to_record(before: &[(Ticket, Run)], options: &RunOptions, here: &Surroundings) -> Result<(), CliError> {
    let clock = SystemClock::new();
    let ready = Ready::new(project::read(&options.common, here)?, options, here, &clock)?;
    let mut history = ready.parts.history(true);
    let left: Vec<(Ticket, Run)> = history.tickets(None)?;
    let left = left.into_iter().filter(|(ticket, _)| before.iter().any(|(other, _)| other.run == ticket.run));
    let world = ready.parts.world();
    let interrupt = super::run::listen()?;
    let programs = Programs::default();
    let shim = Shim::default();
    let bench = Bench {
        work: ready.work(),
        world: &world,
        cancel: &interrupt,
        programs: &programs,
        shim: &shim,
        patches: &Patches::default(),
        detach: false,
    };
    for (ticket, run) in left {
        let target = ready.loaded.project.targets.iter().position(|target| target.name == ticket.target);
        let job = ready.plan.jobs.iter().position(|job| job.name == run.begun.job);
        let (Some(target), Some(job)) = (target, job) else { continue };
        let digest = run.begun.fingerprint.digest();
        if !world.locks.try_lock(&digest) {
            continue; // somebody follows it
        }
        let name = format!("{} (run {})", run.begun.job, ticket.run.short());
        console::err(&format!(
            "{name} is for what the job was before: its result goes on record, not into the project"
        ));
        let done = elsewhere::bring_to_record(bench, JobId(job), run.begun, target, &mut |_| {});
        match done {
            Done::Ended { ended, began: true, .. } => {
                world.store.flush()?;
                let over = ended.run.clone();
                let said = console::telling::outcome_phrase(&ended.outcome);
                history.record(&[Entry::Ended(ended)])?;
                if let Some(remote) = world.remotes.get(&target) {
                    let _ = remote.forget(std::slice::from_ref(&over));
                }
                console::err(&format!("{name}: {said}"));
            }
            Done::Ended { ended, .. } => {
                console::err(&format!("{name}: {}", console::telling::outcome_phrase(&ended.outcome)));
            }
            Done::Moved | Done::Detached { .. } => console::err(&format!("{name} goes on")),
        }
        world.locks.release(&digest);
    }
    Ok(())
}

/// Ends the runs that are named, on their targets.
///
/// # Errors
/// Where there are none of these names, or a target cannot be asked.
pub fn cancel(names: &[String], common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let loaded = project::load(common, here)?;
    let clock = SystemClock::new();
    let state = loaded.root.join(".amlrun");
    let mut history = SqliteHistory::open(&state.join("history.db"), true);
    let tickets = named(&history, names)?;
    if tickets.is_empty() {
        return Err(CliError::nothing("no run goes on elsewhere"));
    }
    let remotes = assemble::remotes(&loaded.project, here, &clock);
    let locks = Locks::new(&state);
    for (ticket, run) in &tickets {
        let remote = remote_of(&loaded.project, &remotes, ticket)?;
        let how = end(remote, &ticket.run, &clock).map_err(refused)?;
        let name = format!("{} (run {})", run.begun.job, ticket.run.short());
        match how {
            Some(State::Ended(outcome, usage)) if outcome != Outcome::Succeeded => {
                // Whoever follows it puts its end on record; nobody else does.
                if !locks.held_elsewhere(&run.begun.fingerprint.digest()) {
                    history.record(&[Entry::Ended(Box::new(canceled(&ticket.run, usage, &clock)))])?;
                    let _ = remote.forget(std::slice::from_ref(&ticket.run));
                }
                console::err(&format!("{name} is canceled on {}", ticket.place));
            }
            Some(State::Absent) => {
                history.record(&[Entry::Ended(Box::new(canceled(&ticket.run, Usage::default(), &clock)))])?;
                console::err(&format!("{name} is not on {} any more", ticket.place));
            }
            Some(State::Ended(..)) => {
                console::err(&format!("{name} had ended already; `amlrun attach` brings its result"));
            }
            _ => {
                return Err(CliError::world(format!("{name} does not end on {}", ticket.place))
                    .hint("`amlrun targets check` tells how the target is"));
            }
        }
    }
    Ok(Exit::Done)
}

fn canceled(run: &RunId, usage: Usage, clock: &dyn Clock) -> Ended {
    Ended {
        run: run.clone(),
        status: Status::Canceled,
        outcome: Outcome::Canceled,
        ended: clock.now(),
        usage,
        outputs: Vec::new(),
        kept: Vec::new(),
        metrics: BTreeMap::new(),
        cached: false,
        inputs_moved: false,
        notes: Vec::new(),
        logged: None,
    }
}

/// Asks a run to end, gently and then for good, and waits for it.
fn end(remote: &dyn Remote, run: &RunId, clock: &dyn Clock) -> Result<Option<State>, Fault> {
    let began = clock.elapsed();
    let mut asked = None;
    loop {
        let state = remote.states(std::slice::from_ref(run))?.into_iter().next();
        let since = clock.elapsed().saturating_sub(began);
        match state {
            Some(State::Queued(_) | State::Running) if since < AT_ALL => {
                let now = since >= GENTLY;
                if asked != Some(now) {
                    asked = Some(now);
                    remote.end(run, now)?;
                }
            }
            // A supervisor that is gone leaves a run of which nothing more will be heard.
            Some(State::Gone(_)) => return Ok(Some(State::Ended(Outcome::Canceled, Usage::default()))),
            other => return Ok(other),
        }
        std::thread::park_timeout(LOOK);
    }
}

/// The runs elsewhere with these names: parts of their identities, jobs or experiments; all where none is given.
fn named(history: &SqliteHistory, names: &[String]) -> Result<Vec<(Ticket, Run)>, CliError> {
    let all = history.tickets(None)?;
    if names.is_empty() {
        return Ok(all);
    }
    let fits = |name: &String, (ticket, run): &(Ticket, Run)| {
        ticket.run.0.starts_with(name.as_str()) || run.begun.job.0 == *name || run.begun.experiment == *name
    };
    if let Some(name) = names.iter().find(|name| !all.iter().any(|one| fits(name, one))) {
        return Err(CliError::nothing(format!("no run that goes on elsewhere is named `{name}`"))
            .hint("`amlrun status` shows those that do"));
    }
    Ok(all.into_iter().filter(|one| names.iter().any(|name| fits(name, one))).collect())
}

/// The target of a ticket.
fn remote_of<'r, 'c>(
    project: &Project,
    remotes: &'r crate::engine::Remotes<'c>,
    ticket: &Ticket,
) -> Result<&'r (dyn Remote + 'c), CliError> {
    let at = project.targets.iter().position(|target| target.name == ticket.target);
    at.and_then(|at| remotes.get(&at)).map(|remote| &**remote).ok_or_else(|| {
        CliError::usage(format!(
            "run {} goes on on the target `{}` ({}), which is not declared any more",
            ticket.run.short(),
            ticket.target,
            ticket.place
        ))
        .hint("declare it again to reach the run")
    })
}

fn refused(fault: Fault) -> CliError {
    match fault {
        Fault::Lost(why) | Fault::Refused(why) => CliError::world(why),
        Fault::Moved => CliError::world("the project changed meanwhile"),
    }
}

/// A run that goes on elsewhere, and how it is there.
pub type GoingOn = (Ticket, Run, String);

/// What goes on elsewhere, a line a run, for `status`: each target is asked once.
///
/// # Errors
/// Where the history cannot be read.
pub fn going_on(loaded: &Loaded, history: &dyn History, here: &Surroundings) -> Result<Vec<GoingOn>, CliError> {
    let tickets = history.tickets(None)?;
    if tickets.is_empty() {
        return Ok(Vec::new());
    }
    let clock = SystemClock::new();
    let remotes = assemble::remotes(&loaded.project, here, &clock);
    let mut by_target: BTreeMap<String, Vec<(Ticket, Run)>> = BTreeMap::new();
    for (ticket, run) in tickets {
        by_target.entry(ticket.target.clone()).or_default().push((ticket, run));
    }
    let mut lines = Vec::new();
    for of_target in by_target.into_values() {
        let runs: Vec<RunId> = of_target.iter().map(|(ticket, _)| ticket.run.clone()).collect();
        let states = match remote_of(&loaded.project, &remotes, &of_target[0].0) {
            Ok(remote) => remote.states(&runs).map_err(|fault| refused(fault).message),
            Err(error) => Err(error.message),
        };
        for (at, (ticket, run)) in of_target.into_iter().enumerate() {
            let text = match &states {
                Ok(states) => states.get(at).map_or_else(String::new, phrase),
                Err(why) => format!("not known: {why}"),
            };
            lines.push((ticket, run, text));
        }
    }
    Ok(lines)
}

fn phrase(state: &State) -> String {
    match state {
        State::Absent => "not submitted yet".to_owned(),
        State::Queued(why) if why.is_empty() => "queued".to_owned(),
        State::Queued(why) => format!("queued: {why}"),
        State::Running => "running".to_owned(),
        State::Ended(outcome, _) => {
            format!("ended ({}), not brought back yet", console::telling::outcome_phrase(outcome))
        }
        State::Gone(why) => format!("lost: {why}"),
    }
}

/// The lines of `going_on` as text.
#[must_use]
pub fn text(lines: &[(Ticket, Run, String)]) -> String {
    let mut text = String::new();
    for (ticket, run, state) in lines {
        let _ = writeln!(
            text,
            "{} on {}, run {}: {}",
            words::name(&run.begun.job.0),
            words::name(&ticket.target),
            ticket.run.short(),
            console::clean::clean(state)
        );
    }
    text
}
