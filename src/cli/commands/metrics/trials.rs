//! The trials of a sweep by their parameters and metrics, against those of the sweep before that had the same values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::render::{cell, escaped, headed, quoted};
use super::{Better, metrics};
use crate::cli::commands::runs::Desk;
use crate::cli::commands::runs::record::json_number;
use crate::cli::commands::sweep::{best_of, found, trials};
use crate::cli::error::CliError;
use crate::cli::options::MetricsOptions;
use crate::console::json::document;
use crate::console::style::{Paint, Style};
use crate::console::table::{Cell, Table};
use crate::console::terminal;
use crate::history::sweeps::{Sweep, Trial, TrialState};
use crate::history::{History, HistoryError, Query, Run};
use crate::ids::RunId;

/// A trial, and what it came to.
struct Row {
    trial: Trial,
    metrics: Values,
    /// The trial of the same values in the other sweep.
    was: Option<(Option<RunId>, Values)>,
}

impl Row {
    fn before(&self, name: &str) -> Option<f64> {
        self.was.as_ref()?.1.get(name).copied()
    }

    fn against(&self) -> Option<&RunId> {
        self.was.as_ref()?.0.as_ref()
    }

    fn value(&self, parameter: &str) -> String {
        let found = self.trial.values.iter().find(|(name, _)| name == parameter);
        found.map(|(_, value)| value.to_string()).unwrap_or_default()
    }

    fn state(&self) -> &'static str {
        match self.trial.state {
            TrialState::Completed if self.trial.cached => "cached",
            state => state.name(),
        }
    }
}

/// All that is shown.
struct Trials {
    sweep: Sweep,
    against: Option<Sweep>,
    /// In the order of the space.
    parameters: Vec<String>,
    /// The primary metric first.
    names: Vec<String>,
    better: BTreeMap<String, Better>,
    best: BTreeMap<String, BTreeSet<u32>>,
    rows: Vec<Row>,
}

/// The text of `amlrun metrics --trials`.
pub(super) fn text(desk: &Desk<'_>, options: &MetricsOptions, format: &str) -> Result<String, CliError> {
    let trials = gather(desk, options)?;
    Ok(match format {
        "json" => trials.json(),
        "csv" => trials.csv(),
        "markdown" => trials.markdown(),
        _ => trials.table(desk.style),
    })
}

fn gather(desk: &Desk<'_>, options: &MetricsOptions) -> Result<Trials, CliError> {
    let history = &desk.history;
    let sweeps = history.sweeps()?;
    let ([] | [_]) = options.jobs.as_slice() else {
        return Err(CliError::usage("`--trials` shows one sweep").hint("name one job, or the beginning of an identity"));
    };
    let sweep = found(&sweeps, options.jobs.first().map(String::as_str))?;
    let against = match &options.against {
        Some(name) => Some(found(&sweeps, Some(name))?),
        None => sweeps.iter().skip_while(|other| other.id != sweep.id).skip(1).find(|s| s.job == sweep.job).cloned(),
    };
    let before = match &against {
        Some(against) => came_to(history, against)?,
        None => Vec::new(),
    };
    let same = |trial: &Trial| before.iter().find(|(other, _)| other.values == trial.values);
    let rows: Vec<Row> = came_to(history, &sweep)?
        .into_iter()
        .map(|(trial, metrics)| {
            let was = same(&trial).map(|(other, metrics)| (other.run.clone(), metrics.clone()));
            Row { trial, metrics, was }
        })
        .collect();
    let mut parameters: Vec<String> = Vec::new();
    for (name, _) in rows.iter().flat_map(|row| &row.trial.values) {
        if !parameters.contains(name) {
            parameters.push(name.clone());
        }
    }
    let others: BTreeSet<&String> = rows.iter().flat_map(|row| row.metrics.keys()).collect();
    let mut names = vec![sweep.metric.clone()];
    names.extend(others.into_iter().filter(|name| **name != sweep.metric).cloned());
    names.retain(|name| options.metrics.is_empty() || options.metrics.contains(name));
    let mut better: BTreeMap<String, Better> =
        names.iter().filter_map(|name| Some((name.clone(), Better::of(name, options)?))).collect();
    if let Some(own) = names.iter().find(|name| **name == sweep.metric) {
        better.insert(own.clone(), if sweep.maximize { Better::Larger } else { Better::Smaller });
    }
    let mut best: BTreeMap<String, BTreeSet<u32>> =
        better.iter().map(|(name, better)| (name.clone(), not_beaten(&rows, name, *better))).collect();
    // Of the primary metric it is the one that the sweep publishes: of several, the first.
    let all: Vec<Trial> = rows.iter().map(|row| row.trial.clone()).collect();
    best.insert(sweep.metric.clone(), best_of(&sweep, &all).map(|best| best.number).into_iter().collect());
    Ok(Trials { sweep, against, parameters, names, better, best, rows })
}

