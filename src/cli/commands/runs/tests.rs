//! The commands against a real store and a real history in a temporary workspace.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use clap::Parser;

use super::*;
use crate::cli::options::Cli;
use crate::clock::{ManualClock, Timestamp};
use crate::content::{Content, Entry as Node, Kind, encode};
use crate::digest::Digest;
use crate::history::{Begun, Ended, Entry, Invocation};
use crate::ids::{JobName, RunId};
use crate::launch::{Outcome, Usage};
use crate::relpath::RelPath;
use crate::staleness::{Fingerprint, Key, Reason, Recorded};
use crate::store::Store;

struct Workspace {
    folder: tempfile::TempDir,
    history: SqliteHistory,
    store: DiskStore,
    here: Surroundings,
    common: Common,
    clock: ManualClock,
}

impl Workspace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join(".amlrun");
        let mut history = SqliteHistory::open(&state.join("history.db"), true);
        let invocation = Invocation {
            id: "i".into(),
            started: Timestamp(0),
            argv: vec!["amlrun".into(), "-k".into()],
            version: "0.1.0".into(),
            host: "vm".into(),
            user: "ada".into(),
            properties: BTreeMap::from([("azureml.git.branch".into(), "main".into())]),
        };
        history.begin(&invocation, &|_| true).unwrap();
        let here = Surroundings {
            argv: Vec::new(),
            cwd: folder.path().to_owned(),
            variables: BTreeMap::new(),
            terminal: false,
            stdout_terminal: false,
        };
        let common = Cli::parse_from(["amlrun"]).run.common;
        Self {
            store: DiskStore::open(&state.join("objects-v1")),
            folder,
            history,
            here,
            common,
            clock: ManualClock::default(),
        }
    }

    fn desk(&self) -> Desk<'_> {
        self.store.flush().unwrap();
        Desk::open(self.folder.path().to_owned(), &self.common, &self.here, &self.clock)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// A flat folder in the store.
    fn tree(&self, files: &[(&str, &str)]) -> Digest {
        let entry = |(name, text): &(&str, &str)| Node {
            name: name.as_bytes().to_vec(),
            kind: Kind::File,
            digest: self.store.put(text.as_bytes()).unwrap(),
            size: text.len() as u64,
        };
        self.store.put(&encode(&files.iter().map(entry).collect::<Vec<_>>())).unwrap()
    }

    fn output(&self, path: &str, text: &str) -> Recorded {
        let content =
            Content { kind: Kind::File, digest: self.store.put(text.as_bytes()).unwrap(), size: text.len() as u64 };
        Recorded::new(RelPath::new(path).unwrap(), content)
    }

    /// Puts a run on record that `change` made different from others.
    fn run(&mut self, id: &str, change: impl FnOnce(&Self, &mut Begun, &mut Ended)) {
        let fingerprint = Fingerprint {
            format: 1,
            command: vec!["script".into(), "train.py".into(), "--alpha".into(), "0.1".into()],
            params: BTreeMap::new(),
            variables: BTreeMap::new(),
            framework: "python".into(),
            distributed: BTreeMap::new(),
            environment: None,
            sources: self.tree(&[("train.py", "lr = 1\nprint(lr)\n")]),
            inputs: BTreeMap::from([("clean".into(), Digest::of(b"clean"))]),
        };
        let mut begun = Begun {
            run: RunId(id.into()),
            invocation: "i".into(),
            job: JobName("train[alpha=0.1]".into()),
            experiment: "train".into(),
            target: "local".into(),
            environment: "sklearn".into(),
            started: Timestamp(1_000),
            attempt: 1,
            fingerprint,
            params: BTreeMap::from([("alpha".into(), serde_json::json!(0.1))]),
            tags: BTreeMap::new(),
            reasons: vec![Reason::NeverRan],
            inputs: BTreeMap::from([("clean".into(), "data/clean.csv".into())]),
            source_directory: RelPath::new("train").unwrap(),
        };
        let mut ended = Ended {
            run: RunId(id.into()),
            status: Status::Completed,
            outcome: Outcome::Succeeded,
            ended: Timestamp(3_500),
            usage: Usage { cpu_ms: 1_200, peak_memory: 3 << 20 },
            outputs: vec![self.output("models/m.pkl", "model"), self.output("metrics.json", "{}")],
            kept: vec![self.output("outputs", "plot")],
            metrics: BTreeMap::from([("mse".into(), 0.25)]),
            cached: true,
            inputs_moved: false,
            notes: vec!["a note".into()],
            logged: None,
        };
        change(self, &mut begun, &mut ended);
        self.history.record(&[Entry::Begun(Box::new(begun)), Entry::Ended(Box::new(ended))]).unwrap();
    }
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn runs_are_found_by_status_as_it_is_now() {
    let mut workspace = Workspace::new();
    workspace.run("aa00", |_, _, _| {});
    workspace.run("bb00", |_, _, ended| ended.status = Status::Failed);
    let lost = Begun { run: RunId("cc00".into()), ..workspace.history.run("aa00").unwrap().begun };
    workspace.history.record(&[Entry::Begun(Box::new(lost))]).unwrap();
    let desk = workspace.desk();
    let check = |job, status, limit, expected: &[&str]| {
        let found: Vec<String> =
            list::find(&desk, job, status, limit).unwrap().into_iter().map(|r| r.begun.run.0).collect();
        assert_eq!(found, expected, "{job:?} {status:?}");
    };
    check(None, None, 9, &["cc00", "bb00", "aa00"]);
    check(Some("train"), None, 2, &["cc00", "bb00"]);
    check(None, Some("failed"), 9, &["bb00"]);
    check(None, Some("Running"), 9, &[]);
    check(None, Some("NotResponding"), 1, &["cc00"]);
    assert_eq!(list::find(&desk, None, Some("odd"), 9).unwrap_err().exit, Exit::Usage);
    assert_eq!(
        list::list(&desk, Some("none"), None, &Select::default(), list::Page { limit: 9, skip: 0 }).unwrap_err().exit,
        Exit::NothingMatched
    );
}

