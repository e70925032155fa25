//! Every expression against its definition: the distribution by Kolmogorov and Smirnov or chi-square, rounding exactly.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::super::rng::{Rng, cumulative};
use super::*;
use crate::project::sweep::Base;

const UNIFORM: Base = Base::Uniform { min: -2.0, max: 3.0 };
const NORMAL: Base = Base::Normal { mu: 1.0, sigma: 0.5 };

fn number(base: Base, log: bool, q: Option<f64>) -> Draw {
    Draw::Number(Numeric { base, log, q })
}

fn space(draws: &[(&str, Draw)]) -> Space {
    Space::new(draws.iter().map(|(name, draw)| (*name, draw)))
}

fn drawn(draw: &Draw, count: usize) -> Vec<Value> {
    let space = space(&[("x", draw.clone())]);
    let mut rng = Rng::new(11);
    (0..count).map(|_| space.values(&space.sample(&mut rng)).remove("x").unwrap()).collect()
}

fn texts(values: &[&str]) -> Vec<Choice> {
    values.iter().map(|text| Choice::Value(Value::Text((*text).into()))).collect()
}

/// The greatest distance between the distribution of what was drawn and the one that it should have.
#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn distance(draw: &Draw, cumulative: impl Fn(f64) -> f64) -> f64 {
    let mut values: Vec<f64> = drawn(draw, 20_000).iter().map(|value| number::of(value).unwrap()).collect();
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let off = |(i, value): (usize, &f64)| {
        let should = cumulative(*value);
        (should - i as f64 / n).abs().max((should - (i + 1) as f64 / n).abs())
    };
    values.iter().enumerate().map(off).fold(0.0, f64::max)
}

#[test]
fn continuous_expressions_have_their_distributions() {
    // 1.95 / sqrt(n): one in a thousand would fail by chance.
    let limit = 1.95 / 20_000_f64.sqrt();
    let even = |x: f64| ((x + 2.0) / 5.0).clamp(0.0, 1.0);
    let bell = |x: f64| cumulative((x - 1.0) / 0.5);
    assert!(distance(&number(UNIFORM, false, None), even) < limit);
    assert!(distance(&number(UNIFORM, true, None), |x| even(x.ln())) < limit);
    assert!(distance(&number(NORMAL, false, None), bell) < limit);
    assert!(distance(&number(NORMAL, true, None), |x| bell(x.ln())) < limit);
    // And the test would see another distribution.
    assert!(distance(&number(UNIFORM, false, None), |x| even(x + 0.1)) > limit);
}

/// Chi-square of what was drawn against the probability of each multiple of `q` by the definition: that of all numbers that
/// are rounded to it. Answers with it and the degrees of freedom.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a handful")]
fn chi_square(base: Base, log: bool, q: f64) -> (f64, f64) {
    let before = move |x: f64| {
        let x = if log { x.max(0.0).ln() } else { x };
        match base {
            Base::Uniform { min, max } => ((x - min) / (max - min)).clamp(0.0, 1.0),
            Base::Normal { mu, sigma } => cumulative((x - mu) / sigma),
            Base::Whole(upper) => ((x + 0.5) / upper as f64).clamp(0.0, 1.0),
        }
    };
    let draw = match base {
        Base::Whole(_) => number(base, log, None),
        _ => number(base, log, Some(q)),
    };
    let values = drawn(&draw, 20_000);
    let mut counts = std::collections::BTreeMap::new();
    for value in &values {
        let value = number::of(value).unwrap();
        assert!(number::near((value / q).round() * q, value), "{value} is no multiple of {q}");
        *counts.entry((value / q).round() as i64).or_insert(0.0) += 1.0;
    }
    let (mut sum, mut cells) = (0.0, 0.0);
    for k in -200..=400_i64 {
        let expected = 20_000.0 * (before((k as f64 + 0.5) * q) - before((k as f64 - 0.5) * q));
        let count = counts.remove(&k).unwrap_or(0.0);
        if expected >= 5.0 {
            sum += (count - expected) * (count - expected) / expected;
            cells += 1.0;
        } else {
            assert!(count <= 25.0, "{k}: {count} times instead of {expected}");
        }
    }
    assert!(counts.values().all(|count| *count <= 25.0), "{counts:?}");
    (sum, cells - 1.0)
}

#[test]
fn rounded_expressions_have_their_distributions() {
    for (base, log, q) in [
        (UNIFORM, false, 0.5),
        (UNIFORM, false, 2.0),
        (Base::Uniform { min: 1.0, max: 10.0 }, false, 4.0),
        (UNIFORM, true, 1.0),
        (UNIFORM, true, 0.25),
        (NORMAL, false, 0.5),
        (NORMAL, true, 1.0),
        (Base::Whole(7), false, 1.0),
    ] {
        let (sum, freedom) = chi_square(base, log, q);
        // Wilson and Hilferty: one in a thousand.
        let limit = freedom * (1.0 - 2.0 / (9.0 * freedom) + 3.09 * (2.0 / (9.0 * freedom)).sqrt()).powi(3);
        assert!(sum < limit, "{base:?} {log} {q}: {sum} with {freedom} degrees of freedom");
    }
}

