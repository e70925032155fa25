//! `amlrun runs`: what is on record, shown, compared and brought back.
//!
//! These commands need `.amlrun` alone: they work where the Amlfile is broken or gone. All but `restore`, `pin` and `unpin` only read.

pub(super) mod change;
mod details;
pub(super) mod diff;
mod difference;
pub(super) mod files;
mod list;
mod logs;
mod mlflow;
mod pin;
pub(super) mod record;
mod restore;
mod select;
mod show;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, RunsCommand};
use crate::cli::project::find_root;
use crate::cli::surroundings::Surroundings;
use crate::clock::{Clock, SystemClock};
use crate::console::{self, Style};
use crate::engine::locks::Locks;
use crate::engine::recover::invocation_key;
use crate::history::sqlite::SqliteHistory;
use crate::history::{History, Run, Status};
use crate::store::disk::DiskStore;

use self::select::Select;

/// Carries out `amlrun runs …`.
///
/// # Errors
/// Where there is no such run, or the world says no.
pub fn run(command: &RunsCommand, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let clock = SystemClock::new();
    let desk = Desk::open(find_root(common, here)?, common, here, &clock);
    let done = match command {
        RunsCommand::List { job, status, limit, filter, sort, skip } => {
            let select = Select::new(filter.as_deref(), sort)?;
            let page = list::Page { limit: *limit, skip: *skip };
            list::list(&desk, job.as_deref(), status.as_deref(), &select, page)
        }
        RunsCommand::Show { run, patch: true, .. } => show::patch(&desk, run),
        RunsCommand::Show { run, details, .. } => show::show(&desk, run, *details),
        RunsCommand::Files { run } => files::list(&desk, run),
        RunsCommand::Download { run, files, to } => files::download(&desk, run, files, &here.cwd.join(to)),
        RunsCommand::Tag { run, tags, remove } => change::tag(&desk, run, tags, remove),
        RunsCommand::Rm { runs } => change::remove(&desk, runs),
        RunsCommand::Logs { run, follow } => logs::logs(&desk, run, *follow),
        RunsCommand::Diff { a, b } => diff::diff(&desk, a, b),
        RunsCommand::Export { mlflow: address, runs } => mlflow::export(&desk, address, runs, here),
        RunsCommand::Import { mlflow: from, runs } => mlflow::import(&desk, from, runs, here),
        RunsCommand::Pin { runs } => pin::pin(&desk, runs, true),
        RunsCommand::Unpin { runs } => pin::pin(&desk, runs, false),
        RunsCommand::Restore { run, folder, to } => match folder.as_ref().or(to.as_ref()) {
            None => restore::into_project(&desk, run, here),
            Some(folder) => restore::into_folder(&desk, run, &here.cwd.join(folder)),
        },
    };
    for note in desk.history.notes() {
        console::err(&format!("warning: {note}"));
    }
    done
}

/// What all of these commands work with.
pub(super) struct Desk<'c> {
    pub(super) root: PathBuf,
    /// `.amlrun`.
    pub(super) state: PathBuf,
    pub(super) history: SqliteHistory,
    pub(super) store: DiskStore,
    pub(super) locks: Locks,
    pub(super) clock: &'c dyn Clock,
    pub(super) json: bool,
    pub(super) style: Style,
}

impl<'c> Desk<'c> {
    pub(super) fn open(root: PathBuf, common: &Common, here: &Surroundings, clock: &'c dyn Clock) -> Self {
        let state = root.join(".amlrun");
        Self {
            history: SqliteHistory::open(&state.join("history.db"), false),
            store: DiskStore::open(&state.join("objects-v1")),
            locks: Locks::new(&state),
            clock,
            json: common.json,
            style: Style::choose(&common.color, |name| here.variable(name), here.stdout_terminal),
            root,
            state,
        }
    }

    /// The run that a text names, with its status as it is now.
    pub(super) fn run(&self, text: &str) -> Result<Run, CliError> {
        let mut run = self.history.run(text)?;
        self.look_alive(&mut run);
        Ok(run)
    }

    /// A run that goes on according to the record, but whose invocation is no more, does not respond. The next invocation
    /// that runs something puts that on record.
    fn look_alive(&self, run: &mut Run) {
        let here = || self.locks.held_elsewhere(&invocation_key(&run.begun.invocation));
        let elsewhere = || {
            let tickets = self.history.tickets(Some(&run.begun.fingerprint.digest()));
            tickets.is_ok_and(|tickets| tickets.iter().any(|(ticket, _)| ticket.run == run.begun.run))
        };
        if run.ended.is_none() && !here() && !elsewhere() {
            run.status = Status::NotResponding;
        }
    }

    /// Where the logs of a run are kept.
    fn kept(&self, run: &Run) -> PathBuf {
        self.state.join("runs").join(&run.begun.run.0)
    }

    /// A path as messages show it: relative to the workspace where it lies in there.
    fn shown(&self, path: &Path) -> String {
        console::clean::clean(&path.strip_prefix(&self.root).unwrap_or(path).display().to_string()).into_owned()
    }
}
