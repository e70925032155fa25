//! `[experiments.*.sweep]`: what is searched, how, and when it ends. Not carried out in this build.

use std::time::Duration;

use super::model::Experiment;
use super::{Resolver, read};
use crate::amlfile::document::{Entry, Item, Table};
use crate::amlfile::keys::EXPRESSIONS;
use crate::amlfile::units;
use crate::diagnostic::{Diagnostic, Span};
use crate::value::Value;

/// A sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Where it is headed.
    pub span: Span,
    /// `sampling`: `grid`, `random`, `sobol` or `bayesian`.
    pub sampling: String,
    /// `metric`.
    pub metric: String,
    /// `goal`: whether more is better.
    pub maximize: bool,
    /// `max_trials`; none for a grid that ends by itself.
    pub max_trials: Option<u32>,
    /// `max_concurrent`.
    pub max_concurrent: Option<u32>,
    /// `max_duration`, of the whole sweep.
    pub max_duration: Option<Duration>,
    /// `trial_timeout`.
    pub trial_timeout: Option<Duration>,
    /// `max_failed`.
    pub max_failed: Option<u32>,
    /// `seed`.
    pub seed: Option<u32>,
    /// `resume_from`.
    pub resume_from: Vec<String>,
    /// `space`, in the order of the text.
    pub space: Vec<(String, Draw, Span)>,
    /// `early_termination`.
    pub termination: Option<Termination>,
}

/// What a parameter is drawn from.
#[derive(Debug, Clone, PartialEq)]
pub enum Draw {
    /// `choice`.
    Choice(Vec<Choice>),
    /// Another expression: its name and its arguments.
    Numbers(String, Vec<f64>),
}

/// One of the values of a `choice`.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// A value.
    Value(Value),
    /// A nested space: fixed values and further draws by name.
    Nested(Vec<(String, Choice)>),
    /// A further draw, within a nested space.
    Draw(Draw),
}

/// `early_termination`.
#[derive(Debug, Clone, PartialEq)]
pub struct Termination {
    /// `policy`.
    pub policy: String,
    /// `evaluation_interval`.
    pub interval: u32,
    /// `delay_evaluation`.
    pub delay: u32,
    /// The other numbers, which depend on the policy, by key.
    pub numbers: Vec<(String, f64)>,
}

