//! `amlrun runs logs`: what a run wrote to stdout and stderr, and to files in `logs/`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::event::{Timespec, poll};

use super::Desk;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::console;
use crate::history::Run;

/// The log of stdout and stderr, by the name that the original gives it.
const STANDARD: &str = "user_logs/std_log.txt";

/// How long files are left alone before they are looked at again, while a run goes on.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// At most so much is read in one go.
const PIECE: u64 = 1 << 20;

pub(super) fn logs(desk: &Desk<'_>, text: &str, follow: bool) -> Result<Exit, CliError> {
    let mut run = desk.run(text)?;
    let mut printer = Printer { json: desk.json, ..Printer::default() };
    loop {
        // Asked before the files are read: what was written before the end is there then.
        let over = !follow || run.ended.is_some() || run.status == crate::history::Status::NotResponding;
        for (name, path) in files(desk, &run) {
            while printer.more(&name, &path).map_err(|e| refused(desk, &path, &e))? {}
        }
        if printer.closed {
            return Ok(Exit::Done);
        }
        if over {
            break;
        }
        // Waits for nothing but the time. An interrupted wait is over early, which does no harm.
        let _ = poll(&mut [], Some(&PAUSE));
        run = desk.run(&run.begun.run.0)?;
    }
    printer.finish();
    if !printer.wrote {
        console::err(&format!("run {} wrote nothing", run.begun.run.short()));
    }
    Ok(Exit::Done)
}

fn refused(desk: &Desk<'_>, path: &Path, error: &std::io::Error) -> CliError {
    CliError::world(format!("could not read the log `{}`: {error}", desk.shown(path)))
}

/// The files that there are by now, by the names that they have with the record. While a run goes on, its `logs/` lie in
/// its working directory, and go to the record when it ends.
fn files(desk: &Desk<'_>, run: &Run) -> Vec<(String, PathBuf)> {
    let (kept, begun) = (desk.kept(run), &run.begun);
    let work = desk.state.join("work").join(&begun.invocation).join(&begun.run.0);
    let live = work.join(begun.source_directory.as_path()).join("logs");
    let mut found = BTreeMap::new();
    for folder in [live, kept.join("logs")] {
        walk(&folder, "logs", &mut found);
    }
    let standard = kept.join(STANDARD);
    let first = standard.is_file().then(|| (STANDARD.to_owned(), standard));
    first.into_iter().chain(found).collect()
}

/// The names of what is kept of a run's logs in a folder.
pub(super) fn names(kept: &Path) -> Vec<String> {
    let mut found = BTreeMap::new();
    walk(&kept.join("logs"), "logs", &mut found);
    walk(&kept.join("user_logs"), "user_logs", &mut found);
    found.into_keys().collect()
}

fn walk(folder: &Path, name: &str, found: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), &name, found),
            Ok(kind) if kind.is_file() => drop(found.insert(name, entry.path())),
            _ => {}
        }
    }
}

/// Prints files as they grow. One file alone is printed as it is; where there are several each piece says whose it is.
#[derive(Debug, Default)]
struct Printer {
    json: bool,
    read: BTreeMap<String, u64>,
    /// Of lines that have no end yet; JSON tells whole lines.
    begun: BTreeMap<String, Vec<u8>>,
    /// Whose piece was printed last, and whether it ended with a line end.
    last: Option<(String, bool)>,
    wrote: bool,
    closed: bool,
}

impl Printer {
    /// Prints the next piece of a file; whether there may be more.
    fn more(&mut self, name: &str, path: &Path) -> std::io::Result<bool> {
        let from = self.read.get(name).copied().unwrap_or_default();
        let mut file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        let length = file.take(PIECE).read_to_end(&mut piece)?;
        if length == 0 || self.closed {
            return Ok(false);
        }
        self.read.insert(name.to_owned(), from + length as u64);
        self.wrote = true;
        if self.json {
            self.lines(name, &piece);
        } else {
            self.piece(name, &piece);
        }
        Ok(true)
    }

    fn piece(&mut self, name: &str, piece: &[u8]) {
        let other = self.last.as_ref().is_some_and(|(last, _)| last != name);
        if other || (self.last.is_none() && name != STANDARD) {
            let end = if self.last.as_ref().is_some_and(|(_, ended)| !ended) { "\n" } else { "" };
            let gap = if self.last.is_some() { "\n" } else { "" };
            console::out(&format!("{end}{gap}==> {} <==\n", console::clean::clean(name)));
        }
        self.closed |= !console::out_bytes(piece);
        self.last = Some((name.to_owned(), piece.last() == Some(&b'\n')));
    }

    fn lines(&mut self, name: &str, piece: &[u8]) {
        let begun = self.begun.entry(name.to_owned()).or_default();
        begun.extend_from_slice(piece);
        let whole = begun.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let text: String =
            begun.drain(..whole).collect::<Vec<u8>>().split_inclusive(|&b| b == b'\n').map(|l| line(name, l)).collect();
        self.closed |= !console::out_bytes(text.as_bytes());
    }

    /// Tells what never got its line end.
    fn finish(&mut self) {
        for (name, rest) in std::mem::take(&mut self.begun) {
            if !rest.is_empty() {
                console::out(&line(&name, &rest));
            }
        }
    }
}

/// One line of a log as JSON.
fn line(name: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.strip_suffix('\n').unwrap_or(&text);
    format!("{}\n", serde_json::json!({ "file": name, "line": line.strip_suffix('\r').unwrap_or(line) }))
}
