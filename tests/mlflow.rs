//! Unmodified scripts that use mlflow, under amlrun and against MLflow's own server: what they are told is the same. And
//! who has no token, or a path that leads out, gets nothing.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

mod engines;
mod python;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use engines::{Engine, Project};

const SUITE: &str = include_str!("mlflow_scripts/suite.py");
const TRACES: &str = include_str!("mlflow_scripts/traces.py");
const MODELS: &str = include_str!("mlflow_scripts/models.py");
/// Talks to the server as anybody on this machine could who knows its port; waits for the word to end.
const OPEN: &str = r#"
import json, os
from pathlib import Path
names = ["MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"]
place = Path(os.environ["HOME"]) / os.environ["AMLRUN_JOB"]
os.mkfifo(place.with_suffix(".end"))
place.with_suffix(".part").write_text(json.dumps({n: os.environ[n] for n in names}))
place.with_suffix(".part").rename(place)
print("the token", os.environ["MLFLOW_TRACKING_TOKEN"])
open(place.with_suffix(".end")).read()
"#;

/// What a script was told under amlrun.
fn here(folder: &Path, python: &Path, script: &str) -> serde_json::Value {
    let mut project = Project::new(folder);
    project.variables.push(("USER".to_owned(), "somebody".to_owned()));
    project.write("script.py", script);
    project.write(
        "Amlfile",
        &format!(
            "format = 1\n[environments.py]\nuser_managed = true\ninterpreter = \"{}\"\n\
             variables = {{ MLFLOW_DISABLE_TELEMETRY = \"true\", GIT_PYTHON_REFRESH = \"quiet\" }}\n[experiments.train]\n\
             script = \"script.py\"\narguments = [\"seen.json\"]\nsources = [\"script.py\"]\noutputs = [\"seen.json\"]\n\
             environment = \"py\"\n",
            python.display()
        ),
    );
    project.run(&["train"]);
    // What was logged is on record, and the token nowhere.
    let shown = project.run(&["runs", "show", "train", "--json"]);
    let record: serde_json::Value = serde_json::from_str(shown.get(..=shown.rfind('}').unwrap()).unwrap()).unwrap();
    assert!(!record["metrics"].as_object().unwrap().is_empty() || !record["logged"]["children"].is_null(), "{shown}");
    assert!(!shown.contains("MLFLOW_TRACKING_TOKEN"));
    serde_json::from_str(&project.read("seen.json").unwrap()).unwrap()
}

/// What a script was told by MLflow's own server, in a run that was made for it as amlrun makes one.
fn there(folder: &Path, address: &str, python: &Path, script: &str) -> serde_json::Value {
    const MAKE: &str = "import sys, mlflow\nc = mlflow.MlflowClient()\ne = c.get_experiment_by_name('diabetes')\n\
        e = e.experiment_id if e else c.create_experiment('diabetes')\n\
        r = c._tracking_client.store.create_run(e, 'somebody', 1700000000000, [], 'train')\nprint(e, r.info.run_id)";
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("script.py"), script).unwrap();
    let command = || {
        let mut command = Command::new(python);
        command.current_dir(folder).env("MLFLOW_TRACKING_URI", address).env("MLFLOW_DISABLE_TELEMETRY", "true");
        command.env("USER", "somebody").env("GIT_PYTHON_REFRESH", "quiet");
        command
    };
    let made = command().args(["-c", MAKE]).output().unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let (experiment, run) =
        made.trim().rsplit_once('\n').map_or(made.trim(), |(_, last)| last).split_once(' ').unwrap();
    let done = command()
        .args(["script.py", "seen.json"])
        .env("MLFLOW_RUN_ID", run)
        .env("MLFLOW_EXPERIMENT_ID", experiment)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_str(&std::fs::read_to_string(folder.join("seen.json")).unwrap()).unwrap()
}

/// A server in a folder of its own; the packages are those that are kept from test to test.
fn server(folder: &Path) -> Option<(Engine, String)> {
    let python = python::with("mlflow-full", FULL)?;
    let folder = folder.join("s");
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(python.parent().unwrap().parent().unwrap(), folder.join("venv")).unwrap();
    let engine = Engine::up("mlflow-up.sh", &folder, &[])?;
    let said = std::fs::read_to_string(engine.folder.join("env")).unwrap();
    let address = said.trim().rsplit_once('=').unwrap().1.to_owned();
    Some((engine, address))
}

