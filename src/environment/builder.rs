//! The environments of this machine: interpreters that the user manages, and virtual environments in the user's cache.
//!
//! Reads nothing before it is asked. Writes the user's cache and `Amlfile.lock`, never anything else of the project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::conda::{self, Wanted};
use super::installer::{self, Resolution};
use super::lock::{Lock, Section, Slot};
use super::place::{Place, hold, write_whole};
use super::probe::Interpreter;
use super::requirements::{self, Asked};
use super::tool::{Tool, for_installers};
use super::{
    Activation, EnvironmentError, Environments, Halt, Step, build, docker, installed, interpreter, lock_text, probe,
    spark,
};
use crate::launch::Recipe;
use crate::project::model::{Environment, EnvironmentKind};
use crate::staleness::Key;

/// Where things are, and the process's variables.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The workspace's folder, absolute.
    pub root: PathBuf,
    /// The user's cache folder for amlrun, absolute.
    pub cache: PathBuf,
    /// `.amlrun`, absolute.
    pub state: PathBuf,
    /// The process's variables: passed on to the installers (indexes, proxies and credentials are theirs).
    pub variables: BTreeMap<String, String>,
    /// `Amlfile.lock`, beside the Amlfile, absolute.
    pub lock_file: PathBuf,
    /// Ends what takes long.
    pub halt: Halt,
}

/// The port, carried out.
#[derive(Debug)]
pub struct Builder {
    setup: Setup,
    uv: OnceLock<Option<PathBuf>>,
}

/// A managed environment, resolved.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) interpreter: Interpreter,
    pub(super) asked: Asked,
    pub(super) section: Section,
    pub(super) key: Key,
}

/// What `amlrun env` shows of an environment; found without writing or resolving anything.
#[derive(Debug, Clone)]
pub struct Look {
    /// `managed`, `user-managed`, `docker`, …
    pub kind: &'static str,
    /// `CPython 3.11.7`; none for a bare command.
    pub python: Option<String>,
    /// Its interpreter, where there is one already.
    pub interpreter: Option<PathBuf>,
    /// None as long as it is not locked.
    pub key: Option<Key>,
    /// Its part of `Amlfile.lock`; empty where it asks for no packages.
    pub section: Option<Section>,
    /// Where a managed one is, or will be, built; none as long as it is not locked.
    pub place: Option<PathBuf>,
    /// Whether it is ready to be used.
    pub built: bool,
    /// The bytes of its files, where it is built.
    pub size: Option<u64>,
}

/// Whether and how a resolution may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It may not: nothing is written.
    Frozen,
    /// Where the lock lacks it.
    AsNeeded,
    /// Anew, to the newest versions.
    Upgrade,
}

