//! One job, from its lock to its published outputs, on a worker thread: stage, run, look again, collect, publish; tried
//! again as often as `retries` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::collect::{Collected, collect, keep_logs, keep_outputs_folder};
use super::hints;
use super::measuring;
use super::stage::{StageError, Staged, stage};
use super::sweeping::stop::Stop;
use super::uncommitted::Patches;
use super::{
    Work, World, argv, byproducts, container, elsewhere, in_place, publish, ranks, recover, tracked, variables,
};
use crate::content::Content;
use crate::environment::{Activation, Step};
use crate::event::Stream;
use crate::history::{Begun, Ended, Status};
use crate::ids::{JobId, RunId};
use crate::launch::{Launch, Outcome, Ticket, Usage};
use crate::plan::job::Job;
use crate::project::model::{Environment, InputPath, Isolation};
use crate::relpath::RelPath;
use crate::shim::Shim;
use crate::store::Hold;
use crate::target::command::Programs;
use crate::target::{Cancel, CancelState, Report};
use crate::tree::{Measured, SourceSpec};

/// How long a gentle end may take.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// The pause before the second attempt, which doubles from then on, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// So many last lines of output are told with a failure.
pub(super) const TAIL: usize = 10;

/// Everything that a worker needs for one job.
#[derive(Debug, Clone)]
pub struct Task {
    /// The job.
    pub job: JobId,
    /// How its first run begins; later attempts differ in `run`, `started` and `attempt`.
    pub begun: Begun,
    /// Its snapshot as it was judged.
    pub sources: Option<(SourceSpec, Measured)>,
    /// Its inputs as they were judged.
    pub inputs: Vec<(InputPath, Measured)>,
    /// Its environment.
    pub environment: Option<Environment>,
    /// The numbers of its GPUs.
    pub gpus: Vec<u32>,
    /// The target elsewhere that it runs on, by its place in the project.
    pub elsewhere: Option<usize>,
    /// `begun` is on record and has a ticket: the run is found again, not submitted.
    pub attached: bool,
    /// Whether its outputs come into the project; those of a run for what the job was before only go on record.
    pub publish: bool,
    /// How it alone is ended before its time.
    pub stop: Stop,
    /// Where what it logs is put while it runs elsewhere, for the policy of its sweep; none for what is no trial.
    pub follow: Option<PathBuf>,
}

/// What a worker tells while it goes on.
#[derive(Debug)]
pub enum Note {
    /// The environment's build.
    Environment(String, Step),
    /// A line that the job draws over itself.
    Drawn(String),
    /// A run begins; its sources are kept until that is on record.
    Begun(Box<Begun>, Hold),
    /// A run is about to be submitted elsewhere. The worker waits until that is on disk.
    Submitting(Box<Begun>, Box<Ticket>, SyncSender<()>, Hold),
    /// A run that was submitted before is followed again; where.
    Attached(Box<Begun>, String),
    /// It waits, and why.
    Waiting(String),
    /// A line of output.
    Line(Stream, String),
    /// A run failed and will be tried again.
    Again {
        /// The failed run.
        ended: Box<Ended>,
        /// Which attempt it was, from 1.
        attempt: u32,
        /// When it is tried again.
        delay: Duration,
        /// What it kept is there until it is on record.
        hold: Hold,
    },
}

/// How a job ended for good.
#[derive(Debug)]
pub enum Done {
    /// It ran, well or not.
    Ended {
        /// Its record.
        ended: Box<Ended>,
        /// What was published.
        contents: Vec<(RelPath, Content)>,
        /// The last lines of its output.
        tail: Vec<String>,
        /// Whether it began at all.
        began: bool,
        /// What it left is there until it is on record.
        hold: Hold,
    },
    /// What it was judged by is not there any more: it is to be judged again.
    Moved,
    /// It goes on elsewhere without us.
    Detached {
        /// The run.
        run: RunId,
        /// Where.
        place: String,
    },
}

/// What a worker works with.
#[derive(Clone, Copy)]
pub struct Bench<'b> {
    /// What is carried out.
    pub work: Work<'b>,
    /// The outside world.
    pub world: &'b World<'b>,
    /// Whether it shall end.
    pub cancel: &'b dyn Cancel,
    /// The programs that were found so far.
    pub programs: &'b Programs,
    /// The stand-in for Azure ML's SDK.
    pub shim: &'b Shim,
    /// What is not committed.
    pub patches: &'b Patches,
    /// Whether runs elsewhere are left alone after their submission.
    pub detach: bool,
}

