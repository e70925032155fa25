//! Environments as documents of their own, with a conda file where packages are installed.

use std::collections::BTreeMap;

use super::super::context::Context;
use super::SCHEMAS;
use crate::foreign::model::Toml;
use crate::foreign::{Outcome, write};
use crate::plan::Job;
use crate::project::model::{Environment, EnvironmentKind, Packages, Spark};
use crate::value::Value;
use crate::yaml::write::{Item, document};

/// What packages are installed on.
const IMAGE: &str = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04";

/// What was written already, by its place in the project.
pub(super) type Known = BTreeMap<usize, Item>;

/// Writes a job's environment once, and answers with it as a job has it: inline, as the workspace may not know it yet.
pub(super) fn of(
    context: &mut Context<'_>,
    job: &Job,
    files: &mut BTreeMap<String, String>,
    known: &mut Known,
) -> Item {
    if let Some(item) = known.get(&job.environment) {
        return item.clone();
    }
    let project = context.project;
    let environment = &project.environments[job.environment];
    let is_builtin = environment.span == (0..0);
    let stem = if is_builtin { "default".to_owned() } else { environment.name.clone() };
    let stem = stem.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' });
    let stem: String = stem.collect();
    let mut writer = Writer { context, environment, files, stem: &stem, map: Vec::new(), kept: Vec::new() };
    if is_builtin {
        writer.kept.push(("amlrun.default".to_owned(), "true".to_owned()));
        writer.map.push(("image".to_owned(), Item::text(IMAGE)));
    } else {
        writer.kept.push(("amlrun.environment".to_owned(), environment.name.clone()));
        writer.environment();
    }
    let (text, inline) = writer.done();
    files.insert(format!("environments/{stem}.yml"), text);
    known.insert(job.environment, inline.clone());
    inline
}

struct Writer<'w, 'c> {
    context: &'w mut Context<'c>,
    environment: &'w Environment,
    files: &'w mut BTreeMap<String, String>,
    stem: &'w str,
    /// Paths in it are those that a job sees.
    map: Vec<(String, Item)>,
    kept: Vec<(String, String)>,
}

/// A path that a job sees, as it is seen from `environments/`.
fn from_below(item: &Item) -> Item {
    match item {
        Item::Scalar(serde_json::Value::String(path)) => Item::text(match path.strip_prefix("environments/") {
            Some(name) => name.to_owned(),
            None if path.starts_with('/') => path.clone(),
            None => format!("../{path}"),
        }),
        Item::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, item)| {
                let moved = if key == "path" { from_below(item) } else { item.clone() };
                (key.clone(), moved)
            });
            Item::Map(pairs.collect())
        }
        other => other.clone(),
    }
}

/// `spark` as an Amlfile has it.
fn spark_table(spark: &Spark) -> Toml {
    let lists = [
        ("packages", &spark.packages),
        ("repositories", &spark.repositories),
        ("jars", &spark.jars),
        ("py_files", &spark.py_files),
    ];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
    let mut table: Vec<_> = lists.map(|(key, list)| (key.to_owned(), Toml::texts(list.clone()))).collect();
    if !spark.configuration.is_empty() {
        let pairs = spark.configuration.iter().map(|(key, text)| (key.clone(), Toml::text(text))).collect();
        table.push(("configuration".to_owned(), Toml::Table(pairs)));
    }
    Toml::Table(table)
}

impl Writer<'_, '_> {
    /// The document, and what a job says.
    fn done(self) -> (String, Item) {
        let mut map = vec![
            ("$schema".to_owned(), Item::text(format!("{SCHEMAS}/environment.schema.json"))),
            ("name".to_owned(), Item::text(self.stem)),
        ];
        if let Some(description) = &self.environment.description {
            map.push(("description".to_owned(), Item::text(description)));
        }
        let mut inline = self.map;
        let moved = |(key, item): &(String, Item)| {
            let is_path = key == "conda_file" || key == "build";
            (key.clone(), if is_path { from_below(item) } else { item.clone() })
        };
        map.extend(inline.iter().map(moved));
        let tags = self.kept.into_iter().map(|(key, value)| (key, Item::text(value))).collect();
        let tags = ("tags".to_owned(), Item::Map(tags));
        map.push(tags.clone());
        inline.push(tags);
        (document(&Item::Map(map)), Item::Map(inline))
    }

    fn say(&mut self, key: &str, outcome: Outcome, becomes: impl Into<String>) {
        self.context.say("environments", &self.environment.name, key, outcome, becomes);
    }

    fn keep(&mut self, key: &str, value: &Toml) {
        self.kept.push((format!("amlrun.{key}"), write::toml(value)));
    }

