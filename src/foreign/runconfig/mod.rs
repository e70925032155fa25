//! `.runconfig` files of SDK and CLI v1 in all their dialects (azure-ml.md §1.7): `camelCase`, `snake_case`, `Title-case`, JSON,
//! environments by path or inline, keys of older versions.
//!
//! Keys are found whatever their case and underscores; what stands under names of the user's choice is read as it is.

mod data;
mod defaults;

use super::doc::{At, Doc, loose};
use super::legacy;
use super::look::Context;
use super::model::{Experiment, Keys, Toml};
use super::names;
use super::workspace;
use crate::project::template::escape;
use crate::value::Value;

/// Whether a document is a run configuration; in `.azureml/` fewer signs will do.
#[must_use]
pub fn is_runconfig(doc: &Doc, in_folder: bool) -> bool {
    let has = |key: &str| doc.root.entries().iter().any(|entry| loose(&entry.key) == key);
    let signs = ["script", "argumentvector", "framework", "communicator", "history", "nodecount", "datareferences"];
    let found = signs.iter().filter(|sign| has(sign)).count();
    let target = has("target");
    (target && found >= 2) || (in_folder && (found >= 2 || (target && found >= 1)))
}

/// Reads one.
pub fn import(context: &mut Context<'_>, path: &str) {
    let Some(doc) = context.doc(path) else { return };
    let folder = doc.folder();
    let own = folder.rsplit('/').next().unwrap_or(folder);
    // The project is the folder that holds `.azureml`; a run configuration elsewhere is submitted from the top.
    let root =
        if matches!(own, ".azureml" | "aml_config") { names::folder(folder).to_owned() } else { folder.to_owned() };
    let at = doc.at();
    let mut one = Experiment {
        name: names::plain(names::stem(path)),
        comments: vec![format!("From {path}.")],
        ..Experiment::default()
    };
    if !root.is_empty() {
        one.source_directory = Some(root.clone());
    }
    let target = target(context, &at, &mut one);
    let mut variables = legacy::variables(context, &at);
    action(context, &at, &root, &mut one);
    data::inputs(context, &at, &mut one);
    data::outputs(context, &at, &mut one);
    limits(context, &at, &mut one);
    framework(context, &at, &mut one);
    // The environment: its own section; in the Title-case dialect, the top and the `.compute` file.
    let section = at.find("environment").filter(|section| !super::report::is_empty(section.node));
    let named = match (&section, target) {
        (Some(section), _) => legacy::environment(context, section, &root, &one.name),
        (None, Some(compute)) => {
            let named = compute_environment(context, &at, &compute, &root, &one.name);
            context.report.rest(&compute, "the service made and ended such machines");
            named
        }
        (None, None) => legacy::environment(context, &at, &root, &one.name),
    };
    one.environment = named;
    if section.is_some() && !variables.is_empty() {
        let known = one.environment.clone();
        let base =
            context.proposal.environments.iter().find(|e| Some(&e.name) == known.as_ref()).cloned().unwrap_or_default();
        let mut with = super::model::Environment {
            name: if base.name.is_empty() { one.name.clone() } else { base.name.clone() },
            ..base.clone()
        };
        with.variables.append(&mut variables);
        if with.keys.is_empty() {
            with.keys.push(("packages".into(), Toml::List(Vec::new())));
        }
        // Run configurations that share an environment may differ in their variables.
        if base.variables.is_empty() && with.variables != base.variables {
            with.name = names::plain(&format!("{}-{}", with.name, one.name));
        }
        one.environment = Some(context.proposal.environment(with));
    }
    defaults::account(context, &at);
    context.report.rest(&doc, "an Amlfile has nothing like it");
    context.proposal.experiment(one);
}

/// In the Title-case dialect the interpreter and the image stand in the `.compute` file.
fn compute_environment(
    context: &mut Context<'_>,
    at: &At<'_>,
    compute: &Doc,
    root: &str,
    name: &str,
) -> Option<String> {
    let place = compute.at();
    let says =
        ["userManagedEnvironment", "pythonLocation", "baseDockerImage"].iter().any(|key| place.said(key).is_some());
    let user_managed = place.find("userManagedEnvironment").and_then(|it| it.truth()) == Some(true);
    if says && (user_managed || at.said("condaDependenciesFile").is_none()) {
        return legacy::environment(context, &place, root, name);
    }
    legacy::environment(context, at, root, name)
}

