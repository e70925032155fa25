//! Events as lines of text: what both the plain lines and the live view print for good.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::clock::Timestamp;
use crate::event::{Ahead, Event, Stamped, Stream};
use crate::ids::{JobId, RunId};
use crate::launch::Outcome;
use crate::relpath::RelPath;
use crate::staleness::{Reason, Verdict};

use super::clean::{clean, clean_line, width};
use super::style::{Paint, Style};
use super::{verdicts, words};

/// How much is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Colour.
    pub style: Style,
    /// Only failures and the last line.
    pub quiet: bool,
    /// Every job, every reason, every line.
    pub verbose: bool,
    /// What goes on is shown elsewhere: only what is over is told.
    pub live: bool,
}

/// Names longer than this do not push the other lines to the right.
const WIDEST_NAME: usize = 40;
/// So many reasons are told without `-v`.
const REASONS: usize = 3;
/// So many last lines of a failed job are told.
const TAIL: usize = 20;

/// Turns events into lines. The same events give the same lines.
#[derive(Debug, Default)]
pub struct Teller {
    pub(super) options: Options,
    names: Vec<String>,
    column: usize,
    dry_run: bool,
    building: BTreeMap<String, Timestamp>,
    reasons: BTreeMap<JobId, String>,
    last_output: Option<JobId>,
    pub(super) sweeps: super::sweeps::Sweeps,
}

impl Teller {
    /// A teller who has heard nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// A job's name, clean.
    #[must_use]
    pub fn name(&self, job: JobId) -> &str {
        self.names.get(job.0).map_or("?", String::as_str)
    }

    /// Adds the lines for an event, each with its newline; none for most.
    pub fn tell(&mut self, stamped: &Stamped, to: &mut String) {
        let Options { quiet, verbose, live, .. } = self.options;
        let before = to.len();
        let mut output = None;
        match &stamped.event {
            Event::InvocationStarted { workspace, jobs, dry_run, .. } => {
                self.dry_run = *dry_run;
                if verbose {
                    let _ = writeln!(to, "workspace {}: {}", clean(workspace), words::count(*jobs, "job"));
                }
            }
            Event::JobRegistered { job, name, .. } => self.register(*job, &name.0),
            Event::InvocationFinished { summary } => super::lines::last_line(to, summary, self.dry_run),
            Event::TrialProposed { job, sweep, .. } => self.sweeps.add(*job, *sweep),
            // What became of a trial that was ended is told by the event that follows.
            Event::JobFinished { job, outcome: Outcome::Canceled, .. } if self.sweeps.is_trial(*job) => {}
            Event::JobFinished { job, outcome, elapsed_ms, log, tail, .. } => {
                self.finished(to, *job, outcome, *elapsed_ms, log, tail);
            }
            Event::EnvironmentFailed { environment, why } => {
                let _ = write!(to, "environment {} ", words::name(environment));
                self.options.style.push(to, Paint::Bad, "failed");
                to.push_str(": ");
                in_lines(to, why);
                to.push('\n');
            }
            _ if quiet => {}
            Event::JobOutput { job, stream, line } if !live || verbose => {
                self.output(to, *job, stream, line);
                output = Some(*job);
            }
            Event::JobJudged { job, verdict } => self.judged(to, *job, verdict),
            Event::JobWouldRun { job, reasons, trials } => self.would_run(to, *job, reasons, *trials),
            Event::JobRestored { job, run, outputs, aside } => self.restored(to, *job, run, outputs, aside),
            Event::CacheHit { job, run, user, host, started } => {
                let whose = words::whose(user, host);
                let rest = format!(" in the cache: run {} of {whose}, {}", run.short(), started);
                self.fact(to, *job, Paint::Good, "found", &rest);
            }
            Event::CachePushed { job, run } if verbose => {
                self.fact(to, *job, Paint::Good, "cached", &format!(" for others (run {})", run.short()));
            }
            Event::JobStarted { job, run, attempt } if !live || verbose => {
                self.head(to, *job);
                self.options.style.push(to, Paint::Active, "started");
                let _ = match attempt {
                    0 | 1 => writeln!(to, " (run {})", run.short()),
                    n => writeln!(to, " again (run {}, attempt {n})", run.short()),
                };
            }
            Event::JobWaiting { job, why } if !live || verbose => {
                self.fact(to, *job, Paint::Active, "waiting", &format!(": {}", clean(why)));
            }
            Event::JobAttached { job, run, place } => {
                self.fact(to, *job, Paint::Active, "attached", &format!(" to run {} on {}", run.short(), clean(place)));
            }
            Event::JobDetached { job, run, place } => {
                let rest = format!(
                    ": run {0} goes on on {1}; `amlrun attach` follows it again, `amlrun cancel {0}` ends it",
                    run.short(),
                    clean(place)
                );
                self.fact(to, *job, Paint::Caution, "detached", &rest);
            }
            Event::JobRetried { job, outcome, attempt, delay_ms } => {
                let mut rest = format!(" {attempt} failed: {}; trying again in ", outcome_phrase(outcome));
                words::push_duration(&mut rest, *delay_ms);
                self.fact(to, *job, Paint::Caution, "attempt", &rest);
            }
            Event::JobSkipped { job, because, needed } => {
                let go_on = if *needed { "" } else { " (`-k` goes on with what does not need it)" };
                let why = format!(" because {} failed{go_on}", words::name(&because.0));
                self.fact(to, *job, Paint::Caution, "skipped", &why);
            }
            Event::Warned { job, message } => {
                let message = message.lines().map(clean_line).collect::<Vec<_>>().join("\n  ");
                if let Some(job) = job {
                    output = self.last_output.filter(|last| last == job);
                    self.fact(to, *job, Paint::Caution, "warning", &format!(": {message}"));
                } else {
                    self.options.style.push(to, Paint::Caution, "warning");
                    let _ = writeln!(to, ": {message}");
                }
            }
            other => self.ground(to, stamped.at, other),
        }
        if to.len() > before {
            self.last_output = output;
        }
    }

