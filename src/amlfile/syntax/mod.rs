//! TOML text to a document, with every fault of syntax in our own words.
//!
//! Tokens and grammar are those of `toml_parser`, the parser below the `toml` crate. The document is built from its events
//! and not from `toml::de::DeTable`: that takes four times as long, sorts the keys, and forgets where a duplicate stood
//! first. A test holds the two against each other.

mod build;
mod words;

use toml_parser::Source;
use toml_parser::parser::{RecursionGuard, ValidateWhitespace, parse_document, parse_value};

use super::document::Document;
use crate::diagnostic::Diagnostic;
use crate::value::Value;

/// Deeper than anybody nests; deeper ones could exhaust the stack.
const DEEPEST: u32 = 80;

/// Reads what can be read.
pub(super) fn read<'s>(text: &'s str, faults: &mut Vec<Diagnostic>) -> Document<'s> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut errors = Vec::new();
    let mut builder = build::Builder::new(source);
    {
        let mut guarded = RecursionGuard::new(&mut builder, DEEPEST);
        let mut checked = ValidateWhitespace::new(&mut guarded, source);
        parse_document(&tokens, &mut checked, &mut errors);
    }
    let (root, mut duplicates) = builder.finish();
    faults.append(&mut duplicates);
    words::tell(text, errors, faults);
    Document { text, root, broken: !faults.is_empty() }
}

/// A value as it is typed on a command line: as TOML would have it, else a text.
#[must_use]
pub fn typed(text: &str) -> Value {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut errors: Vec<toml_parser::ParseError> = Vec::new();
    let mut builder = build::Builder::new(source);
    parse_value(&tokens, &mut RecursionGuard::new(&mut builder, DEEPEST), &mut errors);
    let value = if errors.is_empty() { builder.value() } else { None };
    value.unwrap_or_else(|| Value::Text(text.to_owned()))
}

#[cfg(test)]
mod tests;
