//! What every history must do, held against each of them.

use super::memory::MemoryHistory;
use super::sqlite::SqliteHistory;
use super::*;
use crate::content::{Content, Kind};
use crate::staleness::Reason;

pub(super) fn fingerprint(alpha: &str) -> Fingerprint {
    Fingerprint {
        format: crate::staleness::fingerprint::FORMAT,
        command: vec!["script".into(), "train.py".into()],
        params: BTreeMap::from([("alpha".into(), alpha.into())]),
        variables: BTreeMap::new(),
        framework: "python".into(),
        distributed: BTreeMap::new(),
        environment: None,
        sources: Digest::of(b"sources"),
        inputs: BTreeMap::from([("clean".into(), Digest::of(b"input"))]),
    }
}

pub(super) fn invocation(id: &str) -> Invocation {
    Invocation {
        id: id.into(),
        started: Timestamp(1_000),
        argv: vec!["amlrun".into(), "train".into()],
        version: "0.1.0".into(),
        host: "vm".into(),
        user: "ada".into(),
        properties: BTreeMap::from([("azureml.git.commit".into(), "0123".into())]),
    }
}

pub(super) fn begun(invocation: &str, run: &str, job: &str, alpha: &str) -> Begun {
    Begun {
        run: RunId(run.into()),
        invocation: invocation.into(),
        job: JobName(job.into()),
        experiment: job.split('[').next().unwrap().into(),
        target: "local".into(),
        environment: "sklearn".into(),
        started: Timestamp(2_000),
        attempt: 1,
        fingerprint: fingerprint(alpha),
        params: BTreeMap::from([("alpha".into(), serde_json::json!(0.1))]),
        tags: BTreeMap::from([("stage".into(), "dev".into())]),
        reasons: vec![Reason::NeverRan],
        inputs: BTreeMap::from([("clean".into(), "data/clean.csv".into())]),
        source_directory: RelPath::new("train").unwrap(),
    }
}

pub(super) fn output(path: &str, bytes: &[u8]) -> Recorded {
    let content = Content { kind: Kind::File, digest: Digest::of(bytes), size: bytes.len() as u64 };
    Recorded::new(RelPath::new(path).unwrap(), content)
}

pub(super) fn ended(run: &str, status: Status, outputs: Vec<Recorded>) -> Ended {
    Ended {
        run: RunId(run.into()),
        status,
        outcome: Outcome::Succeeded,
        ended: Timestamp(5_000),
        usage: Usage { cpu_ms: 12, peak_memory: 1 << 20 },
        outputs,
        kept: vec![output("plot.png", b"plot")],
        metrics: BTreeMap::from([("mse".into(), 0.25), ("worst".into(), f64::INFINITY)]),
        cached: status == Status::Completed,
        inputs_moved: false,
        notes: vec!["a note".into()],
        logged: None,
    }
}

fn start(begun: Begun) -> Entry {
    Entry::Begun(Box::new(begun))
}

fn end(ended: Ended) -> Entry {
    Entry::Ended(Box::new(ended))
}

/// Begins and ends a run of the invocation `i`.
pub(super) fn ran(
    history: &mut dyn History,
    run: &str,
    job: &str,
    alpha: &str,
    status: Status,
    outputs: Vec<Recorded>,
) {
    history.record(&[start(begun("i", run, job, alpha)), end(ended(run, status, outputs))]).unwrap();
}

/// Holds `check` against every implementation, each with the invocation `i` begun.
fn each(check: impl Fn(&mut dyn History)) {
    let mut memory = MemoryHistory::default();
    memory.begin(&invocation("i"), &|_| true).unwrap();
    check(&mut memory);

    let folder = tempfile::tempdir().unwrap();
    let mut sqlite = SqliteHistory::open(&folder.path().join("history.db"), true);
    sqlite.begin(&invocation("i"), &|_| true).unwrap();
    check(&mut sqlite);
    assert_eq!(sqlite.notes(), Vec::<String>::new());
}

fn name(job: &str) -> JobName {
    JobName(job.into())
}

fn past(history: &dyn History, job: &str, alpha: &str) -> Option<(String, Vec<Recorded>)> {
    let past = history.past(&[(name(job), fingerprint(alpha).digest())]).unwrap().remove(0);
    past.map(|past| (past.run.0, past.outputs))
}

