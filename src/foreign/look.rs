//! What a folder holds, what each file is, and which front reads it.

use super::doc::Doc;
use super::model::Proposal;
use super::report::Report;
use super::workspace::Workspace;
use super::{conda, dvc, estimator, hyperdrive, legacy, mlproject, runconfig, v2, workspace};
use crate::diagnostic::{Diagnostic, Source};
use crate::relpath::RelPath;

/// The folder that is imported. Paths are relative to it, with `/` between.
pub trait Look {
    /// The names in a folder that are UTF-8, sorted, and whether each is a folder.
    fn list(&self, folder: &str) -> Vec<(String, bool)>;
    /// A file's text; none where there is no such file, an error where it cannot be read as text.
    fn read(&self, path: &str) -> Option<Result<String, String>>;
    /// The same for a path that may lead upwards.
    fn above(&self, path: &str) -> Option<Result<String, String>>;
    /// Whether there is such a file or folder, and whether it is a folder.
    fn there(&self, path: &str) -> Option<bool>;
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Imported {
    /// What an Amlfile would say.
    pub proposal: Proposal,
    /// What became of every key.
    pub report: Report,
    /// Faults of files that could not be read at all.
    pub faults: Vec<(Source, Diagnostic)>,
    /// The files that were read, in order.
    pub sources: Vec<String>,
}

/// What the fronts share.
pub struct Context<'l> {
    /// The folder.
    pub look: &'l dyn Look,
    /// Grows.
    pub proposal: Proposal,
    /// Grows.
    pub report: Report,
    /// Grows.
    pub faults: Vec<(Source, Diagnostic)>,
    /// The Azure ML workspace that the project belonged to.
    pub workspace: Option<Workspace>,
    /// Files that a front read beside the one it was given.
    pub read: Vec<String>,
}

impl Context<'_> {
    /// Reads a document that another one names; its fault is kept.
    pub fn doc(&mut self, path: &str) -> Option<Doc> {
        let text = match self.look.read(path)? {
            Ok(text) => text,
            Err(why) => {
                self.fault(path, &why);
                return None;
            }
        };
        if !self.read.iter().any(|known| known == path) {
            self.read.push(path.to_owned());
        }
        match Doc::read(path, &text) {
            Ok(doc) => Some(doc),
            Err(fault) => {
                if !self.faults.iter().any(|(source, _)| source.name == path) {
                    self.faults.push(*fault);
                }
                None
            }
        }
    }

    /// A fault of a file without a place in it.
    pub fn fault(&mut self, path: &str, why: &str) {
        let source = Source { name: path.to_owned(), text: String::new() };
        self.faults.push((source, Diagnostic::bare("unreadable", format!("{path}: {why}"))));
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Config,
    Runconfig,
    HyperDrive,
    Python,
    V2,
    /// After the pipelines that refer to it.
    Component,
    Mlproject,
    Dvc,
    Conda,
}

/// Folders that hold nothing of the project's own.
const APART: &[&str] =
    &["node_modules", "venv", "env", "site-packages", "__pycache__", "mlruns", "wandb", "outputs", "logs", "target"];
/// No more files are looked at.
const MOST_FILES: usize = 5000;
/// Folders are not followed deeper.
const DEEPEST: usize = 8;

/// Reads everything of other tools at these paths (files, or folders that are looked through), and makes a proposal.
#[must_use]
pub fn import(look: &dyn Look, paths: &[String]) -> Imported {
    let mut context = Context {
        look,
        proposal: Proposal::default(),
        report: Report::default(),
        faults: Vec::new(),
        workspace: None,
        read: Vec::new(),
    };
    let mut files: Vec<(Kind, String)> = Vec::new();
    for path in paths {
        match look.there(path) {
            Some(true) => walk(&mut context, path, 0, &mut files),
            Some(false) => match kind(&mut context, path, true) {
                Some(kind) => files.push((kind, path.clone())),
                None if context.faults.iter().any(|(source, _)| source.name == *path) => {}
                None => context.fault(path, "no format that is known here"),
            },
            None => context.fault(path, "there is no such file"),
        }
    }
    files.sort();
    files.dedup();
    let files = chosen(files);
    context.workspace = workspace::search(look, &mut context.report);
    let mut sources = Vec::new();
    for (kind, path) in &files {
        let before = (context.report.rows().len(), context.proposal.clone());
        match kind {
            Kind::Config => config(&mut context, path),
            Kind::Runconfig => runconfig::import(&mut context, path),
            Kind::HyperDrive => hyper(&mut context, path),
            Kind::Python => estimator::import(&mut context, path),
            Kind::V2 | Kind::Component => v2::import(&mut context, path),
            Kind::Mlproject => mlproject::import(&mut context, path),
            Kind::Dvc => dvc::import(&mut context, path),
            Kind::Conda => conda_file(&mut context, path),
        }
        if before.0 < context.report.rows().len() || before.1 != context.proposal {
            sources.push(path.clone());
        }
    }
    for path in std::mem::take(&mut context.read) {
        if !sources.contains(&path) {
            sources.push(path);
        }
    }
    context.report.sort();
    Imported { proposal: context.proposal, report: context.report, faults: context.faults, sources }
}

