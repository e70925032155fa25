//! `amlrun import [PATH…]`: reads the projects of other tools and writes the Amlfile that says the same; never over one
//! that is there, to which it proposes a diff. Reports what became of every key.

mod adopt;
mod folder;
mod md5;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::Common;
use crate::cli::surroundings::Surroundings;
use crate::console::style::Paint;
use crate::console::table::{Cell, Table};
use crate::console::{self, Style, clean, diagnostics};
use crate::diagnostic::{Diagnostic, Source};
use crate::foreign::{self, Imported, Outcome, write};
use crate::vcs;

pub(super) use folder::Folder;

/// What became of the Amlfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Done {
    /// It was written.
    Written,
    /// It says all that already.
    Unchanged,
    /// It says something else: a diff was printed.
    Differs,
    /// `--check`: nothing was looked for or written.
    Checked,
}

/// Reads, writes where there is nothing yet, and reports.
///
/// # Errors
/// Where nothing was found, a file cannot be read, or the folder not be written.
pub fn run(paths: &[PathBuf], check: bool, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let start = crate::cli::project::start(common, here);
    let root = start
        .canonicalize()
        .map_err(|error| CliError::world(format!("could not open {}: {error}", start.display())))?;
    let look = Folder::new(&root);
    let wanted = wanted(paths, &root, here)?;
    let imported = foreign::import(&look, &wanted);
    let place = root.join(common.file.as_deref().unwrap_or(Path::new("Amlfile")));
    let text = write::amlfile(&imported.proposal, &imported.sources);
    let style = Style::choose(&common.color, |name| here.variable(name), here.stdout_terminal);
    let broken = !imported.faults.is_empty();
    if imported.proposal.is_empty() {
        tell_faults(&imported.faults, common, here);
        if common.json {
            console::out(&console::json::document(&document(&imported, None, Done::Checked, &[])));
        } else {
            report(&imported, style);
        }
        let nothing = CliError::nothing("nothing of another tool was found that could be imported")
            .hint("it reads Azure ML's .runconfig, config.json and YAML, MLproject, dvc.yaml, conda files, and SDK v1 calls in .py and .ipynb");
        return Err(if broken { CliError::told(Exit::Usage) } else { nothing });
    }
    let (done, diff) = if check { (Done::Checked, String::new()) } else { settle(&place, &text)? };
    let (source, faults) = faults_of(&text, &root, here);
    if common.json {
        console::out(&console::json::document(&document(
            &imported,
            Some(&text),
            done,
            &diagnostics_data(&source, &faults),
        )));
    } else {
        report(&imported, style);
        if !diff.is_empty() {
            console::out(&diff);
        }
    }
    tell_faults(&imported.faults, common, here);
    let shown = clean::clean(&place.strip_prefix(&here.cwd).unwrap_or(&place).display().to_string()).into_owned();
    if !common.quiet && !common.json {
        match done {
            Done::Written => console::err(&format!("wrote {shown}; next: `amlrun -n` says what would run")),
            Done::Unchanged => console::err(&format!("{shown} says all that already")),
            Done::Differs => {
                console::err(&format!("{shown} exists and was left as it is; the diff above is what it lacks"));
            }
            Done::Checked => console::err("nothing was written (--check)"),
        }
        if done != Done::Differs && !faults.is_empty() {
            let style = Style::choose(&common.color, |name| here.variable(name), here.terminal);
            console::err("what is left to do by hand, before it runs:");
            console::err(&diagnostics::draw(&source, &faults, style.is_colored()));
        }
    }
    if matches!(done, Done::Written | Done::Unchanged) && !imported.proposal.locks.is_empty() {
        adopt::adopt(&place, &imported.proposal.locks, common, here)?;
    }
    Ok(if broken { Exit::Usage } else { Exit::Done })
}

/// The paths as they are seen from the workspace.
fn wanted(paths: &[PathBuf], root: &Path, here: &Surroundings) -> Result<Vec<String>, CliError> {
    if paths.is_empty() {
        return Ok(vec![".".to_owned()]);
    }
    let one = |path: &PathBuf| {
        let full = here.cwd.join(path);
        let full = full
            .canonicalize()
            .map_err(|error| CliError::usage(format!("could not open {}: {error}", path.display())))?;
        let inside = full.strip_prefix(root).map_err(|_| {
            CliError::usage(format!("{} lies outside of {}", path.display(), root.display()))
                .hint("`-C DIR` says which folder is the workspace")
        })?;
        let text = inside.to_str().ok_or_else(|| CliError::usage(format!("{} is no UTF-8", path.display())))?;
        Ok(if text.is_empty() { ".".to_owned() } else { text.to_owned() })
    };
    paths.iter().map(one).collect()
}

