//! A command line as an argv: through `sh -c` where it needs a shell, directly where it does not.
//!
//! A shell costs more than many a job; make spares it for simple commands, and so does this. Whether it was spared is
//! never part of a fingerprint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Characters that mean something to a shell when they stand outside of quotes.
const SPECIAL: &[char] =
    &['$', '`', '&', '|', ';', '<', '>', '(', ')', '*', '?', '[', ']', '#', '~', '{', '}', '!', '\n', '\\', '\r'];

/// Words that a shell carries out itself, or that do not do quite the same as programs.
const BUILTINS: &[&str] = &[
    ".", ":", "alias", "bg", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit", "export", "false",
    "fg", "getopts", "hash", "jobs", "kill", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift",
    "source", "test", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait", "if", "for",
    "while", "until", "case", "function", "select", "time", "coproc", "then", "else", "do", "done", "fi", "esac", "in",
];

/// The argv of a command line. `find` resolves a program's name as the job's PATH would.
#[must_use]
pub fn argv(text: &str, find: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<String> {
    simple(text)
        .filter(|words| words.first().is_some_and(|program| program.contains('/') || find(program).is_some()))
        .unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

/// The words of a command that needs no shell.
fn simple(text: &str) -> Option<Vec<String>> {
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (Some('"'), '$' | '`' | '\\') => return None,
            (None, c) if SPECIAL.contains(&c) => return None,
            _ => {}
        }
    }
    let words = shell_words::split(text).ok()?;
    let first = words.first()?;
    let assignment = first.split_once('=').is_some();
    (!assignment && !first.is_empty() && !BUILTINS.contains(&first.as_str())).then_some(words)
}

/// The programs that were found in absolute folders of a PATH, so that each is looked for once.
#[derive(Debug, Default)]
pub struct Programs(Mutex<BTreeMap<(String, String), PathBuf>>);

impl Programs {
    /// Finds a program, or remembers where it was found. What is not found is looked for again.
    #[must_use]
    pub fn find(&self, name: &str, path: &str, cwd: &Path) -> Option<PathBuf> {
        let key = (name.to_owned(), path.to_owned());
        let known = self.0.lock().ok().and_then(|known| known.get(&key).cloned());
        known.or_else(|| {
            let found = find_program(name, path, cwd)?;
            if path.split(':').all(|folder| folder.starts_with('/'))
                && let Ok(mut known) = self.0.lock()
            {
                known.insert(key, found.clone());
            }
            Some(found)
        })
    }
}

/// Finds a program in a PATH, as `execvp` would; relative entries count from `cwd`.
#[must_use]
pub fn find_program(name: &str, path: &str, cwd: &Path) -> Option<PathBuf> {
    path.split(':').map(|folder| cwd.join(folder).join(name)).find(|file| {
        rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
            && std::fs::metadata(file).is_ok_and(|found| found.is_file())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_spared_only_where_it_would_do_nothing() {
        for (text, direct) in [
            ("sh -c 'cat in > out/0'", Some(vec!["sh", "-c", "cat in > out/0"])),
            ("cp in out/prepare", Some(vec!["cp", "in", "out/prepare"])),
            ("python3 \"my script.py\" --a=1", Some(vec!["python3", "my script.py", "--a=1"])),
            ("date +%s%N > out/train", None),
            ("cat a | wc", None),
            ("X=1 cat a", None),
            ("echo a", None),
            ("cat \"$HOME\"", None),
            ("cat *.csv", None),
            ("cat 'unclosed", None),
            ("", None),
        ] {
            assert_eq!(simple(text), direct.map(|words| words.into_iter().map(str::to_owned).collect()), "{text}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_left_to_the_shell_to_complain_about() {
        assert_eq!(argv("nonesuch a", &|_| None), ["/bin/sh", "-c", "nonesuch a"]);
    }
}
