//! `[experiments.*.sweep]`: what is searched, how, and when it ends.

mod reader;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::diagnostic::Span;
use crate::value::Value;

/// A sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Where it is headed.
    pub span: Span,
    /// `sampling`, and `rule`.
    pub sampling: Sampling,
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
    /// `max_failed`: how many trials may fail before the sweep ends.
    pub max_failed: Option<u32>,
    /// `seed`; 0 where it is not given, so that a sweep that is asked for again proposes what it proposed.
    pub seed: u32,
    /// `resume_from`.
    pub resume_from: Vec<String>,
    /// `space`, in the order of the text.
    pub space: Vec<(String, Draw, Span)>,
    /// `early_termination`.
    pub termination: Option<Termination>,
}

/// How trials are proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// Every point of a space of choices.
    Grid,
    /// Independent draws.
    Random,
    /// Draws that fill the space evenly.
    Sobol,
    /// Draws that learn from the trials before them.
    Bayesian,
}

impl Sampling {
    /// As the Amlfile writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Random => "random",
            Self::Sobol => "sobol",
            Self::Bayesian => "bayesian",
        }
    }
}

/// What a parameter is drawn from.
#[derive(Debug, Clone, PartialEq)]
pub enum Draw {
    /// `choice`.
    Choice(Vec<Choice>),
    /// Another expression.
    Number(Numeric),
}

/// One of the values of a `choice`.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// A value.
    Value(Value),
    /// A nested space: fixed values and further draws by name. Its parameters are set only where it is the one that was
    /// chosen; the parameter of the choice itself is set only where the nested space names it.
    Nested(Vec<(String, Choice)>),
    /// A further draw, within a nested space.
    Draw(Draw),
}

/// An expression that draws a number: `round(exp(base) / q) * q`, without `exp` or `q` where it has none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numeric {
    /// The distribution that is drawn from first.
    pub base: Base,
    /// Whether `exp` of it is taken.
    pub log: bool,
    /// What it is rounded to a multiple of.
    pub q: Option<f64>,
}

/// What a numeric expression draws from first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Base {
    /// `randint`: a whole number from 0 up to, not including, this one.
    Whole(u64),
    /// A number between two.
    Uniform {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// A normally distributed number.
    Normal {
        /// The mean.
        mu: f64,
        /// The standard deviation; 0 draws the mean.
        sigma: f64,
    },
}

/// `early_termination`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Termination {
    /// `policy`, and what it is given.
    pub rule: Rule,
    /// `evaluation_interval`.
    pub interval: u32,
    /// `delay_evaluation`.
    pub delay: u32,
}

/// The rule of an early termination policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// `none`.
    Never,
    /// `bandit`.
    Bandit(Slack),
    /// `median_stopping`.
    Median,
    /// `truncation_selection`: how many of 100 are ended.
    Truncation(u32),
    /// `asha`.
    Asha(Halving),
    /// `hyperband`: its `max_resource` is given.
    Hyperband(Halving),
}

/// How much worse than the best a trial may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slack {
    /// `slack_factor`.
    Factor(f64),
    /// `slack_amount`.
    Amount(f64),
}

/// What successive halving is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halving {
    /// `min_resource`: logged values before the first cut.
    pub min: u32,
    /// `max_resource`: logged values of a whole trial.
    pub max: Option<u32>,
    /// `reduction_factor`: one of how many goes on.
    pub factor: u32,
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

    /// The names of the parameters that some trials leave out: those that not every value of their choice sets.
    #[must_use]
    pub fn conditional(&self) -> BTreeSet<&str> {
        let mut names: BTreeSet<&str> = self.names().into_iter().collect();
        for always in self.space.iter().map(|(name, draw, _)| always(name, draw)) {
            names.retain(|name| !always.contains(name));
        }
        names
    }
}

/// What every value of a draw sets.
fn always<'s>(name: &'s str, draw: &'s Draw) -> BTreeSet<&'s str> {
    let Draw::Choice(choices) = draw else { return BTreeSet::from([name]) };
    let sets = choices.iter().map(|choice| always_chosen(name, choice));
    sets.reduce(|all, own| all.intersection(&own).copied().collect()).unwrap_or_else(|| BTreeSet::from([name]))
}

fn always_chosen<'s>(name: &'s str, choice: &'s Choice) -> BTreeSet<&'s str> {
    match choice {
        Choice::Value(_) => BTreeSet::from([name]),
        Choice::Draw(draw) => always(name, draw),
        Choice::Nested(inner) => inner.iter().flat_map(|(name, choice)| always_chosen(name, choice)).collect(),
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
