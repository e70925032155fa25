//! `[experiments.*]`: names resolved, defaults applied, files looked for.

use std::collections::BTreeMap;

use super::model::{Action, Declared, Distributed, Environment, Experiment, Isolation, Project, Resources};
use super::{Found, Resolver, read};
use crate::amlfile::document::{Entry, Item, Node, Table};
use crate::amlfile::units;
use crate::diagnostic::{Diagnostic, Span};
use crate::relpath::RelPath;

/// What holds for experiments that say nothing themselves.
struct Defaults {
    environment: Option<usize>,
    target: usize,
    /// The built-in environments, once one uses them.
    managed: Option<usize>,
    bare: Option<usize>,
}

impl Resolver<'_> {
    pub(super) fn experiments(&mut self, entries: &[Entry<'_>], project: &mut Project) {
        let mut defaults = self.defaults(project);
        project.experiments.reserve_exact(entries.len());
        for entry in entries {
            self.declared_name("experiment", entry);
            let Some(table) = entry.item.table() else { continue };
            let mut experiment = empty(entry, defaults.target);
            let named = self.fields(table, &mut experiment, project);
            self.action(table, entry, &mut experiment);
            experiment.environment = match named {
                Some(environment) => environment,
                None => defaults.environment_of(&experiment, project),
            };
            self.directory(table, &experiment);
            self.secrets(table, &experiment, &project.environments);
            project.experiments.push(experiment);
        }
    }

    fn defaults(&mut self, project: &Project) -> Defaults {
        let empty = Table::default();
        let workspace = self.document.root.get("workspace").and_then(Item::table).unwrap_or(&empty);
        let named = |environment: &Environment| environment.name == "default";
        let environment = match workspace.text("default_environment") {
            Some((name, span)) => self.environment_named(name, &span, project),
            None => project.environments.iter().position(named),
        };
        let target = workspace.text("default_target").and_then(|(name, span)| self.target_named(name, &span, project));
        Defaults { environment, target: target.unwrap_or(0), managed: None, bare: None }
    }

    fn environment_named(&mut self, name: &str, span: &Span, project: &Project) -> Option<usize> {
        let document = self.document;
        let known = document.root.table("environments").iter().map(|entry| entry.key.as_ref());
        self.lookup("environment", name, span, known)?;
        project.environments.iter().position(|environment| environment.name == name)
    }

    fn target_named(&mut self, name: &str, span: &Span, project: &Project) -> Option<usize> {
        if name != "local" {
            let document = self.document;
            let known = document.root.table("targets").iter().map(|entry| entry.key.as_ref());
            self.lookup("target", name, span, known.chain(["local"]))?;
        }
        project.targets.iter().position(|target| target.name == name)
    }

    /// Reads the keys that are there; answers with the environment that is named.
    fn fields(&mut self, table: &Table<'_>, to: &mut Experiment, project: &Project) -> Option<usize> {
        let mut environment = None;
        for entry in table.entries() {
            let item = &entry.item;
            let text = || item.text().map(str::to_owned);
            match entry.key.as_ref() {
                "description" => to.description = text(),
                "sources" => to.sources = item.list().map(|_| read::texts(item)),
                "arguments" => to.arguments = read::texts(item),
                "params" => {
                    to.params = self.params(item.entries());
                    params_file(item, to);
                }
                "inputs" => to.inputs = self.declared("input", item),
                "outputs" => to.outputs = self.declared("output", item),
                "metrics" => to.metrics = self.declared("metric file", item),
                "environment" => {
                    environment = item.text().and_then(|name| self.environment_named(name, &item.span, project));
                }
                "target" => {
                    let target = item.text().and_then(|name| self.target_named(name, &item.span, project));
                    to.target = target.unwrap_or(to.target);
                }
                "framework" => to.framework = text().unwrap_or_default(),
                "resources" => to.resources = resources(item),
                "retries" => to.retries = item.count().unwrap_or_default(),
                "needs" => to.needs = read::texts(item),
                "tags" => to.tags = read::map(item.entries()),
                "secrets" => to.secrets = read::plain_texts(item),
                "cache" => to.cache = item.bool().unwrap_or(true),
                "isolation" if item.text() == Some("in-place") => to.isolation = Isolation::InPlace,
                "matrix" => self.matrix(item, to),
                "distributed" => to.distributed = self.distributed(item),
                "azureml" => to.azureml = text(),
                "sweep" => to.sweep = self.sweep(entry, to),
                _ => {}
            }
        }
        environment
    }

    fn declared(&mut self, what: &str, item: &Item<'_>) -> Vec<Declared> {
        let mut declared: Vec<Declared> = Vec::new();
        match &item.node {
            Node::List(items) => {
                declared.reserve_exact(items.len());
                for item in items {
                    let Some(path) = item.text() else { continue };
                    declared.push(Declared { name: None, path: path.to_owned(), span: item.span.clone() });
                }
            }
            Node::Table(table) => {
                for entry in table.entries() {
                    self.template_name(what, entry);
                    let Some(path) = entry.item.text() else { continue };
                    let name = Some(entry.key.clone().into_owned());
                    declared.push(Declared { name, path: path.to_owned(), span: entry.item.span.clone() });
                }
            }
            _ => {}
        }
        // Of outputs, the plan tells.
        if declared.len() > 1 && what == "input" {
            self.twice(what, &declared);
        }
        declared
    }

    /// One path twice in a list: the second is without use, and their names would be one.
    fn twice(&mut self, what: &str, declared: &[Declared]) {
        let mut seen: BTreeMap<&str, &Span> = BTreeMap::new();
        for one in declared {
            if let Some(first) = seen.insert(&one.path, &one.span).cloned() {
                let message = format!("the {what} `{}` is listed twice", one.path);
                let fault = Diagnostic::error("listed-twice", one.span.clone(), message, "a second time");
                self.fault(fault.with(first, "first here"));
            }
        }
    }

    fn action(&mut self, table: &Table<'_>, entry: &Entry<'_>, to: &mut Experiment) {
        if let Some(folder) = table.get("source_directory") {
            to.source_directory = self.path("source_directory", folder).unwrap_or_default();
        }
        let (script, command) = (table.entry("script"), table.entry("command"));
        match (script, command) {
            (Some(script), Some(command)) => {
                let message = format!("experiment `{}` has both a `script` and a `command`", to.name);
                let fault = Diagnostic::error("script-and-command", command.key_span.clone(), message, "and this");
                self.fault(fault.with(script.key_span.clone(), "this").help("leave one of them out"));
            }
            (None, None) => {
                let message = format!("experiment `{}` has neither a `script` nor a `command`", to.name);
                let fault = Diagnostic::error("nothing-to-run", entry.key_span.clone(), message, "nothing to run");
                self.fault(fault.help("add `script = \"…\"`, or `command = \"…\"`"));
            }
            _ => {}
        }
        if let Some((text, span)) = script.and_then(|s| Some((s.item.text()?, s.item.span.clone()))) {
            to.action = Action::Script(text.to_owned(), span);
        } else if let Some((text, span)) = command.and_then(|c| Some((c.item.text()?, c.item.span.clone()))) {
            to.action = Action::Command(text.to_owned(), span);
        }
    }

    /// The source directory and the script must be there.
    fn directory(&mut self, table: &Table<'_>, of: &Experiment) {
        let folder = &of.source_directory;
        if let Some((_, span)) = table.text("source_directory") {
            let (message, label) = match self.look(folder) {
                Found::Folder => (String::new(), ""),
                Found::Missing => (format!("the source directory `{folder}` is not there"), "no such folder"),
                Found::File => (format!("the source directory `{folder}` is a file"), "a file"),
            };
            if !message.is_empty() {
                return self.fault(Diagnostic::error("bad-source-directory", span, message, label));
            }
        }
        let Action::Script(script, span) = &of.action else { return };
        let path = match RelPath::new(folder.as_path().join(script)) {
            Ok(path) if path.is_within(folder) && !script.starts_with('/') => path,
            _ => {
                let message = format!("the script `{script}` lies outside the source directory `{folder}`");
                let fault = Diagnostic::error("outside-source-directory", span.clone(), message, "not in the snapshot");
                return self
                    .fault(fault.help("`source_directory` must hold the script; it is the root of the snapshot"));
            }
        };
        let (message, label) = match self.look(&path) {
            Found::File => return,
            Found::Folder => (format!("the script `{path}` is a folder"), "a folder"),
            Found::Missing if comes_as_input(of, &path) => return,
            Found::Missing => (format!("the script `{path}` is not there"), "no such file"),
        };
        let code = if label == "a folder" { "script-is-folder" } else { "missing-script" };
        let fault = Diagnostic::error(code, span.clone(), message, label);
        let elsewhere = RelPath::new(script).ok().filter(|other| *other != path && self.look(other) == Found::File);
        self.fault(if !super::template::is_plain(script) {
            fault.help("`${…}` is not interpolated in `script`")
        } else if let Some(other) = elsewhere {
            let from = other.seen_from(folder);
            fault.help(format!("`script` is relative to `source_directory`; `{other}` would be `{}`", from.display()))
        } else {
            fault
        });
    }

    fn matrix(&mut self, item: &Item<'_>, to: &mut Experiment) {
        for entry in item.entries() {
            self.param_name(entry);
            let Some(items) = entry.item.list() else { continue };
            if items.is_empty() {
                let message = format!("axis `{}` of the matrix has no values", entry.key);
                let fault = Diagnostic::error("empty-axis", entry.item.span.clone(), message, "makes no job at all");
                self.fault(fault.help("give it a value, or leave the axis out"));
            }
            let mut values = Vec::with_capacity(items.len());
            let mut seen: BTreeMap<String, Span> = BTreeMap::new();
            for item in items {
                let Some(value) = item.value() else { continue };
                let shown = value.to_string();
                if let Some(first) = seen.get(&shown) {
                    let message = format!("axis `{}` of the matrix has `{shown}` twice", entry.key);
                    let fault = Diagnostic::error("duplicate-value", item.span.clone(), message, "a second time");
                    self.fault(fault.with(first.clone(), "first here"));
                    continue;
                }
                seen.insert(shown, item.span.clone());
                values.push(value);
            }
            to.matrix.push((entry.key.clone().into_owned(), values, entry.item.span.clone()));
        }
    }

    fn distributed(&mut self, item: &Item<'_>) -> Option<Distributed> {
        let table = item.table()?;
        let nodes = table.get("nodes").and_then(Item::count).unwrap_or(1);
        let processes = table.get("processes").and_then(Item::count);
        let on_each = table.get("processes_per_node").and_then(Item::count).unwrap_or(1);
        if let Some(processes) = processes.filter(|processes| *processes % nodes.max(1) != 0) {
            let span = table.get("processes").map_or(item.span.clone(), |item| item.span.clone());
            let message = format!("{processes} processes cannot be spread evenly over {nodes} nodes");
            let fault = Diagnostic::error("uneven-processes", span, message, "not a multiple of `nodes`");
            self.fault(fault.help("`processes` counts all of them, on all nodes"));
        }
        let common = ["type", "nodes", "processes"];
        let other = table.entries().iter().filter(|entry| !common.contains(&entry.key.as_ref()));
        Some(Distributed {
            kind: table.text("type")?.0.to_owned(),
            nodes,
            processes: processes.unwrap_or(nodes.saturating_mul(on_each)),
            options: other.filter_map(|e| Some((e.key.clone().into_owned(), e.item.scalar()?))).collect(),
            span: item.span.clone(),
        })
    }

    /// A secret is written nowhere; a variable is part of the key.
    fn secrets(&mut self, table: &Table<'_>, of: &Experiment, environments: &[Environment]) {
        let Some(item) = table.get("secrets") else { return };
        for (secret, span) in read::texts(item) {
            if secret.contains(['=', '\0']) {
                let message = format!("`{secret}` is not the name of an environment variable");
                let fault = Diagnostic::error("bad-name", span.clone(), message, "only the name stands here");
                self.fault(fault.help("the value is taken from the environment that amlrun is called in"));
            }
            let environment = environments.get(of.environment);
            let variable = environment.and_then(|environment| environment.variables.get(&secret));
            if let Some((_, place)) = variable {
                let message = format!("the secret `{secret}` is also a variable of the environment");
                let fault = Diagnostic::error("secret-variable", span, message, "written nowhere");
                self.fault(
                    fault
                        .with(place.clone(), "part of the key and the record")
                        .help("leave one of them out: a secret may not stand in the Amlfile"),
                );
            }
        }
    }
}

