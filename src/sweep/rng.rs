//! Randomness from a seed, the same on every machine: xoshiro256++ 1.0 (Blackman and Vigna, "Scrambled linear pseudorandom
//! number generators", ACM TOMS 47, 2021; public domain, <https://prng.di.unimi.it/xoshiro256plusplus.c>), its state
//! filled by `SplitMix64` (<https://prng.di.unimi.it/splitmix64.c>), as its authors recommend.

/// A generator.
#[derive(Debug, Clone)]
pub struct Rng([u64; 4]);

/// One step of `SplitMix64`.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| split_mix(&mut state)))
    }

    /// A generator of its own for each of these numbers, under one seed: what is drawn for trial 7 does not depend on what
    /// was drawn for the trials before it.
    #[must_use]
    pub fn of(seed: u64, numbers: &[u64]) -> Self {
        let mut state = seed;
        for number in numbers {
            let mixed = split_mix(&mut state);
            state = mixed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93);
        }
        Self::new(state)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        quantile(self.unit())
    }

    /// Uniform in `0..below`; 0 where that is empty.
    #[expect(clippy::cast_possible_truncation, reason = "below `below`")]
    pub fn below(&mut self, below: usize) -> usize {
        // Lemire's multiplication; its bias is below 2⁻⁴⁰ for any list that fits into memory.
        ((u128::from(self.bits()) * below as u128) >> 64) as usize
    }
}

/// The quantile of the standard normal distribution: Acklam's rational approximation (relative error 1.15e-9), sharpened by
/// one step of Halley's method against [`cumulative`]. 0 and 1 are taken for the nearest numbers between them.
#[must_use]
pub fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    const TAIL: f64 = 0.024_25;
    const LEAST: f64 = 1.0 / 18_014_398_509_481_984.0; // 2⁻⁵⁴
    let p = p.clamp(LEAST, 1.0 - LEAST);
    if p > 0.5 {
        return -quantile(1.0 - p); // exact, as 1 - p is
    }
    let poly = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let x = if p < TAIL {
        let q = (-2.0 * p.ln()).sqrt();
        poly(&C, q) / (poly(&D, q) * q + 1.0)
    } else {
        let q = p - 0.5;
        let r = q * q;
        poly(&A, r) * q / (poly(&B, r) * r + 1.0)
    };
    let error = cumulative(x) - p;
    let step = error * (2.0 * std::f64::consts::PI).sqrt() * (x * x / 2.0).exp();
    x - step / (1.0 + x * step / 2.0)
}

/// The standard normal distribution's cumulative function.
#[must_use]
pub fn cumulative(x: f64) -> f64 {
    complement(-x / std::f64::consts::SQRT_2) / 2.0
}

/// `erfc`: the complementary error function, by a series near 0 and a continued fraction far from it (Abramowitz and
/// Stegun 7.1.6 and 7.1.14); correct to about 1e-15 of its value.
#[must_use]
pub fn complement(x: f64) -> f64 {
    const ROOT: f64 = 1.772_453_850_905_516; // of π
    if x < 0.0 {
        return 2.0 - complement(-x);
    }
    if x < 2.0 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        return 1.0 - sum * 2.0 / ROOT * (-x * x).exp();
    }
    if x > 27.0 {
        return 0.0;
    }
    let fraction = (1..=60).rev().fold(x, |below, n| x + f64::from(n) / 2.0 / below);
    (-x * x).exp() / ROOT / fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_authors_reference() {
        // From splitmix64.c with the seed 1234567, and from xoshiro256plusplus.c with the state 1, 2, 3, 4.
        let mut state = 1_234_567;
        let first: Vec<u64> = (0..3).map(|_| split_mix(&mut state)).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        let mut rng = Rng([1, 2, 3, 4]);
        let first: Vec<u64> = (0..4).map(|_| rng.bits()).collect();
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn the_normal_distribution_to_the_last_digits() {
        // scipy.stats.norm.ppf and .cdf, scipy.special.erfc
        for (p, x) in [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.841_344_746_068_542_9, 1.0),
            (1e-10, -6.361_340_902_404_056),
            (0.01, -2.326_347_874_040_841),
        ] {
            assert!((quantile(p) - x).abs() < 1e-13 * (1.0 + x.abs()), "{p}: {} for {x}", quantile(p));
            assert!((cumulative(x) / p - 1.0).abs() < 1e-12, "{x}: {} for {p}", cumulative(x));
        }
        for (x, value) in
            [(2.0, 0.004_677_734_981_047_266), (5.0, 1.537_459_794_428_035e-12), (-1.0, 1.842_700_792_949_715)]
        {
            assert!((complement(x) / value - 1.0).abs() < 1e-13, "{x}: {}", complement(x));
        }
        assert!(quantile(0.0).is_finite() && quantile(1.0).is_finite());
    }

    #[test]
    fn streams_of_one_seed_differ() {
        let first = |numbers: &[u64]| Rng::of(7, numbers).bits();
        let all = [first(&[]), first(&[0]), first(&[1]), first(&[0, 0]), first(&[0, 1]), first(&[1, 0])];
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| a != b));
        }
    }
}
