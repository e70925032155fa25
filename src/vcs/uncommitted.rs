//! What a working tree has that its commit has not: the changed files, and a patch of them.
//!
//! The new side is never read from the working tree: who asks says what it is (a snapshot), so that the patch is of what ran.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use git2::{Delta, DiffOptions, Repository};

use super::text_diff;

/// The name that the patch of a run goes by among what the run left.
pub const PATCH: &str = "uncommitted.patch";
/// A patch is no longer than this; what does not fit is left to the snapshot.
const LONGEST: usize = 1 << 20;
/// No file is longer than this.
const LARGEST: usize = 256 << 10;
/// No more files are looked at.
const MOST: usize = 5_000;

/// A file that is not as the commit has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Relative to the directory that was asked for.
    pub path: PathBuf,
    /// Relative to the repository.
    name: String,
    /// As the commit has it, and whether that is executable; none where it has no such file.
    old: Option<(Vec<u8>, bool)>,
    /// Whether git's rules ignore it, though the commit has it.
    pub is_ignored: bool,
    /// Whether it is gone from the working tree.
    pub is_gone: bool,
}

impl Changed {
    /// As the commit has it.
    #[must_use]
    pub fn was(&self) -> Option<&[u8]> {
        self.old.as_ref().map(|(bytes, _)| bytes.as_slice())
    }
}

/// What is not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncommitted {
    /// The commit.
    pub commit: String,
    /// The files, by path.
    pub files: Vec<Changed>,
    /// Files that are not looked at: too long, no text, no plain name, or one too many.
    left: Vec<String>,
}

/// What a file is in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Now {
    /// This, and whether it is executable.
    File(Vec<u8>, bool),
    /// No more there.
    Gone,
    /// For the snapshot alone, and why.
    Left(&'static str),
    /// No part of it: it is not even named.
    Outside,
}

/// What differs from the commit in a directory; none where there is no repository, no commit or no difference. A file that
/// is there counts only where it is `wanted`: beside the sources there may be any number of others.
#[must_use]
pub fn uncommitted(directory: &Path, wanted: &dyn Fn(&Path) -> bool) -> Option<Uncommitted> {
    let repository = Repository::discover(directory).ok()?;
    let root = repository.workdir()?.canonicalize().ok()?;
    let directory = directory.canonicalize().ok()?;
    let inside = directory.strip_prefix(&root).ok()?;
    let commit = repository.head().ok()?.peel_to_commit().ok()?;
    let mut options = DiffOptions::new();
    options.include_untracked(true).recurse_untracked_dirs(true).include_typechange(true).ignore_submodules(true);
    options.skip_binary_check(true).update_index(false);
    if !inside.as_os_str().is_empty() {
        options.disable_pathspec_match(true).pathspec(inside);
    }
    let diff = repository.diff_tree_to_workdir_with_index(Some(&commit.tree().ok()?), Some(&mut options)).ok()?;
    let mut found = Uncommitted { commit: commit.id().to_string(), files: Vec::new(), left: Vec::new() };
    for delta in diff.deltas() {
        let file = if delta.status() == Delta::Deleted { delta.old_file() } else { delta.new_file() };
        let Some(path) = file.path() else { continue };
        let Ok(below) = path.strip_prefix(inside) else { continue };
        if delta.status() != Delta::Deleted && !wanted(below) {
            continue;
        }
        let name = path.to_str().filter(|name| !name.contains(|c: char| c.is_control() || c == '"' || c == '\\'));
        let old = match delta.status() {
            Delta::Added | Delta::Untracked => Some(None),
            Delta::Modified | Delta::Deleted | Delta::Typechange => blob(&repository, &delta.old_file()).map(Some),
            _ => continue,
        };
        let (Some(name), Some(old)) = (name, old) else {
            if wanted(below) {
                found.left.push(crate::relpath::escape(path.as_os_str().as_bytes()));
            }
            continue;
        };
        if found.files.len() == MOST {
            found.left.push("and more".to_owned());
            break;
        }
        found.files.push(Changed {
            path: below.to_owned(),
            name: name.to_owned(),
            old,
            is_ignored: repository.is_path_ignored(path).unwrap_or(true),
            is_gone: delta.status() == Delta::Deleted,
        });
    }
    (!found.files.is_empty() || !found.left.is_empty()).then_some(found)
}

