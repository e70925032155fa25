//! What the store and the history remember of earlier runs, for the reasons of a stale job.

use std::collections::BTreeMap;
use std::path::Path;

use super::World;
use super::judging::{Judge, shown};
use crate::content::{Entry, encode};
use crate::digest::Digest;
use crate::ids::JobId;
use crate::relpath::RelPath;
use crate::staleness::{Key, Memory};
use crate::store::{Store, StoreError, snapshot};

/// The memory behind one job's reasons.
pub struct Remembered<'m, 'j> {
    /// Who asks.
    pub judge: &'m Judge<'j>,
    /// About which job.
    pub job: JobId,
}

type Difference = (RelPath, Option<String>, Option<String>);

impl Remembered<'_, '_> {
    /// The files that differ between two trees. The nodes of the tree as it is now need not be stored yet: `present` walks
    /// it on disk where the store does not know it.
    fn difference(&self, was: &Digest, is: &Digest, present: &crate::tree::What<'_>) -> Option<Vec<Difference>> {
        let world = self.judge.world;
        let near = Overlay { nodes: BTreeMap::new(), world };
        let known = snapshot::difference(&near, was, is).ok().flatten();
        let entries = known.or_else(|| {
            let (measured, folders) = world.ground.folders(*present, &super::measuring::Counter::default()).ok()?;
            let nodes =
                folders.iter().map(|folder| encode(&folder.entries)).map(|node| (Digest::of(&node), node)).collect();
            let overlay = Overlay { nodes, world };
            (measured.content.digest == *is).then(|| snapshot::difference(&overlay, was, is).ok().flatten()).flatten()
        })?;
        let short = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.digest.short());
        Some(entries.into_iter().map(|(path, was, is)| (path, short(&was), short(&is))).collect())
    }
}

impl Memory for Remembered<'_, '_> {
    fn key(&self, digest: &Digest) -> Option<Key> {
        self.judge.key(digest)
    }

    fn tree_difference(&self, was: &Digest, is: &Digest) -> Option<Vec<Difference>> {
        let at = self.judge.found.spec_of[self.job.0]?;
        let spec = &self.judge.found.specs[at];
        let files = self.difference(was, is, &crate::tree::What::Sources(spec))?;
        Some(files.into_iter().map(|(path, was, is)| (below(&spec.directory, &path), was, is)).collect())
    }

    fn input_difference(
        &self,
        name: &str,
        was: &Digest,
        is: &Digest,
    ) -> Option<Vec<(String, Option<String>, Option<String>)>> {
        let job = self.judge.work.job(self.job);
        let input = job.inputs.iter().find(|input| input.name == name)?;
        let place = super::measuring::ground_path(&input.path);
        let files = self.difference(was, is, &crate::tree::What::Path(&place))?;
        let base = shown(&input.path);
        Some(files.into_iter().map(|(path, was, is)| (format!("{base}/{path}"), was, is)).collect())
    }
}

/// The nodes of a tree on disk, before they are stored, in front of the store.
struct Overlay<'o> {
    nodes: BTreeMap<Digest, Vec<u8>>,
    world: &'o World<'o>,
}

impl Store for Overlay<'_> {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.world.store.put(bytes)
    }
    fn put_file(&self, path: &Path, known: Option<(Digest, u64)>) -> Result<(Digest, u64), StoreError> {
        self.world.store.put_file(path, known)
    }
    fn has(&self, digest: &Digest) -> bool {
        self.nodes.contains_key(digest) || self.world.store.has(digest)
    }
    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let near = self.nodes.get(digest).cloned().or_else(|| self.world.ground.node(digest));
        near.map_or_else(|| self.world.store.get(digest), |node| Ok(Some(node)))
    }
    fn write_to(&self, digest: &Digest, to: &Path, executable: bool, link: bool) -> Result<bool, StoreError> {
        self.world.store.write_to(digest, to, executable, link)
    }
    fn flush(&self) -> Result<(), StoreError> {
        self.world.store.flush()
    }
}

fn below(folder: &RelPath, path: &RelPath) -> RelPath {
    if path.is_root() { folder.clone() } else { folder.join(path.as_path()) }
}
