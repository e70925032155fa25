//! What is told of sweeps and their trials.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::event::{Ahead, Event, Tally, TrialState};
use crate::ids::JobId;

use super::clean::clean;
use super::style::Paint;
use super::telling::Teller;
use super::words;

/// What is known of the sweeps that go on.
#[derive(Debug, Default)]
pub struct Sweeps {
    /// The metric of each.
    metrics: BTreeMap<JobId, String>,
    /// The sweep of each trial.
    trials: BTreeMap<JobId, JobId>,
    /// `trial_timeout` of each sweep that has one, in seconds.
    timeouts: BTreeMap<JobId, u64>,
}

impl Sweeps {
    /// A job is a trial of a sweep.
    pub fn add(&mut self, job: JobId, sweep: JobId) {
        self.trials.insert(job, sweep);
    }

    /// Whether it was `trial_timeout` that ended a job which was given so many seconds.
    pub(super) fn is_trial_timeout(&self, job: JobId, seconds: u64) -> bool {
        self.trials.get(&job).and_then(|sweep| self.timeouts.get(sweep)) == Some(&seconds)
    }

    /// Whether a job is a trial.
    #[must_use]
    pub fn is_trial(&self, job: JobId) -> bool {
        self.trials.contains_key(&job)
    }
}

impl Teller {
    /// Adds the lines of an event of a sweep.
    pub(super) fn sweep(&mut self, to: &mut String, event: &Event) {
        match event {
            Event::SweepStarted { job, sampling, metric, maximize, max_trials, trial_timeout, known, .. } => {
                self.sweeps.timeouts.extend(trial_timeout.map(|seconds| (*job, seconds)));
                self.sweeps.metrics.insert(*job, metric.clone());
                let goal = if *maximize { "maximizes" } else { "minimizes" };
                let mut rest = format!(" {goal} {}, {}", clean(metric), clean(sampling));
                if let Some(most) = max_trials {
                    let _ = write!(rest, ", at most {}", words::count(usize::try_from(*most).unwrap_or(0), "trial"));
                }
                if *known > 0 {
                    let _ = write!(rest, "; goes on after {}", words::count(*known, "trial"));
                }
                self.fact(to, *job, Paint::Active, "sweep", &rest);
            }
            Event::TrialEnded { sweep, job, state, objective, why, is_best, number, .. } => match (state, why) {
                (TrialState::Stopped, Some(why)) => {
                    self.fact(to, job.unwrap_or(*sweep), Paint::Caution, "stopped", &format!(": {}", clean(why)));
                }
                (TrialState::Failed, Some(why)) if job.is_none() => {
                    self.fact(to, *sweep, Paint::Bad, "failed", &format!(": trial {number}: {}", clean(why)));
                }
                _ => {
                    if let Some(value) = objective.filter(|_| *is_best) {
                        let metric = self.sweeps.metrics.get(sweep).map_or("", String::as_str);
                        let rest = format!(" so far: {} = {value} (trial {number})", clean(metric));
                        self.fact(to, *sweep, Paint::Good, "best", &rest);
                    }
                }
            },
            Event::SweepFinished { job, trials, failed, stopped, best, .. } => {
                let metric = self.sweeps.metrics.get(job).map_or("", String::as_str);
                let mut rest = String::new();
                if let Some(best) = best {
                    let name = words::name(&best.job.0);
                    let _ = write!(rest, ": {} = {}, {name} (run {})", clean(metric), best.objective, best.run.short());
                }
                let _ = write!(rest, ", of {}", words::count(*trials, "trial"));
                for (count, word) in [(*failed, "failed"), (*stopped, "stopped")] {
                    if count > 0 {
                        let _ = write!(rest, ", {count} {word}");
                    }
                }
                self.fact(to, *job, Paint::Good, "best", &rest);
            }
            _ => {}
        }
    }
}

/// The counts of a sweep in the live view.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    metric: String,
    most: Option<u32>,
    over: usize,
    tally: Tally,
}

impl Counts {
    /// Those of a sweep that begins, or goes on after trials that are known.
    #[must_use]
    pub fn new(metric: &str, most: Option<u32>, known: usize, tally: Tally) -> Self {
        Self { metric: metric.to_owned(), most, over: known, tally }
    }

    /// One more trial is over.
    pub fn add(&mut self, state: TrialState, cached: bool, number: u32, objective: Option<f64>, is_best: bool) {
        self.over += 1;
        self.tally.failed += usize::from(state == TrialState::Failed);
        self.tally.stopped += usize::from(state == TrialState::Stopped);
        self.tally.cached += usize::from(cached);
        if is_best {
            self.tally.best = objective.map(|value| (number, value)).or(self.tally.best);
        }
    }

    /// As a line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = match self.most {
            Some(most) => format!("{} of {most} trials", self.over),
            None => words::count(self.over, "trial"),
        };
        let Tally { failed, stopped, cached, best } = self.tally;
        if let Some((number, value)) = best {
            let _ = write!(line, ", best {} {value} (trial {number})", self.metric);
        }
        for (count, word) in [(failed, "failed"), (stopped, "stopped"), (cached, "cached")] {
            if count > 0 {
                let _ = write!(line, ", {count} {word}");
            }
        }
        line
    }
}

/// What a run of a sweep would find on record, and how many trials it would begin; none where neither is known.
#[must_use]
pub fn ahead(trials: &Ahead) -> Option<String> {
    let Ahead { recorded, cached, failed, stopped, at_most } = *trials;
    let mut parts = Vec::new();
    if recorded > 0 {
        let of: Vec<String> = [(cached, "cached"), (failed, "failed"), (stopped, "stopped")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let of = if of.is_empty() { String::new() } else { format!(" ({})", of.join(", ")) };
        parts.push(format!("{} on record{of}", words::count(recorded, "trial")));
    }
    match at_most {
        Some(0) | None => {}
        Some(left) if recorded > 0 => parts.push(format!("at most {left} to run")),
        Some(left) => parts.push(format!("at most {} to run", words::count(left, "trial"))),
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}
