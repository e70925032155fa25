//! The learner of spaces of numbers: Bayesian optimisation with a Gaussian process.
//!
//! Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions", 1998: a process is laid
//! through what was seen, and the point is proposed from which most improvement is expected. Its logarithm is taken, which
//! still tells points apart where hardly any is (Ament, Daulton, Eriksson, Balandat and Bakshy, "Unexpected Improvements to
//! Expected Improvement for Bayesian Optimization", `NeurIPS` 2023). As values may be noisy, improvement is over the best
//! that the process believes in, not over the best that was seen. Points are compared as they would be run, rounded
//! (Garrido-Merchán and Hernández-Lobato, "Dealing with categorical and integer-valued variables in Bayesian optimization
//! with Gaussian processes", 2020).
//!
//! Spaces with choices are the tree-structured Parzen estimator's, and so is any proposal for which the process is no help:
//! before there is enough to learn from, and where the values cannot be reckoned with.
//!
//! What one proposal costs is bounded: of many trials the best and the latest are looked at. The kernel is fitted anew when
//! there are a sixth more trials, to those that there were then, always from the same starts: another process that goes on
//! with the sweep finds the same one.

mod fit;
mod loss;
mod process;

use self::process::{Hyper, Place, Process};
use super::super::rng::{Rng, cumulative};
use super::super::space::{Kind, Point, Space};
use super::super::{Goal, Seen, Trial, Values};
use super::sobol::Sobol;
use super::tpe::Tpe;
use super::{Known, Sampler};
use crate::project::sweep::{Base, Numeric};

/// So many trials must have ended before anything is learnt.
const FIRST: usize = 10;
/// Of more trials, so many of the best and as many of the latest are looked at.
const HALF: usize = 75;
/// So many points all over the space are looked at for one that is proposed.
const SPREAD: usize = 256;
/// From so many of the best of them the neighbourhood is searched,
const CLIMBERS: usize = 4;
/// in so many rounds
const ROUNDS: usize = 12;
/// of so many steps each.
const STEPS: usize = 4;
/// All points of a space with no more are looked at.
const SMALL: u64 = 256;

/// The learner.
pub(super) struct Gaussian {
    space: Space,
    goal: Goal,
    seed: u64,
    known: Known,
    otherwise: Tpe,
    /// The kernel that was fitted last, and what to.
    fitted: Option<(Examples, Hyper)>,
}

/// What is learnt from.
#[derive(Debug, Clone, PartialEq, Default)]
struct Examples {
    places: Vec<Place>,
    /// Scaled, less is better.
    values: Vec<f64>,
}

/// A point that could be proposed.
struct Candidate {
    promise: f64,
    /// As it was drawn, before any rounding.
    units: Vec<f64>,
    point: Point,
}

impl Gaussian {
    /// The learner of a space; none where the space has choices.
    pub(super) fn new(space: &Space, goal: Goal, seed: u64) -> Option<Self> {
        let dimensions = space.dimensions();
        // With choices it was measured to be worse than the estimator where values are noisy (docs/sweeps.md).
        let is_plain = !dimensions.is_empty() && dimensions.iter().all(|one| matches!(one.kind, Kind::Number(_)));
        let otherwise = Tpe::new(space.clone(), goal, seed);
        let (space, known) = (space.clone(), Known::default());
        is_plain.then_some(Self { space, goal, seed, known, otherwise, fitted: None })
    }

    /// Where a point lies; none where it is no point of a plain space.
    fn place(&self, point: &Point) -> Option<Place> {
        let of = |(dimension, own): (&super::super::space::Dimension, &Option<f64>)| match &dimension.kind {
            Kind::Choice(_) => None,
            Kind::Number(numeric) => own.map(|own| share(numeric, own)),
        };
        self.space.dimensions().iter().zip(point).map(of).collect()
    }

    /// What these trials teach, and where trials still run.
    fn examples(&self, trials: &[&Trial]) -> Option<(Examples, Vec<Place>)> {
        let with_places = trials.iter().filter_map(|trial| {
            let place = self.place(&self.space.point(&trial.values)?)?;
            Some((*trial, place))
        });
        let (trials, places): (Vec<&Trial>, Vec<Place>) = with_places.unzip();
        let losses = loss::losses(self.goal, &trials)?;
        let (mut ended, mut running) = (Vec::new(), Vec::new());
        for (place, loss) in places.into_iter().zip(losses) {
            match loss {
                Some(loss) => ended.push((place, loss)),
                None => running.push(place),
            }
        }
        if ended.len() > 2 * HALF {
            let latest = ended.split_off(ended.len() - HALF);
            // Stable: of equal ones the first proposed is the better one.
            ended.sort_by(|a, b| a.1.total_cmp(&b.1));
            ended.truncate(HALF);
            ended.extend(latest);
        }
        if ended.len() < FIRST {
            return None;
        }
        running.truncate(HALF);
        let (places, losses): (Vec<Place>, Vec<f64>) = ended.into_iter().unzip();
        Some((Examples { places, values: loss::scaled(&losses)? }, running))
    }