/// `target`: where it ran. The job runs here until the target is chosen.
fn target(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment) -> Option<Doc> {
    let place = at.said("target")?;
    let name = place.scalar()?;
    let compute = legacy::compute(context, at.doc.folder(), &name);
    let kind = compute
        .as_ref()
        .and_then(|doc| doc.at().find("type"))
        .and_then(|kind| kind.scalar())
        .unwrap_or_default()
        .to_lowercase();
    let address = compute.as_ref().and_then(|doc| doc.at().said("address").or_else(|| doc.at().said("ipAddress")));
    if let Some(doc) = &compute
        && let Some(place) = doc.at().find("type")
    {
        context.report.translated(&place, "the type of the target");
    }
    if name.eq_ignore_ascii_case("local") || matches!(kind.as_str(), "local" | "docker" | "localdocker") {
        context.report.taken(&place, "this machine, the target of jobs that name none");
        return compute;
    }
    let chosen =
        if let (Some(address), "remote" | "remotedocker" | "virtualmachine" | "cluster") = (&address, kind.as_str()) {
            let doc = compute.as_ref().map(Doc::at);
            let user = doc.as_ref().and_then(|doc| doc.said("username")).and_then(|user| user.scalar());
            let host = address.scalar().unwrap_or_default();
            let (host, port) =
                host.rsplit_once(':').map_or((host.as_str(), None), |(host, port)| (host, port.parse().ok()));
            let mut keys: Keys = vec![
                ("type".into(), Toml::text("ssh")),
                ("host".into(), Toml::text(user.map_or(host.to_owned(), |user| format!("{user}@{host}")))),
            ];
            keys.extend(port.map(|port: i64| ("port".to_owned(), Toml::integer(port))));
            context.report.translated(address, "host of an ssh target");
            if let Some(user) = doc.as_ref().and_then(|doc| doc.said("username")) {
                context.report.translated(&user, "host of an ssh target");
            }
            let comments = vec![format!("The machine of {}.", address.place())];
            context.proposal.target(super::model::Target { name: names::plain(&name), comments, keys })
        } else {
            let workspace = context.workspace.clone();
            workspace::target(&name, &place, workspace.as_ref(), &mut context.proposal)
        };
    context
        .report
        .translated(&place, format!("targets.{chosen}; jobs run here until it is chosen (`--target {chosen}`)"));
    one.former_target = Some(chosen);
    compute
}

/// What is run: `script` and `arguments`, `ArgumentVector` of the Title-case dialect, or `command`.
fn action(context: &mut Context<'_>, at: &At<'_>, root: &str, one: &mut Experiment) {
    if let Some(command) = at.said("command") {
        let text = command.scalars().join(" ");
        one.command = Some(reference(&text, one));
        context.report.taken(&command, "command");
        for key in ["script", "arguments"] {
            if let Some(place) = at.said(key) {
                context.report.none(&place, "`command` stands in its place");
            }
        }
        return;
    }
    if let Some(list) = at.said("arguments") {
        one.arguments = words(&list);
        context.report.taken(&list, "arguments");
    }
    if let Some(script) = at.said("script") {
        one.script = script.scalar();
        context.report.taken(&script, "script");
    }
    if let Some(vector) = at.said("argumentVector") {
        let mut words = words(&vector).into_iter();
        one.script = words.next().map(|word| word.to_string());
        one.arguments = words.collect();
        context.report.translated(&vector, "script and arguments");
    }
    let script = one.script.clone().unwrap_or_default();
    let path = names::from(root, &script).filter(|path| context.look.there(path) == Some(false));
    if script.is_empty() || path.is_none() {
        one.script = Some(if script.is_empty() { "train.py".to_owned() } else { script.clone() });
        one.comments.push(
            "The script was named on the command line (`az ml run submit-script -c … SCRIPT`): put it in here."
                .to_owned(),
        );
    }
}

/// `arguments`: a list, or one text as a shell reads it.
fn words(at: &At<'_>) -> Vec<Value> {
    let text = |value: Value| match value {
        Value::Text(text) => Value::Text(escape(&text)),
        other => other,
    };
    match at.scalar() {
        Some(line) => shell_words::split(&line)
            .unwrap_or_else(|_| vec![line.clone()])
            .into_iter()
            .map(|word| text(Value::Text(word)))
            .collect(),
        None => {
            at.items().iter().filter_map(At::value).filter(|value| !matches!(value, Value::List(_))).map(text).collect()
        }
    }
}

