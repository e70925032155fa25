//! `amlrun runs show`.

use std::fmt::Write as _;

use super::{Desk, record};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::clean::{clean, width};
use crate::console::style::Paint;
use crate::console::telling::outcome_phrase;
use crate::console::{self, json, verdicts, words};
use crate::history::{Ended, History, Run};
use crate::logged::{Child, Logged};
use crate::staleness::{Key, Recorded};
use crate::vcs::PATCH;

pub(super) fn show(desk: &Desk<'_>, text: &str, details: bool) -> Result<Exit, CliError> {
    let run = desk.run(text)?;
    if details {
        let logged = desk.history.logged(&run.begun.run)?.unwrap_or_default();
        console::out(&json::document(&super::details::details(desk, &run, &logged)));
        return Ok(Exit::Done);
    }
    let logged = desk.history.logged(&run.begun.run)?;
    let key = match &run.begun.fingerprint.environment {
        Some(digest) => desk.history.key(digest)?,
        None => None,
    };
    let log = desk.kept(&run).join("user_logs").join("std_log.txt");
    let log = log.exists().then(|| desk.shown(&log));
    if desk.json {
        console::out(&json::document(&record::whole(&run, key.as_ref(), logged.as_ref(), log, desk.clock.now())));
    } else {
        console::out(&page(desk, &run, key.as_ref(), logged.as_ref(), log));
    }
    Ok(Exit::Done)
}

/// Prints what ran and was not committed.
pub(super) fn patch(desk: &Desk<'_>, text: &str) -> Result<Exit, CliError> {
    let run = desk.run(text)?;
    let short = run.begun.run.short();
    let Some(place) = super::files::patch(desk, &run) else {
        return Err(CliError::nothing(format!("run {short} has no patch"))
            .hint("a run has one where its sources lie in a git repository and differ from the commit"));
    };
    let bytes = place.read(desk, &run, PATCH)?;
    let bytes =
        bytes.ok_or_else(|| CliError::world(format!("the patch of run {short} is lost: the store lacks it")))?;
    let text = String::from_utf8_lossy(&bytes);
    console::out(&if desk.json { json::document(&serde_json::json!({ "patch": text })) } else { text.into_owned() });
    Ok(Exit::Done)
}

/// A page of named values, in sections.
struct Page<'d> {
    desk: &'d Desk<'d>,
    text: String,
}

impl Page<'_> {
    /// A section of names and values, one under the other; nothing where there are none.
    fn section<'v>(&mut self, head: &str, pairs: impl IntoIterator<Item = (&'v str, String)>) {
        let pairs: Vec<(String, String)> =
            pairs.into_iter().map(|(name, value)| (clean(name).into_owned(), clean(&value).into_owned())).collect();
        if pairs.is_empty() {
            return;
        }
        if !head.is_empty() {
            self.text.push('\n');
            self.desk.style.push(&mut self.text, Paint::Bold, head);
            self.text.push('\n');
        }
        let indent = if head.is_empty() { "" } else { "  " };
        let widest = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or_default();
        for (name, value) in &pairs {
            let padding = " ".repeat(widest - width(name));
            let line = format!("{indent}{name}{padding}  {value}");
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }

    /// A section of lines.
    fn lines(&mut self, head: &str, lines: impl IntoIterator<Item = String>) {
        let mut lines = lines.into_iter().peekable();
        if lines.peek().is_some() {
            self.text.push('\n');
            self.desk.style.push(&mut self.text, Paint::Bold, head);
            self.text.push('\n');
        }
        for line in lines {
            self.text.push_str("  ");
            self.text.push_str(&clean(&line));
            self.text.push('\n');
        }
    }
}

pub(super) fn page(
    desk: &Desk<'_>,
    run: &Run,
    key: Option<&Key>,
    logged: Option<&Logged>,
    log: Option<String>,
) -> String {
    let (begun, ended, print) = (&run.begun, run.ended.as_ref(), &run.begun.fingerprint);
    let mut page = Page { desk, text: String::new() };
    page.section("", summary(desk, run, log));
    page.lines("reasons", begun.reasons.iter().map(verdicts::phrase));
    page.lines("notes", ended.map(|ended| ended.notes.clone()).unwrap_or_default());
    page.section("parameters", begun.params.iter().map(|(name, value)| (name.as_str(), record::plain(value))));
    let metrics = ended.map(|ended| &ended.metrics).into_iter().flatten();
    page.section("metrics", metrics.map(|(name, value)| (name.as_str(), value.to_string())));
    page.section("tags", texts(&begun.tags));
    if let Some(logged) = logged {
        page.section("properties", texts(&logged.own.properties));
        let mut children = Vec::new();
        nested(logged, None, 0, &mut children);
        page.lines("runs within it", children);
        page.lines("logged", tables(logged));
        page.lines("models", logged.own.models.iter().map(|model| format!("{}  {}", model.name, model.path)));
    }
    page.section("variables", texts(&print.variables));
    page.section("distributed", texts(&print.distributed));
    page.section(
        "inputs",
        begun.inputs.iter().map(|(name, path)| {
            let digest = print.inputs.get(name).map(crate::digest::Digest::short).unwrap_or_default();
            (name.as_str(), if name == path { digest } else { format!("{path}  {digest}") })
        }),
    );
    page.lines("outputs", files(ended.map(|ended| ended.outputs.as_slice())));
    page.lines("kept", files(ended.map(|ended| ended.kept.as_slice())));
    page.section("environment", key.map(|key| &key.facts).into_iter().flatten().map(|(n, v)| (n.as_str(), v.clone())));
    page.section("git and other properties", texts(&run.invocation.properties));
    page.text
}

