//! `amlrun runs diff`: what differed between two runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Desk, difference, record, show::shown_command};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console::{self, json, words};
use crate::content::{Entry, Kind};
use crate::digest::Digest;
use crate::history::{History, Run};
use crate::store::{Store, StoreError, snapshot};
use crate::vcs;

/// Files longer than this are not compared line by line.
pub(in crate::cli::commands) const LONGEST: u64 = 8 << 20;

/// All that differs; what is alike is left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Difference {
    pub(super) a: Side,
    pub(super) b: Side,
    /// Whether nothing differs.
    pub(super) alike: bool,
    /// None where the sources of one are no longer in the store.
    pub(super) code: Option<Vec<File>>,
    pub(super) params: Vec<Change>,
    pub(super) command: Option<Change>,
    pub(super) variables: Vec<Change>,
    pub(super) settings: Vec<Change>,
    pub(super) environment: Vec<Change>,
    pub(super) inputs: Vec<Change>,
    pub(super) outputs: Vec<Change>,
    pub(super) metrics: Vec<Metric>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Side {
    pub(super) run: String,
    pub(super) job: String,
    pub(super) status: String,
    pub(super) started: String,
}

/// A file of the sources.
#[derive(Debug, Serialize)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) change: &'static str,
    pub(super) diff: String,
}

/// A value that differs; none where one side has none.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) was: Option<String>,
    pub(super) is: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) was: Number,
    pub(super) is: Number,
    pub(super) delta: Option<f64>,
}

/// A metric's value; as JSON a text where JSON has no number for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub(super) Option<f64>);

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.map(record::json_number).serialize(to)
    }
}

pub(super) fn diff(desk: &Desk<'_>, a: &str, b: &str) -> Result<Exit, CliError> {
    let (a, b) = (desk.run(a)?, desk.run(b)?);
    let found = compare(desk, &a, &b)?;
    if desk.json {
        console::out(&json::document(&found));
    } else {
        console::out(&difference::text(&found, desk.style));
    }
    Ok(Exit::Done)
}

pub(super) fn compare(desk: &Desk<'_>, one: &Run, other: &Run) -> Result<Difference, CliError> {
    let (was, is) = (&one.begun.fingerprint, &other.begun.fingerprint);
    let command = |run: &Run| shown_command(&run.begun.fingerprint.command);
    let params = |run: &Run| run.begun.params.iter().map(|(n, v)| (n.clone(), record::plain(v))).collect();
    let mut settings = change("framework", &was.framework, &is.framework);
    settings.extend(changes(&was.distributed, &is.distributed));
    for (name, was, is) in [
        ("target", &one.begun.target, &other.begun.target),
        ("environment", &one.begun.environment, &other.begun.environment),
    ] {
        settings.extend(change(name, was, is));
    }
    let mut difference = Difference {
        a: side(one),
        b: side(other),
        alike: false,
        code: code(desk, one, other)?,
        params: changes(&params(one), &params(other)),
        command: change("command", &command(one), &command(other)).pop(),
        variables: changes(&was.variables, &is.variables),
        settings,
        environment: environment(desk, was.environment, is.environment)?,
        inputs: inputs(&desk.store, one, other)?,
        outputs: outputs(&desk.store, one, other)?,
        metrics: metrics(one, other),
    };
    difference.alike = difference.is_empty();
    Ok(difference)
}

impl Difference {
    /// Whether nothing differs. Where the sources are not known, nobody can say so.
    fn is_empty(&self) -> bool {
        let lists = [&self.params, &self.variables, &self.settings, &self.environment, &self.inputs, &self.outputs];
        self.code.as_ref().is_some_and(Vec::is_empty)
            && self.command.is_none()
            && self.metrics.is_empty()
            && lists.iter().all(|list| list.is_empty())
    }
}

fn side(run: &Run) -> Side {
    Side {
        run: run.begun.run.0.clone(),
        job: run.begun.job.0.clone(),
        status: run.status.name().to_owned(),
        started: run.begun.started.to_string(),
    }
}

fn change(name: &str, was: &str, is: &str) -> Vec<Change> {
    let changed = Change { name: name.to_owned(), was: Some(was.to_owned()), is: Some(is.to_owned()) };
    if was == is { Vec::new() } else { vec![changed] }
}

/// The names whose values differ.
fn changes(was: &BTreeMap<String, String>, is: &BTreeMap<String, String>) -> Vec<Change> {
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let differ = names.into_iter().filter(|name| was.get(*name) != is.get(*name));
    differ.map(|name| Change { name: name.clone(), was: was.get(name).cloned(), is: is.get(name).cloned() }).collect()
}

/// The files of the sources that differ; none where a snapshot is gone.
fn code(desk: &Desk<'_>, a: &Run, b: &Run) -> Result<Option<Vec<File>>, CliError> {
    let (was, is) = (&a.begun.fingerprint.sources, &b.begun.fingerprint.sources);
    let Some(differing) = differences(&desk.store, was, is)? else { return Ok(None) };
    let mut files = Vec::new();
    for (path, was, is) in differing {
        let shown = words::path(&b.begun.source_directory.join(path.as_path()));
        let change = match (&was, &is) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        let diff = file_diff(&desk.store, was.as_ref(), is.as_ref(), &shown)?;
        files.push(File { path: shown, change, diff });
    }
    Ok(Some(files))
}