impl Builder {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self { setup, uv: OnceLock::new() }
    }

    /// uv, where there is one on PATH that runs.
    pub(super) fn uv(&self) -> Option<PathBuf> {
        let find = || {
            let variables = for_installers(&self.setup.variables);
            let runs = |uv: &PathBuf| Tool::new(uv, &variables, &self.setup.root).arg("--version").capture().is_ok();
            interpreter::on_path(&self.setup, "uv").find(runs)
        };
        self.uv.get_or_init(find).clone()
    }

    /// Resolves an environment into `Amlfile.lock` where that lacks it, or anew. `false` where it has nothing to lock.
    ///
    /// # Errors
    /// As [`Environments::key`].
    pub fn lock(
        &self,
        environment: &Environment,
        upgrade: bool,
        told: &mut dyn FnMut(Step),
    ) -> Result<bool, EnvironmentError> {
        let Some(wanted) = self.wanted(environment)? else { return Ok(false) };
        let mode = if upgrade { Mode::Upgrade } else { Mode::AsNeeded };
        let managed = self.managed(&environment.name, &wanted, mode, told)?;
        Ok(managed.is_some_and(|managed| !managed.asked.is_empty()))
    }

    /// Removes the sections of environments that are not declared any more. Says whether there were any.
    ///
    /// # Errors
    /// Where the lock file cannot be read or written.
    pub fn prune(&self, declared: &[&str]) -> Result<bool, EnvironmentError> {
        if !self.setup.lock_file.exists() {
            return Ok(false);
        }
        let _held = self.hold_lock_file()?;
        let mut lock = self.read_lock()?;
        let before = lock.sections.len();
        lock.sections.retain(|slot, _| declared.contains(&slot.environment.as_str()));
        let pruned = lock.sections.len() != before;
        if pruned {
            self.write_lock(&lock)?;
        }
        Ok(pruned)
    }

    /// What there is of an environment now.
    ///
    /// # Errors
    /// As [`Environments::key`].
    pub fn look(&self, environment: &Environment) -> Result<Look, EnvironmentError> {
        let kind = kind_of(environment);
        let (key, section, place) = (None, None, None);
        let (python, interpreter) = (None, None);
        let mut look = Look { kind, python, interpreter, key, section, place, built: false, size: None };
        match &environment.kind {
            EnvironmentKind::UserManaged { interpreter: None } => {
                look.key = Some(Key::of(BTreeMap::new()));
                look.built = true;
            }
            EnvironmentKind::UserManaged { interpreter: Some(wanted) } => {
                let (it, key) = self.user_managed(wanted, true)?;
                look.python = Some(it.probe.python());
                look.interpreter = Some(it.path);
                look.key = Some(key);
                look.built = true;
            }
            EnvironmentKind::Managed { .. } | EnvironmentKind::Conda(_) => {
                let Some(wanted) = self.wanted(environment)? else { return Ok(look) };
                match self.managed(&environment.name, &wanted, Mode::Frozen, &mut |_| {})? {
                    Some(managed) => {
                        let place = Place::new(&self.setup.cache, &managed.key);
                        look.built = place.is_complete(&managed.key);
                        look.size = look.built.then(|| place.size());
                        look.interpreter = look.built.then(|| place.python());
                        look.python = Some(managed.interpreter.probe.python());
                        look.place = Some(place.folder);
                        look.key = Some(managed.key);
                        look.section = Some(managed.section);
                    }
                    None => look.python = Some(self.base(wanted.python.as_deref(), true)?.probe.python()),
                }
            }
            EnvironmentKind::Docker(_) => {}
        }
        look.key = look.key.map(|key| spark::with(environment, key));
        Ok(look)
    }

    fn base(&self, python: Option<&str>, frozen: bool) -> Result<Interpreter, EnvironmentError> {
        interpreter::for_version(&self.setup, python, || self.uv(), frozen)
    }

    fn user_managed(&self, wanted: &str, frozen: bool) -> Result<(Interpreter, Key), EnvironmentError> {
        let places = interpreter::named(&self.setup, wanted)?;
        let found = places.iter().find_map(|found| probe::ask_installed(&self.setup, found, frozen));
        let silent = || probe::silent(wanted, places.first().map_or(Path::new(wanted), PathBuf::as_path));
        let (it, installed) = found.ok_or_else(silent)?;
        let mut facts = probe::facts(&it.probe);
        facts.extend(installed.facts);
        // As written: where it leads to on this machine is no fact of the project.
        facts.insert("interpreter".to_owned(), wanted.to_owned());
        Ok((it, Key::of(facts)))
    }

    /// What amlrun builds an environment of; none for one that it does not build itself.
    fn wanted(&self, environment: &Environment) -> Result<Option<Wanted>, EnvironmentError> {
        match &environment.kind {
            EnvironmentKind::Managed { python, packages } => {
                let (python, packages) = (python.clone(), packages.clone());
                Ok(Some(Wanted { python, packages, notes: Vec::new() }))
            }
            EnvironmentKind::Conda(file) => conda::wanted(&self.setup.root, file).map(Some),
            EnvironmentKind::UserManaged { .. } | EnvironmentKind::Docker(_) => Ok(None),
        }
    }

    /// An environment that amlrun builds itself, locked.
    fn locked(&self, environment: &Environment, told: &mut dyn FnMut(Step)) -> Result<Managed, EnvironmentError> {
        let unlocked = || EnvironmentError::Unavailable("it is not locked".to_owned());
        let wanted = self.wanted(environment)?.ok_or_else(unlocked)?;
        self.managed(&environment.name, &wanted, Mode::AsNeeded, told)?.ok_or_else(unlocked)
    }

    fn managed(
        &self,
        name: &str,
        wanted: &Wanted,
        mode: Mode,
        told: &mut dyn FnMut(Step),
    ) -> Result<Option<Managed>, EnvironmentError> {
        let asked = requirements::read(&wanted.packages, &self.setup.root)?;
        let interpreter = self.base(wanted.python.as_deref(), mode == Mode::Frozen)?;
        let mut notes = wanted.notes.iter();
        // Told once, as a resolution begins.
        let mut with_notes = |step| {
            let notes = notes.by_ref().cloned().map(Step::Output);
            notes.for_each(&mut *told);
            told(step);
        };
        let section = self.section(name, &asked, &interpreter, mode, &mut with_notes)?;
        let Some(section) = section else { return Ok(None) };
        let mut facts = probe::facts(&interpreter.probe);
        facts.extend(section.facts());
        Ok(Some(Managed { interpreter, asked, section, key: Key::of(facts) }))
    }

    /// The section of the lock, resolved now where that is allowed and needed.
    fn section(
        &self,
        name: &str,
        asked: &Asked,
        base: &Interpreter,
        mode: Mode,
        told: &mut dyn FnMut(Step),
    ) -> Result<Option<Section>, EnvironmentError> {
        let digest = asked.digest();
        if asked.is_empty() {
            return Ok(Some(Section::empty(digest)));
        }
        let python = format!("{} {}", base.probe.implementation, base.probe.minor);
        let slot = Slot { environment: name.to_owned(), python, platform: base.probe.platform.clone() };
        let locked = |lock: &Lock| lock.sections.get(&slot).filter(|section| section.asked == digest).cloned();
        if mode != Mode::Upgrade {
            match locked(&self.read_lock()?) {
                Some(section) => return Ok(Some(section)),
                None if mode == Mode::Frozen => return Ok(None),
                None => {}
            }
        }
        let held = self.hold_lock_file()?;
        let mut lock = self.read_lock()?;
        if let Some(section) = locked(&lock).filter(|_| mode != Mode::Upgrade) {
            return Ok(Some(section));
        }
        told(Step::Output(format!("resolving environment `{name}` for {}", base.probe.python())));
        let by = installer::choose(&self.setup, self.uv(), base, told)?;
        let before = lock.sections.get(&slot).filter(|_| mode != Mode::Upgrade);
        let folder = build::resolving(&self.setup.cache, &self.setup.lock_file, name);
        let resolution = Resolution { setup: &self.setup, base, asked, before, folder: &folder, held: &held };
        let section = Section::new(digest, resolution.run(&by, told)?);
        lock.sections.insert(slot, section.clone());
        self.write_lock(&lock)?;
        Ok(Some(section))
    }

    /// One process at a time changes the lock file.
    fn hold_lock_file(&self) -> Result<std::fs::File, EnvironmentError> {
        let folder = build::resolving(&self.setup.cache, &self.setup.lock_file, "");
        hold(&folder.with_extension("lock"), &self.setup.halt)
    }

    fn read_lock(&self) -> Result<Lock, EnvironmentError> {
        let path = &self.setup.lock_file;
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Lock::default()),
            Err(source) => return Err(EnvironmentError::Io { doing: "read", path: path.clone(), source }),
        };
        lock_text::read(&text).map_err(|why| EnvironmentError::BadFile { path: path.clone(), why })
    }

    fn write_lock(&self, lock: &Lock) -> Result<(), EnvironmentError> {
        let text = lock_text::write(lock);
        let path = self.setup.lock_file.canonicalize().unwrap_or_else(|_| self.setup.lock_file.clone());
        if std::fs::read(&path).is_ok_and(|bytes| bytes == text.as_bytes()) {
            return Ok(());
        }
        write_whole(&path, text.as_bytes()).map_err(|source| EnvironmentError::Io { doing: "write", path, source })
    }
}

