//! What is installed for an interpreter: its distributions by name, read from the names of their folders.
//!
//! Read anew only when one of the folders changed: each is a [`Witness`], and so are the `.pth` files in them, which add
//! folders to the path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::editable;
use super::probe::Probe;
use super::stamp::Witness;
use crate::digest::Digest;

/// What is installed, as facts of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Installed {
    /// The folders and files that this was read from.
    pub(super) witnesses: Vec<Witness>,
    /// `package six` → `1.16.0`; `conda libblas` → `3.9.0-20_linux64_mkl`; `path` → the folders beside site-packages.
    pub(super) facts: BTreeMap<String, String>,
}

/// Reads all folders on an interpreter's path. `root` and `home` make the paths of other folders those of no machine.
pub(super) fn read(probe: &Probe, root: &Path, home: Option<&Path>) -> Installed {
    let mut installed = Installed::default();
    installed.witnesses.push(Witness::of(probe.prefix.join("pyvenv.cfg")));
    let mut others = Vec::new();
    for folder in &probe.path {
        installed.witnesses.push(Witness::of(folder));
        if !is_site(probe, folder) {
            let name = portable(folder, probe, root, home);
            if !folder.starts_with(&probe.prefix) && !folder.starts_with(&probe.base_prefix) && folder.is_dir() {
                let code = editable::code(folder, &mut installed.witnesses);
                installed.facts.insert(format!("code {name}"), code.short());
            }
            others.push(name);
        }
        for name in names(folder) {
            let path = folder.join(&name);
            if has_extension(&name, "pth") || has_extension(&name, "egg-link") {
                installed.witnesses.push(Witness::of(&path));
            } else if let Some((package, version)) = distribution(&path, &name, &mut installed.witnesses) {
                // The first on the path is the one that is imported.
                installed.facts.entry(format!("package {package}")).or_insert(version);
            }
        }
    }
    let conda = probe.prefix.join("conda-meta");
    if conda.is_dir() {
        installed.witnesses.push(Witness::of(&conda));
        for name in names(&conda) {
            if let Some((package, build)) = name.strip_suffix(".json").and_then(conda_package) {
                installed.facts.insert(format!("conda {package}"), build);
            }
        }
    }
    if !others.is_empty() {
        installed.facts.insert("path".to_owned(), others.join(":"));
    }
    installed
}

/// The names in a folder, sorted; none where it cannot be read. Names that are not UTF-8 are no distributions.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

pub(super) fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == extension)
}

/// Whether a folder is one where installers put packages.
fn is_site(probe: &Probe, folder: &Path) -> bool {
    let within = folder.starts_with(&probe.prefix) || folder.starts_with(&probe.base_prefix);
    let named = folder.ends_with("site-packages") || folder.ends_with("dist-packages");
    (within && named) || probe.user_site.as_deref() == Some(folder)
}

/// A folder's path without what is peculiar to this machine; one that lies nowhere known is its name and a digest.
fn portable(folder: &Path, probe: &Probe, root: &Path, home: Option<&Path>) -> String {
    let bases =
        [(Some(root), "."), (Some(&*probe.prefix), "<prefix>"), (Some(&*probe.base_prefix), "<base>"), (home, "~")];
    for (base, name) in bases {
        if let Some(rest) = base.and_then(|base| folder.strip_prefix(base).ok()) {
            return Path::new(name).join(rest).display().to_string();
        }
    }
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{name}#{}", Digest::of(folder.to_string_lossy().as_bytes()).short())
}

/// The name as the index compares it (PEP 503): lower case, runs of `-`, `_` and `.` as one `-`.
pub(super) fn normalized(name: &str) -> String {
    let mut clean = String::with_capacity(name.len());
    for c in name.trim().chars() {
        match c {
            '-' | '_' | '.' if clean.ends_with('-') => {}
            '-' | '_' | '.' => clean.push('-'),
            c => clean.push(c.to_ascii_lowercase()),
        }
    }
    clean
}

