//! A shared cache in a folder, on this machine or on a network file system.
//!
//! A blob is written beside its place, made durable, and then given its name by `link(2)`, which fails where the name is
//! taken: so the first of several writers wins, on NFS too, and a reader sees all of it or nothing. Whoever may write the
//! cache's folder may write what is made in it, whatever the umask of who made it: folders take over its permissions, and
//! blobs, which never change, are read-only for all who may read the folder. No file is writable for everybody.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Created, Fault, Kind, LAYOUT, Listed, Name, Range, Remote};

/// The folder for blobs that are not complete, below the layout's.
const INCOMING: &str = "incoming";

/// A folder.
#[derive(Debug)]
pub struct FolderRemote {
    root: PathBuf,
}

impl FolderRemote {
    /// The cache in a folder, which is made when the first blob is put. Nothing is read or written before it is used.
    #[must_use]
    pub fn open(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.root.join(name.to_string())
    }

    /// Makes a folder below the root, with the root's permissions.
    fn make_folder(&self, path: &Path) -> Result<(), Fault> {
        if path.is_dir() {
            return Ok(());
        }
        if !self.root.is_dir() {
            fs::create_dir_all(&self.root).map_err(|e| fault("make", &self.root, &e))?;
        }
        let mode = fs::metadata(&self.root).map_err(|e| fault("read", &self.root, &e))?.mode();
        // A folder that all may write to lets all remove what others put there, unless it is sticky.
        let mode = if mode & 0o002 == 0 { mode } else { mode | 0o1000 } & 0o7777;
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        let mut at = self.root.clone();
        for part in below.components() {
            at.push(part);
            match fs::create_dir(&at) {
                // Who is not its owner got here second.
                Ok(()) => drop(fs::set_permissions(&at, Permissions::from_mode(mode))),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(fault("make", &at, &error)),
            }
        }
        Ok(())
    }

    /// Writes a blob beside its place.
    fn write(&self, name: &Name, bytes: &[u8]) -> Result<(tempfile::TempPath, PathBuf), Fault> {
        let to = self.path(name);
        let incoming = self.root.join(LAYOUT).join(INCOMING);
        self.make_folder(&incoming)?;
        self.make_folder(to.parent().unwrap_or(&self.root))?;
        let readable = fs::metadata(&self.root).map_err(|e| fault("read", &self.root, &e))?.mode() & 0o444;
        let mut file = tempfile::Builder::new()
            .prefix("blob-")
            .tempfile_in(&incoming)
            .map_err(|e| fault("write into", &incoming, &e))?;
        let written = file
            .write_all(bytes)
            .and_then(|()| file.as_file().set_permissions(Permissions::from_mode(readable | 0o400)))
            .and_then(|()| file.as_file().sync_all());
        written.map_err(|e| fault("write", file.path(), &e))?;
        Ok((file.into_temp_path(), to))
    }

    /// Makes a name durable.
    fn sync(path: &Path) {
        if let Some(folder) = path.parent() {
            // What a power cut takes of a name is a blob that is not there, which is a miss.
            drop(File::open(folder).and_then(|folder| folder.sync_all()));
        }
    }
}

fn fault(doing: &str, path: &Path, error: &io::Error) -> Fault {
    let text = format!("could not {doing} {}: {error}", path.display());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Fault::Full(text),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Fault::Refused(text),
        _ => Fault::Down(text),
    }
}

/// Whether nothing is there.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl Remote for FolderRemote {
    fn get(&self, name: &Name, part: Option<Range>) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.path(name);
        let failed = |error: io::Error| fault("read", &path, &error);
        // Looked at first: opening a pipe would wait for its other end.
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if !found.is_file() {
            return Err(Fault::Wrong(format!("{} is not a file", path.display())));
        }
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        if let Some(part) = part {
            let length = part.length.min(found.len().saturating_sub(part.from)).min(name.kind.limit());
            bytes.resize(usize::try_from(length).unwrap_or_default(), 0);
            return match file.read_exact_at(&mut bytes, part.from) {
                Ok(()) => Ok(Some(bytes)),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    Err(Fault::Wrong(format!("{} became shorter", path.display())))
                }
                Err(error) => Err(failed(error)),
            };
        }
        let limit = name.kind.limit();
        let read = Read::by_ref(&mut file).take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if read as u64 > limit {
            return Err(Fault::Wrong(format!("{} is larger than anything that belongs there", path.display())));
        }
        Ok(Some(bytes))
    }

    fn size(&self, name: &Name) -> Result<Option<u64>, Fault> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(fault("read", &path, &error)),
        }
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created, Fault> {
        if self.size(name)?.is_some() {
            return Ok(Created::Exists);
        }
        let (from, to) = self.write(name, bytes)?;
        match fs::hard_link(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Created::Exists),
            // A file system without links.
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                match from.persist_noclobber(&to) {
                    Ok(()) => {}
                    Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Ok(Created::Exists),
                    Err(error) => return Err(fault("write", &to, &error.error)),
                }
            }
            Err(error) => return Err(fault("write", &to, &error)),
        }
        Self::sync(&to);
        Ok(Created::New)
    }

    fn replace(&self, name: &Name, bytes: &[u8]) -> Result<(), Fault> {
        let (from, to) = self.write(name, bytes)?;
        from.persist(&to).map_err(|error| fault("write", &to, &error.error))?;
        Self::sync(&to);
        Ok(())
    }

    fn list(&self, kind: Kind) -> Result<Vec<Listed>, Fault> {
        let folder = self.root.join(LAYOUT).join(kind.folder());
        let mut found = Vec::new();
        for fan in entries(&folder)? {
            for path in entries(&fan)? {
                let Some(name) = path.strip_prefix(&self.root).ok().and_then(Path::to_str).and_then(Name::of_path)
                else {
                    continue;
                };
                // One that another process removed meanwhile is none.
                if let Ok(about) = fs::metadata(&path)
                    && let Ok(written) = about.modified()
                {
                    found.push(Listed { name, size: about.len(), written });
                }
            }
        }
        Ok(found)
    }

    fn tidy(&self, older: SystemTime) {
        for path in entries(&self.root.join(LAYOUT).join(INCOMING)).unwrap_or_default() {
            let written = fs::symlink_metadata(&path).and_then(|found| found.modified());
            if written.is_ok_and(|written| written < older) {
                drop(fs::remove_file(&path));
            }
        }
    }

    fn remove(&self, name: &Name) -> Result<(), Fault> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if !is_absent(&error) => Err(fault("remove", &path, &error)),
            _ => Ok(()),
        }
    }
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(fault("list", folder, &error)),
    };
    listed.map(|entry| entry.map(|entry| entry.path()).map_err(|e| fault("list", folder, &e))).collect()
}
