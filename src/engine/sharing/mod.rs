//! Runs shared with others by the shared cache: what a run left goes there, what others ran comes from there.
//!
//! Called by the engine around its jobs, and by `amlrun cache`. Nothing that comes from the cache is believed: a record is
//! what it claims to be only where it digests to what was asked for, every object is checked against its digest before it
//! is stored, and a tree is looked through (`check`) before any run may stand on it. What is refused is a miss. A cache that
//! cannot be asked costs time, never a result.
//!
//! - `record`: a run as it stands in the cache; `check`: what may come from there;
//! - `closure`: all objects that a run consists of; `push`: there; `bring`: objects from there; `pull`: a run from there;
//! - `line`: the threads beside the engine, and what it does with their answers; `by_hand`: without it;
//! - `upkeep`: the cache looked through and cleaned up.

pub mod bring;
pub mod by_hand;
pub mod check;
pub mod closure;
pub mod line;
pub mod pull;
pub mod push;
pub mod record;
#[cfg(test)]
mod tests;
pub mod upkeep;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::cache::Fault;
use crate::cache::breaker::Guarded;
use crate::cache::known::Known;
use crate::digest::{Digest, Sealer};

/// So many requests are under way at once.
pub const AT_ONCE: usize = 8;

/// The shared cache of an invocation.
#[derive(Debug)]
pub struct Sharing {
    /// The cache.
    pub remote: Guarded,
    /// Whether results are put into it.
    pub writes: bool,
    /// What signs records, where `AMLRUN_CACHE_KEY` is set.
    sealer: Option<Sealer>,
    known: OnceLock<Mutex<Known>>,
    /// Where what is known is remembered.
    state: Option<PathBuf>,
    /// Packs that were seen to be there in this invocation.
    vouched: Mutex<BTreeSet<Digest>>,
    /// Packs whose bytes were found to be wrong: they are replaced by the next push.
    wrong: Mutex<BTreeSet<Digest>>,
    /// Records that were found to stand on what is damaged or gone, by their names: they are replaced by the next push.
    damaged: Mutex<BTreeSet<Digest>>,
    /// Nothing more is brought: this machine's own disk refuses.
    stuck: AtomicBool,
    refused: AtomicUsize,
    warnings: Mutex<Vec<String>>,
}

impl Sharing {
    /// Shares by this cache. `state` is the workspace's `.amlrun`, where what is
    /// known of the cache is remembered; `key` is the text of `AMLRUN_CACHE_KEY`. Nothing is read
    /// or sent before it is used.
    #[must_use]
    pub fn new(remote: Guarded, writes: bool, key: Option<&str>, state: Option<&Path>) -> Self {
        Self {
            remote,
            writes,
            sealer: key.map(|key| Sealer::new("amlrun cache record 1", key.as_bytes())),
            known: OnceLock::new(),
            state: state.map(Path::to_owned),
            vouched: Mutex::default(),
            damaged: Mutex::default(),
            wrong: Mutex::default(),
            stuck: AtomicBool::new(false),
            refused: AtomicUsize::new(0),
            warnings: Mutex::default(),
        }
    }

    /// Whether anything can be had from it.
    #[must_use]
    pub fn reads(&self) -> bool {
        !self.remote.is_closed() && !self.stuck.load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let load = || {
            let name = Digest::of(self.remote.address().as_bytes()).short();
            let state = self.state.as_ref();
            Mutex::new(state.map_or_else(Known::new, |state| Known::load(&state.join("cache-v1").join(name))))
        };
        self.known.get_or_init(load).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vouched(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.vouched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pack does not hold what it should: it is not relied on any more.
    fn distrust(&self, pack: &Digest) {
        self.known().forget(pack);
        self.vouched().remove(pack);
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).insert(*pack);
    }

    fn is_wrong(&self, pack: &Digest) -> bool {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).contains(pack)
    }

    fn is_damaged(&self, record: &Digest) -> bool {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).contains(record)
    }

    fn set_damaged(&self, record: Digest) {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).insert(record);
    }

    /// Something was refused: the first time it is told.
    fn refuse(&self, what: &str, why: &str) {
        if self.refused.fetch_add(1, Ordering::Relaxed) == 0 {
            self.warn(format!("what the cache {} holds for {what} is not used: {why}", self.remote.address()));
        }
    }

    /// Runs could not be shared. That the cache was given up it has said itself.
    fn not_pushed(&self, why: &bring::Stopped) {
        if !matches!(why, bring::Stopped::Remote(fault) if !matches!(fault, Fault::Wrong(_))) {
            self.warn(format!("not put into the cache {}: {why}", self.remote.address()));
        }
    }

    /// This machine cannot take what comes: told once.
    fn give_up_reading(&self, why: &str) {
        if !self.stuck.swap(true, Ordering::Relaxed) {
            self.warn(format!("nothing more is taken from the cache {}: {why}", self.remote.address()));
        }
    }

    pub(super) fn warn(&self, text: String) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// What the user should know since this was last asked.
    pub fn warnings(&self) -> Vec<String> {
        let mut all = self.remote.warnings();
        all.append(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        all
    }

    /// Keeps what was learnt of the cache for the next invocation.
    pub fn save(&self) {
        if let Some(known) = self.known.get() {
            known.lock().unwrap_or_else(PoisonError::into_inner).save();
        }
    }

    /// How much was refused so far.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Does something for each of some things, [`AT_ONCE`] at a time. After a failure no more is begun; it is the answer.
///
/// # Errors
/// The first failure.
pub(super) fn each<T: Sync, E: Send>(all: &[T], act: impl Fn(&T) -> Result<(), E> + Sync) -> Result<(), E> {
    if let [one] = all {
        return act(one);
    }
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..all.len().min(AT_ONCE) {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = act(one) {
                        next.store(all.len(), Ordering::Relaxed);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        return;
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
