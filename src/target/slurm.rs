//! Clusters that Slurm runs: `sbatch` on this machine, or on a login node that is reached by ssh.
//!
//! The jobs of a matrix that are ready together are one array: one submission. What Slurm says of jobs is asked for all of
//! them at once, and not more often than every two seconds; how a job ended it says itself, in a file on the cluster's
//! file system, so that nobody need wait for the next question.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::agent::{Connector, Link, Room};
use super::here::Here;
use super::remote::{Cargo, Fault, Finding, Look, Offsets, Remote, State};
use super::ssh::Login;
use crate::clock::Clock;
use crate::digest::Digest;
use crate::ids::RunId;
use crate::launch::Parcel;
use crate::project::model::Target;
use crate::relpath::RelPath;

/// How long others that are on their way are waited for, so that they come into the same array.
const GATHER: Duration = Duration::from_millis(1500);
/// A run that was submitted alone is not kept waiting longer than this.
const ALONE: Duration = Duration::from_millis(20);
/// An array is not longer than this: clusters have a limit, of 1001 where nobody changed it.
const LONGEST: usize = 1000;

/// A run on its way into a batch.
struct Waiting {
    run: RunId,
    /// What its batch has in common.
    like: Like,
    secrets: BTreeMap<String, String>,
}

/// What runs of one array have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Like {
    name: String,
    options: Vec<String>,
    secrets: Vec<String>,
}

#[derive(Default)]
struct Gathering {
    /// Runs that are being prepared: they will come.
    coming: usize,
    waiting: Vec<Waiting>,
    submitting: bool,
    done: BTreeMap<RunId, Result<(), Fault>>,
}

/// A cluster.
pub struct Slurm<'c> {
    link: Link,
    name: String,
    options: Vec<String>,
    gres: bool,
    modules: Vec<String>,
    clock: &'c dyn Clock,
    gathering: Mutex<Gathering>,
    changed: Condvar,
}

impl std::fmt::Debug for Slurm<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slurm({})", self.name)
    }
}