fn walk(context: &mut Context<'_>, folder: &str, depth: usize, files: &mut Vec<(Kind, String)>) {
    let folder = if folder == "." { "" } else { folder };
    for (name, is_folder) in context.look.list(folder) {
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if files.len() >= MOST_FILES {
            return;
        }
        if is_folder {
            let hidden = name.starts_with('.') && name != ".azureml";
            if !hidden && !APART.contains(&name.as_str()) && depth < DEEPEST {
                walk(context, &path, depth + 1, files);
            }
        } else if let Some(kind) = kind(context, &path, false) {
            files.push((kind, path));
        }
    }
}

/// What a file is: by its name where that says it, else by what it holds. `asked`: it was named by the user, so that it is
/// read whatever its name.
fn kind(context: &mut Context<'_>, path: &str, asked: bool) -> Option<Kind> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
    match (name, ending.as_str()) {
        ("MLproject", _) => return Some(Kind::Mlproject),
        ("dvc.yaml", _) => return Some(Kind::Dvc),
        (_, "runconfig") => return Some(Kind::Runconfig),
        ("dvc.lock" | "params.yaml", _) | (_, "compute") if !asked => return None,
        (_, "py" | "ipynb") => {
            let text = context.look.read(path)?.ok()?;
            return (text.contains("azureml") && estimator::is_likely(&text)).then_some(Kind::Python);
        }
        (_, "yml" | "yaml" | "json") => {}
        // `.azureml/local`: the ending may be left out.
        _ if in_config_folder(path) && !name.contains('.') => return Some(Kind::Runconfig),
        _ => return None,
    }
    let text = match context.look.read(path)? {
        Ok(text) => text,
        Err(why) => {
            if asked {
                context.fault(path, &why);
            }
            return None;
        }
    };
    let doc = match Doc::read(path, &text) {
        Ok(doc) => doc,
        Err(fault) => {
            // Other YAML of the project (templates of charts) is nobody's concern, unless it was asked for.
            if asked || text.contains("azuremlschemas") || in_config_folder(path) {
                context.faults.push(*fault);
            }
            return None;
        }
    };
    if workspace::is_config(&doc) {
        Some(Kind::Config)
    } else if hyperdrive::is_hyperdrive(&doc) {
        Some(Kind::HyperDrive)
    } else if v2::is_v2(&doc) {
        Some(if v2::is_component(&doc) { Kind::Component } else { Kind::V2 })
    } else if runconfig::is_runconfig(&doc, in_config_folder(path)) {
        Some(Kind::Runconfig)
    } else if conda::is_conda(&doc.root) {
        Some(Kind::Conda)
    } else {
        None
    }
}

fn in_config_folder(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    parts.next();
    matches!(parts.next(), Some(".azureml" | "aml_config"))
}

/// Conda files are their own matter only where nothing else is there to name them.
fn chosen(files: Vec<(Kind, String)>) -> Vec<(Kind, String)> {
    let others = files.iter().any(|(kind, _)| !matches!(kind, Kind::Conda | Kind::Config));
    files.into_iter().filter(|(kind, _)| *kind != Kind::Conda || !others).collect()
}

fn config(context: &mut Context<'_>, path: &str) {
    let Some(doc) = context.doc(path) else { return };
    if context.report.rows().iter().any(|row| row.file == path) {
        return; // found by the search already
    }
    let found = workspace::read(&doc, &mut context.report);
    context.workspace = context.workspace.take().or(found);
}

/// A definition is a search over the run configuration that `-c` named: the first one here.
fn hyper(context: &mut Context<'_>, path: &str) {
    let Some(doc) = context.doc(path) else { return };
    let search = hyperdrive::read(&doc.at(), &mut context.report);
    context.report.rest(&doc, "not a key of a HyperDrive definition");
    let mut runs = context.proposal.experiments.iter().filter(|one| one.sweep.is_empty() && one.script.is_some());
    let Some(base) = runs.next().cloned() else {
        context.proposal.notes.push(format!("{path} is a search over a run configuration, of which none was found."));
        return;
    };
    let others = runs.count();
    let mut one = super::model::Experiment {
        name: format!("{}-sweep", base.name),
        comments: vec![format!("A search: {path} over the run configuration of `{}`.", base.name)],
        ..base
    };
    if others > 0 {
        one.comments.push("There are other run configurations: which one was it submitted with (`-c`)?".to_owned());
    }
    search.apply(&mut one);
    context.proposal.experiment(one);
}

fn conda_file(context: &mut Context<'_>, path: &str) {
    let Some(doc) = context.doc(path) else { return };
    let found = conda::read(&doc.at());
    let name = found.name.clone().unwrap_or_else(|| super::names::stem(path).to_owned());
    let environment = legacy::from_conda(context, &found, Some(path), &doc.at(), &super::names::plain(&name));
    context.proposal.environment(environment);
    context.report.rest(&doc, "channels and prefixes are conda's own");
}

/// A path that a document names, as seen from the workspace; a note where it leads out.
#[must_use]
pub fn path_from(folder: &str, text: &str) -> Option<String> {
    super::names::from(folder, text).filter(|path| path.starts_with('/') || RelPath::new(path).is_ok())
}
