//! What `stat` says about a file, and when that proves that its bytes are the same as before.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags};
use rustix::io::Errno;
use rustix::time::ClockId;

use super::Stamp;

/// Only what the stat cache compares: some file systems compute the rest.
const MASK: StatxFlags = StatxFlags::from_bits_retain(
    StatxFlags::TYPE.bits()
        | StatxFlags::MODE.bits()
        | StatxFlags::INO.bits()
        | StatxFlags::SIZE.bits()
        | StatxFlags::MTIME.bits()
        | StatxFlags::CTIME.bits(),
);

/// A file's identity. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) ctime: i64,
    pub(super) mode: u32,
}

impl Probe {
    /// Looks at a name in a folder, not following a symlink.
    pub(super) fn of(folder: BorrowedFd<'_>, name: &CStr) -> Result<Self, Errno> {
        rustix::fs::statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, MASK).map(|s| Self::from_statx(&s))
    }

    /// Looks at what a name leads to.
    pub(super) fn through(folder: BorrowedFd<'_>, name: &CStr) -> Result<Self, Errno> {
        rustix::fs::statx(folder, name, AtFlags::empty(), MASK).map(|s| Self::from_statx(&s))
    }

    /// Looks at an open file.
    pub(super) fn open(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, MASK).map(|s| Self::from_statx(&s))
    }

    fn from_statx(stat: &Statx) -> Self {
        let nanoseconds =
            |t: rustix::fs::StatxTimestamp| t.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(t.tv_nsec));
        Self {
            device: (u64::from(stat.stx_dev_major) << 32) | u64::from(stat.stx_dev_minor),
            inode: stat.stx_ino,
            size: stat.stx_size,
            mtime: nanoseconds(stat.stx_mtime),
            ctime: nanoseconds(stat.stx_ctime),
            mode: u32::from(stat.stx_mode),
        }
    }

    /// Of nothing: stands where no stamp is known and none is asked for.
    pub(super) const fn none() -> Self {
        Self { device: 0, inode: 0, size: 0, mtime: 0, ctime: 0, mode: 0 }
    }

    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// Whether its owner may execute it.
    pub(super) fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Whether the same stamp will prove the same bytes: it was last changed before `now`, so that every later change gets
    /// another stamp. Changes within one tick of the file system's clock share a stamp (the racy rule of git's index); a
    /// time in the future proves nothing, since the clock will pass it again.
    pub(super) fn is_settled(&self, now: i64) -> bool {
        let (oldest, newest) = (self.mtime.min(self.ctime), self.mtime.max(self.ctime));
        oldest > i64::MIN && newest < now.saturating_sub(self.grain())
    }

    /// How coarse its file system's times may be. FAT counts in 2 s, exFAT in 10 ms, HFS+ and some servers in whole seconds;
    /// such times end in zeroes. A fine time that ends so by chance is only distrusted for a moment.
    fn grain(&self) -> i64 {
        const GRAINS: [(i64, i64); 3] =
            [(1_000_000_000, 2_000_000_000), (10_000_000, 20_000_000), (1_000_000, 2_000_000)];
        GRAINS.iter().find(|(unit, _)| self.mtime % unit == 0 && self.ctime % unit == 0).map_or(0, |(_, grain)| *grain)
    }
}

impl From<Probe> for Stamp {
    fn from(probe: Probe) -> Self {
        Self {
            inode: probe.inode,
            size: probe.size,
            mtime: i128::from(probe.mtime),
            ctime: i128::from(probe.ctime),
            mode: probe.mode,
        }
    }
}

/// The clock that stamps files of local file systems: Linux gives them the coarse time of day, so no change after this
/// moment gets an older stamp.
pub(super) fn now() -> i64 {
    let time = rustix::time::clock_gettime(ClockId::RealtimeCoarse);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_settles_once_the_clock_has_moved_on() {
        const S: i64 = 1_000_000_000;
        let check = |mtime: i64, ctime: i64, now: i64, settled: bool| {
            let probe = Probe { device: 1, inode: 1, size: 1, mtime, ctime, mode: 0o100_644 };
            assert_eq!(probe.is_settled(now), settled, "mtime {mtime} ctime {ctime} now {now}");
        };
        check(S + 7, S + 7, S + 8, true);
        check(S + 7, S + 7, S + 7, false);
        check(S + 7, S + 9, S + 8, false);
        check(S + 9, S + 7, S + 8, false);
        // Whole seconds: the file system may count in two of them.
        check(4 * S, 4 * S, 5 * S, false);
        check(4 * S, 4 * S, 6 * S + 1, true);
        check(4 * S, 4 * S + 7, 5 * S, true);
        check(i64::MAX, S, 9 * S, false);
        check(i64::MIN, S + 7, 9 * S, false);
    }
}
