//! Runs as an MLflow server tells of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};

use super::import::{Found, Source};
use crate::cli::error::CliError;
use crate::logged::Point;
use crate::relpath::RelPath;
use crate::tracking::client::{Client, served};

/// So many at once.
const PAGE: usize = 500;
/// Folders are not followed deeper.
const DEEPEST: usize = 64;

pub(super) struct Server {
    client: Client,
}

fn text(value: &Value, path: &str) -> String {
    match value.pointer(path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn number(value: &Value, path: &str) -> Option<u64> {
    text(value, path).parse().ok()
}

fn list<'v>(value: &'v Value, path: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

fn pairs(value: &Value, path: &str) -> BTreeMap<String, String> {
    list(value, path).map(|pair| (text(pair, "/key"), text(pair, "/value"))).collect()
}

fn value_of(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        },
        _ => None,
    }
}

impl Server {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// All pages of a list.
    fn pages(
        &self,
        under: &str,
        ask: &dyn Fn(&Client, &str) -> Result<Value, CliError>,
    ) -> Result<Vec<Value>, CliError> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let page = ask(&self.client, &token)?;
            all.extend(list(&page, under).cloned());
            let next = text(&page, "/next_page_token");
            if next.is_empty() || next == token {
                return Ok(all);
            }
            token = next;
        }
    }

    fn folder(&self, run: &Found, root: &str, at: &str, to: &Path, depth: usize) -> Result<Vec<String>, CliError> {
        let mut lost = Vec::new();
        let files = self.pages("/files", &|client, token| {
            Ok(client.get("artifacts/list", &[("run_id", &run.id), ("path", at), ("page_token", token)])?)
        })?;
        for file in files {
            let path = text(&file, "/path");
            // A server is not trusted with where files go.
            let inside = RelPath::new(&path).ok().filter(|inside| !inside.is_root() && inside.to_string() == path);
            let Some(inside) = inside.filter(|_| depth < DEEPEST) else {
                lost.push(format!("the artifact `{path}` has a name that leads elsewhere"));
                continue;
            };
            if file.get("is_dir").and_then(Value::as_bool).unwrap_or_default() {
                lost.extend(self.folder(run, root, &path, to, depth + 1)?);
                continue;
            }
            let place = to.join(inside.as_path());
            let made = place.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create_new(&place));
            let mut made =
                made.map_err(|error| CliError::world(format!("could not write `{}`: {error}", place.display())))?;
            if let Err(error) = self.client.get_file(&format!("{root}/{path}"), &mut made) {
                if error.code != "RESOURCE_DOES_NOT_EXIST" {
                    return Err(error.into());
                }
                let _ = fs::remove_file(&place);
                lost.push(format!("the artifact `{path}` is gone there"));
            }
        }
        Ok(lost)
    }
}

impl Source for Server {
    fn runs(&mut self) -> Result<Vec<Found>, CliError> {
        let experiments = self.pages("/experiments", &|client, token| {
            let asked = json!({ "max_results": PAGE, "page_token": token, "view_type": "ACTIVE_ONLY" });
            Ok(client.post("experiments/search", &asked)?)
        })?;
        let mut found = Vec::new();
        for experiment in experiments {
            let id = text(&experiment, "/experiment_id");
            let runs = self.pages("/runs", &|client, token| {
                let asked = json!({
                    "experiment_ids": [id], "max_results": PAGE, "page_token": token, "run_view_type": "ACTIVE_ONLY",
                    "order_by": ["attributes.start_time ASC"],
                });
                Ok(client.post("runs/search", &asked)?)
            })?;
            found.extend(runs.iter().map(|run| Found {
                id: text(run, "/info/run_id"),
                name: text(run, "/info/run_name"),
                experiment: text(&experiment, "/name"),
                user: text(run, "/info/user_id"),
                status: text(run, "/info/status"),
                started: number(run, "/info/start_time").unwrap_or_default(),
                ended: number(run, "/info/end_time"),
                params: pairs(run, "/data/params"),
                tags: pairs(run, "/data/tags"),
                metrics: list(run, "/data/metrics").map(|metric| (text(metric, "/key"), Vec::new())).collect(),
                artifacts: text(run, "/info/artifact_uri"),
            }));
        }
        found.sort_by_key(|run| run.started);
        Ok(found)
    }

    fn points(&mut self, run: &mut Found) -> Result<(), CliError> {
        for (name, points) in &mut run.metrics {
            let all = self.pages("/metrics", &|client, token| {
                let mut asked = vec![("run_id", run.id.as_str()), ("metric_key", name), ("max_results", "20000")];
                if !token.is_empty() {
                    asked.push(("page_token", token));
                }
                Ok(client.get("metrics/get-history", &asked)?)
            })?;
            let point = |metric: &Value| {
                Some(Point {
                    at: number(metric, "/timestamp").unwrap_or_default(),
                    step: text(metric, "/step").parse().unwrap_or_default(),
                    value: value_of(metric.get("value"))?,
                })
            };
            points.extend(all.iter().filter_map(point));
            points.sort_by_key(|point| (point.step, point.at));
        }
        Ok(())
    }

    fn artifacts(&mut self, run: &Found, to: &Path) -> Result<Vec<String>, CliError> {
        match served(&run.artifacts) {
            Some(root) => self.folder(run, &root, "", to, 0),
            None => Ok(vec![format!(
                "its artifacts are not taken: the server leaves them to its clients, at {}",
                run.artifacts
            )]),
        }
    }
}
