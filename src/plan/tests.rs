//! Whole Amlfiles to plans.

use std::path::PathBuf;

use proptest::prelude::*;

use super::job::{Command, Plan};
use super::{Request, build};
use crate::amlfile;
use crate::diagnostic::{Diagnostic, Source, any_error};
use crate::project::model::InputPath;
use crate::project::{self, Found};
use crate::relpath::RelPath;

/// Everything is there.
fn there(path: &RelPath) -> Found {
    let file = path.as_path().extension().is_some() || path.as_path().ends_with("Dockerfile");
    if file { Found::File } else { Found::Folder }
}

fn planned(text: &str, request: &Request) -> (Plan, Vec<Diagnostic>) {
    let source = Source { name: "Amlfile".into(), text: format!("format = 1\n{text}") };
    let (document, mut faults) = amlfile::parse(&source);
    let (project, more) = project::resolve(&document, "folder", &there);
    faults.extend(more);
    assert!(!any_error(&faults), "{faults:#?}");
    build(&project, request, PathBuf::from("/w"))
}

fn request(goals: &[&str], set: &[(&str, &str)]) -> Request {
    Request {
        goals: goals.iter().map(ToString::to_string).collect(),
        set: set.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect(),
        variables: [("HOME".to_string(), "/u".to_string()), ("EMPTY".to_string(), String::new())].into(),
        ..Request::default()
    }
}

