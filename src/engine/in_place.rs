//! `isolation = "in-place"`: the project itself is the run directory. What lies at the outputs is put by before the run; it
//! comes back where the run fails, and after a kill (`recover.rs`), so that outputs are all or nothing here too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::stage::{StageError, Staged};
use super::{World, publish};
use crate::history::Ended;
use crate::plan::job::{Job, Output};
use crate::project::model::InputPath;
use crate::relpath::RelPath;
use crate::store::snapshot;
use crate::tree::Measured;

/// Where an output is put by.
fn by(folder: &Path, output: &RelPath) -> PathBuf {
    folder.join("previous").join(output.as_path())
}

/// Puts the outputs by.
///
/// # Errors
/// Where the project cannot be written.
pub fn stage(
    world: &World<'_>,
    job: &Job,
    inputs: &[(InputPath, Measured)],
    folder: &Path,
) -> Result<Staged, StageError> {
    for output in &job.outputs {
        let (at, by) = (world.root.join(output.path.as_path()), by(folder, &output.path));
        for parent in [at.parent(), by.parent()].into_iter().flatten() {
            fs::create_dir_all(parent).map_err(|e| StageError::io("make", parent, &e))?;
        }
        match fs::rename(&at, &by) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StageError::io("put by", &at, &error)),
            _ => {}
        }
    }
    Ok(Staged {
        folder: world.root.to_owned(),
        cwd: world.root.join(job.source_directory.as_path()),
        linked: inputs.to_vec(),
        mounts: Vec::new(),
    })
}

/// After the run: what was put by comes back where it failed; where it succeeded it goes, but set aside where the store
/// could not give it back.
pub fn settle(world: &World<'_>, job: &Job, folder: &Path, succeeded: bool, ended: &mut Ended) {
    for output in &job.outputs {
        let by = by(folder, &output.path);
        let there = fs::symlink_metadata(&by).is_ok();
        let settled = match (succeeded, there) {
            (true, true) => keep_edited(world, output, &by, ended),
            (true, false) => Ok(()),
            (false, _) => {
                let at = world.root.join(output.path.as_path());
                publish::remove(&at)
                    .map_err(|error| error.to_string())
                    .and_then(|()| if there { fs::rename(&by, &at).map_err(|error| error.to_string()) } else { Ok(()) })
            }
        };
        if let Err(why) = settled {
            ended.notes.push(format!("could not put `{}` back: {why}", output.path));
        }
    }
}

fn keep_edited(world: &World<'_>, output: &Output, by: &Path, ended: &mut Ended) -> Result<(), String> {
    let known = |measured: &Measured| snapshot::present(world.store, &measured.content);
    let relative = by.strip_prefix(world.root).unwrap_or(by).to_owned();
    let now = world.ground.measure(&[relative], &super::measuring::Counter::default()).pop();
    if matches!(&now, Some(Ok(Some(measured))) if known(measured) || ended.outputs.iter().any(|o| o.content() == Some(measured.content)))
    {
        return Ok(());
    }
    let place = publish::aside_place(world, &output.path, &ended.run.0).map_err(|error| error.to_string())?;
    fs::rename(by, &place).map_err(|error| error.to_string())?;
    ended.notes.push(format!("`{}` was edited by hand: set aside as {}", output.path, place.display()));
    Ok(())
}
