//! `[environments.*]`: what each is, exactly one of the kinds.

use std::collections::BTreeMap;

use super::model::{Docker, Environment, EnvironmentKind, Packages, Spark};
use super::{Resolver, read};
use crate::amlfile::document::{Entry, Item, Table};
use crate::amlfile::units;
use crate::diagnostic::Diagnostic;

/// The environment of scripts that name none.
const DEFAULT: &str = "default";
/// The environment of commands that name none.
const BARE: &str = "system";

impl Environment {
    fn built_in(name: &str, kind: EnvironmentKind) -> Self {
        Self {
            name: name.to_owned(),
            span: 0..0,
            description: None,
            kind,
            variables: BTreeMap::new(),
            spark: None,
            azureml: None,
        }
    }

    /// A managed environment without packages: what a Python script runs in that names none.
    pub(super) fn default_managed() -> Self {
        Self::built_in(DEFAULT, EnvironmentKind::Managed { python: None, packages: Packages::Listed(Vec::new()) })
    }

    /// No environment at all: what a command runs in that names none.
    pub(super) fn bare() -> Self {
        Self::built_in(BARE, EnvironmentKind::UserManaged { interpreter: None })
    }

    /// Whether it is one of those that an experiment has which names none.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.span == (0..0)
    }
}

impl Resolver<'_> {
    pub(super) fn environments(&mut self, entries: &[Entry<'_>]) -> Vec<Environment> {
        entries.iter().filter_map(|entry| self.environment(entry)).collect()
    }

    /// An entry that is no table was told already, and would have made an error of every use.
    fn environment(&mut self, entry: &Entry<'_>) -> Option<Environment> {
        self.declared_name("environment", entry);
        let table = entry.item.table()?;
        self.kinds_together(entry, table);
        let text = |key: &str| table.text(key).map(|(text, _)| text.to_owned());
        let kind = if table.get("docker").is_some() {
            self.docker(table)
        } else if let Some(conda) = table.entry("conda") {
            EnvironmentKind::Conda(self.file("conda", conda).unwrap_or_default())
        } else if table.get("user_managed").and_then(Item::bool) == Some(true) || table.get("interpreter").is_some() {
            EnvironmentKind::UserManaged { interpreter: text("interpreter") }
        } else {
            EnvironmentKind::Managed { python: text("python"), packages: self.packages(table) }
        };
        let mut variables = BTreeMap::new();
        for variable in table.table("variables") {
            self.variable_name(variable);
            if let Some(text) = variable.item.scalar() {
                variables.insert(variable.key.clone().into_owned(), (text, variable.item.span.clone()));
            }
        }
        Some(Environment {
            name: entry.key.clone().into_owned(),
            span: entry.key_span.clone(),
            description: text("description"),
            kind,
            variables,
            spark: table.get("spark").map(spark),
            azureml: text("azureml"),
        })
    }

    /// The keys of different kinds of environment do not go together.
    fn kinds_together(&mut self, entry: &Entry<'_>, table: &Table<'_>) {
        let off = |key: &&Entry<'_>| key.item.bool() != Some(false);
        let given: Vec<&Entry<'_>> =
            ["user_managed", "interpreter", "python", "packages", "requirements", "conda", "docker"]
                .iter()
                .filter_map(|key| table.entry(key))
                .filter(off)
                .collect();
        let mut groups: Vec<&Entry<'_>> = given.clone();
        groups.dedup_by_key(|key| kind_of(&key.key));
        if let [first, second, ..] = groups.as_slice() {
            let message =
                format!("environment `{}` is {} and {} at once", entry.key, kind_of(&first.key), kind_of(&second.key));
            let label = format!("makes it {}", kind_of(&second.key));
            let fault = Diagnostic::error("mixed-environment", second.key_span.clone(), message, label);
            self.fault(fault.with(first.key_span.clone(), format!("makes it {}", kind_of(&first.key))));
        }
        let (packages, requirements) = (table.entry("packages"), table.entry("requirements"));
        if let (Some(packages), Some(requirements)) = (packages, requirements) {
            let message = format!("environment `{}` has both `packages` and `requirements`", entry.key);
            let fault = Diagnostic::error("mixed-environment", requirements.key_span.clone(), message, "and these");
            self.fault(fault.with(packages.key_span.clone(), "these packages").help("put all of them into one place"));
        }
        if given.is_empty() && table.get("spark").is_none() && table.get("user_managed").is_some() {
            let message = format!("environment `{}` is not user-managed and has no packages", entry.key);
            let span = table.entry("user_managed").map_or(entry.key_span.clone(), |e| e.item.span.clone());
            let fault = Diagnostic::warning("empty-environment", span, message, "false is the default");
            self.fault(fault.help("`packages = [\"…\"]` installs some"));
        }
    }

    fn packages(&mut self, table: &Table<'_>) -> Packages {
        let listed = table.get("packages").map(read::texts).unwrap_or_default();
        for (package, span) in &listed {
            let name = package.trim_start();
            let why = if name.starts_with('-') {
                "is an option of pip"
            } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || name.contains(['\n', '\0']) {
                "does not begin with the name of a package"
            } else {
                continue;
            };
            let message = format!("`{package}` {why}");
            let fault = Diagnostic::error("bad-package", span.clone(), message, "not a requirement");
            self.fault(
                fault.help("a requirement is written as in \"pandas>=2\"; options belong in a requirements file"),
            );
        }
        if let Some(requirements) = table.entry("requirements") {
            return Packages::File(self.file("requirements", requirements).unwrap_or_default());
        }
        Packages::Listed(listed.into_iter().map(|(package, _)| package).collect())
    }

    fn docker(&mut self, environment: &Table<'_>) -> EnvironmentKind {
        let mut docker = Docker::default();
        let Some(entry) = environment.entry("docker") else { return EnvironmentKind::Docker(docker) };
        let Some(table) = entry.item.table() else { return EnvironmentKind::Docker(docker) };
        let text = |key: &str| table.text(key).map(|(text, _)| text.to_owned());
        docker.image = text("image");
        docker.dockerfile = table.entry("dockerfile").map(|file| self.file("dockerfile", file).unwrap_or_default());
        docker.context = table.get("context").and_then(|folder| self.path("context", folder));
        docker.gpus = table.get("gpus").and_then(Item::bool).unwrap_or_default();
        docker.shm_size = table.text("shm_size").and_then(|(text, _)| units::memory(text).ok());
        docker.platform = text("platform");
        docker.arguments = table.get("arguments").map(read::plain_texts).unwrap_or_default();
        match (table.entry("image"), table.entry("dockerfile")) {
            (Some(image), Some(dockerfile)) => {
                let message = "`docker` has both an `image` and a `dockerfile`";
                let fault = Diagnostic::error("mixed-environment", dockerfile.key_span.clone(), message, "or this");
                self.fault(fault.with(image.key_span.clone(), "either this"));
            }
            (None, None) => {
                let fault =
                    Diagnostic::error("missing-key", entry.key_span.clone(), "`docker` has no `image`", "no image");
                self.fault(fault.help("name one with `image`, or a `dockerfile` to build it from"));
            }
            _ => {}
        }
        EnvironmentKind::Docker(docker)
    }
}

fn kind_of(key: &str) -> &'static str {
    match key {
        "user_managed" | "interpreter" => "user-managed",
        "conda" => "a conda environment",
        "docker" => "a container",
        _ => "built by amlrun",
    }
}

fn spark(item: &Item<'_>) -> Spark {
    let empty = Table::default();
    let table = item.table().unwrap_or(&empty);
    let texts = |key: &str| table.get(key).map(read::plain_texts).unwrap_or_default();
    Spark {
        span: item.span.clone(),
        packages: texts("packages"),
        repositories: texts("repositories"),
        jars: texts("jars"),
        py_files: texts("py_files"),
        configuration: read::map(table.table("configuration")),
    }
}
