//! A folder as Azure ML takes it for the code of a job: which files, under which names, and their content hash.
//!
//! Called by `cli` for `amlrun export`. The rules are those of the package `azure-ai-ml`, to the byte, and not those of
//! our own snapshots: one ignore file at the top counts, links are followed, and the state of other tools goes in unless it
//! is left out by name. What the package cannot hash (a link that leads nowhere, a name that is no UTF-8) is an error here.

mod pattern;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use pattern::Pattern;

/// What Azure ML would upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The content hash, in hexadecimal digits; its version is [`VERSION`].
    pub hash: String,
    /// The files, by the names that they have there, in the order in which they are hashed.
    pub files: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// The ignore file that counts.
    pub ignore: Option<&'static str>,
}

/// The version of the content hash.
pub const VERSION: &str = "202208";

/// The ignore files, the first one that is there counts alone.
const IGNORE: [&str; 2] = [".amlignore", ".gitignore"];
/// Folders are not followed deeper: a link leads round in a circle.
const DEEPEST: usize = 200;

/// Looks at a folder (or a single file).
///
/// # Errors
/// Where something cannot be read, or Azure ML's package could not take it: the path and the reason.
pub fn asset(path: &Path) -> Result<Asset, String> {
    let failed = |error: std::io::Error| format!("could not read {}: {error}", path.display());
    let root = path.canonicalize().map_err(failed)?;
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    let mut ignore = None;
    if root.is_dir() {
        let rules = Rules::of(path)?;
        ignore = rules.file;
        walk(&root, "", &rules, &mut found, &mut Vec::new())?;
    } else {
        let name = root.file_name().and_then(|name| name.to_str()).ok_or("the name is no UTF-8")?;
        found.push((root.clone(), name.to_owned()));
    }
    // A stable sort: names that differ in case alone stay as the folder lists them, as in the package.
    found.sort_by_cached_key(|(_, name)| name.to_lowercase());
    let mut hash = Sha256::new();
    let mut bytes = 0;
    hash.update(found.len().to_string());
    for (place, name) in &found {
        let size = fs::metadata(place).map_err(|error| format!("could not read {}: {error}", place.display()))?.len();
        hash.update(format!("#{name}#{size}"));
        bytes += size;
    }
    for (place, _) in &found {
        contents(place, &mut hash).map_err(|error| format!("could not read {}: {error}", place.display()))?;
    }
    let mut digits = String::with_capacity(64);
    for byte in hash.finalize() {
        let _infallible = write!(digits, "{byte:02x}");
    }
    Ok(Asset { hash: digits, files: found.into_iter().map(|(_, name)| name).collect(), bytes, ignore })
}

fn contents(place: &Path, hash: &mut Sha256) -> std::io::Result<()> {
    let mut file = fs::File::open(place)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            length => hash.update(&buffer[..length]),
        }
    }
}

/// `os.walk(followlinks=True)`: the files of a folder first, then its folders, both in the order of the listing.
fn walk(
    folder: &Path,
    prefix: &str,
    rules: &Rules,
    found: &mut Vec<(PathBuf, String)>,
    above: &mut Vec<PathBuf>,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("could not read {}: {error}", folder.display());
    let place = folder.canonicalize().map_err(failed)?;
    if above.contains(&place) || above.len() > DEEPEST {
        return Err(format!("{} leads back to itself: Azure ML would follow it without end", folder.display()));
    }
    let mut below = Vec::new();
    for entry in fs::read_dir(&place).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let path = place.join(&name);
        let text =
            name.to_str().map(|name| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") });
        let kind = fs::metadata(&path);
        if kind.as_ref().is_ok_and(fs::Metadata::is_dir) {
            below.push((folder.join(&name), text));
            continue;
        }
        if rules.leave_out(&path) {
            continue;
        }
        let text =
            text.ok_or_else(|| format!("{}: the name is no UTF-8, which Azure ML cannot take", path.display()))?;
        match kind {
            Ok(kind) if kind.is_file() => {
                let target =
                    path.canonicalize().map_err(|error| format!("could not read {}: {error}", path.display()))?;
                found.push((target, text));
            }
            Ok(_) => return Err(format!("{} is neither a file nor a folder", path.display())),
            Err(error) => return Err(format!("could not read {}: {error}", path.display())),
        }
    }
    above.push(place);
    for (path, text) in below {
        let text =
            text.ok_or_else(|| format!("{}: the name is no UTF-8, which Azure ML cannot take", path.display()))?;
        walk(&path, &text, rules, found, above)?;
    }
    above.pop();
    Ok(())
}

/// The one ignore file.
struct Rules {
    file: Option<&'static str>,
    /// Where it really lies: paths are matched as seen from there.
    base: PathBuf,
    patterns: Vec<Pattern>,
}

impl Rules {
    fn of(folder: &Path) -> Result<Self, String> {
        let found = IGNORE.iter().find(|name| folder.join(name).exists());
        let Some(name) = found else { return Ok(Self { file: None, base: PathBuf::new(), patterns: Vec::new() }) };
        let place = folder.join(name);
        let failed = |error: std::io::Error| format!("could not read {}: {error}", place.display());
        let bytes = fs::read(&place).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{} is no UTF-8", place.display()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
        let base = place.canonicalize().map_err(failed)?.parent().map(Path::to_owned).unwrap_or_default();
        let mut patterns = Vec::new();
        for (number, line) in text.split('\n').enumerate() {
            let one = pattern::pattern(line).map_err(|why| format!("{}:{}: {why}", place.display(), number + 1))?;
            patterns.extend(one);
        }
        Ok(Self { file: Some(name), base, patterns })
    }

    fn leave_out(&self, path: &Path) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        let seen: Vec<char> = seen_from(path, &self.base).to_string_lossy().chars().collect();
        self.patterns.iter().fold(false, |out, one| if one.matches(&seen) { one.excludes } else { out })
    }
}

/// How an absolute path is reached from an absolute folder, both without links and dots.
fn seen_from(path: &Path, folder: &Path) -> PathBuf {
    let (mut here, mut there) = (folder.components().peekable(), path.components().peekable());
    while here.peek().is_some() && here.peek() == there.peek() {
        here.next();
        there.next();
    }
    here.map(|_| Component::ParentDir).chain(there).collect()
}

/// The lines of an ignore file that packages of Python read, as those of DVC are (`.dvcignore`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines(Vec<Pattern>);

impl Lines {
    /// Reads them; a line that the packages refuse decides nothing.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self(text.lines().filter_map(|line| pattern::pattern(line).ok().flatten()).collect())
    }

    /// Whether a path, seen from where the file lies, is left out; none where no line decides.
    #[must_use]
    pub fn leave_out(&self, path: &str) -> Option<bool> {
        let path: Vec<char> = path.chars().collect();
        self.0.iter().rev().find(|one| one.matches(&path)).map(|one| one.excludes)
    }
}

impl Asset {
    /// The folders of other tools that are among the files, though nobody wants them uploaded.
    #[must_use]
    pub fn by_mistake(&self) -> Vec<&str> {
        const UNWANTED: &[&str] = &[".git", ".amlrun", ".venv", "__pycache__", ".ipynb_checkpoints"];
        let parts: BTreeSet<&str> = self.files.iter().flat_map(|name| name.split('/')).collect();
        UNWANTED.iter().filter(|name| parts.contains(*name)).copied().collect()
    }
}
