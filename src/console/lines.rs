//! The plain face, for pipes and CI: a line a fact, in a stable format, written in large pieces.

use std::fmt::Write as _;
use std::io::Write;

use crate::event::{Event, Listener, Stamped, Summary};
use crate::launch::Outcome;

use super::telling::{Options, Teller};
use super::words;

/// Written at once.
const PIECE: usize = 32 * 1024;

/// The listener. Writes when a piece is full, on every tick, after a failure and at the end.
pub struct Lines {
    teller: Teller,
    buffer: String,
    to: Option<Box<dyn Write>>,
}

impl Lines {
    /// Lines to a stream. When nobody reads it any more, the lines are dropped and the work goes on.
    #[must_use]
    pub fn new(to: Box<dyn Write>, options: Options) -> Self {
        Self { teller: Teller::new(options), buffer: String::new(), to: Some(to) }
    }

    fn flush(&mut self) {
        if let Some(to) = &mut self.to
            && !self.buffer.is_empty()
            && to.write_all(self.buffer.as_bytes()).and_then(|()| to.flush()).is_err()
        {
            self.to = None;
        }
        self.buffer.clear();
    }
}

impl Listener for Lines {
    fn hear(&mut self, event: &Stamped) {
        self.teller.tell(event, &mut self.buffer);
        let urgent = match &event.event {
            Event::InvocationFinished { .. } | Event::EnvironmentFailed { .. } | Event::EnvironmentStarted { .. } => {
                true
            }
            Event::JobFinished { outcome, .. } => *outcome != Outcome::Succeeded,
            _ => false,
        };
        if urgent || self.buffer.len() >= PIECE {
            self.flush();
        }
    }

    fn tick(&mut self) {
        self.flush();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.flush();
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("teller", &self.teller).finish_non_exhaustive()
    }
}

/// The last line: what an invocation came to, in counts; `up to date` where nothing ran.
pub fn last_line(to: &mut String, summary: &Summary, dry_run: bool) {
    let s = summary;
    let idle =
        [s.ran, s.failed, s.skipped, s.canceled, s.detached, s.would_run, s.may_run, s.trials_failed, s.trials_stopped]
            .iter()
            .all(|n| *n == 0);
    if s.interrupted {
        to.push_str("interrupted: ");
    }
    if idle && !s.interrupted {
        let _ = write!(to, "up to date ({}", words::count(s.fresh + s.restored, "job"));
        if s.restored > 0 {
            let _ = write!(to, ", {} {}", s.restored, if dry_run { "to restore" } else { "restored" });
        }
        to.push_str(")\n");
        return;
    }
    let restored = if dry_run { "to restore" } else { "restored" };
    let counts = [
        (s.would_run, "would run"),
        (s.may_run, "may run"),
        (s.ran, "ran"),
        (s.restored, restored),
        (s.fresh, "fresh"),
        (s.trials_failed, if s.trials_failed == 1 { "trial failed" } else { "trials failed" }),
        (s.trials_stopped, if s.trials_stopped == 1 { "trial stopped" } else { "trials stopped" }),
        (s.failed, "failed"),
        (s.skipped, "skipped"),
        (s.canceled, "canceled"),
        (s.detached, "detached"),
    ];
    let mut first = true;
    for (n, word) in counts.into_iter().filter(|(n, _)| *n > 0) {
        let _ = write!(to, "{}{n} {word}", if first { "" } else { ", " });
        first = false;
    }
    if first {
        to.push_str("nothing ran");
    }
    if !dry_run {
        to.push_str(" in ");
        words::push_duration(to, s.elapsed_ms);
    }
    to.push('\n');
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
