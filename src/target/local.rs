//! Runs jobs on this machine: a process group each, its output kept and told live, ended gently and then for good.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::container::Started;
use super::log::{Follower, Log};
use super::mask::Mask;
use super::{Cancel, CancelState, Report, Target, watchdog};
use crate::clock::Clock;
use crate::launch::{Launch, Outcome, Usage};
use crate::sys;

/// How often a running job is looked at for a cancellation and for new lines in `logs/`.
const LOOK: Duration = Duration::from_millis(100);
/// How long output is drained that processes outside of the job's group hold open after it ended.
const DRAIN: Duration = Duration::from_millis(200);
/// So many reads are made before the job itself is looked at again.
const MOST_READS: usize = 4;

/// This machine.
pub struct Local<'c> {
    clock: &'c dyn Clock,
}

impl std::fmt::Debug for Local<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Local")
    }
}

impl<'c> Local<'c> {
    /// This machine, timed by this clock.
    #[must_use]
    pub fn new(clock: &'c dyn Clock) -> Self {
        Self { clock }
    }
}

/// Why a job was asked to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Canceled,
    TimedOut,
}

impl Target for Local<'_> {
    fn run(&self, launch: &Launch, cancel: &dyn Cancel, mail: &mut dyn FnMut(Report)) -> (Outcome, Usage) {
        match self.attempt(launch, cancel, mail) {
            Ok(ended) => ended,
            Err(why) => (Outcome::Broken { why }, Usage::default()),
        }
    }
}

impl Local<'_> {
    fn attempt(
        &self,
        launch: &Launch,
        cancel: &dyn Cancel,
        mail: &mut dyn FnMut(Report),
    ) -> Result<(Outcome, Usage), String> {
        let (reader, writer) = std::io::pipe().map_err(|e| format!("could not make a pipe: {e}"))?;
        let child = spawn(launch, OwnedFd::from(writer))?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("the process has no id")?;
        let watch = pidfd_open(group, PidfdFlags::empty()).map_err(|e| format!("could not watch process: {e}"))?;
        let running = Running { launch, group, clock: self.clock, began: self.clock.elapsed() };
        Ok(running.follow(&child, std::fs::File::from(OwnedFd::from(reader)), &watch, cancel, mail))
    }
}

fn spawn(launch: &Launch, output: OwnedFd) -> Result<Child, String> {
    let program = launch.argv.first().ok_or("there is nothing to run")?;
    let errors = output.try_clone().map_err(|e| format!("could not copy a descriptor: {e}"))?;
    #[expect(clippy::disallowed_methods, reason = "this is the target that runs processes")]
    let mut command = Command::new(program);
    command
        .args(launch.argv.get(1..).unwrap_or_default())
        .current_dir(&launch.cwd)
        .env_clear()
        .envs(&launch.variables)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0);
    if !launch.mounts.is_empty() {
        sys::bind_read_only(&mut command, &launch.mounts).map_err(|e| format!("could not prepare mounts: {e}"))?;
    }
    command.spawn().map_err(|e| {
        let way_out = match e.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "; make it executable, or let `command` name the program that runs it"
            }
            _ => "",
        };
        format!("could not run `{program}` in {}: {e}{way_out}", launch.cwd.display())
    })
}

struct Running<'a> {
    launch: &'a Launch,
    group: Pid,
    clock: &'a dyn Clock,
    began: Duration,
}

