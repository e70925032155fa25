//! `amlrun runs pin` and `unpin`: what a run left stays in the store, or may go.

use super::Desk;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::{self, json};
use crate::history::History;
use crate::history::sqlite::SqliteHistory;

pub(super) fn pin(desk: &Desk<'_>, names: &[String], pinned: bool) -> Result<Exit, CliError> {
    // All are found before any is changed.
    let runs = names.iter().map(|name| desk.run(name)).collect::<Result<Vec<_>, _>>()?;
    let mut history = SqliteHistory::open(&desk.state.join("history.db"), true);
    for run in &runs {
        history.pin(&run.begun.run, pinned)?;
    }
    if desk.json {
        let ids: Vec<&str> = runs.iter().map(|run| run.begun.run.0.as_str()).collect();
        console::out(&json::document(&serde_json::json!({ "runs": ids, "pinned": pinned })));
        return Ok(Exit::Done);
    }
    for run in &runs {
        let (short, job) = (run.begun.run.short(), &run.begun.job.0);
        let done = if pinned { "pinned" } else { "unpinned" };
        console::err(&format!("{done} run {short} of {job}"));
    }
    Ok(Exit::Done)
}
