//! Bytes from one file to another, digested on the way: the digest is that of what was written, whatever happens to the
//! source meanwhile.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::mpsc;

use crate::digest::Digest;

/// Read and written at once; small enough to stay in a core's cache on the way.
const CHUNK: usize = 256 << 10;
/// Read and digested by all cores at once.
const SPREAD: usize = 1 << 20;
/// From this size on, one thread reads and digests while another writes.
const PIPELINE: u64 = 8 << 20;

/// Which side of a copy failed.
#[derive(Debug)]
pub(super) enum Fault {
    Reading(io::Error),
    Writing(io::Error),
}

/// Copies all bytes that follow in `from`, about `size`; returns their digest and number. Shares the blocks where the file
/// system can (`from` must then be at its beginning), and digests the copy.
pub(super) fn copy(from: &File, to: &File, size: u64) -> Result<(Digest, u64), Fault> {
    if clone(from, to) {
        return digest(to).map_err(Fault::Reading);
    }
    if size < PIPELINE {
        let mut hasher = blake3::Hasher::new();
        let mut chunk = vec![0; CHUNK];
        let mut total = 0;
        loop {
            let n = fill(from, &mut chunk).map_err(Fault::Reading)?;
            if n == 0 {
                return Ok((hasher.finalize().into(), total));
            }
            hasher.update(&chunk[..n]);
            (&mut &*to).write_all(&chunk[..n]).map_err(Fault::Writing)?;
            total += n as u64;
        }
    }
    pipeline(from, to)
}

fn pipeline(from: &File, to: &File) -> Result<(Digest, u64), Fault> {
    let (full, filled) = mpsc::sync_channel::<(Vec<u8>, usize)>(4);
    let (empty, emptied) = mpsc::channel::<Vec<u8>>();
    for _ in 0..4 {
        drop(empty.send(vec![0; CHUNK]));
    }
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for (chunk, n) in filled {
                (&mut &*to).write_all(&chunk[..n])?;
                drop(empty.send(chunk));
            }
            Ok(())
        });
        let mut hasher = blake3::Hasher::new();
        let mut total = 0;
        // The writer hangs up when it fails; what it says then counts.
        let read = loop {
            let Ok(mut chunk) = emptied.recv() else { break Ok(()) };
            match fill(from, &mut chunk) {
                Ok(0) => break Ok(()),
                Ok(n) => {
                    hasher.update(&chunk[..n]);
                    total += n as u64;
                    if full.send((chunk, n)).is_err() {
                        break Ok(());
                    }
                }
                Err(why) => break Err(why),
            }
        };
        drop(full);
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread died")));
        written.map_err(Fault::Writing)?;
        read.map_err(Fault::Reading)?;
        Ok((hasher.finalize().into(), total))
    })
}

/// The digest and number of a file's bytes, from its beginning. Uses all cores for a long one.
pub(super) fn digest(file: &File) -> io::Result<(Digest, u64)> {
    use std::os::unix::fs::FileExt;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; SPREAD];
    let mut total = 0;
    loop {
        let n = match file.read_at(&mut chunk, total) {
            Ok(n) => n,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(why) => return Err(why),
        };
        match n {
            0 => return Ok((hasher.finalize().into(), total)),
            n if n < SPREAD => hasher.update(&chunk[..n]),
            n => hasher.update_rayon(&chunk[..n]),
        };
        total += n as u64;
    }
}

/// Fills a buffer as far as there are bytes.
fn fill(from: &File, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match (&mut &*from).read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(filled)
}

/// Shares the blocks of a file with a new one; whether the file system could.
#[cfg(target_os = "linux")]
fn clone(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn clone(_from: &File, _to: &File) -> bool {
    false
}
