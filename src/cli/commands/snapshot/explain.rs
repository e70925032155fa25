//! `amlrun snapshot ls --explain [PATH]`: what would be stored or sent now, and why, before anything is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::assemble::Parts;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{Common, PlanOptions};
use crate::cli::project;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console::style::Paint;
use crate::console::table::{Cell, Table};
use crate::console::{self, Style, json, words};
use crate::digest::Digest;
use crate::engine::World;
use crate::engine::heavy;
use crate::engine::measuring::{Counter, spec_of};
use crate::relpath::RelPath;
use crate::target::remote::{Fault, Remote};
use crate::tree::SourceSpec;
use crate::tree::explain::{Explained, Explanation, Why};

/// So many of the largest files, folders and things left out are shown, unless all are asked for.
const SHOWN: usize = 10;

/// One snapshot, as data.
#[derive(Debug, Serialize)]
struct Shown {
    source_directory: RelPath,
    jobs: Vec<String>,
    files: u64,
    bytes: u64,
    /// Bytes of files that the store does not hold yet.
    new_bytes: u64,
    /// For each target elsewhere that takes it: what would still have to be sent there.
    targets: Vec<Need>,
    /// The warning of one that is over the limit.
    warning: Option<String>,
    entries: Vec<Line>,
}

/// What a target lacks of a snapshot.
#[derive(Debug, Serialize)]
struct Need {
    target: String,
    /// Bytes of files; none where the target could not be asked.
    new_bytes: Option<u64>,
    /// Why it could not be asked.
    fault: Option<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    /// As in the project.
    path: RelPath,
    kind: &'static str,
    bytes: u64,
    #[serde(rename = "in")]
    is_in: bool,
    why: String,
    /// The ignore file and its line, as in `.gitignore:3`, where one decides.
    rule: Option<String>,
}

/// Explains.
///
/// # Errors
/// Where the Amlfile has faults, something cannot be read, or the path is in no source directory.
pub(super) fn explain(path: Option<&str>, common: &Common, here: &Surroundings) -> Result<Exit, CliError> {
    let loaded = project::load(common, here)?;
    let options = PlanOptions { goals: Vec::new(), set: Vec::new(), target: None };
    let plan = loaded.plan(&options, here)?;
    let clock = SystemClock::new();
    let parts = Parts::new(&loaded, &plan, here, &clock)?;
    let world = parts.world();
    let path = path.map(|text| asked(text, &loaded.root, here)).transpose()?;
    let mut specs: BTreeMap<SourceSpec, (Vec<String>, BTreeSet<usize>)> = BTreeMap::new();
    for job in &plan.jobs {
        if let Some(spec) = spec_of(job) {
            let (jobs, targets) = specs.entry(spec).or_default();
            jobs.push(job.name.0.clone());
            targets.insert(job.target);
        }
    }
    let mut all = Vec::new();
    for (spec, (jobs, targets)) in specs {
        if path.as_ref().is_none_or(|path| path.is_within(&spec.directory) || spec.directory.is_within(path)) {
            let explanation = world.ground.explain(&spec, &Counter::default())?;
            let files = distinct(&explanation);
            let names = |at: usize| loaded.project.targets.get(at).map_or("", |target| target.name.as_str());
            let elsewhere = targets.iter().filter_map(|at| Some((names(*at), world.remotes.get(at)?)));
            let targets = elsewhere.map(|(name, remote)| need(name, &**remote, &files)).collect();
            all.push(Shown { targets, ..shown(&world, &spec, jobs, explanation, path.as_ref()) });
        }
    }
    if all.iter().all(|shown| shown.entries.is_empty())
        && let Some(path) = &path
    {
        return Err(CliError::nothing(format!("nothing is at `{}` in a source directory", words::path(path)))
            .hint("`amlrun snapshot ls --explain` shows all source directories"));
    }
    if common.json {
        console::out(&json::document(&all));
        return Ok(Exit::Done);
    }
    let style = Style::choose(&common.color, |name| here.variable(name), here.stdout_terminal);
    for (number, shown) in all.iter().enumerate() {
        if number > 0 {
            console::out("\n");
        }
        console::out(&text(shown, path.is_some() || common.verbose, style));
        for Need { target, fault, .. } in &shown.targets {
            if let Some(fault) = fault {
                console::err(&format!("warning: the target {} was not asked: {fault}", words::name(target)));
            }
        }
        if let Some(warning) = &shown.warning {
            console::err(&format!("warning: {warning}"));
        }
    }
    if all.is_empty() {
        console::err("no job takes a snapshot");
    }
    Ok(Exit::Done)
}

/// A path that was typed, relative to the project.
fn asked(text: &str, root: &std::path::Path, here: &Surroundings) -> Result<RelPath, CliError> {
    let at = here.cwd.join(text);
    let real = |path: &std::path::Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // A link is what it is, not what it leads to.
    let at = match (at.parent(), at.file_name()) {
        (Some(folder), Some(name)) => real(folder).join(name),
        _ => real(&at),
    };
    let inside = at.strip_prefix(real(root)).ok().and_then(|path| RelPath::new(path).ok());
    inside.ok_or_else(|| CliError::usage(format!("{} lies outside the project", words::name(text))))
}

/// The files of a snapshot, each content once, with its size.
fn distinct(explanation: &Explanation) -> BTreeMap<Digest, u64> {
    explanation.entries.iter().filter(|e| !e.folder).filter_map(|e| Some((e.digest?, e.size))).collect()
}

