//! Who is in the store: many who put things there and record them, or one who clears it up, never both at once.
//!
//! Three files that are only locked, and one that counts. A lock ends with its process, so nothing is ever to be unlocked.
//!
//! ```text
//! gate.lock     passed by whoever goes in; held by whoever clears up, so that nobody new goes in while it waits
//! use.lock      shared by those inside; alone for whoever clears up
//! clear.lock    one clearing at a time
//! generation    grows when packs are taken away: what was read of them before is to be read again
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::files;
use crate::store::StoreError;

fn open(folder: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o664).open(folder.join(name))
}

/// Locks, whatever signals arrive meanwhile.
fn patiently(lock: impl Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Goes in, waiting for a clearing to end; inside as long as the answer is open. None where there are no locks: there
/// nothing can be cleared up either.
pub(super) fn enter(folder: &Path) -> Option<File> {
    files::make_folder(folder).ok()?;
    let gate = open(folder, "gate.lock").ok()?;
    patiently(|| gate.lock_shared()).ok()?;
    let inside = open(folder, "use.lock").ok()?;
    patiently(|| inside.lock_shared()).ok()?;
    Some(inside)
}

/// Waits until nobody is inside, and keeps everybody out as long as the answer is open.
pub(super) fn alone(folder: &Path) -> Result<(File, File), StoreError> {
    let take = |name: &str| -> io::Result<File> {
        let file = open(folder, name)?;
        patiently(|| file.lock())?;
        Ok(file)
    };
    let both = || Ok((take("gate.lock")?, take("use.lock")?));
    both().map_err(StoreError::at("lock", folder))
}

/// The right to clear up; none where another process is at it.
pub(super) fn clearer(folder: &Path) -> Result<Option<File>, StoreError> {
    let file = open(folder, "clear.lock").map_err(StoreError::at("lock", folder))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(why)) => Err(StoreError::at("lock", folder)(why)),
    }
}

/// How often packs were taken away.
pub(super) fn generation(folder: &Path) -> u64 {
    let text = fs::read_to_string(folder.join("generation")).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// Tells all others that packs are about to go. Only while [`alone`].
pub(super) fn advance(folder: &Path) -> Result<(), StoreError> {
    let next = generation(folder) + 1;
    let path = folder.join("generation");
    let write = || {
        let mut file = tempfile::Builder::new().prefix("generation-").tempfile_in(folder)?;
        writeln!(file, "{next}")?;
        file.as_file().sync_data()?;
        file.persist(&path).map_err(|refused| refused.error)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(StoreError::at("write", &path))
}
