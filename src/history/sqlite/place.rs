//! Where the database lies: what kind of file system that is, whether the file moved, how it is set aside.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `f_type` of file systems that are, or may be, shared between machines, where WAL's shared memory does not work.
/// From statfs(2) and the file systems' own headers.
const NETWORK: [u32; 17] = [
    0x0000_6969, // NFS
    0x0000_517B, // SMB
    0xFF53_4D42, // CIFS
    0xFE53_4D42, // SMB2
    0x0BD0_0BD0, // Lustre
    0x6573_5546, // FUSE: sshfs, gcsfuse, …
    0x4750_4653, // GPFS
    0x5346_414F, // AFS
    0x6B41_4653, // kAFS
    0x00C3_6400, // Ceph
    0x0102_1997, // 9p
    0x1983_0326, // BeeGFS
    0x7375_7245, // Coda
    0x7461_636F, // OCFS2
    0x0116_1970, // GFS2
    0xAAD7_AAEA, // PanFS
    0x786F_4256, // VirtualBox shared folders
];

/// Whether the folder is on such a file system.
pub(super) fn on_network(folder: &Path) -> bool {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "magic numbers have 32 bits")]
    rustix::fs::statfs(folder).is_ok_and(|about| NETWORK.contains(&(about.f_type as u32)))
}

/// The folder that the database lies in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that SQLite keeps beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The identity of the file as far as `stat` can tell: device, inode, size, mtime and ctime in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Device and inode: another file took its place where these differ.
    pub(super) file: (u64, u64),
    size: u64,
    changed: [i64; 4],
}

/// The stamp of the file; none where there is no file, or an empty one.
pub(super) fn stamp(path: &Path) -> std::io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(about) if about.len() == 0 => Ok(None),
        Ok(about) => Ok(Some(Stamp {
            file: (about.dev(), about.ino()),
            size: about.len(),
            changed: [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()],
        })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Which file is there: device and inode.
pub(super) fn file(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).map(|about| (about.dev(), about.ino())).ok()
}

/// Whether commits lie in a write-ahead log beside the database, or a rollback journal does: another process has it open,
/// or was killed.
pub(super) fn has_log(path: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|suffix| fs::metadata(beside(path, suffix)).is_ok_and(|about| about.len() > 0))
}

/// Held while the database is made or set aside, so that two processes do not both do it. A lock on the folder itself,
/// which leaves no file; where the file system has no locks there is none, and making the database is still safe.
pub(super) fn guard(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).ok()?;
    Some(folder)
}

/// Sets a damaged database aside as `history.db.corrupt-<n>`, unless another process did so since `file` was seen. Returns
/// its new place.
pub(super) fn set_aside(path: &Path, file: Option<(u64, u64)>) -> std::io::Result<Option<PathBuf>> {
    let _guard = guard(folder(path));
    let there = self::file(path);
    if there.is_none() || (file.is_some() && there != file) {
        return Ok(None);
    }
    let mut n = 1;
    let place = loop {
        let place = beside(path, &format!(".corrupt-{n}"));
        if fs::symlink_metadata(&place).is_err() {
            break place;
        }
        n += 1;
    };
    // The log first: beside a new database it would be taken for that one's.
    for suffix in ["-wal", "-journal"] {
        match fs::rename(beside(path, suffix), beside(&place, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::remove_file(beside(path, "-shm")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(path, &place)?;
    Ok(Some(place))
}
