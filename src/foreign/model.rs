//! The intermediate model: what an Amlfile would say. Filled by the fronts, written by [`super::write`].

use crate::value::Value;

/// A value of TOML, tables in the order in which they shall stand.
#[derive(Debug, Clone, PartialEq)]
pub enum Toml {
    /// A scalar, or a list of scalars.
    Value(Value),
    /// A list of anything.
    List(Vec<Toml>),
    /// An inline table.
    Table(Vec<(String, Toml)>),
}

impl Toml {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Value(Value::Text(text.into()))
    }

    /// A whole number.
    #[must_use]
    pub fn integer(value: i64) -> Self {
        Self::Value(Value::Integer(value))
    }

    /// A list of texts.
    pub fn texts(texts: impl IntoIterator<Item = String>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }
}

/// Keys and values of a table.
pub type Keys = Vec<(String, Toml)>;

/// A whole Amlfile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proposal {
    /// The workspace's name.
    pub name: Option<String>,
    /// What the reader should know first, a line each.
    pub notes: Vec<String>,
    /// `[params]`.
    pub params: Vec<(String, Value)>,
    /// `[environments.*]`.
    pub environments: Vec<Environment>,
    /// `[targets.*]`.
    pub targets: Vec<Target>,
    /// `[experiments.*]`.
    pub experiments: Vec<Experiment>,
    /// What a lock of another tool says that each experiment's run left: those that may be adopted.
    pub locks: Vec<super::dvc::lock::Locked>,
}

/// An environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Comments above it: where it comes from, what could not be carried over.
    pub comments: Vec<String>,
    /// Its keys.
    pub keys: Keys,
    /// `variables`.
    pub variables: Vec<(String, String)>,
}

/// A target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Comments above it.
    pub comments: Vec<String>,
    /// Its keys, `type` first.
    pub keys: Keys,
}

/// Which cell of which matrix a job of another tool was.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The experiment that had the matrix.
    pub matrix: String,
    /// The job's name, as in `train[alpha=0.1]`.
    pub job: String,
    /// Its values, axis by axis in the order of the matrix.
    pub axes: Vec<(String, Value)>,
    /// All values of each axis, in their order.
    pub all: Vec<Vec<Value>>,
}

/// An experiment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// Comments above it.
    pub comments: Vec<String>,
    /// `description`.
    pub description: Option<String>,
    /// `source_directory`.
    pub source_directory: Option<String>,
    /// `sources`.
    pub sources: Option<Vec<String>>,
    /// `script`.
    pub script: Option<String>,
    /// `command`, `${…}` being Amlfile references already.
    pub command: Option<String>,
    /// `arguments`, likewise.
    pub arguments: Vec<Value>,
    /// `params`.
    pub params: Vec<(String, Value)>,
    /// `inputs`: names and paths; all or none have names.
    pub inputs: Vec<(String, String)>,
    /// `outputs`.
    pub outputs: Vec<(String, String)>,
    /// `metrics`.
    pub metrics: Vec<String>,
    /// `environment`.
    pub environment: Option<String>,
    /// The target that it had: named in a comment, so that the job runs here until it is chosen.
    pub former_target: Option<String>,
    /// `resources`.
    pub resources: Keys,
    /// `needs`.
    pub needs: Vec<String>,
    /// `tags`.
    pub tags: Vec<(String, Value)>,
    /// `matrix`.
    pub matrix: Vec<(String, Vec<Value>)>,
    /// The cell that it is, until the cells of a matrix are folded into one experiment.
    pub cell: Option<Cell>,
    /// `distributed`.
    pub distributed: Keys,
    /// `sweep`, without the next two.
    pub sweep: Keys,
    /// `sweep.space`.
    pub space: Keys,
    /// `sweep.early_termination`.
    pub termination: Keys,
    /// Other keys, as in `framework`.
    pub more: Keys,
}

impl Proposal {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.experiments.is_empty() && self.environments.is_empty() && self.targets.is_empty()
    }

    /// Adds an environment under a free name and answers with it; one that says the same is used again.
    pub fn environment(&mut self, mut new: Environment) -> String {
        let same = |known: &&Environment| known.keys == new.keys && known.variables == new.variables;
        if let Some(known) = self.environments.iter().find(same) {
            return known.name.clone();
        }
        new.name = super::names::free(&new.name, |name| self.environments.iter().all(|e| e.name != name));
        self.environments.push(new);
        self.environments.last().map(|e| e.name.clone()).unwrap_or_default()
    }

    /// Adds a target, unless there is one of that name; answers with the name.
    pub fn target(&mut self, new: Target) -> String {
        let name = new.name.clone();
        if self.targets.iter().all(|known| known.name != name) {
            self.targets.push(new);
        }
        name
    }

    /// Adds an experiment under a free name and answers with it.
    pub fn experiment(&mut self, mut new: Experiment) -> String {
        new.name = super::names::free(&new.name, |name| self.experiments.iter().all(|e| e.name != name));
        self.experiments.push(new);
        self.experiments.last().map(|e| e.name.clone()).unwrap_or_default()
    }
}
