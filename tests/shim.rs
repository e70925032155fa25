//! The stand-in for Azure ML's SDK v1: its whole surface in plain Python processes, and the SDK's own examples (written
//! anew, in `fixtures/azureml`) through the real binary, with the figures that the originals give. Needs Python 3 and, the
//! first time, a package registry; the environment is kept in `target/tmp` for the next time.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs Python and amlrun")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

#[test]
fn a_script_finds_all_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (track, work) = (folder.path().join("track"), folder.path().join("work"));
    std::fs::create_dir_all(track.join("artifacts")).unwrap();
    std::fs::create_dir(&work).unwrap();
    std::fs::write(work.join("table.csv"), "a,b\n1,2\n").unwrap();
    let mut python = python(&[&package()]);
    python.arg(here("surface.py")).current_dir(&work).env("AMLRUN_TRACKING", &track).env("API_KEY", "s3cret");
    python.envs([("AZUREML_RUN_ID", "r1"), ("AZUREML_ARM_WORKSPACE_NAME", "project")]);
    python.envs([("AZUREML_ARM_PROJECT_NAME", "train"), ("AMLRUN_JOB", "train[alpha=1]")]);
    python.envs([("AZURE_ML_INPUT_data_set", "table.csv"), ("AZURE_ML_OUTPUT_made", "made")]);
    assert_eq!(good(python), "all of it\n");

    // What amlrun reads of it: JSON by the line, of the fields that `tracking` knows. A writer that finds another in the
    // middle of its line begins a new one, so that an empty line may lie between two of them.
    let log = std::fs::read_to_string(track.join("log.jsonl")).unwrap();
    assert!(log.ends_with('\n'));
    let lines: Vec<Value> =
        log.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |key: &str, name: &str| -> Vec<&Value> { lines.iter().filter(|line| line[key] == name).collect() };
    assert!(lines.iter().all(|line| line["at"].as_u64().unwrap() > 1_600_000_000_000));
    let mse: Vec<_> = of("metric", "mse").iter().map(|line| (line["value"].clone(), line["step"].clone())).collect();
    assert_eq!(mse[..3], [(1.5.into(), 0.into()), ("NaN".into(), 1.into()), (2.5.into(), 2.into())]);
    assert_eq!(of("metric", "mse")[3]["run"], "mine");
    assert_eq!(of("metric", "step")[0]["step"], 40);
    assert_eq!(of("log", "list")[0]["value"], serde_json::json!([1, 2.5, "-Infinity", "a"]));
    assert_eq!(of("log", "row").last().unwrap()["value"], serde_json::json!({"x": 3, "y": 4}));
    assert_eq!(of("tag", "gone").last().unwrap()["value"], Value::Null);
    assert_eq!(of("child", "mine")[0]["name"], "inner");
    assert_eq!(of("status", "Failed").last().unwrap()["error"], "Code: by hand");
    assert_eq!(of("model", "ridge")[0]["tags"]["description"], "best");
    assert_eq!(of("metric", "many").len(), 1000);
    assert!(track.join("artifacts/kept/loose.txt").exists() && track.join("children/mine/f.txt").exists());
    for line in lines.iter().filter(|line| line["artifact"].is_string()) {
        let base = line["run"].as_str().map_or(track.join("artifacts"), |child| track.join("children").join(child));
        assert!(base.join(line["artifact"].as_str().unwrap()).is_file(), "{line}");
    }
}

#[test]
fn without_amlrun_it_says_what_it_would_log() {
    let mut python = python(&[&package()]);
    python.arg(here("offline.py"));
    assert_eq!(good(python), std::fs::read_to_string(here("offline.txt")).unwrap());
}