impl Resolver<'_> {
    pub(super) fn sweep(&mut self, entry: &Entry<'_>, of: &Experiment) -> Option<Box<Sweep>> {
        let table = entry.item.table()?;
        let text = |key: &str| table.text(key).map(|(text, _)| text.to_owned());
        let count = |key: &str| table.get(key).and_then(Item::count);
        let time = |key: &str| table.text(key).and_then(|(text, _)| units::time(text).ok());
        let sampling = text("sampling").unwrap_or_else(|| "random".to_owned());
        self.sweep_needs(entry, table, &sampling);
        let sweep = Sweep {
            span: entry.key_span.clone(),
            metric: text("metric").unwrap_or_default(),
            maximize: table.text("goal").is_some_and(|(goal, _)| goal == "maximize"),
            max_trials: count("max_trials"),
            max_concurrent: count("max_concurrent"),
            max_duration: time("max_duration"),
            trial_timeout: time("trial_timeout"),
            max_failed: count("max_failed"),
            seed: count("seed"),
            resume_from: table.get("resume_from").map(read::plain_texts).unwrap_or_default(),
            space: self.space(table, &sampling),
            termination: table.get("early_termination").and_then(|item| self.termination(item)),
            sampling,
        };
        if let Some((axis, _, span)) =
            of.matrix.iter().find(|(axis, ..)| sweep.space.iter().any(|(name, ..)| name == axis))
        {
            let message = format!("`{axis}` is both an axis of the matrix and searched by the sweep");
            let fault = Diagnostic::error("matrix-and-sweep", span.clone(), message, "an axis");
            let place = sweep.space.iter().find(|(name, ..)| name == axis).map_or(0..0, |(.., span)| span.clone());
            self.fault(fault.with(place, "searched here"));
        }
        Some(Box::new(sweep))
    }

    fn sweep_needs(&mut self, entry: &Entry<'_>, table: &Table<'_>, sampling: &str) {
        let keys: &[&str] =
            if sampling == "grid" { &["metric", "goal", "space"] } else { &["metric", "goal", "space", "max_trials"] };
        for key in keys {
            if table.get(key).is_none() {
                let span = entry.key_span.clone();
                self.fault(Diagnostic::error(
                    "missing-key",
                    span,
                    format!("the sweep has no `{key}`"),
                    format!("needs a `{key}`"),
                ));
            }
        }
        if table.get("space").and_then(Item::table).is_some_and(|space| space.entries().is_empty()) {
            let span = table.get("space").map_or(0..0, |space| space.span.clone());
            self.fault(Diagnostic::error("empty-space", span, "the sweep's `space` is empty", "nothing to search"));
        }
    }

    fn space(&mut self, sweep: &Table<'_>, sampling: &str) -> Vec<(String, Draw, Span)> {
        let mut space = Vec::new();
        for entry in sweep.table("space") {
            self.param_name(entry);
            let Some((expression, draw)) = draw(&entry.item) else { continue };
            let known = EXPRESSIONS.iter().any(|known| known.name == expression);
            if sampling == "grid" && expression != "choice" && known {
                let message = format!("`grid` sampling cannot draw from `{expression}`");
                let fault = Diagnostic::error("bad-expression", entry.item.span.clone(), message, "not in a grid");
                self.fault(fault.help("a grid takes `choice` only"));
            }
            space.push((entry.key.clone().into_owned(), draw, entry.item.span.clone()));
        }
        space
    }

    fn termination(&mut self, item: &Item<'_>) -> Option<Termination> {
        let table = item.table()?;
        let policy = table.text("policy")?.0.to_owned();
        let fault =
            |message: &str, label: &str| Diagnostic::error("bad-termination", item.span.clone(), message, label);
        let slack = ["slack_factor", "slack_amount"].iter().filter(|key| table.get(key).is_some()).count();
        if policy == "bandit" && slack != 1 {
            self.fault(fault("`bandit` needs exactly one of `slack_factor` and `slack_amount`", "how much slack?"));
        }
        let percentage = table.get("truncation_percentage").and_then(Item::count);
        if policy == "truncation_selection" && percentage.is_none_or(|percentage| percentage > 99) {
            self.fault(fault("`truncation_selection` needs a `truncation_percentage` from 1 to 99", "how many?"));
        }
        let own = table
            .entries()
            .iter()
            .filter(|e| !matches!(e.key.as_ref(), "policy" | "evaluation_interval" | "delay_evaluation"));
        Some(Termination {
            interval: table.get("evaluation_interval").and_then(Item::count).unwrap_or(1),
            delay: table.get("delay_evaluation").and_then(Item::count).unwrap_or(0),
            numbers: own.filter_map(|e| Some((e.key.clone().into_owned(), e.item.number()?))).collect(),
            policy,
        })
    }
}

/// An expression and its name.
fn draw(item: &Item<'_>) -> Option<(String, Draw)> {
    let [entry] = item.table()?.entries() else { return None };
    let name = entry.key.clone().into_owned();
    if name == "choice" {
        let choices = entry.item.list()?.iter().filter_map(choice).collect();
        return Some((name, Draw::Choice(choices)));
    }
    let numbers = match entry.item.list() {
        Some(items) => items.iter().filter_map(Item::number).collect(),
        None => vec![entry.item.number()?],
    };
    Some((name.clone(), Draw::Numbers(name, numbers)))
}

fn choice(item: &Item<'_>) -> Option<Choice> {
    let Some(table) = item.table() else { return item.value().map(Choice::Value) };
    let nested = table.entries().iter().filter_map(|entry| {
        let choice = match entry.item.table() {
            Some(_) => Choice::Draw(draw(&entry.item)?.1),
            None => Choice::Value(entry.item.value()?),
        };
        Some((entry.key.clone().into_owned(), choice))
    });
    Some(Choice::Nested(nested.collect()))
}

impl Sweep {
    /// The names of all parameters that a trial sets, nested ones included.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for (name, draw, _) in &self.space {
            names.push(name.as_str());
            nested(draw, &mut names);
        }
        names
    }
}

fn nested<'s>(draw: &'s Draw, names: &mut Vec<&'s str>) {
    let Draw::Choice(choices) = draw else { return };
    for choice in choices {
        let Choice::Nested(inner) = choice else { continue };
        for (name, choice) in inner {
            names.push(name);
            if let Choice::Draw(draw) = choice {
                nested(draw, names);
            }
        }
    }
}
