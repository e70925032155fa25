//! The composition root: picks and builds every port. The only place besides the engine where two ports meet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::earlier::Recorded;
use super::error::CliError;
use super::options::{Common, RunOptions};
use super::project::Loaded;
use super::shared::Chosen;
use super::surroundings::Surroundings;
use crate::clock::{Clock, SystemClock};
use crate::console::ci::Service;
use crate::engine::locks::Locks;
use crate::engine::sharing::Sharing;
use crate::engine::{EngineError, Remotes, World};
use crate::environment::{Builder, Halt, Setup};
use crate::history::Invocation;
use crate::history::sqlite::SqliteHistory;
use crate::plan::job::Plan;
use crate::project::model::{Project, TargetKind};
use crate::relpath::RelPath;
use crate::schedule::Capacity;
use crate::store::disk::DiskStore;
use crate::target::local::Local;
use crate::target::ray::Ray;
use crate::target::remote::Remote;
use crate::target::slurm::Slurm;
use crate::target::ssh::Ssh;
use crate::tracking::server::Server;
use crate::tree::Ground;

/// Everything that a world borrows.
#[derive(Debug)]
pub struct Parts<'c> {
    clock: &'c SystemClock,
    root: PathBuf,
    state: PathBuf,
    ground: Ground,
    store: DiskStore,
    environments: Builder,
    local: Local<'c>,
    remotes: Remotes<'c>,
    locks: Locks,
    shared: Option<Sharing>,
    tracking: Server,
    variables: BTreeMap<String, String>,
}

impl<'c> Parts<'c> {
    /// Builds the ports for a plan. Nothing is read or written before it is needed.
    ///
    /// # Errors
    /// Where an output's glob cannot be understood.
    pub fn new(loaded: &Loaded, plan: &Plan, here: &Surroundings, clock: &'c SystemClock) -> Result<Self, CliError> {
        let state = loaded.root.join(".amlrun");
        let mut ground = Ground::open(&loaded.root, &state);
        let lock_file = lock_file(&loaded.amlfile);
        let own = |path: &Path| path.strip_prefix(&loaded.root).ok().and_then(|path| RelPath::new(path).ok());
        let files: Vec<RelPath> = [own(&loaded.amlfile), own(&lock_file)].into_iter().flatten().collect();
        ground.exclude(&plan.declared_outputs, &files)?;
        Ok(Self {
            clock,
            ground,
            store: DiskStore::open(&state.join("objects-v1")),
            environments: Builder::new(setup(&loaded.root, lock_file, here)),
            local: Local::new(clock),
            remotes: remotes(&loaded.project, here, clock),
            locks: Locks::new(&state),
            shared: None,
            tracking: Server::new(
                Box::new(Recorded::at(state.join("history.db"))),
                loaded.project.experiments.iter().map(|experiment| experiment.name.clone()).collect(),
            ),
            variables: here.variables.clone(),
            root: loaded.root.clone(),
            state,
        })
    }

    /// Shares runs by this cache.
    pub fn share_by(&mut self, chosen: &Chosen) {
        self.shared = Some(chosen.sharing(&self.state));
    }

    /// The cache that runs are shared by.
    #[must_use]
    pub fn shared(&self) -> Option<&Sharing> {
        self.shared.as_ref()
    }

    /// The world of these parts.
    #[must_use]
    pub fn world(&self) -> World<'_> {
        World {
            clock: self.clock,
            root: &self.root,
            state: &self.state,
            ground: &self.ground,
            store: &self.store,
            environments: &self.environments,
            local: &self.local,
            shared: self.shared.as_ref(),
            tracking: Some(&self.tracking),
            remotes: &self.remotes,
            locks: &self.locks,
            variables: &self.variables,
        }
    }

    /// The records, for reading or for writing.
    #[must_use]
    pub fn history(&self, write: bool) -> SqliteHistory {
        SqliteHistory::open(&self.state.join("history.db"), write)
    }

    /// Makes `.amlrun`, which ignores itself.
    ///
    /// # Errors
    /// Where the workspace cannot be written.
    pub fn make_state(&self) -> Result<(), CliError> {
        make_state(&self.state)
    }
}

/// Makes `.amlrun`, which ignores itself.
///
/// # Errors
/// Where the workspace cannot be written.
pub fn make_state(state: &Path) -> Result<(), CliError> {
    let ignore = state.join(".gitignore");
    if ignore.exists() {
        return Ok(());
    }
    let make = || -> std::io::Result<()> {
        use std::io::Write as _;
        std::fs::create_dir_all(state)?;
        let mut file = readable(&mut tempfile::Builder::new()).tempfile_in(state)?;
        file.write_all(b"# amlrun's state: safe to delete, never to be committed\n*\n")?;
        file.persist(&ignore).map(drop).map_err(|error| error.error)
    };
    make().map_err(|error| {
        CliError::world(format!("could not make {}: {error}", state.display()))
            .hint("amlrun keeps its state in the workspace, which must be writable for a run")
    })
}

