//! Runs as MLflow's file store keeps them: `mlruns/EXPERIMENT/RUN/{meta.yaml, metrics, params, tags, artifacts}`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::import::{Found, Source};
use crate::cli::error::CliError;
use crate::logged::Point;
use crate::yaml::{self, Node};

/// Folders are not followed deeper.
const DEEPEST: usize = 64;

/// An `mlruns` folder.
pub(super) struct Folder {
    path: PathBuf,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CliError + '_ {
    move |error| CliError::world(format!("could not read `{}`: {error}", path.display()))
}

/// The names in a folder that are not hidden, sorted; none where there is no such folder.
fn names(folder: &Path) -> Result<Vec<String>, CliError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed(folder))?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Every file below a folder, by its path in it; symlinks are not followed.
fn files(folder: &Path, below: &str, depth: usize, found: &mut Vec<String>) -> Result<(), CliError> {
    for name in names(&folder.join(below))? {
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let at = folder.join(&path);
        let kind = fs::symlink_metadata(&at).map_err(failed(&at))?.file_type();
        if kind.is_dir() && depth < DEEPEST {
            files(folder, &path, depth + 1, found)?;
        } else if kind.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

/// A value of `meta.yaml`.
fn scalar(meta: &Node, name: &str) -> Option<String> {
    meta.get(name).and_then(Node::scalar).filter(|text| !text.is_empty())
}

fn meta(folder: &Path) -> Option<Node> {
    yaml::parse(&fs::read_to_string(folder.join("meta.yaml")).ok()?).ok()
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        if names(path)?.iter().any(|name| path.join(name).join("meta.yaml").is_file()) {
            return Ok(Self { path: path.to_owned() });
        }
        Err(CliError::usage(format!("`{}` is no `mlruns` folder", path.display()))
            .hint("`--mlflow` takes the address of a server, as in http://127.0.0.1:5000, or such a folder")
            .hint("newer versions of MLflow keep runs in `mlflow.db`: serve it with `mlflow server` and name that"))
    }

    fn of(run: &Found) -> PathBuf {
        PathBuf::from(&run.artifacts)
    }
}

impl Source for Folder {
    fn runs(&mut self) -> Result<Vec<Found>, CliError> {
        let mut found = Vec::new();
        for experiment in names(&self.path)? {
            let folder = self.path.join(experiment);
            let Some(about) = meta(&folder) else { continue };
            if scalar(&about, "lifecycle_stage").as_deref() == Some("deleted") {
                continue;
            }
            for id in names(&folder)? {
                let at = folder.join(&id);
                let Some(run) = meta(&at).filter(|run| run.get("run_id").is_some()) else { continue };
                if scalar(&run, "lifecycle_stage").as_deref() == Some("deleted") {
                    continue;
                }
                let texts = |kind: &str| -> Result<BTreeMap<String, String>, CliError> {
                    let (folder, mut paths) = (at.join(kind), Vec::new());
                    files(&folder, "", 0, &mut paths)?;
                    let read = |path: String| {
                        let place = folder.join(&path);
                        Ok((path, fs::read_to_string(&place).map_err(failed(&place))?))
                    };
                    paths.into_iter().map(read).collect()
                };
                let (params, tags) = (texts("params")?, texts("tags")?);
                let number = |name: &str| scalar(&run, name).and_then(|text| text.parse().ok());
                found.push(Found {
                    name: tags
                        .get("mlflow.runName")
                        .cloned()
                        .or_else(|| scalar(&run, "run_name"))
                        .unwrap_or_else(|| id.clone()),
                    id,
                    experiment: scalar(&about, "name").unwrap_or_default(),
                    user: scalar(&run, "user_id").unwrap_or_default(),
                    status: scalar(&run, "status").unwrap_or_default(),
                    started: number("start_time").unwrap_or_default(),
                    ended: number("end_time"),
                    params,
                    tags,
                    metrics: BTreeMap::new(),
                    artifacts: at.display().to_string(),
                });
            }
        }
        found.sort_by_key(|run| run.started);
        Ok(found)
    }

    /// A line a point: time, value, step.
    fn points(&mut self, run: &mut Found) -> Result<(), CliError> {
        let (folder, mut paths) = (Self::of(run).join("metrics"), Vec::new());
        files(&folder, "", 0, &mut paths)?;
        for path in paths {
            let at = folder.join(&path);
            let text = fs::read_to_string(&at).map_err(failed(&at))?;
            let point = |line: &str| {
                let mut words = line.split_whitespace();
                let (at, value, step) = (words.next()?, words.next()?, words.next().unwrap_or("0"));
                let value = match value {
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    value => value.parse().ok()?,
                };
                Some(Point { at: at.parse().ok()?, step: step.parse().ok()?, value })
            };
            run.metrics.insert(path, text.lines().filter_map(point).collect());
        }
        Ok(())
    }

    fn artifacts(&mut self, run: &Found, to: &Path) -> Result<Vec<String>, CliError> {
        let (folder, mut paths) = (Self::of(run).join("artifacts"), Vec::new());
        files(&folder, "", 0, &mut paths)?;
        for path in paths {
            let place = to.join(&path);
            let copied = place.parent().map_or(Ok(()), fs::create_dir_all);
            copied.and_then(|()| fs::copy(folder.join(&path), &place).map(drop)).map_err(failed(&place))?;
        }
        Ok(Vec::new())
    }
}
