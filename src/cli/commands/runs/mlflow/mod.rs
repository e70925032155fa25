//! `amlrun runs export --mlflow` and `runs import --mlflow`: runs to a real MLflow server, and from one or from an `mlruns`
//! folder onto the record.

mod export;
mod folder;
mod import;
mod register;
mod server;

use serde_json::{Value, json};

use super::Desk;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::surroundings::Surroundings;
use crate::console::{self, json as wire, words};
use crate::tracking::client::{Client, ClientError};

pub(super) use export::export;
pub(super) use import::import;
use register::Registered;

/// The tag that says which run of amlrun a run on a server is.
const RUN: &str = "amlrun.run";
/// The tag of a run within a run that says which run of amlrun that is.
const OF: &str = "amlrun.of";
/// The tag of a run within a run that says which one it is.
const CHILD: &str = "amlrun.child";
/// The tag that says that all of it was sent.
const SENT: &str = "amlrun.exported";

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let hint = match error.code.as_str() {
            "UNAUTHENTICATED" | "PERMISSION_DENIED" => {
                "MLFLOW_TRACKING_USERNAME and _PASSWORD, or MLFLOW_TRACKING_TOKEN, hold credentials"
            }
            _ => "is it an MLflow server, and is it up?",
        };
        Self::world(error).hint(hint)
    }
}

/// The server at an address.
fn client(address: &str, here: &Surroundings) -> Option<Client> {
    Client::new(address, &|name| here.variable(name).map(ToOwned::to_owned))
}

/// What became of one run.
#[derive(Default)]
struct Done {
    run: String,
    name: String,
    /// Its identity on the other side.
    other: Option<String>,
    /// None where it was moved; else why not.
    why_not: Option<String>,
    notes: Vec<String>,
    /// What became of its models.
    models: Vec<Registered>,
}

/// Tells what became of all of them.
fn tell(desk: &Desk<'_>, all: &[Done], done: &str, other: &str) -> Exit {
    if desk.json {
        let model = |it: &Registered| -> Value {
            json!({ "name": it.name, "version": it.version, "mlflow_version": it.other, done: it.why_not.is_none(), "why": it.why_not })
        };
        let row = |it: &Done| -> Value {
            let mut row = json!({ "run": it.run, "name": it.name, "mlflow_run": it.other, done: it.why_not.is_none(), "why": it.why_not, "notes": it.notes });
            if !it.models.is_empty() {
                row["models"] = it.models.iter().map(model).collect();
            }
            row
        };
        console::out(&wire::document(&all.iter().map(row).collect::<Vec<_>>()));
        return Exit::Done;
    }
    for it in all {
        let short = it.run.get(..8).unwrap_or(&it.run);
        match &it.why_not {
            None => console::err(&format!("{done} run {short} of {}", console::clean::clean(&it.name))),
            Some(why) => console::err(&format!("run {short} is left: {}", console::clean::clean(why))),
        }
        for note in &it.notes {
            console::err(&format!("note: run {short}: {}", console::clean::clean(note)));
        }
        for model in &it.models {
            let which = format!("version {} of model {}", model.version, words::name(&model.name));
            console::err(&match (&model.why_not, &model.other) {
                (Some(why), _) => format!("{which} is left: {}", console::clean::clean(why)),
                (None, number) => {
                    format!("{done} {which}: version {} there", number.as_deref().unwrap_or_default())
                }
            });
        }
    }
    let moved = all.iter().filter(|it| it.why_not.is_none()).count();
    let left = all.len() - moved;
    console::err(&format!("{done} {}{other}, {left} left", words::count(moved, "run")));
    Exit::Done
}
