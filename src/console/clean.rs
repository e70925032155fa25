//! Text from files, jobs and tools, made fit for a terminal: it can move no cursor, hide nothing and forge no line.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A name or a value: control and direction characters are escaped as in `\n`, `\u{1b}`.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_harmful(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// A line of a job's output: its colours and cursor movements are cut out, of a progress bar that redraws itself with
/// `\r` only the last state stays, tabs are kept, and what remains of control characters is escaped.
#[must_use]
pub fn clean_line(line: &str) -> Cow<'_, str> {
    if !line.chars().any(|c| is_harmful(c) && c != '\t') {
        return Cow::Borrowed(line);
    }
    let text = anstream::adapter::strip_str(line).to_string();
    let last = text.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default();
    let mut clean = String::with_capacity(last.len());
    for c in last.chars() {
        if is_harmful(c) && c != '\t' {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// Control characters, and those that turn the direction of text or break lines (Unicode Technical Report 36, 2.8).
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Columns that clean text takes on a terminal.
#[must_use]
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { UnicodeWidthStr::width(text) }
}

/// Clean text cut to so many columns, with `…` at the end where something was cut.
#[must_use]
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let room = columns.saturating_sub(1);
    let mut taken = 0;
    let mut cut = String::new();
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken > room {
            break;
        }
        cut.push(c);
    }
    if columns > 0 {
        cut.push('…');
    }
    Cow::Owned(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let check = |text: &str, expected: &str| assert_eq!(clean(text), expected);
        check("train[alpha=0.1]", "train[alpha=0.1]");
        check("größe 数据", "größe 数据");
        check("a\nb\tc", "a\\nb\\tc");
        check("\x1b[31mred", "\\u{1b}[31mred");
        check("evil\u{202e}txt", "evil\\u{202e}txt");
        check("\u{9b}31m", "\\u{9b}31m");
    }

    #[test]
    fn lines_lose_their_colours_and_their_past() {
        let check = |text: &str, expected: &str| assert_eq!(clean_line(text), expected);
        check("epoch 1\tloss 0.5", "epoch 1\tloss 0.5");
        check("\x1b[32mok\x1b[0m", "ok");
        check("10%\r20%\r30%", "30%");
        check("10%\r20%\r", "20%");
        check("windows\r", "windows");
        check("\x1b]0;title\x07after", "after");
        check("bell\x07", "bell");
        check("\r", "");
    }

    #[test]
    fn text_is_cut_by_columns() {
        let check = |text: &str, columns: usize, expected: &str| {
            let cut = fit(text, columns);
            assert_eq!(cut, expected);
            assert!(width(&cut) <= columns);
        };
        check("train", 5, "train");
        check("train", 4, "tra…");
        check("train", 1, "…");
        check("train", 0, "");
        check("数据数据", 5, "数据…");
        check("数据数据", 4, "数…");
    }
}
