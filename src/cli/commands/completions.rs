//! `amlrun completions SHELL`: a completion script on stdout.

use clap::CommandFactory;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::Cli;
use crate::console;

/// Prints the script for this shell.
///
/// # Errors
/// None.
pub fn run(shell: clap_complete::Shell) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "amlrun", &mut script);
    console::out_bytes(&script);
    Ok(Exit::Done)
}