    fn environment(&mut self) {
        let environment = self.environment;
        if !environment.variables.is_empty() {
            self.say("variables", Outcome::Translated, "environment_variables of each job");
        }
        if let Some(spark) = &environment.spark {
            self.say("spark", Outcome::Translated, "py_files, jars and conf of Spark jobs");
            self.keep("spark", &spark_table(spark));
        }
        match &environment.kind {
            EnvironmentKind::UserManaged { interpreter } => {
                self.map.push(("image".to_owned(), Item::text(IMAGE)));
                self.keep("user_managed", &Toml::Value(Value::Bool(true)));
                let why = "what this machine has is not there: the base image stands in for it";
                self.say("user_managed", Outcome::NoCounterpart, why);
                if let Some(interpreter) = interpreter {
                    self.keep("interpreter", &Toml::text(interpreter));
                    let why = "a path of this machine; kept in tags for `amlrun import`";
                    self.say("interpreter", Outcome::NoCounterpart, why);
                }
            }
            EnvironmentKind::Managed { python, packages } => self.managed(python.as_deref(), packages),
            EnvironmentKind::Conda(path) => {
                let back = self.context.path(path);
                self.map.push(("image".to_owned(), Item::text(IMAGE)));
                self.map.push(("conda_file".to_owned(), Item::text(back)));
                self.keep("conda", &Toml::text(path.to_string()));
                self.say("conda", Outcome::Translated, "conda_file");
            }
            EnvironmentKind::Docker(docker) => {
                self.say(
                    "docker",
                    Outcome::Translated,
                    "image or build; resources.shm_size and docker_args of its jobs",
                );
                if let Some(image) = &docker.image {
                    self.map.push(("image".to_owned(), Item::text(image)));
                }
                if let Some(dockerfile) = &docker.dockerfile {
                    let context = docker.context.clone().or_else(|| dockerfile.parent()).unwrap_or_default();
                    let folder = self.context.path(&context);
                    let file = dockerfile.seen_from(&context).to_string_lossy().into_owned();
                    let build =
                        vec![("path".to_owned(), Item::text(folder)), ("dockerfile_path".to_owned(), Item::text(file))];
                    self.map.push(("build".to_owned(), Item::Map(build)));
                }
                let mut table: Vec<(String, Toml)> = Vec::new();
                let mut add = |key: &str, value: Toml| table.push((key.to_owned(), value));
                if let Some(image) = &docker.image {
                    add("image", Toml::text(image));
                }
                if let Some(dockerfile) = &docker.dockerfile {
                    add("dockerfile", Toml::text(dockerfile.to_string()));
                }
                if let Some(context) = &docker.context {
                    add("context", Toml::text(context.to_string()));
                }
                if docker.gpus {
                    add("gpus", Toml::Value(Value::Bool(true)));
                }
                if let Some(bytes) = docker.shm_size {
                    add("shm_size", Toml::text(format!("{bytes}B")));
                }
                if let Some(platform) = &docker.platform {
                    add("platform", Toml::text(platform));
                }
                if !docker.arguments.is_empty() {
                    add("arguments", Toml::texts(docker.arguments.clone()));
                }
                let more = docker.gpus || docker.platform.is_some();
                self.keep("docker", &Toml::Table(table));
                if more {
                    let why = "gpus and platform are those of the compute; kept in tags for `amlrun import`";
                    self.say("docker", Outcome::NoCounterpart, why);
                }
            }
        }
    }

    fn managed(&mut self, python: Option<&str>, packages: &Packages) {
        let packages = match packages {
            Packages::Listed(list) => {
                self.say("packages", Outcome::Translated, "conda_file: its pip part");
                list.clone()
            }
            Packages::File(path) => {
                self.keep("requirements", &Toml::text(path.to_string()));
                self.say("requirements", Outcome::Translated, "conda_file: its pip part");
                self.file(&path.to_string())
            }
        };
        let version = python.map_or_else(|| "python".to_owned(), |version| format!("python={version}"));
        if python.is_none() {
            let why = "no `python`: conda takes the newest there, amlrun the one of this machine";
            self.say("python", Outcome::NoCounterpart, why);
        } else {
            self.say("python", Outcome::Translated, "conda_file");
        }
        let mut list = vec![Item::text(version), Item::text("pip")];
        if !packages.is_empty() {
            let pip = packages.into_iter().map(Item::text).collect();
            list.push(Item::Map(vec![("pip".to_owned(), Item::List(pip))]));
        }
        let conda = Item::Map(vec![
            ("channels".to_owned(), Item::List(vec![Item::text("conda-forge")])),
            ("dependencies".to_owned(), Item::List(list)),
        ]);
        let name = format!("{}.conda.yml", self.stem);
        let name = format!("environments/{name}");
        self.files.insert(name.clone(), document(&conda));
        self.map.push(("image".to_owned(), Item::text(IMAGE)));
        self.map.push(("conda_file".to_owned(), Item::text(name)));
    }

    /// The requirements of a file, a line each: only that one file goes to Azure ML.
    fn file(&mut self, path: &str) -> Vec<String> {
        let text = match self.context.look.read(path) {
            Some(Ok(text)) => text,
            Some(Err(why)) => {
                self.say("requirements", Outcome::NoCounterpart, format!("{path}: {why}"));
                return Vec::new();
            }
            None => {
                self.say("requirements", Outcome::NoCounterpart, format!("{path} is not there"));
                return Vec::new();
            }
        };
        if std::path::Path::new(path).extension().is_some_and(|ending| ending == "toml") {
            let table = text.parse::<toml::Table>().unwrap_or_default();
            let list = table.get("project").and_then(|project| project.get("dependencies")?.as_array());
            return list.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect();
        }
        let mut found = Vec::new();
        for (number, line) in text.replace("\\\n", " ").lines().enumerate() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (requirement, option) = match line.split_once(" --") {
                _ if line.starts_with('-') => ("", Some(line)),
                Some((requirement, option)) => (requirement.trim(), Some(option)),
                None => (line, None),
            };
            if !requirement.is_empty() {
                found.push(requirement.to_owned());
            }
            if let Some(option) = option {
                let key = option.split_whitespace().next().unwrap_or_default();
                let why = "an option of pip that a conda file has no place for";
                self.context.report.line(path, number + 1, key, Outcome::NoCounterpart, why);
            }
        }
        found
    }
}
