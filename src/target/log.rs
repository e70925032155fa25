//! What a job writes, kept and told line by line: its stdout and stderr, and the files below `logs/`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Report;
use super::mask::{self, Mask};
use crate::event::Stream;

/// A line longer than this is told in pieces; the file keeps it whole.
const LONGEST: usize = 16 * 1024;

/// Cuts bytes into lines. A carriage return begins a line anew, as progress bars do: of such a line, its last state is
/// told.
#[derive(Debug, Default)]
pub struct Lines {
    /// What was written since the last line end or carriage return.
    rest: Vec<u8>,
    /// What stood in the line before the last carriage return.
    drawn: Vec<u8>,
    /// `drawn` is new since it was asked for.
    fresh: bool,
}

impl Lines {
    /// Adds bytes and tells the lines that are whole.
    pub fn add(&mut self, bytes: &[u8], tell: &mut dyn FnMut(String)) {
        for part in bytes.split_inclusive(|b| matches!(b, b'\n' | b'\r')) {
            match part.split_last() {
                Some((b'\n', text)) => {
                    self.rest.extend_from_slice(text);
                    self.end(tell);
                }
                Some((b'\r', text)) => {
                    self.rest.extend_from_slice(text);
                    if !self.rest.is_empty() {
                        std::mem::swap(&mut self.drawn, &mut self.rest);
                        self.rest.clear();
                        self.fresh = true;
                    }
                }
                _ => self.rest.extend_from_slice(part),
            }
            if self.rest.len() >= LONGEST {
                self.end(tell);
            }
        }
    }

    /// The latest state of a line that is not ended yet and was drawn more than once; none where nothing new was drawn.
    pub fn latest(&mut self) -> Option<String> {
        let bytes = if self.rest.is_empty() { &self.drawn } else { &self.rest };
        let is_new = std::mem::take(&mut self.fresh) || (!self.drawn.is_empty() && !self.rest.is_empty());
        is_new.then(|| String::from_utf8_lossy(bytes).into_owned()).filter(|line| !line.trim().is_empty())
    }

    /// Tells what is left.
    pub fn end(&mut self, tell: &mut dyn FnMut(String)) {
        let bytes = if self.rest.is_empty() { &self.drawn } else { &self.rest };
        if !bytes.is_empty() {
            tell(String::from_utf8_lossy(bytes).into_owned());
        }
        self.rest.clear();
        self.drawn.clear();
        self.fresh = false;
    }
}

/// The log file of stdout and stderr, made when there is something to write.
#[derive(Debug)]
pub struct Log<'a> {
    path: &'a Path,
    file: Option<File>,
    lines: Lines,
    mask: Mask,
    /// The first failure to write it; the job goes on.
    pub failure: Option<String>,
}

impl<'a> Log<'a> {
    /// A log at this path.
    #[must_use]
    pub fn new(path: &'a Path, mask: Mask) -> Self {
        Self { path, file: None, lines: Lines::default(), mask, failure: None }
    }

    /// Keeps bytes and tells their lines.
    pub fn add(&mut self, bytes: &[u8], mail: &mut dyn FnMut(Report)) {
        let masked = self.mask.add(bytes);
        self.keep(&masked, mail);
    }

    fn keep(&mut self, bytes: &[u8], mail: &mut dyn FnMut(Report)) {
        if let Err(error) = self.write(bytes) {
            self.failure.get_or_insert_with(|| format!("could not write {}: {error}", self.path.display()));
        }
        self.lines.add(bytes, &mut |line| mail(Report::Line(Stream::Output, line)));
        if let Some(line) = self.lines.latest() {
            mail(Report::Drawn(line));
        }
    }

    /// Tells what is left.
    pub fn end(&mut self, mail: &mut dyn FnMut(Report)) {
        let rest = self.mask.end();
        if !rest.is_empty() {
            self.keep(&rest, mail);
        }
        self.lines.end(&mut |line| mail(Report::Line(Stream::Output, line)));
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.file.is_none() {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            self.file = Some(File::options().create(true).append(true).open(self.path)?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }
}

/// Follows the files below `logs/` while a job writes them.
#[derive(Debug)]
pub struct Follower {
    folder: PathBuf,
    seen: BTreeMap<PathBuf, (u64, Lines)>,
    secrets: Vec<String>,
}

/// What the first of several processes says is heard from its output: its own log is not told again.
const HEARD: &str = "std_log_process_0.txt";

impl Follower {
    /// Follows this folder, which need not exist.
    #[must_use]
    pub fn new(folder: &Path, secrets: &[String]) -> Self {
        Self { folder: folder.to_owned(), seen: BTreeMap::new(), secrets: secrets.to_vec() }
    }

    /// Tells what was written since the last look; `last` tells unfinished lines too.
    pub fn look(&mut self, last: bool, mail: &mut dyn FnMut(Report)) {
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(kind) if kind.is_file() => self.follow(&entry.path(), last, mail),
                    _ => {}
                }
            }
        }
    }

    fn follow(&mut self, path: &Path, last: bool, mail: &mut dyn FnMut(Report)) {
        let name = path.strip_prefix(&self.folder).unwrap_or(path).display().to_string();
        if name == HEARD {
            return;
        }
        let (at, lines) = self.seen.entry(path.to_owned()).or_default();
        let mut tell = |line| mail(Report::Line(Stream::Log(name.clone()), mask::text(&self.secrets, line)));
        while let Ok(bytes) = read_from(path, *at) {
            *at += bytes.len() as u64;
            lines.add(&bytes, &mut tell);
            if !last || bytes.is_empty() {
                break;
            }
        }
        if last {
            lines.end(&mut tell);
        }
    }
}

/// What stands in a file from an offset on, at most 1 MiB of it.
fn read_from(path: &Path, at: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of these pieces, and what was drawn meanwhile.
    fn check(pieces: &[&str], lines: &[&str], drawn: &[&str]) {
        let mut cut = Lines::default();
        let (mut told, mut seen) = (Vec::new(), Vec::new());
        for piece in pieces {
            cut.add(piece.as_bytes(), &mut |line| told.push(line));
            seen.extend(cut.latest());
        }
        cut.end(&mut |line| told.push(line));
        assert_eq!(told, lines, "{pieces:?}");
        assert_eq!(seen, drawn, "{pieces:?}");
    }

    #[test]
    fn lines_end_at_newlines_and_never_get_lost() {
        check(&["a\nb", "c\n", "\n", "end"], &["a", "bc", "end"], &[]);
        check(&["windows\r\n", "too\r", "\n"], &["windows", "too"], &["too"]);
        let long = "x".repeat(LONGEST + 1);
        check(&[&long, "y"], &[&long, "y"], &[]);
    }

    #[test]
    fn of_a_line_that_is_drawn_again_and_again_the_last_state_is_told() {
        check(&["10%\r", "50%\r60%\r", "100%\r\n"], &["100%"], &["10%", "60%"]);
        check(&["\r10%", "\r20%", "\r30%\n", "done\n"], &["30%", "done"], &["20%"]);
        check(&["\r10%", "\r20%"], &["20%"], &["20%"]);
        check(&["\r10%\r    \rdone\n"], &["done"], &[]);
    }
}
