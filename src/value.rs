//! A parameter's value.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value of a parameter, as TOML has it. Shown as a script sees it on its command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number; kept beside the text it was written as, so that `0.10` and `1e-3` reach the script as written.
    Float(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
}

/// A float and the text it was written as.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "f64", from = "f64")]
pub struct Number {
    /// The number.
    pub value: f64,
    /// As written, without underscores.
    pub text: String,
}

impl From<Number> for f64 {
    fn from(number: Number) -> Self {
        number.value
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self { value, text: value.to_string() }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Integer(i) => write!(f, "{i}"),
            Self::Float(n) => f.write_str(&n.text),
            Self::Text(t) => f.write_str(t),
            Self::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}
