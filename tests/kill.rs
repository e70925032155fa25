//! Killed at any instant, amlrun wedges nothing and loses nothing: 200 SIGKILLs, at instants picked from a seed, during
//! a project of 30 short jobs that feed each other. After each, one plain call completes; every output is right; no job
//! that was on record as completed runs again.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may die, and it runs amlrun"
)]

#[path = "engines/process.rs"]
mod process;
#[path = "engines/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use process::{ended_within, pid};
use random::SplitMix64;

const KILLS: usize = 200;
const LAYERS: usize = 6;
const WIDTH: usize = 5;
const SEED: u64 = 20_261_123;
/// The values stay small enough for the arithmetic of every shell.
const MODULUS: u64 = 1_000_003;

#[test]
fn killed_at_any_instant() {
    let folder = tempfile::Builder::new().prefix("amlrun-kill-").tempdir().unwrap();
    let mut random = SplitMix64(SEED);
    let project = Project::new(folder.path(), &mut random);
    let span = project.measure();
    let (mut kills, mut round) = (0, 0);
    while kills < KILLS {
        round += 1;
        project.write("start.txt", &format!("{round}\n"));
        // Mostly one kill and then a whole run; now and then a kill on top of a kill.
        let in_a_row = 1 + usize::from(random.below(4) == 0) + usize::from(random.below(8) == 0);
        let before = project.completed().iter().map(|run| text(&run["run"]).to_owned()).collect();
        let mut recorded = BTreeMap::new();
        for _ in 0..in_a_row {
            // A quarter of the instants lie in the first tenth: that is where state is opened and mended.
            let reach = if random.below(4) == 0 { span / 10 } else { span };
            let after = Duration::from_micros(random.below(u64::try_from(reach.as_micros()).unwrap()));
            kills += usize::from(project.kill_after(after));
            project.check_none_ran_again(&recorded, round);
            recorded = project.recorded(&before);
        }
        project.run();
        project.check_outputs(round);
        project.check_none_ran_again(&recorded, round);
    }
    println!("{kills} kills in {round} rounds, a whole run takes {} ms", span.as_millis());
}

/// How often each job had run when it was seen on record as completed.
type Recorded = BTreeMap<String, usize>;

struct Job {
    name: String,
    /// Indices of the jobs of the layer before.
    needs: [usize; 2],
    /// Whether its output is a folder.
    folder: bool,
}

impl Job {
    /// Where the value lies.
    fn value(&self) -> String {
        if self.folder { format!("out/{}/value", self.name) } else { format!("out/{}", self.name) }
    }
}

struct Project<'p> {
    folder: &'p Path,
    jobs: Vec<Job>,
}

impl<'p> Project<'p> {
    fn new(folder: &'p Path, random: &mut SplitMix64) -> Self {
        let mut pick = |layer: usize| (layer - 1) * WIDTH + usize::try_from(random.below(WIDTH as u64)).unwrap();
        let jobs = (0..LAYERS * WIDTH)
            .map(|i| Job {
                name: format!("job-{i}"),
                needs: if i < WIDTH { [i, i] } else { [pick(i / WIDTH), pick(i / WIDTH)] },
                folder: i % 3 == 0,
            })
            .collect();
        let project = Self { folder, jobs };
        std::fs::create_dir(folder.join("project")).unwrap();
        project.write("Amlfile", &project.amlfile());
        project
    }

