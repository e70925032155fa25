//! What goes on right now, as a few lines: the model behind the live view. Pure, so that its frames are tested as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::event::{Event, Stream};
use crate::ids::JobId;
use crate::staleness::Verdict;

use super::clean::{clean_line, fit, width};
use super::style::{Paint, Style};
use super::sweeps::Counts;
use super::telling::outcome_phrase;
use super::words;

/// Rows of the terminal that are left to what is printed for good.
const KEPT_ROWS: usize = 3;
/// So many runs must have ended before a guess at the rest is worth anything.
const RUNS_FOR_A_GUESS: usize = 3;

/// So long after something went over the line to the shared cache it is still shown.
const LINGERS: Duration = Duration::from_secs(2);

/// What goes over the line to the shared cache.
#[derive(Debug, Clone, Copy)]
struct Crossing {
    sent: u64,
    received: u64,
    waiting: usize,
    moved: Duration,
}

/// Something that takes time.
#[derive(Debug, Clone)]
struct Going {
    since: Duration,
    waiting: bool,
    line: String,
}

/// The state of the work, as far as events told it.
#[derive(Debug, Default)]
pub struct View {
    jobs: usize,
    settled: Vec<bool>,
    done: usize,
    reading: Option<(u64, u64)>,
    crossing: Option<Crossing>,
    building: BTreeMap<String, Going>,
    going: BTreeMap<JobId, Going>,
    runs_ended: usize,
    first_start: Option<Duration>,
    began: Option<Duration>,
    sweeps: BTreeMap<JobId, Counts>,
}

impl Crossing {
    /// In words, as long as there is something to be told.
    fn told(&self, now: Duration) -> Option<String> {
        if self.waiting == 0 && now.saturating_sub(self.moved) > LINGERS {
            return None;
        }
        let moved = [("received", self.received), ("sent", self.sent)];
        let mut parts: Vec<String> =
            moved.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{} {word}", words::bytes(*n))).collect();
        if self.waiting > 0 {
            parts.push(format!("{} to be shared", words::count(self.waiting, "run")));
        }
        (!parts.is_empty()).then(|| format!("  {}", parts.join(", ")))
    }
}

impl View {
    /// Learns of an event; `now` is a time that never goes back.
    pub fn hear(&mut self, event: &Event, now: Duration) {
        let going = |line: String, waiting| Going { since: now, waiting, line };
        match event {
            Event::InvocationStarted { jobs, .. } => {
                self.jobs = *jobs;
                self.began = Some(now);
            }
            Event::Measuring { files, bytes } => self.reading = Some((*files, *bytes)),
            Event::Measured { .. } => self.reading = None,
            Event::CacheTraffic { sent, received, waiting } => {
                self.crossing = Some(Crossing { sent: *sent, received: *received, waiting: *waiting, moved: now });
            }
            Event::EnvironmentStarted { environment, .. } => {
                self.building.insert(environment.clone(), going(String::new(), false));
            }
            Event::EnvironmentOutput { environment, line } => {
                if let (Some(building), true) = (self.building.get_mut(environment), !line.trim().is_empty()) {
                    building.line.clone_from(line);
                }
            }
            Event::EnvironmentResolving { environment } => {
                self.building.insert(environment.clone(), going("resolving".to_owned(), false));
            }
            Event::EnvironmentReady { environment, .. }
            | Event::EnvironmentResolved { environment, .. }
            | Event::EnvironmentFailed { environment, .. } => {
                self.building.remove(environment);
            }
            Event::JobJudged { job, verdict: Verdict::Fresh { repairs, .. } } if repairs.is_empty() => {
                self.settle(*job);
            }
            Event::JobWaiting { job, why } => {
                self.going.insert(*job, going(why.clone(), true));
            }
            Event::JobStarted { job, .. } | Event::JobAttached { job, .. } => {
                self.first_start.get_or_insert(now);
                self.going.insert(*job, going(String::new(), false));
            }
            Event::JobOutput { job, stream: Stream::Output, line } | Event::JobDrew { job, line } => {
                if let (Some(running), true) = (self.going.get_mut(job), !line.trim().is_empty()) {
                    running.line.clone_from(line);
                }
            }
            Event::JobRetried { job, outcome, attempt, delay_ms } => {
                let mut line = format!("attempt {attempt} failed: {}; trying again in ", outcome_phrase(outcome));
                words::push_duration(&mut line, *delay_ms);
                self.going.insert(*job, going(line, true));
            }
            Event::SweepStarted { job, metric, max_trials, known, tally, .. } => {
                let counts = Counts::new(metric, *max_trials, *known, *tally);
                self.going.insert(*job, going(counts.line(), false));
                self.sweeps.insert(*job, counts);
            }
            Event::TrialProposed { .. } => self.jobs += 1,
            Event::TrialLogged { job, interval, value, .. } => {
                if let Some(running) = self.going.get_mut(job) {
                    running.line = format!("{value} at interval {interval}");
                }
            }
            Event::TrialEnded { sweep, state, number, objective, cached, is_best, .. } => {
                if let (Some(counts), Some(going)) = (self.sweeps.get_mut(sweep), self.going.get_mut(sweep)) {
                    counts.add(*state, *cached, *number, *objective, *is_best);
                    going.line = counts.line();
                }
            }
            Event::JobFinished { job, .. } => {
                self.runs_ended += 1;
                self.settle(*job);
            }
            Event::JobRestored { job, .. }
            | Event::JobDetached { job, .. }
            | Event::JobSkipped { job, .. }
            | Event::JobWouldRun { job, .. } => {
                self.settle(*job);
            }
            _ => {}
        }
    }

