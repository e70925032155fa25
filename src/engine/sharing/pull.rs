//! A run out of the cache: its record, and all that it left, into the store. It is looked through before anything may stand
//! on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::bring::{self, Stopped};
use super::record::{self, Record, Refused};
use super::{Sharing, check};
use crate::cache::{Fault, Name, Remote as _};
use crate::content::{self, Content, Kind};
use crate::digest::Digest;
use crate::relpath::RelPath;
use crate::staleness::Recorded;
use crate::store::{Store, restore};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The digest of the fingerprint.
    pub key: Digest,
    /// For whom, as messages name it.
    pub job: String,
    /// The outputs that the job declares here.
    pub outputs: Vec<RelPath>,
    /// Whether the sources are brought as well.
    pub sources: bool,
}

/// What came of it.
#[derive(Debug)]
pub enum Pulled {
    /// There is none, or none that may be used.
    Miss,
    /// The run; all that it left is in the store.
    Hit(Box<Record>),
}

/// Brings a run. `state` is the workspace's `.amlrun`, where its logs go; `scratch` is a folder for what is not complete.
/// Whatever goes wrong is a miss; what the user should know of it is among [`Sharing::warnings`].
pub fn pull(sharing: &Sharing, store: &dyn Store, state: &Path, scratch: &Path, wanted: &Wanted) -> Pulled {
    if !sharing.reads() {
        return Pulled::Miss;
    }
    let of_job = format!("`{}`", wanted.job);
    match try_pull(sharing, store, state, scratch, wanted) {
        Ok(Some(record)) => Pulled::Hit(record),
        // That a cache is given up it says itself.
        Ok(None)
        | Err(Why::Stopped(Stopped::Remote(
            Fault::Down(_) | Fault::Refused(_) | Fault::Full(_) | Fault::Unable(_) | Fault::GivenUp,
        ))) => Pulled::Miss,
        Err(Why::Refused(refused)) => {
            // What nobody can use is replaced by the next push.
            if !matches!(refused, Refused::NoRoom(..) | Refused::Newer) {
                sharing.set_damaged(record::name(&wanted.key, wanted.outputs.iter()));
            }
            sharing.refuse(&of_job, &refused.to_string());
            Pulled::Miss
        }
        // One answer that makes no sense is a refusal.
        Err(Why::Stopped(Stopped::Remote(fault @ Fault::Wrong(_)))) => {
            sharing.refuse(&of_job, &fault.to_string());
            Pulled::Miss
        }
        Err(Why::Stopped(stopped)) => {
            sharing.give_up_reading(&stopped.to_string());
            Pulled::Miss
        }
    }
}

enum Why {
    Refused(Refused),
    Stopped(Stopped),
}

impl<E: Into<Stopped>> From<E> for Why {
    fn from(error: E) -> Self {
        Self::Stopped(error.into())
    }
}

fn refuse(why: String) -> Why {
    Why::Refused(Refused::Unsafe(why))
}

fn try_pull(
    sharing: &Sharing,
    store: &dyn Store,
    state: &Path,
    scratch: &Path,
    wanted: &Wanted,
) -> Result<Option<Box<Record>>, Why> {
    let name = record::name(&wanted.key, wanted.outputs.iter());
    let Some(bytes) = sharing.remote.get(&Name::record(name), None)? else { return Ok(None) };
    let mut record = Record::decode(&bytes, &name, sharing).map_err(Why::Refused)?;
    check::record(&record, &wanted.outputs).map_err(Why::Refused)?;
    let total: u64 = record.left().map(|left| left.size).sum();
    if let Some(free) = free(state).filter(|free| *free < total) {
        return Err(Why::Refused(Refused::NoRoom(total, free)));
    }
    bring::learn(sharing, &record.packs)?;
    let near: BTreeSet<Digest> = record.packs.iter().map(|pack| pack.pack).collect();
    let mut tops: Vec<Content> = record.left().filter_map(Recorded::content).collect();
    if wanted.sources {
        let tree = record.begun.fingerprint.sources;
        let content = Content { kind: Kind::Folder, digest: tree, size: 0 };
        // Sources may hold links that lead anywhere: they are never laid out in the project.
        sources(sharing, store, scratch, &content, &near)?;
    }
    tops.sort_by_key(|content| content.digest);
    let mut files = BTreeMap::new();
    for top in &tops {
        walk(sharing, store, scratch, top, &near, &mut files)?;
    }
    sizes(sharing, store, &files)?;
    let files: BTreeSet<Digest> = files.into_keys().collect();
    let lost = bring::bring(sharing, store, scratch, &files, &near)?;
    if !lost.is_empty() {
        return Err(refuse(format!("{} of its {} objects are damaged or gone", lost.len(), files.len())));
    }
    lay_out_logs(store, state, scratch, &record)?;
    record.arrived(store).map_err(Stopped::Store)?;
    Ok(Some(Box::new(record)))
}

