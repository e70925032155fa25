//! MLflow's filter grammar for runs, as in `metrics.mse < 3000 and params.alpha > 0.1 and tags.stage LIKE 'dev%'`. Pure.
//!
//! Called by `amlrun runs list --where` and whatever answers MLflow's `runs/search`. Keys are `metrics.…`, `params.…` (also
//! `parameters.`, `param.`, `metric.`), `tags.…`, `attributes.…` or an attribute alone; names with other characters stand
//! in backticks or double quotes. Comparators: `=`, `!=`, `<`, `<=`, `>`, `>=`, `LIKE`, `ILIKE`, `IN`, `NOT IN`, `IS NULL`,
//! `IS NOT NULL`. Clauses are joined by `and`. Beyond MLflow, a parameter that is a number may be compared with one.

mod lexer;
#[cfg(test)]
mod tests;

use lexer::{Token, tokens};

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// A metric: a number.
    Metric,
    /// A parameter: a text, which may be a number.
    Param,
    /// A tag: a text.
    Tag,
    /// What a run is: its status, its job, its times.
    Attribute,
}

/// A key: what it stands for, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it stands for.
    pub space: Space,
    /// Its name.
    pub name: String,
}

/// A value of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Is {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// How a value must be.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Compare(Order, Is),
    /// The pattern, and whether case counts.
    Like(String, bool),
    /// The values, and whether it must be none of them.
    Among(Vec<String>, bool),
    /// Whether it must be missing.
    Null(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A filter: every clause must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter(Vec<(Key, Test)>);

impl Filter {
    /// Whether a clause wants a key to be this text, so that nothing else can fit.
    #[must_use]
    pub fn demands(&self, space: Space, name: &str, text: &str) -> bool {
        let is_it = |key: &Key| key.space == space && key.name.eq_ignore_ascii_case(name);
        self.0.iter().any(|(key, test)| match test {
            Test::Compare(Order::Equal, Is::Text(wanted)) => is_it(key) && wanted == text,
            _ => false,
        })
    }

    /// Reads a filter; an empty text holds for all.
    ///
    /// # Errors
    /// The first fault, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut rest = tokens.as_slice();
        let mut clauses = Vec::new();
        while !rest.is_empty() {
            if !clauses.is_empty() {
                match rest.split_first() {
                    Some((Token::Word(word), tail)) if word.eq_ignore_ascii_case("and") => rest = tail,
                    Some((Token::Word(word), _)) if word.eq_ignore_ascii_case("or") => {
                        return Err("clauses are joined by `and` only; `or` is not in MLflow's grammar".to_owned());
                    }
                    Some((token, _)) => return Err(format!("expected `and` before {token}")),
                    None => break,
                }
            }
            clauses.push(clause(&mut rest)?);
        }
        Ok(Self(clauses))
    }

    /// Whether all clauses hold for a run, of which `value` answers a key.
    pub fn holds(&self, value: &dyn Fn(&Key) -> Option<Is>) -> bool {
        self.0.iter().all(|(key, test)| test.holds(value(key).as_ref()))
    }
}

/// A key as `--sort` and `order_by` have it, without the direction.
///
/// # Errors
/// Where it is none, in a sentence.
pub fn key(text: &str) -> Result<Key, String> {
    let tokens = tokens(text)?;
    match tokens.as_slice() {
        [Token::Word(word)] => named(word, None),
        [Token::Word(word), Token::Quoted(name)] => named(word, Some(name)),
        _ => Err(format!("`{text}` is not a key, as in `metrics.mse`")),
    }
}

fn clause(rest: &mut &[Token]) -> Result<(Key, Test), String> {
    let mut next = || {
        let (first, tail) = rest.split_first()?;
        *rest = tail;
        Some(first.clone())
    };
    let key = match (next(), rest_quoted(&mut next)) {
        (Some(Token::Word(word)), Ahead::Quoted(name, after)) => (named(&word, Some(&name))?, after),
        (Some(Token::Word(word)), Ahead::Other(after)) => (named(&word, None)?, after),
        (Some(token), _) => return Err(format!("{token} is not a key, as in `metrics.mse`")),
        (None, _) => return Err("a clause is missing at the end".to_owned()),
    };
    let (key, after) = key;
    let what = format!("after `{}`", key.name);
    let Some(after) = after else { return Err(format!("a comparator is missing {what}")) };
    let word = |token: Option<Token>, expected: &str| match token {
        Some(Token::Word(word)) if word.eq_ignore_ascii_case(expected) => Ok(()),
        _ => Err(format!("expected `{expected}` {what}")),
    };
    let test = match after {
        Token::Operator(symbol) => {
            let value = value(next(), &what)?;
            if key.space == Space::Metric && matches!(value, Is::Text(_)) {
                return Err(format!("the metric `{}` is compared with a number, without quotes", key.name));
            }
            Test::Compare(order(&symbol).ok_or_else(|| format!("`{symbol}` is not a comparator"))?, value)
        }
        Token::Word(keyword) => match keyword.to_ascii_uppercase().as_str() {
            "LIKE" | "ILIKE" => match value(next(), &what)? {
                Is::Text(pattern) => Test::Like(pattern, keyword.eq_ignore_ascii_case("LIKE")),
                Is::Number(_) => return Err(format!("`{keyword}` needs a text in quotes {what}")),
            },
            "IN" => Test::Among(list(next(), &what)?, false),
            "NOT" => {
                word(next(), "IN")?;
                Test::Among(list(next(), &what)?, true)
            }
            "IS" => match next() {
                Some(Token::Word(second)) if second.eq_ignore_ascii_case("NULL") => Test::Null(true),
                Some(Token::Word(second)) if second.eq_ignore_ascii_case("NOT") => {
                    word(next(), "NULL")?;
                    Test::Null(false)
                }
                _ => return Err(format!("expected `IS NULL` or `IS NOT NULL` {what}")),
            },
            _ => return Err(format!("`{keyword}` is not a comparator")),
        },
        token => return Err(format!("expected a comparator {what}, not {token}")),
    };
    Ok((key, test))
}

