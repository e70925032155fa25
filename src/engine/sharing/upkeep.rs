//! The shared cache looked through and cleaned up, by `amlrun cache verify --shared` and `amlrun cache gc`.
//!
//! Both need a cache that can list what it holds. What is removed is what nobody can use, or what nobody needs: a record is
//! removed before the packs that it stands on, so that no reader finds one without the other for longer than it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::record::{Record, Refused};
use super::{Sharing, each};
use crate::cache::{Fault, Kind, Listed, Name, Remote as _};
use crate::digest::Digest;

/// Packs younger than this stay: a push may be about to name them.
const GRACE: Duration = Duration::from_hours(24);

/// What was found wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Wrong {
    /// Which blob.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// What came of looking a cache through.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verified {
    /// Records that were read.
    pub records: usize,
    /// Packs that were read.
    pub packs: usize,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// What cannot be used.
    pub wrong: Vec<Wrong>,
    /// Whether that was removed.
    pub removed: bool,
}

/// Reads and hashes every pack, then every record and whether all that it stands on is there. With `clears`, what nobody can
/// use is removed, so that the next push brings it anew. `tell` hears of bytes done and in all.
///
/// # Errors
/// Where the cache cannot be listed, read or written.
pub fn verify(sharing: &Sharing, clears: bool, tell: &(dyn Fn(u64, u64) + Sync)) -> Result<Verified, Fault> {
    let remote = &sharing.remote;
    let (records, packs) = (remote.list(Kind::Record)?, remote.list(Kind::Pack)?);
    let total: u64 = packs.iter().chain(&records).map(|blob| blob.size).sum();
    let done = AtomicU64::new(0);
    let wrong: Mutex<BTreeMap<Name, String>> = Mutex::default();
    let note = |name: Name, why: String| {
        wrong.lock().unwrap_or_else(PoisonError::into_inner).insert(name, why);
    };
    let advance = |bytes: u64| tell(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
    let read = |name: &Name| match remote.get(name, None) {
        Err(Fault::Wrong(why)) => {
            note(*name, why);
            Ok(None)
        }
        got => got,
    };
    each(&packs, |pack| {
        if let Some(bytes) = read(&pack.name)?
            && Digest::of(&bytes) != pack.name.digest
        {
            note(pack.name, "its bytes are not those that it is named by".to_owned());
        }
        advance(pack.size);
        Ok(())
    })?;
    let broken: BTreeSet<Name> = wrong.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
    let there: BTreeSet<Digest> =
        packs.iter().map(|pack| pack.name).filter(|name| !broken.contains(name)).map(|name| name.digest).collect();
    each(&records, |record| {
        if let Some(bytes) = read(&record.name)? {
            match Record::decode(&bytes, &record.name.digest, sharing) {
                Ok(decoded) => {
                    let gone = decoded.packs.iter().filter(|pack| !there.contains(&pack.pack)).count();
                    if gone > 0 {
                        note(record.name, format!("{gone} of its packs are damaged or gone"));
                    }
                }
                // What is not for us to judge.
                Err(Refused::Newer | Refused::WronglySigned | Refused::Unsigned) => {}
                Err(refused) => note(record.name, refused.to_string()),
            }
        }
        advance(record.size);
        Ok(())
    })?;
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    if clears {
        let (of_records, of_packs): (Vec<Name>, Vec<Name>) = wrong.keys().partition(|name| name.kind == Kind::Record);
        each(&of_records, |name| remote.remove(name))?;
        each(&of_packs, |name| remote.remove(name))?;
    }
    Ok(Verified {
        records: records.len(),
        packs: packs.len(),
        bytes: total,
        removed: clears && !wrong.is_empty(),
        wrong: wrong.into_iter().map(|(name, why)| Wrong { name: name.to_string(), why }).collect(),
    })
}

/// What a clean-up removes, or would.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cleared {
    /// Records that are too old.
    pub records: usize,
    /// Packs that no record needs any more.
    pub packs: usize,
    /// Bytes that come back.
    pub bytes: u64,
    /// Records that stay.
    pub records_kept: usize,
    /// Bytes that stay.
    pub bytes_kept: u64,
}

/// Removes records that were written longer ago than `keep`, and packs that no other record names. `now` is the time by this
/// machine's clock; a day is allowed for a push that goes on and for clocks that differ.
///
/// # Errors
/// Where the cache cannot be listed, read or written; and where a newer amlrun uses it, whose records cannot be read.
pub fn clear(sharing: &Sharing, keep: Duration, now: SystemTime, dry_run: bool) -> Result<Cleared, Fault> {
    let remote = &sharing.remote;
    let age = |blob: &Listed| now.duration_since(blob.written).unwrap_or_default();
    // Packs first: a record that is written meanwhile names packs that are young, or that it has asked for.
    let packs = remote.list(Kind::Pack)?;
    let (kept, old): (Vec<Listed>, Vec<Listed>) = remote.list(Kind::Record)?.into_iter().partition(|r| age(r) <= keep);
    let needed: Mutex<BTreeSet<Digest>> = Mutex::default();
    each(&kept, |record| {
        let Some(bytes) = remote.get(&record.name, None)? else { return Ok(()) };
        match Record::packs_of(&bytes) {
            Ok(packs) => needed.lock().unwrap_or_else(PoisonError::into_inner).extend(packs),
            Err(Refused::Newer) => {
                return Err(Fault::Unable(
                    "a newer amlrun uses it, and what its records need cannot be told".to_owned(),
                ));
            }
            // It cannot be used by anybody, so it needs nothing.
            Err(_) => {}
        }
        Ok(())
    })?;
    let needed = needed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let goes = |pack: &&Listed| !needed.contains(&pack.name.digest) && age(pack) > GRACE;
    let gone: Vec<&Listed> = old.iter().chain(packs.iter().filter(goes)).collect();
    let cleared = Cleared {
        records: old.len(),
        packs: packs.iter().filter(goes).count(),
        bytes: gone.iter().map(|blob| blob.size).sum(),
        records_kept: kept.len(),
        bytes_kept: kept.iter().chain(packs.iter().filter(|pack| !goes(pack))).map(|blob| blob.size).sum(),
    };
    if !dry_run {
        let (of_records, of_packs): (Vec<Name>, Vec<Name>) =
            gone.iter().map(|blob| blob.name).partition(|name| name.kind == Kind::Record);
        each(&of_records, |name| remote.remove(name))?;
        each(&of_packs, |name| remote.remove(name))?;
        remote.tidy(now.checked_sub(GRACE).unwrap_or(SystemTime::UNIX_EPOCH));
    }
    Ok(cleared)
}
