//! One job on a target elsewhere, on a worker thread: sent, submitted, followed, brought back; found again where it was
//! submitted before.
//!
//! What is known of the run is on record before it is submitted, and stays there until its result is: so it is never
//! submitted twice and never lost, whatever dies in between. A connection that breaks is not the end of a run.

mod follow;

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::engine::attempt::{self, Bench, Done, Note, Task};
use crate::engine::parcel::{Contents, pack};
use crate::engine::stage::Staged;
use crate::engine::sweeping::stop;
use crate::engine::tracked::Tracked;
use crate::engine::{aside, ranks, recover, variables};
use crate::history::{Begun, Status};
use crate::ids::{JobId, RunId};
use crate::launch::{Image, Outcome, Parcel, Recipe, Ticket, Usage};
use crate::plan::job::{Job, Role};
use crate::project::model::Environment;
use crate::relpath::RelPath;
use crate::shim;
use crate::store::Hold;
use crate::target::CancelState;
use crate::target::remote::{Fault, Remote, State};
use crate::tracking::Folder;

/// The pauses between two tries to reach a target.
const TRIES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// What is told where a log is not taken.
const LEFT_OUT: &str = "what the script logged is left out: not all of its `secrets` are set here";

pub(super) use follow::followed;

/// Why an attempt goes no further here.
enum Stop {
    /// The run goes on there without us.
    Detached,
    /// Nothing was submitted, and nothing will be.
    Canceled,
    /// It is to be judged again.
    Moved,
    /// It could not be submitted, or not be followed: the text says why. A run that was submitted stays on record.
    Failed(String),
}

/// Follows a run that was submitted for what a job was before, to its record: nothing of it comes into the project.
pub fn bring_to_record(bench: Bench<'_>, job: JobId, begun: Begun, target: usize, tell: &mut dyn FnMut(Note)) -> Done {
    let task = Task {
        job,
        begun,
        sources: None,
        inputs: Vec::new(),
        environment: None,
        gpus: Vec::new(),
        elsewhere: Some(target),
        attached: true,
        publish: false,
        stop: stop::Stop::default(),
        follow: None,
    };
    match bench.world.remotes.get(&target) {
        Some(remote) => carry_out(bench, &task, &**remote, tell),
        None => Done::Moved,
    }
}

/// Does a job there.
pub fn carry_out(bench: Bench<'_>, task: &Task, remote: &dyn Remote, tell: &mut dyn FnMut(Note)) -> Done {
    let job = bench.work.job(task.job);
    let mut begun = task.begun.clone();
    let mut attached = task.attached;
    if !attached {
        begun.started = bench.world.clock.now();
    }
    loop {
        let folder = bench.world.state.join("work").join(&task.begun.invocation).join(&begun.run.0);
        let mut there = There { bench, task, job, remote, begun: &begun, folder: &folder, waiting: false, tell };
        let done = there.attempt(attached);
        recover::remove_run(&folder);
        if let Some(scratch) = &task.follow {
            recover::remove_run(&followed(scratch, &begun.run));
        }
        let (ended, contents, tail, hold) = match done {
            Ok(done) => done,
            Err(Stop::Moved) => return Done::Moved,
            Err(Stop::Detached) => return Done::Detached { run: begun.run, place: remote.place() },
            Err(Stop::Canceled) => return attempt::not_begun(bench, &begun.run, Outcome::Canceled),
            Err(Stop::Failed(why)) => return attempt::not_begun(bench, &begun.run, Outcome::Broken { why }),
        };
        let failed = !matches!(ended.outcome, Outcome::Succeeded | Outcome::Canceled);
        let is_for_record = !task.publish && job.role != Role::Trial;
        let is_wanted = bench.cancel.state() == CancelState::Run && task.stop.why().is_none();
        if !failed || is_for_record || begun.attempt > job.retries || !is_wanted {
            return Done::Ended { ended: Box::new(ended), contents, tail, began: true, hold };
        }
        let delay = attempt::delay(begun.attempt);
        tell(Note::Again { ended: Box::new(ended), attempt: begun.attempt, delay, hold });
        wait(bench, delay);
        begun.run = RunId::fresh();
        begun.attempt += 1;
        begun.started = bench.world.clock.now();
        begun.invocation.clone_from(&task.begun.invocation);
        attached = false;
    }
}

/// What is asked of a target, and asked again where the connection broke; it may tell how it goes.
type Question<'q, T> = &'q mut dyn FnMut(&mut dyn FnMut(Note)) -> Result<T, Fault>;

