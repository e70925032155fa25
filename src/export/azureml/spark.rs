//! Jobs of the framework `pyspark` as Spark jobs of v2: an entry and its arguments, no command.
//!
//! Such a job has no shell, so nothing can be laid out for its script: all its data must be named by its arguments, which
//! are told where the service has it. It has no variables either, and wants sizes of driver and executors, which an Amlfile
//! leaves to Spark.

use std::collections::BTreeMap;

use super::super::context::Context;
use super::command;
use super::paths::Bound;
use crate::foreign::model::Toml;
use crate::foreign::{Outcome, write};
use crate::plan::Job;
use crate::project::model::{Action, Environment, EnvironmentKind, InputPath, Packages, Spark};
use crate::project::template::{self, Reference};
use crate::yaml::write::Item;

type Map = Vec<(String, Item)>;

/// What v2 wants to know in any case, with the values of its own examples.
const SIZES: [(&str, &str); 5] = [
    ("spark.driver.cores", "1"),
    ("spark.driver.memory", "2g"),
    ("spark.executor.cores", "2"),
    ("spark.executor.memory", "2g"),
    ("spark.executor.instances", "2"),
];

/// The smallest machine that v2 has for Spark.
const INSTANCE: &str = "standard_e4s_v3";
/// Where the environment names no version of pyspark.
const RUNTIME: &str = "3.4";

