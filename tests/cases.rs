//! One folder under `tests/cases/` is one test: its `project/` (where there is one) is copied to an empty folder, the
//! `$ ` lines of its `case.md` are run there by `sh` (`> ` lines go on with the command), and what they print must be
//! what `case.md` says. A status other than 0 is printed as `? N`. Every command is a shell of its own: folders, files
//! and background jobs (`fixtures/bin/background`) last from one to the next, variables do not.
//!
//! `SNAPSHOTS=overwrite cargo test --test cases -- NAME` writes what they printed back into `case.md`.
//!
//! The folder is `$SANDBOX/project`; `$HOME` is `$SANDBOX/home`. A case that not every machine can run has a `needs.sh`:
//! where that fails, the case is skipped, and `skipped: CASE: WHY` with what it printed stands in the test's output
//! (`.ci/run` fails on such a line). One limit: a command may not print a line that starts with three backticks.
#![expect(clippy::disallowed_methods, reason = "the harness is where cases meet the machine")]
#![expect(clippy::print_stdout, reason = "a skipped case is told")]

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use snapbox::{Assert, Data, Redactions};

/// The longest that one command of a case may take; those that build an environment are the slowest.
const LIMIT: Duration = Duration::from_mins(3);

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let path = search_path();
    let mut files = Vec::new();
    find_cases(&root, &mut files);
    let trials = files
        .into_iter()
        .map(|file| {
            let name = file.parent().and_then(|p| p.strip_prefix(&root).ok()).map(|p| p.display().to_string());
            let (name, path) = (name.unwrap_or_default(), path.clone());
            Trial::test(name.clone(), move || Case::new(&name, &file, &path)?.run())
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// One case, in a sandbox that goes when it is done.
struct Case {
    name: String,
    file: PathBuf,
    path: String,
    sandbox: tempfile::TempDir,
}

impl Case {
    fn new(name: &str, file: &Path, path: &str) -> Result<Self, Failed> {
        // Not below target/: a sandbox inside this repository would live under its .gitignore.
        let sandbox = tempfile::Builder::new().prefix("amlrun-case-").tempdir()?;
        std::fs::create_dir(sandbox.path().join("home"))?;
        std::fs::create_dir(sandbox.path().join("project"))?;
        let from = file.with_file_name("project");
        if from.exists() {
            copy_tree(&from, &sandbox.path().join("project"))?;
        }
        Ok(Self { name: name.to_owned(), file: file.to_owned(), path: path.to_owned(), sandbox })
    }

    fn run(&self) -> Result<(), Failed> {
        let needs = self.file.with_file_name("needs.sh");
        if needs.exists() {
            let (text, status) = self.shell(&format!(". '{}'", needs.display()))?;
            if !status.success() {
                println!("skipped: {}: {}", self.name, text.trim().replace('\n', "; "));
                return Ok(());
            }
        }
        let expected = std::fs::read_to_string(&self.file)?;
        let said = self.replay(&expected);
        self.end_background_jobs();
        self.compare(said?)
    }

    /// The script again, with what each command printed in place of what it was expected to print.
    fn replay(&self, script: &str) -> Result<String, Failed> {
        let mut out = String::new();
        let mut lines = script.lines().peekable();
        let mut in_block = false;
        while let Some(line) = lines.next() {
            if line.starts_with("```") {
                in_block = line == "```console";
            } else if in_block && !line.starts_with("$ ") {
                continue;
            }
            out += line;
            out += "\n";
            let Some(first) = line.strip_prefix("$ ").filter(|_| in_block) else { continue };
            let mut command = first.to_owned();
            while let Some(more) = lines.next_if(|next| next.starts_with("> ")) {
                out += more;
                out += "\n";
                command += "\n";
                command += more.strip_prefix("> ").unwrap_or_default();
            }
            let (text, status) = self.shell(&command)?;
            let text = self.redacted(&text)?;
            out += &text;
            if !text.is_empty() && !text.ends_with('\n') {
                out += "\n";
            }
            match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
                (Some(0), _) => {}
                (Some(code), _) => writeln!(out, "? {code}")?,
                (None, signal) => writeln!(out, "? signal {}", signal.unwrap_or_default())?,
            }
        }
        Ok(out)
    }

    /// Runs one command: stdout and stderr in one pipe, in the order in which they were written.
    fn shell(&self, command: &str) -> Result<(String, ExitStatus), Failed> {
        let sandbox = self.sandbox.path();
        let (mut reader, writer) = std::io::pipe()?;
        let mut sh = Command::new("/bin/sh");
        sh.arg("-c").arg(command).current_dir(sandbox.join("project")).process_group(0).env_clear();
        for (name, value) in std::env::vars_os() {
            let wanted =
                ["PIP_", "UV_", "SSL_CERT_", "AMLRUN_TEST_"].iter().any(|p| name.to_string_lossy().starts_with(p));
            let proxy = name.to_string_lossy().to_lowercase().ends_with("_proxy");
            if wanted || proxy || name == "REQUESTS_CA_BUNDLE" {
                sh.env(&name, value);
            }
        }
        sh.env("SANDBOX", sandbox).env("HOME", sandbox.join("home")).env("PATH", &self.path);
        sh.env("NO_COLOR", "1").env("COLUMNS", "120").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        sh.env("GIT_AUTHOR_NAME", "Ada").env("GIT_AUTHOR_EMAIL", "ada@example.com");
        sh.env("GIT_COMMITTER_NAME", "Ada").env("GIT_COMMITTER_EMAIL", "ada@example.com");
        sh.env("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z").env("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z");
        sh.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "init.defaultBranch").env("GIT_CONFIG_VALUE_0", "main");
        sh.env("FIXTURES", Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"));
        sh.stdin(std::process::Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = sh.spawn()?;
        drop(sh); // and with it our ends of the pipe
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = reader.read_to_end(&mut bytes).map(|_| bytes);
            drop(send.send(read));
        });
        let Ok(bytes) = receive.recv_timeout(LIMIT) else {
            // The group is led by our own child, which was not waited for yet: its id is not anyone else's.
            if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                let _gone = kill_process_group(group, Signal::KILL);
            }
            self.end_background_jobs();
            drop(child.wait());
            return Err(format!("this took longer than {} s and was killed: {command}", LIMIT.as_secs()).into());
        };
        Ok((String::from_utf8_lossy(&bytes?).into_owned(), child.wait()?))
    }

    /// Kills what `background` started and nobody saw the end of.
    fn end_background_jobs(&self) {
        let Ok(entries) = std::fs::read_dir(self.sandbox.path()) else { return };
        for path in
            entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "pid"))
        {
            let id = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            if let Some(pid) = id.and_then(Pid::from_raw).filter(|_| !path.with_extension("exit").exists()) {
                let _gone = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// What a command printed, without what differs from run to run. The commands themselves are left alone.
    fn redacted(&self, text: &str) -> Result<String, Failed> {
        let mut redactions = Redactions::new();
        redactions.insert("[SANDBOX]", self.sandbox.path().canonicalize()?)?;
        for (placeholder, pattern) in REDACTED {
            redactions.insert(placeholder, regex::Regex::new(pattern)?)?;
        }
        Ok(redactions.redact(text))
    }

    fn compare(&self, said: String) -> Result<(), Failed> {
        Assert::new()
            .action_env("SNAPSHOTS")
            .normalize_paths(false) // a backslash in a command is a backslash
            .try_eq(Some(&self.file.display()), Data::text(said), Data::read_from(&self.file, None))
            .map_err(|e| Failed::from(e.to_string()))
    }
}

/// What differs from run to run and is no part of the behaviour.
const REDACTED: &[(&str, &str)] = &[
    ("[DIGEST]", r"\b(?<redacted>[0-9a-f]{64})\b"),
    ("[COMMIT]", r"\b(?<redacted>[0-9a-f]{40})\b"),
    ("[RUN]", r"\b(?<redacted>[0-9a-f]{32})\b"),
    ("[RUN]", r"\b(?<redacted>[0-9a-f]{8})\b"),
    ("[DIGEST]", r"\b(?<redacted>[0-9a-f]{12})\b"),
    ("[WHEN]", r"(?<redacted>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)"),
    ("[WHEN]", r"\b(?<redacted>1[0-9]{12})\b"),
    ("[N]", r#"_ms"?'?: ?(?<redacted>[0-9]+)"#),
    ("[TIME]", r"\b(?<redacted>(?:\d+ min )?\d+(?:\.\d+)? (?:ms|s))\b"),
];

/// amlrun as built, the helpers of `fixtures/bin`, the Python of this process (a version manager's shim would look for
/// its state below `$HOME`), then the system.
fn search_path() -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_amlrun")).parent().map(|p| p.display().to_string()).unwrap_or_default();
    let python = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let python = python.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
    let python = Path::new(&python).parent().map(|p| p.display().to_string()).unwrap_or_default();
    format!("{bin}:{}/fixtures/bin:{python}:/usr/local/bin:/usr/bin:/bin", env!("CARGO_MANIFEST_DIR"))
}

fn find_cases(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        match path.join("case.md") {
            case if case.exists() => found.push(case),
            _ => find_cases(&path, found),
        }
    }
    found.sort();
}

/// Modes and links come along.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            std::fs::create_dir(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
