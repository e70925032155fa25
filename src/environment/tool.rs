//! Running the tools that find, resolve and install: Python, pip, uv. Their lines are told as they come.
//!
//! The one place of this port that starts processes. Children stay in amlrun's process group, so that the terminal's
//! Ctrl-C reaches them. Nothing that they say is passed on with credentials in it.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{EnvironmentError, Halt, Step};

/// How many of the last lines a failure shows.
const TAIL: usize = 15;

/// Variables that change what pip, uv or Python install where, or that leak another Python's packages into this one.
const HARMFUL: [&str; 22] = [
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONNOUSERSITE",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
    "__PYVENV_LAUNCHER__",
    "VIRTUAL_ENV",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_PYTHON",
    "PIP_NO_COMPILE",
    "PIP_NO_DEPS",
    "PIP_DRY_RUN",
    "PIP_REPORT",
    "PIP_REQUIRE_HASHES",
    "PIP_REQUIRE_VIRTUALENV",
    "UV_TARGET",
    "UV_PREFIX",
    "UV_SYSTEM_PYTHON",
];

/// The process's variables as an installer may see them.
pub(super) fn for_installers(variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut variables = variables.clone();
    variables.retain(|name, _| !HARMFUL.contains(&name.as_str()));
    for (name, value) in [("PYTHONUTF8", "1"), ("PIP_NO_INPUT", "1"), ("PIP_DISABLE_PIP_VERSION_CHECK", "1")] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    variables
}

/// One call of a tool.
#[derive(Debug)]
pub(super) struct Tool {
    argv: Vec<OsString>,
    variables: BTreeMap<String, String>,
    cwd: PathBuf,
    guard: Option<File>,
}

impl Tool {
    /// `program` runs with all of `variables` and no others, in `cwd`.
    pub(super) fn new(program: &Path, variables: &BTreeMap<String, String>, cwd: &Path) -> Self {
        let argv = vec![program.as_os_str().to_owned()];
        Self { argv, variables: variables.clone(), cwd: cwd.to_owned(), guard: None }
    }

    /// Adds an argument.
    pub(super) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// Adds arguments.
    pub(super) fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Gives it a held lock file (empty) as its stdin: should amlrun be killed, the lock stays held until the orphan
    /// ends too, and nobody else builds where it still writes.
    pub(super) fn guarded(mut self, lock: &File) -> Result<Self, EnvironmentError> {
        self.guard = Some(lock.try_clone().map_err(|source| self.not_started(source))?);
        Ok(self)
    }

    /// The command as a user could paste it into a shell, without credentials.
    pub(super) fn command(&self) -> String {
        without_credentials(&shell_words::join(self.argv.iter().map(|word| word.to_string_lossy())))
    }

    fn program(&self) -> String {
        let name = |word: &OsString| Path::new(word).file_name().map(|n| n.to_string_lossy().into_owned());
        let word = self.argv.first().and_then(name).unwrap_or_default();
        match self.argv.get(1..3) {
            Some([dash, module]) if dash == "-m" => module.to_string_lossy().into_owned(),
            _ => word,
        }
    }

    fn not_started(&self, source: std::io::Error) -> EnvironmentError {
        EnvironmentError::Io { doing: "start", path: self.argv.first().map(PathBuf::from).unwrap_or_default(), source }
    }

    fn failed(&self, status: ExitStatus, tail: &str) -> EnvironmentError {
        EnvironmentError::Tool {
            program: self.program(),
            command: self.command(),
            status: say(status),
            tail: without_credentials(tail.trim_end()),
        }
    }

    fn expression(&mut self) -> duct::Expression {
        let rest = self.argv.get(1..).unwrap_or_default();
        let program = self.argv.first().cloned().unwrap_or_default();
        let command = duct::cmd(program, rest).full_env(&self.variables).dir(&self.cwd).unchecked();
        match self.guard.take() {
            Some(guard) => command.stdin_file(guard),
            None => command.stdin_null(),
        }
    }

    /// Runs it and tells each line of its stdout and stderr as it comes.
    ///
    /// # Errors
    /// Where it cannot be started or does not end with 0; then with its last lines and the command. Where the end was
    /// asked for.
    pub(super) fn stream(mut self, halt: &Halt, told: &mut dyn FnMut(Step)) -> Result<(), EnvironmentError> {
        let expression = self.expression().stderr_to_stdout();
        let reader = expression.reader().map_err(|source| self.not_started(source))?;
        let mut lines = Lines::default();
        let done = AtomicBool::new(false);
        let read = std::thread::scope(|scope| {
            let watch = scope.spawn(|| halt.watch(&reader, &done));
            let read = lines.read(&reader, told);
            done.store(true, Ordering::Relaxed);
            watch.thread().unpark();
            read
        });
        if halt.asked() {
            let _ = reader.kill();
            return Err(EnvironmentError::Interrupted);
        }
        read.map_err(|source| self.not_started(source))?;
        let status = match reader.try_wait() {
            Ok(Some(output)) => output.status,
            Ok(None) => return Err(self.not_started(std::io::Error::other("its end is not known"))),
            Err(source) => return Err(self.not_started(source)),
        };
        if status.success() {
            return Ok(());
        }
        let tail: Vec<String> = lines.tail.into();
        Err(self.failed(status, &tail.join("\n")))
    }

    /// Runs it and gives its stdout; its stderr is shown only where it fails.
    ///
    /// # Errors
    /// Where it cannot be started or does not end with 0.
    pub(super) fn capture(mut self) -> Result<String, EnvironmentError> {
        let expression = self.expression().stdout_capture().stderr_capture();
        let output = expression.run().map_err(|source| self.not_started(source))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut said = output.stderr;
        said.extend_from_slice(&output.stdout);
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        Err(self.failed(output.status, &lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n")))
    }
}

/// Cuts a stream of bytes into lines; `\r` ends one too (progress bars).
#[derive(Default)]
struct Lines {
    open: Vec<u8>,
    tail: VecDeque<String>,
}

impl Lines {
    /// Reads to the end.
    fn read(&mut self, mut reader: &duct::ReaderHandle, told: &mut dyn FnMut(Step)) -> std::io::Result<()> {
        let mut buffer = [0_u8; 8192];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => self.take(buffer.get(..n).unwrap_or_default(), told),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.end(told);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], told: &mut dyn FnMut(Step)) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                self.end(told);
            } else {
                self.open.push(byte);
            }
        }
    }

    fn end(&mut self, told: &mut dyn FnMut(Step)) {
        let bytes = std::mem::take(&mut self.open);
        let line = without_credentials(String::from_utf8_lossy(&bytes).trim_end());
        if line.is_empty() {
            return;
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        told(Step::Output(line));
    }
}

/// An exit status in words.
fn say(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Cuts `user:password@` out of every URL in a text; a bare user name of an ssh URL (`ssh://git@host`) stays, as it is
/// part of the address.
pub(super) fn without_credentials(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        clean.push_str(before);
        clean.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) if before.ends_with("ssh") => {
                clean.push_str(user.split(':').next().unwrap_or_default());
                clean.push('@');
                clean.push_str(host);
            }
            Some((_, host)) => clean.push_str(host),
            None => clean.push_str(authority),
        }
        rest = tail;
    }
    clean.push_str(rest);
    clean
}
