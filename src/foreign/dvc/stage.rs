//! A stage as an experiment.

use super::lock;
use super::template::{Concrete, expand, node};
use crate::foreign::doc::{At, Doc};
use crate::foreign::look::Context;
use crate::foreign::model::{Experiment, Toml};
use crate::foreign::names;
use crate::project::template::escape;
use crate::value::Value;

/// Reads one.
pub(super) fn import(
    context: &mut Context<'_>,
    entry: &At<'_>,
    concrete: &Concrete<'_>,
    folder: &str,
    lock: Option<&Doc>,
) {
    let at = &concrete.at;
    let text = |text: &str| expand(text, &concrete.values).0;
    let scalar = |key: &str| at.get(key).and_then(|place| Some((place.clone(), text(&place.scalar()?))));
    let name: String =
        concrete.name.chars().map(|c| if c.is_control() || "[],=/\"".contains(c) { '_' } else { c }).collect();
    let mut one = Experiment {
        name: names::free(name.trim(), |name| context.proposal.experiments.iter().all(|one| one.name != name)),
        comments: vec![format!("Stage {} of {}.", concrete.name, entry.place())],
        sources: Some(Vec::new()),
        ..Experiment::default()
    };
    for key in ["foreach", "matrix"] {
        if let Some(place) = entry.get(key) {
            context.report.translated(&place, "an experiment each");
        }
    }
    let mut directory = folder.to_owned();
    if let Some((place, wdir)) = scalar("wdir") {
        match names::from(folder, &wdir) {
            Some(path) => {
                context.report.taken(&place, format!("source_directory = \"{path}\""));
                directory = if path == "." { String::new() } else { path };
            }
            None => context.report.none(&place, "it leads out of the workspace"),
        }
    }
    one.source_directory = (!directory.is_empty()).then(|| directory.clone());
    let Some(place) = at.get("cmd") else {
        context.report.none(at, "a stage without a command");
        return;
    };
    let commands: Vec<(String, Vec<String>)> =
        place.scalars().iter().map(|cmd| expand(cmd, &concrete.values)).collect();
    let joined = commands.iter().map(|(cmd, _)| cmd.as_str()).collect::<Vec<_>>().join(" && ");
    let put_in: Vec<&String> =
        commands.iter().flat_map(|(_, used)| used).filter(|name| !name.starts_with("item") && *name != "key").collect();
    if !put_in.is_empty() {
        let list: Vec<String> = put_in.iter().map(|name| format!("${{{name}}}")).collect();
        one.comments
            .push(format!("Values of {} were put into the command: change them here from now on.", list.join(", ")));
    }
    context.report.translated(&place, "command");
    one.command = Some(escape(&joined));
    if let Some((place, description)) = scalar("desc") {
        one.description = Some(description.trim().replace('\n', " "));
        context.report.taken(&place, "description");
    }
    deps(context, concrete, &directory, &mut one);
    params(context, concrete, &directory, &mut one);
    outs(context, concrete, &directory, &mut one);
    for key in ["frozen", "always_changed"] {
        let Some(place) = at.get(key) else { continue };
        match (key, place.truth()) {
            ("always_changed", Some(true)) => {
                one.more.push(("cache".into(), Toml::Value(Value::Bool(false))));
                context.report.translated(&place, "cache = false");
            }
            ("frozen", Some(true)) => {
                one.comments.push("It was frozen: name other goals to leave it alone.".into());
                context.report.none(&place, "goals choose what runs");
            }
            _ => context.report.holds(&place),
        }
    }
    // DVC runs in the project, where whatever a stage reads is found, declared or not.
    one.comments.push(
        "It runs in the project, as DVC runs it; without `isolation` it runs apart, from what it declares alone."
            .into(),
    );
    one.more.push(("isolation".into(), Toml::text("in-place")));
    if let Some(locked) = lock.and_then(|lock| lock::of(context, lock, concrete, &directory, &one)) {
        context.proposal.locks.push(locked);
    }
    context.proposal.experiment(one);
}

