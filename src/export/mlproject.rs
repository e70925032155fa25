//! `MLproject` of MLflow: an entry point an experiment, its parameters with their values as defaults
//! (<https://mlflow.org/docs/latest/ml/projects/>). MLflow puts each value in as `{name}`, quoted for the shell.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, Exported};
use super::names::{free, identifier};
use crate::foreign::Outcome;
use crate::foreign::names::seen_from;
use crate::plan::Job;
use crate::plan::job::{Command, Runner};
use crate::project::model::{Action, Declared, EnvironmentKind, Experiment, Packages};
use crate::project::template::{self, Piece, Reference};
use crate::value::Value;
use crate::yaml::write::{Item, document};

type Map = Vec<(String, Item)>;

/// Writes the plan: an entry point for each of its experiments.
#[must_use]
pub fn export(mut context: Context<'_>) -> Exported {
    let mut exported = Exported::default();
    let project = context.project;
    let mut first: BTreeMap<usize, &Job> = BTreeMap::new();
    for job in &context.plan.jobs {
        first.entry(job.experiment).or_insert(job);
    }
    let mut map: Map = vec![("name".to_owned(), Item::text(&project.workspace.name))];
    environment(&mut context, &first, &mut map, &mut exported.files);
    let mut taken = BTreeSet::new();
    let mut entries: Map = Vec::new();
    for job in first.into_values() {
        let name = free(&identifier(&project.experiments[job.experiment].name, false), &mut taken);
        entries.push((name, Item::Map(entry(&mut context, job))));
    }
    if !entries.is_empty() {
        map.push(("entry_points".to_owned(), Item::Map(entries)));
        exported.files.insert("MLproject".to_owned(), document(&Item::Map(map)));
    }
    context.report.sort();
    exported.report = context.report;
    exported
}

/// The one environment that a project of MLflow has.
fn environment(
    context: &mut Context<'_>,
    jobs: &BTreeMap<usize, &Job>,
    map: &mut Map,
    files: &mut BTreeMap<String, String>,
) {
    let project = context.project;
    let mut used: Vec<usize> = jobs.values().map(|job| job.environment).collect();
    used.dedup();
    let declared = |at: &&usize| project.environments[**at].span != (0..0);
    let Some(&chosen) = used.iter().find(declared) else { return };
    for other in used.iter().filter(declared).filter(|other| **other != chosen) {
        let name = project.environments[*other].name.clone();
        let why = format!("MLflow has one environment a project: `{}` is it", project.environments[chosen].name);
        context.say("environments", &name, "description", Outcome::NoCounterpart, why);
    }
    let environment = &project.environments[chosen];
    let name = environment.name.clone();
    match &environment.kind {
        EnvironmentKind::UserManaged { .. } => {
            let why = "`mlflow run --env-manager local` takes what is installed";
            context.say("environments", &name, "user_managed", Outcome::Translated, why);
        }
        EnvironmentKind::Conda(path) => {
            map.push(("conda_env".to_owned(), Item::text(context.path(path))));
            context.say("environments", &name, "conda", Outcome::Translated, "conda_env");
        }
        EnvironmentKind::Docker(docker) => {
            if let Some(image) = &docker.image {
                let image = vec![("image".to_owned(), Item::text(image))];
                map.push(("docker_env".to_owned(), Item::Map(image)));
                context.say("environments", &name, "docker", Outcome::Translated, "docker_env");
            } else {
                let why = "MLflow takes an image, not a Dockerfile: build it and name it in docker_env";
                context.say("environments", &name, "docker", Outcome::NoCounterpart, why);
            }
        }
        EnvironmentKind::Managed { python, packages } => {
            let mut inner: Map = Vec::new();
            if let Some(python) = python {
                inner.push(("python".to_owned(), Item::text(python)));
            }
            let (key, list) = match packages {
                Packages::Listed(list) => ("packages", list.clone()),
                Packages::File(path) if path.as_path().extension().is_some_and(|ending| ending == "toml") => {
                    let why = "MLflow reads no pyproject.toml: name the packages";
                    context.say("environments", &name, "requirements", Outcome::NoCounterpart, why);
                    ("requirements", Vec::new())
                }
                Packages::File(path) => ("requirements", vec![format!("-r {}", context.path(path))]),
            };
            inner.push(("dependencies".to_owned(), Item::List(list.into_iter().map(Item::text).collect())));
            context.say("environments", &name, key, Outcome::Translated, "python_env.yaml");
            files.insert("python_env.yaml".to_owned(), document(&Item::Map(inner)));
            map.push(("python_env".to_owned(), Item::text("python_env.yaml")));
        }
    }
}

