//! The face for programs: a JSON line per event on stdout, ephemeral events too. The wire form is that of
//! [`crate::event`].

use std::io::Write;

use crate::event::{Event, Listener, Stamped};

/// Written at once.
const PIECE: usize = 64 * 1024;

/// The listener. Beginnings and ends of jobs are written at once, the rest on the next tick.
pub struct Json {
    buffer: Vec<u8>,
    to: Option<Box<dyn Write>>,
}

impl Json {
    /// JSON lines to a stream. When nobody reads it any more, the lines are dropped and the work goes on.
    #[must_use]
    pub fn new(to: Box<dyn Write>) -> Self {
        Self { buffer: Vec::new(), to: Some(to) }
    }

    fn flush(&mut self) {
        if let Some(to) = &mut self.to
            && !self.buffer.is_empty()
            && to.write_all(&self.buffer).and_then(|()| to.flush()).is_err()
        {
            self.to = None;
        }
        self.buffer.clear();
    }
}

impl Listener for Json {
    fn hear(&mut self, event: &Stamped) {
        let before = self.buffer.len();
        if serde_json::to_writer(&mut self.buffer, event).is_err() {
            // No kind of event has a key that is not text, so this cannot happen; half a line would be worse than none.
            self.buffer.truncate(before);
            return;
        }
        self.buffer.push(b'\n');
        let urgent = matches!(
            event.event,
            Event::InvocationStarted { .. }
                | Event::JobStarted { .. }
                | Event::JobFinished { .. }
                | Event::InvocationFinished { .. }
        );
        if urgent || self.buffer.len() >= PIECE {
            self.flush();
        }
    }

    fn tick(&mut self) {
        self.flush();
    }
}

impl Drop for Json {
    fn drop(&mut self) {
        self.flush();
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Json").finish_non_exhaustive()
    }
}

/// Any data as JSON, readable, for `--json` of commands that answer with one value.
#[must_use]
pub fn document(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::ids::{JobId, JobName};
    use std::cell::RefCell;
    use std::rc::Rc;

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_a_line_and_waits_for_the_next_tick() {
        let text = Shared::default();
        let mut json = Json::new(Box::new(text.clone()));
        json.hear(&Stamped {
            at: Timestamp(5),
            seq: 0,
            event: Event::JobSkipped { job: JobId(1), because: JobName("a\nb".into()), needed: true },
        });
        assert!(text.0.borrow().is_empty());
        json.tick();
        assert_eq!(
            String::from_utf8(text.0.borrow().clone()).unwrap(),
            "{\"at\":5,\"seq\":0,\"event\":{\"kind\":\"job-skipped\",\"job\":1,\"because\":\"a\\nb\",\"needed\":true}}\n"
        );
    }
}
