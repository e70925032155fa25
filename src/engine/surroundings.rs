//! The environments that the jobs of a plan run in, and their keys: resolved first where they are not locked yet, which can
//! take minutes and is told as it goes.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};

use super::drive::tell_step;
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
}

impl Surroundings {
    /// Finds the keys of the environments that the jobs use.
    ///
    /// # Errors
    /// Where one is not to be had.
    pub fn gather(
        work: Work<'_>,
        world: &World<'_>,
        frozen: bool,
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
                    .key(&environment, frozen, &mut |step| told(&name, step))
                    .map_err(|source| EngineError::Environment { name: name.clone(), source })?;
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
    pub fn resolve(work: Work<'_>, world: &World<'_>, teller: &mut Teller<'_, '_>) -> Result<Self, EngineError> {
        let mut resolving: Vec<String> = Vec::new();
        std::thread::scope(|scope| {
            let (mail, post) = mpsc::channel();
            let worker = scope.spawn(move || {
                Self::gather(work, world, false, &mut |name, step| drop(mail.send((name.to_owned(), step))))
            });
            loop {
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
                teller.tell(Event::EnvironmentResolved { environment, locked: result.is_ok() });
            }
            result
        })
    }
}
