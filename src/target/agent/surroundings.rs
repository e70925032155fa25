//! Environments on the target, and what `targets check` says of it. An environment there has the key that it has here: where
//! what is there would be another one, the run is refused rather than recorded under a key that is not its own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Link;
use crate::launch::Recipe;
use crate::target::remote::{Fault, Finding};

/// Says what an interpreter is, as it is asked here.
const PROBE: &str = include_str!("../../environment/probe.py");
/// How often a build is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// How a job is started there.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    /// The interpreter for Python scripts.
    pub(super) python: Option<String>,
    /// Put before PATH.
    pub(super) path: Vec<String>,
    /// Set for the job.
    pub(super) variables: BTreeMap<String, String>,
    /// The container that it runs in.
    pub(super) container: Option<Value>,
}

/// Makes the environment ready there. `told` hears the lines of a build, an empty one first.
pub(super) fn ready(link: &Link, recipe: &Recipe, told: &mut dyn FnMut(String)) -> Result<Around, Fault> {
    match recipe {
        Recipe::Bare => Ok(Around::default()),
        Recipe::Container(image) => super::image::ready(link, image, told),
        Recipe::UserManaged { wanted, facts } => user_managed(link, wanted, facts),
        Recipe::Managed { key, python, platform, pinned, unhashed } => {
            let (implementation, version) = python.split_once(' ').unwrap_or(("CPython", python));
            let minor: Vec<&str> = version.split('.').take(2).collect();
            let minor = minor.join(".");
            let names = [
                format!("python{minor}"),
                "python3".to_owned(),
                "python".to_owned(),
                format!("/usr/bin/python{minor}"),
                format!("/usr/local/bin/python{minor}"),
                format!("~/.pyenv/versions/{version}/bin/python"),
                format!("~/.local/bin/python{minor}"),
            ];
            let answers = probe(link, &names, python)?;
            let fits = |answer: &&Value| python_of(answer) == *python && text(answer, "platform") == *platform;
            let Some(base) = answers.iter().find(fits) else {
                let found: Vec<String> =
                    answers.iter().map(|a| format!("{} ({})", python_of(a), text(a, "platform"))).collect();
                let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
                return Err(Fault::Refused(format!(
                    "{}: the environment needs {python} on {platform}, there is: {found}; install {implementation} {version} \
                     there (`uv python install {version}`, or pyenv), or lock the environment for a Python that both have",
                    link.named()
                )));
            };
            let mut name = key.to_string();
            name.truncate(32);
            build(link, &name, &text(base, "found"), [pinned, unhashed], told)
        }
    }
}

fn build(
    link: &Link,
    key: &str,
    base: &str,
    texts: [&String; 2],
    told: &mut dyn FnMut(String),
) -> Result<Around, Fault> {
    let (mut begun, mut log, mut lines) = (false, 0, crate::target::log::Lines::default());
    let mut said = std::collections::VecDeque::new();
    loop {
        let ask = json!({"op": "build", "key": key, "base": base, "texts": texts, "begun": begun, "log": log});
        let (answer, piece) = link.exchange(&ask, &[])?;
        let state = text(&answer, "state");
        if state == "ready" {
            let python = text(&answer, "python");
            let folder = python.strip_suffix("/bin/python").unwrap_or(&python).to_owned();
            return Ok(Around {
                path: vec![format!("{folder}/bin")],
                variables: BTreeMap::from([("VIRTUAL_ENV".to_owned(), folder)]),
                python: Some(python),
                container: None,
            });
        }
        if !begun {
            told(String::new());
        }
        begun = true;
        log += piece.len() as u64;
        lines.add(&piece, &mut |line| {
            if said.len() == 20 {
                said.pop_front();
            }
            said.push_back(line.clone());
            told(line);
        });
        if state == "failed" {
            let tail: Vec<String> = said.into_iter().collect();
            let why = format!(
                "{}: the environment could not be built: {}\n{}",
                link.named(),
                text(&answer, "why"),
                tail.join("\n")
            );
            return Err(Fault::Refused(why));
        }
        std::thread::park_timeout(LOOK);
    }
}

