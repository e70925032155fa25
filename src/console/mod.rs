//! Faces: whatever a person or a program reads of amlrun.
//!
//! The engine's events come in as [`Stamped`] and leave as plain lines, a live view or JSON lines; `cli` prints data and
//! errors through [`out`] and [`err`]. Nothing else in the program writes to the terminal. Text and JSON are made from
//! the same values. No face may call back into the engine, and no face may fail a run: what cannot be written is lost
//! quietly.
//!
//! [`Stamped`]: crate::event::Stamped

pub mod ci;
pub mod clean;
pub mod diagnostics;
pub mod graph;
pub mod json;
pub mod lines;
pub mod places;
pub mod progress;
pub mod states;
pub mod style;
pub mod sweeps;
pub mod table;
pub mod telling;
pub mod terminal;
pub mod verdicts;
pub mod view;
pub mod words;

pub use style::Style;
pub use terminal::{err, out, out_bytes, out_trouble};

use crate::event::Listener;

/// What decides which face an invocation gets.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// Whether stderr is a terminal.
    pub terminal: bool,
    /// `--json`.
    pub json: bool,
    /// `-q`.
    pub quiet: bool,
    /// `-v`.
    pub verbose: bool,
    /// Whether lines on stderr are coloured: see [`Style::choose`].
    pub color: bool,
    /// The CI service, where this runs on one.
    pub ci: Option<ci::Service>,
    /// `-n`: the lines are the data that was asked for, so they go to stdout.
    pub dry_run: bool,
}

/// The listener for this choice: JSON lines on stdout, a live view on a terminal, else plain lines on stderr.
#[must_use]
pub fn listener(choice: Choice) -> Box<dyn Listener> {
    let options =
        telling::Options { style: Style::new(choice.color), quiet: choice.quiet, verbose: choice.verbose, live: false };
    if choice.json {
        Box::new(json::Json::new(Box::new(std::io::stdout())))
    } else if choice.dry_run {
        Box::new(lines::Lines::new(Box::new(std::io::stdout()), options))
    } else if let Some(service) = choice.ci {
        Box::new(ci::Groups::new(service, Box::new(std::io::stderr()), options))
    } else if choice.terminal && !choice.quiet {
        Box::new(progress::Progress::new(telling::Options { live: true, ..options }))
    } else {
        Box::new(lines::Lines::new(Box::new(std::io::stderr()), options))
    }
}
