//! The store under torture: 300 seeds, each two processes at once that put, restore, clear, push or pull, in one project or
//! in two that share a cache, each killed at an instant picked from the seed, or not. After each the store is verified and
//! must be clean; every few seeds every recorded output is restored, byte for byte, without running anything again that is
//! on record.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

#[path = "engines/process.rs"]
mod process;
#[path = "engines/random.rs"]
mod random;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use process::{ended_within, pid};
use random::SplitMix64;

const SEEDS: u64 = 300;
/// After so many seeds everything is restored.
const EVERY: u64 = 10;

const AMLFILE: &str = r#"format = 1

[workspace]
cache = "../shared"

[experiments.small]
source_directory = "src"
script = "small.sh"
inputs = ["n.txt"]
outputs = ["out/small.txt"]

[experiments.folder]
sources = []
inputs = ["out/small.txt"]
outputs = ["out/folder"]
command = "mkdir -p out/folder/deep; for i in 1 2 3 4 5 6; do echo $i $(cat out/small.txt) > out/folder/deep/$i; done; ln -s deep/1 out/folder/link; chmod +x out/folder/deep/2"

[experiments.large]
sources = []
inputs = ["n.txt"]
outputs = ["out/large.bin"]
command = "head -c 1200000 /dev/zero | tr '\\0' $(cat n.txt) > out/large.bin"
"#;

/// What a process is told to do. The first is the likeliest, as in life.
const WORK: [&[&str]; 8] = [
    &["-q"],
    &["-q"],
    &["-q", "--force"],
    &["gc"],
    &["gc", "--keep-runs", "2"],
    &["cache", "push"],
    &["cache", "pull"],
    &["cache", "verify"],
];

#[test]
fn killed_and_crowded_the_store_stays_whole() {
    let place = tempfile::Builder::new().prefix("amlrun-torture-").tempdir().unwrap();
    let projects = ["a", "b"].map(|name| Project::new(place.path(), name));
    let began = Instant::now();
    projects[0].set(0);
    projects[0].must(&[]);
    let span = began.elapsed();
    projects[1].set(0);
    projects[1].must(&[]);
    let (mut kills, mut doings) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = SplitMix64(seed);
        let second = usize::from(random.below(3) == 0);
        let crowd = [&projects[0], &projects[second]];
        for project in &projects {
            // Few values, so that what was cleared away is wanted again.
            project.set(random.below(4));
            if random.below(3) == 0 {
                drop(fs::remove_dir_all(project.folder.join("out")));
            }
        }
        let mut going: Vec<(Child, Option<Duration>)> = Vec::new();
        for project in crowd {
            let pick = usize::try_from(random.below(WORK.len() as u64)).unwrap();
            let mut command = project.amlrun(WORK[pick]);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let span = u64::try_from(span.as_micros()).unwrap();
            // A quarter of the instants lie in the first tenth: that is where state is opened and mended.
            let reach = if random.below(4) == 0 { span / 10 } else { span };
            going.push((child, (random.below(4) > 0).then(|| Duration::from_micros(random.below(reach)))));
        }
        let started = Instant::now();
        going.sort_by_key(|(_, after)| after.unwrap_or(Duration::MAX));
        for (child, after) in &mut going {
            doings += 1;
            if let Some(after) = after
                && !ended_within(child, after.saturating_sub(started.elapsed()))
            {
                kill_process(pid(child), Signal::KILL).unwrap();
                kills += 1;
            }
            child.wait().unwrap();
        }
        for project in &projects[..=second] {
            project.verify(seed);
        }
        if seed % EVERY == EVERY - 1 {
            for project in &projects {
                project.check(seed);
            }
        }
    }
    println!("{kills} kills of {doings} processes in {SEEDS} seeds");
    assert!(kills > SEEDS / 4, "{kills} kills of {doings}: too few to prove anything");
}

struct Project {
    folder: PathBuf,
    home: PathBuf,
}

impl Project {
    fn new(place: &Path, name: &str) -> Self {
        let folder = place.join(name);
        fs::create_dir_all(folder.join("src/lib")).unwrap();
        fs::write(folder.join("Amlfile"), AMLFILE).unwrap();
        fs::write(folder.join("src/small.sh"), "cat ../n.txt > ../out/small.txt\n").unwrap();
        for i in 0..30 {
            fs::write(folder.join(format!("src/lib/{i}.py")), format!("# {i}\n")).unwrap();
        }
        Self { folder, home: place.to_owned() }
    }

    fn set(&self, n: u64) {
        fs::write(self.folder.join("n.txt"), format!("{n}\n")).unwrap();
    }

    fn amlrun(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
        command.args(arguments).current_dir(&self.folder).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &self.home);
        command
    }

    fn must(&self, arguments: &[&str]) -> Output {
        let done = self.amlrun(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(
            done.status.success(),
            "{arguments:?} in {} ended with {}:\n{said}",
            self.folder.display(),
            done.status
        );
        done
    }

    /// All that is there is right, and all that runs need which stay is there.
    fn verify(&self, seed: u64) {
        let said = self.must(&["cache", "verify", "--json", "--cache-mode", "off"]).stdout;
        let found: serde_json::Value = serde_json::from_slice(&said).unwrap();
        let clean =
            found["damaged"] == serde_json::json!([]) && found["lacked"] == 0 && found["lost"] == serde_json::json!([]);
        assert!(clean, "seed {seed}: {found:#}");
    }

    /// Whatever was recorded for the latest runs comes back from the store alone, and is right.
    fn check(&self, seed: u64) {
        drop(fs::remove_dir_all(self.folder.join("out")));
        for job in ["small", "folder", "large"] {
            let said = self.must(&["runs", "list", job, "--status", "Completed", "-n", "1", "--json"]).stdout;
            let runs: serde_json::Value = serde_json::from_slice(&said).unwrap();
            self.must(&["runs", "restore", runs[0]["run"].as_str().unwrap()]);
        }
        // An output of an older run, which was cleared away, may lie in the project and be fresh: this makes it the latest.
        self.must(&["--force", "--cache-mode", "off"]);
        let value = fs::read_to_string(self.folder.join("n.txt")).unwrap();
        drop(fs::remove_dir_all(self.folder.join("out")));
        let said = self.must(&["--cache-mode", "off"]).stderr;
        let said = String::from_utf8_lossy(&said);
        assert!(said.ends_with("up to date (3 jobs, 3 restored)\n"), "seed {seed}: {said}");
        let read = |path: &str| fs::read_to_string(self.folder.join("out").join(path)).unwrap();
        assert_eq!(read("small.txt"), value, "seed {seed}");
        for i in 1..=6 {
            assert_eq!(read(&format!("folder/deep/{i}")), format!("{i} {value}"), "seed {seed}");
        }
        assert_eq!(read("folder/link"), format!("1 {value}"), "seed {seed}");
        assert_eq!(read("large.bin"), value.trim().repeat(1_200_000), "seed {seed}");
    }
}
