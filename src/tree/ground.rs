//! The ground's face.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::CWD;
use rustix::io::Errno;

use super::cache::Cache;
use super::excluded::{Excluded, joined};
use super::listing::Listing;
use super::notes::Notes;
use super::probe::{self, Probe};
use super::top;
use super::walk::Walk;
use super::{Folder, Measured, SourceSpec, Stamp, TreeError, Watch, What};
use crate::digest::Digest;
use crate::relpath::RelPath;

/// More threads than these find nothing more to do in one file system.
const HANDS: usize = 32;
/// How far a time may be ahead before it is called the future: nanoseconds.
const AHEAD: i64 = 2_000_000_000;
/// Files changed just now that are read once more when the cache is saved: as many, and as large.
const UNSETTLED: (usize, u64) = (20_000, 1 << 20);

/// Reads a workspace through its stat cache. May be shared by threads.
#[derive(Debug)]
pub struct Ground {
    pub(super) root: PathBuf,
    /// The root without symlinks on its way, where that differs.
    real: Option<PathBuf>,
    state: PathBuf,
    pub(super) cache: Cache,
    pub(super) excluded: Excluded,
    notes: Mutex<Notes>,
    unsettled: Mutex<Vec<PathBuf>>,
    nodes: Mutex<BTreeMap<Digest, Vec<u8>>>,
    hands: OnceLock<usize>,
}

impl Ground {
    /// `root`: the workspace's folder, absolute. `state`: its `.amlrun`, which may not exist; only [`Ground::save`] writes
    /// there. The stat cache is read when it is first needed.
    pub fn open(root: &Path, state: &Path) -> Self {
        Self {
            root: root.to_owned(),
            real: root.canonicalize().ok().filter(|real| real != root),
            state: state.to_owned(),
            cache: Cache::new(state),
            excluded: Excluded::default(),
            notes: Mutex::default(),
            unsettled: Mutex::default(),
            nodes: Mutex::default(),
            hands: OnceLock::new(),
        }
    }

    /// Whether the workspace's state lies on a file system whose times another machine sets.
    pub fn is_remote(&self) -> bool {
        super::cache::is_remote(&self.state)
    }

    /// The workspace's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is never part of a snapshot, beside `.git`, `.amlrun`, `Amlfile` and `Amlfile.lock` in whatever folder: declared
    /// outputs, as globs relative to the workspace, and files (the Amlfile in use may have another name).
    ///
    /// # Errors
    /// Where a glob is not one, or leaves the workspace.
    pub fn exclude(&mut self, output_globs: &[String], files: &[RelPath]) -> Result<(), TreeError> {
        for path in files {
            self.excluded.add(path);
        }
        for glob in output_globs {
            self.excluded.add_glob(glob).map_err(|why| TreeError {
                doing: "exclude the outputs",
                path: PathBuf::from(glob),
                why,
            })?;
        }
        Ok(())
    }

    /// The content at paths (relative to the workspace, or absolute), in their order; `None` where nothing is there. A
    /// symlink at the top is followed.
    pub fn measure(&self, paths: &[PathBuf], watch: &dyn Watch) -> Vec<Result<Option<Measured>, TreeError>> {
        let (tasks, faults) = top::paths(&self.root, paths);
        let (mut results, _) = Walk::new(self, watch, paths.len(), false).run(tasks);
        for (slot, fault) in faults {
            results[slot] = Err(fault);
        }
        results
    }

