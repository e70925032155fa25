use super::look::{Look, import};
use super::*;
use std::collections::BTreeMap;

/// A folder in memory.
#[derive(Default)]
struct Folder(BTreeMap<String, String>);

impl Folder {
    fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }
}

impl Look for Folder {
    fn list(&self, folder: &str) -> Vec<(String, bool)> {
        let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below = self.0.keys().filter_map(|path| path.strip_prefix(&start));
        let mut names: Vec<(String, bool)> = below
            .map(|rest| rest.split_once('/').map_or((rest.to_owned(), false), |(name, _)| (name.to_owned(), true)))
            .collect();
        names.dedup();
        names
    }
    fn read(&self, path: &str) -> Option<Result<String, String>> {
        self.0.get(path).cloned().map(Ok)
    }
    fn above(&self, path: &str) -> Option<Result<String, String>> {
        self.read(path)
    }
    fn there(&self, path: &str) -> Option<bool> {
        if path == "." || self.0.keys().any(|known| known.starts_with(&format!("{path}/"))) {
            return Some(true);
        }
        self.0.contains_key(path).then_some(false)
    }
}

fn amlfile(files: &[(&str, &str)]) -> String {
    let imported = import(&Folder::of(files), &[".".to_owned()]);
    assert!(imported.faults.is_empty(), "{:?}", imported.faults);
    write::amlfile(&imported.proposal, &[])
}

fn check(files: &[(&str, &str)], lines: &[&str]) {
    let text = amlfile(files);
    assert!(text.parse::<toml::Table>().is_ok(), "{text}");
    for line in lines {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
}

#[test]
fn a_command_job_of_v2() {
    let job = "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ncode: src\ncommand: >-\n  python main.py --iris-csv ${{inputs.iris_csv}} --C ${{inputs.C}}\ninputs:\n  iris_csv:\n    type: uri_file\n    path: https://example.com/datasets/iris.csv\n  C: 0.8\nenvironment: azureml:AzureML-sklearn-1.5@latest\ncompute: azureml:cpu-cluster\n";
    check(
        &[("job.yml", job), ("src/main.py", "")],
        &[
            "source_directory = \"src\"",
            "command = \"python main.py --iris-csv ${inputs.iris_csv} --C ${C}\"",
            "params = { C = 0.8 }",
            "inputs = { iris_csv = \"data/iris.csv\" }",
            "\"scikit-learn==1.5.*\"",
            "# target = \"cpu-cluster\"",
        ],
    );
}

#[test]
fn a_pipeline_of_v2() {
    let pipeline = "type: pipeline\njobs:\n  a:\n    type: command\n    command: echo hello > ${{outputs.o}}/x\n    environment: azureml:AzureML-Minimal@latest\n    outputs:\n      o:\n  b:\n    type: command\n    command: cat ${{inputs.i}}/x\n    environment: azureml:AzureML-Minimal@latest\n    inputs:\n      i: ${{parent.jobs.a.outputs.o}}\n";
    check(
        &[("pipeline.yml", pipeline)],
        &[
            "outputs = { o = \"outputs/pipeline/a/o\" }",
            "inputs = { i = \"outputs/pipeline/a/o\" }",
            "command = \"cat ${inputs.i}/x\"",
        ],
    );
}

#[test]
fn calls_of_the_sdk() {
    let script = "from azureml.core import ScriptRunConfig\nenv = Environment('user')\nenv.python.user_managed_dependencies = True\nsrc = ScriptRunConfig(source_directory='./src', script='train.py', arguments=['--alpha', 0.5])\nsrc.run_config.environment = env\nhd = HyperDriveConfig(run_config=src, hyperparameter_sampling=RandomParameterSampling({'--alpha': uniform(0, 1)}), primary_metric_name='mse', primary_metric_goal=PrimaryMetricGoal.MINIMIZE, max_total_runs=4)\n";
    check(
        &[("submit.py", script), ("src/train.py", "")],
        &[
            "script = \"train.py\"",
            "arguments = [\"--alpha\", 0.5]",
            "[experiments.train-sweep.sweep.space]",
            "alpha = { uniform = [0, 1] }",
            "goal = \"minimize\"",
        ],
    );
}

#[test]
fn stages_of_dvc() {
    let dvc = "stages:\n  prepare:\n    cmd: python prepare.py\n    deps: [prepare.py, data/raw.csv]\n    outs: [data/clean.csv]\n  train:\n    foreach: [a, b]\n    do:\n      cmd: python train.py ${item} --lr ${lr}\n      deps: [data/clean.csv]\n      params: [lr]\n      outs: ['model-${item}.pkl']\n      metrics:\n        - m-${item}.json:\n            cache: false\n";
    check(
        &[("dvc.yaml", dvc), ("params.yaml", "lr: 0.1\n")],
        &[
            "[experiments.prepare]",
            "[experiments.\"train@b\"]",
            "command = \"python train.py b --lr 0.1\"",
            "metrics = [\"m-a.json\"]",
            "isolation = \"in-place\"",
        ],
    );
}

#[test]
fn an_mlproject() {
    let project = "name: wine\npython_env: python_env.yaml\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.5}\n      data: {type: path, default: data/wine.csv}\n    command: python train.py {alpha} {data}\n";
    check(
        &[
            ("MLproject", project),
            ("python_env.yaml", "python: '3.10.4'\ndependencies: [mlflow, -r requirements.txt]\n"),
        ],
        &[
            "command = \"python train.py ${alpha} ${inputs.data}\"",
            "python = \"3.10\"",
            "requirements = \"requirements.txt\"",
            "params = { alpha = 0.5 }",
        ],
    );
}

#[test]
fn a_run_configuration_in_three_spellings() {
    let camel = "script: train.py\narguments: [--alpha, '0.5']\ntarget: local\nframework: Python\ncommunicator: None\nnodeCount: 1\nenvironment:\n  python:\n    userManagedDependencies: true\n    interpreterPath: /opt/py\n";
    let snake = "script: train.py\narguments: [--alpha, '0.5']\ntarget: local\nframework: Python\ncommunicator: None\nnode_count: 1\nenvironment:\n  python:\n    user_managed_dependencies: true\n    interpreter_path: /opt/py\n";
    let json = "{\"script\": \"train.py\", \"arguments\": [\"--alpha\", \"0.5\"], \"target\": \"local\", \"framework\": \"Python\", \"communicator\": \"None\", \"nodeCount\": 1, \"environment\": {\"python\": {\"userManagedDependencies\": true, \"interpreterPath\": \"/opt/py\"}}}";
    for text in [camel, snake, json] {
        check(
            &[(".azureml/local.runconfig", text), ("train.py", "")],
            &[
                "[experiments.local]",
                "script = \"train.py\"",
                "arguments = [\"--alpha\", \"0.5\"]",
                "user_managed = true",
                "interpreter = \"/opt/py\"",
            ],
        );
    }
}
