//! `amlrun snapshot`: what a run's sources were, what they would be now and why, what differs, and a copy of them.
//!
//! `ls --explain` and `diff` against the project need an Amlfile; the others need `.amlrun` alone.

mod diff;
mod explain;
mod ls;
mod restore;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, SnapshotCommand};
use crate::cli::project::find_root;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console;
use crate::content::{Kind, encode};
use crate::digest::Digest;
use crate::history::{History, Run};

use super::runs::Desk;

/// Carries out `amlrun snapshot …`.
///
/// # Errors
/// Where there is no such run or path, or the world says no.
pub fn run(command: &SnapshotCommand, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    if let SnapshotCommand::Ls { of, explain: true } = command {
        return explain::explain(of.as_deref(), common, here);
    }
    let clock = SystemClock::new();
    let desk = Desk::open(find_root(common, here)?, common, here, &clock);
    let done = match command {
        SnapshotCommand::Ls { of, .. } => ls::ls(&desk, of.as_deref().unwrap_or_default()),
        SnapshotCommand::Diff { a, b: Some(b) } => diff::runs(&desk, a, b, common),
        SnapshotCommand::Diff { a, b: None } => diff::now(&desk, a, common, here),
        SnapshotCommand::Restore { run, folder } => restore::restore(&desk, run, &here.cwd.join(folder)),
    };
    for note in desk.history.notes() {
        console::err(&format!("warning: {note}"));
    }
    done
}

/// Whether a snapshot takes no file: such a one need not be in the store.
fn is_empty(tree: &Digest) -> bool {
    *tree == Digest::of(&encode(&[]))
}

fn lost(run: &Run) -> CliError {
    CliError::world(format!(
        "the snapshot of run {} is not whole in the store `.amlrun/objects-v1`: it was cleared away, or is damaged",
        run.begun.run.short()
    ))
    .hint("`amlrun gc` keeps what `amlrun runs pin` names")
}

/// What a kind of entry is called.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Executable => "executable",
        Kind::Link => "link",
        Kind::Folder => "folder",
    }
}
