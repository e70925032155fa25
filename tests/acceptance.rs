//! The main job on a real project, in an environment that amlrun builds: fixtures/diabetes runs from nothing, is fresh
//! the second time, and runs again just what a change asks for. Needs Python 3 and, the first time, a package registry;
//! the environment is kept in `target/tmp` for the next time.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_fixture_runs_from_nothing_and_then_only_what_a_change_asks_for() {
    let folder = tempfile::Builder::new().prefix("amlrun-diabetes-").tempdir().unwrap();
    let project = folder.path().join("diabetes");
    copy(&fixture(), &project);

    says(&project, &[], "7 ran in ");
    let best: serde_json::Value = serde_json::from_str(&read(&project, "report/best.json")).unwrap();
    assert_eq!((&best["best"], &best["compared"]), (&"ridge-100.0".into(), &5.into()));
    let picture = std::fs::read(project.join("report/alphas.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"), "the report's drawing is no PNG");

    says(&project, &[], "up to date (7 jobs)");

    // One alpha: one training, and the evaluation that reads all of them.
    let amlfile = read(&project, "Amlfile");
    assert_eq!(amlfile.matches("300.0").count(), 2);
    std::fs::write(project.join("Amlfile"), amlfile.replace("300.0", "200.0")).unwrap();
    says(&project, &[], "2 ran, 5 fresh in ");
    let best: serde_json::Value = serde_json::from_str(&read(&project, "report/best.json")).unwrap();
    assert_eq!(best["compared"], 5, "the alpha that is gone is not among them");
    says(&project, &["status", "--exit-code"], "up to date (7 jobs)");

    // A README that no job reads.
    let readme = read(&project, "README.md");
    std::fs::write(project.join("README.md"), readme + "\n<!-- a comment -->\n").unwrap();
    says(&project, &[], "up to date (7 jobs)");

    // A comment in a script that a job does read, and results that a job made before.
    std::fs::remove_dir_all(project.join("report")).unwrap();
    says(&project, &[], "up to date (7 jobs, 1 restored)");
    let script = read(&project, "evaluate/evaluate.py");
    std::fs::write(project.join("evaluate/evaluate.py"), script + "# a comment\n").unwrap();
    says(&project, &["-n"], "1 would run, 6 fresh");
}

