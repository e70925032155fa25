//! How a policy ends one trial: its worker is asked to, as by Ctrl-C, and nobody else is.

use std::sync::{Arc, Mutex, PoisonError};

use crate::target::{Cancel, CancelState};

/// A request to end one job, and why.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Mutex<Option<String>>>);

impl Stop {
    /// Asks for the end; the first reason stays.
    pub fn ask(&self, why: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// Why it was asked for.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Ends when all are to end, or when this one is.
pub struct Either<'c> {
    /// The invocation's.
    pub all: &'c dyn Cancel,
    /// The job's own.
    pub own: &'c Stop,
}

impl Cancel for Either<'_> {
    fn state(&self) -> CancelState {
        match self.all.state() {
            CancelState::Run if self.own.why().is_some() => CancelState::Gently,
            state => state,
        }
    }
}
