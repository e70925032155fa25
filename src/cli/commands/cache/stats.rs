//! `amlrun cache stats`: how much there is.

use serde::Serialize;

use super::{cache_error, needed};
use crate::cache::{Kind, Remote as _};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{CacheOptions, Common};
use crate::cli::surroundings::Surroundings;
use crate::console::{self, words};

#[derive(Debug, Serialize)]
struct Stats {
    cache: String,
    records: usize,
    packs: usize,
    bytes: u64,
}

pub(super) fn stats(options: &CacheOptions, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let (_, _, cache) = needed(options, common, here)?;
    let list = |kind| cache.list(kind).map_err(|fault| cache_error(&cache, &fault));
    let (records, packs) = (list(Kind::Record)?, list(Kind::Pack)?);
    let bytes = records.iter().chain(&packs).map(|blob| blob.size).sum();
    let stats = Stats { cache: cache.address().to_owned(), records: records.len(), packs: packs.len(), bytes };
    if common.json {
        console::out(&console::json::document(&stats));
    } else {
        let (runs, blobs) = (words::count(stats.records, "run"), words::count(stats.packs, "pack"));
        console::out(&format!("{}: {runs}, {blobs}, {}\n", stats.cache, words::bytes(stats.bytes)));
    }
    Ok(Exit::Done)
}