/// One attempt, here and there.
struct There<'t> {
    bench: Bench<'t>,
    task: &'t Task,
    job: &'t Job,
    remote: &'t dyn Remote,
    begun: &'t Begun,
    folder: &'t Path,
    waiting: bool,
    tell: &'t mut dyn FnMut(Note),
}

impl There<'_> {
    fn attempt(&mut self, attached: bool) -> Result<attempt::Once, Stop> {
        let run = &self.begun.run;
        if attached {
            (self.tell)(Note::Attached(Box::new(self.begun.clone()), self.remote.place()));
            let remote = self.remote;
            let look = self.patiently(true, &mut |_| remote.states(std::slice::from_ref(run)))?;
            if look.first().is_none_or(|state| *state == State::Absent) {
                if !self.task.publish && self.job.role != Role::Trial {
                    let ended = attempt::ending(self.bench.world, run, Outcome::Canceled);
                    return Ok((ended, Vec::new(), Vec::new(), Hold::default())); // never submitted, and what it was for has changed
                }
                self.submit(true)?;
            }
        } else {
            self.submit(false)?;
        }
        if self.bench.detach {
            return Err(Stop::Detached);
        }
        let (outcome, usage, tail) = self.follow()?;
        self.bring_back(outcome, usage, tail)
    }

    /// Asks until there is an answer. Before anything was submitted an interrupt gives up; after that it detaches.
    fn patiently<T>(&mut self, submitted: bool, ask: Question<'_, T>) -> Result<T, Stop> {
        let mut pause = TRIES.0;
        loop {
            match ask(self.tell) {
                Ok(answer) => {
                    self.waiting = false;
                    return Ok(answer);
                }
                Err(Fault::Moved) => return Err(Stop::Moved),
                Err(Fault::Refused(why)) => return Err(Stop::Failed(why)),
                Err(Fault::Lost(why)) => {
                    if !self.waiting {
                        self.waiting = true;
                        (self.tell)(Note::Waiting(format!("{why}; trying again")));
                    }
                }
            }
            wait(self.bench, pause);
            pause = (pause * 2).min(TRIES.1);
            if self.bench.cancel.state() != CancelState::Run {
                return Err(if submitted { Stop::Detached } else { Stop::Canceled });
            }
            if !submitted && self.task.stop.why().is_some() {
                return Err(Stop::Canceled);
            }
        }
    }

    /// Sends, puts on record, submits.
    fn submit(&mut self, on_record: bool) -> Result<(), Stop> {
        let world = self.bench.world;
        let kept = world.store.hold();
        let environment = self.task.environment.as_ref();
        let name = environment.map(|environment| environment.name.clone()).unwrap_or_default();
        let recipe = world
            .environments
            .recipe(environment)
            .map_err(|error| Stop::Failed(format!("environment `{name}`: {error}")))?;
        if let (Recipe::Container(image), Some(environment)) = (&recipe, environment)
            && !self.is_judged(image, environment)
        {
            return Err(Stop::Moved);
        }
        let own = variables::own(self.bench.work, self.job, self.begun);
        let secrets = variables::secrets(world, self.job);
        let contents = Contents::new(world, self.task);
        let mut parcel: Parcel =
            pack(self.bench.work, self.job, self.begun, &contents, recipe, own, secrets).map_err(Stop::Failed)?;
        aside::pack(self.bench, self.begun, &mut parcel);
        let remote = self.remote;
        self.patiently(on_record, &mut |tell| {
            remote.prepare(&parcel, &contents, &mut |line| {
                let step = if line.is_empty() {
                    crate::environment::Step::Started
                } else {
                    crate::environment::Step::Output(line)
                };
                tell(Note::Environment(name.clone(), step));
            })
        })?;
        self.bench.patches.make(self.bench, self.task, &self.begun.run);
        if !on_record {
            if self.bench.cancel.state() != CancelState::Run {
                return Err(Stop::Canceled);
            }
            let ticket =
                Ticket { run: self.begun.run.clone(), target: self.begun.target.clone(), place: remote.place() };
            let (recorded, on_disk) = sync_channel(1);
            (self.tell)(Note::Submitting(Box::new(self.begun.clone()), Box::new(ticket), recorded, kept));
            // Until that is on disk nothing is submitted: what is not on record could be submitted again.
            on_disk
                .recv()
                .map_err(|_| Stop::Failed("the record could not be written; nothing was submitted".to_owned()))?;
        }
        self.patiently(true, &mut |_| remote.submit(&parcel))
    }

    /// Whether an image is the one that the job was judged with: by its name, another one may be found a moment later.
    fn is_judged(&self, image: &Image, environment: &Environment) -> bool {
        let key = self.bench.world.environments.key(environment, true, &mut |_| {});
        key.ok().flatten().is_some_and(|key| {
            let same = key.facts.get("image").is_none_or(|identity| *identity == image.identity);
            same && self.begun.fingerprint.environment == Some(key.digest)
        })
    }

    /// Brings back what the script logged; where that is not to be had, it logged nothing. None where a secret is not known
    /// here any more, which could stand in it.
    fn bring_log(&mut self) -> Result<Option<Tracked>, Stop> {
        let secrets: Vec<String> = variables::secrets(self.bench.world, self.job).into_values().collect();
        if secrets.len() < self.job.secrets.len() {
            return Ok(None);
        }
        let beside = self.folder.with_extension("logged");
        let paths: Vec<RelPath> = aside::folder().into_iter().collect();
        let (remote, run) = (self.remote, self.begun.run.clone());
        match self.patiently(true, &mut |_| remote.collect(&run, &paths, &beside)) {
            Ok(()) | Err(Stop::Failed(_)) => {}
            Err(stop) => return Err(stop),
        }
        let at = paths.first().map_or_else(|| beside.clone(), |path| beside.join(path.as_path()));
        Ok(Some(Tracked::brought(Folder::at(at), &secrets, shim::is_sdk(&self.job.variables))))
    }

    /// Brings back what the run left, and does with it what is done with that of a run here.
    fn bring_back(&mut self, mut outcome: Outcome, usage: Usage, tail: Vec<String>) -> Result<attempt::Once, Stop> {
        let (world, run, job) = (self.bench.world, self.begun.run.clone(), self.job);
        let log = world.state.join("runs").join(&run.0).join("user_logs").join("std_log.txt");
        let logged = self.bring_log()?.map(|mut tracked| (tracked.read(world, &mut outcome, &log), tracked));
        let cwd = self.folder.join(job.source_directory.as_path());
        std::fs::create_dir_all(&cwd)
            .map_err(|error| Stop::Failed(format!("could not make {}: {error}", cwd.display())))?;
        let mut paths: Vec<RelPath> = vec![job.source_directory.join("outputs"), job.source_directory.join("logs")];
        if outcome == Outcome::Succeeded {
            paths.extend(job.outputs.iter().map(|output| output.path.clone()));
        }
        // A path below another comes with it.
        let all = paths.clone();
        paths.retain(|path| !all.iter().any(|other| other != path && path.is_within(other)));
        paths.sort();
        paths.dedup();
        let (remote, folder) = (self.remote, self.folder);
        let brought = self.patiently(true, &mut |_| remote.collect(&run, &paths, folder));
        let hold = world.store.hold();
        let mut ended = attempt::ending(world, &run, outcome);
        match brought {
            Ok(()) => {}
            // What cannot be kept is the job's failure, as it is here; the connection was there.
            Err(Stop::Failed(why)) if ended.outcome == Outcome::Succeeded => ended.outcome = Outcome::Broken { why },
            Err(Stop::Failed(why)) => ended.notes.push(why),
            Err(stop) => return Err(stop),
        }
        ended.usage = usage;
        ranks::note(job, &mut ended, &tail);
        super::collect::keep_logs(&cwd.join("logs"), &world.state.join("runs").join(&run.0), job);
        let staged =
            Staged { folder: self.folder.to_owned(), cwd, linked: Vec::new(), mounts: Vec::new(), mounted: false };
        let contents = attempt::finish(self.bench, self.task, job, &staged, &mut ended);
        ended.kept.extend(self.bench.patches.keep(world, self.task, &run));
        if let Some((logged, tracked)) = logged {
            tracked.settle(world, logged, &mut ended);
        } else {
            ended.notes.push(format!("{LEFT_OUT}, and could not be cut out of it"));
        }
        recover::remove_run(&self.folder.with_extension("logged"));
        ended.ended = world.clock.now();
        ended.status = Status::after(&ended.outcome);
        Ok((ended, contents, tail, hold))
    }
}

/// Waits, unless the end is asked for.
pub(super) fn wait(bench: Bench<'_>, delay: Duration) {
    let until = bench.world.clock.elapsed() + delay;
    while bench.cancel.state() == CancelState::Run && bench.world.clock.elapsed() < until {
        let left = until.saturating_sub(bench.world.clock.elapsed()).min(Duration::from_millis(50));
        std::thread::park_timeout(left);
    }
}
