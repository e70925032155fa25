//! The order of a plan: needs before the needy, and else as in the text; only what the goals need.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::diagnostic::{Diagnostic, Span};
use crate::ids::JobId;

use super::graph::Needed;
use super::job::{Job, Plan};

/// So many jobs of a cycle are named.
const LONGEST: usize = 12;

/// Puts the wanted jobs into the plan.
pub(super) fn arrange(jobs: Vec<Job>, order: &[usize], wanted: &[bool], plan: &mut Plan) {
    let mut place = vec![JobId(usize::MAX); jobs.len()];
    let kept: Vec<usize> = order.iter().copied().filter(|job| wanted[*job]).collect();
    for (new, old) in kept.iter().enumerate() {
        place[*old] = JobId(new);
    }
    plan.jobs = if kept.iter().enumerate().all(|(new, old)| new == *old) && kept.len() == jobs.len() {
        jobs
    } else {
        let mut jobs: Vec<Option<Job>> = jobs.into_iter().map(Some).collect();
        kept.iter().filter_map(|old| jobs[*old].take()).collect()
    };
    plan.needed_by = vec![Vec::new(); plan.jobs.len()];
    for (new, job) in plan.jobs.iter_mut().enumerate() {
        let inputs = job.inputs.iter_mut().map(|input| &mut input.from);
        for ids in inputs.chain([&mut job.needs]) {
            for id in ids.iter_mut() {
                *id = place[id.0];
            }
            ids.sort_unstable();
            ids.dedup();
        }
        for need in &job.needs {
            plan.needed_by[need.0].push(JobId(new));
        }
    }
}

/// The first of the ready ones in the text comes first; none where there is a cycle.
pub(super) fn order(jobs: &[Job]) -> Option<Vec<usize>> {
    if jobs.iter().enumerate().all(|(at, job)| job.needs.iter().all(|need| need.0 < at)) {
        return Some((0..jobs.len()).collect());
    }
    let mut waiting: Vec<usize> = jobs.iter().map(|job| job.needs.len()).collect();
    let mut needy: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
    for (at, job) in jobs.iter().enumerate() {
        for need in &job.needs {
            needy[need.0].push(at);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, count)| **count == 0).map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(jobs.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for next in &needy[at] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.push(Reverse(*next));
            }
        }
    }
    (order.len() == jobs.len()).then_some(order)
}

/// The goals and all that they need.
pub(super) fn wanted(jobs: &[Job]) -> Vec<bool> {
    let mut wanted: Vec<bool> = jobs.iter().map(|job| job.goal).collect();
    let mut open: Vec<usize> = (0..jobs.len()).filter(|at| wanted[*at]).collect();
    while let Some(at) = open.pop() {
        for need in &jobs[at].needs {
            if !std::mem::replace(&mut wanted[need.0], true) {
                open.push(need.0);
            }
        }
    }
    wanted
}

/// A fault for every cycle: `a -> b -> a` says that `a` needs `b`.
pub(super) fn cycles(jobs: &[Job], needed: &[Needed], faults: &mut Vec<Diagnostic>) {
    let stuck = stuck(jobs);
    let next = |at: usize| jobs[at].needs.iter().map(|need| need.0).find(|need| stuck[*need]);
    let mut walk = vec![0; jobs.len()];
    for start in (0..jobs.len()).filter(|at| stuck[*at]) {
        let mut path = Vec::new();
        let mut at = start;
        while walk[at] == 0 {
            walk[at] = start + 1;
            path.push(at);
            let Some(to) = next(at) else { break };
            at = to;
        }
        let Some(first) = path.iter().position(|job| *job == at).filter(|_| walk[at] == start + 1) else { continue };
        let ring = &path[first..];
        let least = ring.iter().enumerate().min_by_key(|(_, job)| **job).map_or(0, |(place, _)| place);
        let ring: Vec<usize> = ring.iter().cycle().skip(least).take(ring.len()).copied().collect();
        faults.push(cycle(jobs, needed, &ring));
    }
}

fn cycle(jobs: &[Job], needed: &[Needed], ring: &[usize]) -> Diagnostic {
    let name = |at: usize| &jobs[at].name.0;
    let shown = &ring[..ring.len().min(LONGEST)];
    let mut drawn: Vec<&str> = shown.iter().map(|at| name(*at).as_str()).collect();
    if shown.len() < ring.len() {
        drawn.push("…");
    }
    drawn.extend(ring.first().map(|at| name(*at).as_str()));
    let message = format!("the experiments need each other: `{}`", drawn.join(" -> "));
    let mut places = shown.iter().enumerate().map(|(i, at)| {
        let to = ring.get(i + 1).or(ring.first()).copied().unwrap_or(*at);
        (edge(jobs, needed, *at, to), format!("`{}` needs `{}`", name(*at), name(to)))
    });
    let (span, label) = places.next().unwrap_or_default();
    let mut fault = Diagnostic::error("cycle", span, message, label);
    for (span, label) in places {
        if !fault.context.iter().any(|known| known.span == span) {
            fault = fault.with(span, label);
        }
    }
    fault
}

/// Where the text says that one job needs another.
fn edge(jobs: &[Job], needed: &[Needed], from: usize, to: usize) -> Span {
    let input = jobs[from].inputs.iter().find(|input| input.from.contains(&JobId(to))).map(|input| input.span.clone());
    let said = || needed.iter().find(|(job, need, _)| (*job, *need) == (from, to)).map(|(.., span)| span.clone());
    input.or_else(said).unwrap_or_else(|| jobs[from].span.clone())
}

/// The jobs that are on a cycle, or need one that is.
fn stuck(jobs: &[Job]) -> Vec<bool> {
    let mut waiting: Vec<usize> = jobs.iter().map(|job| job.needs.len()).collect();
    let mut needy: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
    for (at, job) in jobs.iter().enumerate() {
        job.needs.iter().for_each(|need| needy[need.0].push(at));
    }
    let mut free: Vec<usize> = (0..jobs.len()).filter(|at| waiting[*at] == 0).collect();
    let mut stuck = vec![true; jobs.len()];
    while let Some(at) = free.pop() {
        stuck[at] = false;
        for next in &needy[at] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                free.push(*next);
            }
        }
    }
    stuck
}
