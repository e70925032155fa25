//! Python packages for tests, in an environment of their own that is kept in `target/tmp` for the next time.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods, reason = "a test may die")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter of an environment with these packages; none, with a line that says why, where they cannot be had.
pub(crate) fn with(name: &str, packages: &[&str]) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
    let python = folder.join("bin/python");
    std::fs::create_dir_all(&folder).unwrap();
    // Tests of one binary run at the same time, and so may two binaries.
    let lock = std::fs::File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let stamp = folder.join("packages");
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == packages.join("\n")) {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).output();
    let failed = match made {
        Ok(done) if done.status.success() => {
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
            pip.output().map(|done| (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned()))
        }
        Ok(done) => Ok((false, String::from_utf8_lossy(&done.stderr).into_owned())),
        Err(error) => Err(error),
    };
    match failed {
        Ok((true, _)) => {
            std::fs::write(stamp, packages.join("\n")).unwrap();
            Some(python)
        }
        Ok((false, why)) => {
            eprintln!("skipped: {} could not be installed: {why}", packages.join(" "));
            None
        }
        Err(error) => {
            eprintln!("skipped: python3 could not be started: {error}");
            None
        }
    }
}