    /// Takes the nodes of measured folders (not of sources) that were not as the stat cache knew them, since this was asked
    /// last. With these stored, later differences can be told file by file; what did not change is stored already.
    pub fn take_nodes(&self) -> BTreeMap<Digest, Vec<u8>> {
        std::mem::take(&mut *self.nodes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One of the nodes that [`Ground::take_nodes`] would take.
    pub fn node(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    pub(super) fn remember_node(&self, digest: Digest, node: &[u8]) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, node.to_vec());
    }

    /// The trees of source directories, in their order. Specs that come to the same are walked once.
    pub fn measure_sources(&self, specs: &[SourceSpec], watch: &dyn Watch) -> Vec<Result<Measured, TreeError>> {
        let specs: Vec<SourceSpec> = specs.iter().map(|spec| self.plain(spec)).collect();
        let distinct: BTreeSet<&SourceSpec> = specs.iter().collect();
        let mut results = BTreeMap::new();
        let (mut tasks, mut walked) = (Vec::new(), Vec::new());
        for spec in distinct {
            match top::sources(self, spec, walked.len()) {
                Ok(Ok(task)) => {
                    tasks.push(task);
                    walked.push(spec);
                }
                Ok(Err(empty)) => drop(results.insert(spec, Ok(empty))),
                Err(error) => drop(results.insert(spec, Err(error))),
            }
        }
        let (found, _) = Walk::new(self, watch, walked.len(), false).run(tasks);
        for (spec, found) in walked.into_iter().zip(found) {
            let nothing = || self.nothing_at(spec.directory.as_path());
            results.insert(spec, found.and_then(|found| found.ok_or_else(nothing)));
        }
        let of = |spec| results.get(spec).cloned();
        specs.iter().map(|spec| of(spec).unwrap_or_else(|| Err(self.nothing_at(spec.directory.as_path())))).collect()
    }

    /// The same without inputs that are outputs of the project, which are out anyway: the jobs of a matrix each have their own.
    fn plain(&self, spec: &SourceSpec) -> SourceSpec {
        let counts = |path: &&RelPath| spec.directory.is_within(path) || !self.excluded.holds(path.as_bytes());
        let mut without: Vec<RelPath> = spec.without.iter().filter(counts).cloned().collect();
        without.sort();
        SourceSpec { without, ..spec.clone() }
    }

    /// The stamp of what is at a path, a symlink followed; `None` where nothing is there. Reads nothing.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn stamp(&self, path: &Path) -> Result<Option<Stamp>, TreeError> {
        let path = self.root.join(path);
        let error = |why: String| TreeError { doing: "look at", path: path.clone(), why };
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|nul| error(nul.to_string()))?;
        match Probe::through(CWD, &name) {
            Ok(probe) => Ok(Some(probe.into())),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(error(errno.to_string())),
        }
    }

    /// All folders of a tree with their entries, root first (by path); none for a file.
    ///
    /// # Errors
    /// Where it cannot be measured, or nothing is there.
    pub fn folders(&self, what: What<'_>, watch: &dyn Watch) -> Result<(Measured, Vec<Folder>), TreeError> {
        let (path, tasks) = match what {
            What::Path(path) => {
                let (tasks, faults) = top::paths(&self.root, &[path.to_owned()]);
                if let Some((_, fault)) = faults.into_iter().next() {
                    return Err(fault);
                }
                (path, tasks)
            }
            What::Sources(spec) => match top::sources(self, spec, 0)? {
                Ok(task) => (spec.directory.as_path(), vec![task]),
                Err(empty) => {
                    return Ok((empty, vec![Folder { path: RelPath::root(), entries: Vec::new() }]));
                }
            },
        };
        let (mut results, folders) = Walk::new(self, watch, 1, true).run(tasks);
        match results.pop() {
            Some(Ok(Some(measured))) => Ok((measured, folders)),
            Some(Err(error)) => Err(error),
            _ => Err(self.nothing_at(path)),
        }
    }

    fn nothing_at(&self, path: &Path) -> TreeError {
        TreeError { doing: "measure", path: self.root.join(path), why: "nothing is there".to_owned() }
    }

    /// Writes the stat cache, whole and in one step, where anything was learnt; does nothing otherwise.
    ///
    /// # Errors
    /// Where the state folder cannot be written. The cache on disk is the one from before then.
    pub fn save(&self) -> Result<(), TreeError> {
        let unsettled = std::mem::take(&mut *self.unsettled.lock().unwrap_or_else(PoisonError::into_inner));
        if !unsettled.is_empty() {
            // Changed a moment before they were read, as a job's outputs are: by now their stamps may prove something.
            self.measure(&unsettled, &Nobody);
            self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let saved = self.cache.save(|key| self.root.join(OsStr::from_bytes(key)));
        saved.map_err(|error| TreeError {
            doing: "write the stat cache in",
            path: self.state.clone(),
            why: error.to_string(),
        })
    }

    /// What the user should know about what was measured: texts that stand alone.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).texts()
    }

    /// How many threads a walk may use.
    pub(super) fn hands(&self) -> usize {
        *self.hands.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from).min(HANDS))
    }

    /// A path of the workspace, relative to it; none for one outside.
    pub(super) fn relative<'a>(&self, disk: &'a [u8]) -> Option<&'a [u8]> {
        let below = |root: &Path| {
            let rest = disk.strip_prefix(root.as_os_str().as_bytes())?;
            rest.strip_prefix(b"/").or(rest.is_empty().then_some(rest))
        };
        below(&self.root).or_else(|| below(self.real.as_deref()?))
    }

    /// What a folder goes by in the cache.
    pub(super) fn key<'a>(&self, disk: &'a [u8]) -> &'a [u8] {
        self.relative(disk).unwrap_or(disk)
    }

    /// Whether a path of the workspace is, or lies in, the state folder.
    pub(super) fn is_state(&self, path: &[u8]) -> bool {
        self.relative(self.state.as_os_str().as_bytes())
            .is_some_and(|state| Path::new(OsStr::from_bytes(path)).starts_with(OsStr::from_bytes(state)))
    }

    /// Whether the cache keeps a folder's files: not those of the state folder, which come and go with each run.
    pub(super) fn keeps(&self, disk: &[u8]) -> bool {
        self.relative(disk).is_none_or(|path| !self.is_state(path))
    }

    /// Leaves the state folder out of the listing of the folder that it lies in.
    pub(super) fn leave_state(&self, disk: &[u8], listing: &mut Listing) {
        let (Some(folder), Some(name)) = (self.state.parent(), self.state.file_name()) else { return };
        if self.key(folder.as_os_str().as_bytes()) == self.key(disk)
            && let Some(at) = listing.find(name.as_bytes())
        {
            listing.leave(at);
        }
    }

    /// Takes notice of a file that was changed just now, or in the future.
    pub(super) fn unsettled(&self, probe: &Probe, folder: &[u8], name: &[u8]) {
        let path = joined(folder, name);
        if probe.mtime.max(probe.ctime) > probe::now().saturating_add(AHEAD) {
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).future(self.shown(&path));
        } else if probe.size <= UNSETTLED.1 && self.keeps(folder) {
            let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
            if unsettled.len() < UNSETTLED.0 {
                unsettled.push(PathBuf::from(OsStr::from_bytes(&path)));
            }
        }
    }

    /// Notes that a path is taken although a rule ignores it.
    pub(super) fn declared(&self, disk: &[u8], rule: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).declared(self.shown(disk), rule);
    }

    fn shown(&self, disk: &[u8]) -> String {
        OsStr::from_bytes(self.key(disk)).display().to_string()
    }
}

/// Watches nothing.
struct Nobody;

impl Watch for Nobody {
    fn saw(&self, _files: u64, _bytes: u64) {}
}