/// The path of a dependency or an output: a text, or a map with the path as its one key.
fn paths<'d>(list: &At<'d>, concrete: &Concrete<'_>) -> Vec<(At<'d>, String)> {
    let path = |item: &At<'d>| item.scalar().or_else(|| item.entries().first().map(|entry| entry.key.clone()));
    let mut found = Vec::new();
    for item in if list.items().is_empty() { list.entries() } else { list.items() } {
        let text = if list.items().is_empty() { Some(item.key.clone()) } else { path(&item) };
        let Some(text) = text else { continue };
        // `deps: ${files}` in a list stands for several.
        match node(&text, &concrete.values).filter(|node| !node.items().is_empty()) {
            Some(several) => found.extend(several.items().iter().filter_map(|one| Some((item.clone(), one.scalar()?)))),
            None => found.push((item, expand(&text, &concrete.values).0)),
        }
    }
    found
}

fn deps(context: &mut Context<'_>, concrete: &Concrete<'_>, directory: &str, one: &mut Experiment) {
    let Some(list) = concrete.at.get("deps") else { return };
    for (item, text) in paths(&list, concrete) {
        if names::is_remote(&text) {
            context.report.none(&item, "an input is a file or a folder here");
            one.comments.push(format!("{text} is remote: an input is a file or a folder here."));
            continue;
        }
        match names::from(directory, text.trim_end_matches('/')) {
            Some(path) => {
                context.report.taken(&item, "inputs");
                if one.inputs.iter().all(|(_, known)| *known != path) {
                    one.inputs.push((path.clone(), escape(&path)));
                }
            }
            None => context.report.none(&item, "it lies outside of the workspace"),
        }
    }
}

/// `params`: keys of params.yaml, `{ file: [keys] }`, or `file:` for all of it.
fn params(context: &mut Context<'_>, concrete: &Concrete<'_>, directory: &str, one: &mut Experiment) {
    let Some(list) = concrete.at.get("params") else { return };
    let mut files: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |file: String, keys: Vec<String>| match files.iter_mut().find(|(known, _)| *known == file) {
        Some((_, known)) => known.extend(keys),
        None => files.push((file, keys)),
    };
    for item in list.items() {
        match item.scalar() {
            Some(key) => add("params.yaml".to_owned(), vec![expand(&key, &concrete.values).0]),
            None => {
                for entry in item.entries() {
                    add(expand(&entry.key, &concrete.values).0, entry.scalars());
                }
            }
        }
    }
    let mut becomes = "inputs: the file, whose every change counts";
    for (file, keys) in files {
        let Some(path) = names::from(directory, &file) else { continue };
        // An experiment has one parameter file that it reads by keys; others are inputs as a whole.
        if !keys.is_empty() && one.params.is_empty() {
            let keys = keys.iter().map(|key| Value::Text(key.clone())).collect();
            one.params = vec![("file".into(), Value::Text(path)), ("keys".into(), Value::List(keys))];
            becomes = "params: the file by its keys";
        } else if one.inputs.iter().all(|(_, known)| *known != path) {
            one.inputs.push((path.clone(), escape(&path)));
        }
    }
    context.report.translated(&list, becomes);
}

fn outs(context: &mut Context<'_>, concrete: &Concrete<'_>, directory: &str, one: &mut Experiment) {
    for key in ["outs", "outs_no_cache", "outs_persist", "plots", "metrics", "metrics_no_cache", "plots_no_cache"] {
        let Some(list) = concrete.at.get(key) else { continue };
        for (item, text) in paths(&list, concrete) {
            let Some(path) =
                names::from(directory, text.trim_end_matches('/')).filter(|path| !path.starts_with('/') && path != ".")
            else {
                context.report.none(&item, "it lies outside of the workspace");
                continue;
            };
            let known = one.metrics.contains(&path) || one.outputs.iter().any(|(_, known)| *known == path);
            if key.starts_with("metrics") {
                context.report.taken(&item, "metrics");
                if !known {
                    one.metrics.push(escape(&path));
                }
            } else {
                context.report.taken(&item, "outputs");
                if !known {
                    one.outputs.push((path.clone(), escape(&path)));
                }
            }
            let options: Vec<At<'_>> = item.entries().iter().flat_map(At::entries).collect();
            if options.iter().any(|option| option.key == "persist" && option.truth() == Some(true)) {
                one.comments.push(format!("{path} was kept between runs (persist)."));
            }
        }
    }
}
