//! The port of targets elsewhere: runs that outlive a connection, and amlrun itself.
//!
//! Called by `engine` from worker threads, several at once. Every method may be called again after a [`Fault::Lost`]: what
//! was done under a run's identity is not done twice. A target may never touch the store, the history or the project: what
//! it sends is read from a [`Cargo`].

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crate::content::Entry;
use crate::digest::Digest;
use crate::ids::RunId;
use crate::launch::{Outcome, Parcel, Usage};
use crate::relpath::RelPath;

/// Why a target did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection failed or went: nothing is known, and it is to be tried again.
    Lost(String),
    /// It said no, and would again: the text names the target, what was tried, and what to do.
    Refused(String),
    /// What was to be sent is no longer what it was when the job was judged.
    Moved,
}

/// What there is to be sent, by content.
pub trait Cargo: Sync {
    /// The entries of a tree's node.
    ///
    /// # Errors
    /// Where it cannot be read, or is gone.
    fn node(&self, digest: &Digest) -> Result<Vec<Entry>, Fault>;

    /// The bytes of a file or the text of a link, not yet verified.
    ///
    /// # Errors
    /// Where it cannot be read, or is gone.
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + '_>, Fault>;
}

/// How far a run's output was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Bytes of stdout and stderr.
    pub log: u64,
    /// Bytes of the files below `logs/` in the working directory, by their names.
    pub files: BTreeMap<RelPath, u64>,
    /// Bytes of other files of the run directory that are followed while the run goes on.
    pub followed: BTreeMap<RelPath, u64>,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It was never submitted.
    Absent,
    /// It waits, and why as the engine says it.
    Queued(String),
    /// It runs.
    Running,
    /// It ended.
    Ended(Outcome, Usage),
    /// It had begun, and nobody knows what became of it: its machine went down, or its supervisor was killed.
    Gone(String),
}

/// One look at a run: where it stands, and what it wrote since the last look. The state is older than the output, so that
/// the output of a run that ended is whole when a look brings none.
#[derive(Debug, Clone)]
pub struct Look {
    /// Where it stands.
    pub state: State,
    /// More of stdout and stderr.
    pub log: Vec<u8>,
    /// More of the files below `logs/`.
    pub files: Vec<(RelPath, Vec<u8>)>,
    /// More of the files that are followed.
    pub followed: Vec<(RelPath, Vec<u8>)>,
}

/// Something that `targets check` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `connection`, `python`, `disk`, …
    pub name: String,
    /// Whether it is as it should be.
    pub good: bool,
    /// What was found, and what to do where it is not good.
    pub text: String,
}

/// A target elsewhere.
pub trait Remote: Send + Sync + std::fmt::Debug {
    /// Where it is, for people: `azureuser@vm`.
    fn place(&self) -> String;

    /// Sends what the target lacks, makes the environment and lays the run directory out. `told` hears the lines of an
    /// environment's build, the first of which is empty.
    ///
    /// # Errors
    /// See [`Fault`].
    fn prepare(&self, parcel: &Parcel, cargo: &dyn Cargo, told: &mut dyn FnMut(String)) -> Result<(), Fault>;

    /// Which of these objects it would have to be sent.
    ///
    /// # Errors
    /// See [`Fault`].
    fn lacking(&self, digests: &[Digest]) -> Result<Vec<Digest>, Fault>;

    /// Submits a run that was prepared, unless it was submitted.
    ///
    /// # Errors
    /// See [`Fault`].
    fn submit(&self, parcel: &Parcel) -> Result<(), Fault>;

    /// Looks at a run.
    ///
    /// # Errors
    /// See [`Fault`].
    fn look(&self, run: &RunId, from: &Offsets) -> Result<Look, Fault>;

    /// Where runs stand, asked for at once.
    ///
    /// # Errors
    /// See [`Fault`].
    fn states(&self, runs: &[RunId]) -> Result<Vec<State>, Fault>;

    /// Asks for a run's end; one that has not begun never will.
    ///
    /// # Errors
    /// See [`Fault`].
    fn end(&self, run: &RunId, now: bool) -> Result<(), Fault>;

    /// Brings what a run left at these paths to the same paths below `into`, verified. What is not there is not brought.
    ///
    /// # Errors
    /// See [`Fault`].
    fn collect(&self, run: &RunId, paths: &[RelPath], into: &Path) -> Result<(), Fault>;

    /// Lets go of runs that are over and on record.
    ///
    /// # Errors
    /// See [`Fault`].
    fn forget(&self, runs: &[RunId]) -> Result<(), Fault>;

    /// Whether it can be used, and what is there.
    ///
    /// # Errors
    /// Where it cannot even be asked.
    fn check(&self) -> Result<Vec<Finding>, Fault>;
}
