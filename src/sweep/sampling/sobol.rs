//! A Sobol sequence: draws that fill the space more evenly than independent ones.
//!
//! The direction numbers are those of Joe and Kuo, "Constructing Sobol sequences with better two-dimensional projections",
//! SIAM J. Sci. Comput. 30, 2008 (`new-joe-kuo-6.21201`), of the first 40 dimensions; a space with more draws the others
//! at random. The sequence is scrambled by the seed, as Owen does it, with the hashes of Burley, "Practical Hash-based Owen
//! Scrambling", JCGT 9, 2020: other seeds are other sequences, each as even.

use super::super::rng::Rng;
use super::super::space::{Point, Space};
use super::super::{Seen, Values};
use super::{Known, Sampler, fresh};

/// Sobol sampling.
pub(super) struct Sobol {
    space: Space,
    sequence: Sequence,
    seed: u64,
    known: Known,
}

impl Sobol {
    pub(super) fn new(space: Space, seed: u64) -> Self {
        Self { sequence: Sequence::new(seed, space.dimensions().len()), space, seed, known: Known::default() }
    }

    /// The coordinates of the points of the sequence.
    pub(super) fn units(&self) -> impl Iterator<Item = Vec<f64>> {
        let dimensions = self.space.dimensions().len();
        (0..).map(move |index| std::iter::repeat_with(self.sequence.at(index)).take(dimensions).collect())
    }

    /// The points of the sequence from one on.
    pub(super) fn from(&self, first: usize) -> impl Iterator<Item = Point> {
        (first..).map(|index| self.space.at(self.sequence.at(index)))
    }
}

impl Sampler for Sobol {
    fn propose(&mut self, seen: &Seen) -> Option<Values> {
        // Each trial took a point of the sequence at least.
        let number = seen.trials.len();
        let mut other = Rng::of(self.seed, &[number as u64]);
        self.known.catch_up(seen, true);
        fresh(&self.space, &self.known, self.from(number), |left| other.below(left))
    }
}

/// A scrambled sequence.
struct Sequence {
    seed: u64,
    /// A dimension: what bits of the index stand for, and what scrambles it.
    dimensions: Vec<([u32; 32], u32)>,
}

impl Sequence {
    #[expect(clippy::cast_possible_truncation, reason = "half of the bits are enough")]
    fn new(seed: u64, dimensions: usize) -> Self {
        let mut rng = Rng::of(seed, &[u64::MAX]);
        let first = std::iter::once(std::array::from_fn(|bit| 1 << (31 - bit)));
        let others = JOE_KUO.iter().map(|(a, m)| directions(*a, m));
        let dimensions = first.chain(others).take(dimensions).map(|bits| (bits, rng.bits() as u32));
        Self { seed, dimensions: dimensions.collect() }
    }

    /// The coordinates of a point, one after the other.
    fn at(&self, index: usize) -> impl FnMut() -> f64 {
        let mut dimensions = self.dimensions.iter();
        let mut more = Rng::of(self.seed, &[u64::MAX, index as u64]);
        move || match dimensions.next() {
            Some((bits, scramble)) => (f64::from(scrambled(plain(bits, index), *scramble)) + 0.5) / 4_294_967_296.0,
            None => more.unit(),
        }
    }
}

/// The coordinate of a point of the sequence itself, as a fraction of 2^32.
fn plain(directions: &[u32; 32], index: usize) -> u32 {
    let set = directions.iter().enumerate().filter(|(bit, _)| index >> bit & 1 == 1);
    set.fold(0, |point, (_, direction)| point ^ direction)
}

/// The direction numbers of a dimension from its primitive polynomial and its first numbers.
fn directions(a: u32, m: &[u32]) -> [u32; 32] {
    let s = m.len();
    let mut directions = [0_u32; 32];
    for bit in 0..32 {
        directions[bit] = match m.get(bit) {
            Some(first) => first << (31 - bit),
            None => (1..s).fold(directions[bit - s] ^ directions[bit - s] >> s, |sum, k| {
                if a >> (s - 1 - k) & 1 == 1 { sum ^ directions[bit - k] } else { sum }
            }),
        };
    }
    directions
}