/// Brings the nodes of a content, level by level, looks them through, and gathers its files.
fn walk(
    sharing: &Sharing,
    store: &dyn Store,
    scratch: &Path,
    top: &Content,
    near: &BTreeSet<Digest>,
    files: &mut BTreeMap<Digest, u64>,
) -> Result<(), Why> {
    let mut links: Vec<(Digest, usize, u64)> = Vec::new();
    // How often each folder of a level stands in the tree: one node that names another twice, and so on, is a bomb.
    let mut level: BTreeMap<Digest, u64> = BTreeMap::new();
    match top.kind {
        Kind::Folder => drop(level.insert(top.digest, 1)),
        Kind::Link => links.push((top.digest, 0, top.size)),
        _ => drop(files.insert(top.digest, top.size)),
    }
    let (mut count, mut bytes, mut depth) = (0_u64, 0_u64, 0);
    while !level.is_empty() {
        let wanted: BTreeSet<Digest> = level.keys().copied().collect();
        let lost = bring::bring(sharing, store, scratch, &wanted, near)?;
        if !lost.is_empty() {
            return Err(refuse(format!("{} of its folders are damaged or gone", lost.len())));
        }
        let mut next: BTreeMap<Digest, u64> = BTreeMap::new();
        for (digest, times) in level {
            let node = store.get(&digest).map_err(Stopped::Store)?;
            let entries = node
                .as_deref()
                .and_then(content::decode)
                .ok_or_else(|| refuse("it has a folder that is none".to_owned()))?;
            check::folder(&entries, depth).map_err(refuse)?;
            for entry in entries {
                count = count.saturating_add(times);
                match entry.kind {
                    Kind::Folder => {
                        let often = next.entry(entry.digest).or_default();
                        *often = often.saturating_add(times);
                    }
                    Kind::Link => links.push((entry.digest, depth, entry.size)),
                    _ => {
                        bytes = bytes.saturating_add(entry.size.saturating_mul(times));
                        if files.insert(entry.digest, entry.size).is_some_and(|other| other != entry.size) {
                            return Err(refuse("it gives one object two sizes".to_owned()));
                        }
                    }
                }
            }
            if count > check::MOST as u64 {
                return Err(refuse(format!("it has more than {} files", check::MOST)));
            }
        }
        (level, depth) = (next, depth + 1);
    }
    if top.kind == Kind::Folder && bytes > top.size {
        return Err(refuse(format!("it says that a folder has {} bytes which has {bytes}", top.size)));
    }
    let texts: BTreeSet<Digest> = links.iter().map(|(digest, ..)| *digest).collect();
    let lost = bring::bring(sharing, store, scratch, &texts, near)?;
    if !lost.is_empty() {
        return Err(refuse(format!("{} of its symlinks are damaged or gone", lost.len())));
    }
    for (digest, below, size) in links {
        let text = store.get(&digest).map_err(Stopped::Store)?;
        let text = text.ok_or_else(|| refuse("it has a symlink that is damaged".to_owned()))?;
        check::link(&text, below).map_err(refuse)?;
        check::size(Kind::Link, size, text.len() as u64).map_err(refuse)?;
    }
    Ok(())
}

