//! The command line of a v2 job: the same words, with `${{…}}` for what the service fills in.

use super::super::context::Context;
use super::super::names::{free, identifier};
use super::paths::{Bound, Spoken};
use super::space;
use crate::foreign::model::Toml;
use crate::foreign::v2::{HAND_OVER, LAY_OUT, RUN};
use crate::foreign::{Outcome, write};
use crate::plan::Job;
use crate::plan::job::{Command, Runner};
use crate::project::model::{Action, Experiment};
use crate::project::sweep::Sweep;
use crate::project::template::{self, Piece, Reference};
use crate::value::Value;
use crate::yaml::write::Item;

/// A piece of a word.
enum Part {
    /// As it stands.
    Text(String),
    /// `${{…}}`, and what it stands for where that is known.
    Reference(String, String),
    /// A variable of the job.
    Variable(String),
}

/// The text of `command`, parameters bound as inputs.
pub(super) fn command(context: &mut Context<'_>, job: &Job, bound: &mut Bound) -> String {
    let experiment = &context.project.experiments[job.experiment];
    let mut line = match (&experiment.action, &job.command) {
        (Action::Script(script, _), Command::Script { runner, .. }) => {
            bound.property("script", script.clone());
            let quoted = shell_words::quote(script);
            match runner {
                Runner::Python => format!("python {quoted}"),
                Runner::Shell => format!("sh {quoted}"),
                Runner::Rscript => format!("Rscript {quoted}"),
                Runner::Itself => shell_words::quote(&format!("./{script}")).into_owned(),
            }
        }
        (Action::Command(text, _), _) => shell(context, job, experiment, text, bound),
        (Action::Script(script, _), Command::Shell(_)) => script.clone(),
    };
    let arguments = arguments(context, job, bound);
    if !arguments.is_empty() {
        line.extend([" ", &arguments]);
    }
    if let Some(sweep) = &experiment.sweep {
        let unnamed = space::unnamed(context, job, sweep);
        let keys: Vec<String> = unnamed.iter().map(|name| space::key(sweep, name)).collect();
        for (name, key) in unnamed.iter().zip(&keys) {
            line.extend([" ", &shell_words::quote(&format!("--{name}")), " ${{search_space.", key, "}}"]);
        }
        if !keys.is_empty() {
            bound.property("appended", write::toml(&Toml::texts(keys)));
        }
    }
    if line.contains("$[[") || literal(experiment).any(|text| text.contains("${{")) {
        let why = "a literal `${{` or `$[[` means something to Azure ML: write it otherwise";
        context.say("experiments", &experiment.name, "command", Outcome::NoCounterpart, why);
    }
    if bound.before.is_empty() && bound.after.is_empty() {
        return line;
    }
    let mut text = format!("{LAY_OUT}\nset -e\n");
    bound.before.iter().for_each(|one| text.extend([one, "\n"]));
    text.extend([RUN, "\n", &line]);
    if !bound.after.is_empty() {
        text.extend(["\n", HAND_OVER]);
        bound.after.iter().for_each(|one| text.extend(["\n", one]));
    }
    text
}

/// The declared arguments, a word each.
pub(super) fn arguments(context: &mut Context<'_>, job: &Job, bound: &mut Bound) -> String {
    let experiment = &context.project.experiments[job.experiment];
    let words: Vec<String> =
        experiment.arguments.iter().map(|(text, _)| word(context, job, experiment, text, bound)).collect();
    words.join(" ")
}

/// The texts of an experiment without their names.
fn literal(experiment: &Experiment) -> impl Iterator<Item = &str> {
    let command = match &experiment.action {
        Action::Command(text, _) => Some(text.as_str()),
        Action::Script(..) => None,
    };
    let texts = experiment.arguments.iter().map(|(text, _)| text.as_str()).chain(command);
    texts.flat_map(template::pieces).filter_map(|piece| match piece {
        Piece::Literal(text) => Some(text),
        _ => None,
    })
}

/// A command of the shell: values stand in it as they are, as amlrun puts them in itself.
fn shell(context: &mut Context<'_>, job: &Job, experiment: &Experiment, text: &str, bound: &mut Bound) -> String {
    let mut out = String::new();
    for piece in template::pieces(text) {
        match piece {
            Piece::Literal(literal) => out.push_str(literal),
            Piece::Unclosed(range) => out.push_str(text.get(range).unwrap_or_default()),
            Piece::Name(name, _) => {
                for part in parts(context, job, experiment, name, bound, false) {
                    match part {
                        Part::Text(path) if bound.references.contains_key(name.trim()) => {
                            out.push_str(&crate::plan::quoted_after(&out, &path));
                        }
                        Part::Text(text) | Part::Reference(text, _) => out.push_str(&text),
                        Part::Variable(name) => out.extend(["${", &name, "}"]),
                    }
                }
            }
        }
    }
    out
}