/// What was logged besides numbers, a line a name: a table comes by the row.
fn tables(logged: &Logged) -> Vec<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for table in &logged.own.tables {
        let text = format!("{} {}", table.kind, words::name(&table.name));
        match counts.iter_mut().find(|(before, _)| *before == text) {
            Some((_, count)) => *count += 1,
            None => counts.push((text, 1)),
        }
    }
    counts.into_iter().map(|(text, count)| if count > 1 { format!("{text} ({count})") } else { text }).collect()
}

/// The runs within the run (none) or within one of them, each below the one that it is in.
fn nested(logged: &Logged, of: Option<&str>, depth: usize, lines: &mut Vec<String>) {
    let is_known = |parent: &str| logged.children.iter().any(|child| child.id == parent);
    for child in &logged.children {
        let parent = child.parent.as_deref().filter(|parent| is_known(parent));
        // No run is that deep but one that is within itself.
        if parent == of && depth < 32 {
            lines.push(format!("{}{}", "  ".repeat(depth), within(logged, child)));
            nested(logged, Some(&child.id), depth + 1, lines);
        }
    }
}

/// A run within the run, in a line: its name, how it ended, its metrics.
fn within(logged: &Logged, child: &Child) -> String {
    let status = child.facts.status.as_deref().unwrap_or("Running");
    let mut line = format!("{}  {status}", if child.name.is_empty() { &child.id } else { &child.name });
    for (name, value) in logged.metrics(Some(&child.id)) {
        let _ = write!(line, "  {name}={}", record::number(value));
    }
    line
}

fn summary(desk: &Desk<'_>, run: &Run, log: Option<String>) -> Vec<(&'static str, String)> {
    let (begun, ended, print, by) = (&run.begun, run.ended.as_ref(), &run.begun.fingerprint, &run.invocation);
    let elapsed = words::duration(record::elapsed(run, desk.clock.now()));
    let environment = match &print.environment {
        Some(digest) => format!("{} ({})", begun.environment, digest.short()),
        None => begun.environment.clone(),
    };
    let by_whom = if by.user.is_empty() { by.host.clone() } else { format!("{}@{}", by.user, by.host) };
    let mut lines =
        vec![("run", begun.run.0.clone()), ("job", begun.job.0.clone()), ("status", run.status.name().to_owned())];
    if let Some(ended) = ended {
        lines.push(("outcome", outcome(ended)));
    }
    lines.push(("started", begun.started.to_string()));
    match ended {
        Some(ended) => lines.push(("ended", format!("{} (after {elapsed})", ended.ended))),
        None => lines.push(("running for", elapsed)),
    }
    if begun.attempt > 1 {
        lines.push(("attempt", begun.attempt.to_string()));
    }
    if let Some(ended) = ended {
        lines.push(("cpu time", words::duration(std::time::Duration::from_millis(ended.usage.cpu_ms))));
        lines.push(("peak memory", words::bytes(ended.usage.peak_memory)));
    }
    lines.push(("command", shown_command(&print.command)));
    lines.push(("target", begun.target.clone()));
    lines.push(("environment", environment));
    if print.framework != "python" {
        lines.push(("framework", print.framework.clone()));
    }
    lines.push(("sources", format!("{} ({})", begun.source_directory, print.sources.short())));
    lines.push(("fingerprint", print.digest().to_string()));
    lines.push(("host", by_whom));
    lines.push(("invocation", words::command(&by.argv)));
    lines.push(("amlrun", by.version.clone()));
    lines.extend(log.map(|log| ("log", log)));
    lines
}

/// How it ended, and what that means for the next time.
fn outcome(ended: &Ended) -> String {
    let phrase = outcome_phrase(&ended.outcome);
    if ended.inputs_moved {
        return format!("{phrase}; its inputs changed while it ran, so its result is not reused");
    }
    let unused = ended.status == crate::history::Status::Completed && !ended.cached;
    if unused { format!("{phrase}; its result is not reused") } else { phrase }
}

/// A command as a fingerprint has it, as one could type it.
pub(super) fn shown_command(command: &[String]) -> String {
    match command.split_first() {
        Some((kind, texts)) if kind == "shell" => texts.join(" "),
        Some((_, words)) => words::command(words),
        None => String::new(),
    }
}

fn texts(map: &std::collections::BTreeMap<String, String>) -> impl Iterator<Item = (&str, String)> {
    map.iter().map(|(name, value)| (name.as_str(), value.clone()))
}

fn files(recorded: Option<&[Recorded]>) -> Vec<String> {
    let line = |it: &Recorded| {
        let slash = if it.tag == 'd' { "/" } else { "" };
        format!("{}{slash}  {}  {}", words::path(&it.path), words::bytes(it.size), it.digest.short())
    };
    recorded.unwrap_or_default().iter().map(line).collect()
}