/// `managed`, `user-managed`, `conda` or `docker`.
#[must_use]
pub fn kind_of(environment: &Environment) -> &'static str {
    match &environment.kind {
        EnvironmentKind::UserManaged { .. } => "user-managed",
        EnvironmentKind::Managed { .. } => "managed",
        EnvironmentKind::Conda(_) => "conda",
        EnvironmentKind::Docker(_) => "docker",
    }
}

impl Environments for Builder {
    fn halt(&self) {
        self.setup.halt.ask();
    }

    /// A user-managed environment without an interpreter has the key of no facts.
    fn key(
        &self,
        environment: &Environment,
        frozen: bool,
        told: &mut dyn FnMut(Step),
    ) -> Result<Option<Key>, EnvironmentError> {
        let key = match &environment.kind {
            EnvironmentKind::UserManaged { interpreter: None } => Some(Key::of(BTreeMap::new())),
            EnvironmentKind::UserManaged { interpreter: Some(wanted) } => Some(self.user_managed(wanted, frozen)?.1),
            EnvironmentKind::Managed { .. } | EnvironmentKind::Conda(_) => {
                let Some(wanted) = self.wanted(environment)? else { return Ok(None) };
                let mode = if frozen { Mode::Frozen } else { Mode::AsNeeded };
                self.managed(&environment.name, &wanted, mode, told)?.map(|managed| managed.key)
            }
            EnvironmentKind::Docker(docker) => docker::key(&self.setup, docker, frozen, told)?,
        };
        Ok(key.map(|key| spark::with(environment, key)))
    }