/// A job a line: its name, `*` for a goal, what it needs.
fn shown(plan: &Plan) -> String {
    let line = |job: &super::Job| {
        let needs: Vec<&str> = job.needs.iter().map(|need| plan.jobs[need.0].name.0.as_str()).collect();
        let arrow = if needs.is_empty() { String::new() } else { format!(" <- {}", needs.join(" ")) };
        format!("{}{}{arrow}", job.name, if job.goal { "*" } else { "" })
    };
    plan.jobs.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(text: &str, goals: &[&str], expected: &str) {
    let (plan, faults) = planned(text, &request(goals, &[]));
    assert!(!any_error(&faults), "{faults:#?}");
    assert_eq!(shown(&plan), expected);
    for (at, job) in plan.jobs.iter().enumerate() {
        assert!(job.needs.iter().all(|need| need.0 < at), "needs come first");
        for need in &job.needs {
            assert!(plan.needed_by[need.0].iter().any(|by| by.0 == at));
        }
    }
}

#[track_caller]
fn check_faults(text: &str, goals: &[&str], expected: &[&str]) {
    let (_, faults) = planned(text, &request(goals, &[]));
    let codes: Vec<&str> = faults.iter().map(|fault| fault.code).collect();
    assert_eq!(codes, expected, "{faults:#?}");
}

/// The command lines of all jobs.
#[track_caller]
fn check_commands(text: &str, set: &[(&str, &str)], expected: &[&str]) {
    let (plan, faults) = planned(text, &request(&[], set));
    assert!(!any_error(&faults), "{faults:#?}");
    let lines: Vec<String> = plan
        .jobs
        .iter()
        .map(|job| match &job.command {
            Command::Script { script, arguments, .. } => format!("{script} {}", arguments.join(" ")),
            Command::Shell(line) => line.clone(),
        })
        .collect();
    assert_eq!(lines, expected);
}

const CHAIN: &str = "
[experiments.evaluate]
command = 'e'
inputs = ['models']
outputs = ['report/e.txt']
[experiments.train]
command = 't ${alpha} ${inputs.clean} ${outputs.model}'
inputs = { clean = 'data/clean/part.csv' }
outputs = { model = 'models/m-${alpha}.pkl' }
matrix = { alpha = [0.10, 1] }
[experiments.prepare]
command = 'p'
outputs = ['data/clean']
metrics = ['rows.json']
[experiments.check]
command = 'c'
needs = ['train']
[experiments.other]
command = 'o'
";

#[test]
fn edges_by_files_folders_and_needs() {
    check(
        CHAIN,
        &[],
        "prepare*\ntrain[alpha=0.10]* <- prepare\ntrain[alpha=1]* <- prepare\n\
         evaluate* <- train[alpha=0.10] train[alpha=1]\ncheck* <- train[alpha=0.10] train[alpha=1]\nother*",
    );
}

#[test]
fn goals_bring_what_they_need() {
    let train = "prepare\ntrain[alpha=0.10]* <- prepare";
    for goal in ["train[alpha=0.10]", "models/m-0.10.pkl", "/w/models/m-0.10.pkl", "./models/../models/m-0.10.pkl"] {
        check(CHAIN, &[goal], train);
    }
    let both = "prepare\ntrain[alpha=0.10]* <- prepare\ntrain[alpha=1]* <- prepare";
    for goal in ["train", "trai*", "train[*]", "train[alpha=*]", "models", "models/", "models/*.pkl", "{train,x}"] {
        check(CHAIN, &[goal], both);
    }
    check(CHAIN, &["data/clean/part.csv"], "prepare*");
    check(CHAIN, &["rows.json"], "prepare*");
    check(CHAIN, &["other", "prepare"], "prepare*\nother*");
    check(CHAIN, &["*"], &{
        let (plan, _) = planned(CHAIN, &Request::default());
        shown(&plan)
    });
    for goal in ["models/none.pkl", "nothing", "train[alpha=2]", "train[", "", "../x", "tr", "."] {
        check_faults(CHAIN, &[goal], &["nothing-matched"]);
    }
}

#[test]
fn cells_are_selected_by_some_of_their_axes() {
    let text = "[experiments.t]\ncommand = '${a} ${b}'\nmatrix = { a = [1, 2], b = ['x', 'y,z'] }\n\
                [experiments.u]\ncommand = 'u'\nneeds = ['t[a=2]']\n\
                [experiments.v]\ncommand = 'v ${a}'\nmatrix = { a = [1, 2] }\nneeds = ['t[a=${a},b=x]']";
    check(text, &["t[b=x]"], "t[a=1,b=x]*\nt[a=2,b=x]*");
    check(text, &["t[b=\"y,z\",a=1]"], "t[a=1,b=\"y,z\"]*");
    check(text, &["u"], "t[a=2,b=x]\nt[a=2,b=\"y,z\"]\nu* <- t[a=2,b=x] t[a=2,b=\"y,z\"]");
    check(text, &["v[a=2]"], "t[a=2,b=x]\nv[a=2]* <- t[a=2,b=x]");
}

#[test]
fn matched_cell_by_cell_through_paths() {
    let text = "[experiments.t]\ncommand = 't'\noutputs = ['m-${a}']\nmatrix = { a = [1, 2] }\n\
                [experiments.e]\ncommand = 'e'\ninputs = ['m-${a}']\noutputs = ['e-${a}']\nmatrix = { a = [2, 1] }";
    check(text, &[], "t[a=1]*\nt[a=2]*\ne[a=2]* <- t[a=2]\ne[a=1]* <- t[a=1]");
}

#[test]
fn what_comes_first() {
    let text = "[params]\na = 1\nb = '${a}-${c}'\nc = 3.50\n[environments.default]\nuser_managed = true\n\
                [experiments.x]\nscript = 'x.py'\narguments = ['${a}', '${b}', '${c}', '${l}', '$${a}', 7]\n\
                params = { a = 2, l = [1, 0.50] }\nmatrix = { c = [1e3, 4] }";
    check_commands(text, &[], &["x.py 2 2-1e3 1e3 1,0.50 ${a} 7", "x.py 2 2-4 4 1,0.50 ${a} 7"]);
    check_commands(text, &[("a", "0.10"), ("c", "x y")], &["x.py 0.10 0.10-x y x y 1,0.50 ${a} 7"]);
    let (plan, _) = planned(text, &request(&[], &[("c", "\"9\"")]));
    assert_eq!(plan.jobs[0].name.0, "x[c=9]");
    let params: Vec<String> = plan.jobs[0].params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(params, ["a=2", "b=2-9", "c=9", "l=1,0.50"]);
}

#[test]
fn a_set_value_is_never_interpolated() {
    let text = "[experiments.x]\ncommand = 'echo ${a}'\nparams = { a = '${env.HOME}' }";
    check_commands(text, &[], &["echo /u"]);
    check_commands(text, &[("a", "${env.HOME}")], &["echo ${env.HOME}"]);
}

#[test]
fn paths_are_seen_from_the_source_directory() {
    let text = "[experiments.x]\nsource_directory = 'src/a'\ncommand = 'cat ${inputs.i} \"${inputs.i}\" ${inputs.far} > ${outputs.o}'\n\
                inputs = { i = 'my data/in.csv', far = '/data/x' }\noutputs = { o = 'src/a/out' }\n\
                arguments = ['${outputs.o}', 'a b']";
    check_commands(text, &[], &["cat '../../my data/in.csv' \"../../my data/in.csv\" /data/x > out out 'a b'"]);
    let (plan, _) = planned(text, &Request::default());
    assert_eq!(plan.jobs[0].inputs[1].path, InputPath::Absolute("/data/x".into()));
}

#[test]
fn an_absolute_path_of_the_workspace_is_a_path_of_it() {
    let text = "[experiments.a]\ncommand = 'a'\noutputs = ['x']\n[experiments.b]\ncommand = 'b'\ninputs = ['/w/x']";
    check(text, &[], "a*\nb* <- a");
}

#[test]
fn variables_of_the_environment() {
    let text = "[environments.e]\nuser_managed = true\nvariables = { A = '${inputs.i}', H = '${env.HOME}', E = '${env.EMPTY}' }\n\
                [experiments.x]\ncommand = 'x'\nenvironment = 'e'\ninputs = { i = 'd' }\n";
    let (plan, faults) = planned(text, &request(&[], &[]));
    assert!(faults.is_empty(), "{faults:?}");
    let variables: Vec<String> = plan.jobs[0].variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(variables, ["A=d", "E=", "H=/u"]);
}

#[test]
fn an_unset_variable_matters_where_it_is_wanted() {
    let text =
        "[experiments.x]\ncommand = 'x ${env.NONE}'\noutputs = ['${env.NONE}/x']\n[experiments.y]\ncommand = 'y'\n";
    check(text, &["y"], "y*");
    check_faults(text, &[], &["unset-variable", "unset-variable"]);
}

#[test]
fn a_metric_file_may_be_an_output_with_a_name() {
    let text = "[experiments.x]\ncommand = 'x ${outputs.m} ${outputs.n.json}'\noutputs = { m = 'm.json' }\nmetrics = ['./m.json', 'n.json']\n";
    check_commands(text, &[], &["x m.json n.json"]);
    let (plan, _) = planned(text, &Request::default());
    let outputs: Vec<_> = plan.jobs[0].outputs.iter().map(|o| (o.name.as_str(), o.metric)).collect();
    assert_eq!(outputs, [("m", true), ("n.json", true)]);
}

#[test]
fn declared_outputs_are_those_of_all_experiments() {
    let (plan, _) = planned(CHAIN, &request(&["other"], &[]));
    assert_eq!(plan.declared_outputs, ["data/clean", "models/m-*.pkl", "report/e.txt", "rows.json"]);
    let text = "[experiments.x]\ncommand = 'x'\noutputs = ['${n}.py', 'a[1]/${n}']\nmatrix = { n = ['b', 'c/d'] }";
    let (plan, _) = planned(text, &Request::default());
    assert_eq!(plan.declared_outputs, ["a[[]1[]]/b", "a[[]1[]]/c/d", "b.py", "c/d.py"]);
}

#[test]
fn faults_of_the_graph() {
    check_faults(
        "[experiments.a]\ncommand = 'a'\ninputs = ['b']\noutputs = ['a']\n[experiments.b]\ncommand = 'b'\ninputs = ['a']\noutputs = ['b']\n\
         [experiments.c]\ncommand = 'c'\nneeds = ['d']\n[experiments.d]\ncommand = 'd'\nneeds = ['c']",
        &["a"],
        &["cycle", "cycle"],
    );
    check_faults(
        "[experiments.a]\ncommand = 'a'\noutputs = ['x', 'x-y', 'x/']\n[experiments.b]\ncommand = 'b'\noutputs = ['x-y/z', 'x!']",
        &[],
        &["duplicate-output", "nested-output"],
    );
}

#[test]
fn the_example_has_no_fault() {
    let source = Source { name: "Amlfile".into(), text: include_str!("../../Amlfile.example").to_owned() };
    let (document, mut faults) = amlfile::parse(&source);
    let (project, more) = project::resolve(&document, "folder", &there);
    faults.extend(more);
    let (plan, more) =
        build(&project, &Request { variables: request(&[], &[]).variables, ..Request::default() }, "/w".into());
    faults.extend(more);
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(plan.jobs.len(), 8);
}

proptest! {
    /// Whatever the order of the experiments in the text: needs come first, and all jobs are there.
    #[test]
    fn an_order_for_every_graph_without_cycles(edges in prop::collection::vec((0..12usize, 0..12usize), 0..30), shuffle in any::<u64>()) {
        let mut order: Vec<usize> = (0..12).collect();
        order.sort_by_key(|at| (shuffle.rotate_left(u32::try_from(*at).unwrap() * 5), *at));
        let experiment = |at: usize| {
            // Only what has a lower number is needed, so there is no cycle.
            let below = edges.iter().filter(|(a, b)| *a == at && b < a);
            let mut inputs: Vec<String> = below.map(|(_, b)| format!("'o{b}/f'")).collect();
            inputs.sort();
            inputs.dedup();
            format!("[experiments.e{at}]\ncommand = 'x'\noutputs = ['o{at}']\ninputs = [{}]\n", inputs.join(", "))
        };
        let text = order.into_iter().map(experiment).collect::<Vec<_>>().concat();
        let (plan, faults) = planned(&text, &Request::default());
        prop_assert!(faults.is_empty());
        prop_assert_eq!(plan.jobs.len(), 12);
        for (at, job) in plan.jobs.iter().enumerate() {
            prop_assert!(job.needs.iter().all(|need| need.0 < at));
        }
    }

    /// Nothing that is written makes it panic, and a plan without an error is a graph.
    #[test]
    fn mutations_of_the_example_are_planned_or_refused(cuts in prop::collection::vec((0.0..1.0f64, 0..9usize, "[\\[\\]{}=,.\"'$#a1/ \n-]{0,4}"), 1..5)) {
        let mut text = include_str!("../../Amlfile.example").to_owned();
        for (at, length, with) in cuts {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
            let mut start = (at * text.len() as f64) as usize;
            while !text.is_char_boundary(start) { start -= 1 }
            let mut end = (start + length).min(text.len());
            while !text.is_char_boundary(end) { end += 1 }
            text.replace_range(start..end, &with);
        }
        let source = Source { name: "Amlfile".into(), text };
        let (document, mut faults) = amlfile::parse(&source);
        let (project, more) = project::resolve(&document, "folder", &there);
        faults.extend(more);
        let (plan, more) = build(&project, &request(&["train*"], &[("alpha", "3")]), PathBuf::from("/w"));
        faults.extend(more);
        for label in faults.iter().filter_map(|fault| fault.primary.as_ref()) {
            prop_assert!(source.text.get(label.span.clone()).is_some(), "{label:?}");
        }
        for (at, job) in plan.jobs.iter().enumerate() {
            prop_assert!(job.needs.iter().all(|need| need.0 < at));
        }
    }
}
