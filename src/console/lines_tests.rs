use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::clock::Timestamp;
use crate::event::{Ahead, Stream};
use crate::ids::{JobId, JobName, RunId};
use crate::relpath::RelPath;
use crate::staleness::{Reason, Repair, Verdict};

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn told(events: &[Event], options: Options) -> String {
    let text = Shared::default();
    let mut lines = Lines::new(Box::new(text.clone()), options);
    for (seq, event) in (0..).zip(events) {
        lines.hear(&Stamped { at: Timestamp(seq * 1000), seq, event: event.clone() });
    }
    drop(lines);
    let bytes = text.0.borrow().clone();
    String::from_utf8(bytes).unwrap()
}

fn check(events: &[Event], options: Options, expected: &str) {
    assert_eq!(told(events, options), expected.trim_start_matches('\n'));
}

fn run(n: u32) -> RunId {
    RunId(format!("{n:08x}000000000000000000000000"))
}

fn started(jobs: &[&str], dry_run: bool) -> Vec<Event> {
    let mut events = vec![Event::InvocationStarted {
        format: 1,
        invocation: "i".into(),
        workspace: "diabetes".into(),
        argv: vec![],
        jobs: jobs.len(),
        dry_run,
    }];
    events.extend(jobs.iter().enumerate().map(|(i, name)| Event::JobRegistered {
        job: JobId(i),
        name: JobName((*name).into()),
        needs: vec![],
        target: "local".into(),
    }));
    events
}

fn stale(job: usize, reasons: Vec<Reason>) -> Event {
    Event::JobJudged { job: JobId(job), verdict: Verdict::Stale { reasons } }
}

fn source(path: &str) -> Reason {
    Reason::SourceChanged { path: RelPath::new(path).unwrap(), was: Some("0".into()), is: Some("1".into()) }
}

fn output(job: usize, line: &str) -> Event {
    Event::JobOutput { job: JobId(job), stream: Stream::Output, line: line.into() }
}

fn finished(job: usize, outcome: Outcome, tail: &[&str]) -> Event {
    let log = if outcome == Outcome::Succeeded { String::new() } else { ".amlrun/runs/x/std_log.txt".into() };
    let tail = tail.iter().map(|line| (*line).to_owned()).collect();
    Event::JobFinished { job: JobId(job), run: run(7), outcome, elapsed_ms: 1234, log, tail }
}

fn a_run() -> Vec<Event> {
    let mut events = started(&["prepare", "train[alpha=0.1]", "evaluate", "report"], false);
    events.extend([
        Event::Measuring { files: 3, bytes: 4 },
        Event::Measured { files: 12, hashed: 3, bytes: 2048 },
        Event::EnvironmentStarted { environment: "sklearn".into(), key: "0123456789abcdef".into() },
        Event::EnvironmentOutput { environment: "sklearn".into(), line: "Installing numpy".into() },
        Event::EnvironmentReady { environment: "sklearn".into(), key: "0123".into(), built: true },
        Event::JobJudged {
            job: JobId(0),
            verdict: Verdict::Fresh {
                since: run(9),
                repairs: vec![Repair { path: RelPath::new("a").unwrap(), modified: false }],
            },
        },
        Event::JobRestored {
            job: JobId(0),
            run: run(9),
            outputs: vec![RelPath::new("a").unwrap(), RelPath::new("b").unwrap()],
            aside: vec![(RelPath::new("b").unwrap(), ".amlrun/aside/b".into())],
        },
        stale(1, vec![source("train.py")]),
        Event::JobStarted { job: JobId(1), run: run(7), attempt: 1 },
        output(1, "epoch 1 loss 0.5"),
        Event::JobOutput { job: JobId(1), stream: Stream::Log("m.log".into()), line: "x".into() },
        finished(1, Outcome::Succeeded, &["epoch 1 loss 0.5"]),
        stale(2, vec![Reason::NeverRan]),
        Event::JobStarted { job: JobId(2), run: run(8), attempt: 1 },
        Event::JobRetried { job: JobId(2), outcome: Outcome::Failed { code: 1 }, attempt: 1, delay_ms: 2000 },
        Event::JobStarted { job: JobId(2), run: run(8), attempt: 2 },
        output(2, "boom"),
        finished(2, Outcome::Failed { code: 3 }, &["boom"]),
        Event::JobSkipped { job: JobId(3), because: JobName("evaluate".into()), needed: true },
        Event::Warned { job: None, message: "one\ntwo".into() },
        Event::InvocationFinished {
            summary: Summary { ran: 1, restored: 1, failed: 1, skipped: 1, elapsed_ms: 3400, ..Summary::default() },
        },
    ]);
    events
}