impl Defaults {
    /// The environment of an experiment that names none: the default one of the workspace; else a managed Python for
    /// Python scripts, and nothing at all for commands and other scripts.
    fn environment_of(&mut self, experiment: &Experiment, project: &mut Project) -> usize {
        if let Some(environment) = self.environment {
            return environment;
        }
        let script = matches!(&experiment.action, Action::Script(script, _) if is_python(script));
        let (place, environment): (_, fn() -> Environment) = if script {
            (&mut self.managed, Environment::default_managed)
        } else {
            (&mut self.bare, Environment::bare)
        };
        *place.get_or_insert_with(|| {
            project.environments.push(environment());
            project.environments.len() - 1
        })
    }
}

/// Whether the environment's Python runs it.
#[must_use]
pub(super) fn is_python(script: &str) -> bool {
    std::path::Path::new(script).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("py"))
}

fn empty(entry: &Entry<'_>, target: usize) -> Experiment {
    Experiment {
        name: entry.key.clone().into_owned(),
        span: entry.key_span.clone(),
        description: None,
        source_directory: RelPath::root(),
        sources: None,
        action: Action::Command(String::new(), entry.key_span.clone()),
        arguments: Vec::new(),
        params: BTreeMap::new(),
        params_file: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        metrics: Vec::new(),
        environment: 0,
        target,
        framework: "python".to_owned(),
        resources: Resources { cpus: 1, gpus: 0, memory: None, time: None },
        retries: 0,
        needs: Vec::new(),
        tags: BTreeMap::new(),
        secrets: Vec::new(),
        cache: true,
        isolation: Isolation::Snapshot,
        matrix: Vec::new(),
        distributed: None,
        azureml: None,
        sweep: None,
    }
}

