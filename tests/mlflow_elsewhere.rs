//! Unmodified scripts that use mlflow, on a host that is reached by ssh: they are told there what they are told here, and the
//! record is the same.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

mod engines;
mod python;

use std::path::Path;

use engines::{Engine, Project};

const SUITE: &str = include_str!("mlflow_scripts/suite.py");
const TRACES: &str = include_str!("mlflow_scripts/traces.py");
const MODELS: &str = include_str!("mlflow_scripts/models.py");
const TORN: &str = include_str!("mlflow_scripts/torn.py");
const FULL: &[&str] = &["mlflow==3.17.2", "scikit-learn", "pandas", "matplotlib", "pillow"];

/// What is on record of a run, but for identities and times: its metrics, parameters and tags, the runs within it, its files.
fn record(project: &Project) -> serde_json::Value {
    let shown = project.command(&["runs", "show", "train", "--json"]).output().unwrap();
    let run: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let children = run["logged"]["children"].as_array().cloned().unwrap_or_default();
    let child = |child: &serde_json::Value| {
        serde_json::json!([child["name"], child["status"], child["metrics"], child["params"]])
    };
    let models: Vec<_> = run["logged"]["models"].as_array().cloned().unwrap_or_default();
    let tags: Vec<_> = run["tags"].as_object().unwrap().keys().cloned().collect();
    // Models and traces go by identities, and so do the folders of their files and of those of the runs within.
    let files = project.run(&["runs", "files", "train"]);
    let plain = |line: &&str| line.starts_with("artifacts/") && !line.starts_with("artifacts/traces/");
    serde_json::json!({
        "metrics": run["metrics"], "params": run["params"], "tags": tags, "series": run["logged"]["series"],
        "children": children.iter().map(child).collect::<Vec<_>>(),
        "models": models.iter().map(|model| &model["name"]).collect::<Vec<_>>(),
        "reused": !project.run(&["-n"]).contains("is not reused"),
        "artifacts": files.lines().filter(plain).collect::<Vec<_>>(), "files": files.lines().count(),
    })
}

/// Runs a script here or there; what it was told, and what is on record.
fn told(folder: &Path, target: &str, python: &Path, script: &str) -> (serde_json::Value, serde_json::Value) {
    let mut project = Project::new(folder);
    project.variables.push(("USER".to_owned(), "somebody".to_owned()));
    project.write("script.py", script);
    project.write(
        "Amlfile",
        &format!(
            "format = 1\n{target}[environments.py]\nuser_managed = true\ninterpreter = \"{}\"\n\
             variables = {{ MLFLOW_DISABLE_TELEMETRY = \"true\", GIT_PYTHON_REFRESH = \"quiet\", USER = \"somebody\", LOGNAME = \"somebody\" }}\n\
             [experiments.train]\n{}script = \"script.py\"\narguments = [\"seen.json\"]\nsources = [\"script.py\"]\n\
             outputs = [\"seen.json\"]\nenvironment = \"py\"\n",
            python.display(),
            if target.is_empty() { "" } else { "target = \"vm\"\n" }
        ),
    );
    project.run(&["train"]);
    let seen = serde_json::from_str(&project.read("seen.json").unwrap()).unwrap();
    (seen, record(&project))
}

/// Of a refusal only its code: the words are each server's own.
fn without_words(answer: &serde_json::Value) -> &serde_json::Value {
    match answer.as_array().map(Vec::as_slice) {
        Some([code, text])
            if text.as_str().zip(code.as_str()).is_some_and(|(t, c)| t.starts_with(&format!("{c}:"))) =>
        {
            code
        }
        _ => answer,
    }
}

/// Runs a script here and there, and compares; what is on record, none where there is no engine.
fn same(name: &str, packages: &[&str], script: &str) -> Option<serde_json::Value> {
    let folder = tempfile::Builder::new().prefix("amlrun-e-").tempdir().unwrap();
    let engine = Engine::up("sshd-up.sh", &folder.path().join("e"), &[])?;
    let python = python::with(name, packages)?;
    let config = engine.folder.join("ssh_config");
    let target = format!(
        "[targets.vm]\ntype = \"ssh\"\nhost = \"host\"\noptions = [\"-F\", \"{}\"]\ndirectory = \"{}\"\n",
        config.display(),
        folder.path().join("far").display()
    );
    let here = told(&folder.path().join("here"), "", &python, script);
    let there = told(&folder.path().join("there"), &target, &python, script);
    let (answers, others) = (here.0.as_object().unwrap(), there.0.as_object().unwrap());
    assert_eq!(answers.keys().collect::<Vec<_>>(), others.keys().collect::<Vec<_>>());
    for (name, answer) in answers {
        assert_eq!(without_words(answer), without_words(&others[name]), "{name}");
    }
    assert_eq!(here.1, there.1);
    Some(there.1)
}

#[test]
fn half_a_line_of_a_killed_process_costs_none_of_what_is_logged_after_it() {
    let Some(record) = same("mlflow", &["mlflow-skinny==3.17.2"], TORN) else { return };
    assert_eq!(record["params"], serde_json::json!({ "alpha": 0.1 }));
    assert_eq!(record["metrics"], serde_json::json!({ "mse": 2.5 }));
    assert_eq!(record["series"].to_string().matches("torn").count(), 0);
}

#[test]
fn mlflow_2_is_told_there_what_it_is_told_here() {
    same("mlflow-skinny-2.22.2", &["mlflow-skinny==2.22.2"], SUITE);
}

#[test]
fn mlflow_3_is_told_there_what_it_is_told_here() {
    same("mlflow", &["mlflow-skinny==3.17.2"], SUITE);
}

#[test]
fn what_is_traced_there_is_told_as_here() {
    same("mlflow", &["mlflow-skinny==3.17.2"], TRACES);
}

#[test]
fn models_and_autolog_are_told_there_what_they_are_told_here() {
    same("mlflow-full", FULL, MODELS);
}
