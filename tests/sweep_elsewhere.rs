//! Trials on a host that is reached by ssh: what they log is followed there and judged here.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

mod engines;

use std::path::Path;

use engines::{Engine, Project, wait_for};

/// The first trial logs its 50 intervals at once, the other one stays at its tenth until it is ended.
const TUNE: &str = r#"
mkdir -p outputs
i=0
while [ $i -lt 50 ]; do
    LOG
    echo "$i" > outputs/checkpoint
    i=$((i + 1))
    if [ "$2" = 9 ] && [ $i = 10 ]; then
        echo here > "$PLACE"
        while :; do read -r _ < /dev/zero; done
    fi
done
echo "$2" > model.txt
"#;
/// How the second one stays.
const STAYS: &str = "while :; do read -r _ < /dev/zero; done";
const TO_FILE: &str = r#"[ $i = 0 ] && echo step,loss > loss.csv; echo "$i,$2" >> loss.csv"#;
const TO_RUN: &str =
    r#"echo "{\"metric\":\"loss\",\"value\":$2,\"step\":$i,\"at\":1}" >> "$AMLRUN_TRACKING/log.jsonl""#;
const STOPPED: &str = "9 at interval 10; bandit: needed 3, as the best is 1 (trial 0, slack_amount 2)";

/// A sweep of two trials, one after the other; a line each for how they log, and where the second says that it is there.
fn sweep(folder: &Path, engine: &Engine, log: &str, metrics: &str) -> Project {
    let project = Project::new(&folder.join("p"));
    project.write("tune.sh", &TUNE.replace("LOG", log));
    project.write(
        "Amlfile",
        &format!(
            "format = 1\n[targets.vm]\ntype = \"ssh\"\nhost = \"host\"\noptions = [\"-F\", \"{}\"]\ndirectory = \"{}\"\n\
             [environments.plain]\nuser_managed = true\nvariables = {{ PLACE = \"{}\" }}\n\
             [experiments.tune]\ntarget = \"vm\"\nenvironment = \"plain\"\nscript = \"tune.sh\"\noutputs = [\"model.txt\"]\n{metrics}\n\
             [experiments.tune.sweep]\nsampling = \"grid\"\nmetric = \"loss\"\ngoal = \"minimize\"\nmax_concurrent = 1\n\
             early_termination = {{ policy = \"bandit\", slack_amount = 2, evaluation_interval = 5, delay_evaluation = 10 }}\n\
             [experiments.tune.sweep.space]\nn = {{ choice = [1, 9] }}\n",
            engine.folder.join("ssh_config").display(),
            folder.join("far").display(),
            folder.join("here").display(),
        ),
    );
    project
}

/// Each trial's state, the number of its intervals, and why it was stopped.
fn trials(project: &Project) -> Vec<(String, usize, String)> {
    let shown = project.command(&["sweep", "show", "--json"]).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let trial = |trial: &serde_json::Value| {
        (text(&trial["state"]), trial["logged"].as_array().unwrap().len(), text(&trial["why"]))
    };
    shown["trials"].as_array().unwrap().iter().map(trial).collect()
}

fn ends_right(project: &Project) {
    let expected = [("completed".to_owned(), 50, String::new()), ("stopped".to_owned(), 10, STOPPED.to_owned())];
    assert_eq!(trials(project), expected);
    assert_eq!(project.read("model.txt").unwrap(), "1\n", "the best is published");
    let canceled = project.runs().into_iter().filter(|(_, status)| status == "Canceled").count();
    assert_eq!(canceled, 1);
    assert!(project.run(&[]).contains("up to date"));
    assert!(project.run(&["--target", "local"]).contains("up to date"), "the same key");
}

/// The trial that was stopped is on record with the policy's reason, and with what it was given the time to leave.
fn stopped_with(project: &Project, left: &str) {
    let runs = project.command(&["runs", "list", "--status", "Canceled", "--json"]).output().unwrap();
    let runs: serde_json::Value = serde_json::from_slice(&runs.stdout).unwrap();
    let stopped = runs[0]["run"].as_str().unwrap();
    assert!(project.run(&["runs", "show", stopped]).contains(STOPPED));
    assert!(project.run(&["runs", "files", stopped]).contains(left), "`{left}` is kept");
}

#[test]
fn a_trial_there_is_ended_by_what_its_metric_file_says() {
    let folder = tempfile::Builder::new().prefix("amlrun-w-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let project = sweep(folder.path(), &engine, TO_FILE, "metrics = [\"loss.csv\"]");
    let said = project.run(&[]);
    assert!(said.contains("1 trial stopped"), "{said}");
    ends_right(&project);
    stopped_with(&project, "checkpoint");
}

#[test]
fn a_trial_there_is_ended_by_what_it_logs_to_its_run() {
    let folder = tempfile::Builder::new().prefix("amlrun-w-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let project = sweep(folder.path(), &engine, TO_RUN, "");
    project.run(&[]);
    ends_right(&project);
}

#[test]
fn an_amlrun_that_was_killed_finds_the_trial_again_and_ends_it() {
    let folder = tempfile::Builder::new().prefix("amlrun-w-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let project = sweep(folder.path(), &engine, TO_FILE, "metrics = [\"loss.csv\"]");
    let mut first = project.command(&[]).spawn().unwrap();
    wait_for("the second trial", || folder.path().join("here").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    // Whether its policy had its say already or not: the trial is stopped, and on record once as that.
    project.run(&[]);
    let states: Vec<_> = trials(&project).into_iter().map(|(state, _, why)| (state, why)).collect();
    assert_eq!(states, [("completed".to_owned(), String::new()), ("stopped".to_owned(), STOPPED.to_owned())]);
    assert_eq!(project.read("model.txt").unwrap(), "1\n");
    assert!(project.run(&[]).contains("up to date"));
}

/// A script that saves its state and ends well when it is asked to end has not ended well: its policy stopped it.
#[test]
fn a_trial_that_ends_gracefully_when_its_policy_stops_it_is_no_success() {
    let folder = tempfile::Builder::new().prefix("amlrun-w-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let project = sweep(folder.path(), &engine, TO_FILE, "metrics = [\"loss.csv\"]");
    let script = project.read("tune.sh").unwrap();
    let graceful = "mkdir -p outputs\ntrap 'echo saved > outputs/saved; echo half > model.txt; exit 0' TERM";
    // A shell hears a signal while it waits for a process, not while it reads.
    let waits = "tail -f /dev/null & wait";
    let script = script.replacen("mkdir -p outputs", graceful, 1).replacen(STAYS, waits, 1);
    assert!(script.contains(graceful) && script.contains(waits), "{script}");
    project.write("tune.sh", &script);
    let said = project.run(&[]);
    assert!(said.contains("1 trial stopped"), "{said}");
    ends_right(&project);
    stopped_with(&project, "saved");
}