/// Does a job.
pub fn carry_out(bench: Bench<'_>, task: &Task, tell: &mut dyn FnMut(Note)) -> Done {
    let job = bench.work.job(task.job);
    if let Some(remote) = task.elsewhere.and_then(|target| bench.world.remotes.get(&target)) {
        return elsewhere::carry_out(bench, task, &**remote, tell);
    }
    let ended = |outcome: Outcome| not_begun(bench, &task.begun.run, outcome);
    let broken = |why: String| ended(Outcome::Broken { why });
    let activation = match ready(bench.world, task, tell) {
        Ok(activation) => activation,
        Err(_) if bench.cancel.state() != CancelState::Run => return ended(Outcome::Canceled),
        Err(why) => return broken(why),
    };
    let mut begun = task.begun.clone();
    begun.started = bench.world.clock.now();
    loop {
        let folder = bench.world.state.join("work").join(&begun.invocation).join(&begun.run.0);
        let done = once(bench, task, job, &begun, &activation, &folder, tell);
        recover::remove_run(&folder);
        let (ended, contents, tail, hold) = match done {
            Ok(done) => done,
            Err(StageError::Moved) => return Done::Moved,
            Err(StageError::Failed(why)) => return broken(why),
        };
        let failed = !matches!(ended.outcome, Outcome::Succeeded | Outcome::Canceled);
        if !failed || begun.attempt > job.retries || bench.cancel.state() != CancelState::Run {
            return Done::Ended { ended: Box::new(ended), contents, tail, began: true, hold };
        }
        let delay = delay(begun.attempt);
        tell(Note::Again { ended: Box::new(ended), attempt: begun.attempt, delay, hold });
        elsewhere::wait(bench, delay);
        begun.run = RunId::fresh();
        begun.attempt += 1;
        begun.started = bench.world.clock.now();
    }
}

/// The end of a job that did not begin.
pub(super) fn not_begun(bench: Bench<'_>, run: &RunId, outcome: Outcome) -> Done {
    let ended = ending(bench.world, run, outcome);
    let (contents, tail, hold) = (Vec::new(), Vec::new(), Hold::default());
    Done::Ended { ended: Box::new(ended), contents, tail, began: false, hold }
}

/// The pause after an attempt that failed.
pub(super) fn delay(attempt: u32) -> Duration {
    PAUSES.0.saturating_mul(1 << (attempt - 1).min(16)).min(PAUSES.1)
}

/// Makes the environment ready, telling how its build goes.
fn ready(world: &World<'_>, task: &Task, tell: &mut dyn FnMut(Note)) -> Result<Activation, String> {
    let Some(environment) = &task.environment else { return Ok(Activation::default()) };
    let name = environment.name.clone();
    let told = &mut |step| tell(Note::Environment(name.clone(), step));
    world.environments.ready(environment, told).map_err(|error| format!("environment `{name}`: {error}"))
}

pub(super) type Once = (Ended, Vec<(RelPath, Content)>, Vec<String>, Hold);

/// One attempt.
fn once(
    bench: Bench<'_>,
    task: &Task,
    job: &Job,
    begun: &Begun,
    activation: &Activation,
    folder: &Path,
    tell: &mut dyn FnMut(Note),
) -> Result<Once, StageError> {
    let world = bench.world;
    let sources = task.sources.as_ref().map(|(spec, measured)| (spec, measured));
    let hold = world.store.hold();
    let staged = stage(world, job, sources, &task.inputs, folder, activation.container.is_some())?;
    bench.patches.make(bench, task, &begun.run);
    tell(Note::Begun(Box::new(begun.clone()), hold));
    let record = world.state.join("runs").join(&begun.run.0);
    let mut variables = variables::of(bench.work, world, job, begun, activation, &task.gpus);
    let secrets: Vec<String> = job.secrets.iter().filter_map(|name| variables.get(name).cloned()).collect();
    let tracked = tracked::begin(bench, begun, activation, &secrets, &mut variables);
    let launch = Launch {
        secrets: tracked.as_ref().map_or(secrets, tracked::Tracked::secrets),
        run: begun.run.clone(),
        argv: match activation.container {
            Some(_) => argv::contained(bench.work, job, &staged.cwd),
            None => argv::here(bench.programs, bench.work, job, &staged.cwd, activation, variables.get("PATH")),
        },
        cwd: staged.cwd.clone(),
        variables,
        mounts: staged.mounts.clone(),
        log: record.join("user_logs").join("std_log.txt"),
        live_logs: staged.cwd.join("logs"),
        time: job.resources.time,
        grace: GRACE,
    };
    let inputs: Vec<InputPath> = task.inputs.iter().map(|(path, _)| path.clone()).collect();
    let launch = match &activation.container {
        Some(container) => {
            container::enclose(launch, container, &staged, &inputs, tracked.as_ref().map(tracked::Tracked::folder))
        }
        None => launch,
    };
    let mut tail = std::collections::VecDeque::new();
    let here = folder.display().to_string();
    let (outcome, usage) = world.local.run(&launch, bench.cancel, &mut |report| match report {
        Report::Line(stream, mut line) => {
            if job.isolation == Isolation::Snapshot && line.contains(&here) {
                // The run directory goes when the run is over: whoever follows a path shall find the file that it stands for.
                line = line.replace(&here, &world.root.display().to_string());
            }
            if stream == Stream::Output {
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(line.clone());
            }
            tell(Note::Line(stream, line));
        }
        Report::Drawn(line) => tell(Note::Drawn(line)),
    });
    let (outcome, usage) = match &activation.container {
        Some(container) => container::judge(container, outcome, tail.back()),
        None => (outcome, usage),
    };
    let mut ended = ending(world, &begun.run, outcome);
    ended.usage = usage;
    if activation.container.is_some() {
        ended.notes.extend(tracked::unheard(&launch));
    }
    let logged = tracked.map(|mut tracked| (tracked.read(world, &mut ended.outcome, &launch.log), tracked));
    ranks::note(job, &mut ended, &tail);
    if let Outcome::Failed { .. } = ended.outcome {
        ended.notes.extend(hints::unseen(world.root, job, &staged, tail.make_contiguous()));
    }
    keep_logs(&launch.live_logs, &record, job);
    let hold = world.store.hold();
    let contents = finish(bench, task, job, &staged, &mut ended);
    ended.kept.extend(bench.patches.keep(world, task, &begun.run));
    if let Some((logged, tracked)) = logged {
        tracked.settle(world, logged, &mut ended);
    }
    if job.isolation == Isolation::InPlace {
        in_place::settle(world, job, folder, ended.outcome == Outcome::Succeeded, &mut ended);
    }
    ended.ended = world.clock.now();
    ended.status = Status::after(&ended.outcome);
    Ok((ended, contents, tail.into(), hold))
}

