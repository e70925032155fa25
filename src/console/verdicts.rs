//! Reasons and verdicts in prose, one short phrase each, made from the same values as their JSON.

use crate::staleness::{Reason, Verdict};

use super::clean::clean;
use super::words;

/// Where in the Amlfile a reason has its cause, as in `Amlfile:12`; none where it has none there.
pub type Places<'a> = &'a dyn Fn(&Reason) -> Option<String>;

/// Knows no places.
#[must_use]
pub fn nowhere(_: &Reason) -> Option<String> {
    None
}

/// How long a value may be in a phrase.
const VALUE: usize = 40;

/// One reason as a phrase: `alpha 0.03 -> 0.1`, `train.py changed`.
#[must_use]
pub fn phrase(reason: &Reason) -> String {
    match reason {
        Reason::NeverRan => "never ran".to_owned(),
        Reason::Forced => "--force".to_owned(),
        Reason::NotCached => "cache = false".to_owned(),
        Reason::LastRunFailed { run, status } if status == "Failed" => {
            format!("the last run failed (run {})", run.short())
        }
        Reason::LastRunFailed { run, status } => {
            format!("the last run ended as {} (run {})", clean(status), run.short())
        }
        Reason::InputsMoved { run } => format!("its sources or inputs changed while run {} was going on", run.short()),
        Reason::LastRunNotCached { run } => {
            format!("the result of run {0} is not reused (`amlrun runs show {0}` says why)", run.short())
        }
        Reason::CommandChanged { was, is } => command(was, is),
        Reason::ParamChanged { name, was, is } => change("", name, was.as_deref(), is.as_deref()),
        Reason::VariableChanged { name, was, is } => change("variable ", name, was.as_deref(), is.as_deref()),
        Reason::FrameworkChanged { was, is } => change("", "framework", Some(was), Some(is)),
        Reason::DistributedChanged { name, was, is } => change("distributed ", name, was.as_deref(), is.as_deref()),
        Reason::EnvironmentChanged { fact, was, is } => {
            let fact = if fact.is_empty() { "environment" } else { fact };
            change("", fact, was.as_deref(), is.as_deref())
        }
        Reason::SourceChanged { path, was, is } => {
            let path = if path.is_root() { "sources".to_owned() } else { words::path(path) };
            format!("{path} {}", what_happened(was.as_ref(), is.as_ref()))
        }
        Reason::InputChanged { name, path, was, is } => {
            let happened = what_happened(was.as_ref(), is.as_ref());
            if path.is_empty() {
                format!("input {} {happened}", words::name(name))
            } else if name == path {
                format!("input {} {happened}", clean(path))
            } else {
                format!("input {}: {} {happened}", words::name(name), clean(path))
            }
        }
        Reason::MoreFiles { count } => words::count(*count, "more file"),
        Reason::OutputNotRecorded { path } => format!("output {} was not recorded then", words::path(path)),
        Reason::OutputLost { path } => {
            format!("output {} is not as recorded, and not in the store", words::path(path))
        }
        Reason::UpstreamMayChange { job } => format!("{} runs first", words::name(&job.0)),
        Reason::InputMissing { name, path } if name == path => format!("input {} is missing", clean(path)),
        Reason::InputMissing { name, path } => format!("input {} is missing: {}", words::name(name), clean(path)),
        Reason::EnvironmentNotLocked { environment } => {
            format!("environment {} is not locked yet", words::name(environment))
        }
        Reason::FormatChanged { was, is } => format!("fingerprint format {was} -> {is} (another version of amlrun)"),
    }
}

/// One reason with its place: `alpha 0.03 -> 0.1 (Amlfile:12)`.
#[must_use]
pub fn placed(reason: &Reason, places: Places<'_>) -> String {
    match places(reason) {
        Some(place) => format!("{} ({})", phrase(reason), clean(&place)),
        None => phrase(reason),
    }
}

/// Reasons in one line: at most `limit`, then `and 3 more`. Left out, though they stay in the data, are a changed command
/// that only shows the changed parameters again, and, where there is a reason of the job's own, the jobs that run first.
#[must_use]
pub fn joined(reasons: &[Reason], limit: usize) -> String {
    let upstream: Vec<&str> = reasons
        .iter()
        .filter_map(|reason| match reason {
            Reason::UpstreamMayChange { job } => Some(job.0.as_str()),
            _ => None,
        })
        .collect();
    if upstream.len() == reasons.len() && upstream.len() > 1 {
        let (shown, more) = upstream.split_at(if upstream.len() <= limit { upstream.len() } else { 1 });
        return match more.len() {
            0 => format!("{} run first", words::names(shown)),
            n => format!("{} and {n} more run first", words::names(shown)),
        };
    }
    let is_own =
        |reason: &Reason| upstream.len() == reasons.len() || !matches!(reason, Reason::UpstreamMayChange { .. });
    let told: Vec<&Reason> = reasons.iter().filter(|r| is_own(r) && !is_echo(r, reasons)).collect();
    let shown = if told.len() == limit.saturating_add(1) { told.len() } else { limit };
    let mut text = told.iter().take(shown).map(|r| phrase(r)).collect::<Vec<_>>().join("; ");
    if told.len() > shown {
        text.push_str("; and ");
        text.push_str(&(told.len() - shown).to_string());
        text.push_str(" more");
    }
    text
}

