//! What a project looks like at one instant: for `--watch`, which runs again when it looks otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::measuring::{Counter, ground_path, spec_of};
use super::surroundings::{Manner, Surroundings};
use super::{EngineError, Work, World};
use crate::content::{Content, Kind};
use crate::digest::Digest;
use crate::environment::Step;
use crate::project::model::{Environment, EnvironmentKind, Packages};
use crate::relpath::RelPath;
use crate::tree::{SourceSpec, What};

/// The sources and inputs of a plan that no job makes, and the keys of its environments. Taking one writes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    sources: BTreeMap<SourceSpec, Digest>,
    inputs: BTreeMap<PathBuf, Content>,
    environments: BTreeMap<String, Option<Digest>>,
}

/// The files behind a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Digest>);

impl Look {
    /// Looks at everything, reading what changed.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub fn take(work: Work<'_>, world: &World<'_>) -> Result<Self, EngineError> {
        let surroundings = Surroundings::gather(work, world, Manner::Frozen, &mut |_: &str, _: Step| {})?;
        let keys = surroundings.keys.iter().map(|key| key.as_ref().map(|key| key.digest));
        let environments = surroundings.environments.iter().map(|environment| environment.name.clone()).zip(keys);
        let specs: BTreeSet<SourceSpec> = work.plan.jobs.iter().filter_map(spec_of).collect();
        let specs: Vec<SourceSpec> = specs.into_iter().collect();
        let mut look = Self { environments: environments.collect(), ..Self::default() };
        let counter = Counter::default();
        for (spec, measured) in specs.iter().zip(world.ground.measure_sources(&specs, &counter)) {
            look.sources.insert(spec.clone(), measured?.content.digest);
        }
        let given = work.plan.jobs.iter().flat_map(|job| &job.inputs).filter(|input| input.from.is_empty());
        let mut given: BTreeSet<PathBuf> = given.map(|input| ground_path(&input.path)).collect();
        given.extend(surroundings.environments.iter().filter_map(file_of).map(|path| path.as_path().to_owned()));
        let given: Vec<PathBuf> = given.into_iter().collect();
        for (path, measured) in given.iter().zip(world.ground.measure(&given, &counter)) {
            // One that is missing may come.
            look.inputs.extend(measured?.map(|measured| (path.clone(), measured.content)));
        }
        Ok(look)
    }

    /// Takes over, from a later look, the keys of environments that were not locked yet at this one: the run between the
    /// two locked them.
    pub fn adopt(&mut self, later: &Self) {
        for (name, key) in &mut self.environments {
            *key = key.or_else(|| later.environments.get(name).copied().flatten());
        }
    }

    /// The files behind this look, as they are now.
    ///
    /// # Errors
    /// Where something cannot be read.
    pub fn files(&self, world: &World<'_>) -> Result<Files, EngineError> {
        let mut files = Files::default();
        let mut walked = BTreeSet::new();
        for (spec, digest) in &self.sources {
            // The jobs of a matrix differ in what they leave out, and yet most often take the same.
            if walked.insert((&spec.directory, digest)) {
                files.add(world, What::Sources(spec), spec.directory.as_path())?;
            }
        }
        for (path, content) in &self.inputs {
            if content.kind == Kind::Folder {
                files.add(world, What::Path(path), path)?;
            } else {
                files.0.insert(path.clone(), content.key());
            }
        }
        Ok(files)
    }

    /// What differs from an earlier look, as in `train.py changed`.
    #[must_use]
    pub fn differences(&self, files: &Files, before: &Self, files_before: &Files) -> Vec<String> {
        let mut all = Vec::new();
        compare(&files_before.0, &files.0, |path, what| all.push(format!("{} {what}", path.display())));
        compare(&before.environments, &self.environments, |name, what| {
            all.push(format!("environment `{name}` {what}"));
        });
        all
    }
}

impl Files {
    fn add(&mut self, world: &World<'_>, what: What<'_>, base: &Path) -> Result<(), EngineError> {
        let (_, folders) = world.ground.folders(what, &Counter::default())?;
        for folder in folders {
            for entry in folder.entries.iter().filter(|entry| entry.kind != Kind::Folder) {
                let path = base.join(folder.path.as_path()).join(OsStr::from_bytes(&entry.name));
                let content = Content { kind: entry.kind, digest: entry.digest, size: entry.size };
                self.0.insert(path, content.key());
            }
        }
        Ok(())
    }
}

/// The file that lists an environment's packages.
fn file_of(environment: &Environment) -> Option<&RelPath> {
    match &environment.kind {
        EnvironmentKind::Managed { packages: Packages::File(path), .. } => Some(path),
        _ => None,
    }
}

fn compare<K: Ord, V: PartialEq>(was: &BTreeMap<K, V>, is: &BTreeMap<K, V>, mut tell: impl FnMut(&K, &str)) {
    let names: BTreeSet<&K> = was.keys().chain(is.keys()).collect();
    for name in names {
        match (was.get(name), is.get(name)) {
            (None, _) => tell(name, "added"),
            (_, None) => tell(name, "removed"),
            (was, is) if was != is => tell(name, "changed"),
            _ => {}
        }
    }
}
