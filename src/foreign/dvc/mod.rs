//! `dvc.yaml`, `params.yaml` and `dvc.lock` (<https://dvc.org/doc/user-guide/project-structure>).
//!
//! A stage becomes an experiment that runs in the project, as DVC runs it; `foreach` and `matrix` are unrolled under the
//! names that DVC gives them (`train@a`), so that the lock's entries fit.

pub mod lock;
mod stage;
mod template;

use super::doc::{At, Doc};
use super::look::Context;
use super::names;
use crate::yaml::{Entry, Node, Value};

/// Reads one.
pub fn import(context: &mut Context<'_>, path: &str) {
    let Some(doc) = context.doc(path) else { return };
    let folder = doc.folder().to_owned();
    let at = doc.at();
    let params = names::from(&folder, "params.yaml").filter(|path| context.look.there(path) == Some(false));
    let params = params.and_then(|path| context.doc(&path));
    let mut values = params.as_ref().map_or(Node { span: 0..0, value: Value::Map(Vec::new()) }, |doc| doc.root.clone());
    if let Some(vars) = at.get("vars") {
        variables(context, &vars, &folder, &mut values);
        context.report.translated(&vars, "put into the texts that name them");
    }
    if let Some(params) = &params {
        account(context, params);
    }
    let lock = names::from(&folder, "dvc.lock").filter(|path| context.look.there(path) == Some(false));
    let lock = lock.and_then(|path| context.doc(&path));
    for entry in at.get("stages").map(|stages| stages.entries()).unwrap_or_default() {
        for concrete in template::unroll(&entry, &values) {
            stage::import(context, &entry, &concrete, &folder, lock.as_ref());
        }
    }
    for (key, why) in [
        ("params", "experiments name what they read"),
        ("metrics", "`amlrun metrics` shows those of every run"),
        ("plots", "outputs are kept with each run"),
        ("artifacts", "outputs are kept with each run"),
        ("datasets", "inputs are files"),
    ] {
        if let Some(place) = at.get(key).filter(|place| !super::report::is_empty(place.node)) {
            context.report.none(&place, why);
        }
    }
    context.report.rest(&doc, "an Amlfile has nothing like it");
    ignored(context, &folder);
    if let Some(lock) = lock {
        for key in ["schema", "stages"] {
            if let Some(place) = lock.at().get(key) {
                context.report.translated(&place, "results that match it are adopted");
            }
        }
        context.report.rest(&lock, "not of a lock");
    }
}

/// `.dvcignore`: results are compared as DVC hashes them, without what it leaves out; an input of an Amlfile counts whole.
fn ignored(context: &mut Context<'_>, folder: &str) {
    let Some(path) = names::from(folder, ".dvcignore") else { return };
    let Some(Ok(text)) = context.look.read(&path) else { return };
    let mut told = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        told = true;
        let why = "honoured where results are adopted; a folder that is an input counts whole from then on";
        context.report.line(&path, number + 1, line, super::Outcome::NoCounterpart, why);
    }
    let note = format!(
        "{path} is DVC's: all files of a folder that is an input count here. Name files where that is too much."
    );
    if told && !context.proposal.notes.contains(&note) {
        context.proposal.notes.push(note);
    }
}

fn account(context: &mut Context<'_>, params: &Doc) {
    for entry in params.at().entries() {
        context.report.taken(&entry, "read by the experiments that have the file as an input");
    }
}

/// `vars`: maps, and files of them.
fn variables(context: &mut Context<'_>, at: &At<'_>, folder: &str, values: &mut Node) {
    for item in at.items() {
        match item.scalar() {
            Some(file) => {
                // `file.yaml:a,b` takes some keys only; all of them do no harm.
                let file = file.split(':').next().unwrap_or(&file).to_owned();
                if let Some(doc) = names::from(folder, &file).and_then(|path| context.doc(&path)) {
                    account(context, &doc);
                    merge(values, &doc.root);
                }
            }
            None => merge(values, item.node),
        }
    }
}

/// Puts the entries of a map into another, deeply.
fn merge(to: &mut Node, from: &Node) {
    if !matches!(to.value, Value::Map(_)) {
        *to = from.clone();
        return;
    }
    let Value::Map(entries) = &mut to.value else { return };
    for entry in from.entries() {
        match entries.iter_mut().find(|known| known.key == entry.key) {
            Some(known) if matches!(known.node.value, Value::Map(_)) && matches!(entry.node.value, Value::Map(_)) => {
                merge(&mut known.node, &entry.node);
            }
            Some(known) => known.node = entry.node.clone(),
            None => entries.push(Entry {
                key: entry.key.clone(),
                key_span: entry.key_span.clone(),
                node: entry.node.clone(),
            }),
        }
    }
}