/// What a trial came to, by metric.
type Values = BTreeMap<String, f64>;

/// The trials of a sweep, each with the metrics of its run; the primary metric as the sweep judged it, by its best value.
fn came_to(history: &dyn History, sweep: &Sweep) -> Result<Vec<(Trial, Values)>, CliError> {
    let query = Query { job: Some(sweep.experiment.clone()), ..Query::default() };
    let runs: BTreeMap<RunId, Run> =
        history.runs(&query)?.into_iter().map(|run| (run.begun.run.clone(), run)).collect();
    let mut all = Vec::new();
    for trial in trials(history, sweep)? {
        let mut values = match &trial.run {
            None => Values::new(),
            Some(id) => match runs.get(id) {
                Some(run) => metrics(run).clone(),
                // A run of another experiment that did the same.
                None => match history.run(&id.0) {
                    Ok(run) => metrics(&run).clone(),
                    Err(HistoryError::NoSuchRun(_)) => Values::new(),
                    Err(error) => return Err(error.into()),
                },
            },
        };
        values.extend(trial.objective.map(|objective| (sweep.metric.clone(), objective)));
        all.push((trial, values));
    }
    Ok(all)
}

/// The trials that ran to their end with the best value of a metric, where there are several to choose from.
fn not_beaten(rows: &[Row], name: &str, better: Better) -> BTreeSet<u32> {
    let ended = rows.iter().filter(|row| row.trial.state == TrialState::Completed);
    let values: Vec<(u32, f64)> = ended
        .filter_map(|row| Some((row.trial.number, row.metrics.get(name).copied().filter(|value| !value.is_nan())?)))
        .collect();
    let leader = values.iter().map(|(_, value)| *value).reduce(|a, b| if better.prefers(b, a) { b } else { a });
    let Some(leader) = leader.filter(|_| values.len() > 1) else { return BTreeSet::new() };
    values.into_iter().filter(|(_, value)| !better.prefers(leader, *value)).map(|(number, _)| number).collect()
}

impl Trials {
    fn is_best(&self, row: &Row, name: &str) -> bool {
        self.best.get(name).is_some_and(|best| best.contains(&row.trial.number))
    }

    fn head(&self, name: &str) -> String {
        headed(name, self.better.get(name).copied())
    }

    fn table(&self, style: Style) -> String {
        let mut heads: Vec<String> = [">TRIAL", "STATE", "RUN"].map(str::to_owned).to_vec();
        heads.extend(self.against.as_ref().map(|_| "AGAINST".to_owned()));
        heads.extend(self.parameters.iter().cloned());
        heads.extend(self.names.iter().map(|name| format!(">{}", self.head(name))));
        let mut table = Table::new(&heads);
        for row in &self.rows {
            let run = row.trial.run.as_ref().map_or("-", RunId::short);
            let mut cells: Vec<Cell> = vec![row.trial.number.to_string().into(), row.state().into(), run.into()];
            cells.extend(self.against.as_ref().map(|_| Cell::from(row.against().map_or("", RunId::short))));
            cells.extend(self.parameters.iter().map(|name| Cell::from(row.value(name))));
            cells.extend(self.names.iter().map(|name| {
                let best = self.is_best(row, name);
                let text = row.metrics.get(name).map(|value| cell(*value, row.before(name), best));
                let text = text.unwrap_or_default();
                if best { Cell::painted(text, Paint::Good) } else { text.into() }
            }));
            table.row(cells);
        }
        table.render(style, terminal::out_width())
    }

