//! What the formats share: the plan, a look at the disk, and the account.

use std::collections::{BTreeMap, BTreeSet};

use crate::amlfile::Document;
use crate::diagnostic::{Source, Span};
use crate::foreign::{Look, Outcome, Report};
use crate::plan::Job;
use crate::plan::Plan;
use crate::project::Project;
use crate::project::template::{self, Reference};
use crate::relpath::RelPath;
use crate::value::Value;

/// What is exported, and what came of it so far.
pub struct Context<'c> {
    /// The project.
    pub project: &'c Project,
    /// The jobs.
    pub plan: &'c Plan,
    /// The Amlfile.
    pub source: &'c Source,
    /// The Amlfile, read.
    pub document: &'c Document<'c>,
    /// The workspace's folder.
    pub look: &'c dyn Look,
    /// How the workspace's folder is seen from the one that the files are written into, as in `..`.
    pub back: String,
    /// The parameters that the command line set: their values are no one's template.
    pub set: BTreeSet<String>,
    /// Grows.
    pub report: Report,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Exported {
    /// The files, by their paths below the folder that they are written into.
    pub files: BTreeMap<String, String>,
    /// What became of every key.
    pub report: Report,
    /// The source directories that the other tool takes as they are.
    pub code: Vec<RelPath>,
    /// Jobs that the other tool cannot have.
    pub left_out: Vec<String>,
}

impl Context<'_> {
    /// A path of the workspace as the files name it.
    pub(super) fn path(&self, path: &RelPath) -> String {
        let back = self.back.as_str();
        match (path.is_root(), back) {
            (true, _) => back.to_owned(),
            (false, ".") => path.to_string(),
            (false, _) => format!("{back}/{path}"),
        }
    }

    /// The text of a parameter that holds something of whoever calls amlrun (`${env.X}`, perhaps by way of another one):
    /// its value is theirs, perhaps a secret, and written nowhere.
    pub(super) fn of_caller(&self, job: &Job, name: &str) -> Option<String> {
        self.of_caller_within(job, name, 0)
    }

    fn of_caller_within(&self, job: &Job, name: &str, depth: usize) -> Option<String> {
        if depth > 32 || self.set.contains(name) || job.cell.iter().any(|(axis, _)| axis == name) {
            return None;
        }
        let experiment = &self.project.experiments[job.experiment];
        let (Value::Text(text), _) = experiment.params.get(name).or_else(|| self.project.params.get(name))? else {
            return None;
        };
        let is_theirs = |(name, _): (&str, _)| match Reference::of(name) {
            Reference::Variable(_) => true,
            Reference::Param(other) => self.of_caller_within(job, other, depth + 1).is_some(),
            Reference::Input(_) | Reference::Output(_) => false,
        };
        template::names(text).any(is_theirs).then(|| text.clone())
    }

    /// The declared variables of a job: those that may be written, and the texts of those that hold something of the caller.
    pub(super) fn variables(&self, job: &Job) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let declared = &self.project.environments[job.environment].variables;
        let is_theirs = |text: &str| {
            template::names(text).any(|(name, _)| match Reference::of(name) {
                Reference::Variable(_) => true,
                Reference::Param(name) => self.of_caller(job, name).is_some(),
                Reference::Input(_) | Reference::Output(_) => false,
            })
        };
        let texts = declared.iter().filter(|(_, (text, _))| is_theirs(text));
        let theirs: BTreeMap<_, _> = texts.map(|(name, (text, _))| (name.clone(), text.clone())).collect();
        let ours = job.variables.iter().filter(|(name, _)| !theirs.contains_key(*name));
        (ours.map(|(name, value)| (name.clone(), value.clone())).collect(), theirs)
    }

    /// Adds a line about a key of a table: `experiments`, its name, its key.
    pub(super) fn say(&mut self, table: &str, name: &str, key: &str, outcome: Outcome, becomes: impl Into<String>) {
        let span = self.span(table, name, key).unwrap_or(0..0);
        let path = if name.is_empty() { format!("{table}.{key}") } else { format!("{table}.{name}.{key}") };
        self.say_at(&span, &path, outcome, becomes);
    }

    /// Adds a line about a place.
    pub(super) fn say_at(&mut self, span: &Span, path: &str, outcome: Outcome, becomes: impl Into<String>) {
        let line = self.source.position(span.start).0;
        let becomes = becomes.into();
        let file = self.source.name.clone();
        // The cells of a matrix say the same.
        let same = |row: &crate::foreign::Row| {
            row.line == line && row.key == path && row.outcome == outcome && row.becomes == becomes
        };
        if !self.report.rows().iter().any(same) {
            self.report.line(&file, line, path, outcome, becomes);
        }
    }

    /// Whether a table says something about a key.
    pub(super) fn has(&self, table: &str, name: &str, key: &str) -> bool {
        self.entry(table, name).is_some_and(|table| table.get(key).is_some())
    }

    fn entry(&self, table: &str, name: &str) -> Option<&crate::amlfile::document::Table<'_>> {
        let of = self.document.root.get(table)?.table()?;
        if name.is_empty() { Some(of) } else { of.get(name)?.table() }
    }

    fn span(&self, table: &str, name: &str, key: &str) -> Option<Span> {
        let of = self.document.root.get(table)?.table()?;
        let place = || if name.is_empty() { None } else { of.entry(name).map(|entry| entry.key_span.clone()) };
        self.entry(table, name).and_then(|table| Some(table.entry(key)?.key_span.clone())).or_else(place)
    }
}
