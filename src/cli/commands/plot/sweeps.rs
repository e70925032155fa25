//! What a sweep came to: the best value over trials and over time, how much each parameter tells of it, and every trial as a
//! line through its values. Drawn from the sweep's own record, which has its failed and stopped trials, too.

use std::collections::{BTreeMap, BTreeSet};

use super::charts::{Axis, Chart, Line, Trace};
use crate::cli::commands::runs::Desk;
use crate::cli::commands::runs::record::number;
use crate::cli::error::CliError;
use crate::history::History as _;
use crate::history::sweeps::{Sweep, Trial, TrialState};
use crate::value::Value;

/// With fewer completed trials nothing is said of parameters.
const LEAST: usize = 8;
/// Numbers are put into so many groups of as many trials each, in their order.
const GROUPS: usize = 4;

/// The charts of the newest sweep of every job; of those that are named, where any is.
pub(super) fn charts(desk: &Desk<'_>, names: &[String]) -> Result<Vec<Chart>, CliError> {
    let mut seen = BTreeSet::new();
    let mut charts = Vec::new();
    for sweep in desk.history.sweeps()? {
        let is_meant = names.is_empty() || names.iter().any(|name| *name == sweep.job.0 || *name == sweep.experiment);
        if is_meant && seen.insert(sweep.job.clone()) {
            let mut trials = desk.history.trials(&sweep.id)?;
            trials.retain(|trial| sweep.max_trials.is_none_or(|most| trial.number < most));
            charts.extend(of_sweep(&sweep, &trials));
        }
    }
    Ok(charts)
}

fn of_sweep(sweep: &Sweep, trials: &[Trial]) -> Vec<Chart> {
    let (job, metric) = (&sweep.job.0, &sweep.metric);
    let completed = trials.iter().filter(|trial| trial.state == TrialState::Completed);
    let mut done: Vec<(&Trial, f64)> =
        completed.filter_map(|trial| Some((trial, trial.objective.filter(|value| value.is_finite())?))).collect();
    done.sort_by_key(|(trial, _)| (trial.ended, trial.number));
    if done.len() < 2 {
        return Vec::new();
    }
    let better = |a: f64, b: f64| if sweep.maximize { a.max(b) } else { a.min(b) };
    let best: Vec<Option<f64>> = done
        .iter()
        .scan(done[0].1, |best, (_, value)| {
            *best = better(*best, *value);
            Some(Some(*best))
        })
        .collect();
    let count: Vec<f64> = (1_u32..).take(done.len()).map(f64::from).collect();
    let each = done.iter().map(|(_, value)| Some(*value)).collect();
    let curve = |title: String, x: &str, traces| Chart::Curve { title, x: x.to_owned(), y: metric.clone(), traces };
    let trace = |name: &str, x: &[f64], y| Trace { name: name.to_owned(), x: x.to_vec(), y };
    let mut charts = vec![curve(
        format!("{job}: best {metric} over trials"),
        "trials that ended",
        vec![trace("best so far", &count, best.clone()), trace("each trial", &count, each)],
    )];
    // Trials that were known before took no time: what they came to stands at the beginning.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds on an axis")]
    let seconds = |trial: &Trial| trial.ended.map_or(0.0, |ended| ended.since(sweep.started).as_millis() as f64 / 1e3);
    let time: Vec<f64> = done.iter().map(|(trial, _)| seconds(trial)).collect();
    charts.push(curve(
        format!("{job}: best {metric} over time"),
        "seconds since the sweep began",
        vec![trace("best so far", &time, best)],
    ));
    charts.extend(importance(sweep, &done));
    charts.extend(parallel(sweep, &done));
    charts
}

/// The values of a parameter, in the order of these trials; none where a trial has it not.
fn values<'t>(done: &[(&'t Trial, f64)], name: &str) -> Vec<Option<&'t Value>> {
    done.iter().map(|(trial, _)| trial.values.iter().find(|(own, _)| own == name).map(|(_, value)| value)).collect()
}

