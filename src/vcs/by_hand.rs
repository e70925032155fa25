//! Repositories that libgit2 does not open, read from their files.

use std::fs;
use std::path::{Path, PathBuf};

/// Address, branch and commit from the files themselves, without the state of the working tree: libgit2 refuses repositories with extensions
/// that it does not know, partial clones (`git clone --filter`, common on CI) among them.
pub(super) fn by_hand(directory: &Path) -> Option<[Option<String>; 4]> {
    let read = |path: PathBuf| Some(fs::read_to_string(path).ok()?.trim().to_owned());
    let mark = directory.ancestors().map(|folder| folder.join(".git")).find(|mark| mark.exists())?;
    let folder =
        if mark.is_dir() { mark } else { mark.parent()?.join(read(mark.clone())?.strip_prefix("gitdir:")?.trim()) };
    let common = read(folder.join("commondir")).map_or_else(|| folder.clone(), |path| folder.join(path));
    let head = read(folder.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref:").map(str::trim) else {
        return Some([address_by_hand(&common, None), None, Some(head), None]);
    };
    let packed = || {
        let lines = read(common.join("packed-refs"))?;
        lines.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').map(ToOwned::to_owned))
    };
    let commit = read(common.join(name)).or_else(packed);
    let branch = name.strip_prefix("refs/heads/");
    Some([address_by_hand(&common, branch), branch.map(ToOwned::to_owned), commit, None])
}

/// The address of the branch's remote, else of `origin`.
fn address_by_hand(common: &Path, branch: Option<&str>) -> Option<String> {
    let config = git2::Config::open(&common.join("config")).ok()?.snapshot().ok()?;
    let of = |name: &str| config.get_string(&format!("remote.{name}.url")).ok();
    let own = branch.and_then(|branch| config.get_string(&format!("branch.{branch}.remote")).ok());
    own.and_then(|name| of(&name)).or_else(|| of("origin"))
}
