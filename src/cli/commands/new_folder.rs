//! A folder that a command makes for the user: there whole, or not at all.
//!
//! Used by `runs restore --to` and `snapshot restore`. Nothing that was there before is ever touched.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::error::CliError;

/// A folder on its way: what it holds is made beside its place. Dropped before it is [put](NewFolder::put), it is gone.
pub(super) struct NewFolder {
    to: PathBuf,
    near: tempfile::TempDir,
}

impl NewFolder {
    /// Begins the folder `to`, which must not be there yet, or be empty.
    ///
    /// # Errors
    /// Where something is there, or its parent cannot be written.
    pub(super) fn new(to: &Path) -> Result<Self, CliError> {
        let taken = match fs::read_dir(to) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) => fs::symlink_metadata(to).is_ok(),
        };
        if taken {
            return Err(CliError::usage(format!("`{}` is there already", to.display()))
                .hint("name a folder that does not exist yet"));
        }
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let make = || {
            fs::create_dir_all(parent)?;
            let near = tempfile::Builder::new().prefix(".amlrun-restore-").tempdir_in(parent)?;
            fs::create_dir(near.path().join("new"))?;
            Ok(near)
        };
        let near = make().map_err(|error| failed(to, &error))?;
        Ok(Self { to: to.to_owned(), near })
    }

    /// Where to write what it is to hold.
    pub(super) fn inside(&self) -> PathBuf {
        self.near.path().join("new")
    }

    /// Puts it at its place, in one step.
    ///
    /// # Errors
    /// Where that cannot be done.
    pub(super) fn put(self) -> Result<(), CliError> {
        fs::rename(self.inside(), &self.to).map_err(|error| failed(&self.to, &error))
    }
}

fn failed(to: &Path, error: &std::io::Error) -> CliError {
    CliError::world(format!("could not write `{}`: {error}", to.display()))
}
