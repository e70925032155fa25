//! What a worker is given: everything that it needs for one job, as it was judged.

use super::EngineError;
use super::attempt::Task;
use super::judging::shown;
use super::turn::{Engine, Pending};
use super::workers::Mail;
use crate::digest::Digest;
use crate::event::Event;
use crate::history::{Begun, Run};
use crate::ids::{JobId, RunId};
use crate::launch::Ticket;
use crate::plan::job::Role;
use crate::staleness::Reason;

impl Engine<'_, '_, '_> {
    /// Waits until another invocation, or another job of this one, is done with the same fingerprint.
    pub(super) fn wait_for(&mut self, job: JobId, digest: Digest) {
        self.schedule.park(job);
        self.blocked.insert(job);
        self.moves.entry(job).or_default();
        let why = "another invocation runs the same job".to_owned();
        self.teller.tell(Event::JobWaiting { job, why });
        if self.running.contains(&digest) {
            return; // a job of this invocation with the same fingerprint; its end unblocks this one
        }
        let wait = self.judge.world.locks.waiter(&digest);
        let mailbox = self.post.mailbox.clone();
        std::thread::spawn(move || {
            wait();
            let _ = mailbox.send(Mail::Unblocked(job));
        });
    }

    /// A task at its place: here, or elsewhere, where it may have been submitted before. None where it does not run.
    ///
    /// # Errors
    /// Where the history cannot be read.
    pub(super) fn placed(&mut self, mut task: Task, digest: Digest) -> Result<Option<Task>, EngineError> {
        let found = self.found_again(&mut task, digest)?;
        let instead = match found {
            Ok(()) if !self.options.attach || task.attached => None,
            Ok(()) => Some(Ok(())),
            Err(why) => Some(Err(why)),
        };
        let Some(instead) = instead else {
            if let Some(target) = task.elsewhere {
                self.elsewhere.insert(task.job, target);
            }
            return Ok(Some(task));
        };
        self.running.remove(&digest);
        self.judge.world.locks.release(&digest);
        match instead {
            Ok(()) => {
                let why = "it is stale, and `attach` submits nothing".to_owned();
                self.teller.tell(Event::JobWaiting { job: task.job, why });
                self.schedule.canceled(task.job);
            }
            Err(why) => self.fail_before_start(task.job, why),
        }
        Ok(None)
    }

    /// Finds a run of this job again that was submitted elsewhere and has not ended: then it is not submitted anew.
    ///
    /// # Errors
    /// Where the history cannot be read; where the target is not to be had any more, why (the inner error).
    fn found_again(&self, task: &mut Task, digest: Digest) -> Result<Result<(), String>, EngineError> {
        let work = self.judge.work;
        if self.judge.world.remotes.is_empty() {
            return Ok(Ok(()));
        }
        let tickets = self.judge.history.tickets(Some(&digest))?;
        let own = |(_, run): &&(Ticket, Run)| run.begun.job == task.begun.job;
        let Some((ticket, run)) = tickets.iter().rev().find(own) else { return Ok(Ok(())) };
        let at = work.project.targets.iter().position(|target| target.name == ticket.target);
        let Some(at) = at.filter(|at| self.judge.world.remotes.contains_key(at)) else {
            let (name, run) = (&ticket.target, ticket.run.short());
            return Ok(Err(format!(
                "run {run} goes on on the target `{name}` ({}), which is not declared any more: declare it again",
                ticket.place
            )));
        };
        task.begun = Begun { invocation: task.begun.invocation.clone(), ..run.begun.clone() };
        task.elsewhere = Some(at);
        task.attached = true;
        Ok(Ok(()))
    }

    pub(super) fn task(&self, job: JobId, gpus: Vec<u32>, pending: &Pending) -> Task {
        let work = self.judge.work;
        let declared = work.job(job);
        let found = &self.judge.found;
        let environment = self.judge.surroundings.of[job.0].map(|at| self.judge.surroundings.environments[at].clone());
        let params = declared.params.iter();
        Task {
            job,
            begun: Begun {
                run: RunId::fresh(),
                invocation: self.invocation.id.clone(),
                job: declared.name.clone(),
                experiment: work.project.experiments[declared.experiment].name.clone(),
                target: work.project.targets[declared.target].name.clone(),
                environment: work.project.environments[declared.environment].name.clone(),
                started: self.judge.world.clock.now(),
                attempt: 1,
                fingerprint: pending.fingerprint.clone(),
                params: params
                    .map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default()))
                    .chain(pending.fingerprint.params.iter().filter_map(|(name, value)| {
                        // Those of parameter files, as JSON.
                        let given = declared.params.contains_key(name);
                        (!given).then(|| (name.clone(), serde_json::from_str(value).unwrap_or(value.as_str().into())))
                    }))
                    .collect(),
                tags: declared.tags.clone(),
                reasons: pending.reasons.clone(),
                inputs: declared.inputs.iter().map(|input| (input.name.clone(), shown(&input.path))).collect(),
                source_directory: declared.source_directory.clone(),
            },
            sources: found.spec_of[job.0].map(|at| (found.specs[at].clone(), found.sources[at])),
            inputs: declared
                .inputs
                .iter()
                .filter_map(|input| Some((input.path.clone(), found.paths.get(&input.path).copied().flatten()?)))
                .collect(),
            environment,
            gpus,
            elsewhere: self.judge.world.remotes.contains_key(&declared.target).then_some(declared.target),
            attached: false,
            publish: declared.role != Role::Trial,
            stop: self.stop_of(job),
            follow: (declared.role == Role::Trial).then(|| self.scratch()),
        }
    }
}

/// What a fingerprint could not be made of, in words.
pub(super) fn describe_lacking(reason: &Reason) -> String {
    match reason {
        Reason::InputMissing { name, path } if name == path => format!("the input `{path}` is not there"),
        Reason::InputMissing { name, path } => format!("the input `{name}` is not there: {path}"),
        reason => format!("it could not be judged: {reason:?}"),
    }
}
