//! What `stat` says of a file or folder: the cheap evidence that it is the one that was read before.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A folder or file that changed less than this before it was read may have changed again within the file system's
/// resolution of time: such a reading proves nothing later on (in nanoseconds).
const RACY: i64 = 2_000_000_000;

/// The evidence; equal stamps that are old enough mean equal content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    mtime: i64,
    ctime: i64,
}

impl Stamp {
    /// The stamp of what a path leads to, links followed; none where nothing is there.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let data = path.metadata().ok()?;
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Some(Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            mtime: nanoseconds(data.mtime(), data.mtime_nsec()),
            ctime: nanoseconds(data.ctime(), data.ctime_nsec()),
        })
    }

    /// Whether it had been at rest for a while when it was read at `read` (milliseconds since 1970). The change time is
    /// asked alone: it cannot be set by hand, and moves whenever the modification time does.
    fn settled(self, read: u64) -> bool {
        let read = i64::try_from(read).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        self.ctime.saturating_add(RACY) <= read
    }
}

/// A path and what was there when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Witness {
    path: PathBuf,
    stamp: Option<Stamp>,
}

impl Witness {
    /// Takes the evidence. To be called before what it stands for is read.
    pub(super) fn of(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { stamp: Stamp::of(&path), path }
    }

    /// Whether what was read at `read` (milliseconds since 1970) is still there, beyond doubt.
    pub(super) fn holds(&self, read: u64) -> bool {
        Stamp::of(&self.path) == self.stamp && self.stamp.is_none_or(|stamp| stamp.settled(read))
    }
}
