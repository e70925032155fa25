use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::console::Style;
use crate::ids::JobName;
use crate::plan::job::{Command, Input, Output, Runner};
use crate::project::model::{CacheMode, InputPath, Isolation, Link, Project, Resources, Workspace};
use crate::relpath::RelPath;
use crate::value::Value;

fn job(name: &str, needs: &[usize]) -> Job {
    Job {
        role: crate::plan::job::Role::Plain,
        name: JobName(name.into()),
        experiment: 0,
        cell: vec![],
        params: BTreeMap::from([("alpha".to_owned(), Value::Integer(1))]),
        command: Command::Script { script: "a.py".into(), arguments: vec!["--x".into()], runner: Runner::Python },
        source_directory: RelPath::root(),
        sources: None,
        inputs: vec![Input {
            keys: None,
            name: "raw".into(),
            path: InputPath::Inside(RelPath::new("raw.csv").unwrap()),
            from: vec![],
            span: 0..0,
        }],
        outputs: vec![
            Output { name: "m".into(), path: RelPath::new("m.pkl").unwrap(), metric: false, span: 0..0 },
            Output { name: "m.json".into(), path: RelPath::new("m.json").unwrap(), metric: true, span: 0..0 },
        ],
        variables: BTreeMap::from([("TOKEN".to_owned(), "secret".to_owned())]),
        environment: 0,
        target: 0,
        framework: "python".into(),
        resources: Resources { cpus: 1, gpus: 0, memory: None, time: None },
        retries: 0,
        secrets: vec![],
        tags: BTreeMap::new(),
        cache: true,
        isolation: Isolation::Snapshot,
        distributed: None,
        needs: needs.iter().map(|n| JobId(*n)).collect(),
        goal: needs.len() > 1,
        span: 0..0,
    }
}

fn plan(jobs: &[(&str, &[usize])]) -> Plan {
    let jobs = jobs.iter().map(|(name, needs)| job(name, needs)).collect();
    Plan { jobs, declared_outputs: vec![], needed_by: vec![], root: PathBuf::from("/"), ..Plan::default() }
}

fn diamond() -> Plan {
    plan(&[
        ("raw", &[]),
        ("prepare", &[0]),
        ("train[alpha=0.1]", &[1]),
        ("train[alpha=0.2]", &[1]),
        ("evaluate", &[2, 3]),
        ("other", &[]),
    ])
}

#[test]
fn the_tree_marks_what_it_has_drawn() {
    let expected = "\
evaluate
├── train[alpha=0.1]
│   └── prepare
│       └── raw
└── train[alpha=0.2]
    └── prepare (see above)
other
";
    assert_eq!(tree(&diamond(), Style::default()), expected);
    assert_eq!(tree(&Plan::default(), Style::default()), "");
}

#[test]
fn a_long_chain_is_no_danger() {
    let names: Vec<String> = (0..20_000).map(|i| format!("j{i}")).collect();
    let jobs = names.iter().enumerate().map(|(i, name)| job(name, &(0..i).rev().take(1).collect::<Vec<_>>())).collect();
    let text = tree(&Plan { jobs, ..Plan::default() }, Style::default());
    assert_eq!(text.lines().count(), 20_000);
}

#[test]
fn pictures_escape_names() {
    let plan = plan(&[("a\"b\\", &[]), ("train[alpha=0.1]", &[0])]);
    assert_eq!(
        dot(&plan),
        "digraph amlrun {\n    rankdir = LR\n    node [shape = box]\n    \"a\\\"b\\\\\"\n    \"train[alpha=0.1]\"\n    \
         \"a\\\"b\\\\\" -> \"train[alpha=0.1]\"\n}\n"
    );
    assert_eq!(mermaid(&plan), "flowchart LR\n    j0[\"a#34;b#92;\"]\n    j1[\"train[alpha=0.1]\"]\n    j0 --> j1\n");
}

#[test]
fn json_has_the_jobs_and_no_variables() {
    let project = Project {
        workspace: Workspace {
            name: "w".into(),
            description: None,
            cache: None,
            cache_mode: CacheMode::ReadWrite,
            link: Link::Copy,
        },
        params: BTreeMap::new(),
        environments: vec![],
        targets: vec![],
        experiments: vec![],
    };
    let text = json(&project, &plan(&[("prepare", &[]), ("train", &[0])]));
    assert!(!text.contains("secret"));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "name": "train", "experiment": "", "goal": false, "needs": ["prepare"], "command": ["a.py", "--x"],
        "source_directory": ".", "params": {"alpha": 1}, "inputs": {"raw": "raw.csv"}, "outputs": {"m": "m.pkl"},
        "metrics": ["m.json"], "environment": "", "target": "", "tags": {},
    });
    assert_eq!(value["jobs"][1], expected);
}
