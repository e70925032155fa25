//! `ScriptRunConfig`, `Estimator` and `HyperDriveConfig` calls of SDK v1 in scripts and notebooks, as far as they are
//! literal (azure-ml.md §1.4, §1.8, §1.9). Read, never executed.

mod environment;
mod scope;
mod search;

use scope::{Arguments, Scope};
use search::{distributed, search};

use super::conda::Conda;
use super::look::Context;
use super::model::{Environment, Experiment, Keys, Toml};
use super::names;
use super::python::{Py, statements};
use super::report::Outcome;
use crate::value::Value;

/// Estimators with what their images held.
const ESTIMATORS: &[(&str, &[&str])] = &[
    ("Estimator", &[]),
    ("SKLearn", &["scikit-learn", "numpy", "scipy", "joblib"]),
    ("PyTorch", &["torch", "torchvision", "numpy"]),
    ("TensorFlow", &["tensorflow", "numpy"]),
    ("Chainer", &["chainer", "numpy"]),
];

/// Whether a text has such a call at all.
#[must_use]
pub fn is_likely(text: &str) -> bool {
    text.contains("ScriptRunConfig(") || ESTIMATORS.iter().any(|(name, _)| text.contains(&format!("{name}(")))
}

/// Reads one.
pub fn import(context: &mut Context<'_>, path: &str) {
    let Some(Ok(text)) = context.look.read(path) else { return };
    let script = if std::path::Path::new(path).extension().is_some_and(|ending| ending == "ipynb") {
        match notebook(&text) {
            Ok(script) => script,
            Err(why) => return context.fault(path, &why),
        }
    } else {
        text
    };
    let statements = statements(&script);
    let scope = Scope::of(&statements);
    let mut made: Vec<(String, String)> = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        let Py::Call(callee, positional, named, line) = &statement.value else { continue };
        let last = callee.rsplit('.').next().unwrap_or(callee);
        let arguments = Arguments { scope: &scope, at, positional, named };
        let place = Place { path, line: *line };
        let one = match last {
            "ScriptRunConfig" => Some(script_run(context, &arguments, &place)),
            "HyperDriveConfig" => search(context, &arguments, &place, &made).map(Some),
            _ => ESTIMATORS
                .iter()
                .find(|(name, _)| *name == last)
                .map(|(name, packages)| estimator(context, &arguments, &place, name, packages)),
        };
        let Some(Some(one)) =
            one.map(|one| one.filter(|one: &Experiment| one.script.is_some() || one.command.is_some()))
        else {
            continue;
        };
        let name = context.proposal.experiment(one);
        context.report.line(path, *line, last, Outcome::Translated, format!("experiments.{name}"));
        made.push((statement.name.clone(), name));
    }
    if made.is_empty() {
        context.report.line(
            path,
            1,
            "calls",
            Outcome::NoCounterpart,
            "no call that is literal: nothing was executed to find out more",
        );
    }
}

struct Place<'p> {
    path: &'p str,
    line: usize,
}

impl Place<'_> {
    fn report(&self, context: &mut Context<'_>, key: &str, outcome: Outcome, becomes: &str) {
        context.report.line(self.path, self.line, key, outcome, becomes);
    }
}

/// The code cells of a notebook.
fn notebook(text: &str) -> Result<String, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("not a notebook: {error}"))?;
    let mut script = String::new();
    for cell in value.get("cells").and_then(serde_json::Value::as_array).into_iter().flatten() {
        if cell.get("cell_type").and_then(serde_json::Value::as_str) != Some("code") {
            continue;
        }
        match cell.get("source") {
            Some(serde_json::Value::Array(lines)) => {
                lines.iter().filter_map(serde_json::Value::as_str).for_each(|line| script.push_str(line));
            }
            Some(serde_json::Value::String(lines)) => script.push_str(lines),
            _ => {}
        }
        script.push('\n');
    }
    Ok(script)
}

const SCRIPT_RUN: &[&str] = &[
    "source_directory",
    "script",
    "arguments",
    "run_config",
    "_telemetry_values",
    "compute_target",
    "environment",
    "distributed_job_config",
    "resume_from",
    "max_run_duration_seconds",
    "command",
    "docker_runtime_config",
];