    /// Points to propose, the most promising first.
    fn learned(&mut self, seen: &Seen, rng: &mut Rng) -> Option<Vec<Point>> {
        let all: Vec<&Trial> = seen.earlier.iter().chain(&seen.trials).collect();
        let (examples, running) = self.examples(&all)?;
        // The earlier trials have ended, and are all there at any time.
        let until = seen.earlier.len() + refit(seen.trials.len());
        let fitted = self.examples(&all[..until]).map_or_else(|| examples.clone(), |(examples, _)| examples);
        let hyper = match self.fitted.take() {
            Some((of, hyper)) if of == fitted => hyper,
            _ => fit::fit(&fitted.places.iter().collect::<Vec<_>>(), &fitted.values)?,
        };
        self.fitted = Some((fitted, hyper.clone()));
        let places = examples.places.iter().chain(&running).collect();
        let process = Process::new(&hyper, places, &examples.values)?;
        Some(self.search(&process, &examples, rng))
    }

    /// The points from which most improvement is expected, that first.
    fn search(&self, process: &Process, examples: &Examples, rng: &mut Rng) -> Vec<Point> {
        let believed: Vec<f64> = examples.places.iter().map(|place| process.mean(place)).collect();
        let best = believed.iter().copied().fold(f64::INFINITY, f64::min);
        let promise = |point: &Point| {
            let (mean, deviation) = process.at(&self.place(point)?);
            Some(deviation.ln() + log_improvement((best - mean) / deviation))
        };
        let rated = |units: Vec<f64>| {
            let mut coordinates = units.iter();
            let point = self.space.at(|| coordinates.next().copied().unwrap_or(0.5));
            Some(Candidate { promise: promise(&point)?, units, point })
        };
        if let Some(size) = self.space.size().filter(|size| *size <= SMALL) {
            let left = (0..size).filter_map(|index| self.space.nth(index));
            let left = left.filter(|point| !self.known.has(&self.space.values(point)));
            let all = left.filter_map(|point| Some(Candidate { promise: promise(&point)?, units: Vec::new(), point }));
            return sorted(all.collect()).into_iter().map(|candidate| candidate.point).collect();
        }
        let spread = Sobol::new(self.space.clone(), rng.bits());
        let mut all: Vec<Candidate> = spread.units().take(SPREAD).filter_map(rated).collect();
        // And what was best so far, as most of the improvement is often near it.
        let mut order: Vec<usize> = (0..believed.len()).collect();
        order.sort_by(|a, b| believed[*a].total_cmp(&believed[*b]));
        let around = order.iter().take(CLIMBERS).map(|at| &examples.places[*at]);
        for (units, step) in around.flat_map(|units| [0.1, 0.03, 0.01, 0.003].map(|step| (units, step))) {
            all.extend((0..STEPS).filter_map(|_| rated(moved(units, step, rng))));
        }
        all = sorted(all);
        let climbers: Vec<Vec<f64>> = all.iter().take(CLIMBERS).map(|candidate| candidate.units.clone()).collect();
        for start in climbers {
            let (mut at, mut step) = (rated(start), 0.1);
            for _ in 0..ROUNDS {
                let Some(own) = &at else { break };
                let tried = sorted((0..STEPS).filter_map(|_| rated(moved(&own.units, step, rng))).collect());
                match tried.into_iter().next() {
                    Some(better) if better.promise > own.promise => all.extend(at.replace(better)),
                    _ => step *= 0.6,
                }
            }
            all.extend(at);
        }
        sorted(all).into_iter().map(|candidate| candidate.point).collect()
    }
}

/// A point near by: some of the coordinates go a little further, at least one.
fn moved(units: &[f64], step: f64, rng: &mut Rng) -> Vec<f64> {
    let always = rng.below(units.len());
    let moved = units.iter().enumerate().map(|(i, unit)| {
        // The third number is not used: without it, sweeps that are on record would go on with other proposals.
        let (by, chance, _) = (rng.normal(), rng.unit(), rng.unit());
        if i == always || chance < 0.5 { (unit + step * by).clamp(0.0, LAST) } else { *unit }
    });
    moved.collect()
}

