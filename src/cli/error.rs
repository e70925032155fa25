//! Where the kinds of error meet: each becomes a message, hints and an exit code.

use super::exit::Exit;

/// What ends a command early.
#[derive(Debug)]
pub struct CliError {
    /// The exit code's meaning.
    pub exit: Exit,
    /// The message: lower case, no final period. Empty where all has been told already (diagnostics were drawn).
    pub message: String,
    /// What to do next, a line each.
    pub hints: Vec<String>,
}

impl CliError {
    /// A fault of usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hints: Vec::new() }
    }

    /// The world said no.
    pub fn world(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::World, message: message.to_string(), hints: Vec::new() }
    }

    /// Nothing matched.
    pub fn nothing(message: impl Into<String>) -> Self {
        Self { exit: Exit::NothingMatched, message: message.into(), hints: Vec::new() }
    }

    /// All has been told already.
    pub fn told(exit: Exit) -> Self {
        Self { exit, message: String::new(), hints: Vec::new() }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<crate::history::HistoryError> for CliError {
    fn from(error: crate::history::HistoryError) -> Self {
        use crate::history::HistoryError::{Ambiguous, NoSuchRun};
        match error {
            NoSuchRun(_) => Self::nothing(error.to_string()).hint("`amlrun runs list` shows all runs"),
            Ambiguous { .. } => Self::usage(error.to_string()),
            error => Self::world(error),
        }
    }
}

impl From<crate::store::StoreError> for CliError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::world(error)
    }
}

impl From<crate::tree::TreeError> for CliError {
    fn from(error: crate::tree::TreeError) -> Self {
        Self::world(error)
    }
}

impl From<crate::environment::EnvironmentError> for CliError {
    fn from(error: crate::environment::EnvironmentError) -> Self {
        Self::world(error)
    }
}
