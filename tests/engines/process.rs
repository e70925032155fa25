//! Processes that a test watches.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "not every test uses all of it, and a test may die"
)]

use std::process::Child;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

pub fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed()).unwrap()
}

/// Waits for the end of the process, that long at most.
pub fn ended_within(child: &Child, limit: Duration) -> bool {
    let watch = pidfd_open(pid(child), PidfdFlags::empty()).unwrap();
    let limit = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: i64::from(limit.subsec_nanos()) };
    poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

/// Kills it if it still runs after that long, and says whether it did; it is reaped either way.
pub fn kill_after(child: &mut Child, limit: Duration) -> bool {
    let ended = ended_within(child, limit);
    if !ended {
        child.kill().unwrap();
    }
    child.wait().unwrap();
    !ended
}
