//! Gives a dead cache up: after the first fault that waiting does not mend, nothing more is asked of it in this invocation,
//! and what is being asked is cut short. So a cache that is gone costs its time-out once, not once per object, and the user
//! is told once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::{Created, Fault, Kind, Listed, Name, Range, Remote};

/// So many answers that make no sense are taken from a cache before it is given up.
const PATIENCE: usize = 8;

/// A cache that is given up when it is dead.
pub struct Guarded {
    remote: Box<dyn Remote>,
    address: String,
    /// Nothing is asked any more.
    closed: AtomicBool,
    /// Nothing is written any more.
    read_only: AtomicBool,
    wrong: AtomicUsize,
    warnings: Mutex<Vec<String>>,
    sent: AtomicU64,
    received: AtomicU64,
    requests: AtomicU64,
}

/// What went over the line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of blobs that were put.
    pub sent: u64,
    /// Bytes of blobs that were got.
    pub received: u64,
    /// How often the cache was asked.
    pub requests: u64,
}

impl Guarded {
    /// Guards a cache of this address.
    #[must_use]
    pub fn new(remote: Box<dyn Remote>, address: String) -> Self {
        Self {
            remote,
            address,
            closed: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            wrong: AtomicUsize::new(0),
            warnings: Mutex::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    /// Its address as it may be shown.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether nothing is asked any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether nothing is written any more.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.is_closed() || self.read_only.load(Ordering::Relaxed)
    }

    /// What went over the line so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
        }
    }

    /// What the user should know since this was last asked: at most two in an invocation, that it is given up and before that
    /// perhaps that it is only read.
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives it up without a word: the invocation is to end.
    pub fn give_up(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.remote.abandon();
    }

    fn warn(&self, what: &str, fault: &Fault) {
        let text = format!("the cache {} {what}: {fault}", self.address);
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn ask<T>(&self, writes: bool, ask: impl FnOnce(&dyn Remote) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.is_closed() || (writes && self.is_read_only()) {
            return Err(Fault::GivenUp);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = ask(&*self.remote);
        match &answer {
            Err(fault @ (Fault::Refused(_) | Fault::Full(_))) if writes => self.close_writes(fault),
            Err(fault @ (Fault::Down(_) | Fault::Refused(_) | Fault::Full(_))) => self.close(fault),
            Err(fault @ Fault::Wrong(_)) if self.wrong.fetch_add(1, Ordering::Relaxed) + 1 == PATIENCE => {
                self.close(fault);
            }
            _ => {}
        }
        answer
    }

    fn close_writes(&self, fault: &Fault) {
        if !self.read_only.swap(true, Ordering::Relaxed) && !self.is_closed() {
            self.warn("cannot be written to, nothing more is put into it", fault);
        }
    }

    fn close(&self, fault: &Fault) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.warn("cannot be used, going on without it", fault);
            self.remote.abandon();
        }
    }
}

impl std::fmt::Debug for Guarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").field("address", &self.address).field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl Remote for Guarded {
    fn get(&self, name: &Name, part: Option<Range>) -> Result<Option<Vec<u8>>, Fault> {
        let answer = self.ask(false, |remote| remote.get(name, part));
        if let Ok(Some(bytes)) = &answer {
            self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        answer
    }

    fn size(&self, name: &Name) -> Result<Option<u64>, Fault> {
        self.ask(false, |remote| remote.size(name))
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created, Fault> {
        let answer = self.ask(true, |remote| remote.create(name, bytes));
        if let Ok(Created::New) = &answer {
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        answer
    }

    fn replace(&self, name: &Name, bytes: &[u8]) -> Result<(), Fault> {
        let answer = self.ask(true, |remote| remote.replace(name, bytes));
        if answer.is_ok() {
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        answer
    }

    fn list(&self, kind: Kind) -> Result<Vec<Listed>, Fault> {
        self.ask(false, |remote| remote.list(kind))
    }

    fn remove(&self, name: &Name) -> Result<(), Fault> {
        self.ask(true, |remote| remote.remove(name))
    }

    fn tidy(&self, older: SystemTime) {
        if !self.is_read_only() {
            self.remote.tidy(older);
        }
    }

    fn abandon(&self) {
        self.give_up();
    }
}
