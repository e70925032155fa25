//! `amlrun init`: writes a commented Amlfile after looking at the folder. It never overwrites one.

mod findings;
mod imports;
mod options;
mod propose;

use std::io::Write;
use std::path::Path;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::Common;
use crate::cli::surroundings::Surroundings;
use crate::console;

/// Looks, writes, and says what comes next; with `print` the text goes to stdout and nothing is written.
///
/// # Errors
/// Where there is an Amlfile already, or the folder cannot be written.
pub fn run(print: bool, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let folder = common.directory.as_ref().map_or_else(|| here.cwd.clone(), |directory| here.cwd.join(directory));
    let folder = folder
        .canonicalize()
        .map_err(|error| CliError::world(format!("could not open {}: {error}", folder.display())))?;
    let place = folder.join(common.file.as_deref().unwrap_or(Path::new("Amlfile")));
    let text = propose::propose(&findings::look(&folder));
    if print {
        console::out(&text);
        return Ok(Exit::Done);
    }
    write_new(&place, &text)?;
    if !common.quiet {
        let shown = place.strip_prefix(&here.cwd).unwrap_or(&place).display().to_string();
        console::err(&format!("wrote {}; next: `amlrun -n` says what would run", console::clean::clean(&shown)));
    }
    Ok(Exit::Done)
}

/// Writes a file that is whole or not there, and only where there is none.
pub(super) fn write_new(place: &Path, text: &str) -> Result<(), CliError> {
    let shown = place.display().to_string();
    let exists =
        || CliError::usage(format!("{shown} exists already")).hint("`amlrun init --print` shows what it would write");
    if place.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let failed = |error: std::io::Error| CliError::world(format!("could not write {shown}: {error}"));
    let folder = place.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.prefix(".Amlfile").tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    match file.persist_noclobber(place) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists()),
        Err(error) => Err(failed(error.error)),
    }
}