/// Name and version of a distribution by its `*.dist-info` or `*.egg-info`. One that was not installed from an index
/// (`direct_url.json`) may differ under the same version: then its `RECORD`, the digests of its files, counts too, and the
/// code that an editable one leads to.
fn distribution(path: &Path, name: &str, witnesses: &mut Vec<Witness>) -> Option<(String, String)> {
    let stem = name.strip_suffix(".dist-info").or_else(|| name.strip_suffix(".egg-info"))?;
    // `pip` renames what it is about to remove to `~ix-1.16.0.dist-info`.
    if stem.starts_with('~') {
        return None;
    }
    let stem =
        stem.rsplit_once("-py").filter(|(_, v)| v.starts_with(|c: char| c.is_ascii_digit())).map_or(stem, |(s, _)| s);
    let cut = stem.match_indices('-').find(|(at, _)| stem.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit));
    let (package, version) = match cut {
        Some((at, _)) => (stem.get(..at)?, stem.get(at + 1..)?.to_owned()),
        None => (stem, version_inside(path)),
    };
    let version = match std::fs::read_to_string(path.join("direct_url.json")) {
        Ok(direct) => format!("{version} ({})", directly(path, &direct, witnesses)),
        Err(_) => version,
    };
    Some((normalized(package), version))
}

/// The version of an `egg-info` whose name has none: that of its metadata.
fn version_inside(path: &Path) -> String {
    let files = [path.join("PKG-INFO"), path.join("METADATA"), path.to_owned()];
    let text = files.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let version = text.lines().find_map(|line| line.strip_prefix("Version:"));
    version.map_or_else(|| "unknown".to_owned(), |version| version.trim().to_owned())
}

/// How it was installed directly: the commit, or the digest of its record, and of its code where that is worked on. No
/// address: it may be one of this machine.
fn directly(path: &Path, direct: &str, witnesses: &mut Vec<Witness>) -> String {
    let direct: serde_json::Value = serde_json::from_str(direct).unwrap_or_default();
    let commit = direct.pointer("/vcs_info/commit_id").and_then(serde_json::Value::as_str);
    let editable = direct.pointer("/dir_info/editable").and_then(serde_json::Value::as_bool).unwrap_or(false);
    let record = std::fs::read_to_string(path.join("RECORD")).unwrap_or_default();
    // Only the package's own files: scripts in `bin` and what the installer noted name folders of this machine, and
    // compiled files have no digest in it.
    let own = |line: &&str| {
        let noted =
            line.contains(".dist-info/") && !line.contains("/METADATA,") && !line.contains("/entry_points.txt,");
        let elsewhere = line.starts_with("..") || (editable && line.contains("__editable__"));
        line.contains(",sha256=") && !elsewhere && !noted
    };
    let mut lines: Vec<&str> = record.lines().filter(own).collect();
    lines.sort_unstable();
    let record = Digest::of(lines.join("\n").as_bytes()).short();
    match (commit, editable) {
        (Some(commit), _) => format!("commit {commit}"),
        (None, true) => {
            let code = editable::origin(&direct).map(|origin| editable::code(&origin, witnesses).short());
            format!("editable, files {record}, code {}", code.unwrap_or_default())
        }
        (None, false) => format!("files {record}"),
    }
}

/// `numpy-1.26.0-py311h64a7726_0` → `numpy`, `1.26.0-py311h64a7726_0`.
fn conda_package(stem: &str) -> Option<(String, String)> {
    let (rest, build) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some((name.to_owned(), format!("{version}-{build}")))
}

/// The `bin` folder and the variables of a virtual or conda environment that an interpreter lies in.
pub(super) fn activation(probe: &Probe) -> (Vec<PathBuf>, BTreeMap<String, String>) {
    let variable = if probe.prefix.join("conda-meta").is_dir() {
        "CONDA_PREFIX"
    } else if probe.prefix != probe.base_prefix {
        "VIRTUAL_ENV"
    } else {
        return (Vec::new(), BTreeMap::new());
    };
    let prefix = probe.prefix.to_string_lossy().into_owned();
    (vec![probe.prefix.join("bin")], BTreeMap::from([(variable.to_owned(), prefix)]))
}
