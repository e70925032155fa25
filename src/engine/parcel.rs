//! What a job needs on a target elsewhere, as it was judged: its snapshot and inputs by content, read from the store or the
//! project when the target asks for them, and checked there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::attempt::{GRACE, Task};
use super::measuring::{Counter, ground_path, no_sources};
use super::{Work, World};
use crate::content::{Entry, Kind};
use crate::digest::Digest;
use crate::history::Begun;
use crate::launch::{Item, Parcel, Program, Recipe};
use crate::plan::job::{Command, Job};
use crate::project::model::{InputPath, Isolation};
use crate::store::snapshot;
use crate::target::remote::{Cargo, Fault};
use crate::tree::What;

/// An object up to this size is held in memory when it comes from the store.
const SMALL: u64 = 8 << 20;

/// Where the contents of a job's sources and inputs are to be had.
pub(super) struct Contents<'h> {
    world: &'h World<'h>,
    task: &'h Task,
    known: OnceLock<Result<Known, Fault>>,
}

/// Input folders, read once: their nodes, and where their files lie.
#[derive(Default, Clone)]
struct Known {
    nodes: BTreeMap<Digest, Vec<Entry>>,
    files: BTreeMap<Digest, (PathBuf, Kind)>,
}

impl<'h> Contents<'h> {
    pub(super) fn new(world: &'h World<'h>, task: &'h Task) -> Self {
        Self { world, task, known: OnceLock::new() }
    }

    /// Keeps the sources in the store, from where they are sent.
    fn keep_sources(&self) -> Result<Option<Item>, Fault> {
        let Some((spec, measured)) = &self.task.sources else { return Ok(None) };
        if measured.content.digest == no_sources().digest {
            return Ok(None);
        }
        let kept = snapshot::keep_sources(self.world.store, self.world.ground, spec, &Counter::default())
            .map_err(|error| Fault::Refused(error.to_string()))?;
        if kept.content.digest != measured.content.digest {
            return Err(Fault::Moved);
        }
        Ok(Some(Item { path: spec.directory.clone(), content: kept.content }))
    }

    fn known(&self) -> Result<&Known, Fault> {
        self.known.get_or_init(|| self.look()).as_ref().map_err(Clone::clone)
    }

    fn look(&self) -> Result<Known, Fault> {
        self.keep_sources()?;
        let mut known = Known::default();
        for (path, measured) in &self.task.inputs {
            let place = ground_path(path);
            let at = self.world.root.join(&place);
            if measured.content.kind != Kind::Folder {
                known.files.insert(measured.content.digest, (at, measured.content.kind));
                continue;
            }
            let looked = self.world.ground.folders(What::Path(&place), &Counter::default());
            let (now, folders) = looked.map_err(|error| Fault::Refused(error.to_string()))?;
            if now.content != measured.content {
                return Err(Fault::Moved);
            }
            for folder in folders {
                let below = at.join(folder.path.as_path());
                for entry in folder.entries.iter().filter(|entry| entry.kind != Kind::Folder) {
                    known.files.insert(entry.digest, (below.join(OsStr::from_bytes(&entry.name)), entry.kind));
                }
                known.nodes.insert(Digest::of(&crate::content::encode(&folder.entries)), folder.entries);
            }
        }
        Ok(known)
    }
}

impl Cargo for Contents<'_> {
    fn node(&self, digest: &Digest) -> Result<Vec<Entry>, Fault> {
        if let Some(entries) = self.known()?.nodes.get(digest) {
            return Ok(entries.clone());
        }
        let node = snapshot::node(self.world.store, digest).map_err(|error| Fault::Refused(error.to_string()))?;
        node.ok_or(Fault::Moved)
    }

    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + '_>, Fault> {
        let refused = |error: &dyn std::fmt::Display| Fault::Refused(error.to_string());
        if let Some((path, kind)) = self.known()?.files.get(digest) {
            if *kind == Kind::Link {
                let text = std::fs::read_link(path).map_err(|_| Fault::Moved)?;
                return Ok(Box::new(std::io::Cursor::new(text.as_os_str().as_bytes().to_vec())));
            }
            return Ok(Box::new(File::open(path).map_err(|_| Fault::Moved)?));
        }
        let store = self.world.store;
        let place = self.world.state.join("work").join(&self.task.begun.invocation);
        std::fs::create_dir_all(&place).map_err(|error| refused(&error))?;
        let folder = tempfile::Builder::new().prefix("send-").tempdir_in(&place).map_err(|error| refused(&error))?;
        let file = folder.path().join("object");
        if !store.write_to(digest, &file, false, false).map_err(|error| refused(&error))? {
            return Err(Fault::Moved);
        }
        let file = File::open(&file).map_err(|error| refused(&error))?;
        if file.metadata().is_ok_and(|found| found.len() <= SMALL) {
            let mut bytes = Vec::new();
            (&file).read_to_end(&mut bytes).map_err(|error| refused(&error))?;
            return Ok(Box::new(std::io::Cursor::new(bytes)));
        }
        Ok(Box::new(file)) // its name is gone with the folder, its bytes are not
    }
}

/// Everything that a target needs for one attempt; why it cannot be had elsewhere.
pub(super) fn pack(
    work: Work<'_>,
    job: &Job,
    begun: &Begun,
    contents: &Contents<'_>,
    recipe: Recipe,
    variables: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
) -> Result<Parcel, String> {
    if job.isolation == Isolation::InPlace {
        return Err("`isolation = \"in-place\"` runs in this project's folder: it is for the target `local`".to_owned());
    }
    let mut items: Vec<Item> = Vec::new();
    if let Some((spec, measured)) = &contents.task.sources
        && measured.content.digest != no_sources().digest
    {
        items.push(Item { path: spec.directory.clone(), content: measured.content });
    }
    for (path, measured) in &contents.task.inputs {
        let InputPath::Inside(path) = path else {
            let path = ground_path(path);
            return Err(format!("the input {} lies outside of the workspace: it cannot be sent", path.display()));
        };
        items.push(Item { path: path.clone(), content: measured.content });
    }
    let mut folders: Vec<_> = vec![job.source_directory.clone()];
    folders.extend(job.outputs.iter().filter_map(|output| output.path.parent()));
    if matches!(job.command, Command::Script { .. }) {
        folders.extend(["outputs", "logs"].map(|name| job.source_directory.join(name)));
    }
    Ok(Parcel {
        run: begun.run.clone(),
        job: begun.job.0.clone(),
        program: match recipe {
            Recipe::Container(_) => Program::Words(super::argv::contained(work, job, std::path::Path::new("."))),
            _ => super::argv::elsewhere(work, job),
        },
        cwd: job.source_directory.clone(),
        folders,
        items,
        variables,
        secrets,
        recipe,
        spread: super::ranks::spread(job),
        cpus: job.resources.cpus,
        gpus: job.resources.gpus,
        memory: job.resources.memory,
        time: job.resources.time,
        grace: GRACE,
    })
}
