//! The record, for scripts that ask the tracking server for earlier runs. It is opened anew for every question: a run that
//! ended meanwhile is found.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::history::models::Version;
use crate::history::sqlite::SqliteHistory;
use crate::history::{History as _, Query, Run};
use crate::ids::RunId;
use crate::logged::Logged;
use crate::tracking::server;

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
