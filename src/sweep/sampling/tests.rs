//! What every sampler promises, whatever it draws by.

use std::collections::BTreeSet;

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::sobol::Sobol;
use super::*;
use crate::project::sweep::{Base, Choice, Draw, Numeric};
use crate::sweep::State;
use crate::value::Value;

const ALL: [Sampling; 4] = [Sampling::Grid, Sampling::Random, Sampling::Sobol, Sampling::Bayesian];

fn texts(count: usize) -> Draw {
    Draw::Choice((0..count).map(|i| Choice::Value(Value::Text(format!("v{i}")))).collect())
}

fn unit() -> Draw {
    Draw::Number(Numeric { base: Base::Uniform { min: 0.0, max: 1.0 }, log: false, q: None })
}

fn whole(count: u64) -> Draw {
    Draw::Number(Numeric { base: Base::Whole(count), log: false, q: None })
}

fn sweep(sampling: Sampling, seed: u32, space: Vec<(&str, Draw)>) -> Sweep {
    let space = space.into_iter().map(|(name, draw)| (name.to_owned(), draw, 0..0)).collect();
    Sweep {
        span: 0..0,
        sampling,
        metric: "loss".into(),
        maximize: false,
        max_trials: None,
        max_concurrent: None,
        max_duration: None,
        trial_timeout: None,
        max_failed: None,
        seed,
        resume_from: Vec::new(),
        space,
        termination: None,
    }
}

/// Asks for so many trials; each ends at once as `end` says.
fn run(sweep: &Sweep, seen: &mut Seen, count: usize, end: impl Fn(&Trial) -> State) {
    let mut sampler = sampler(sweep);
    for _ in 0..count {
        let Some(values) = sampler.propose(seen) else { return };
        let number = u32::try_from(seen.trials.len()).unwrap();
        let mut trial = Trial { number, values, state: State::Running };
        trial.state = end(&trial);
        seen.trials.push(trial);
    }
}

fn points(seen: &Seen) -> Vec<String> {
    seen.trials.iter().map(|trial| key(&trial.values)).collect()
}

fn samplings() -> impl Strategy<Value = Sampling> {
    prop_oneof![Just(Sampling::Grid), Just(Sampling::Random), Just(Sampling::Sobol), Just(Sampling::Bayesian)]
}

fn objective(trial: &Trial) -> State {
    State::Done(Some(f64::from(trial.number * 7 % 11)))
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// A finite space: every point once, and then nothing.
    #[test]
    fn a_finite_space_is_proposed_once_and_then_exhausted(
        sampling in samplings(), seed in any::<u32>(), a in 1_usize..5, b in 1_usize..6,
    ) {
        let mut seen = Seen::default();
        run(&sweep(sampling, seed, vec![("a", texts(a)), ("b", texts(b))]), &mut seen, a * b + 3, objective);
        let different: BTreeSet<String> = points(&seen).into_iter().collect();
        prop_assert_eq!(seen.trials.len(), a * b);
        prop_assert_eq!(different.len(), a * b);
    }

    /// What was tried by the sweeps that this one resumes from is not tried again, but by a grid.
    #[test]
    fn what_earlier_sweeps_tried_is_not_proposed_again(
        sampling in samplings(), seed in any::<u32>(), size in 2_u64..20, known in 1_usize..10,
    ) {
        let draw = if sampling == Sampling::Grid { texts(usize::try_from(size).unwrap()) } else { whole(size) };
        let asked = sweep(sampling, seed, vec![("a", draw)]);
        let size = usize::try_from(size).unwrap();
        let mut before = Seen::default();
        run(&asked, &mut before, known, objective);
        let mut seen = Seen { trials: Vec::new(), earlier: before.trials };
        run(&asked, &mut seen, size, objective);
        let left = if sampling == Sampling::Grid { size } else { size - seen.earlier.len() };
        prop_assert_eq!(seen.trials.len(), left);
        if sampling != Sampling::Grid {
            let earlier: BTreeSet<String> = seen.earlier.iter().map(|trial| key(&trial.values)).collect();
            prop_assert!(points(&seen).iter().all(|point| !earlier.contains(point)));
        }
    }

    /// The same seed, the same trials; and but for the learner whatever came of those before, asked by whichever process.
    #[test]
    fn proposals_follow_from_the_seed(
        sampling in samplings(), seed in any::<u32>(), ends in proptest::collection::vec(0_u8..4, 16), cut in 0_usize..16,
    ) {
        let draw = || if sampling == Sampling::Grid { texts(4) } else { unit() };
        // With a choice the learner is another one than without.
        let other = if sampling == Sampling::Grid || seed % 2 == 0 { texts(4) } else { unit() };
        let asked = sweep(sampling, seed, vec![("a", draw()), ("b", other)]);
        let mixed = |trial: &Trial| match ends[usize::try_from(trial.number).unwrap()] {
            0 => State::Running,
            1 => State::Failed,
            2 => State::Stopped(Some(1.0)),
            _ => State::Done(Some(f64::from(trial.number))),
        };
        let (mut one, mut again, mut other) = (Seen::default(), Seen::default(), Seen::default());
        run(&asked, &mut one, 16, mixed);
        // Killed after some of them, and gone on with by another process.
        run(&asked, &mut again, cut, mixed);
        run(&asked, &mut again, 16 - cut, mixed);
        prop_assert_eq!(points(&one), points(&again));
        run(&asked, &mut other, 16, |_| State::Running);
        if sampling != Sampling::Bayesian {
            prop_assert_eq!(points(&one), points(&other));
        }
    }
}

