//! Spark jobs: an entry that spark-submit starts, and its settings.

use std::collections::BTreeMap;

use super::super::doc::At;
use super::super::look::Context;
use super::super::model::{Experiment, Keys, Toml};
use super::super::names;
use super::bind::{inputs, outputs, reference};
use super::job::{about, common, source};
use super::ours::{self, Ours};
use super::{Scope, expression};
use crate::value::Value;

/// A spark job: its entry, submitted with spark-submit.
pub(super) fn import(context: &mut Context<'_>, at: &At<'_>, name: &str, scope: &Scope) {
    let name = names::free(name, |name| context.proposal.experiments.iter().all(|one| one.name != name));
    let mut one = Experiment { name, comments: vec![format!("From {}.", at.place())], ..Experiment::default() };
    let ours = ours::of(context, at, "properties");
    one.cell = ours.cell();
    about(context, at, &mut one, &ours);
    source(context, at, &mut one);
    let bound = inputs(context, at, at, &mut one, scope, &ours);
    outputs(context, at, at, &mut one, scope, &ours);
    if let Some(file) = at.get("entry").and_then(|entry| entry.get("file")) {
        one.script = file.scalar();
        context.report.taken(&file, "script");
    } else if let Some(entry) = at.get("entry") {
        context.report.none(&entry, "a class of a jar; an Amlfile runs a script or a command");
        one.command = Some("spark-submit".into());
    }
    if let Some(args) = at.get("args") {
        let text = args.scalar().unwrap_or_default();
        let known = |name: &str| reference(name, &bound, &one, &BTreeMap::new(), scope, &ours);
        let (text, _) = expression::translate(&text, &known);
        let words = shell_words::split(&text).unwrap_or_else(|_| text.split_whitespace().map(str::to_owned).collect());
        one.arguments = words.into_iter().map(Value::Text).collect();
        context.report.taken(&args, "arguments");
    }
    one.more.push(("framework".into(), Toml::text("pyspark")));
    common(context, at, at, &mut one, scope, &ours);
    settings(context, at, &mut one, &ours);
    ours.complete(&mut one);
    context.proposal.experiment(one);
}

/// What spark-submit is given, as the environment has it. What was kept there stands, as long as the job says nothing else.
fn settings(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment, ours: &Ours) {
    let list = |key: &str| at.get(key).map(|list| list.scalars()).unwrap_or_default();
    let conf = at.get("conf").map(|conf| conf.entries()).unwrap_or_default();
    let conf: BTreeMap<String, String> =
        conf.into_iter().filter_map(|entry| Some((entry.key.clone(), entry.scalar()?))).collect();
    let mut table: Keys = Vec::new();
    for key in ["jars", "py_files"] {
        if let Some(files) = at.get(key) {
            table.push((key.into(), Toml::texts(list(key))));
            context.report.taken(&files, format!("environments.NAME.spark.{key}"));
        }
    }
    if let Some(place) = at.get("conf") {
        let pairs = conf.iter().map(|(key, text)| (key.clone(), Toml::text(text))).collect();
        table.push(("configuration".into(), Toml::Table(pairs)));
        context.report.taken(&place, "environments.NAME.spark.configuration");
    }
    if let (Some(resources), false) = (at.get("resources"), ours.is_empty()) {
        for key in ["instance_type", "runtime_version"] {
            if let Some(place) = resources.get(key) {
                context.report.holds(&place);
            }
        }
    }
    let is_told = ours.toml("spark").is_some_and(|told| {
        let same = Toml::Table(vec![
            ("py_files".to_owned(), Toml::texts(list("py_files"))),
            ("jars".to_owned(), Toml::texts(list("jars"))),
            ("conf".to_owned(), Toml::Table(conf.into_iter().map(|(key, text)| (key, Toml::text(text))).collect())),
        ]);
        sorted(told) == sorted(same)
    });
    if is_told || table.is_empty() {
        return;
    }
    let known = one.environment.clone();
    let base = context.proposal.environments.iter().find(|e| Some(&e.name) == known.as_ref()).cloned();
    let mut with = base.unwrap_or_default();
    with.keys.retain(|(key, _)| key != "spark");
    if with.keys.is_empty() {
        with.keys.push(("packages".into(), Toml::texts(["pyspark".to_owned()])));
    }
    with.name = names::plain(&format!("{}-spark", one.name));
    with.keys.push(("spark".into(), Toml::Table(table)));
    one.environment = Some(context.proposal.environment(with));
}

/// Tables by their keys, which TOML leaves to the reader.
fn sorted(one: Toml) -> Toml {
    match one {
        Toml::Table(pairs) => {
            let sorted: BTreeMap<String, Toml> = pairs.into_iter().map(|(key, one)| (key, sorted(one))).collect();
            Toml::Table(sorted.into_iter().collect())
        }
        // An empty list is one of values to one reader, and of anything to another.
        Toml::Value(Value::List(items)) => Toml::List(items.into_iter().map(Toml::Value).collect()),
        other => other,
    }
}
