//! All objects that a run consists of, found in the store.

use std::collections::{BTreeMap, BTreeSet};

use super::check;
use crate::content::{self, Content, Kind};
use crate::digest::Digest;
use crate::store::{Store, StoreError};

/// An object to be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Bytes.
    pub size: u64,
    /// Whether it is the node of a folder: those travel first.
    pub node: bool,
}

/// Why a run cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum Unshared {
    /// It would be refused by whoever takes it.
    #[error("{0}")]
    Refused(String),
    /// Not all of it is in the store.
    #[error("not all of it is in the store any more")]
    Lost,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds all objects of a content. `checked`: what would be refused on its way back is refused here.
///
/// # Errors
/// Where it cannot be shared.
pub fn gather(
    store: &dyn Store,
    content: &Content,
    checked: bool,
    found: &mut BTreeMap<Digest, Item>,
) -> Result<(), Unshared> {
    let mut folders = Vec::new();
    let mut seen = BTreeSet::new();
    match content.kind {
        Kind::Folder => folders.push((content.digest, 0_usize)),
        Kind::Link => link(store, &content.digest, checked.then_some(0), found)?,
        _ => drop(found.insert(content.digest, Item { size: content.size, node: false })),
    }
    while let Some((digest, depth)) = folders.pop() {
        if !seen.insert((digest, depth)) {
            continue;
        }
        let bytes = store.get(&digest)?.ok_or(Unshared::Lost)?;
        let entries = content::decode(&bytes).ok_or(Unshared::Lost)?;
        if checked {
            check::folder(&entries, depth).map_err(Unshared::Refused)?;
        }
        found.insert(digest, Item { size: bytes.len() as u64, node: true });
        for entry in entries {
            match entry.kind {
                Kind::Folder => folders.push((entry.digest, depth + 1)),
                Kind::Link => link(store, &entry.digest, checked.then_some(depth), found)?,
                _ => drop(found.insert(entry.digest, Item { size: entry.size, node: false })),
            }
        }
        if found.len() > check::MOST {
            return Err(Unshared::Refused(format!("it has more than {} files", check::MOST)));
        }
    }
    Ok(())
}

fn link(
    store: &dyn Store,
    digest: &Digest,
    below: Option<usize>,
    found: &mut BTreeMap<Digest, Item>,
) -> Result<(), Unshared> {
    let text = store.get(digest)?.ok_or(Unshared::Lost)?;
    if let Some(below) = below {
        check::link(&text, below).map_err(Unshared::Refused)?;
    }
    found.insert(*digest, Item { size: text.len() as u64, node: false });
    Ok(())
}
