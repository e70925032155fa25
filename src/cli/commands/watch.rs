//! `amlrun --watch`: runs, waits until a source, an input or the Amlfile changes, runs again; until Ctrl-C.

use std::time::Duration;

use rustix::event::{Timespec, poll};

use super::run::{self, Ready};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::options::RunOptions;
use crate::cli::project;
use crate::cli::surroundings::Surroundings;
use crate::clock::{Clock, SystemClock};
use crate::console;
use crate::engine::interrupt::Interrupt;
use crate::engine::looking::{Files, Look};

/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(500);
/// A pause takes so many times as long as the look before it: watching costs a tenth of a processor at most.
const SHARE: u32 = 10;
/// How soon Ctrl-C is noticed.
const NOTICE: Duration = Duration::from_millis(50);
/// So many changes are named.
const NAMED: usize = 3;

/// Runs whenever something changed.
///
/// # Errors
/// Where there is no Amlfile, or signals cannot be listened to. All else can be mended while amlrun watches.
pub fn watch(options: &RunOptions, here: &Surroundings) -> Result<Exit, CliError> {
    project::find(&options.common, here)?;
    let interrupt = run::listen()?;
    let watcher = Watcher { options, here, interrupt, clock: SystemClock::new() };
    let mut options = options.clone();
    loop {
        let changes = match project::read(&options.common, here)
            .and_then(|read| Ready::new(read, &options, here, &watcher.clock))
        {
            Ok(ready) => watcher.run_and_wait(&ready, &options),
            Err(error) => {
                crate::cli::tell(&error);
                watcher.wait_for_another_text()
            }
        };
        let Some(changes) = changes else { return Ok(Exit::Interrupted) };
        watcher.say(&changed(&changes));
        // What was asked for once is done once: a change runs what it makes stale.
        options.force = false;
    }
}

struct Watcher<'w> {
    options: &'w RunOptions,
    here: &'w Surroundings,
    interrupt: Interrupt,
    clock: SystemClock,
}

impl Watcher<'_> {
    /// Runs, then waits; gives what changed since before the run, and none on Ctrl-C.
    fn run_and_wait(&self, ready: &Ready<'_>, options: &RunOptions) -> Option<Vec<String>> {
        // A look from before the run: what is edited while it goes on is a change.
        let mut before = Self::look(ready);
        match run::drive_once(ready, options, self.here, &self.interrupt) {
            Ok(driven) if driven.summary.interrupted => return None,
            Ok(_) => {}
            Err(error) => crate::cli::tell(&error),
        }
        self.say("watching for changes; Ctrl-C ends it");
        let text = std::fs::read(&ready.loaded.amlfile).ok();
        self.wait(|| {
            if std::fs::read(&ready.loaded.amlfile).ok() != text || !is_text(ready, text.as_deref()) {
                return Some(vec![format!("{} changed", ready.loaded.source.name)]);
            }
            let Some((before, files_before)) = &mut before else {
                return Self::look(ready).map(|_| vec!["the project can be read again".to_owned()]);
            };
            // What cannot be read now, as it is being written, is looked at again.
            let now = Look::take(ready.work(), &ready.parts.world()).ok()?;
            before.adopt(&now);
            if now == *before {
                return None;
            }
            let files = now.files(&ready.parts.world()).ok()?;
            Some(now.differences(&files, before, files_before))
        })
    }

    fn look(ready: &Ready<'_>) -> Option<(Look, Files)> {
        let world = ready.parts.world();
        let look = Look::take(ready.work(), &world).ok()?;
        let files = look.files(&world).ok()?;
        Some((look, files))
    }

    /// Waits until the Amlfile, or what it names, gives another result than it does now.
    fn wait_for_another_text(&self) -> Option<Vec<String>> {
        self.say("watching for changes; Ctrl-C ends it");
        let read = || {
            let read = project::read(&self.options.common, self.here).ok()?;
            let (loaded, faults) = project::examine(read, &self.options.common, self.here);
            Some((loaded.source.text, faults))
        };
        let before = read();
        self.wait(|| (read() != before).then(|| vec!["Amlfile or what it names changed".to_owned()]))
    }

    /// Looks until there is something to tell; none on Ctrl-C.
    fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let mut pause = SHORTEST;
        loop {
            let until = self.clock.elapsed() + pause;
            while self.clock.elapsed() < until {
                if self.interrupt.asked() {
                    return None;
                }
                let left = until.saturating_sub(self.clock.elapsed()).min(NOTICE);
                let _ = poll(&mut [], Timespec::try_from(left).ok().as_ref());
            }
            let began = self.clock.elapsed();
            if let Some(found) = look() {
                return Some(found);
            }
            pause = (self.clock.elapsed().saturating_sub(began) * SHARE).max(SHORTEST);
        }
    }

    fn say(&self, line: &str) {
        if !self.options.common.quiet {
            console::err(&format!("{}\n", console::clean::clean(line)));
        }
    }
}

/// Whether the Amlfile still has the text that was run.
fn is_text(ready: &Ready<'_>, text: Option<&[u8]>) -> bool {
    text == Some(ready.loaded.source.text.as_bytes())
}

/// `train.py changed, lib/a.py added and 3 more: running again`.
fn changed(changes: &[String]) -> String {
    let (named, more) = changes.split_at(changes.len().min(NAMED));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    format!("{}{more}: running again", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named_up_to_a_few() {
        let check = |changes: &[&str], expected: &str| {
            let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
            assert_eq!(changed(&changes), expected);
        };
        check(&["a changed"], "a changed: running again");
        check(&["a changed", "b added"], "a changed, b added: running again");
        check(&["a", "b", "c", "d", "e"], "a, b, c and 2 more: running again");
    }
}