    fn settle(&mut self, job: JobId) {
        self.going.remove(&job);
        if self.settled.len() <= job.0 {
            self.settled.resize(job.0 + 1, false);
        }
        if !std::mem::replace(&mut self.settled[job.0], true) {
            self.done += 1;
        }
    }

    /// The lines to be shown now: each narrower than `columns`, in all at most `rows` less three, but one at least.
    #[must_use]
    pub fn frame<'a>(
        &self,
        now: Duration,
        (columns, rows): (usize, usize),
        style: Style,
        name: impl Fn(JobId) -> &'a str,
    ) -> Vec<String> {
        let room = rows.saturating_sub(KEPT_ROWS).max(1);
        let line = || Line { text: String::new(), left: columns.saturating_sub(1), style };
        let mut lines = Vec::new();
        if let Some((files, bytes)) = self.reading {
            let files = words::count(usize::try_from(files).unwrap_or(usize::MAX), "file");
            lines.push(
                line().add(Paint::Active, "reading").add(Paint::Plain, &format!(" {files}, {}", words::bytes(bytes))),
            );
        }
        if let Some(text) = self.crossing.and_then(|crossing| crossing.told(now)) {
            lines.push(line().add(Paint::Active, "cache").add(Paint::Plain, &text));
        }
        let mut entries: Vec<(String, &Going)> = Vec::new();
        entries.extend(self.building.iter().map(|(name, going)| (format!("environment {}", words::name(name)), going)));
        let environments = entries.len();
        entries.extend(self.going.iter().map(|(job, going)| (name(*job).to_owned(), going)));
        let bar = self.jobs > 0 && (self.reading.is_none() || self.done > 0);
        // One row for the bar, and one for those that find no room.
        let free = room.saturating_sub(lines.len() + usize::from(bar));
        let shown = if entries.len() > free { free.saturating_sub(1) } else { entries.len() };
        let widest = entries.iter().take(shown).map(|(name, _)| width(name)).max().unwrap_or(0).min(columns / 2);
        for (i, (name, going)) in entries.iter().enumerate().take(shown) {
            let name = fit(name, widest);
            let time = words::whole_seconds(now.saturating_sub(going.since));
            let padding = " ".repeat(widest.saturating_sub(width(&name)) + 2 + 5_usize.saturating_sub(time.len()));
            let said = clean_line(&going.line).replace('\t', " ");
            let state = match (going.waiting, i < environments) {
                (true, _) => "  waiting: ",
                (false, true) if said.is_empty() => "  building",
                _ => "  ",
            };
            lines.push(
                line()
                    .add(Paint::Active, &name)
                    .add(Paint::Plain, &padding)
                    .add(Paint::Plain, &time)
                    .add(Paint::Plain, state)
                    .add(Paint::Dim, said.trim()),
            );
        }
        if entries.len() > shown && lines.len() + usize::from(bar) < room {
            lines.push(line().add(Paint::Dim, &format!("and {} more", entries.len() - shown)));
        }
        if bar {
            lines.push(self.bar(line(), now, columns));
        }
        lines.truncate(room);
        lines.into_iter().map(|line| line.text).collect()
    }

    fn bar(&self, line: Line, now: Duration, columns: usize) -> Line {
        let wide = (columns / 4).min(30);
        let filled = (wide * self.done).checked_div(self.jobs).unwrap_or(0).min(wide);
        let head = usize::from(filled < wide);
        let bar = format!("[{}{}{}] ", "=".repeat(filled), ">".repeat(head), " ".repeat(wide - filled - head));
        let mut text = format!("{}/{}", self.done, words::count(self.jobs, "job"));
        // A sweep does nothing itself: its trials do.
        let runs = |(job, going): &(&JobId, &Going)| !going.waiting && !self.sweeps.contains_key(job);
        let running = self.going.iter().filter(runs).count();
        if running > 0 {
            let _ = write!(text, ", {running} running");
        }
        if let Some(began) = self.began {
            let _ = write!(text, ", {}", words::whole_seconds(now.saturating_sub(began)));
        }
        if let Some(left) = self.guess(now) {
            let _ = write!(text, ", about {} left", words::whole_seconds(left));
        }
        let line = if columns < 40 { line } else { line.add(Paint::Good, &bar) };
        line.add(Paint::Plain, &text)
    }

    /// The time until all is done, if every job that is left runs and takes its share of the time that those before took.
    fn guess(&self, now: Duration) -> Option<Duration> {
        let left = self.jobs.saturating_sub(self.done);
        if self.runs_ended < RUNS_FOR_A_GUESS || left == 0 {
            return None;
        }
        let each = now.saturating_sub(self.first_start?) / u32::try_from(self.runs_ended).ok()?;
        each.checked_mul(u32::try_from(left).ok()?)
    }
}

/// A line that takes no more than it has room for.
struct Line {
    text: String,
    left: usize,
    style: Style,
}

impl Line {
    fn add(mut self, paint: Paint, text: &str) -> Self {
        let text = fit(text, self.left);
        self.left -= width(&text).min(self.left);
        self.style.push(&mut self.text, paint, &text);
        self
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
