//! Ignore rules of a source directory: git's, or those of a `.amlignore` in their place.
//!
//! Git's rules are what the project says of itself: `.gitignore` files from the repository's root (without a repository, the
//! workspace's) down to the folder, and `.git/info/exclude`. A user's own global excludes do not count: two users would
//! have two keys for one project. A `.amlignore` follows Azure ML, which reads it as a list in which the last match wins,
//! over a path and all folders above it; so a file can be taken back from an excluded folder, which git refuses.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::excluded::joined;

/// The rules in force in one folder.
#[derive(Debug, Clone)]
pub(super) enum Rules {
    /// Git's, deepest file first.
    Git(Option<Arc<Level>>),
    /// `.amlignore`, and the last rule of it that matched a folder on the way here.
    Aml(Arc<Aml>, Option<usize>),
}

/// What the rules say of a name.
#[derive(Debug, Clone)]
pub(super) struct Ruling {
    pub(super) ignored: bool,
    /// The rules for what lies below, were it a folder; none where nothing below can be taken.
    pub(super) below: Option<Rules>,
}

/// One `.gitignore` file.
#[derive(Debug)]
pub(super) struct Level {
    above: Option<Arc<Level>>,
    file: RuleFile,
    /// What to put before a path relative to the source directory…
    before: Vec<u8>,
    /// …or how many of its bytes to leave out.
    skip: usize,
}

/// `.amlignore`.
#[derive(Debug)]
pub(super) struct Aml {
    file: RuleFile,
    /// The last line with a text.
    order: BTreeMap<String, usize>,
    /// The last line that takes something back.
    last_white: Option<usize>,
}

/// The rules of one file.
#[derive(Debug)]
struct RuleFile {
    matcher: Gitignore,
    path: PathBuf,
    lines: Vec<String>,
}

