//! `amlrun runs show --details`: a run in the shape of the original's `get_details()` (azure-ml.md §4.2).

use serde_json::{Value, json};

use super::{Desk, show};
use crate::history::Run;
use crate::launch::Outcome;
use crate::logged::Logged;

pub(super) fn details(desk: &Desk<'_>, run: &Run, logged: &Logged) -> Value {
    let (begun, ended, print) = (&run.begun, run.ended.as_ref(), &run.begun.fingerprint);
    let mut properties: serde_json::Map<String, Value> =
        run.invocation.properties.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    properties.extend(logged.own.properties.iter().map(|(name, value)| (name.clone(), value.clone().into())));
    properties.insert("ContentSnapshotId".to_owned(), print.sources.to_string().into());
    let folder = desk.kept(run);
    let mut logs = serde_json::Map::new();
    for name in super::logs::names(&folder) {
        let place = folder.join(&name).display().to_string();
        logs.insert(name, place.into());
    }
    let error = match ended.map(|ended| &ended.outcome) {
        None | Some(Outcome::Succeeded) => Value::Null,
        Some(outcome) => json!({ "error": {
            "code": "UserError",
            "message": crate::console::telling::outcome_phrase(outcome),
        }}),
    };
    let inputs = begun.inputs.iter().map(|(name, path)| {
        json!({ "dataset": { "id": print.inputs.get(name).map(ToString::to_string) },
            "consumptionDetails": { "type": "RunInput", "inputName": name, "mechanism": "Direct", "pathOnCompute": path } })
    });
    let outputs = ended.map(|ended| ended.outputs.as_slice()).unwrap_or_default().iter().map(|output| {
        json!({ "identifier": { "savedId": output.digest.to_string() }, "outputType": "RunOutput",
            "outputDetails": { "outputName": output.path.to_string() } })
    });
    json!({
        "runId": begun.run,
        "target": begun.target,
        "status": run.status.name(),
        "startTimeUtc": begun.started.to_string(),
        "endTimeUtc": ended.map(|ended| ended.ended.to_string()),
        "services": {},
        "error": error,
        "warnings": ended.map(|ended| ended.notes.iter().map(|note| json!({ "message": note })).collect::<Vec<_>>()),
        "tags": begun.tags,
        "properties": properties,
        "inputDatasets": inputs.collect::<Vec<_>>(),
        "outputDatasets": outputs.collect::<Vec<_>>(),
        "runDefinition": {
            "command": show::shown_command(&print.command),
            "sourceDirectory": begun.source_directory.to_string(),
            "target": begun.target,
            "framework": print.framework,
            "jobName": begun.job,
            "experiment": begun.experiment,
            "parameters": begun.params,
            "environment": { "name": begun.environment, "digest": print.environment.map(|d| d.to_string()),
                "environmentVariables": print.variables },
        },
        "logFiles": logs,
        "submittedBy": run.invocation.user,
    })
}
