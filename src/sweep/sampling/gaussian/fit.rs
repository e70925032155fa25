//! The kernel under which the values are most likely, given what is believed beforehand.
//!
//! The logarithm of the marginal likelihood (Rasmussen and Williams, 2006, section 5.4) plus that of the prior, climbed by
//! Rprop from a few starts (Blum and Riedmiller, "Optimization of Gaussian Process Hyperparameters using Rprop", ESANN
//! 2013). The prior of the lengths grows with the dimensions, that of the noise is small: Hvarfner, Hellsten and Nardi,
//! "Vanilla Bayesian Optimization Performs Great in High Dimensions", ICML 2024. The variance of the values needs no
//! search, as the best one is known for every kernel.

#![expect(clippy::cast_precision_loss, reason = "counts of trials and of dimensions")]

use super::process::{Hyper, Lower, Place, matern, scale, squares};

/// So many steps from each start.
const STEPS: usize = 25;
/// The logarithms of the lengths and of the noise stay within these.
const LENGTHS: (f64, f64) = (-4.6, 4.6);
const NOISE: (f64, f64) = (-13.8, 0.0);
/// The prior of the logarithm of the noise: its mean and its deviation.
const NOISE_PRIOR: (f64, f64) = (-4.0, 1.0);

/// What the likelihood is made of.
struct Data<'v> {
    values: &'v [f64],
    dimensions: usize,
    /// The squares of the distances of all pairs, the later one first, dimension by dimension.
    squares: Vec<f64>,
}

/// The most likely kernel; none where there is none that can be reckoned with.
pub(super) fn fit(places: &[&Place], values: &[f64]) -> Option<Hyper> {
    let pairs = places.iter().enumerate().flat_map(|(i, a)| places[..i].iter().map(move |b| (a, b)));
    let squares = pairs.flat_map(|(a, b)| squares(a, b)).collect();
    let dimensions = places.first()?.len();
    let data = Data { values, dimensions, squares };
    let expected = data.length_prior().0;
    let starts = [(expected, -4.0), (-1.2, -7.0)];
    let climbed = starts.iter().filter_map(|(length, noise)| {
        let mut start = vec![*length; dimensions];
        start.push(*noise);
        data.climb(start)
    });
    let (_, mut best) = climbed.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    let noise = best.pop()?.exp();
    Some(Hyper { lengths: best.into_iter().map(f64::exp).collect(), noise })
}

impl Data<'_> {
    fn length_prior(&self) -> (f64, f64) {
        (2_f64.sqrt() + (self.dimensions as f64).ln() / 2.0, 3_f64.sqrt())
    }

    /// The best that is found from a start: the lengths and the noise, as logarithms.
    fn climb(&self, mut at: Vec<f64>) -> Option<(f64, Vec<f64>)> {
        let mut best: Option<(f64, Vec<f64>)> = None;
        let mut steps = vec![0.3; at.len()];
        let mut before = vec![0.0; at.len()];
        for _ in 0..STEPS {
            let Some((height, mut slope)) = self.height(&at) else { break };
            if best.as_ref().is_none_or(|best| height > best.0) {
                best = Some((height, at.clone()));
            }
            for (i, own) in at.iter_mut().enumerate() {
                let turned = slope[i] * before[i];
                if turned > 0.0 {
                    steps[i] = (steps[i] * 1.2_f64).min(1.0);
                } else if turned < 0.0 {
                    steps[i] *= 0.5;
                    slope[i] = 0.0;
                }
                let (least, most) = if i < self.dimensions { LENGTHS } else { NOISE };
                if slope[i] != 0.0 {
                    *own = (*own + steps[i] * slope[i].signum()).clamp(least, most);
                }
            }
            before = slope;
        }
        best
    }

    /// How likely a kernel is, as a logarithm but for a constant, and the slope there.
    fn height(&self, at: &[f64]) -> Option<(f64, Vec<f64>)> {
        let (count, noise) = (self.values.len(), at.get(self.dimensions)?.exp());
        let inverse: Vec<f64> = at[..self.dimensions].iter().map(|length| (-2.0 * length).exp()).collect();
        let mut slopes = Vec::with_capacity(count * count / 2);
        let mut of_pairs = self.squares.chunks_exact(self.dimensions);
        let mut rows = Vec::with_capacity(count);
        for i in 0..count {
            let mut row = Vec::with_capacity(i + 1);
            for squares in of_pairs.by_ref().take(i) {
                let (kernel, slope) = matern(squares.iter().zip(&inverse).map(|(a, b)| a * b).sum());
                row.push(kernel);
                slopes.push(slope);
            }
            row.push(1.0 + noise + 1e-9);
            rows.push(row);
        }
        let lower = Lower::of(rows)?;
        let half = lower.forward(self.values);
        let fit = scale(count, half.iter().map(|half| half * half).sum());
        let weights = lower.backward(half);
        let spread: f64 = lower.0.iter().enumerate().map(|(i, row)| row[i].ln()).sum();
        let mut height = -(count as f64 + 2.0) / 2.0 * fit.ln() - spread;

        let inverted = inverted(&lower);
        let mut slope = vec![0.0; at.len()];
        let (mut pairs, mut slopes) = (self.squares.chunks_exact(self.dimensions), slopes.into_iter());
        for (i, row) in inverted.iter().enumerate() {
            for (j, own) in row[..i].iter().enumerate() {
                let factor = (weights[i] * weights[j] / fit - own) * slopes.next()?;
                for ((slope, square), inverse) in slope.iter_mut().zip(pairs.next()?).zip(&inverse) {
                    *slope += factor * square * inverse;
                }
            }
            slope[self.dimensions] += (weights[i] * weights[i] / fit - row[i]) * noise / 2.0;
        }
        for (i, (own, slope)) in at.iter().zip(&mut slope).enumerate() {
            let (mean, deviation) = if i < self.dimensions { self.length_prior() } else { NOISE_PRIOR };
            height -= (own - mean).powi(2) / (2.0 * deviation * deviation);
            *slope -= (own - mean) / (deviation * deviation);
        }
        (height.is_finite() && slope.iter().all(|slope| slope.is_finite())).then_some((height, slope))
    }
}

