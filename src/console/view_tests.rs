use super::*;
use crate::event::{Tally, TrialState};
use crate::ids::{JobName, RunId};
use crate::launch::Outcome;

const NAMES: [&str; 4] = ["prepare", "train[alpha=0.1]", "train[alpha=0.2]", "evaluate"];

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn view(jobs: usize, events: &[(u64, Event)]) -> View {
    let mut view = View::default();
    let (format, invocation, workspace, argv) = (1, String::new(), String::new(), vec![]);
    view.hear(&Event::InvocationStarted { format, invocation, workspace, argv, jobs, dry_run: false }, at(0));
    for (when, event) in events {
        view.hear(event, at(*when));
    }
    view
}

fn check(view: &View, now: u64, size: (usize, usize), expected: &str) {
    let frame = view.frame(at(now), size, Style::default(), |job| NAMES[job.0 % 4]);
    assert!(frame.len() <= size.1.saturating_sub(3).max(1), "{frame:?}");
    assert!(frame.iter().all(|line| width(line) < size.0.max(1)), "{frame:?}");
    let trimmed: Vec<&str> = frame.iter().map(|line| line.trim_end()).collect();
    assert_eq!(trimmed.join("\n"), expected.trim_matches('\n'));
}

fn run() -> RunId {
    RunId("0".repeat(32))
}

fn start(job: usize) -> Event {
    Event::JobStarted { job: JobId(job), run: run(), attempt: 1 }
}

fn say(job: usize, line: &str) -> Event {
    Event::JobOutput { job: JobId(job), stream: Stream::Output, line: line.into() }
}

fn end(job: usize) -> Event {
    let (log, tail) = (String::new(), vec![]);
    Event::JobFinished { job: JobId(job), run: run(), outcome: Outcome::Succeeded, elapsed_ms: 1, log, tail }
}

#[test]
fn reading_and_building_are_seen() {
    let mut events = vec![(1, Event::Measuring { files: 12, bytes: 1_572_864 })];
    check(&view(4, &events), 1, (80, 24), "reading 12 files, 1.5 MiB");
    events.push((2, Event::Measured { files: 12, hashed: 12, bytes: 1_572_864 }));
    events.push((2, Event::EnvironmentStarted { environment: "sklearn".into(), key: "k".into() }));
    check(
        &view(4, &events),
        3,
        (80, 24),
        "
environment `sklearn`    1 s  building
[>                   ] 0/4 jobs, 3 s
",
    );
    events.push((3, Event::EnvironmentOutput { environment: "sklearn".into(), line: "Installing\tnumpy".into() }));
    events.push((4, Event::EnvironmentOutput { environment: "sklearn".into(), line: " ".into() }));
    check(
        &view(4, &events),
        67,
        (80, 24),
        "
environment `sklearn`  1 min 05 s  Installing numpy
[>                   ] 0/4 jobs, 1 min 07 s
",
    );
    events.push((5, Event::EnvironmentReady { environment: "sklearn".into(), key: "k".into(), built: true }));
    check(&view(4, &events), 5, (80, 24), "[>                   ] 0/4 jobs, 5 s");
}

#[test]
fn resolving_and_bars_are_seen() {
    let resolving = Event::EnvironmentResolving { environment: "sklearn".into() };
    let mut events = vec![(2, resolving)];
    check(
        &view(1, &events),
        3,
        (80, 24),
        "
environment `sklearn`    1 s  resolving
[>                   ] 0/1 job, 3 s
",
    );
    events.push((5, Event::EnvironmentResolved { environment: "sklearn".into(), locked: true }));
    events.push((5, start(0)));
    events.push((6, Event::JobDrew { job: JobId(0), line: "42%|####      |".into() }));
    let seen = view(1, &events).frame(Duration::from_secs(6), (80, 24), Style::default(), |_| "fit").join("\n");
    assert!(seen.contains("42%|####") && !seen.contains("sklearn"), "{seen}");
}

#[test]
fn what_crosses_to_the_cache_is_seen_while_it_does() {
    let mut events = vec![(1, Event::CacheTraffic { sent: 0, received: 0, waiting: 0 })];
    check(&view(2, &events), 1, (80, 24), "[>                   ] 0/2 jobs, 1 s");
    events.push((2, Event::CacheTraffic { sent: 0, received: 3_145_728, waiting: 0 }));
    let bar = "[>                   ] 0/2 jobs";
    check(&view(2, &events), 3, (80, 24), &format!("cache  3.0 MiB received\n{bar}, 3 s"));
    check(&view(2, &events), 9, (80, 24), &format!("{bar}, 9 s"));
    events.push((9, Event::CacheTraffic { sent: 2048, received: 3_145_728, waiting: 2 }));
    let text = "cache  3.0 MiB received, 2.0 KiB sent, 2 runs to be shared";
    check(&view(2, &events), 99, (80, 24), &format!("{text}\n{bar}, 1 min 39 s"));
}