/// What is to be brought has the size that the tree says, as far as the packs tell.
fn sizes(sharing: &Sharing, store: &dyn Store, files: &BTreeMap<Digest, u64>) -> Result<(), Why> {
    let known = sharing.known();
    for (digest, claimed) in files.iter().filter(|(digest, _)| !store.has(digest)) {
        let places = known.places(digest, &|_| true).unwrap_or_default();
        if let Some(place) = places.first() {
            check::size(Kind::File, *claimed, place.entry.size).map_err(refuse)?;
        }
    }
    Ok(())
}

/// Brings the tree of its sources as far as it can be had: it is for looking at, nothing stands on it.
fn sources(
    sharing: &Sharing,
    store: &dyn Store,
    scratch: &Path,
    tree: &Content,
    near: &BTreeSet<Digest>,
) -> Result<(), Why> {
    let mut level = BTreeSet::from([tree.digest]);
    let (mut files, mut depth) = (BTreeSet::new(), 0);
    while !level.is_empty() && depth < check::DEEPEST && files.len() < check::MOST {
        bring::bring(sharing, store, scratch, &level, near)?;
        let mut next = BTreeSet::new();
        for digest in &level {
            let node = store.get(digest).map_err(Stopped::Store)?;
            for entry in node.as_deref().and_then(content::decode).unwrap_or_default() {
                if entry.kind == Kind::Folder {
                    next.insert(entry.digest)
                } else {
                    files.insert(entry.digest)
                };
            }
        }
        (level, depth) = (next, depth + 1);
    }
    bring::bring(sharing, store, scratch, &files, near)?;
    Ok(())
}

/// Puts a run's logs where `amlrun runs logs` looks, unless something is there.
fn lay_out_logs(store: &dyn Store, state: &Path, scratch: &Path, record: &Record) -> Result<(), Why> {
    let place = state.join("runs").join(&record.begun.run.0);
    if record.logs.is_empty() || place.exists() {
        return Ok(());
    }
    let failed = |why| Why::Stopped(Stopped::Scratch { path: place.display().to_string(), why });
    let beside = scratch.join(format!("logs-{}", record.begun.run.short()));
    drop(std::fs::remove_dir_all(&beside));
    for log in &record.logs {
        let Some(content) = log.content() else { continue };
        let to = beside.join(log.path.as_path());
        std::fs::create_dir_all(to.parent().unwrap_or(&beside)).map_err(failed)?;
        if !restore::write_tree(store, &content, &to, false).map_err(Stopped::Store)? {
            return Err(refuse("its logs are damaged".to_owned()));
        }
    }
    std::fs::create_dir_all(state.join("runs")).map_err(failed)?;
    match std::fs::rename(&beside, &place) {
        // Another invocation was quicker.
        Err(_) if place.exists() => Ok(()),
        done => done.map_err(failed),
    }
}

/// The room that is left where the store is.
fn free(state: &Path) -> Option<u64> {
    let there = state.ancestors().find(|path| path.exists())?;
    let about = rustix::fs::statvfs(there).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

/// Brings back objects that the local store lost, from the records of these keys and from whatever is known of the cache.
/// Returns those that could not be had.
///
/// # Errors
/// Where the cache cannot be asked or the store not be written.
pub fn heal(
    sharing: &Sharing,
    store: &dyn Store,
    scratch: &Path,
    wanted: &BTreeSet<Digest>,
    keys: &[Digest],
) -> Result<BTreeSet<Digest>, Stopped> {
    let mut lost = bring::bring(sharing, store, scratch, wanted, &BTreeSet::new())?;
    for key in keys {
        if lost.is_empty() {
            break;
        }
        let bytes = match sharing.remote.get(&Name::record(*key), None) {
            Ok(bytes) => bytes,
            Err(Fault::Wrong(_)) => None,
            Err(fault) => return Err(fault.into()),
        };
        let record = bytes.and_then(|bytes| Record::decode(&bytes, key, sharing).ok());
        let Some(record) = record else { continue };
        bring::learn(sharing, &record.packs)?;
        lost = bring::bring(sharing, store, scratch, &lost, &BTreeSet::new())?;
    }
    Ok(lost)
}
