use super::super::findings::look;
use super::*;
use crate::diagnostic::Source;
use crate::plan::{Plan, Request};
use crate::project::Found;
use crate::relpath::RelPath;

/// A folder with these files, the Amlfile that is proposed for it, and its plan, in which nothing may be amiss.
fn proposed(files: &[(&str, &str)]) -> (String, Plan) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let place = folder.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::File::create(&place).and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes())).unwrap();
    }
    let found = Findings { name: "demo".into(), ..look(folder.path()) };
    let source = Source { name: "Amlfile".into(), text: propose(&found) };
    let probe = |path: &RelPath| match folder.path().join(path.as_path()).metadata() {
        Err(_) => Found::Missing,
        Ok(metadata) if metadata.is_dir() => Found::Folder,
        Ok(_) => Found::File,
    };
    let (document, faults) = crate::amlfile::parse(&source);
    assert_eq!(faults, [], "{}", source.text);
    let (project, faults) = crate::project::resolve(&document, "demo", &probe);
    assert_eq!(faults, [], "{}", source.text);

    let (plan, faults) = crate::plan::build(&project, &Request::default(), folder.path().to_owned());
    assert_eq!(faults, [], "{}", source.text);
    (source.text, plan)
}

fn jobs(plan: &Plan) -> Vec<&str> {
    plan.jobs.iter().map(|job| job.name.0.as_str()).collect()
}

#[test]
fn an_empty_folder_gets_an_example() {
    let (text, plan) = proposed(&[]);
    assert_eq!(jobs(&plan), ["hello"]);
    assert!(!text.contains("[environments"));
}

#[test]
fn a_script_at_the_top_with_options_and_data() {
    let (text, plan) = proposed(&[
        (
            "train.py",
            "import argparse, joblib\nfrom sklearn.linear_model import Ridge\np = argparse.ArgumentParser()\n\
             p.add_argument('--alpha', type=float, default=0.03)\np.add_argument('--data', default='data/raw.csv')\n\
             p.add_argument('--name', required=True)\np.add_argument('--fast', action='store_true')\n\
             p.add_argument('--note', default='cost ${x} \"q\"')\njoblib.dump(model, 'model.pkl')\n",
        ),
        ("data/raw.csv", "1"),
        ("setup.py", "if __name__ == '__main__': pass"),
        ("tests/test_train.py", "import argparse"),
        ("dvc.yaml", ""),
    ]);
    let expected = "\
# dvc.yaml is here too: it was not read; its stages can be carried over by hand.

# The software that the scripts run in: built by amlrun, locked in Amlfile.lock.
[environments.main]
# python = \"3.12\"
# By the scripts' imports; add what is missing.
packages = [\"joblib\", \"scikit-learn\"]
# variables = { OMP_NUM_THREADS = \"1\" }

[experiments.train]
script = \"train.py\"
# sources = [\"train.py\"]       # only a change of these runs it again
environment = \"main\"
arguments = [
    \"--alpha\", \"${alpha}\",
    \"--data\", \"${inputs.data}\",
    \"--note\", \"${note}\",
]
# --name is required: add \"--name\", \"${name}\" to `arguments`, and name to `params` or `inputs`
# it also understands --fast
params = { alpha = 0.03, note = \"cost $${x} \\\"q\\\"\" }
inputs = { data = \"data/raw.csv\" }
# outputs = { model = \"model.pkl\" }      # what it writes, and others may read
# metrics = [\"metrics.json\"]
# matrix = { alpha = [0.03] }      # one job for each value
";
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(jobs(&plan), ["train"]);
}

#[test]
fn folders_by_step_are_joined_by_their_files() {
    let option = |lines: &str| format!("import argparse\np = argparse.ArgumentParser()\n{lines}");
    let (text, plan) = proposed(&[
        (
            "prepare/prepare.py",
            &option(
                "p.add_argument('--out', default='../data/clean.csv')\np.add_argument('--raw', default='../data/raw.csv')\n",
            ),
        ),
        (
            "train/train.py",
            &option(
                "p.add_argument('--data', default='../data/clean.csv')\np.add_argument('--model', default='../m/x.pkl')\n",
            ),
        ),
        ("evaluate/evaluate.py", &option("p.add_argument('--model', default='../m/x.pkl')\n")),
        ("data/raw.csv", "1"),
        ("requirements.txt", "numpy\n"),
        ("environment.yml", ""),
        ("tool.py", "if __name__ == '__main__': pass"),
    ]);
    assert_eq!(jobs(&plan), ["prepare", "train", "evaluate"]);
    assert_eq!(plan.jobs[1].needs.len(), 1, "{text}");
    assert_eq!(plan.jobs[2].needs.len(), 1, "{text}");
    assert!(text.contains("requirements = \"requirements.txt\""), "{text}");
    assert!(text.contains("#   tool.py"), "{text}");
}

#[test]
fn scripts_in_src_run_from_the_top() {
    let (text, plan) = proposed(&[
        ("src/train.py", "import pandas as pd\nx = pd.read_csv('data/x.csv')\nx.to_csv('out/y.csv')\n"),
        ("src/lib.py", "def f(): pass\n"),
        ("data/x.csv", "1"),
        ("pyproject.toml", "[project]\nname = 'x'\ndependencies = ['pandas']\n"),
    ]);
    assert_eq!(jobs(&plan), ["train"]);
    for part in
        ["script = \"src/train.py\"", "sources = [\"src/**\"]", "inputs = { x = \"data/x.csv\" }", "# outputs = { y ="]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("requirements = \"pyproject.toml\""), "{text}");
}

#[test]
fn odd_folders_give_valid_files() {
    let check = |files: &[(&str, &str)], expected: &[&str]| assert_eq!(jobs(&proposed(files).1), expected);
    check(&[("2 fit?.py", "import click\n@click.option('--a', default='x')\ndef f(a): pass")], &["x2_fit_"]);
    check(&[("main.py", "print(1)")], &["main"]);
    check(&[("a.py", "import argparse"), ("b.py", "import argparse")], &["a"]);
    check(&[("train.R", "commandArgs()")], &["train"]);
    check(&[("train.py", ""), ("src/train.py", "")], &["train", "train2"]);
    check(&[("train.py", "p.add_argument('--out', default='../../x.pkl')")], &["train"]);
    check(&[("train.py", "p.add_argument('--out', default='/tmp/x.pkl')")], &["train"]);
    check(
        &[
            ("train.py", "p.add_argument('--out', default='m/x.pkl')\np.add_argument('--output_dir', default='m/')"),
            ("eval.py", "p.add_argument('--out', default='m/x.pkl')"),
        ],
        &["train", "eval"],
    );
    check(
        &[
            (
                "prepare.py",
                "p.add_argument('--data', default='data/a.csv')\np.add_argument('--out', default='data/b.csv')",
            ),
            (
                "train.py",
                "p.add_argument('--data', default='data/b.csv')\np.add_argument('--out', default='data/a.csv')",
            ),
            ("data/a.csv", ""),
            ("data/b.csv", ""),
        ],
        &["prepare", "train"],
    );
    check(
        &[("train.py", "p.add_argument('--data', default='d')\np.add_argument('--out', default='d/x')"), ("d", "")],
        &["train"],
    );
    check(&[("train.py", "open('data')\nopen('data/a.csv')\nopen('./data/a.csv')"), ("data/a.csv", "")], &["train"]);
    check(&[("train.py", "p.add_argument('--inputs', default=1)\np.add_argument('--env', default=08)")], &["train"]);
}
