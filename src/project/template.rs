//! Texts with `${…}` in them. `$${` is a literal `${`; any other `$` is itself.

use std::ops::Range;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'t> {
    /// As it stands.
    Literal(&'t str),
    /// `${name}`: what stands between the braces, and where the whole of it stands in the text.
    Name(&'t str, Range<usize>),
    /// `${` that is never closed, from here to the end of the text.
    Unclosed(Range<usize>),
}

/// Whether there is anything to interpolate, or to unescape.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.as_bytes().contains(&b'$') || !text.contains("${")
}

/// The pieces of a text, in order.
#[must_use]
pub fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut literal = 0;
    let mut from = 0;
    let part = |range: Range<usize>| text.get(range).unwrap_or_default();
    while let Some(at) = part(from..text.len()).find("${").map(|n| n + from) {
        if at > literal && text.as_bytes().get(at - 1) == Some(&b'$') {
            pieces.push(Piece::Literal(part(literal..at - 1)));
            literal = at;
            from = at + 2;
            continue;
        }
        if at > literal {
            pieces.push(Piece::Literal(part(literal..at)));
        }
        match part(at..text.len()).find('}') {
            None => {
                pieces.push(Piece::Unclosed(at..text.len()));
                return pieces;
            }
            Some(length) => {
                let end = at + length + 1;
                pieces.push(Piece::Name(part(at + 2..end - 1), at..end));
                literal = end;
                from = end;
            }
        }
    }
    if literal < text.len() {
        pieces.push(Piece::Literal(part(literal..text.len())));
    }
    pieces
}

/// The names in a text.
pub fn names(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    let pieces = if is_plain(text) { Vec::new() } else { pieces(text) };
    pieces.into_iter().filter_map(|piece| match piece {
        Piece::Name(name, range) => Some((name, range)),
        _ => None,
    })
}

/// A text that stands for itself when it is interpolated.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// What a name in `${…}` refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference<'n> {
    /// A parameter or an axis.
    Param(&'n str),
    /// `inputs.x`.
    Input(&'n str),
    /// `outputs.x`.
    Output(&'n str),
    /// `env.X`.
    Variable(&'n str),
}

impl<'n> Reference<'n> {
    /// Reads what stands between the braces.
    #[must_use]
    pub fn of(name: &'n str) -> Self {
        let name = name.trim();
        if let Some(rest) = name.strip_prefix("inputs.") {
            return Self::Input(rest);
        }
        if let Some(rest) = name.strip_prefix("outputs.") {
            return Self::Output(rest);
        }
        name.strip_prefix("env.").map_or(Self::Param(name), Self::Variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expand(text: &str, value: impl Fn(&str) -> String) -> String {
        pieces(text)
            .into_iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.to_owned(),
                Piece::Name(name, _) => value(name),
                Piece::Unclosed(range) => text.get(range).unwrap().to_owned(),
            })
            .collect()
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(expand(text, |name| format!("<{name}>")), expected, "{text}");
    }

    #[test]
    fn names_are_found_and_escapes_undone() {
        check("", "");
        check("plain $ text $x {y}", "plain $ text $x {y}");
        check("a ${b} c", "a <b> c");
        check("${a}${b}", "<a><b>");
        check("$${a}", "${a}");
        check("$$${a}", "$${a}");
        check("$${a} ${b}", "${a} <b>");
        check("${a}$${b}", "<a>${b}");
        check("${a", "${a");
        check("${", "${");
        check("$$", "$$");
        check("ä${ö}ü", "ä<ö>ü");
        check("${}", "<>");
    }

    proptest! {
        #[test]
        fn an_escaped_text_stands_for_itself(text in "[a$\\{\\}é]{0,12}") {
            prop_assert_eq!(expand(&escape(&text), |_| unreachable!()), text);
        }

        #[test]
        fn the_ranges_are_where_the_names_stand(text in "[a$\\{\\}é]{0,12}") {
            for (name, range) in names(&text) {
                prop_assert_eq!(text.get(range).unwrap(), format!("${{{name}}}"));
            }
        }
    }
}
