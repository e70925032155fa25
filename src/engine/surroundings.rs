//! The environments that the jobs of a plan run in, and their keys: resolved first where they are not locked yet, which can
//! take minutes and is told as it goes.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};

use super::drive::tell_step;
use super::interrupt::Interrupt;
use super::telling::Teller;
use super::turn::TICK;
use super::{EngineError, Work, World};
use crate::environment::Step;
use crate::event::Event;
use crate::plan::job::{Command, Runner};
use crate::project::model::{Environment, EnvironmentKind};
use crate::staleness::Key;

/// The environments of a plan as its jobs use them, with their keys.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The environments; a bare one is given `python3` for jobs whose script needs an interpreter.
    pub environments: Vec<Environment>,
    /// Their keys; none where it is not known before the environment is resolved (in a dry run).
    pub keys: Vec<Option<Key>>,
    /// Which of them a job uses; none for a bare command.
    pub of: Vec<Option<usize>>,
    /// Those that are not to be had, and why: their jobs fail. Only where what does not depend on them goes on.
    pub broken: BTreeMap<usize, String>,
}

/// What a first look at everything is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// To say what would run. It writes nothing: an environment that is not locked has no key.
    Frozen,
    /// To run it: what is not locked is resolved, sources that have to be read go into the store.
    Running,
    /// The same, and what is broken keeps only the jobs that depend on it from running.
    KeepGoing,
}

impl Surroundings {
    /// Finds the keys of the environments that the jobs use.
    ///
    /// # Errors
    /// Where one is not to be had.
    pub fn gather(
        work: Work<'_>,
        world: &World<'_>,
        manner: Manner,
        told: &mut dyn FnMut(&str, Step),
    ) -> Result<Self, EngineError> {
        let mut gathered = Self::default();
        let mut index: BTreeMap<(usize, bool), usize> = BTreeMap::new();
        for job in &work.plan.jobs {
            let declared = &work.project.environments[job.environment];
            let bare = declared.kind == EnvironmentKind::UserManaged { interpreter: None };
            let python = matches!(job.command, Command::Script { runner: Runner::Python, .. });
            if bare && !python {
                gathered.of.push(None);
                continue;
            }
            let next = gathered.environments.len();
            let at = *index.entry((job.environment, bare)).or_insert(next);
            if at == next {
                let mut environment = declared.clone();
                if bare {
                    environment.kind = EnvironmentKind::UserManaged { interpreter: Some("python3".to_owned()) };
                }
                let name = environment.name.clone();
                let key = world
                    .environments
                    .key(&environment, manner == Manner::Frozen, &mut |step| told(&name, step))
                    .map_err(|source| EngineError::Environment { name: name.clone(), source });
                let key = match key {
                    Err(why) if manner == Manner::KeepGoing => {
                        gathered.broken.insert(next, why.to_string());
                        None
                    }
                    key => key?,
                };
                gathered.environments.push(environment);
                gathered.keys.push(key);
            }
            gathered.of.push(Some(at));
        }
        Ok(gathered)
    }

    /// Finds the keys on another thread, resolving what is not locked yet, and tells meanwhile how that goes.
    ///
    /// # Errors
    /// Where an environment is not to be had.
    pub fn resolve(
        work: Work<'_>,
        world: &World<'_>,
        manner: Manner,
        interrupt: &Interrupt,
        teller: &mut Teller<'_, '_>,
    ) -> Result<Self, EngineError> {
        let mut resolving: Vec<String> = Vec::new();
        std::thread::scope(|scope| {
            let (mail, post) = mpsc::channel();
            let worker = scope.spawn(move || {
                Self::gather(work, world, manner, &mut |name, step| drop(mail.send((name.to_owned(), step))))
            });
            loop {
                if interrupt.asked() {
                    world.environments.halt();
                }
                match post.recv_timeout(TICK) {
                    Ok((environment, step)) => {
                        if !resolving.contains(&environment) {
                            resolving.push(environment.clone());
                            teller.tell(Event::EnvironmentResolving { environment: environment.clone() });
                        }
                        tell_step(teller, &environment, step);
                    }
                    Err(RecvTimeoutError::Timeout) => teller.tick(),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            let result = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for environment in resolving {
                let is_broken = |this: &Self| this.broken.keys().any(|at| this.environments[*at].name == environment);
                let locked = result.as_ref().is_ok_and(|this| !is_broken(this));
                teller.tell(Event::EnvironmentResolved { environment, locked });
            }
            result
        })
    }
}