#[test]
fn a_run_is_told_line_by_line() {
    check(
        &a_run(),
        Options::default(),
        "
environment `sklearn`: building (key 01234567)
sklearn | Installing numpy
environment `sklearn` ready after 2.0 s
prepare           restored 2 outputs from run 00000009
prepare           set aside: b was edited by hand; kept as .amlrun/aside/b
train[alpha=0.1]  stale: train.py changed
train[alpha=0.1]  started (run 00000007)
train[alpha=0.1]  | epoch 1 loss 0.5
train[alpha=0.1]  | [m.log] x
train[alpha=0.1]  done in 1.2 s
evaluate          stale: never ran
evaluate          started (run 00000008)
evaluate          attempt 1 failed: exit status 1; trying again in 2.0 s
evaluate          started again (run 00000008, attempt 2)
evaluate          | boom
evaluate          failed: exit status 3 after 1.2 s; log: .amlrun/runs/x/std_log.txt
report            skipped because `evaluate` failed
warning: one
  two
1 ran, 1 restored, 1 failed, 1 skipped in 3.4 s
",
    );
}

#[test]
fn quiet_tells_failures_and_the_last_line() {
    check(
        &a_run(),
        Options { quiet: true, ..Options::default() },
        "
evaluate          failed: exit status 3 after 1.2 s; log: .amlrun/runs/x/std_log.txt
evaluate          | boom
1 ran, 1 restored, 1 failed, 1 skipped in 3.4 s
",
    );
}

#[test]
fn on_a_terminal_only_what_is_over_stays() {
    check(
        &a_run(),
        Options { live: true, ..Options::default() },
        "
environment `sklearn` ready after 2.0 s
prepare           restored 2 outputs from run 00000009
prepare           set aside: b was edited by hand; kept as .amlrun/aside/b
train[alpha=0.1]  done in 1.2 s  (train.py changed)
evaluate          attempt 1 failed: exit status 1; trying again in 2.0 s
evaluate          failed: exit status 3 after 1.2 s; log: .amlrun/runs/x/std_log.txt
evaluate          | boom
report            skipped because `evaluate` failed
warning: one
  two
1 ran, 1 restored, 1 failed, 1 skipped in 3.4 s
",
    );
}

#[test]
fn a_failure_repeats_its_last_lines_where_others_spoke_since() {
    let mut events = started(&["a", "b"], false);
    events.extend([output(0, "boom"), output(1, "fine"), finished(0, Outcome::Failed { code: 127 }, &["boom"])]);
    check(
        &events,
        Options::default(),
        "
a  | boom
b  | fine
a  failed: exit status 127 (command not found) after 1.2 s; log: .amlrun/runs/x/std_log.txt
a  | boom
",
    );
}

#[test]
fn fresh_jobs_are_silent_without_v() {
    let mut events = started(&["a"], false);
    events.push(Event::JobJudged { job: JobId(0), verdict: Verdict::Fresh { since: run(1), repairs: vec![] } });
    events.push(Event::InvocationFinished { summary: Summary { fresh: 1, ..Summary::default() } });
    check(&events, Options::default(), "up to date (1 job)\n");
    let verbose = Options { verbose: true, ..Options::default() };
    check(&events, verbose, "workspace diabetes: 1 job\na  fresh (run 00000001)\nup to date (1 job)\n");
}

