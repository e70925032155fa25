//! Carries a plan out: measures, judges, and starts the loop of `turn.rs`.

use std::sync::Mutex;
use std::sync::mpsc::{channel, sync_channel};

use super::attempt::Bench;
use super::interrupt::Interrupt;
use super::judging::{Judge, Lacking};
use super::sharing::line::Line;
use super::surroundings::{Manner, Surroundings};
use super::sweeping::arena::Arena;
use super::telling::Teller;
use super::turn::{Engine, Finished, Post};
use super::uncommitted::Patches;
use super::workers::serve;
use super::{EngineError, Options, Work, World, commit, measuring, recover, tracked};
use crate::environment::Step;
use crate::event::{self, Event, Listener, Summary};
use crate::history::{History, Invocation};
use crate::ids::JobId;
use crate::plan::job::Job;
use crate::project::model::InputPath;
use crate::schedule::{Capacity, Schedule};
use crate::shim::Shim;
use crate::target::command::Programs;
use crate::tree::Measured;

/// So much mail may lie unread: a job that writes faster than its lines are told has to wait.
const MAIL: usize = 1024;

/// So many jobs may be elsewhere at once, waiting there or running, on each target.
pub(super) const ELSEWHERE: u32 = 500;

/// The records: one connection to read with, on the engine's thread, and one to write with, on the committer's.
pub struct Records<'r> {
    /// For reading.
    pub reader: &'r dyn History,
    /// For writing; touched only when something runs.
    pub writer: Box<dyn History + 'r>,
    /// The git properties, asked for when something runs.
    pub properties: &'r (dyn Fn() -> std::collections::BTreeMap<String, String> + Sync),
}

/// What came of a plan.
#[derive(Debug)]
pub struct Driven {
    /// The counts.
    pub summary: Summary,
    /// What every job was judged fresh by; nothing where anything ran, was restored or had to be told.
    pub settled: Vec<(InputPath, Option<Measured>)>,
}

/// Carries out a plan.
///
/// # Errors
/// What keeps it from being carried out at all. A failing job is not an error: it is in the summary.
pub fn drive(
    work: Work<'_>,
    world: &World<'_>,
    records: Records<'_>,
    invocation: &Invocation,
    options: &Options,
    interrupt: &Interrupt,
    listeners: &mut [&mut dyn Listener],
) -> Result<Driven, EngineError> {
    let began = world.clock.elapsed();
    let trials = Arena::default();
    let work = Work { trials: Some(&trials), ..work };
    let mut teller = Teller::new(world.clock, listeners);
    register(work, invocation, false, &mut teller);
    // Before anything is looked at: what a killed in-place job left of its outputs is none of theirs.
    for fault in recover::clear(world, &invocation.id) {
        teller.warn(None, fault);
    }
    let manner = if options.keep_going { Manner::KeepGoing } else { Manner::Running };
    let surroundings = match Surroundings::resolve(work, world, manner, interrupt, &mut teller) {
        // A Ctrl-C reaches the installer, too, which fails then.
        Err(_) if interrupt.asked() => return Ok(interrupted(work, world, began, &mut teller)),
        surroundings => surroundings?,
    };
    let found = match measuring::measure(work, world, manner, interrupt, &mut teller) {
        Err(_) if interrupt.asked() => return Ok(interrupted(work, world, began, &mut teller)),
        found => found?,
    };
    let judge = Judge::new(work, world, records.reader, surroundings, found, options.force)?;
    if manner != Manner::KeepGoing {
        inputs_are_there(&judge)?;
    }
    let schedule = scheduled(work, world, options, &mut teller);
    let (orders, taken) = channel();
    let taken = Mutex::new(taken);
    let (mailbox, post) = sync_channel(MAIL);
    let (committer, to_commit) = commit::post();
    let programs = Programs::default();
    let (shim, patches, detach) = (Shim::default(), Patches::default(), options.detach);
    let bench = Bench { work, world, cancel: interrupt, programs: &programs, shim: &shim, patches: &patches, detach };
    let mut writer = records.writer;
    let mut notes = Vec::new();
    let of_writer = &mut notes;
    let (mut summary, settled, result) = std::thread::scope(|scope| {
        let commit_mail = mailbox.clone();
        let mut commit = Some(move || {
            let alive = |id: &str| recover::alive(world, id);
            let invocation = Invocation { properties: (records.properties)(), ..invocation.clone() };
            let mut salvaged = Vec::new();
            let done = writer.begin(&invocation, &alive).map_err(|error| error.to_string()).and_then(|()| {
                salvaged = tracked::salvage(world, &invocation.id, &mut *writer);
                commit::work(world, &to_commit, &mut *writer, &|| Post::commit_failed(&commit_mail))
            });
            *of_writer = writer.notes();
            of_writer.extend(salvaged);
            done
        });
        let mut committing = None;
        let worker_mail = mailbox.clone();
        let taken = &taken;
        let mut start_worker = || {
            drop(scope.spawn({
                let mail = worker_mail.clone();
                move || serve(bench, taken, &mail)
            }));
        };
        let mut start_committer = || committing = commit.take().map(|commit| scope.spawn(commit));
        let post = Post { orders, mailbox, post, committer };
        let line_mail = post.mailbox.clone();
        let mut engine = Engine::new(judge, schedule, options, invocation, &mut teller, post);
        engine.line = world.shared.map(|sharing| {
            let scratch = world.state.join("work").join(&invocation.id).join("cache");
            Line::new(scope, sharing, world, scratch, records.properties, line_mail)
        });
        let result = engine.run(interrupt, &mut start_worker, &mut start_committer);
        engine.drain(interrupt);
        let Finished { summary, settled, over } = engine.finish();
        let recorded =
            committing.map_or(Ok(()), |thread| thread.join().unwrap_or_else(|_| Err("the committer died".to_owned())));
        let failed = |why| EngineError::State { doing: "write", path: world.state.join("history.db"), why };
        if recorded.is_ok() {
            for (remote, runs) in over.iter().filter_map(|(target, runs)| Some((world.remotes.get(target)?, runs))) {
                // What is not let go of now goes when the target tidies up.
                let _ = remote.forget(runs);
            }
        }
        (summary, settled, result.and(recorded.map_err(failed)))
    });
    summary.interrupted = interrupt.asked();
    summary.elapsed_ms = u64::try_from(world.clock.elapsed().saturating_sub(began).as_millis()).unwrap_or(u64::MAX);
    recover::remove_work(&world.state.join("work").join(&invocation.id));
    tracked::tidy(world, &invocation.id);
    if let Err(error) = world.ground.save() {
        teller.warn(None, error.to_string());
    }
    for note in world.ground.notes().into_iter().chain(records.reader.notes()).chain(notes) {
        teller.warn(None, note);
    }
    result?;
    teller.tell(Event::InvocationFinished { summary });
    let quiet = summary.fresh == work.plan.jobs.len() && world.ground.notes().is_empty() && !world.ground.is_remote();
    Ok(Driven { summary, settled: if quiet { settled } else { Vec::new() } })
}

