use super::*;
use crate::relpath::RelPath;
use crate::staleness::Repair;

fn run() -> RunId {
    RunId("1a2b3c4d000000000000000000000000".into())
}

fn states() -> Vec<State> {
    let places = |reason: &Reason| matches!(reason, Reason::ParamChanged { .. }).then(|| "Amlfile:12".to_owned());
    let last = LastRun { run: run(), status: "Completed".into(), started: Timestamp(0), elapsed_ms: Some(1234) };
    let command = |alpha: &str| ["script", "a.py", "--alpha", alpha].map(str::to_owned).to_vec();
    let repair = |path: &str, modified| Repair { path: RelPath::new(path).unwrap(), modified };
    vec![
        State::new(
            JobName("prepare".into()),
            Verdict::Fresh { since: run(), repairs: vec![] },
            Some(last.clone()),
            &places,
        ),
        State::new(
            JobName("train".into()),
            Verdict::Stale {
                reasons: vec![
                    Reason::CommandChanged { was: command("0.03"), is: command("0.1") },
                    Reason::ParamChanged { name: "alpha".into(), was: Some("0.03".into()), is: Some("0.1".into()) },
                ],
            },
            Some(last),
            &places,
        ),
        State::new(
            JobName("evaluate".into()),
            Verdict::MayRun { reasons: vec![Reason::UpstreamMayChange { job: JobName("train".into()) }] },
            None,
            &places,
        ),
        State::new(
            JobName("report".into()),
            Verdict::Fresh { since: run(), repairs: vec![repair("r.html", true), repair("s.html", false)] },
            None,
            &places,
        ),
    ]
}

#[test]
fn status_is_a_row_per_job_and_counts() {
    let expected = "\
JOB       STATE       LAST RUN            WHY
prepare   fresh       1a2b3c4d Completed
train     stale       1a2b3c4d Completed  alpha 0.03 -> 0.1
evaluate  may run     -                   `train` runs first
report    to restore  -                   r.html was edited by hand; s.html is missing
1 stale, 1 may run, 1 to restore, 1 fresh
";
    assert_eq!(status_table(&states(), Style::default(), None, false), expected);
    let one = &states()[..1];
    assert!(status_table(one, Style::default(), None, false).ends_with("up to date (1 job)\n"));
}

#[test]
fn why_tells_every_reason() {
    let check = |n: usize, expected: &str| assert_eq!(why_text(&states()[n], Style::default()), expected);
    check(
        0,
        "prepare is fresh: nothing that its result depends on changed since run 1a2b3c4d\n  \
         last run: 1a2b3c4d Completed, 1970-01-01T00:00:00Z, took 1.2 s\n",
    );
    check(
        1,
        "train is stale:\n  command: `0.03` -> `0.1`\n    was: a.py --alpha 0.03\n    is:  a.py --alpha 0.1\n  \
         alpha 0.03 -> 0.1 (Amlfile:12)\n  last run: 1a2b3c4d Completed, 1970-01-01T00:00:00Z, took 1.2 s\n",
    );
    check(2, "evaluate is perhaps stale:\n  `train` runs first\n");
    check(
        3,
        "report is fresh: nothing that its result depends on changed since run 1a2b3c4d\n  \
         output r.html was edited by hand; it will be set aside and restored\n  \
         output s.html is missing; it will be restored\n",
    );
}

#[test]
fn text_and_json_tell_the_same() {
    let value: Value = serde_json::from_str(&states_json(&states(), &[])).unwrap();
    assert_eq!(value["stale"], 1);
    assert_eq!(
        value["jobs"][1],
        json!({
            "job": "train",
            "verdict": "stale",
            "reasons": [
                {
                    "kind": "command-changed", "was": ["script", "a.py", "--alpha", "0.03"],
                    "is": ["script", "a.py", "--alpha", "0.1"], "text": "command: `0.03` -> `0.1`",
                },
                {
                    "kind": "param-changed", "name": "alpha", "was": "0.03", "is": "0.1",
                    "text": "alpha 0.03 -> 0.1", "place": "Amlfile:12",
                },
            ],
            "last": {"run": run().0, "status": "Completed", "started": 0, "elapsed_ms": 1234},
        })
    );
    assert_eq!(value["jobs"][3]["repairs"][0], json!({"path": "r.html", "modified": true}));
    assert_eq!(value["jobs"][3]["since"], run().0);
    for (state, shown) in states().iter().zip(value["jobs"].as_array().unwrap()) {
        for reason in shown["reasons"].as_array().unwrap() {
            assert!(why_text(state, Style::default()).contains(reason["text"].as_str().unwrap()));
        }
    }
}