/// The last number of `[0, 1)` that a coordinate is drawn by.
const LAST: f64 = 1.0 - f64::EPSILON;

/// How many of so many trials the kernel is fitted to: a number that stays until there are a sixth more.
fn refit(count: usize) -> usize {
    let mut at = FIRST;
    while at + (at / 6).max(2) <= count {
        at += (at / 6).max(2);
    }
    at.min(count)
}

fn sorted(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.promise.total_cmp(&a.promise));
    candidates
}

/// The share of a number's distribution that lies below a coordinate; of one that stands for a stretch, the middle of it.
fn share(numeric: &Numeric, coordinate: f64) -> f64 {
    let below = |latent: f64| match numeric.base {
        Base::Normal { sigma, .. } if sigma <= 0.0 => 0.5,
        Base::Normal { mu, sigma } => cumulative((latent - mu) / sigma),
        Base::Uniform { min, max } if max <= min => 0.5,
        Base::Uniform { min, max } => (latent - min) / (max - min),
        Base::Whole(_) => {
            let (least, most) = numeric.latent().bounds;
            (latent - least) / (most - least)
        }
    };
    let (low, high) = numeric.cell(coordinate);
    f64::midpoint(below(low), below(high)).clamp(0.0, LAST)
}

/// The logarithm of the improvement that is expected of a standard normal distribution, so much beyond 0.
fn log_improvement(z: f64) -> f64 {
    let density = -z * z / 2.0 - 0.918_938_533_204_672_7; // of sqrt(2 π)
    if z > -25.0 {
        return (density.exp() + z * cumulative(z)).max(1e-300).ln();
    }
    // Both terms are all but the same; their difference by the asymptotic series.
    let square = z * z;
    density - square.ln() + (1.0 - 3.0 / square + 15.0 / (square * square)).ln()
}

impl Sampler for Gaussian {
    fn propose(&mut self, seen: &Seen) -> Option<Values> {
        let number = seen.trials.len();
        let mut rng = Rng::of(self.seed, &[number as u64, 1]);
        self.known.catch_up(seen, true);
        let learned = self.learned(seen, &mut rng).unwrap_or_default();
        let new = learned.into_iter().map(|point| self.space.values(&point)).find(|values| !self.known.has(values));
        new.or_else(|| self.otherwise.propose(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_of_the_improvement_is_that_of_the_improvement() {
        for z in [-5.9, -3.0, 0.0, 2.0] {
            let density = (-z * z / 2.0_f64).exp() / (2.0 * std::f64::consts::PI).sqrt();
            assert!((log_improvement(z) - (density + z * cumulative(z)).ln()).abs() < 1e-6, "{z}");
        }
        // Where the two ways of reckoning meet, and far from it.
        assert!((log_improvement(-25.0 - 1e-9) - log_improvement(-25.0 + 1e-9)).abs() < 1e-5);
        assert!(log_improvement(-100.0) < log_improvement(-99.0));
    }

    #[test]
    fn the_kernel_is_fitted_ever_more_seldom() {
        let fits: std::collections::BTreeSet<usize> = (10..1000).map(refit).collect();
        assert_eq!(fits.iter().take(5).collect::<Vec<_>>(), [&10, &12, &14, &16, &18]);
        assert!(fits.len() < 40 && (10..1000).all(|count| refit(count) <= count && refit(count) * 5 > count * 4));
    }

    #[test]
    fn a_coordinate_and_its_share_are_the_same_point() {
        let numbers = [
            (Base::Uniform { min: -2.0, max: 3.0 }, false, None),
            (Base::Uniform { min: -2.0, max: 3.0 }, true, None),
            (Base::Uniform { min: 1.0, max: 5.0 }, false, Some(1.0)),
            (Base::Normal { mu: 1.0, sigma: 2.0 }, false, None),
            (Base::Normal { mu: 1.0, sigma: 2.0 }, false, Some(0.5)),
            (Base::Whole(7), false, None),
        ];
        for (base, log, q) in numbers {
            let numeric = Numeric { base, log, q };
            for unit in [0.01, 0.3, 0.5, 0.77, 0.99] {
                let coordinate = numeric.draw(unit);
                let again = numeric.draw(share(&numeric, coordinate));
                assert!((again - coordinate).abs() < 1e-6, "{numeric:?} {unit}: {coordinate} {again}");
            }
        }
    }
}
