//! A search space: what its expressions draw, how many points it has, and its points as coordinates for the learners.
//!
//! A space is a list of dimensions, one an expression, those of nested choices behind the choice that they belong to. A
//! point has a coordinate for every dimension that is active there; those of choices that were not chosen are not.

mod number;
#[cfg(test)]
mod tests;

pub use number::Latent;

use super::Values;
use super::rng::Rng;
use crate::project::sweep::{Choice, Draw, Numeric, Sweep};
use crate::value::{Number, Value};

/// The coordinates of a point: for each dimension its coordinate, or none where it is not active. Of a choice it is the
/// index of the value; of `randint` the number; of the expressions with a `q` which multiple of `q` it is; of the others
/// the number before `exp`, where there is one.
pub type Point = Vec<Option<f64>>;

/// A search space.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    dimensions: Vec<Dimension>,
    /// Those that belong to no choice.
    roots: Vec<usize>,
}

/// One expression of a space.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    /// The parameter's name.
    pub name: String,
    /// What is drawn.
    pub kind: Kind,
    /// The choice that it is nested in, and which of its values that is.
    pub within: Option<(usize, usize)>,
}

/// What a dimension draws.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// One of some values.
    Choice(Vec<Branch>),
    /// A number.
    Number(Numeric),
}

/// One of the values of a choice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Branch {
    /// What it sets: the parameter of the choice itself, or the fixed values of a nested space.
    sets: Vec<(String, Value)>,
    /// The dimensions of a nested space.
    dimensions: Vec<usize>,
}

impl Space {
    /// The space of a sweep.
    #[must_use]
    pub fn of(sweep: &Sweep) -> Self {
        Self::new(sweep.space.iter().map(|(name, draw, _)| (name.as_str(), draw)))
    }

