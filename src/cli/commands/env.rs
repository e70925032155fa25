//! `amlrun env`: the environments of the Amlfile, listed, locked, built and shown.

use serde::Serialize;

use crate::amlfile::suggest::nearest;
use crate::cli::assemble::{lock_file, setup};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, EnvCommand};
use crate::cli::project::{self, Loaded};
use crate::cli::surroundings::Surroundings;
use crate::console::clean::clean_line;
use crate::console::json::document;
use crate::console::style::Paint;
use crate::console::table::{Cell, Table};
use crate::console::terminal::out_width;
use crate::console::{self, Style, words};
use crate::environment::{Builder, EnvironmentError, Environments, Look, Step, kind_of};
use crate::project::model::{Environment, EnvironmentKind};
use crate::staleness::Key;

/// Does what the command says.
///
/// # Errors
/// Where the project has faults, a name is not declared, or an environment is not to be had.
pub fn run(command: &EnvCommand, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let loaded = project::load(common, here)?;
    let builder = Builder::new(setup(&loaded.root, lock_file(&loaded.amlfile), here));
    let style = Style::choose(&common.color, |name| here.variable(name), here.stdout_terminal);
    match command {
        EnvCommand::List => list(&loaded, &builder, common, style),
        EnvCommand::Show { name } => show(&loaded, &builder, name, common, style),
        EnvCommand::Lock { names, upgrade } => lock(&loaded, &builder, names, *upgrade, common),
        EnvCommand::Build { names } => build(&loaded, &builder, names, common),
    }
}

/// The environments of these names; all where none is named.
fn chosen<'l>(loaded: &'l Loaded, names: &[String]) -> Result<Vec<&'l Environment>, CliError> {
    let all = &loaded.project.environments;
    if names.is_empty() {
        return Ok(all.iter().collect());
    }
    let find = |name: &String| {
        all.iter().find(|environment| environment.name == *name).ok_or_else(|| {
            let error = CliError::nothing(format!("there is no environment {}", words::name(name)));
            let declared: Vec<&str> = all.iter().map(|environment| environment.name.as_str()).collect();
            match nearest(name, declared.iter().copied()) {
                Some(near) => error.hint(format!("did you mean {}?", words::name(near))),
                None if declared.is_empty() => error.hint("the Amlfile declares none"),
                None => error.hint(format!("the Amlfile has {}", words::names(&declared))),
            }
        })
    };
    names.iter().map(find).collect()
}

/// An environment as `--json` tells it.
#[derive(Debug, Serialize)]
struct Told<'t> {
    name: &'t str,
    kind: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    python: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interpreter: Option<String>,
    /// Absent where nothing is asked for that could be locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    locked: Option<bool>,
    built: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    packages: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'t Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<Vec<Pinned<'t>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// A locked package.
#[derive(Debug, Serialize)]
struct Pinned<'t> {
    name: &'t str,
    version: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'t str>,
    hashes: &'t [String],
}

/// The packages that an environment has: those of its lock, or those that are installed.
fn packages(look: &Look) -> Option<usize> {
    let installed = |key: &Key| key.facts.keys().filter(|name| name.starts_with("package ")).count();
    let is_python = look.python.is_some();
    look.section.as_ref().map(|section| section.packages.len()).or(look
        .key
        .as_ref()
        .filter(|_| is_python)
        .map(installed))
}

/// Whether it is locked; none where there is nothing to lock.
fn locked(environment: &Environment, look: &Look) -> Option<bool> {
    matches!(environment.kind, EnvironmentKind::Managed { .. }).then_some(look.key.is_some())
}

fn told<'t>(environment: &'t Environment, look: &'t Look, whole: bool) -> Told<'t> {
    let pinned = |section: &'t crate::environment::Section| {
        let one = |p: &'t crate::environment::Package| Pinned {
            name: &p.name,
            version: &p.version,
            source: p.source.as_deref(),
            hashes: &p.hashes,
        };
        section.packages.iter().map(one).collect()
    };
    Told {
        name: &environment.name,
        kind: look.kind,
        python: look.python.clone(),
        interpreter: look.interpreter.as_ref().map(|path| path.display().to_string()),
        locked: locked(environment, look),
        built: look.built,
        packages: packages(look),
        place: look.place.as_ref().map(|path| path.display().to_string()),
        bytes: look.size,
        key: look.key.as_ref(),
        lock: look.section.as_ref().filter(|_| whole).map(pinned),
        problem: None,
    }
}

fn list(loaded: &Loaded, builder: &Builder, common: &Common, style: Style) -> Result<Exit, CliError> {
    let looks: Vec<(&Environment, Result<Look, String>)> = chosen(loaded, &[])?
        .into_iter()
        .map(|environment| (environment, builder.look(environment).map_err(|error| error.to_string())))
        .collect();
    if common.json {
        let one = |(environment, look): &'_ (&Environment, Result<Look, String>)| match look {
            Ok(look) => serde_json::to_value(told(environment, look, false)).unwrap_or_default(),
            Err(problem) => serde_json::json!({ "name": environment.name, "problem": problem }),
        };
        console::out(&document(&looks.iter().map(one).collect::<Vec<_>>()));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["NAME", "KIND", "PYTHON", ">PACKAGES", "LOCKED", "BUILT"]);
    let yes = |is: Option<bool>| match is {
        Some(true) => Cell::painted("yes", Paint::Good),
        Some(false) => Cell::painted("no", Paint::Caution),
        None => Cell::painted("-", Paint::Dim),
    };
    for (environment, look) in &looks {
        let name = Cell::painted(&environment.name, Paint::Bold);
        match look {
            Ok(look) => {
                let count = packages(look).map_or_else(|| "-".to_owned(), |n| n.to_string());
                let built = locked(environment, look).map(|_| look.built);
                let python = look.python.clone().unwrap_or_else(|| "-".to_owned());
                let cells =
                    [name, look.kind.into(), python.into(), count.into(), yes(locked(environment, look)), yes(built)];
                table.row(cells);
            }
            Err(_) => {
                table.row([name, kind_of(environment).into(), Cell::painted("not found", Paint::Bad)]);
            }
        }
    }
    console::out(&table.render(style, out_width()));
    for (environment, look) in &looks {
        if let Err(problem) = look {
            console::err(&format!("warning: environment {}: {problem}", words::name(&environment.name)));
        }
    }
    Ok(Exit::Done)
}

