//! Judges one job: its fingerprint now, what is on record, what lies in the project. Pure.

use serde::{Deserialize, Serialize};

use crate::content::{Content, Kind};
use crate::digest::Digest;
use crate::ids::RunId;
use crate::relpath::RelPath;

use super::{Fingerprint, Key, Reason, Verdict, differences, reason::Repair};

/// An output as a run left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Where it is published.
    pub path: RelPath,
    /// `f`, `x`, `l` or `d`: see [`Kind`].
    pub tag: char,
    /// Its content.
    pub digest: Digest,
    /// Bytes in all.
    pub size: u64,
}

impl Recorded {
    /// An output of this content.
    #[must_use]
    pub fn new(path: RelPath, content: Content) -> Self {
        Self { path, tag: char::from(content.kind.tag()), digest: content.digest, size: content.size }
    }

    /// The content; none where the tag is not one (a record of a newer format).
    #[must_use]
    pub fn content(&self) -> Option<Content> {
        let kind = u8::try_from(self.tag).ok().and_then(Kind::of_tag)?;
        Some(Content { kind, digest: self.digest, size: self.size })
    }
}

/// A successful run of the same fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The run.
    pub run: RunId,
    /// Its outputs.
    pub outputs: Vec<Recorded>,
}

/// What lies at the place of a declared output, and whether the store could replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The declared output.
    pub path: RelPath,
    /// What is there now.
    pub content: Option<Content>,
}

/// The last run of the job on record, whatever became of it.
#[derive(Debug, Clone)]
pub struct Last {
    /// The run.
    pub run: RunId,
    /// Its status, as in `Failed`.
    pub status: String,
    /// What it depended on.
    pub fingerprint: Fingerprint,
    /// Whether its inputs moved while it ran.
    pub inputs_moved: bool,
    /// Whether its result may be reused, as far as the run itself goes.
    pub cached: bool,
}

/// What is asked of the judge besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Orders {
    /// `--force`.
    pub force: bool,
    /// `cache = false`.
    pub no_cache: bool,
}

/// The quick half: fresh with its repairs, or none where the job is stale. `in_store` tells whether an object (a whole
/// tree for a folder) could be restored.
#[must_use]
pub fn fresh(
    orders: Orders,
    past: Option<&Past>,
    present: &[Present],
    in_store: &dyn Fn(&Recorded) -> bool,
) -> Option<Verdict> {
    if orders.force || orders.no_cache {
        return None;
    }
    let past = past?;
    let mut repairs = Vec::new();
    for now in present {
        let recorded = past.outputs.iter().find(|o| o.path == now.path)?;
        if now.content.is_some() && now.content == recorded.content() {
            continue;
        }
        if !in_store(recorded) {
            return None;
        }
        repairs.push(Repair { path: now.path.clone(), modified: now.content.is_some() });
    }
    Some(Verdict::Fresh { since: past.run.clone(), repairs })
}

/// A file that differs: its path, what it was and what it is (short digests).
pub type Differing<P> = (P, Option<String>, Option<String>);

/// What the slow half may ask for, to name the differences.
pub trait Memory {
    /// The facts behind an environment's digest.
    fn key(&self, digest: &Digest) -> Option<Key>;
    /// The files that differ between two trees of sources: path, was, is. None where a tree is no longer known.
    fn tree_difference(&self, was: &Digest, is: &Digest) -> Option<Vec<Differing<RelPath>>>;
    /// The same for an input; the paths are those of the files as the user knows them.
    fn input_difference(&self, name: &str, was: &Digest, is: &Digest) -> Option<Vec<Differing<String>>>;
}

/// The slow half: all the reasons of a stale job. Never empty.
#[must_use]
pub fn reasons(
    orders: Orders,
    now: &Fingerprint,
    past: Option<&Past>,
    last: Option<&Last>,
    present: &[Present],
    in_store: &dyn Fn(&Recorded) -> bool,
    memory: &dyn Memory,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if orders.force {
        reasons.push(Reason::Forced);
    }
    if orders.no_cache {
        reasons.push(Reason::NotCached);
    }
    match (past, last) {
        (Some(past), _) => {
            for output in present {
                match past.outputs.iter().find(|o| o.path == output.path) {
                    None => reasons.push(Reason::OutputNotRecorded { path: output.path.clone() }),
                    Some(recorded) if output.content != recorded.content() && !in_store(recorded) => {
                        reasons.push(Reason::OutputLost { path: output.path.clone() });
                    }
                    Some(_) => {}
                }
            }
        }
        (None, None) => reasons.push(Reason::NeverRan),
        (None, Some(last)) => {
            differences::between(&last.fingerprint, now, memory, &mut reasons);
            if last.inputs_moved {
                reasons.push(Reason::InputsMoved { run: last.run.clone() });
            } else if last.status != "Completed" {
                reasons.push(Reason::LastRunFailed { run: last.run.clone(), status: last.status.clone() });
            } else if reasons.is_empty() && !last.cached {
                reasons.push(Reason::LastRunNotCached { run: last.run.clone() });
            }
        }
    }
    if reasons.is_empty() {
        reasons.push(Reason::NeverRan);
    }
    reasons
}
