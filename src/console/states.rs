//! What `amlrun status` and `amlrun why` answer: one value per job, from which text and JSON are made.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::event::Ahead;
use crate::ids::{JobName, RunId};
use crate::staleness::{Reason, Verdict};

use super::style::{Paint, Style};
use super::sweeps;
use super::table::{Cell, Table};
use super::verdicts::{self, Places};
use super::words;

/// The last run of a job, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastRun {
    /// The run.
    pub run: RunId,
    /// Its status, as in `Completed`.
    pub status: String,
    /// When it began.
    pub started: Timestamp,
    /// What it took, where it ended.
    pub elapsed_ms: Option<u64>,
}

/// One job's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The job.
    pub job: JobName,
    /// Fresh or stale.
    pub verdict: Verdict,
    /// Places in the Amlfile, one per reason.
    pub places: Vec<Option<String>>,
    /// The last run on record.
    pub last: Option<LastRun>,
    /// Of a sweep: what is known of its trials.
    pub trials: Option<Ahead>,
}

impl State {
    /// A state, with the places of its reasons looked up.
    #[must_use]
    pub fn new(job: JobName, verdict: Verdict, last: Option<LastRun>, places: Places<'_>) -> Self {
        let places = reasons(&verdict).iter().map(places).collect();
        Self { job, verdict, places, last, trials: None }
    }

    /// The same of a sweep, with what is known of its trials.
    #[must_use]
    pub fn with_trials(self, trials: Option<Ahead>) -> Self {
        Self { trials, ..self }
    }

    /// Whether a run would do something for this job: run it, perhaps run it, or restore an output.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(&self.verdict, Verdict::Fresh { repairs, .. } if repairs.is_empty())
    }

    /// The wire form. It is public: a reason is that of the events, with its `text` and, where there is one, its `place`.
    #[must_use]
    pub fn json(&self) -> Value {
        let reasons: Vec<Value> = reasons(&self.verdict)
            .iter()
            .zip(self.places.iter().chain(std::iter::repeat(&None)))
            .map(|(reason, place)| {
                let mut value = serde_json::to_value(reason).unwrap_or_default();
                value["text"] = verdicts::phrase(reason).into();
                if let Some(place) = place {
                    value["place"] = place.as_str().into();
                }
                value
            })
            .collect();
        let mut value =
            json!({ "job": self.job, "verdict": word(&self.verdict), "reasons": reasons, "last": self.last });
        if let Some(trials) = &self.trials {
            value["trials"] = serde_json::to_value(trials).unwrap_or_default();
        }
        if let Verdict::Fresh { since, repairs } = &self.verdict {
            value["since"] = since.0.as_str().into();
            value["repairs"] = serde_json::to_value(repairs).unwrap_or_default();
        }
        value
    }
}

fn reasons(verdict: &Verdict) -> &[Reason] {
    match verdict {
        Verdict::Fresh { .. } => &[],
        Verdict::Stale { reasons } | Verdict::MayRun { reasons } => reasons,
    }
}

/// As the wire form of [`Verdict`] has it.
fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Fresh { .. } => "fresh",
        Verdict::Stale { .. } => "stale",
        Verdict::MayRun { .. } => "may-run",
    }
}

/// All states as JSON: `{"jobs": […], "fresh": 1, "stale": 2, "may_run": 0}`, and what goes on elsewhere, where anything
/// does.
#[must_use]
pub fn states_json(states: &[State], elsewhere: &[Value]) -> String {
    let count = |wanted| states.iter().filter(|state| word(&state.verdict) == wanted).count();
    let mut all = json!({
        "jobs": states.iter().map(State::json).collect::<Vec<_>>(),
        "fresh": count("fresh"),
        "stale": count("stale"),
        "may_run": count("may-run"),
    });
    if !elsewhere.is_empty() {
        all["elsewhere"] = elsewhere.into();
    }
    super::json::document(&all)
}

