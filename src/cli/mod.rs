//! The command line: argv to a request, ports to a world, outcome to an exit code.
//!
//! Called by `main` alone. Nothing below may read the process's surroundings: `surroundings.rs` does, once.

pub mod assemble;
pub mod commands;
pub mod earlier;
pub mod error;
pub mod exit;
pub mod model_commands;
pub mod options;
pub mod project;
pub mod report;
pub mod shared;
pub mod subcommands;
pub mod surroundings;

use std::process::ExitCode;

use clap::Parser;

use self::commands as command;
use self::error::CliError;
use self::exit::Exit;
use self::options::{Cli, Command};
use self::surroundings::Surroundings;
use crate::console;
use crate::target::watchdog;

/// Reads the surroundings, does what the command line says, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let here = Surroundings::read();
    if here.argv.get(1).is_some_and(|word| word == watchdog::ARGUMENT) {
        watchdog::watch(&here.argv.get(2).map(|word| word.to_string_lossy()).unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let cli = match Cli::try_parse_from(&here.argv) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render();
            let text = if here.terminal { text.ansi().to_string() } else { text.to_string() };
            if error.use_stderr() {
                console::err(&text);
            } else {
                console::out(&text);
            }
            return ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { Exit::Done.code() });
        }
    };
    let exit = match dispatch(&cli, &here) {
        Ok(exit) => exit,
        Err(error) => {
            tell(&error);
            error.exit
        }
    };
    if let Some(trouble) = console::out_trouble() {
        console::err(&format!("error: {trouble}"));
        return ExitCode::from(Exit::World.code());
    }
    ExitCode::from(exit.code())
}

fn dispatch(cli: &Cli, here: &Surroundings) -> Result<Exit, CliError> {
    let common = &cli.run.common;
    if let (Some(_), Some(option)) = (&cli.command, cli.run.first_of_its_own()) {
        return Err(CliError::usage(format!("`{option}` belongs to a run, not to this command")));
    }
    match &cli.command {
        None => command::run::run(&cli.run, here),
        Some(Command::Status { plan, exit_code }) => command::status::status(plan, *exit_code, common, here),
        Some(Command::Env(command)) => command::env::run(command, common, here),
        Some(Command::Cache { command }) => command::cache::run(command, common, here),
        Some(Command::Why { plan }) => command::status::why(plan, common, here),
        Some(Command::Runs(command)) => command::runs::run(command, common, here),
        Some(Command::Models(command)) => command::models::run(command, common, here),
        Some(Command::Sweep(command)) => command::sweep::run(command, &cli.run, here),
        Some(Command::Snapshot(command)) => command::snapshot::run(command, common, here),
        Some(Command::Gc(options)) => command::gc::run(options, common, here),
        Some(Command::Import { paths, check }) => command::import::run(paths, *check, common, here),
        Some(Command::Export(options)) => command::export::run(options, common, here),
        Some(Command::Metrics(options)) => command::metrics::run(options, common, here),
        Some(Command::Plot(options)) => command::plot::run(options, common, here),
        Some(Command::Init { print }) => command::init::run(*print, common, here),
        Some(Command::Graph { plan, format }) => command::graph::run(plan, format, common, here),
        Some(Command::Attach { names }) => command::elsewhere::attach(names, &cli.run, here),
        Some(Command::Cancel { names, all: _ }) => command::elsewhere::cancel(names, common, here),
        Some(Command::Targets(command)) => command::targets::run(command, common, here),
        Some(Command::Completions { shell }) => command::completions::run(*shell),
        Some(Command::Schema) => command::schema::run(),
    }
}

/// Tells an error, unless it was told already.
fn tell(error: &CliError) {
    if error.message.is_empty() {
        return;
    }
    console::err(&format!("error: {}", error.message));
    for hint in &error.hints {
        console::err(&format!("hint: {hint}"));
    }
}