#[test]
fn the_past_is_the_newest_reusable_run_of_a_fingerprint() {
    each(|history| {
        assert_eq!(past(history, "train", "0.1"), None);
        let (first, second) = (vec![output("m", b"1")], vec![output("m", b"2"), output("d/n", b"3")]);
        ran(history, "a1", "train", "0.1", Status::Completed, first.clone());
        ran(history, "a2", "train", "0.2", Status::Completed, second.clone());
        assert_eq!(
            past(history, "train", "0.1"),
            Some(("a1".into(), first)),
            "not the job's last, but its fingerprint's"
        );
        assert_eq!(past(history, "train", "0.2"), Some(("a2".into(), second.clone())));
        assert_eq!(past(history, "train", "0.3"), None);
        ran(history, "a3", "train", "0.1", Status::Completed, second.clone());
        assert_eq!(past(history, "train", "0.1"), Some(("a3".into(), second)), "the newest");
    });
}

#[test]
fn what_failed_moved_or_is_not_cached_has_no_past() {
    each(|history| {
        for (run, status) in [("a1", Status::Failed), ("a2", Status::Canceled), ("a3", Status::NotResponding)] {
            ran(history, run, "train", "0.1", status, vec![]);
        }
        let entry = |run: &str, change: &dyn Fn(&mut Ended)| {
            let mut it = ended(run, Status::Completed, vec![]);
            change(&mut it);
            [start(begun("i", run, "train", "0.1")), end(it)]
        };
        history.record(&entry("a4", &|it| it.cached = false)).unwrap();
        history.record(&entry("a5", &|it| it.inputs_moved = true)).unwrap();
        history.record(&entry("a6", &|it| (it.cached, it.status) = (true, Status::Failed))).unwrap();
        assert_eq!(past(history, "train", "0.1"), None);
        history.record(&[start(begun("i", "a7", "train", "0.1"))]).unwrap();
        assert_eq!(past(history, "train", "0.1"), None, "a run that goes on");
    });
}

#[test]
fn a_job_sees_its_own_runs_before_those_of_others() {
    each(|history| {
        ran(history, "a1", "one", "0.1", Status::Completed, vec![output("x", b"1")]);
        assert_eq!(past(history, "two", "0.1").unwrap().0, "a1", "of another job, where it has none");
        ran(history, "a2", "two", "0.1", Status::Completed, vec![output("y", b"1")]);
        assert_eq!(past(history, "one", "0.1").unwrap().0, "a1");
        assert_eq!(past(history, "two", "0.1").unwrap().0, "a2");
        ran(history, "a3", "one", "0.2", Status::Completed, vec![]);
        assert_eq!(past(history, "one", "0.1").unwrap().0, "a1", "not its last, but its own");
    });
}

/// So many jobs with a run each; those of every third are of another fingerprint than will be asked for.
fn fill(history: &mut dyn History, jobs: u32) -> Vec<(JobName, Digest)> {
    let mut batch = Vec::new();
    for n in 0..jobs {
        let alpha = if n % 3 == 0 { "old".to_owned() } else { n.to_string() };
        let (run, job) = (format!("{n:032x}"), format!("train[n={n}]"));
        batch.push(start(begun("i", &run, &job, &alpha)));
        batch.push(end(ended(&run, Status::Completed, vec![output(&format!("out/{n}"), b"x")])));
    }
    history.record(&batch).unwrap();
    (0..jobs).rev().map(|n| (name(&format!("train[n={n}]")), fingerprint(&n.to_string()).digest())).collect()
}

fn check_filled(history: &dyn History, wanted: &[(JobName, Digest)]) {
    let past = history.past(wanted).unwrap();
    for (n, past) in (0..wanted.len()).rev().zip(&past) {
        let run = past.as_ref().map(|past| past.run.0.clone());
        assert_eq!(run, (n % 3 != 0).then(|| format!("{n:032x}")), "{n}");
    }
    // Some asked twice, and unknown ones among them.
    let mut odd = wanted.to_vec();
    odd.splice(100..100, [(name("no such"), Digest::of(b"")), wanted[1].clone(), wanted[1].clone()]);
    let answers = history.past(&odd).unwrap();
    assert_eq!(answers.len(), odd.len());
    assert_eq!(answers[100], None);
    assert_eq!((&answers[101], &answers[102]), (&past[1], &past[1]));
}

#[test]
fn many_jobs_are_answered_in_the_order_asked() {
    each(|history| {
        let wanted = fill(history, 300);
        check_filled(history, &wanted);
        check_filled(history, &wanted[100..]);
    });
}

