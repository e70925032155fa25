//! What the user should know about what was measured.

use std::collections::{BTreeMap, BTreeSet};

/// Paths of one rule that are named.
const NAMED: usize = 3;

/// Gathered over all walks.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Files whose times lie in the future.
    future: BTreeSet<String>,
    /// By the place of an ignore rule: what it ignores and is taken nevertheless.
    declared: BTreeMap<String, BTreeSet<String>>,
}

impl Notes {
    pub(super) fn future(&mut self, path: String) {
        self.future.insert(path);
    }

    pub(super) fn declared(&mut self, path: String, rule: String) {
        self.declared.entry(rule).or_default().insert(path);
    }

    /// One text a matter.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for (rule, paths) in &self.declared {
            let (verb, taken) = if paths.len() == 1 { ("is", "") } else { ("are", "all ") };
            texts.push(format!("{} {verb} ignored by {rule} but declared: {taken}taken", list(paths)));
        }
        if !self.future.is_empty() {
            let verb = if self.future.len() == 1 { "lies" } else { "lie" };
            texts.push(format!(
                "the modification time of {} {verb} in the future: it proves nothing, so the content is read each time",
                list(&self.future)
            ));
        }
        texts
    }
}

/// A few paths, and how many more.
fn list(paths: &BTreeSet<String>) -> String {
    let named: Vec<String> = paths.iter().take(NAMED).map(|path| format!("`{path}`")).collect();
    match paths.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_tells_of_all_paths_of_a_matter() {
        let mut notes = Notes::default();
        notes.declared("data.csv".to_owned(), ".gitignore:3".to_owned());
        (0..5).for_each(|n| notes.declared(format!("lib/{n}"), "lib/.gitignore:1".to_owned()));
        notes.future("a".to_owned());
        assert_eq!(
            notes.texts(),
            [
                "`data.csv` is ignored by .gitignore:3 but declared: taken",
                "`lib/0`, `lib/1`, `lib/2` and 2 more are ignored by lib/.gitignore:1 but declared: all taken",
                "the modification time of `a` lies in the future: it proves nothing, so the content is read each time",
            ]
        );
    }
}
