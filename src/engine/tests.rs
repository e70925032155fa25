//! The engine against fakes: a target that computes, a store and a history in memory, a clock that moves when asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::drive::{Records, drive};
use super::interrupt::Interrupt;
use super::locks::Locks;
use super::{EngineError, Options, Work, World};
use crate::clock::{Clock, Timestamp};
use crate::environment::fake::Fake;
use crate::event::{Event, Listener, Stamped, Summary};
use crate::history::memory::MemoryHistory;
use crate::history::{History, Invocation, Query};
use crate::plan::{self, Request};
use crate::project::{self, Found};
use crate::schedule::Capacity;
use crate::store::memory::MemoryStore;
use crate::target::fake::FakeTarget;
use crate::tree::Ground;

/// Moves on by 50 ms whenever it is asked, so that an hour of retries takes no time.
#[derive(Default)]
struct Hasty(AtomicU64);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(50, Ordering::SeqCst))
    }
}

/// Remembers what it hears, shortly.
#[derive(Default)]
struct Heard(Vec<String>, Vec<String>);

impl Listener for Heard {
    fn hear(&mut self, event: &Stamped) {
        let job = |job: &crate::ids::JobId| self.1[job.0].clone();
        let text = match &event.event {
            Event::JobRegistered { name, .. } => {
                self.1.push(name.0.clone());
                return;
            }
            Event::JobStarted { job: id, attempt, .. } => format!("{} attempt {attempt}", job(id)),
            Event::JobFinished { job: id, outcome, .. } => format!("{} {outcome:?}", job(id)),
            Event::JobSkipped { job: id, because, .. } => format!("{} skipped because {because}", job(id)),
            Event::JobRestored { job: id, .. } => format!("{} restored", job(id)),
            Event::JobOutput { job: id, line, .. } => format!("{} says {line}", job(id)),
            _ => return,
        };
        self.0.push(text);
    }
}

struct Sandbox {
    folder: tempfile::TempDir,
    store: MemoryStore,
    history: MemoryHistory,
    target: FakeTarget,
    clock: Hasty,
}

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".amlrun")).unwrap();
        Self {
            folder,
            store: MemoryStore::new(),
            history: MemoryHistory::default(),
            target: FakeTarget::default(),
            clock: Hasty::default(),
        }
    }

    fn write(&self, path: &str, text: &str) {
        use std::io::Write as _;
        std::fs::File::create(self.folder.path().join(path)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join(path)).ok()
    }

    fn run(&self, amlfile: &str, keep_going: bool) -> (Result<Summary, EngineError>, Vec<String>) {
        let source = crate::diagnostic::Source { name: "Amlfile".to_owned(), text: format!("format = 1\n{amlfile}") };
        let (document, faults) = crate::amlfile::parse(&source);
        assert!(faults.is_empty(), "{faults:?}");
        let (project, faults) = project::resolve(&document, "sandbox", &|_| Found::File);
        assert!(!crate::diagnostic::any_error(&faults), "{faults:?}");
        let root: PathBuf = self.folder.path().canonicalize().unwrap();
        let (plan, faults) = plan::build(&project, &Request::default(), root.clone());
        assert!(!crate::diagnostic::any_error(&faults), "{faults:?}");
        let state = root.join(".amlrun");
        let ground = Ground::open(&root, &state);
        let environments = Fake::default();
        let locks = Locks::new(&state);
        let variables = BTreeMap::new();
        let world = World {
            clock: &self.clock,
            root: &root,
            state: &state,
            ground: &ground,
            store: &self.store,
            environments: &environments,
            local: &self.target,
            shared: None,
            tracking: None,
            remotes: &BTreeMap::new(),
            locks: &locks,
            variables: &variables,
        };
        let invocation = Invocation {
            id: uuid::Uuid::new_v4().simple().to_string(),
            started: self.clock.now(),
            argv: Vec::new(),
            version: String::new(),
            host: String::new(),
            user: String::new(),
            properties: BTreeMap::new(),
        };
        let machine = Capacity { cpus: 2, gpus: 0, memory: u64::MAX };
        let options =
            Options { machine, keep_going, force: false, program: None, detach: false, attach: false, resume: false };
        let properties = || BTreeMap::new();
        let records =
            Records { reader: &self.history, writer: Box::new(self.history.clone()), properties: &properties };
        let mut heard = Heard::default();
        let work = Work::new(&plan, &project);
        let summary = drive(work, &world, records, &invocation, &options, &Interrupt::default(), &mut [&mut heard]);
        (summary.map(|driven| driven.summary), heard.0)
    }
}

