//! The record, for scripts that ask the tracking server for earlier runs. It is opened anew for every question: a run that
//! ended meanwhile is found.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::content::{Entry, Kind};
use crate::history::models::Version;
use crate::history::sqlite::SqliteHistory;
use crate::history::{History as _, Query, Run};
use crate::ids::RunId;
use crate::logged::Logged;
use crate::relpath::RelPath;
use crate::store::among::among;
use crate::store::disk::DiskStore;
use crate::store::{Store as _, snapshot};
use crate::tracking::server::{self, Artifact};
use crate::tracking::{ARTIFACTS, MODELS};

/// The record at a path.
#[derive(Debug)]
pub struct Recorded {
    path: PathBuf,
}

impl Recorded {
    /// That in a database.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// `.amlrun`, which the database lies in.
    fn state(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    fn open(&self) -> SqliteHistory {
        SqliteHistory::open(&self.path, false)
    }
}

impl server::Earlier for Recorded {
    fn runs(&self) -> Vec<server::Recorded> {
        self.open().runs(&Query::default()).unwrap_or_default().into_iter().map(shown).collect()
    }

    fn logged(&self, run: &str) -> Option<Logged> {
        self.open().logged(&RunId(run.to_owned())).ok().flatten()
    }

    fn models(&self) -> Vec<server::Registered> {
        let history = self.open();
        let versions = history.models().unwrap_or_default();
        // The same run may have registered many.
        let mut experiments: BTreeMap<RunId, String> = BTreeMap::new();
        let shown = |version: Version| {
            let experiment = experiments.entry(version.run.clone()).or_insert_with(|| {
                history.run(&version.run.0).map_or_else(|_| version.job.clone(), |run| run.begun.experiment)
            });
            server::Registered {
                experiment: experiment.clone(),
                name: version.name,
                version: version.version,
                run: version.run.0,
                path: version.path,
                at: version.registered.0,
                tags: version.tags,
                aliases: version.aliases,
            }
        };
        versions.into_iter().map(shown).collect()
    }

    fn artifact(&self, run: &str, path: &str) -> Option<Artifact> {
        let found = self.open().run(run).ok().filter(|found| found.begun.run.0 == run)?;
        let left = || found.ended.iter().flat_map(|ended| ended.outputs.iter().chain(&ended.kept));
        let store = DiskStore::open(&self.state().join("objects-v1"));
        // A path of its artifacts comes before the same path of the project.
        let within = format!("{ARTIFACTS}/{path}");
        let paths = [within.as_str(), path].into_iter().filter_map(|path| RelPath::new(path).ok());
        let mut paths = paths.filter(|path| !path.is_root());
        let content = paths.find_map(|path| among(&store, left(), &path).ok().flatten())?.content()?;
        match content.kind {
            Kind::Folder => {
                let entries = snapshot::node(&store, &content.digest).ok().flatten()?;
                let shown = |entry: Entry| {
                    let name = String::from_utf8_lossy(&entry.name).into_owned();
                    (name, (entry.kind != Kind::Folder).then_some(entry.size))
                };
                Some(Artifact::Folder(entries.into_iter().map(shown).collect()))
            }
            Kind::File | Kind::Executable => {
                let folder = tempfile::Builder::new().prefix("serve-").tempdir_in(self.state()).ok()?;
                let at = folder.path().join("file");
                store.write_to(&content.digest, &at, false, false).ok().filter(|is_there| *is_there)?;
                Some(Artifact::File(File::open(&at).ok()?, content.size))
            }
            Kind::Link => None,
        }
    }

    fn logged_model(&self, id: &str) -> Option<(String, serde_json::Value)> {
        let history = self.open();
        let has_any = |run: &Run| {
            run.ended.iter().flat_map(|ended| &ended.kept).any(|kept| kept.path.as_bytes() == MODELS.as_bytes())
        };
        let runs = history.runs(&Query::default()).unwrap_or_default();
        runs.iter().filter(|run| has_any(run)).find_map(|run| {
            let mut logged = history.logged(&run.begun.run).ok().flatten()?;
            Some((run.begun.run.0.clone(), logged.own.logged_models.remove(id)?))
        })
    }
}

fn shown(run: Run) -> server::Recorded {
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        value => value.to_string(),
    };
    server::Recorded {
        id: run.begun.run.0,
        name: run.begun.job.0,
        experiment: run.begun.experiment,
        status: run.status.name().to_owned(),
        started: run.begun.started.0,
        ended: run.ended.as_ref().map(|ended| ended.ended.0),
        user: run.invocation.user,
        params: run.begun.params.into_iter().map(|(name, value)| (name, text(value))).collect(),
        tags: run.begun.tags,
        metrics: run.ended.map(|ended| ended.metrics).unwrap_or_default(),
    }
}