#[test]
fn a_real_sdk_wins() {
    let folder = tempfile::tempdir().unwrap();
    let (real, other) = (folder.path().join("real"), folder.path().join("other"));
    // As the distributions of the SDK are laid out: each has this `__init__`, and a part of the package.
    let shared = "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n";
    for (site, part) in [(&real, "core"), (&other, "mlflow")] {
        std::fs::create_dir_all(site.join("azureml").join(part)).unwrap();
        std::fs::write(site.join("azureml/__init__.py"), shared).unwrap();
        std::fs::write(site.join("azureml").join(part).join("__init__.py"), "whose = 'real'\n").unwrap();
    }
    let whose = "import azureml.core as core; print(getattr(core, 'whose', 'shim'))";
    let both = "import azureml.mlflow as other, azureml.core.run; print(other.whose, azureml.core.run.Run.__module__)";
    let rows: &[(&[&Path], &str, &str, &str)] = &[
        (&[&package(), &real], "", whose, "real\n"),
        (&[&real, &package()], "", whose, "real\n"),
        (&[&package(), &real], "shim", whose, "shim\n"),
        (&[&package(), &other], "", both, "real azureml.core.run\n"),
        (&[&package()], "", whose, "shim\n"),
    ];
    for (path, choice, script, wanted) in rows {
        let mut python = python(path);
        python.env("AMLRUN_TRACKING", folder.path()).env("AMLRUN_AZUREML", choice).args(["-c", script]);
        let mark = folder.path().join("azureml-sdk");
        let _ = std::fs::remove_file(&mark);
        assert_eq!(good(python), *wanted, "{path:?}");
        // Where the package was asked first and stepped aside, it says so.
        assert_eq!(mark.exists(), *wanted == "real\n" && path[0] == package(), "{path:?}");
    }
}

#[test]
fn importing_it_takes_no_time() {
    let script = "import time; began = time.perf_counter(); import azureml.core; print(time.perf_counter() - began)";
    let once = || {
        let mut python = python(&[&package()]);
        python.args(["-c", script]);
        good(python).trim().parse::<f64>().unwrap()
    };
    // The best of a few: the machine may be busy.
    let best = (0..10).map(|_| once()).fold(f64::INFINITY, f64::min);
    assert!(best < 0.02, "import azureml.core took {:.1} ms", best * 1e3);
}

