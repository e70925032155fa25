//! What the parser says, in words for people who write an Amlfile and not a TOML parser.

use toml_parser::ParseError;

use crate::amlfile::shape::quoted;
use crate::diagnostic::{Diagnostic, Span};

/// Adds the faults of syntax, one a line: what follows the first is mostly its echo.
pub(super) fn tell(text: &str, errors: Vec<ParseError>, faults: &mut Vec<Diagnostic>) {
    let mut lines: Vec<usize> = Vec::new();
    for error in errors {
        let at = error.unexpected().or(error.context()).map_or(0, |span| span.start());
        let line = text.get(..at).unwrap_or_default().rfind('\n').map_or(0, |newline| newline + 1);
        if !lines.contains(&line) {
            lines.push(line);
            faults.push(one(text, &error));
        }
    }
}

fn one(text: &str, error: &ParseError) -> Diagnostic {
    let span = |at: toml_parser::Span| at.start()..at.end();
    let context = error.context().map(span).unwrap_or(0..0);
    let place = error.unexpected().map_or(context.clone(), span);
    let written = text.get(context.clone()).unwrap_or_default();
    let fault = |message: &str, label: &str| Diagnostic::error("syntax", place.clone(), message, label);
    let whole = |message: &str, label: &str| Diagnostic::error("syntax", context.clone(), message, label);
    let next = text.get(place.end..).unwrap_or_default().trim_start_matches([' ', '\t']).chars().next();
    match error.description() {
        what if ["string values must be quoted", "invalid boolean"].iter().any(|begin| what.starts_with(begin))
            || what.starts_with("invalid float") && written.starts_with(|c: char| c.is_ascii_alphabetic()) =>
        {
            if written.is_empty() {
                return fault("a value is missing", "no value follows the `=`");
            }
            bare(written, &context)
        }
        "missing value" | "missing value for key" => fault("a value is missing", "no value follows the `=`"),
        _ if written.ends_with(':') || next == Some(':') && error.description() == "key with no value" => {
            whole("a key and its value are parted by `=`", "not by `:`")
        }
        _ if written.starts_with("//") => whole("a comment begins with `#`", "not a comment"),
        "key with no value" => fault("a key has no value", "`=` and a value should follow"),
        "unexpected key or value" => fault("there is more on the line than one entry", "the entry ends before this"),
        "unclosed array" => fault("the list is not closed", "no `]` before this").with(context, "opened here"),
        "unclosed inline table" => fault("the table is not closed", "no `}` before this").with(context, "opened here"),
        "unclosed table" | "unclosed array table" => fault("the header is not closed", "a `]` should stand here"),
        "missing comma between array elements" => {
            fault("a comma is missing", "before this").with(context, "in this list")
        }
        "missing comma between key-value pairs" => {
            fault("a comma is missing", "before this").with(context, "in this table")
        }
        what if what.starts_with("invalid") && what.ends_with("string") => string(error, &context, &place),
        "missing escaped value" | "invalid escape" => {
            fault("after `\\` a letter of an escape should follow", "in \"…\" a backslash is written `\\\\`")
                .help("in '…' a backslash is itself")
        }
        "unquoted keys cannot be empty" => fault("a key is missing", "a name should stand here"),
        what if what.starts_with("invalid unquoted key") => {
            let key = quoted(text.get(place.clone()).unwrap_or_default());
            whole("a key of other characters than letters, digits, `-` and `_` must be quoted", "not a plain key")
                .help(format!("as in {key}"))
        }
        "unexpected leading zero" => whole("a number cannot begin with 0", "a number?").fix(
            "put it in quotes where it is a text",
            context.clone(),
            quoted(written),
        ),
        what if what.contains("date") || what.contains("time") => whole(
            &format!("this is not a date: {what}"),
            "a date?",
        )
        .fix("put it in quotes where it is a text", context.clone(), quoted(written)),
        what if written.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => whole(
            &format!("this is not a number: {what}"),
            "a number?",
        )
        .fix("put it in quotes where it is a text", context.clone(), quoted(written)),
        what => fault(what, ""),
    }
}

/// A value that is neither quoted nor a number.
fn bare(written: &str, context: &Span) -> Diagnostic {
    let fault = |message: &str, label: &str| Diagnostic::error("syntax", context.clone(), message, label);
    match written.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => {
            fault("this is written `true`", "not a value").fix("write it so", context.clone(), "true")
        }
        "false" | "no" | "off" => {
            fault("this is written `false`", "not a value").fix("write it so", context.clone(), "false")
        }
        "none" | "null" | "nil" | "~" => fault("there is no such value", "not a value").help("leave the key out"),
        _ => fault("a text must be quoted", "not a value").fix(
            "put it in quotes",
            context.clone(),
            quoted(written.trim_end()),
        ),
    }
}

/// A text in quotes that ends badly, or has a character in it that may not be there.
fn string(error: &ParseError, context: &Span, place: &Span) -> Diagnostic {
    let open = error.expected().is_some_and(|e| matches!(e, [toml_parser::Expected::Literal("\"" | "'")]));
    if open {
        let fault = Diagnostic::error("syntax", place.clone(), "the text is not closed", "no quote before this");
        return fault.with(context.start..context.start + 1, "opened here");
    }
    Diagnostic::error("syntax", place.clone(), "a text cannot hold this character", "write it as an escape")
}