/// The lower half of the inverse of the covariance.
fn inverted(lower: &Lower) -> Vec<Vec<f64>> {
    let count = lower.0.len();
    let mut halves: Vec<Vec<f64>> = Vec::with_capacity(count);
    let mut whole: Vec<Vec<f64>> = (0..count).map(|i| vec![0.0; i + 1]).collect();
    for (i, row) in lower.0.iter().enumerate() {
        let mut half = vec![0.0; i + 1];
        for (factor, before) in row[..i].iter().zip(&halves) {
            half.iter_mut().zip(before).for_each(|(half, before)| *half -= factor * before);
        }
        half[i] = 1.0;
        for own in &mut half {
            *own /= row[i];
        }
        for (own, row) in half.iter().zip(&mut whole) {
            row.iter_mut().zip(&half).for_each(|(sum, other)| *sum += own * other);
        }
        halves.push(half);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::rng::Rng;

    /// The slope is that of the height, by differences.
    #[test]
    fn the_slope_is_that_of_the_height() {
        let mut rng = Rng::new(3);
        let places: Vec<Place> = (0..12).map(|i| vec![rng.unit(), rng.unit(), f64::from(i % 3) / 2.0]).collect();
        let places: Vec<&Place> = places.iter().collect();
        let values: Vec<f64> =
            places.iter().map(|place| (place[0] * 5.0).sin() + place[2] + rng.normal() / 9.0).collect();
        let pairs = places.iter().enumerate().flat_map(|(i, a)| places[..i].iter().map(move |b| (a, b)));
        let squares = pairs.flat_map(|(a, b)| squares(a, b)).collect();
        let data = Data { values: &values, dimensions: 3, squares };
        let at = [-0.7, 0.4, 0.1, -3.0];
        let (_, slope) = data.height(&at).unwrap();
        for i in 0..at.len() {
            let [low, high] = [-1e-5, 1e-5].map(|by| {
                let mut at = at;
                at[i] += by;
                data.height(&at).unwrap().0
            });
            let measured = (high - low) / 2e-5;
            assert!((measured - slope[i]).abs() < 1e-4 * (1.0 + measured.abs()), "{i}: {measured} {}", slope[i]);
        }
    }

    /// A dimension on which nothing depends gets the greater length; noise is seen where there is some.
    #[test]
    fn what_matters_and_how_noisy_it_is_are_learnt() {
        let of = |noise: f64| {
            let mut rng = Rng::new(5);
            let places: Vec<Place> = (0..60).map(|_| vec![rng.unit(), rng.unit()]).collect();
            let places: Vec<&Place> = places.iter().collect();
            let values: Vec<f64> = places.iter().map(|place| (place[0] * 7.0).sin() + noise * rng.normal()).collect();
            fit(&places, &values).unwrap()
        };
        let (clean, noisy) = (of(0.0), of(0.5));
        assert!(clean.lengths[1] > 3.0 * clean.lengths[0], "{clean:?}");
        assert!(noisy.noise > 20.0 * clean.noise, "{noisy:?} {clean:?}");
    }
}
