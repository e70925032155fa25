//! The port of compute targets: where a job runs.
//!
//! Called by `engine` from worker threads. A target may never touch the store, the history or the project: it runs what
//! a [`Launch`] says and mails what it sees.

pub mod agent;
pub mod command;
mod container;
pub mod fake;
mod here;
pub mod local;
pub mod log;
pub mod mask;
pub mod ray;
pub mod remote;
pub mod slurm;
pub mod spark;
pub mod ssh;
pub mod watchdog;

use crate::event::Stream;
use crate::launch::{Launch, Outcome, Usage};

/// What a target tells about a running attempt.
#[derive(Debug, Clone)]
pub enum Report {
    /// A line of output, without its line end.
    Line(Stream, String),
    /// The latest state of a line that the job draws over itself, as progress bars do. Its last one follows as a line.
    Drawn(String),
}

/// Whether the attempt shall end: asked often, from the thread that runs it.
pub trait Cancel: Send + Sync {
    /// The state of the request.
    fn state(&self) -> CancelState;
}

/// How urgently an attempt shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelState {
    /// Go on.
    Run,
    /// End gently: SIGTERM, then a kill after the grace period.
    Gently,
    /// End at once.
    Now,
}

/// A target.
pub trait Target: Send + Sync {
    /// Runs the attempt to its end on this thread.
    fn run(&self, launch: &Launch, cancel: &dyn Cancel, mail: &mut dyn FnMut(Report)) -> (Outcome, Usage);
}