fn show(loaded: &Loaded, builder: &Builder, name: &str, common: &Common, style: Style) -> Result<Exit, CliError> {
    let environment =
        *chosen(loaded, &[name.to_owned()])?.first().ok_or_else(|| CliError::nothing("nothing to show"))?;
    let look = builder.look(environment).map_err(|error| failed(environment, &error))?;
    if common.json {
        console::out(&document(&told(environment, &look, true)));
        return Ok(Exit::Done);
    }
    let mut rows = vec![("name", environment.name.clone()), ("kind", look.kind.to_owned())];
    rows.push(match &look.key {
        Some(key) => ("key", key.digest.to_string()),
        None if locked(environment, &look).is_some() => {
            ("key", "not known before it is locked: run `amlrun env lock`".to_owned())
        }
        None => ("key", "not available in this build".to_owned()),
    });
    if let Some(place) = &look.place {
        let state = look.size.map_or_else(|| "not built yet".to_owned(), words::bytes);
        rows.push(("place", format!("{} ({state})", place.display())));
    }
    if let Some(interpreter) = &look.interpreter {
        rows.push(("interpreter", interpreter.display().to_string()));
    }
    let facts = look.key.iter().flat_map(|key| &key.facts).filter(|(name, _)| *name != "interpreter");
    rows.extend(facts.map(|(name, value)| (name.as_str(), value.clone())));
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        style.push(&mut text, Paint::Dim, &format!("{name:<width$}  "));
        text.push_str(&console::clean::clean(&value));
        text.push('\n');
    }
    console::out(&text);
    Ok(Exit::Done)
}

/// What went wrong, with the name of the environment that it went wrong with.
fn failed(environment: &Environment, error: &EnvironmentError) -> CliError {
    CliError::world(format!("environment {}: {error}", words::name(&environment.name)))
}

/// Tells on stderr what the installer says, each line after the environment's name.
fn teller(name: &str, quiet: bool) -> impl FnMut(Step) {
    move |step| match step {
        Step::Output(line) if !quiet => {
            console::err(&format!("{} | {}", console::clean::clean(name), clean_line(&line)));
        }
        Step::Started if !quiet => console::err(&format!("environment {}: building", words::name(name))),
        _ => {}
    }
}

fn lock(
    loaded: &Loaded,
    builder: &Builder,
    names: &[String],
    upgrade: bool,
    common: &Common,
) -> Result<Exit, CliError> {
    let mut done: Vec<(&Environment, Look)> = Vec::new();
    for environment in chosen(loaded, names)? {
        let failed = |error| failed(environment, &error);
        let mut tell = teller(&environment.name, common.quiet);
        if builder.lock(environment, upgrade, &mut tell).map_err(failed)? {
            done.push((environment, builder.look(environment).map_err(failed)?));
        }
    }
    if names.is_empty() {
        let declared: Vec<&str> = loaded.project.environments.iter().map(|e| e.name.as_str()).collect();
        builder.prune(&declared)?;
    }
    report(&done, common, true, |look| {
        let count = look.section.as_ref().map_or(0, |section| section.packages.len());
        format!("locked, {}", words::count(count, "package"))
    });
    if done.is_empty() && !common.json {
        console::err("nothing to lock: no environment asks for packages");
    }
    Ok(Exit::Done)
}

fn build(loaded: &Loaded, builder: &Builder, names: &[String], common: &Common) -> Result<Exit, CliError> {
    let mut done: Vec<(&Environment, Look)> = Vec::new();
    for environment in chosen(loaded, names)? {
        let is_managed = matches!(environment.kind, EnvironmentKind::Managed { .. });
        // Those that amlrun does not build are passed over, unless they are asked for.
        if is_managed || !names.is_empty() {
            let failed = |error| failed(environment, &error);
            builder.ready(environment, &mut teller(&environment.name, common.quiet)).map_err(failed)?;
            done.push((environment, builder.look(environment).map_err(failed)?));
        }
    }
    report(&done, common, false, |look| match (&look.place, look.size) {
        (Some(place), Some(size)) => format!("ready, {}, {}", words::bytes(size), place.display()),
        _ => "ready, managed by the user".to_owned(),
    });
    if done.is_empty() && !common.json {
        console::err("nothing to build: no environment is managed by amlrun");
    }
    Ok(Exit::Done)
}

/// The answer on stdout: a line for each, or one list as JSON.
fn report(done: &[(&Environment, Look)], common: &Common, whole: bool, say: impl Fn(&Look) -> String) {
    if common.json {
        let all: Vec<Told<'_>> = done.iter().map(|(environment, look)| told(environment, look, whole)).collect();
        console::out(&document(&all));
        return;
    }
    for (environment, look) in done {
        console::out(&format!("environment {}: {}", words::name(&environment.name), say(look)));
    }
}