#[test]
fn the_examples_give_their_figures() {
    let folder = tempfile::Builder::new().prefix("amlrun-azureml-").tempdir().unwrap();
    let project = folder.path().join("azureml");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/azureml"), &project);
    assert!(last(&project, &[]).starts_with("5 ran in "));

    // Twenty alphas, the best of which is 0.40; the same from arrays in a folder.
    for job in ["train-on-local", "train-on-remote-vm"] {
        let run = shown(&project, job);
        let points = |name: &str| -> Vec<f64> {
            let series = run["logged"]["series"][name].as_array().unwrap();
            series.iter().enumerate().for_each(|(at, point)| assert_eq!(point[0], at, "{name}"));
            series.iter().map(|point| point[1].as_f64().unwrap()).collect()
        };
        let (alphas, errors) = (points("alpha"), points("mse"));
        assert_eq!((alphas.len(), errors.len()), (20, 20), "{job}");
        let best = (0..20).min_by(|a, b| errors[*a].total_cmp(&errors[*b])).unwrap();
        let near = |value: f64, wanted: f64| assert!((value - wanted).abs() < 1e-6, "{job}: {value} is not {wanted}");
        near(alphas[best], 0.40);
        near(errors[best], 3_295.714_938_563_238);
        near(errors[0], 3_424.259_334_298_692);
        near(errors[19], 3_369.116_634_858_97);
        near(run["metrics"]["mse"].as_f64().unwrap(), 3_369.116_634_858_97);
        let models = out(&project, &["runs", "files", job]);
        assert_eq!(models.lines().filter(|line| line.contains("outputs/ridge_")).count(), 20, "{models}");
    }

    let run = shown(&project, "manage-runs");
    let children = run["logged"]["children"].as_array().unwrap();
    let five: Vec<_> =
        children.iter().filter(|child| child["tags"]["azureml.batch_child_number"].is_string()).collect();
    assert_eq!(five.len(), 5);
    for (at, child) in five.iter().enumerate() {
        assert_eq!(child["metrics"]["Hello from child run"].as_f64(), Some(f64::from(u8::try_from(at).unwrap())));
        assert_eq!(child["status"], "Completed");
    }
    let ends: Vec<_> = children[5..].iter().map(|child| (&child["name"], &child["status"], &child["error"])).collect();
    let wanted = [
        ("single", "Completed", None),
        ("failing", "Failed", Some("Wanted: as it should")),
        ("canceled", "Canceled", None),
    ];
    for (found, (name, status, error)) in ends.iter().zip(wanted) {
        assert_eq!((found.0.as_str(), found.1.as_str(), found.2.as_str()), (Some(name), Some(status), error));
    }
    assert_eq!(run["logged"]["properties"]["author"], "azureml-user");
    assert_eq!(run["tags"]["quality"], "great run");

    let run = shown(&project, "logging-api");
    assert_eq!(run["logged"]["series"]["By step"], serde_json::json!([[0, 0.0], [10, 1.0], [20, 2.0]]));
    let tables = run["logged"]["tables"].as_array().unwrap();
    let count = |kind: &str| tables.iter().filter(|table| table["kind"] == kind).count();
    let kinds = ["list", "row", "table", "image", "confusion_matrix", "accuracy_table", "residuals", "predictions"];
    assert_eq!(kinds.map(count), [1, 41, 1, 2, 1, 1, 1, 1]);
    assert!(out(&project, &["runs", "files", "logging-api"]).contains("artifacts/Hello_World.png"));

    // Every shape is drawn.
    let charts: Vec<Value> = serde_json::from_str(&out(&project, &["plot", "--json"])).unwrap();
    let drawn: Vec<&str> = charts.iter().map(|chart| chart["title"].as_str().unwrap()).collect();
    for title in [
        "alpha",
        "mse",
        "logging-api · Fibonacci numbers",
        "logging-api · Cosine Wave",
        "logging-api · Sine Wave",
        "logging-api · Confusion",
        "logging-api · Accuracy: ROC",
        "logging-api · Accuracy: precision by recall",
        "logging-api · Accuracy: calibration",
        "logging-api · Residuals",
        "logging-api · Predictions",
        "logging-api · artifacts/Hello_World.png",
    ] {
        assert!(drawn.contains(&title), "{title} is not drawn: {drawn:#?}");
    }

    // What a run is fresh by does not depend on what logs.
    assert_eq!(last(&project, &[]), "up to date (5 jobs)");
}

/// Prints what the SDK does where it finds no service.
const SDK: &str = r#"
class Run:
    @staticmethod
    def get_context():
        return Run()

    def log(self, name, value):
        print("Attempted to log scalar metric {}:\n{}".format(name, value))

    def log_list(self, name, value):
        print("Attempted to log list metric {}:\n{}".format(name, value))

    def tag(self, key, value=None):
        print("Attempted to add tag {} with value {}".format(key, value))
"#;
const WITH_SDK: &str = r#"format = 1
[environments.real]
user_managed = true
interpreter = "venv/bin/python"

[experiments.found]
script = "train.py"
sources = ["train.py"]
environment = "real"
secrets = ["TOKEN_OF_MINE"]

[experiments.wanted]
script = "train.py"
sources = ["train.py"]
environment = "real"
arguments = ["wanted"]
azureml = "sdk"

[experiments.instead]
script = "train.py"
sources = ["train.py"]
environment = "real"
azureml = "shim"
"#;
const TRAIN: &str = r#"
import os
from azureml.core import Run
run = Run.get_context()
run.log("mse", 2.5)
run.log("mse", float("nan"))
run.log("mse", 1.5)
run.log_list("l", [1, 2, os.environ.get("TOKEN_OF_MINE")])
run.tag("k", "v")
print("asked back:", getattr(run, "get_metrics", dict)())
"#;

