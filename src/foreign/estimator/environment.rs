//! `Environment`, `CondaDependencies` and `RunConfiguration` as they are built up in a script.

use super::super::conda::{self, Conda};
use super::super::curated;
use super::super::legacy;
use super::super::look::Context;
use super::super::model::{Environment, Keys, Toml};
use super::super::names;
use super::super::python::Py;
use super::scope::Arguments;
use crate::value::Value;

/// The environment of this name in the script; that of the run configuration where there is none.
pub(super) fn of(
    context: &mut Context<'_>,
    arguments: &Arguments<'_>,
    name: Option<&str>,
    run_config: Option<&str>,
    file: &str,
) -> Option<String> {
    let (scope, at) = (arguments.scope, arguments.at);
    let root = name.map(str::to_owned).or_else(|| run_config.map(|config| format!("{config}.environment")))?;
    let python = format!("{root}.python");
    let mut title = names::plain(root.split('.').next().unwrap_or("environment"));
    if let Some((_, Py::Call(callee, positional, named, line))) = scope.assigned(&root, at) {
        let call = Arguments { positional, named, ..*arguments };
        let method = callee.rsplit('.').next().unwrap_or(callee);
        let text = |name: &str, order: &[&str]| call.get(name, order).and_then(|value| value.text().map(str::to_owned));
        match method {
            "get" => {
                let name = text("name", &["workspace", "name"])?;
                return Some(registered(context, &name, file, *line));
            }
            "from_conda_specification" => {
                return conda_file(context, &text("file_path", &["name", "file_path"])?, file);
            }
            "from_pip_requirements" => return requirements(context, &text("file_path", &["name", "file_path"])?, file),
            "Environment" => title = text("name", &["name"]).map_or(title, |name| names::plain(&name)),
            _ => {}
        }
    }
    let comments = vec![format!("As {file} builds it up.")];
    let mut keys: Keys = Vec::new();
    if scope.literal(&format!("{python}.user_managed_dependencies"), at) == Some(Py::Bool(true)) {
        keys.push(("user_managed".into(), Toml::Value(Value::Bool(true))));
        if let Some(Py::Text(path)) = scope.literal(&format!("{python}.interpreter_path"), at) {
            keys.push(("interpreter".into(), Toml::text(path)));
        }
    } else {
        let mut found = Conda::default();
        for holder in [format!("{python}.conda_dependencies"), root.clone()] {
            dependencies(arguments, &holder, &mut found, 0);
        }
        keys.push(("packages".into(), Toml::texts(found.packages)));
    }
    let variables = match scope.literal(&format!("{root}.environment_variables"), at) {
        Some(Py::Dict(pairs)) => pairs
            .iter()
            .filter_map(|(name, value)| Some((name.text()?.to_owned(), value.value()?.to_string())))
            .filter(|(name, _)| !name.is_empty() && !name.contains('='))
            .collect(),
        _ => Vec::new(),
    };
    Some(context.proposal.environment(Environment { name: title, comments, keys, variables }))
}

/// `CondaDependencies` under a name, and what is added to it by its methods.
fn dependencies(arguments: &Arguments<'_>, name: &str, found: &mut Conda, depth: usize) {
    let (scope, at) = (arguments.scope, arguments.at);
    for text in scope.calls(&format!("{name}.add_conda_package"), at).filter_map(Py::text) {
        found.package(text);
    }
    for text in scope.calls(&format!("{name}.add_pip_package"), at).filter_map(Py::text) {
        found.pip(text);
    }
    match scope.assigned(name, at) {
        Some((_, Py::Name(other))) if depth < 5 => dependencies(arguments, other, found, depth + 1),
        Some((_, Py::Call(_, positional, named, _))) => {
            let call = Arguments { positional, named, ..*arguments };
            let texts = |key: &str| match call.get(key, &[]) {
                Some(Py::List(items)) => {
                    items.iter().filter_map(|item| item.text().map(str::to_owned)).collect::<Vec<_>>()
                }
                _ => Vec::new(),
            };
            for text in &texts("conda_packages") {
                found.package(text);
            }
            for text in &texts("pip_packages") {
                found.pip(text);
            }
        }
        _ => {}
    }
}

fn registered(context: &mut Context<'_>, name: &str, file: &str, line: usize) -> String {
    let short = names::plain(name.trim_start_matches("AzureML-"));
    let (comments, keys): (_, Keys) = match curated::find(name) {
        Some((python, packages)) => {
            let mut keys: Keys = python.map(|python| ("python".to_owned(), Toml::text(python))).into_iter().collect();
            keys.push(("packages".into(), Toml::texts(packages)));
            (
                vec![format!("{name} ({file}:{line}) was a curated image of Azure ML; these are its main packages.")],
                keys,
            )
        }
        None => (
            vec![format!("{name} ({file}:{line}) is known to the workspace alone: list its packages here.")],
            vec![("packages".into(), Toml::List(Vec::new()))],
        ),
    };
    context.proposal.environment(Environment { name: short, comments, keys, variables: Vec::new() })
}

/// An environment of a conda file.
pub(super) fn conda_file(context: &mut Context<'_>, path: &str, script: &str) -> Option<String> {
    let path = names::from(names::folder(script), path)?;
    let doc = context.doc(&path)?;
    let found = conda::read(&doc.at());
    let one = legacy::from_conda(context, &found, Some(&path), &doc.at(), &names::plain(names::stem(&path)));
    context.report.rest(&doc, "conda's own");
    Some(context.proposal.environment(one))
}

/// An environment of a requirements file.
pub(super) fn requirements(context: &mut Context<'_>, path: &str, script: &str) -> Option<String> {
    let path = names::from(names::folder(script), path)?;
    let keys: Keys = vec![("requirements".into(), Toml::text(&path))];
    let name = names::plain(names::stem(&path));
    Some(context.proposal.environment(Environment {
        name,
        comments: vec![format!("{script} names it.")],
        keys,
        variables: Vec::new(),
    }))
}
