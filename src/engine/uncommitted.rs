//! What a run had that its commit has not, as a patch beside its snapshot.
//!
//! Made once for each snapshot, before the job starts, of what the snapshot holds; so nothing is in it that ignore rules keep
//! out of snapshots, and no file that holds the value of a secret.
//!
//! While the run goes on it lies beside its logs, and there it stays where amlrun is killed: the record of such a run is
//! closed by another invocation, which could not make it any more. With the run's end it goes into the store.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::World;
use super::attempt::{Bench, Task};
use crate::content::{Content, Entry, Kind, encode};
use crate::digest::Digest;
use crate::history::Ended;
use crate::ids::RunId;
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
    /// Makes the patch of a task's snapshot, unless it was made, and puts it beside the logs of the run. Whoever asks
    /// meanwhile waits: it would only do the same.
    pub fn make(&self, bench: Bench<'_>, task: &Task, run: &RunId) {
        let (Some(key), Some((spec, _))) = (key(task), &task.sources) else { return };
        let place = place(bench.world.state, run);
        // A run that is submitted once more has the one of then: the commit may be another one now.
        if place.exists() {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = known.entry(key).or_insert_with_key(|(_, tree)| patch(bench, spec, tree).map(Arc::new)).clone();
        drop(known);
        if let Some(text) = made {
            // Where that cannot be written, the run still has it at its end.
            let _ = write(&place, text.as_bytes());
        }
    }

    /// Puts the patch of a run into the store, where one was made: by this invocation or by the one that submitted the run.
    pub fn keep(&self, world: &World<'_>, task: &Task, run: &RunId) -> Option<Recorded> {
        let made = || {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Some(known.get(&key(task)?)?.as_ref()?.as_bytes().to_vec())
        };
        let bytes = fs::read(place(world.state, run)).ok().or_else(made)?;
        let digest = world.store.put(&bytes).ok()?;
        let content = Content { kind: Kind::File, digest, size: bytes.len() as u64 };
        Some(Recorded::new(RelPath::new(PATCH).ok()?, content))
    }
}

/// Where the patch of a run is that is not over, or that nobody saw the end of.
fn place(state: &Path, run: &RunId) -> PathBuf {
    state.join("runs").join(&run.0).join(PATCH)
}

/// Whole or not at all: a kill leaves no half of it.
fn write(place: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = place.parent().unwrap_or(place);
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.persist(place).map(drop).map_err(|error| error.error)
}

/// Removes the patch beside the logs of a run, once the record has it.
pub fn settle(state: &Path, ended: &Ended) {
    if ended.kept.iter().any(|kept| kept.path.as_bytes() == PATCH.as_bytes()) {
        let _ = fs::remove_file(place(state, &ended.run));
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
