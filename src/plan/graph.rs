//! Edges: who makes what others read. Paths are sorted once, so that ten thousand jobs take a moment.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::amlfile::suggest::nearest;
use crate::diagnostic::{Diagnostic, Span};
use crate::ids::JobId;
use crate::project::model::{InputPath, Project};
use crate::project::template;

use super::goals::Cell;
use super::job::Job;
use super::outputs;

/// An edge that a `needs` makes: who, whom, and where it stands.
pub(super) type Needed = (usize, usize, Span);

/// A path that a job writes or reads.
#[derive(Clone, Copy)]
struct Claim<'j> {
    path: &'j [u8],
    job: usize,
    /// Which of its outputs or inputs.
    at: usize,
}

/// Fills `needs` of every job and `from` of every input; answers with the edges that `needs` makes.
pub(super) fn connect(project: &Project, jobs: &mut [Job], faults: &mut Vec<Diagnostic>) -> Vec<Needed> {
    let found = by_files(jobs, faults);
    for (job, input, maker) in found {
        jobs[job].inputs[input].from.push(JobId(maker));
        jobs[job].needs.push(JobId(maker));
    }
    let needed = by_needs(project, jobs, faults);
    for (job, other, _) in &needed {
        jobs[*job].needs.push(JobId(*other));
    }
    for job in jobs {
        job.needs.sort_unstable();
        job.needs.dedup();
    }
    needed
}

/// (job, input, the job that makes it), for every file or folder that one job writes and another reads.
fn by_files(jobs: &[Job], faults: &mut Vec<Diagnostic>) -> Vec<(usize, usize, usize)> {
    let mut made = Vec::with_capacity(jobs.len());
    let mut read = Vec::with_capacity(jobs.len());
    for (job, of) in jobs.iter().enumerate() {
        for (at, output) in of.outputs.iter().enumerate() {
            // What can be no output makes no edges either.
            if outputs::check(of, output, faults) {
                made.push(Claim { path: output.path.as_bytes(), job, at });
            }
        }
        read.extend(of.inputs.iter().enumerate().filter_map(|(at, input)| match &input.path {
            InputPath::Inside(path) => Some(Claim { path: path.as_bytes(), job, at }),
            InputPath::Absolute(_) => None,
        }));
    }
    // Equal paths stay in the order of the text, so that the later one is told of.
    made.sort_by(|a, b| order(a.path, b.path));
    read.sort_by(|a, b| order(a.path, b.path));
    overlaps(jobs, &made, faults);
    let mut found = Vec::with_capacity(read.len());
    let mut above = 0;
    for input in read {
        while made.get(above).is_some_and(|output| order(output.path, input.path) != Ordering::Greater) {
            above += 1;
        }
        // No output lies in another, so the last one that is not above the input is the only one it can lie in.
        let holder = above.checked_sub(1).map(|last| &made[last]).filter(|output| within(input.path, output.path));
        let inside = made[above..].iter().take_while(|output| within(output.path, input.path));
        for output in holder.into_iter().chain(inside).filter(|output| output.job != input.job) {
            found.push((input.job, input.at, output.job));
        }
    }
    found
}