fn script_run(context: &mut Context<'_>, arguments: &Arguments<'_>, place: &Place<'_>) -> Option<Experiment> {
    let get = |name: &str| arguments.get(name, SCRIPT_RUN);
    let mut one = begin(context, get("source_directory"), place)?;
    match (get("script"), get("command")) {
        (Some(Py::Text(script)), _) => {
            one.name = names::plain(names::stem(&script));
            one.script = Some(script);
        }
        (_, Some(Py::Text(command))) => one.command = Some(crate::project::template::escape(&command)),
        (_, Some(Py::List(words))) => {
            let words: Option<Vec<String>> =
                words.iter().map(|word| word.value().map(|value| value.to_string())).collect();
            one.command = words.map(|words| words.join(" "));
        }
        _ => {}
    }
    if let Some(list) = get("arguments") {
        literal_arguments(&list, &mut one);
        place.report(context, "arguments", Outcome::Taken, "arguments");
    }
    let run_config = arguments.name("run_config", SCRIPT_RUN);
    let environment = arguments.name("environment", SCRIPT_RUN).or_else(|| {
        run_config.as_ref().and_then(|name| arguments.scope.name_of(&format!("{name}.environment"), arguments.at))
    });
    one.environment = environment::of(context, arguments, environment.as_deref(), run_config.as_deref(), place.path);
    target(
        context,
        get("compute_target").or_else(|| {
            run_config.as_ref().and_then(|name| arguments.scope.literal(&format!("{name}.target"), arguments.at))
        }),
        place,
        &mut one,
    );
    if let Some(Py::Number(seconds)) = get("max_run_duration_seconds") {
        one.resources.push(("time".into(), Toml::text(format!("{seconds}s"))));
        place.report(context, "max_run_duration_seconds", Outcome::Translated, "resources.time");
    }
    if let Some(Py::Call(callee, positional, named, _)) = get("distributed_job_config") {
        distributed(&callee, &Arguments { positional: &positional, named: &named, ..*arguments }, &mut one);
        place.report(context, "distributed_job_config", Outcome::Translated, "distributed");
    }
    leftovers(context, arguments, SCRIPT_RUN, place);
    Some(one)
}

const ESTIMATOR: &[&str] = &[
    "source_directory",
    "compute_target",
    "vm_size",
    "vm_priority",
    "entry_script",
    "script_params",
    "node_count",
    "process_count_per_node",
    "distributed_backend",
    "distributed_training",
    "use_gpu",
];