/// An interpreter that is there must be what the one here is: same version, same platform, same packages.
fn user_managed(link: &Link, wanted: &str, facts: &BTreeMap<String, String>) -> Result<Around, Fault> {
    let answers = probe(link, &[wanted.to_owned()], "")?;
    let Some(answer) = answers.first() else {
        return Err(Fault::Refused(format!(
            "{}: there is no `{wanted}` that runs as Python 3; install it there, or name another interpreter",
            link.named()
        )));
    };
    let mut differ = Vec::new();
    let here = |name: &str| facts.get(name).map(String::as_str).unwrap_or_default();
    for (name, there) in [("python", python_of(answer)), ("platform", text(answer, "platform"))] {
        if here(name) != there {
            differ.push(format!("{name} is {there} there and {} here", here(name)));
        }
    }
    let there: BTreeMap<String, String> = answer
        .get("packages")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, version)| (name.clone(), version.as_str().unwrap_or_default().to_owned()))
        .collect();
    // `1.16.0 (files 1f0c…)` is a package that was not installed from an index: its version is all that can be compared.
    let packages: BTreeMap<&str, &str> = facts
        .iter()
        .filter_map(|(name, version)| Some((name.strip_prefix("package ")?, version.split(' ').next()?)))
        .filter(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    for (name, version) in &packages {
        match there.get(*name) {
            Some(other) if other == version => {}
            Some(other) => differ.push(format!("{name} is {other} there and {version} here")),
            None => differ.push(format!("{name} {version} is missing there")),
        }
    }
    differ.extend(
        there
            .iter()
            .filter(|(name, _)| !packages.contains_key(name.as_str()))
            .map(|(n, v)| format!("{n} {v} is missing here")),
    );
    if !differ.is_empty() {
        let more = differ.len().saturating_sub(3);
        differ.truncate(3);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        return Err(Fault::Refused(format!(
            "{}: `{wanted}` there is not what it is here ({}{more}), so its result would not be the one of this key; declare \
             `packages` or `requirements`, which amlrun builds alike on both",
            link.named(),
            differ.join("; ")
        )));
    }
    // What was not installed from an index, or is imported from a folder, may differ under the same version.
    let unlike = |(name, version): &(&String, &String)| {
        let known = ["python", "platform", "interpreter"].contains(&name.as_str());
        if name.starts_with("package ") { version.contains(" (") } else { !known }
    };
    if let Some((name, version)) = facts.iter().find(unlike) {
        return Err(Fault::Refused(format!(
            "{}: `{wanted}` here has {} ({version}), which cannot be compared with what is there; declare `packages` or \
             `requirements`, which amlrun builds alike on both",
            link.named(),
            name.strip_prefix("package ").unwrap_or(name)
        )));
    }
    let python = text(answer, "executable");
    let (prefix, base) = (text(answer, "prefix"), text(answer, "base_prefix"));
    if prefix == base {
        return Ok(Around { python: Some(text(answer, "found")), ..Around::default() });
    }
    let variables = BTreeMap::from([("VIRTUAL_ENV".to_owned(), prefix.clone())]);
    Ok(Around { python: Some(python), path: vec![format!("{prefix}/bin")], variables, container: None })
}

fn probe(link: &Link, names: &[String], stop: &str) -> Result<Vec<Value>, Fault> {
    let answer = link.ask(&json!({"op": "probe", "names": names, "probe": PROBE, "stop": stop}))?;
    Ok(answer.get("answers").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn python_of(answer: &Value) -> String {
    format!("{} {}", text(answer, "implementation"), text(answer, "version"))
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What `targets check` says. `now` is the time here, in milliseconds since 1970.
pub(super) fn findings(place: &str, answer: &Value, now: u64) -> Vec<Finding> {
    let number = |name: &str| answer.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let names = |name: &str| -> Vec<String> {
        let list = answer.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    let gib = |bytes: f64| format!("{:.1} GiB", bytes / f64::from(1_u32 << 30));
    let finding = |name: &str, good: bool, text: String| Finding { name: name.to_owned(), good, text };
    let tools = names("tools");
    let builds = tools.iter().any(|tool| tool == "uv" || tool == "venv");
    let free = number("free");
    let python = format!("{} ({})", text(answer, "python"), text(answer, "executable"));
    #[expect(clippy::cast_precision_loss, reason = "seconds apart")]
    let apart = (number("time") - now as f64 / 1000.0).abs();
    let gpus = match (number("gpus"), names("names")) {
        (n, _) if n < 1.0 => "none".to_owned(),
        (n, names) if names.is_empty() => format!("{n}"),
        (_, names) => names.join(", "),
    };
    vec![
        finding("connection", true, format!("{place} is reached ({})", text(answer, "host"))),
        finding("python", true, python),
        finding(
            "environments",
            builds,
            if builds {
                format!("can be built ({})", tools.join(", "))
            } else {
                "no uv and no venv: install uv, or python3-venv, where environments are to be built".to_owned()
            },
        ),
        finding(
            "disk",
            free > 1e9,
            if free > 1e9 {
                format!("{} free in {}", gib(free), text(answer, "directory"))
            } else {
                format!(
                    "only {} free in {}: make room, or name another folder with `directory`",
                    gib(free),
                    text(answer, "directory")
                )
            },
        ),
        finding("processors", true, format!("{}", number("cpus"))),
        finding("memory", true, gib(number("memory"))),
        finding("gpus", true, gpus),
        finding(
            "clock",
            apart < 60.0,
            if apart < 60.0 {
                "agrees with the one here".to_owned()
            } else {
                format!("{apart:.0} s away from the one here: set one of them right (NTP)")
            },
        ),
    ]
}
