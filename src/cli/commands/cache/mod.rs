//! `amlrun cache`: the shared cache, filled, asked and cleaned up by hand.

mod stats;
mod transfer;
mod upkeep;
mod verify;

use crate::cache::breaker::Guarded;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{CacheCommand, CacheOptions, Common};
use crate::cli::project::{self, Loaded};
use crate::cli::shared::{self, Chosen};
use crate::cli::surroundings::Surroundings;

/// Carries out `amlrun cache …`.
///
/// # Errors
/// Where there is no cache, or it says no.
pub fn run(command: &CacheCommand, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    match command {
        CacheCommand::Push { plan, cache } => transfer::push(plan, cache, common, here),
        CacheCommand::Pull { plan, cache } => transfer::pull(plan, cache, common, here),
        CacheCommand::Verify { shared: true, cache } => upkeep::verify(cache, common, here),
        CacheCommand::Verify { cache, .. } => verify::verify(cache, common, here),
        CacheCommand::Gc { keep_days, dry_run, cache } => upkeep::clear(*keep_days, *dry_run, cache, common, here),
        CacheCommand::Stats { cache } => stats::stats(cache, common, here),
    }
}

/// The project and the cache that a command means: unlike a run, it needs one.
///
/// # Errors
/// Where the Amlfile has faults, or names no cache and neither does `--cache`.
pub fn needed(
    options: &CacheOptions,
    common: &Common,
    here: &Surroundings,
) -> Result<(Loaded, Chosen, Guarded), CliError> {
    let loaded = project::load(common, here)?;
    let chosen = shared::choose(options, Some(&loaded.project.workspace), &loaded.root, here)?;
    let chosen = chosen.ok_or_else(|| {
        if options.cache.is_some() || loaded.project.workspace.cache.is_some() {
            CliError::usage("the shared cache is switched off").hint("`--cache-mode read-write` switches it on")
        } else {
            CliError::usage("there is no shared cache")
                .hint("name one: `cache = \"…\"` under `[workspace]`, or `--cache ADDRESS`")
        }
    })?;
    let cache = chosen.open();
    Ok((loaded, chosen, cache))
}

/// A fault of the cache as the command line tells it.
#[must_use]
pub fn cache_error(cache: &Guarded, fault: &crate::cache::Fault) -> CliError {
    CliError::world(format!("the cache {}: {fault}", cache.address()))
}