/// Writes the Amlfile where there is none; else compares.
fn settle(place: &Path, text: &str) -> Result<(Done, String), CliError> {
    match std::fs::read(place) {
        Ok(known) if known == text.as_bytes() => Ok((Done::Unchanged, String::new())),
        Ok(known) => {
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            Ok((Done::Differs, vcs::text_diff(Some(&known), Some(text.as_bytes()), &name)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && place.symlink_metadata().is_err() => {
            super::init::write_new(place, text)?;
            Ok((Done::Written, String::new()))
        }
        Err(error) => Err(CliError::world(format!("could not read {}: {error}", place.display()))),
    }
}

/// What the Amlfile still lacks: scripts and packages that nobody could know.
fn faults_of(text: &str, root: &Path, here: &Surroundings) -> (Source, Vec<Diagnostic>) {
    let source = Source { name: "Amlfile".to_owned(), text: text.to_owned() };
    let read = crate::cli::project::Read { file: root.join("Amlfile"), root: root.to_owned(), source: source.clone() };
    let (_, faults) = crate::cli::project::examine(read, &Common::plain(), here);
    (source, faults)
}

fn diagnostics_data(source: &Source, faults: &[Diagnostic]) -> Vec<serde_json::Value> {
    match diagnostics::data(source, faults) {
        serde_json::Value::Array(items) => items,
        _ => Vec::new(),
    }
}

fn tell_faults(faults: &[(Source, Diagnostic)], common: &Common, here: &Surroundings) {
    if common.json {
        return;
    }
    let style = Style::choose(&common.color, |name| here.variable(name), here.terminal);
    for (source, fault) in faults {
        console::err(&diagnostics::draw(source, std::slice::from_ref(fault), style.is_colored()));
    }
}

fn report(imported: &Imported, style: Style) {
    let mut table = Table::new(&["FROM", "KEY", "OUTCOME", "BECOMES"]);
    for row in imported.report.rows() {
        let paint = match row.outcome {
            Outcome::Taken => Paint::Good,
            Outcome::Translated => Paint::Bold,
            Outcome::Default => Paint::Dim,
            Outcome::NoCounterpart => Paint::Caution,
        };
        table.row([
            Cell::from(format!("{}:{}", row.file, row.line)),
            Cell::from(&row.key),
            Cell::painted(row.outcome.name(), paint),
            Cell::from(&row.becomes),
        ]);
    }
    if !table.is_empty() {
        let columns = console::terminal::out_width();
        console::out(&table.render(style, columns));
    }
    let count = |outcome| imported.report.count(outcome);
    console::err(&format!(
        "{} keys: {} taken, {} translated, {} say what holds anyway, {} without a counterpart",
        imported.report.rows().len(),
        count(Outcome::Taken),
        count(Outcome::Translated),
        count(Outcome::Default),
        count(Outcome::NoCounterpart),
    ));
}

fn document(imported: &Imported, text: Option<&str>, done: Done, left: &[serde_json::Value]) -> serde_json::Value {
    let faults: Vec<serde_json::Value> = imported
        .faults
        .iter()
        .flat_map(|(source, fault)| diagnostics_data(source, std::slice::from_ref(fault)))
        .collect();
    json!({
        "outcome": done,
        "amlfile": text,
        "sources": imported.sources,
        "keys": imported.report.rows(),
        "faults": faults,
        "left": left,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amlfile_is_written_once_and_never_over() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("Amlfile");
        assert_eq!(settle(&place, "a\n").unwrap().0, Done::Written);
        assert_eq!(settle(&place, "a\n").unwrap().0, Done::Unchanged);
        let (done, diff) = settle(&place, "b\n").unwrap();
        assert_eq!(done, Done::Differs);
        assert!(diff.contains("-a") && diff.contains("+b"), "{diff}");
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "a\n");
    }
}