/// `amlrun status`: a row per job and a line of counts. `columns` is the terminal's width, if it goes to one; `verbose`
/// tells every reason.
#[must_use]
pub fn status_table(states: &[State], style: Style, columns: Option<usize>, verbose: bool) -> String {
    let mut table = Table::new(&["JOB", "STATE", "LAST RUN", "WHY"]);
    for state in states {
        let (shown, paint) = shown(state);
        let last = state.last.as_ref().map(|last| format!("{} {}", last.run.short(), last.status));
        table.row([
            Cell::from(&state.job.0),
            Cell::painted(shown, paint),
            Cell::from(last.as_deref().unwrap_or("-")),
            Cell::from(why_short(state, if verbose { usize::MAX } else { 2 })),
        ]);
    }
    let mut text = table.render(style, if verbose { None } else { columns });
    let count = |wanted: &str| states.iter().filter(|state| shown_word(state) == wanted).count();
    let counts: Vec<String> = ["stale", "may run", "to restore", "fresh"]
        .into_iter()
        .map(|wanted| (count(wanted), wanted))
        .filter(|(n, _)| *n > 0)
        .map(|(n, wanted)| format!("{n} {wanted}"))
        .collect();
    if states.iter().all(State::is_settled) {
        let _ = writeln!(text, "up to date ({})", words::count(states.len(), "job"));
    } else {
        let _ = writeln!(text, "{}", counts.join(", "));
    }
    text
}

fn shown_word(state: &State) -> &'static str {
    match &state.verdict {
        Verdict::Fresh { repairs, .. } if !repairs.is_empty() => "to restore",
        Verdict::Fresh { .. } => "fresh",
        Verdict::Stale { .. } => "stale",
        Verdict::MayRun { .. } => "may run",
    }
}

fn shown(state: &State) -> (&'static str, Paint) {
    match shown_word(state) {
        "fresh" => ("fresh", Paint::Good),
        other => (other, Paint::Caution),
    }
}

fn why_short(state: &State, limit: usize) -> String {
    match &state.verdict {
        Verdict::Fresh { repairs, .. } => repairs
            .iter()
            .map(|repair| format!("{} {}", words::path(&repair.path), repaired(repair.modified)))
            .collect::<Vec<_>>()
            .join("; "),
        Verdict::Stale { reasons } | Verdict::MayRun { reasons } => {
            let reasons = verdicts::joined(reasons, limit);
            let trials = state.trials.as_ref().and_then(sweeps::ahead);
            trials.map_or(reasons.clone(), |trials| format!("{reasons}; {trials}"))
        }
    }
}

fn repaired(modified: bool) -> &'static str {
    if modified { "was edited by hand" } else { "is missing" }
}

/// `amlrun why`: every reason of one job, with was, is and the place in the Amlfile.
#[must_use]
pub fn why_text(state: &State, style: Style) -> String {
    let (shown, paint) = shown(state);
    let mut text = String::new();
    style.push(&mut text, Paint::Bold, &super::clean::clean(&state.job.0));
    text.push_str(" is ");
    let verb = match shown {
        "may run" => "perhaps stale",
        "to restore" => "fresh",
        other => other,
    };
    style.push(&mut text, paint, verb);
    match &state.verdict {
        Verdict::Fresh { since, repairs } => {
            let _ = writeln!(text, ": nothing that its result depends on changed since run {}", since.short());
            for repair in repairs {
                let aside = if repair.modified { "; it will be set aside and" } else { "; it will be" };
                let path = words::path(&repair.path);
                let _ = writeln!(text, "  output {path} {}{aside} restored", repaired(repair.modified));
            }
        }
        Verdict::Stale { reasons } | Verdict::MayRun { reasons } => {
            text.push_str(":\n");
            for (reason, place) in reasons.iter().zip(state.places.iter().chain(std::iter::repeat(&None))) {
                let lookup = |_: &Reason| place.clone();
                let _ = writeln!(text, "  {}", verdicts::placed(reason, &lookup));
                if let Reason::CommandChanged { was, is } = reason {
                    let _ = writeln!(text, "    was: {}\n    is:  {}", whole(was), whole(is));
                }
            }
        }
    }
    if let Some(trials) = state.trials.as_ref().filter(|_| !state.is_settled()).and_then(sweeps::ahead) {
        let _ = writeln!(text, "  {trials}");
    }
    if let Some(last) = &state.last {
        let _ =
            write!(text, "  last run: {} {}, {}", last.run.short(), super::clean::clean(&last.status), last.started);
        if let Some(ms) = last.elapsed_ms {
            text.push_str(", took ");
            words::push_duration(&mut text, ms);
        }
        text.push('\n');
    }
    text
}

/// A command of a fingerprint as one could type it.
fn whole(command: &[String]) -> String {
    match command.split_first() {
        Some((kind, [text])) if kind == "shell" => super::clean::clean(text).into_owned(),
        Some((_, words)) => words::command(words),
        None => String::new(),
    }
}

#[cfg(test)]
#[path = "states_tests.rs"]
mod tests;