#[test]
fn what_the_real_sdk_prints_is_on_record() {
    let folder = tempfile::Builder::new().prefix("amlrun-sdk-").tempdir().unwrap();
    let project = folder.path();
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--without-pip"]).arg(project.join("venv"));
    good(venv);
    let lib = std::fs::read_dir(project.join("venv/lib")).unwrap().next().unwrap().unwrap().path();
    let package = lib.join("site-packages/azureml");
    std::fs::create_dir_all(package.join("core")).unwrap();
    std::fs::write(package.join("__init__.py"), "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n")
        .unwrap();
    std::fs::write(package.join("core/__init__.py"), SDK).unwrap();
    std::fs::write(project.join("Amlfile"), WITH_SDK).unwrap();
    std::fs::write(project.join("train.py"), TRAIN).unwrap();
    let mut amlrun = Command::new(env!("CARGO_BIN_EXE_amlrun"));
    amlrun.arg("-q").current_dir(project).env("TOKEN_OF_MINE", "hush-hush-hush");
    good(amlrun);
    for job in ["found", "wanted", "instead"] {
        let run = shown(project, job);
        let points = serde_json::json!([[0, 2.5], [1, "NaN"], [2, 1.5]]);
        assert_eq!(
            run["logged"]["series"]["mse"].to_string().replace("null", "\"NaN\""),
            points.to_string(),
            "{job}: {run:#}"
        );
        assert_eq!((run["metrics"]["mse"].as_f64(), &run["tags"]["k"]), (Some(1.5), &"v".into()), "{job}");
        let wanted = if job == "found" { serde_json::json!([1, 2, "***"]) } else { serde_json::json!([1, 2, null]) };
        assert_eq!(run["logged"]["tables"][0]["value"], wanted, "{job}");
        let log = out(project, &["runs", "logs", job]);
        assert_eq!(
            (log.contains("Attempted to"), log.contains("asked back: {}")),
            (job != "instead", job != "instead"),
            "{log}"
        );
    }

    // Who says which one it is changes what the script imports.
    std::fs::write(project.join("Amlfile"), WITH_SDK.replace("\"sdk\"", "\"shim\"")).unwrap();
    let told = out(project, &["-n", "wanted"]);
    assert!(told.contains("variable AMLRUN_AZUREML sdk -> shim"), "{told}");
}

/// Runs amlrun in the project; it must end well. Its stdout.
fn out(project: &Path, arguments: &[&str]) -> String {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
    command.args(arguments).current_dir(project).env("AMLRUN_CACHE_DIR", cache).env("NO_COLOR", "1");
    good(command)
}

/// The last line of what amlrun says.
fn last(project: &Path, arguments: &[&str]) -> String {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
    command.args(arguments).current_dir(project).env("AMLRUN_CACHE_DIR", cache).env("NO_COLOR", "1");
    let done = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?} ended with {}:\n{said}", done.status);
    said.lines().last().unwrap_or_default().to_owned()
}

fn shown(project: &Path, run: &str) -> Value {
    serde_json::from_str(&out(project, &["runs", "show", run, "--json"])).unwrap()
}

/// Without what a run made that somebody started in the fixture itself.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, made) = (entry.unwrap(), [".amlrun", "data", "outputs"]);
        let target = to.join(entry.file_name());
        if made.iter().any(|name| entry.file_name() == *name) {
        } else if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shim")
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim").join(name)
}

fn python(path: &[&Path]) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", std::env::join_paths(path).unwrap()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env_remove("AMLRUN_TRACKING").env_remove("AMLRUN_AZUREML").stdin(Stdio::null());
    command
}

fn good(mut command: Command) -> String {
    let done: Output = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?} ended with {}:\n{said}", done.status);
    String::from_utf8(done.stdout).unwrap()
}
