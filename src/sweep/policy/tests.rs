//! The policies against tables that were worked by hand from their definitions.

use super::original::{Bandit, Median, Truncation};
use super::*;
use crate::project::sweep::{Halving, Slack};

/// The values live as long as the tests, so that tables of curves can be put together freely.
fn curve(number: u32, values: &[f64]) -> Curve<'static> {
    Curve { number, values: values.to_vec().leak(), judged: 0, phase: Phase::Running }
}

fn done(number: u32, values: &[f64]) -> Curve<'static> {
    Curve { phase: Phase::Done, ..curve(number, values) }
}

const fn when(goal: Goal, interval: usize, delay: usize) -> When {
    When { goal, interval, delay }
}

/// The interval at which the last of these trials is ended; none where it goes on.
fn ended(policy: &dyn Policy, curves: &[Curve<'_>]) -> Option<u32> {
    let (trial, others) = curves.split_last().unwrap();
    match policy.judge(trial, others) {
        Decision::Continue => None,
        Decision::Stop(stop) => Some(stop.interval),
    }
}

/// The example of the original's documentation: the best is 0.8; with a factor of 0.2 the bound is 0.8 / 1.2 = 0.667, with
/// an amount of 0.2 it is 0.6. And its mirror image. Equal is not worse.
#[test]
fn bandit_has_the_bounds_of_the_original() {
    use Goal::{Maximize, Minimize};
    let factor = Slack::Factor(0.2);
    let amount = Slack::Amount(0.25);
    for (goal, slack, best, mine, is_ended) in [
        (Maximize, factor, 0.8, 0.66, true),
        (Maximize, factor, 0.8, 0.67, false),
        (Maximize, amount, 0.75, 0.49, true),
        (Maximize, amount, 0.75, 0.5, false),
        (Minimize, factor, 0.5, 0.61, true),
        (Minimize, factor, 0.5, 0.59, false),
        (Minimize, amount, 0.5, 0.76, true),
        (Minimize, amount, 0.5, 0.75, false),
        // Below 0 the bound lies on the worse side, too: -0.8 * 1.2 and -0.5 / 1.2.
        (Maximize, factor, -0.8, -0.97, true),
        (Maximize, factor, -0.8, -0.95, false),
        (Minimize, factor, -0.5, -0.41, true),
        (Minimize, factor, -0.5, -0.42, false),
        // The best itself goes on, whatever its sign.
        (Maximize, factor, -0.8, -0.8, false),
        (Minimize, factor, 0.0, 0.0, false),
        (Minimize, factor, 0.5, f64::NAN, true),
    ] {
        let bandit = Bandit { when: when(goal, 1, 0), slack };
        let said = ended(&bandit, &[curve(0, &[best]), curve(1, &[mine])]);
        assert_eq!(said.is_some(), is_ended, "{goal:?} {slack:?} best {best} mine {mine}");
    }
}

#[test]
fn bandit_says_what_it_held_the_trial_against() {
    let bandit = Bandit { when: when(Goal::Minimize, 1, 0), slack: Slack::Amount(1.0) };
    let Decision::Stop(stop) = bandit.judge(&curve(7, &[9.0, 8.0]), &[curve(3, &[4.0]), done(5, &[2.0, 3.0])]) else {
        unreachable!("6 is worse than 2 by more than 1");
    };
    let rule = Broken::Bandit { best: 2.0, of: 5, bound: 3.0, slack_factor: None, slack_amount: Some(1.0) };
    assert_eq!(stop, Stop { interval: 1, value: Some(9.0), rule });
}

/// A rule is applied at the multiples of the interval that are not below the delay, once each, and no value after an
/// interval counts at it.
#[test]
fn rules_are_applied_at_their_intervals() {
    let best = curve(0, &[1.0; 20]);
    for (interval, delay, length, expected) in [
        (1, 0, 3, Some(1)),
        (1, 5, 4, None),
        (1, 5, 7, Some(5)),
        (2, 0, 1, None),
        (2, 0, 3, Some(2)),
        (3, 5, 5, None),
        (3, 5, 20, Some(6)),
        (2, 4, 9, Some(4)),
    ] {
        let bandit = Bandit { when: when(Goal::Minimize, interval, delay), slack: Slack::Amount(0.5) };
        let said = ended(&bandit, &[best, curve(1, &vec![9.0; length])]);
        assert_eq!(said, expected, "every {interval} after {delay} with {length}");
    }
    let bandit = Bandit { when: when(Goal::Minimize, 1, 0), slack: Slack::Amount(0.5) };
    // What was judged is not judged again; the best so far counts, not the last.
    let late = Curve { judged: 2, ..curve(1, &[9.0, 9.0, 1.2, 7.0]) };
    assert_eq!(ended(&bandit, &[best, late]), None);
    // A value that the other one logged later is not yet known at interval 1.
    assert_eq!(ended(&bandit, &[curve(0, &[5.0, 0.0]), curve(1, &[5.0])]), None);
    // One that failed before interval 2 takes no part there; one that ended well does.
    let failed = Curve { phase: Phase::Ended, ..curve(0, &[0.0]) };
    let one = Curve { judged: 1, ..curve(1, &[5.0, 5.0]) };
    assert_eq!(ended(&bandit, &[failed, one]), None);
    assert_eq!(ended(&bandit, &[done(0, &[0.0]), one]), Some(2));
}

/// Running averages at interval 3: 2, 4, 6 and that of the trial. Its best is held against their median.
#[test]
fn median_stopping_holds_the_best_against_running_averages() {
    let others = [curve(0, &[1.0, 2.0, 3.0]), curve(1, &[4.0, 4.0, 4.0]), curve(2, &[9.0, 6.0, 3.0])];
    let with = |trial: &[f64]| [others.as_slice(), &[Curve { judged: 2, ..curve(3, trial) }]].concat();
    let small = Median { when: when(Goal::Minimize, 1, 0) };
    // Averages 2, 4, 6, 8: the median is 5, and the best of the trial 7.
    assert_eq!(ended(&small, &with(&[9.0, 8.0, 7.0])), Some(3));
    // Averages 2, 4, 6, 7: 5; the best is 5, which is not worse.
    assert_eq!(ended(&small, &with(&[5.0, 8.0, 8.0])), None);
    let large = Median { when: when(Goal::Maximize, 1, 0) };
    // Averages 0, 2, 4, 6: 3; the best is 1.
    assert_eq!(ended(&large, &with(&[-1.0, 0.0, 1.0])), Some(3));
    // Averages 1, 2, 4, 6: 3; the best is 3.
    assert_eq!(ended(&large, &with(&[3.0, 0.0, 0.0])), None);
    assert_eq!(ended(&small, &[curve(0, &[5.0])]), None, "alone it is its own median");
}

/// Of ten trials, twenty per cent are two.
#[test]
fn truncation_ends_the_lowest_few() {
    let policy = |goal| Truncation { when: when(goal, 1, 0), percentage: 20 };
    let with = |mine: f64| {
        let others = (0..9_u32).map(|n| done(n, &[f64::from(n)]));
        others.chain([curve(9, &[mine])]).collect::<Vec<_>>()
    };
    assert_eq!(ended(&policy(Goal::Maximize), &with(0.5)), Some(1), "only 0 is worse: rank 9 of 10");
    assert_eq!(ended(&policy(Goal::Maximize), &with(1.5)), None, "rank 8 of 10");
    assert_eq!(ended(&policy(Goal::Minimize), &with(7.5)), Some(1));
    assert_eq!(ended(&policy(Goal::Minimize), &with(6.5)), None);
    assert_eq!(ended(&policy(Goal::Minimize), &[done(0, &[0.0]), curve(1, &[9.0])]), None, "20 % of two are none");
}

/// With a factor of 3 and a first rung of 1, the rungs are 1, 3, 9; of three that came to one, one goes on.
#[test]
fn successive_halving_keeps_the_best_of_each_rung() {
    let halving = Halving { min: 1, max: Some(27), factor: 3 };
    let asha = halving::Asha::new(when(Goal::Minimize, 1, 0), halving);
    let others = [curve(0, &[1.0; 4]), curve(1, &[2.0])];
    let with = |trial: Curve<'static>| [others.as_slice(), &[trial]].concat();
    assert_eq!(ended(&asha, &with(curve(2, &[3.0]))), Some(1), "third of three");
    assert_eq!(ended(&asha, &with(curve(2, &[0.5]))), None, "first of three");
    let past = |values: &[f64]| Curve { judged: 1, ..curve(2, values) };
    assert_eq!(ended(&asha, &with(past(&[0.5, 9.0]))), None, "2 is no rung");
    assert_eq!(ended(&asha, &with(past(&[1.5, 1.5, 1.5]))), Some(3), "second of the two that came to rung 3");
    assert_eq!(ended(&asha, &[curve(0, &[5.0])]), None, "the first to come goes on");
}
