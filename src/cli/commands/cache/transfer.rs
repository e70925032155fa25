//! `amlrun cache push` and `pull`.

use serde::Serialize;

use super::{cache_error, needed};
use crate::cache::Fault;
use crate::cli::assemble::{self, Parts};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::{CacheOptions, Common, PlanOptions};
use crate::cli::shared::Chosen;
use crate::cli::surroundings::Surroundings;
use crate::clock::SystemClock;
use crate::console::{self, json, progress, words};
use crate::engine::recover;
use crate::engine::sharing::by_hand::{self, Found};
use crate::engine::sharing::line::differs;
use crate::engine::sharing::push::Pushed;
use crate::engine::telling::Teller;
use crate::engine::{Work, World};
use crate::history::History as _;
use crate::ids::RunId;
use crate::project::model::CacheMode;

/// What came of a transfer.
#[derive(Debug, Default, Serialize)]
struct Report {
    cache: String,
    jobs: Vec<Told>,
    sent: u64,
    received: u64,
    requests: u64,
}

#[derive(Debug, Serialize)]
struct Told {
    job: String,
    /// `pulled`, `pushed`, `there`, `differs`, `not-shared`, `fresh`, `stale` or `unknown`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Told {
    fn new(job: &str, state: &'static str, run: Option<&RunId>, why: Option<String>) -> Self {
        Self { job: job.to_owned(), state, run: run.map(|run| run.0.clone()), why }
    }
}

/// A folder for what is not complete, held as an invocation's so that nobody clears it away, and cleared when it is over.
struct Scratch<'w> {
    world: &'w World<'w>,
    invocation: String,
}

impl<'w> Scratch<'w> {
    fn new(world: &'w World<'w>, invocation: &str) -> Self {
        let _ = world.locks.try_lock(&recover::invocation_key(invocation));
        Self { world, invocation: invocation.to_owned() }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.world.state.join("work").join(&self.invocation).join("cache")
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        recover::remove_work(&self.world.state.join("work").join(&self.invocation));
    }
}

/// Takes what the cache has for jobs that are stale here.
pub(super) fn pull(
    plan: &PlanOptions,
    options: &CacheOptions,
    common: &Common,
    here: &Surroundings,
) -> Result<Exit, CliError> {
    transfer(plan, options, common, here, false)
}

/// Puts the runs that jobs are fresh by into the cache.
pub(super) fn push(
    plan: &PlanOptions,
    options: &CacheOptions,
    common: &Common,
    here: &Surroundings,
) -> Result<Exit, CliError> {
    transfer(plan, options, common, here, true)
}

fn transfer(
    plan: &PlanOptions,
    options: &CacheOptions,
    common: &Common,
    here: &Surroundings,
    pushes: bool,
) -> Result<Exit, CliError> {
    let (loaded, chosen, _) = needed(options, common, here)?;
    if pushes && chosen.mode != CacheMode::ReadWrite {
        return Err(read_only(&chosen));
    }
    let plan = loaded.plan(plan, here)?;
    let clock = SystemClock::new();
    let mut parts = Parts::new(&loaded, &plan, here, &clock)?;
    parts.share_by(&chosen);
    parts.make_state()?;
    let (world, invocation) = (parts.world(), assemble::invocation(here, &loaded, &clock));
    let Some(sharing) = world.shared else { return Ok(Exit::Done) };
    let scratch = Scratch::new(&world, &invocation.id);
    let (work, reader) = (Work::new(&plan, &loaded.project), parts.history(true));
    let mut writer = parts.history(true);
    let mut listener = console::listener(assemble::choice(&Common { json: false, ..common.clone() }, here, false));
    let mut listeners: [&mut dyn crate::event::Listener; 1] = [&mut *listener];
    let mut teller = Teller::new(&clock, &mut listeners);
    let folder = scratch.folder();
    let failed = |error| assemble::engine_error(error, &loaded, &plan);
    if !pushes {
        let alive = |id: &str| recover::alive(&world, id);
        writer.begin(&invocation, &alive)?;
    }
    let pulls = (!pushes).then_some((sharing, &mut writer as &mut dyn crate::history::History, folder.as_path()));
    let shown = here.terminal && !common.quiet && !common.json;
    let crossed = || {
        let traffic = sharing.remote.traffic();
        let (sent, received) = (words::bytes(traffic.sent), words::bytes(traffic.received));
        format!("{}  {received} received, {sent} sent", sharing.remote.address())
    };
    let look = || by_hand::look(work, &world, &reader, pulls, &mut teller);
    let found = progress::beside(shown, crossed, look).map_err(failed)?;
    let mut report = Report { cache: sharing.remote.address().to_owned(), ..Report::default() };
    let mut problem = None;
    if pushes {
        let runs: Vec<RunId> = found
            .iter()
            .filter_map(|found| if let Found::Here(run) = found { Some(run.clone()) } else { None })
            .collect();
        let share = || by_hand::share(sharing, &world, &reader, &folder, &runs);
        match progress::beside(shown, crossed, share) {
            Ok(all) => report.jobs = told_pushed(&plan, &found, &all),
            Err(why) => problem = Some(why),
        }
    } else {
        report.jobs = plan.jobs.iter().zip(&found).map(|(job, found)| told(&job.name.0, found)).collect();
    }
    let traffic = sharing.remote.traffic();
    (report.sent, report.received, report.requests) = (traffic.sent, traffic.received, traffic.requests);
    let warnings = sharing.warnings();
    sharing.save();
    for warning in &warnings {
        console::err(&format!("warning: {warning}"));
    }
    if let Some(why) = problem {
        // That the cache was given up has been told.
        let is_told = !warnings.is_empty();
        return Err(if is_told {
            CliError::told(Exit::World)
        } else {
            cache_error(&sharing.remote, &Fault::Down(why))
        });
    }
    tell(&report, common, pushes);
    Ok(if sharing.remote.is_closed() || (pushes && sharing.remote.is_read_only()) { Exit::World } else { Exit::Done })
}

