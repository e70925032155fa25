//! Values as Python prints them, read into JSON: what `print` shows of numbers, texts, lists, tuples and dicts.

use serde_json::{Map, Number, Value};

/// Deeper than anything that is logged.
const DEEPEST: usize = 64;

/// The value that a text is; none where it is no literal.
pub(super) fn literal(text: &str) -> Option<Value> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let value = reader.value()?;
    reader.blanks();
    (reader.at == text.len()).then_some(value)
}

/// A number; what JSON has none for is a text, as in the log.
pub(super) fn number(text: &str) -> Option<Value> {
    match text {
        "nan" | "-nan" | "NaN" => Some("NaN".into()),
        "inf" | "Infinity" => Some("Infinity".into()),
        "-inf" | "-Infinity" => Some("-Infinity".into()),
        _ => {
            let is_number = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE_".contains(&b));
            let plain = text.replace('_', "");
            if !is_number {
                None
            } else if let Ok(whole) = plain.parse::<i64>() {
                Some(whole.into())
            } else {
                plain.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number)
            }
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, c: char) -> bool {
        self.blanks();
        let is_next = self.rest().starts_with(c);
        self.at += if is_next { c.len_utf8() } else { 0 };
        is_next
    }

    fn value(&mut self) -> Option<Value> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        self.blanks();
        let value = match self.rest().chars().next()? {
            '[' => self.items(']'),
            '(' => self.items(')'),
            '{' => self.fields(),
            '\'' | '"' => self.quoted().map(Value::String),
            _ => self.word(),
        };
        self.depth -= 1;
        value
    }

    fn items(&mut self, end: char) -> Option<Value> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(self.value()?);
            // numpy puts blanks between the items of an array, not commas.
            self.take(',');
        }
        Some(Value::Array(items))
    }

    fn fields(&mut self) -> Option<Value> {
        self.at += 1;
        let mut fields = Map::new();
        while !self.take('}') {
            let key = match self.value()? {
                Value::String(key) => key,
                other => other.to_string(),
            };
            if !self.take(':') {
                return None;
            }
            fields.insert(key, self.value()?);
            self.take(',');
        }
        Some(Value::Object(fields))
    }

    fn quoted(&mut self) -> Option<String> {
        let mut chars = self.rest().char_indices();
        let (_, quote) = chars.next()?;
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += at + 1;
                    return Some(text);
                }
                '\\' => {
                    let (_, escaped) = chars.next()?;
                    let mut code = |digits: usize| {
                        let hex: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                        u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32)
                    };
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'x' => code(2)?,
                        'u' => code(4)?,
                        'U' => code(8)?,
                        other => other,
                    });
                }
                other => text.push(other),
            }
        }
        None
    }

    /// A name or a number; `float64(…)` and `array(…)` of numpy are what is in them.
    fn word(&mut self) -> Option<Value> {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "[](){},:'\"".contains(c)).unwrap_or(rest.len());
        let word = rest.get(..end).filter(|word| !word.is_empty())?;
        self.at += end;
        if self.rest().starts_with('(') {
            self.at += 1;
            let inner = self.value()?;
            // As in `array([1, 2], dtype=int32)`: what follows says how it is kept.
            let close = self.rest().find(')')?;
            self.at += close + 1;
            return Some(inner);
        }
        match word {
            "True" => Some(true.into()),
            "False" => Some(false.into()),
            "None" => Some(Value::Null),
            _ => number(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn what_python_prints_is_read() {
        let rows = [
            ("1", "1"),
            ("-2.5e-3", "-0.0025"),
            ("nan", r#""NaN""#),
            ("[1, 2.0, -inf, 'a']", r#"[1,2.0,"-Infinity","a"]"#),
            ("{'x': 1, \"it's\": (True, None)}", r#"{"it's":[true,null],"x":1}"#),
            (r"{'\x41\u00e9\n': 'a\'b\\'}", r#"{"Aé\n":"a'b\\"}"#),
            ("[np.float64(0.5), array([1., 2.], dtype=float32)]", "[0.5,[1.0,2.0]]"),
            ("[0.1 0.2\n 0.3]", "[0.1,0.2,0.3]"),
            ("{}", "{}"),
            ("{0: [1]}", r#"{"0":[1]}"#),
        ];
        for (text, wanted) in rows {
            assert_eq!(literal(text).map(|value| value.to_string()).as_deref(), Some(wanted), "{text}");
        }
        for text in ["", "[1", "{'a' 1}", "'a", "hello", "<object at 0x1>", "[1] 2", "é"] {
            assert_eq!(literal(text), None, "{text}");
        }
        assert_eq!(literal(&"[".repeat(100_000)), None);
    }
}
