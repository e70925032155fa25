//! `amlrun status` and `amlrun why`: every job judged, nothing run, nothing written.

use super::elsewhere::GoingOn;
use crate::cli::assemble::{self, Parts};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, PlanOptions};
use crate::cli::project;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console::places::Places;
use crate::console::states::{LastRun, State, states_json, status_table, why_text};
use crate::console::{self, Style};
use crate::engine::telling::Teller;
use crate::engine::{Work, inspect};
use crate::history::{History, Query};

/// `status`: a table of all jobs.
///
/// # Errors
/// Where they cannot be judged.
pub fn status(plan: &PlanOptions, exit_code: bool, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let (states, elsewhere) = states(plan, common, here, true)?;
    let states: Vec<State> = states.into_iter().map(|(state, _)| state).collect();
    if common.json {
        console::out(&states_json(&states, &elsewhere.iter().map(shown_elsewhere).collect::<Vec<_>>()));
    } else {
        let style = Style::choose(&common.color, |name| here.variable(name), here.stdout_terminal);
        console::out(&status_table(&states, style, console::terminal::out_width(), common.verbose));
        if !elsewhere.is_empty() {
            console::out("\n");
            console::out(&super::elsewhere::text(&elsewhere));
        }
    }
    let stale = exit_code && !states.iter().all(State::is_settled);
    Ok(if stale { Exit::Stale } else { Exit::Done })
}

/// `why`: all reasons of each job that is named.
///
/// # Errors
/// Where they cannot be judged.
pub fn why(plan: &PlanOptions, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let (mut states, _) = states(plan, common, here, false)?;
    if !plan.goals.is_empty() {
        states.retain(|(_, goal)| *goal);
    }
    let states: Vec<State> = states.into_iter().map(|(state, _)| state).collect();
    if common.json {
        console::out(&states_json(&states, &[]));
    } else {
        let style = Style::choose(&common.color, |name| here.variable(name), here.stdout_terminal);
        let texts: Vec<String> = states.iter().map(|state| why_text(state, style)).collect();
        console::out(&texts.join("\n"));
    }
    Ok(Exit::Done)
}

fn shown_elsewhere((ticket, run, state): &GoingOn) -> serde_json::Value {
    serde_json::json!({"job": run.begun.job, "run": ticket.run, "target": ticket.target, "place": ticket.place, "state": state})
}

/// Jobs' states, each with whether it was asked for by name; and what goes on elsewhere.
type States = (Vec<(State, bool)>, Vec<GoingOn>);

/// The jobs' states, and whether each was asked for by name; and what goes on elsewhere, where that is asked for.
fn states(options: &PlanOptions, common: &Common, here: &Surroundings, elsewhere: bool) -> Result<States, CliError> {
    let loaded = project::load(common, here)?;
    let plan = loaded.plan(options, here)?;
    loaded.available(&plan)?;
    let clock = SystemClock::new();
    let parts = Parts::new(&loaded, &plan, here, &clock)?;
    let history = parts.history(false);
    let work = Work::new(&plan, &loaded.project);
    let judged = inspect::inspect(work, &parts.world(), &history, false, &mut Teller::new(&clock, &mut []))
        .map_err(|error| assemble::engine_error(error, &loaded, &plan))?;
    let places = Places::new(&loaded.project, &plan, &loaded.source);
    let elsewhere = if elsewhere { super::elsewhere::going_on(&loaded, &history, here)? } else { Vec::new() };
    let states: Result<Vec<_>, CliError> = judged
        .into_iter()
        .map(|judged| {
            let job = &plan.jobs[judged.job.0];
            let last = last_run(&history, &job.name.0)?;
            let place = |reason: &_| places.of(judged.job, reason);
            let state = State::new(job.name.clone(), judged.verdict, last, &place).with_trials(judged.trials);
            Ok((state, job.goal))
        })
        .collect();
    Ok((states?, elsewhere))
}

fn last_run(history: &dyn History, job: &str) -> Result<Option<LastRun>, CliError> {
    let query = Query { job: Some(job.to_owned()), limit: Some(1), ..Query::default() };
    let run = history.runs(&query)?.into_iter().next();
    Ok(run.map(|run| LastRun {
        elapsed_ms: run
            .ended
            .as_ref()
            .map(|ended| u64::try_from(ended.ended.since(run.begun.started).as_millis()).unwrap_or(u64::MAX)),
        status: run.status.name().to_owned(),
        started: run.begun.started,
        run: run.begun.run,
    }))
}
