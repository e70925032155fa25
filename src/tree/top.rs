//! What was asked for: paths and source directories become the first tasks of a walk.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::crew::Crew;
use super::excluded::joined;
use super::folder::special;
use super::link::Base;
use super::probe::Probe;
use super::read::{self, Outcome};
use super::sources::Sources;
use super::walk::{FileUp, FolderTask, Place, Row, Scratch, Task, Up, Walk};
use super::{Ground, Measured, SourceSpec, TreeError};
use crate::content::{Content, Kind, Node};

/// Paths of one folder that one task looks at.
const CHUNK: usize = 256;
/// From this many paths on, their folder is opened rather than walked to for each.
const WORTH_OPENING: usize = 4;

/// Paths that were asked for, of one folder.
pub(super) struct Group {
    folder: Vec<u8>,
    /// Names, and what of the walk they are.
    names: Vec<(CString, usize)>,
}

/// The first tasks for paths, by the folder that they lie in.
pub(super) fn paths(root: &Path, paths: &[PathBuf]) -> (Vec<Task>, Vec<(usize, TreeError)>) {
    let mut groups: BTreeMap<Vec<u8>, Vec<(CString, usize)>> = BTreeMap::new();
    let mut faults = Vec::new();
    for (slot, path) in paths.iter().enumerate() {
        let mut path = root.join(path);
        if path.components().any(|part| part == Component::ParentDir) {
            // One place, one name: the cache and the state folder go by it.
            path = path.canonicalize().unwrap_or(path);
        }
        // `/` is no entry of a folder: `.` in it is.
        let (folder, name) = match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => (folder.as_os_str().as_bytes(), name.as_bytes()),
            _ => (path.as_os_str().as_bytes(), b".".as_slice()),
        };
        match CString::new(name) {
            Ok(name) if !folder.contains(&0) => groups.entry(folder.to_owned()).or_default().push((name, slot)),
            _ => faults.push((slot, TreeError { doing: "read", path, why: "the path contains a NUL byte".to_owned() })),
        }
    }
    let mut tasks = Vec::new();
    for (folder, mut names) in groups {
        names.sort_unstable();
        let length = names.len();
        let group = Arc::new(Group { folder, names });
        tasks.extend((0..length).step_by(CHUNK).map(|at| Task::Group(group.clone(), at..length.min(at + CHUNK))));
    }
    (tasks, faults)
}

/// The first task for a source directory; none where nothing of it is taken.
pub(super) fn sources(ground: &Ground, spec: &SourceSpec, slot: usize) -> Result<Result<Task, Measured>, TreeError> {
    let path = ground.root.join(spec.directory.as_path());
    let error = |doing, why: String| TreeError { doing, path: path.clone(), why };
    let disk = path.as_os_str().as_bytes();
    let name = CString::new(disk).map_err(|_| error("read", "the path contains a NUL byte".to_owned()))?;
    let probe = Probe::through(CWD, &name).map_err(|errno| error("find the source directory", errno.to_string()))?;
    if probe.file_type() != FileType::Directory {
        return Err(error("read the source directory", "it is not a folder".to_owned()));
    }
    let sources = Sources::new(spec, &path, ground).map_err(|why| error("walk", why))?;
    if sources.narrow.is_empty() {
        let content = Content { kind: Kind::Folder, digest: Node::new(Vec::new()).digest(), size: 0 };
        return Ok(Err(Measured { content, stamp: probe.into(), files: 0 }));
    }
    let place = Place { slot, disk: disk.to_owned(), seen: Vec::new(), base: Base::new(disk) };
    let task = FolderTask { place, up: Up::Top(slot, probe), sources: Some(sources), attempt: 0 };
    Ok(Ok(Task::Folder(task)))
}

