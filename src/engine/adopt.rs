//! Puts results that another tool left in the project on record, so that the jobs that made them count as done: for
//! `amlrun import`, which has proven by that tool's own lock that they belong to what is there now.
//!
//! Nothing runs and nothing in the project is touched: outputs are read into the store where they lie.

use super::collect::read_metrics;
use super::surroundings::{Manner, Surroundings};
use super::telling::Teller;
use super::{EngineError, Work, World, judging, measuring, recover};
use crate::environment::Step;
use crate::history::{Begun, Ended, Entry, History, Invocation, Status};
use crate::ids::{JobId, JobName, RunId};
use crate::launch::{Outcome, Usage};
use crate::staleness::{Recorded, Verdict};
use crate::store::capture;
use crate::tree::Measured;

/// What came of it.
#[derive(Debug, Default)]
pub struct Adopted {
    /// The jobs whose results are on record now.
    pub jobs: Vec<JobName>,
    /// Jobs that were on record already.
    pub known: Vec<JobName>,
    /// Jobs that could not be adopted, and why.
    pub refused: Vec<(JobName, String)>,
}

/// Adopts the results of those jobs of a plan whose experiments `chosen` names; `note` is kept with their records.
///
/// # Errors
/// Where something cannot be read or the records not written.
pub fn adopt(
    work: Work<'_>,
    world: &World<'_>,
    reader: &dyn History,
    writer: &mut dyn History,
    invocation: &Invocation,
    chosen: &dyn Fn(&str) -> bool,
    note: &str,
) -> Result<Adopted, EngineError> {
    let mut teller = Teller::new(world.clock, &mut []);
    let surroundings = Surroundings::gather(work, world, Manner::Frozen, &mut |_: &str, _: Step| {})?;
    let interrupt = super::interrupt::Interrupt::default();
    let found = measuring::measure(work, world, Manner::Frozen, &interrupt, &mut teller)?;
    let mut judge = judging::Judge::new(work, world, reader, surroundings, found, false)?;
    let (mut adopted, mut entries) = (Adopted::default(), Vec::new());
    for (at, job) in work.plan.jobs.iter().enumerate() {
        let experiment = &work.project.experiments[job.experiment];
        if !chosen(&experiment.name) {
            continue;
        }
        let id = JobId(at);
        let Ok(fingerprint) = judge.fingerprint(id) else {
            adopted.refused.push((job.name.clone(), "an input or its environment is not there".to_owned()));
            continue;
        };
        if let Verdict::Fresh { .. } = judge.judge(id, &fingerprint)? {
            adopted.known.push(job.name.clone());
            continue;
        }
        let mut collected = super::collect::Collected::default();
        let mut missing = None;
        for output in &job.outputs {
            let place = world.root.join(output.path.as_path());
            match capture::capture(world.store, &place, &|| false)? {
                Some(Measured { content, .. }) => {
                    collected.outputs.push(Recorded::new(output.path.clone(), content));
                    if output.metric {
                        read_metrics(&place, &output.path, &mut collected);
                    }
                }
                None => missing = Some(output.path.clone()),
            }
        }
        if let Some(path) = missing {
            adopted.refused.push((job.name.clone(), format!("its output `{path}` is not there")));
            continue;
        }
        let now = world.clock.now();
        let run = RunId::fresh();
        let params = job.params.iter();
        entries.push(Entry::Begun(Box::new(Begun {
            run: run.clone(),
            invocation: invocation.id.clone(),
            job: job.name.clone(),
            experiment: experiment.name.clone(),
            target: work.project.targets[job.target].name.clone(),
            environment: work.project.environments[job.environment].name.clone(),
            started: now,
            attempt: 1,
            fingerprint,
            params: params
                .map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default()))
                .collect(),
            tags: job.tags.clone(),
            reasons: Vec::new(),
            inputs: job.inputs.iter().map(|input| (input.name.clone(), judging::shown(&input.path))).collect(),
            source_directory: job.source_directory.clone(),
        })));
        entries.push(Entry::Ended(Box::new(Ended {
            run,
            status: Status::Completed,
            outcome: Outcome::Succeeded,
            ended: now,
            usage: Usage::default(),
            outputs: collected.outputs,
            kept: Vec::new(),
            metrics: std::mem::take(&mut collected.metrics),
            cached: job.cache,
            inputs_moved: false,
            notes: vec![note.to_owned()],
            logged: super::tracked::of_files(collected.series),
        })));
        adopted.jobs.push(job.name.clone());
    }
    if !entries.is_empty() {
        world.store.flush()?;
        writer.begin(invocation, &|id| recover::alive(world, id))?;
        writer.record(&entries)?;
    }
    Ok(adopted)
}