fn estimator(
    context: &mut Context<'_>,
    arguments: &Arguments<'_>,
    place: &Place<'_>,
    kind: &str,
    preset: &[&str],
) -> Option<Experiment> {
    // The presets have their own order of positional arguments; keywords are what everyone writes.
    let order: &[&str] = if kind == "Estimator" { ESTIMATOR } else { &["source_directory"] };
    let get = |name: &str| arguments.get(name, order);
    let mut one = begin(context, get("source_directory"), place)?;
    if let Some(Py::Text(script)) = get("entry_script") {
        one.name = names::plain(names::stem(&script));
        one.script = Some(script);
    }
    if let Some(Py::Dict(pairs)) = get("script_params") {
        for (flag, value) in &pairs {
            let Some(flag) = flag.text() else { continue };
            one.arguments.push(Value::Text(flag.to_owned()));
            match value.value() {
                // A switch.
                Some(Value::Text(text)) if text.is_empty() => {}
                Some(value) if !matches!(value, Value::List(_)) => one.arguments.push(value),
                _ => {
                    one.comments.push(format!("The value of {flag} is not literal: put it in."));
                    one.arguments.push(Value::Text(String::new()));
                }
            }
        }
        place.report(context, "script_params", Outcome::Translated, "arguments");
    }
    target(context, get("compute_target"), place, &mut one);
    let mut conda = Conda { packages: preset.iter().map(|text| (*text).to_owned()).collect(), ..Conda::default() };
    let texts = |value: Option<Py>| match value {
        Some(Py::List(items)) => items.iter().filter_map(|item| item.text().map(str::to_owned)).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    for text in &texts(get("conda_packages")) {
        conda.package(text);
    }
    for text in &texts(get("pip_packages")) {
        conda.pip(text);
    }
    let own = |package: &String| preset.contains(&package.as_str());
    let named =
        |package: &String| package.split(['=', '<', '>', '~', '!', '[']).next().unwrap_or_default().trim().to_owned();
    let given: Vec<String> = conda.packages.iter().filter(|p| !own(p)).map(named).collect();
    conda.packages.retain(|package| !own(package) || !given.contains(package));
    let environment = arguments.name("environment_definition", order);
    one.environment = match (environment, get("conda_dependencies_file"), get("pip_requirements_file")) {
        (Some(name), ..) => environment::of(context, arguments, Some(&name), None, place.path),
        (None, Some(Py::Text(file)), _) => environment::conda_file(context, &file, place.path),
        (None, _, Some(Py::Text(file))) => environment::requirements(context, &file, place.path),
        _ => {
            let mut comments = vec![format!("What {kind} of {}:{} asked for.", place.path, place.line)];
            comments.extend(conda.refused.iter().map(|text| format!("Left out: {text} has no known name on PyPI.")));
            let keys: Keys = vec![("packages".into(), Toml::texts(conda.packages))];
            Some(context.proposal.environment(Environment {
                name: kind.to_lowercase(),
                comments,
                keys,
                variables: Vec::new(),
            }))
        }
    };
    for key in
        ["conda_packages", "pip_packages", "environment_definition", "conda_dependencies_file", "pip_requirements_file"]
    {
        if arguments.has(key) {
            place.report(context, key, Outcome::Translated, "the experiment's environment");
        }
    }
    if get("use_gpu") == Some(Py::Bool(true)) {
        one.resources.push(("gpus".into(), Toml::integer(1)));
        place.report(context, "use_gpu", Outcome::Translated, "resources.gpus");
    }
    if let Some(Py::Call(callee, positional, named, _)) = get("distributed_training") {
        let nodes = get("node_count");
        distributed(&callee, &Arguments { positional: &positional, named: &named, ..*arguments }, &mut one);
        if let Some(Py::Number(nodes)) = nodes
            && let Ok(nodes) = nodes.parse::<i64>()
        {
            scale(&mut one.distributed, nodes);
            place.report(context, "node_count", Outcome::Translated, "distributed.nodes");
        }
        place.report(context, "distributed_training", Outcome::Translated, "distributed");
    }
    leftovers(context, arguments, order, place);
    Some(one)
}

fn scale(keys: &mut Keys, nodes: i64) {
    for (key, value) in keys.iter_mut() {
        match (key.as_str(), &value) {
            ("nodes", _) => *value = Toml::integer(nodes),
            ("processes", Toml::Value(Value::Integer(each))) => *value = Toml::integer(each.saturating_mul(nodes)),
            _ => {}
        }
    }
}

fn begin(_context: &mut Context<'_>, source: Option<Py>, place: &Place<'_>) -> Option<Experiment> {
    let folder = names::folder(place.path);
    let source = match source {
        Some(Py::Text(text)) => names::from(folder, &text)?,
        _ if folder.is_empty() => ".".to_owned(),
        _ => folder.to_owned(),
    };
    Some(Experiment {
        name: "train".to_owned(),
        comments: vec![format!("From {}:{}.", place.path, place.line)],
        source_directory: (source != ".").then_some(source),
        ..Experiment::default()
    })
}

fn literal_arguments(list: &Py, one: &mut Experiment) {
    let Py::List(items) = list else { return };
    for item in items {
        match item.value() {
            Some(value) if !matches!(value, Value::List(_)) => one.arguments.push(value),
            _ => {
                let input = format!(
                    "data{}",
                    if one.inputs.is_empty() { String::new() } else { (one.inputs.len() + 1).to_string() }
                );
                one.comments.push(format!(
                    "An argument is not literal: input {input} stands for it; put the data at data/{input}."
                ));
                one.arguments.push(Value::Text(format!("${{inputs.{input}}}")));
                one.inputs.push((input.clone(), format!("data/{input}")));
            }
        }
    }
}

fn target(context: &mut Context<'_>, value: Option<Py>, place: &Place<'_>, one: &mut Experiment) {
    match value {
        Some(Py::Text(name)) if name != "local" => {
            one.comments.push(format!("It ran on {name}: an azureml target can be declared for it."));
            place.report(context, "compute_target", Outcome::Translated, "a comment; jobs run on this machine");
        }
        Some(Py::Text(_)) => {
            place.report(context, "compute_target", Outcome::Taken, "this machine, the target of jobs that name none");
        }
        Some(_) => {
            place.report(context, "compute_target", Outcome::NoCounterpart, "not literal; jobs run on this machine");
        }
        None => {}
    }
}

/// Keywords that nothing was made of.
fn leftovers(context: &mut Context<'_>, arguments: &Arguments<'_>, order: &[&str], place: &Place<'_>) {
    let taken = ["source_directory", "script", "command", "entry_script", "environment", "run_config", "script_params"];
    for (name, _) in arguments.named {
        let reported = context
            .report
            .rows()
            .iter()
            .any(|row| row.file == place.path && row.line == place.line && row.key == *name);
        if reported {
            continue;
        }
        if taken.contains(&name.as_str()) {
            place.report(context, name, Outcome::Translated, "the experiment");
        } else {
            place.report(context, name, Outcome::NoCounterpart, "an Amlfile has nothing like it");
        }
    }
    let _ = order;
}
