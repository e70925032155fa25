//! The face for CI: plain lines, each job's output folded into a group where the service has such; and afterwards a summary
//! in Markdown and a report for `JUnit`'s readers, from the same events.
//!
//! Sources: GitHub's "Workflow commands" and "Job summaries", GitLab's "Custom collapsible sections", Azure Pipelines'
//! "Logging commands". A job cannot give such a command by writing it: its lines begin with its name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use super::clean::clean_line;
use super::telling::{self, Teller, outcome_phrase};
use super::{verdicts, words};
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::event::{Event, Listener, Stamped, Summary};
use crate::ids::{JobId, RunId};
use crate::launch::Outcome;
use crate::staleness::Verdict;

/// Whose machine this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// GitHub Actions.
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Azure Pipelines.
    Azure,
    /// Another one: plain lines.
    Other,
}

impl Service {
    /// The service that these variables speak of; none where nothing says that this is CI.
    #[must_use]
    pub fn detect<'v>(variable: impl Fn(&str) -> Option<&'v str>) -> Option<Self> {
        let is = |name: &str| variable(name).is_some_and(|value| !value.eq_ignore_ascii_case("false"));
        let services = [("GITHUB_ACTIONS", Self::GitHub), ("GITLAB_CI", Self::GitLab), ("TF_BUILD", Self::Azure)];
        let known = services.into_iter().find(|(name, _)| is(name)).map(|(_, service)| service);
        known.or_else(|| is("CI").then_some(Self::Other))
    }

    /// A group of lines, folded under a title.
    fn group(self, title: &str, id: &str, seconds: u64, lines: &str) -> String {
        match self {
            Self::GitHub => format!("::group::{title}\n{lines}::endgroup::\n"),
            Self::Azure => format!("##[group]{title}\n{lines}##[endgroup]\n"),
            Self::GitLab => format!(
                "\x1b[0Ksection_start:{seconds}:{id}[collapsed=true]\r\x1b[0K{title}\n{lines}\x1b[0Ksection_end:{seconds}:{id}\r\x1b[0K\n"
            ),
            Self::Other => lines.to_owned(),
        }
    }

    /// A fault of the Amlfile as an annotation of its line; none where the service has no such.
    #[must_use]
    pub fn annotation(self, source: &Source, fault: &Diagnostic) -> Option<String> {
        let level = match fault.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = fault.primary.as_ref().map(|label| source.position(label.span.start));
        match self {
            Self::GitHub => {
                let at = place.map_or(String::new(), |(line, column)| {
                    format!("file={},line={line},col={column},", escaped(&source.name, ",:"))
                });
                Some(format!("::{level} {at}title={}::{}\n", escaped(fault.code, ",:"), escaped(&fault.message, "")))
            }
            Self::Azure => {
                let at = place.map_or(String::new(), |(line, column)| {
                    format!("sourcepath={};linenumber={line};columnnumber={column};", vso(&source.name))
                });
                Some(format!("##vso[task.logissue type={level};{at}code={}]{}\n", fault.code, vso(&fault.message)))
            }
            Self::GitLab | Self::Other => None,
        }
    }
}

