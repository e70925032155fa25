//! Puts runs on record, many at once: a thread of its own gathers what has happened since it looked last, makes the
//! objects durable, then the records, and only then lets go of the jobs' locks.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::time::Duration;

use super::workers::Mail;
use super::{World, uncommitted};
use crate::clock::Clock;
use crate::digest::Digest;
use crate::history::{Entry, History};
use crate::staleness::Key;
use crate::store::Hold;

/// How long a batch is gathered: what a kill can lose of work that is done, and what another invocation may have to wait
/// beyond the end of a job.
const GATHER: Duration = Duration::from_millis(50);
/// A batch is not gathered beyond this.
const MOST: usize = 1000;

/// Something to put on record, and the lock to let go of afterwards.
#[derive(Debug)]
pub struct Order {
    /// What happened, in order: on record together or not at all.
    pub entries: Vec<Entry>,
    /// The facts of its environment, remembered before it.
    pub key: Option<Key>,
    /// The job's lock.
    pub release: Option<Digest>,
    /// Keeps the objects that the record stands on until it is on disk.
    pub hold: Hold,
    /// Who waits until it is on disk; whoever waits for what could not be recorded hears nothing.
    pub waiting: Option<Waiting>,
}

/// Who waits for a record.
#[derive(Debug)]
pub enum Waiting {
    /// A worker, before it submits.
    Worker(SyncSender<()>),
    /// The engine, which hears this by mail.
    Engine(SyncSender<Mail>, Mail),
}

impl Waiting {
    fn tell(self) {
        match self {
            Self::Worker(worker) => drop(worker.send(())),
            Self::Engine(mailbox, mail) => drop(mailbox.send(mail)),
        }
    }
}

/// The committer's address.
pub type Address = Sender<Order>;

/// A committer's address and its post.
#[must_use]
pub fn post() -> (Address, Receiver<Order>) {
    channel()
}

/// The first order and all that follow it within [`GATHER`]: a record on disk costs three syncs whether it holds one run
/// or a hundred. When the engine is done there is nothing to wait for.
fn gather(first: Order, orders: &Receiver<Order>, clock: &dyn Clock) -> Vec<Order> {
    let until = clock.elapsed() + GATHER;
    let mut batch = vec![first];
    while batch.len() < MOST && batch.last().is_none_or(|order| order.waiting.is_none()) {
        let left = until.saturating_sub(clock.elapsed());
        match orders.recv_timeout(left) {
            Ok(order) => batch.push(order),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    batch
}

/// Works until the address is dropped. After a failure nothing more is recorded, so that no run stands on objects that
/// are not there; what went wrong is the answer.
///
/// # Errors
/// What kept the records from being written.
pub fn work(
    world: &World<'_>,
    orders: &Receiver<Order>,
    history: &mut dyn History,
    failed: &dyn Fn(),
) -> Result<(), String> {
    let mut result = Ok(());
    let mut remembered = std::collections::BTreeSet::new();
    while let Ok(first) = orders.recv() {
        let mut batch = gather(first, orders, world.clock);
        let entries: Vec<Entry> = batch.iter_mut().flat_map(|order| std::mem::take(&mut order.entries)).collect();
        if result.is_ok() {
            let ends = entries.iter().any(|entry| matches!(entry, Entry::Ended(_)));
            // What began is looked for by a clearing in another process, which keeps what its sources lead to.
            let flushed = if ends { world.store.flush() } else { world.store.write_out() };
            let flushed = flushed.map_err(|error| error.to_string());
            let mut keys =
                batch.iter().filter_map(|order| order.key.as_ref()).filter(|key| remembered.insert(key.digest));
            result = flushed
                .and_then(|()| keys.try_for_each(|key| history.remember_key(key)).map_err(|error| error.to_string()))
                .and_then(|()| history.record(&entries).map_err(|error| error.to_string()));
            if result.is_err() {
                failed();
            }
        }
        if result.is_ok() {
            for entry in &entries {
                if let Entry::Ended(ended) = entry {
                    uncommitted::settle(world.state, ended);
                }
            }
            batch.iter_mut().filter_map(|order| order.waiting.take()).for_each(Waiting::tell);
        }
        for key in batch.iter().filter_map(|order| order.release.as_ref()) {
            world.locks.release(key);
        }
    }
    result
}
