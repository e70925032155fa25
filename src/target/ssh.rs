//! Targets that are reached by the user's own OpenSSH: its configuration, its keys, its known hosts.
//!
//! One connection a host: the first ssh becomes the master that all later ones go through, those of other invocations
//! included, unless the user's configuration has a way of its own. Nobody is asked for a password: what ssh cannot do by
//! itself is an error that says so.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::agent::{Connector, Link, Room, Trouble};
use super::remote::{Cargo, Fault, Finding, Look, Offsets, Remote, State};
use crate::clock::Clock;
use crate::digest::Digest;
use crate::ids::RunId;
use crate::launch::Parcel;
use crate::project::model::Target;
use crate::relpath::RelPath;

/// A control socket's path may not be longer than this; ssh adds a suffix while it makes it.
const LONGEST_SOCKET: usize = 90;

/// How a host is reached.
#[derive(Debug, Clone)]
pub struct Login {
    /// The target's name in the Amlfile.
    pub name: String,
    host: String,
    options: Vec<String>,
    sockets: PathBuf,
}

impl Login {
    /// As the Amlfile has it. Sockets are kept in `cache`.
    #[must_use]
    pub fn new(target: &Target, cache: &Path) -> Self {
        let text = |name: &str| target.options.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        let host = text("host").unwrap_or_default();
        let mut options = Vec::new();
        let mut add = |option: &str, value: Option<String>| {
            if let Some(value) = value {
                options.extend([option.to_owned(), value]);
            }
        };
        add("-l", text("user"));
        add("-p", target.options.get("port").and_then(toml::Value::as_integer).map(|port| port.to_string()));
        add("-i", text("identity"));
        let more = target.options.get("options").and_then(toml::Value::as_array).into_iter().flatten();
        options.extend(more.filter_map(|option| option.as_str().map(str::to_owned)));
        Self { name: target.name.clone(), host, options, sockets: cache.join("ssh") }
    }

    fn ssh(&self) -> Command {
        #[expect(clippy::disallowed_methods, reason = "this is the target that speaks through ssh")]
        let mut command = Command::new("ssh");
        command.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]).args(&self.options);
        command
    }

    /// Whether the user's own configuration shares connections.
    fn shares_by_itself(&self) -> bool {
        let mut command = self.ssh();
        command.arg("-G").arg("--").arg(&self.host).stdin(Stdio::null()).stderr(Stdio::null());
        let said = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        said.is_ok_and(|said| said.lines().any(|line| line.starts_with("controlpath ") && line != "controlpath none"))
    }

    /// The options that share a connection.
    fn sharing(&self) -> Vec<String> {
        let path = self.sockets.join("%C").display().to_string();
        if path.len() - 2 + 40 > LONGEST_SOCKET || path.contains(' ') || self.shares_by_itself() {
            return Vec::new();
        }
        let mut builder = std::fs::DirBuilder::new();
        if builder.recursive(true).mode(0o700).create(&self.sockets).is_err() {
            return Vec::new();
        }
        let options = [
            "ControlMaster=auto".to_owned(),
            format!("ControlPath={path}"),
            "ControlPersist=120".to_owned(),
            "ServerAliveInterval=5".to_owned(),
            "ServerAliveCountMax=4".to_owned(),
        ];
        options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect()
    }
}

impl Connector for Login {
    fn place(&self) -> String {
        self.host.clone()
    }

    fn named(&self) -> String {
        format!("target `{}`: `ssh {}`", self.name, self.host)
    }

    fn command(&self, script: &str) -> Command {
        let mut command = self.ssh();
        command.args(self.sharing()).arg("--").arg(&self.host).arg(format!("exec sh -c {}", quoted(script)));
        command
    }

