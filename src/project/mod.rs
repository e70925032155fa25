//! The project: the Amlfile with every name resolved and every default applied.
//!
//! Called by `cli` with a document. Pure: whether a script or a folder is there is asked of a probe that the caller gives.

mod available;
mod environments;
mod experiments;
pub mod model;
mod names;
mod read;
mod references;
pub mod sweep;
mod targets;
pub mod template;

use std::collections::BTreeMap;

use crate::amlfile::Document;
use crate::amlfile::document::{Entry, Item, Table};
use crate::amlfile::suggest::nearest;
use crate::diagnostic::{Diagnostic, Span, sort};
use crate::relpath::{Outside, RelPath};

pub use available::refusals;
pub use model::Project;

/// What is at a path of the workspace, symlinks followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or nothing that may be looked at.
    Missing,
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// Looks what is at a path of the workspace.
pub type Probe<'a> = dyn Fn(&RelPath) -> Found + 'a;

/// Resolves a document. `folder_name` is the name of a workspace that gives itself none. The project is only to be used
/// where neither this nor `amlfile::parse` found an error; of a document with faults of syntax nothing is said here, as
/// what seems to be missing may only not have been understood.
#[must_use]
pub fn resolve(document: &Document<'_>, folder_name: &str, probe: &Probe<'_>) -> (Project, Vec<Diagnostic>) {
    let mut resolver = Resolver { document, probe, probed: BTreeMap::new(), faults: Vec::new() };
    let project = resolver.project(folder_name);
    let mut faults = if document.broken { Vec::new() } else { resolver.faults };
    sort(&mut faults);
    (project, faults)
}

struct Resolver<'a> {
    document: &'a Document<'a>,
    probe: &'a Probe<'a>,
    probed: BTreeMap<RelPath, Found>,
    faults: Vec<Diagnostic>,
}

impl Resolver<'_> {
    fn project(&mut self, folder_name: &str) -> Project {
        let root = &self.document.root;
        let mut project = Project {
            workspace: self.workspace(folder_name),
            params: self.params(root.table("params")),
            environments: self.environments(root.table("environments")),
            targets: self.targets(root.table("targets")),
            experiments: Vec::new(),
        };
        self.experiments(root.table("experiments"), &mut project);
        if root.table("experiments").is_empty() {
            self.no_experiments();
        }
        self.references(&project);
        project
    }

    fn workspace(&mut self, folder_name: &str) -> model::Workspace {
        let empty = Table::default();
        let table = self.document.root.get("workspace").and_then(Item::table).unwrap_or(&empty);
        let text = |key: &str| table.text(key).map(|(text, _)| text);
        let (cache_mode, link) = (text("cache_mode"), text("link"));
        model::Workspace {
            name: text("name").unwrap_or(folder_name).to_owned(),
            description: text("description").map(str::to_owned),
            cache: table.text("cache").map(|(text, span)| (text.to_owned(), span)),
            cache_mode: match cache_mode {
                Some("read") => model::CacheMode::Read,
                Some("off") => model::CacheMode::Off,
                _ => model::CacheMode::ReadWrite,
            },
            link: if link == Some("hardlink") { model::Link::Hardlink } else { model::Link::Copy },
        }
    }

    fn no_experiments(&mut self) {
        let fault = if self.document.root.entries().is_empty() {
            Diagnostic::error("no-experiments", 0..0, "the Amlfile is empty", "nothing here")
        } else {
            Diagnostic::warning("no-experiments", 0..0, "the Amlfile has no experiments", "")
        };
        let help = "`[experiments.NAME]` with a `script` or a `command` is one; `amlrun init` writes a first";
        self.fault(fault.help(help));
    }

    fn fault(&mut self, fault: Diagnostic) {
        self.faults.push(fault);
    }

    /// The index of a declared thing; a fault where there is none of that name.
    fn lookup<'k>(
        &mut self,
        what: &'static str,
        name: &str,
        span: &Span,
        known: impl Iterator<Item = &'k str> + Clone,
    ) -> Option<usize> {
        let found = known.clone().position(|other| other == name);
        if found.is_none() {
            let code = match what {
                "environment" => "unknown-environment",
                "target" => "unknown-target",
                _ => "unknown-experiment",
            };
            let message = format!("there is no {what} `{name}`");
            let fault = Diagnostic::error(code, span.clone(), message, format!("no such {what}"));
            self.fault(match nearest(name, known) {
                Some(near) => {
                    let advice = format!("{} {what} with a similar name exists", article(what));
                    fault.fix(advice, span.clone(), crate::amlfile::quoted(near))
                }
                None => fault.help(format!("declare it: `[{what}s.{name}]`")),
            });
        }
        found
    }

    /// A path of the workspace as a key gives it; a fault where it is none.
    fn path(&mut self, key: &str, item: &Item<'_>) -> Option<RelPath> {
        let text = item.text()?;
        match RelPath::new(text) {
            Ok(path) => Some(path),
            Err(outside) => {
                self.fault(outside_fault(key, text, &item.span, outside));
                None
            }
        }
    }

    /// What is there; each path is looked at once.
    fn look(&mut self, path: &RelPath) -> Found {
        if path.is_root() {
            return Found::Folder;
        }
        if let Some(found) = self.probed.get(path) {
            return *found;
        }
        let found = (self.probe)(path);
        self.probed.insert(path.clone(), found);
        found
    }

    /// A file that a key names must be there.
    fn file(&mut self, key: &str, entry: &Entry<'_>) -> Option<RelPath> {
        let path = self.path(key, &entry.item)?;
        let (code, why, label) = match self.look(&path) {
            Found::File => return Some(path),
            Found::Missing => ("missing-file", "is not there", "no such file"),
            Found::Folder => ("missing-file", "is a folder", "a folder"),
        };
        let message = format!("the file `{path}` of `{key}` {why}");
        self.fault(Diagnostic::error(code, entry.item.span.clone(), message, label));
        None
    }
}

/// A path that is none of the workspace.
pub(crate) fn outside_fault(key: &str, text: &str, span: &Span, outside: Outside) -> Diagnostic {
    let (why, label) = match outside {
        Outside::Leaves => ("leads out of it", "climbs above the Amlfile's folder"),
        Outside::Absolute => ("is absolute", "begins with `/`"),
        Outside::Nul => ("has a NUL byte", "not a path"),
    };
    let message = format!("`{key}` must lie in the workspace, but `{}` {why}", text.escape_debug());
    let fault = Diagnostic::error("outside-workspace", span.clone(), message, label);
    match outside {
        Outside::Nul => fault,
        _ => fault.help("paths are relative to the folder of the Amlfile"),
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

#[cfg(test)]
mod tests;