/// A command of v1 has shell variables only; the data's are put in later.
fn reference(text: &str, _one: &Experiment) -> String {
    escape(text)
}

fn limits(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment) {
    let Some(place) = at.said("maxRunDurationSeconds") else { return };
    match place.whole() {
        Some(2_592_000) => context.report.holds(&place),
        Some(seconds) if seconds > 0 => {
            one.resources.push(("time".into(), Toml::text(format!("{seconds}s"))));
            context.report.translated(&place, format!("resources.time = \"{seconds}s\""));
        }
        _ => context.report.none(&place, "no number of seconds"),
    }
}

/// `framework`, `communicator` and the numbers that go with them.
fn framework(context: &mut Context<'_>, at: &At<'_>, one: &mut Experiment) {
    let word = |key: &str| at.said(key).and_then(|place| place.scalar()).unwrap_or_default().to_lowercase();
    let (framework, communicator) = (word("framework"), word("communicator"));
    if let Some(place) = at.said("framework") {
        match framework.as_str() {
            "python" => context.report.holds(&place),
            "pyspark" | "pytorch" | "tensorflow" | "cntk" => {
                one.more.push(("framework".into(), Toml::text(&framework)));
                context.report.taken(&place, format!("framework = \"{framework}\""));
            }
            _ => context.report.none(&place, "no framework that is known"),
        }
    }
    let number = |path: &[&str]| {
        let mut place = at.clone();
        for key in path {
            place = place.said(key)?;
        }
        Some((place.clone(), place.whole().filter(|n| *n > 0)?))
    };
    let mut used = Vec::new();
    let mut take = |path: &[&str]| {
        number(path).map(|(place, n)| {
            used.push(place);
            n
        })
    };
    let keys: Keys = match communicator.as_str() {
        "openmpi" | "intelmpi" | "mpi" => {
            let nodes = take(&["nodeCount"]).unwrap_or(1).max(take(&["mpi", "nodeCount"]).unwrap_or(1));
            let each = take(&["mpi", "processCountPerNode"]).unwrap_or(1);
            let implementation = if communicator == "openmpi" { "openmpi" } else { "intelmpi" };
            vec![
                ("type".into(), Toml::text("mpi")),
                ("nodes".into(), Toml::integer(nodes)),
                ("processes".into(), Toml::integer(nodes.saturating_mul(each))),
                ("implementation".into(), Toml::text(implementation)),
            ]
        }
        "nccl" | "gloo" => {
            let nodes = take(&["nodeCount"]).unwrap_or(1).max(take(&["pytorch", "nodeCount"]).unwrap_or(1));
            let processes = take(&["pytorch", "processCount"]).unwrap_or(nodes);
            vec![
                ("type".into(), Toml::text("pytorch")),
                ("nodes".into(), Toml::integer(nodes)),
                ("processes".into(), Toml::integer(processes)),
                ("backend".into(), Toml::text(&communicator)),
            ]
        }
        "parameterserver" => {
            let workers = take(&["tensorflow", "workerCount"]).unwrap_or(1);
            let servers = take(&["tensorflow", "parameterServerCount"]).unwrap_or(1);
            let nodes = take(&["nodeCount"]).unwrap_or(workers);
            vec![
                ("type".into(), Toml::text("tensorflow")),
                ("nodes".into(), Toml::integer(nodes.max(1))),
                ("processes".into(), Toml::integer(nodes.max(1))),
                ("workers".into(), Toml::integer(workers)),
                ("parameter_servers".into(), Toml::integer(servers)),
            ]
        }
        _ => Vec::new(),
    };
    if keys.is_empty() {
        if let Some(place) = at.said("communicator") {
            match communicator.as_str() {
                // The text "None" is what the SDK writes.
                "none" => context.report.holds(&place),
                _ => context.report.none(&place, "no communicator that jobs are started with here"),
            }
        }
        if let Some((place, nodes)) = number(&["nodeCount"]).filter(|(_, nodes)| *nodes > 1) {
            context.report.none(&place, format!("{nodes} nodes without a communicator: no launcher is known"));
        }
        return;
    }
    for place in used {
        context.report.translated(&place, "distributed");
    }
    if let Some(place) = at.said("communicator") {
        context.report.translated(&place, "distributed.type");
    }
    one.distributed = keys;
}