const CHAIN: &str = r#"
[experiments.one]
command = "write a 1; say made"
sources = []
inputs = ["in"]
outputs = ["a"]
[experiments.two]
command = "write b 2"
sources = []
inputs = ["a"]
outputs = ["b"]
"#;

#[test]
fn runs_once_is_fresh_and_stops_early_where_the_bytes_are_the_same() {
    let sandbox = Sandbox::new();
    sandbox.write("in", "x");
    let (summary, heard) = sandbox.run(CHAIN, false);
    assert_eq!(summary.unwrap().ran, 2);
    assert_eq!(heard, ["one attempt 1", "one says made", "one Succeeded", "two attempt 1", "two Succeeded"]);
    assert_eq!(sandbox.read("b").as_deref(), Some("2"));
    let (summary, heard) = sandbox.run(CHAIN, false);
    assert_eq!((summary.unwrap().fresh, heard.len()), (2, 0));
    sandbox.write("in", "y");
    let (summary, _) = sandbox.run(CHAIN, false);
    let summary = summary.unwrap();
    assert_eq!((summary.ran, summary.fresh), (1, 1), "`one` gave the same bytes again, so `two` is fresh");
}

#[test]
fn a_missing_output_is_restored_and_a_lost_one_made_again() {
    let sandbox = Sandbox::new();
    sandbox.write("in", "x");
    sandbox.run(CHAIN, false).0.unwrap();
    std::fs::remove_file(sandbox.folder.path().join("b")).unwrap();
    let (summary, heard) = sandbox.run(CHAIN, false);
    assert_eq!((summary.unwrap().restored, heard), (1, vec!["two restored".to_owned()]));
    std::fs::remove_file(sandbox.folder.path().join("b")).unwrap();
    assert!(sandbox.store.lose(&crate::digest::Digest::of(b"2")));
    assert_eq!(sandbox.run(CHAIN, false).0.unwrap().ran, 1);
    assert_eq!(sandbox.read("b").as_deref(), Some("2"));
}

#[test]
fn a_failure_is_retried_recorded_and_takes_its_dependents_with_it() {
    let sandbox = Sandbox::new();
    let amlfile = r#"
[experiments.bad]
command = "write a 1; exit 3"
sources = []
outputs = ["a"]
retries = 2
[experiments.needy]
command = "write b 1"
sources = []
inputs = ["a"]
outputs = ["b"]
[experiments.other]
command = "write c 1"
sources = []
outputs = ["c"]
"#;
    let (summary, heard) = sandbox.run(amlfile, true);
    let summary = summary.unwrap();
    assert_eq!((summary.ran, summary.failed, summary.skipped), (1, 1, 1));
    assert!(
        heard.contains(&"bad attempt 3".to_owned()) && heard.contains(&"needy skipped because bad".to_owned()),
        "{heard:?}"
    );
    assert_eq!(sandbox.read("a"), None, "a failed run publishes nothing");
    let failed = Query { status: Some("Failed".to_owned()), ..Query::default() };
    assert_eq!(sandbox.history.runs(&failed).unwrap().len(), 3);
}

#[test]
fn an_output_that_was_not_written_is_a_failure() {
    let sandbox = Sandbox::new();
    let (summary, heard) =
        sandbox.run("[experiments.x]\ncommand = \"say hi\"\nsources = []\noutputs = [\"o\"]\n", false);
    assert_eq!(summary.unwrap().failed, 1);
    assert!(heard.iter().any(|line| line.contains("the declared output `o` was not written")), "{heard:?}");
}

#[test]
fn an_input_that_nobody_makes_stops_everything_before_it_begins() {
    let sandbox = Sandbox::new();
    let (summary, heard) = sandbox.run(CHAIN, false);
    assert!(matches!(summary, Err(EngineError::InputsMissing(missing)) if missing.len() == 1));
    assert!(heard.is_empty());
}

#[test]
fn an_output_in_the_way_that_no_run_made_is_set_aside() {
    let sandbox = Sandbox::new();
    sandbox.write("in", "x");
    sandbox.write("a", "precious");
    sandbox.run(CHAIN, false).0.unwrap();
    let aside = std::fs::read_dir(sandbox.folder.path().join(".amlrun/aside")).unwrap().next().unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(aside.path().join("a")).unwrap(), "precious");
    assert_eq!(sandbox.read("a").as_deref(), Some("1"));
}
