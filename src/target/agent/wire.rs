//! The connection: one line of JSON each way, followed by as many bytes as it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::PROGRAM;
use crate::target::remote::Fault;

/// A connection on which nothing is heard for so long is dead: the far side says something every five seconds.
const SILENCE: Duration = Duration::from_secs(40);
/// What the far side says first; whatever a login prints before is skipped.
const GREETING: &str = "amlrun-agent 1";
/// So much of what a login prints is read at most.
const MOST_CHATTER: usize = 1 << 20;

/// Starts connections.
pub trait Connector: Send + Sync {
    /// Where it leads to, for people.
    fn place(&self) -> String;
    /// How a refusal begins: the target, and the command that leads there.
    fn named(&self) -> String;
    /// The command whose stdin and stdout lead to `script`, run by a shell there.
    fn command(&self, script: &str) -> Command;
    /// Why a connection could not be made, or broke, in words that say what to do.
    fn explain(&self, trouble: &Trouble) -> String;
    /// After a connection was found dead: ends what could keep the next one from being made.
    fn reset(&self) {}
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The program could not be started.
    NoProgram(String),
    /// It ended, with this status, having said this on stderr.
    Ended(Option<i32>, String),
    /// Nothing was heard any more.
    Silent,
}

struct Connection {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    errors: Arc<Mutex<String>>,
    /// Nothing more will be heard on stderr.
    heard_all: Arc<AtomicBool>,
}

/// A connection that is made when it is first needed, and again when it broke. Shared by all runs on a target.
pub struct Link {
    connector: Box<dyn Connector>,
    directory: Option<String>,
    found: Mutex<Option<String>>,
    connection: Mutex<Option<Connection>>,
    reached: AtomicBool,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.connector.place())
    }
}

impl Link {
    /// A link that keeps what it keeps in this folder there.
    #[must_use]
    pub fn new(connector: Box<dyn Connector>, directory: Option<String>) -> Self {
        let (found, connection) = (Mutex::default(), Mutex::new(None));
        Self { connector, directory, found, connection, reached: AtomicBool::new(false) }
    }

    /// Where it leads to, for people.
    #[must_use]
    pub fn place(&self) -> String {
        self.connector.place()
    }

    /// How a refusal begins: the target, and the command that leads there.
    #[must_use]
    pub fn named(&self) -> String {
        self.connector.named()
    }

    /// The folder there that everything is kept in, as it is called there; as it was asked for before anything was asked.
    #[must_use]
    pub fn directory(&self) -> String {
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.or_else(|| self.directory.clone()).unwrap_or_else(|| "~/.amlrun".to_owned())
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`Fault::Lost`] where the connection broke; [`Fault::Refused`] where it could not be made in the first place, or
    /// the far side refuses.
    pub fn ask(&self, question: &Value) -> Result<Value, Fault> {
        self.exchange(question, &[]).map(|(answer, _)| answer)
    }

    /// As [`Self::ask`], with bytes both ways.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn exchange(&self, question: &Value, bytes: &[u8]) -> Result<(Value, Vec<u8>), Fault> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = Some(self.connect()?);
        }
        let Some(connection) = held.as_mut() else { return Err(Fault::Lost("no connection".to_owned())) };
        match connection.exchange(question, bytes) {
            Ok((answer, data)) => match answer.get("refused").and_then(Value::as_str) {
                Some(why) => Err(Fault::Refused(format!("{}: {why}", self.named()))),
                None => Ok((answer, data)),
            },
            Err(trouble) => {
                let trouble = held.take().map_or(Trouble::Silent, |connection| connection.end(trouble));
                if trouble == Trouble::Silent {
                    self.connector.reset();
                }
                Err(Fault::Lost(self.connector.explain(&trouble)))
            }
        }
    }

    fn connect(&self) -> Result<Connection, Fault> {
        let made = Connection::open(&*self.connector).and_then(|mut connection| {
            let hello = json!({"op": "hello", "directory": self.directory});
            match connection.exchange(&hello, &[]) {
                Ok((answer, _)) => Ok((connection, answer)),
                Err(trouble) => Err(connection.end(trouble)),
            }
        });
        match made {
            Ok((connection, answer)) => {
                if let Some(why) = answer.get("refused").and_then(Value::as_str) {
                    return Err(Fault::Refused(format!("{}: {why}", self.named())));
                }
                self.reached.store(true, Ordering::Relaxed);
                let found = answer.get("directory").and_then(Value::as_str).map(str::to_owned);
                *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
                Ok(connection)
            }
            Err(trouble) => {
                if trouble == Trouble::Silent {
                    self.connector.reset();
                }
                let why = self.connector.explain(&trouble);
                let known = self.reached.load(Ordering::Relaxed);
                Err(if known { Fault::Lost(why) } else { Fault::Refused(why) })
            }
        }
    }
}

/// What a shell there is told: find a Python that is new enough, and have it read the program from stdin. It is started once,
/// as what is called `python3` may be a script that takes its time to find one (pyenv's takes a quarter of a second): Linux's own
/// is asked first, since nothing but the standard library is wanted of it. One that is too old reads nothing and says so.
fn bootstrap() -> String {
    let loader = "import sys;sys.version_info<(3,6) and sys.exit(98);i=sys.stdin.buffer;t=i.read(int(i.readline()));\
                  exec(compile(t,\"amlrun-agent\",\"exec\"),{\"TEXT\":t,\"__name__\":\"serve\"})";
    format!(
        "l=; if [ -d /proc/self ]; then l=/usr/bin/python3; fi; for p in $l python3 python python3.12 python3.11 python3.10 python3.9 python3.8 python3.6; do \
         command -v \"$p\" >/dev/null 2>&1 || continue; \"$p\" -u -c '{loader}'; s=$?; \
         case $s in 98|126|127) ;; *) exit $s;; esac; \
         done; echo amlrun: no Python 3.6 or later >&2; exit 97"
    )
}

