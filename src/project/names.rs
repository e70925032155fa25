//! Which names may be given.

use super::Resolver;
use crate::amlfile::document::Entry;
use crate::diagnostic::Diagnostic;

/// Characters with a meaning in job names (`train[alpha=0.1,seed=1]`) and paths.
const RESERVED: [char; 6] = ['[', ']', ',', '=', '/', '"'];

impl Resolver<'_> {
    /// Names of experiments, environments and targets.
    pub(super) fn declared_name(&mut self, what: &str, entry: &Entry<'_>) {
        if let Some(why) = wrong(&entry.key) {
            self.bad_name(what, entry, &why);
        }
    }

    /// Names of parameters and of the axes of a matrix.
    pub(super) fn param_name(&mut self, entry: &Entry<'_>) {
        self.template_name("parameter", entry);
        for prefix in ["inputs.", "outputs.", "env."] {
            if entry.key.starts_with(prefix) {
                self.bad_name(
                    "parameter",
                    entry,
                    &format!("may not begin with `{prefix}`, which has a meaning in `${{…}}`"),
                );
            }
        }
    }

    /// Names that stand in `${…}`.
    pub(super) fn template_name(&mut self, what: &str, entry: &Entry<'_>) {
        let braces = entry.key.contains(['{', '}', '$']).then(|| "may not contain `$`, `{` or `}`".to_owned());
        if let Some(why) = wrong(&entry.key).or(braces) {
            self.bad_name(what, entry, &why);
        }
    }

    /// Names of environment variables.
    pub(super) fn variable_name(&mut self, entry: &Entry<'_>) {
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            self.bad_name("variable", entry, "may not be empty and may not contain `=`");
        }
    }

    fn bad_name(&mut self, what: &str, entry: &Entry<'_>, why: &str) {
        let message = format!("the name of {what} `{}` {why}", entry.key.escape_debug());
        self.fault(Diagnostic::error("bad-name", entry.key_span.clone(), message, "not a name"));
    }
}

fn wrong(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".into());
    }
    if name.trim() != name {
        return Some("begins or ends with a space".into());
    }
    if matches!(name, "." | "..") || name.starts_with('-') {
        return Some("may not be `.` or `..` or begin with `-`".into());
    }
    let character = name.chars().find(|c| c.is_control() || RESERVED.contains(c))?;
    Some(format!("may not contain `{}`", character.escape_debug()))
}
