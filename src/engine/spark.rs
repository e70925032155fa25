//! `framework = "pyspark"`: a script is given to spark-submit by a small Python program, the same on every target, that the
//! Python of the job's environment runs; this makes its words.
//!
//! Called by `argv`. It starts nothing. What the target says comes before what the environment says, as of two values
//! Spark takes the last one: the environment's are in the job's key, so they have to hold.

use serde_json::json;

use super::Work;
use crate::plan::job::{Command, Job, Runner};
use crate::project::model::TargetKind;

/// The program.
const TEXT: &str = include_str!("spark.py");
/// What `-c` is given: the program comes as an argument.
const BEGIN: &str = "import sys; exec(sys.argv[1])";
/// The master of a target that names none.
const HERE: &str = "local[*]";

/// What Python is given to run a job's script: the script itself, or the program that hands it to spark-submit.
pub(super) fn arguments(work: Work<'_>, job: &Job, script: &str, arguments: &[String]) -> Vec<String> {
    let script = std::iter::once(script.to_owned()).chain(arguments.iter().cloned());
    if !is_submitted(job) {
        return script.collect();
    }
    ["-c", BEGIN, TEXT].into_iter().map(str::to_owned).chain([spec(work, job)]).chain(script).collect()
}

/// Whether a job is handed to spark-submit.
fn is_submitted(job: &Job) -> bool {
    job.framework == "pyspark" && matches!(job.command, Command::Script { runner: Runner::Python, .. })
}

fn spec(work: Work<'_>, job: &Job) -> String {
    let target = work.project.targets.get(job.target);
    let of_spark = target.filter(|target| target.kind == TargetKind::Spark).map(|target| &target.options);
    let option = |name: &str| of_spark.and_then(|options| options.get(name));
    let options: Vec<&str> = option("options")
        .and_then(toml::Value::as_array)
        .map(|all| all.iter().filter_map(toml::Value::as_str).collect())
        .unwrap_or_default();
    let of_target = option("configuration").and_then(toml::Value::as_table).into_iter().flatten();
    let mut configuration: Vec<(String, String)> =
        of_target.map(|(name, value)| (name.clone(), plain(value))).collect();
    let spark = work.project.environments.get(job.environment).and_then(|environment| environment.spark.clone());
    let spark = spark.unwrap_or_default();
    configuration.extend(spark.configuration);
    json!({
        "target": target.map_or("local", |target| target.name.as_str()),
        "master": option("master").and_then(toml::Value::as_str).unwrap_or(HERE),
        "name": job.name.0,
        "options": options,
        "configuration": configuration,
        "packages": spark.packages,
        "repositories": spark.repositories,
        "jars": spark.jars,
        "py-files": spark.py_files,
    })
    .to_string()
}

/// A property as Spark reads it.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(is_so) => is_so.to_string(),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => String::new(),
    }
}
