//! `amlrun sweep`: the sweeps on record, and what becomes of those that go on.
//!
//! `list`, `show` and `best` need `.amlrun` alone and only read; `resume` is a run; `cancel` leaves a word for the
//! invocation that carries the sweep out, which may be another process.

mod show;

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::runs::record::number;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, RunOptions, SweepCommand};
use crate::cli::project::find_root;
use crate::cli::surroundings::Surroundings;
use crate::clock::{Clock, SystemClock};
use crate::console::table::{Cell, Table};
use crate::console::{self, Style, json, words};
use crate::engine::locks::Locks;
use crate::engine::sweeping::cancel_file;
use crate::history::sqlite::SqliteHistory;
use crate::history::sweeps::{Sweep, SweepState, Trial, TrialState, encode};
use crate::history::{Entry, History};

/// Carries out `amlrun sweep …`.
///
/// # Errors
/// Where there is no such sweep, or the world says no.
pub fn run(command: &SweepCommand, options: &RunOptions, here: &Surroundings) -> Result<Exit, CliError> {
    let common = &options.common;
    let desk = Desk::open(common, here)?;
    match command {
        SweepCommand::List { job } => desk.list(job.as_deref()),
        SweepCommand::Show { sweep } => show::show(&desk, &desk.found(sweep.as_deref())?),
        SweepCommand::Best { sweep } => show::best(&desk, &desk.found(sweep.as_deref())?),
        SweepCommand::Cancel { sweep } => desk.cancel(&desk.found(sweep.as_deref())?),
        SweepCommand::Resume { sweep } => {
            let mut options = options.clone();
            options.plan.goals = vec![desk.found(sweep.as_deref())?.job.0];
            options.resume = true;
            super::run::run(&options, here)
        }
    }
}

/// The newest sweep of all, or of this job or experiment, or the one whose identity begins with this.
pub(super) fn found(sweeps: &[Sweep], name: Option<&str>) -> Result<Sweep, CliError> {
    let Some(name) = name else {
        return sweeps.first().cloned().ok_or_else(|| CliError::nothing("no sweep is on record"));
    };
    let by_name = sweeps.iter().find(|sweep| sweep.job.0 == name || sweep.experiment == name);
    let mut by_id = sweeps.iter().filter(|sweep| !name.is_empty() && sweep.id.starts_with(name));
    match (by_name, by_id.next(), by_id.next()) {
        (Some(found), ..) | (None, Some(found), None) => Ok(found.clone()),
        (None, Some(_), Some(_)) => Err(CliError::usage(format!("several sweeps begin with {}", words::name(name)))),
        (None, None, _) => Err(CliError::nothing(format!("no sweep {} is on record", words::name(name)))
            .hint("`amlrun sweep list` shows those that are")),
    }
}

/// The trials of a sweep that count: not those beyond `max_trials` where that was lowered.
pub(super) fn trials(history: &dyn History, sweep: &Sweep) -> Result<Vec<Trial>, CliError> {
    let mut trials = history.trials(&sweep.id)?;
    trials.retain(|trial| sweep.max_trials.is_none_or(|most| trial.number < most));
    Ok(trials)
}

/// What the commands work with.
struct Desk {
    state: PathBuf,
    history: SqliteHistory,
    style: Style,
    json: bool,
}

impl Desk {
    fn open(common: &Common, here: &Surroundings) -> Result<Self, CliError> {
        let state = find_root(common, here)?.join(".amlrun");
        Ok(Self {
            history: SqliteHistory::open(&state.join("history.db"), false),
            state,
            style: Style::choose(&common.color, |name| here.variable(name), here.stdout_terminal),
            json: common.json,
        })
    }

    fn found(&self, name: Option<&str>) -> Result<Sweep, CliError> {
        found(&self.history.sweeps()?, name)
    }

    fn trials(&self, sweep: &Sweep) -> Result<Vec<Trial>, CliError> {
        trials(&self.history, sweep)
    }

    /// Whether an invocation carries it out right now.
    fn goes_on(&self, sweep: &Sweep) -> bool {
        sweep.state == SweepState::Running && Locks::new(&self.state).held_elsewhere(&sweep.key)
    }