/// Owen scrambling: each bit is turned or not, which depends on those above it.
fn scrambled(point: u32, seed: u32) -> u32 {
    let mut x = point.reverse_bits().wrapping_add(seed);
    for factor in [0x6c50_b47c_u32, 0xb82f_1e52, 0xc7af_e638, 0x8d22_f6e6] {
        x ^= x.wrapping_mul(factor);
    }
    x.reverse_bits()
}

/// Of each dimension after the first: the inner coefficients of its polynomial, and its first numbers.
const JOE_KUO: &[(u32, &[u32])] = &[
    (0, &[1]),
    (1, &[1, 3]),
    (1, &[1, 3, 1]),
    (2, &[1, 1, 1]),
    (1, &[1, 1, 3, 3]),
    (4, &[1, 3, 5, 13]),
    (2, &[1, 1, 5, 5, 17]),
    (4, &[1, 1, 5, 5, 5]),
    (7, &[1, 1, 7, 11, 19]),
    (11, &[1, 1, 5, 1, 1]),
    (13, &[1, 1, 1, 3, 11]),
    (14, &[1, 3, 5, 5, 31]),
    (1, &[1, 3, 3, 9, 7, 49]),
    (13, &[1, 1, 1, 15, 21, 21]),
    (16, &[1, 3, 1, 13, 27, 49]),
    (19, &[1, 1, 1, 15, 7, 5]),
    (22, &[1, 3, 1, 15, 13, 25]),
    (25, &[1, 1, 5, 5, 19, 61]),
    (1, &[1, 3, 7, 11, 23, 15, 103]),
    (4, &[1, 3, 7, 13, 13, 15, 69]),
    (7, &[1, 1, 3, 13, 7, 35, 63]),
    (8, &[1, 3, 5, 9, 1, 25, 53]),
    (14, &[1, 3, 1, 13, 9, 35, 107]),
    (19, &[1, 3, 1, 5, 27, 61, 31]),
    (21, &[1, 1, 5, 11, 19, 41, 61]),
    (28, &[1, 3, 5, 3, 3, 13, 69]),
    (31, &[1, 1, 7, 13, 1, 19, 1]),
    (32, &[1, 3, 7, 5, 13, 19, 59]),
    (37, &[1, 1, 3, 9, 25, 29, 41]),
    (41, &[1, 3, 5, 13, 23, 1, 55]),
    (42, &[1, 3, 7, 3, 13, 59, 17]),
    (50, &[1, 3, 1, 3, 5, 53, 69]),
    (55, &[1, 1, 5, 5, 23, 33, 13]),
    (56, &[1, 1, 7, 7, 1, 61, 123]),
    (59, &[1, 1, 7, 9, 13, 61, 49]),
    (62, &[1, 3, 3, 5, 3, 55, 33]),
    (14, &[1, 3, 1, 15, 31, 13, 49, 245]),
    (21, &[1, 3, 5, 15, 31, 59, 63, 97]),
    (22, &[1, 3, 1, 11, 11, 11, 77, 249]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Points of the first 40 dimensions in parts of 1024, as other programs give them that have the same direction numbers
    /// (`scipy.stats.qmc.Sobol(40, scramble=False)`, whose point 700 is the one of the Gray code of 700).
    #[test]
    fn an_unscrambled_sequence_has_the_published_values() {
        let sequence = Sequence::new(0, 40);
        let at = |index: usize| -> Vec<u32> {
            sequence.dimensions.iter().map(|(bits, _)| plain(bits, index) >> 22).collect()
        };
        assert_eq!(at(0), [0; 40]);
        assert_eq!(at(1), [512; 40]);
        assert_eq!(at(3)[..5], [768, 256, 256, 256, 768]);
        assert_eq!(
            at(0b10_1011_1100 ^ (0b10_1011_1100 >> 1)),
            [
                287, 101, 141, 483, 57, 359, 81, 719, 959, 957, 429, 563, 719, 763, 325, 81, 107, 379, 845, 13, 333,
                61, 167, 275, 183, 167, 27, 317, 947, 903, 137, 571, 601, 77, 343, 695, 739, 221, 549, 5
            ]
        );
    }
}
