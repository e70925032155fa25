//! From the Amlfile's table to the model.

use super::{Base, Choice, Draw, Halving, Numeric, Rule, Sampling, Slack, Sweep, Termination};
use crate::amlfile::document::{Entry, Item, Table};
use crate::amlfile::keys::EXPRESSIONS;
use crate::amlfile::units;
use crate::diagnostic::{Diagnostic, Span};
use crate::project::model::Experiment;
use crate::project::{Resolver, read};

impl Resolver<'_> {
    pub(in crate::project) fn sweep(&mut self, entry: &Entry<'_>, of: &Experiment) -> Option<Box<Sweep>> {
        let table = entry.item.table()?;
        let text = |key: &str| table.text(key).map(|(text, _)| text.to_owned());
        let count = |key: &str| table.get(key).and_then(Item::count);
        let time = |key: &str| table.text(key).and_then(|(text, _)| units::time(text).ok());
        let sampling = self.sampling(table);
        self.sweep_needs(entry, table, sampling);
        let sweep = Sweep {
            span: entry.key_span.clone(),
            metric: text("metric").unwrap_or_default(),
            maximize: table.text("goal").is_some_and(|(goal, _)| goal == "maximize"),
            max_trials: count("max_trials"),
            max_concurrent: count("max_concurrent"),
            max_duration: time("max_duration"),
            trial_timeout: time("trial_timeout"),
            max_failed: count("max_failed"),
            seed: count("seed").unwrap_or(0),
            resume_from: table.get("resume_from").map(read::plain_texts).unwrap_or_default(),
            space: self.space(table, sampling),
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

    /// `sampling`, and `rule`, by which version 2 of Azure ML asks for a Sobol sequence.
    fn sampling(&mut self, table: &Table<'_>) -> Sampling {
        let sampling = match table.text("sampling").map(|(text, _)| text) {
            Some("grid") => Sampling::Grid,
            Some("sobol") => Sampling::Sobol,
            Some("bayesian") => Sampling::Bayesian,
            _ => Sampling::Random,
        };
        match (sampling, table.text("rule")) {
            (Sampling::Random, Some(("sobol", _))) => Sampling::Sobol,
            (Sampling::Random | Sampling::Sobol, _) | (_, None) => sampling,
            (_, Some((_, span))) => {
                let message = format!("`rule` says nothing with `sampling = \"{}\"`", sampling.name());
                self.fault(
                    Diagnostic::error("bad-sampling", span.clone(), message, "no rule to choose")
                        .help("`rule` goes with `sampling = \"random\"`"),
                );
                sampling
            }
        }
    }

    fn sweep_needs(&mut self, entry: &Entry<'_>, table: &Table<'_>, sampling: Sampling) {
        let keys: &[&str] = if sampling == Sampling::Grid {
            &["metric", "goal", "space"]
        } else {
            &["metric", "goal", "space", "max_trials"]
        };
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

    fn space(&mut self, sweep: &Table<'_>, sampling: Sampling) -> Vec<(String, Draw, Span)> {
        let mut space = Vec::new();
        for entry in sweep.table("space") {
            self.param_name(entry);
            if sampling == Sampling::Grid {
                self.only_choices(&entry.item);
            }
            let draw = draw(&entry.item).unwrap_or_else(faulty);
            space.push((entry.key.clone().into_owned(), draw, entry.item.span.clone()));
        }
        space
    }

    /// A grid takes `choice` only, nested ones too.
    fn only_choices(&mut self, item: &Item<'_>) {
        let Some([entry]) = item.table().map(Table::entries) else { return };
        if entry.key != "choice" && EXPRESSIONS.iter().any(|known| known.name == entry.key) {
            let message = format!("`grid` sampling cannot draw from `{}`", entry.key);
            let fault = Diagnostic::error("bad-expression", item.span.clone(), message, "not in a grid");
            self.fault(fault.help("a grid takes `choice` only"));
        }
        let nested = entry.item.list().into_iter().flatten().filter_map(Item::table);
        for inner in nested.flat_map(Table::entries).filter(|inner| inner.item.table().is_some()) {
            self.only_choices(&inner.item);
        }
    }

    fn termination(&mut self, item: &Item<'_>) -> Option<Termination> {
        let table = item.table()?;
        let policy = table.text("policy")?.0;
        let count = |key: &str| table.get(key).and_then(Item::count);
        let number = |key: &str| table.get(key).and_then(Item::number);
        let mut refuse = |message: &str, label: &str| {
            self.fault(Diagnostic::error("bad-termination", item.span.clone(), message, label));
        };
        let rule = match policy {
            "bandit" => match (number("slack_factor"), number("slack_amount")) {
                (Some(slack), None) | (None, Some(slack)) if !slack.is_finite() || slack < 0.0 => {
                    refuse("the slack of `bandit` must be 0 or more", "too little");
                    return None;
                }
                (Some(factor), None) => Rule::Bandit(Slack::Factor(factor)),
                (None, Some(amount)) => Rule::Bandit(Slack::Amount(amount)),
                _ => {
                    refuse("`bandit` needs exactly one of `slack_factor` and `slack_amount`", "how much slack?");
                    return None;
                }
            },
            "median_stopping" => Rule::Median,
            "truncation_selection" => {
                let Some(percentage @ 1..=99) = count("truncation_percentage") else {
                    refuse("`truncation_selection` needs a `truncation_percentage` from 1 to 99", "how many?");
                    return None;
                };
                Rule::Truncation(percentage)
            }
            "asha" | "hyperband" => {
                let (min, max) = (count("min_resource").unwrap_or(1), count("max_resource"));
                let factor = count("reduction_factor").unwrap_or(3);
                if factor < 2 {
                    refuse("a `reduction_factor` must be at least 2", "cuts nothing");
                }
                if max.is_some_and(|max| max < min) {
                    refuse("`max_resource` must not be below `min_resource`", "no room between them");
                }
                if policy == "hyperband" && max.is_none() {
                    refuse("`hyperband` needs a `max_resource`", "how many values does a whole trial log?");
                    return None;
                }
                let halving = Halving { min, max, factor: factor.max(2) };
                if policy == "asha" { Rule::Asha(halving) } else { Rule::Hyperband(halving) }
            }
            _ => Rule::Never,
        };
        let (interval, delay) =
            (count("evaluation_interval").unwrap_or(1).max(1), count("delay_evaluation").unwrap_or(0));
        Some(Termination { rule, interval, delay })
    }
}

/// An expression; nothing where it has not the shape of one, which was told before.
fn draw(item: &Item<'_>) -> Option<Draw> {
    let [entry] = item.table()?.entries() else { return None };
    let name = entry.key.as_ref();
    if name == "choice" {
        return Some(Draw::Choice(entry.item.list()?.iter().filter_map(choice).collect()));
    }
    let numbers: Vec<f64> = match entry.item.list() {
        Some(items) => items.iter().filter_map(Item::number).collect(),
        None => vec![entry.item.number()?],
    };
    if name == "randint" {
        let upper = entry.item.list().map_or(Some(&entry.item), <[_]>::first)?.integer()?;
        return Some(Draw::Number(Numeric { base: Base::Whole(u64::try_from(upper).ok()?), log: false, q: None }));
    }
    let (base, of) = match name.strip_suffix("uniform") {
        Some(of) => (Base::Uniform { min: *numbers.first()?, max: *numbers.get(1)? }, of),
        None => (Base::Normal { mu: *numbers.first()?, sigma: *numbers.get(1)? }, name.strip_suffix("normal")?),
    };
    let q = if of.starts_with('q') { Some(*numbers.get(2)?) } else { None };
    Some(Draw::Number(Numeric { base, log: of.ends_with("log"), q }))
}

/// In the place of an expression that has not the shape of one, so that its name is known for what it is.
fn faulty() -> Draw {
    Draw::Choice(Vec::new())
}

fn choice(item: &Item<'_>) -> Option<Choice> {
    let Some(table) = item.table() else { return item.value().map(Choice::Value) };
    let nested = table.entries().iter().filter_map(|entry| {
        let choice = match entry.item.table() {
            Some(_) => Choice::Draw(draw(&entry.item).unwrap_or_else(faulty)),
            None => Choice::Value(entry.item.value()?),
        };
        Some((entry.key.clone().into_owned(), choice))
    });
    Some(Choice::Nested(nested.collect()))
}
