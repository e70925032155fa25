use super::*;
use crate::ids::{JobName, RunId};
use crate::relpath::RelPath;
use crate::staleness::{Repair, Verdict};

#[expect(clippy::unnecessary_wraps, reason = "the reasons hold optional values")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn list(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn run() -> RunId {
    RunId("1a2b3c4d5e6f708192a3b4c5d6e7f809".to_owned())
}

/// Every kind of reason: text and wire form. The wire form is public.
#[test]
#[expect(clippy::too_many_lines, reason = "one table, a line or three for each kind")]
fn every_reason_has_its_text_and_its_wire_form() {
    let check = |reason: Reason, text: &str, json: &str| {
        assert_eq!(phrase(&reason), text);
        assert_eq!(serde_json::to_string(&reason).unwrap(), json);
        assert_eq!(serde_json::from_str::<Reason>(json).unwrap(), reason);
    };
    let id = "1a2b3c4d5e6f708192a3b4c5d6e7f809";
    check(Reason::NeverRan, "never ran", r#"{"kind":"never-ran"}"#);
    check(Reason::Forced, "--force", r#"{"kind":"forced"}"#);
    check(Reason::NotCached, "cache = false", r#"{"kind":"not-cached"}"#);
    check(
        Reason::LastRunFailed { run: run(), status: "Failed".into() },
        "the last run failed (run 1a2b3c4d)",
        &format!(r#"{{"kind":"last-run-failed","run":"{id}","status":"Failed"}}"#),
    );
    check(
        Reason::LastRunFailed { run: run(), status: "Canceled".into() },
        "the last run ended as Canceled (run 1a2b3c4d)",
        &format!(r#"{{"kind":"last-run-failed","run":"{id}","status":"Canceled"}}"#),
    );
    check(
        Reason::InputsMoved { run: run() },
        "its sources or inputs changed while run 1a2b3c4d was going on",
        &format!(r#"{{"kind":"inputs-moved","run":"{id}"}}"#),
    );
    check(
        Reason::LastRunNotCached { run: run() },
        "the result of run 1a2b3c4d is not reused (`amlrun runs show 1a2b3c4d` says why)",
        &format!(r#"{{"kind":"last-run-not-cached","run":"{id}"}}"#),
    );
    check(
        Reason::CommandChanged { was: list(&["script", "a.py", "--x"]), is: list(&["script", "a.py", "--y"]) },
        "command: `--x` -> `--y`",
        r#"{"kind":"command-changed","was":["script","a.py","--x"],"is":["script","a.py","--y"]}"#,
    );
    check(
        Reason::ParamChanged { name: "alpha".into(), was: some("0.03"), is: some("0.1") },
        "alpha 0.03 -> 0.1",
        r#"{"kind":"param-changed","name":"alpha","was":"0.03","is":"0.1"}"#,
    );
    check(
        Reason::ParamChanged { name: "alpha".into(), was: None, is: some("") },
        "alpha added: \"\"",
        r#"{"kind":"param-changed","name":"alpha","was":null,"is":""}"#,
    );
    check(
        Reason::ParamChanged { name: "alpha".into(), was: some("1"), is: None },
        "alpha removed: was 1",
        r#"{"kind":"param-changed","name":"alpha","was":"1","is":null}"#,
    );
    check(
        Reason::VariableChanged { name: "OMP_NUM_THREADS".into(), was: some("1"), is: some("2") },
        "variable OMP_NUM_THREADS 1 -> 2",
        r#"{"kind":"variable-changed","name":"OMP_NUM_THREADS","was":"1","is":"2"}"#,
    );
    check(
        Reason::FrameworkChanged { was: "python".into(), is: "pyspark".into() },
        "framework python -> pyspark",
        r#"{"kind":"framework-changed","was":"python","is":"pyspark"}"#,
    );
    check(
        Reason::DistributedChanged { name: "processes".into(), was: some("2"), is: some("4") },
        "distributed processes 2 -> 4",
        r#"{"kind":"distributed-changed","name":"processes","was":"2","is":"4"}"#,
    );
    check(
        Reason::EnvironmentChanged { fact: "package scikit-learn".into(), was: some("1.7.1"), is: some("1.7.2") },
        "package scikit-learn 1.7.1 -> 1.7.2",
        r#"{"kind":"environment-changed","fact":"package scikit-learn","was":"1.7.1","is":"1.7.2"}"#,
    );
    check(
        Reason::EnvironmentChanged { fact: String::new(), was: some("0a1b"), is: None },
        "environment removed: was 0a1b",
        r#"{"kind":"environment-changed","fact":"","was":"0a1b","is":null}"#,
    );
    check(
        Reason::SourceChanged { path: path("train.py"), was: some("0a"), is: some("1b") },
        "train.py changed",
        r#"{"kind":"source-changed","path":"train.py","was":"0a","is":"1b"}"#,
    );
    check(
        Reason::SourceChanged { path: path("lib/new.py"), was: None, is: some("1b") },
        "lib/new.py added",
        r#"{"kind":"source-changed","path":"lib/new.py","was":null,"is":"1b"}"#,
    );
    check(
        Reason::SourceChanged { path: path("old.py"), was: some("0a"), is: None },
        "old.py removed",
        r#"{"kind":"source-changed","path":"old.py","was":"0a","is":null}"#,
    );
    check(
        Reason::SourceChanged { path: RelPath::root(), was: some("0a"), is: some("1b") },
        "sources changed",
        r#"{"kind":"source-changed","path":"","was":"0a","is":"1b"}"#,
    );
    check(
        Reason::InputChanged { name: "clean".into(), path: "data/clean.csv".into(), was: some("0a"), is: some("1b") },
        "input `clean`: data/clean.csv changed",
        r#"{"kind":"input-changed","name":"clean","path":"data/clean.csv","was":"0a","is":"1b"}"#,
    );
    check(
        Reason::InputChanged { name: "data/raw".into(), path: "data/raw".into(), was: some("0a"), is: some("1b") },
        "input data/raw changed",
        r#"{"kind":"input-changed","name":"data/raw","path":"data/raw","was":"0a","is":"1b"}"#,
    );
    check(
        Reason::InputChanged { name: "clean".into(), path: String::new(), was: None, is: some("1b") },
        "input `clean` added",
        r#"{"kind":"input-changed","name":"clean","path":"","was":null,"is":"1b"}"#,
    );
    check(Reason::MoreFiles { count: 12 }, "12 more files", r#"{"kind":"more-files","count":12}"#);
    check(
        Reason::OutputNotRecorded { path: path("m.pkl") },
        "output m.pkl was not recorded then",
        r#"{"kind":"output-not-recorded","path":"m.pkl"}"#,
    );
    check(
        Reason::OutputLost { path: path("m.pkl") },
        "output m.pkl is not as recorded, and not in the store",
        r#"{"kind":"output-lost","path":"m.pkl"}"#,
    );
    check(
        Reason::UpstreamMayChange { job: JobName("train[alpha=0.1]".into()) },
        "`train[alpha=0.1]` runs first",
        r#"{"kind":"upstream-may-change","job":"train[alpha=0.1]"}"#,
    );
    check(
        Reason::InputMissing { name: "raw".into(), path: "data/raw.csv".into() },
        "input `raw` is missing: data/raw.csv",
        r#"{"kind":"input-missing","name":"raw","path":"data/raw.csv"}"#,
    );
    check(
        Reason::InputMissing { name: "data/raw.csv".into(), path: "data/raw.csv".into() },
        "input data/raw.csv is missing",
        r#"{"kind":"input-missing","name":"data/raw.csv","path":"data/raw.csv"}"#,
    );
    check(
        Reason::EnvironmentNotLocked { environment: "sklearn".into() },
        "environment `sklearn` is not locked yet",
        r#"{"kind":"environment-not-locked","environment":"sklearn"}"#,
    );
    check(
        Reason::FormatChanged { was: 1, is: 2 },
        "fingerprint format 1 -> 2 (another version of amlrun)",
        r#"{"kind":"format-changed","was":1,"is":2}"#,
    );
}

#[test]
fn a_changed_command_tells_only_what_differs() {
    let check = |was: &[&str], is: &[&str], expected: &str| {
        assert_eq!(phrase(&Reason::CommandChanged { was: list(was), is: list(is) }), expected);
    };
    check(&["script", "a.py"], &["script", "a.py", "--fast"], "command: `--fast` added");
    check(&["script", "a.py", "--fast", "x"], &["script", "a.py", "x"], "command: `--fast` removed");
    check(&["shell", "cat a > b"], &["shell", "cat a c > b"], "command: `c` added");
    check(&["shell", "cat a"], &["shell", "cat  a"], "command changed");
    check(&["script", "a.py"], &["shell", "a.py"], "command changed");
    check(&["script", "a.py", "x y"], &["script", "a.py", "x", "y"], "command: `'x y'` -> `x y`");
}

#[test]
fn a_command_that_echoes_a_parameter_is_told_once() {
    let param = Reason::ParamChanged { name: "alpha".into(), was: some("0.03"), is: some("0.1") };
    let check = |was: &[&str], is: &[&str], expected: &str| {
        let reasons = [Reason::CommandChanged { was: list(was), is: list(is) }, param.clone()];
        assert_eq!(joined(&reasons, 5), expected);
    };
    check(&["script", "a.py", "--alpha", "0.03"], &["script", "a.py", "--alpha", "0.1"], "alpha 0.03 -> 0.1");
    check(&["script", "a.py", "m-0.03.pkl"], &["script", "a.py", "m-0.1.pkl"], "alpha 0.03 -> 0.1");
    check(&["shell", "x 0.03 0.03"], &["shell", "x 0.03 0.1"], "alpha 0.03 -> 0.1");
    check(
        &["script", "a.py", "0.03"],
        &["script", "b.py", "0.1"],
        "command: `a.py 0.03` -> `b.py 0.1`; alpha 0.03 -> 0.1",
    );
}

#[test]
fn many_reasons_are_cut() {
    let files = |n: usize| -> Vec<Reason> {
        (0..n).map(|i| Reason::SourceChanged { path: path(&format!("f{i}")), was: None, is: some("1") }).collect()
    };
    let check = |n: usize, expected: &str| assert_eq!(joined(&files(n), 2), expected);
    check(1, "f0 added");
    check(2, "f0 added; f1 added");
    check(3, "f0 added; f1 added; f2 added");
    check(4, "f0 added; f1 added; and 2 more");
}

#[test]
fn jobs_that_run_first_are_told_together() {
    let first = |names: &[&str]| -> Vec<Reason> {
        names.iter().map(|name| Reason::UpstreamMayChange { job: JobName((*name).into()) }).collect()
    };
    let check = |reasons: Vec<Reason>, expected: &str| assert_eq!(joined(&reasons, 2), expected);
    check(first(&["a"]), "`a` runs first");
    check(first(&["a", "b"]), "`a` and `b` run first");
    check(first(&["a", "b", "c"]), "`a` and 2 more run first");
    check([vec![Reason::NeverRan], first(&["a", "b", "c"])].concat(), "never ran");
}

#[test]
fn verdicts_read_in_one_line() {
    let check = |v: Verdict, expected: &str| assert_eq!(verdict(&v, 3), expected);
    let repair = |modified| Repair { path: path("m"), modified };
    check(Verdict::Fresh { since: run(), repairs: vec![] }, "fresh (run 1a2b3c4d)");
    check(
        Verdict::Fresh { since: run(), repairs: vec![repair(false), repair(false), repair(true)] },
        "fresh (run 1a2b3c4d); to restore: 2 outputs missing, 1 output modified",
    );
    check(Verdict::Stale { reasons: vec![Reason::NeverRan] }, "stale: never ran");
    check(
        Verdict::MayRun { reasons: vec![Reason::UpstreamMayChange { job: JobName("prepare".into()) }] },
        "may run: `prepare` runs first",
    );
}

#[test]
fn values_of_others_move_no_cursor() {
    let reason = Reason::ParamChanged { name: "a\x1b[2J".into(), was: some("\r"), is: some("x\ny") };
    assert_eq!(phrase(&reason), "a\\u{1b}[2J \\r -> x\\ny");
    let reason = Reason::CommandChanged { was: list(&["shell", "a"]), is: list(&["shell", "\x1b[31m"]) };
    assert!(!phrase(&reason).contains('\x1b'));
    assert_eq!(placed(&Reason::NeverRan, &|_| some("Amlfile:3")), "never ran (Amlfile:3)");
    assert_eq!(placed(&Reason::NeverRan, &nowhere), "never ran");
}