impl RuleFile {
    /// Reads rules; a line that is none is passed over, as git does.
    fn new(path: &Path, text: &[u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut builder = GitignoreBuilder::new("");
        let mut lines = Vec::new();
        for line in text.split(|&b| b == b'\n') {
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
            let _ = builder.add_line(None, &line);
            // As the matcher keeps it, so that a match finds its line.
            lines.push(if line.ends_with("\\ ") { line } else { line.trim_end().to_owned() });
        }
        Self { matcher: builder.build().unwrap_or_else(|_| Gitignore::empty()), path: path.to_owned(), lines }
    }

    fn line(&self, text: &str) -> Option<usize> {
        self.lines.iter().rposition(|line| line == text)
    }

    fn place(&self, text: &str) -> String {
        let path = self.path.display();
        self.line(text).map_or_else(|| path.to_string(), |line| format!("{path}:{}", line + 1))
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Reads a rule file where there is one; one that cannot be read is as good as absent, as for git.
fn read(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

impl Rules {
    /// For a source directory at `disk`; `workspace` bounds the search for parents where there is no repository.
    pub(super) fn new(disk: &Path, workspace: &Path) -> Self {
        let shown = |path: &Path| path.strip_prefix(workspace).unwrap_or(path).to_owned();
        let aml = disk.join(".amlignore");
        if let Some(text) = read(&aml) {
            return Self::Aml(Arc::new(Aml::new(RuleFile::new(&shown(&aml), &text))), None);
        }
        let repository = disk.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok());
        let top = repository.unwrap_or(if disk.starts_with(workspace) { workspace } else { disk });
        let mut level = None;
        let mut add = |path: PathBuf, folder: &Path| {
            if let Some(text) = read(&path) {
                let before = disk.strip_prefix(folder).map(|way| way.as_os_str().as_bytes().to_owned());
                let file = RuleFile::new(&shown(&path), &text);
                if !file.matcher.is_empty() {
                    level = Some(Arc::new(Level {
                        above: level.take(),
                        file,
                        before: before.unwrap_or_default(),
                        skip: 0,
                    }));
                }
            }
        };
        if let Some(exclude) = repository.and_then(exclude_file) {
            add(exclude, top);
        }
        let mut parents: Vec<&Path> = disk.ancestors().skip(1).take_while(|folder| folder.starts_with(top)).collect();
        parents.reverse();
        for folder in parents {
            add(folder.join(".gitignore"), folder);
        }
        Self::Git(level)
    }

    /// None.
    pub(super) fn none() -> Self {
        Self::Git(None)
    }

    /// With a `.gitignore` of a folder that is being walked; `seen` is its path from the source directory.
    pub(super) fn with(&self, text: &[u8], shown: &Path, seen: &[u8]) -> Self {
        match self {
            Self::Git(above) => {
                let file = RuleFile::new(shown, text);
                let skip = if seen.is_empty() { 0 } else { seen.len() + 1 };
                Self::Git(Some(Arc::new(Level { above: above.clone(), file, before: Vec::new(), skip })))
            }
            Self::Aml(..) => self.clone(),
        }
    }

    /// Whether a folder's `.gitignore` counts.
    pub(super) fn reads_nested(&self) -> bool {
        matches!(self, Self::Git(_))
    }

    /// Whether no rule can match anything.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Git(None))
    }

    /// What is said of a path relative to the source directory.
    pub(super) fn of(&self, seen: &[u8], is_folder: bool) -> Ruling {
        match self {
            Self::Git(level) => {
                let ignored = level.as_ref().is_some_and(|level| level.matched(seen, is_folder).is_ignore());
                Ruling { ignored, below: (!ignored).then(|| self.clone()) }
            }
            Self::Aml(aml, above) => {
                let own = match aml.file.matcher.matched(as_path(seen), is_folder) {
                    Match::None => None,
                    Match::Ignore(glob) | Match::Whitelist(glob) => aml.order.get(glob.original()).copied(),
                };
                let last = own.max(*above);
                let ignored = last.is_some_and(|line| !aml.is_white(line));
                let reachable = !ignored || aml.last_white > last;
                Ruling { ignored, below: reachable.then(|| Self::Aml(aml.clone(), last)) }
            }
        }
    }

    /// Where the rule stands that ignores a path, as in `.gitignore:3`.
    pub(super) fn place(&self, seen: &[u8], is_folder: bool) -> Option<String> {
        match self {
            Self::Git(level) => level.as_ref()?.place(seen, is_folder),
            Self::Aml(aml, above) => {
                let own = aml.file.matcher.matched(as_path(seen), is_folder);
                let own = own.inner().and_then(|glob| aml.order.get(glob.original()).copied());
                own.max(*above).map(|line| format!("{}:{}", aml.file.path.display(), line + 1))
            }
        }
    }
}

impl Level {
    fn candidate<'a>(&self, seen: &'a [u8], buffer: &'a mut Vec<u8>) -> &'a Path {
        if self.before.is_empty() {
            return as_path(seen.get(self.skip..).unwrap_or_default());
        }
        *buffer = joined(&self.before, seen);
        as_path(buffer)
    }

    /// The verdict of the deepest file that has one.
    fn matched(&self, seen: &[u8], is_folder: bool) -> Match<()> {
        let mut buffer = Vec::new();
        let mut level = Some(self);
        while let Some(this) = level {
            match this.file.matcher.matched(this.candidate(seen, &mut buffer), is_folder) {
                Match::None => level = this.above.as_deref(),
                other => return other.map(|_| ()),
            }
        }
        Match::None
    }

    fn place(&self, seen: &[u8], is_folder: bool) -> Option<String> {
        let mut buffer = Vec::new();
        let mut level = Some(self);
        while let Some(this) = level {
            if let Some(glob) = this.file.matcher.matched(this.candidate(seen, &mut buffer), is_folder).inner() {
                return Some(this.file.place(glob.original()));
            }
            level = this.above.as_deref();
        }
        None
    }
}

impl Aml {
    fn new(file: RuleFile) -> Self {
        let order: BTreeMap<String, usize> =
            file.lines.iter().enumerate().map(|(number, line)| (line.clone(), number)).collect();
        let last_white = file.lines.iter().rposition(|line| line.starts_with('!'));
        Self { file, order, last_white }
    }

    fn is_white(&self, line: usize) -> bool {
        self.file.lines.get(line).is_some_and(|line| line.starts_with('!'))
    }
}

/// A repository's `info/exclude`; that of the main worktree, for another one (gitrepository-layout(5)).
fn exclude_file(repository: &Path) -> Option<PathBuf> {
    let git = repository.join(".git");
    let text_of = |path: &Path| read(path).map(|text| PathBuf::from(OsStr::from_bytes(text.trim_ascii())));
    let mut folder = git.clone();
    if git.is_file() {
        let text = read(&git)?;
        folder = repository.join(as_path(text.strip_prefix(b"gitdir:")?.trim_ascii()));
        if let Some(common) = text_of(&folder.join("commondir")) {
            folder = folder.join(common);
        }
    }
    Some(folder.join("info/exclude"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amlignore_lets_the_last_match_win_over_a_path_and_its_folders() {
        let check = |text: &str, path: &str, ignored: bool| {
            let file = RuleFile::new(Path::new(".amlignore"), text.as_bytes());
            let mut rules = Rules::Aml(Arc::new(Aml::new(file)), None);
            let ends = path.match_indices('/').map(|(at, _)| at);
            for end in ends {
                match rules.of(&path.as_bytes()[..end], true).below {
                    Some(below) => rules = below,
                    None => return assert!(ignored, "{path} under {text:?} is never reached"),
                }
            }
            assert_eq!(rules.of(path.as_bytes(), false).ignored, ignored, "{path} under {text:?}");
        };
        check("a/\n!a/keep.py\n", "a/keep.py", false);
        check("a/\n!a/keep.py\n", "a/other.py", true);
        check("!a/keep.py\na/\n", "a/keep.py", true);
        check("a/\n!a/b/\n", "a/b/c", false);
        check("*.py\n", "x/y.py", true);
        check("x\n", "x/y/z", true);
        check("*\n!*.py\n", "x/y.py", false);
        check("*\n!*.py\n", "x/y.csv", true);
        check("# comment\n\\#x\n", "#x", true);
        check("/a\n", "b/a", false);
    }

    #[test]
    fn the_deepest_gitignore_wins_and_is_named() {
        let outer = RuleFile::new(Path::new(".gitignore"), b"*.csv\nbuild/\n/sub/only\n");
        let outer = Level { above: None, file: outer, before: b"train".to_vec(), skip: 0 };
        let rules = Rules::Git(Some(Arc::new(outer))).with(
            b"\xef\xbb\xbf!keep.csv\r\n*.tmp\n",
            Path::new("sub/.gitignore"),
            b"sub",
        );
        let check = |path: &str, is_folder: bool, place: Option<&str>| {
            let ruling = rules.of(path.as_bytes(), is_folder);
            assert_eq!(ruling.ignored, place.is_some(), "{path}");
            if let Some(place) = place {
                assert_eq!(rules.place(path.as_bytes(), is_folder).as_deref(), Some(place), "{path}");
            }
        };
        check("sub/a.csv", false, Some(".gitignore:1"));
        check("sub/keep.csv", false, None);
        check("sub/x.tmp", false, Some("sub/.gitignore:2"));
        check("sub/build", true, Some(".gitignore:2"));
        check("sub/build", false, None);
        // Anchored to the parent's folder, in which this source directory is `train`.
        check("sub/only", false, None);
    }
}