#[test]
fn choices_are_even() {
    let values = drawn(&Draw::Choice(texts(&["a", "b", "c"])), 9_000);
    for letter in ["a", "b", "c"] {
        let count = values.iter().filter(|value| **value == Value::Text(letter.into())).count();
        assert!((2_850..3_150).contains(&count), "{letter}: {count}");
    }
}

#[test]
fn rounding_is_exact() {
    let at = |base: Base, log: bool, q: f64, unit: f64| {
        let numeric = Numeric { base, log, q: Some(q) };
        numeric.value(numeric.draw(unit)).to_string()
    };
    let ten = Base::Uniform { min: 0.0, max: 10.0 };
    // round(x / q) * q of x = 10 * unit
    for (q, unit, value) in [
        (1.0, 0.0, "0"),
        (1.0, 0.149, "1"),
        (1.0, 0.151, "2"),
        (4.0, 0.0, "0"),
        (4.0, 0.199, "0"),
        (4.0, 0.201, "4"),
        (4.0, 0.61, "8"),
        (3.0, 0.999, "9"),
        (0.1, 0.031, "0.3"),
        (0.1, 0.069, "0.7"),
        (0.25, 0.12, "1.25"),
        (100.0, 0.9, "0"),
    ] {
        assert_eq!(at(ten, false, q, unit), value, "q {q} at {unit}");
    }
    // x = exp(4 * unit): e^2 = 7.389, e^3.2 = 24.53
    let four = Base::Uniform { min: 0.0, max: 4.0 };
    assert_eq!(at(four, true, 2.0, 0.5), "8");
    assert_eq!(at(four, true, 10.0, 0.8), "20");
    assert_eq!(at(four, true, 0.5, 0.5), "7.5");
    // x = 1, the median of the normal distribution; exp(1) = 2.718
    assert_eq!(at(NORMAL, false, 0.4, 0.5), "0.8");
    assert_eq!(at(NORMAL, true, 0.5, 0.5), "2.5");
    assert_eq!(at(Base::Normal { mu: -1.3, sigma: 0.0 }, false, 1.0, 0.9), "-1");
}

#[test]
fn without_q_the_definitions_hold_exactly() {
    let at = |base: Base, log: bool, unit: f64| {
        let numeric = Numeric { base, log, q: None };
        number::of(&numeric.value(numeric.draw(unit))).unwrap()
    };
    assert_eq!(at(UNIFORM, false, 0.25).to_bits(), (-0.75_f64).to_bits());
    assert_eq!(at(UNIFORM, true, 0.25).to_bits(), (-0.75_f64).exp().to_bits());
    assert_eq!(at(NORMAL, false, 0.5).to_bits(), 1.0_f64.to_bits());
    assert_eq!(at(NORMAL, true, 0.5).to_bits(), 1.0_f64.exp().to_bits());
    assert_eq!(at(Base::Whole(3), false, 0.999).to_bits(), 2.0_f64.to_bits());
    assert!(at(Base::Uniform { min: 0.0, max: 2_000.0 }, true, 0.9).is_finite());
}

/// A choice between a plain value and two spaces, one with a choice of its own.
fn nested() -> Space {
    let value = |text: &str| Choice::Value(Value::Text(text.into()));
    let kernel = Draw::Choice(vec![
        value("linear"),
        Choice::Nested(vec![
            ("kernel".into(), value("rbf")),
            (
                "gamma".into(),
                Choice::Draw(Draw::Choice(vec![Choice::Value(Value::Integer(1)), Choice::Value(Value::Integer(2))])),
            ),
        ]),
        Choice::Nested(vec![
            ("kernel".into(), value("poly")),
            ("degree".into(), Choice::Draw(number(Base::Whole(3), false, None))),
        ]),
    ]);
    space(&[
        ("kernel", kernel),
        ("fast", Draw::Choice(vec![Choice::Value(Value::Bool(true)), Choice::Value(Value::Bool(false))])),
    ])
}

