//! The Amlfile: text to a document whose every key and value knows its place, checked against one table of keys.
//!
//! Called by `cli` first thing. It knows which keys there are and what a value must look like; it knows nothing of what
//! they mean together (a name that nobody declared, a path that leaves the workspace): that is `project`. Only
//! [`load()`] reads a file.

pub mod document;
pub mod keys;
mod load;
mod reference;
mod schema;
mod shape;
pub mod suggest;
mod syntax;
pub mod units;

pub use document::Document;
pub use load::load;
pub use reference::reference;
pub use schema::schema;
pub(crate) use shape::{listed, quoted};
pub use syntax::typed;

use crate::diagnostic::{Diagnostic, Source};

/// The format of Amlfiles that this build writes and understands.
pub const FORMAT: i64 = 1;

/// Reads a text, with all its faults of syntax and shape in the order of the text. The document holds what could be
/// read in spite of them. Of an Amlfile of a newer format only that is said: its keys are not known here.
#[must_use]
pub fn parse(source: &Source) -> (Document<'_>, Vec<Diagnostic>) {
    let mut faults = Vec::new();
    let document = syntax::read(&source.text, &mut faults);
    match format(&document) {
        Some(fault) if fault.code == "newer-format" => return (Document { broken: true, ..document }, vec![fault]),
        Some(fault) if !document.broken => faults.push(fault),
        _ => {}
    }
    let syntax = faults.len();
    shape::check(&document, &mut faults);
    if document.broken {
        silence_echoes(&source.text, &mut faults, syntax);
    }
    crate::diagnostic::sort(&mut faults);
    (document, faults)
}

/// What is wrong with `format`.
fn format(document: &Document<'_>) -> Option<Diagnostic> {
    let Some(item) = document.root.get("format") else {
        // An empty text has a fault of its own.
        let first =
            document.root.entries().iter().map(|entry| entry.key_span.start.min(entry.item.span.start)).min()?;
        let line = document.text.get(..first).unwrap_or_default().rfind('\n').map_or(0, |newline| newline + 1);
        let fault =
            Diagnostic::error("missing-format", line..line, "the Amlfile does not say its format", "before this");
        return Some(fault.fix("say it first", line..line, "format = 1\n\n"));
    };
    let fault = |code, message: String, label: &str| Diagnostic::error(code, item.span.clone(), message, label);
    match item.integer() {
        Some(FORMAT) | None => None,
        Some(newer) if newer > FORMAT => {
            let message = format!("the Amlfile has format {newer}, and this amlrun knows formats up to {FORMAT}");
            Some(fault("newer-format", message, "newer than this amlrun").help("a newer amlrun reads it"))
        }
        Some(_) => Some(fault("unknown-format", "there is no such format of Amlfiles".into(), "not a format").fix(
            "the format is",
            item.span.clone(),
            "1",
        )),
    }
}

/// Takes away the faults of shape on lines with a fault of syntax: what is read there is a guess.
fn silence_echoes(text: &str, faults: &mut Vec<Diagnostic>, syntax: usize) {
    let line = |fault: &Diagnostic| {
        let at = fault.primary.as_ref().map_or(0, |label| label.span.start);
        text.get(..at).unwrap_or_default().rfind('\n')
    };
    let lines: Vec<Option<usize>> = faults.iter().take(syntax).map(line).collect();
    let mut at = 0;
    faults.retain(|fault| {
        at += 1;
        at <= syntax || !lines.contains(&line(fault))
    });
}
