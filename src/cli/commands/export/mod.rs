//! `amlrun export --format … [GOAL…]`: writes a plan as the files of another tool; never over a file that says something
//! else, of which it shows a diff, unless it is told to. Reports what the other tool has no words for.

mod report;
mod taken;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::import::Folder;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, ExportOptions};
use crate::cli::project;
use crate::cli::surroundings::Surroundings;
use crate::console::{self, clean};
use crate::export::{self, Context};
use crate::foreign::Report;
use crate::relpath::RelPath;
use crate::tree::asset::{self, Asset};
use crate::vcs;

/// What became of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Done {
    /// They were written.
    Written,
    /// They say all that already.
    Unchanged,
    /// Some say something else: a diff was printed, and nothing was written.
    Differs,
}

/// A source directory as the other tool takes it.
struct Code {
    directory: RelPath,
    found: Result<Asset, String>,
}

/// Plans, writes, and reports.
///
/// # Errors
/// Where the project or the goals have faults, or the files cannot be written.
pub fn run(options: &ExportOptions, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let loaded = project::load(common, here)?;
    let plan = loaded.plan(&options.plan, here)?;
    let folder = folder(options, &loaded.root, here);
    let look = Folder::new(&loaded.root);
    let (document, _) = crate::amlfile::parse(&loaded.source);
    let context = Context {
        project: &loaded.project,
        plan: &plan,
        source: &loaded.source,
        document: &document,
        look: &look,
        back: back(&folder, &loaded.root),
        set: options.plan.set.iter().filter_map(|set| Some(set.split_once('=')?.0.to_owned())).collect(),
        report: Report::default(),
    };
    let exported = match options.format.as_str() {
        "mlproject" => export::mlproject::export(context),
        "github-actions" => export::actions::export(context, &options.plan.goals, &inside(&loaded.root)),
        _ => export::azureml::export(context),
    };
    let settled = settle(&folder, &exported.files, options.force)?;
    let takers = taken::takers(&loaded, here, &settled.written);
    // With what was written: that would be uploaded too.
    let code: Vec<Code> = exported
        .code
        .iter()
        .map(|directory| Code {
            directory: directory.clone(),
            found: asset::asset(&loaded.root.join(directory.as_path())),
        })
        .collect();
    let Settled { done, diff, .. } = settled;
    let shown = clean::clean(&folder.strip_prefix(&here.cwd).unwrap_or(&folder).display().to_string()).into_owned();
    let shown = if shown.is_empty() { ".".to_owned() } else { shown };
    if common.json {
        console::out(&console::json::document(&report::document(&exported, &shown, done, &code, &takers)));
    } else {
        report::print(&exported, &code, common, here);
        if let Some(note) = taken::note(&takers) {
            console::err(&format!("note: {note}"));
        }
        if !diff.is_empty() {
            console::out(&diff);
        }
    }
    if !common.quiet && !common.json {
        let files: Vec<&str> = exported.files.keys().map(String::as_str).collect();
        console::err(&match done {
            _ if files.is_empty() => "there is nothing to write".to_owned(),
            Done::Written => format!("wrote to {shown}: {}", files.join(", ")),
            Done::Unchanged => format!("{shown} says all that already: {}", files.join(", ")),
            Done::Differs => format!(
                "nothing was written: {shown} has files that say something else, as shown above; --force replaces them"
            ),
        });
    }
    Ok(Exit::Done)
}

/// Where the workspace lies in its repository; empty at its top, and where there is none.
fn inside(root: &Path) -> String {
    let repository = root.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(root);
    root.strip_prefix(repository).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Where the files go: `--to`, seen from the folder of the command; else where the other tool looks for them.
fn folder(options: &ExportOptions, root: &Path, here: &Surroundings) -> PathBuf {
    let usual = || match options.format.as_str() {
        "mlproject" => root.to_owned(),
        "github-actions" => {
            let repository = root.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(root);
            repository.join(".github/workflows")
        }
        _ => root.join("azureml"),
    };
    let folder = options.to.as_ref().map_or_else(usual, |to| here.cwd.join(to));
    let mut clean = PathBuf::new();
    for part in folder.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    // The part that is there already, without links; the workspace's own path has none.
    let there = clean.ancestors().find_map(|above| Some((above.canonicalize().ok()?, above)));
    match there {
        Some((real, above)) => match clean.strip_prefix(above) {
            Ok(rest) if rest.as_os_str().is_empty() => real,
            Ok(rest) => real.join(rest),
            Err(_) => clean,
        },
        None => clean,
    }
}

/// How the workspace is seen from a folder.
fn back(folder: &Path, root: &Path) -> String {
    let (mut here, mut there) = (folder.components().peekable(), root.components().peekable());
    while here.peek().is_some() && here.peek() == there.peek() {
        here.next();
        there.next();
    }
    let up = here.map(|_| std::path::Component::ParentDir);
    let path: PathBuf = up.chain(there).collect();
    if path.as_os_str().is_empty() { ".".to_owned() } else { path.to_string_lossy().into_owned() }
}

/// What was done with the files.
struct Settled {
    done: Done,
    /// Of what says something else.
    diff: String,
    written: Vec<PathBuf>,
}

/// Writes all of them, or none where one would be written over.
fn settle(folder: &Path, files: &BTreeMap<String, String>, force: bool) -> Result<Settled, CliError> {
    let mut diff = String::new();
    let mut new = Vec::new();
    for (name, text) in files {
        let place = folder.join(name);
        match std::fs::read(&place) {
            Ok(known) if known == text.as_bytes() => {}
            Ok(known) => {
                diff.push_str(&vcs::text_diff(Some(&known), Some(text.as_bytes()), name));
                new.push((place, text));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && place.symlink_metadata().is_err() => {
                new.push((place, text));
            }
            Err(error) => return Err(CliError::world(format!("could not read {}: {error}", place.display()))),
        }
    }
    if !diff.is_empty() && !force {
        return Ok(Settled { done: Done::Differs, diff, written: Vec::new() });
    }
    let done = if new.is_empty() { Done::Unchanged } else { Done::Written };
    let mut written = Vec::new();
    for (place, text) in new {
        write(&place, text, force)?;
        written.push(place);
    }
    Ok(Settled { done, diff: String::new(), written })
}

/// Writes a file that is whole or not there.
fn write(place: &Path, text: &str, force: bool) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::world(format!("could not write {}: {error}", place.display()));
    let folder = place.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.prefix(".amlrun-export").tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let persisted = if force { file.persist(place) } else { file.persist_noclobber(place) };
    persisted.map(drop).map_err(|error| failed(error.error))
}