fn resources(item: &Item<'_>) -> Resources {
    let empty = Table::default();
    let table = item.table().unwrap_or(&empty);
    let count = |key: &str| table.get(key).and_then(Item::count);
    Resources {
        cpus: count("cpus").unwrap_or(1).max(1),
        gpus: count("gpus").unwrap_or(0),
        memory: table.text("memory").and_then(|(text, _)| units::memory(text).ok()),
        time: table.text("time").and_then(|(text, _)| units::time(text).ok()),
    }
}

/// A script that is not there yet, but comes as one of the inputs.
fn comes_as_input(of: &Experiment, script: &RelPath) -> bool {
    of.inputs.iter().filter_map(|input| RelPath::new(&input.path).ok()).any(|input| script.is_within(&input))
}

/// `file` and `keys` together name a parameter file, which is an input by these keys. One of them alone is a parameter.
fn params_file(item: &Item<'_>, to: &mut Experiment) {
    let Some(table) = item.table() else { return };
    let (Some((file, span)), Some(keys)) = (table.text("file"), table.get("keys")) else { return };
    let Some(keys) = keys.list().map(|_| read::texts(keys)).filter(|keys| !keys.is_empty()) else { return };
    let declared = Declared { name: None, path: file.to_owned(), span };
    to.params_file = Some((declared, keys.into_iter().map(|(key, _)| key).collect()));
    to.params.remove("file");
    to.params.remove("keys");
}