fn busy() -> View {
    view(
        4,
        &[
            (0, start(0)),
            (1, end(0)),
            (1, start(1)),
            (2, say(1, "epoch 1 \x1b[31mloss\x1b[0m 0.5")),
            (2, start(2)),
            (3, Event::JobWaiting { job: JobId(3), why: "another amlrun runs it".into() }),
        ],
    )
}

#[test]
fn running_jobs_show_their_time_and_last_line() {
    check(
        &busy(),
        12,
        (80, 24),
        "
train[alpha=0.1]   11 s  epoch 1 loss 0.5
train[alpha=0.2]   10 s
evaluate            9 s  waiting: another amlrun runs it
[=====>              ] 1/4 jobs, 2 running, 12 s
",
    );
}

#[test]
fn small_terminals_show_less() {
    check(
        &busy(),
        12,
        (30, 24),
        "
train[alpha=0.…   11 s  epoc…
train[alpha=0.…   10 s
evaluate           9 s  wait…
1/4 jobs, 2 running, 12 s
",
    );
    check(
        &busy(),
        12,
        (80, 6),
        "
train[alpha=0.1]   11 s  epoch 1 loss 0.5
and 2 more
[=====>              ] 1/4 jobs, 2 running, 12 s
",
    );
    check(
        &busy(),
        12,
        (80, 5),
        "
and 3 more
[=====>              ] 1/4 jobs, 2 running, 12 s
",
    );
    check(&busy(), 12, (80, 4), "[=====>              ] 1/4 jobs, 2 running, 12 s");
    check(&busy(), 12, (80, 1), "[=====>              ] 1/4 jobs, 2 running, 12 s");
    check(&busy(), 12, (1, 1), "");
}

#[test]
fn a_job_is_done_once() {
    let fresh = Verdict::Fresh { since: run(), repairs: vec![] };
    let judged = Event::JobJudged { job: JobId(1), verdict: fresh };
    let restored = Event::JobRestored { job: JobId(1), run: run(), outputs: vec![], aside: vec![] };
    let skipped = Event::JobSkipped { job: JobId(2), because: JobName("x".into()), needed: true };
    let view = view(4, &[(0, judged.clone()), (0, judged), (1, restored), (1, skipped)]);
    check(&view, 2, (80, 24), "[==========>         ] 2/4 jobs, 2 s");
}

#[test]
fn the_rest_is_guessed_when_some_runs_have_ended() {
    let mut events: Vec<(u64, Event)> = Vec::new();
    for job in 0..3 {
        events.push((10 + 10 * job as u64, start(job)));
        events.push((20 + 10 * job as u64, end(job)));
    }
    check(&view(9, &events), 40, (80, 24), "[======>             ] 3/9 jobs, 40 s, about 1 min 00 s left");
    check(&view(3, &events), 40, (80, 24), "[====================] 3/3 jobs, 40 s");
}

/// What was before it goes on is known from its first line on; of the jobs only the trials run.
#[test]
fn a_sweep_that_goes_on_shows_what_was_before() {
    let tally = Tally { failed: 1, stopped: 2, cached: 1, best: Some((4, 0.25)) };
    let sweep = Event::SweepStarted {
        job: JobId(1),
        sweep: String::new(),
        sampling: "random".into(),
        metric: "loss".into(),
        maximize: false,
        max_trials: Some(9),
        trial_timeout: None,
        known: 6,
        tally,
        reasons: vec![],
    };
    let ended = |number, objective, is_best| Event::TrialEnded {
        sweep: JobId(1),
        job: None,
        number,
        state: TrialState::Completed,
        objective: Some(objective),
        cached: false,
        why: None,
        is_best,
    };
    let mut events = vec![(1, sweep)];
    let line = "train[alpha=0.1]    1 s  6 of 9 trials, best loss 0.25 (trial 4), 1 failed, 2 stopped, 1 cached";
    check(&view(2, &events), 2, (100, 24), &format!("{line}\n[>                        ] 0/2 jobs, 2 s"));
    events.push((2, start(3)));
    events.push((3, ended(6, 0.5, false)));
    events.push((3, ended(7, 0.125, true)));
    let line = "train[alpha=0.1]    3 s  8 of 9 trials, best loss 0.125 (trial 7), 1 failed, 2 stopped, 1 cached";
    let frame = format!("{line}\nevaluate            2 s\n[>                        ] 0/2 jobs, 1 running, 4 s");
    check(&view(2, &events), 4, (100, 24), &frame);
}
