//! `amlrun sweep show` and `best`: one sweep with all its trials, and the best of them.

use std::fmt::Write as _;

use super::{Desk, best_of, objective, trial_json};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::style::Paint;
use crate::console::table::{Cell, Table};
use crate::console::{self, json, words};
use crate::history::sweeps::{Sweep, Trial, TrialState};

/// All of it.
pub(super) fn show(desk: &Desk, sweep: &Sweep) -> Result<Exit, CliError> {
    let trials = desk.trials(sweep)?;
    if desk.json {
        let mut all = desk.json_of(sweep, &trials);
        all["trials"] = trials.iter().map(trial_json).collect();
        console::out(&json::document(&all));
        return Ok(Exit::Done);
    }
    let goal = if sweep.maximize { "maximizes" } else { "minimizes" };
    let mut text = format!(
        "sweep {} of {}: {}, {goal} {}, {}\n",
        sweep.id.get(..8).unwrap_or(&sweep.id),
        words::name(&sweep.job.0),
        desk.state_of(sweep),
        console::clean::clean(&sweep.metric),
        sweep.sampling,
    );
    if let Some(why) = &sweep.why {
        let _ = writeln!(text, "  {}", console::clean::clean(why));
    }
    let best = best_of(sweep, &trials).map(|best| best.number);
    let mut table = Table::new(&[">TRIAL", "STATE", &format!(">{}", sweep.metric), "RUN", "VALUES", "WHY"]);
    for trial in &trials {
        let mark = if Some(trial.number) == best { " *" } else { "" };
        let (state, paint) = shown(trial);
        table.row([
            Cell::from(trial.number.to_string()),
            Cell::painted(state, paint),
            Cell::from(format!("{}{mark}", objective(trial))),
            Cell::from(trial.run.as_ref().map_or("-", crate::ids::RunId::short)),
            Cell::from(values(trial)),
            Cell::from(trial.why.as_deref().unwrap_or("")),
        ]);
    }
    text.push_str(&table.render(desk.style, console::terminal::out_width()));
    console::out(&text);
    Ok(Exit::Done)
}

/// The best trial alone, and how to run that point by hand.
pub(super) fn best(desk: &Desk, sweep: &Sweep) -> Result<Exit, CliError> {
    let trials = desk.trials(sweep)?;
    let Some(best) = best_of(sweep, &trials) else {
        return Err(CliError::nothing(format!("no trial of {} came to a number yet", words::name(&sweep.job.0))));
    };
    if desk.json {
        console::out(&json::document(&trial_json(best)));
        return Ok(Exit::Done);
    }
    let mut text = format!("{} = {}: trial {}", console::clean::clean(&sweep.metric), objective(best), best.number);
    if let Some(run) = &best.run {
        let _ = write!(text, ", run {}", run.short());
    }
    text.push('\n');
    for (name, value) in &best.values {
        let _ = writeln!(text, "  {} = {}", console::clean::clean(name), console::clean::clean(&value.to_string()));
    }
    console::out(&text);
    Ok(Exit::Done)
}

fn shown(trial: &Trial) -> (&'static str, Paint) {
    match trial.state {
        TrialState::Completed if trial.cached => ("cached", Paint::Good),
        TrialState::Completed => ("completed", Paint::Good),
        TrialState::Failed => ("failed", Paint::Bad),
        TrialState::Stopped => ("stopped", Paint::Caution),
        TrialState::Running | TrialState::Proposed => (trial.state.name(), Paint::Active),
    }
}

fn values(trial: &Trial) -> String {
    trial.values.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}
