//! `amlrun cache pull` and `push`: the runs that a plan's jobs are fresh by, without running or restoring anything.

use std::path::Path;

use super::line::localized;
use super::pull::{self, Pulled, Wanted};
use super::push::{Finished, Pushed, push};
use super::record::Record;
use super::{Sharing, each};
use crate::engine::interrupt::Interrupt;
use crate::engine::judging::Judge;
use crate::engine::surroundings::{Manner, Surroundings};
use crate::engine::telling::Teller;
use crate::engine::{EngineError, Work, World, measuring};
use crate::environment::Step;
use crate::history::{Entry, History};
use crate::ids::{JobId, RunId};
use crate::staleness::{Past, Verdict};

/// What became of a job.
#[derive(Debug, Clone)]
pub enum Found {
    /// It is fresh here, by this run.
    Here(RunId),
    /// Its run came from the cache.
    Came(RunId, String),
    /// It is stale, and the cache has no run for it.
    Stale,
    /// It depends on one that is stale, or on what is not there: its fingerprint is not known yet.
    Unknown,
}

/// Judges a plan's jobs. With `pulls`, stale ones are looked for in the cache: what is found is put on record, its objects
/// into the store.
///
/// # Errors
/// Where the project, the store or the records cannot be read or written.
pub fn look(
    work: Work<'_>,
    world: &World<'_>,
    reader: &dyn History,
    pulls: Option<(&Sharing, &mut dyn History, &Path)>,
    teller: &mut Teller<'_, '_>,
) -> Result<Vec<Found>, EngineError> {
    let surroundings = Surroundings::gather(work, world, Manner::Frozen, &mut |_: &str, _: Step| {})?;
    let found = measuring::measure(work, world, Manner::Frozen, &Interrupt::default(), teller)?;
    let mut judge = Judge::new(work, world, reader, surroundings, found, false)?;
    let mut pulls = pulls;
    let mut all: Vec<Option<Found>> = vec![None; work.plan.jobs.len()];
    loop {
        // All whose needs are known to be fresh; those of one round do not depend on each other.
        let is_known = |need: &JobId| matches!(all[need.0], Some(Found::Here(_) | Found::Came(..)));
        let ready: Vec<JobId> = (0..all.len())
            .map(JobId)
            .filter(|job| all[job.0].is_none() && work.plan.jobs[job.0].needs.iter().all(is_known))
            .collect();
        if ready.is_empty() {
            return Ok(all.into_iter().map(|found| found.unwrap_or(Found::Unknown)).collect());
        }
        let mut wanted: Vec<(JobId, Wanted)> = Vec::new();
        for job in ready {
            let Ok(fingerprint) = judge.fingerprint(job) else {
                all[job.0] = Some(Found::Unknown);
                continue;
            };
            if let Verdict::Fresh { since, .. } = judge.judge(job, &fingerprint)? {
                judge.assume(job);
                all[job.0] = Some(Found::Here(since));
                continue;
            }
            all[job.0] = Some(Found::Stale);
            let declared = &work.plan.jobs[job.0];
            if declared.cache {
                let outputs = declared.outputs.iter().map(|output| output.path.clone()).collect();
                let (key, job_name) = (fingerprint.digest(), declared.name.to_string());
                wanted.push((job, Wanted { key, job: job_name, outputs, sources: true }));
            }
        }
        if let Some((sharing, writer, scratch)) = &mut pulls {
            // Nothing that comes is cleared away before it is on record.
            let _hold = world.store.hold();
            for (job, record) in fetch(sharing, world, scratch, &wanted) {
                all[job.0] = Some(take(&mut judge, job, record, sharing, *writer)?);
            }
        }
    }
}

/// Asks for several runs at once.
fn fetch(
    sharing: &Sharing,
    world: &World<'_>,
    scratch: &Path,
    wanted: &[(JobId, Wanted)],
) -> Vec<(JobId, Box<Record>)> {
    let came = std::sync::Mutex::new(Vec::new());
    let _ = each(wanted, |(job, wanted)| {
        if let Pulled::Hit(record) = pull::pull(sharing, world.store, world.state, scratch, wanted) {
            came.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*job, record));
        }
        Ok::<(), ()>(())
    });
    came.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Puts a run that came on record.
fn take(
    judge: &mut Judge<'_>,
    job: JobId,
    record: Box<Record>,
    sharing: &Sharing,
    writer: &mut dyn History,
) -> Result<Found, EngineError> {
    let declared = &judge.work.plan.jobs[job.0];
    let experiment = judge.work.project.experiments[declared.experiment].name.clone();
    let local = localized(*record, declared.name.clone(), experiment, sharing.remote.address(), judge.history);
    let whose = local.record.whose();
    let Record { key, begun, ended, invocation, environment, .. } = local.record;
    let run = ended.run.clone();
    judge.learn(job, key, Past { run: run.clone(), outputs: ended.outputs.clone() });
    judge.assume(job);
    if local.is_new {
        judge.world.store.flush()?;
        if let Some(environment) = environment {
            writer.remember_key(&environment)?;
        }
        writer.record(&Entry::imported(Box::new(invocation), Box::new(begun), Box::new(ended)))?;
    }
    Ok(Found::Came(run, whose))
}

/// Puts runs of this workspace into the cache. What became of each, in order; those that are not on record any more are
/// left out.
///
/// # Errors
/// Where the records cannot be read, or the cache not be written: the text says why.
pub fn share(
    sharing: &Sharing,
    world: &World<'_>,
    reader: &dyn History,
    scratch: &Path,
    runs: &[RunId],
) -> Result<Vec<(RunId, Pushed)>, String> {
    let mut finished = Vec::new();
    for id in runs {
        let run = reader.run(&id.0).map_err(|error| error.to_string())?;
        let Some(mut ended) = run.ended.filter(crate::history::Ended::reusable) else { continue };
        ended.logged = reader.logged(id).map_err(|error| error.to_string())?.map(Box::new);
        let environment = run.begun.fingerprint.environment;
        let environment = environment.and_then(|digest| reader.key(&digest).ok().flatten());
        finished.push(Finished { begun: run.begun, ended, invocation: run.invocation, environment });
    }
    let mut all = Vec::new();
    for batch in finished.chunks(64) {
        let pushed = push(sharing, world.store, world.state, scratch, batch).map_err(|error| error.to_string())?;
        all.extend(batch.iter().map(|run| run.begun.run.clone()).zip(pushed));
    }
    Ok(all)
}
