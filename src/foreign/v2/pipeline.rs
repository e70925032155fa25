//! Pipelines: a job each, joined by the paths that one writes and another reads.

use super::super::doc::{At, Doc};
use super::super::look::Context;
use super::super::names;
use super::{Bound, Scope, bind, job, ours, spark, sweep};

/// A pipeline; nested ones too, with what the outer one binds in `outer`.
pub(super) fn import(context: &mut Context<'_>, at: &At<'_>, name: &str, outer: &Scope) {
    let taken = |context: &Context<'_>, name: &str| {
        let start = format!("outputs/{name}/");
        context.proposal.experiments.iter().any(|one| one.outputs.iter().any(|(_, path)| path.starts_with(&start)))
    };
    let name = names::free(name, |name| !taken(context, name));
    let mut scope =
        Scope { compute: outer.compute.clone(), rerun: outer.rerun, depth: outer.depth + 1, ..Scope::default() };
    for key in ["description", "display_name", "experiment_name"] {
        if let Some((place, text)) = at.get(key).and_then(|place| Some((place.clone(), place.scalar()?))) {
            context.proposal.notes.push(format!("{name}: {}", text.trim()));
            context.report.translated(&place, "a comment");
        }
    }
    settings(context, at, &mut scope);
    for entry in at.get("inputs").map(|table| table.entries()).unwrap_or_default() {
        let bound = outer.inputs.get(&entry.key).cloned().or_else(|| bind::bound(&entry, outer));
        match bound {
            Some(bound) => {
                let becomes = match &bound {
                    Bound::Literal(value) => format!("`{value}` in the jobs that use it"),
                    Bound::Path(path) => format!("\"{path}\" in the jobs that use it"),
                };
                context.report.translated(&entry, becomes);
                scope.inputs.insert(entry.key.clone(), bound);
            }
            None => context.report.none(&entry, "it has no value"),
        }
    }
    for entry in at.get("outputs").map(|table| table.entries()).unwrap_or_default() {
        let path = outer.outputs.get(&entry.key).cloned().or_else(|| bind::output_path(&entry, outer));
        let path = path.unwrap_or_else(|| format!("outputs/{name}/{}", names::plain(&entry.key)));
        context.report.translated(&entry, format!("\"{path}\""));
        scope.outputs.insert(entry.key.clone(), path);
    }
    let jobs = at.get("jobs").map(|jobs| jobs.entries()).unwrap_or_default();
    let components: Vec<Option<Doc>> = jobs.iter().map(|job| component(context, job)).collect();
    // Who writes what, before anyone reads it.
    for (one, component) in jobs.iter().zip(&components) {
        let declared = component
            .as_ref()
            .map(Doc::at)
            .or_else(|| one.get("component").filter(|c| !c.entries().is_empty()))
            .and_then(|at| at.get("outputs"));
        let given = one.get("outputs");
        for entry in given.iter().chain(declared.iter()).flat_map(At::entries) {
            let key = format!("{}.{}", one.key, entry.key);
            if scope.jobs.contains_key(&key) {
                continue;
            }
            let path = bind::output_path(&entry, &scope).or_else(|| ours::output(one, &entry.key));
            let path = path
                .unwrap_or_else(|| format!("outputs/{name}/{}/{}", names::plain(&one.key), names::plain(&entry.key)));
            scope.jobs.insert(key, path);
        }
    }
    for (one, component) in jobs.iter().zip(&components) {
        node(context, one, component.as_ref(), &name, &scope);
    }
    for doc in components.iter().flatten() {
        context.report.rest(doc, "an Amlfile has nothing like it");
    }
}

