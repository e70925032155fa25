//! Finds, reads and resolves the Amlfile, and makes the plan that a command asks for; draws what is wrong with them.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::error::CliError;
use super::exit::Exit;
use super::options::{Cli, Common, PlanOptions};
use super::surroundings::Surroundings;
use crate::console::ci::Service;
use crate::console::{self, Style, diagnostics};
use crate::diagnostic::{Diagnostic, Source, any_error, sort};
use crate::plan::job::Plan;
use crate::plan::request::Request;
use crate::project::{Found, Project, refusals};
use crate::relpath::RelPath;
use crate::{amlfile, plan, project};

/// A project that was read without a fault.
#[derive(Debug)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// The workspace's folder, absolute.
    pub root: PathBuf,
    /// The Amlfile, absolute.
    pub amlfile: PathBuf,
    /// Its text.
    pub source: Source,
    json: bool,
    ci: Option<Service>,
    style: Style,
    warned: Cell<bool>,
}

/// Where the command looks: `-C`, else the current folder.
#[must_use]
pub fn start(common: &Common, here: &Surroundings) -> PathBuf {
    common.directory.as_ref().map_or_else(|| here.cwd.clone(), |folder| here.cwd.join(folder))
}

/// Finds the Amlfile: the one named by `-f`, else the first in the folder or above it.
///
/// # Errors
/// Where there is none.
pub fn find(common: &Common, here: &Surroundings) -> Result<PathBuf, CliError> {
    let from = start(common, here);
    if !from.is_dir() {
        return Err(CliError::usage(format!("there is no folder {}", from.display())));
    }
    let from =
        from.canonicalize().map_err(|error| CliError::world(format!("could not read {}: {error}", from.display())))?;
    if let Some(file) = &common.file {
        let file = from.join(file);
        return if std::fs::symlink_metadata(&file).is_ok() {
            Ok(file)
        } else {
            Err(CliError::usage(format!("there is no file {}", file.display())))
        };
    }
    let found =
        from.ancestors().map(|folder| folder.join("Amlfile")).find(|file| std::fs::symlink_metadata(file).is_ok());
    found.ok_or_else(|| {
        CliError::usage(format!("there is no Amlfile in {} or above it", from.display()))
            .hint("`amlrun init` writes one after looking at the folder")
    })
}

/// The folder whose `.amlrun` a command means, for commands that work even where the Amlfile is broken or gone.
///
/// # Errors
/// Where neither an Amlfile nor a `.amlrun` is to be found.
pub fn find_root(common: &Common, here: &Surroundings) -> Result<PathBuf, CliError> {
    let from = start(common, here);
    let state = from.ancestors().find(|folder| folder.join(".amlrun").is_dir()).map(Path::to_owned);
    match find(common, here) {
        Ok(file) => Ok(file.parent().map_or(from, Path::to_owned)),
        Err(error) => state.ok_or(error),
    }
}

/// Reads and resolves the project, and draws all its faults.
///
/// # Errors
/// Where there is none, or it has faults.
pub fn load(common: &Common, here: &Surroundings) -> Result<Loaded, CliError> {
    let found = read(common, here)?;
    resolve(found, common, here)
}

/// An Amlfile that was read, and not looked into yet.
#[derive(Debug)]
pub struct Read {
    /// The Amlfile, absolute.
    pub file: PathBuf,
    /// The workspace's folder, absolute.
    pub root: PathBuf,
    /// Its text.
    pub source: Source,
}

/// Finds and reads the Amlfile.
///
/// # Errors
/// Where there is none, or it cannot be read.
pub fn read(common: &Common, here: &Surroundings) -> Result<Read, CliError> {
    let file = find(common, here)?;
    let root = file.parent().map_or_else(|| here.cwd.clone(), Path::to_owned);
    let shown = file.strip_prefix(&here.cwd).unwrap_or(&file).display().to_string();
    let source = amlfile::load(&file, &shown).map_err(|error| {
        let mut error = CliError::world(error);
        error.exit = Exit::Usage;
        error
    })?;
    Ok(Read { file, root, source })
}

/// Resolves an Amlfile that was read, and draws all its faults.
///
/// # Errors
/// Where it has faults.
pub fn resolve(read: Read, common: &Common, here: &Surroundings) -> Result<Loaded, CliError> {
    let (loaded, faults) = examine(read, common, here);
    loaded.report(&faults)?;
    Ok(loaded)
}

