//! The run directory: the snapshot and the inputs at their project-relative paths, so that what was hashed is what runs.
//!
//! Small inputs are copied. Large ones are not: they are bound read-only where the system allows mounts, else linked, and
//! looked at again after the run. Nothing here may write outside of the run directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::measuring::{Counter, ground_path, no_sources};
use super::{World, in_place};
use crate::content::Kind;
use crate::plan::job::{Job, Role};
use crate::project::model::{InputPath, Isolation};
use crate::store::{restore, snapshot};
use crate::tree::{Measured, SourceSpec};

/// A file up to this size is copied.
const COPIED_FILE: u64 = 4 << 20;
/// A folder up to this size and this many files is copied.
const COPIED_FOLDER: (u64, u64) = (4 << 20, 64);

/// A run directory, ready.
#[derive(Debug)]
pub struct Staged {
    /// Its root, which stands for the workspace's folder.
    pub folder: PathBuf,
    /// The working directory.
    pub cwd: PathBuf,
    /// Inputs that were not copied: what they were when the job was judged.
    pub linked: Vec<(InputPath, Measured)>,
    /// What is to be bound read-only.
    pub mounts: Vec<(PathBuf, PathBuf)>,
    /// Whether read-only mounts are certain, so that nothing need be linked.
    pub mounted: bool,
}

/// Why a run directory could not be made.
#[derive(Debug)]
pub enum StageError {
    /// Sources or inputs are no longer what they were when the job was judged.
    Moved,
    /// The world said no.
    Failed(String),
}

impl StageError {
    pub(super) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::Failed(format!("could not {doing} {}: {error}", path.display()))
    }
}

/// Makes the run directory of a job. `mounted`: whatever is to be bound will be, by a container's engine.
///
/// # Errors
/// Where something moved, or the world said no.
pub fn stage(
    world: &World<'_>,
    job: &Job,
    sources: Option<(&SourceSpec, &Measured)>,
    inputs: &[(InputPath, Measured)],
    folder: &Path,
    mounted: bool,
) -> Result<Staged, StageError> {
    if job.isolation == Isolation::InPlace {
        return in_place::stage(world, job, inputs, folder);
    }
    let make = |path: &Path| fs::create_dir_all(path).map_err(|e| StageError::io("make", path, &e));
    make(folder)?;
    let cwd = folder.join(job.source_directory.as_path());
    make(&cwd)?;
    if let Some((spec, measured)) = sources
        && measured.content.digest != no_sources().digest
    {
        // What a trial runs from was kept when its sweep began: an edit meanwhile does not part it from the others.
        if job.role != Role::Trial {
            let kept = snapshot::keep_sources(world.store, world.ground, spec, &Counter::default())
                .map_err(|error| StageError::Failed(error.to_string()))?;
            if kept.content.digest != measured.content.digest {
                return Err(StageError::Moved);
            }
        }
        let written = restore::write_sources(world.store, &measured.content.digest, &cwd)
            .map_err(|error| StageError::Failed(error.to_string()))?;
        if !written {
            return Err(StageError::Moved);
        }
    }
    let mut staged = Staged { folder: folder.to_owned(), cwd, linked: Vec::new(), mounts: Vec::new(), mounted };
    // An input below another is there with it; copying it again would write through a link into the project.
    let below = |path: &InputPath| match path {
        InputPath::Inside(path) => inputs.iter().any(|(other, _)| match other {
            InputPath::Inside(other) => other != path && path.is_within(other),
            InputPath::Absolute(_) => false,
        }),
        InputPath::Absolute(_) => false,
    };
    let distinct: std::collections::BTreeMap<&InputPath, &Measured> =
        inputs.iter().map(|(path, m)| (path, m)).collect();
    for (path, measured) in distinct {
        if !below(path) {
            staged.input(world, path, measured)?;
        }
    }
    for output in &job.outputs {
        if let Some(parent) = folder.join(output.path.as_path()).parent() {
            make(parent)?;
        }
    }
    if matches!(job.command, crate::plan::job::Command::Script { .. }) {
        make(&staged.cwd.join("outputs"))?;
        make(&staged.cwd.join("logs"))?;
    }
    Ok(staged)
}