#[test]
fn a_workspace_without_a_history_has_no_runs_and_gets_none() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("Amlfile"), "broken [");
    let here = Surroundings { cwd: folder.path().to_owned(), ..Workspace::new().here };
    let common = Cli::parse_from(["amlrun"]).run.common;
    let list = RunsCommand::List { job: None, status: None, limit: 5, filter: None, sort: Vec::new(), skip: 0 };
    assert_eq!(run(&list, &common, &here).unwrap_err().exit, Exit::NothingMatched);
    let show = RunsCommand::Show { run: "a".into(), details: false, patch: false };
    assert_eq!(run(&show, &common, &here).unwrap_err().exit, Exit::NothingMatched);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_run_is_shown_whole() {
    let mut workspace = Workspace::new();
    let key = Key::of(BTreeMap::from([("package numpy".into(), "2.3".into())]));
    workspace.history.remember_key(&key).unwrap();
    workspace.run("aa00", |_, begun, _| begun.fingerprint.environment = Some(key.digest));
    put(&workspace.path(".amlrun/runs/aa00/user_logs/std_log.txt"), "hi\n");
    let desk = workspace.desk();
    let run = desk.run("train").unwrap();
    let page = show::page(&desk, &run, Some(&key), None, Some("a log".into()));
    for line in [
        "run          aa00",
        "status       Completed",
        "started      1970-01-01T00:00:01Z",
        "ended        1970-01-01T00:00:03Z (after 2.5 s)",
        "cpu time     1.2 s",
        "peak memory  3.0 MiB",
        "command      train.py --alpha 0.1",
        "host         ada@vm",
        "invocation   amlrun -k",
        "log          a log",
        "  never ran",
        "  a note",
        "  alpha  0.1",
        "  mse  0.25",
        "  package numpy  2.3",
        "  azureml.git.branch  main",
    ] {
        assert!(page.lines().any(|l| l == line), "{line:?} is not in\n{page}");
    }
    let json = serde_json::to_value(record::whole(&run, Some(&key), None, None, Timestamp(0))).unwrap();
    assert_eq!(json["environment_facts"]["package numpy"], "2.3");
    assert_eq!(json["elapsed_ms"], 2_500);
    assert_eq!(json["inputs"]["clean"]["path"], "data/clean.csv");
    assert_eq!(json["outputs"][0]["path"], "models/m.pkl");
}