    /// The space of these parameters, in this order.
    #[must_use]
    pub fn new<'d>(draws: impl IntoIterator<Item = (&'d str, &'d Draw)>) -> Self {
        let mut space = Self { dimensions: Vec::new(), roots: Vec::new() };
        for (name, draw) in draws {
            let root = space.add(name, draw, None);
            space.roots.push(root);
        }
        space
    }

    fn add(&mut self, name: &str, draw: &Draw, within: Option<(usize, usize)>) -> usize {
        let at = self.dimensions.len();
        let kind = match draw {
            Draw::Number(numeric) => Kind::Number(*numeric),
            Draw::Choice(_) => Kind::Choice(Vec::new()),
        };
        self.dimensions.push(Dimension { name: name.to_owned(), kind, within });
        if let Draw::Choice(choices) = draw {
            let branches = choices.iter().enumerate().map(|(i, choice)| self.branch(name, choice, (at, i))).collect();
            self.dimensions[at].kind = Kind::Choice(branches);
        }
        at
    }

    fn branch(&mut self, name: &str, choice: &Choice, within: (usize, usize)) -> Branch {
        let mut branch = Branch::default();
        match choice {
            Choice::Value(value) => branch.sets.push((name.to_owned(), value.clone())),
            Choice::Draw(draw) => branch.dimensions.push(self.add(name, draw, Some(within))),
            Choice::Nested(inner) => {
                for (name, choice) in inner {
                    let inner = self.branch(name, choice, within);
                    branch.sets.extend(inner.sets);
                    branch.dimensions.extend(inner.dimensions);
                }
            }
        }
        branch
    }

    /// Its dimensions; a nested one comes after the choice that it belongs to.
    #[must_use]
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// A point from numbers in `[0, 1)`, one for each dimension in their order, active or not: so each dimension has its
    /// own among the coordinates of a sequence.
    pub fn at(&self, mut unit: impl FnMut() -> f64) -> Point {
        let mut point: Point = Vec::with_capacity(self.dimensions.len());
        for dimension in &self.dimensions {
            let unit = unit();
            let coordinate = Self::is_active(dimension, &point).then(|| match &dimension.kind {
                Kind::Choice(branches) => index(unit, branches.len()),
                Kind::Number(numeric) => numeric.draw(unit),
            });
            point.push(coordinate);
        }
        point
    }

    /// A point at random.
    pub fn sample(&self, rng: &mut Rng) -> Point {
        self.at(|| rng.unit())
    }

    /// Whether a dimension is active, given the coordinates of those before it.
    pub(super) fn is_active(dimension: &Dimension, before: &[Option<f64>]) -> bool {
        let chosen = |choice: usize| before.get(choice).copied().flatten().map(place);
        dimension.within.is_none_or(|(choice, branch)| chosen(choice) == Some(branch))
    }

    /// How many points there are; none where they cannot be counted. What is drawn with a probability of 0 is no point.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.sizes(&self.roots)
    }

    fn sizes(&self, dimensions: &[usize]) -> Option<u64> {
        dimensions.iter().try_fold(1_u64, |size, at| Some(size.saturating_mul(self.size_of(*at)?)))
    }

    fn size_of(&self, dimension: usize) -> Option<u64> {
        match &self.dimensions.get(dimension)?.kind {
            Kind::Number(numeric) => numeric.count(),
            Kind::Choice(branches) => {
                let mut sizes = branches.iter().map(|branch| self.sizes(&branch.dimensions));
                sizes.try_fold(0_u64, |sum, size| Some(sum.saturating_add(size?)))
            }
        }
    }

    /// A point of a space that can be counted, by its place in the order of the text, the last parameter fastest (as the
    /// cells of a matrix). None where there are not so many.
    #[must_use]
    pub fn nth(&self, index: u64) -> Option<Point> {
        if index >= self.size()? {
            return None;
        }
        let mut point = vec![None; self.dimensions.len()];
        self.place(&self.roots, index, &mut point)?;
        Some(point)
    }

    fn place(&self, dimensions: &[usize], mut index: u64, point: &mut Point) -> Option<()> {
        for &at in dimensions.iter().rev() {
            let size = self.size_of(at)?;
            let mut own = index % size;
            index /= size;
            match &self.dimensions.get(at)?.kind {
                Kind::Number(numeric) => point[at] = Some(numeric.nth(own)),
                Kind::Choice(branches) => {
                    for (i, branch) in branches.iter().enumerate() {
                        let size = self.sizes(&branch.dimensions)?;
                        if own < size {
                            point[at] = Some(float(i));
                            self.place(&branch.dimensions, own, point)?;
                            break;
                        }
                        own -= size;
                    }
                }
            }
        }
        Some(())
    }

    /// The parameters of a point.
    #[must_use]
    pub fn values(&self, point: &[Option<f64>]) -> Values {
        let mut values = Values::new();
        for (dimension, coordinate) in self.dimensions.iter().zip(point) {
            let Some(coordinate) = *coordinate else { continue };
            match &dimension.kind {
                Kind::Number(numeric) => {
                    values.insert(dimension.name.clone(), numeric.value(coordinate));
                }
                Kind::Choice(branches) => {
                    let branch = branches.get(place(coordinate));
                    values.extend(branch.into_iter().flat_map(|branch| branch.sets.iter().cloned()));
                }
            }
        }
        values
    }

    /// The point with these parameters; none where the space has no such point. Parameters that the space does not know are
    /// not looked at. Of values of a choice that cannot be told apart the first is meant.
    #[must_use]
    pub fn point(&self, values: &Values) -> Option<Point> {
        let mut point = vec![None; self.dimensions.len()];
        self.find(&self.roots, values, &mut point)?;
        Some(point)
    }

    fn find(&self, dimensions: &[usize], values: &Values, point: &mut Point) -> Option<()> {
        for &at in dimensions {
            let dimension = self.dimensions.get(at)?;
            match &dimension.kind {
                Kind::Number(numeric) => point[at] = Some(numeric.coordinate(values.get(&dimension.name)?)?),
                Kind::Choice(branches) => {
                    let (i, within) = branches.iter().enumerate().find_map(|(i, branch)| {
                        let is =
                            branch.sets.iter().all(|(name, value)| values.get(name).is_some_and(|v| same(v, value)));
                        let mut within = point.clone();
                        (is && self.find(&branch.dimensions, values, &mut within).is_some()).then_some((i, within))
                    })?;
                    *point = within;
                    point[at] = Some(float(i));
                }
            }
        }
        Some(())
    }
}

/// What tells a point from another one: points that look the same after they were written down and read again are the same.
#[must_use]
pub fn key(values: &Values) -> String {
    let mut key = String::new();
    for (name, value) in values {
        key.extend([name.as_str(), "\u{1}", &text(value), "\u{2}"]);
    }
    key
}

fn text(value: &Value) -> String {
    match value {
        Value::Bool(_) => format!("b{value}"),
        Value::Integer(_) => value.to_string(),
        // Eleven digits: a reader may be off in the last of seventeen.
        Value::Float(Number { value, .. }) => format!("f{:.11e}", value + 0.0),
        Value::Text(text) => format!("t{text}"),
        Value::List(items) => items.iter().map(|item| text(item) + "\u{3}").collect(),
    }
}

/// Whether two values are the same; a whole number is, however it is written.
fn same(a: &Value, b: &Value) -> bool {
    match (number::of(a), number::of(b)) {
        (Some(a), Some(b)) => number::near(a, b),
        _ => text(a) == text(b),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the place in a list")]
fn float(index: usize) -> f64 {
    index as f64
}

/// The place in a list that is a coordinate.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the place in a list")]
pub(super) fn place(coordinate: f64) -> usize {
    coordinate as usize
}

/// The place in a list that a number in `[0, 1)` falls on.
fn index(unit: f64, length: usize) -> f64 {
    (unit * float(length)).floor().clamp(0.0, float(length.saturating_sub(1)))
}
