//! What may come from a cache. Pure: it looks at names, kinds, texts and sizes, before anything is written.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use unicode_normalization::UnicodeNormalization as _;

use super::record::{Record, Refused};
use crate::content::{Entry, Kind};
use crate::ids::RunId;
use crate::relpath::RelPath;

/// No tree is deeper.
pub const DEEPEST: usize = 128;
/// No run consists of more objects.
pub const MOST: usize = 5_000_000;
/// No run is larger than this, whatever room there is: 64 TiB.
pub const LARGEST: u64 = 64 << 40;

/// Looks a record's own fields through. `outputs` are the paths that the job declares here: no run from a cache may bring
/// others.
///
/// # Errors
/// Why it is not used.
pub fn record(record: &Record, outputs: &[RelPath]) -> Result<(), Refused> {
    let refuse = |why: String| Err(Refused::Unsafe(why));
    let RunId(run) = &record.begun.run;
    if run.len() != 32 || !run.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return refuse("its run has no identity".to_owned());
    }
    let Record { ended, logs, packs, .. } = record;
    for output in &ended.outputs {
        if !outputs.contains(&output.path) {
            return refuse(format!("it brings `{}`, which the job does not declare", output.path));
        }
    }
    for path in outputs {
        if ended.outputs.iter().filter(|output| output.path == *path).count() != 1 {
            return refuse(format!("it does not bring the declared `{path}`"));
        }
    }
    let allowed = |path: &RelPath, names: &[&str]| names.iter().any(|name| path.as_bytes() == name.as_bytes());
    if ended.kept.iter().any(|kept| !allowed(&kept.path, &["outputs"])) || ended.kept.len() > 1 {
        return refuse("it keeps what no run keeps".to_owned());
    }
    if logs.iter().any(|log| !allowed(&log.path, &["user_logs/std_log.txt", "logs"])) || logs.len() > 2 {
        return refuse("it brings logs that are none".to_owned());
    }
    let artifacts = crate::tracking::KEPT;
    if record.artifacts.iter().any(|kept| !allowed(&kept.path, &artifacts)) || record.artifacts.len() > artifacts.len()
    {
        return refuse("it brings artifacts that are none".to_owned());
    }
    if record.left().any(|left| left.content().is_none()) {
        return refuse("it holds what is neither file, folder nor symlink".to_owned());
    }
    let total = record.left().fold(0_u64, |sum, left| sum.saturating_add(left.size));
    if total > LARGEST {
        return refuse(format!("it claims to hold {total} bytes"));
    }
    let limit = crate::cache::Kind::Pack.limit();
    if packs.iter().any(|pack| pack.size > limit || u64::from(pack.tail) > pack.size) {
        return refuse("it names a pack that is larger than any".to_owned());
    }
    Ok(())
}

/// Looks the entries of a folder through, `depth` folders below what the run left. Names with `/`, `.` and `..` were
/// refused when the node was read.
///
/// # Errors
/// Why the run is not used.
pub fn folder(entries: &[Entry], depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("its folders are nested more than {DEEPEST} deep"));
    }
    let mut seen = BTreeSet::new();
    for entry in entries {
        if entry.name.len() > 255 {
            return Err("it has a name that is longer than 255 bytes".to_owned());
        }
        if !seen.insert(folded(&entry.name)) {
            let name = crate::relpath::escape(&entry.name);
            return Err(format!(
                "`{name}` and another name of the same folder differ only in case or in Unicode's forms"
            ));
        }
    }
    Ok(())
}

/// A name as a file system sees it that knows neither case nor forms.
fn folded(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(name) => name.nfc().flat_map(char::to_lowercase).nfc().collect::<String>().into_bytes(),
        Err(_) => name.to_ascii_lowercase(),
    }
}

/// Looks a symlink's text through: `below` is how many folders it lies below the top of what the run left (0 for an output
/// that is a link itself, which then may lead to what lies beside it).
///
/// # Errors
/// Where it leads out.
pub fn link(text: &[u8], below: usize) -> Result<(), String> {
    use std::os::unix::ffi::OsStrExt as _;
    let shown = || crate::relpath::escape(text);
    if text.is_empty() || text.len() > 4095 || text.contains(&0) {
        return Err("it has a symlink that is none".to_owned());
    }
    let mut depth = below;
    for part in Path::new(std::ffi::OsStr::from_bytes(text)).components() {
        match part {
            Component::RootDir | Component::Prefix(_) => {
                return Err(format!("it has a symlink to an absolute path, `{}`", shown()));
            }
            Component::ParentDir => {
                depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| format!("it has a symlink that leads out of it, `{}`", shown()))?;
            }
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
        }
    }
    Ok(())
}

/// Whether an entry's size can be that of what it is.
///
/// # Errors
/// Where it cannot.
pub fn size(kind: Kind, claimed: u64, found: u64) -> Result<(), String> {
    if kind != Kind::Folder && claimed != found {
        return Err(format!("it says that something has {claimed} bytes which has {found}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn links_stay_inside() {
        let check = |text: &str, below: usize, is_fine: bool| {
            assert_eq!(link(text.as_bytes(), below).is_ok(), is_fine, "{text} {below}");
        };
        check("a", 0, true);
        check("../a", 1, true);
        check("a/../../b", 1, true);
        check("../a", 0, false);
        check("a/../..", 0, false);
        check("/etc/passwd", 5, false);
        check("../../x", 1, false);
        check("", 0, false);
        check("a\0b", 0, false);
        check("a/../../../b/../..", 2, false);
    }

    #[test]
    fn names_that_some_file_systems_take_for_one_are_refused() {
        let check = |names: &[&str], is_fine: bool| {
            let entry = |name: &&str| Entry {
                name: name.as_bytes().to_vec(),
                kind: Kind::File,
                digest: Digest::of(b""),
                size: 0,
            };
            assert_eq!(folder(&names.iter().map(entry).collect::<Vec<_>>(), 0).is_ok(), is_fine, "{names:?}");
        };
        check(&["a", "b"], true);
        check(&["A", "a"], false);
        check(&["\u{e9}", "e\u{301}"], false);
        check(&["\u{c9}", "e\u{301}"], false);
        check(&["stra\u{df}e", "strasse"], true);
        check(&["\u{fb01}le", "file"], true);
        check(&[&"x".repeat(256)], false);
        assert!(folder(&[], DEEPEST + 1).is_err());
    }
}
