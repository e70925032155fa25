//! `search_space` of a sweep job, as the `sweep.space` of an Amlfile; choices may hold spaces of their own.

use super::super::doc::At;
use super::super::hyperdrive::{expression, parameter};
use super::super::look::Context;
use super::super::model::{Keys, Toml};
use super::ours::Ours;
use crate::value::Value;

/// The keys of `search_space` and their names as parameters, those of nested spaces included, each once.
pub(super) fn names(at: &At<'_>, ours: &Ours) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = Vec::new();
    for entry in at.get("search_space").map(|table| table.entries()).unwrap_or_default() {
        names_of(&entry, ours, &mut names);
    }
    names
}

fn names_of(entry: &At<'_>, ours: &Ours, names: &mut Vec<(String, String)>) {
    if names.iter().all(|(key, _)| *key != entry.key) {
        names.push((entry.key.clone(), searched(ours, &entry.key)));
    }
    let choices = entry.get("values").map(|values| values.items()).unwrap_or_default();
    choices.iter().flat_map(At::entries).for_each(|below| names_of(&below, ours, names));
}

/// The name of a parameter that is searched.
pub(super) fn searched(ours: &Ours, key: &str) -> String {
    ours.text(&format!("param-name.{key}")).map_or_else(|| parameter(key), str::to_owned)
}

/// `sweep.space`.
pub(super) fn space(context: &mut Context<'_>, at: &At<'_>, ours: &Ours) -> Keys {
    let mut space: Keys = Vec::new();
    for entry in at.get("search_space").map(|table| table.entries()).unwrap_or_default() {
        let name = searched(ours, &entry.key);
        match draw(&entry, ours) {
            Some(one) if space.iter().all(|(known, _)| *known != name) => {
                context.report.translated(&entry, format!("sweep.space.{name}"));
                // What was kept holds as long as the document says the same in v2's words.
                let kept = ours.draw(&format!("space.{}", entry.key)).filter(|kept| told(kept) == told(&one));
                space.push((name, kept.unwrap_or(one)));
            }
            Some(_) => context.report.none(&entry, "another parameter has that name"),
            None => context.report.none(&entry, "no expression of a search space"),
        }
    }
    space
}

fn draw(at: &At<'_>, ours: &Ours) -> Option<Toml> {
    let kind = at.get("type")?.scalar()?;
    let values = |keys: &[&str]| keys.iter().map(|key| at.get(key)?.value()).collect::<Option<Vec<Value>>>();
    let arguments = match kind.as_str() {
        "choice" if at.get("values")?.items().iter().any(|item| item.value().is_none()) => {
            let items = at.get("values")?.items();
            let choices = items.iter().map(|item| choice(item, ours)).collect::<Option<Vec<Toml>>>()?;
            return Some(Toml::Table(vec![("choice".to_owned(), Toml::List(choices))]));
        }
        "choice" => values(&["values"]),
        "randint" => values(&["upper"]),
        "uniform" | "loguniform" => values(&["min_value", "max_value"]),
        "quniform" | "qloguniform" => values(&["min_value", "max_value", "q"]),
        "normal" | "lognormal" => values(&["mu", "sigma"]),
        "qnormal" | "qlognormal" => values(&["mu", "sigma", "q"]),
        _ => None,
    };
    expression(&kind, arguments?)
}

/// A value of a choice, or a space of its own.
fn choice(at: &At<'_>, ours: &Ours) -> Option<Toml> {
    if let Some(value) = at.value() {
        return Some(Toml::Value(value));
    }
    if !matches!(at.node.value, crate::yaml::Value::Map(_)) {
        return None;
    }
    let below = at.entries().into_iter().map(|entry| {
        let one = match entry.value() {
            Some(value) => Toml::Value(value),
            None => draw(&entry, ours)?,
        };
        Some((searched(ours, &entry.key), one))
    });
    Some(Toml::Table(below.collect::<Option<_>>()?))
}

/// A draw as v2 can say it: truths and lists are texts, and numbers are what they are worth.
fn told(draw: &Toml) -> String {
    let Toml::Table(pairs) = draw else { return told_choice(draw) };
    let arguments = |of: &Toml| match of {
        Toml::Value(Value::List(values)) => values.iter().map(told_value).collect::<Vec<_>>().join(", "),
        Toml::List(choices) => choices.iter().map(told_choice).collect::<Vec<_>>().join(", "),
        one => told_choice(one),
    };
    pairs.iter().map(|(name, of)| format!("{name}({})", arguments(of))).collect::<Vec<_>>().join("; ")
}

/// A value of a choice, or a space of its own.
fn told_choice(choice: &Toml) -> String {
    match choice {
        Toml::Value(value) => told_value(value),
        Toml::List(items) => format!("{items:?}"),
        Toml::Table(pairs) => {
            let below = |one: &Toml| if matches!(one, Toml::Table(_)) { told(one) } else { told_choice(one) };
            let pairs: Vec<String> = pairs.iter().map(|(name, one)| format!("{name}: {}", below(one))).collect();
            format!("{{{}}}", pairs.join("; "))
        }
    }
}

fn told_value(value: &Value) -> String {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "told the same way on both sides")]
        Value::Integer(value) => format!("{:?}", *value as f64),
        Value::Float(value) if value.value.is_finite() => format!("{:?}", value.value),
        value => format!("{:?}", value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_compared_by_what_v2_can_say() {
        let choice = |values: Vec<Value>| Toml::Table(vec![("choice".to_owned(), Toml::Value(Value::List(values)))]);
        let text = |text: &str| Value::Text(text.to_owned());
        let same = |a: &[Value], b: &[Value]| told(&choice(a.to_vec())) == told(&choice(b.to_vec()));
        assert!(same(&[Value::Bool(true), Value::Integer(1)], &[text("true"), Value::Float(1.0.into())]));
        assert!(same(&[Value::List(vec![Value::Integer(1), Value::Integer(2)])], &[text("1,2")]));
        assert!(!same(&[Value::Integer(1)], &[text("1")]));
        assert!(!same(&[text("a"), text("b")], &[text("a, b")]));
        let parts = Toml::List(vec![Toml::Value(Value::Bool(true)), Toml::Value(Value::Integer(1))]);
        let whole = choice(vec![Value::Bool(true), Value::Integer(1)]);
        assert_eq!(told(&Toml::Table(vec![("choice".to_owned(), parts)])), told(&whole));
        // A list is what a nested parameter is set to, not its choices.
        let nested = |value: Value| {
            let space = Toml::Table(vec![("sizes".to_owned(), Toml::Value(value))]);
            Toml::Table(vec![("choice".to_owned(), Toml::List(vec![space]))])
        };
        let sizes = Value::List(vec![Value::Integer(1), Value::Float(0.5.into())]);
        assert_eq!(told(&nested(sizes)), told(&nested(text("1,0.5"))));
    }
}
