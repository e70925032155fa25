//! The broken Amlfiles of `fixtures/broken`, and what is said of them, carets included. `SNAPSHOTS=overwrite cargo test
//! --test diagnostics` writes the expectations anew.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read fails the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use amlrun::diagnostic::{CODES, Diagnostic, Source};
use amlrun::plan::{self, Request};
use amlrun::project::{self, Found};
use amlrun::relpath::RelPath;
use amlrun::{amlfile, console};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/broken")
}

/// All faults of an Amlfile, as one invocation with this request would tell them.
fn faults(name: &str, request: &Request) -> (Source, Vec<Diagnostic>) {
    let root = folder().join(name);
    let source = amlfile::load(&root.join("Amlfile"), "Amlfile").unwrap();
    let (document, mut faults) = amlfile::parse(&source);
    let probe = |path: &RelPath| match std::fs::metadata(root.join(path.as_path())) {
        Ok(found) if found.is_dir() => Found::Folder,
        Ok(_) => Found::File,
        Err(_) => Found::Missing,
    };
    let (project, more) = project::resolve(&document, name, &probe);
    faults.extend(more);
    if !document.broken {
        let (plan, more) = plan::build(&project, request, PathBuf::from("/workspace"));
        faults.extend(more);
        faults.extend(project::refusals(&project, plan.jobs.iter().map(|job| (job.experiment, job.target))));
    }
    amlrun::diagnostic::sort(&mut faults);
    (source, faults)
}

fn check(name: &str) {
    let (source, faults) = faults(name, &Request::default());
    let drawn = console::diagnostics::draw(&source, &faults, false);
    let expected = snapbox::Data::read_from(&folder().join(name).join("expected.txt"), None).raw();
    snapbox::Assert::new().action_env("SNAPSHOTS").normalize_paths(false).eq(drawn, expected);
}

#[test]
fn names() {
    check("names");
}

#[test]
fn graph() {
    check("graph");
}

#[test]
fn syntax() {
    check("syntax");
}

#[test]
fn empty() {
    check("empty");
}

#[test]
fn newer() {
    check("newer");
}

#[test]
fn oldest() {
    check("oldest");
}

#[test]
fn later() {
    check("later");
}

#[test]
fn requests() {
    let request = Request {
        goals: vec!["trian".into(), "nothing/like/it".into()],
        set: vec![("alhpa".into(), "1".into())],
        target: Some("nowhere".into()),
        ..Request::default()
    };
    let (source, faults) = faults("later", &request);
    let faults: Vec<Diagnostic> = faults.into_iter().filter(|fault| fault.primary.is_none()).collect();
    let drawn = console::diagnostics::draw(&source, &faults, false);
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(
        drawn,
        snapbox::str![[r"
error[unknown-parameter]: `--set alhpa=…`: there is no parameter `alhpa`
 |
 = help: did you mean `alpha`?

error[unknown-target]: `--target nowhere`: there is no target `nowhere`
 |
 = help: the targets are `local`, `cluster`

error[nothing-matched]: no experiment, job or output matches `trian`
 |
 = help: did you mean `train`?

error[nothing-matched]: no experiment, job or output matches `nothing/like/it`
 |
 = help: the experiments are `train`, `score`, `count`, `tune`


"]],
    );
}

/// A kind of fault that no fixture shows has never been looked at.
#[test]
fn every_kind_is_shown() {
    let request = Request {
        goals: vec!["none".into()],
        set: vec![("none".into(), "1".into())],
        target: Some("none".into()),
        ..Request::default()
    };
    let shown: BTreeSet<&str> = ["names", "graph", "syntax", "empty", "newer", "oldest", "later"]
        .iter()
        .flat_map(|name| faults(name, &Request::default()).1)
        .chain(faults("later", &request).1)
        .map(|fault| fault.code)
        .collect();
    let known: BTreeSet<&str> = CODES.iter().map(|(code, _)| *code).collect();
    assert_eq!(shown, known);
}
