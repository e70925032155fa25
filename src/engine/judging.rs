//! Gathers a job's fingerprint from what was found, and has `staleness` judge it.

use std::collections::BTreeMap;

use super::keyed;
use super::measuring::{Found, no_sources};
use super::memory::Remembered;
use super::publish;
use super::surroundings::Surroundings;
use super::{EngineError, Work, World};
use crate::content::{Content, Kind};
use crate::digest::Digest;
use crate::history::History;
use crate::ids::JobId;
use crate::plan::job::{Command, Job, Role, Runner};
use crate::project::model::InputPath;
use crate::relpath::RelPath;
use crate::staleness::judge::{self, Recorded};
use crate::staleness::{Fingerprint, Key, Orders, Past, Present, Reason, Verdict, fingerprint};
use crate::store::snapshot;

/// What a fingerprint could not be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacking {
    /// Inputs, by their places in the job.
    Inputs(Vec<usize>),
    /// The environment is not resolved yet.
    Environment,
    /// Something that it depends on is not to be had: why.
    Broken(String),
}

/// Judges jobs.
pub struct Judge<'j> {
    /// What is judged.
    pub work: Work<'j>,
    /// Against what.
    pub world: &'j World<'j>,
    /// The records, for reading.
    pub history: &'j dyn History,
    /// The environments.
    pub surroundings: Surroundings,
    /// What was found on disk.
    pub found: Found,
    /// `--force`.
    pub force: bool,
    /// Sweeps that ended go on.
    pub resume: bool,
    /// What the history answered of a job's fingerprint, by that fingerprint's digest.
    past: Vec<Option<(Digest, Option<Past>)>>,
}

impl<'j> Judge<'j> {
    /// A judge of these jobs. Asks the history at once for what would be fresh if nothing had changed.
    ///
    /// # Errors
    /// Where the history cannot be read.
    pub fn new(
        work: Work<'j>,
        world: &'j World<'j>,
        history: &'j dyn History,
        surroundings: Surroundings,
        found: Found,
        force: bool,
    ) -> Result<Self, EngineError> {
        let past = vec![None; work.plan.jobs.len()];
        let mut judge = Self { work, world, history, surroundings, found, force, resume: false, past };
        let (jobs, wanted): (Vec<usize>, Vec<_>) = (0..work.plan.jobs.len())
            .filter_map(|at| Some((at, (work.plan.jobs[at].name.clone(), judge.fingerprint(JobId(at)).ok()?.digest()))))
            .unzip();
        let answers = history.past(&wanted)?;
        for ((at, (_, digest)), answer) in jobs.into_iter().zip(wanted).zip(answers) {
            judge.past[at] = Some((digest, answer));
        }
        Ok(judge)
    }