impl Staged {
    fn input(&mut self, world: &World<'_>, path: &InputPath, measured: &Measured) -> Result<(), StageError> {
        let InputPath::Inside(inside) = path else {
            self.linked.push((path.clone(), *measured));
            if self.mounts_work(world) {
                let at = ground_path(path);
                self.mounts.push((at.clone(), at));
            }
            return Ok(());
        };
        let from = world.root.join(inside.as_path());
        let to = self.folder.join(inside.as_path());
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|e| StageError::io("make", parent, &e))?;
        }
        let small = match measured.content.kind {
            Kind::Folder => measured.content.size <= COPIED_FOLDER.0 && measured.files <= COPIED_FOLDER.1,
            _ => measured.content.size <= COPIED_FILE,
        };
        if measured.content.kind != Kind::Folder && (small || reflink(&from, &to)) {
            if small {
                fs::copy(&from, &to).map_err(|e| moved_or("copy", &from, &e))?;
            }
            return unmoved(world, path, measured);
        }
        if small && !holds_links(&from) {
            copy_folder(&from, &to).map_err(|e| moved_or("copy", &from, &e))?;
            return unmoved(world, path, measured);
        }
        self.linked.push((path.clone(), *measured));
        if self.mounts_work(world) {
            let made = match measured.content.kind {
                Kind::Folder => fs::create_dir_all(&to),
                _ => fs::File::create(&to).map(drop),
            };
            made.map_err(|e| StageError::io("make", &to, &e))?;
            self.mounts.push((from, to));
        } else {
            std::os::unix::fs::symlink(&from, &to).map_err(|e| StageError::io("link", &to, &e))?;
        }
        Ok(())
    }

    /// Whether read-only mounts can be had, tried once.
    fn mounts_work(&self, _world: &World<'_>) -> bool {
        static WORK: OnceLock<bool> = OnceLock::new();
        self.mounted || *WORK.get_or_init(|| crate::target::local::mounts_work(&self.folder))
    }
}

/// What was copied is what was hashed, if the original did not move since.
fn unmoved(world: &World<'_>, path: &InputPath, measured: &Measured) -> Result<(), StageError> {
    let at = ground_path(path);
    if measured.content.kind != Kind::Folder {
        let stamp = world.ground.stamp(&at).map_err(|error| StageError::Failed(error.to_string()))?;
        return if stamp == Some(measured.stamp) { Ok(()) } else { remeasured(world, &at, measured) };
    }
    remeasured(world, &at, measured)
}

/// Whether a path still has the content that it was judged by.
fn remeasured(world: &World<'_>, at: &Path, measured: &Measured) -> Result<(), StageError> {
    match world.ground.measure(&[at.to_owned()], &Counter::default()).pop() {
        Some(Ok(Some(now))) if now.content == measured.content => Ok(()),
        _ => Err(StageError::Moved),
    }
}

fn moved_or(doing: &str, path: &Path, error: &io::Error) -> StageError {
    if error.kind() == io::ErrorKind::NotFound { StageError::Moved } else { StageError::io(doing, path, error) }
}

/// Whether a folder has symlinks in it, whose meaning could change with their place.
fn holds_links(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return true };
    entries.flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => holds_links(&entry.path()),
        Ok(kind) => kind.is_symlink(),
        Err(_) => true,
    })
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Clones a file's extents where the file system can; leaves nothing where it cannot.
fn reflink(from: &Path, to: &Path) -> bool {
    let clone = || -> io::Result<()> {
        let source = fs::File::open(from)?;
        let target = fs::File::create_new(to)?;
        rustix::fs::ioctl_ficlone(&target, &source)?;
        target.set_permissions(source.metadata()?.permissions())
    };
    if let Ok(()) = clone() {
        true
    } else {
        let _ = fs::remove_file(to);
        false
    }
}
