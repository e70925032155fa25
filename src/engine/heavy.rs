//! Snapshots that weigh more than they should: told with the files that make them so, never refused.
//!
//! Called by the engine before a run, and by `amlrun snapshot ls --explain`.

use super::World;
use super::measuring::Counter;
use super::turn::Engine;
use crate::content::Kind;
use crate::ids::JobId;
use crate::relpath::{RelPath, escape};
use crate::tree::{Measured, SourceSpec, What};

/// Bytes; over it the original refused a snapshot (`SNAPSHOT_MAX_SIZE_BYTES`, azureml-core 1.60).
pub const HEAVY: u64 = 300 << 20;
/// So many of the largest files are named, the first whatever its size, the others from this many bytes on.
const NAMED: (usize, u64) = (3, HEAVY / 20);

/// What to tell of a snapshot over [`HEAVY`]; none of a lighter one.
#[must_use]
pub fn warning(world: &World<'_>, spec: &SourceSpec, measured: &Measured) -> Option<String> {
    if measured.content.size <= HEAVY {
        return None;
    }
    let mut files: Vec<(u64, RelPath)> = Vec::new();
    if let Ok((_, folders)) = world.ground.folders(What::Sources(spec), &Counter::default()) {
        for folder in folders {
            let at = spec.directory.join(folder.path.as_path());
            let leaves = folder.entries.iter().filter(|entry| entry.kind != Kind::Folder);
            let path = |name: &[u8]| at.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name));
            files.extend(leaves.map(|entry| (entry.size, path(&entry.name))));
        }
    }
    files.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let named: Vec<String> = files
        .iter()
        .enumerate()
        .filter(|(at, (size, _))| *at == 0 || (*at < NAMED.0 && *size >= NAMED.1))
        .map(|(_, file)| file)
        .map(|(size, path)| format!("`{}` ({} MiB)", escape(path.as_bytes()), size >> 20))
        .collect();
    Some(format!(
        "the snapshot of `{}` has {} MiB, over {} MiB; its largest files are {}: an ignore rule or `sources` leaves out what \
         the script does not read, and `inputs` is the place of data (`amlrun snapshot ls --explain` shows all)",
        if spec.directory.is_root() { ".".to_owned() } else { escape(spec.directory.as_bytes()) },
        measured.content.size >> 20,
        HEAVY >> 20,
        named.join(", "),
    ))
}

impl Engine<'_, '_, '_> {
    /// Warns of a job's snapshot, once a snapshot.
    pub(super) fn weigh(&mut self, job: JobId) {
        let found = &self.judge.found;
        let Some(at) = found.spec_of[job.0].filter(|at| found.sources[*at].content.size > HEAVY) else { return };
        if self.weighed.insert(at)
            && let Some(text) = warning(self.judge.world, &found.specs[at], &found.sources[at])
        {
            self.teller.warn(None, text);
        }
    }
}