/// A plain file of the commit, where it is a short one.
fn blob(repository: &Repository, file: &git2::DiffFile<'_>) -> Option<(Vec<u8>, bool)> {
    let is_executable = match file.mode() {
        git2::FileMode::Blob => false,
        git2::FileMode::BlobExecutable => true,
        _ => return None,
    };
    let (size, _) = repository.odb().ok()?.read_header(file.id()).ok()?;
    if size > LARGEST {
        return None;
    }
    Some((repository.find_blob(file.id()).ok()?.content().to_vec(), is_executable))
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.len() <= LARGEST && !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

impl Uncommitted {
    /// The patch that makes what ran of the commit, for `git apply`; none where nothing is left to say. `now` says what each
    /// file is.
    #[must_use]
    pub fn patch(&self, now: &dyn Fn(&Changed) -> Now) -> Option<String> {
        let (mut hunks, mut left) = (String::new(), Vec::new());
        for file in &self.files {
            let why = match now(file) {
                Now::Outside => continue,
                Now::Left(why) => Some(why),
                Now::Gone => change(file, None, &mut hunks),
                Now::File(bytes, is_executable) => change(file, Some((&bytes, is_executable)), &mut hunks),
            };
            left.extend(why.map(|why| format!("{} ({why})", file.name)));
        }
        if hunks.is_empty() && left.is_empty() {
            return None;
        }
        let mut text = format!("# What ran and is not in commit {}\n", self.commit);
        for name in left.into_iter().chain(self.left.iter().map(|name| format!("{name} (no short text)"))) {
            let _ = writeln!(text, "# left to the snapshot: {name}");
        }
        Some(text + &hunks)
    }
}

/// Adds what became of a file; why not, where it cannot be.
fn change(file: &Changed, new: Option<(&[u8], bool)>, hunks: &mut String) -> Option<&'static str> {
    let old = file.old.as_ref().map(|(bytes, is_executable)| (bytes.as_slice(), *is_executable));
    if old == new {
        return None;
    }
    if [old, new].iter().flatten().any(|(bytes, _)| !is_text(bytes)) {
        return Some("no short text");
    }
    let name = &file.name;
    let mode = |is_executable: bool| if is_executable { "100755" } else { "100644" };
    let mut text = format!("diff --git a/{name} b/{name}\n");
    let modes = match (old, new) {
        (None, Some((_, is_executable))) => writeln!(text, "new file mode {}", mode(is_executable)),
        (Some((_, is_executable)), None) => writeln!(text, "deleted file mode {}", mode(is_executable)),
        (Some((_, was)), Some((_, is))) if was != is => {
            writeln!(text, "old mode {}\nnew mode {}", mode(was), mode(is))
        }
        _ => Ok(()),
    };
    // Writing to a String does not fail.
    let _ = modes;
    let bytes = |side: Option<(&[u8], bool)>| side.map(|(bytes, _)| bytes.to_vec());
    // A file without a line has no hunk.
    if old.is_some_and(|(bytes, _)| !bytes.is_empty()) || new.is_some_and(|(bytes, _)| !bytes.is_empty()) {
        text += &text_diff(bytes(old).as_deref(), bytes(new).as_deref(), name);
    } else {
        let empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        let none = "0".repeat(40);
        let (was, is) = if old.is_some() { (empty, none.as_str()) } else { (none.as_str(), empty) };
        let _ = writeln!(text, "index {was}..{is}");
    }
    if hunks.len() + text.len() > LONGEST {
        return Some("the patch would be too long");
    }
    hunks.push_str(&text);
    None
}