    /// Files and environments.
    fn ground(&mut self, to: &mut String, at: Timestamp, event: &Event) {
        let Options { verbose, live, .. } = self.options;
        match event {
            Event::Measured { files, hashed, bytes } if verbose => {
                let files = words::count(usize::try_from(*files).unwrap_or(usize::MAX), "file");
                let _ = writeln!(to, "read {files}, {} ({hashed} hashed)", words::bytes(*bytes));
            }
            Event::EnvironmentStarted { environment, key } => {
                self.building.insert(environment.clone(), at);
                if !live || verbose {
                    let key: String = key.chars().take(8).collect();
                    let key = if key.is_empty() { key } else { format!(" (key {})", clean(&key)) };
                    let _ = writeln!(to, "environment {}: building{key}", words::name(environment));
                }
            }
            Event::EnvironmentResolving { environment } => drop(self.building.insert(environment.clone(), at)),
            Event::EnvironmentResolved { environment, locked } => {
                let began = self.building.remove(environment);
                if let Some(began) = began.filter(|_| *locked) {
                    let took = words::duration(at.since(began));
                    let _ = writeln!(to, "environment {} locked after {took}", words::name(environment));
                }
            }
            Event::EnvironmentOutput { environment, line } if !live || verbose => {
                let _ = writeln!(to, "{} | {}", clean(environment), clean_line(line));
            }
            Event::EnvironmentReady { environment, built, .. } if *built || verbose => {
                let _ = write!(to, "environment {} ready", words::name(environment));
                if let Some(began) = self.building.remove(environment).filter(|_| *built) {
                    to.push_str(" after ");
                    to.push_str(&words::duration(at.since(began)));
                }
                to.push('\n');
            }
            event => self.sweep(to, event),
        }
    }

    fn register(&mut self, job: JobId, name: &str) {
        let name = clean(name).into_owned();
        let columns = width(&name);
        if columns <= WIDEST_NAME {
            self.column = self.column.max(columns);
        }
        if self.names.len() <= job.0 {
            self.names.resize(job.0 + 1, String::new());
        }
        self.names[job.0] = name;
    }

    /// The name and the spaces behind it.
    fn head(&self, to: &mut String, job: JobId) {
        let name = self.name(job);
        self.options.style.push(to, Paint::Bold, name);
        to.extend(std::iter::repeat_n(' ', self.column.saturating_sub(width(name)) + 2));
    }

    pub(super) fn fact(&self, to: &mut String, job: JobId, paint: Paint, word: &str, rest: &str) {
        self.head(to, job);
        self.options.style.push(to, paint, word);
        to.push_str(rest);
        to.push('\n');
    }

    fn output(&self, to: &mut String, job: JobId, stream: &Stream, line: &str) {
        self.head(to, job);
        self.options.style.push(to, Paint::Dim, "|");
        if let Stream::Log(file) = stream {
            let _ = write!(to, " [{}]", clean(file));
        }
        let line = clean_line(line);
        if !line.is_empty() {
            to.push(' ');
            to.push_str(&line);
        }
        to.push('\n');
    }

    fn judged(&mut self, to: &mut String, job: JobId, verdict: &Verdict) {
        let Options { verbose, live, .. } = self.options;
        match verdict {
            Verdict::Fresh { since, repairs } if self.dry_run && !repairs.is_empty() => {
                let outputs: Vec<RelPath> = repairs.iter().map(|repair| repair.path.clone()).collect();
                let edited = repairs.iter().filter(|repair| repair.modified).count();
                let mut rest = format!(" {} from run {}", what(&outputs), since.short());
                if edited > 0 {
                    let _ = write!(rest, " and set {} aside", words::count(edited, "edited output"));
                }
                self.fact(to, job, Paint::Good, "would restore", &rest);
            }
            Verdict::Fresh { since, .. } if verbose => {
                self.fact(to, job, Paint::Good, "fresh", &format!(" (run {})", since.short()));
            }
            Verdict::Stale { reasons } if !self.dry_run => {
                if live {
                    self.reasons.insert(job, verdicts::joined(reasons, REASONS));
                }
                if !live || verbose {
                    let limit = if verbose { usize::MAX } else { REASONS };
                    self.fact(to, job, Paint::Caution, "stale", &format!(": {}", verdicts::joined(reasons, limit)));
                }
            }
            _ => {}
        }
    }

