//! The one table of the Amlfile's keys: what there is, what it must look like, what it is for. The check of a document,
//! the suggestions, the JSON schema and the reference are all made from it, so that they cannot disagree.

mod environment;
mod experiment;
mod sweep;
mod target;

pub use environment::ENVIRONMENT;
pub use experiment::EXPERIMENT;
pub use sweep::{EXPRESSIONS, Expression, SWEEP};
pub use target::TARGET;

/// A key of a table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value must look like.
    pub kind: Kind,
    /// What it is for: one or two sentences.
    pub doc: &'static str,
    /// What holds where it is left out, as it would be written in TOML; empty where that needs words.
    pub default: &'static str,
}

/// What a value must look like.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text that is not empty.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number, 0 or more.
    Count,
    /// A whole number, 1 or more.
    Positive,
    /// The version of the format: a whole number, looked at by itself.
    Format,
    /// A number.
    Number,
    /// An amount of memory, as in `"4GiB"`.
    Memory,
    /// A length of time, as in `"1h 30m"`.
    Time,
    /// A text, a number, or true or false.
    Scalar,
    /// A scalar, or a list of scalars: what a parameter may be.
    Value,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A list.
    List(&'static Kind),
    /// A table with names of the user's choice.
    Map(&'static Kind),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A list of texts, or a table that gives each a name.
    Paths,
    /// A table whose other keys depend on the value of one.
    Tagged(&'static Tagged),
    /// An expression of a sweep's space, as in `{ uniform = [0, 1] }`.
    Expression,
}

/// A table whose other keys depend on the value of one.
#[derive(Debug)]
pub struct Tagged {
    /// The key that tells.
    pub tag: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// The keys that each value allows.
    pub variants: &'static [(&'static str, &'static [Key])],
    /// The keys that all of them allow.
    pub common: &'static [Key],
}

/// A row of the table.
const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, doc, default }
}

/// The keys at the top of an Amlfile.
pub const ROOT: &[Key] = &[
    key("format", Kind::Format, "", "The version of the Amlfile's format: 1."),
    key("workspace", Kind::Table(WORKSPACE), "", "What holds for the whole project."),
    key("params", Kind::Map(&Kind::Value), "", "Parameters of every experiment; an experiment's own come before them."),
    key(
        "environments",
        Kind::Map(&Kind::Table(ENVIRONMENT)),
        "",
        "The software that scripts run in: interpreter, packages, variables, container.",
    ),
    key("targets", Kind::Map(&Kind::Tagged(&TARGET)), "", "Where jobs run. `local` is always there."),
    key("experiments", Kind::Map(&Kind::Table(EXPERIMENT)), "", "The experiments, which form a graph by their files."),
];

/// `[workspace]`.
pub const WORKSPACE: &[Key] = &[
    key("name", Kind::Text, "", "The project's name; the folder's where none is given."),
    key("description", Kind::Text, "", "What the project is about."),
    key("default_environment", Kind::Text, "", "The environment of experiments that name none."),
    key("default_target", Kind::Text, "\"local\"", "The target of experiments that name none."),
    key(
        "cache",
        Kind::Text,
        "",
        "A cache shared with others: a folder, or an address that begins with s3://, az://, gs:// or https://.",
    ),
    key(
        "cache_mode",
        Kind::Choice(&["read-write", "read", "off"]),
        "\"read-write\"",
        "What the shared cache is used for; `--cache-mode` wins.",
    ),
    key(
        "link",
        Kind::Choice(&["copy", "hardlink"]),
        "\"copy\"",
        "How restored files come into the project: a copy (by reflink where the file system can), or a read-only hard link.",
    ),
];
