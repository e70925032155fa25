//! `Amlfile.lock` as values: for every managed environment what it resolved to, for each Python and platform apart.

use std::collections::BTreeMap;

use crate::digest::{Digest, Digester};

/// The version of the file; a newer one is read by nobody and never rewritten.
pub(super) const VERSION: i64 = 1;

/// Which section: the same environment resolves to other packages under another Python or on another platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    /// The environment's name.
    pub(super) environment: String,
    /// `CPython 3.11`.
    pub(super) python: String,
    /// `linux-x86_64-gnu`.
    pub(super) platform: String,
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) sections: BTreeMap<Slot, Section>,
}

/// What one environment resolved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The digest of what was asked for: another one is resolved anew.
    pub asked: Digest,
    /// Sorted by name.
    pub packages: Vec<Package>,
}

/// One package of a section.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Normalised as PEP 503 has it.
    pub name: String,
    /// The exact version; `direct` for an address whose version is not known before it is built.
    pub version: String,
    /// Where it comes from, if not from an index: an address without credentials, or a path in the workspace (`./…`).
    pub source: Option<String>,
    /// `sha256:…` of every file that may be installed, sorted; none for a commit of a repository.
    pub hashes: Vec<String>,
}

impl Section {
    /// The section of an environment that asks for nothing.
    pub(super) fn empty(asked: Digest) -> Self {
        Self { asked, packages: Vec::new() }
    }

    /// A section in its one order.
    pub(super) fn new(asked: Digest, mut packages: Vec<Package>) -> Self {
        for package in &mut packages {
            package.hashes.sort_unstable();
            package.hashes.dedup();
        }
        packages.sort_unstable();
        packages.dedup();
        Self { asked, packages }
    }

    /// The digest of the packages, their hashes included; what was asked for does not count.
    pub(super) fn digest(&self) -> Digest {
        let mut digester = Digester::new("amlrun lock 1");
        digester.count(self.packages.len());
        for package in &self.packages {
            digester.field(&package.name, &package.version);
            digester.count(usize::from(package.source.is_some()));
            digester.bytes(package.source.as_deref().unwrap_or_default().as_bytes());
            digester.count(package.hashes.len());
            for hash in &package.hashes {
                digester.bytes(hash.as_bytes());
            }
        }
        digester.finish()
    }

    /// The facts that it adds to a key.
    pub(super) fn facts(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let lock = ("lock".to_owned(), self.digest().to_string());
        let packages =
            self.packages.iter().map(|package| (format!("package {}", package.name), package.version.clone()));
        packages.chain([lock])
    }

    /// As a requirements file that installs exactly this. `at` gives the address to use for one that is not from an
    /// index, so that credentials which the lock does not hold can be put back.
    pub(super) fn pinned(&self, at: impl Fn(&Package, &str) -> String) -> String {
        let mut text = String::new();
        for package in self.packages.iter().filter(|package| !package.hashes.is_empty()) {
            text.push_str(&requirement(package, &at));
            for hash in &package.hashes {
                text.push_str(" --hash=");
                text.push_str(hash);
            }
            text.push('\n');
        }
        text
    }

    /// Those that have no hashes, commits of repositories: installers refuse them among hashed ones.
    pub(super) fn unhashed(&self, at: impl Fn(&Package, &str) -> String) -> Vec<String> {
        self.packages.iter().filter(|p| p.hashes.is_empty()).map(|p| requirement(p, &at)).collect()
    }

    /// The versions as constraints for a new resolution, without the packages in `except`.
    pub(super) fn preferences(&self, except: &[String]) -> String {
        let kept = self.packages.iter().filter(|p| p.source.is_none() && !except.contains(&p.name));
        let lines: Vec<String> = kept.map(|p| format!("{}=={}", p.name, p.version)).collect();
        lines.join("\n")
    }
}

fn requirement(package: &Package, at: impl Fn(&Package, &str) -> String) -> String {
    match &package.source {
        Some(source) => format!("{} @ {}", package.name, at(package, source)),
        None => format!("{}=={}", package.name, package.version),
    }
}
