//! The port of environments: what software a script runs in, its key, and how it comes to be.
//!
//! Called by `engine` (on worker threads) and by `amlrun env`. It may never write into the project, except
//! `Amlfile.lock` when it resolves.

mod build;
mod builder;
mod conda;
mod docker;
mod editable;
pub mod fake;
mod halt;
mod installed;
mod installer;
mod interpreter;
mod launcher;
mod lock;
mod lock_scan;
mod lock_text;
mod place;
mod probe;
mod requirements;
mod resolve;
mod spark;
mod stamp;
#[cfg(test)]
mod tests;
mod tool;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use builder::{Builder, Look, Setup, kind_of};
pub use docker::Container;
pub use halt::Halt;
pub use lock::{Package, Section};

use crate::launch::Recipe;
use crate::project::model::Environment;
use crate::staleness::Key;

/// How a job is started in an environment that is ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activation {
    /// The interpreter for Python scripts, absolute; none for a bare command.
    pub interpreter: Option<PathBuf>,
    /// Put before PATH (the `bin` folder of a virtual environment).
    pub path: Vec<PathBuf>,
    /// Set for the job (`VIRTUAL_ENV`, …).
    pub variables: BTreeMap<String, String>,
    /// The container that it runs in: what is above is then of the container.
    pub container: Option<Container>,
}

/// What a build tells while it goes on.
#[derive(Debug, Clone)]
pub enum Step {
    /// The build begins (it was not in the user's cache).
    Started,
    /// A line of the installer's output.
    Output(String),
}

/// Why an environment is not to be had.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EnvironmentError {
    #[error("no Python interpreter `{wanted}` is to be found (tried {tried}); install it, or name another")]
    NoInterpreter { wanted: String, tried: String },
    #[error("could not {doing}: {path}: {source}")]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{program} ended with {status}\n{tail}\nto repeat it: {command}")]
    Tool { program: String, command: String, status: String, tail: String },
    #[error("{0}")]
    Unavailable(String),
    #[error("interrupted")]
    Interrupted,
    #[error("{path}: {why}")]
    BadFile { path: PathBuf, why: String },
}

/// The port.
pub trait Environments: Send + Sync {
    /// The key of an environment: cheap, as every invocation asks for it. A managed one that is not in `Amlfile.lock` yet
    /// (or whose requirements changed) is resolved and the lock is written, unless `frozen` (a dry run), where `None` says
    /// that the key is not known before it is resolved.
    ///
    /// # Errors
    /// Where the interpreter is missing or the packages cannot be resolved.
    fn key(
        &self,
        environment: &Environment,
        frozen: bool,
        told: &mut dyn FnMut(Step),
    ) -> Result<Option<Key>, EnvironmentError>;

    /// Makes it ready: builds it once per key into the user's cache, safe under several builders, or finds it there.
    /// `told` hears [`Step::Started`] only where something is built.
    ///
    /// # Errors
    /// Where the build fails; nothing of a failed build is reused.
    fn ready(&self, environment: &Environment, told: &mut dyn FnMut(Step)) -> Result<Activation, EnvironmentError>;

    /// What a target elsewhere needs to make it ready there, under the same key; none stands for a bare command.
    ///
    /// # Errors
    /// Where it is not to be had here, or cannot be made elsewhere.
    fn recipe(&self, environment: Option<&Environment>) -> Result<Recipe, EnvironmentError>;

    /// Ends what other threads are waiting for here, soon and for good: installers are interrupted, and whoever waits for
    /// another builder gives up.
    fn halt(&self) {}
}
