//! What the resolvers answer, read: the output of `uv pip compile` and the report of pip's dry run
//! (<https://pip.pypa.io/en/stable/reference/installation-report/>).

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::installed::normalized;
use super::lock::Package;
use super::tool::without_credentials;

/// What a resolver's answer is read against.
#[derive(Debug)]
pub(super) struct Context<'c> {
    /// The workspace's folder: archives in it are named relative to it.
    pub(super) root: &'c Path,
    /// The addresses that the user wrote, by name: they are kept as written (a `${TOKEN}` in one stays one).
    pub(super) direct: &'c BTreeMap<String, String>,
}

impl Context<'_> {
    /// The source to be locked: no credentials, nothing of this machine.
    fn source(&self, name: &str, address: &str) -> String {
        let path = address.strip_prefix("file://").unwrap_or(address);
        let path = path.split('#').next().unwrap_or(path);
        if let Ok(inside) = Path::new(path).strip_prefix(self.root) {
            return format!("./{}", inside.display());
        }
        let is_commit = address.starts_with("git+");
        let written = self.direct.get(name).filter(|_| !is_commit).map_or(address, String::as_str);
        without_credentials(written)
    }
}

/// What `uv pip compile --generate-hashes` wrote, as packages.
///
/// # Errors
/// A line that is not understood.
pub(super) fn compiled(text: &str, context: &Context<'_>) -> Result<Vec<Package>, String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '-']));
    lines.map(|line| compiled_line(line, context)).collect()
}

fn compiled_line(line: &str, context: &Context<'_>) -> Result<Package, String> {
    let unread = || format!("uv wrote a line that is not understood: `{}`", without_credentials(line));
    // Markers are resolved away, but for those that the user wrote at an address.
    let (head, tail) = line.split_once(" --hash=").unwrap_or((line, ""));
    let head = head.split_once(" ;").map_or(head, |(head, _)| head).trim();
    let hashes: Vec<String> =
        tail.split(" --hash=").map(str::trim).filter(|h| !h.is_empty()).map(str::to_owned).collect();
    if let Some((name, version)) = head.split_once("==") {
        return Ok(Package { name: bare(name), version: version.trim().to_owned(), source: None, hashes });
    }
    let (name, address) = match head.split_once(" @ ") {
        Some((name, address)) => (bare(name), address.trim()),
        None => (of_archive(head).ok_or_else(unread)?.0, head),
    };
    let version = of_archive(address).map_or_else(|| "direct".to_owned(), |(_, version)| version);
    if name.is_empty() || address.contains(char::is_whitespace) {
        return Err(unread());
    }
    let source = Some(context.source(&name, address));
    Ok(Package { name, version, source, hashes })
}

/// A name without its extras.
fn bare(name: &str) -> String {
    normalized(name.split('[').next().unwrap_or(name))
}

/// Name and version in an archive's name: `six-1.16.0-py2.py3-none-any.whl`, `six-1.16.0.tar.gz`.
fn of_archive(address: &str) -> Option<(String, String)> {
    let file = address.split(['#', '?']).next()?.rsplit('/').next()?;
    if let Some(stem) = file.strip_suffix(".whl") {
        let mut parts = stem.split('-');
        return Some((normalized(parts.next()?), parts.next()?.to_owned()));
    }
    let stem = [".tar.gz", ".zip", ".tar.bz2"].iter().find_map(|end| file.strip_suffix(end))?;
    let (name, version) = stem.rsplit_once('-')?;
    Some((normalized(name), version.to_owned()))
}

#[derive(Deserialize)]
struct Report {
    install: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    download_info: Download,
    #[serde(default)]
    is_direct: bool,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Download {
    url: String,
    #[serde(default)]
    subdirectory: Option<String>,
    #[serde(default)]
    archive_info: Option<Archive>,
    #[serde(default)]
    vcs_info: Option<Repository>,
}

#[derive(Deserialize)]
struct Archive {
    #[serde(default)]
    hash: Option<String>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Repository {
    vcs: String,
    commit_id: String,
}

/// What pip's report says, as packages.
///
/// # Errors
/// A report that is not understood, and a package that cannot be pinned.
pub(super) fn reported(text: &str, context: &Context<'_>) -> Result<Vec<Package>, String> {
    let report: Report =
        serde_json::from_str(text).map_err(|error| format!("pip wrote a report that is not understood: {error}"))?;
    report.install.into_iter().map(|item| reported_item(item, context)).collect()
}

fn reported_item(item: Item, context: &Context<'_>) -> Result<Package, String> {
    let Item { metadata, download_info: download, is_direct } = item;
    let name = normalized(&metadata.name);
    let version = metadata.version;
    if let Some(Repository { vcs, commit_id }) = download.vcs_info {
        let at = download.subdirectory.map(|folder| format!("#subdirectory={folder}")).unwrap_or_default();
        let source = without_credentials(&format!("{vcs}+{}@{commit_id}{at}", download.url));
        return Ok(Package { name, version, source: Some(source), hashes: Vec::new() });
    }
    let archive = download.archive_info.ok_or_else(|| format!("`{name}` is a folder, which cannot be locked"))?;
    let sha256 = archive.hashes.get("sha256").cloned();
    let sha256 = sha256.or_else(|| archive.hash.as_deref()?.strip_prefix("sha256=").map(str::to_owned));
    let sha256 = sha256.ok_or_else(|| format!("pip reports no sha256 of `{name}`, so that it cannot be locked"))?;
    let source = is_direct.then(|| context.source(&name, &download.url));
    Ok(Package { name, version, source, hashes: vec![format!("sha256:{sha256}")] })
}
