//! What surrounds the process, read once and passed down: arguments, variables, folders, terminal.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// The surroundings.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The arguments, the program's name first.
    pub argv: Vec<OsString>,
    /// The current folder.
    pub cwd: PathBuf,
    /// The environment variables whose names and values are UTF-8.
    pub variables: BTreeMap<String, String>,
    /// Whether stderr is a terminal.
    pub terminal: bool,
    /// Whether stdout is a terminal.
    pub stdout_terminal: bool,
}

impl Surroundings {
    /// Reads them.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads them")]
    pub fn read() -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self {
            argv: std::env::args_os().collect(),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            variables: std::env::vars_os().filter_map(text).collect(),
            terminal: std::io::stderr().is_terminal(),
            stdout_terminal: std::io::stdout().is_terminal(),
        }
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The user's cache folder for amlrun: `AMLRUN_CACHE_DIR`, else `$XDG_CACHE_HOME/amlrun`, else `~/.cache/amlrun`.
    pub fn cache_folder(&self) -> PathBuf {
        if let Some(folder) = self.variable("AMLRUN_CACHE_DIR") {
            return self.cwd.join(folder);
        }
        let base = self.variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
        let home = || self.variable("HOME").map_or_else(|| Path::new("/tmp").to_owned(), PathBuf::from).join(".cache");
        base.unwrap_or_else(home).join("amlrun")
    }
}