    fn job(&self, job: JobId) -> &'j Job {
        self.work.job(job)
    }

    /// Everything that a job's result depends on, as it is now.
    ///
    /// # Errors
    /// What it lacks.
    pub fn fingerprint(&self, id: JobId) -> Result<Fingerprint, Lacking> {
        let job = self.job(id);
        let broken = self.surroundings.of[id.0].and_then(|at| self.surroundings.broken.get(&at));
        if let Some(why) = broken.or_else(|| self.found.fault(id.0, &job.inputs)) {
            return Err(Lacking::Broken(why.clone()));
        }
        let environment = match self.surroundings.of[id.0] {
            None => None,
            Some(at) => Some(self.surroundings.keys[at].as_ref().ok_or(Lacking::Environment)?.digest),
        };
        let mut inputs = BTreeMap::new();
        let mut missing = Vec::new();
        let mut params: BTreeMap<String, String> =
            job.params.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        for (at, input) in job.inputs.iter().enumerate() {
            match (self.found.paths.get(&input.path).copied().flatten(), &input.keys) {
                (Some(measured), Some(keys)) => {
                    params.extend(keyed::values(self.world, input, keys, measured.content).map_err(Lacking::Broken)?);
                }
                (Some(measured), None) => drop(inputs.insert(input.name.clone(), input_key(measured.content))),
                (None, _) => missing.push(at),
            }
        }
        if !missing.is_empty() {
            return Err(Lacking::Inputs(missing));
        }
        Ok(Fingerprint {
            format: fingerprint::FORMAT,
            command: words(&job.command),
            params,
            variables: job.variables.clone(),
            framework: job.framework.clone(),
            distributed: distributed(job),
            environment,
            sources: self.found.spec_of[id.0]
                .map_or_else(|| no_sources().digest, |at| self.found.sources[at].content.digest),
            inputs,
        })
    }

    /// What stands in the way of a fresh verdict whatever is on record.
    #[must_use]
    pub fn orders(&self, id: JobId) -> Orders {
        let job = self.job(id);
        let force = self.force || (self.resume && job.role == Role::Sweep);
        Orders { force: force && job.goal, no_cache: !job.cache }
    }

    fn present(&self, id: JobId) -> Vec<Present> {
        if self.job(id).role == Role::Trial {
            // What lies at these paths is the sweep's; what a trial left lies in the store.
            let absent = |output: &crate::plan::job::Output| Present { path: output.path.clone(), content: None };
            return self.job(id).outputs.iter().map(absent).collect();
        }
        let recorded = self.recorded(id);
        let at = |path: &RelPath| {
            let was = recorded.iter().find(|o| o.path == *path).and_then(Recorded::content);
            let now = self.found.output(path).map(|measured| measured.content);
            let moved_elsewhere =
                || was.filter(|was| was.kind != Kind::Link).and_then(|_| Found::followed(self.world, path));
            let now = now.or_else(moved_elsewhere);
            match was {
                // As an input a link is what it leads to, and so it was measured; as an output it is its text.
                Some(was) if matches!(was.kind, Kind::Link | Kind::Folder) && now != Some(was) => {
                    publish::as_output(self.world, path.as_path())
                }
                _ => now,
            }
        };
        self.job(id).outputs.iter().map(|o| Present { path: o.path.clone(), content: at(&o.path) }).collect()
    }

    /// Forgets what the history said of a job, so that it is asked again.
    pub fn forget(&mut self, id: JobId) {
        self.past[id.0] = None;
    }

    /// Learns of a run that stands for a job's fingerprint, and that is not on record yet.
    pub fn learn(&mut self, id: JobId, digest: Digest, past: Past) {
        self.past[id.0] = Some((digest, Some(past)));
    }

    fn ask(&mut self, id: JobId, digest: Digest) -> Result<(), EngineError> {
        if self.past[id.0].as_ref().is_none_or(|(asked, _)| *asked != digest) {
            let mut answers = self.history.past(&[(self.job(id).name.clone(), digest)])?;
            self.past[id.0] = Some((digest, answers.pop().flatten()));
        }
        Ok(())
    }

    /// One more job, which reads what another one reads: a trial of a sweep.
    pub fn add(&mut self, like: JobId) {
        self.surroundings.of.push(self.surroundings.of[like.0]);
        self.found.spec_of.push(self.found.spec_of[like.0]);
        self.past.push(None);
    }

    /// The recorded run that stands for a job's fingerprint.
    pub fn past(&self, id: JobId) -> Option<&Past> {
        self.past[id.0].as_ref().and_then(|(_, past)| past.as_ref())
    }

    pub(super) fn in_store(&self, recorded: &Recorded) -> bool {
        recorded.content().is_some_and(|content| snapshot::present(self.world.store, &content))
    }

    /// The outputs of the recorded run that a job was found fresh by.
    #[must_use]
    pub fn recorded(&self, id: JobId) -> Vec<Recorded> {
        self.past(id).map(|past| past.outputs.clone()).unwrap_or_default()
    }

    /// Whether a job that was stale is fresh by now, as another invocation ran it.
    ///
    /// # Errors
    /// Where the history or an output cannot be read.
    pub fn fresh_meanwhile(&mut self, id: JobId, digest: Digest) -> Result<bool, EngineError> {
        self.forget(id);
        self.ask(id, digest)?;
        if self.past(id).is_none() {
            return Ok(false);
        }
        if self.job(id).role == Role::Trial {
            let in_store = |recorded: &Recorded| self.in_store(recorded);
            return Ok(judge::fresh(self.orders(id), self.past(id), &self.present(id), &in_store).is_some());
        }
        let outputs: Vec<_> = self.job(id).outputs.iter().map(|o| InputPath::Inside(o.path.clone())).collect();
        self.found.look_again(self.world, &outputs)?;
        let in_store = |recorded: &Recorded| self.in_store(recorded);
        Ok(judge::fresh(self.orders(id), self.past(id), &self.present(id), &in_store).is_some())
    }

    /// Judges a job whose needs are done.
    ///
    /// # Errors
    /// Where the history cannot be read.
    pub fn judge(&mut self, id: JobId, now: &Fingerprint) -> Result<Verdict, EngineError> {
        self.ask(id, now.digest())?;
        let past = self.past(id);
        let present = self.present(id);
        let in_store = |recorded: &Recorded| self.in_store(recorded);
        if let Some(verdict) = judge::fresh(self.orders(id), past, &present, &in_store) {
            return Ok(verdict);
        }
        let last = self.history.last(&self.job(id).name)?;
        let memory = Remembered { judge: self, job: id };
        let reasons = judge::reasons(self.orders(id), now, past, last.as_ref(), &present, &in_store, &memory);
        Ok(Verdict::Stale { reasons })
    }

    /// Reasons for a job that cannot be judged for what it lacks.
    #[must_use]
    pub fn lacking(&self, id: JobId, lacking: &Lacking) -> Vec<Reason> {
        let job = self.job(id);
        match lacking {
            Lacking::Inputs(missing) => missing
                .iter()
                .map(|&at| Reason::InputMissing {
                    name: job.inputs[at].name.clone(),
                    path: shown(&job.inputs[at].path),
                })
                .collect(),
            Lacking::Broken(_) => Vec::new(),
            Lacking::Environment => {
                let environment = self.work.project.environments[job.environment].name.clone();
                vec![Reason::EnvironmentNotLocked { environment }]
            }
        }
    }

    /// The recorded outputs of a job that do not lie in the project as they are.
    ///
    /// # Errors
    /// Where an output cannot be read.
    pub fn to_restore(&mut self, id: JobId) -> Result<Vec<Recorded>, EngineError> {
        let outputs: Vec<_> = self.job(id).outputs.iter().map(|o| InputPath::Inside(o.path.clone())).collect();
        self.found.look_again(self.world, &outputs)?;
        let present = self.present(id);
        let lies = |output: &Recorded| {
            present
                .iter()
                .any(|now| now.path == output.path && now.content.is_some() && now.content == output.content())
        };
        let declared = |output: &&Recorded| present.iter().any(|now| now.path == output.path);
        let recorded = self.recorded(id);
        Ok(recorded.iter().filter(declared).filter(|output| !lies(output)).cloned().collect())
    }

    /// What a job that would be fresh leaves at its outputs, restored or not: what those that need it will see.
    pub fn assume(&mut self, id: JobId) {
        for output in self.recorded(id) {
            let path = InputPath::Inside(output.path.clone());
            if self.job(id).outputs.iter().all(|declared| declared.path != output.path) {
                continue;
            }
            if let (Some(content), Some(slot)) = (output.content(), self.found.paths.get_mut(&path)) {
                let stamp = slot.map(|measured| measured.stamp).unwrap_or_default();
                *slot = Some(crate::tree::Measured { content, stamp, files: 1 });
            }
        }
    }

    /// The facts behind an environment's digest, from this invocation or an earlier one.
    #[must_use]
    pub fn key(&self, digest: &Digest) -> Option<Key> {
        let known = self.surroundings.keys.iter().flatten().find(|key| key.digest == *digest);
        known.cloned().or_else(|| self.history.key(digest).ok().flatten())
    }
}