/// One argument: in quotes exactly where its value needs them.
fn word(context: &mut Context<'_>, job: &Job, experiment: &Experiment, text: &str, bound: &mut Bound) -> String {
    let parts = pieces(context, job, experiment, text, bound);
    let value: String = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) | Part::Reference(_, text) => text.as_str(),
            Part::Variable(_) => "'",
        })
        .collect();
    let plain = shell_words::quote(&value) == value;
    let mut out = String::from(if plain { "" } else { "'" });
    for part in &parts {
        match part {
            Part::Reference(reference, _) => out.push_str(reference),
            Part::Text(text) if plain => out.push_str(text),
            Part::Text(text) => out.push_str(&text.replace('\'', r"'\''")),
            Part::Variable(name) => out.extend(["'\"${", name, "}\"'"]),
        }
    }
    out + if plain { "" } else { "'" }
}

/// The pieces of a text that is quoted here.
fn pieces(context: &mut Context<'_>, job: &Job, experiment: &Experiment, text: &str, bound: &mut Bound) -> Vec<Part> {
    let mut found = Vec::new();
    for piece in template::pieces(text) {
        match piece {
            Piece::Literal(literal) => found.push(Part::Text(literal.to_owned())),
            Piece::Unclosed(range) => found.push(Part::Text(text.get(range).unwrap_or_default().to_owned())),
            Piece::Name(name, _) => found.extend(parts(context, job, experiment, name, bound, true)),
        }
    }
    found
}

/// What a name stands for; `in_word`: as a part of an argument, which is quoted here.
fn parts(
    context: &mut Context<'_>,
    job: &Job,
    experiment: &Experiment,
    name: &str,
    bound: &mut Bound,
    in_word: bool,
) -> Vec<Part> {
    if let Reference::Param(param) = Reference::of(name)
        && searched(job, experiment, param).is_none()
        && let Some(text) = context.of_caller(job, param)
    {
        return pieces(context, job, experiment, &text, bound);
    }
    vec![part(context, job, experiment, name, bound, in_word)]
}

fn part(
    context: &mut Context<'_>,
    job: &Job,
    experiment: &Experiment,
    name: &str,
    bound: &mut Bound,
    in_word: bool,
) -> Part {
    let name = name.trim();
    match Reference::of(name) {
        Reference::Input(_) | Reference::Output(_) => match bound.references.get(name) {
            // Where the service puts data there is nothing that a shell would take for more than a path.
            Some(Spoken::Reference(text)) => Part::Reference(text.clone(), "data".to_owned()),
            Some(Spoken::Path(path)) => Part::Text(path.clone()),
            None => Part::Text(format!("${{{name}}}")),
        },
        Reference::Variable(variable) => {
            let key = if matches!(experiment.action, Action::Command(..)) { "command" } else { "arguments" };
            let why = format!("`${{env.{variable}}}` became the job's own variable: give it in environment_variables");
            context.say("experiments", &experiment.name, key, Outcome::Translated, why);
            Part::Variable(variable.to_owned())
        }
        Reference::Param(name) => {
            if let Some(sweep) = searched(job, experiment, name) {
                let reference = format!("${{{{search_space.{}}}}}", space::key(sweep, name));
                return Part::Reference(reference, "value".to_owned());
            }
            let Some(value) = job.params.get(name) else { return Part::Text(format!("${{{name}}}")) };
            let text = value.to_string();
            if in_word && text.contains('\'') {
                // The service puts it in as it is, and a quote would end the quotes around it.
                let why = format!("`${{{name}}}` stands in the command as it is: its value has a quote in it");
                context.say("experiments", &experiment.name, "arguments", Outcome::Translated, why);
                return Part::Text(text);
            }
            Part::Reference(format!("${{{{inputs.{}}}}}", param(name, value, bound)), text)
        }
    }
}

/// The sweep that gives a parameter its values.
fn searched<'e>(job: &Job, experiment: &'e Experiment, name: &str) -> Option<&'e Sweep> {
    let sweep = experiment.sweep.as_deref()?;
    (sweep.names().contains(&name) && !job.params.contains_key(name)).then_some(sweep)
}

/// Binds a parameter once, and answers with its key.
fn param(name: &str, value: &Value, bound: &mut Bound) -> String {
    let known = bound.params.iter().find(|(known, _)| known == name).map(|(_, key)| key.clone());
    known.unwrap_or_else(|| {
        let key = free(&identifier(name, false), &mut bound.taken);
        let (item, same) = item(value);
        bound.inputs.push((key.clone(), item));
        if key != name {
            bound.property(&format!("param-name.{key}"), name.to_owned());
        }
        if !same {
            bound.property(&format!("param.{key}"), write::value(value));
        }
        bound.params.push((name.to_owned(), key.clone()));
        key
    })
}

/// A value as the script shall see it; whether it is read back as the same.
fn item(value: &Value) -> (Item, bool) {
    match value {
        Value::Integer(number) => (Item::Scalar((*number).into()), true),
        Value::Float(number) if is_plain_float(&number.text) => (Item::Number(number.text.clone()), true),
        Value::Text(text) => (Item::text(text), true),
        // Azure ML writes a truth as `True`, and has no lists: as texts they reach the script as amlrun gives them.
        Value::Bool(_) | Value::Float(_) | Value::List(_) => (Item::text(value.to_string()), false),
    }
}

/// `0.10`: a float to every reader of YAML.
fn is_plain_float(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    // The service writes a number anew, so that `0.10` would reach the script as `0.1`.
    let same = text.parse::<f64>().is_ok_and(|number| format!("{number:?}") == text);
    same && digits.split_once('.').is_some_and(|(whole, rest)| all(whole) && all(rest))
}
