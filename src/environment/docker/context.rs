//! The files that an image is built from: those that its Dockerfile copies, without what `.dockerignore` leaves out.
//!
//! `.git` and `.amlrun` are never among them: they change with every commit and every run. Patterns are those of
//! <https://docs.docker.com/build/concepts/context/#dockerignore-files>: relative to the context, the last one that fits
//! decides, and what fits a folder fits all that is in it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::dockerfile::{self, Taken};
use super::folder;
use crate::digest::{Digest, Digester};
use crate::environment::EnvironmentError;
use crate::environment::builder::Setup;
use crate::project::model::Docker;

/// What is never sent.
const NEVER: [&str; 2] = [".git", ".amlrun"];
/// The name that the Dockerfile has in what is sent; no file of a project has it.
const DOCKERFILE: &str = ".amlrun-dockerfile";

/// Something in the context: its path below it, and where it is.
#[derive(Debug)]
pub(super) struct Found {
    path: PathBuf,
    place: PathBuf,
}

/// A pattern, and whether what fits it is meant (or, with `!`, is not).
#[derive(Debug)]
struct Rule {
    glob: GlobMatcher,
    fits: bool,
}

impl Rule {
    fn new(pattern: &str, fits: bool) -> Option<Self> {
        let pattern = pattern.trim_start_matches("./").trim_matches('/');
        let pattern = if pattern.is_empty() || pattern == "." { "**" } else { pattern };
        let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build().ok()?;
        Some(Self { glob: glob.compile_matcher(), fits })
    }
}

/// What the last rule that fits a path, or a folder that it is in, says of it.
fn decided(rules: &[Rule], path: &Path) -> bool {
    let fits = |rule: &&Rule| path.ancestors().filter(|at| !at.as_os_str().is_empty()).any(|at| rule.glob.is_match(at));
    rules.iter().rev().find(fits).is_some_and(|rule| rule.fits)
}

