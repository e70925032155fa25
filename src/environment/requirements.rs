//! What a managed environment asks for: the requirements of an Amlfile, a requirements file or a `pyproject.toml`, read
//! down to one list of lines.
//!
//! The format of requirements files is pip's: <https://pip.pypa.io/en/stable/reference/requirements-file-format/>.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::EnvironmentError;
use super::installed::normalized;
use super::tool::without_credentials;
use crate::digest::{Digest, Digester};
use crate::project::model::Packages;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Requirements (PEP 508, or the path of an archive), in their order.
    pub(super) requirements: Vec<String>,
    /// Lines of `-c` files.
    pub(super) constraints: Vec<String>,
    /// Options for the installer (`--extra-index-url …`), each a line. May hold credentials: never written down.
    pub(super) options: Vec<String>,
    /// The bytes of archives that are required by path.
    archives: Vec<Digest>,
}

impl Asked {
    /// Whether nothing is asked for, so that there is nothing to resolve.
    pub(super) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The digest of all of it: another one is resolved anew. Credentials do not count, so that they may change.
    pub(super) fn digest(&self) -> Digest {
        let mut digester = Digester::new("amlrun requirements 1");
        for list in [&self.requirements, &self.constraints, &self.options] {
            digester.count(list.len());
            for line in list {
                digester.bytes(without_credentials(line).as_bytes());
            }
        }
        digester.count(self.archives.len());
        for archive in &self.archives {
            digester.digest(archive);
        }
        digester.finish()
    }

    /// The requirements as an installer understands them from any folder: paths are absolute.
    pub(super) fn for_installer(&self, root: &Path) -> Vec<String> {
        let absolute = |line: &String| match line.strip_prefix("./") {
            Some(rest) => root.join(rest).display().to_string(),
            None => line.clone(),
        };
        self.requirements.iter().map(absolute).collect()
    }

    /// The normalised names that are required by name.
    pub(super) fn names(&self) -> Vec<String> {
        self.requirements.iter().map(|line| name_of(line)).filter(|name| !name.is_empty()).collect()
    }

    /// The address of every package that is required by one (`pkg @ https://…`), as written, by normalised name.
    pub(super) fn direct(&self) -> BTreeMap<String, String> {
        let pair = |line: &String| {
            let (name, address) = line.split_once('@')?;
            let address = address.split_once(';').map_or(address, |(address, _)| address);
            address.contains(':').then(|| (name_of(name), address.split_whitespace().next().unwrap_or("").to_owned()))
        };
        self.requirements.iter().filter_map(pair).filter(|(name, _)| !name.is_empty()).collect()
    }
}

/// The normalised name at the start of a requirement; empty where it starts with none (a URL, a path).
fn name_of(line: &str) -> String {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if rest.starts_with([':', '/', '+']) || is_archive(name) { String::new() } else { normalized(name) }
}

/// Whether a text names an archive that can be installed.
fn is_archive(text: &str) -> bool {
    [".whl", ".tar.gz", ".zip", ".tar.bz2"].iter().any(|end| text.ends_with(end))
}

/// Reads what an environment asks for. `root` is the workspace's folder.
///
/// # Errors
/// Where a file cannot be read or asks for something that no lock can hold.
pub(super) fn read(packages: &Packages, root: &Path) -> Result<Asked, EnvironmentError> {
    let mut reader = Reader { root, asked: Asked::default(), open: Vec::new() };
    match packages {
        Packages::Listed(list) => {
            for line in list {
                reader.requirement(line.trim(), root, Path::new("Amlfile"))?;
            }
        }
        Packages::File(file) if file.as_path().extension().is_some_and(|extension| extension == "toml") => {
            let path = root.join(file.as_path());
            let text = text_of(&path)?;
            for line in dependencies(&path, &text)? {
                reader.requirement(line.trim(), root, &path)?;
            }
        }
        Packages::File(file) => reader.file(&root.join(file.as_path()), false)?,
    }
    Ok(reader.asked)
}

fn text_of(path: &Path) -> Result<String, EnvironmentError> {
    std::fs::read_to_string(path).map_err(|source| EnvironmentError::Io {
        doing: "read",
        path: path.to_owned(),
        source,
    })
}

fn bad(path: &Path, why: impl Into<String>) -> EnvironmentError {
    EnvironmentError::BadFile { path: path.to_owned(), why: why.into() }
}

/// `[project] dependencies` of a `pyproject.toml`.
fn dependencies(path: &Path, text: &str) -> Result<Vec<String>, EnvironmentError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| line_at(text, span.start));
        bad(path, format!("line {line}: {}", error.message()))
    })?;
    let project = table.get("project").and_then(toml::Value::as_table);
    let project = project.ok_or_else(|| bad(path, "it has no `[project]` table to take `dependencies` from"))?;
    let is_dynamic = |list: &Vec<toml::Value>| list.iter().any(|item| item.as_str() == Some("dependencies"));
    if project.get("dynamic").and_then(toml::Value::as_array).is_some_and(is_dynamic) {
        return Err(bad(path, "its dependencies are dynamic; name them in a requirements file"));
    }
    let Some(list) = project.get("dependencies") else { return Ok(Vec::new()) };
    let texts: Option<Vec<String>> =
        list.as_array().and_then(|list| list.iter().map(|item| item.as_str().map(str::to_owned)).collect());
    texts.ok_or_else(|| bad(path, "`project.dependencies` is not a list of texts"))
}

