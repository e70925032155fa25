//! Finding the interpreter that an Amlfile asks for: by path, by name on PATH, by version, by uv.

use std::path::{Path, PathBuf};

use super::builder::Setup;
use super::probe::{self, Interpreter};
use super::tool::{Tool, for_installers};
use super::{EnvironmentError, launcher};

/// Every executable file of this name on PATH, in its order.
pub(super) fn on_path<'s>(setup: &'s Setup, name: &'s str) -> impl Iterator<Item = PathBuf> + 's {
    let path = setup.variables.get("PATH").map(String::as_str).unwrap_or_default();
    // A relative folder on PATH means one for each working directory: it is not looked into.
    let folders = path.split(':').map(Path::new).filter(|folder| folder.is_absolute());
    folders.map(move |folder| folder.join(name)).filter(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The places where a user-managed interpreter may be: the path as written (relative to the workspace, `~/` the user's
/// home), or all of its name on PATH.
pub(super) fn named(setup: &Setup, wanted: &str) -> Result<Vec<PathBuf>, EnvironmentError> {
    let missing = |tried: String| EnvironmentError::NoInterpreter { wanted: wanted.to_owned(), tried };
    if wanted.contains('/') {
        let home = setup.variables.get("HOME").map(Path::new);
        let path = match (wanted.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => setup.root.join(wanted),
        };
        if is_executable(&path) {
            return Ok(vec![path]);
        }
        return Err(missing(format!("`{}`, which is no executable file", path.display())));
    }
    let names = if wanted == "python3" { vec!["python3", "python"] } else { vec![wanted] };
    let found: Vec<PathBuf> = names.iter().flat_map(|name| on_path(setup, name)).collect();
    if found.is_empty() {
        return Err(missing(format!("{} on PATH", listed(&names))));
    }
    Ok(found)
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The base interpreter of a managed environment: `python3.11` on PATH, else `python3` or `python` of that version, else
/// what uv has installed. Without a version `python3`. Shims that lead nowhere are passed over.
pub(super) fn for_version(
    setup: &Setup,
    version: Option<&str>,
    uv: impl FnOnce() -> Option<PathBuf>,
    frozen: bool,
) -> Result<Interpreter, EnvironmentError> {
    let mut names = vec!["python3".to_owned(), "python".to_owned()];
    if let Some(version) = version {
        if version.is_empty() || !version.split('.').all(|part| part.parse::<u32>().is_ok()) {
            return Err(EnvironmentError::Unavailable(format!(
                "`python = \"{version}\"` is not a version like `3.11`"
            )));
        }
        let minor: Vec<&str> = version.split('.').take(2).collect();
        if minor.len() == 2 {
            names.insert(0, format!("python{}", minor.join(".")));
        }
    }
    let mut tried = Vec::new();
    for name in &names {
        let versions = |shim: &PathBuf| if name.contains('.') { launcher::others(shim) } else { Vec::new() };
        let places = on_path(setup, name).flat_map(|found| {
            let others = versions(&found);
            std::iter::once(found).chain(others)
        });
        for found in places {
            match probe::ask(setup, &found, frozen) {
                Some(it) if matches(&it.probe.version, version) => return Ok(it),
                Some(it) => tried.push(format!("`{}` is {}", found.display(), it.probe.version)),
                None => tried.push(format!("`{}` does not run as Python 3", found.display())),
            }
        }
    }
    if let (Some(version), Some(uv)) = (version, uv()) {
        match by_uv(setup, &uv, version, frozen) {
            Some(it) => return Ok(it),
            None => tried.push(format!("`uv python find {version}` finds none")),
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    tried.insert(0, format!("{} on PATH", listed(&names)));
    let wanted = version.map_or_else(|| "python3".to_owned(), |version| format!("python{version}"));
    Err(EnvironmentError::NoInterpreter { wanted, tried: tried.join("; ") })
}

/// Whether `3.11.7` is a `3.11` (or a `3`, a `3.11.7`), part by part; without a version any Python 3 is.
fn matches(is: &str, wanted: Option<&str>) -> bool {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let mut is = is.split([' ', '+']).next().unwrap_or_default().split('.').map(digits);
    wanted.unwrap_or("3").split('.').all(|part| is.next().as_deref() == Some(part))
}

/// Asks uv, which knows of interpreters that are not on PATH. It does not download one.
fn by_uv(setup: &Setup, uv: &Path, version: &str, frozen: bool) -> Option<Interpreter> {
    let find = Tool::new(uv, &for_installers(&setup.variables), &setup.root);
    let said = find.args(["python", "find", "--no-python-downloads", "--no-project", version]).capture().ok()?;
    let it = probe::ask(setup, Path::new(said.trim()), frozen)?;
    matches(&it.probe.version, Some(version)).then_some(it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_matched_part_by_part() {
        let check = |is: &str, wanted: Option<&str>, yes: bool| assert_eq!(matches(is, wanted), yes, "{is} {wanted:?}");
        check("3.11.7", None, true);
        check("3.11.7", Some("3"), true);
        check("3.11.7", Some("3.11"), true);
        check("3.11.7", Some("3.11.7"), true);
        check("3.11.7", Some("3.1"), false);
        check("3.1.7", Some("3.11"), false);
        check("3.11.70", Some("3.11.7"), false);
        check("2.7.18", None, false);
        check("3.13.0t", Some("3.13.0"), true);
        check("3.14.0rc1", Some("3.14"), true);
        check("3.10.13 (7.3.15)", Some("3.10.13"), true);
    }
}