impl<'c> Slurm<'c> {
    /// A cluster as the Amlfile has it; `login` is the ssh target that it names.
    #[must_use]
    pub fn new(target: &Target, login: Option<&Target>, cache: &Path, clock: &'c dyn Clock) -> Self {
        let text = |name: &str| target.options.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        let list = |name: &str| -> Vec<String> {
            let list = target.options.get(name).and_then(toml::Value::as_array).into_iter().flatten();
            list.filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        let names = ["partition", "account", "qos", "gres", "constraint", "reservation"];
        let mut options: Vec<String> =
            names.iter().filter_map(|name| Some(format!("--{name}={}", text(name)?))).collect();
        options.extend(list("options"));
        let of_login = login.and_then(|login| login.options.get("directory")?.as_str().map(str::to_owned));
        let connector: Box<dyn Connector> = match login {
            Some(login) => Box::new(Login::new(login, cache)),
            None => Box::new(Here { target: target.name.clone(), engine: "Slurm" }),
        };
        Self {
            link: Link::new(connector, text("directory").or(of_login)),
            name: target.name.clone(),
            options,
            gres: text("gres").is_some(),
            modules: list("modules"),
            clock,
            gathering: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// `sbatch`'s options for a run.
    fn options(&self, parcel: &Parcel) -> Vec<String> {
        // `resources` are those of the whole job, Slurm's options those of a task or a node.
        let (nodes, tasks) = parcel.spread.unwrap_or((1, 1));
        let mut options = vec![format!("--cpus-per-task={}", parcel.cpus.div_ceil(tasks))];
        if parcel.spread.is_some() {
            options.push(format!("--nodes={nodes}"));
            options.push(format!("--ntasks-per-node={}", tasks.div_ceil(nodes)));
        }
        if parcel.gpus > 0 && !self.gres {
            options.push(format!("--gres=gpu:{}", parcel.gpus.div_ceil(nodes)));
        }
        if let Some(memory) = parcel.memory {
            options.push(format!("--mem={}M", memory.div_ceil(u64::from(nodes)).div_ceil(1 << 20).max(1)));
        }
        if let Some(time) = parcel.time {
            // The supervisor ends the job in time; Slurm's limit is for what the supervisor cannot end.
            let limit = time + parcel.grace + Duration::from_secs(30);
            options.push(format!("--time={}", limit.as_secs().div_ceil(60)));
        }
        options.extend(self.options.iter().cloned());
        options
    }

    fn gathering(&self) -> std::sync::MutexGuard<'_, Gathering> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits what has gathered, batch by batch; whoever waits hears of its own.
    fn submit_all(&self, waiting: Vec<Waiting>) {
        let mut batches: BTreeMap<Like, Vec<Waiting>> = BTreeMap::new();
        for one in waiting {
            batches.entry(one.like.clone()).or_default().push(one);
        }
        for (like, all) in batches {
            for some in all.chunks(LONGEST) {
                let runs: Vec<&String> = some.iter().map(|one| &one.run.0).collect();
                let secrets = some.first().map(|one| one.secrets.clone()).unwrap_or_default();
                let ask = json!({
                    "op": "slurm_submit",
                    "runs": runs,
                    "name": like.name,
                    "options": like.options,
                    "modules": self.modules,
                    "secrets": secrets,
                });
                let result = match self.link.ask(&ask) {
                    Ok(answer) => match answer.get("busy").and_then(|busy| busy.as_str()) {
                        Some(busy) => Err(Fault::Lost(format!("target `{}`: {busy}", self.name))),
                        None => Ok(()),
                    },
                    Err(Fault::Refused(why)) if why.starts_with(&format!("target `{}`", self.name)) => {
                        Err(Fault::Refused(why))
                    }
                    Err(Fault::Refused(why)) => Err(Fault::Refused(format!("target `{}`: {why}", self.name))),
                    Err(fault) => Err(fault),
                };
                let mut gathering = self.gathering();
                gathering.done.extend(some.iter().map(|one| (one.run.clone(), result.clone())));
                self.changed.notify_all();
            }
        }
    }
}

/// A job's experiment, in letters that any tool bears.
fn plain(job: &str) -> String {
    let name = job.split('[').next().unwrap_or(job);
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' }).collect();
    plain.trim_start_matches('-').to_owned()
}

impl Remote for Slurm<'_> {
    fn place(&self) -> String {
        format!("{} (Slurm by {})", self.name, self.link.place())
    }

    fn prepare(&self, parcel: &Parcel, cargo: &dyn Cargo, told: &mut dyn FnMut(String)) -> Result<(), Fault> {
        self.gathering().coming += 1;
        let prepared = self.link.prepare(parcel, &Room::default(), cargo, told);
        if prepared.is_err() {
            let mut gathering = self.gathering();
            gathering.coming = gathering.coming.saturating_sub(1);
            self.changed.notify_all();
        }
        prepared
    }

    fn lacking(&self, digests: &[Digest]) -> Result<Vec<Digest>, Fault> {
        self.link.lacking(digests)
    }

    fn submit(&self, parcel: &Parcel) -> Result<(), Fault> {
        let like = Like {
            name: plain(&parcel.job),
            options: self.options(parcel),
            secrets: parcel.secrets.keys().cloned().collect(),
        };
        let began = self.clock.elapsed();
        let mut gathering = self.gathering();
        gathering.coming = gathering.coming.saturating_sub(1);
        gathering.waiting.push(Waiting { run: parcel.run.clone(), like, secrets: parcel.secrets.clone() });
        let mut last = (gathering.waiting.len(), began);
        loop {
            if let Some(result) = gathering.done.remove(&parcel.run) {
                return result;
            }
            let now = self.clock.elapsed();
            if gathering.waiting.len() != last.0 {
                last = (gathering.waiting.len(), now);
            }
            // As long as others come one after the other they are waited for.
            let quiet = now.saturating_sub(last.1);
            let all_here = gathering.coming == 0 && quiet >= ALONE;
            if !gathering.submitting && !gathering.waiting.is_empty() && (all_here || quiet >= GATHER) {
                gathering.submitting = true;
                let waiting = std::mem::take(&mut gathering.waiting);
                drop(gathering);
                self.submit_all(waiting);
                gathering = self.gathering();
                gathering.submitting = false;
                self.changed.notify_all();
                continue;
            }
            gathering = match self.changed.wait_timeout(gathering, ALONE) {
                Ok((gathering, _)) => gathering,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    fn look(&self, run: &RunId, from: &Offsets) -> Result<Look, Fault> {
        self.link.look(run, from, true)
    }

    fn states(&self, runs: &[RunId]) -> Result<Vec<State>, Fault> {
        self.link.states(runs, true)
    }

    fn end(&self, run: &RunId, now: bool) -> Result<(), Fault> {
        self.link.end(run, now, true)
    }

    fn collect(&self, run: &RunId, paths: &[RelPath], into: &Path) -> Result<(), Fault> {
        self.link.collect(run, paths, into)
    }

    fn forget(&self, runs: &[RunId]) -> Result<(), Fault> {
        self.link.forget(runs)
    }

    fn check(&self) -> Result<Vec<Finding>, Fault> {
        let mut findings = self.link.check(self.clock.now().0)?;
        let answer = self.link.ask(&json!({"op": "slurm_check", "options": self.options}))?;
        let text = |name: &str| answer.get(name).and_then(|text| text.as_str()).unwrap_or_default().to_owned();
        let good = answer.get("good").and_then(serde_json::Value::as_bool).unwrap_or(false);
        findings.push(Finding { name: "slurm".to_owned(), good, text: text("text") });
        Ok(findings)
    }
}
