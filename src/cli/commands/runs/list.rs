//! `amlrun runs list`.

use super::select::Select;
use super::{Desk, record};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::style::Paint;
use crate::console::table::{Cell, Table};
use crate::console::{self, json, words};
use crate::history::{History, Query, Run, Status};

/// So many metrics have room in a line.
const METRICS: usize = 3;

/// Which of the runs that were found are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// So many.
    pub(super) limit: usize,
    /// After so many that are not.
    pub(super) skip: usize,
}

pub(super) fn list(
    desk: &Desk<'_>,
    job: Option<&str>,
    status: Option<&str>,
    select: &Select,
    page: Page,
) -> Result<Exit, CliError> {
    let runs = if select.is_plain() {
        let mut runs = find(desk, job, status, page.limit.saturating_add(page.skip))?;
        drop(runs.drain(..page.skip.min(runs.len())));
        runs
    } else {
        let mut runs = find(desk, job, status, usize::MAX)?;
        select.apply(&mut runs, desk.clock.now());
        runs.into_iter().skip(page.skip).take(page.limit).collect()
    };
    let now = desk.clock.now();
    if desk.json {
        console::out(&json::document(&runs.iter().map(|run| record::summary(run, now)).collect::<Vec<_>>()));
    }
    if runs.is_empty() {
        let of = job.map(|job| format!(" of {}", words::name(job))).unwrap_or_default();
        let with = status.map(|status| format!(" with the status {}", words::name(status))).unwrap_or_default();
        let fits = if !select.is_plain() || page.skip > 0 { " that was asked for" } else { "" };
        return Err(CliError::nothing(format!("no run{of}{with}{fits} is on record")));
    }
    if desk.json {
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["RUN", "JOB", "STATUS", "STARTED", ">TIME", "METRICS"]);
    for run in &runs {
        let (job, started) = (run.begun.job.0.as_str(), run.begun.started.to_string());
        let time = words::duration(record::elapsed(run, now));
        table.row([
            Cell::from(run.begun.run.short()),
            job.into(),
            Cell::painted(run.status.name(), paint(run.status)),
            started.into(),
            time.into(),
            metrics(run).into(),
        ]);
    }
    console::out(&table.render(desk.style, console::terminal::out_width()));
    Ok(Exit::Done)
}

/// The runs asked for, newest first. Whether a run goes on is known only after a look at its invocation.
pub(super) fn find(
    desk: &Desk<'_>,
    job: Option<&str>,
    status: Option<&str>,
    limit: usize,
) -> Result<Vec<Run>, CliError> {
    let wanted = status.map(|name| {
        Status::of_name(name).ok_or_else(|| {
            let names: Vec<&str> = Status::ALL.into_iter().map(Status::name).collect();
            CliError::usage(format!("{} is not a status of a run", words::name(name)))
                .hint(format!("the statuses are {}", names.join(", ")))
        })
    });
    let wanted = wanted.transpose()?;
    let uncertain = matches!(wanted, Some(Status::Running | Status::NotResponding));
    let query = Query {
        job: job.map(ToOwned::to_owned),
        status: wanted.filter(|_| !uncertain).map(|status| status.name().to_owned()),
        limit: Some(limit).filter(|_| !uncertain),
    };
    let mut runs = desk.history.runs(&query)?;
    for run in &mut runs {
        desk.look_alive(run);
    }
    runs.retain(|run| wanted.is_none_or(|status| run.status == status));
    runs.truncate(limit);
    Ok(runs)
}

/// The first few metrics of a run.
fn metrics(run: &Run) -> String {
    let Some(ended) = &run.ended else { return String::new() };
    let shown = |(name, value): (&String, &f64)| format!("{name}={}", record::number(*value));
    let mut list: Vec<String> = ended.metrics.iter().take(METRICS).map(shown).collect();
    if ended.metrics.len() > METRICS {
        list.push("…".to_owned());
    }
    list.join(" ")
}

/// How a status is painted.
pub(super) fn paint(status: Status) -> Paint {
    match status {
        Status::Completed => Paint::Good,
        Status::Failed | Status::NotResponding => Paint::Bad,
        Status::Canceled | Status::CancelRequested => Paint::Caution,
        _ => Paint::Active,
    }
}
