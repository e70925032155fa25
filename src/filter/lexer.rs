//! A filter's text as tokens.

use std::fmt;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// Letters, digits and what names and numbers are written with.
    Word(String),
    /// A name in backticks or double quotes.
    Quoted(String),
    /// A text in single quotes.
    Text(String),
    /// A comparator.
    Operator(String),
    /// A list of texts in parentheses.
    List(Vec<String>),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Quoted(text) | Self::Operator(text) => write!(f, "`{text}`"),
            Self::Text(text) => write!(f, "`'{text}'`"),
            Self::List(_) => write!(f, "a list"),
        }
    }
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '`' | '"' => found.push(Token::Quoted(until(&mut chars, c)?)),
            '\'' => found.push(Token::Text(until(&mut chars, c)?)),
            '=' | '!' | '<' | '>' => {
                let mut symbol = String::from(c);
                symbol.extend(chars.next_if(|next| matches!(next, '=' | '>')));
                found.push(Token::Operator(symbol));
            }
            '(' => found.push(Token::List(list(&mut chars)?)),
            c if word(c) => {
                let mut text = String::from(c);
                while let Some(next) = chars.next_if(|next| word(*next)) {
                    text.push(next);
                }
                found.push(Token::Word(text));
            }
            other => return Err(format!("`{other}` has no meaning here")),
        }
    }
    Ok(found)
}

fn word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+' | ':' | '@')
}

fn until(chars: &mut impl Iterator<Item = char>, end: char) -> Result<String, String> {
    let mut text = String::new();
    for c in chars {
        if c == end {
            return Ok(text);
        }
        text.push(c);
    }
    Err(format!("a {end} is missing at the end"))
}

fn list(chars: &mut impl Iterator<Item = char>) -> Result<Vec<String>, String> {
    let mut items = Vec::new();
    while let Some(c) = chars.next() {
        match c {
            ')' => return Ok(items),
            '\'' | '"' => items.push(until(chars, c)?),
            c if c.is_whitespace() || c == ',' => {}
            other => return Err(format!("`{other}` in a list, which holds texts in quotes")),
        }
    }
    Err("a ) is missing at the end".to_owned())
}
