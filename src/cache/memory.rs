//! The fake of the shared cache: blobs in memory, and faults on demand. For tests of the modules above.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::{Created, Fault, Kind, Listed, Name, Range, Remote};

/// Blobs in memory.
#[derive(Debug, Default)]
pub struct MemoryRemote {
    blobs: Mutex<BTreeMap<Name, Vec<u8>>>,
    fault: Mutex<Option<Fault>>,
    asked: Mutex<usize>,
}

impl MemoryRemote {
    /// One without blobs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every call fails so; or none does.
    pub fn fail(&self, fault: Option<Fault>) {
        *lock(&self.fault) = fault;
    }

    /// How many calls there were.
    pub fn asked(&self) -> usize {
        *lock(&self.asked)
    }

    /// The blobs, to be looked at and tampered with.
    pub fn blobs(&self) -> MutexGuard<'_, BTreeMap<Name, Vec<u8>>> {
        lock(&self.blobs)
    }

    fn ask(&self) -> Result<MutexGuard<'_, BTreeMap<Name, Vec<u8>>>, Fault> {
        *lock(&self.asked) += 1;
        match &*lock(&self.fault) {
            Some(fault) => Err(fault.clone()),
            None => Ok(lock(&self.blobs)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote for MemoryRemote {
    fn get(&self, name: &Name, part: Option<Range>) -> Result<Option<Vec<u8>>, Fault> {
        let blobs = self.ask()?;
        let Some(bytes) = blobs.get(name) else { return Ok(None) };
        let (from, to) = match part {
            None => (0, bytes.len()),
            Some(part) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                (place(part.from), place(part.from.saturating_add(part.length)))
            }
        };
        Ok(Some(bytes.get(from..to).unwrap_or_default().to_vec()))
    }

    fn size(&self, name: &Name) -> Result<Option<u64>, Fault> {
        Ok(self.ask()?.get(name).map(|bytes| bytes.len() as u64))
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created, Fault> {
        let mut blobs = self.ask()?;
        if blobs.contains_key(name) {
            return Ok(Created::Exists);
        }
        blobs.insert(*name, bytes.to_vec());
        Ok(Created::New)
    }

    fn replace(&self, name: &Name, bytes: &[u8]) -> Result<(), Fault> {
        self.ask()?.insert(*name, bytes.to_vec());
        Ok(())
    }

    fn list(&self, kind: Kind) -> Result<Vec<Listed>, Fault> {
        let blobs = self.ask()?;
        let of_kind = blobs.iter().filter(|(name, _)| name.kind == kind);
        let listed = |(name, bytes): (&Name, &Vec<u8>)| Listed {
            name: *name,
            size: bytes.len() as u64,
            written: SystemTime::UNIX_EPOCH,
        };
        Ok(of_kind.map(listed).collect())
    }

    fn remove(&self, name: &Name) -> Result<(), Fault> {
        self.ask()?.remove(name);
        Ok(())
    }
}
