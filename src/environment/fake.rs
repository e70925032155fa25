//! Environments that exist in memory only, for tests of those who use the port.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::{Activation, EnvironmentError, Environments, Step};
use crate::launch::Recipe;
use crate::project::model::Environment;
use crate::staleness::Key;

/// What a [`Fake`] was asked, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The key of the environment with this name; whether frozen.
    Key(String, bool),
    /// To make it ready.
    Ready(String),
}

/// A stand-in whose answers are set beforehand.
#[derive(Debug, Default)]
pub struct Fake {
    /// Facts of the key by the environment's name; an environment without an entry has the fact of its name alone.
    pub facts: BTreeMap<String, BTreeMap<String, String>>,
    /// Environments that are not locked: no key while frozen.
    pub unlocked: Vec<String>,
    /// Environments that cannot be built, with the installer's last words.
    pub broken: BTreeMap<String, String>,
    /// What an environment that is ready answers.
    pub activation: Activation,
    built: Mutex<Vec<String>>,
    asked: Mutex<Vec<Asked>>,
}

impl Fake {
    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().map(|asked| asked.clone()).unwrap_or_default()
    }

    fn note(&self, asked: Asked) {
        if let Ok(mut all) = self.asked.lock() {
            all.push(asked);
        }
    }
}

impl Environments for Fake {
    fn key(
        &self,
        environment: &Environment,
        frozen: bool,
        _told: &mut dyn FnMut(Step),
    ) -> Result<Option<Key>, EnvironmentError> {
        self.note(Asked::Key(environment.name.clone(), frozen));
        if frozen && self.unlocked.contains(&environment.name) {
            return Ok(None);
        }
        let plain = || BTreeMap::from([("name".to_owned(), environment.name.clone())]);
        Ok(Some(Key::of(self.facts.get(&environment.name).cloned().unwrap_or_else(plain))))
    }

    fn ready(&self, environment: &Environment, told: &mut dyn FnMut(Step)) -> Result<Activation, EnvironmentError> {
        self.note(Asked::Ready(environment.name.clone()));
        let mut built = self.built.lock().map_err(|_| EnvironmentError::Unavailable("poisoned".to_owned()))?;
        if !built.contains(&environment.name) {
            told(Step::Started);
            if let Some(tail) = self.broken.get(&environment.name) {
                return Err(EnvironmentError::Tool {
                    program: "pip".to_owned(),
                    command: format!("pip install {}", environment.name),
                    status: "exit status 1".to_owned(),
                    tail: tail.clone(),
                });
            }
            told(Step::Output(format!("building {}", environment.name)));
            built.push(environment.name.clone());
        }
        Ok(self.activation.clone())
    }

    fn recipe(&self, _environment: Option<&Environment>) -> Result<Recipe, EnvironmentError> {
        Ok(Recipe::Bare)
    }
}
