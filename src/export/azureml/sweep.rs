//! Sweeps.

use super::super::context::Context;
use super::super::names::identifier;
use crate::foreign::Outcome;
use crate::plan::Job;
use crate::project::sweep::{Base, Choice, Draw, Numeric, Rule, Sampling, Slack, Sweep};
use crate::value::Value;
use crate::yaml::write::Item;

type Map = Vec<(String, Item)>;

/// Whether no choice holds further ones.
pub(super) fn is_flat(sweep: &Sweep) -> bool {
    let flat = |choice: &Choice| matches!(choice, Choice::Value(_));
    sweep.space.iter().all(|(_, draw, _)| match draw {
        Draw::Choice(choices) => choices.iter().all(flat),
        Draw::Number(_) => true,
    })
}

/// The keys of a sweep job, and names whose spelling v2 does not take: `(key, name)`.
pub(super) fn keys(context: &mut Context<'_>, job: &Job, sweep: &Sweep) -> (Map, Vec<(String, String)>) {
    let name = context.project.experiments[job.experiment].name.clone();
    let map =
        |pairs: Vec<(&str, Item)>| Item::Map(pairs.into_iter().map(|(key, item)| (key.to_owned(), item)).collect());
    let whole = |number: u64| Item::Scalar(number.into());
    let mut keys: Map = Vec::new();
    let sobol = sweep.sampling == Sampling::Sobol;
    let kind = if sobol { "random" } else { sweep.sampling.name() };
    let sampling = if !sobol && (sweep.seed == 0 || sweep.sampling != Sampling::Random) {
        Item::text(kind)
    } else {
        let mut pairs = vec![("type", Item::text(kind))];
        pairs.extend((sweep.seed != 0).then(|| ("seed", whole(sweep.seed.into()))));
        pairs.extend(sobol.then(|| ("rule", Item::text("sobol"))));
        map(pairs)
    };
    keys.push(("sampling_algorithm".to_owned(), sampling));
    let goal = if sweep.maximize { "maximize" } else { "minimize" };
    let objective = map(vec![("goal", Item::text(goal)), ("primary_metric", Item::text(&sweep.metric))]);
    keys.push(("objective".to_owned(), objective));
    let mut space = Vec::new();
    let mut renamed = Vec::new();
    for (param, draw, _) in &sweep.space {
        let key = identifier(param, false);
        if key != *param {
            renamed.push((key.clone(), param.clone()));
        }
        space.push((key, map(expression(draw))));
    }
    keys.push(("search_space".to_owned(), Item::Map(space)));
    let trials = sweep.max_trials.map_or_else(|| cells(sweep), u64::from);
    let mut limits = vec![("max_total_trials", whole(trials))];
    limits.extend(sweep.max_concurrent.map(|n| ("max_concurrent_trials", whole(n.into()))));
    limits.extend(sweep.max_duration.map(|time| ("timeout", whole(time.as_secs()))));
    let trial = sweep.trial_timeout.or(job.resources.time);
    limits.extend(trial.map(|time| ("trial_timeout", whole(time.as_secs()))));
    keys.push(("limits".to_owned(), map(limits)));
    if let Some(policy) = &sweep.termination {
        let pairs = match policy.rule {
            Rule::Bandit(Slack::Factor(slack)) => vec![("type", Item::text("bandit")), ("slack_factor", number(slack))],
            Rule::Bandit(Slack::Amount(slack)) => vec![("type", Item::text("bandit")), ("slack_amount", number(slack))],
            Rule::Median => vec![("type", Item::text("median_stopping"))],
            Rule::Truncation(percentage) => {
                let percentage = ("truncation_percentage", whole(percentage.into()));
                vec![("type", Item::text("truncation_selection")), percentage]
            }
            Rule::Never => Vec::new(),
            Rule::Asha(_) | Rule::Hyperband(_) => {
                let why = "early_termination: v2 has no successive halving; trials run to their end there";
                context.say("experiments", &name, "sweep", Outcome::NoCounterpart, why);
                Vec::new()
            }
        };
        if !pairs.is_empty() {
            let intervals = [
                ("evaluation_interval", whole(policy.interval.into())),
                ("delay_evaluation", whole(policy.delay.into())),
            ];
            keys.push(("early_termination".to_owned(), map(pairs.into_iter().chain(intervals).collect())));
        }
    }
    context.say("experiments", &name, "sweep", Outcome::Translated, "a sweep job");
    if sweep.max_failed.is_some() {
        context.say("experiments", &name, "sweep", Outcome::NoCounterpart, "max_failed: v2 has no such limit");
    }
    if !sweep.resume_from.is_empty() {
        context.say(
            "experiments",
            &name,
            "sweep",
            Outcome::NoCounterpart,
            "resume_from: v2 cannot go on with a search",
        );
    }
    (keys, renamed)
}

/// How many trials a grid has.
fn cells(sweep: &Sweep) -> u64 {
    let axes = sweep.space.iter().map(|(_, draw, _)| match draw {
        Draw::Choice(choices) => choices.len() as u64,
        Draw::Number(_) => 1,
    });
    axes.fold(1, u64::saturating_mul)
}

fn expression(draw: &Draw) -> Vec<(&'static str, Item)> {
    let Numeric { base, log, q } = match draw {
        Draw::Choice(choices) => {
            let values = choices.iter().filter_map(|choice| match choice {
                Choice::Value(value) => Some(value_item(value)),
                Choice::Nested(_) | Choice::Draw(_) => None,
            });
            return vec![("type", Item::text("choice")), ("values", Item::List(values.collect()))];
        }
        Draw::Number(numeric) => *numeric,
    };
    let (kind, mut pairs) = match base {
        Base::Whole(upper) => ("randint", vec![("upper", Item::Scalar(upper.into()))]),
        Base::Uniform { min, max } => ("uniform", vec![("min_value", number(min)), ("max_value", number(max))]),
        Base::Normal { mu, sigma } => ("normal", vec![("mu", number(mu)), ("sigma", number(sigma))]),
    };
    let name = format!("{}{}{kind}", if q.is_some() { "q" } else { "" }, if log { "log" } else { "" });
    pairs.extend(q.map(|q| ("q", number(q))));
    pairs.insert(0, ("type", Item::text(name)));
    pairs
}

fn value_item(value: &Value) -> Item {
    match value {
        Value::Bool(truth) => Item::Scalar((*truth).into()),
        Value::Integer(number) => Item::Scalar((*number).into()),
        Value::Float(one) => number(one.value),
        Value::Text(text) => Item::text(text),
        Value::List(_) => Item::text(value.to_string()),
    }
}

/// A number, whole ones without a point.
fn number(value: f64) -> Item {
    #[expect(clippy::cast_possible_truncation, reason = "it was looked at before")]
    if value.fract() == 0.0 && value.abs() < 1e15 {
        Item::Scalar((value as i64).into())
    } else {
        Item::Scalar(value.into())
    }
}