/// What follows a key's first word: the rest of its name in quotes and what comes then, or the comparator.
enum Ahead {
    Quoted(String, Option<Token>),
    Other(Option<Token>),
}

fn rest_quoted(next: &mut dyn FnMut() -> Option<Token>) -> Ahead {
    match next() {
        Some(Token::Quoted(name)) => Ahead::Quoted(name, next()),
        other => Ahead::Other(other),
    }
}

fn named(word: &str, quoted: Option<&str>) -> Result<Key, String> {
    let (space, name) = word.split_once('.').map_or((None, word), |(space, name)| (Some(space), name));
    let space = match space.map(str::to_ascii_lowercase).as_deref() {
        Some("metric" | "metrics") => Space::Metric,
        Some("param" | "params" | "parameter" | "parameters") => Space::Param,
        Some("tag" | "tags") => Space::Tag,
        Some("attribute" | "attributes" | "attr" | "run") | None => Space::Attribute,
        Some(other) => return Err(format!("`{other}.` is none of `metrics.`, `params.`, `tags.`, `attributes.`")),
    };
    let name = quoted.unwrap_or(name);
    if name.is_empty() {
        return Err(format!("a name is missing after `{word}`"));
    }
    if space == Space::Attribute && !ATTRIBUTES.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("there is no attribute `{name}`; there are {}", ATTRIBUTES.join(", ")));
    }
    Ok(Key { space, name: name.to_owned() })
}

/// The attributes, those of MLflow first.
pub const ATTRIBUTES: [&str; 13] = [
    "run_id",
    "run_name",
    "status",
    "start_time",
    "end_time",
    "user_id",
    "artifact_uri",
    "created",
    "job",
    "experiment",
    "target",
    "environment",
    "duration",
];

fn order(symbol: &str) -> Option<Order> {
    Some(match symbol {
        "=" | "==" => Order::Equal,
        "!=" | "<>" => Order::Unequal,
        "<" => Order::Less,
        "<=" => Order::LessOrEqual,
        ">" => Order::Greater,
        ">=" => Order::GreaterOrEqual,
        _ => return None,
    })
}

fn value(token: Option<Token>, what: &str) -> Result<Is, String> {
    match token {
        Some(Token::Text(text) | Token::Quoted(text)) => Ok(Is::Text(text)),
        Some(Token::Word(word)) => match word.parse::<f64>() {
            Ok(number) => Ok(Is::Number(number)),
            Err(_) => Err(format!("`{word}` {what} is neither a number nor a text in quotes")),
        },
        _ => Err(format!("a value is missing {what}")),
    }
}

fn list(token: Option<Token>, what: &str) -> Result<Vec<String>, String> {
    match token {
        Some(Token::List(items)) if !items.is_empty() => Ok(items),
        _ => Err(format!("expected a list of texts {what}, as in `('a', 'b')`")),
    }
}

impl Test {
    fn holds(&self, is: Option<&Is>) -> bool {
        let Some(is) = is else { return *self == Self::Null(true) };
        let text = match is {
            Is::Text(text) => text.clone(),
            Is::Number(number) => number.to_string(),
        };
        match self {
            Self::Null(missing) => !missing,
            Self::Among(list, none) => list.contains(&text) != *none,
            Self::Like(pattern, case) => {
                if *case {
                    like(pattern, &text)
                } else {
                    like(&pattern.to_lowercase(), &text.to_lowercase())
                }
            }
            Self::Compare(order, Is::Text(wanted)) => order.fits(text.as_str().partial_cmp(wanted.as_str())),
            Self::Compare(order, Is::Number(wanted)) => {
                let number = match is {
                    Is::Number(number) => Some(*number),
                    Is::Text(text) => text.trim().parse().ok(),
                };
                number.is_some_and(|number| order.fits(number.partial_cmp(wanted)))
            }
        }
    }
}

impl Order {
    /// NaN is unequal to all, and neither less nor greater.
    fn fits(self, found: Option<std::cmp::Ordering>) -> bool {
        match self {
            Self::Equal => found.is_some_and(std::cmp::Ordering::is_eq),
            Self::Unequal => found.is_none_or(std::cmp::Ordering::is_ne),
            Self::Less => found.is_some_and(std::cmp::Ordering::is_lt),
            Self::LessOrEqual => found.is_some_and(std::cmp::Ordering::is_le),
            Self::Greater => found.is_some_and(std::cmp::Ordering::is_gt),
            Self::GreaterOrEqual => found.is_some_and(std::cmp::Ordering::is_ge),
        }
    }
}

/// SQL's LIKE: `%` is any text, `_` any character. Linear in the text for each `%`, whatever the pattern.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                back = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '_' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((percent, at)) = back else { return false };
                back = Some((percent, at + 1));
                p = percent + 1;
                t = at + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}
