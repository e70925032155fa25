//! The command line: argv to a request, ports to a world, outcome to an exit code.
//!
//! Called by `main` alone. Nothing below may read the process's surroundings: `surroundings.rs` does, once.

pub mod commands;
pub mod error;
pub mod exit;
pub mod options;
pub mod surroundings;

use std::process::ExitCode;

/// Reads the surroundings, does what the command line says, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