/// The files and links that are sent, sorted by path.
pub(super) fn files(setup: &Setup, docker: &Docker) -> Result<Vec<Found>, EnvironmentError> {
    let root = folder(setup, docker);
    let taken = match dockerfile::taken(&dockerfile::text(setup, docker)?) {
        Taken::All => vec![".".to_owned()],
        Taken::Named(named) => named,
    };
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    // A pattern that is none is taken for everything: more is hashed than need be.
    let rule = |pattern: &String| Rule::new(pattern, true).or_else(|| Rule::new(".", true));
    let taken: Vec<Rule> = taken.iter().filter_map(rule).collect();
    let ignored = ignored(&dockerfile::path(setup, docker), &root)?;
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(at) = open.pop() {
        let place = root.join(&at);
        let fault = |source| EnvironmentError::Io { doing: "read", path: place.clone(), source };
        for entry in fs::read_dir(&place).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let name = entry.file_name();
            if NEVER.iter().any(|never| name == *never) {
                continue;
            }
            let path = at.join(&name);
            let kind = entry.file_type().map_err(fault)?;
            if kind.is_dir() {
                open.push(path);
            } else if (kind.is_file() || kind.is_symlink()) && decided(&taken, &path) && !decided(&ignored, &path) {
                found.push(Found { place: entry.path(), path });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The rules of `Dockerfile.dockerignore`, where there is one, else of `.dockerignore`.
fn ignored(dockerfile: &Path, root: &Path) -> Result<Vec<Rule>, EnvironmentError> {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    for path in [PathBuf::from(own), root.join(".dockerignore")] {
        match fs::read_to_string(&path) {
            Ok(text) => {
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                return Ok(lines
                    .filter_map(|line| match line.strip_prefix('!') {
                        Some(pattern) => Rule::new(pattern.trim(), false),
                        None => Rule::new(line, true),
                    })
                    .collect());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(EnvironmentError::Io { doing: "read", path, source }),
        }
    }
    Ok(Vec::new())
}

/// The digest of what is sent: names, exec bits, links and bytes.
pub(super) fn digest(files: &[Found]) -> Result<Digest, EnvironmentError> {
    let mut digester = Digester::new("container context");
    for found in files {
        let fault = |source| EnvironmentError::Io { doing: "read", path: found.place.clone(), source };
        let about = fs::symlink_metadata(&found.place).map_err(fault)?;
        digester.bytes(found.path.as_os_str().as_bytes());
        if about.is_symlink() {
            let target = fs::read_link(&found.place).map_err(fault)?;
            digester.field("link", &target.to_string_lossy());
            continue;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs::File::open(&found.place).map_err(fault)?).map_err(fault)?;
        let kind = if about.permissions().mode() & 0o100 == 0 { "file" } else { "executable" };
        digester.field("kind", kind).digest(&Digest::from(hasher.finalize()));
    }
    Ok(digester.finish())
}

/// What is sent, copied, so that it holds still while an engine reads it.
#[derive(Debug)]
pub(super) struct Packed {
    folder: tempfile::TempDir,
}

impl Packed {
    /// Copies the files and the Dockerfile.
    pub(super) fn new(setup: &Setup, docker: &Docker, files: &[Found]) -> Result<Self, EnvironmentError> {
        let parent = setup.cache.join("images-v1");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| EnvironmentError::Io { doing: "copy what the Dockerfile takes to", path, source }
        };
        fs::create_dir_all(&parent).map_err(failed(&parent))?;
        let folder = tempfile::Builder::new().prefix("context-").tempdir_in(&parent).map_err(failed(&parent))?;
        let text = dockerfile::text(setup, docker)?;
        let at = folder.path().join(DOCKERFILE);
        #[expect(clippy::disallowed_methods, reason = "nobody else reads this folder yet")]
        fs::write(&at, text).map_err(failed(&at))?;
        for found in files {
            let to = folder.path().join(&found.path);
            let above = to.parent().unwrap_or(folder.path());
            fs::create_dir_all(above).map_err(failed(above))?;
            if found.place.is_symlink() {
                let target = fs::read_link(&found.place).map_err(failed(&found.place))?;
                std::os::unix::fs::symlink(target, &to).map_err(failed(&to))?;
            } else {
                fs::copy(&found.place, &to).map_err(failed(&to))?;
            }
        }
        Ok(Self { folder })
    }

    /// The context's folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The Dockerfile in it.
    pub(super) fn dockerfile(&self) -> PathBuf {
        self.folder.path().join(DOCKERFILE)
    }

    /// The digest of what was copied.
    pub(super) fn digest(&self, files: &[Found]) -> Result<Digest, EnvironmentError> {
        let copied = |found: &Found| Found { path: found.path.clone(), place: self.folder.path().join(&found.path) };
        digest(&files.iter().map(copied).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_fits_decides() {
        let rules = |text: &str| {
            let rule = |line: &str| match line.strip_prefix('!') {
                Some(pattern) => Rule::new(pattern, false).unwrap(),
                None => Rule::new(line, true).unwrap(),
            };
            text.split(' ').map(rule).collect::<Vec<_>>()
        };
        let rows = [
            ("data", "data/a/b.csv", true),
            ("data/", "data/a", true),
            ("/data", "data/a", true),
            ("data", "src/data", false),
            ("**/data", "src/data/x", true),
            ("*.csv", "a.csv", true),
            ("*.csv", "d/a.csv", false),
            ("**/*.csv", "d/a.csv", true),
            ("data !data/keep", "data/keep/x", false),
            ("!data/keep data", "data/keep/x", true),
            ("* !src", "src/a.py", false),
            ("* !src", "README", true),
            (".", "anything/at/all", true),
        ];
        for (text, path, fits) in rows {
            assert_eq!(decided(&rules(text), Path::new(path)), fits, "{text}: {path}");
        }
    }
}
