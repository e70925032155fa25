//! Clusters that Ray runs: jobs are submitted to the Jobs API of a head's dashboard.
//!
//! Files travel as they do for Slurm: a folder that the nodes see is on this machine, or on one that is reached by ssh; the
//! program there lays runs out, and supervises them on the node that Ray chose. So Ray need not carry what it carries badly
//! (its packages have a limit, and its API brings no outputs back), and a run's log is a file that is followed by offsets:
//! Ray's own stream of it, which cannot be taken up again where it broke, is not used.
//!
//! A job's name in Ray is made of its run's identity, which is on record before: a repeated submission makes no second job.
//! How a run ended stands in its folder; Ray is asked for what only Ray knows, every two seconds, and all jobs at once
//! where there are many.

mod api;
mod job;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::api::{Api, Submission};
use self::job::{Both, Job};
use super::agent::{Connector, Files, Link, Noted, Room};
use super::here::Here;
use super::remote::{Cargo, Fault, Finding, Look, Offsets, Remote, State};
use super::ssh::Login;
use crate::clock::Clock;
use crate::digest::Digest;
use crate::ids::RunId;
use crate::launch::Parcel;
use crate::project::model::Target;
use crate::relpath::RelPath;

/// The time between two questions to Ray.
const EVERY: Duration = Duration::from_secs(2);
/// So many jobs are asked for one by one; more come as the list of all.
const FEW: usize = 4;
/// Every job waits at first, while its driver is started: that is told of those that wait for longer.
const SOON: Duration = Duration::from_secs(3);
/// What Ray takes to be over may not be seen yet through a network file system.
const LATE: Duration = Duration::from_secs(4);
/// What Ray does not know may be known again, when a head has come back.
const UNKNOWN: Duration = Duration::from_secs(15);
/// How long a job that tries the cluster out may take to be started.
const PATIENCE: Duration = Duration::from_secs(30);
/// A job that is deleted while Ray still looks after its end comes back as one that failed: so long it is let be.
const DELETED_AFTER: u64 = 15_000;
/// So many are deleted at a time.
const DELETED: usize = 50;

/// What Ray said last.
#[derive(Default)]
struct Heard {
    /// When.
    at: Duration,
    /// The names that are asked for again and again.
    followed: BTreeSet<String>,
    /// Those that were asked for since then.
    asked: BTreeSet<String>,
    /// The jobs of these names that there are.
    jobs: BTreeMap<String, Job>,
    /// Why it said nothing.
    failed: Option<Fault>,
    /// Since when Ray has nothing more to say of a run.
    silent: BTreeMap<RunId, Duration>,
    /// Since when a run waits, and what the cluster had to give when that was told.
    waiting: BTreeMap<RunId, (Duration, Option<String>)>,
}

/// A cluster.
pub struct Ray<'c> {
    link: Link,
    api: Api,
    name: String,
    clock: &'c dyn Clock,
    heard: Mutex<Heard>,
}

impl std::fmt::Debug for Ray<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ray({})", self.api.place())
    }
}

/// How the names of our jobs begin.
const NAMED: &str = "amlrun-";

/// What a run's job is called in Ray.
fn id_of(run: &RunId) -> String {
    format!("{NAMED}{run}")
}