/// The orphans' own examples (equivalents of them, with their figures), brought home by `amlrun import` and run as they are:
/// a run configuration of the SDK v1, whose script logs by `Run.get_context()`.
#[test]
fn a_run_configuration_of_v1_gives_its_figures() {
    let folder = tempfile::Builder::new().prefix("amlrun-home-").tempdir().unwrap();
    let project = folder.path().join("train-on-local");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/azureml/train-on-local"), &project);
    let config = "script: train.py\narguments: []\ntarget: local\nframework: Python\ncommunicator: None\nenvironment:\n  name: sklearn\n  \
                  environmentVariables:\n    OMP_NUM_THREADS: '1'\n  python:\n    userManagedDependencies: false\n    \
                  condaDependenciesFile: .azureml/conda_dependencies.yml\n  docker:\n    enabled: false\n";
    write(&project, ".azureml/local.runconfig", config);
    write(&project, ".azureml/conda_dependencies.yml", CONDA);
    says(&project, &["import"], "wrote Amlfile");
    says(&project, &[], "1 ran in ");
    let run = shown(&project, "local");
    let series = run["logged"]["series"]["mse"].as_array().unwrap();
    let best = series.iter().map(|point| point[1].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    assert!(series.len() == 20 && (best - 3_295.714_938_563_238).abs() < 1e-6, "{series:?}");
    says(&project, &[], "up to date (1 job)");
}

/// A job of v2: the iris example, its data in the project. There and back again it is the same job.
#[test]
fn a_job_of_v2_gives_its_figures() {
    let folder = tempfile::Builder::new().prefix("amlrun-home-").tempdir().unwrap();
    let project = folder.path();
    let job = "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ncode: src\ncommand: >-\n  python main.py\n  \
               --iris-csv ${{inputs.iris_csv}}\n  --C ${{inputs.C}}\n  --kernel ${{inputs.kernel}}\ninputs:\n  iris_csv:\n    type: \
               uri_file\n    path: data/iris.csv\n  C: 1.0\n  kernel: rbf\nenvironment:\n  name: sklearn\n  image: \
               mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04\n  conda_file: conda.yml\ncompute: azureml:cpu-cluster\n\
               display_name: sklearn-iris\nexperiment_name: sklearn-iris\n";
    iris(project);
    write(project, "iris.yml", job);
    says(project, &["import"], "wrote Amlfile");
    let amlfile = read(project, "Amlfile");
    write(project, "Amlfile", &(amlfile + DATA));
    says(project, &[], "2 ran in ");
    measured(project, "iris", &IRIS_FIGURES);
    says(project, &["export", "--format", "azureml-v2"], "wrote to azureml");
    std::fs::remove_file(project.join("Amlfile")).unwrap();
    says(project, &["import", "azureml/pipeline.yml"], "wrote Amlfile");
    says(project, &[], "up to date (2 jobs)");
}

/// Its sweep: 20 trials, 10 at a time, by the metric that they log.
#[test]
fn a_sweep_of_v2_gives_its_figures() {
    let folder = tempfile::Builder::new().prefix("amlrun-home-").tempdir().unwrap();
    let project = folder.path();
    let job = "$schema: https://azuremlschemas.azureedge.net/latest/sweepJob.schema.json\ntype: sweep\ntrial:\n  code: src\n  command: \
               >-\n    python main.py\n    --iris-csv ${{inputs.iris_csv}}\n    --C ${{search_space.C}}\n    --kernel \
               ${{search_space.kernel}}\n    --coef0 ${{search_space.coef0}}\n  environment:\n    name: sklearn\n    image: \
               mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04\n    conda_file: conda.yml\ninputs:\n  iris_csv:\n    type: \
               uri_file\n    path: data/iris.csv\ncompute: azureml:cpu-cluster\nsampling_algorithm: random\nsearch_space:\n  C:\n    \
               type: uniform\n    min_value: 0.5\n    max_value: 0.9\n  kernel:\n    type: choice\n    values: [rbf, linear, \
               poly]\n  coef0:\n    type: uniform\n    min_value: 0.1\n    max_value: 1\nobjective:\n  goal: maximize\n  \
               primary_metric: training_f1_score\nlimits:\n  max_total_trials: 20\n  max_concurrent_trials: 10\n  timeout: \
               7200\ndisplay_name: sklearn-iris-sweep\nexperiment_name: sklearn-iris-sweep\n";
    iris(project);
    write(project, "iris-sweep.yml", job);
    says(project, &["import"], "wrote Amlfile");
    let amlfile = read(project, "Amlfile");
    write(project, "Amlfile", &(amlfile + DATA));
    says(project, &[], "21 ran in ");
    let sweep = told(project, &["sweep", "show", "--json"]);
    assert_eq!((&sweep["state"], &sweep["counts"]["trials"]), (&"completed".into(), &20.into()), "{sweep}");
    // All of them learn, and the best of them at least as much as the job of the example.
    let values: Vec<f64> =
        sweep["trials"].as_array().unwrap().iter().map(|trial| trial["objective"].as_f64().unwrap()).collect();
    let best = values.iter().copied().fold(0.0, f64::max);
    assert!(values.iter().all(|value| (0.9..=1.0).contains(value)) && best >= IRIS_FIGURES[1].1 - 1e-12, "{values:?}");
    let chosen = &sweep["best"]["values"];
    let within = |name: &str, from: f64, to: f64| (from..=to).contains(&chosen[name].as_f64().unwrap());
    assert!(within("C", 0.5, 0.9) && within("coef0", 0.1, 1.0), "{chosen}");
    says(project, &[], "up to date (2 jobs)");
}

/// A pipeline of v2: what the jobs hand on to each other, and the figures of the iris example at its end.
#[test]
fn a_pipeline_of_v2_gives_its_figures() {
    let folder = tempfile::Builder::new().prefix("amlrun-home-").tempdir().unwrap();
    let project = folder.path();
    let environment = "    environment:\n      name: sklearn\n      image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04\n      \
                       conda_file: conda.yml\n";
    let job = [
        "$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json\ntype: pipeline\ndisplay_name: \
         hello_pipeline_io\nsettings:\n  default_compute: azureml:cpu-cluster\ninputs:\n  kernel: rbf\njobs:\n  hello_job:\n    \
         type: command\n    command: echo \"hello\" && echo \"world\" > ${{outputs.world_output}}/world.txt\n",
        environment,
        "    outputs:\n      world_output:\n  world_job:\n    type: command\n    command: cat \
         ${{inputs.world_input}}/world.txt > ${{outputs.copy}}/again.txt\n",
        environment,
        "    inputs:\n      world_input: ${{parent.jobs.hello_job.outputs.world_output}}\n    outputs:\n      copy:\n  \
         train_job:\n    type: command\n    code: src\n    command: grep -qx world ${{inputs.after}}/again.txt && python main.py --iris-csv \
         ${{inputs.iris_csv}} --C ${{inputs.C}} --kernel ${{inputs.kernel}}\n",
        environment,
        "    inputs:\n      after: ${{parent.jobs.world_job.outputs.copy}}\n      iris_csv:\n        type: uri_file\n        path: \
         data/iris.csv\n      C: 1.0\n      kernel: ${{parent.inputs.kernel}}\n",
    ];
    iris(project);
    write(project, "pipeline.yml", &job.concat());
    says(project, &["import"], "wrote Amlfile");
    let amlfile = read(project, "Amlfile");
    write(project, "Amlfile", &(amlfile + DATA));
    says(project, &[], "4 ran in ");
    measured(project, "train_job", &IRIS_FIGURES);
    says(project, &[], "up to date (4 jobs)");
}

/// A script that logs by MLflow, and knows nothing of where it runs.
#[test]
fn a_script_of_mlflow_gives_its_figures() {
    let folder = tempfile::Builder::new().prefix("amlrun-home-").tempdir().unwrap();
    let project = folder.path();
    let job = "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ncode: src\ncommand: python \
               train_diabetes.py\nenvironment:\n  name: mlflow\n  image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04\n  \
               conda_file:\n    dependencies:\n    - scikit-learn=1.7.2\n    - pip:\n      - mlflow-skinny==3.17.2\ncompute: \
               azureml:cpu-cluster\n";
    let script = "import mlflow\nfrom sklearn.datasets import load_diabetes\nfrom sklearn.linear_model import Ridge\nfrom \
                  sklearn.metrics import mean_squared_error\nfrom sklearn.model_selection import train_test_split\n\nwith \
                  mlflow.start_run():\n    features, target = load_diabetes(return_X_y=True)\n    x, x_test, y, y_test = \
                  train_test_split(features, target, test_size=0.2, random_state=0)\n    mlflow.log_metric('Training samples', \
                  len(x))\n    mlflow.log_metric('Test samples', len(x_test))\n    alpha = 0.03\n    mlflow.log_metric('alpha', \
                  alpha)\n    model = Ridge(alpha=alpha).fit(x, y)\n    mlflow.log_metric('mse', mean_squared_error(y_test, \
                  model.predict(x_test)))\n";
    write(project, "train_diabetes.yml", job);
    write(project, "src/train_diabetes.py", script);
    says(project, &["import"], "wrote Amlfile");
    says(project, &[], "1 ran in ");
    let figures =
        [("Training samples", 353.0), ("Test samples", 89.0), ("alpha", 0.03), ("mse", 3_424.856_702_397_448_8)];
    measured(project, "train_diabetes", &figures);
    says(project, &[], "up to date (1 job)");
}

const IRIS_FIGURES: [(&str, f64); 2] =
    [("training_accuracy_score", 0.975), ("training_f1_score", 0.975_003_906_860_447)];

/// Makes the data of the iris example, which its job has from the net.
const DATA: &str = "\n[experiments.data]\nscript = \"make.py\"\nsources = [\"make.py\"]\noutputs = [\"data/iris.csv\"]\n\
                    environment = \"sklearn\"\n";

/// An equivalent of the iris example's scripts.
fn iris(project: &Path) {
    let main = "import argparse\nimport csv\n\nfrom azureml.core import Run\nfrom sklearn.metrics import accuracy_score, f1_score\nfrom \
                sklearn.model_selection import train_test_split\nfrom sklearn.svm import SVC\n\nparser = argparse.ArgumentParser()\n\
                parser.add_argument('--iris-csv')\nparser.add_argument('--C', type=float)\nparser.add_argument('--kernel')\n\
                parser.add_argument('--coef0', type=float, default=0.0)\n\
                given = parser.parse_args()\nrows = list(csv.reader(open(given.iris_csv)))\n\
                features = [[float(value) for value in row[:4]] for row in rows]\nspecies = [row[4] for row in rows]\n\
                x, _, y, _ = train_test_split(features, species, test_size=0.2, random_state=42)\n\
                model = SVC(C=given.C, kernel=given.kernel, coef0=given.coef0).fit(x, y)\n\
                found = model.predict(x)\nrun = Run.get_context()\n\
                run.log('training_accuracy_score', accuracy_score(y, found))\n\
                run.log('training_f1_score', f1_score(y, found, average='weighted'))\n";
    let data = "from sklearn.datasets import load_iris\n\nfeatures, species = load_iris(return_X_y=True)\n\
                with open('data/iris.csv', 'w') as file:\n    for row, kind in zip(features, species):\n        \
                print(*row, kind, sep=',', file=file)\n";
    for (path, text) in [("src/main.py", main), ("make.py", data), ("conda.yml", CONDA)] {
        write(project, path, text);
    }
}

/// The metrics of a job's last run are these.
fn measured(project: &Path, job: &str, figures: &[(&str, f64)]) {
    let metrics = shown(project, job)["metrics"].clone();
    for (name, wanted) in figures {
        let is = metrics[name].as_f64().unwrap_or(f64::NAN);
        assert!((is - wanted).abs() <= wanted.abs() * 1e-9, "{name} of {job} is {is}, not {wanted}: {metrics}");
    }
}

/// The packages of fixtures/diabetes, as conda has them, with what the SDK used to put in.
const CONDA: &str = "name: project_environment\ndependencies:\n- python=3.8.13\n- pip:\n  - azureml-defaults\n- \
                     scikit-learn=1.7.2\n- matplotlib=3.10.7\nchannels:\n- conda-forge\n";

fn write(project: &Path, path: &str, text: &str) {
    let place = project.join(path);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(place, text).unwrap();
}

/// A job's last run, as data.
fn shown(project: &Path, job: &str) -> serde_json::Value {
    told(project, &["runs", "show", job, "--json"])
}

/// What a command tells as data.
fn told(project: &Path, arguments: &[&str]) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
    let done = command.args(arguments).current_dir(project).output().unwrap();
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Runs amlrun in the project; it must end well and its last line must begin so.
fn says(project: &Path, arguments: &[&str], last: &str) {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
    command.args(arguments).current_dir(project).env("AMLRUN_CACHE_DIR", cache).env("NO_COLOR", "1");
    let done = command.stdin(std::process::Stdio::null()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "amlrun {arguments:?} ended with {}:\n{said}", done.status);
    let line = said.lines().last().unwrap_or_default();
    assert!(line.starts_with(last), "amlrun {arguments:?} should have ended with `{last}`:\n{said}");
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/diabetes")
}

fn read(project: &Path, path: &str) -> String {
    std::fs::read_to_string(project.join(path)).unwrap()
}

/// Without the state and the results of a run that somebody made in the fixture itself.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, made) = (entry.unwrap(), [".amlrun", "data", "models", "metrics", "report"]);
        let target = to.join(entry.file_name());
        if made.iter().any(|name| entry.file_name() == *name) {
        } else if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
