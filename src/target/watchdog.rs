//! Ends the jobs of an amlrun that was killed: a small process of its own that holds the other end of a pipe.
//!
//! When amlrun ends as it should, it says so; when the pipe just closes, amlrun died, and every process that carries the
//! invocation's identity in its environment is killed, those included that left their process group. A job that would
//! otherwise go on for hours, unseen, and compete with its own repetition, ends here.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::container::Started;

/// The variable that every job of an invocation carries.
pub const MARK: &str = "AMLRUN_INVOCATION";
/// The variable by which the processes of one run are known.
pub const RUN_MARK: &str = "AMLRUN_RUN_ID";
/// So many looks in a row, 10 ms apart, must find no process of the invocation.
const CLEAN: u32 = 5;
/// The hidden first argument that makes this program the watchdog.
pub const ARGUMENT: &str = "__watchdog";

/// A watchdog at work.
#[derive(Debug)]
pub struct Watchdog {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts it for an invocation. `guard` stays open as long as it lives: a lock in it tells others that jobs of an
    /// invocation which was killed may still write.
    ///
    /// # Errors
    /// Where no process can be started.
    pub fn start(program: &Path, invocation: &str, guard: Option<File>) -> std::io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the watchdog is a process")]
        let mut command = Command::new(program);
        command.arg(ARGUMENT).arg(invocation).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(guard.map_or_else(Stdio::null, Stdio::from)).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"done");
        }
        let _ = self.child.wait();
    }
}

/// The watchdog's own main: waits for the end of the invocation.
pub fn watch(invocation: &str) {
    let mut said = Vec::new();
    if std::io::stdin().read_to_end(&mut said).is_ok() && said == b"done" {
        return;
    }
    // A job that was being started has no mark before it is executed, so one look that finds none is not enough.
    end_marked(&format!("{MARK}={invocation}"), CLEAN);
}

/// Kills every process that has this variable with this value, until so many looks in a row find none.
pub(super) fn end_marked(mark: &str, looks: u32) {
    // A process can fork while its fellows are killed, so this goes on until none is left (bounded, as one that cannot be
    // killed, in uninterruptible sleep, must not keep the watchdog for ever).
    let mut clean = 0;
    let mut containers = Vec::new();
    for _ in 0..200 {
        clean += 1;
        for pid in marked(mark.as_bytes()) {
            clean = 0;
            containers.extend(container(pid));
            let _ = kill_process(pid, Signal::KILL);
        }
        if clean == looks {
            break;
        }
        let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        let _ = rustix::event::poll(&mut [], Some(&pause));
    }
    for container in &containers {
        container.remove(true);
    }
}

/// The container that a process is the client of.
fn container(pid: Pid) -> Option<Started> {
    let read = |what: &str| std::fs::read(format!("/proc/{}/{what}", pid.as_raw_nonzero())).unwrap_or_default();
    let words = |bytes: &[u8]| bytes.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let variables = words(&read("environ")).into_iter().filter_map(|variable| {
        let at = variable.iter().position(|&byte| byte == b'=')?;
        Some((variable.get(..at)?.to_vec(), variable.get(at + 1..)?.to_vec()))
    });
    // It must not be taken for a process of the job itself.
    let variables = variables.filter(|(name, _)| ![MARK, RUN_MARK].iter().any(|mark| mark.as_bytes() == name));
    Started::by(words(&read("cmdline")), variables.collect::<Vec<_>>())
}

/// The processes that carry the mark.
fn marked(mark: &[u8]) -> Vec<Pid> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| pid != own)
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|variables| variables.split(|&b| b == 0).any(|variable| variable == mark))
        })
        .filter_map(Pid::from_raw)
        .collect()
}
