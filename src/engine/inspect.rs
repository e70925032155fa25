//! Judges every job of a plan without running or writing anything: for `status`, `why` and dry runs.
//!
//! Jobs below one that would run are told to run only if that gives something new.

use super::judging::{Judge, Lacking};
use super::surroundings::{Manner, Surroundings};
use super::sweeping::begin;
use super::telling::Teller;
use super::{EngineError, Work, World, measuring};
use crate::environment::Step;
use crate::event::{Ahead, Event, Summary};
use crate::history::History;
use crate::ids::JobId;
use crate::staleness::{Fingerprint, Reason, Verdict};

/// A job's verdict, and what it was judged by where that is known.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The job.
    pub job: JobId,
    /// The verdict.
    pub verdict: Verdict,
    /// The fingerprint.
    pub fingerprint: Option<Fingerprint>,
    /// Of a sweep: what is known of its trials.
    pub trials: Option<Ahead>,
}

/// Judges all jobs of a plan.
///
/// # Errors
/// Where something cannot be read.
pub fn inspect(
    work: Work<'_>,
    world: &World<'_>,
    history: &dyn History,
    force: bool,
    teller: &mut Teller<'_, '_>,
) -> Result<Vec<Judged>, EngineError> {
    let surroundings = Surroundings::gather(work, world, Manner::Frozen, &mut |_: &str, _: Step| {})?;
    let found = measuring::measure(work, world, Manner::Frozen, &super::interrupt::Interrupt::default(), teller)?;
    let mut judge = Judge::new(work, world, history, surroundings, found, force)?;
    let mut judged: Vec<Judged> = Vec::with_capacity(work.plan.jobs.len());
    for (at, job) in work.plan.jobs.iter().enumerate() {
        let id = JobId(at);
        let unsettled = |need: &&JobId| !matches!(judged[need.0].verdict, Verdict::Fresh { .. });
        let upstream: Vec<Reason> = job
            .needs
            .iter()
            .filter(unsettled)
            .map(|need| Reason::UpstreamMayChange { job: work.plan.jobs[need.0].name.clone() })
            .collect();
        let fingerprint = judge.fingerprint(id);
        let verdict = match &fingerprint {
            Ok(fingerprint) => match judge.judge(id, fingerprint)? {
                Verdict::Fresh { since, repairs } => {
                    if !repairs.is_empty() {
                        judge.assume(id);
                    }
                    if upstream.is_empty() {
                        Verdict::Fresh { since, repairs }
                    } else {
                        Verdict::MayRun { reasons: upstream }
                    }
                }
                Verdict::Stale { mut reasons } | Verdict::MayRun { mut reasons } => {
                    // What its needs will make is not known yet, so a difference of such an input proves nothing.
                    let made = |reason: &Reason| match reason {
                        Reason::InputChanged { name, .. } => {
                            job.inputs.iter().any(|input| input.name == *name && !input.from.is_empty())
                        }
                        _ => false,
                    };
                    let only_made = reasons.iter().all(made);
                    if !upstream.is_empty() && only_made {
                        Verdict::MayRun { reasons: upstream }
                    } else {
                        reasons.extend(upstream);
                        Verdict::Stale { reasons }
                    }
                }
            },
            Err(lacking) => lacking_verdict(&judge, id, lacking, upstream),
        };
        let fingerprint = fingerprint.ok();
        let trials = match &fingerprint {
            Some(fingerprint) => begin::ahead(&judge, id, fingerprint)?,
            None => None,
        };
        judged.push(Judged { job: id, verdict, fingerprint, trials });
    }
    for note in history.notes() {
        teller.warn(None, note);
    }
    Ok(judged)
}

/// An input that is not there is made by a job that runs first, or it is missing.
fn lacking_verdict(judge: &Judge<'_>, id: JobId, lacking: &Lacking, upstream: Vec<Reason>) -> Verdict {
    let job = &judge.work.plan.jobs[id.0];
    let mut reasons = match lacking {
        Lacking::Inputs(missing) => {
            let nobody: Vec<usize> = missing.iter().copied().filter(|&at| job.inputs[at].from.is_empty()).collect();
            judge.lacking(id, &Lacking::Inputs(nobody))
        }
        Lacking::Environment | Lacking::Broken(_) => judge.lacking(id, lacking),
    };
    if let Ok(None) = judge.history.last(&job.name) {
        reasons.insert(0, Reason::NeverRan);
    }
    reasons.extend(upstream);
    let waits = |reason: &Reason| matches!(reason, Reason::UpstreamMayChange { .. });
    if reasons.iter().all(waits) { Verdict::MayRun { reasons } } else { Verdict::Stale { reasons } }
}

/// Tells a dry run's verdicts, and counts them.
pub fn tell(judged: &[Judged], teller: &mut Teller<'_, '_>) -> Summary {
    let mut summary = Summary::default();
    for Judged { job, verdict, trials, .. } in judged {
        let trials = *trials;
        teller.tell(Event::JobJudged { job: *job, verdict: verdict.clone() });
        match verdict {
            Verdict::Fresh { repairs, .. } if repairs.is_empty() => summary.fresh += 1,
            Verdict::Fresh { .. } => summary.restored += 1,
            Verdict::Stale { reasons } => {
                summary.would_run += 1;
                teller.tell(Event::JobWouldRun { job: *job, reasons: reasons.clone(), trials });
            }
            Verdict::MayRun { reasons } => {
                summary.may_run += 1;
                teller.tell(Event::JobWouldRun { job: *job, reasons: reasons.clone(), trials });
            }
        }
    }
    summary
}