/// After the process: look again, collect, publish.
pub(super) fn finish(
    bench: Bench<'_>,
    task: &Task,
    job: &Job,
    staged: &Staged,
    ended: &mut Ended,
) -> Vec<(RelPath, Content)> {
    let world = bench.world;
    if ended.outcome != Outcome::Succeeded {
        let mut kept = Collected::default();
        if let Err(why) = keep_outputs_folder(world, job, staged, &mut kept) {
            ended.notes.push(why);
        }
        ended.kept = kept.kept;
        return Vec::new();
    }
    for moved in measuring::moved(world, task, job, staged) {
        ended.inputs_moved = true;
        ended.notes.push(format!("{moved} changed while the job ran: the result is not cached"));
    }
    let published = collect(world, job, staged).and_then(|collected| {
        if task.publish {
            publish_all(bench, job, staged, &collected, ended)?;
        }
        Ok(collected)
    });
    match published {
        Ok(collected) => {
            ended.notes.extend(collected.notes);
            if task.publish {
                ended.notes.extend(byproducts::tidy(bench.work, world, job, staged, task.sources.is_some()));
            }
            ended.outputs = collected.outputs;
            ended.kept = collected.kept;
            ended.metrics = collected.metrics;
            ended.logged = tracked::of_files(collected.series);
            ended.cached = job.cache && !ended.inputs_moved;
            collected.contents
        }
        Err(why) => {
            ended.outcome = Outcome::Broken { why };
            Vec::new()
        }
    }
}

fn publish_all(
    bench: Bench<'_>,
    job: &Job,
    staged: &Staged,
    collected: &Collected,
    ended: &mut Ended,
) -> Result<(), String> {
    if job.isolation == Isolation::InPlace {
        return Ok(());
    }
    // Before the first is published, so that none is where another cannot be.
    for (path, _) in &collected.contents {
        publish::prepare(bench.world, path).map_err(|error| error.to_string())?;
    }
    let scratch = staged.folder.with_extension("link");
    for (path, content) in &collected.contents {
        let mut from = staged.folder.join(path.as_path());
        if bench.work.link() {
            fs::create_dir_all(&scratch).map_err(|error| format!("could not make {}: {error}", scratch.display()))?;
            let linked = scratch.join("output");
            let written = crate::store::restore::write_tree(bench.world.store, content, &linked, true);
            if written.map_err(|error| error.to_string())? {
                from = linked;
            }
        }
        let aside =
            publish::publish(bench.world, path, &from, content, &ended.run.0).map_err(|error| error.to_string())?;
        if let Some(aside) = aside {
            ended.notes.push(format!("`{path}` was edited by hand: set aside as {}", aside.display()));
        }
    }
    let _ = publish::remove(&scratch);
    Ok(())
}

pub(super) fn ending(world: &World<'_>, run: &RunId, outcome: Outcome) -> Ended {
    Ended {
        run: run.clone(),
        status: Status::after(&outcome),
        outcome,
        ended: world.clock.now(),
        usage: Usage::default(),
        outputs: Vec::new(),
        kept: Vec::new(),
        metrics: std::collections::BTreeMap::new(),
        cached: false,
        inputs_moved: false,
        notes: Vec::new(),
        logged: None,
    }
}
