//! The density of some points: a mixture of a kernel around each of them and one for the space itself. A kernel is a product
//! of distributions, one for each dimension.

#![expect(clippy::cast_precision_loss, reason = "counts of trials, of values and of dimensions")]

use super::super::super::rng::{Rng, cumulative, quantile};
use super::super::super::space::{Kind, Point, Space, place};
use crate::project::sweep::Numeric;

/// A kernel is so wide, measured by the greater of the distances to its neighbours: narrower than Bergstra et al. (2011)
/// have it, as kernels over all parameters reach further than those over one.
const WIDTH: f64 = 0.5;
/// `ln(sqrt(2 π))`.
const ROOT: f64 = 0.918_938_533_204_672_7;

/// A density over a space.
pub(super) struct Parzen<'s> {
    space: &'s Space,
    kernels: Vec<Kernel>,
}

struct Kernel {
    weight: f64,
    factors: Vec<Factor>,
}

/// The distribution of one dimension.
enum Factor {
    /// Of a choice: the probability of one of its values, and that of each of the others.
    Choice { at: usize, own: f64, other: f64, count: usize },
    /// A normal distribution within bounds: what lies below them, what within, and what makes it a density.
    Normal { numeric: Numeric, mu: f64, sigma: f64, below: f64, within: f64, scale: f64 },
    /// There is nothing but this coordinate.
    Only(f64),
}

impl<'s> Parzen<'s> {
    /// The density of these points, with their weights. The space itself weighs as much as one of them.
    pub(super) fn new<'p>(space: &'s Space, points: impl Iterator<Item = (&'p Point, f64)>) -> Self {
        let (points, mut weights): (Vec<&Point>, Vec<f64>) = points.unzip();
        weights.push(1.0);
        let all: f64 = weights.iter().sum();
        let kernels = weights.iter().map(|weight| Kernel { weight: weight / all, factors: Vec::new() });
        let mut parzen = Self { space, kernels: kernels.collect() };
        let numeric = space.dimensions().iter().filter(|dimension| matches!(dimension.kind, Kind::Number(_))).count();
        for (at, dimension) in space.dimensions().iter().enumerate() {
            let own: Vec<Option<f64>> = points.iter().map(|point| point.get(at).copied().flatten()).collect();
            match &dimension.kind {
                Kind::Choice(branches) => parzen.choice(&own, branches.len()),
                Kind::Number(number) => parzen.number(&own, *number, numeric),
            }
        }
        parzen
    }

    fn choice(&mut self, own: &[Option<f64>], count: usize) {
        let few = 1.0 / self.kernels.len() as f64;
        let all = 1.0 + few * count as f64;
        for (i, kernel) in self.kernels.iter_mut().enumerate() {
            kernel.factors.push(match own.get(i).copied().flatten() {
                Some(at) => Factor::Choice { at: place(at), own: (1.0 + few) / all, other: few / all, count },
                None => Factor::Choice { at: 0, own: 1.0 / count as f64, other: 1.0 / count as f64, count },
            });
        }
    }

    fn number(&mut self, own: &[Option<f64>], numeric: Numeric, dimensions: usize) {
        let latent = numeric.latent();
        // As wide as a uniform distribution with this deviation.
        let width = if latent.bounds.0.is_finite() { latent.prior.1 } else { latent.prior.1 * 12_f64.sqrt() };
        if width <= 0.0 {
            let only = Factor::Only(numeric.from_latent(latent.prior.0));
            return self.kernels.iter_mut().for_each(|kernel| kernel.factors.push(Factor::Only(only.draw(0.0))));
        }
        let middles: Vec<Option<f64>> = own.iter().map(|own| own.map(|own| middle(numeric, own))).collect();
        let widths = Widths::new(&middles, width, dimensions);
        for (i, kernel) in self.kernels.iter_mut().enumerate() {
            let own = middles.get(i).copied().flatten();
            let (mu, sigma) = own.map_or(latent.prior, |mu| (mu, widths.of(mu)));
            let below = cumulative((latent.bounds.0 - mu) / sigma);
            let within = cumulative((latent.bounds.1 - mu) / sigma) - below;
            let scale = sigma.ln() + ROOT + within.ln();
            kernel.factors.push(Factor::Normal { numeric, mu, sigma, below, within, scale });
        }
    }