/// The texts of one entry point.
struct Writer<'w, 'c> {
    context: &'w Context<'c>,
    job: &'w Job,
    experiment: &'w Experiment,
    /// Where the job runs, seen from the project.
    folder: String,
    parameters: Map,
    /// Parameters by the names they have here.
    keys: BTreeMap<String, String>,
    taken: BTreeSet<String>,
    caller: Vec<String>,
}

fn entry(context: &mut Context<'_>, job: &Job) -> Map {
    let experiment = &context.project.experiments[job.experiment];
    let (variables, theirs) = context.variables(job);
    let mut writer = Writer {
        context,
        job,
        experiment,
        folder: job.source_directory.to_string(),
        parameters: Vec::new(),
        keys: BTreeMap::new(),
        taken: BTreeSet::new(),
        caller: Vec::new(),
    };
    let mut command = String::new();
    for (name, value) in &variables {
        command.extend(["export ", name, "=", &braced(&shell_words::quote(value)), " && "]);
    }
    for (name, text) in &theirs {
        let value = writer.text(text, true);
        command.extend(["export ", name, "=", &value, " && "]);
    }
    if !job.source_directory.is_root() || context.back != "." {
        let folder = context.path(&job.source_directory);
        command.extend(["cd ", &braced(&shell_words::quote(&folder)), " && "]);
    }
    match (&experiment.action, &job.command) {
        (Action::Script(script, _), Command::Script { runner, .. }) => {
            let quoted = braced(&shell_words::quote(script));
            command.push_str(match runner {
                Runner::Python => "python ",
                Runner::Shell => "sh ",
                Runner::Rscript => "Rscript ",
                Runner::Itself => "./",
            });
            command.push_str(&quoted);
        }
        (Action::Command(text, _), _) => command.push_str(&writer.text(text, false)),
        (Action::Script(script, _), Command::Shell(_)) => command.push_str(&braced(script)),
    }
    for (argument, _) in &experiment.arguments {
        command.push(' ');
        command.push_str(&writer.text(argument, true));
    }
    let (parameters, caller) = (writer.parameters, writer.caller);
    account(context, job, &caller);
    let mut map: Map = Vec::new();
    if !parameters.is_empty() {
        map.push(("parameters".to_owned(), Item::Map(parameters)));
    }
    map.push(("command".to_owned(), Item::text(command)));
    map
}