#[test]
fn a_sampler_that_is_asked_about_another_list_reads_it_anew() {
    for sampling in ALL {
        let asked = sweep(sampling, 3, vec![("a", texts(6))]);
        let mut sampler = sampler(&asked);
        let mut seen = Seen::default();
        run(&asked, &mut seen, 6, objective);
        assert_eq!(sampler.propose(&seen), None, "{sampling:?}");
        let removed = seen.trials.pop().unwrap();
        assert_eq!(sampler.propose(&seen), Some(removed.values), "{sampling:?}");
    }
}

#[test]
fn another_seed_is_another_search() {
    for sampling in [Sampling::Random, Sampling::Sobol, Sampling::Bayesian] {
        let (mut one, mut other) = (Seen::default(), Seen::default());
        run(&sweep(sampling, 1, vec![("a", unit())]), &mut one, 4, objective);
        run(&sweep(sampling, 2, vec![("a", unit())]), &mut other, 4, objective);
        assert_ne!(points(&one), points(&other), "{sampling:?}");
    }
}

/// A learner that was told of a good corner by earlier sweeps looks there from its first trial on.
#[test]
fn a_warm_start_teaches() {
    let loss = |trial: &Trial| match trial.values.get("a") {
        Some(Value::Float(number)) => State::Done(Some((number.value - 0.9).abs())),
        _ => State::Failed,
    };
    let mut before = Seen::default();
    run(&sweep(Sampling::Random, 5, vec![("a", unit())]), &mut before, 40, loss);
    let mean = |earlier: Vec<Trial>| {
        let mut seen = Seen { trials: Vec::new(), earlier };
        run(&sweep(Sampling::Bayesian, 5, vec![("a", unit())]), &mut seen, 8, loss);
        let losses: Vec<f64> = seen.trials.iter().filter_map(|trial| trial.state.objective()).collect();
        losses.iter().sum::<f64>() / 8.0
    };
    let (warm, cold) = (mean(before.trials.clone()), mean(Vec::new()));
    assert!(warm < cold / 2.0, "{warm} {cold}");
    // Points that do not lie in the space teach nothing, and do no harm.
    let strange = before.trials.into_iter().map(|trial| Trial { values: Values::new(), ..trial });
    assert!((mean(strange.collect()) - cold).abs() < 1e-12);
}

/// Each dimension of a scrambled sequence is even: of its first 2^k points one lies in each of 2^k equal parts.
#[test]
fn a_scrambled_sobol_sequence_is_even_in_every_dimension() {
    let names: Vec<String> = (0..45).map(|i| format!("x{i:02}")).collect();
    let draws: Vec<(&str, Draw)> = names.iter().map(|name| (name.as_str(), unit())).collect();
    for seed in [0, 1, 77] {
        let space = Space::of(&sweep(Sampling::Sobol, seed, draws.clone()));
        let points: Vec<Point> = Sobol::new(space, u64::from(seed)).from(0).take(64).collect();
        for dimension in 0..40 {
            let parts: BTreeSet<u64> = points.iter().map(|point| part(point[dimension].unwrap())).collect();
            assert_eq!(parts.len(), 64, "dimension {dimension}, seed {seed}");
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one of 64 parts")]
fn part(unit: f64) -> u64 {
    (unit * 64.0).floor() as u64
}