    fn markdown(&self) -> String {
        let mut text = String::from("| trial | state |");
        let heads = self.parameters.iter().cloned().chain(self.names.iter().map(|name| self.head(name)));
        for head in heads {
            let _ = write!(text, " {} |", escaped(&head));
        }
        text.push_str("\n| ---: | --- |");
        text.push_str(&" --- |".repeat(self.parameters.len()));
        text.push_str(&" ---: |".repeat(self.names.len()));
        text.push('\n');
        for row in &self.rows {
            let _ = write!(text, "| {} | {} |", row.trial.number, row.state());
            for name in &self.parameters {
                let _ = write!(text, " {} |", escaped(&row.value(name)));
            }
            for name in &self.names {
                let shown = row.metrics.get(name).map(|value| cell(*value, row.before(name), false));
                let shown = shown.unwrap_or_default();
                let shown = if self.is_best(row, name) { format!("**{shown}**") } else { shown };
                let _ = write!(text, " {shown} |");
            }
            text.push('\n');
        }
        text
    }

    /// One line a trial and metric, with the parameters beside it: every digit, no cell that is two things.
    fn csv(&self) -> String {
        let mut text = String::from("trial,state,run,");
        for name in &self.parameters {
            let _ = write!(text, "{},", quoted(&format!("params.{name}")));
        }
        text.push_str("metric,value,against,was,best\n");
        for row in &self.rows {
            let run = row.trial.run.as_ref().map_or("", |run| run.0.as_str());
            let mut about = format!("{},{},{run},", row.trial.number, row.state());
            for name in &self.parameters {
                let _ = write!(about, "{},", quoted(&row.value(name)));
            }
            let against = row.against().map_or("", |run| run.0.as_str());
            for name in &self.names {
                // A trial without metrics has a line all the same: it was proposed.
                let Some(value) = row.metrics.get(name) else {
                    if row.metrics.is_empty() && *name == self.sweep.metric {
                        let _ = writeln!(text, "{about}{},,{against},,false", quoted(name));
                    }
                    continue;
                };
                let was = row.before(name).map(|was| was.to_string()).unwrap_or_default();
                let best = self.is_best(row, name);
                let _ = writeln!(text, "{about}{},{value},{against},{was},{best}", quoted(name));
            }
        }
        text
    }

    fn json(&self) -> String {
        let trial = |row: &Row| {
            let shown = self.names.iter().filter_map(|name| {
                let (value, was) = (*row.metrics.get(name)?, row.before(name).map(json_number));
                let best = self.is_best(row, name);
                Some((name.clone(), json!({ "value": json_number(value), "was": was, "best": best })))
            });
            let params = row.trial.values.iter();
            let params = params.map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default()));
            json!({
                "number": row.trial.number,
                "state": row.trial.state,
                "cached": row.trial.cached,
                "job": row.trial.job,
                "run": row.trial.run,
                "against": row.against(),
                "params": params.collect::<Map<String, Json>>(),
                "metrics": shown.collect::<Map<String, Json>>(),
            })
        };
        document(&json!({
            "sweep": self.sweep.id,
            "job": self.sweep.job,
            "metric": self.sweep.metric,
            "goal": if self.sweep.maximize { "maximize" } else { "minimize" },
            "against": self.against.as_ref().map(|against| &against.id),
            "trials": self.rows.iter().map(trial).collect::<Vec<_>>(),
        }))
    }
}
