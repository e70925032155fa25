//! The losses of trials, as a Gaussian process can learn from them.

#![expect(clippy::cast_precision_loss, reason = "counts of trials")]

use super::super::super::{Goal, State, Trial};

/// The loss of each trial that ended, less is better; none for those that run. One that a policy ended is no better than
/// any that ended well; one without a number is no better than any that has one. None at all where none has a number.
pub(super) fn losses(goal: Goal, trials: &[&Trial]) -> Option<Vec<Option<f64>>> {
    let own = |trial: &Trial| trial.state.objective().map(|value| if goal == Goal::Maximize { -value } else { value });
    let worst = |of: &dyn Fn(&Trial) -> bool| {
        let own = trials.iter().filter(|trial| of(trial)).filter_map(|trial| own(trial));
        own.reduce(f64::max)
    };
    let done = worst(&|trial| matches!(trial.state, State::Done(_)));
    let all = worst(&|_| true)?;
    let loss = |trial: &&Trial| match (trial.state, own(trial)) {
        (State::Running, _) => None,
        (State::Stopped(_), Some(own)) => Some(done.map_or(own, |done| own.max(done))),
        (_, Some(own)) => Some(own),
        (_, None) => Some(all),
    };
    Some(trials.iter().map(loss).collect())
}

/// The losses with a mean of 0 and a variance of 1, after that of a few logarithms, or none, that makes them likeliest to be
/// of a normal distribution: Box and Cox, "An Analysis of Transformations", 1964, the family with a shift. A loss that
/// spans orders of magnitude would else be all about how bad the worst are. None where they cannot be reckoned with.
pub(super) fn scaled(losses: &[f64]) -> Option<Vec<f64>> {
    let mut sorted = losses.to_vec();
    sorted.sort_by(f64::total_cmp);
    let least = *sorted.first()?;
    let shifts = [1, 2, 4, 8].map(|part| sorted[(sorted.len() - 1) / part] - least);
    let logarithms = shifts.iter().filter(|shift| **shift > 0.0).map(|shift| {
        let logs: Vec<f64> = losses.iter().map(|loss| (loss - least + shift).ln()).collect();
        (-logs.iter().sum::<f64>(), logs)
    });
    let all = std::iter::once((0.0, losses.to_vec())).chain(logarithms);
    let rated = all.filter_map(|(jacobian, values)| {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let values: Vec<f64> = values.iter().map(|value| (value - mean) / variance.sqrt().max(1e-300)).collect();
        // All the same: nothing to tell them by.
        let likelihood = if variance > 0.0 { jacobian - count / 2.0 * variance.ln() } else { 0.0 };
        (likelihood.is_finite() && values.iter().all(|value| value.is_finite())).then_some((likelihood, values))
    });
    rated.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, values)| values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Values;

    #[test]
    fn trials_without_a_number_are_the_worst_and_stopped_ones_no_better_than_done_ones() {
        let states = [
            State::Done(Some(3.0)),
            State::Stopped(Some(1.0)),
            State::Failed,
            State::Running,
            State::Stopped(Some(8.0)),
            State::Done(Some(f64::NAN)),
        ];
        let trials: Vec<Trial> =
            states.iter().map(|state| Trial { number: 0, values: Values::new(), state: *state }).collect();
        let trials: Vec<&Trial> = trials.iter().collect();
        let minimized = [Some(3.0), Some(3.0), Some(8.0), None, Some(8.0), Some(8.0)];
        assert_eq!(losses(Goal::Minimize, &trials), Some(minimized.to_vec()));
        let maximized = [Some(-3.0), Some(-1.0), Some(-1.0), None, Some(-3.0), Some(-1.0)];
        assert_eq!(losses(Goal::Maximize, &trials), Some(maximized.to_vec()));
        assert_eq!(losses(Goal::Minimize, &trials[2..4]), None);
    }

    #[test]
    fn losses_are_scaled_and_keep_their_order() {
        for losses in [vec![1.0, 10.0, 1e6, 3.0, 200.0, 40_000.0], vec![0.3, 0.1, 0.2, 0.25, 0.15], vec![2.0; 4]] {
            let scaled = scaled(&losses).unwrap();
            assert!(
                scaled.iter().sum::<f64>().abs() < 1e-9 && scaled.iter().all(|value| value.abs() < 3.0),
                "{scaled:?}"
            );
            for (a, b) in losses.iter().zip(&scaled).flat_map(|a| losses.iter().zip(&scaled).map(move |b| (a, b))) {
                assert_eq!(a.0.total_cmp(b.0), a.1.total_cmp(b.1));
            }
        }
        assert_eq!(scaled(&[1.7e308, -1.7e308, 0.0]), None);
    }
}
