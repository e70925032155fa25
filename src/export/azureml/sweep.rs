//! Sweeps.

use super::super::context::Context;
use super::space;
use crate::foreign::Outcome;
use crate::plan::Job;
use crate::project::sweep::{Rule, Sampling, Slack, Sweep};
use crate::yaml::write::Item;

type Map = Vec<(String, Item)>;

/// The keys of a sweep job.
pub(super) fn keys(context: &mut Context<'_>, job: &Job, sweep: &Sweep) -> Map {
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
    keys.push(("search_space".to_owned(), space::search_space(sweep)));
    let trials = sweep.max_trials.map_or_else(|| space::cells(sweep), u64::from);
    let mut limits = vec![("max_total_trials", whole(trials))];
    limits.extend(sweep.max_concurrent.map(|n| ("max_concurrent_trials", whole(n.into()))));
    limits.extend(sweep.max_duration.map(|time| ("timeout", whole(time.as_secs()))));
    let trial = sweep.trial_timeout.or(job.resources.time);
    limits.extend(trial.map(|time| ("trial_timeout", whole(time.as_secs()))));
    keys.push(("limits".to_owned(), map(limits)));
    if let Some(policy) = &sweep.termination {
        let pairs = match policy.rule {
            Rule::Bandit(Slack::Factor(slack)) => {
                vec![("type", Item::text("bandit")), ("slack_factor", space::number(slack))]
            }
            Rule::Bandit(Slack::Amount(slack)) => {
                vec![("type", Item::text("bandit")), ("slack_amount", space::number(slack))]
            }
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
    keys
}
