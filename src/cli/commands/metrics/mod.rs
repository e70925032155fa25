//! `amlrun metrics`: jobs by metrics, against the run before or against the runs of a revision; and the trials of a sweep.
//!
//! It needs `.amlrun` alone, and only reads.

mod render;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::runs::Desk;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, MetricsOptions};
use crate::cli::project::find_root;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console;
use crate::history::{History, Query, Run, Status};
use crate::vcs;

/// A job: its last good run, and the one that it is compared with.
#[derive(Debug)]
struct Row {
    now: Run,
    was: Option<Run>,
}

impl Row {
    fn values(&self) -> &BTreeMap<String, f64> {
        metrics(&self.now)
    }

    fn before(&self, name: &str) -> Option<f64> {
        metrics(self.was.as_ref()?).get(name).copied()
    }
}

fn metrics(run: &Run) -> &BTreeMap<String, f64> {
    static NONE: BTreeMap<String, f64> = BTreeMap::new();
    run.ended.as_ref().map_or(&NONE, |ended| &ended.metrics)
}

/// Which way a metric is better; none where nobody said and its name tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    Smaller,
    Larger,
}

/// Words of a name that tell; the last one that is there decides.
const LARGER: [&str; 12] =
    ["acc", "accuracy", "auc", "auroc", "f1", "precision", "recall", "r2", "score", "map", "bleu", "iou"];
const SMALLER: [&str; 12] =
    ["loss", "error", "err", "mse", "rmse", "mae", "mape", "logloss", "perplexity", "latency", "brier", "wer"];

impl Better {
    fn of(name: &str, options: &MetricsOptions) -> Option<Self> {
        if options.maximize.iter().any(|other| other == name) {
            return Some(Self::Larger);
        }
        if options.minimize.iter().any(|other| other == name) {
            return Some(Self::Smaller);
        }
        let lower = name.to_ascii_lowercase();
        lower.split(|c: char| !c.is_ascii_alphanumeric()).rev().find_map(|word| match word {
            word if LARGER.contains(&word) => Some(Self::Larger),
            word if SMALLER.contains(&word) => Some(Self::Smaller),
            _ => None,
        })
    }

    fn prefers(self, a: f64, b: f64) -> bool {
        if self == Self::Smaller { a < b } else { a > b }
    }
}

/// All that is shown.
#[derive(Debug)]
struct Comparison {
    rows: Vec<Row>,
    names: Vec<String>,
    better: BTreeMap<String, Better>,
    /// By metric: the rows with the best value, where there are several to choose from.
    best: BTreeMap<String, BTreeSet<usize>>,
}

/// Carries out `amlrun metrics`.
///
/// # Errors
/// Where no run has metrics, or the revision is unknown.
pub fn run(options: &MetricsOptions, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let clock = SystemClock::new();
    let desk = Desk::open(find_root(common, here)?, common, here, &clock);
    let format = if common.json { "json" } else { options.format.as_str() };
    if options.trials {
        console::out(&trials::text(&desk, options, format)?);
        return Ok(Exit::Done);
    }
    let comparison = compare(&desk, options)?;
    let text = match format {
        "json" => render::json(&comparison),
        "csv" => render::csv(&comparison),
        "markdown" => render::markdown(&comparison),
        _ => render::table(&comparison, desk.style),
    };
    console::out(&text);
    for note in desk.history.notes() {
        console::err(&format!("warning: {note}"));
    }
    Ok(Exit::Done)
}

fn compare(desk: &Desk<'_>, options: &MetricsOptions) -> Result<Comparison, CliError> {
    let query = Query { status: Some(Status::Completed.name().to_owned()), ..Query::default() };
    let all = desk.history.runs(&query)?; // newest first
    let wanted = |run: &Run| {
        let named = |name: &String| run.begun.job.0 == *name || run.begun.experiment == *name;
        options.jobs.is_empty() || options.jobs.iter().any(named)
    };
    let lineage = options.against.as_deref().map(|revision| {
        vcs::lineage(&desk.root, revision).ok_or_else(|| {
            CliError::usage(format!("`{revision}` is not a revision of the git repository here"))
                .hint("a branch, a tag or a commit, as `git rev-parse` takes it")
        })
    });
    let lineage = lineage.transpose()?;
    let mut by_job: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in all.iter().filter(|run| wanted(run) && !metrics(run).is_empty()) {
        by_job.entry(&run.begun.job.0).or_default().push(run);
    }
    let mut rows: Vec<Row> = by_job
        .into_values()
        .filter_map(|runs| {
            let (now, earlier) = runs.split_first()?;
            let was = match &lineage {
                None => earlier.first().copied(),
                Some(lineage) => at(&runs, lineage),
            };
            Some(Row { now: (*now).clone(), was: was.cloned() })
        })
        .collect();
    if rows.is_empty() {
        return Err(CliError::nothing("no run with metrics is on record")
            .hint("`metrics = [\"metrics.json\"]` in an experiment names the file that its script writes"));
    }
    rows.sort_by_cached_key(|row| natural(&row.now.begun.job.0));
    let mut names: BTreeSet<&String> = rows.iter().flat_map(|row| row.values().keys()).collect();
    names.retain(|name| options.metrics.is_empty() || options.metrics.contains(name));
    let names: Vec<String> = names.into_iter().cloned().collect();
    let better: BTreeMap<String, Better> =
        names.iter().filter_map(|name| Some((name.clone(), Better::of(name, options)?))).collect();
    let best = better.iter().map(|(name, better)| (name.clone(), best(&rows, name, *better))).collect();
    Ok(Comparison { rows, names, better, best })
}

/// A key that sorts `alpha=2` before `alpha=10`: runs of digits are of one length.
pub(in crate::cli::commands) fn natural(name: &str) -> String {
    let mut key = String::new();
    let mut digits = String::new();
    for c in name.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            let _ = write!(key, "{digits:0>20}");
            digits.clear();
        }
        key.push(c);
    }
    key
}

/// The newest run of the youngest commit of the lineage that a run is recorded with; one of a clean tree comes before one
/// of a dirty tree of the same commit. The newest run of all, the first, is compared with another where its tree was
/// dirty: it is not that commit's.
fn at<'r>(runs: &[&'r Run], lineage: &[String]) -> Option<&'r Run> {
    let property = |run: &Run, name: &str| run.invocation.properties.get(name).cloned();
    lineage.iter().find_map(|commit| {
        let of = || runs.iter().filter(|run| property(run, "azureml.git.commit").as_ref() == Some(commit));
        let clean = of().find(|run| property(run, "azureml.git.dirty").as_deref() == Some("False"));
        clean.or_else(|| of().find(|run| run.begun.run != runs[0].begun.run)).copied()
    })
}

fn best(rows: &[Row], name: &str, better: Better) -> BTreeSet<usize> {
    let value = |row: &Row| row.values().get(name).copied().filter(|value| !value.is_nan());
    let values: Vec<(usize, f64)> = rows.iter().enumerate().filter_map(|(at, row)| Some((at, value(row)?))).collect();
    if values.len() < 2 {
        return BTreeSet::new();
    }
    let not_beaten = |value: f64| values.iter().all(|(_, other)| !better.prefers(*other, value));
    values.iter().filter(|(_, value)| not_beaten(*value)).map(|(at, _)| *at).collect()
}
