//! `amlrun cache verify --shared` and `amlrun cache gc`.

use std::sync::Mutex;
use std::time::Duration;

use super::{cache_error, needed};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{CacheOptions, Common};
use crate::cli::surroundings::Surroundings;
use crate::clock::{Clock as _, SystemClock};
use crate::console::{self, words};
use crate::engine::sharing::upkeep;
use crate::project::model::CacheMode;

const DAY: u64 = 24 * 60 * 60;
/// Between two words of how far it has come.
const PAUSE: Duration = Duration::from_secs(5);

/// Reads and hashes all that the cache holds.
pub(super) fn verify(options: &CacheOptions, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let (loaded, chosen, _) = needed(options, common, here)?;
    let sharing = chosen.sharing(&loaded.root.join(".amlrun"));
    let clock = SystemClock::new();
    let told = Mutex::new(clock.elapsed());
    let tell = |done: u64, total: u64| {
        let Ok(mut told) = told.lock() else { return };
        if !common.quiet && clock.elapsed().saturating_sub(*told) >= PAUSE {
            *told = clock.elapsed();
            console::err(&format!("checked {} of {}", words::bytes(done), words::bytes(total)));
        }
    };
    let verified = upkeep::verify(&sharing, chosen.mode == CacheMode::ReadWrite, &tell)
        .map_err(|fault| cache_error(&sharing.remote, &fault))?;
    let clean = verified.wrong.is_empty();
    if common.json {
        console::out(&console::json::document(&verified));
    } else {
        for wrong in &verified.wrong {
            console::err(&format!("damaged: {}: {}", wrong.name, console::clean::clean(&wrong.why)));
        }
        let (runs, packs) = (words::count(verified.records, "run"), words::count(verified.packs, "pack"));
        let found = match (verified.wrong.len(), verified.removed) {
            (0, _) => "all as they should be".to_owned(),
            (n, true) => format!("{n} damaged and removed; `amlrun cache push` brings anew what is here"),
            (n, false) => format!("{n} damaged"),
        };
        console::err(&format!("checked {runs} and {packs}, {}: {found}", words::bytes(verified.bytes)));
    }
    Ok(if clean { Exit::Done } else { Exit::World })
}

/// Removes what is old, and what nothing needs.
pub(super) fn clear(
    keep_days: u64,
    dry_run: bool,
    options: &CacheOptions,
    common: &Common,
    here: &Surroundings,
) -> Result<Exit, CliError> {
    let (loaded, chosen, _) = needed(options, common, here)?;
    if chosen.mode != CacheMode::ReadWrite && !dry_run {
        return Err(super::transfer::read_only(&chosen));
    }
    let sharing = chosen.sharing(&loaded.root.join(".amlrun"));
    let keep = Duration::from_secs(keep_days.saturating_mul(DAY));
    let now = std::time::UNIX_EPOCH + Duration::from_millis(SystemClock::new().now().0);
    let cleared = upkeep::clear(&sharing, keep, now, dry_run).map_err(|fault| cache_error(&sharing.remote, &fault))?;
    if common.json {
        console::out(&console::json::document(&cleared));
        return Ok(Exit::Done);
    }
    let (runs, packs) = (words::count(cleared.records, "run"), words::count(cleared.packs, "pack"));
    let word = if dry_run { "would remove" } else { "removed" };
    let stays = words::count(cleared.records_kept, "run");
    let (back, left) = (words::bytes(cleared.bytes), words::bytes(cleared.bytes_kept));
    console::err(&format!("{word} {runs} and {packs}, {back}; {stays} with {left} stay"));
    Ok(Exit::Done)
}
