//! How the store touches files: modes whatever the umask, nothing half-written left behind.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::store::StoreError;

/// The permissions of a file that is restored, before the umask; never writable for everybody.
pub(in crate::store) fn mode(executable: bool, read_only: bool) -> u32 {
    match (executable, read_only) {
        (false, false) => 0o664,
        (true, false) => 0o775,
        (false, true) => 0o444,
        (true, true) => 0o555,
    }
}

/// Makes a folder and those above it, where they are missing.
pub(in crate::store) fn make_folder(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o775).create(path).map_err(StoreError::at("create", path))
}

/// Makes one new folder.
pub(in crate::store) fn make_new_folder(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().mode(0o775).create(path).map_err(StoreError::at("create", path))
}

/// Opens a regular file for reading; never waits for the other end of a pipe.
pub(in crate::store) fn open_regular(path: &Path) -> Result<(File, Metadata), StoreError> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(StoreError::at("read", path))?;
    let found = file.metadata().map_err(StoreError::at("read", path))?;
    if !found.is_file() {
        let why = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(StoreError::at("read", path)(why));
    }
    Ok((file, found))
}

/// Reads a file of about `size` bytes to its end, into the beginning of a buffer, which grows as needed and never shrinks;
/// returns how many there were, none where they are more than `most`.
pub(in crate::store) fn read_up_to(
    mut file: &File,
    size: u64,
    most: u64,
    bytes: &mut Vec<u8>,
) -> io::Result<Option<usize>> {
    // One byte more, so that growth is seen.
    let mut wanted = usize::try_from(size).unwrap_or_default() + 1;
    let mut filled = 0;
    loop {
        if bytes.len() < wanted {
            bytes.resize(wanted, 0);
        }
        let n = match file.read(&mut bytes[filled..wanted]) {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            n => n?,
        };
        filled += n;
        if filled as u64 > most {
            return Ok(None);
        }
        // All that was promised and nothing more: the end, without another call.
        if n == 0 || (filled as u64 == size && filled < wanted) {
            return Ok(Some(filled));
        }
        if filled == wanted {
            wanted += 64 << 10;
        }
    }
}

/// Writes a new file, which must not exist; where it cannot be written whole, none is left.
pub(in crate::store) fn write_new(to: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(to);
    let mut file = opened.map_err(StoreError::at("create", to))?;
    file.write_all(bytes).map_err(|why| {
        discard(to);
        StoreError::at("write", to)(why)
    })
}

/// Removes a file of our own that is of no use; that it stays is no harm.
pub(in crate::store) fn discard(path: &Path) {
    drop(std::fs::remove_file(path));
}

/// Whether the disk could not give back what was written to it.
pub(in crate::store) fn is_bad_block(why: &io::Error) -> bool {
    why.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
