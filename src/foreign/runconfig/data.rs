//! `dataReferences`, `data` and `outputData`: what a run read and wrote in the service's stores.

use crate::foreign::doc::At;
use crate::foreign::look::Context;
use crate::foreign::model::Experiment;
use crate::foreign::names;
use crate::value::Value;

/// Inputs. What lay in a store of the service is expected below `data/`.
pub(super) fn inputs(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment) {
    for key in ["dataReferences", "data"] {
        for entry in at.find(key).map(|table| table.entries()).unwrap_or_default() {
            let name = names::plain(&entry.key);
            let place = [
                "pathOnDataStore",
                "dataLocation.dataPath.relativePath",
                "dataLocation.uri.path",
                "dataLocation.dataset.name",
                "dataLocation.dataset.id",
            ]
            .iter()
            .find_map(|path| said(&entry, path));
            let text = place.as_ref().and_then(At::scalar).unwrap_or_else(|| name.clone());
            let path = names::placeholder(&text);
            if one.inputs.iter().any(|(known, _)| *known == name) {
                continue;
            }
            one.comments.push(format!(
                "Input {name} ({}) lay in the service's store as {text}: put it at {path}.",
                entry.place()
            ));
            for word in ["$AZUREML_DATAREFERENCE_", "DatasetConsumptionConfig:", "$AZURE_ML_INPUT_"] {
                replace(one, &format!("{word}{}", entry.key), &format!("${{inputs.{name}}}"));
            }
            context.report.translated(&entry, format!("inputs.{name} = \"{path}\", to be put there"));
            one.inputs.push((name, path));
        }
    }
}

/// Outputs are published below `outputs/`.
pub(super) fn outputs(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment) {
    for entry in at.find("outputData").map(|table| table.entries()).unwrap_or_default() {
        let name = names::plain(&entry.key);
        let path = format!("outputs/{}/{name}", one.name);
        for word in ["DatasetOutputConfig:", "$AZURE_ML_OUTPUT_"] {
            replace(one, &format!("{word}{}", entry.key), &format!("${{outputs.{name}}}"));
        }
        context.report.translated(&entry, format!("outputs.{name} = \"{path}\""));
        one.outputs.push((name, path));
    }
}

fn said<'d>(at: &At<'d>, path: &str) -> Option<At<'d>> {
    path.split('.').try_fold(at.clone(), |at, key| at.said(key))
}

/// Puts a reference in the place of what stood for it in arguments and command.
fn replace(one: &mut Experiment, from: &str, to: &str) {
    for argument in &mut one.arguments {
        if let Value::Text(text) = argument
            && text.contains(from)
        {
            *text = text.replace(from, to);
        }
    }
    if let Some(command) = &mut one.command {
        *command = command.replace(from, to);
    }
}