#[test]
fn a_difference_names_code_values_and_files() {
    let mut workspace = Workspace::new();
    workspace.run("aa00", |_, _, _| {});
    workspace.run("bb00", |workspace, begun, ended| {
        begun.fingerprint.sources = workspace.tree(&[("new.py", "x\n"), ("train.py", "lr = 2\nprint(lr)\n")]);
        begun.params.insert("alpha".into(), serde_json::json!(0.3));
        begun.fingerprint.command[3] = "0.3".into();
        begun.fingerprint.variables.insert("OMP".into(), "1".into());
        begun.fingerprint.inputs.insert("clean".into(), Digest::of(b"other"));
        ended.metrics = BTreeMap::from([("mse".into(), 0.2), ("r2".into(), f64::NAN)]);
        ended.outputs.truncate(1);
    });
    let desk = workspace.desk();
    let text = |a: &str, b: &str| {
        difference::text(
            &diff::compare(&desk, &desk.run(a).unwrap(), &desk.run(b).unwrap()).unwrap(),
            Style::new(false),
        )
    };
    let was = Digest::of(b"clean").short();
    let is = Digest::of(b"other").short();
    let expected = format!(
        "\
a  aa00  train[alpha=0.1]  1970-01-01T00:00:01Z  Completed
b  bb00  train[alpha=0.1]  1970-01-01T00:00:01Z  Completed

code: 2 files
--- /dev/null
+++ b/train/new.py
@@ -0,0 +1 @@
+x
--- a/train/train.py
+++ b/train/train.py
@@ -1,2 +1,2 @@
-lr = 1
+lr = 2
 print(lr)

parameters
  alpha  0.1 -> 0.3

command
  command  train.py --alpha 0.1 -> train.py --alpha 0.3

variables
  OMP  added: 1

inputs
  data/clean.csv  {was} -> {is}

outputs
  metrics.json  removed: was {}

metrics
  mse  0.25 -> 0.2 (-0.05)
  r2   added: NaN
",
        Digest::of(b"{}").short()
    );
    assert_eq!(text("aa00", "bb00"), expected);
    assert!(
        text("aa00", "aa00")
            .ends_with("\nalike: code, parameters, command, environment, inputs, outputs and metrics\n")
    );
}

#[test]
fn outputs_are_put_back_and_what_was_in_the_way_is_kept() {
    let mut workspace = Workspace::new();
    workspace.run("aa00", |_, _, _| {});
    put(&workspace.path("models/m.pkl"), "by hand");
    let desk = workspace.desk();
    assert_eq!(restore::into_project(&desk, "aa00", &workspace.here).unwrap(), Exit::Done);
    assert_eq!((workspace.read("models/m.pkl"), workspace.read("metrics.json")), ("model".into(), "{}".into()));
    assert_eq!(workspace.read(".amlrun/aside/aa00/models/m.pkl"), "by hand");
    assert_eq!(fs::read_dir(workspace.path(".amlrun/work")).unwrap().count(), 0);
    assert_eq!(restore::into_project(&desk, "aa00", &workspace.here).unwrap(), Exit::Done);
    assert_eq!(fs::read_dir(workspace.path(".amlrun/aside")).unwrap().count(), 1);
}

#[test]
fn a_store_that_lacks_an_object_changes_nothing() {
    let mut workspace = Workspace::new();
    workspace.run("aa00", |_, _, ended| ended.outputs[1].digest = Digest::of(b"lost"));
    let (desk, to) = (workspace.desk(), workspace.path("copy"));
    let error = restore::into_project(&desk, "aa00", &workspace.here).unwrap_err();
    assert_eq!(error.exit, Exit::World);
    assert!(error.message.contains("`metrics.json` of run aa00 cannot be restored"), "{}", error.message);
    assert_eq!(restore::into_folder(&desk, "aa00", &to).unwrap_err().exit, Exit::World);
    let names: Vec<_> = fs::read_dir(workspace.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, [".amlrun"]);
}

#[test]
fn a_run_is_laid_out_in_a_new_folder() {
    let mut workspace = Workspace::new();
    workspace.run("aa00", |_, _, _| {});
    let (desk, to) = (workspace.desk(), workspace.path("deep/copy"));
    assert_eq!(restore::into_folder(&desk, "aa", &to).unwrap(), Exit::Done);
    assert_eq!(workspace.read("deep/copy/train/train.py"), "lr = 1\nprint(lr)\n");
    assert_eq!(workspace.read("deep/copy/train/outputs"), "plot");
    assert_eq!(workspace.read("deep/copy/models/m.pkl"), "model");
    assert_eq!(restore::into_folder(&desk, "aa", &to).unwrap_err().exit, Exit::Usage);
    assert_eq!(fs::read_dir(workspace.path("deep")).unwrap().count(), 1);
}

#[test]
fn metrics_are_rounded_for_people() {
    for (value, expected) in [
        (0.25, "0.25"),
        (3.0, "3"),
        (0.199_999_999_999, "0.2"),
        (3_003.141_592_653, "3003.14"),
        (-0.000_123_456_789, "-0.000123457"),
        (123_456_789_012.0, "123456789012"),
        (1.234_567_8e-9, "1.23457e-9"),
        (9.999_999_99e20, "1.00000e21"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        assert_eq!(record::number(value), expected, "{value}");
    }
}