/// The parameters that were searched, in the order of the space.
fn parameters(done: &[(&Trial, f64)]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in done.iter().flat_map(|(trial, _)| &trial.values) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// A value as a number; none of texts, lists and truths.
fn as_number(value: &Value) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "a place on an axis")]
        Value::Integer(whole) => Some(*whole as f64),
        Value::Float(float) => Some(float.value),
        _ => None,
    }
}

/// How much of the variance of the trials' ranks a parameter tells alone: epsilon squared (Kelley, "An unbiased correlation
/// ratio measure", 1935), 0 where it tells nothing and 1 where it tells all.
fn importance(sweep: &Sweep, done: &[(&Trial, f64)]) -> Option<Chart> {
    if done.len() < LEAST {
        return None;
    }
    let objectives: Vec<f64> = done.iter().map(|(_, value)| *value).collect();
    let ranks = ranks(&objectives);
    let mut shares: Vec<(String, f64)> = parameters(done)
        .into_iter()
        .map(|name| {
            let share = told(&groups(&values(done, &name)), &ranks);
            (name, share)
        })
        .collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (labels, values) = shares.into_iter().unzip();
    let title = format!("{}: how much of {} each parameter tells", sweep.job.0, sweep.metric);
    Some(Chart::Shares { title, labels, values })
}

/// The rank of each value; equal ones share the middle of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let count =
        |is: &dyn Fn(f64) -> bool| u32::try_from(values.iter().filter(|other| is(**other)).count()).unwrap_or(u32::MAX);
    values
        .iter()
        .map(|own| {
            f64::from(count(&|other| other < *own))
                + (f64::from(count(&|other| other.total_cmp(own).is_eq())) - 1.0) / 2.0
        })
        .collect()
}

/// The group of each trial: one for each value, or for numbers of many values one for each stretch of them.
fn groups(values: &[Option<&Value>]) -> Vec<usize> {
    let texts: Vec<Option<String>> = values.iter().map(|value| value.map(ToString::to_string)).collect();
    let different: BTreeSet<&Option<String>> = texts.iter().collect();
    let numbers: Option<Vec<f64>> = values.iter().map(|value| as_number((*value)?)).collect();
    match numbers {
        Some(numbers) if different.len() > 2 * GROUPS => {
            let mut order: Vec<usize> = (0..numbers.len()).collect();
            order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b]));
            let mut groups = vec![0; numbers.len()];
            for (place, at) in order.iter().enumerate() {
                groups[*at] = place * GROUPS / numbers.len();
            }
            groups
        }
        _ => texts.iter().map(|text| different.iter().position(|other| *other == text).unwrap_or_default()).collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of trials")]
fn told(groups: &[usize], ranks: &[f64]) -> f64 {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let around = |of: &[f64]| of.iter().map(|value| (value - mean(of)).powi(2)).sum::<f64>();
    let mut by_group: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (group, rank) in groups.iter().zip(ranks) {
        by_group.entry(*group).or_default().push(*rank);
    }
    let (count, all) = (ranks.len() as f64, around(ranks));
    let left = count - by_group.len() as f64;
    if by_group.len() < 2 || left < 1.0 || all <= 0.0 {
        return 0.0;
    }
    let within: f64 = by_group.values().map(|of| around(of)).sum();
    (1.0 - (within / left) / (all / (count - 1.0))).max(0.0)
}

