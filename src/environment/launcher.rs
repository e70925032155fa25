//! Launchers that stand for an interpreter (pyenv's shims): what they read to decide which one to start.
//!
//! A shim's own file says nothing about the version it leads to, so a record of its answer holds only while all that it
//! reads is the same. What it reads: <https://github.com/pyenv/pyenv#understanding-python-version-selection>.

use std::collections::BTreeMap;
use std::path::Path;

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

#[cfg(test)]
mod tests {
    use super::*;

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