/// A path as the user knows it.
#[must_use]
pub fn shown(path: &InputPath) -> String {
    super::measuring::ground_path(path).display().to_string()
}

/// An input's content as it enters a fingerprint: a folder's node and a file's bytes as they are, so that `why` can find
/// the files that differ; an executable apart from a plain file.
#[must_use]
pub fn input_key(content: Content) -> Digest {
    match content.kind {
        Kind::File | Kind::Folder => content.digest,
        Kind::Executable | Kind::Link => content.key(),
    }
}

/// The command as it enters a fingerprint.
fn words(command: &Command) -> Vec<String> {
    match command {
        Command::Shell(text) => vec!["shell".to_owned(), text.clone()],
        Command::Script { script, arguments, runner } => {
            let runner = match runner {
                Runner::Python => "python",
                Runner::Shell => "sh",
                Runner::Rscript => "Rscript",
                Runner::Itself => "exec",
            };
            [runner, script].into_iter().map(str::to_owned).chain(arguments.iter().cloned()).collect()
        }
    }
}

fn distributed(job: &Job) -> BTreeMap<String, String> {
    let Some(distributed) = &job.distributed else { return BTreeMap::new() };
    let mut fields = distributed.options.clone();
    fields.insert("type".to_owned(), distributed.kind.clone());
    fields.insert("nodes".to_owned(), distributed.nodes.to_string());
    fields.insert("processes".to_owned(), distributed.processes.to_string());
    fields
}