    fn state_of(&self, sweep: &Sweep) -> &'static str {
        match sweep.state {
            SweepState::Running if !self.goes_on(sweep) => "interrupted",
            state => state.name(),
        }
    }

    fn list(&self, job: Option<&str>) -> Result<Exit, CliError> {
        let mut sweeps = self.history.sweeps()?;
        sweeps.retain(|sweep| job.is_none_or(|job| sweep.job.0 == job || sweep.experiment == job));
        let mut table = Table::new(&["SWEEP", "JOB", "STATE", "STARTED", ">TRIALS", "BEST"]);
        let mut all = Vec::new();
        for sweep in &sweeps {
            let trials = self.trials(sweep)?;
            all.push(self.json_of(sweep, &trials));
            let best = best_of(sweep, &trials).map(|best| format!("{} = {}", sweep.metric, objective(best)));
            table.row([
                Cell::from(sweep.id.get(..8).unwrap_or(&sweep.id)),
                Cell::from(&sweep.job.0),
                Cell::from(self.state_of(sweep)),
                Cell::from(sweep.started.to_string()),
                Cell::from(trials.len().to_string()),
                Cell::from(best.as_deref().unwrap_or("-")),
            ]);
        }
        if self.json {
            console::out(&json::document(&all));
        }
        if sweeps.is_empty() {
            return Err(CliError::nothing("no sweep is on record"));
        }
        if !self.json {
            console::out(&table.render(self.style, console::terminal::out_width()));
        }
        Ok(Exit::Done)
    }

    /// The wire form of a sweep, without its trials.
    fn json_of(&self, sweep: &Sweep, trials: &[Trial]) -> Json {
        let count = |state: TrialState| trials.iter().filter(|trial| trial.state == state).count();
        json!({
            "sweep": sweep.id,
            "job": sweep.job,
            "experiment": sweep.experiment,
            "state": self.state_of(sweep),
            "why": sweep.why,
            "sampling": sweep.sampling,
            "metric": sweep.metric,
            "goal": if sweep.maximize { "maximize" } else { "minimize" },
            "max_trials": sweep.max_trials,
            "started": sweep.started,
            "ended": sweep.ended,
            "run": sweep.run,
            "counts": {
                "trials": trials.len(),
                "completed": count(TrialState::Completed),
                "failed": count(TrialState::Failed),
                "stopped": count(TrialState::Stopped),
                "running": count(TrialState::Running),
                "proposed": count(TrialState::Proposed),
                "cached": trials.iter().filter(|trial| trial.cached).count(),
            },
            "best": best_of(sweep, trials).map(trial_json),
        })
    }

    fn cancel(&self, sweep: &Sweep) -> Result<Exit, CliError> {
        let short = sweep.id.get(..8).unwrap_or(&sweep.id).to_owned();
        if sweep.state != SweepState::Running {
            return Err(CliError::nothing(format!("sweep {short} is {} already", sweep.state.name())));
        }
        if self.goes_on(sweep) {
            let file = cancel_file(&self.state, &sweep.id);
            let write = || std::fs::create_dir_all(file.parent().unwrap_or(&self.state)).and_then(|()| touch(&file));
            write().map_err(|error| CliError::world(format!("could not write {}: {error}", file.display())))?;
            console::err(&format!("sweep {short} of {} is asked to end", sweep.job));
        } else {
            let mut sweep = sweep.clone();
            sweep.state = SweepState::Canceled;
            sweep.why = Some("it was canceled".to_owned());
            sweep.ended = Some(SystemClock::new().now());
            let mut history = SqliteHistory::open(&self.state.join("history.db"), true);
            history.record(&[Entry::Sweep(Box::new(sweep.clone()))])?;
            console::err(&format!("sweep {short} of {} is canceled; `amlrun sweep resume` goes on with it", sweep.job));
        }
        Ok(Exit::Done)
    }
}

fn touch(file: &std::path::Path) -> std::io::Result<()> {
    std::fs::File::create(file).map(drop)
}

/// The best trial: the one that is on record as such, or of those that are over so far.
pub(super) fn best_of<'t>(sweep: &Sweep, trials: &'t [Trial]) -> Option<&'t Trial> {
    if let Some(best) = sweep.best {
        return trials.iter().find(|trial| trial.number == best);
    }
    let valued = trials
        .iter()
        .filter(|trial| trial.state == TrialState::Completed)
        .filter_map(|trial| Some((trial, trial.objective?)));
    let is_better = |a: f64, b: f64| if sweep.maximize { a > b } else { a < b };
    valued.reduce(|best, next| if is_better(next.1, best.1) { next } else { best }).map(|(trial, _)| trial)
}

/// The metric that a trial came to, as people read it.
fn objective(trial: &Trial) -> String {
    let last = || trial.logged.last().map(|value| if value.is_nan() { "NaN".to_owned() } else { value.to_string() });
    trial.objective.map(number).or_else(last).unwrap_or_else(|| "-".to_owned())
}

/// The wire form of a trial.
fn trial_json(trial: &Trial) -> Json {
    let finite = |value: &f64| if value.is_finite() { json!(value) } else { json!(value.to_string()) };
    let values: serde_json::Map<String, Json> = trial
        .values
        .iter()
        .map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default()))
        .collect();
    json!({
        "number": trial.number,
        "job": trial.job,
        "state": trial.state,
        "objective": trial.objective,
        "logged": trial.logged.iter().map(finite).collect::<Vec<_>>(),
        "cached": trial.cached,
        "run": trial.run,
        "values": values,
        "as_written": encode(&trial.values),
        "why": trial.why,
        "proposed": trial.proposed,
        "ended": trial.ended,
    })
}