/// Two jobs with one output, or with one inside the other.
fn overlaps(jobs: &[Job], made: &[Claim<'_>], faults: &mut Vec<Diagnostic>) {
    let mut holders: Vec<Claim<'_>> = Vec::new();
    let mut told: Vec<(Span, Span)> = Vec::new();
    for claim in made {
        while holders.last().is_some_and(|holder| !within(claim.path, holder.path)) {
            holders.pop();
        }
        if let Some(holder) = holders.last() {
            let (a, b) = if holder.job <= claim.job { (holder, claim) } else { (claim, holder) };
            let (first, second) = (&jobs[a.job].outputs[a.at], &jobs[b.job].outputs[b.at]);
            let places = (first.span.clone(), second.span.clone());
            if !told.contains(&places) {
                faults.push(overlap(jobs, a, b));
                told.push(places);
            }
        }
        holders.push(*claim);
    }
}

fn overlap(jobs: &[Job], a: &Claim<'_>, b: &Claim<'_>) -> Diagnostic {
    let (one, other) = (&jobs[a.job], &jobs[b.job]);
    let (first, second) = (&one.outputs[a.at], &other.outputs[b.at]);
    let same = first.path == second.path;
    let message = match (same, a.job == b.job) {
        (true, true) => format!("`{}` has the output `{}` twice", one.name, first.path),
        (true, false) => format!("`{}` and `{}` both write `{}`", one.name, other.name, first.path),
        (false, true) => {
            let (inner, outer) = if second.path.is_within(&first.path) { (second, first) } else { (first, second) };
            format!("the output `{}` of `{}` lies in its output `{}`", inner.path, one.name, outer.path)
        }
        (false, false) => {
            let (inner, outer, of, by) = if second.path.is_within(&first.path) {
                (second, first, one, other)
            } else {
                (first, second, other, one)
            };
            format!("the output `{}` of `{}` lies in the output `{}` of `{}`", inner.path, by.name, outer.path, of.name)
        }
    };
    let code = if same { "duplicate-output" } else { "nested-output" };
    let fault =
        Diagnostic::error(code, second.span.clone(), message, if same { "also written here" } else { "written here" });
    if first.span == second.span {
        let axes: Vec<String> = one.cell.iter().map(|(axis, _)| format!("`${{{axis}}}`")).collect();
        return fault.help(format!("each cell needs a path of its own: put {} into it", axes.join(" and ")));
    }
    let fault = fault.with(first.span.clone(), if same { "written here" } else { "and here" });
    if a.job == b.job && (first.metric || second.metric) {
        return fault.help("a metric file is an output of its own: write it outside of the other");
    }
    fault
}

/// (job, the job it needs, where that stands), for every `needs`.
fn by_needs(project: &Project, jobs: &[Job], faults: &mut Vec<Diagnostic>) -> Vec<Needed> {
    let mut needed = Vec::new();
    if project.experiments.iter().all(|experiment| experiment.needs.is_empty()) {
        return needed;
    }
    let mut ranges: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    for (index, job) in jobs.iter().enumerate() {
        let name = project.experiments[job.experiment].name.as_str();
        ranges.entry(name).and_modify(|range| range.end = index + 1).or_insert(index..index + 1);
    }
    for (index, job) in jobs.iter().enumerate() {
        for (written, span) in &project.experiments[job.experiment].needs {
            let text = interpolated(written, job);
            if let Some(range) = ranges.get(text.as_str()) {
                needed.extend(range.clone().filter(|other| *other != index).map(|other| (index, other, span.clone())));
                continue;
            }
            let before = needed.len();
            let cell = Cell::of(&text);
            let range = cell.as_ref().and_then(|cell| ranges.get(cell.experiment).cloned()).unwrap_or(0..0);
            let cells = range.clone().filter(|other| cell.as_ref().is_some_and(|cell| cell.selects(&jobs[*other])));
            needed.extend(cells.map(|other| (index, other, span.clone())));
            // An experiment that is not there was told of by `project`, unless the name was made only here.
            if needed.len() == before && (!range.is_empty() || !template::is_plain(written)) {
                let message = format!("there is no job `{text}`");
                let fault = Diagnostic::error("unknown-job", span.clone(), message, "no such job");
                let names = jobs[range].iter().map(|job| job.name.0.as_str());
                faults.push(super::cells::did_you_mean(fault, nearest(&text, names)));
            }
        }
    }
    needed
}

/// `needs = ["train[alpha=${alpha}]"]` with the values of a cell.
fn interpolated(text: &str, job: &Job) -> String {
    if template::is_plain(text) {
        return text.to_owned();
    }
    let pieces = template::pieces(text).into_iter().map(|piece| match piece {
        template::Piece::Literal(literal) => literal.to_owned(),
        template::Piece::Name(name, _) => job.params.get(name.trim()).map(super::cells::shown).unwrap_or_default(),
        template::Piece::Unclosed(_) => String::new(),
    });
    pieces.collect()
}

/// Orders paths so that all that lies in a folder follows the folder: `/` comes before every other byte.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).position(|(a, b)| a != b) {
        None => a.len().cmp(&b.len()),
        Some(at) => {
            let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
            rank(a[at]).cmp(&rank(b[at]))
        }
    }
}

/// Whether a path is another, or lies in it.
fn within(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}
