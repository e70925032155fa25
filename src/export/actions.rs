//! A workflow of GitHub Actions that runs what is stale and keeps the shared cache; `docs/ci.md` says how it works.

use std::collections::BTreeSet;

use super::context::{Context, Exported};
use crate::foreign::Outcome;
use crate::project::model::{Action, EnvironmentKind, TargetKind};
use crate::project::template::{self, Reference};
use crate::value::Value;
use crate::yaml::write::{Item, document};

type Map = Vec<(String, Item)>;

/// What the reader must do before it runs.
const HEAD: &str = "\
# Made by `amlrun export --format github-actions`. In the repository's settings, set the variable AMLRUN_SOURCE to the address
# of amlrun's repository, and the secret AMLRUN_CACHE_KEY to a random text: runs that are not signed with it are not taken.
";

fn map(pairs: Vec<(&str, Item)>) -> Item {
    Item::Map(pairs.into_iter().map(|(key, item)| (key.to_owned(), item)).collect())
}

/// Writes the workflow. `goals` as they were given; `inside` is where the workspace lies in its repository, as in `ml`.
#[must_use]
pub fn export(mut context: Context<'_>, goals: &[String], inside: &str) -> Exported {
    let mut exported = Exported::default();
    let project = context.project;
    let place = |path: &str| if inside.is_empty() { path.to_owned() } else { format!("{inside}/{path}") };
    let has_cache = project.workspace.cache.is_some();
    let mut variables: Map = Vec::new();
    let mut add = |name: &str, value: String| variables.push((name.to_owned(), Item::text(value)));
    add("AMLRUN_SOURCE", "${{ vars.AMLRUN_SOURCE }}".to_owned());
    if !has_cache {
        add("AMLRUN_CACHE", format!("${{{{ github.workspace }}}}/{}", place(".amlrun-cache")));
    }
    add("AMLRUN_CACHE_KEY", "${{ secrets.AMLRUN_CACHE_KEY }}".to_owned());
    let secrets = secrets(&context);
    for secret in secrets {
        add(&secret, format!("${{{{ secrets.{secret} }}}}"));
    }
    let mut steps = vec![map(vec![("uses", Item::text("actions/checkout@v4"))])];
    let mut kept = vec![place(".amlrun/history.db"), "~/.cache/amlrun".to_owned()];
    if !has_cache {
        kept.insert(0, place(".amlrun-cache"));
    }
    let restored = ["amlrun-${{ github.ref_name }}-", "amlrun-${{ github.base_ref }}-", "amlrun-"];
    let with = map(vec![
        ("path", Item::text(kept.join("\n") + "\n")),
        ("key", Item::text("amlrun-${{ github.ref_name }}-${{ github.run_id }}")),
        ("restore-keys", Item::text(restored.join("\n") + "\n")),
    ]);
    steps.push(map(vec![("uses", Item::text("actions/cache@v4")), ("with", with)]));
    if let Some(version) = python(&context) {
        let with = map(vec![("python-version", Item::text(version))]);
        steps.push(map(vec![("uses", Item::text("actions/setup-python@v5")), ("with", with)]));
    }
    steps.push(map(vec![("run", Item::text("cargo install --locked --git \"$AMLRUN_SOURCE\" amlrun"))]));
    let mut words = vec!["amlrun".to_owned()];
    if !has_cache {
        words.push("--cache \"$AMLRUN_CACHE\"".to_owned());
    }
    let mut goals = shell_words::join(goals);
    if !goals.is_empty() {
        goals.insert(0, ' ');
    }
    words.push("--junit amlrun.xml".to_owned());
    let run = format!("{}{goals}\namlrun status --exit-code{goals}\n", words.join(" "));
    steps.push(map(vec![("run", Item::text(run))]));
    let with = map(vec![("name", Item::text("amlrun")), ("path", Item::text(place("amlrun.xml")))]);
    steps.push(map(vec![
        ("if", Item::text("always()")),
        ("uses", Item::text("actions/upload-artifact@v4")),
        ("with", with),
    ]));
    let mut job = vec![("runs-on", Item::text("ubuntu-latest"))];
    if !inside.is_empty() {
        job.push(("defaults", map(vec![("run", map(vec![("working-directory", Item::text(inside))]))])));
    }
    job.push(("env", Item::Map(variables)));
    job.push(("steps", Item::List(steps)));
    let workflow = map(vec![
        ("name", Item::text("train")),
        ("on", Item::List(vec![Item::text("push"), Item::text("pull_request")])),
        ("jobs", map(vec![("train", map(job))])),
    ]);
    exported.files.insert("train.yml".to_owned(), format!("{HEAD}{}", document(&workflow)));
    account(&mut context, has_cache);
    context.report.sort();
    exported.report = context.report;
    exported
}

