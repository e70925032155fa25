//! The end of what takes long here, asked for from another thread: a Ctrl-C that reaches amlrun alone must not wait for an
//! installer that has minutes to go.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::EnvironmentError;

/// How often whoever waits looks whether to go on.
const LOOK: Duration = Duration::from_millis(20);
/// What an installer is given to end by itself: this many looks.
const PATIENCE: usize = 250;

/// Shared by whoever waits and whoever asks for the end. It is asked for once and for good.
#[derive(Debug, Clone, Default)]
pub struct Halt(Arc<AtomicBool>);

impl Halt {
    /// Asks for the end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits for a lock, unless the end is asked for.
    pub(super) fn lock(&self, file: &File, path: &Path) -> Result<(), EnvironmentError> {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if self.asked() => return Err(EnvironmentError::Interrupted),
                Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOOK),
                Err(TryLockError::Error(source)) => {
                    return Err(EnvironmentError::Io { doing: "lock", path: path.to_owned(), source });
                }
            }
        }
    }

    /// Watches over a process that another thread reads from, until that one sets `done`: asked to end, it gets SIGINT, as
    /// from a terminal, and is killed where that does not help.
    pub(super) fn watch(&self, reader: &duct::ReaderHandle, done: &AtomicBool) {
        let mut since = 0;
        while !done.load(Ordering::Relaxed) {
            if self.asked() {
                if since == 0 {
                    for pid in reader.pids().into_iter().filter_map(|pid| i32::try_from(pid).ok()) {
                        let _ = rustix::process::Pid::from_raw(pid)
                            .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::INT));
                    }
                } else if since == PATIENCE {
                    let _ = reader.kill();
                }
                since += 1;
            }
            std::thread::park_timeout(LOOK);
        }
    }
}