    /// A point at random.
    pub(super) fn draw(&self, rng: &mut Rng) -> Point {
        let mut left = rng.unit();
        let chosen = self.kernels.iter().find(|kernel| {
            left -= kernel.weight;
            left < 0.0
        });
        let mut point = Point::new();
        let Some(kernel) = chosen.or(self.kernels.last()) else { return point };
        for (dimension, factor) in self.space.dimensions().iter().zip(&kernel.factors) {
            let unit = rng.unit();
            point.push(Space::is_active(dimension, &point).then(|| factor.draw(unit)));
        }
        point
    }

    /// The logarithm of the density at a point.
    pub(super) fn log(&self, point: &Point) -> f64 {
        let of = |kernel: &Kernel| {
            let active = point.iter().zip(&kernel.factors).filter_map(|(own, factor)| Some(factor.log((*own)?)));
            kernel.weight.ln() + active.sum::<f64>()
        };
        let logs: Vec<f64> = self.kernels.iter().map(of).collect();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + logs.iter().map(|log| (log - most).exp()).sum::<f64>().ln()
    }
}

impl Factor {
    fn draw(&self, unit: f64) -> f64 {
        match self {
            Self::Only(coordinate) => *coordinate,
            Self::Choice { at, own, other, count } => {
                let mut left = unit;
                let chosen = (0..*count).find(|i| {
                    left -= if i == at { *own } else { *other };
                    left < 0.0
                });
                chosen.unwrap_or(*at) as f64
            }
            Self::Normal { numeric, mu, sigma, below, within, .. } => {
                let (least, most) = numeric.latent().bounds;
                numeric.from_latent((mu + sigma * quantile(below + unit * within)).clamp(least, most))
            }
        }
    }

    fn log(&self, coordinate: f64) -> f64 {
        /// So that no logarithm is infinite.
        const LEAST: f64 = 1e-300;
        match self {
            Self::Only(_) => 0.0,
            Self::Choice { at, own, other, .. } => if place(coordinate) == *at { *own } else { *other }.ln(),
            Self::Normal { numeric, mu, sigma, within, scale, .. } => {
                let (low, high) = numeric.cell(coordinate);
                let z = (low - mu) / sigma;
                if high > low {
                    let cell = cumulative((high - mu) / sigma) - cumulative(z);
                    (cell / within).max(LEAST).ln()
                } else {
                    -z * z / 2.0 - scale
                }
            }
        }
    }
}

/// The latent number in the middle of a coordinate's cell.
fn middle(numeric: Numeric, coordinate: f64) -> f64 {
    match numeric.cell(coordinate) {
        (low, high) if low.is_infinite() => high,
        (low, high) => f64::midpoint(low, high),
    }
}

/// How wide the kernels of a dimension are.
struct Widths {
    sorted: Vec<f64>,
    least: f64,
    most: f64,
}

impl Widths {
    fn new(middles: &[Option<f64>], width: f64, dimensions: usize) -> Self {
        let mut sorted: Vec<f64> = middles.iter().copied().flatten().collect();
        sorted.sort_by(f64::total_cmp);
        // The more trials, the narrower; but in many dimensions a narrow kernel holds nothing: measured on the tasks of
        // benches/sweep_quality.py.
        let narrowest = (dimensions as f64 / 6.0).sqrt().min(1.5);
        let least = width * (narrowest / (sorted.len() as f64 + 2.0)).max(0.01);
        Self { sorted, least: least.min(width), most: width }
    }

    fn of(&self, middle: f64) -> f64 {
        let at = self.sorted.partition_point(|other| *other < middle);
        let before = at.checked_sub(1).and_then(|before| self.sorted.get(before)).map(|before| middle - before);
        let after = self.sorted.get(at + 1).map(|after| after - middle);
        let far = match (before, after) {
            (None, None) => self.most,
            (before, after) => WIDTH * before.unwrap_or(0.0).max(after.unwrap_or(0.0)),
        };
        far.clamp(self.least, self.most)
    }
}