/// The schedule of a plan, on this machine and on the others.
fn scheduled(work: Work<'_>, world: &World<'_>, options: &Options, teller: &mut Teller<'_, '_>) -> Schedule {
    let needs: Vec<Vec<JobId>> = work.plan.jobs.iter().map(|job| job.needs.clone()).collect();
    let demands: Vec<Capacity> = work.plan.jobs.iter().map(demand).collect();
    for (at, demand) in demands.iter().enumerate().filter(|(_, demand)| demand.gpus > options.machine.gpus) {
        if world.remotes.contains_key(&work.plan.jobs[at].target) {
            continue; // another machine has others
        }
        let message = format!("asks for {} GPUs, this machine has {}", demand.gpus, options.machine.gpus);
        teller.warn(Some(JobId(at)), message);
    }
    let mut schedule = Schedule::new(&needs, &demands, options.machine, options.keep_going);
    for (at, job) in work.plan.jobs.iter().enumerate().filter(|(_, job)| world.remotes.contains_key(&job.target)) {
        schedule.send_elsewhere(JobId(at), job.target, ELSEWHERE);
    }
    schedule
}

/// The end of an invocation that was interrupted before any job could be judged.
fn interrupted(work: Work<'_>, world: &World<'_>, began: std::time::Duration, teller: &mut Teller<'_, '_>) -> Driven {
    let summary = Summary {
        interrupted: true,
        canceled: work.plan.jobs.len(),
        elapsed_ms: u64::try_from(world.clock.elapsed().saturating_sub(began).as_millis()).unwrap_or(u64::MAX),
        ..Summary::default()
    };
    teller.tell(Event::InvocationFinished { summary });
    Driven { summary, settled: Vec::new() }
}

/// Tells what the plan holds.
pub fn register(work: Work<'_>, invocation: &Invocation, dry_run: bool, teller: &mut Teller<'_, '_>) {
    teller.tell(Event::InvocationStarted {
        format: event::FORMAT,
        invocation: invocation.id.clone(),
        workspace: work.project.workspace.name.clone(),
        argv: invocation.argv.clone(),
        jobs: work.plan.jobs.len(),
        dry_run,
    });
    for (at, job) in work.plan.jobs.iter().enumerate() {
        teller.tell(Event::JobRegistered {
            job: JobId(at),
            name: job.name.clone(),
            needs: job.needs.clone(),
            target: work.project.targets[job.target].name.clone(),
        });
    }
}

/// Tells how an environment comes to be.
pub fn tell_step(teller: &mut Teller<'_, '_>, environment: &str, step: Step) {
    let environment = environment.to_owned();
    teller.tell(match step {
        Step::Started => Event::EnvironmentStarted { environment, key: String::new() },
        Step::Output(line) => Event::EnvironmentOutput { environment, line },
    });
}

pub(super) fn demand(job: &Job) -> Capacity {
    Capacity { cpus: job.resources.cpus, gpus: job.resources.gpus, memory: job.resources.memory.unwrap_or(0) }
}

/// Inputs that no job makes must be there before anything runs: such a fault is most likely one of the Amlfile's.
fn inputs_are_there(judge: &Judge<'_>) -> Result<(), EngineError> {
    let mut missing = Vec::new();
    for (at, job) in judge.work.plan.jobs.iter().enumerate().filter(|(_, job)| job.needs.is_empty()) {
        if let Err(Lacking::Inputs(inputs)) = judge.fingerprint(JobId(at)) {
            missing.extend(inputs.into_iter().filter(|&i| job.inputs[i].from.is_empty()).map(|i| (JobId(at), i)));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(EngineError::InputsMissing(missing)) }
}
