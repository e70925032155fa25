//! What a sweep searches: `search_space`, the names that a command has for it, and what of it is kept for the way back.
//!
//! v2 takes choices that hold spaces of their own as an Amlfile has them. It takes no truths and no lists as values of a choice:
//! those are texts there, as amlrun gives them to a script, and the draw itself is kept in `properties`.

use std::collections::BTreeSet;

use super::super::context::Context;
use super::super::names::{free, identifier};
use crate::foreign::Outcome;
use crate::foreign::model::Toml;
use crate::foreign::write;
use crate::plan::Job;
use crate::project::model::Action;
use crate::project::sweep::{Base, Choice, Draw, Numeric, Sweep};
use crate::project::template::{self, Reference};
use crate::value::Value;
use crate::yaml::write::Item;

/// The key of a searched parameter there.
pub(super) fn key(sweep: &Sweep, name: &str) -> String {
    let keys = keys(sweep);
    keys.into_iter().find(|(known, _)| *known == name).map_or_else(|| identifier(name, false), |(_, key)| key)
}

/// All searched parameters, each once, and their keys there.
fn keys(sweep: &Sweep) -> Vec<(&str, String)> {
    let mut taken = BTreeSet::new();
    let mut keys: Vec<(&str, String)> = Vec::new();
    for name in sweep.names() {
        if keys.iter().all(|(known, _)| *known != name) {
            keys.push((name, free(&identifier(name, false), &mut taken)));
        }
    }
    keys
}

/// `search_space`.
pub(super) fn search_space(sweep: &Sweep) -> Item {
    Item::Map(sweep.space.iter().map(|(name, draw, _)| (key(sweep, name), expression(sweep, draw))).collect())
}

/// What stands in `properties` of it: names whose spelling v2 does not take, draws with values that it does not take, and
/// what a parameter is where a trial leaves it out. Tells of what a command is not told there.
pub(super) fn kept(context: &mut Context<'_>, job: &Job, sweep: &Sweep) -> Vec<(String, String)> {
    let experiment = &context.project.experiments[job.experiment];
    let mut kept = Vec::new();
    for (name, key) in keys(sweep) {
        if key != name {
            kept.push((format!("amlrun.param-name.{key}"), name.to_owned()));
        }
    }
    for (name, draw, _) in sweep.space.iter().filter(|(_, draw, _)| !is_said(draw)) {
        kept.push((format!("amlrun.space.{}", key(sweep, name)), write::toml(&toml(draw))));
    }
    let conditional = sweep.conditional();
    let defaults = defaults(context, job, &conditional);
    if !defaults.is_empty() {
        kept.push(("amlrun.defaults".to_owned(), write::toml(&Toml::Table(defaults))));
    }
    if !conditional.is_empty() {
        let why = format!(
            "{}: a trial may leave them out, and no `params` stand in for them there",
            conditional.into_iter().collect::<Vec<_>>().join(", ")
        );
        let name = experiment.name.clone();
        context.say("experiments", &name, "sweep", Outcome::NoCounterpart, why);
    }
    kept
}

/// The `params` that stand in for what a trial leaves out, and those that they name, as the Amlfile has them.
fn defaults(context: &Context<'_>, job: &Job, conditional: &BTreeSet<&str>) -> Vec<(String, Toml)> {
    let experiment = &context.project.experiments[job.experiment];
    let mut open: Vec<&str> = conditional.iter().rev().copied().collect();
    let mut found: Vec<(String, Toml)> = Vec::new();
    while let Some(name) = open.pop() {
        let cell = job.cell.iter().find(|(axis, _)| axis == name).map(|(_, value)| match value {
            Value::Text(text) => Value::Text(template::escape(text)),
            other => other.clone(),
        });
        let declared = experiment.params.get(name).or_else(|| context.project.params.get(name)).map(|(value, _)| value);
        if found.iter().any(|(known, _)| known == name) {
            continue;
        }
        if let (None, Some(Value::Text(text))) = (&cell, declared) {
            open.extend(template::names(text).filter_map(|(name, _)| match Reference::of(name) {
                Reference::Param(param) => Some(param),
                _ => None,
            }));
        }
        found.extend(cell.or_else(|| declared.cloned()).map(|value| (name.to_owned(), Toml::Value(value))));
    }
    found
}

/// The searched parameters that nothing names: amlrun appends them to the arguments, and so does the export.
pub(super) fn unnamed<'s>(context: &Context<'_>, job: &Job, sweep: &'s Sweep) -> Vec<&'s str> {
    let experiment = &context.project.experiments[job.experiment];
    let mut texts: Vec<&str> = experiment.arguments.iter().map(|(text, _)| text.as_str()).collect();
    if let Action::Command(text, _) = &experiment.action {
        texts.push(text);
    }
    texts.extend(context.project.environments[job.environment].variables.values().map(|(text, _)| text.as_str()));
    let mut named = BTreeSet::new();
    while let Some(text) = texts.pop() {
        for (name, _) in template::names(text) {
            let Reference::Param(param) = Reference::of(name) else { continue };
            if !named.insert(param) || context.set.contains(param) {
                continue;
            }
            let value = experiment.params.get(param).or_else(|| context.project.params.get(param));
            if let Some((Value::Text(text), _)) = value {
                texts.push(text);
            }
        }
    }
    let open = keys(sweep).into_iter().map(|(name, _)| name);
    open.filter(|name| !named.contains(name) && !job.params.contains_key(*name)).collect()
}

