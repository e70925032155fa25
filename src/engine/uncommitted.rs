//! What a run had that its commit has not, as a patch beside its snapshot.
//!
//! Made once for each snapshot, before the job starts, of what the snapshot holds; so nothing is in it that ignore rules keep
//! out of snapshots, and no file that holds the value of a secret.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::World;
use super::attempt::{Bench, Task};
use crate::content::{Content, Entry, Kind, encode};
use crate::digest::Digest;
use crate::logged::Secrets;
use crate::relpath::RelPath;
use crate::staleness::Recorded;
use crate::store::snapshot;
use crate::tree::SourceSpec;
use crate::vcs::{self, Changed, Now, PATCH};

/// A source directory and its snapshot.
type Key = (RelPath, Digest);

/// The patches of an invocation, by what they are of; none where nothing differs.
#[derive(Debug, Default)]
pub struct Patches(Mutex<BTreeMap<Key, Option<Arc<String>>>>);

fn key(task: &Task) -> Option<Key> {
    let (spec, measured) = task.sources.as_ref()?;
    Some((spec.directory.clone(), measured.content.digest))
}

impl Patches {
    /// Makes the patch of a task's snapshot, unless it was made. Whoever asks meanwhile waits: it would only do the same.
    pub fn make(&self, bench: Bench<'_>, task: &Task) {
        let (Some(key), Some((spec, _))) = (key(task), &task.sources) else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key).or_insert_with_key(|(_, tree)| patch(bench, spec, tree).map(Arc::new));
    }

    /// Puts the patch of a task's snapshot into the store, where one was made.
    pub fn keep(&self, world: &World<'_>, task: &Task) -> Option<Recorded> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = Arc::clone(known.get(&key(task)?)?.as_ref()?);
        drop(known);
        let digest = world.store.put(text.as_bytes()).ok()?;
        let content = Content { kind: Kind::File, digest, size: text.len() as u64 };
        Some(Recorded::new(RelPath::new(PATCH).ok()?, content))
    }
}

fn patch(bench: Bench<'_>, spec: &SourceSpec, tree: &Digest) -> Option<String> {
    let world = bench.world;
    if *tree == Digest::of(&encode(&[])) {
        return None;
    }
    let directory = world.root.join(spec.directory.as_path());
    // Asked only where there is a repository.
    let files: OnceCell<BTreeMap<RelPath, Entry>> = OnceCell::new();
    let files = || {
        files.get_or_init(|| snapshot::list(world.store, tree).ok().flatten().unwrap_or_default().into_iter().collect())
    };
    let wanted = |path: &Path| RelPath::new(path).is_ok_and(|path| files().contains_key(&path));
    let uncommitted = vcs::uncommitted(&directory, &wanted)?;
    let secrets = bench.work.project.experiments.iter().flat_map(|experiment| &experiment.secrets);
    let secrets: Vec<String> = secrets.filter_map(|name| world.variables.get(name).cloned()).collect();
    let secrets = Secrets::new(&secrets);
    // What is gone cannot be asked whether it would have been taken: it is told only where nothing could have kept it out.
    let is_all = spec.globs.is_none() && !directory.join(".amlignore").exists();
    let is_output = |path: &RelPath| {
        bench.work.plan.jobs.iter().flat_map(|job| &job.outputs).any(|output| path.is_within(&output.path))
    };
    let is_secret = |bytes: &[u8]| secrets.cut(&String::from_utf8_lossy(bytes)).is_some();
    let now = |file: &Changed| {
        let Ok(path) = RelPath::new(&file.path) else { return Now::Outside };
        if let Some(entry) = files().get(&path) {
            return match read(world, entry) {
                Now::File(bytes, _) if is_secret(&bytes) => Now::Left(SECRET),
                Now::File(..) if file.was().is_some_and(is_secret) => Now::Left(SECRET),
                now => now,
            };
        }
        let place = RelPath::new(spec.directory.as_path().join(&file.path)).ok();
        let is_kept_out = |place: &RelPath| is_output(place) || spec.without.iter().any(|out| place.is_within(out));
        if !file.is_gone || !is_all || file.is_ignored || place.as_ref().is_none_or(is_kept_out) {
            return Now::Outside;
        }
        if file.was().is_some_and(is_secret) { Now::Left(SECRET) } else { Now::Gone }
    };
    uncommitted.patch(&now)
}

const SECRET: &str = "it holds a secret";

fn read(world: &World<'_>, content: &Entry) -> Now {
    const LARGEST: u64 = 256 << 10;
    if !matches!(content.kind, Kind::File | Kind::Executable) || content.size > LARGEST {
        return Now::Left("no short text");
    }
    match world.store.get(&content.digest) {
        Ok(Some(bytes)) => Now::File(bytes, content.kind == Kind::Executable),
        _ => Now::Left("it could not be read"),
    }
}