/// As GitHub's commands want it: per cent, line ends, and in properties their delimiters.
fn escaped(text: &str, more: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '%' | '\r' | '\n' => drop(write!(out, "%{:02X}", u32::from(c))),
            c if more.contains(c) => drop(write!(out, "%{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// As Azure Pipelines' commands want it.
fn vso(text: &str) -> String {
    let escapes = [("%", "%AZP25"), ("\r", "%0D"), ("\n", "%0A"), (";", "%3B"), ("]", "%5D")];
    escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Lines as anywhere else, but for what jobs print: that comes when a job is over, folded.
pub struct Groups {
    service: Service,
    teller: Teller,
    said: BTreeMap<JobId, String>,
    to: Box<dyn Write>,
}

impl Groups {
    /// Lines to a stream.
    #[must_use]
    pub fn new(service: Service, to: Box<dyn Write>, options: telling::Options) -> Self {
        Self { service, teller: Teller::new(options), said: BTreeMap::new(), to }
    }
}

impl Listener for Groups {
    fn hear(&mut self, event: &Stamped) {
        let mut lines = String::new();
        self.teller.tell(event, &mut lines);
        match &event.event {
            Event::JobOutput { job, .. } => return self.said.entry(*job).or_default().push_str(&lines),
            Event::JobFinished { job, .. } | Event::JobRetried { job, .. } => {
                if let Some(said) = self.said.remove(job).filter(|said| !said.is_empty()) {
                    let title = format!("{}: output", self.teller.name(*job));
                    let id = format!("job_{}", job.0);
                    lines.insert_str(0, &self.service.group(&title, &id, event.at.0 / 1000, &said));
                }
            }
            _ => {}
        }
        // Nobody reads any more: the work goes on.
        let _ = self.to.write_all(lines.as_bytes()).and_then(|()| self.to.flush());
    }
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").field("service", &self.service).finish_non_exhaustive()
    }
}

/// What became of one job.
#[derive(Debug, Clone, Default)]
struct Job {
    name: String,
    /// `ran`, `restored`, `fresh`, `failed`, `skipped`, `canceled`.
    state: &'static str,
    why: String,
    ms: u64,
    tail: Vec<String>,
    run: Option<RunId>,
}

/// A metric of a run, and of the run that it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// Its value now.
    pub is: f64,
    /// On the base branch.
    pub was: Option<f64>,
}

/// Remembers what became of each job.
#[derive(Debug, Default)]
pub struct Report {
    workspace: String,
    jobs: Vec<Job>,
    summary: Option<Summary>,
}

impl Listener for Report {
    fn hear(&mut self, event: &Stamped) {
        match &event.event {
            Event::InvocationStarted { workspace, .. } => self.workspace.clone_from(workspace),
            Event::JobRegistered { job, name, .. } => self.job(*job).name.clone_from(&name.0),
            Event::JobJudged { job, verdict } => {
                let job = self.job(*job);
                match verdict {
                    Verdict::Fresh { since, .. } => (job.state, job.run) = ("fresh", Some(since.clone())),
                    Verdict::Stale { reasons } | Verdict::MayRun { reasons } => {
                        job.why = verdicts::joined(reasons, 3);
                    }
                }
            }
            Event::JobRestored { job, run, .. } => {
                let job = self.job(*job);
                (job.state, job.run) = ("restored", Some(run.clone()));
            }
            Event::JobFinished { job, run, outcome, elapsed_ms, tail, .. } => {
                let job = self.job(*job);
                job.state = match outcome {
                    Outcome::Succeeded => "ran",
                    Outcome::Canceled => "canceled",
                    _ => "failed",
                };
                if job.state == "failed" {
                    job.why = outcome_phrase(outcome);
                }
                (job.ms, job.run) = (*elapsed_ms, Some(run.clone()));
                job.tail.clone_from(tail);
            }
            Event::JobSkipped { job, because, .. } => {
                let job = self.job(*job);
                (job.state, job.why) = ("skipped", format!("{} failed", because.0));
            }
            Event::InvocationFinished { summary } => self.summary = Some(*summary),
            _ => {}
        }
    }
}

impl Report {
    fn job(&mut self, job: JobId) -> &mut Job {
        if self.jobs.len() <= job.0 {
            self.jobs.resize(job.0 + 1, Job::default());
        }
        &mut self.jobs[job.0]
    }

    /// The jobs with the runs that their results are of.
    pub fn runs(&self) -> impl Iterator<Item = (&str, &RunId)> {
        self.jobs.iter().filter_map(|job| Some((job.name.as_str(), job.run.as_ref()?)))
    }

    /// The summary as Markdown. `metrics` are those of a job's run; `base` is the branch that they are compared with.
    #[must_use]
    pub fn markdown(&self, metrics: &dyn Fn(&str) -> Vec<Compared>, base: Option<&str>) -> String {
        let mut last = String::new();
        if let Some(summary) = &self.summary {
            super::lines::last_line(&mut last, summary, false);
        }
        let mut text = format!("## {}: {}\n\n", cell(&self.workspace), last.trim_end());
        text.push_str("| job | | why | time | run |\n| --- | --- | --- | ---: | --- |\n");
        for job in &self.jobs {
            let state = match job.state {
                "failed" => "❌ failed".to_owned(),
                "" => "not started".to_owned(),
                state => state.to_owned(),
            };
            let time =
                if job.ms > 0 { words::duration(std::time::Duration::from_millis(job.ms)) } else { String::new() };
            let run = job.run.as_ref().map_or("", |run| run.short());
            let _ = writeln!(text, "| {} | {state} | {} | {time} | {run} |", cell(&job.name), cell(&job.why));
        }
        let mut rows = String::new();
        for job in &self.jobs {
            for Compared { name, is, was } in metrics(&job.name) {
                let (was, delta) = was.map_or((String::new(), String::new()), |was| {
                    (
                        rounded(was).to_string(),
                        if (is - was).is_finite() { format!("{:+}", rounded(is - was)) } else { String::new() },
                    )
                });
                let _ = writeln!(rows, "| {} | {} | {} | {was} | {delta} |", cell(&job.name), cell(&name), rounded(is));
            }
        }
        if !rows.is_empty() {
            let base = base.map_or("before".to_owned(), |base| format!("on `{}`", cell(base)));
            let _ =
                write!(text, "\n| job | metric | now | {base} | change |\n| --- | --- | ---: | ---: | ---: |\n{rows}");
        }
        for job in self.jobs.iter().filter(|job| job.state == "failed" && !job.tail.is_empty()) {
            let _ = write!(text, "\n<details><summary>{}: the last lines</summary>\n\n", xml(&job.name));
            for line in &job.tail {
                let _ = writeln!(text, "    {}", clean_line(line));
            }
            text.push_str("\n</details>\n");
        }
        text
    }

    /// The report as `JUnit`'s readers take it: a test case a job.
    #[must_use]
    pub fn junit(&self) -> String {
        let count = |state: &str| self.jobs.iter().filter(|job| job.state == state).count();
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let (failed, skipped) = (count("failed"), count("skipped") + count("canceled") + count(""));
        let total = self.summary.map_or(0, |summary| summary.elapsed_ms);
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" time=\"{}\">\n",
            xml(&self.workspace),
            self.jobs.len(),
            seconds(total)
        );
        for job in &self.jobs {
            let _ = write!(
                text,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
                xml(&self.workspace),
                xml(&job.name),
                seconds(job.ms)
            );
            let _ = match job.state {
                "failed" => {
                    let lines: Vec<String> = job.tail.iter().map(|line| xml(&clean_line(line))).collect();
                    writeln!(
                        text,
                        ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                        xml(&job.why),
                        lines.join("\n")
                    )
                }
                "skipped" | "canceled" | "" => {
                    let why = if job.why.is_empty() { job.state } else { &job.why };
                    writeln!(text, ">\n      <skipped message=\"{}\"/>\n    </testcase>", xml(why))
                }
                state => {
                    writeln!(text, ">\n      <system-out>{}</system-out>\n    </testcase>", xml(state))
                }
            };
        }
        text.push_str("  </testsuite>\n</testsuites>\n");
        text
    }
}

/// A text in a cell of a Markdown table.
fn cell(text: &str) -> String {
    let escaped = clean_line(text).replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('`', "\\`").replace('*', "\\*").replace('_', "\\_").replace('[', "\\[")
}

/// A text in XML; what XML cannot hold is made visible.
fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in super::clean::clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if u32::from(c) < 0x20 || matches!(u32::from(c), 0xfffe | 0xffff) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Six significant digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
#[path = "ci_tests.rs"]
mod tests;
