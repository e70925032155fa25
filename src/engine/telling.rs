//! Stamps events and tells them to the listeners, in order.

use crate::clock::Clock;
use crate::event::{Event, Listener, Stamped};
use crate::ids::JobId;

/// Tells.
pub struct Teller<'t, 'l> {
    clock: &'t dyn Clock,
    listeners: &'t mut [&'l mut dyn Listener],
    seq: u64,
}

impl<'t, 'l> Teller<'t, 'l> {
    /// Tells these.
    pub fn new(clock: &'t dyn Clock, listeners: &'t mut [&'l mut dyn Listener]) -> Self {
        Self { clock, listeners, seq: 0 }
    }

    /// Tells an event.
    pub fn tell(&mut self, event: Event) {
        let stamped = Stamped { at: self.clock.now(), seq: self.seq, event };
        self.seq += 1;
        for listener in self.listeners.iter_mut() {
            listener.hear(&stamped);
        }
    }

    /// Tells something that stops nothing.
    pub fn warn(&mut self, job: Option<JobId>, message: impl Into<String>) {
        self.tell(Event::Warned { job, message: message.into() });
    }

    /// Time goes by.
    pub fn tick(&mut self) {
        for listener in self.listeners.iter_mut() {
            listener.tick();
        }
    }
}
