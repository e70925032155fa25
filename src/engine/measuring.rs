//! Measures what the jobs of a plan depend on, all at once and in parallel, before any is judged: sources, inputs that no
//! job makes, and the outputs that lie in the project.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::surroundings::Manner;
use super::telling::Teller;
use super::{EngineError, Work, World};
use crate::content::{Content, Kind};
use crate::event::Event;
use crate::plan::job::{Command, Job};
use crate::project::model::{InputPath, Isolation};
use crate::relpath::RelPath;
use crate::store::snapshot;
use crate::target::{Cancel, CancelState};
use crate::tree::{Measured, SourceSpec, Stamp, TreeError, Watch};

/// What was found, by path, and what is found out later.
#[derive(Debug, Default)]
pub struct Found {
    /// The distinct snapshots.
    pub specs: Vec<SourceSpec>,
    /// Which of them a job takes; none takes no file.
    pub spec_of: Vec<Option<usize>>,
    /// What they hold.
    pub sources: Vec<Measured>,
    /// Inputs and outputs in the project or anywhere else.
    pub paths: Paths,
    /// Those of them that a job reads.
    needed: BTreeSet<InputPath>,
    /// What could not be read, where that keeps only the jobs that depend on it from running.
    broken: Broken,
}

/// What could not be read, and why.
#[derive(Debug, Default)]
struct Broken {
    /// Of the snapshots, by their number.
    sources: BTreeMap<usize, String>,
    inputs: BTreeMap<InputPath, String>,
}

/// What lies at paths.
type Paths = BTreeMap<InputPath, Option<Measured>>;

/// Counts what is read.
#[derive(Debug, Default)]
pub struct Counter {
    files: AtomicU64,
    bytes: AtomicU64,
    over: AtomicBool,
}