#[test]
fn a_dry_run_tells_what_would_happen() {
    let mut events = started(&["prepare", "train", "evaluate", "report"], true);
    let repairs = vec![Repair { path: RelPath::new("r.html").unwrap(), modified: true }];
    events.extend([
        stale(1, vec![Reason::NeverRan]),
        Event::JobWouldRun {
            job: JobId(1),
            reasons: vec![Reason::ParamChanged {
                name: "alpha".into(),
                was: Some("0.03".into()),
                is: Some("0.1".into()),
            }],
            trials: Some(Ahead { recorded: 12, cached: 3, failed: 1, stopped: 0, at_most: Some(28) }),
        },
        Event::JobWouldRun {
            job: JobId(2),
            reasons: vec![Reason::UpstreamMayChange { job: JobName("train".into()) }],
            trials: None,
        },
        Event::JobJudged { job: JobId(3), verdict: Verdict::Fresh { since: run(1), repairs } },
        Event::InvocationFinished {
            summary: Summary { would_run: 1, may_run: 1, restored: 1, fresh: 1, elapsed_ms: 5, ..Summary::default() },
        },
    ]);
    check(
        &events,
        Options::default(),
        "
train     would run: alpha 0.03 -> 0.1; 12 trials on record (3 cached, 1 failed), at most 28 to run
evaluate  may run: `train` runs first
report    would restore r.html from run 00000001 and set 1 edited output aside
1 would run, 1 may run, 1 to restore, 1 fresh
",
    );
}

#[test]
fn names_and_output_of_others_are_harmless() {
    let mut events = started(&["a\x1b[2J"], false);
    events.push(output(0, "\x1b[31mred\x1b[0m 10%\r20%"));
    events.push(Event::Warned { job: Some(JobId(0)), message: "\x07".into() });
    check(&events, Options::default(), "a\\u{1b}[2J  | 20%\na\\u{1b}[2J  warning: \n");
}

#[test]
fn the_last_line_counts() {
    let check = |summary: Summary, dry_run: bool, expected: &str| {
        let mut line = String::new();
        last_line(&mut line, &summary, dry_run);
        assert_eq!(line, format!("{expected}\n"));
    };
    let none = Summary::default();
    check(Summary { fresh: 3, elapsed_ms: 4, ..none }, false, "up to date (3 jobs)");
    check(Summary { fresh: 3, ..none }, true, "up to date (3 jobs)");
    check(Summary { fresh: 2, restored: 1, ..none }, false, "up to date (3 jobs, 1 restored)");
    check(Summary { restored: 1, ..none }, true, "up to date (1 job, 1 to restore)");
    check(
        Summary { ran: 2, restored: 1, fresh: 3, failed: 1, skipped: 1, elapsed_ms: 3400, ..none },
        false,
        "2 ran, 1 restored, 3 fresh, 1 failed, 1 skipped in 3.4 s",
    );
    check(
        Summary { ran: 1, canceled: 2, interrupted: true, elapsed_ms: 65_000, ..none },
        false,
        "interrupted: 1 ran, 2 canceled in 1 min 05 s",
    );
    check(Summary { interrupted: true, elapsed_ms: 10, ..none }, false, "interrupted: nothing ran in 10 ms");
    check(Summary { would_run: 2, may_run: 1, fresh: 1, ..none }, true, "2 would run, 1 may run, 1 fresh");
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut lines = Lines::new(Box::new(Gone), Options::default());
    for (seq, event) in (0..).zip(a_run()) {
        lines.hear(&Stamped { at: Timestamp(0), seq, event });
        lines.tick();
    }
    assert!(lines.to.is_none());
}
