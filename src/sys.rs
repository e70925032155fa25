//! The one place with `unsafe`: system calls that neither std nor rustix offers in a safe form.
//!
//! - `wait4`, because only it tells the CPU time and the peak memory of one child;
//! - open-file-description locks on byte ranges, because one lock file then serves any number of keys, needs no clean-up
//!   and is let go by the kernel when the process dies, however it dies;
//! - a mount namespace for a child between fork and exec, because only there can a job's inputs be made read-only.
#![expect(unsafe_code, reason = "these three calls have no safe form; everything else in amlrun forbids it")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

/// What a child used, as the kernel counts it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// User and system time, in milliseconds.
    pub cpu_ms: u64,
    /// Largest resident set of one process, in bytes.
    pub peak_memory: u64,
}

/// Waits for a child to end, and says what it and all that it waited for used.
///
/// # Errors
/// Where the system refuses (the child was waited for already).
pub fn wait(child: &Child) -> io::Result<(ExitStatus, Used)> {
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    loop {
        // SAFETY: all-zero is a valid `rusage`; both pointers are to live locals of the right types.
        let (ended, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(pid, &raw mut status, 0, &raw mut usage), usage)
        };
        if ended == pid {
            let milliseconds = |t: libc::timeval| {
                u64::try_from(t.tv_sec).unwrap_or(0) * 1000 + u64::try_from(t.tv_usec).unwrap_or(0) / 1000
            };
            let used = Used {
                cpu_ms: milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime),
                peak_memory: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
            };
            return Ok((ExitStatus::from_raw(status), used));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What to do with a byte-range lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// Take it if nobody holds it.
    Try,
    /// Wait until nobody holds it, and take it.
    Wait,
    /// Let it go.
    Release,
    /// Only tell whether another open file holds it.
    Ask,
}

/// Locks, or lets go, the one byte of a file at `offset`; the lock belongs to this open file and ends with it. Tells
/// whether it is held now; with [`Locking::Try`], false where another open file has it. [`Locking::Ask`] changes nothing
/// and tells whether another open file has it.
///
/// # Errors
/// Where the file system has no such locks.
pub fn lock_byte(file: &File, offset: u64, locking: Locking) -> io::Result<bool> {
    let start = libc::off_t::try_from(offset & (u64::MAX >> 2)).map_err(io::Error::other)?;
    let kind = if locking == Locking::Release { libc::F_UNLCK } else { libc::F_WRLCK };
    // SAFETY: all-zero is a valid `flock`, and its `l_pid` must be 0 for locks of an open file description.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = libc::c_short::try_from(kind).map_err(io::Error::other)?;
    range.l_whence = libc::c_short::try_from(libc::SEEK_SET).map_err(io::Error::other)?;
    range.l_start = start;
    range.l_len = 1;
    let command = match locking {
        Locking::Wait => libc::F_OFD_SETLKW,
        Locking::Try | Locking::Release => libc::F_OFD_SETLK,
        Locking::Ask => libc::F_OFD_GETLK,
    };
    loop {
        // SAFETY: the descriptor is open for the length of the call, and `range` is a live `flock`.
        if unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut range) } == 0 {
            return Ok(match locking {
                Locking::Ask => i32::from(range.l_type) != libc::F_UNLCK,
                _ => locking != Locking::Release,
            });
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN | libc::EACCES) => return Ok(false),
            _ => return Err(error),
        }
    }
}

/// Gives a command a mount namespace of its own in which each `(what, where)` is bound read-only; the mounts end with the
/// last process in it. Without privilege this asks for a user namespace too, in which the user stays the same. Starting
/// the command fails where the system allows neither.
///
/// # Errors
/// Where a path has a NUL byte.
pub fn bind_read_only(command: &mut Command, mounts: &[(impl AsRef<Path>, impl AsRef<Path>)]) -> io::Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
    let mounts = mounts
        .iter()
        .map(|(what, at)| Ok((text(what.as_ref())?, text(at.as_ref())?)))
        .collect::<io::Result<Vec<_>>>()?;
    // SAFETY: geteuid and getegid cannot fail and touch no memory.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let maps = [
        (c"/proc/self/setgroups", b"deny".to_vec()),
        (c"/proc/self/uid_map", format!("{user} {user} 1").into_bytes()),
        (c"/proc/self/gid_map", format!("{group} {group} 1").into_bytes()),
    ];
    let enter = move || -> io::Result<()> {
        let check = |result: libc::c_int| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        // SAFETY: after fork and before exec only calls that are safe in a signal handler are made, on memory that was
        // prepared before the fork; nothing is allocated.
        unsafe {
            if libc::unshare(libc::CLONE_NEWNS) != 0 {
                check(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS))?;
                for (path, text) in &maps {
                    let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                    check(file)?;
                    let written = libc::write(file, text.as_ptr().cast(), text.len());
                    libc::close(file);
                    if written < 0 {
                        return Err(io::Error::last_os_error());
                    }
                }
            }
            let none = std::ptr::null();
            check(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()))?;
            for (what, at) in &mounts {
                let bind = libc::MS_BIND | libc::MS_REC;
                check(libc::mount(what.as_ptr(), at.as_ptr(), none, bind, none.cast()))?;
                // A mount that came with nosuid, nodev or noexec must keep them, or an unprivileged remount is refused.
                let mut about: libc::statvfs = std::mem::zeroed();
                check(libc::statvfs(at.as_ptr(), &raw mut about))?;
                let keep = about.f_flag & (libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC);
                let read_only = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY | keep;
                check(libc::mount(none, at.as_ptr(), none, read_only, none.cast()))?;
            }
        }
        Ok(())
    };
    // SAFETY: `enter` keeps to what is allowed between fork and exec, see there.
    unsafe { command.pre_exec(enter) };
    Ok(())
}
