//! The files of other tools, as `amlrun import` reads them: every key of every fixture is in the account, what is written
//! is an Amlfile, and no damaged file makes it panic or touches a file.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

mod python;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use amlrun::foreign::{Imported, Look, import, write};
use amlrun::yaml::{self, Node, Value};

/// Files in memory.
struct Folder(BTreeMap<String, String>);

impl Folder {
    /// The files of a fixture, below `prefix`.
    fn fixture(name: &str, prefix: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/import").join(name);
        let file = |entry: std::fs::DirEntry| {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            (format!("{prefix}{}", entry.file_name().into_string().unwrap()), text)
        };
        Self(std::fs::read_dir(folder).unwrap().map(|entry| file(entry.unwrap())).collect())
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
        let is_folder = path == "." || self.0.keys().any(|known| known.starts_with(&format!("{path}/")));
        if is_folder { Some(true) } else { self.0.contains_key(path).then_some(false) }
    }
}

const FIXTURES: &[(&str, &str)] =
    &[("runconfig", ".azureml/"), ("v2", ""), ("mlproject", ""), ("dvc", ""), ("sdk", "")];

/// Further kinds of file: a notebook, a lock of DVC with its ignore file, `python_env.yaml`, what `amlrun export` writes.
fn more_kinds() -> Vec<(&'static str, Folder)> {
    let script =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/import/sdk/submit.py")).unwrap();
    let lines: Vec<&str> = script.split_inclusive('\n').collect();
    let notebook = serde_json::json!({ "cells": [{ "cell_type": "code", "source": lines }], "nbformat": 4 });
    let notebook = Folder([("submit.ipynb".to_owned(), notebook.to_string())].into());
    let mut dvc = Folder::fixture("dvc", "");
    let lock = "schema: '2.0'\nstages:\n  prepare:\n    cmd: python prepare.py\n    deps:\n    - path: raw\n      hash: md5\n      \
                md5: d41d8cd98f00b204e9800998ecf8427e.dir\n      size: 9\n      nfiles: 1\n    params:\n      params.yaml:\n        \
                prepare.rows: 5\n    outs:\n    - path: clean.csv\n      md5: 0cd2be0a894c2924213d1796a9969957\n";
    dvc.0.insert("dvc.lock".to_owned(), lock.to_owned());
    dvc.0.insert(".dvcignore".to_owned(), "# a comment\n*.tmp\n!keep.tmp\n".to_owned());
    let project = "name: wine\npython_env: python_env.yaml\nentry_points:\n  main:\n    parameters:\n      data: {type: path, \
                   default: data/x.csv}\n      alpha: {type: float, default: 0.5}\n    command: python train.py {data} {alpha}\n";
    let environment = "python: 3.11.7\nbuild_dependencies: [pip]\ndependencies: [numpy==2.1.0, -r requirements.txt]\n";
    let files = [("MLproject", project), ("python_env.yaml", environment)];
    let python_env = Folder(files.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
    let place = tempfile::tempdir().unwrap();
    let amlfile = r#"format = 1
[experiments.prepare]
command = "cat '${inputs.raw}' > '${outputs.clean}'; echo '${word}'"
params = { word = "a word" }
inputs = { raw = "raw.csv" }
outputs = { clean = "data/clean.csv" }
secrets = ["TOKEN"]
[experiments.tune]
script = "tune.sh"
arguments = ["--alpha", "${alpha}", "${flag}"]
params = { flag = true }
inputs = ["data"]
metrics = ["metrics.json"]
sweep = { sampling = "grid", metric = "mse", goal = "minimize", space = { alpha = { choice = [1, 2] } } }
"#;
    std::fs::write(place.path().join("Amlfile"), amlfile).unwrap();
    std::fs::write(place.path().join("tune.sh"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
    let done = command.args(["export", "--format", "azureml-v2", "--json"]).current_dir(place.path()).output().unwrap();
    let data: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let text =
        |(path, text): (&String, &serde_json::Value)| (format!("azureml/{path}"), text.as_str().unwrap().to_owned());
    let exported = Folder(data["files"].as_object().unwrap().iter().map(text).collect());
    vec![("notebook", notebook), ("lock", dvc), ("python_env", python_env), ("exported", exported)]
}

fn imported(files: &Folder) -> Imported {
    import(files, &[".".to_owned()])
}

/// The keys of a document that no line of the account covers.
fn unaccounted(node: &Node, path: &str, known: &dyn Fn(&str) -> bool, lost: &mut Vec<String>) {
    if !path.is_empty() && known(path) {
        return;
    }
    let before = lost.len();
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for entry in entries {
                let below = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                unaccounted(&entry.node, &below, known, lost);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                unaccounted(item, &format!("{path}[{at}]"), known, lost);
            }
        }
        _ if lost.len() == before => lost.push(path.to_owned()),
        _ => {}
    }
}

#[test]
fn every_key_is_accounted_for() {
    for (name, prefix) in FIXTURES {
        let files = Folder::fixture(name, prefix);
        let imported = imported(&files);
        assert!(imported.faults.is_empty(), "{name}: {:?}", imported.faults);
        assert!(!imported.proposal.is_empty(), "{name}");
        for (path, text) in files.0.iter().filter(|_| *name != "sdk") {
            let mut lost = Vec::new();
            let rows = imported.report.rows();
            let known = |key: &str| rows.iter().any(|row| row.file == *path && row.key == key);
            unaccounted(&yaml::parse(text).unwrap(), "", &known, &mut lost);
            assert!(lost.is_empty(), "{name}/{path}: nothing is said of {lost:?}");
        }
    }
}

#[test]
fn what_is_written_is_an_amlfile() {
    for (name, prefix) in FIXTURES {
        let imported = imported(&Folder::fixture(name, prefix));
        let text = write::amlfile(&imported.proposal, &imported.sources);
        let source = amlrun::diagnostic::Source { name: "Amlfile".into(), text: text.clone() };
        let (document, mut faults) = amlrun::amlfile::parse(&source);
        // Files are there where they look like files.
        let probe = |path: &amlrun::relpath::RelPath| match path.as_path().extension() {
            Some(_) => amlrun::project::Found::File,
            None => amlrun::project::Found::Folder,
        };
        faults.extend(amlrun::project::resolve(&document, name, &probe).1);
        faults.retain(|fault| fault.severity == amlrun::diagnostic::Severity::Error);
        assert!(faults.is_empty(), "{name}: {faults:?}\n{text}");
    }
}

/// What each dialect of a run configuration says, in the words of an Amlfile.
#[test]
fn the_dialects_of_run_configurations() {
    let imported = imported(&Folder::fixture("runconfig", ".azureml/"));
    let text = write::amlfile(&imported.proposal, &imported.sources);
    for (dialect, lines) in [
        ("1-camel", "script = \"train.py\"\narguments = [\"--alpha\", \"0.5\"]"),
        ("2-snake", "# target = \"cpu-cluster\""),
        ("3-json", "resources = { time = \"3600s\" }"),
        ("4-conda-path", "\"${inputs.raw}\""),
        ("4-conda-path", "type = \"tensorflow\", nodes = 3"),
        ("5-environment-path", "environment = \"by-path\""),
        ("6-inline-conda", "type = \"pytorch\", nodes = 2, processes = 4, backend = \"nccl\""),
        ("7-title", "arguments = [\"--alpha\", \"0.1\"]"),
        ("8-removed-keys", "script = \"train.py\""),
        ("9-without-ending", "script = \"train.py\""),
        ("10-none-is-a-text", "command = \"python train.py $${HOME}\""),
    ] {
        let head = format!("[experiments.{dialect}]");
        let section = text.split_once(&head).unwrap_or_else(|| panic!("no {head} in\n{text}")).1;
        let section = section.split("\n[").next().unwrap();
        assert!(section.contains(lines), "{dialect}: no `{lines}` in\n{section}");
    }
    for line in [
        "host = \"ada@10.0.0.4\"",
        "port = 2222",
        "\"torch==1.13.1\"",
        "[experiments.1-camel-sweep.sweep.space]",
        "TOKENS = \"3\"",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
}

/// 1,000 damaged files of each kind: a report or a fault, never a panic.
#[test]
fn damaged_files() {
    let mut random = SplitMix64(20_261_126);
    let kinds = FIXTURES.iter().map(|(name, prefix)| (*name, Folder::fixture(name, prefix)));
    for (name, files) in kinds.chain(more_kinds()) {
        let names: Vec<String> = files.0.keys().cloned().collect();
        for round in 0..1000 {
            let mut damaged = Folder(files.0.clone());
            let victim = &names[random.below(names.len())];
            let text = damage(&files.0[victim], &mut random);
            damaged.0.insert(victim.clone(), text.clone());
            let imported = imported(&damaged);
            let written = write::amlfile(&imported.proposal, &imported.sources);
            assert!(written.parse::<toml::Table>().is_ok(), "{name} {round} {victim}:\n{text}\nbecame\n{written}");
        }
    }
}

/// A text with a few of its parts cut, doubled, swapped or replaced.
fn damage(text: &str, random: &mut SplitMix64) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(40)).min(bytes.len());
        match random.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            2 => bytes[at] = b"\x00\n\t:-[]{}\"'&*!|>#%0a${"[random.below(22)],
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(at..at, b"\n- [{: ${{x}}\n".iter().copied())),
            _ => {
                let other = random.below(bytes.len());
                bytes.swap(at, other);
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

struct SplitMix64(u64);

impl SplitMix64 {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// A project made by DVC itself: what its lock vouches for is adopted, so that nothing runs; a changed parameter runs the
/// one stage that reads it. A file that `.dvcignore` leaves out is no part of what the lock says.
#[test]
fn a_project_of_dvc_itself() {
    let Some(python) = python::with("dvc", &["dvc==3.67.1"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (path, text) in [
        ("params.yaml", "prepare:\n  rows: 3\ntrain:\n  alpha: 0.5\n"),
        ("prepare.sh", "cat raw/*.txt raw/below/* > clean.csv\nsed -n 's/^  rows: //p' params.yaml >> clean.csv\n"),
        (
            "train.sh",
            "sed -n 's/^  alpha: \\(.*\\)/{\"alpha\": \\1}/p' params.yaml > metrics.json\nwc -l < clean.csv > model\n",
        ),
        ("raw/a.txt", "a\n"),
        ("raw/below/b", "b\n"),
        ("raw/scratch.tmp", "left out\n"),
        ("raw/cache/x", "left out\n"),
    ] {
        std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        std::fs::write(root.join(path), text).unwrap();
    }
    let dvc = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-m", "dvc"]).args(arguments).current_dir(root).env("DVC_NO_ANALYTICS", "1");
        let done = command.output().unwrap();
        assert!(done.status.success(), "dvc {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    dvc(&["init", "--no-scm", "-q"]);
    std::fs::write(root.join(".dvcignore"), "*.tmp\ncache/\n").unwrap();
    dvc(&[
        "stage",
        "add",
        "-q",
        "-n",
        "prepare",
        "-d",
        "prepare.sh",
        "-d",
        "raw",
        "-p",
        "prepare.rows",
        "-o",
        "clean.csv",
        "sh prepare.sh",
    ]);
    let train =
        ["-n", "train", "-d", "train.sh", "-d", "clean.csv", "-p", "train.alpha", "-o", "model", "-M", "metrics.json"];
    dvc(&[&["stage", "add", "-q"], &train[..], &["sh train.sh"]].concat());
    dvc(&["repro", "-q"]);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
        let done = command.args(arguments).current_dir(root).env("NO_COLOR", "1").output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "amlrun {arguments:?}: {said}");
        said
    };
    let said = run(&["import"]);
    assert!(said.contains(".dvcignore:1") && !said.contains("not adopted"), "{said}");
    let said = run(&[]);
    assert!(said.contains("up to date (2 jobs)"), "{said}");
    let params = std::fs::read_to_string(root.join("params.yaml")).unwrap();
    std::fs::write(root.join("params.yaml"), params.replace("0.5", "0.25")).unwrap();
    let said = run(&[]);
    assert!(said.lines().last().unwrap().starts_with("1 ran, 1 fresh"), "{said}");
    assert_eq!(std::fs::read_to_string(root.join("metrics.json")).unwrap(), "{\"alpha\": 0.25}\n");
}

/// Through the real binary: an Amlfile that is there stays as it is, byte for byte, and a diff is proposed.
#[test]
fn no_amlfile_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("MLproject"), "name: x\nentry_points:\n  main: {command: echo hello}\n").unwrap();
    let run = |arguments: &[&str]| {
        let out =
            Command::new(env!("CARGO_BIN_EXE_amlrun")).args(arguments).current_dir(folder.path()).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    assert_eq!(run(&["import", "--check"]).0, Some(0));
    assert!(!folder.path().join("Amlfile").exists());
    assert_eq!(run(&["import"]).0, Some(0));
    let first = std::fs::read(folder.path().join("Amlfile")).unwrap();
    assert_eq!(run(&["import"]).0, Some(0));
    assert_eq!(std::fs::read(folder.path().join("Amlfile")).unwrap(), first);
    std::fs::write(folder.path().join("Amlfile"), "format = 1\n# mine\n").unwrap();
    let (code, out) = run(&["import"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("-# mine") && out.contains("+[experiments.main]"), "{out}");
    assert_eq!(std::fs::read_to_string(folder.path().join("Amlfile")).unwrap(), "format = 1\n# mine\n");
}