impl Connection {
    fn open(connector: &dyn Connector) -> Result<Self, Trouble> {
        use std::os::unix::process::CommandExt as _;
        let mut command = connector.command(&bootstrap());
        // A group of its own: Ctrl-C is for amlrun, which then still has to speak with the target.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command
            .spawn()
            .map_err(|error| Trouble::NoProgram(format!("`{}`: {error}", command.get_program().to_string_lossy())))?;
        let (Some(to), Some(from), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Trouble::NoProgram("no pipes".to_owned()));
        };
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let heard_all = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&heard_all);
        // Not joined: a multiplexing ssh that stays in the background keeps the other end open.
        std::thread::spawn(move || {
            let mut lines = BufReader::new(errors).split(b'\n');
            while let Some(Ok(line)) = lines.next() {
                if let Ok(mut heard) = heard.lock()
                    && heard.len() < 16 * 1024
                {
                    heard.push_str(String::from_utf8_lossy(&line).trim_end());
                    heard.push('\n');
                }
            }
            over.store(true, Ordering::Release);
        });
        let mut connection = Self { child, to, from: BufReader::with_capacity(1 << 16, from), errors: said, heard_all };
        match connection.greet() {
            Ok(()) => Ok(connection),
            Err(trouble) => Err(connection.end(trouble)),
        }
    }

    fn greet(&mut self) -> Result<(), Trouble> {
        let write = |to: &mut ChildStdin| {
            to.write_all(format!("{}\n", PROGRAM.len()).as_bytes())?;
            to.write_all(PROGRAM.as_bytes())?;
            to.flush()
        };
        // A far side that ended has said why on stderr.
        let _ = write(&mut self.to);
        let mut chatter = 0;
        loop {
            let line = self.line()?;
            chatter += line.len();
            if line.trim_end() == GREETING {
                return Ok(());
            }
            if chatter > MOST_CHATTER {
                return Err(Trouble::Ended(None, "the login prints without end".to_owned()));
            }
        }
    }

    fn exchange(&mut self, question: &Value, bytes: &[u8]) -> Result<(Value, Vec<u8>), Trouble> {
        let broken = |_: std::io::Error| Trouble::Ended(None, String::new());
        let mut question = question.clone();
        if let Some(fields) = question.as_object_mut() {
            fields.insert("bytes".to_owned(), json!(bytes.len()));
        }
        let mut line = serde_json::to_vec(&question).unwrap_or_default();
        line.push(b'\n');
        self.to.write_all(&line).map_err(broken)?;
        self.to.write_all(bytes).map_err(broken)?;
        self.to.flush().map_err(broken)?;
        let line = loop {
            let line = self.line()?;
            if !line.trim().is_empty() {
                break line;
            }
        };
        let answer: Value =
            serde_json::from_str(&line).map_err(|_| Trouble::Ended(None, format!("unexpected answer: {line}")))?;
        let size = answer.get("bytes").and_then(Value::as_u64).unwrap_or(0);
        let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
        let mut at = 0;
        while at < data.len() {
            self.wait()?;
            let read = self.from.read(data.get_mut(at..).unwrap_or_default()).map_err(broken)?;
            if read == 0 {
                return Err(Trouble::Ended(None, String::new()));
            }
            at += read;
        }
        Ok((answer, data))
    }

    fn line(&mut self) -> Result<String, Trouble> {
        let mut line = Vec::new();
        loop {
            self.wait()?;
            let buffer = self.from.fill_buf().map_err(|_| Trouble::Ended(None, String::new()))?;
            if buffer.is_empty() {
                return Err(Trouble::Ended(None, String::new()));
            }
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            line.extend_from_slice(buffer.get(..taken).unwrap_or_default());
            self.from.consume(taken);
            if end.is_some() {
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
        }
    }

    /// Waits until there is something to read.
    fn wait(&mut self) -> Result<(), Trouble> {
        if !self.from.buffer().is_empty() {
            return Ok(());
        }
        let mut fds = [PollFd::from_borrowed_fd(self.from.get_ref().as_fd(), PollFlags::IN)];
        let limit = Timespec::try_from(SILENCE).ok();
        loop {
            match poll(&mut fds, limit.as_ref()) {
                Ok(0) => return Err(Trouble::Silent),
                Err(error) if error == rustix::io::Errno::INTR => {}
                _ => return Ok(()),
            }
        }
    }

    /// Ends it, and finds out why it had to.
    fn end(mut self, trouble: Trouble) -> Trouble {
        drop(self.to);
        if trouble == Trouble::Silent {
            let _ = self.child.kill();
        }
        let status = self.child.wait().ok().and_then(|status| status.code());
        // What it said last may still be on its way from the thread that hears it.
        for _ in 0..200 {
            if self.heard_all.load(Ordering::Acquire) {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let said = self.errors.lock().map(|said| said.trim().to_owned()).unwrap_or_default();
        match trouble {
            Trouble::Ended(_, text) if said.is_empty() => Trouble::Ended(status, text),
            Trouble::Ended(..) => Trouble::Ended(status, said),
            other => other,
        }
    }
}
