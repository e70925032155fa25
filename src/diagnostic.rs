//! A fault in the user's text, as data: where it is, what is wrong, and how it might be mended.
//!
//! Made by `amlfile`, `project` and `plan`; drawn by `console/diagnostics.rs` alone. Never an `Err`: whoever finds a
//! fault adds it to a list and goes on, so that all faults of a file are told at once.

use std::ops::Range;

/// Byte offsets into the Amlfile.
pub type Span = Range<usize>;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// Runs, but is likely a mistake.
    Warning,
}

/// A place in the text, with a few words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is to be seen there; may be empty.
    pub text: String,
}

/// A change that would likely mend the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What to do, as in `a key with a similar name exists`.
    pub advice: String,
    /// What to put where; without it the advice stands alone.
    pub replace: Option<(Span, String)>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of the kind of fault, as in `unknown-key`.
    pub code: &'static str,
    /// One sentence, lower case, names in backticks, no final period.
    pub message: String,
    /// The place of the fault; none for a fault of no place (a goal on the command line).
    pub primary: Option<Label>,
    /// Other places that explain it.
    pub context: Vec<Label>,
    /// Likely remedies.
    pub fixes: Vec<Fix>,
}

impl Diagnostic {
    /// An error at a place.
    #[must_use]
    pub fn error(code: &'static str, span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            primary: Some(Label { span, text: label.into() }),
            context: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message, label) }
    }

    /// An error without a place in the text.
    #[must_use]
    pub fn bare(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            primary: None,
            context: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// Adds another place.
    #[must_use]
    pub fn with(mut self, span: Span, text: impl Into<String>) -> Self {
        self.context.push(Label { span, text: text.into() });
        self
    }

    /// Adds advice with a replacement.
    #[must_use]
    pub fn fix(mut self, advice: impl Into<String>, span: Span, replacement: impl Into<String>) -> Self {
        self.fixes.push(Fix { advice: advice.into(), replace: Some((span, replacement.into())) });
        self
    }

    /// Adds advice alone.
    #[must_use]
    pub fn help(mut self, advice: impl Into<String>) -> Self {
        self.fixes.push(Fix { advice: advice.into(), replace: None });
        self
    }
}

/// Whether any of these keeps the work from going on.
#[must_use]
pub fn any_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}

/// Puts them in the order of the text, those without a place first; of one place, the graver ones first.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    let place = |d: &Diagnostic| d.primary.as_ref().map(|label| label.span.start);
    diagnostics.sort_by_key(|d| (place(d), d.severity));
    diagnostics.dedup();
}

/// A loaded text and the name it goes by in messages.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// As shown to the user: the path as given, or relative to the current folder.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// The line (from 1) and the column (from 1, in characters) of a byte offset.
    #[must_use]
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = self.text.get(..at).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// Every kind of fault, and what it means.
pub const CODES: &[(&str, &str)] = &[
    ("bad-expression", "an expression of a sweep's space that nothing can be drawn from"),
    ("bad-glob", "a pattern of `sources` that is no glob"),
    ("bad-memory", "a text that is no amount of memory"),
    ("bad-name", "a name that cannot be given"),
    ("bad-output", "an output that would replace what is no output"),
    ("bad-package", "a package that is no requirement"),
    ("bad-sampling", "a rule of sampling that its sampling does not have"),
    ("bad-source-directory", "a source directory that is missing or no folder"),
    ("bad-termination", "an early termination whose numbers do not fit its policy"),
    ("bad-time", "a text that is no length of time"),
    ("cycle", "experiments that need each other"),
    ("duplicate-key", "a key or a table that is there already"),
    ("duplicate-output", "one output of two jobs"),
    ("duplicate-value", "a value that an axis of a matrix has twice"),
    ("empty-axis", "an axis of a matrix without values"),
    ("empty-environment", "an environment that says nothing"),
    ("empty-space", "a sweep over nothing"),
    ("empty-text", "a text that is empty"),
    ("listed-twice", "an input or an output that is listed twice"),
    ("matrix-and-sweep", "a parameter of both a matrix and a sweep"),
    ("matrix-too-large", "a matrix of too many cells"),
    ("misplaced-reference", "`${inputs.x}` or `${outputs.x}` where no path can stand"),
    ("missing-file", "a file that is named and not there"),
    ("missing-format", "an Amlfile that does not say its format"),
    ("missing-key", "a key that cannot be left out"),
    ("missing-script", "a script that is not there"),
    ("mixed-environment", "keys of two kinds of environment in one"),
    ("nested-output", "an output that lies in another"),
    ("newer-format", "an Amlfile of a newer format"),
    ("no-experiments", "an Amlfile without experiments"),
    ("not-available", "what this build cannot carry out"),
    ("nothing-matched", "a goal that names nothing"),
    ("nothing-to-run", "an experiment with neither script nor command"),
    ("out-of-range", "a number that is too small or too large"),
    ("output-is-input", "a job that writes what it reads"),
    ("outside-source-directory", "a script that is no part of the snapshot"),
    ("outside-workspace", "a path that leads out of the workspace"),
    ("parameter-cycle", "a parameter that is made of itself"),
    ("script-and-command", "an experiment with both script and command"),
    ("script-is-folder", "a script that is a folder"),
    ("searched-path", "a path that tells the trials of a sweep apart"),
    ("secret-reference", "a secret that `${env.X}` would write down"),
    ("secret-variable", "a secret that is also a variable"),
    ("syntax", "a text that is not TOML"),
    ("unclosed-reference", "a `${` without its `}`"),
    ("uneven-processes", "processes that cannot be spread over the nodes"),
    ("unknown-environment", "an environment that is not declared"),
    ("unknown-experiment", "an experiment that is not declared"),
    ("unknown-format", "a format that there never was"),
    ("unknown-job", "a cell that no matrix has"),
    ("unknown-key", "a key that no table has"),
    ("unknown-parameter", "a parameter of `--set` that is not declared"),
    ("unknown-reference", "a `${…}` that names nothing"),
    ("unknown-target", "a target that is not declared"),
    ("unknown-value", "a text that is none of the possible ones"),
    ("unset-variable", "`${env.X}` without X in the environment"),
    ("unused-parameter", "a parameter that reaches no script"),
    ("wrong-login", "a login that is no ssh target"),
    ("wrong-type", "a value of another type"),
];
