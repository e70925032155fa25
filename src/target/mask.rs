//! Cuts the values of secrets out of what a job writes, before anybody sees or keeps it.
//!
//! Used by the targets. What a job writes into files of its own is the job's: this is about its stdout and stderr, and about
//! what is told of the files in `logs/`.

use std::borrow::Cow;

/// What stands in place of a secret.
const INSTEAD: &[u8] = b"***";
/// Values shorter than this are no secrets, and every other line may hold them.
const SHORTEST: usize = 4;

/// A filter for a stream of bytes.
#[derive(Debug, Default)]
pub struct Mask {
    /// Longest first, so that of two that begin alike the longer one is cut out whole.
    secrets: Vec<Vec<u8>>,
    /// The end of what was added, where a secret may have begun.
    held: Vec<u8>,
}

impl Mask {
    /// A filter for these values.
    #[must_use]
    pub fn new(secrets: &[String]) -> Self {
        let long = secrets.iter().map(|secret| secret.trim().as_bytes().to_vec()).filter(|s| s.len() >= SHORTEST);
        let mut secrets: Vec<Vec<u8>> = long.collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets, held: Vec::new() }
    }

    /// What may be shown once these bytes were added.
    pub fn add<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if self.secrets.is_empty() {
            return Cow::Borrowed(bytes);
        }
        self.held.extend_from_slice(bytes);
        Cow::Owned(self.scan(false))
    }

    /// What was held back.
    pub fn end(&mut self) -> Vec<u8> {
        self.scan(true)
    }

    /// What can be shown of what is held. Held back, but for the last time, is an end that a longer secret may begin with.
    fn scan(&mut self, last: bool) -> Vec<u8> {
        let mut shown = Vec::with_capacity(self.held.len());
        let mut rest = self.held.as_slice();
        while let Some((first, after)) = rest.split_first() {
            if !last && self.secrets.iter().any(|secret| secret.len() > rest.len() && secret.starts_with(rest)) {
                break;
            }
            if let Some(secret) = self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                shown.extend_from_slice(INSTEAD);
                rest = rest.get(secret.len()..).unwrap_or_default();
            } else {
                shown.push(*first);
                rest = after;
            }
        }
        self.held = rest.to_vec();
        shown
    }
}

/// A text without these values.
#[must_use]
pub fn text(secrets: &[String], text: String) -> String {
    let mut mask = Mask::new(secrets);
    if mask.secrets.is_empty() {
        return text;
    }
    let mut shown = mask.add(text.as_bytes()).into_owned();
    shown.extend(mask.end());
    String::from_utf8_lossy(&shown).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same however the text is cut into pieces.
    fn check(secrets: &[&str], said: &str, expected: &str) {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        for size in 1..=said.len() {
            let mut mask = Mask::new(&secrets);
            let mut shown = Vec::new();
            for piece in said.as_bytes().chunks(size) {
                shown.extend_from_slice(&mask.add(piece));
            }
            shown.extend(mask.end());
            assert_eq!(String::from_utf8(shown).unwrap(), expected, "{said} by {size}");
        }
        assert_eq!(text(&secrets, said.to_owned()), expected);
    }

    #[test]
    fn secrets_are_cut_out_wherever_the_text_is_cut() {
        check(&["hunter2"], "the password is hunter2!", "the password is ***!");
        check(&["hunter2"], "hunter2hunter2 hunter hunt", "****** hunter hunt");
        check(&["aaab"], "aaaaab", "aa***");
        check(&["long-secret", "long"], "long-secret long long-se", "*** *** ***-se");
        check(&["abc", ""], "abc", "abc");
        check(&["line1\nline2\n"], "line1\nline2\n", "***\n");
        check(&[], "anything", "anything");
    }
}
