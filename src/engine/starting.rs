//! How work is begun: orders to the workers, the locks of jobs, and what is needed as soon as anything runs.

use super::EngineError;
use super::recover;
use super::turn::{Engine, Starter};
use super::workers::{Order, Restore};
use crate::ids::{JobId, RunId};
use crate::staleness::Repair;
use crate::target::watchdog::Watchdog;

impl Engine<'_, '_, '_> {
    pub(super) fn restore(&mut self, job: JobId, since: RunId, repairs: &[Repair], worker: Starter<'_>) {
        self.claim();
        let recorded = self.judge.recorded(job);
        let outputs = repairs.iter().filter_map(|r| recorded.iter().find(|o| o.path == r.path).cloned()).collect();
        let scratch = self.scratch().join(format!("restore-{}", job.0));
        self.send(Order::Restore(Restore { job, run: since, outputs, scratch }), worker);
    }

    pub(super) fn scratch(&self) -> std::path::PathBuf {
        self.judge.world.state.join("work").join(&self.invocation.id)
    }

    pub(super) fn send(&mut self, order: Order, worker: Starter<'_>) {
        self.busy += 1;
        // A job elsewhere takes a thread that waits, and nothing else.
        let here = usize::try_from(self.options.machine.cpus).unwrap_or(1).max(1);
        let at_once = here + self.schedule.running_elsewhere();
        if self.workers < self.busy.min(at_once) {
            self.workers += 1;
            worker();
        }
        let _ = self.post.orders.send(order);
    }

    pub(super) fn start(
        &mut self,
        job: JobId,
        gpus: Vec<u32>,
        worker: Starter<'_>,
        committer: Starter<'_>,
    ) -> Result<(), EngineError> {
        self.begin(committer);
        self.keep_nodes()?;
        let Some(pending) = self.pending.get(&job) else { return Ok(()) };
        let digest = pending.digest;
        if self.running.contains(&digest) || !self.judge.world.locks.try_lock(&digest) {
            self.wait_for(job, digest);
            return Ok(());
        }
        // Another invocation may have finished the job between the verdict and the lock.
        let orders = self.judge.orders(job);
        let may_be_fresh = !orders.force && !orders.no_cache && !self.lost.contains(&job);
        if may_be_fresh && self.judge.fresh_meanwhile(job, digest)? {
            self.judge.world.locks.release(&digest);
            self.moves.entry(job).or_default();
            self.schedule.judge_again(job);
            return Ok(());
        }
        self.running.insert(digest);
        self.weigh(job);
        let Some(pending) = self.pending.get(&job) else { return Ok(()) };
        let task = self.task(job, gpus, pending);
        if let Some(task) = self.placed(task, digest)? {
            self.send(Order::Run(Box::new(task)), worker);
        }
        Ok(())
    }

    /// Keeps the nodes of input folders that changed, so that `why` can name the files that differ the next time.
    pub(super) fn keep_nodes(&self) -> Result<(), EngineError> {
        for node in self.judge.world.ground.take_nodes().values() {
            self.judge.world.store.put(node)?;
        }
        Ok(())
    }

    /// What is needed as soon as anything runs: the records' writer, the watchdog, its sign of life.
    pub(super) fn begin(&mut self, committer: Starter<'_>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        super::settled::forget(self.judge.world.state);
        self.claim();
        if let Some(program) = &self.options.program {
            let guard = self.judge.world.locks.hold(&recover::guard_key(&self.invocation.id));
            match Watchdog::start(program, &self.invocation.id, guard) {
                Ok(watchdog) => self.watchdog = Some(watchdog),
                Err(error) => self.teller.warn(None, format!("could not start the watchdog: {error}")),
            }
        }
        committer();
    }

    /// Says that this invocation lives, before anything is put into its folder.
    pub(super) fn claim(&self) {
        let _ = self.judge.world.locks.try_lock(&recover::invocation_key(&self.invocation.id));
    }
}