/// Where two trees differ. A tree without entries need not be in the store.
pub(in crate::cli::commands) fn differences(
    store: &dyn Store,
    was: &Digest,
    is: &Digest,
) -> Result<Option<Vec<snapshot::Differs>>, StoreError> {
    if was == is {
        return Ok(Some(Vec::new()));
    }
    let empty = Digest::of(&crate::content::encode(&[]));
    if *was != empty && *is != empty {
        return snapshot::difference(store, was, is);
    }
    let listed = snapshot::list(store, if *was == empty { is } else { was })?;
    let files = listed.map(|list| list.into_iter().filter(|(_, entry)| entry.kind != Kind::Folder));
    Ok(files.map(|files| {
        files
            .map(|(path, entry)| if *was == empty { (path, None, Some(entry)) } else { (path, Some(entry), None) })
            .collect()
    }))
}

/// What differs in one entry of the sources: its mode, then its lines.
pub(in crate::cli::commands) fn file_diff(
    store: &dyn Store,
    was: Option<&Entry>,
    is: Option<&Entry>,
    path: &str,
) -> Result<String, StoreError> {
    let what = |kind: Kind| match kind {
        Kind::File => "a file",
        Kind::Executable => "an executable file",
        Kind::Link => "a symlink",
        Kind::Folder => "a folder",
    };
    let mut text = String::new();
    if let (Some(was), Some(is)) = (was, is)
        && was.kind != is.kind
    {
        text = format!("{path}: was {}, is {}\n", what(was.kind), what(is.kind));
    }
    let long = [was, is].into_iter().flatten().any(|entry| entry.size > LONGEST);
    if long {
        return Ok(format!("{text}{path}: too long to be compared line by line\n"));
    }
    let bytes = |entry: Option<&Entry>| match entry {
        Some(entry) if entry.kind != Kind::Folder => store.get(&entry.digest).map(|bytes| bytes.map(Some)),
        _ => Ok(Some(None)),
    };
    let (Some(was), Some(is)) = (bytes(was)?, bytes(is)?) else {
        return Ok(format!("{text}{path}: its content is no longer in the store\n"));
    };
    Ok(text + &vcs::text_diff(was.as_deref(), is.as_deref(), path))
}

/// The facts that differ, packages among them; the digests where the facts are not known.
fn environment(desk: &Desk<'_>, was: Option<Digest>, is: Option<Digest>) -> Result<Vec<Change>, CliError> {
    if was == is {
        return Ok(Vec::new());
    }
    let facts = |digest: Option<Digest>| match digest {
        Some(digest) => desk.history.key(&digest).map(|key| key.map(|key| key.facts)),
        None => Ok(Some(BTreeMap::new())),
    };
    let named = match (facts(was)?, facts(is)?) {
        (Some(was), Some(is)) => changes(&was, &is),
        _ => Vec::new(),
    };
    let short = |digest: Option<Digest>| digest.map(|digest| digest.short());
    let unnamed = || vec![Change { name: "environment".to_owned(), was: short(was), is: short(is) }];
    Ok(if named.is_empty() { unnamed() } else { named })
}

/// The inputs that differ, file by file where their trees are known.
fn inputs(store: &dyn Store, a: &Run, b: &Run) -> Result<Vec<Change>, StoreError> {
    let of = |run: &Run| run.begun.fingerprint.inputs.clone();
    let (was, is) = (of(a), of(b));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let shown = b.begun.inputs.get(name).or_else(|| a.begun.inputs.get(name)).unwrap_or(name);
        content(store, shown, was.get(name), is.get(name), &mut found)?;
    }
    Ok(found)
}

fn outputs(store: &dyn Store, a: &Run, b: &Run) -> Result<Vec<Change>, StoreError> {
    let of = |run: &Run| -> BTreeMap<String, Digest> {
        let ended = run.ended.as_ref();
        ended.into_iter().flat_map(|ended| &ended.outputs).map(|o| (words::path(&o.path), o.digest)).collect()
    };
    let (was, is) = (of(a), of(b));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        content(store, name, was.get(name), is.get(name), &mut found)?;
    }
    Ok(found)
}

/// Adds what differs at a path: the files, where both are folders whose trees are known.
fn content(
    store: &dyn Store,
    path: &str,
    was: Option<&Digest>,
    is: Option<&Digest>,
    found: &mut Vec<Change>,
) -> Result<(), StoreError> {
    if was == is {
        return Ok(());
    }
    if let (Some(was), Some(is)) = (was, is)
        && let Some(files) = snapshot::difference(store, was, is)?
        && !files.is_empty()
    {
        let short = |entry: Option<Entry>| entry.map(|entry| entry.digest.short());
        found.extend(files.into_iter().map(|(below, was, is)| Change {
            name: format!("{path}/{}", words::path(&below)),
            was: short(was),
            is: short(is),
        }));
    } else {
        found.push(Change { name: path.to_owned(), was: was.map(Digest::short), is: is.map(Digest::short) });
    }
    Ok(())
}

fn metrics(a: &Run, b: &Run) -> Vec<Metric> {
    let of = |run: &Run| run.ended.as_ref().map(|ended| ended.metrics.clone()).unwrap_or_default();
    let (was, is) = (of(a), of(b));
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let one = |name: &String| {
        let (was, is) = (was.get(name).copied(), is.get(name).copied());
        if was.map(f64::to_bits) == is.map(f64::to_bits) {
            return None;
        }
        let delta = was.zip(is).map(|(was, is)| is - was).filter(|delta| delta.is_finite());
        Some(Metric { name: name.clone(), was: Number(was), is: Number(is), delta })
    };
    names.into_iter().filter_map(one).collect()
}
