//! What a job writes, kept and told line by line: its stdout and stderr, and the files below `logs/`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Report;
use crate::event::Stream;

/// A line longer than this is told in pieces; the file keeps it whole.
const LONGEST: usize = 16 * 1024;

/// Cuts bytes into lines. A carriage return ends a line too, as progress bars use it.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Adds bytes and tells the lines that are whole.
    pub fn add(&mut self, bytes: &[u8], tell: &mut dyn FnMut(String)) {
        for part in bytes.split_inclusive(|b| matches!(b, b'\n' | b'\r')) {
            self.rest.extend_from_slice(part);
            let ended = matches!(part.last(), Some(b'\n' | b'\r'));
            if ended || self.rest.len() >= LONGEST {
                self.end(tell);
            }
        }
    }

    /// Tells what is left.
    pub fn end(&mut self, tell: &mut dyn FnMut(String)) {
        let line = String::from_utf8_lossy(&self.rest);
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.is_empty() {
            tell(line.to_owned());
        }
        self.rest.clear();
    }
}

/// The log file of stdout and stderr, made when there is something to write.
#[derive(Debug)]
pub struct Log<'a> {
    path: &'a Path,
    file: Option<File>,
    lines: Lines,
    /// The first failure to write it; the job goes on.
    pub failure: Option<String>,
}

impl<'a> Log<'a> {
    /// A log at this path.
    #[must_use]
    pub fn new(path: &'a Path) -> Self {
        Self { path, file: None, lines: Lines::default(), failure: None }
    }

    /// Keeps bytes and tells their lines.
    pub fn add(&mut self, bytes: &[u8], mail: &mut dyn FnMut(Report)) {
        if let Err(error) = self.write(bytes) {
            self.failure.get_or_insert_with(|| format!("could not write {}: {error}", self.path.display()));
        }
        self.lines.add(bytes, &mut |line| mail(Report::Line(Stream::Output, line)));
    }

    /// Tells what is left.
    pub fn end(&mut self, mail: &mut dyn FnMut(Report)) {
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
}

impl Follower {
    /// Follows this folder, which need not exist.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), seen: BTreeMap::new() }
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
        let (at, lines) = self.seen.entry(path.to_owned()).or_default();
        let mut tell = |line| mail(Report::Line(Stream::Log(name.clone()), line));
        if let Ok(bytes) = read_from(path, *at) {
            *at += bytes.len() as u64;
            lines.add(&bytes, &mut tell);
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

    #[test]
    fn lines_end_at_newlines_and_returns_and_never_get_lost() {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for part in ["a\nb", "c\r", "50%\r100%\r\n", "\n", "end"] {
            lines.add(part.as_bytes(), &mut |line| told.push(line));
        }
        lines.end(&mut |line| told.push(line));
        assert_eq!(told, ["a", "bc", "50%", "100%", "end"]);
    }
}
