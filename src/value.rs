//! A parameter's value.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

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

/// A float and the text it was written as. As JSON it is a number; a text where JSON has no such number (`inf`, `nan`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "f64")]
pub struct Number {
    /// The number.
    pub value: f64,
    /// As written, without underscores.
    pub text: String,
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.value.is_finite() { to.serialize_f64(self.value) } else { to.serialize_str(&self.text) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_a_script_and_as_json_see_them() {
        let number = |value: f64, text: &str| Value::Float(Number { value, text: text.into() });
        for (value, shown, json) in [
            (Value::Bool(true), "true", "true"),
            (Value::Integer(-3), "-3", "-3"),
            (number(0.1, "0.10"), "0.10", "0.1"),
            (number(1000.0, "1e3"), "1e3", "1000.0"),
            (number(f64::INFINITY, "inf"), "inf", "\"inf\""),
            (Value::Text("a b".into()), "a b", "\"a b\""),
            (Value::List(vec![Value::Integer(1), number(0.5, "0.50")]), "1,0.50", "[1,0.5]"),
        ] {
            assert_eq!(value.to_string(), shown);
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            serde_json::from_str::<Value>(json).unwrap();
        }
    }
}