/// Variables of the caller that the jobs want: their `secrets`, and what `${env.X}` names. Those that every machine has are
/// not among them.
fn secrets(context: &Context<'_>) -> BTreeSet<String> {
    const USUAL: &[&str] = &["HOME", "PATH", "USER", "PWD", "SHELL", "LANG", "TMPDIR", "CI"];
    let project = context.project;
    let mut found: BTreeSet<String> = context.plan.jobs.iter().flat_map(|job| job.secrets.clone()).collect();
    let of_values = |value: &Value| match value {
        Value::Text(text) => vec![text.clone()],
        _ => Vec::new(),
    };
    let mut texts: Vec<String> = project.params.values().flat_map(|(value, _)| of_values(value)).collect();
    for job in &context.plan.jobs {
        let experiment = &project.experiments[job.experiment];
        texts.extend(experiment.params.values().flat_map(|(value, _)| of_values(value)));
        texts.extend(experiment.arguments.iter().map(|(text, _)| text.clone()));
        texts.extend(experiment.inputs.iter().chain(&experiment.outputs).map(|one| one.path.clone()));
        let variables = project.environments[job.environment].variables.values();
        texts.extend(variables.map(|(text, _)| text.clone()));
        if let Action::Command(text, _) = &experiment.action {
            texts.push(text.clone());
        }
    }
    for (name, _) in texts.iter().flat_map(|text| template::names(text)) {
        if let Reference::Variable(variable) = Reference::of(name) {
            found.extend((!USUAL.contains(&variable)).then(|| variable.to_owned()));
        }
    }
    found
}

/// The Python that an environment asks for by version.
fn python(context: &Context<'_>) -> Option<String> {
    let mut used = context.plan.jobs.iter().map(|job| &context.project.environments[job.environment].kind);
    used.find_map(|kind| match kind {
        EnvironmentKind::Managed { python, .. } => python.clone(),
        _ => None,
    })
}

/// What the machines of the service lack.
fn account(context: &mut Context<'_>, has_cache: bool) {
    let (project, plan) = (context.project, context.plan);
    if has_cache {
        let why =
            "the cache that the workflow uses: its credentials must be variables of the job (docs/cache-format.md)";
        context.say("workspace", "", "cache", Outcome::Translated, why);
    }
    for job in &plan.jobs {
        let name = project.experiments[job.experiment].name.clone();
        if !job.secrets.is_empty() {
            context.say("experiments", &name, "secrets", Outcome::Translated, "secrets of the repository");
        }
        let target = &project.targets[job.target];
        if target.kind != TargetKind::Local {
            let why = format!("the machines of the service must reach `{}`: give them its credentials", target.name);
            context.say("experiments", &name, "target", Outcome::NoCounterpart, why);
        }
        if job.resources.gpus > 0 {
            let why = "gpus: choose a machine that has them in `runs-on`";
            context.say("experiments", &name, "resources", Outcome::NoCounterpart, why);
        }
        let environment = &project.environments[job.environment];
        if let EnvironmentKind::UserManaged { interpreter: Some(_) } = &environment.kind {
            let why = "an interpreter of this machine, which those of the service lack";
            context.say("environments", &environment.name, "interpreter", Outcome::NoCounterpart, why);
        }
    }
}