fn settings(context: &mut Context<'_>, at: &At<'_>, scope: &mut Scope) {
    let table = at.get("settings");
    let compute = table.as_ref().and_then(|table| table.get("default_compute")).or_else(|| at.get("compute"));
    if let Some((place, text)) = compute.and_then(|place| Some((place.clone(), place.scalar()?))) {
        context.report.translated(&place, "the target of its jobs, named in a comment");
        scope.compute = Some(text);
    }
    let Some(table) = table else { return };
    if let Some(place) = table.get("continue_on_step_failure") {
        match place.truth() {
            Some(true) => context.report.translated(&place, "`amlrun -k`"),
            _ => context.report.holds(&place),
        }
    }
    if let Some(place) = table.get("force_rerun") {
        scope.rerun = place.truth() == Some(true);
        if scope.rerun {
            context.report.translated(&place, "cache = false");
        } else {
            context.report.holds(&place);
        }
    }
}

/// The component that a job refers to, where it is a file of the project.
fn component(context: &mut Context<'_>, at: &At<'_>) -> Option<Doc> {
    let place = at.get("component").or_else(|| at.get("trial"))?;
    let text = place.scalar()?;
    let path = names::from(at.doc.folder(), text.strip_prefix("file:").unwrap_or(&text))?;
    if context.look.there(&path) != Some(false) {
        context.report.none(&place, "a component of the workspace, or a file that is not there");
        return None;
    }
    context.report.translated(&place, format!("from {path}"));
    let doc = context.doc(&path)?;
    for key in ["$schema", "name", "version", "display_name", "type", "description", "tags"] {
        if let Some(place) = doc.at().get(key) {
            context.report.add(&place, super::super::Outcome::Default, "a component is known by its place here");
        }
    }
    Some(doc)
}

fn node(context: &mut Context<'_>, at: &At<'_>, component: Option<&Doc>, pipeline: &str, scope: &Scope) {
    let free = |name: &str| context.proposal.experiments.iter().all(|one| one.name != name);
    let key = names::plain(&at.key);
    let name = ours::name(at).unwrap_or_else(|| if free(&key) { key } else { format!("{pipeline}-{key}") });
    let place = component.map(Doc::at).or_else(|| at.get("component").filter(|inline| !inline.entries().is_empty()));
    let code = place.unwrap_or_else(|| at.clone());
    let kind = at.get("type").or_else(|| code.get("type")).and_then(|kind| kind.scalar()).unwrap_or_default();
    if let Some(place) = at.get("type") {
        context.report.translated(&place, "the kind of job: by the keys of its experiment");
    }
    let is_pipeline = kind == "pipeline" || code.get("jobs").is_some();
    if is_pipeline {
        let mut inner =
            Scope { compute: scope.compute.clone(), rerun: scope.rerun, depth: scope.depth, ..Scope::default() };
        for entry in at.get("inputs").map(|table| table.entries()).unwrap_or_default() {
            if let Some(bound) = bind::bound(&entry, scope) {
                context.report.translated(&entry, "in the jobs that use it");
                inner.inputs.insert(entry.key.clone(), bound);
            }
        }
        for (key, path) in &scope.jobs {
            if let Some(output) = key.strip_prefix(&format!("{}.", at.key)) {
                inner.outputs.insert(output.to_owned(), path.clone());
            }
        }
        if scope.depth < 8 && context.proposal.experiments.len() < 2000 {
            import(context, &code, &name, &inner);
        }
    } else if kind == "sweep" {
        sweep::import(context, at, &name, scope);
    } else if kind == "spark" {
        spark::import(context, &code, &name, scope);
    } else if code.get("command").is_some() {
        if let Some(one) = job::build(context, at, &code, &name, scope, &std::collections::BTreeMap::new()) {
            context.proposal.experiment(one);
        }
    } else {
        let what = if kind.is_empty() { "a component that is not here".to_owned() } else { format!("type {kind}") };
        context.report.none(at, format!("{what}: no counterpart; its dependents miss what it wrote"));
        context.proposal.notes.push(format!(
            "{pipeline}: job {} ({}) is {what} and could not be carried over.",
            at.key,
            at.place()
        ));
    }
}