/// How many trials a grid has.
pub(super) fn cells(sweep: &Sweep) -> u64 {
    sweep.space.iter().map(|(_, draw, _)| cells_of(draw)).fold(1, u64::saturating_mul)
}

fn cells_of(draw: &Draw) -> u64 {
    let Draw::Choice(choices) = draw else { return 1 };
    let below = |(_, choice): &(String, Choice)| if let Choice::Draw(draw) = choice { cells_of(draw) } else { 1 };
    let of = |choice: &Choice| match choice {
        Choice::Nested(inner) => inner.iter().map(below).fold(1, u64::saturating_mul),
        Choice::Value(_) | Choice::Draw(_) => 1,
    };
    choices.iter().map(of).fold(0, u64::saturating_add)
}

/// Whether all values of a draw are read back from the document as they were.
fn is_said(draw: &Draw) -> bool {
    let Draw::Choice(choices) = draw else { return true };
    choices.iter().all(|choice| match choice {
        Choice::Value(value) => is_same(value),
        Choice::Draw(draw) => is_said(draw),
        Choice::Nested(inner) => inner.iter().all(|(_, choice)| match choice {
            Choice::Value(value) => is_same(value),
            Choice::Draw(draw) => is_said(draw),
            Choice::Nested(_) => true,
        }),
    })
}

fn is_same(value: &Value) -> bool {
    match value {
        Value::Integer(_) | Value::Text(_) => true,
        // Another tool may write the number anew: only its shortest text with a point is sure to stay.
        Value::Float(one) => one.value.fract() != 0.0 && one.text == one.value.to_string(),
        Value::Bool(_) | Value::List(_) => false,
    }
}

/// The draw as an Amlfile has it.
fn toml(draw: &Draw) -> Toml {
    let float = |value: f64| Toml::Value(Value::Float(value.into()));
    let (name, arguments) = match draw {
        Draw::Choice(choices) => ("choice".to_owned(), Toml::List(choices.iter().map(choice_toml).collect())),
        Draw::Number(numeric) => {
            let (first, more) = match numeric.base {
                Base::Whole(upper) => {
                    let upper = Toml::integer(i64::try_from(upper).unwrap_or(i64::MAX));
                    return Toml::Table(vec![("randint".to_owned(), upper)]);
                }
                Base::Uniform { min, max } => (float(min), float(max)),
                Base::Normal { mu, sigma } => (float(mu), float(sigma)),
            };
            (kind(numeric), Toml::List([first, more].into_iter().chain(numeric.q.map(float)).collect()))
        }
    };
    Toml::Table(vec![(name, arguments)])
}

fn choice_toml(choice: &Choice) -> Toml {
    match choice {
        Choice::Value(value) => Toml::Value(value.clone()),
        Choice::Draw(draw) => toml(draw),
        Choice::Nested(inner) => {
            Toml::Table(inner.iter().map(|(name, choice)| (name.clone(), choice_toml(choice))).collect())
        }
    }
}

fn expression(sweep: &Sweep, draw: &Draw) -> Item {
    let mut pairs = match draw {
        Draw::Choice(choices) => {
            let values = choices.iter().map(|choice| choice_item(sweep, choice)).collect();
            vec![("type", Item::text("choice")), ("values", Item::List(values))]
        }
        Draw::Number(numeric) => {
            let own = match numeric.base {
                Base::Whole(upper) => vec![("upper", Item::Scalar(upper.into()))],
                Base::Uniform { min, max } => vec![("min_value", number(min)), ("max_value", number(max))],
                Base::Normal { mu, sigma } => vec![("mu", number(mu)), ("sigma", number(sigma))],
            };
            std::iter::once(("type", Item::text(kind(numeric)))).chain(own).collect()
        }
    };
    if let Draw::Number(Numeric { q: Some(q), .. }) = draw {
        pairs.push(("q", number(*q)));
    }
    Item::Map(pairs.into_iter().map(|(key, item)| (key.to_owned(), item)).collect())
}

fn kind(numeric: &Numeric) -> String {
    let base = match numeric.base {
        Base::Whole(_) => "randint",
        Base::Uniform { .. } => "uniform",
        Base::Normal { .. } => "normal",
    };
    format!("{}{}{base}", if numeric.q.is_some() { "q" } else { "" }, if numeric.log { "log" } else { "" })
}

fn choice_item(sweep: &Sweep, choice: &Choice) -> Item {
    match choice {
        Choice::Value(value) => value_item(value),
        Choice::Draw(draw) => expression(sweep, draw),
        Choice::Nested(inner) => {
            Item::Map(inner.iter().map(|(name, choice)| (key(sweep, name), choice_item(sweep, choice))).collect())
        }
    }
}

/// A value that v2 takes in a choice.
fn value_item(value: &Value) -> Item {
    match value {
        Value::Integer(number) => Item::Scalar((*number).into()),
        Value::Float(one) if one.value.is_finite() => number(one.value),
        Value::Text(text) => Item::text(text),
        Value::Float(_) | Value::Bool(_) | Value::List(_) => Item::text(value.to_string()),
    }
}

/// A number, whole ones without a point.
pub(super) fn number(value: f64) -> Item {
    #[expect(clippy::cast_possible_truncation, reason = "it was looked at before")]
    if value.fract() == 0.0 && value.abs() < 1e15 {
        Item::Scalar((value as i64).into())
    } else {
        Item::Scalar(value.into())
    }
}
