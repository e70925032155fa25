//! `isolation = "in-place"`: the project itself is the run directory. What lies at the outputs is put by before the run; it
//! comes back where the run fails, and after a kill (`recover.rs`), so that outputs are all or nothing here too.
//!
//! A list in the run's folder, on disk before anything is moved, says what was put by. As long as it is there, the folder
//! holds what may be the only copy of an output, and nobody may remove it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::stage::{StageError, Staged};
use super::{World, publish};
use crate::history::Ended;
use crate::plan::job::{Job, Output};
use crate::project::model::InputPath;
use crate::relpath::RelPath;
use crate::tree::Measured;

/// An output and whether something lay there before the run.
type Entry = (String, bool);

/// The list of what was put by.
fn list(folder: &Path) -> PathBuf {
    folder.join("put-by.json")
}

/// Where the n-th output is put by.
fn by(folder: &Path, number: usize) -> PathBuf {
    folder.join("previous").join(number.to_string())
}

/// Whether a run's folder holds outputs that were put by and did not come back yet.
#[must_use]
pub fn holds_outputs(folder: &Path) -> bool {
    fs::symlink_metadata(list(folder)).is_ok()
}

/// Puts the outputs by.
///
/// # Errors
/// Where the project cannot be written; everything is where it was then.
pub fn stage(
    world: &World<'_>,
    job: &Job,
    inputs: &[(InputPath, Measured)],
    folder: &Path,
) -> Result<Staged, StageError> {
    let previous = folder.join("previous");
    fs::create_dir_all(&previous).map_err(|e| StageError::io("make", &previous, &e))?;
    let there = |output: &Output| fs::symlink_metadata(world.root.join(output.path.as_path())).is_ok();
    let entries: Vec<Entry> = job.outputs.iter().map(|output| (output.path.to_string(), there(output))).collect();
    write_list(folder, &entries).map_err(|e| StageError::io("write", &list(folder), &e))?;
    if let Err(error) = put_by(world, job, &entries, folder) {
        return Err(match undo(world.root, folder) {
            Ok(()) => error,
            Err(why) => match error {
                StageError::Failed(first) => StageError::Failed(format!("{first}; {why}")),
                StageError::Moved => StageError::Moved,
            },
        });
    }
    Ok(Staged {
        folder: world.root.to_owned(),
        cwd: world.root.join(job.source_directory.as_path()),
        linked: inputs.to_vec(),
        mounts: Vec::new(),
        mounted: false,
    })
}

fn put_by(world: &World<'_>, job: &Job, entries: &[Entry], folder: &Path) -> Result<(), StageError> {
    for (number, (output, (_, there))) in job.outputs.iter().zip(entries).enumerate() {
        let at = world.root.join(output.path.as_path());
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent).map_err(|e| StageError::io("make", parent, &e))?;
        }
        if *there {
            publish::shift(&at, &by(folder, number)).map_err(|error| StageError::Failed(error.to_string()))?;
        }
    }
    Ok(())
}

/// The list is on disk before anything moves: after a power cut it must say what the folder holds.
fn write_list(folder: &Path, entries: &[Entry]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, entries)?;
    file.flush()?;
    if entries.iter().any(|(_, there)| *there) {
        file.as_file().sync_all()?;
    }
    file.persist(list(folder)).map(drop).map_err(|error| error.error)
}

/// Brings back what was put by, and removes what an unfinished run left where nothing was. May be repeated.
///
/// # Errors
/// What could not be brought back; it stays where it is then, and so does the list.
pub fn undo(root: &Path, folder: &Path) -> Result<(), String> {
    let bytes = match fs::read(list(folder)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("could not read {}: {error}", list(folder).display())),
    };
    let entries: Vec<Entry> = serde_json::from_slice(&bytes)
        .map_err(|error| format!("could not understand {}: {error}", list(folder).display()))?;
    let mut failed = Vec::new();
    for (number, (path, there)) in entries.iter().enumerate() {
        let Ok(path) = RelPath::new(path) else { continue };
        let (at, by) = (root.join(path.as_path()), by(folder, number));
        let put_by = fs::symlink_metadata(&by).is_ok();
        // What was there and is not put by was never moved, or is back already.
        let undone = match (put_by, there) {
            (true, _) => publish::remove(&at).and_then(|()| publish::shift(&by, &at)),
            (false, true) => Ok(()),
            (false, false) => publish::remove(&at),
        };
        if let Err(why) = undone {
            failed.push(if put_by { format!("{why}; it is kept as {}", by.display()) } else { why.to_string() });
        }
    }
    if failed.is_empty() {
        return fs::remove_file(list(folder)).map_err(|e| format!("could not remove {}: {e}", list(folder).display()));
    }
    Err(failed.join("; "))
}

/// After the run: what was put by comes back where it failed; where it succeeded it goes, but set aside where the store
/// could not give it back.
pub fn settle(world: &World<'_>, job: &Job, folder: &Path, succeeded: bool, ended: &mut Ended) {
    let settled = if succeeded {
        let keep = |(number, output): (usize, &Output)| keep_edited(world, output, &by(folder, number), ended);
        let kept: Result<(), String> = job.outputs.iter().enumerate().try_for_each(keep);
        kept.and_then(|()| fs::remove_file(list(folder)).map_err(|error| error.to_string()))
    } else {
        undo(world.root, folder)
    };
    if let Err(why) = settled {
        ended.notes.push(format!("the outputs of the run before could not be put away: {why}"));
    }
}

fn keep_edited(world: &World<'_>, output: &Output, by: &Path, ended: &mut Ended) -> Result<(), String> {
    if fs::symlink_metadata(by).is_err() {
        return Ok(());
    }
    let relative = by.strip_prefix(world.root).unwrap_or(by);
    let new = ended.outputs.iter().find(|new| new.path == output.path).and_then(crate::staleness::Recorded::content);
    if publish::known(world, relative, new.as_ref()) {
        return Ok(());
    }
    let place = publish::aside_place(world, &output.path, &ended.run.0).map_err(|error| error.to_string())?;
    fs::rename(by, &place).map_err(|error| error.to_string())?;
    ended.notes.push(format!("`{}` was edited by hand: set aside as {}", output.path, place.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Killed after so many outputs were put by, and with what a run wrote: everything is as it was, also the second time.
    #[test]
    fn what_was_put_by_comes_back_from_every_point() {
        for put_by in 0..=2 {
            let place = tempfile::tempdir().unwrap();
            let (root, folder) = (place.path().join("project"), place.path().join("run"));
            write(&root.join("a"), "old");
            write(&root.join("models/one"), "old");
            fs::create_dir_all(folder.join("previous")).unwrap();
            let outputs = ["a", "models", "new"];
            let entries: Vec<Entry> = outputs.iter().map(|o| ((*o).to_owned(), *o != "new")).collect();
            write_list(&folder, &entries).unwrap();
            for (number, output) in outputs.iter().enumerate().take(put_by) {
                publish::shift(&root.join(output), &by(&folder, number)).unwrap();
            }
            if put_by == 2 {
                write(&root.join("a"), "half");
                write(&root.join("models/two"), "half");
                write(&root.join("new/three"), "half");
            }
            assert!(holds_outputs(&folder));
            for _ in 0..2 {
                undo(&root, &folder).unwrap();
                assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "old");
                assert_eq!(fs::read_to_string(root.join("models/one")).unwrap(), "old");
                assert!(!root.join("models/two").exists() && !root.join("new").exists() && !holds_outputs(&folder));
            }
        }
    }
}