fn shown(values: &Values) -> String {
    values.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_grid_goes_through_nested_choices_the_last_parameter_fastest() {
    let space = nested();
    let all: Vec<String> = (0..20).map_while(|i| Some(shown(&space.values(&space.nth(i)?)))).collect();
    assert_eq!(
        all,
        [
            "fast=true kernel=linear",
            "fast=false kernel=linear",
            "fast=true gamma=1 kernel=rbf",
            "fast=false gamma=1 kernel=rbf",
            "fast=true gamma=2 kernel=rbf",
            "fast=false gamma=2 kernel=rbf",
            "degree=0 fast=true kernel=poly",
            "degree=0 fast=false kernel=poly",
            "degree=1 fast=true kernel=poly",
            "degree=1 fast=false kernel=poly",
            "degree=2 fast=true kernel=poly",
            "degree=2 fast=false kernel=poly",
        ]
    );
    assert_eq!(space.size(), Some(12));
}

#[test]
fn sizes() {
    let of = |draw: Draw| space(&[("x", draw)]).size();
    assert_eq!(of(number(Base::Whole(5), false, None)), Some(5));
    assert_eq!(of(number(UNIFORM, false, None)), None);
    assert_eq!(of(number(UNIFORM, false, Some(1.0))), Some(6)); // -2 to 3
    assert_eq!(of(number(Base::Uniform { min: 1.0, max: 10.0 }, false, Some(4.0))), Some(3)); // 0, 4, 8; 12 by the very end only
    assert_eq!(of(number(UNIFORM, true, Some(5.0))), Some(5)); // 0, 5, 10, 15, 20
    assert_eq!(of(number(NORMAL, false, Some(1.0))), None);
    assert_eq!(of(number(Base::Normal { mu: 1.0, sigma: 0.0 }, true, None)), Some(1));
    assert_eq!(of(Draw::Choice(texts(&["a", "b"]))), Some(2));
    assert_eq!(of(number(Base::Whole(u64::MAX), false, None)), Some(u64::MAX));
}

#[test]
fn points_that_are_none_of_the_space() {
    let space = nested();
    for (values, is) in [
        (&[("kernel", "linear"), ("fast", "true")][..], true),
        (&[("kernel", "linear"), ("fast", "true"), ("other", "1")], true),
        (&[("kernel", "linear")], false),
        (&[("kernel", "rbf"), ("fast", "true")], false),
        (&[("kernel", "rbf"), ("fast", "true"), ("gamma", "2")], true),
        (&[("kernel", "rbf"), ("fast", "true"), ("gamma", "3")], false),
        (&[("kernel", "poly"), ("fast", "false"), ("degree", "3")], false),
    ] {
        let typed = |text: &str| match text {
            "true" | "false" => Value::Bool(text == "true"),
            _ => text.parse().map_or_else(|_| Value::Text(text.into()), Value::Integer),
        };
        let map: Values = values.iter().map(|(name, text)| ((*name).into(), typed(text))).collect();
        assert_eq!(space.point(&map).is_some(), is, "{values:?}");
    }
}

fn any_numeric() -> impl Strategy<Value = Numeric> {
    let uniform = (-5.0..5.0, 0.01..10.0).prop_map(|(min, width)| Base::Uniform { min, max: min + width });
    let normal = (-3.0..3.0, 0.0..2.0).prop_map(|(mu, sigma)| Base::Normal { mu, sigma });
    let rounded = prop_oneof![Just(None), (0.01..5.0).prop_map(Some), (1..20_u32).prop_map(|q| Some(f64::from(q)))];
    let whole = (1..100_u64).prop_map(|upper| Numeric { base: Base::Whole(upper), log: false, q: None });
    prop_oneof![
        whole,
        (prop_oneof![uniform, normal], any::<bool>(), rounded).prop_map(|(base, log, q)| Numeric { base, log, q })
    ]
}

proptest! {
    /// What is drawn is found again, also after it was written down; and it lies in its own cell.
    #[test]
    fn values_lead_back_to_their_points(numeric in any_numeric(), unit in 0.0..1.0_f64) {
        let space = space(&[("x", Draw::Number(numeric))]);
        let point = space.at(|| unit);
        let values = space.values(&point);
        let found = space.point(&values);
        prop_assert!(found.is_some(), "{values:?} of {numeric:?}");
        let (was, is) = (point[0].unwrap(), found.unwrap()[0].unwrap());
        prop_assert!((was - is).abs() <= 1e-9 * (1.0 + was.abs()), "{was} became {is}");
        let read: Values = serde_json::from_str(&serde_json::to_string(&values).unwrap()).unwrap();
        prop_assert_eq!(key(&read), key(&values));
        let (low, high) = numeric.cell(was);
        prop_assert!(low <= high);
        if !matches!(numeric.base, Base::Normal { sigma: 0.0, .. }) && low.is_finite() && high.is_finite() {
            prop_assert_eq!(numeric.from_latent(f64::midpoint(low, high)).to_bits(), was.to_bits());
        }
    }

    /// Every point of a space that can be counted is drawn with its own number, once.
    #[test]
    fn a_grid_has_every_point_once(numeric in any_numeric()) {
        let space = space(&[("x", Draw::Number(numeric))]);
        if let Some(size) = space.size().filter(|size| *size < 5_000) {
            let keys: std::collections::BTreeSet<String> =
                (0..size).map(|i| key(&space.values(&space.nth(i).unwrap()))).collect();
            prop_assert_eq!(keys.len() as u64, size);
            prop_assert!(space.nth(size).is_none());
            for unit in [0.0, 0.1, 0.5, 0.9, 0.999_999] {
                let drawn = space.values(&space.at(|| unit));
                prop_assert!(keys.contains(&key(&drawn)), "{drawn:?} is not in the grid of {numeric:?}");
            }
        }
    }
}