    fn explain(&self, trouble: &Trouble) -> String {
        let (Self { name, host, .. }, named) = (self, self.named());
        let (status, said) = match trouble {
            Trouble::NoProgram(why) => {
                return format!("target `{name}`: could not run {why}; install the OpenSSH client");
            }
            Trouble::Silent => {
                return format!("target `{name}`: the connection to `{host}` is dead: nothing was heard for 40 s");
            }
            Trouble::Ended(status, said) => (*status, said.trim()),
        };
        let has = |text: &str| said.contains(text);
        let next = if status == Some(97) {
            return format!(
                "{named}: there is no Python 3.6 or later on PATH there: install python3, amlrun needs nothing else"
            );
        } else if has("IDENTIFICATION HAS CHANGED") {
            "its host key is not the known one: it was set up anew, or somebody is in between; if you know why, remove the old key \
             with `ssh-keygen -R`"
        } else if has("Host key verification failed") {
            "its host key is not known yet: connect once with `ssh` and check the key"
        } else if has("Permission denied") {
            "no key was accepted: `ssh-add` the key, set `identity` or `user`, or add the public key to the host's authorized_keys"
        } else if has("Could not resolve hostname") {
            "no such host: check `host`, and ssh's configuration where it is an alias"
        } else if has("Connection refused") {
            "nothing answers there: check `host` and `port`, and that sshd runs"
        } else if has("timed out") || has("No route to host") || has("Network is unreachable") {
            "it cannot be reached: is it on, and is the network (VPN) up?"
        } else if has("not found") || has("No such file") {
            "the login's shell could not run `sh`"
        } else {
            "try `ssh` by hand"
        };
        let last: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('@')).collect();
        let said = last.iter().rev().take(2).rev().copied().collect::<Vec<_>>().join("; ");
        let said = match (said.is_empty(), status) {
            (false, _) => said,
            (true, Some(status)) => format!("ssh ended with {status}"),
            (true, None) => "the connection broke".to_owned(),
        };
        format!("{named}: {said}: {next}")
    }

    /// A master whose connection is dead would keep every new one waiting.
    fn reset(&self) {
        let mut command = self.ssh();
        command.args(self.sharing()).args(["-O", "exit"]).arg("--").arg(&self.host);
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A word for a POSIX shell, and for the other shells that a login may have.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A host on which jobs run side by side, as many as there is room for.
pub struct Ssh<'c> {
    link: Link,
    room: Room,
    clock: &'c dyn Clock,
}

impl std::fmt::Debug for Ssh<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ssh({})", self.link.place())
    }
}

impl<'c> Ssh<'c> {
    /// A host as the Amlfile has it. Nothing is connected before it is needed.
    #[must_use]
    pub fn new(target: &Target, cache: &Path, clock: &'c dyn Clock) -> Self {
        let number = |name: &str| match target.options.get(name) {
            Some(toml::Value::Integer(number)) => u64::try_from(*number).ok(),
            Some(toml::Value::String(text)) => crate::amlfile::units::memory(text).ok(),
            _ => None,
        };
        let directory = target.options.get("directory").and_then(toml::Value::as_str).map(str::to_owned);
        let room = Room { cpus: number("cpus"), gpus: number("gpus"), memory: number("memory") };
        Self { link: Link::new(Box::new(Login::new(target, cache)), directory), room, clock }
    }
}

impl Remote for Ssh<'_> {
    fn place(&self) -> String {
        self.link.place()
    }

    fn prepare(&self, parcel: &Parcel, cargo: &dyn Cargo, told: &mut dyn FnMut(String)) -> Result<(), Fault> {
        self.link.prepare(parcel, &self.room, cargo, told)
    }

    fn lacking(&self, digests: &[Digest]) -> Result<Vec<Digest>, Fault> {
        self.link.lacking(digests)
    }

    fn submit(&self, parcel: &Parcel) -> Result<(), Fault> {
        self.link.start(parcel)
    }

    fn look(&self, run: &RunId, from: &Offsets) -> Result<Look, Fault> {
        self.link.look(run, from, false)
    }

    fn states(&self, runs: &[RunId]) -> Result<Vec<State>, Fault> {
        self.link.states(runs, false)
    }

    fn end(&self, run: &RunId, now: bool) -> Result<(), Fault> {
        self.link.end(run, now, false)
    }

    fn collect(&self, run: &RunId, paths: &[RelPath], into: &Path) -> Result<(), Fault> {
        self.link.collect(run, paths, into)
    }

    fn forget(&self, runs: &[RunId]) -> Result<(), Fault> {
        self.link.forget(runs)
    }

    fn check(&self) -> Result<Vec<Finding>, Fault> {
        self.link.check(self.clock.now().0)
    }
}
