//! `amlrun schema`: the JSON schema of the Amlfile on stdout, for editors.

use crate::amlfile;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console;

/// Prints the schema.
///
/// # Errors
/// None.
pub fn run() -> Result<Exit, CliError> {
    console::out(&console::json::document(&amlfile::schema()));
    Ok(Exit::Done)
}
