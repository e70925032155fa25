//! Interpolation: texts of an experiment with the values of one of its cells.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::diagnostic::{Diagnostic, Span};
use crate::project::model::{Declared, Experiment, InputPath, Project};
use crate::project::template::{self, Piece, Reference};
use crate::relpath::RelPath;
use crate::value::Value;

use super::cells::Settings;
use super::job::{Input, Output, Role};
use super::trial;

/// Deeper than any parameter is made of others, but for one that is made of itself (which `project` tells).
const DEEPEST: usize = 32;

/// The values that the names of one cell stand for.
pub(super) struct Values<'p> {
    pub(super) project: &'p Project,
    pub(super) settings: &'p Settings<'p>,
    pub(super) experiment: &'p Experiment,
    pub(super) cell: &'p [(String, Value)],
    pub(super) role: Role,
    /// What was used so far.
    pub(super) used: BTreeMap<String, Value>,
    pub faults: &'p mut Vec<Diagnostic>,
    /// Environment variables that are not set.
    pub(super) unset: Vec<Diagnostic>,
    /// How many names were met that name nothing.
    pub(super) unknown: usize,
    /// How many names of searched parameters were met, which have no value before a trial is proposed.
    pub(super) searched: usize,
}

/// The paths of a cell, for `${inputs.x}` and `${outputs.x}`.
#[derive(Clone, Copy)]
pub(super) struct Paths<'j> {
    pub(super) inputs: &'j [Input],
    pub(super) outputs: &'j [Output],
}