/// Why such a job cannot be had there.
pub(super) fn refused(context: &Context<'_>, job: &Job) -> Option<&'static str> {
    let experiment = &context.project.experiments[job.experiment];
    if experiment.sweep.is_some() {
        return Some("left out: v2 has no sweeps of Spark jobs");
    }
    if !matches!(experiment.action, Action::Script(..)) {
        return Some("left out: a Spark job there is a script");
    }
    let names: Vec<(&str, _)> = experiment
        .arguments
        .iter()
        .flat_map(|(text, _)| template::names(text))
        .map(|(name, at)| (name.trim(), at))
        .collect();
    let is_theirs = |name: &str| match Reference::of(name) {
        Reference::Variable(_) => true,
        Reference::Param(name) => context.of_caller(job, name).is_some(),
        Reference::Input(_) | Reference::Output(_) => false,
    };
    if names.iter().any(|(name, _)| is_theirs(name)) {
        return Some("left out: an argument holds `${env.…}`, and a Spark job there has no variables");
    }
    let is_named = |name: String| names.iter().any(|(other, _)| *other == name);
    let outputs = job.outputs.iter().all(|output| is_named(format!("outputs.{}", output.name)));
    let mut inputs = job.inputs.iter().enumerate().map(|(at, input)| {
        let name = experiment.inputs.get(at).map_or(input.name.as_str(), |declared| declared.name());
        is_named(format!("inputs.{name}")) && is_whole(context, input)
    });
    (!outputs || !inputs.all(|is_so| is_so)).then_some(
        "left out: a Spark job there finds only data that its arguments name by `${inputs.X}` and `${outputs.X}`, each made as \
         a whole by one job or by none",
    )
}

/// Whether one job makes all of an input, or none does.
fn is_whole(context: &Context<'_>, input: &crate::plan::job::Input) -> bool {
    let InputPath::Inside(path) = &input.path else { return true };
    let outputs = input.from.iter().filter_map(|from| context.plan.jobs.get(from.0)).flat_map(|job| &job.outputs);
    let parts: Vec<_> =
        outputs.filter(|output| output.path.is_within(path) || path.is_within(&output.path)).map(|o| &o.path).collect();
    parts.is_empty() || parts == [path]
}

/// The keys of the job, but for its data and properties; what is kept of them is added to `kept`.
pub(super) fn keys(
    context: &mut Context<'_>,
    job: &Job,
    bound: &mut Bound,
    environment: Item,
    kept: &mut Vec<(String, String)>,
) -> Map {
    let project = context.project;
    let experiment = &project.experiments[job.experiment];
    let mut map: Map = vec![("code".to_owned(), Item::text(context.path(&job.source_directory)))];
    if let Action::Script(script, _) = &experiment.action {
        map.push(("entry".to_owned(), Item::Map(vec![("file".to_owned(), Item::text(script))])));
    }
    let arguments = command::arguments(context, job, bound);
    if !arguments.is_empty() {
        map.push(("args".to_owned(), Item::text(arguments)));
    }
    let of = &project.environments[job.environment];
    let spark = of.spark.clone().unwrap_or_default();
    for (key, files) in [("py_files", &spark.py_files), ("jars", &spark.jars)] {
        if !files.is_empty() {
            map.push((key.to_owned(), Item::List(files.iter().map(Item::text).collect())));
        }
    }
    let conf = configuration(context, job, &spark);
    map.push(("conf".to_owned(), Item::Map(conf.iter().map(|(key, text)| (key.clone(), value(text))).collect())));
    let told = Toml::Table(vec![
        ("py_files".to_owned(), Toml::texts(spark.py_files)),
        ("jars".to_owned(), Toml::texts(spark.jars)),
        ("conf".to_owned(), Toml::Table(conf.into_iter().map(|(key, text)| (key, Toml::text(text))).collect())),
    ]);
    kept.push(("amlrun.spark".to_owned(), write::toml(&told)));
    map.push(("environment".to_owned(), environment));
    let name = experiment.name.clone();
    context.say("experiments", &name, "framework", Outcome::Translated, "a Spark job");
    if !job.variables.is_empty() {
        let environment = of.name.clone();
        let why = "a Spark job has no variables there; kept in properties for `amlrun import`";
        context.say("environments", &environment, "variables", Outcome::NoCounterpart, why);
    }
    map
}

/// Driver, executors and properties: the environment's, then the target's, then those of v2's examples.
fn configuration(context: &mut Context<'_>, job: &Job, spark: &Spark) -> BTreeMap<String, String> {
    let mut conf = spark.configuration.clone();
    for (key, list) in [("spark.jars.packages", &spark.packages), ("spark.jars.repositories", &spark.repositories)] {
        if !list.is_empty() {
            conf.entry(key.to_owned()).or_insert_with(|| list.join(","));
        }
    }
    let of_target = context.project.targets[job.target].options.get("configuration");
    let of_target = |key: &str| Some(of_target?.as_table()?.get(key)?.as_str()?.to_owned());
    let mut added = Vec::new();
    for (key, usual) in SIZES {
        if !conf.contains_key(key) {
            let size = of_target(key).unwrap_or_else(|| usual.to_owned());
            added.push(format!("{key} {size}"));
            conf.insert(key.to_owned(), size);
        }
    }
    if !added.is_empty() {
        let name = context.project.experiments[job.experiment].name.clone();
        let why = format!("v2 wants sizes, and these were added: {}", added.join(", "));
        context.say("experiments", &name, "framework", Outcome::Translated, why);
    }
    conf
}

/// A property: numbers as such, which the package's own checks count with.
fn value(text: &str) -> Item {
    let is_number = |number: &i64| number.to_string() == text;
    text.parse::<i64>().ok().filter(is_number).map_or_else(|| Item::text(text), |number| Item::Scalar(number.into()))
}

/// `resources`, where no compute is named.
pub(super) fn resources(context: &mut Context<'_>, job: &Job) -> Item {
    let version = version(&context.project.environments[job.environment]);
    let runtime = version.clone().unwrap_or_else(|| RUNTIME.to_owned());
    let name = context.project.experiments[job.experiment].name.clone();
    let why = format!(
        "resources: {INSTANCE} and runtime {runtime}, {}; see that Azure ML has it",
        if version.is_some() {
            "that of the environment's pyspark"
        } else {
            "as the environment names no version of pyspark"
        }
    );
    context.say("experiments", &name, "framework", Outcome::Translated, why);
    Item::Map(vec![
        ("instance_type".to_owned(), Item::text(INSTANCE)),
        ("runtime_version".to_owned(), Item::text(runtime)),
    ])
}

/// The version of pyspark that an environment asks for, as in `3.4`.
fn version(environment: &Environment) -> Option<String> {
    let EnvironmentKind::Managed { packages: Packages::Listed(list), .. } = &environment.kind else { return None };
    list.iter().find_map(|requirement| {
        let rest = requirement.trim().strip_prefix("pyspark")?.trim_start();
        let version = rest.strip_prefix("==").or_else(|| rest.strip_prefix("~="))?.trim();
        let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
        Some(format!("{}.{}", numbers.next()??, numbers.next()??))
    })
}

/// Data of a Spark job: it is read and written where it lies.
pub(super) fn direct(pairs: Map) -> Map {
    let mode = || ("mode".to_owned(), Item::text("direct"));
    let one = |(key, item)| match item {
        Item::Map(mut map) => {
            map.push(mode());
            (key, Item::Map(map))
        }
        Item::Scalar(serde_json::Value::String(text)) if text.starts_with("${{parent.") => {
            (key, Item::Map(vec![("path".to_owned(), Item::text(text)), mode()]))
        }
        value => (key, value),
    };
    pairs.into_iter().map(one).collect()
}