    fn would_run(&self, to: &mut String, job: JobId, reasons: &[Reason], trials: Option<Ahead>) {
        let limit = if self.options.verbose { usize::MAX } else { REASONS };
        let perhaps = !reasons.is_empty() && reasons.iter().all(|r| matches!(r, Reason::UpstreamMayChange { .. }));
        let word = if perhaps { "may run" } else { "would run" };
        let trials = trials.and_then(|trials| super::sweeps::ahead(&trials)).map(|trials| format!("; {trials}"));
        let rest = format!(": {}{}", verdicts::joined(reasons, limit), trials.unwrap_or_default());
        self.fact(to, job, Paint::Caution, word, &rest);
    }

    fn restored(&self, to: &mut String, job: JobId, run: &RunId, outputs: &[RelPath], aside: &[(RelPath, String)]) {
        self.fact(to, job, Paint::Good, "restored", &format!(" {} from run {}", what(outputs), run.short()));
        for (path, place) in aside {
            let rest = format!(": {} was edited by hand; kept as {}", words::path(path), clean(place));
            self.fact(to, job, Paint::Caution, "set aside", &rest);
        }
    }

    fn finished(&mut self, to: &mut String, job: JobId, outcome: &Outcome, ms: u64, log: &str, tail: &[String]) {
        let Options { quiet, live, style, .. } = self.options;
        let why = self.reasons.remove(&job);
        match outcome {
            Outcome::Succeeded if quiet => {}
            Outcome::Succeeded => {
                self.head(to, job);
                style.push(to, Paint::Good, "done");
                to.push_str(" in ");
                words::push_duration(to, ms);
                if let Some(why) = why {
                    style.push(to, Paint::Dim, &format!("  ({why})"));
                }
                to.push('\n');
            }
            Outcome::Canceled => {
                let mut rest = " after ".to_owned();
                words::push_duration(&mut rest, ms);
                self.fact(to, job, Paint::Caution, "canceled", &rest);
            }
            failure => {
                self.head(to, job);
                style.push(to, Paint::Bad, "failed");
                if let Outcome::Broken { why } = failure {
                    to.push_str(" after ");
                    words::push_duration(to, ms);
                    to.push_str(": ");
                    in_lines(to, why);
                } else {
                    let mut phrase = outcome_phrase(failure);
                    if let Outcome::TimedOut { seconds } = failure
                        && self.sweeps.is_trial_timeout(job, *seconds)
                    {
                        phrase = phrase.replace("resources.time", "trial_timeout");
                    }
                    let _ = write!(to, ": {phrase} after ");
                    words::push_duration(to, ms);
                }
                if !log.is_empty() {
                    let _ = write!(to, "; log: {}", clean(log));
                }
                to.push('\n');
                // What stands right above, streamed, is not told again.
                if quiet || live || self.last_output != Some(job) {
                    for line in tail.iter().skip(tail.len().saturating_sub(TAIL)) {
                        self.output(to, job, &Stream::Output, line);
                    }
                }
            }
        }
    }
}

/// A text of several lines, as of an installer: each line after the first is set in by two columns.
fn in_lines(to: &mut String, text: &str) {
    for (i, line) in text.lines().enumerate() {
        let _ = write!(to, "{}{}", if i == 0 { "" } else { "\n  " }, clean_line(line));
    }
}

/// One output by its path, more by their count.
fn what(outputs: &[RelPath]) -> String {
    match outputs {
        [one] => words::path(one),
        many => words::count(many.len(), "output"),
    }
}

/// How an attempt ended: `exit status 3`, `timed out after 1 h 00 min`.
#[must_use]
pub fn outcome_phrase(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Failed { code: 126 } => "exit status 126 (found, but could not be executed)".to_owned(),
        Outcome::Failed { code: 127 } => "exit status 127 (command not found)".to_owned(),
        Outcome::Failed { code } => format!("exit status {code}"),
        Outcome::Killed { signal } => match signal_name(*signal) {
            Some("SIGKILL") => "killed by SIGKILL (out of memory?)".to_owned(),
            Some(name) => format!("killed by {name}"),
            None => format!("killed by signal {signal}"),
        },
        Outcome::TimedOut { seconds } => {
            let limit = words::whole_seconds(std::time::Duration::from_secs(*seconds));
            format!("timed out (`resources.time` is {limit})")
        }
        Outcome::Canceled => "canceled".to_owned(),
        Outcome::Broken { why } => clean(why).into_owned(),
    }
}

/// The signals that end processes; their numbers are alike on Linux and macOS, `SIGBUS` excepted.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}
