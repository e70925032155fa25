//! What a script logged while it ran, as plain values: metrics with their series, parameters, tags, tables, children,
//! models. Pure.
//!
//! `tracking` reads it from a run's log, `engine` puts it on record, `history` keeps it, `cli` shows it. Whatever goes from
//! here to a record has gone through [`Logged::mask`].

mod mask;
mod read;
mod series;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::staleness::Recorded;

pub use mask::Secrets;
pub use read::Reader;
pub use series::{decode, encode, pack, unpack};

/// One value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When: milliseconds since 1970; 0 where nobody knows.
    pub at: u64,
    /// At which step.
    pub step: i64,
    /// The value, which may be no finite number.
    pub value: f64,
}

/// All values of a metric, in the order in which they were logged.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Whose: a child's identity; none for the run itself.
    pub of: Option<String>,
    /// The metric.
    pub name: String,
    /// Its values.
    pub points: Vec<Point>,
}

impl Series {
    /// The value that stands for the metric: that of the highest step, of several the latest.
    #[must_use]
    pub fn last(&self) -> Option<Point> {
        self.points.iter().copied().max_by_key(|point| (point.step, point.at))
    }
}

/// A list, row, table, image or other thing that was logged under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// `list`, `row`, `table`, `image`, `accuracy_table`, `confusion_matrix`, `residuals` or `predictions`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// When.
    #[serde(default)]
    pub at: u64,
    /// What was logged.
    pub value: Value,
}

/// A model that a run registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Under this name.
    pub name: String,
    /// Where it lies: a path among the run's files or artifacts.
    pub path: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// When: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at: u64,
    /// The number that the script was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// What lay there when the run was over; found by whoever puts the run on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Recorded>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(at: &u64) -> bool {
    *at == 0
}

/// Another name that a script gave to a version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The model.
    pub model: String,
    /// The name.
    pub alias: String,
    /// The version; none where the name was taken away.
    pub version: Option<u32>,
}

/// A tag that a script gave to a version of a model, or took away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelTag {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u32,
    /// The tag.
    pub tag: String,
    /// Its value; none where it was taken away.
    pub value: Option<String>,
}

impl ModelTag {
    /// Gives it to these tags, or takes it away from them.
    pub fn put(&self, tags: &mut BTreeMap<String, String>) {
        match &self.value {
            Some(value) => drop(tags.insert(self.tag.clone(), value.clone())),
            None => drop(tags.remove(&self.tag)),
        }
    }
}

/// What was logged for one run, but for its series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Tags; none where one was taken away.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Option<String>>,
    /// Properties.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// Lists, tables and the like, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// Paths of artifacts, as they were logged.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub artifacts: BTreeSet<String>,
    /// Registered models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    /// Aliases of versions of models, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Tags of versions of models, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_tags: Vec<ModelTag>,
    /// Data sets that were named as inputs, as MLflow writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<Value>,
    /// MLflow's logged models (3.x), by identity.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub logged_models: BTreeMap<String, Value>,
    /// The status that the script gave the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// And why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Another name of the experiment, which the script gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
}

/// A run within the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// Its identity.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The run within the run that it is one of; none for one of the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// When it began: milliseconds since 1970.
    #[serde(default)]
    pub started: u64,
    /// When it ended.
    #[serde(default)]
    pub ended: Option<u64>,
    /// What was logged for it.
    #[serde(flatten)]
    pub facts: Facts,
}

/// All that a script logged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logged {
    /// For the run itself.
    #[serde(flatten)]
    pub own: Facts,
    /// The runs within it, in the order of their beginnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Child>,
    /// When the script ended the run, if it did: milliseconds since 1970.
    #[serde(skip)]
    pub ended: Option<u64>,
    /// The series, of the run and of its children; they are kept apart from the rest.
    #[serde(skip)]
    pub series: Vec<Series>,
}

impl Logged {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The last values of the metrics of the run (none) or of a child.
    #[must_use]
    pub fn metrics(&self, of: Option<&str>) -> BTreeMap<String, f64> {
        let own = self.series.iter().filter(|series| series.of.as_deref() == of);
        own.filter_map(|series| Some((series.name.clone(), series.last()?.value))).collect()
    }

    /// What is known of the run (none) or of a child.
    #[must_use]
    pub fn facts(&self, of: Option<&str>) -> Option<&Facts> {
        match of {
            None => Some(&self.own),
            Some(id) => self.children.iter().find(|child| child.id == id).map(|child| &child.facts),
        }
    }

    /// Puts the series of a metric file in place of a logged one of the same name.
    pub fn put_series(&mut self, name: &str, points: Vec<Point>) {
        self.series.retain(|series| series.of.is_some() || series.name != name);
        self.series.push(Series { of: None, name: name.to_owned(), points });
    }

    /// Cuts the values of secrets out of everything: names, values, and what is nested in them.
    pub fn mask(&mut self, secrets: &Secrets) {
        if secrets.is_empty() {
            return;
        }
        mask::facts(secrets, &mut self.own);
        for child in &mut self.children {
            mask::text(secrets, &mut child.id);
            mask::text(secrets, &mut child.name);
            if let Some(parent) = &mut child.parent {
                mask::text(secrets, parent);
            }
            mask::facts(secrets, &mut child.facts);
        }
        for series in &mut self.series {
            mask::series(secrets, series);
        }
    }
}
