//! What a Python interpreter says of itself, remembered in the user's cache so that Python need not be started again.
//!
//! A start of Python costs 20 to 50 ms; a key must cost less than one. The record is trusted only while every file and
//! folder that the answer rests on is as it was, and was at rest before it was read (see [`Witness`]).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::builder::Setup;
use super::installed::{self, Installed};
use super::stamp::Witness;
use super::tool::Tool;
use super::{EnvironmentError, launcher};
use crate::clock::{Clock, SystemClock};
use crate::digest::Digester;

/// The version of the record; another one is read anew.
const FORMAT: u32 = 2;

/// Asked of every interpreter; works with Python 3.6 and later.
const SCRIPT: &str = include_str!("probe.py");

/// The variables that change what an interpreter finds, or which one a launcher starts.
const VARIABLES: [&str; 9] = [
    "HOME",
    "PYENV_DIR",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "PYTHONHOME",
    "PYTHONNOUSERSITE",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONUSERBASE",
];

/// An interpreter's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Probe {
    /// `sys.executable`: where a launcher led to.
    pub(super) executable: PathBuf,
    /// `CPython`, `PyPy`.
    pub(super) implementation: String,
    /// `3.11.7`, with the ABI's flags (`3.13.0t`).
    pub(super) version: String,
    /// `3.11`.
    pub(super) minor: String,
    /// `linux-x86_64-gnu`.
    pub(super) platform: String,
    /// `sys.prefix`.
    pub(super) prefix: PathBuf,
    /// `sys.base_prefix`: another one in a virtual environment.
    pub(super) base_prefix: PathBuf,
    /// The user's own site-packages, where they are in use.
    pub(super) user_site: Option<PathBuf>,
    /// `sys.path` without the standard library.
    pub(super) path: Vec<PathBuf>,
}

impl Probe {
    /// `CPython 3.11.7`.
    pub(super) fn python(&self) -> String {
        format!("{} {}", self.implementation, self.version)
    }
}

/// An interpreter that was found and answered.
#[derive(Debug, Clone)]
pub(super) struct Interpreter {
    /// Where it was found, or where a launcher (a pyenv shim) leads to. Not resolved through links: a virtual
    /// environment's `python` is a link.
    pub(super) path: PathBuf,
    /// What it says.
    pub(super) probe: Probe,
}

/// What is remembered of one interpreter.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    /// When the reading began, in milliseconds since 1970.
    read: u64,
    found: PathBuf,
    /// The found file, and the one that it leads to.
    binary: Vec<Witness>,
    /// What a launcher read, as a digest; none where it is not known what it reads.
    launched_by: Option<String>,
    launcher: bool,
    /// The answer, or why there was none.
    answer: Result<Probe, String>,
    /// What is installed; absent as long as nobody asked.
    installed: Option<Installed>,
}

impl Record {
    fn holds(&self, found: &Path, launched_by: Option<&String>) -> bool {
        self.format == FORMAT
            && self.found == found
            && (!self.launcher || (self.launched_by.is_some() && self.launched_by.as_ref() == launched_by))
            && self.binary.iter().all(|witness| witness.holds(self.read))
    }
}

/// Asks an interpreter, or the record of it. `None` where it does not run (a shim of a version that is not installed).
/// Nothing is written where `frozen`.
pub(super) fn ask(setup: &Setup, found: &Path, frozen: bool) -> Option<Interpreter> {
    let (record, _) = consult(setup, found, frozen);
    interpreter(found, record.answer.ok()?)
}

/// As [`ask`], with what is installed for it.
pub(super) fn ask_installed(setup: &Setup, found: &Path, frozen: bool) -> Option<(Interpreter, Installed)> {
    let (mut record, fresh) = consult(setup, found, frozen);
    if let (Ok(probe), Some(installed)) = (&record.answer, &record.installed)
        && installed.witnesses.iter().all(|witness| witness.holds(record.read))
    {
        return Some((interpreter(found, probe.clone())?, installed.clone()));
    }
    // The path itself may have changed with the folders on it (a `.pth` file): Python is asked again.
    if !fresh {
        record = start(setup, found);
    }
    let probe = record.answer.clone().ok()?;
    let installed = installed::read(&probe, &setup.root, setup.variables.get("HOME").map(Path::new));
    record.installed = Some(installed.clone());
    if !frozen {
        remember(setup, &record);
    }
    Some((interpreter(found, probe)?, installed))
}