impl Values<'_> {
    /// The path of an input or an output; none where a name in it names nothing, which `project` tells.
    pub(super) fn path_text(&mut self, declared: &Declared) -> Option<String> {
        let before = (self.unknown, self.searched);
        let text = self.with_paths(&declared.path, &declared.span, Paths { inputs: &[], outputs: &[] });
        if self.searched != before.1 {
            self.faults.push(trial::searched_path(self.experiment, declared));
            return None;
        }
        (self.unknown == before.0).then_some(text)
    }

    /// A text with paths in it.
    pub(super) fn with_paths(&mut self, text: &str, span: &Span, paths: Paths<'_>) -> String {
        if template::is_plain(text) {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len() + 16);
        self.into(&mut out, text, span, 0, &mut |values, name| values.path(name, paths));
        out
    }

    /// A command line: paths are quoted as the shell wants it there.
    pub(super) fn shell(&mut self, text: &str, span: &Span, paths: Paths<'_>) -> String {
        if template::is_plain(text) {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len() + 16);
        for piece in template::pieces(text) {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Unclosed(range) => out.push_str(text.get(range).unwrap_or_default()),
                Piece::Name(name, _) => match self.path(Reference::of(name), paths) {
                    Some(path) => {
                        let quoted = in_quotes(&out, &path);
                        out.push_str(&quoted);
                    }
                    None => self.name(&mut out, name, span, 0, &mut |_, _| None),
                },
            }
        }
        out
    }

    fn into(
        &mut self,
        out: &mut String,
        text: &str,
        span: &Span,
        depth: usize,
        paths: &mut dyn FnMut(&Self, Reference<'_>) -> Option<String>,
    ) {
        for piece in template::pieces(text) {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Unclosed(range) => out.push_str(text.get(range).unwrap_or_default()),
                Piece::Name(name, _) => self.name(out, name, span, depth, paths),
            }
        }
    }

    /// What a name stands for. One that names nothing (told by `project`) stands for itself.
    fn name(
        &mut self,
        out: &mut String,
        name: &str,
        span: &Span,
        depth: usize,
        paths: &mut dyn FnMut(&Self, Reference<'_>) -> Option<String>,
    ) {
        let reference = Reference::of(name);
        match reference {
            Reference::Param(param) => match self.param(param, depth) {
                Some(value) => {
                    let _infallible = write!(out, "{value}");
                }
                None => self.stand_in(out, name),
            },
            Reference::Variable(variable) => match self.settings.variables.get(variable) {
                Some(value) => out.push_str(value),
                None => self.unset(variable, span),
            },
            Reference::Input(_) | Reference::Output(_) => match paths(self, reference) {
                Some(path) => out.push_str(&path),
                None => self.stand_in(out, name),
            },
        }
    }

    fn stand_in(&mut self, out: &mut String, name: &str) {
        let searched = self.experiment.sweep.as_ref().is_some_and(|sweep| sweep.names().contains(&name.trim()));
        self.unknown += usize::from(!searched);
        self.searched += usize::from(searched);
        out.extend(["${", name, "}"]);
    }

    /// Told only where the job is wanted; a path without it is no path.
    fn unset(&mut self, variable: &str, span: &Span) {
        self.unknown += 1;
        if variable.is_empty() {
            return;
        }
        let message = format!("the environment variable `{variable}` is not set");
        let fault =
            Diagnostic::error("unset-variable", span.clone(), message, format!("`${{env.{variable}}}` stands here"));
        if !self.unset.contains(&fault) {
            self.unset.push(fault);
        }
    }

    /// The value of a parameter, which is used from now on.
    fn param(&mut self, name: &str, depth: usize) -> Option<Value> {
        if let Some(value) = self.used.get(name) {
            return Some(value.clone());
        }
        let (value, span) = self.find(name)?;
        let value = self.expanded(&value, &span, depth);
        self.used.insert(name.to_owned(), value.clone());
        Some(value)
    }

    fn expanded(&mut self, value: &Value, span: &Span, depth: usize) -> Value {
        match value {
            Value::Text(text) if !template::is_plain(text) && depth < DEEPEST => {
                let mut out = String::new();
                self.into(&mut out, text, span, depth + 1, &mut |_, _| None);
                Value::Text(out)
            }
            Value::List(items) => Value::List(items.iter().map(|item| self.expanded(item, span, depth)).collect()),
            other => other.clone(),
        }
    }

    /// What comes first: the cell, `--set`, the experiment, the workspace. A parameter of a sweep has no value yet.
    fn find(&self, name: &str) -> Option<(Value, Span)> {
        let plain = |value: &Value| match value {
            Value::Text(text) => Value::Text(template::escape(text)),
            other => other.clone(),
        };
        if let Some((_, value)) = self.cell.iter().find(|(axis, _)| axis == name) {
            return Some((plain(value), self.experiment.span.clone()));
        }
        if let Some(value) = self.settings.set.get(name) {
            return Some((plain(value), self.experiment.span.clone()));
        }
        let searched = || self.experiment.sweep.as_ref().is_some_and(|sweep| sweep.names().contains(&name));
        // A conditional parameter that this trial's values leave out has its default.
        if self.role == Role::Sweep && searched() {
            return None;
        }
        self.experiment.params.get(name).or_else(|| self.project.params.get(name)).cloned()
    }

    /// The path behind `inputs.x` or `outputs.x`, as seen from the source directory.
    fn path(&self, reference: Reference<'_>, paths: Paths<'_>) -> Option<String> {
        let from = &self.experiment.source_directory;
        let seen = |path: &RelPath| path.seen_from(from).to_string_lossy().into_owned();
        let at = |declared: &[Declared], name: &str| declared.iter().position(|d| d.name() == name);
        match reference {
            Reference::Input(name) => match &paths.inputs.get(at(&self.experiment.inputs, name)?)?.path {
                InputPath::Inside(path) => Some(seen(path)),
                InputPath::Absolute(path) => Some(path.to_string_lossy().into_owned()),
            },
            Reference::Output(name) => Some(seen(&paths.outputs.iter().find(|output| output.name == name)?.path)),
            Reference::Param(_) | Reference::Variable(_) => None,
        }
    }
}

/// A path as it must be written after `before` for the shell to take it as one word (or a part of one).
#[must_use]
pub fn in_quotes(before: &str, path: &str) -> String {
    let mut open = None;
    let mut characters = before.chars();
    while let Some(c) = characters.next() {
        match (open, c) {
            (None | Some('"'), '\\') => {
                characters.next();
            }
            (None, '\'' | '"') => open = Some(c),
            (Some(quote), c) if quote == c => open = None,
            _ => {}
        }
    }
    match open {
        Some('\'') => path.replace('\'', r"'\''"),
        Some(_) => {
            let mut out = String::with_capacity(path.len());
            for c in path.chars() {
                if matches!(c, '"' | '\\' | '$' | '`') {
                    out.push('\\');
                }
                out.push(c);
            }
            out
        }
        None => shell_words::quote(path).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::in_quotes;

    fn check(before: &str, path: &str, expected: &str) {
        assert_eq!(in_quotes(before, path), expected, "{before}");
    }

    #[test]
    fn paths_are_quoted_for_where_they_stand() {
        check("cat ", "a/b.csv", "a/b.csv");
        check("cat ", "my data", "'my data'");
        check("cat \"", "my $data", "my \\$data");
        check("cat '", "it's", "it'\\''s");
        check("echo 'a' \\' ", "my data", "'my data'");
    }
}