const FULL: &[&str] = &["mlflow==3.17.2", "scikit-learn", "pandas", "matplotlib", "pillow"];

fn same(name: &str, packages: &[&str], script: &str) {
    let folder = tempfile::Builder::new().prefix("amlrun-mlflow-").tempdir().unwrap();
    let Some(python) = python::with(name, packages) else { return };
    let here = here(&folder.path().join("here"), &python, script);
    // A server of its own for each: the answers depend on what is there.
    let Some((_engine, address)) = server(folder.path()) else { return };
    let there = there(&folder.path().join("there"), &address, &python, script);
    let (here, there) = (here.as_object().unwrap(), there.as_object().unwrap());
    assert_eq!(here.keys().collect::<Vec<_>>(), there.keys().collect::<Vec<_>>());
    let told = |answer: &serde_json::Value| with_infinities(&without_words(answer));
    let differ = here.iter().filter(|(name, answer)| told(answer) != told(&there[*name]));
    let differ: Vec<String> = differ.map(|(name, answer)| format!("{name}: {answer} and {}", there[name])).collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// Of a refusal only its code: the words are each server's own.
fn without_words(answer: &serde_json::Value) -> serde_json::Value {
    match answer.as_array().map(Vec::as_slice) {
        Some([code, text])
            if text.as_str().zip(code.as_str()).is_some_and(|(t, c)| t.starts_with(&format!("{c}:"))) =>
        {
            code.clone()
        }
        _ => answer.clone(),
    }
}

/// MLflow's server on a database keeps an infinity as the greatest number that there is; amlrun keeps it as it is.
fn with_infinities(answer: &serde_json::Value) -> serde_json::Value {
    let text = answer.to_string();
    let greatest = "1.7976931348623157e+308";
    let text = text.replace(&format!("\"-{greatest}\""), "\"-inf\"").replace(&format!("\"{greatest}\""), "\"inf\"");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn mlflow_2_is_told_what_its_server_tells() {
    same("mlflow-skinny-2.22.2", &["mlflow-skinny==2.22.2"], SUITE);
}

#[test]
fn mlflow_3_is_told_what_its_server_tells() {
    same("mlflow", &["mlflow-skinny==3.17.2"], SUITE);
}

#[test]
fn what_is_traced_is_told_as_the_server_tells_it() {
    same("mlflow", &["mlflow-skinny==3.17.2"], TRACES);
}

#[test]
fn models_and_autolog_are_told_what_the_server_tells() {
    same("mlflow-full", FULL, MODELS);
}

/// A script that logs lines, with a run within the run and one within that.
const LOGS: &str = r#"
mkdir -p outputs; echo result > out.txt
cd "$AMLRUN_TRACKING"; mkdir -p artifacts/plots children/c1
echo picture > 'artifacts/plots/a picture é.txt'; echo inner > children/c1/inner.txt
seq 0 2499 | sed 's|.*|{"at":170000000&,"metric":"loss","value":&.5,"step":&}|' >> log.jsonl
cat >> log.jsonl <<'END'
{"metric":"bad","value":"NaN"}
{"param":"lr","value":"0.5"}
{"param":"empty","value":""}
{"tag":"stage","value":"dev"}
{"at":1700000000000,"child":"c1","name":"first"}
{"run":"c1","metric":"c","value":1,"step":3,"at":1700000000001}
{"run":"c1","status":"Completed","at":1700000000002}
{"at":1700000000000,"child":"c2","name":"second"}
{"run":"c2","tag":"mlflow.parentRunId","value":"c1"}
{"run":"c2","status":"Failed","at":1700000000002}
END
"#;

#[test]
fn runs_go_to_a_server_once_and_come_back() {
    let folder = tempfile::Builder::new().prefix("amlrun-mlflow-").tempdir().unwrap();
    let Some((engine, address)) = server(folder.path()) else { return };
    let project = Project::new(&folder.path().join("from"));
    project.write("train.sh", LOGS);
    project.write(
        "Amlfile",
        "format = 1\n[experiments.train]\ncommand = \"sh train.sh\"\nsources = [\"train.sh\"]\noutputs = [\"out.txt\"]\n",
    );
    project.run(&["train"]);
    let json = |project: &Project, arguments: &[&str]| -> serde_json::Value {
        let said = project.run(arguments);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    let export = ["runs", "export", "--mlflow", &address, "--json"];
    let sent = json(&project, &export);
    assert_eq!((sent[0]["sent"].as_bool(), sent[0]["notes"].as_array().map(Vec::len)), (Some(true), Some(0)), "{sent}");
    let again = json(&project, &export);
    assert_eq!((&again[0]["sent"], &again[0]["mlflow_run"]), (&false.into(), &sent[0]["mlflow_run"]));
    // One that was cut short is sent anew.
    let id = sent[0]["mlflow_run"].as_str().unwrap();
    let host = address.strip_prefix("http://").unwrap();
    let body = format!(r#"{{"run_id":"{id}","key":"amlrun.exported"}}"#);
    let head = "POST /api/2.0/mlflow/runs/delete-tag HTTP/1.1\r\nContent-Type: application/json\r\n";
    let head = format!("{head}Host: {host}\r\n");
    let said = ask(host, &format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()));
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let anew = json(&project, &export);
    assert!(anew[0]["sent"].as_bool().unwrap() && anew[0]["mlflow_run"] != sent[0]["mlflow_run"]);

    // Back into another project: all of it, with every point.
    let other = Project::new(&folder.path().join("to"));
    other.write("Amlfile", "format = 1\n");
    let import = ["runs", "import", "--mlflow", &address, "--json"];
    let taken = json(&other, &import);
    assert_eq!(taken.as_array().unwrap().len(), 3, "{taken}");
    assert!(taken.as_array().unwrap().iter().all(|run| run["imported"].as_bool().unwrap()), "{taken}");
    assert!(json(&other, &import).as_array().unwrap().iter().all(|run| !run["imported"].as_bool().unwrap()));
    let run = json(&other, &["runs", "show", "train/train", "--json"]);
    let loss = run["logged"]["series"]["loss"].as_array().unwrap();
    assert_eq!((loss.len(), &loss[2499]), (2500, &serde_json::json!([2499, 2499.5])));
    assert_eq!((&run["metrics"]["bad"], &run["status"]), (&"NaN".into(), &"Completed".into()));
    assert_eq!((&run["params"]["lr"], &run["params"]["empty"]), (&0.5.into(), &"".into()));
    assert_eq!(run["tags"]["stage"], "dev");
    let (first, second) = (
        json(&other, &["runs", "show", "train/first", "--json"]),
        json(&other, &["runs", "show", "train/second", "--json"]),
    );
    assert_eq!((&first["metrics"]["c"], &second["status"]), (&1.0.into(), &"Failed".into()));
    assert_eq!(
        (&first["tags"]["mlflow.parentRunId"], &second["tags"]["mlflow.parentRunId"]),
        (&run["run"], &first["run"])
    );
    other.run(&["runs", "download", "train/train", "--to", "got"]);
    assert_eq!(other.read("got/artifacts/plots/a picture é.txt").unwrap(), "picture\n");
    assert_eq!(other.read("got/artifacts/out.txt").unwrap(), "result\n");
    // What came from here does not come back as something else.
    assert!(json(&project, &import).as_array().unwrap().iter().all(|run| !run["imported"].as_bool().unwrap()));
    drop(engine);
}

/// A script that registers what it logs, what a run within it logs, and what it does not have.
const REGISTERS: &str = r#"
mkdir -p models; echo ridge > models/ridge.txt
cd "$AMLRUN_TRACKING"; mkdir -p artifacts/net children/c1; echo net > artifacts/net/w.bin; echo inner > children/c1/w.bin
cat >> log.jsonl <<'END'
{"at":1700000000000,"model":"net","path":"net","tags":{"by":"script"}}
{"alias":"champion","model":"net","version":1}
{"at":1700000000000,"child":"c1","name":"first"}
{"run":"c1","at":1700000000000,"model":"net","path":"w.bin"}
{"run":"c1","status":"Completed","at":1700000000002}
{"at":1700000000000,"model":"ghost","path":"nothing"}
END
"#;

#[test]
fn models_go_to_a_server_once() {
    const SEEN: &str = "import json, mlflow, pathlib\nc = mlflow.MlflowClient()\nseen = {}\n\
        for m in c.search_registered_models():\n    seen[m.name] = {'aliases': m.aliases}\n    \
        for v in c.search_model_versions(f\"name='{m.name}'\"):\n        \
        got = pathlib.Path(mlflow.artifacts.download_artifacts(f'models:/{m.name}/{v.version}'))\n        \
        files = sorted(f for f in ([got] if got.is_file() else got.rglob('*')) if f.is_file())\n        \
        seen[m.name][v.version] = {'run': c.get_run(v.run_id).info.run_name, 'by': v.tags.get('by'), 'files': [f.read_text() for f in files]}\n\
        print(json.dumps(seen))";
    let folder = tempfile::Builder::new().prefix("amlrun-mlflow-").tempdir().unwrap();
    let Some((_engine, address)) = server(folder.path()) else { return };
    let python = python::with("mlflow-full", FULL).unwrap();
    let project = Project::new(&folder.path().join("from"));
    project.write("train.sh", REGISTERS);
    project.write(
        "Amlfile",
        "format = 1\n[experiments.train]\ncommand = \"sh train.sh\"\nsources = [\"train.sh\"]\n\
         outputs = { model = \"models/ridge.txt\" }\n",
    );
    project.run(&["train"]);
    // The numbers there are others than those here.
    project.run(&["models", "register", "ridge", "model"]);
    project.run(&["models", "rm", "ridge@1"]);
    project.run(&["models", "register", "ridge", "model", "--alias", "best"]);
    let export = || -> serde_json::Value {
        serde_json::from_str(&project.run(&["runs", "export", "--mlflow", &address, "--json"])).unwrap()
    };
    let seen = || -> serde_json::Value {
        let mut command = Command::new(&python);
        command.args(["-c", SEEN]).env("MLFLOW_TRACKING_URI", &address).env("MLFLOW_DISABLE_TELEMETRY", "true");
        let done = command.env("GIT_PYTHON_REFRESH", "quiet").current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let sent = export();
    let models: Vec<_> = sent[0]["models"].as_array().unwrap().iter().collect();
    let told: Vec<_> =
        models.iter().map(|m| (m["name"].as_str().unwrap(), &m["version"], &m["mlflow_version"])).collect();
    let (one, two) = (&serde_json::json!(1), &serde_json::json!(2));
    let (first, second) = (&serde_json::json!("1"), &serde_json::json!("2"));
    let none = &serde_json::Value::Null;
    assert_eq!(told, [("ghost", one, none), ("net", one, first), ("net", two, second), ("ridge", two, first)]);
    assert!(models[0]["why"].as_str().unwrap().contains("left nothing at"), "{sent}");
    let there = seen();
    let net = serde_json::json!({
        "aliases": {"champion": "1"},
        "1": {"run": "train", "by": "script", "files": ["net\n"]},
        "2": {"run": "first", "by": null, "files": ["inner\n"]},
    });
    assert_eq!(there["net"], net, "{there}");
    let ridge = serde_json::json!({"aliases": {"best": "1"}, "1": {"run": "train", "by": null, "files": ["ridge\n"]}});
    assert_eq!(there["ridge"], ridge, "{there}");
    // Once: nothing there is touched any more.
    let again = export();
    let again = again[0]["models"].as_array().unwrap();
    assert!(again.iter().all(|model| !model["sent"].as_bool().unwrap()), "{again:?}");
    assert_eq!(again[3]["mlflow_version"], "1");
    assert_eq!(seen(), there);
}

#[test]
fn artifacts_of_earlier_runs_are_served() {
    const MAKE: &str = "import mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('m', 1)\n    \
        mlflow.log_text('hello', 'notes/a b.txt')\n    mlflow.log_text('top', 'top.txt')\n";
    const USE: &str = "import mlflow, pathlib\nfrom mlflow import MlflowClient\nc = MlflowClient()\n\
        e = c.get_experiment_by_name('make').experiment_id\nr = c.search_runs([e])[0].info.run_id\n\
        seen = [sorted((f.path, f.is_dir, f.file_size) for f in c.list_artifacts(r)), \
        [f.path for f in c.list_artifacts(r, 'notes')]]\n\
        pathlib.Path('got').mkdir()\nc.download_artifacts(r, 'notes', 'got')\n\
        text = mlflow.artifacts.load_text(f'runs:/{r}/top.txt') + pathlib.Path('got/notes/a b.txt').read_text()\n\
        try:\n    c.log_text(r, 'x', 'new.txt')\n    refused = False\nexcept Exception:\n    refused = True\n\
        pathlib.Path('seen.txt').write_text(f'{seen} {text} {refused}')\n";
    let folder = tempfile::Builder::new().prefix("amlrun-mlflow-").tempdir().unwrap();
    let Some(python) = python::with("mlflow", &["mlflow-skinny==3.17.2"]) else { return };
    let mut project = Project::new(folder.path());
    project.variables.push(("USER".to_owned(), "somebody".to_owned()));
    project.write("make.py", MAKE);
    project.write("use.py", USE);
    let job = |name: &str, outputs: &str| {
        format!(
            "[experiments.{name}]\nscript = \"{name}.py\"\nsources = [\"{name}.py\"]\nenvironment = \"py\"\n{outputs}\n"
        )
    };
    project.write(
        "Amlfile",
        &format!(
            "format = 1\n[environments.py]\nuser_managed = true\ninterpreter = \"{}\"\n\
             variables = {{ MLFLOW_DISABLE_TELEMETRY = \"true\", GIT_PYTHON_REFRESH = \"quiet\" }}\n{}{}",
            python.display(),
            job("make", ""),
            job("use", "outputs = [\"seen.txt\"]")
        ),
    );
    project.run(&["make"]);
    project.run(&["use"]);
    assert_eq!(
        project.read("seen.txt").unwrap(),
        "[[('notes', True, None), ('top.txt', False, 3)], ['notes/a b.txt']] tophello True"
    );
    // What it read is in no fingerprint; who read nothing is skipped.
    let planned = project.run(&["-n"]);
    assert!(planned.contains("would run: the result of run"), "{planned}");
    assert!(planned.contains("1 would run, 1 fresh"), "{planned}");
}

/// What scripts of its documentation ask the server: nothing that depends on other runs.
#[test]
fn a_script_that_logs_by_itself_is_skipped_the_next_time() {
    const TRAIN: &str = "import mlflow\nfrom sklearn.linear_model import Ridge\nfrom sklearn.datasets import load_diabetes\n\
        mlflow.set_experiment('train')\nmlflow.sklearn.autolog()\nx, y = load_diabetes(return_X_y=True)\n\
        with mlflow.start_run() as run:\n    model = Ridge().fit(x, y)\n    \
        mlflow.sklearn.log_model(model, name='ridge', registered_model_name='ridge')\n    \
        mlflow.log_params({'a': 1})\n    mlflow.set_tag('stage', 'dev')\n    \
        with mlflow.start_run(nested=True):\n        mlflow.log_metric('inner', 2)\n\
        c = mlflow.MlflowClient()\nassert c.get_run(run.info.run_id).data.params['a'] == '1'\n\
        assert len(c.search_runs([run.info.experiment_id], f\"tags.mlflow.parentRunId = '{run.info.run_id}'\")) == 1\n";
    let folder = tempfile::Builder::new().prefix("amlrun-mlflow-").tempdir().unwrap();
    let Some(python) = python::with("mlflow-full", FULL) else { return };
    let project = Project::new(folder.path());
    project.write("train.py", TRAIN);
    project.write(
        "Amlfile",
        &format!(
            "format = 1\n[environments.py]\nuser_managed = true\ninterpreter = \"{}\"\n\
             variables = {{ MLFLOW_DISABLE_TELEMETRY = \"true\", GIT_PYTHON_REFRESH = \"quiet\" }}\n\
             [experiments.train]\nscript = \"train.py\"\nsources = [\"train.py\"]\nenvironment = \"py\"\n",
            python.display()
        ),
    );
    let first = project.run(&["train"]);
    assert!(!first.contains("not cached"), "{first}");
    assert!(project.run(&["models", "list"]).contains("ridge"));
    let second = project.run(&["train"]);
    assert!(second.contains("up to date"), "{second}");
}

#[test]
fn runs_come_from_a_folder_of_mlflow() {
    const SCRIPT: &str = "import mlflow\nmlflow.set_experiment('diabetes')\n\
        with mlflow.start_run(run_name='ridge'):\n    mlflow.log_param('alpha', 0.4)\n    \
        [mlflow.log_metric('val/mse', 10 - s, step=s) for s in range(3)]\n    \
        mlflow.log_metric('worst', float('-inf'))\n    mlflow.log_text('x', 'dir/x.txt')\n";
    let folder = tempfile::Builder::new().prefix("amlrun-mlflow-").tempdir().unwrap();
    let Some(python) = python::with("mlflow-skinny-2.22.2", &["mlflow-skinny==2.22.2"]) else { return };
    let mut project = Project::new(folder.path());
    project.variables.push(("USER".to_owned(), "somebody".to_owned()));
    project.write("Amlfile", "format = 1\n");
    let runs = project.root.join("mlruns");
    let done = Command::new(&python)
        .args(["-c", SCRIPT])
        .current_dir(&project.root)
        .env("MLFLOW_TRACKING_URI", format!("file://{}", runs.display()))
        .env("GIT_PYTHON_REFRESH", "quiet")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = project.run(&["runs", "import", "--mlflow", "mlruns", "diabetes", "--json"]);
    assert!(said.contains("\"imported\": true"), "{said}");
    let shown: serde_json::Value =
        serde_json::from_str(&project.run(&["runs", "show", "diabetes/ridge", "--json"])).unwrap();
    assert_eq!(shown["logged"]["series"]["val/mse"], serde_json::json!([[0, 10.0], [1, 9.0], [2, 8.0]]));
    assert_eq!((&shown["metrics"]["worst"], &shown["params"]["alpha"]), (&"-inf".into(), &0.4.into()));
    project.run(&["runs", "download", "diabetes/ridge", "--to", "got"]);
    assert_eq!(project.read("got/artifacts/dir/x.txt").unwrap(), "x");
}

/// A request as bytes, and the whole answer.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn only_a_run_itself_gets_in() {
    let folder = tempfile::Builder::new().prefix("amlrun-mlflow-").tempdir().unwrap();
    let project = Project::new(folder.path());
    project.write("open.py", OPEN);
    let job =
        |name: &str| format!("[experiments.{name}]\ncommand = \"python3 open.py {name}\"\nsources = [\"open.py\"]\n");
    project.write("Amlfile", &format!("format = 1\n{}{}", job("one"), job("two")));
    let mut amlrun = project.command(&["-j2"]).spawn().unwrap();
    let about = |name: &str| -> serde_json::Value {
        let place = project.home.join(name);
        engines::wait_for("both jobs run", || place.exists());
        serde_json::from_str(&std::fs::read_to_string(place).unwrap()).unwrap()
    };
    let (one, two) = (about("one"), about("two"));
    let text = |of: &serde_json::Value, name: &str| of[name].as_str().unwrap().to_owned();
    let address = text(&one, "MLFLOW_TRACKING_URI").strip_prefix("http://").unwrap().to_owned();
    assert!(address.starts_with("127.0.0.1:"));
    assert_eq!(one["MLFLOW_TRACKING_URI"], two["MLFLOW_TRACKING_URI"], "one listener");
    let (token, other) = (text(&one, "MLFLOW_TRACKING_TOKEN"), text(&two, "MLFLOW_TRACKING_TOKEN"));
    let (run, experiment) = (text(&one, "MLFLOW_RUN_ID"), text(&one, "MLFLOW_EXPERIMENT_ID"));
    let get = |token: &str, path: &str| {
        ask(&address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n{token}Connection: close\r\n\r\n"))
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let own = format!("/api/2.0/mlflow/runs/get?run_id={run}");
    assert!(get(&bearer(&token), &own).starts_with("HTTP/1.1 200"));
    for wrong in [String::new(), bearer(""), bearer("x"), bearer(token.get(1..).unwrap()), bearer(&format!("{token}0"))]
    {
        for path in [own.as_str(), "/version", "/api/2.0/mlflow/experiments/search", "/nothing"] {
            assert!(get(&wrong, path).starts_with("HTTP/1.1 401"), "{wrong} {path}");
        }
    }
    // Another run's token reads it as on record, and writes nothing.
    let post = |token: &str, endpoint: &str, body: &str| {
        let length = body.len();
        let head = format!("POST /api/2.0/mlflow/{endpoint} HTTP/1.1\r\n{}Content-Length: {length}\r\n", bearer(token));
        ask(&address, &format!("{head}Connection: close\r\n\r\n{body}"))
    };
    let tag = format!(r#"{{"run_id":"{run}","key":"k","value":"v"}}"#);
    let refused = post(&other, "runs/set-tag", &tag);
    assert!(refused.starts_with("HTTP/1.1 404") && refused.contains("RESOURCE_DOES_NOT_EXIST"), "{refused}");
    assert!(post(&token, "runs/set-tag", &tag).starts_with("HTTP/1.1 200"));
    assert!(post(&token, "runs/no-such-thing", "{}").contains("ENDPOINT_NOT_FOUND"));
    // Nothing is written or read outside the run's own folder.
    let root = format!("/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts");
    std::fs::write(project.root.join("secret.txt"), "secret").unwrap();
    let out = [
        "../x",
        "%2e%2e/x",
        "%252e%252e/x",
        "a/../../x",
        "a/%2E%2E/%2e%2e/x",
        "..%2fx",
        "a%5c..%5cx",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "a//b",
        "./a",
        "a%00b",
    ];
    for path in out {
        let put =
            format!("PUT {root}/{path} HTTP/1.1\r\n{}Content-Length: 2\r\nConnection: close\r\n\r\nhi", bearer(&token));
        let answer = ask(&address, &put);
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        let answer = get(&bearer(&token), &format!("{root}/{path}"));
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
    }
    let ours =
        format!("PUT {root}/a.txt HTTP/1.1\r\n{}Content-Length: 2\r\nConnection: close\r\n\r\nhi", bearer(&token));
    assert!(ask(&address, &ours).starts_with("HTTP/1.1 200"));
    assert!(get(&bearer(&other), &format!("{root}/a.txt")).starts_with("HTTP/1.1 404"));
    // Sizes are looked at before anything is read.
    let huge = |header: &str| {
        ask(&address, &format!("POST /api/2.0/mlflow/runs/set-tag HTTP/1.1\r\n{}{header}\r\n\r\n", bearer(&token)))
    };
    assert!(huge("Content-Length: 99999999999999").starts_with("HTTP/1.1 413"));
    assert!(huge("Content-Length: 99999999999999999999999999").starts_with("HTTP/1.1 400"));
    assert!(huge("Content-Length: -1").starts_with("HTTP/1.1 400"));
    assert!(huge("Content-Length: 1\r\nContent-Length: 2").starts_with("HTTP/1.1 400"));
    assert!(huge(&format!("X: {}", "x".repeat(70_000))).starts_with("HTTP/1.1 431"));
    for job in ["one", "two"] {
        std::fs::write(project.home.join(format!("{job}.end")), "").unwrap();
    }
    assert!(amlrun.wait().unwrap().success());
    let shown = project.run(&["runs", "show", "one"]);
    assert!(shown.contains("k  v"), "{shown}");
    assert!(!project.run(&["runs", "show", "two"]).contains("k  v"));
    assert!(project.run(&["runs", "files", "one"]).contains("artifacts/a.txt"));
    // The token is nowhere in what is kept.
    let found = Command::new("grep").args(["-rl", &token]).arg(project.root.join(".amlrun")).output().unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
}
