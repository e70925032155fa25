//! What amlrun costs beside the jobs it runs: start-up, a no-op, and N trivial jobs, against a floor and against ninja in the
//! same run.
//!
//! ```console
//! $ cargo bench --bench jobs             # 100 and 1,000 jobs
//! $ cargo bench --bench jobs -- 10000    # as many
//! ```
//!
//! The floor of a no-op is the start of a process that does nothing; that of N jobs is N times the start of the job's own
//! command, two at a time. The rounds of all rows are interleaved, so that a slow minute of the machine hits them all; what is
//! shown are medians of the ratios of each round, of wall time and of CPU time. ninja is left out where it is not installed.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark measures and prints"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 5;
const WIDTH: usize = 10;

struct Row {
    name: &'static str,
    before: Box<dyn Fn()>,
    run: Box<dyn Fn() -> (f64, f64)>,
}

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100, 1000] } else { sizes };
    compare(
        "--version",
        &[command("process", "true", &[]), amlrun(Path::new("/"), &["--version"]), ninja(&["--version"])],
    );
    for n in sizes {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_owned();
        project(&at, n);
        let forget = |at: &Path| {
            for name in ["out", ".amlrun", ".ninja_log", ".ninja_deps"] {
                let _ = std::fs::remove_dir_all(at.join(name));
                let _ = std::fs::remove_file(at.join(name));
            }
            std::fs::create_dir(at.join("out")).unwrap();
        };
        let first = |row: Option<Row>| {
            row.map(|row| {
                let at = at.clone();
                Row { before: Box::new(move || forget(&at)), ..row }
            })
        };
        let jobs = ["-j2", "-q"];
        let spawn = Row { name: "spawn", before: Box::new(|| ()), run: Box::new(move || floor(n)) };
        let at_project = |row: fn(&Path, &[&str]) -> Option<Row>, words: &[&str]| row(&at, words);
        compare(
            &format!("{n} jobs, all run"),
            &[Some(spawn), first(at_project(amlrun, &jobs)), first(at_project(ninja_at, &["-j2", "--quiet"]))],
        );
        // A no-op needs a project that is up to date for each tool.
        forget(&at);
        for row in [amlrun(&at, &jobs), ninja_at(&at, &["-j2", "--quiet"])].into_iter().flatten() {
            (row.run)();
        }
        // ninja wrote the outputs again: looks go on until they are old enough for their stamps to prove something.
        let began = Instant::now();
        while let (true, Some(row)) = (began.elapsed().as_millis() < 500, amlrun(&at, &jobs)) {
            (row.run)();
        }
        compare(
            &format!("{n} jobs, no-op"),
            &[command("process", "true", &[]), amlrun(&at, &jobs), ninja_at(&at, &["-j2", "--quiet"])],
        );
    }
}

/// Each job reads one output of the layer before and names a second, as real graphs do.
fn project(at: &Path, n: usize) {
    let mut amlfile = "format = 1\n\n".to_owned();
    let mut ninja = "rule r\n  command = $cmd\n".to_owned();
    for i in 0..n {
        let (row, column) = (i / WIDTH, i % WIDTH);
        let inputs = match row {
            0 => vec!["in".to_owned()],
            _ => [column, (column + 1) % WIDTH].iter().map(|c| format!("out/r{}_{c}", row - 1)).collect(),
        };
        let out = format!("out/r{row}_{column}");
        let text = format!("sh -c 'cat {} > {out}'", inputs[0]);
        let quoted: Vec<String> = inputs.iter().map(|input| format!("\"{input}\"")).collect();
        write!(
            amlfile,
            "[experiments.r{row}_{column}]\ncommand = \"{text}\"\nsources = []\ninputs = [{}]\noutputs = [\"{out}\"]\n\n",
            quoted.join(", ")
        )
        .unwrap();
        write!(ninja, "build {out}: r {}\n  cmd = {text}\n", inputs.join(" ")).unwrap();
    }
    for (name, text) in [("Amlfile", amlfile.as_str()), ("build.ninja", ninja.as_str()), ("in", "seed\n")] {
        std::fs::File::create(at.join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }
}

/// Starts the jobs' command so often, two at a time.
fn floor(n: usize) -> (f64, f64) {
    let began = Instant::now();
    let cpu: Vec<f64> = std::thread::scope(|scope| {
        let half = |count: usize| {
            scope.spawn(move || {
                (0..count).map(|_| measured(Command::new("sh").args(["-c", "cat /dev/null"])).1).sum::<f64>()
            })
        };
        [half(n / 2), half(n - n / 2)].into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (began.elapsed().as_secs_f64(), cpu.iter().sum())
}

fn amlrun(at: &Path, words: &[&str]) -> Option<Row> {
    let mut row = command("amlrun", env!("CARGO_BIN_EXE_amlrun"), words)?;
    let (at, words) = (at.to_owned(), words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
    row.run = Box::new(move || measured(Command::new(env!("CARGO_BIN_EXE_amlrun")).args(&words).current_dir(&at)));
    Some(row)
}

fn ninja(words: &[&str]) -> Option<Row> {
    command("ninja", "ninja", words)
}

fn ninja_at(at: &Path, words: &[&str]) -> Option<Row> {
    let mut row = ninja(words)?;
    let (at, words) = (at.to_owned(), words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
    row.run = Box::new(move || measured(Command::new("ninja").args(&words).current_dir(&at)));
    Some(row)
}

/// A row that runs a command; none where the program is not there.
fn command(name: &'static str, program: &'static str, words: &[&str]) -> Option<Row> {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    Some(Row { name, before: Box::new(|| ()), run: Box::new(move || measured(Command::new(program).args(&words))) })
}

/// Wall and CPU seconds of a command and all that it waited for.
fn measured(command: &mut Command) -> (f64, f64) {
    let began = Instant::now();
    #[expect(clippy::zombie_processes, reason = "`sys::wait` waits for it, and says what it used")]
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (status, used) = amlrun::sys::wait(&child).unwrap();
    assert!(status.success(), "{command:?} failed");
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a benchmark")]
    let cpu = used.cpu_ms as f64 / 1000.0;
    (began.elapsed().as_secs_f64(), cpu)
}

/// Interleaved rounds; the first row is what the others are compared with.
fn compare(title: &str, rows: &[Option<Row>]) {
    let rows: Vec<&Row> = rows.iter().flatten().collect();
    let mut seen: Vec<Vec<(f64, f64)>> = vec![Vec::new(); rows.len()];
    for _ in 0..ROUNDS {
        for (row, seen) in rows.iter().zip(&mut seen) {
            (row.before)();
            seen.push((row.run)());
        }
    }
    println!("\n{title}");
    println!("  {:10} {:>10} {:>8} {:>8}", "", "median s", "x wall", "x cpu");
    for (row, runs) in rows.iter().zip(&seen) {
        let wall = median(runs.iter().map(|run| run.0).collect());
        let ratio = |part: fn(&(f64, f64)) -> f64| {
            median(runs.iter().zip(&seen[0]).map(|(run, base)| part(run) / part(base).max(0.001)).collect())
        };
        println!("  {:10} {wall:>10.4} {:>8.2} {:>8.2}", row.name, ratio(|run| run.0), ratio(|run| run.1));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
