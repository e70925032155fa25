//! Launchers that stand for an interpreter (pyenv's shims): what they read to decide which one to start.
//!
//! A shim's own file says nothing about the version it leads to, so a record of its answer holds only while all that it
//! reads is the same. What it reads: <https://github.com/pyenv/pyenv#understanding-python-version-selection>.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::stamp::Stamp;
use crate::digest::Digester;

/// A digest of all that a pyenv shim heeds when it is started in `cwd`; none where `found` is not a pyenv shim.
pub(super) fn reads(found: &Path, cwd: &Path, variables: &BTreeMap<String, String>) -> Option<String> {
    let shims = found.parent().filter(|folder| folder.ends_with("shims"))?;
    let home = shims.parent()?;
    let versions = Stamp::of(&home.join("versions"))?;
    let mut digester = Digester::new("amlrun pyenv 1");
    digester.field("versions", &format!("{versions:?}"));
    for name in ["PYENV_VERSION", "PYENV_DIR", "PYENV_ROOT", "PATH"] {
        digester.field(name, variables.get(name).map(String::as_str).unwrap_or_default());
    }
    let start = variables.get("PYENV_DIR").map_or(cwd, Path::new);
    let local = start.ancestors().map(|folder| folder.join(".python-version"));
    for file in local.chain([home.join("version")]) {
        let text = std::fs::read(&file).ok();
        digester.count(usize::from(text.is_some())).bytes(&text.unwrap_or_default());
    }
    Some(digester.finish().to_string())
}

/// The interpreters that a pyenv shim could start if another version were chosen, the newest first: what a version that
/// an Amlfile names is looked for in, where the chosen one is another.
pub(super) fn others(found: &Path) -> Vec<PathBuf> {
    let home = found.parent().filter(|folder| folder.ends_with("shims")).and_then(Path::parent);
    let (Some(home), Some(name)) = (home, found.file_name()) else { return Vec::new() };
    let entries = std::fs::read_dir(home.join("versions")).into_iter().flatten().flatten();
    let number = |name: &str| name.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>();
    let numbered = |entry: std::fs::DirEntry| Some((number(entry.file_name().to_str()?)?, entry.path()));
    let mut versions: Vec<(Vec<u32>, PathBuf)> = entries.filter_map(numbered).collect();
    versions.sort_unstable();
    let files = versions.into_iter().rev().map(|(_, folder)| folder.join("bin").join(name));
    files.filter(|file| file.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_the_other_versions_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["3.9.2", "3.9.18", "3.11.7", "system"] {
            std::fs::create_dir_all(at("versions").join(version).join("bin")).unwrap();
            let name = if version.starts_with("3.9") { "python3.9" } else { "python3.11" };
            std::fs::File::create(at("versions").join(version).join("bin").join(name)).unwrap();
        }
        let found = others(&at("shims/python3.9"));
        assert_eq!(found, [at("versions/3.9.18/bin/python3.9"), at("versions/3.9.2/bin/python3.9")]);
        assert_eq!(others(&at("bin/python3.9")), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_shim_rests_on_what_pyenv_reads() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["env/shims", "env/versions/3.11.7", "project/sub"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        let write = |name: &str, text: &str| {
            let mut file = std::fs::File::create(at(name)).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        };
        let look =
            |variables: &BTreeMap<String, String>| reads(&at("env/shims/python3"), &at("project/sub"), variables);
        let none = BTreeMap::new();
        assert_eq!(reads(Path::new("/usr/bin/python3"), folder.path(), &none), None);
        let mut seen = vec![look(&none).unwrap()];
        let mut changed = |now: String| {
            assert!(!seen.contains(&now));
            seen.push(now);
        };
        write("env/version", "3.11.7\n");
        changed(look(&none).unwrap());
        write("project/.python-version", "3.12\n");
        changed(look(&none).unwrap());
        changed(look(&BTreeMap::from([("PYENV_VERSION".to_owned(), "3.10".to_owned())])).unwrap());
        std::fs::create_dir(at("env/versions/3.12.1")).unwrap();
        changed(look(&none).unwrap());
        assert_eq!(look(&none), look(&none));
    }
}
