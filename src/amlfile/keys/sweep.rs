//! The keys of `[experiments.*.sweep]`, and the expressions of its space.
//!
//! The ten expressions and their definitions are those of `HyperDrive` (`azureml.train.hyperdrive`).

use super::{Key, Kind, Tagged, key};

/// `[experiments.*.sweep]`.
pub const SWEEP: &[Key] = &[
    key("sampling", Kind::Choice(&["grid", "random", "sobol", "bayesian"]), "\"random\"", "How trials are proposed."),
    key("rule", Kind::Choice(&["random", "sobol"]), "\"random\"", "With `sampling = \"random\"`: how it draws."),
    key("metric", Kind::Text, "", "The metric that is compared."),
    key("goal", Kind::Choice(&["minimize", "maximize"]), "", "Which way is better."),
    key("max_trials", Kind::Positive, "", "Trials in all; a grid ends by itself."),
    key("max_concurrent", Kind::Positive, "", "Trials at once; as many as there are slots where not given."),
    key("max_duration", Kind::Time, "", "How long the whole sweep may take."),
    key("trial_timeout", Kind::Time, "", "How long one trial may take."),
    key("max_failed", Kind::Count, "", "How many trials may fail before the sweep ends."),
    key("seed", Kind::Count, "0", "The same seed proposes the same trials."),
    key("resume_from", Kind::List(&Kind::Text), "[]", "Earlier sweeps whose trials are known from the start."),
    key("space", Kind::Map(&Kind::Expression), "", "The parameters that are searched, with an expression each."),
    key("early_termination", Kind::Tagged(&TERMINATION), "", "Which trials are ended before their time."),
];

const TERMINATION: Tagged = Tagged {
    tag: "policy",
    doc: "The rule.",
    variants: &[
        (
            "bandit",
            &[
                key("slack_factor", Kind::Number, "", "How much worse than the best, as a ratio."),
                key("slack_amount", Kind::Number, "", "How much worse than the best, as a difference."),
            ],
        ),
        ("median_stopping", &[]),
        (
            "truncation_selection",
            &[key("truncation_percentage", Kind::Positive, "", "How many of 100 are ended: 1 to 99.")],
        ),
        ("asha", HALVING),
        ("hyperband", HALVING),
        ("none", &[]),
    ],
    common: &[
        key("evaluation_interval", Kind::Positive, "1", "Every how many logged values the rule is applied."),
        key("delay_evaluation", Kind::Count, "0", "How many logged values come before it is applied first."),
    ],
};

const HALVING: &[Key] = &[
    key("min_resource", Kind::Positive, "1", "Logged values before the first cut."),
    key("max_resource", Kind::Positive, "", "Logged values of a whole trial."),
    key("reduction_factor", Kind::Positive, "3", "One of how many goes on."),
];

/// An expression of a space.
#[derive(Debug, Clone, Copy)]
pub struct Expression {
    /// Its name.
    pub name: &'static str,
    /// Its arguments in order; `choice` takes any number of values instead.
    pub arguments: &'static [&'static str],
    /// What it draws.
    pub doc: &'static str,
}

/// The ten expressions.
pub const EXPRESSIONS: &[Expression] = &[
    Expression { name: "choice", arguments: &[], doc: "One of the listed values." },
    Expression { name: "randint", arguments: &["upper"], doc: "A whole number from 0 up to, not including, upper." },
    Expression { name: "uniform", arguments: &["min", "max"], doc: "A number between min and max." },
    Expression { name: "quniform", arguments: &["min", "max", "q"], doc: "round(uniform / q) * q." },
    Expression {
        name: "loguniform",
        arguments: &["min", "max"],
        doc: "exp(uniform(min, max)): min and max are exponents.",
    },
    Expression { name: "qloguniform", arguments: &["min", "max", "q"], doc: "round(loguniform / q) * q." },
    Expression { name: "normal", arguments: &["mu", "sigma"], doc: "Normally distributed." },
    Expression { name: "qnormal", arguments: &["mu", "sigma", "q"], doc: "round(normal / q) * q." },
    Expression { name: "lognormal", arguments: &["mu", "sigma"], doc: "exp(normal(mu, sigma))." },
    Expression { name: "qlognormal", arguments: &["mu", "sigma", "q"], doc: "round(lognormal / q) * q." },
];