#[test]
fn ten_thousand_jobs_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let mut history = SqliteHistory::open(&path, true);
    let wanted = fill(&mut history, 10_000);
    drop(history);
    check_filled(&SqliteHistory::open(&path, false), &wanted);
}

#[test]
fn the_last_run_is_one_that_is_over() {
    each(|history| {
        assert!(history.last(&name("train")).unwrap().is_none());
        ran(history, "a1", "train", "0.1", Status::Completed, vec![]);
        let mut moved = ended("a2", Status::Failed, vec![]);
        moved.inputs_moved = true;
        history.record(&[start(begun("i", "a2", "train", "0.2")), end(moved)]).unwrap();
        history.record(&[start(begun("i", "a3", "train", "0.3"))]).unwrap();
        let last = history.last(&name("train")).unwrap().unwrap();
        assert_eq!((last.run.0.as_str(), last.status.as_str(), last.inputs_moved), ("a2", "Failed", true));
        assert_eq!(last.fingerprint, fingerprint("0.2"));
        assert!(history.last(&name("tra")).unwrap().is_none());
    });
}

#[test]
fn the_runs_of_dead_invocations_are_closed() {
    each(|history| {
        history.begin(&invocation("dead"), &|_| true).unwrap();
        history.begin(&invocation("alive"), &|_| true).unwrap();
        let batch = ["dead", "alive"].map(|of| start(begun(of, &format!("run-{of}"), "train", "0.1")));
        history.record(&batch).unwrap();
        history.begin(&Invocation { started: Timestamp(9_000), ..invocation("next") }, &|of| of == "alive").unwrap();
        let closed = history.run("run-dead").unwrap();
        assert_eq!(closed.status, Status::NotResponding);
        let end = closed.ended.unwrap();
        assert_eq!((end.ended, end.cached, end.notes.len()), (Timestamp(9_000), false, 1));
        assert_eq!(history.run("run-alive").unwrap().status, Status::Running);
        assert_eq!(history.last(&name("train")).unwrap().unwrap().status, "NotResponding");
        // It was alive after all: its end is what counts.
        history.record(&[self::end(ended("run-dead", Status::Completed, vec![]))]).unwrap();
        assert_eq!(history.run("run-dead").unwrap().status, Status::Completed);
    });
}

#[test]
fn keys_are_remembered() {
    each(|history| {
        let key = Key::of(BTreeMap::from([("python".into(), "CPython 3.11.7".into())]));
        assert_eq!(history.key(&key.digest).unwrap(), None);
        for _ in 0..2 {
            history.remember_key(&key).unwrap();
            assert_eq!(history.key(&key.digest).unwrap(), Some(key.clone()));
        }
    });
}

#[test]
fn a_run_comes_back_whole() {
    each(|history| {
        let (begun, ended) =
            (begun("i", "a1", "train[alpha=0.1]", "0.1"), ended("a1", Status::Completed, vec![output("m", b"1")]));
        history.record(&[start(begun.clone())]).unwrap();
        let open = history.run("a1").unwrap();
        assert!(open.ended.is_none() && open.status == Status::Running);
        history.record(&[end(ended.clone())]).unwrap();
        let run = history.run("a1").unwrap();
        assert_eq!(format!("{:?}", run.begun), format!("{begun:?}"));
        assert_eq!(format!("{:?}", run.ended), format!("{:?}", Some(ended)));
        assert_eq!(format!("{:?}", run.invocation), format!("{:?}", invocation("i")));
        assert_eq!(run.status, Status::Completed);
    });
}

#[test]
fn runs_are_listed_newest_first_and_narrowed() {
    each(|history| {
        ran(history, "a1", "prepare", "1", Status::Completed, vec![]);
        ran(history, "a2", "train[a=1]", "1", Status::Failed, vec![]);
        ran(history, "a3", "train[a=2]", "2", Status::Completed, vec![]);
        let check = |job: Option<&str>, status: Option<&str>, limit, expected: &[&str]| {
            let query = Query { job: job.map(Into::into), status: status.map(Into::into), limit };
            let found: Vec<String> = history.runs(&query).unwrap().into_iter().map(|run| run.begun.run.0).collect();
            assert_eq!(found, expected, "{query:?}");
        };
        check(None, None, None, &["a3", "a2", "a1"]);
        check(None, None, Some(2), &["a3", "a2"]);
        check(Some("train"), None, None, &["a3", "a2"]);
        check(Some("train[a=1]"), None, None, &["a2"]);
        check(None, Some("completed"), None, &["a3", "a1"]);
        check(Some("train"), Some("Completed"), Some(9), &["a3"]);
        check(Some("tra"), None, None, &[]);
    });
}

