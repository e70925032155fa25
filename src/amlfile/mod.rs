//! The Amlfile: text to a document whose every key and value knows its place, checked against one table of keys.
//!
//! Called by `cli` first thing. It knows which keys there are and what a value must look like; it knows nothing of what
//! they mean together (a name that nobody declared, a path that leaves the workspace): that is `project`. Only
//! [`load`] reads a file.

pub mod document;
pub mod keys;
mod load;
mod schema;
mod shape;
pub mod suggest;
mod syntax;
pub mod units;

pub use document::Document;
pub use load::load;
pub use schema::schema;
pub(crate) use shape::{listed, quoted};
pub use syntax::typed;

use crate::diagnostic::{Diagnostic, Source};

/// The format of Amlfiles that this build writes and understands.
pub const FORMAT: i64 = 1;

/// Reads a text, with all its faults of syntax and shape in the order of the text. The document holds what could be
/// read in spite of them.
#[must_use]
pub fn parse(source: &Source) -> (Document<'_>, Vec<Diagnostic>) {
    let mut faults = Vec::new();
    let mut document = syntax::read(&source.text, &mut faults);
    document.broken = !faults.is_empty();
    shape::check(&document, &mut faults);
    crate::diagnostic::sort(&mut faults);
    (document, faults)
}
