//! Traces, as the clients of MLflow 3 send them when a traced call is over. They are artifacts of the run: what is known of one
//! lies at `traces/ID/trace_info.json`, and its spans beside that, where the client puts them.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Answered, Asked, Wrong, experiment_id, text};

/// The folder among the run's artifacts.
const TRACES: &str = "traces";
/// What is known of a trace.
const INFO: &str = "trace_info.json";
/// The tag by which a client knows where the spans go.
const LOCATION: &str = "mlflow.artifactLocation";

/// The folder of a trace. Its identity is the client's own word.
fn folder(asked: &Asked<'_>, id: &str) -> Result<PathBuf, Wrong> {
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !is_plain || id.is_empty() || id.len() > 100 {
        return Err(Wrong::invalid("Invalid trace ID"));
    }
    Ok(asked.live.about.folder.artifacts(None).join(TRACES).join(id))
}

/// `POST traces`: one that is over.
pub(super) fn start(asked: &Asked<'_>) -> Answered {
    let told = asked.fields.get("trace").and_then(|trace| trace.get("trace_info"));
    let Some(Value::Object(mut info)) = told.cloned() else {
        return Err(Wrong::invalid("Missing value for required parameter 'trace'."));
    };
    let id = info.get("trace_id").and_then(text).unwrap_or_default();
    let folder = folder(asked, &id)?;
    let about = &asked.live.about;
    let experiment = experiment_id(&about.experiment);
    let at = format!("mlflow-artifacts:/{experiment}/{}/artifacts/{TRACES}/{id}", about.run);
    if let Value::Object(tags) = info.entry("tags").or_insert_with(|| Value::Object(Map::new())) {
        tags.insert(LOCATION.to_owned(), at.into());
    }
    fs::create_dir_all(&folder)?;
    // After the run's end nothing is written: its log is let go of under this.
    let mut state = asked.live.state();
    asked.live.logged(&mut state)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    file.write_all(Value::Object(info.clone()).to_string().as_bytes())?;
    file.persist(folder.join(INFO)).map_err(|error| error.error)?;
    Ok(json!({ "trace": { "trace_info": info } }))
}

/// `GET traces/ID`: one of this run.
pub(super) fn get(asked: &Asked<'_>, id: &str) -> Answered {
    let absent = || {
        asked.live.tell_of_others();
        Wrong::absent(format!("Trace with ID '{id}' not found."))
    };
    let bytes = fs::read(folder(asked, id)?.join(INFO)).map_err(|_| absent())?;
    let info: Value = serde_json::from_slice(&bytes).map_err(|_| absent())?;
    Ok(json!({ "trace": { "trace_info": info } }))
}