    fn ready(&self, environment: &Environment, told: &mut dyn FnMut(Step)) -> Result<Activation, EnvironmentError> {
        match &environment.kind {
            EnvironmentKind::UserManaged { interpreter: None } => Ok(Activation::default()),
            EnvironmentKind::UserManaged { interpreter: Some(wanted) } => {
                let (it, _) = self.user_managed(wanted, false)?;
                let (path, variables) = installed::activation(&it.probe);
                Ok(Activation { interpreter: Some(it.path), path, variables, container: None })
            }
            EnvironmentKind::Managed { .. } | EnvironmentKind::Conda(_) => {
                let managed = self.locked(environment, told)?;
                let place = build::ready(&self.setup, &environment.name, &managed, || self.uv(), told)?;
                let variable = place.folder.to_string_lossy().into_owned();
                Ok(Activation {
                    interpreter: Some(place.python()),
                    path: vec![place.folder.join("bin")],
                    variables: BTreeMap::from([("VIRTUAL_ENV".to_owned(), variable)]),
                    container: None,
                })
            }
            EnvironmentKind::Docker(docker) => docker::ready(&self.setup, docker, told),
        }
    }

    fn recipe(&self, environment: Option<&Environment>) -> Result<Recipe, EnvironmentError> {
        let Some(environment) = environment else { return Ok(Recipe::Bare) };
        match &environment.kind {
            EnvironmentKind::UserManaged { interpreter: None } => Ok(Recipe::Bare),
            EnvironmentKind::UserManaged { interpreter: Some(wanted) } => {
                let (_, key) = self.user_managed(wanted, false)?;
                Ok(Recipe::UserManaged { wanted: wanted.clone(), facts: key.facts })
            }
            EnvironmentKind::Managed { .. } | EnvironmentKind::Conda(_) => {
                installer::recipe(&self.locked(environment, &mut |_| {})?)
            }
            EnvironmentKind::Docker(docker) => docker::recipe(&self.setup, docker),
        }
    }
}