/// The targets elsewhere that this build carries out. None is connected to before it is needed.
#[must_use]
pub fn remotes<'c>(project: &Project, here: &Surroundings, clock: &'c dyn Clock) -> Remotes<'c> {
    let cache = here.cache_folder();
    let made = project.targets.iter().enumerate().filter_map(|(at, target)| {
        let login = target.options.get("login").and_then(toml::Value::as_str);
        let login = login.and_then(|name| project.targets.iter().find(|other| other.name == name));
        let remote: Box<dyn Remote + 'c> = match target.kind {
            TargetKind::Slurm => Box::new(Slurm::new(target, login, &cache, clock)),
            TargetKind::Ray => Box::new(Ray::new(target, login, &cache, &here.variables, clock)),
            TargetKind::Ssh => Box::new(Ssh::new(target, &cache, clock)),
            _ => return None,
        };
        Some((at, remote))
    });
    made.collect()
}

/// What environments are made of here. Variables that change what a Python finds do not reach a job, so they may not
/// change what its environment is taken for either.
#[must_use]
pub fn setup(root: &Path, lock_file: PathBuf, here: &Surroundings) -> Setup {
    let variables = here.variables.iter().filter(|(name, _)| !name.starts_with("PYTHON"));
    Setup {
        root: root.to_owned(),
        cache: here.cache_folder(),
        state: root.join(".amlrun"),
        variables: variables.map(|(name, value)| (name.clone(), value.clone())).collect(),
        lock_file,
        halt: Halt::default(),
    }
}

/// A temporary file that becomes a lasting one may be read by whoever the umask lets.
fn readable<'b>(builder: &'b mut tempfile::Builder<'static, 'static>) -> &'b mut tempfile::Builder<'static, 'static> {
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
}

/// The lock of environments, beside the Amlfile.
#[must_use]
pub fn lock_file(amlfile: &Path) -> PathBuf {
    let mut name = amlfile.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    amlfile.with_file_name(name)
}

/// A new invocation. The git properties are added when it is put on record.
#[must_use]
pub fn invocation(here: &Surroundings, loaded: &Loaded, clock: &SystemClock) -> Invocation {
    let secrets: Vec<&String> = loaded.project.experiments.iter().flat_map(|e| &e.secrets).collect();
    let shown = |word: &std::ffi::OsString| {
        let word = word.to_string_lossy().into_owned();
        let assigned = word.rsplit_once("--set=").map_or(word.as_str(), |(_, rest)| rest).split_once('=');
        match assigned {
            Some((name, _)) if secrets.iter().any(|secret| *secret == name) => format!("{name}=***"),
            _ => word,
        }
    };
    Invocation {
        id: uuid::Uuid::new_v4().simple().to_string(),
        started: clock.now(),
        argv: here.argv.iter().map(shown).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        user: here.variable("USER").or_else(|| here.variable("LOGNAME")).unwrap_or_default().to_owned(),
        properties: BTreeMap::new(),
    }
}

/// What the machine has: `-j` or its processors, its GPUs, its memory.
#[must_use]
pub fn machine(options: &RunOptions, here: &Surroundings) -> Capacity {
    let processors = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let named = here.variables.get("CUDA_VISIBLE_DEVICES").map(|names| {
        let count = names.split(',').filter(|name| !name.trim().is_empty() && name.trim() != "-1").count();
        u32::try_from(count).unwrap_or(0)
    });
    let devices = || {
        let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
        let gpu = |name: &str| {
            name.strip_prefix("nvidia").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        u32::try_from(entries.filter(|entry| entry.file_name().to_str().is_some_and(gpu)).count()).unwrap_or(0)
    };
    let about = rustix::system::sysinfo();
    Capacity {
        cpus: options.jobs.unwrap_or(processors).max(1),
        gpus: named.unwrap_or_else(devices),
        memory: about.totalram.saturating_mul(u64::from(about.mem_unit)),
    }
}

/// An engine's error as the command line tells it.
#[must_use]
pub fn engine_error(error: EngineError, loaded: &Loaded, plan: &Plan) -> CliError {
    let EngineError::InputsMissing(missing) = error else { return CliError::world(error) };
    let mut faults = Vec::new();
    for (job, at) in missing {
        let input = &plan.jobs[job.0].inputs[at];
        let path = crate::engine::judging::shown(&input.path);
        let message =
            format!("the input `{path}` of job `{}` is not there, and no job makes it", plan.jobs[job.0].name);
        let fault = crate::diagnostic::Diagnostic::error("missing-input", input.span.clone(), message, "not there");
        if !faults.iter().any(|other: &crate::diagnostic::Diagnostic| other.primary == fault.primary) {
            faults.push(
                fault.help("put the file there, mend the path, or declare it as an output of the job that makes it"),
            );
        }
    }
    loaded.report(&faults).err().unwrap_or_else(|| CliError::usage("inputs are missing"))
}

/// How a command wants its events told.
#[must_use]
pub fn choice(common: &Common, here: &Surroundings, dry_run: bool) -> crate::console::Choice {
    // The lines of a dry run are data: they go to stdout.
    let terminal = if dry_run { here.stdout_terminal } else { here.terminal };
    let color = crate::console::Style::choose(&common.color, |name| here.variable(name), terminal).is_colored();
    crate::console::Choice {
        // A dumb terminal can move no cursor: it gets plain lines.
        terminal: here.terminal && here.variable("TERM") != Some("dumb"),
        json: common.json,
        quiet: common.quiet,
        verbose: common.verbose,
        ci: Service::detect(|name| here.variable(name)),
        color,
        dry_run,
    }
}
