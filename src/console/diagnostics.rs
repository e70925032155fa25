//! Draws faults of the Amlfile with the lines they stand on, as compilers do; or gives them as JSON.
//!
//! Called by `cli`. The only place that knows annotate-snippets, which panics on spans that are out of range or cut a
//! character: they are put right here.

use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Fix, Severity, Source, Span};

/// The faults as text, one after the other with an empty line between, in the order given.
#[must_use]
pub fn draw(source: &Source, diagnostics: &[Diagnostic], colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&renderer.render(&report(source, diagnostic)));
        out.push_str("\n\n");
    }
    out
}

/// The faults as data: an object each.
#[must_use]
pub fn data(source: &Source, diagnostics: &[Diagnostic]) -> Value {
    diagnostics.iter().map(|diagnostic| one(source, diagnostic)).collect()
}

fn one(source: &Source, diagnostic: &Diagnostic) -> Value {
    let place = |span: &Span| {
        let (line, column) = source.position(span.start);
        let (end_line, end_column) = source.position(span.end);
        json!({ "file": source.name, "line": line, "column": column, "end_line": end_line, "end_column": end_column })
    };
    let fix = |fix: &Fix| match &fix.replace {
        None => json!({ "advice": fix.advice }),
        Some((span, text)) => json!({ "advice": fix.advice, "replace": place(span), "with": text }),
    };
    let mut value = json!({
        "severity": match diagnostic.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "code": diagnostic.code,
        "message": diagnostic.message,
        "fixes": diagnostic.fixes.iter().map(fix).collect::<Vec<_>>(),
        "context": diagnostic.context.iter().map(|label| {
            let mut value = place(&label.span);
            value["label"] = json!(label.text);
            value
        }).collect::<Vec<_>>(),
    });
    if let Some(label) = &diagnostic.primary {
        if let (Value::Object(all), Value::Object(place)) = (&mut value, place(&label.span)) {
            all.extend(place);
        }
        value["label"] = json!(label.text);
    }
    value
}

fn report<'d>(source: &'d Source, diagnostic: &'d Diagnostic) -> Vec<Group<'d>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut first = Group::with_title(level.primary_title(diagnostic.message.as_str()).id(diagnostic.code));
    if let Some(primary) = &diagnostic.primary {
        let window = Window::around(source, diagnostic);
        let mut snippet = window.snippet();
        snippet = snippet.annotation(labelled(AnnotationKind::Primary.span(window.span(&primary.span)), &primary.text));
        for label in &diagnostic.context {
            snippet = snippet.annotation(labelled(AnnotationKind::Context.span(window.span(&label.span)), &label.text));
        }
        first = first.element(snippet);
    }
    for fix in diagnostic.fixes.iter().filter(|fix| fix.replace.is_none()) {
        first = first.element(Level::HELP.message(fix.advice.as_str()));
    }
    let mut groups = vec![first];
    for fix in &diagnostic.fixes {
        let Some((span, replacement)) = &fix.replace else { continue };
        let window = Window::of(source, [span].into_iter());
        let patch = Patch::new(window.span(span), replacement.as_str());
        groups.push(Level::HELP.secondary_title(fix.advice.as_str()).element(window.snippet().patch(patch)));
    }
    groups
}

fn labelled<'d>(annotation: annotate_snippets::Annotation<'d>, text: &'d str) -> annotate_snippets::Annotation<'d> {
    if text.is_empty() { annotation } else { annotation.label(text) }
}

/// The lines of a text that some places stand on, so that a fault in a long text costs no more than one in a short.
struct Window<'s> {
    source: &'s Source,
    lines: Span,
}

impl<'s> Window<'s> {
    fn around(source: &'s Source, diagnostic: &Diagnostic) -> Self {
        let labels = diagnostic.primary.iter().chain(&diagnostic.context);
        Self::of(source, labels.map(|label| &label.span))
    }

    fn of<'p>(source: &'s Source, places: impl Iterator<Item = &'p Span>) -> Self {
        let text = &source.text;
        let (mut start, mut end) = (text.len(), 0);
        for place in places {
            start = start.min(boundary(text, place.start));
            end = end.max(boundary(text, place.end));
        }
        let start = text.get(..start).unwrap_or_default().rfind('\n').map_or(0, |at| at + 1);
        let end = text.get(end..).unwrap_or_default().find('\n').map_or(text.len(), |at| end + at);
        Self { source, lines: start..end.max(start) }
    }

    fn snippet<T: Clone>(&self) -> Snippet<'s, T> {
        let (line, _) = self.source.position(self.lines.start);
        let text = self.source.text.get(self.lines.clone()).unwrap_or_default();
        Snippet::source(text).line_start(line).path(self.source.name.as_str())
    }

    /// A place within the window: in range, not reversed, on the bounds of characters.
    fn span(&self, span: &Span) -> Span {
        let at = |offset: usize| {
            boundary(&self.source.text, offset).clamp(self.lines.start, self.lines.end) - self.lines.start
        };
        let start = at(span.start);
        start..at(span.end).max(start)
    }
}

/// The nearest bound of a character at or before an offset.
fn boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source() -> Source {
        Source { name: "Amlfile".into(), text: "format = 1\nä = \"ö\"\n".into() }
    }

    #[test]
    fn a_fault_as_data() {
        let fault =
            Diagnostic::error("unknown-key", 11..13, "unknown key `ä`", "here").fix("so", 11..13, "a").help("or so");
        let place = json!({ "file": "Amlfile", "line": 2, "column": 1, "end_line": 2, "end_column": 2 });
        let expected = json!([{
            "severity": "error", "code": "unknown-key", "message": "unknown key `ä`", "label": "here", "context": [],
            "file": "Amlfile", "line": 2, "column": 1, "end_line": 2, "end_column": 2,
            "fixes": [{ "advice": "so", "replace": place, "with": "a" }, { "advice": "or so" }],
        }]);
        assert_eq!(data(&source(), &[fault]), expected);
    }

    #[test]
    fn a_fault_without_a_place_is_a_line() {
        assert_eq!(
            draw(&source(), &[Diagnostic::bare("nothing-matched", "nothing")], false),
            "error[nothing-matched]: nothing\n\n"
        );
    }

    proptest! {
        #[test]
        fn no_span_makes_it_panic(at in 0..40usize, to in 0..40usize, other in 0..40usize) {
            let fault = Diagnostic::error("x", at..to, "m", "l").with(other..at, "c").fix("f", to..other, "r");
            for text in ["", "\n", "é", "a\r\nb", "format = 1\nä = \"ö\"\n", "\u{feff}a"] {
                let source = Source { name: "A".into(), text: text.into() };
                prop_assert!(draw(&source, std::slice::from_ref(&fault), true).contains('m'));
                prop_assert!(data(&source, std::slice::from_ref(&fault)).is_array());
            }
        }
    }
}
