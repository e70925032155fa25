//! Puts runs on record, many at once: a thread of its own gathers what has happened since it looked last, makes the
//! objects durable, then the records, and only then lets go of the jobs' locks.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::locks::Locks;
use crate::digest::Digest;
use crate::history::{Entry, History};
use crate::staleness::Key;
use crate::store::Store;

/// Something to put on record, and the lock to let go of afterwards.
#[derive(Debug)]
pub struct Order {
    /// What happened.
    pub entry: Entry,
    /// The facts of its environment, remembered before it.
    pub key: Option<Key>,
    /// The job's lock.
    pub release: Option<Digest>,
}

/// The committer's address.
pub type Address = Sender<Order>;

/// A committer's address and its post.
#[must_use]
pub fn post() -> (Address, Receiver<Order>) {
    channel()
}

/// Works until the address is dropped. After a failure nothing more is recorded, so that no run stands on objects that
/// are not there; what went wrong is the answer.
///
/// # Errors
/// What kept the records from being written.
pub fn work(
    orders: &Receiver<Order>,
    history: &mut dyn History,
    store: &dyn Store,
    locks: &Locks,
    failed: &dyn Fn(),
) -> Result<(), String> {
    let mut result = Ok(());
    let mut remembered = std::collections::BTreeSet::new();
    while let Ok(first) = orders.recv() {
        let mut batch = vec![first];
        batch.extend(orders.try_iter().take(999));
        let entries: Vec<Entry> = batch.iter().map(|order| order.entry.clone()).collect();
        if result.is_ok() {
            let ends = entries.iter().any(|entry| matches!(entry, Entry::Ended(_)));
            let flushed = if ends { store.flush().map_err(|error| error.to_string()) } else { Ok(()) };
            let mut keys =
                batch.iter().filter_map(|order| order.key.as_ref()).filter(|key| remembered.insert(key.digest));
            result = flushed
                .and_then(|()| keys.try_for_each(|key| history.remember_key(key)).map_err(|error| error.to_string()))
                .and_then(|()| history.record(&entries).map_err(|error| error.to_string()));
            if result.is_err() {
                failed();
            }
        }
        for key in batch.iter().filter_map(|order| order.release.as_ref()) {
            locks.release(key);
        }
    }
    result
}
