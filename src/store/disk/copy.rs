//! Bytes from one file to another, digested on the way: the digest is that of what was written, whatever happens to the
//! source meanwhile.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use crate::digest::Digest;
use crate::digest::buffer::Buffer;
use crate::digest::pieces::{self, PIECE};

/// Read and written at once; small enough to stay in a core's cache on the way.
const CHUNK: usize = 256 << 10;
/// From this size on, all cores work, a piece each.
const LONG: u64 = 8 << 20;
/// Threads for one file: more only wait for the memory.
const HANDS: usize = 8;

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
    if size >= LONG && (&mut &*from).stream_position().is_ok_and(|at| at == 0) {
        let length = from.metadata().map_err(Fault::Reading)?.len();
        if let Some(digest) = in_pieces(length, |start, buffer| piece(from, to, start, buffer))? {
            let now = from.metadata().map_err(Fault::Reading)?.len();
            if now == length {
                return Ok((digest, length));
            }
        }
        // It changes while it is copied: once more, by one hand, to whatever end it has then.
        to.set_len(0).map_err(Fault::Writing)?;
    }
    if size < LONG {
        let mut hasher = blake3::Hasher::new();
        let mut chunk = Buffer::new(CHUNK);
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
    let (full, filled) = mpsc::sync_channel::<(Buffer, usize)>(4);
    let (empty, emptied) = mpsc::channel::<Buffer>();
    for _ in 0..4 {
        drop(empty.send(Buffer::new(CHUNK)));
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
    let size = file.metadata()?.len();
    if size >= LONG
        && let Some(digest) = in_pieces(size, |start, buffer| fill_at(file, buffer, start).map(|n| n == buffer.len()))?
    {
        return Ok((digest, size));
    }
    let mut hasher = blake3::Hasher::new();
    let mut chunk = Buffer::new(CHUNK.min(usize::try_from(size).unwrap_or(CHUNK) + 1));
    let mut total = 0;
    loop {
        match fill_at(file, &mut chunk, total)? {
            0 => return Ok((hasher.finalize().into(), total)),
            n => {
                hasher.update(&chunk[..n]);
                total += n as u64;
            }
        }
    }
}

/// The digest of `size` bytes that `get` brings, a piece at a time, to as many threads as there are cores; none where a piece was
/// not there in full.
fn in_pieces<E: Send>(size: u64, get: impl Fn(u64, &mut [u8]) -> Result<bool, E> + Sync) -> Result<Option<Digest>, E> {
    let count = pieces::count(size);
    let next = AtomicUsize::new(0);
    let values = Mutex::new(vec![[0; 32]; count]);
    let work = || {
        let mut buffer = Buffer::new(PIECE);
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= count {
                return Ok(true);
            }
            let (start, length) = pieces::span(piece, size);
            if !get(start, &mut buffer[..length])? {
                return Ok(false);
            }
            values.lock().unwrap_or_else(PoisonError::into_inner)[piece] = pieces::value(start, &buffer[..length]);
        }
    };
    let hands = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, HANDS);
    let whole = std::thread::scope(|scope| {
        let others: Vec<_> = (1..hands).map(|_| scope.spawn(work)).collect();
        let mut whole = work()?;
        for other in others {
            // A thread that died left pieces undone.
            whole &= other.join().unwrap_or(Ok(false))?;
        }
        Ok(whole)
    })?;
    let values = values.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(whole.then(|| pieces::root(&values, size)))
}

/// Copies a piece, which stays in the buffer; whether it was there in full. By hand: where the system is asked to copy, what it
/// wrote must be read back to be digested, which costs as much as it saves.
fn piece(from: &File, to: &File, start: u64, buffer: &mut [u8]) -> Result<bool, Fault> {
    if fill_at(from, buffer, start).map_err(Fault::Reading)? < buffer.len() {
        return Ok(false);
    }
    to.write_all_at(buffer, start).map_err(Fault::Writing)?;
    Ok(true)
}

/// Fills a buffer from a place on, as far as there are bytes.
pub(super) fn fill_at(from: &File, buffer: &mut [u8], start: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read_at(&mut buffer[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(filled)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_bytes_and_their_digest_whatever_their_number() {
        let long = usize::try_from(LONG).unwrap();
        let bytes: Vec<u8> = (0..=long + PIECE).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for length in [0, 1, CHUNK, CHUNK + 1, long - 1, long, long + 1, long + PIECE + 1] {
            for skipped in [0, length / 2] {
                let mut from = tempfile::tempfile().unwrap();
                from.write_all(&bytes[..length]).unwrap();
                from.seek(io::SeekFrom::Start(skipped as u64)).unwrap();
                let to = tempfile::tempfile().unwrap();
                let expected = &bytes[skipped..length];
                let copied = copy(&from, &to, expected.len() as u64).unwrap();
                assert_eq!(copied, (Digest::of(expected), expected.len() as u64), "{length} bytes from {skipped} on");
                assert_eq!(digest(&to).unwrap(), copied);
                let mut found = vec![0; expected.len()];
                assert_eq!(fill_at(&to, &mut found, 0).unwrap(), expected.len());
                assert!(found == expected, "{length} bytes from {skipped} on");
            }
        }
    }

    #[test]
    fn a_file_that_is_not_as_long_as_it_was_said_to_be_is_copied_to_its_end() {
        let mut from = tempfile::tempfile().unwrap();
        let bytes = vec![7; usize::try_from(LONG).unwrap() + 5];
        from.write_all(&bytes).unwrap();
        from.seek(io::SeekFrom::Start(0)).unwrap();
        let short =
            in_pieces(LONG + PIECE as u64, |start, buffer| piece(&from, &tempfile::tempfile().unwrap(), start, buffer));
        assert!(matches!(short, Ok(None)));
        let to = tempfile::tempfile().unwrap();
        assert_eq!(copy(&from, &to, LONG * 2).unwrap(), (Digest::of(&bytes), bytes.len() as u64));
    }
}
