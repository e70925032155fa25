//! Order: which job is judged next, which starts next, what a failure takes with it. A machine that gives orders and
//! learns facts; it knows neither time nor processes.
//!
//! Driven by `engine`. Every change of a job's state goes through `Schedule::set`, so that the counts cannot drift.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::JobId;

/// What a job asks of the machine, or what the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capacity {
    /// Slots of CPU.
    pub cpus: u32,
    /// GPUs.
    pub gpus: u32,
    /// Bytes; `u64::MAX` of the machine means that it is not known.
    pub memory: u64,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its needs are not done.
    Waiting,
    /// Its needs are done: it can be judged.
    Ready,
    /// It is being judged, restored or waits for another invocation.
    Judging,
    /// It is stale and waits for room.
    Queued,
    /// It runs.
    Running,
    /// Its result is in place.
    Done,
    /// It failed.
    Failed,
    /// It will not be tried, because of the failure of this job.
    Skipped(JobId),
    /// It will not be tried, though it does not need the job that failed: nothing new began after that failure.
    Stopped(JobId),
    /// It was given up by an interrupt.
    Canceled,
}

impl State {
    /// Whether nothing more will happen to it.
    #[must_use]
    pub fn settled(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Skipped(_) | Self::Stopped(_) | Self::Canceled)
    }
}

/// The machine.
#[derive(Debug)]
pub struct Schedule {
    states: Vec<State>,
    needed_by: Vec<Vec<JobId>>,
    missing: Vec<usize>,
    demands: Vec<Capacity>,
    machine: Capacity,
    free: Capacity,
    free_gpus: BTreeSet<u32>,
    granted: Vec<Vec<u32>>,
    /// Jobs that run elsewhere, by the pool that they take a place of, and the free places of each.
    elsewhere: BTreeMap<JobId, usize>,
    places: BTreeMap<usize, u32>,
    ready: BTreeSet<JobId>,
    queued: BTreeSet<JobId>,
    unsettled: usize,
    /// What becomes of jobs that have not begun: `Canceled` after an interrupt, `Skipped` after a failure.
    instead: Option<State>,
    skipped: Vec<(JobId, JobId, bool)>,
    keep_going: bool,
}

/// A demand that the machine can meet.
fn cut(demand: Capacity, machine: Capacity) -> Capacity {
    Capacity {
        cpus: demand.cpus.clamp(1, machine.cpus.max(1)),
        gpus: demand.gpus.min(machine.gpus),
        memory: demand.memory.min(machine.memory),
    }
}

impl Schedule {
    /// A schedule of jobs with these needs (by place) and demands, on a machine of this capacity. Demands beyond the
    /// machine are cut down to it: such a job runs alone.
    #[must_use]
    pub fn new(needs: &[Vec<JobId>], demands: &[Capacity], machine: Capacity, keep_going: bool) -> Self {
        let mut needed_by = vec![Vec::new(); needs.len()];
        for (job, needs) in needs.iter().enumerate() {
            for need in needs {
                needed_by[need.0].push(JobId(job));
            }
        }
        let missing: Vec<usize> = needs.iter().map(Vec::len).collect();
        let ready: BTreeSet<JobId> = (0..needs.len()).map(JobId).filter(|job| missing[job.0] == 0).collect();
        let states = missing.iter().map(|&n| if n == 0 { State::Ready } else { State::Waiting }).collect();
        Self {
            states,
            needed_by,
            unsettled: missing.len(),
            granted: vec![Vec::new(); missing.len()],
            missing,
            demands: demands.iter().map(|demand| cut(*demand, machine)).collect(),
            machine,
            free: Capacity { cpus: machine.cpus.max(1), ..machine },
            free_gpus: (0..machine.gpus).collect(),
            elsewhere: BTreeMap::new(),
            places: BTreeMap::new(),
            ready,
            queued: BTreeSet::new(),
            instead: None,
            skipped: Vec::new(),
            keep_going,
        }
    }

    /// One more job, which needs nothing: a trial that a sweep proposed.
    pub fn add(&mut self, demand: Capacity) -> JobId {
        let job = JobId(self.states.len());
        self.states.push(State::Waiting);
        self.needed_by.push(Vec::new());
        self.missing.push(0);
        self.demands.push(cut(demand, self.machine));
        self.granted.push(Vec::new());
        self.unsettled += 1;
        self.set(job, self.instead.unwrap_or(State::Ready));
        job
    }

    /// How many jobs of this demand the machine has room for when nothing else runs.
    #[must_use]
    pub fn room(&self, demand: Capacity) -> u32 {
        let demand = cut(demand, self.machine);
        let by_memory = self.machine.memory.checked_div(demand.memory).unwrap_or(u64::MAX);
        let by_memory = u32::try_from(by_memory).unwrap_or(u32::MAX);
        let by_gpus = self.machine.gpus.checked_div(demand.gpus).unwrap_or(u32::MAX);
        (self.machine.cpus.max(1) / demand.cpus).min(by_gpus).min(by_memory).max(1)
    }