impl<'c> Ray<'c> {
    /// A cluster as the Amlfile has it; `login` is the ssh target that it names. Nothing is connected before it is needed.
    #[must_use]
    pub fn new(
        target: &Target,
        login: Option<&Target>,
        cache: &Path,
        variables: &BTreeMap<String, String>,
        clock: &'c dyn Clock,
    ) -> Self {
        let text = |name: &str| target.options.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        let headers = target.options.get("headers").and_then(toml::Value::as_table).into_iter().flatten();
        let headers = headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        let of_login = login.and_then(|login| login.options.get("directory")?.as_str().map(str::to_owned));
        let connector: Box<dyn Connector> = match login {
            Some(login) => Box::new(Login::new(login, cache)),
            None => Box::new(Here { target: target.name.clone(), engine: "Ray" }),
        };
        Self {
            link: Link::new(connector, text("directory").or(of_login)),
            api: Api::new(&target.name, &text("address").unwrap_or_default(), &headers, variables),
            name: target.name.clone(),
            clock,
            heard: Mutex::default(),
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What Ray says of these jobs, not older than it has to be.
    fn ask(&self, ids: &[String]) -> Result<BTreeMap<String, Job>, Fault> {
        let mut heard = self.heard();
        if self.clock.elapsed().saturating_sub(heard.at) < EVERY {
            // A head that does not answer is not asked by each run in turn.
            if let Some(fault) = &heard.failed {
                return Err(fault.clone());
            }
        } else {
            heard.jobs.clear();
            heard.asked.clear();
        }
        let mut wanted: BTreeSet<String> = ids.iter().filter(|id| !heard.asked.contains(*id)).cloned().collect();
        if !wanted.is_empty() && heard.asked.is_empty() {
            wanted.extend(heard.followed.iter().cloned());
        }
        heard.followed.extend(ids.iter().cloned());
        let asked = if wanted.is_empty() { Ok(()) } else { self.ask_all(&mut heard, wanted) };
        heard.failed = asked.as_ref().err().cloned();
        asked?;
        Ok(ids.iter().filter_map(|id| Some((id.clone(), heard.jobs.get(id)?.clone()))).collect())
    }

    fn ask_all(&self, heard: &mut Heard, wanted: BTreeSet<String>) -> Result<(), Fault> {
        let is_first = heard.asked.is_empty();
        let asked = if wanted.len() > FEW {
            self.api.jobs().map(|jobs| heard.jobs.extend(jobs.into_iter().filter(|(id, _)| wanted.contains(id))))
        } else {
            let one = |id: &String| Ok(self.api.job(id)?.map(|job| heard.jobs.insert(id.clone(), job)).map(drop));
            wanted.iter().map(one).collect::<Result<Vec<Option<()>>, Fault>>().map(drop)
        };
        if is_first || asked.is_err() {
            heard.at = self.clock.elapsed();
        }
        if asked.is_ok() {
            heard.asked.extend(wanted);
        }
        asked
    }

    /// What follows from both sides. What Ray did not say, as it could not be reached, is `None`.
    fn state(&self, run: &RunId, noted: &Noted, jobs: Option<&BTreeMap<String, Job>>, submitted: bool) -> State {
        let id = id_of(run);
        let Some(jobs) = jobs else {
            return match &noted.files {
                Files::Ended(state) => state.clone(),
                Files::Absent => State::Absent,
                Files::Laid => State::Queued("Ray does not answer now".to_owned()),
                Files::Begun | Files::Told => State::Running,
            };
        };
        let folder = self.link.directory();
        let mut both = Both { id: &id, folder: &folder, noted, job: jobs.get(&id), submitted, settled: false };
        let mut heard = self.heard();
        if both.is_silent() {
            let now = self.clock.elapsed();
            let since = *heard.silent.entry(run.clone()).or_insert(now);
            let long = if both.job.is_some() { LATE } else { UNKNOWN };
            both.settled = now.saturating_sub(since) >= long;
        } else {
            heard.silent.remove(run);
        }
        let state = both.state();
        if matches!(state, State::Ended(..) | State::Gone(_)) {
            heard.followed.remove(&id);
            heard.silent.remove(run);
        }
        state
    }

    /// What the cluster has and how much of it is in use, to be put after why a job waits.
    fn in_use(&self) -> String {
        let status = self.api.cluster().ok().flatten();
        status.as_ref().and_then(job::resources).map_or_else(String::new, |has| format!("; {has}"))
    }

    /// Whether a job is started, on whichever node, and sees the folder. It stays in Ray's list until that is tidied.
    fn try_out(&self) -> Result<Finding, Fault> {
        let finding = |good: bool, text: String| Ok(Finding { name: "nodes".to_owned(), good, text });
        let (id, folder) = (id_of(&RunId::fresh()), self.link.directory());
        let entrypoint = format!("cd {}/objects-v1", super::ssh::quoted(&folder));
        let metadata =
            BTreeMap::from([("amlrun_job", "targets check".to_owned()), ("amlrun_directory", folder.clone())]);
        let job = Submission { id: &id, entrypoint: &entrypoint, metadata, cpus: 1, gpus: 0, memory: None };
        self.api.submit(&job)?;
        let until = self.clock.elapsed() + PATIENCE;
        loop {
            match self.api.job(&id)? {
                Some(job) if job.status == job::Status::Succeeded => {
                    return finding(true, format!("a job was started, and sees {folder}"));
                }
                Some(job) if job.is_over() => return finding(false, job.fault(&id, &folder)),
                _ => {}
            }
            if self.clock.elapsed() >= until {
                self.api.stop(&id)?;
                let text = format!("no job was started within {} s: is the cluster full?", PATIENCE.as_secs());
                return finding(false, text);
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }

    /// Deletes from Ray's list what was let go of some time ago: jobs of runs that are no longer in this folder.
    fn tidy(&self) -> Result<(), Fault> {
        let (folder, now) = (self.link.directory(), self.clock.now().0);
        let is_old = |job: &Job| job.is_over() && job.ended.is_some_and(|at| at + DELETED_AFTER < now);
        let ours = |job: &Job| job.directory.as_deref() == Some(&*folder);
        let jobs = self.api.jobs()?.into_iter().filter(|(_, job)| is_old(job) && ours(job)).take(DELETED);
        let runs: Vec<RunId> = jobs.filter_map(|(id, _)| Some(RunId(id.strip_prefix(NAMED)?.to_owned()))).collect();
        if runs.is_empty() {
            return Ok(());
        }
        for (run, noted) in runs.iter().zip(self.link.ray_states(&runs)?) {
            if noted.files == Files::Absent {
                self.api.delete(&id_of(run))?;
            }
        }
        Ok(())
    }

    fn is_over(noted: &Noted) -> bool {
        matches!(noted.files, Files::Ended(_) | Files::Absent)
    }
}

impl Remote for Ray<'_> {
    fn place(&self) -> String {
        format!("{} (Ray at {})", self.name, self.api.place())
    }

    fn prepare(&self, parcel: &Parcel, cargo: &dyn Cargo, told: &mut dyn FnMut(String)) -> Result<(), Fault> {
        if !self.api.was_reached() {
            self.api.version()?; // before anything is sent, and anything is put on record
        }
        self.link.prepare(parcel, &Room::default(), cargo, told)
    }

    fn lacking(&self, digests: &[Digest]) -> Result<Vec<Digest>, Fault> {
        self.link.lacking(digests)
    }

    fn submit(&self, parcel: &Parcel) -> Result<(), Fault> {
        let entrypoint = self.link.ray_ready(parcel)?;
        let id = id_of(&parcel.run);
        let metadata = BTreeMap::from([
            ("amlrun_job", parcel.job.clone()),
            ("amlrun_run", parcel.run.0.clone()),
            ("amlrun_directory", self.link.directory()),
        ]);
        let job = Submission {
            id: &id,
            entrypoint: &entrypoint,
            metadata,
            cpus: parcel.cpus,
            gpus: parcel.gpus,
            memory: parcel.memory,
        };
        self.api.submit(&job)?;
        // What Ray said of it before is no longer so.
        let mut heard = self.heard();
        heard.asked.remove(&id);
        heard.silent.remove(&parcel.run);
        Ok(())
    }

    fn look(&self, run: &RunId, from: &Offsets) -> Result<Look, Fault> {
        let (noted, looked) = self.link.ray_look(run, from)?;
        let jobs = if Self::is_over(&noted) { Ok(BTreeMap::new()) } else { self.ask(&[id_of(run)]) };
        let jobs = match jobs {
            Ok(jobs) => Some(jobs),
            // The run goes on and its output is at hand, whether Ray answers now or not.
            Err(Fault::Lost(_)) if noted.files != Files::Told => None,
            Err(fault) => return Err(fault),
        };
        let mut state = self.state(run, &noted, jobs.as_ref(), true);
        if let State::Queued(why) = &mut state {
            let now = self.clock.elapsed();
            let (since, told) = self.heard().waiting.entry(run.clone()).or_insert((now, None)).clone();
            if now.saturating_sub(since) < SOON {
                why.clear();
            } else {
                // Once: what is in use changes all the time.
                let told = told.unwrap_or_else(|| self.in_use());
                why.push_str(&told);
                self.heard().waiting.insert(run.clone(), (since, Some(told)));
            }
        }
        Ok(Look { state, log: looked.log, files: looked.files, followed: looked.followed })
    }

    fn states(&self, runs: &[RunId]) -> Result<Vec<State>, Fault> {
        let noted = self.link.ray_states(runs)?;
        let open = runs.iter().zip(&noted).filter(|(_, noted)| !Self::is_over(noted));
        let ids: Vec<String> = open.map(|(run, _)| id_of(run)).collect();
        if !ids.is_empty() && !self.api.was_reached() {
            self.api.version()?;
        }
        let jobs = if ids.is_empty() { BTreeMap::new() } else { self.ask(&ids)? };
        let states = runs.iter().zip(&noted).map(|(run, noted)| self.state(run, noted, Some(&jobs), false));
        let mut states: Vec<State> = states.collect();
        let waiting =
            states.iter_mut().filter_map(|state| if let State::Queued(why) = state { Some(why) } else { None });
        let waiting: Vec<&mut String> = waiting.collect();
        if !waiting.is_empty() {
            let in_use = self.in_use();
            for why in waiting {
                why.push_str(&in_use);
            }
        }
        Ok(states)
    }

    fn end(&self, run: &RunId, now: bool) -> Result<(), Fault> {
        // The supervisor ends the job, in its own time; one that has not begun never will.
        self.link.end(run, now, false)?;
        let id = id_of(run);
        let waits = |job: &Job| job.status == job::Status::Pending;
        match self.api.job(&id) {
            Ok(Some(job)) if now || waits(&job) => self.api.stop(&id),
            // Whether Ray hears of it now or not: what begins finds that it is not wanted.
            _ => Ok(()),
        }
    }

    fn collect(&self, run: &RunId, paths: &[RelPath], into: &Path) -> Result<(), Fault> {
        self.link.collect(run, paths, into)
    }

    fn forget(&self, runs: &[RunId]) -> Result<(), Fault> {
        self.link.forget(runs)?;
        self.tidy()
    }

    fn check(&self) -> Result<Vec<Finding>, Fault> {
        let version = self.api.version()?;
        let mut findings = self.link.check(self.clock.now().0)?;
        let has = self.api.cluster()?.as_ref().and_then(job::resources);
        let has = has.unwrap_or_else(|| "what it has this Ray does not say".to_owned());
        let text = format!("{version} at {}; {has}", self.api.place());
        findings.push(Finding { name: "ray".to_owned(), good: true, text });
        findings.push(self.try_out()?);
        Ok(findings)
    }
}
