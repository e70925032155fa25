//! The live face, for a terminal: what goes on in a few lines that are redrawn, what is over in lines that stay above
//! them. The one file that knows indicatif, which keeps the cursor, the redrawing and the clearing in order.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::clock::{Clock, SystemClock};
use crate::event::{Event, Listener, Stamped};

use super::telling::{Options, Teller};
use super::view::View;
use super::{err, terminal};

/// Between two drawings; and an invocation that takes less than this leaves the terminal alone but for its last line.
const PAUSE: Duration = Duration::from_millis(100);

/// The listener. Restores the terminal at the last event, or when dropped: drop it before telling an error.
pub struct Progress {
    options: Options,
    teller: Teller,
    view: View,
    clock: Box<dyn Clock>,
    drawn: Duration,
    frame: String,
    pending: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A view on stderr, which must be a terminal.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            teller: Teller::new(options),
            view: View::default(),
            clock: Box::new(SystemClock::new()),
            drawn: Duration::ZERO,
            frame: String::new(),
            pending: String::new(),
            bar: None,
        }
    }

    /// Draws, unless it did so a moment ago.
    fn draw(&mut self, now: Duration) {
        if now.saturating_sub(self.drawn) < PAUSE {
            return;
        }
        self.drawn = now;
        let teller = &self.teller;
        let size = terminal::size();
        let frame = self.view.frame(now, size, self.options.style, |job| teller.name(job)).join("\n");
        if !self.pending.is_empty() {
            match &self.bar {
                Some(bar) => bar.suspend(|| err(&self.pending)),
                None => err(&self.pending),
            }
            self.pending.clear();
        }
        if frame != self.frame {
            let bar = self.bar.get_or_insert_with(new_bar);
            bar.set_message(frame.clone());
            self.frame = frame;
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        err(&self.pending);
        self.pending.clear();
        self.frame.clear();
    }
}

/// How much of something long is done, in bytes, on a terminal; gone when it is dropped.
pub struct ByteBar(Option<ProgressBar>);

impl ByteBar {
    /// A bar on stderr, if it is to be shown.
    #[must_use]
    pub fn new(doing: &'static str, total: u64, shown: bool) -> Self {
        let bar = shown.then(|| ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()));
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {binary_bytes} of {binary_total_bytes}");
        Self(bar.and_then(|bar| Some(bar.with_style(style.ok()?.progress_chars("=> ")).with_message(doing))))
    }

    /// So many more are done; from any thread.
    pub fn add(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }
}

impl Drop for ByteBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Does `work` and meanwhile shows, on a terminal, what `told` says of it, anew several times a second.
pub fn beside<T>(shown: bool, told: impl Fn() -> String + Sync, work: impl FnOnce() -> T) -> T {
    if !shown {
        return work();
    }
    let bar = new_bar();
    let (bar, told) = (&bar, &told);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let _stop = stop;
        scope.spawn(move || {
            // Until the other end is dropped, however the work ends.
            while stopped.recv_timeout(PAUSE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                bar.set_message(told());
            }
            bar.finish_and_clear();
        });
        work()
    })
}

/// One bar whose message is the whole frame, so that a frame is one drawing.
fn new_bar() -> ProgressBar {
    // More often than frames come: the pace is set above, and indicatif is not to drop the last frame of a burst.
    let bar =
        ProgressBar::with_draw_target(None, ProgressDrawTarget::term_like_with_hz(Box::new(Screen::default()), 60));
    match ProgressStyle::with_template("{msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Listener for Progress {
    fn hear(&mut self, event: &Stamped) {
        let now = self.clock.elapsed();
        self.teller.tell(event, &mut self.pending);
        self.view.hear(&event.event, now);
        if matches!(event.event, Event::InvocationFinished { .. }) {
            self.finish();
        } else {
            self.draw(now);
        }
    }

    fn tick(&mut self) {
        let now = self.clock.elapsed();
        self.draw(now);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The terminal behind stderr. A drawing is one write, and it leaves the cursor at the start of its last line: where it
/// stood at the end of a full line, the `^C` that a terminal echoes would begin a new line, and the old one would stay.
#[derive(Debug, Default)]
struct Screen(Mutex<String>);

impl Screen {
    fn add(&self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        let mut buffer = self.0.lock().map_err(|_| io::Error::other("a drawing was left half done"))?;
        buffer.write_fmt(text).map_err(io::Error::other)
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        u16::try_from(terminal::size().0).unwrap_or(u16::MAX)
    }
    fn height(&self) -> u16 {
        u16::try_from(terminal::size().1).unwrap_or(u16::MAX)
    }
    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(format_args!("\x1b[{n}A")) }
    }
    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(format_args!("\x1b[{n}B")) }
    }
    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(format_args!("\x1b[{n}C")) }
    }
    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.add(format_args!("\x1b[{n}D")) }
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(format_args!("{text}\n"))
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(format_args!("{text}"))
    }
    fn clear_line(&self) -> io::Result<()> {
        self.add(format_args!("\r\x1b[2K"))
    }
    fn flush(&self) -> io::Result<()> {
        let mut buffer = self.0.lock().map_err(|_| io::Error::other("a drawing was left half done"))?;
        if buffer.is_empty() {
            return Ok(());
        }
        buffer.push('\r');
        let written = io::stderr().lock().write_all(buffer.as_bytes());
        buffer.clear();
        written
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("view", &self.view).finish_non_exhaustive()
    }
}