/// Asks a target what it lacks.
fn need(target: &str, remote: &dyn Remote, files: &BTreeMap<Digest, u64>) -> Need {
    let target = target.to_owned();
    match remote.lacking(&files.keys().copied().collect::<Vec<_>>()) {
        Ok(lacking) => {
            let new_bytes = lacking.iter().filter_map(|digest| files.get(digest)).sum();
            Need { target, new_bytes: Some(new_bytes), fault: None }
        }
        Err(Fault::Lost(why) | Fault::Refused(why)) => Need { target, new_bytes: None, fault: Some(why) },
        Err(Fault::Moved) => Need { target, new_bytes: None, fault: Some("its answer was not understood".to_owned()) },
    }
}

fn shown(
    world: &World<'_>,
    spec: &SourceSpec,
    jobs: Vec<String>,
    explanation: Explanation,
    path: Option<&RelPath>,
) -> Shown {
    let new_bytes = distinct(&explanation).iter().filter(|(digest, _)| !world.store.has(digest)).map(|(_, n)| n).sum();
    let Explanation { measured, entries } = explanation;
    let line = |entry: Explained| {
        let (why, rule) = words_of(&entry.why);
        Line {
            path: spec.directory.join(entry.path.as_path()),
            kind: if entry.folder { "folder" } else { "file" },
            bytes: entry.size,
            is_in: entry.why.is_in(),
            why,
            rule,
        }
    };
    let mut lines: Vec<Line> = entries.into_iter().map(line).collect();
    if let Some(path) = path {
        // Below a folder that is out nothing is listed: the folder answers for it.
        let answers = |line: &Line| !line.is_in && line.kind == "folder" && path.is_within(&line.path);
        lines.retain(|line| line.path.is_within(path) || answers(line));
    }
    Shown {
        source_directory: spec.directory.clone(),
        jobs,
        files: measured.files,
        bytes: measured.content.size,
        new_bytes,
        targets: Vec::new(),
        warning: heavy::warning(world, spec, &measured),
        entries: lines,
    }
}

/// Why, in words; and the rule, where one decides.
fn words_of(why: &Why) -> (String, Option<String>) {
    let (text, rule) = match why {
        Why::Plain => ("", None),
        Why::Script => ("the script", None),
        Why::Named(None) => ("named in `sources`", None),
        Why::Named(Some(rule)) => return (format!("named in `sources`, which wins over {rule}"), Some(rule.clone())),
        Why::TakenBack(rule) => return (format!("taken back by {rule}"), Some(rule.clone())),
        Why::Ignored(rule) => return (format!("ignored by {rule}"), Some(rule.clone())),
        Why::Never => ("never part of a snapshot", None),
        Why::Output => ("a declared output", None),
        Why::Input => ("a declared input of the experiment", None),
        Why::Unasked => ("not named in `sources`", None),
        Why::Empty => ("nothing in it is taken", None),
    };
    (text.to_owned(), rule)
}

fn text(shown: &Shown, all: bool, style: Style) -> String {
    let more = match shown.jobs.len() - 1 {
        0 => String::new(),
        more => format!(" and {}", words::count(more, "other job")),
    };
    let files = usize::try_from(shown.files).unwrap_or(usize::MAX);
    let new = match shown.new_bytes {
        0 => "all of it is in the store".to_owned(),
        new => format!("{} of it not in the store yet", words::bytes(new)),
    };
    let mut text = format!(
        "{}: {}, {} in the snapshot of {}{more}; {new}\n",
        words::path(&shown.source_directory),
        words::count(files, "file"),
        words::bytes(shown.bytes),
        shown.jobs.first().map_or("", String::as_str),
    );
    for Need { target, new_bytes, .. } in &shown.targets {
        let _ = match new_bytes {
            None => writeln!(text, "what the target {} lacks of it is not known", words::name(target)),
            Some(0) => writeln!(text, "all of it is on the target {}", words::name(target)),
            Some(n) => writeln!(text, "{} of it to be sent to the target {}", words::bytes(*n), words::name(target)),
        };
    }
    let mut section = |title: &str, mut lines: Vec<&Line>| {
        lines.sort_by_key(|line| Reverse(line.bytes));
        let rest = lines.len().saturating_sub(SHOWN);
        lines.truncate(SHOWN);
        if !lines.is_empty() {
            let _ = write!(text, "\n{title}\n{}", table(&lines, style));
        }
        if rest > 0 {
            let _ = writeln!(text, "and {rest} more; -v or a PATH shows all");
        }
    };
    if all {
        let _ = write!(text, "\n{}", table(&shown.entries.iter().collect::<Vec<_>>(), style));
        return text;
    }
    let pick = |is_in: bool, kind: &'static str| {
        shown.entries.iter().filter(move |line| line.is_in == is_in && (kind.is_empty() || line.kind == kind))
    };
    section("largest files", pick(true, "file").collect());
    section("largest folders", pick(true, "folder").collect());
    section("left out", pick(false, "").collect());
    text
}

fn table(lines: &[&Line], style: Style) -> String {
    let mut table = Table::new(&["", ">SIZE", "PATH", "WHY"]);
    for line in lines {
        let slash = if line.kind == "folder" { "/" } else { "" };
        let (word, paint) = if line.is_in { ("in", Paint::Good) } else { ("out", Paint::Dim) };
        table.row([
            Cell::painted(word, paint),
            words::bytes(line.bytes).into(),
            format!("{}{slash}", words::path(&line.path)).into(),
            line.why.clone().into(),
        ]);
    }
    table.render(style, console::terminal::out_width())
}