/// A verdict in one line: `fresh (run 9f8e7d6c)`, `stale: train.py changed`.
#[must_use]
pub fn verdict(verdict: &Verdict, limit: usize) -> String {
    match verdict {
        Verdict::Fresh { since, repairs } => {
            let since = since.short();
            let edited = repairs.iter().filter(|r| r.modified).count();
            let missing = repairs.len() - edited;
            let parts: Vec<String> =
                [(missing, "output missing", "outputs missing"), (edited, "output modified", "outputs modified")]
                    .into_iter()
                    .filter(|(n, ..)| *n > 0)
                    .map(|(n, one, many)| format!("{n} {}", if n == 1 { one } else { many }))
                    .collect();
            if parts.is_empty() {
                format!("fresh (run {since})")
            } else {
                format!("fresh (run {since}); to restore: {}", parts.join(", "))
            }
        }
        Verdict::Stale { reasons } => format!("stale: {}", joined(reasons, limit)),
        Verdict::MayRun { reasons } => format!("may run: {}", joined(reasons, limit)),
    }
}

fn change(kind: &str, name: &str, was: Option<&str>, is: Option<&str>) -> String {
    let name = clean(name);
    let value = |text| words::value(text, VALUE);
    match (was, is) {
        (Some(was), Some(is)) => format!("{kind}{name} {} -> {}", value(was), value(is)),
        (None, Some(is)) => format!("{kind}{name} added: {}", value(is)),
        (Some(was), None) => format!("{kind}{name} removed: was {}", value(was)),
        (None, None) => format!("{kind}{name} changed"),
    }
}

fn what_happened(was: Option<&String>, is: Option<&String>) -> &'static str {
    match (was, is) {
        (None, Some(_)) => "added",
        (Some(_), None) => "removed",
        _ => "changed",
    }
}

/// The words of a command as a fingerprint has it: without the kind, and those of a shell text apart.
fn said(command: &[String]) -> Vec<&str> {
    match command.split_first() {
        Some((kind, texts)) if kind == "shell" => texts.iter().flat_map(|text| text.split_whitespace()).collect(),
        Some((_, words)) => words.iter().map(String::as_str).collect(),
        None => Vec::new(),
    }
}

/// Only the words that differ.
fn command(was: &[String], is: &[String]) -> String {
    let (old, new) = (said(was), said(is));
    let same_start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same_start..], &new[same_start..]);
    let same_end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - same_end], &new[..new.len() - same_end]);
    let shown = |words: &[&str]| format!("`{}`", words::value(&words::command(words), VALUE));
    match (old.is_empty(), new.is_empty()) {
        (true, true) => "command changed".to_owned(),
        (true, false) => format!("command: {} added", shown(new)),
        (false, true) => format!("command: {} removed", shown(old)),
        (false, false) => format!("command: {} -> {}", shown(old), shown(new)),
    }
}

/// Whether a reason tells of a command in which nothing changed but the values of parameters that are told of too.
fn is_echo(reason: &Reason, all: &[Reason]) -> bool {
    let Reason::CommandChanged { was, is } = reason else { return false };
    let explained = |old: &String, new: &String| {
        all.iter().any(|other| match other {
            Reason::ParamChanged { was: Some(was), is: Some(is), .. } if !was.is_empty() => {
                // Only some of the places may be the parameter's, so each one alone is tried as well as all of them.
                old.replace(was.as_str(), is) == *new
                    || old.match_indices(was.as_str()).any(|(at, _)| {
                        let (head, tail) = old.split_at(at);
                        tail.strip_prefix(was.as_str()).is_some_and(|tail| format!("{head}{is}{tail}") == *new)
                    })
            }
            _ => false,
        })
    };
    was.len() == is.len() && was.iter().zip(is).all(|(old, new)| old == new || explained(old, new))
}

#[cfg(test)]
#[path = "verdicts_tests.rs"]
mod tests;