/// Every trial as a line through its values, the last axis being the metric.
fn parallel(sweep: &Sweep, done: &[(&Trial, f64)]) -> Option<Chart> {
    let names = parameters(done);
    let mut columns: Vec<(Axis, Vec<Option<f64>>)> = names.iter().map(|name| axis(name, &values(done, name))).collect();
    let objectives: Vec<f64> = done.iter().map(|(_, value)| *value).collect();
    columns.push(of_numbers(&sweep.metric, &objectives.iter().copied().map(Some).collect::<Vec<_>>()));
    let lines = done.iter().enumerate().map(|(at, (trial, value))| {
        let share = columns.last().and_then(|(_, places)| places[at]).unwrap_or(0.5);
        Line {
            name: format!("{}: {}", trial.job.0, number(*value)),
            at: columns.iter().map(|(_, places)| places[at]).collect(),
            good: if sweep.maximize { share } else { 1.0 - share },
        }
    });
    let lines = lines.collect();
    let axes: Vec<Axis> = columns.into_iter().map(|(axis, _)| axis).collect();
    let title = format!("{}: every trial", sweep.job.0);
    (!names.is_empty()).then_some(Chart::Parallel { title, axes, lines })
}

/// A parameter's axis, and where each trial is on it, from 0 to 1.
fn axis(name: &str, values: &[Option<&Value>]) -> (Axis, Vec<Option<f64>>) {
    let numbers: Vec<Option<f64>> = values.iter().map(|value| as_number((*value)?)).collect();
    if values.iter().zip(&numbers).all(|(value, number)| value.is_none() || number.is_some()) {
        return of_numbers(name, &numbers);
    }
    let texts: Vec<Option<String>> = values.iter().map(|value| value.map(ToString::to_string)).collect();
    let different: Vec<&String> = texts.iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    #[expect(clippy::cast_precision_loss, reason = "a count of values")]
    let place = |at: usize| if different.len() < 2 { 0.5 } else { at as f64 / (different.len() - 1) as f64 };
    let ticks = different.iter().enumerate().map(|(at, text)| (place(at), (*text).clone())).collect();
    let places = texts.iter().map(|text| different.iter().position(|other| Some(*other) == text.as_ref()).map(place));
    (Axis { name: name.to_owned(), ticks }, places.collect())
}

fn of_numbers(name: &str, numbers: &[Option<f64>]) -> (Axis, Vec<Option<f64>>) {
    let all = || numbers.iter().flatten().copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    // What spans magnitudes is told apart by its logarithm.
    let scale = |value: f64| if low > 0.0 && high / low > 50.0 { value.ln() } else { value };
    let width = scale(high) - scale(low);
    let place = |value: f64| if width > 0.0 { (scale(value) - scale(low)) / width } else { 0.5 };
    let ticks = if width > 0.0 { vec![(0.0, number(low)), (1.0, number(high))] } else { vec![(0.5, number(low))] };
    (Axis { name: name.to_owned(), ticks }, numbers.iter().map(|number| number.map(place)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_tells_all_something_or_nothing() {
        let ranks = ranks(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(ranks, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        // By hand: within 4 + 4 of 42 in all; 1 - (10 / 6) / (42 / 7) for the first.
        let halves = told(&[0, 0, 0, 0, 1, 1, 1, 1], &ranks);
        assert!((halves - (1.0 - (10.0 / 6.0) / 6.0)).abs() < 1e-12, "{halves}");
        assert!(told(&[0, 1, 0, 1, 0, 1, 0, 1], &ranks) < 0.01);
        assert!(
            told(&[0; 8], &ranks).abs() < f64::EPSILON && told(&[0, 1, 2, 3, 4, 5, 6, 7], &ranks).abs() < f64::EPSILON
        );
        assert_eq!(super::ranks(&[2.0, 1.0, 2.0]), [1.5, 0.0, 1.5]);
    }

    #[test]
    fn numbers_of_magnitudes_stand_by_their_logarithms() {
        let (axis, places) = of_numbers("lr", &[Some(0.001), None, Some(0.1), Some(10.0)]);
        assert_eq!(places[1], None);
        assert!((places[2].unwrap() - 0.5).abs() < 1e-12, "{places:?}");
        assert_eq!(axis.ticks.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["0.001", "10"]);
        let (axis, places) = of_numbers("n", &[Some(3.0), Some(3.0)]);
        assert_eq!((places, axis.ticks.len()), (vec![Some(0.5), Some(0.5)], 1));
    }
}
