//! A log of what a script logged, line by line. A line that is none is left out; so is a half-written last one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Alias, Child, Facts, Logged, Model, ModelTag, Point, Series, Table};

/// One line. Which of its keys is there says what it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    at: Option<f64>,
    run: Option<String>,
    metric: Option<String>,
    param: Option<String>,
    tag: Option<String>,
    property: Option<String>,
    log: Option<String>,
    artifact: Option<String>,
    child: Option<String>,
    status: Option<String>,
    model: Option<String>,
    alias: Option<String>,
    model_tag: Option<String>,
    version: Option<u32>,
    dataset: Option<Value>,
    logged_model: Option<String>,
    experiment: Option<String>,
    name: Option<String>,
    error: Option<String>,
    path: Option<String>,
    tags: Option<BTreeMap<String, Value>>,
    value: Option<Value>,
    step: Option<f64>,
    of_model: Option<Value>,
}

/// The tag by which MLflow says whose a run is.
const PARENT: &str = "mlflow.parentRunId";

/// Reads a log as it grows.
#[derive(Debug, Default)]
pub struct Reader {
    /// What was read so far.
    pub logged: Logged,
    places: BTreeMap<(Option<String>, String), usize>,
    /// Lines that could not be understood.
    pub unreadable: usize,
}

impl Reader {
    /// Reads whole lines; returns how many bytes they were. The rest is no line yet.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while let Some(end) = bytes.get(used..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
            let line = bytes.get(used..used + end).unwrap_or_default();
            used += end + 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match serde_json::from_slice::<Line>(line) {
                Ok(line) => self.line(line),
                Err(_) => self.unreadable += 1,
            }
        }
        used
    }

    fn line(&mut self, line: Line) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped, and times are positive")]
        let at = line.at.unwrap_or_default() as u64;
        let of = line.run;
        if let Some(name) = line.metric {
            let Some(value) = line.value.as_ref().and_then(number) else { return self.unreadable += 1 };
            if let Some(metric) = line.of_model {
                self.metric_of_model(metric);
            }
            #[expect(clippy::cast_possible_truncation, reason = "clamped")]
            let step = line.step.unwrap_or_default() as i64;
            return self.point(of, name, Point { at, step, value });
        }
        if let Some(id) = line.child {
            let children = &mut self.logged.children;
            let at_once = children.iter().position(|child| child.id == id);
            let place = at_once.unwrap_or_else(|| {
                children.push(Child { id, started: at, ..Child::default() });
                children.len() - 1
            });
            if let Some(child) = children.get_mut(place) {
                child.name = line.name.unwrap_or_else(|| std::mem::take(&mut child.name));
                child.parent = of.or_else(|| child.parent.take());
            }
            return;
        }
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let value = line.value.unwrap_or_default();
        let ended = line.status.as_deref().map(|status| (!is_open(status)).then_some(at));
        match (ended, &of) {
            (Some(ended), None) => self.logged.ended = ended,
            (Some(ended), Some(id)) => {
                if let Some(child) = self.logged.children.iter_mut().find(|child| child.id == *id) {
                    child.ended = ended;
                }
            }
            (None, _) => {}
        }
        let facts = self.facts(of.as_deref(), at);
        if let Some(name) = line.param {
            facts.params.insert(name, text(&value));
        } else if let Some(name) = line.tag {
            if let (PARENT, Some(id), Value::String(parent)) = (name.as_str(), &of, &value) {
                self.parent(id, parent);
                let facts = self.facts(of.as_deref(), at);
                facts.tags.insert(name, Some(text(&value)));
                return;
            }
            facts.tags.insert(name, (!value.is_null()).then(|| text(&value)));
        } else if let Some(name) = line.property {
            facts.properties.insert(name, text(&value));
        } else if let Some(kind) = line.log {
            facts.tables.push(Table { kind, name: line.name.unwrap_or_default(), at, value });
        } else if let Some(path) = line.artifact {
            facts.artifacts.insert(path);
        } else if let (Some(model), Some(alias)) = (&line.model, &line.alias) {
            facts.aliases.push(Alias { model: model.clone(), alias: alias.clone(), version: line.version });
        } else if let (Some(model), Some(tag)) = (&line.model, &line.model_tag) {
            let Some(version) = line.version else { return self.unreadable += 1 };
            let value = (!value.is_null()).then(|| text(&value));
            facts.model_tags.push(ModelTag { model: model.clone(), version, tag: tag.clone(), value });
        } else if let Some(name) = line.model {
            let tags = line.tags.unwrap_or_default().iter().map(|(name, value)| (name.clone(), text(value))).collect();
            let path = line.path.unwrap_or_default();
            facts.models.push(Model { name, path, tags, at, version: line.version, content: None });
        } else if let Some(dataset) = line.dataset {
            if !facts.datasets.contains(&dataset) {
                facts.datasets.push(dataset);
            }
        } else if let Some(id) = line.logged_model {
            facts.logged_models.insert(id, value);
        } else if let Some(name) = line.experiment {
            facts.experiment = Some(name);
        } else if let Some(status) = line.status {
            facts.status = (!is_open(&status)).then_some(status);
            facts.error = line.error;
        } else {
            self.unreadable += 1;
        }
    }

    /// A run within the run belongs to another one; where that is none within the run, to the run itself.
    fn parent(&mut self, id: &str, parent: &str) {
        let is_child = self.logged.children.iter().any(|child| child.id == parent && child.id != id);
        if let Some(child) = self.logged.children.iter_mut().find(|child| child.id == id) {
            child.parent = is_child.then(|| parent.to_owned());
        }
    }

    /// A metric that stands with a logged model of MLflow.
    fn metric_of_model(&mut self, metric: Value) {
        let id = metric.get("model_id").and_then(Value::as_str).unwrap_or_default();
        let Some(Value::Object(model)) = self.logged.own.logged_models.get_mut(id) else { return };
        let data = model.entry("data").or_insert_with(|| Value::Object(serde_json::Map::default()));
        let Value::Object(data) = data else { return };
        if let Value::Array(metrics) = data.entry("metrics").or_insert_with(|| Value::Array(Vec::new())) {
            metrics.push(metric);
        }
    }

    fn point(&mut self, of: Option<String>, name: String, point: Point) {
        if let Some(id) = &of {
            self.facts(Some(id), point.at);
        }
        let series = &mut self.logged.series;
        let place = *self.places.entry((of, name)).or_insert_with_key(|(of, name)| {
            series.push(Series { of: of.clone(), name: name.clone(), points: Vec::new() });
            series.len() - 1
        });
        if let Some(series) = series.get_mut(place) {
            series.points.push(point);
        }
    }

    /// The facts of the run, or of a child, which need not have been told of before.
    fn facts(&mut self, of: Option<&str>, at: u64) -> &mut Facts {
        let Some(id) = of else { return &mut self.logged.own };
        let children = &mut self.logged.children;
        let place = children.iter().position(|child| child.id == id).unwrap_or_else(|| {
            children.push(Child { id: id.to_owned(), started: at, ..Child::default() });
            children.len() - 1
        });
        &mut children[place].facts
    }
}

/// Whether a status is that of a run which goes on.
fn is_open(status: &str) -> bool {
    matches!(status, "Running" | "RUNNING" | "Scheduled" | "SCHEDULED")
}

/// A number, or what stands for one that JSON does not have.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::String(text) => match text.as_str() {
            "NaN" | "nan" => Some(f64::NAN),
            "Infinity" | "inf" => Some(f64::INFINITY),
            "-Infinity" | "-inf" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        },
        _ => None,
    }
}