    /// Whether nothing new begins any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.instead.is_some()
    }

    /// A job runs elsewhere: it takes nothing of this machine, but one of this many places of its pool.
    pub fn send_elsewhere(&mut self, job: JobId, pool: usize, places: u32) {
        self.demands[job.0] = Capacity::default();
        self.elsewhere.insert(job, pool);
        self.places.insert(pool, places);
    }

    /// How many jobs run elsewhere.
    #[must_use]
    pub fn running_elsewhere(&self) -> usize {
        self.elsewhere.keys().filter(|job| self.states[job.0] == State::Running).count()
    }

    /// Where a job stands.
    #[must_use]
    pub fn state(&self, job: JobId) -> State {
        self.states[job.0]
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.unsettled == 0
    }

    /// The next job to judge.
    pub fn next_to_judge(&mut self) -> Option<JobId> {
        let job = *self.ready.first()?;
        self.set(job, State::Judging);
        Some(job)
    }

    /// The next job to start, with the numbers of the GPUs it gets. A later one that fits goes before an earlier one that
    /// does not.
    pub fn next_to_start(&mut self) -> Option<(JobId, Vec<u32>)> {
        let mut found = None;
        for &job in &self.queued {
            let demand = self.demands[job.0];
            let place = self.elsewhere.get(&job).is_none_or(|pool| self.places.get(pool).is_none_or(|free| *free > 0));
            if place
                && demand.cpus <= self.free.cpus
                && demand.gpus <= self.free.gpus
                && demand.memory <= self.free.memory
            {
                found = Some(job);
                break;
            }
            if self.free.cpus == 0 && self.elsewhere.is_empty() {
                break;
            }
        }
        let job = found?;
        self.set(job, State::Running);
        Some((job, self.granted[job.0].clone()))
    }

    /// Its result is in place.
    pub fn done(&mut self, job: JobId) {
        self.set(job, State::Done);
        for at in 0..self.needed_by[job.0].len() {
            let needy = self.needed_by[job.0][at];
            self.missing[needy.0] -= 1;
            if self.missing[needy.0] == 0 && self.states[needy.0] == State::Waiting {
                self.set(needy, self.instead.unwrap_or(State::Ready));
            }
        }
    }

    /// It is stale: it starts when there is room.
    pub fn stale(&mut self, job: JobId) {
        self.set(job, self.instead.unwrap_or(State::Queued));
    }

    /// It has to be judged again: what it was judged by moved, or another invocation did its work.
    pub fn judge_again(&mut self, job: JobId) {
        self.set(job, self.instead.unwrap_or(State::Ready));
    }

    /// It waits for something outside of this schedule, and gives up its room.
    pub fn park(&mut self, job: JobId) {
        self.set(job, State::Judging);
    }

    /// It failed, and nothing else suffers for it: a trial of a sweep.
    pub fn failed_alone(&mut self, job: JobId) {
        self.set(job, State::Failed);
    }

    /// It failed: the jobs that need it are skipped, and all that did not begin unless `keep_going`.
    pub fn failed(&mut self, job: JobId) {
        self.set(job, State::Failed);
        let mut below = vec![job];
        while let Some(at) = below.pop() {
            for needy in self.needed_by[at.0].clone() {
                if !self.states[needy.0].settled() {
                    self.set(needy, State::Skipped(job));
                    below.push(needy);
                }
            }
        }
        if !self.keep_going {
            self.give_up(State::Stopped(job));
        }
    }

    /// The jobs that were skipped since this was asked last, each with the failed job that it was skipped for, and whether
    /// it needs that one.
    pub fn take_skipped(&mut self) -> Vec<(JobId, JobId, bool)> {
        std::mem::take(&mut self.skipped)
    }

    /// It was ended by an interrupt.
    pub fn canceled(&mut self, job: JobId) {
        self.set(job, State::Canceled);
    }

    /// Nothing new begins. Jobs that had not begun are given up.
    pub fn stop(&mut self) {
        self.give_up(State::Canceled);
    }

    fn give_up(&mut self, state: State) {
        self.instead = Some(state);
        for job in (0..self.states.len()).map(JobId) {
            if matches!(self.states[job.0], State::Waiting | State::Ready | State::Queued) {
                self.set(job, state);
            }
        }
    }

    /// The one place where a state changes: queues, room and counts change with it.
    fn set(&mut self, job: JobId, to: State) {
        let from = std::mem::replace(&mut self.states[job.0], to);
        let demand = self.demands[job.0];
        if let Some(free) = self.elsewhere.get(&job).and_then(|pool| self.places.get_mut(pool)) {
            match (from == State::Running, to == State::Running) {
                (true, false) => *free += 1,
                (false, true) => *free = free.saturating_sub(1),
                _ => {}
            }
        }
        match from {
            State::Ready => {
                self.ready.remove(&job);
            }
            State::Queued => {
                self.queued.remove(&job);
            }
            State::Running => {
                self.free.cpus += demand.cpus;
                self.free.gpus += demand.gpus;
                self.free.memory = self.free.memory.saturating_add(demand.memory);
                self.free_gpus.extend(self.granted[job.0].drain(..));
            }
            _ => {}
        }
        match to {
            State::Ready => {
                self.ready.insert(job);
            }
            State::Queued => {
                self.queued.insert(job);
            }
            State::Running => {
                self.free.cpus -= demand.cpus;
                self.free.gpus -= demand.gpus;
                self.free.memory -= demand.memory;
                for _ in 0..demand.gpus {
                    self.granted[job.0].extend(self.free_gpus.pop_first());
                }
            }
            _ => {}
        }
        if to.settled() && !from.settled() {
            self.unsettled -= 1;
        }
        if let State::Skipped(because) | State::Stopped(because) = to {
            self.skipped.push((job, because, matches!(to, State::Skipped(_))));
        }
    }
}

#[cfg(test)]
mod tests;
