//! The main job on a real project, in an environment that amlrun builds: fixtures/diabetes runs from nothing, is fresh
//! the second time, and runs again just what a change asks for. Needs Python 3 and, the first time, a package registry;
//! the environment is kept in `target/tmp` for the next time.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_fixture_runs_from_nothing_and_then_only_what_a_change_asks_for() {
    let folder = tempfile::Builder::new().prefix("amlrun-diabetes-").tempdir().unwrap();
    let project = folder.path().join("diabetes");
    copy(&fixture(), &project);

    says(&project, &[], "7 ran in ");
    let best: serde_json::Value = serde_json::from_str(&read(&project, "report/best.json")).unwrap();
    assert_eq!((&best["best"], &best["compared"]), (&"ridge-100.0".into(), &5.into()));
    let picture = std::fs::read(project.join("report/alphas.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"), "the report's drawing is no PNG");

    says(&project, &[], "up to date (7 jobs)");

    // One alpha: one training, and the evaluation that reads all of them.
    let amlfile = read(&project, "Amlfile");
    assert_eq!(amlfile.matches("300.0").count(), 2);
    std::fs::write(project.join("Amlfile"), amlfile.replace("300.0", "200.0")).unwrap();
    says(&project, &[], "2 ran, 5 fresh in ");
    let best: serde_json::Value = serde_json::from_str(&read(&project, "report/best.json")).unwrap();
    assert_eq!(best["compared"], 5, "the alpha that is gone is not among them");
    says(&project, &["status", "--exit-code"], "up to date (7 jobs)");

    // A README that no job reads.
    let readme = read(&project, "README.md");
    std::fs::write(project.join("README.md"), readme + "\n<!-- a comment -->\n").unwrap();
    says(&project, &[], "up to date (7 jobs)");

    // A comment in a script that a job does read, and results that a job made before.
    std::fs::remove_dir_all(project.join("report")).unwrap();
    says(&project, &[], "up to date (7 jobs, 1 restored)");
    let script = read(&project, "evaluate/evaluate.py");
    std::fs::write(project.join("evaluate/evaluate.py"), script + "# a comment\n").unwrap();
    says(&project, &["-n"], "1 would run, 6 fresh");
}

/// Runs amlrun in the project; it must end well and its last line must begin so.
fn says(project: &Path, arguments: &[&str], last: &str) {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
    command.args(arguments).current_dir(project).env("AMLRUN_CACHE_DIR", cache).env("NO_COLOR", "1");
    let done = command.stdin(std::process::Stdio::null()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "amlrun {arguments:?} ended with {}:\n{said}", done.status);
    let line = said.lines().last().unwrap_or_default();
    assert!(line.starts_with(last), "amlrun {arguments:?} should have ended with `{last}`:\n{said}");
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/diabetes")
}

fn read(project: &Path, path: &str) -> String {
    std::fs::read_to_string(project.join(path)).unwrap()
}

/// Without the state and the results of a run that somebody made in the fixture itself.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, made) = (entry.unwrap(), [".amlrun", "data", "models", "metrics", "report"]);
        let target = to.join(entry.file_name());
        if made.iter().any(|name| entry.file_name() == *name) {
        } else if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
