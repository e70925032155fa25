//! The nine expressions that draw numbers, each to its definition.

use crate::project::sweep::{Base, Numeric};
use crate::sweep::rng::quantile;
use crate::value::{Number, Value};

/// Beyond this, whole numbers have no digits to spare.
const EXACT: f64 = 9_007_199_254_740_992.0; // 2⁵³

/// What a learner works with instead of the values: the distribution that is drawn from first, whose scale is even.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latent {
    /// The least and the most; infinite for normal distributions.
    pub bounds: (f64, f64),
    /// The middle of the distribution and its width: the whole of a uniform one, the standard deviation of a normal one.
    pub prior: (f64, f64),
}

impl Numeric {
    /// The coordinate that a number in `[0, 1)` falls on.
    pub(in crate::sweep) fn draw(&self, unit: f64) -> f64 {
        let base = match self.base {
            Base::Whole(upper) => return (unit * whole(upper)).floor().min(whole(upper) - 1.0),
            Base::Uniform { min, max } => min + unit * (max - min),
            Base::Normal { sigma: 0.0, mu } => mu,
            Base::Normal { mu, sigma } => mu + sigma * quantile(unit),
        };
        let (least, most) = self.range();
        self.rounded(base).clamp(least, most)
    }

    /// The coordinate of what was drawn first.
    fn rounded(&self, base: f64) -> f64 {
        match self.q {
            // Halves go to the even neighbour, as in numpy and .NET.
            Some(q) => (self.exp(base) / q).round_ties_even() + 0.0,
            None => base,
        }
    }

    fn exp(&self, base: f64) -> f64 {
        // What is too large for a number would reach the script as `inf`.
        if self.log { base.exp().min(f64::MAX) } else { base }
    }

    /// The value at a coordinate.
    pub(in crate::sweep) fn value(&self, coordinate: f64) -> Value {
        match (self.base, self.q) {
            (Base::Whole(_), _) => integer(coordinate),
            (_, Some(q)) if q.fract() == 0.0 && (coordinate * q).abs() < EXACT => integer(coordinate * q),
            (_, Some(q)) => Value::Float(tidy(coordinate * q).into()),
            _ => Value::Float(Number::from(self.exp(coordinate))),
        }
    }

    /// The coordinate of a value; none where it cannot be drawn.
    pub(in crate::sweep) fn coordinate(&self, value: &Value) -> Option<f64> {
        let value = of(value).filter(|value| value.is_finite())?;
        let coordinate = match (self.base, self.q) {
            (Base::Whole(_), _) => value,
            (_, Some(q)) => {
                let multiple = (value / q).round();
                near(multiple * q, value).then_some(multiple)?
            }
            _ if self.log => value.ln(),
            _ => value,
        };
        let (least, most) = self.range();
        let slack = 1e-9 * (1.0 + coordinate.abs());
        let is_whole = self.q.is_none() && !matches!(self.base, Base::Whole(_)) || coordinate.fract() == 0.0;
        (is_whole && coordinate >= least - slack && coordinate <= most + slack).then(|| coordinate.clamp(least, most))
    }

    /// The least and the most coordinate.
    fn range(&self) -> (f64, f64) {
        match self.base {
            Base::Whole(upper) => (0.0, whole(upper) - 1.0),
            Base::Uniform { min, max } => match self.q {
                // Those that a stretch of the distribution is rounded to, not only its very end.
                Some(q) => ((self.exp(min) / q + 0.5).floor(), (self.exp(max) / q - 0.5).ceil()),
                None => (min, max),
            },
            Base::Normal { mu, sigma: 0.0 } => (self.rounded(mu), self.rounded(mu)),
            Base::Normal { .. } if self.log && self.q.is_some() => (0.0, f64::INFINITY),
            Base::Normal { .. } => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// How many values there are; none where they cannot be counted.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count; one that is too large is the most"
    )]
    pub(super) fn count(&self) -> Option<u64> {
        let is_point = matches!(self.base, Base::Normal { sigma: 0.0, .. });
        let is_discrete = matches!((self.base, self.q), (Base::Whole(_), _) | (Base::Uniform { .. }, Some(_)));
        let (least, most) = self.range();
        (is_point || is_discrete).then_some(((most - least) as u64).saturating_add(1))
    }

    /// The coordinate at a place among the values.
    pub(super) fn nth(&self, index: u64) -> f64 {
        self.range().0 + whole(index)
    }

    /// What a learner works with.
    #[must_use]
    pub fn latent(&self) -> Latent {
        match self.base {
            Base::Whole(upper) => {
                let upper = whole(upper);
                Latent { bounds: (-0.5, upper - 0.5), prior: ((upper - 1.0) / 2.0, upper) }
            }
            Base::Uniform { min, max } => Latent { bounds: (min, max), prior: (f64::midpoint(min, max), max - min) },
            Base::Normal { mu, sigma } => Latent { bounds: (f64::NEG_INFINITY, f64::INFINITY), prior: (mu, sigma) },
        }
    }

    /// Which stretch of the latent scale a coordinate stands for: between these two, where values are rounded; the number
    /// itself, twice, where they are not.
    #[must_use]
    pub fn cell(&self, coordinate: f64) -> (f64, f64) {
        let (low, high) = match (self.base, self.q) {
            (Base::Whole(_), _) => return (coordinate - 0.5, coordinate + 0.5),
            (_, None) => return (coordinate, coordinate),
            (_, Some(q)) => ((coordinate - 0.5) * q, (coordinate + 0.5) * q),
        };
        let (least, most) = self.latent().bounds;
        let latent = |edge: f64| match self.log {
            true if edge <= 0.0 => least,
            true => edge.ln(),
            false => edge,
        };
        (latent(low).clamp(least, most), latent(high).clamp(least, most))
    }

    /// The coordinate that a number of the latent scale falls on.
    #[must_use]
    pub fn from_latent(&self, latent: f64) -> f64 {
        match self.base {
            Base::Whole(upper) => latent.round().clamp(0.0, whole(upper) - 1.0),
            _ => self.rounded(latent).clamp(self.range().0, self.range().1),
        }
    }
}

/// The number that a value is.
pub(super) fn of(value: &Value) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "as any script reads it")]
        Value::Integer(integer) => Some(*integer as f64),
        Value::Float(number) => Some(number.value),
        Value::Bool(_) | Value::Text(_) | Value::List(_) => None,
    }
}

/// Whether two numbers are the same but for the last digits.
pub(super) fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-11 * a.abs().max(b.abs())
}

/// A product whose last digits are those of its decimal factors: `3 * 0.1` is 0.3, not 0.30000000000000004.
fn tidy(product: f64) -> f64 {
    let short = format!("{product:.14e}").parse().unwrap_or(product);
    if (short - product).abs() <= product.abs() * 2.0 * f64::EPSILON { short } else { product }
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
fn integer(whole: f64) -> Value {
    Value::Integer(whole as i64)
}

#[expect(clippy::cast_precision_loss, reason = "a bound of a search")]
fn whole(number: u64) -> f64 {
    number as f64
}
