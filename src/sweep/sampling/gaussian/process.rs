//! A Gaussian process over a few points: what it expects elsewhere, and how sure it is of that.
//!
//! Rasmussen and Williams, "Gaussian Processes for Machine Learning", MIT Press 2006: chapter 2 for the prediction, section
//! 4.2 for the Matérn kernel. The kernel is that of smoothness 5/2 with a length for each dimension (Snoek, Larochelle and
//! Adams, "Practical Bayesian Optimization of Machine Learning Algorithms", `NeurIPS` 2012). The mean is 0 and the
//! values have been scaled.

/// What a kernel is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hyper {
    /// How far one has to go along a dimension until values have little to do with each other.
    pub(super) lengths: Vec<f64>,
    /// The variance of the noise, as a share of that of the values.
    pub(super) noise: f64,
}

/// A place in the unit cube: of each number its share of the distribution.
pub(super) type Place = Vec<f64>;

/// The square of how far two places are apart along each dimension.
pub(super) fn squares<'a>(a: &'a [f64], b: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b))
}

/// The kernel at the square of a distance, and what its derivative by the logarithm of a length is a multiple of.
pub(super) fn matern(square: f64) -> (f64, f64) {
    let r = (5.0 * square).sqrt();
    let fall = (-r).exp();
    ((1.0 + r + r * r / 3.0) * fall, 5.0 / 3.0 * (1.0 + r) * fall)
}

/// The product of two rows. Four sums at once, as one would wait for itself.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a, b) = (a.chunks_exact(4), b.get(..a.len()).unwrap_or_default().chunks_exact(4));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// A lower triangular matrix by rows, whose product with its transpose is a covariance.
pub(super) struct Lower(pub(super) Vec<Vec<f64>>);

impl Lower {
    /// The Cholesky factor of a matrix of which the lower half is given; none where it has none.
    pub(super) fn of(mut rows: Vec<Vec<f64>>) -> Option<Self> {
        for i in 0..rows.len() {
            let (before, from) = rows.split_at_mut(i);
            let row = from.first_mut()?;
            for (j, other) in before.iter().enumerate() {
                row[j] = (row[j] - dot(&row[..j], other)) / other[j];
            }
            let left = row[i] - dot(&row[..i], &row[..i]);
            if left.is_nan() || left <= 0.0 {
                return None;
            }
            row[i] = left.sqrt();
        }
        Some(Self(rows))
    }

    /// `self⁻¹ right`, of as many rows as `right` has.
    pub(super) fn forward(&self, right: &[f64]) -> Vec<f64> {
        let mut solved: Vec<f64> = Vec::with_capacity(right.len());
        for (i, (row, right)) in self.0.iter().zip(right).enumerate() {
            solved.push((right - dot(&row[..i], &solved)) / row[i]);
        }
        solved
    }

    /// `self⁻ᵀ right`, of as many rows as `right` has.
    pub(super) fn backward(&self, mut right: Vec<f64>) -> Vec<f64> {
        for i in (0..right.len()).rev() {
            let row = &self.0[i];
            right[i] /= row[i];
            let own = right[i];
            for (right, factor) in right[..i].iter_mut().zip(row) {
                *right -= factor * own;
            }
        }
        right
    }
}

/// A process that has seen some values.
pub(super) struct Process<'h> {
    hyper: &'h Hyper,
    places: Vec<&'h Place>,
    lower: Lower,
    weights: Vec<f64>,
    /// The variance of the values.
    scale: f64,
}

impl<'h> Process<'h> {
    /// The process of these values at the first places. At those after them trials run: there it believes what it expects
    /// (Ginsbourger, Le Riche and Carraro, "Kriging is well-suited to parallelize optimization", 2010), which leaves the
    /// mean as it is and makes it surer around them.
    pub(super) fn new(hyper: &'h Hyper, places: Vec<&'h Place>, values: &[f64]) -> Option<Self> {
        let mut process = Self { hyper, places, lower: Lower(Vec::new()), weights: Vec::new(), scale: 1.0 };
        let rows = (0..process.places.len()).map(|i| {
            let mut row: Vec<f64> = process.places[..i].iter().map(|b| process.kernel(process.places[i], b)).collect();
            // What rounding takes away must not make it negative.
            row.push(1.0 + hyper.noise + 1e-9);
            row
        });
        process.lower = Lower::of(rows.collect())?;
        let half = process.lower.forward(values);
        process.scale = scale(values.len(), half.iter().map(|half| half * half).sum());
        process.weights = process.lower.backward(half);
        process.weights.iter().all(|weight| weight.is_finite()).then_some(process)
    }

    fn kernel(&self, a: &[f64], b: &[f64]) -> f64 {
        let apart = squares(a, b).zip(&self.hyper.lengths);
        matern(apart.map(|(square, length)| square / (length * length)).sum()).0
    }

    /// What is expected at a place.
    pub(super) fn mean(&self, place: &[f64]) -> f64 {
        self.places.iter().zip(&self.weights).map(|(other, weight)| self.kernel(place, other) * weight).sum()
    }

    /// What is expected at a place, and the standard deviation, without that of the noise.
    pub(super) fn at(&self, place: &[f64]) -> (f64, f64) {
        let kernel: Vec<f64> = self.places.iter().map(|other| self.kernel(place, other)).collect();
        let mean = kernel.iter().zip(&self.weights).map(|(kernel, weight)| kernel * weight).sum();
        let known = self.lower.forward(&kernel);
        let left = 1.0 - dot(&known, &known);
        (mean, (self.scale * left.max(1e-12)).sqrt())
    }
}

/// The variance that so many values have, whose sum of squares by the covariance this is; as if there were two more, whose
/// variance is 1.
#[expect(clippy::cast_precision_loss, reason = "a count of trials")]
pub(super) fn scale(count: usize, squares: f64) -> f64 {
    (squares + 2.0) / (count as f64 + 2.0)
}
