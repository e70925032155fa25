//! Versions of the register of models to an MLflow server: each is tied there to the run that made it, by the files that were
//! sent with that.
//!
//! Numbers are the server's own. A tag says which version of amlrun's register one is, and another one that all of it was
//! sent: what was cut short is finished, what is whole is left alone, with whatever became of its aliases there.

use serde_json::{Value, json};

use super::export::text;
use super::{RUN, SENT};
use crate::cli::error::CliError;
use crate::content::Kind;
use crate::history::models::Version;
use crate::tracking::client::{Client, ClientError, served};
use crate::tracking::{ARTIFACTS, CHILDREN};

/// The tag that says which version of the register one is.
const VERSION: &str = "amlrun.version";
/// The tag that says which file of its folder one is.
const FILE: &str = "amlrun.file";

/// What became of a version.
pub(super) struct Registered {
    /// The model.
    pub(super) name: String,
    /// Its number here.
    pub(super) version: u32,
    /// Its number there.
    pub(super) other: Option<String>,
    /// None where it was sent; else why not.
    pub(super) why_not: Option<String>,
}

/// Registers a version whose run is there as `run`.
pub(super) fn register(client: &Client, version: &Version, run: &str) -> Result<Registered, CliError> {
    let (other, why_not) = match send(client, version, run) {
        Ok(Sent::Now(number)) => (Some(number), None),
        Ok(Sent::Before(number)) => (Some(number), Some("it is there already".to_owned())),
        Ok(Sent::Not(why)) => (None, Some(why)),
        // The server's rules for names, numbers and aliases are its own; the other versions do not suffer from them.
        Err(error) if error.code == "INVALID_PARAMETER_VALUE" => (None, Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    Ok(Registered { name: version.name.clone(), version: version.version, other, why_not })
}

enum Sent {
    /// Under this number.
    Now(String),
    /// It was there before, under this number.
    Before(String),
    Not(String),
}

fn send(client: &Client, version: &Version, run: &str) -> Result<Sent, ClientError> {
    let own = format!("{}.{}", version.run.0, version.version);
    let filter = format!("tags.`{VERSION}` = '{own}'");
    let found = client.get("model-versions/search", &[("filter", &filter), ("max_results", "1000")])?;
    let found = found.get("model_versions").and_then(Value::as_array).into_iter().flatten();
    // One run may have made the same number of several models.
    let there = found.clone().find(|there| text(there, "/name") == version.name);
    let number = match there {
        Some(there) => {
            let number = text(there, "/version");
            let tags = there.get("tags").and_then(Value::as_array);
            if tags.into_iter().flatten().any(|tag| text(tag, "/key") == SENT) {
                return Ok(Sent::Before(number));
            }
            number
        }
        None => match source(client, version, run)? {
            Ok(source) => create(client, version, &source, &own)?,
            Err(why) => return Ok(Sent::Not(why)),
        },
    };
    let name = &version.name;
    for alias in &version.aliases {
        client.post("registered-models/alias", &json!({ "name": name, "alias": alias, "version": number }))?;
    }
    let done = json!({ "name": name, "version": number, "key": SENT, "value": "true" });
    client.post("model-versions/set-tag", &done)?;
    Ok(Sent::Now(number))
}

/// Where files lie there.
struct Source {
    /// The run that has them.
    run: String,
    uri: String,
    /// Which file there, where it is a file.
    file: Option<String>,
}

fn create(client: &Client, version: &Version, source: &Source, own: &str) -> Result<String, ClientError> {
    let name = &version.name;
    match client.post("registered-models/create", &json!({ "name": name })) {
        Err(error) if error.code != "RESOURCE_ALREADY_EXISTS" => return Err(error),
        _ => {}
    }
    let given = version.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let tags = given.chain([(VERSION, own), (RUN, &version.run.0)]);
    let tags = tags.chain(source.file.as_deref().map(|file| (FILE, file)));
    let tags: Vec<Value> = tags.map(|(key, value)| json!({ "key": key, "value": value })).collect();
    let asked = json!({ "name": name, "source": source.uri, "run_id": source.run, "tags": tags });
    Ok(text(&client.post("model-versions/create", &asked)?, "/model_version/version"))
}

/// Where the files of a version lie there, among what was sent with its run or with a run within that; or why nowhere.
fn source(client: &Client, version: &Version, run: &str) -> Result<Result<Source, String>, ClientError> {
    let Some(content) = &version.content else {
        return Ok(Err(format!("its run left nothing at `{}`", version.path)));
    };
    let path = content.path.to_string();
    let parts: Vec<&str> = path.split('/').collect();
    let (of, mut rest) = match parts.as_slice() {
        [CHILDREN, id, rest @ ..] => (within(client, version, run, id)?, rest.to_vec()),
        [ARTIFACTS, rest @ ..] | rest => (Some(run.to_owned()), rest.to_vec()),
    };
    // MLflow's clients take a version for a folder, and find nothing at a file.
    let is_folder = content.content().is_some_and(|content| content.kind == Kind::Folder);
    let file = if is_folder { None } else { rest.pop().map(ToOwned::to_owned) };
    let Some(of) = of else { return Ok(Err(format!("the run within the run that left `{path}` is not there"))) };
    let uri = text(&client.get("runs/get", &[("run_id", &of)])?, "/run/info/artifact_uri");
    if served(&uri).is_none() {
        return Ok(Err(format!("its files are not sent: the server leaves them to its clients, at {uri}")));
    }
    let uri = [&[uri.trim_end_matches('/')], rest.as_slice()].concat().join("/");
    Ok(Ok(Source { run: of, uri, file }))
}

/// The run there that a run within the run is.
fn within(client: &Client, version: &Version, run: &str, id: &str) -> Result<Option<String>, ClientError> {
    let experiment = text(&client.get("runs/get", &[("run_id", run)])?, "/run/info/experiment_id");
    let filter = format!("tags.\"{}\" = '{}'", super::OF, version.run.0);
    let asked = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 1000 });
    let found = client.post("runs/search", &asked)?;
    let is_it = |tag: &Value| text(tag, "/key") == super::CHILD && text(tag, "/value") == id;
    let mut runs = found.get("runs").and_then(Value::as_array).into_iter().flatten();
    let it = runs.find(|run| run.pointer("/data/tags").and_then(Value::as_array).into_iter().flatten().any(is_it));
    Ok(it.map(|run| text(run, "/info/run_id")))
}