/// Resolves an Amlfile that was read, as far as its faults allow, and tells none of them.
#[must_use]
pub fn examine(read: Read, common: &Common, here: &Surroundings) -> (Loaded, Vec<Diagnostic>) {
    let Read { file, root, source } = read;
    let style = Style::choose(&common.color, |name| here.variable(name), here.terminal);
    let (document, mut faults) = amlfile::parse(&source);
    let name = root.file_name().map_or_else(|| "workspace".to_owned(), |name| name.to_string_lossy().into_owned());
    let probe = |path: &RelPath| match std::fs::metadata(root.join(path.as_path())) {
        Ok(found) if found.is_dir() => Found::Folder,
        Ok(_) => Found::File,
        Err(_) => Found::Missing,
    };
    let (project, more) = project::resolve(&document, &name, &probe);
    faults.extend(more);
    faults.extend(super::shared::fault(&project.workspace, &root));
    if any_error(&faults) && !document.broken {
        // The graph has faults of its own; all are told at once.
        let request = Request { variables: here.variables.clone(), ..Request::default() };
        faults.extend(plan::build(&project, &request, root.clone()).1);
    }
    sort(&mut faults);
    drop(document);
    let ci = Service::detect(|name| here.variable(name));
    let warned = Cell::new(false);
    (Loaded { project, root, amlfile: file, source, json: common.json, ci, style, warned }, faults)
}

/// A goal that names nothing may be a mistyped command.
fn or_command(fault: Diagnostic, goals: &[String]) -> Diagnostic {
    if fault.code != "nothing-matched" {
        return fault;
    }
    let commands = Cli::command();
    let names = || commands.get_subcommands().map(clap::Command::get_name);
    let meant = |goal: &String| amlfile::suggest::nearest(goal, names());
    let goal = goals.iter().find(|goal| fault.message.ends_with(&format!("`{goal}`")));
    match goal.and_then(meant) {
        Some(name) => fault.help(format!("there is a command `amlrun {name}`")),
        None => fault,
    }
}

impl Loaded {
    /// Draws faults; warnings let the work go on.
    ///
    /// # Errors
    /// Where one of them is an error.
    pub fn report(&self, faults: &[Diagnostic]) -> Result<(), CliError> {
        if faults.is_empty() {
            return Ok(());
        }
        self.warned.set(true);
        for annotation in faults.iter().filter_map(|fault| self.ci?.annotation(&self.source, fault)) {
            console::err(&annotation);
        }
        if self.json && any_error(faults) {
            console::out(&console::json::document(&diagnostics::data(&self.source, faults)));
        } else {
            console::err(&diagnostics::draw(&self.source, faults, self.style.is_colored()));
        }
        if !any_error(faults) {
            return Ok(());
        }
        let unmatched =
            faults.iter().all(|fault| fault.code == "nothing-matched" || !any_error(std::slice::from_ref(fault)));
        Err(CliError::told(if unmatched { Exit::NothingMatched } else { Exit::Usage }))
    }

    /// Whether there was something to say of the Amlfile, be it a warning.
    #[must_use]
    pub fn warned(&self) -> bool {
        self.warned.get()
    }

    /// Makes the plan that a command asks for.
    ///
    /// # Errors
    /// Where it has faults.
    pub fn plan(&self, options: &PlanOptions, here: &Surroundings) -> Result<Plan, CliError> {
        let request = request(options, here)?;
        let (plan, faults) = plan::build(&self.project, &request, self.root.clone());
        let faults: Vec<Diagnostic> = faults.into_iter().map(|fault| or_command(fault, &options.goals)).collect();
        self.report(&faults)?;
        Ok(plan)
    }

    /// Refuses what this build cannot carry out.
    ///
    /// # Errors
    /// Where the plan needs it.
    pub fn available(&self, plan: &Plan) -> Result<(), CliError> {
        self.report(&refusals(&self.project, plan.jobs.iter().map(|job| (job.experiment, job.target))))
    }

    /// How messages are coloured.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }
}

/// The request of a command.
///
/// # Errors
/// Where a `--set` is not NAME=VALUE.
pub fn request(options: &PlanOptions, here: &Surroundings) -> Result<Request, CliError> {
    let set = options.set.iter().map(|text| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(CliError::usage(format!("`--set {text}` is not NAME=VALUE"))),
    });
    Ok(Request {
        goals: options.goals.clone(),
        set: set.collect::<Result<_, _>>()?,
        target: options.target.clone(),
        variables: here.variables.clone(),
    })
}