impl Watch for Counter {
    fn saw(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

impl Counter {
    fn read(&self) -> (u64, u64) {
        (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// A path as the ground takes it: relative to the workspace, or absolute.
#[must_use]
pub fn ground_path(path: &InputPath) -> PathBuf {
    match path {
        InputPath::Inside(path) => path.as_path().to_owned(),
        InputPath::Absolute(path) => path.clone(),
    }
}

/// The snapshot of a job; none where it takes no file.
#[must_use]
pub fn spec_of(job: &Job) -> Option<SourceSpec> {
    let script = match &job.command {
        Command::Script { script, .. } => Some(script.clone()),
        Command::Shell(_) => None,
    };
    if script.is_none() && job.sources.as_ref().is_some_and(Vec::is_empty) {
        return None;
    }
    let inside = |input: &crate::plan::job::Input| match &input.path {
        InputPath::Inside(path) => Some(path.clone()),
        InputPath::Absolute(_) => None,
    };
    Some(SourceSpec {
        directory: job.source_directory.clone(),
        globs: job.sources.clone(),
        script,
        without: job.inputs.iter().filter_map(inside).filter(|path| path.is_within(&job.source_directory)).collect(),
    })
}

/// The content of a snapshot that takes no file.
#[must_use]
pub fn no_sources() -> Content {
    Content { kind: Kind::Folder, digest: crate::digest::Digest::of(&crate::content::encode(&[])), size: 0 }
}

/// Measures everything, telling how it goes.
///
/// # Errors
/// Where something cannot be read, or the end was asked for.
pub fn measure(
    work: Work<'_>,
    world: &World<'_>,
    manner: Manner,
    cancel: &dyn Cancel,
    teller: &mut Teller<'_, '_>,
) -> Result<Found, EngineError> {
    let mut found = Found::default();
    let mut index: BTreeMap<SourceSpec, usize> = BTreeMap::new();
    let mut wanted: BTreeSet<InputPath> = BTreeSet::new();
    for job in &work.plan.jobs {
        found.spec_of.push(spec_of(job).map(|spec| {
            let next = index.len();
            *index.entry(spec).or_insert(next)
        }));
        wanted.extend(job.inputs.iter().map(|input| input.path.clone()));
        wanted.extend(job.outputs.iter().map(|output| InputPath::Inside(output.path.clone())));
    }
    let mut specs: Vec<(usize, SourceSpec)> = index.into_iter().map(|(spec, at)| (at, spec)).collect();
    specs.sort_unstable_by_key(|(at, _)| *at);
    found.specs = specs.into_iter().map(|(_, spec)| spec).collect();
    found.needed = work.plan.jobs.iter().flat_map(|job| &job.inputs).map(|input| input.path.clone()).collect();
    let wanted: Vec<InputPath> = wanted.into_iter().collect();
    let counter = Counter::default();
    // What is read now is kept at once, in a run: it would be read again for the snapshot that the job runs from.
    let keeping = snapshot::Keeping { store: world.store, watch: &counter };
    let keeps = manner != Manner::Frozen && work.plan.jobs.iter().any(|job| job.isolation == Isolation::Snapshot);
    let watch: &(dyn Watch + Sync) = if keeps { &keeping } else { &counter };
    let tolerates = manner == Manner::KeepGoing;
    let mut broken = Broken::default();
    let read = || -> Result<(Vec<Measured>, Paths), TreeError> {
        let mut sources = Vec::with_capacity(found.specs.len());
        for measured in world.ground.measure_sources(&found.specs, watch) {
            sources.push(match measured {
                Err(why) if tolerates => {
                    broken.sources.insert(sources.len(), why.to_string());
                    Measured { content: no_sources(), stamp: Stamp::default(), files: 0 }
                }
                measured => measured?,
            });
        }
        let unreadable = tolerates.then_some(&mut broken.inputs);
        Ok((sources, found.look(world, wanted, &counter, unreadable)?))
    };
    let (sources, paths) = watched(&counter, cancel, teller, read)?;
    let (files, bytes) = counter.read();
    teller.tell(Event::Measured { files, hashed: 0, bytes });
    found.sources = sources;
    found.paths = paths;
    found.broken = broken;
    Ok(found)
}

/// Does something slow on another thread and tells, meanwhile, how far it is.
fn watched<T: Send>(
    counter: &Counter,
    cancel: &dyn Cancel,
    teller: &mut Teller<'_, '_>,
    slow: impl FnOnce() -> T + Send,
) -> T {
    std::thread::scope(|scope| {
        let (done, told) = mpsc::channel();
        let worker = scope.spawn(move || {
            let result = slow();
            drop(done);
            result
        });
        while told.recv_timeout(Duration::from_millis(100)) == Err::<(), _>(mpsc::RecvTimeoutError::Timeout) {
            if cancel.state() != CancelState::Run {
                counter.over.store(true, Ordering::Relaxed);
            }
            let (files, bytes) = counter.read();
            teller.tell(Event::Measuring { files, bytes });
            teller.tick();
        }
        match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

impl Found {
    /// What lies at the path of an output now.
    #[must_use]
    pub fn output(&self, path: &RelPath) -> Option<Measured> {
        self.paths.get(&InputPath::Inside(path.clone())).copied().flatten()
    }

    /// Looks again at some paths.
    ///
    /// # Errors
    /// Where an input cannot be read.
    pub fn look_again(&mut self, world: &World<'_>, paths: &[InputPath]) -> Result<(), TreeError> {
        let now = self.look(world, paths.to_vec(), &Counter::default(), None)?;
        self.paths.extend(now);
        Ok(())
    }

    /// Looks at paths. A link at an output that no job reads is not followed, as it may lead anywhere; and what lies at
    /// such an output and cannot be read is not what a run made: it is set aside when the output comes back. Inputs that
    /// cannot be read are an error, or are noted in `unreadable`.
    fn look(
        &self,
        world: &World<'_>,
        paths: Vec<InputPath>,
        counter: &Counter,
        mut unreadable: Option<&mut BTreeMap<InputPath, String>>,
    ) -> Result<Paths, TreeError> {
        let link =
            |path: &InputPath| fs::symlink_metadata(world.root.join(ground_path(path))).is_ok_and(|m| m.is_symlink());
        let (links, plain): (Vec<_>, Vec<_>) =
            paths.into_iter().partition(|path| !self.needed.contains(path) && link(path));
        let at: Vec<PathBuf> = plain.iter().map(ground_path).collect();
        let mut found: Paths = links.into_iter().map(|path| (path, None)).collect();
        for (path, now) in plain.into_iter().zip(world.ground.measure(&at, counter)) {
            let now = match now {
                Err(_) if !self.needed.contains(&path) => None,
                Err(why) => match &mut unreadable {
                    Some(unreadable) => {
                        unreadable.insert(path.clone(), why.to_string());
                        None
                    }
                    None => return Err(why),
                },
                Ok(now) => now,
            };
            found.insert(path, now);
        }
        Ok(found)
    }

    /// Why a job cannot be judged: the first of its sources and inputs that could not be read.
    #[must_use]
    pub fn fault(&self, job: usize, inputs: &[crate::plan::job::Input]) -> Option<&String> {
        let sources = self.spec_of[job].and_then(|at| self.broken.sources.get(&at));
        sources.or_else(|| inputs.iter().find_map(|input| self.broken.inputs.get(&input.path)))
    }

    /// What a link at an output leads to, where that is asked for after all.
    #[must_use]
    pub fn followed(world: &World<'_>, path: &RelPath) -> Option<Content> {
        let at = path.as_path();
        fs::symlink_metadata(world.root.join(at)).ok().filter(fs::Metadata::is_symlink)?;
        let now = world.ground.measure(&[at.to_owned()], &Counter::default()).pop();
        now?.ok()?.map(|now| now.content)
    }
}

/// What was not copied and is no longer what it was when the job was judged.
pub(super) fn moved(
    world: &World<'_>,
    task: &super::attempt::Task,
    job: &Job,
    staged: &super::stage::Staged,
) -> Vec<String> {
    let mut moved = Vec::new();
    let paths: Vec<_> = staged.linked.iter().map(|(path, _)| ground_path(path)).collect();
    for ((path, was), now) in staged.linked.iter().zip(world.ground.measure(&paths, &Counter::default())) {
        match now {
            Ok(Some(now)) if now.content == was.content => {}
            _ => moved.push(format!("the input {}", super::hints::first_difference(world, path, was))),
        }
    }
    if job.isolation == Isolation::InPlace
        && let Some((spec, was)) = &task.sources
    {
        match world.ground.measure_sources(std::slice::from_ref(spec), &Counter::default()).pop() {
            Some(Ok(now)) if now.content == was.content => {}
            _ => moved.push(format!("the sources in `{}`", spec.directory)),
        }
    }
    moved
}