/// Where a launcher leads to, or the found path itself.
fn interpreter(found: &Path, probe: Probe) -> Option<Interpreter> {
    let same = found.canonicalize().ok()? == probe.executable.canonicalize().ok()?;
    let path = if same { found.to_owned() } else { probe.executable.clone() };
    Some(Interpreter { path, probe })
}

/// The record, from the cache or new (`true`).
fn consult(setup: &Setup, found: &Path, frozen: bool) -> (Record, bool) {
    let kept = std::fs::read(place(setup, found)).ok();
    let kept: Option<Record> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let launched_by = launcher::reads(found, &setup.root, &setup.variables);
    if let Some(record) = kept.filter(|record| record.holds(found, launched_by.as_ref())) {
        return (record, false);
    }
    let record = start(setup, found);
    // Of failures only pyenv's "not installed" is sure to come again.
    let sure = record.answer.as_ref().err().is_none_or(|why| record.launched_by.is_some() && why.contains(" 127\n"));
    if sure && !frozen {
        remember(setup, &record);
    }
    (record, true)
}

/// Starts the interpreter.
fn start(setup: &Setup, found: &Path) -> Record {
    let read = SystemClock::new().now().0;
    let launched_by = launcher::reads(found, &setup.root, &setup.variables);
    let mut binary = vec![Witness::of(found)];
    let said = Tool::new(found, &setup.variables, &setup.root).args(["-B", "-c", SCRIPT]).capture();
    let answer = said.map_err(|error| error.to_string()).and_then(|text| {
        let line = text.lines().rev().find_map(|line| line.strip_prefix("amlrun-probe:"));
        serde_json::from_str::<Probe>(line.unwrap_or_default()).map_err(|error| error.to_string())
    });
    let mut launcher = launched_by.is_some();
    if let Ok(probe) = &answer {
        binary.push(Witness::of(&probe.executable));
        launcher |= found.canonicalize().ok() != probe.executable.canonicalize().ok();
    }
    Record { format: FORMAT, read, found: found.to_owned(), binary, launched_by, launcher, answer, installed: None }
}

/// The record's file: one for each interpreter and each state of the variables that it heeds.
fn place(setup: &Setup, found: &Path) -> PathBuf {
    let mut digester = Digester::new("amlrun interpreter 1");
    digester.field("found", &found.to_string_lossy()).field("root", &setup.root.to_string_lossy());
    for name in VARIABLES {
        digester.count(usize::from(setup.variables.contains_key(name)));
        digester.field(name, setup.variables.get(name).map(String::as_str).unwrap_or_default());
    }
    setup.cache.join("interpreters-v1").join(format!("{}.json", digester.finish()))
}

/// Keeps a record; a cache that cannot be written costs time, not correctness.
fn remember(setup: &Setup, record: &Record) {
    let place = place(setup, &record.found);
    let write = || -> std::io::Result<()> {
        let folder = place.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.persist(&place)?;
        Ok(())
    };
    let _kept = write();
}

/// The facts that a key has of any interpreter.
pub(super) fn facts(probe: &Probe) -> BTreeMap<String, String> {
    BTreeMap::from([("python".to_owned(), probe.python()), ("platform".to_owned(), probe.platform.clone())])
}

/// An interpreter that does not answer, as an error.
pub(super) fn silent(wanted: &str, found: &Path) -> EnvironmentError {
    EnvironmentError::NoInterpreter {
        wanted: wanted.to_owned(),
        tried: format!("`{}`, which does not run as Python 3", found.display()),
    }
}