impl Running<'_> {
    /// Follows the job to its end, and its output to the last byte.
    fn follow(
        &self,
        child: &Child,
        mut output: std::fs::File,
        watch: &OwnedFd,
        cancel: &dyn Cancel,
        mail: &mut dyn FnMut(Report),
    ) -> (Outcome, Usage) {
        let _ = rustix::io::ioctl_fionbio(&output, true);
        let mut log = Log::new(&self.launch.log, Mask::new(&self.launch.secrets));
        let mut follower = Follower::new(&self.launch.live_logs, &self.launch.secrets);
        let mut buffer = vec![0; 64 * 1024];
        let mut open = true;
        let mut ending: Option<(Ending, Duration, bool)> = None;
        let mut looked = self.began;
        loop {
            let ended = self.wait(&output, watch, open);
            open = open && drain(&mut output, &mut buffer, &mut log, mail);
            if ended {
                break;
            }
            let now = self.clock.elapsed();
            if now.saturating_sub(looked) >= LOOK {
                looked = now;
                follower.look(false, mail);
            }
            self.end_if_asked(cancel, now, &mut ending);
        }
        // Whatever the job left behind in its group ends with it: nothing may write into a run that is over.
        let _ = kill_process_group(self.group, Signal::KILL);
        if ending.is_some() {
            // A job that was ended has not tidied up: what left its group would compete with its next attempt.
            watchdog::end_marked(&format!("{}={}", watchdog::RUN_MARK, self.launch.run.0), 1);
            // A client that ended gently took its container with it.
            let was_killed = ending.is_some_and(|(_, _, killed)| killed);
            let words = self.launch.argv.iter().map(|word| word.as_bytes().to_vec());
            let plain = |(name, value): (&String, &String)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
            let started = Started::by(words, self.launch.variables.iter().map(plain));
            if let Some(container) = started.filter(|_| was_killed) {
                container.remove(false);
            }
        }
        let waited = sys::wait(child);
        let limit = self.clock.elapsed() + DRAIN;
        while open && self.clock.elapsed() < limit {
            poll_output(&output, Duration::from_millis(20));
            open = drain(&mut output, &mut buffer, &mut log, mail);
        }
        log.end(mail);
        follower.look(true, mail);
        let (status, used) = match waited {
            Ok(waited) => waited,
            Err(error) => return (Outcome::Broken { why: format!("could not wait: {error}") }, Usage::default()),
        };
        let usage = Usage { cpu_ms: used.cpu_ms, peak_memory: used.peak_memory };
        if let Some(why) = log.failure {
            return (Outcome::Broken { why }, usage);
        }
        (self.outcome(status, ending.map(|(why, ..)| why)), usage)
    }

    fn outcome(&self, status: ExitStatus, ending: Option<Ending>) -> Outcome {
        match (ending, status.code(), status.signal()) {
            (Some(Ending::TimedOut), ..) => {
                Outcome::TimedOut { seconds: self.launch.time.unwrap_or_default().as_secs() }
            }
            (Some(Ending::Canceled), ..) => Outcome::Canceled,
            (None, Some(0), _) => Outcome::Succeeded,
            (None, Some(code), _) => Outcome::Failed { code },
            (None, None, signal) => Outcome::Killed { signal: signal.unwrap_or(0) },
        }
    }

    /// Waits until there is output, the job ended, or it is time to look around; tells whether it ended.
    fn wait(&self, output: &std::fs::File, watch: &OwnedFd, open: bool) -> bool {
        let left = self.launch.time.map(|limit| (self.began + limit).saturating_sub(self.clock.elapsed()));
        let pause = left.filter(|left| !left.is_zero()).map_or(LOOK, |left| left.min(LOOK));
        let mut fds = vec![PollFd::new(watch, PollFlags::IN)];
        if open {
            fds.push(PollFd::new(output, PollFlags::IN));
        }
        let _ = poll(&mut fds, Timespec::try_from(pause).ok().as_ref());
        fds.first().is_some_and(|fd| fd.revents().intersects(PollFlags::IN | PollFlags::HUP))
    }

    /// Sends the signal that is due: SIGTERM first, SIGKILL after the grace period or on a second request.
    fn end_if_asked(&self, cancel: &dyn Cancel, now: Duration, ending: &mut Option<(Ending, Duration, bool)>) {
        let asked = cancel.state();
        if ending.is_none() {
            let late = self.launch.time.is_some_and(|limit| now >= self.began + limit);
            let why = match (asked, late) {
                (CancelState::Run, false) => return,
                (CancelState::Run, true) => Ending::TimedOut,
                _ => Ending::Canceled,
            };
            let _ = kill_process_group(self.group, Signal::TERM);
            *ending = Some((why, now, false));
        }
        if let Some((_, since, killed)) = ending
            && !*killed
            && (asked == CancelState::Now || now.saturating_sub(*since) >= self.launch.grace)
        {
            let _ = kill_process_group(self.group, Signal::KILL);
            *killed = true;
        }
    }
}

fn poll_output(output: &std::fs::File, pause: Duration) {
    let mut fds = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
    let _ = poll(&mut fds, Timespec::try_from(pause).ok().as_ref());
}

/// Takes what there is to read, up to a limit, as a job that writes faster than this reads must still be ended in time;
/// tells whether more may come.
fn drain(output: &mut std::fs::File, buffer: &mut [u8], log: &mut Log<'_>, mail: &mut dyn FnMut(Report)) -> bool {
    for _ in 0..MOST_READS {
        match output.read(buffer) {
            Ok(0) => return false,
            Ok(n) => log.add(buffer.get(..n).unwrap_or_default(), mail),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// Whether a command can be given read-only mounts here; tried with `true` on a folder bound to itself.
#[must_use]
pub fn mounts_work(folder: &std::path::Path) -> bool {
    #[expect(clippy::disallowed_methods, reason = "this is the target that runs processes")]
    let mut command = Command::new("/bin/true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sys::bind_read_only(&mut command, &[(folder, folder)]).is_ok()
        && command.status().is_ok_and(|status| status.success())
}
