//! The learner of spaces with choices: a tree-structured Parzen estimator.
//!
//! Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter Optimization", `NeurIPS` 2011. The trials so far are
//! split into the few best and the others; a density of each is estimated; of some points drawn from that of the best, the
//! one is proposed at which the two differ most, which is where the expected improvement is largest. Both densities are
//! over all parameters at once (Falkner, Klein and Hutter, "BOHB", ICML 2018; Optuna's `multivariate`), so that it is
//! learnt which values go together. A parameter of a nested choice counts where it is set.
//!
//! Trials that run count among the others, as if they had turned out badly (a constant liar: Ginsbourger, Le Riche and
//! Carraro, 2010): so several slots do not all try the same. Those without a number do too, and are never among the best.

mod parzen;

use self::parzen::Parzen;
use super::super::rng::Rng;
use super::super::space::{Point, Space};
use super::super::{Goal, Seen, State, Trial, Values};
use super::sobol::Sobol;
use super::{Known, Sampler, fresh};

/// So many trials must have ended before anything is learnt; those before it are of a Sobol sequence.
const FIRST: usize = 10;
/// So many points are drawn for one that is proposed.
const CANDIDATES: usize = 64;
/// The best are `GOOD * sqrt(n)` of `n`: Bergstra et al. (2013) take a multiple of the root too; this one was measured.
const GOOD: f64 = 1.3;
/// But no more than these.
const MOST_GOOD: usize = 50;

/// The learner.
pub(super) struct Tpe {
    space: Space,
    goal: Goal,
    seed: u64,
    start: Sobol,
    known: Known,
}

/// A trial that ended, as it is ranked.
struct Ended {
    point: Point,
    class: Class,
    /// Less is better.
    loss: f64,
}

/// The classes of trials, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// It ended well, with a number.
    Done,
    /// A policy ended it.
    Stopped,
    /// It has no number.
    Numberless,
}

impl Tpe {
    pub(super) fn new(space: Space, goal: Goal, seed: u64) -> Self {
        Self { start: Sobol::new(space.clone(), seed), space, goal, seed, known: Known::default() }
    }

    fn ended(&self, trial: &Trial) -> Option<Ended> {
        let class = match trial.state {
            State::Running => return None,
            State::Done(_) => Class::Done,
            State::Stopped(_) => Class::Stopped,
            State::Failed => Class::Numberless,
        };
        let loss = trial.state.objective().map(|value| if self.goal == Goal::Maximize { -value } else { value });
        let class = if loss.is_some() { class } else { Class::Numberless };
        Some(Ended { point: self.space.point(&trial.values)?, class, loss: loss.unwrap_or(0.0) })
    }

    /// The points from which it learns: the good ones, best first, and the others. None while there is too little.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of trials"
    )]
    fn split(&self, seen: &Seen) -> Option<(Vec<Point>, Vec<Point>)> {
        let all = seen.earlier.iter().chain(&seen.trials);
        let mut ended: Vec<Ended> = all.filter_map(|trial| self.ended(trial)).collect();
        if ended.len() < FIRST {
            return None;
        }
        // Stable: of equal ones the first proposed is the better one.
        ended.sort_by(|a, b| a.class.cmp(&b.class).then(a.loss.total_cmp(&b.loss)));
        let good = ((GOOD * (ended.len() as f64).sqrt()).ceil() as usize).min(MOST_GOOD);
        let best = ended.first().map(|first| first.class).filter(|class| *class != Class::Numberless)?;
        let good = ended.iter().take(good).take_while(|trial| trial.class == best).count();
        let others = ended.split_off(good).into_iter().map(|trial| trial.point);
        let running = seen.trials.iter().filter(|trial| trial.state == State::Running);
        let others = others.chain(running.filter_map(|trial| self.space.point(&trial.values))).collect();
        Some((ended.into_iter().map(|trial| trial.point).collect(), others))
    }

    /// Points to propose, the most promising first.
    fn learned(&self, seen: &Seen, rng: &mut Rng) -> Option<Vec<Point>> {
        let (good, others) = self.split(seen)?;
        let weights = falling(good.len());
        let good = Parzen::new(&self.space, good.iter().zip(weights));
        let others = Parzen::new(&self.space, others.iter().map(|point| (point, 1.0)));
        let candidates = std::iter::repeat_with(|| good.draw(rng)).take(CANDIDATES);
        let mut scored: Vec<(f64, Point)> =
            candidates.map(|point| (good.log(&point) - others.log(&point), point)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        Some(scored.into_iter().map(|(_, point)| point).collect())
    }
}

/// Weights by rank, the best first: those of CMA-ES (Hansen, 2016).
#[expect(clippy::cast_precision_loss, reason = "a count of trials")]
fn falling(count: usize) -> impl Iterator<Item = f64> {
    let all = (count as f64 + 0.5).ln();
    (1..=count).map(move |rank| all - (rank as f64).ln())
}

impl Sampler for Tpe {
    fn propose(&mut self, seen: &Seen) -> Option<Values> {
        let number = seen.trials.len();
        let mut rng = Rng::of(self.seed, &[number as u64]);
        let learned = self.learned(seen, &mut rng).unwrap_or_default();
        let draws = learned.into_iter().chain(self.start.from(number));
        self.known.catch_up(seen, true);
        fresh(&self.space, &self.known, draws, |left| rng.below(left))
    }
}