#[test]
fn a_run_is_named_by_prefix_or_by_job() {
    each(|history| {
        for (run, job) in [("abc1", "prepare"), ("abd2", "train[a=1]"), ("b003", "train[a=2]"), ("c004", "ab")] {
            ran(history, run, job, "1", Status::Completed, vec![]);
        }
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = history.run(text).map(|run| run.begun.run.0).map_err(|error| error.to_string());
            assert_eq!(found, expected.map(Into::into).map_err(Into::into), "{text}");
        };
        check("abc1", Ok("abc1"));
        check("ABC", Ok("abc1"));
        check("b", Ok("b003"));
        check("ab", Ok("c004"));
        check("train", Ok("b003"));
        check("train[a=1]", Ok("abd2"));
        check("a", Err("several runs begin with `a`: abc1 (prepare), abd2 (train[a=1])"));
        check("f", Err("no run begins with `f`, and no job has that name"));
        check("", Err("no run begins with ``, and no job has that name"));
        check("%", Err("no run begins with `%`, and no job has that name"));
    });
}

#[test]
fn models_are_registered_once_and_numbered_for_good() {
    use crate::logged::{Alias, Logged, Model, ModelTag};
    each(|history| {
        let model = |name: &str, path: &str, version| Model {
            name: name.into(),
            path: path.into(),
            tags: BTreeMap::from([("by".into(), "script".into())]),
            at: 7,
            version,
            content: Some(output(path, b"weights")),
        };
        let mut logged = Logged::default();
        logged.own.models = vec![model("net", "a", Some(3)), model("net", "a", None)];
        logged.own.aliases = vec![Alias { model: "net".into(), alias: "best".into(), version: Some(3) }];
        let tag = |tag: &str, value: Option<&str>| ModelTag {
            model: "net".into(),
            version: 3,
            tag: tag.into(),
            value: value.map(Into::into),
        };
        logged.own.model_tags = vec![tag("stage", Some("dev")), tag("by", None), tag("stage", Some("done"))];
        history.record(&[start(begun("i", "a1", "train", "0.1"))]).unwrap();
        let over = Ended { logged: Some(Box::new(logged)), ..ended("a1", Status::Completed, vec![]) };
        for _ in 0..2 {
            history.record(&[end(over.clone())]).unwrap();
        }
        let seen = |history: &dyn History| -> Vec<(u32, String, Vec<String>)> {
            let all = history.models().unwrap().into_iter();
            all.map(|it| (it.version, it.run.0, it.aliases.into_iter().collect())).collect()
        };
        assert_eq!(seen(history), [(3, "a1".into(), vec!["best".into()]), (4, "a1".into(), vec![])]);
        let first = history.models().unwrap().remove(0);
        assert_eq!((first.path.as_str(), first.registered), ("a", Timestamp(7)));
        assert_eq!(first.tags, BTreeMap::from([("stage".into(), "done".into())]));
        assert_eq!((first.content, first.job.as_str()), (Some(output("a", b"weights")), "train"));
        let run = begun("i", "a1", "train", "0.1");
        let by_hand = || models::by_hand("net", &run, output("b", b"x"), BTreeMap::new(), Timestamp(9));
        assert_eq!(history.register(&by_hand()).unwrap(), 5);
        history.change_model("net", 5, &models::Change::Alias("best".into())).unwrap();
        history.change_model("net", 5, &models::Change::Tags(BTreeMap::from([("k".into(), "v".into())]))).unwrap();
        assert_eq!(seen(history)[2], (5, "a1".into(), vec!["best".into()]));
        assert!(seen(history)[0].2.is_empty());
        assert_eq!(history.models().unwrap()[2].tags["k"], "v");
        history.change_model("net", 5, &models::Change::Remove).unwrap();
        assert_eq!(history.register(&by_hand()).unwrap(), 6, "a number is given once");
        assert!(seen(history).iter().all(|(_, _, aliases)| aliases.is_empty()));
        history.remove(&[RunId("a1".into())]).unwrap();
        assert_eq!(history.models().unwrap().len(), 3, "they outlive the record of their run");
    });
}
