//! What a job executes: its script or its command as an argv.
//!
//! Called by `attempt` and `parcel`. It looks for programs and starts none.

use std::path::Path;

use super::{Work, ranks, spark};
use crate::environment::Activation;
use crate::launch::Program;
use crate::plan::job::{Command, Job, Runner};
use crate::target::command::{self, Programs};

/// What is executed: Python, however that is found, and its arguments; or other words.
pub(super) enum Parts {
    /// Python, its arguments.
    Python(Vec<String>, Vec<String>),
    /// Anything else.
    Words(Vec<String>),
}

impl Parts {
    /// Both in one.
    pub(super) fn whole(self) -> Vec<String> {
        match self {
            Self::Python(python, rest) => [python, rest].concat(),
            Self::Words(words) => words,
        }
    }
}

/// What is executed on this machine.
pub(super) fn here(
    programs: &Programs,
    work: Work<'_>,
    job: &Job,
    cwd: &Path,
    activation: &Activation,
    path: Option<&String>,
) -> Vec<String> {
    let path = path.map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
    let find = |name: &str| programs.find(name, path, cwd);
    let found = |name: &str| find(name).map_or_else(|| name.to_owned(), |found| found.display().to_string());
    let python = || {
        let python = activation.interpreter.as_ref().map(|python| python.display().to_string());
        vec![python.unwrap_or_else(|| found("python3"))]
    };
    let parts = match &job.command {
        Command::Shell(text) => {
            let mut argv = command::argv(text, &find);
            if let Some(program) = argv.first_mut()
                && !program.contains('/')
            {
                *program = found(program);
            }
            Parts::Words(argv)
        }
        Command::Script { script, arguments, runner: Runner::Python } => {
            Parts::Python(python(), spark::arguments(work, job, script, arguments))
        }
        Command::Script { script, arguments, runner } => {
            let mut argv = match runner {
                Runner::Shell => vec!["/bin/sh".to_owned(), script.clone()],
                Runner::Rscript => vec![found("Rscript"), script.clone()],
                Runner::Python | Runner::Itself => vec![cwd.join(script).display().to_string()],
            };
            argv.extend(arguments.iter().cloned());
            Parts::Words(argv)
        }
    };
    ranks::around(job, parts, python)
}

/// What is executed in the container. Programs are looked for there.
pub(super) fn contained(work: Work<'_>, job: &Job, cwd: &Path) -> Vec<String> {
    let shell = |text: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
    let python = || {
        let mut argv = shell(r#"exec "$(command -v python || echo python3)" "$@""#);
        argv.push("python".to_owned());
        argv
    };
    let parts = match &job.command {
        Command::Shell(text) => Parts::Words(shell(text)),
        Command::Script { script, arguments, runner: Runner::Python } => {
            Parts::Python(python(), spark::arguments(work, job, script, arguments))
        }
        Command::Script { script, arguments, runner } => {
            let mut argv = match runner {
                Runner::Shell => vec!["/bin/sh".to_owned(), script.clone()],
                Runner::Rscript => vec!["Rscript".to_owned(), script.clone()],
                Runner::Python | Runner::Itself => vec![cwd.join(script).display().to_string()],
            };
            argv.extend(arguments.iter().cloned());
            Parts::Words(argv)
        }
    };
    ranks::around(job, parts, python)
}

/// What is executed on another machine, whose programs are its own.
pub(super) fn elsewhere(work: Work<'_>, job: &Job) -> Program {
    let words = |first: &[&str], arguments: &[String]| {
        Program::Words(first.iter().map(|&word| word.to_owned()).chain(arguments.iter().cloned()).collect())
    };
    let program = match &job.command {
        Command::Shell(text) => words(&["/bin/sh", "-c", text], &[]),
        Command::Script { script, arguments, runner } => match runner {
            Runner::Python => Program::Python(spark::arguments(work, job, script, arguments)),
            Runner::Shell => words(&["/bin/sh", script], arguments),
            Runner::Rscript => words(&["Rscript", script], arguments),
            // With a slash, so that it is the script and not a program of that name.
            Runner::Itself => words(&[&format!("./{script}")], arguments),
        },
    };
    ranks::around_there(job, program)
}