/// The line (from 1) that a byte of a text is on.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

struct Reader<'r> {
    root: &'r Path,
    asked: Asked,
    /// The files that are being read, outermost first: a file that includes itself is an error, not a loop.
    open: Vec<PathBuf>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, constraints: bool) -> Result<(), EnvironmentError> {
        if self.open.iter().any(|open| open == path) {
            return Err(bad(path, "it includes itself"));
        }
        let text = text_of(path)?;
        self.open.push(path.to_owned());
        let folder = path.parent().unwrap_or(self.root).to_owned();
        for (number, line) in logical_lines(&text) {
            let at = |error| match error {
                EnvironmentError::BadFile { path, why } => bad(&path, format!("line {number}: {why}")),
                error => error,
            };
            self.line(&line, path, &folder, constraints).map_err(at)?;
        }
        self.open.pop();
        Ok(())
    }

    fn line(&mut self, line: &str, path: &Path, folder: &Path, constraints: bool) -> Result<(), EnvironmentError> {
        if !line.starts_with('-') {
            if constraints {
                self.asked.constraints.push(line.to_owned());
                return Ok(());
            }
            return self.requirement(line, folder, path);
        }
        let (option, value) = line.split_once(['=', ' ', '\t']).unwrap_or((line, ""));
        let value = value.trim().trim_matches(['"', '\'']);
        // `-rbase.txt` is the same as `-r base.txt`.
        let (option, value) = match option.get(..2) {
            Some(short @ ("-r" | "-c" | "-e" | "-f" | "-i")) if option.len() > 2 => {
                (short, line.get(2..).unwrap_or(""))
            }
            _ => (option, value),
        };
        match option {
            "-r" | "--requirement" | "-c" | "--constraint" if value.contains("://") => {
                Err(bad(path, format!("`{option}` of an address: what it says may change unseen; keep a copy here")))
            }
            "-r" | "--requirement" => self.file(&folder.join(value), constraints),
            "-c" | "--constraint" => self.file(&folder.join(value), true),
            "-e" | "--editable" => Err(bad(path, not_a_folder(value))),
            "-f" | "--find-links" if !value.contains("://") => {
                self.asked.options.push(format!("--find-links {}", folder.join(value).display()));
                Ok(())
            }
            _ => {
                self.asked.options.push(line.to_owned());
                Ok(())
            }
        }
    }

    fn requirement(&mut self, line: &str, folder: &Path, path: &Path) -> Result<(), EnvironmentError> {
        if line.is_empty() {
            return Ok(());
        }
        if line.starts_with('-') {
            return Err(bad(
                path,
                format!("`{line}` is an option, not a requirement; options stand in a requirements file"),
            ));
        }
        let first = line.split_whitespace().next().unwrap_or_default();
        let local =
            !first.contains("://") && !line.contains('@') && (first.starts_with(['.', '/', '~']) || is_archive(first));
        if !local {
            let address = line.split_once('@').map_or(line, |(_, address)| address).trim();
            if address.starts_with("file:") && !is_archive(address.split(['#', ' ']).next().unwrap_or_default()) {
                return Err(bad(path, not_a_folder(address)));
            }
            self.asked.requirements.push(line.to_owned());
            return Ok(());
        }
        // Archives are asked for by path: their bytes count, and the path is made absolute for the installer only.
        let archive: PathBuf = folder.join(first).components().collect();
        if archive.is_dir() {
            return Err(bad(path, not_a_folder(first)));
        }
        let bytes = std::fs::read(&archive);
        let bytes = bytes.map_err(|source| EnvironmentError::Io { doing: "read", path: archive.clone(), source })?;
        self.asked.archives.push(Digest::of(&bytes));
        let rest = line.strip_prefix(first).unwrap_or_default();
        let place =
            archive.strip_prefix(self.root).map_or_else(|_| archive.clone(), |inside| Path::new(".").join(inside));
        self.asked.requirements.push(format!("{}{rest}", place.display()));
        Ok(())
    }
}

fn not_a_folder(value: &str) -> String {
    format!(
        "`{value}` is a folder, whose content no lock can hold; build a wheel of it, \
         or keep it below the experiment's source directory and leave it out here"
    )
}

/// Lines with continuations joined and comments cut, with their numbers (from 1).
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, raw) in text.lines().enumerate() {
        let comment = raw.trim_start().starts_with('#');
        let (number, mut line) = open.take().unwrap_or((index + 1, String::new()));
        if !comment {
            if let Some(part) = raw.strip_suffix('\\') {
                line.push_str(part);
                open = Some((number, line));
                continue;
            }
            line.push_str(raw);
        }
        lines.push((number, line));
    }
    lines.extend(open);
    for (_, line) in &mut lines {
        let end = line.find(" #").or_else(|| line.find("\t#")).unwrap_or(line.len());
        line.truncate(end);
        *line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    lines.retain(|(_, line)| !line.is_empty());
    lines
}