pub(super) fn read_only(chosen: &Chosen) -> CliError {
    let error = CliError::usage(format!("the cache {} is only to be read here", chosen.address));
    if chosen.fork {
        error.hint("this is the pull request of a fork, which may be anybody's; `--cache-mode read-write` allows it")
    } else {
        error.hint("`--cache-mode read-write` allows it")
    }
}

fn told(job: &str, found: &Found) -> Told {
    match found {
        Found::Here(run) => Told::new(job, "fresh", Some(run), None),
        Found::Came(run, whose) => Told::new(job, "pulled", Some(run), Some(format!("run of {whose}"))),
        Found::Stale => Told::new(job, "stale", None, None),
        Found::Unknown => Told::new(job, "unknown", None, Some("it depends on what is not there yet".to_owned())),
    }
}

fn told_pushed(plan: &crate::plan::job::Plan, found: &[Found], pushed: &[(RunId, Pushed)]) -> Vec<Told> {
    let of = |(job, found): (&crate::plan::job::Job, &Found)| {
        let Found::Here(run) = found else { return told(&job.name.0, found) };
        match pushed.iter().find(|(of, _)| of == run).map(|(_, pushed)| pushed) {
            Some(Pushed::New) => Told::new(&job.name.0, "pushed", Some(run), None),
            Some(Pushed::There) => Told::new(&job.name.0, "there", Some(run), None),
            Some(Pushed::Differs { outputs, run: other, whose }) => {
                Told::new(&job.name.0, "differs", Some(run), Some(differs(outputs, other, whose)))
            }
            Some(Pushed::Not(why)) => Told::new(&job.name.0, "not-shared", Some(run), Some(why.clone())),
            None => told(&job.name.0, found),
        }
    };
    plan.jobs.iter().zip(found).map(of).collect()
}

fn tell(report: &Report, common: &Common, pushes: bool) {
    if common.json {
        console::out(&json::document(report));
        return;
    }
    let count = |state: &str| report.jobs.iter().filter(|told| told.state == state).count();
    for told in &report.jobs {
        let name = console::clean::clean(&told.job);
        let run = told.run.as_ref().map_or("", |run| run.get(..8).unwrap_or(run));
        let why = told.why.as_deref().map_or_else(String::new, |why| format!(": {}", console::clean::clean(why)));
        match told.state {
            "pulled" | "pushed" if !common.quiet => console::err(&format!("{name}  {} (run {run}){why}", told.state)),
            "differs" | "not-shared" => console::err(&format!("{name}  warning{why}")),
            state if common.verbose => console::err(&format!("{name}  {state}{why}")),
            _ => {}
        }
    }
    let (moved, word) = if pushes { (count("pushed"), "pushed") } else { (count("pulled"), "pulled") };
    let mut parts = vec![format!("{moved} {word}")];
    let others = [
        ("there", "there already"),
        ("fresh", "fresh"),
        ("differs", "with another result"),
        ("not-shared", "not shared"),
        ("stale", "stale"),
        ("unknown", "not known yet"),
    ];
    for (state, phrase) in others {
        let n = count(state);
        if n > 0 {
            parts.push(format!("{n} {phrase}"));
        }
    }
    let bytes = if pushes { report.sent } else { report.received };
    console::err(&format!(
        "{}; {} in {}",
        parts.join(", "),
        words::bytes(bytes),
        words::count(usize::try_from(report.requests).unwrap_or_default(), "request")
    ));
}