impl Walk<'_> {
    /// Looks at paths of one folder.
    pub(super) fn group(
        &self,
        group: &Arc<Group>,
        range: std::ops::Range<usize>,
        crew: &Crew<'_, Task>,
        scratch: &mut Scratch,
    ) {
        let names = &group.names[range];
        let mut folder = None;
        if names.len() >= WORTH_OPENING {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match rustix::fs::open(group.folder.as_slice(), flags, Mode::empty()) {
                Ok(open) => folder = Some(open),
                Err(Errno::NOENT | Errno::NOTDIR) => return,
                Err(errno) => {
                    for (name, slot) in names {
                        self.fault(*slot, "read", joined(&group.folder, name.to_bytes()), errno);
                    }
                    return;
                }
            }
        }
        let mut results = Vec::with_capacity(names.len());
        crew.worked(names.len());
        for (name, slot) in names {
            let long;
            let (at, path) = if let Some(folder) = &folder {
                (folder.as_fd(), name.as_c_str())
            } else {
                long = CString::new(joined(&group.folder, name.to_bytes())).unwrap_or_default();
                (CWD, long.as_c_str())
            };
            match Probe::of(at, path) {
                Ok(probe) if probe.file_type() == FileType::RegularFile => {
                    if let Some(digest) = self.trusted(&group.folder, name.to_bytes(), &probe) {
                        results.push((*slot, Row::of_file(digest, &probe), probe));
                    } else {
                        let outcome = read::digest(at, path, &mut scratch.bytes);
                        self.single(group, name, *slot, outcome, crew, scratch);
                    }
                }
                Ok(probe) => self.other(joined(&group.folder, name.to_bytes()), *slot, probe, crew, scratch),
                Err(Errno::NOENT | Errno::NOTDIR) => self.forget(&group.folder, name.to_bytes()),
                Err(errno) => self.fault(*slot, "read", joined(&group.folder, name.to_bytes()), errno),
            }
        }
        self.saw(results.len() as u64, 0);
        self.set_tops(&results);
    }

    /// Takes what came of reading a file that was asked for.
    fn single(
        &self,
        group: &Group,
        name: &CString,
        slot: usize,
        outcome: Outcome,
        crew: &Crew<'_, Task>,
        scratch: &mut Scratch,
    ) {
        let (probe, size) = match &outcome {
            Outcome::Read(_, probe) | Outcome::Large(_, probe) => (Some(*probe), probe.size),
            _ => (None, 0),
        };
        crew.worked(10 + usize::try_from(size >> 12).unwrap_or(0));
        self.saw(1, if matches!(outcome, Outcome::Read(..)) { size } else { 0 });
        let up = Up::Top(slot, probe.unwrap_or_else(Probe::none));
        let (folder, name) = (group.folder.clone(), name.to_bytes().to_owned());
        self.read(outcome, FileUp::Away { up, slot, folder, name }, 0, crew, scratch);
    }

    /// Takes a folder, a link or a thing of another kind that was asked for.
    fn other(&self, disk: Vec<u8>, slot: usize, probe: Probe, crew: &Crew<'_, Task>, scratch: &mut Scratch) {
        match probe.file_type() {
            FileType::Directory => {
                let base = Base::new(&disk);
                let place = Place { slot, disk, seen: Vec::new(), base };
                crew.push([Task::Folder(FolderTask { place, up: Up::Top(slot, probe), sources: None, attempt: 0 })]);
            }
            FileType::Symlink => match Path::new(OsStr::from_bytes(&disk)).canonicalize() {
                Ok(target) => {
                    let (folder, name) = (target.parent(), target.file_name());
                    let (Some(folder), Some(Ok(name))) = (folder, name.map(|name| CString::new(name.as_bytes())))
                    else {
                        return self.fault(slot, "follow", disk, "it leads to the root folder");
                    };
                    let folder = folder.as_os_str().as_bytes().to_owned();
                    let group = Arc::new(Group { folder, names: vec![(name, slot)] });
                    self.group(&group, 0..1, crew, scratch);
                }
                Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound) => {}
                Err(error) => self.fault(slot, "follow", disk, error),
            },
            kind => self.fault(slot, "take", disk, special(kind)),
        }
    }

    /// Drops what was known of a file that is gone.
    fn forget(&self, folder: &[u8], name: &[u8]) {
        let key = self.ground.key(folder);
        if self.ground.cache.row(key, name).is_some() {
            self.ground.cache.learn_row(key, name, None);
        }
    }
}
