//! The door to stdout and stderr. A reader that has gone (`amlrun runs list | head`) ends nothing and panics nothing; a
//! full disk behind stdout is kept for [`out_trouble`], so that a command whose data was lost can say so.

use std::io::{self, Write};
use std::sync::Mutex;

static TROUBLE: Mutex<Option<String>> = Mutex::new(None);

/// Writes data to stdout, as it is; adds the last newline where there is none.
pub fn out(text: &str) {
    if text.is_empty() {
        return;
    }
    if out_bytes(text.as_bytes()) && !text.ends_with('\n') {
        out_bytes(b"\n");
    }
}

/// Writes bytes to stdout as they are; answers whether someone still reads.
pub fn out_bytes(bytes: &[u8]) -> bool {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => true,
        Err(error) => {
            if error.kind() != io::ErrorKind::BrokenPipe
                && let Ok(mut trouble) = TROUBLE.lock()
            {
                trouble.get_or_insert_with(|| format!("could not write to stdout: {error}"));
            }
            false
        }
    }
}

/// Why data on stdout was lost, where it was; a reader that went away is no loss.
#[must_use]
pub fn out_trouble() -> Option<String> {
    TROUBLE.lock().ok().and_then(|trouble| trouble.clone())
}

/// Writes a message to stderr; adds the last newline where there is none.
pub fn err(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut stderr = io::stderr().lock();
    let end: &[u8] = if text.ends_with('\n') { b"" } else { b"\n" };
    // Where stderr cannot be written there is no one left to tell.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.write_all(end));
}

/// Columns and rows of the terminal behind stderr; 80 × 24 where it does not say.
#[must_use]
pub fn size() -> (usize, usize) {
    sized(rustix::termios::tcgetwinsize(io::stderr()).ok())
}

/// Columns of the terminal behind stdout; none where that is no terminal.
#[must_use]
pub fn out_width() -> Option<usize> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| sized(Some(size)).0)
}

fn sized(size: Option<rustix::termios::Winsize>) -> (usize, usize) {
    let (columns, rows) = size.map_or((0, 0), |s| (usize::from(s.ws_col), usize::from(s.ws_row)));
    (if columns == 0 { 80 } else { columns }, if rows == 0 { 24 } else { rows })
}
