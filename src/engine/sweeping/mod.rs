//! Sweeps: nodes of the graph whose trials are jobs that are proposed while they go on.
//!
//! Called by the engine's loop. A trial is a job as any other (its verdict, its lock, its run, the shared cache), but for
//! three things: it is added to the plan when it is proposed, it publishes nothing, and its failure is the sweep's to judge.
//! What is proposed is on disk before its job starts; what becomes of a trial goes on record together with its run. When
//! all trials are over, a run that stands for the whole sweep is recorded with what the best trial left, and from there on
//! the sweep is fresh, restored and shared as any job.
//!
//! - `arena`: jobs that are added while others run; `stop`: how one of them is ended;
//! - `search`: the pure half as the engine uses it; `session`: a sweep that goes on;
//! - `follow`: what running trials log; `begin`: taken up or begun anew; `trials`: what its trials tell; `finish`: its end.

pub mod arena;
pub mod begin;
mod finish;
pub mod follow;
pub mod search;
pub mod session;
pub mod stop;
mod trials;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::session::{Ending, Left, Session};
use self::stop::Stop;
use super::EngineError;
use super::turn::{Engine, Starter};
use crate::ids::JobId;
use crate::plan::job::Role;

/// The sweeps of an invocation.
#[derive(Default)]
pub struct Sweeps<'p> {
    /// Those that go on, by the jobs that they are.
    going: BTreeMap<JobId, Session<'p>>,
    /// The sweep of each trial.
    of: BTreeMap<JobId, JobId>,
    /// What runs from the shared cache left, by the trials that asked for them.
    arrived: BTreeMap<JobId, Left>,
}

/// What is told when a record about a sweep is on disk.
#[derive(Debug, Clone, Copy)]
pub enum OnDisk {
    /// Trials up to this number (exclusive) are.
    Proposed(JobId, usize),
    /// The run that stands for the whole sweep is.
    Ended(JobId),
}

/// The file that asks the invocation which carries a sweep out to end it.
#[must_use]
pub fn cancel_file(state: &Path, sweep: &str) -> PathBuf {
    state.join("sweeps").join(format!("{sweep}.cancel"))
}

impl<'e> Engine<'e, '_, '_> {
    /// Whether a job is a trial.
    pub(in crate::engine) fn is_trial(&self, job: JobId) -> bool {
        self.judge.work.job(job).role == Role::Trial
    }

    /// How a trial is ended before its time.
    pub(in crate::engine) fn stop_of(&self, job: JobId) -> Stop {
        let session = self.sweeps.of.get(&job).and_then(|node| self.sweeps.going.get(node));
        let going = session.and_then(|session| session.trials.get(*session.of.get(&job)?));
        going.map(|going| going.stop.clone()).unwrap_or_default()
    }

    /// The sweep of a trial, and the trial's place in it.
    fn trial_of(&mut self, job: JobId) -> Option<(&mut Session<'e>, usize)> {
        let node = self.sweeps.of.get(&job)?;
        let session = self.sweeps.going.get_mut(node)?;
        let number = *session.of.get(&job)?;
        Some((session, number))
    }

    /// Goes on with every sweep; whether anything happened.
    pub(in crate::engine) fn sweep_on(&mut self, worker: Starter<'_>) -> Result<bool, EngineError> {
        let nodes: Vec<JobId> = self.sweeps.going.keys().copied().collect();
        let mut progress = false;
        for node in nodes {
            progress |= self.go_on_with(node, worker)?;
        }
        Ok(progress)
    }

    /// Hears that a record about a sweep is on disk.
    pub(in crate::engine) fn hear_sweep(&mut self, on_disk: OnDisk) {
        match on_disk {
            OnDisk::Proposed(node, upto) => {
                if let Some(session) = self.sweeps.going.get_mut(&node) {
                    let from = session.settled.min(upto);
                    session.trials[from..upto].iter_mut().for_each(|going| going.is_durable = true);
                }
            }
            OnDisk::Ended(node) => {
                if let Some(session) = self.sweeps.going.get_mut(&node) {
                    session.ending = Ending::Recorded;
                }
            }
        }
    }
}
