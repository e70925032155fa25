//! The live face, for a terminal: what goes on in a few lines that are redrawn, what is over in lines that stay above
//! them. The one file that knows indicatif, which keeps the cursor, the redrawing and the clearing in order.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::{Clock, SystemClock};
use crate::event::{Event, Listener, Stamped};

use super::telling::{Options, Teller};
use super::view::View;
use super::{err, terminal};

/// Between two drawings; and an invocation that takes less than this leaves the terminal alone but for its last line.
const PAUSE: Duration = Duration::from_millis(100);

/// The listener. Restores the terminal at the last event, or when dropped: drop it before telling an error.
pub struct Progress {
    options: Options,
    teller: Teller,
    view: View,
    clock: Box<dyn Clock>,
    drawn: Duration,
    frame: String,
    pending: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A view on stderr, which must be a terminal.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            teller: Teller::new(options),
            view: View::default(),
            clock: Box::new(SystemClock::new()),
            drawn: Duration::ZERO,
            frame: String::new(),
            pending: String::new(),
            bar: None,
        }
    }

    /// Draws, unless it did so a moment ago.
    fn draw(&mut self, now: Duration) {
        if now.saturating_sub(self.drawn) < PAUSE {
            return;
        }
        self.drawn = now;
        let teller = &self.teller;
        let size = terminal::size();
        let frame = self.view.frame(now, size, self.options.style, |job| teller.name(job)).join("\n");
        if !self.pending.is_empty() {
            match &self.bar {
                Some(bar) => bar.suspend(|| err(&self.pending)),
                None => err(&self.pending),
            }
            self.pending.clear();
        }
        if frame != self.frame {
            let bar = self.bar.get_or_insert_with(new_bar);
            bar.set_message(frame.clone());
            self.frame = frame;
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        err(&self.pending);
        self.pending.clear();
        self.frame.clear();
    }
}

/// One bar whose message is the whole frame, so that a frame is one drawing.
fn new_bar() -> ProgressBar {
    // More often than frames come: the pace is set above, and indicatif is not to drop the last frame of a burst.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(60));
    match ProgressStyle::with_template("{msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Listener for Progress {
    fn hear(&mut self, event: &Stamped) {
        let now = self.clock.elapsed();
        self.teller.tell(event, &mut self.pending);
        self.view.hear(&event.event, now);
        if matches!(event.event, Event::InvocationFinished { .. }) {
            self.finish();
        } else {
            self.draw(now);
        }
    }

    fn tick(&mut self) {
        let now = self.clock.elapsed();
        self.draw(now);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("view", &self.view).finish_non_exhaustive()
    }
}
