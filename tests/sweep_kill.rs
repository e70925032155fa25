//! Killed at any instant, a sweep goes on where it was: 100 SIGKILLs, at instants picked from a seed, during a sweep of 60
//! trials. It ends with the same trials under the same numbers and the same best, and no trial that was on record as over
//! runs again.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may die, and it runs amlrun"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KILLS: usize = 100;
const TRIALS: usize = 60;
const SEED: u64 = 20_261_126;

const AMLFILE: &str = r#"format = 1

[environments.plain]
user_managed = true
variables = { LEDGER = "${env.LEDGER}" }

[experiments.tune]
environment = "plain"
command = '''echo "$AZUREML_PARAMETER_x" >> "$LEDGER"; test "$AZUREML_PARAMETER_n" != 3 || exit 1
echo "{\"loss\": $AZUREML_PARAMETER_x}" > m.json; cat start.txt > model.txt; echo "$AZUREML_PARAMETER_x" >> model.txt #'''
sources = []
inputs = ["start.txt"]
outputs = ["model.txt"]
metrics = ["m.json"]

[experiments.tune.sweep]
sampling = "random"
metric = "loss"
goal = "minimize"
max_trials = 60
space = { x = { uniform = [0, 1] }, n = { randint = 8 } }
"#;

#[test]
fn a_killed_sweep_goes_on_where_it_was() {
    let folder = tempfile::Builder::new().prefix("amlrun-sweep-kill-").tempdir().unwrap();
    let project = Project { folder: folder.path() };
    std::fs::create_dir(folder.path().join("project")).unwrap();
    project.write("Amlfile", AMLFILE);
    project.write("start.txt", "0\n");
    let began = Instant::now();
    project.run();
    let span = began.elapsed() / 2;
    let reference = project.trials();
    assert_eq!(reference.len(), TRIALS);
    let mut random = SplitMix64(SEED);
    let (mut kills, mut round, mut seen) = (0, 0, 0);
    while kills < KILLS {
        round += 1;
        project.write("start.txt", &format!("{round}\n"));
        std::fs::remove_file(folder.path().join("ledger")).unwrap();
        let mut over: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..4 {
            let after = Duration::from_micros(random.below(u64::try_from(span.as_micros()).unwrap()));
            kills += usize::from(project.kill_after(after));
            project.check_none_ran_again(&over, round);
            over = project.over(round);
            seen += over.len();
        }
        project.run();
        project.check_none_ran_again(&over, round);
        assert_eq!(project.trials(), reference, "the trials and the best of round {round}");
        let model = std::fs::read_to_string(folder.path().join("project/model.txt")).unwrap();
        let best = reference.iter().find(|trial| trial.is_best).unwrap();
        assert_eq!(model, format!("{round}\n{}\n", best.x), "what the best trial left, in round {round}");
    }
    assert!(seen > KILLS, "too few trials were over when a kill came: {seen}");
    println!(
        "{kills} kills in {round} rounds, {seen} trials were over at them, half a sweep takes {} ms",
        span.as_millis()
    );
}

/// A trial, but for what differs from round to round.
#[derive(Debug, PartialEq)]
struct Trial {
    number: u64,
    state: String,
    x: String,
    job: String,
    is_best: bool,
}

struct Project<'p> {
    folder: &'p Path,
}

impl Project<'_> {
    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.folder.join("project").join(path), text).unwrap();
    }

    fn amlrun(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
        command.args(arguments).current_dir(self.folder.join("project")).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", self.folder);
        command.env("LEDGER", self.folder.join("ledger")).stdin(Stdio::null());
        command
    }

    fn run(&self) {
        let done = self.amlrun(&["-j2"]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "a plain call after a kill ended with {}:\n{said}", done.status);
    }

    /// Whether it was killed: false where it had ended by then.
    fn kill_after(&self, after: Duration) -> bool {
        let mut child = self.amlrun(&["-q", "-j2"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + after;
        while Instant::now() < until {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "a call that was not killed failed");
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap().code().is_none()
    }

    fn show(&self) -> serde_json::Value {
        let said = self.amlrun(&["sweep", "show", "tune", "--json"]).output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    fn trials(&self) -> Vec<Trial> {
        let said = self.show();
        let best = said["best"]["number"].as_u64();
        let trials = said["trials"].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        trials
            .map(|trial| Trial {
                number: trial["number"].as_u64().unwrap(),
                state: text(&trial["state"]),
                x: trial["as_written"].as_array().unwrap().iter().find(|v| v[0] == "x").unwrap()[1]["float"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
                job: text(&trial["job"]),
                is_best: trial["number"].as_u64() == best,
            })
            .collect()
    }

    /// The trials of this round's sweep that are on record as over, and how often each ran.
    fn over(&self, round: u64) -> BTreeMap<String, usize> {
        let said = self.show();
        // Before the sweep of this round is on record, that of the one before is shown, which is complete.
        if said["state"] == "completed" && round_of(self.folder, &said) != Some(round) {
            return BTreeMap::new();
        }
        let ledger = self.ledger();
        let ran = self.trials().into_iter().filter(|trial| matches!(trial.state.as_str(), "completed" | "failed"));
        ran.map(|trial| (trial.x.clone(), ledger.get(&trial.x).copied().unwrap_or(0))).collect()
    }

    fn ledger(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in std::fs::read_to_string(self.folder.join("ledger")).unwrap_or_default().lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }

    fn check_none_ran_again(&self, over: &BTreeMap<String, usize>, round: u64) {
        let ledger = self.ledger();
        for (x, count) in over {
            let now = ledger.get(x).copied().unwrap_or(0);
            assert_eq!(now, *count, "the trial of x = {x} was over and ran again, in round {round}");
        }
    }
}

/// The round that a complete sweep was of: what its best trial left says so, once it is published.
fn round_of(folder: &Path, _: &serde_json::Value) -> Option<u64> {
    let model = std::fs::read_to_string(folder.join("project/model.txt")).ok()?;
    model.lines().next()?.parse().ok()
}

/// Steele, Lea and Flood: Fast splittable pseudorandom number generators (2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `limit`, which is not 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}
