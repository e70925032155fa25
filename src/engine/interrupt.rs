//! Ctrl-C: once ends local jobs gently, twice ends them at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::target::{Cancel, CancelState};

/// Counts the requests to end.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Listens to SIGINT, SIGTERM and SIGHUP from now on.
    ///
    /// # Errors
    /// Where the system refuses the handlers.
    pub fn listen() -> std::io::Result<Self> {
        let this = Self::default();
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let count = Arc::clone(&this.0);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        })?;
        Ok(this)
    }

    /// Asks for the end, as a signal would.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether an end was asked for.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.state() != CancelState::Run
    }
}

impl Cancel for Interrupt {
    fn state(&self) -> CancelState {
        match self.0.load(Ordering::SeqCst) {
            0 => CancelState::Run,
            1 => CancelState::Gently,
            _ => CancelState::Now,
        }
    }
}