    fn amlfile(&self) -> String {
        let mut text = "format = 1\n\n[environments.plain]\nuser_managed = true\n".to_owned();
        text += "variables = { LEDGER = \"${env.LEDGER}\" }\n\n[workspace]\ndefault_environment = \"plain\"\n";
        for (i, job) in self.jobs.iter().enumerate() {
            let [a, b] = job.needs.map(|need| &self.jobs[need]);
            let (a, b) = if i < WIDTH { ("start.txt".into(), "start.txt".into()) } else { (a.value(), b.value()) };
            let into = if job.folder { format!("mkdir out/{}; ", job.name) } else { String::new() };
            let also = if job.folder { format!("; cp {} out/{}/copy", job.value(), job.name) } else { String::new() };
            write!(
                text,
                "\n[experiments.{name}]\nsources = []\ninputs = [{inputs}]\noutputs = [\"out/{name}\"]\ncommand = '''\n\
                 echo {name} >> \"$LEDGER\"; mkdir -p out; {into}\
                 echo $(( ($(cat {a}) * 31 + $(cat {b}) + {i}) % {MODULUS} )) > {to}{also}'''\n",
                name = job.name,
                inputs = if a == b { format!("\"{a}\"") } else { format!("\"{a}\", \"{b}\"") },
                to = job.value(),
            )
            .unwrap();
        }
        text
    }

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

    /// How long a whole run takes on this machine, now.
    fn measure(&self) -> Duration {
        self.write("start.txt", "0\n");
        let began = Instant::now();
        self.run();
        self.check_outputs(0);
        began.elapsed()
    }

    /// One plain call, which must complete.
    fn run(&self) {
        let done = self.amlrun(&[]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "a plain call after a kill ended with {}:\n{said}", done.status);
    }

    /// Whether it was killed: false where it had ended by then.
    fn kill_after(&self, after: Duration) -> bool {
        let mut child = self.amlrun(&["-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if ended_within(&child, after) {
            assert!(child.wait().unwrap().success(), "a call that was not killed failed");
            return false;
        }
        kill_process(pid(&child), Signal::KILL).unwrap();
        child.wait().unwrap().code().is_none()
    }

    fn ledger(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in std::fs::read_to_string(self.folder.join("ledger")).unwrap_or_default().lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }

    /// The jobs that are on record as completed in this round, with how often they ran: those whose run was not on
    /// record before the round, and those that `status` calls fresh.
    fn recorded(&self, before: &BTreeSet<String>) -> Recorded {
        let ledger = self.ledger();
        let status = self.json(&["status", "--json"]);
        let fresh = status["jobs"].as_array().unwrap().iter().filter(|job| job["verdict"] == "fresh").cloned();
        let completed = self.completed().into_iter().filter(|run| !before.contains(text(&run["run"])));
        let names = fresh.chain(completed).map(|job| text(&job["job"]).to_owned());
        names.map(|name| (name.clone(), ledger.get(&name).copied().unwrap_or(0))).collect()
    }

    /// The newest runs on record as completed: more than one round makes.
    fn completed(&self) -> Vec<serde_json::Value> {
        let said = self.json(&["runs", "list", "--json", "-n", "200"]);
        let runs = said.as_array().cloned().unwrap_or_default();
        runs.into_iter().filter(|run| run["status"] == "Completed").collect()
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let said = self.amlrun(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}"))
    }

    fn check_none_ran_again(&self, recorded: &Recorded, round: u64) {
        let ledger = self.ledger();
        for (name, count) in recorded {
            let now = ledger.get(name).copied().unwrap_or(0);
            assert_eq!(now, *count, "{name} was on record as completed and ran again, in round {round}");
        }
    }

    fn check_outputs(&self, start: u64) {
        let mut values: Vec<u64> = Vec::new();
        for (i, job) in self.jobs.iter().enumerate() {
            let [a, b] = if i < WIDTH { [start, start] } else { job.needs.map(|need| values[need]) };
            let value = (a * 31 + b + i as u64) % MODULUS;
            let read = |path: &str| {
                let text = std::fs::read_to_string(self.folder.join("project").join(path));
                text.unwrap_or_else(|e| panic!("{path} in round {start}: {e}"))
            };
            assert_eq!(read(&job.value()), format!("{value}\n"), "{} in round {start}", job.value());
            if job.folder {
                assert_eq!(read(&format!("out/{}/copy", job.name)), format!("{value}\n"), "in round {start}");
            }
            values.push(value);
        }
    }
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap()
}