/// Braces mean something to MLflow; two of them are one.
fn braced(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

impl Writer<'_, '_> {
    /// A text with `{name}` for parameters. As a `word`, its own parts are quoted; MLflow quotes the values.
    fn text(&mut self, text: &str, word: bool) -> String {
        let quote = |text: &str| braced(&if word { shell_words::quote(text) } else { text.into() });
        let mut out = String::new();
        for piece in template::pieces(text) {
            match piece {
                Piece::Literal(literal) => out.push_str(&quote(literal)),
                Piece::Unclosed(range) => out.push_str(&quote(text.get(range).unwrap_or_default())),
                Piece::Name(name, _) => {
                    let part = self.name(name.trim(), word);
                    out.push_str(&part);
                }
            }
        }
        if out.is_empty() && word { "''".to_owned() } else { out }
    }

    fn name(&mut self, name: &str, word: bool) -> String {
        let path = |declared: &[Declared], wanted: &str| {
            declared.iter().find(|one| one.name() == wanted).map(|one| one.path.clone())
        };
        match Reference::of(name) {
            Reference::Param(param) => match self.context.of_caller(self.job, param) {
                Some(text) => self.text(&text, word),
                None => self.param(param),
            },
            Reference::Variable(variable) => {
                self.caller.push(variable.to_owned());
                format!("\"${variable}\"")
            }
            Reference::Input(wanted) => match path(&self.experiment.inputs, wanted) {
                Some(path) => self.path(&path, word),
                None => braced(&format!("${{{name}}}")),
            },
            Reference::Output(wanted) => {
                let found = path(&self.experiment.outputs, wanted).or_else(|| path(&self.experiment.metrics, wanted));
                found.map_or_else(|| braced(&format!("${{{name}}}")), |path| self.path(&path, word))
            }
        }
    }

    /// A path as the command sees it.
    fn path(&mut self, path: &str, word: bool) -> String {
        let seen = if path.starts_with('/') { path.to_owned() } else { seen_from(&self.folder, path) };
        self.text(&seen, word)
    }

    fn param(&mut self, name: &str) -> String {
        if let Some(key) = self.keys.get(name) {
            return format!("{{{key}}}");
        }
        let key = free(&identifier(name, false), &mut self.taken);
        let value = self.job.params.get(name);
        let kind = match value {
            Some(Value::Integer(_) | Value::Float(_)) => "float",
            _ => "string",
        };
        let mut pairs = vec![("type".to_owned(), Item::text(kind))];
        if let Some(value) = value {
            let item = match value {
                Value::Integer(number) => Item::Scalar((*number).into()),
                Value::Float(number) if number.text == format!("{:?}", number.value) => {
                    Item::Number(number.text.clone())
                }
                other => Item::text(other.to_string()),
            };
            pairs.push(("default".to_owned(), item));
        }
        self.parameters.push((key.clone(), Item::Map(pairs)));
        self.keys.insert(name.to_owned(), key.clone());
        format!("{{{key}}}")
    }
}

/// What became of the keys of an experiment.
fn account(context: &mut Context<'_>, job: &Job, caller: &[String]) {
    let name = context.project.experiments[job.experiment].name.clone();
    let none = Outcome::NoCounterpart;
    let lines = [
        ("source_directory", Outcome::Translated, "the command's `cd`"),
        ("script", Outcome::Translated, "command"),
        ("command", Outcome::Translated, "command"),
        ("arguments", Outcome::Translated, "command"),
        ("params", Outcome::Translated, "parameters with defaults"),
        ("matrix", Outcome::Translated, "a parameter, its first value the default: `mlflow run -P` for the others"),
        ("environment", Outcome::Translated, "the project's environment"),
        ("sources", none, "MLflow takes all of the project"),
        ("inputs", none, "MLflow knows no inputs, and nothing of what makes them: run the entry points in this order"),
        ("outputs", none, "MLflow knows no outputs"),
        ("metrics", none, "metrics are those that the script logs by MLflow"),
        ("needs", none, "entry points are run one by one"),
        ("resources", none, "MLflow has no resources"),
        ("target", none, "`mlflow run --backend`"),
        ("retries", none, "MLflow does not try again"),
        ("secrets", none, "variables of the caller are seen by the command anyway"),
        ("distributed", none, "MLflow starts one process"),
        ("sweep", none, "MLflow has no search: its parameters have no default"),
        ("tags", none, "MLflow has no tags of an entry point"),
        ("description", none, "MLflow has no descriptions of an entry point"),
        ("cache", none, "MLflow runs always"),
        ("isolation", none, "MLflow runs in the project"),
    ];
    for (key, outcome, becomes) in lines {
        if context.has("experiments", &name, key) {
            context.say("experiments", &name, key, outcome, becomes);
        }
    }
    for variable in caller {
        let why = format!("`${{env.{variable}}}` became the shell's own variable");
        context.say("experiments", &name, "arguments", Outcome::Translated, why);
    }
}
