//! What lies at a path among what a run left: found by walking the nodes of its folders.
//!
//! Called by `engine` and `cli` for models. It reads nodes, no files.

use std::os::unix::ffi::OsStrExt;

use super::{Store, StoreError, snapshot};
use crate::content::{Content, Kind};
use crate::digest::Digest;
use crate::relpath::RelPath;
use crate::staleness::Recorded;

/// What lies at a path in a tree; none where there is nothing, or a node on the way is missing.
///
/// # Errors
/// Where the store cannot be read.
fn at(store: &dyn Store, tree: &Digest, path: &RelPath) -> Result<Option<Content>, StoreError> {
    let mut found = Content { kind: Kind::Folder, digest: *tree, size: 0 };
    for part in path.as_path() {
        if found.kind != Kind::Folder {
            return Ok(None);
        }
        let entries = snapshot::node(store, &found.digest)?.unwrap_or_default();
        let Some(entry) = entries.into_iter().find(|entry| entry.name == part.as_bytes()) else { return Ok(None) };
        found = Content { kind: entry.kind, digest: entry.digest, size: entry.size };
    }
    Ok(Some(found))
}

/// What lies at a path among what a run left: one of these, or something in one of these.
///
/// # Errors
/// Where the store cannot be read.
pub fn among<'r>(
    store: &dyn Store,
    left: impl IntoIterator<Item = &'r Recorded>,
    path: &RelPath,
) -> Result<Option<Recorded>, StoreError> {
    for recorded in left {
        let Some(content) = recorded.content() else { continue };
        if recorded.path == *path {
            return Ok(Some(recorded.clone()));
        }
        if let Ok(below) = path.as_path().strip_prefix(recorded.path.as_path())
            && let Ok(below) = RelPath::new(below)
            && content.kind == Kind::Folder
            && let Some(found) = at(store, &content.digest, &below)?
        {
            return Ok(Some(Recorded::new(path.clone(), found)));
        }
    }
    Ok(None)
}
