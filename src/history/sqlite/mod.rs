//! The history in SQLite: `.amlrun/history.db`.
//!
//! It is opened when it is first asked: a look at a project that has no history creates nothing. A damaged database is set
//! aside and a new one begun, with a note: what is no longer on record runs again, nothing else is lost. Several processes
//! may read and write at once; a process that writes keeps the beginnings that it recorded, so that they can be put into
//! a new database when the old one turns out to be damaged.

mod codec;
mod logged;
mod models;
mod open;
mod place;
mod read;
mod schema;
mod sweeps;
mod write;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use self::open::{Fault, Opened};
use super::models::{Change, Registration, Version};
use super::sweeps::{Sweep, Trial};
use super::{Begun, Entry, History, HistoryError, Invocation, Query, Run};
use crate::digest::Digest;
use crate::ids::{JobName, RunId};
use crate::launch::Ticket;
use crate::logged::Logged;
use crate::staleness::{Key, Last, Past};

/// The history in a database.
pub struct SqliteHistory {
    path: PathBuf,
    /// Whether anything may be written: a damaged database be set aside, a new one made.
    write: bool,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    opened: Option<Opened>,
    notes: Vec<String>,
    /// Found to be damaged and not to be set aside: it counts as empty.
    given_up: bool,
    /// What this process put on record and would put on record again.
    invocation: Option<Invocation>,
    begun: BTreeMap<RunId, Begun>,
}

impl SqliteHistory {
    /// The history at `path`. Nothing is opened or created before it is first asked; without `write` nothing ever is
    /// created or changed.
    #[must_use]
    pub fn open(path: &Path, write: bool) -> Self {
        Self { path: path.to_owned(), write, state: RefCell::default() }
    }

    /// Asks the database; the default where there is no history.
    fn read<T: Default>(&self, ask: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, HistoryError> {
        let state = &mut *self.state.borrow_mut();
        let mut frozen = true;
        loop {
            if state.given_up || !self.open_to_read(state, frozen)? {
                return Ok(T::default());
            }
            let Some(opened) = &state.opened else { return Ok(T::default()) };
            let answer = ask(&opened.connection);
            if !opened.stands(&self.path) {
                (state.opened, frozen) = (None, false);
                continue;
            }
            let fault = match answer {
                Ok(answer) => return Ok(answer),
                Err(_) if opened.newer.is_some() => Fault::Newer(opened.newer.unwrap_or_default()),
                Err(error) => Fault::of(&error, opened.file),
            };
            self.heal(state, fault, "read")?;
        }
    }

    /// Opens it to read unless it is open; false where there is no history.
    fn open_to_read(&self, state: &mut State, frozen: bool) -> Result<bool, HistoryError> {
        while state.opened.is_none() && !state.given_up {
            let fault = match open::reader(&self.path, frozen) {
                Ok(opened) => {
                    state.opened = opened;
                    return Ok(state.opened.is_some());
                }
                Err(Fault::Refused(why)) => match open::reader_without_log(&self.path) {
                    Ok(Some(opened)) => {
                        state.notes.push(format!(
                            "the newest records of the history {} cannot be read here ({why}); older ones are shown",
                            self.path.display()
                        ));
                        state.opened = Some(opened);
                        return Ok(true);
                    }
                    _ => Fault::Refused(why),
                },
                Err(fault) => fault,
            };
            self.heal(state, fault, "open")?;
        }
        Ok(state.opened.is_some())
    }

    /// Changes the database; `change` is done again, in a new database, where this one turns out to be damaged.
    fn write(
        &self,
        state: &mut State,
        change: &dyn Fn(&mut Connection) -> rusqlite::Result<()>,
    ) -> Result<(), HistoryError> {
        if !self.write {
            let why = "it was opened for reading only".to_owned();
            return Err(Fault::Refused(why).into_error("write", &self.path));
        }
        // Twice, since what replaces a damaged one could be, by another process's doing, damaged too.
        for _ in 0..3 {
            // Another process may have set a damaged one aside, and this one's with it.
            if !state.opened.as_ref().is_some_and(|o| o.writes && o.file == place::file(&self.path)) {
                state.opened = None;
                match open::writer(&self.path) {
                    Ok(opened) => state.opened = Some(opened),
                    Err(fault) => {
                        self.heal(state, fault, "open")?;
                        continue;
                    }
                }
            }
            let Some(opened) = &mut state.opened else { continue };
            match change(&mut opened.connection) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let fault = Fault::of(&error, opened.file);
                    self.heal(state, fault, "write")?;
                }
            }
        }
        Err(Fault::Refused("it is damaged, again and again".to_owned()).into_error("write", &self.path))
    }

    /// After a fault: sets a damaged database aside where that is allowed, else counts it as empty. Any other fault is an
    /// error.
    fn heal(&self, state: &mut State, fault: Fault, doing: &'static str) -> Result<(), HistoryError> {
        let Fault::Damaged(why, file) = fault else { return Err(fault.into_error(doing, &self.path)) };
        state.opened = None;
        let path = self.path.display();
        if !self.write {
            state.given_up = true;
            state.notes.push(format!(
                "the history {path} is damaged ({why}) and counts as empty; the next `amlrun` sets it aside and begins a new one"
            ));
            return Ok(());
        }
        match place::set_aside(&self.path, file) {
            Ok(Some(place)) => state.notes.push(format!(
                "the history {path} was damaged ({why}); it was set aside as {} and a new one begun: jobs that are no longer on record run again",
                place.display()
            )),
            Ok(None) => {}
            Err(error) => {
                let why = format!("it is damaged ({why}) and could not be set aside: {error}");
                return Err(Fault::Refused(why).into_error(doing, &self.path));
            }
        }
        Ok(())
    }
}

impl Drop for SqliteHistory {
    /// Empties the log, so that whoever looks next needs none. SQLite does that by itself only when the last connection is
    /// closed, and not when that one reads. Others that are reading now are not waited for: the log is theirs then.
    fn drop(&mut self) {
        if let Some(opened) = self.state.get_mut().opened.as_ref().filter(|opened| opened.writes) {
            open::empty_log(&opened.connection);
        }
    }
}

impl History for SqliteHistory {
    fn begin(&mut self, invocation: &Invocation, alive: &dyn Fn(&str) -> bool) -> Result<(), HistoryError> {
        let mut state = self.state.take();
        state.invocation = Some(invocation.clone());
        let done = self.write(&mut state, &|c| write::begin(c, invocation, alive));
        self.state.replace(state);
        done
    }

    fn past(&self, wanted: &[(JobName, Digest)]) -> Result<Vec<Option<Past>>, HistoryError> {
        let mut past = self.read(|c| read::past(c, wanted))?;
        past.resize_with(wanted.len(), || None);
        Ok(past)
    }

    fn last(&self, job: &JobName) -> Result<Option<Last>, HistoryError> {
        self.read(|c| read::last(c, job))
    }

    fn remember_key(&mut self, key: &Key) -> Result<(), HistoryError> {
        if self.key(&key.digest)?.is_some() {
            return Ok(());
        }
        let mut state = self.state.take();
        let done = self.write(&mut state, &|c| write::key(c, key));
        self.state.replace(state);
        done
    }

    fn key(&self, digest: &Digest) -> Result<Option<Key>, HistoryError> {
        self.read(|c| read::key(c, digest))
    }

    fn record(&mut self, batch: &[Entry]) -> Result<(), HistoryError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut state = self.state.take();
        let (invocation, begun) = (state.invocation.take(), std::mem::take(&mut state.begun));
        let lost = RefCell::new(Vec::new());
        let done = self.write(&mut state, &|c| {
            lost.replace(write::record(c, batch, invocation.as_ref(), &begun)?);
            Ok(())
        });
        (state.invocation, state.begun) = (invocation, begun);
        if done.is_ok() {
            for entry in batch {
                match entry {
                    Entry::Elsewhere(_) | Entry::Ticket(_) | Entry::Salvaged(_) | Entry::Sweep(_) | Entry::Trial(_) => {
                    }
                    Entry::Begun(begun) => drop(state.begun.insert(begun.run.clone(), (**begun).clone())),
                    Entry::Ended(ended) => drop(state.begun.remove(&ended.run)),
                }
            }
            for run in lost.into_inner() {
                state.notes.push(format!("the end of run {} is not on record, as its beginning is not", run.short()));
            }
        }
        self.state.replace(state);
        done
    }

    fn pins(&self) -> Result<BTreeSet<RunId>, HistoryError> {
        self.read(read::pins)
    }

    fn pin(&mut self, run: &RunId, pinned: bool) -> Result<(), HistoryError> {
        let mut state = self.state.take();
        let done = self.write(&mut state, &|c| write::pin(c, run, pinned));
        self.state.replace(state);
        done
    }

    fn tickets(&self, fingerprint: Option<&Digest>) -> Result<Vec<(Ticket, Run)>, HistoryError> {
        self.read(|c| read::tickets(c, fingerprint))
    }

    fn logged(&self, run: &RunId) -> Result<Option<Logged>, HistoryError> {
        self.read(|c| logged::of(c, run))
    }

    fn models(&self) -> Result<Vec<Version>, HistoryError> {
        self.read(models::all)
    }

    fn register(&mut self, registration: &Registration) -> Result<u32, HistoryError> {
        let mut state = self.state.take();
        let number = std::cell::Cell::new(0);
        let done = self.write(&mut state, &|c| {
            let transaction = write::immediate(c)?;
            number.set(models::register(&transaction, registration)?);
            transaction.commit()
        });
        self.state.replace(state);
        done.map(|()| number.get())
    }

    fn change_model(&mut self, name: &str, version: u32, change: &Change) -> Result<(), HistoryError> {
        let mut state = self.state.take();
        let done = self.write(&mut state, &|c| {
            let transaction = write::immediate(c)?;
            models::change(&transaction, name, version, change)?;
            transaction.commit()
        });
        self.state.replace(state);
        done
    }

    fn sweeps(&self) -> Result<Vec<Sweep>, HistoryError> {
        self.read(sweeps::sweeps)
    }

    fn trials(&self, sweep: &str) -> Result<Vec<Trial>, HistoryError> {
        self.read(|c| sweeps::trials(c, sweep))
    }

    fn retag(&mut self, run: &RunId, tags: &BTreeMap<String, String>) -> Result<(), HistoryError> {
        let mut state = self.state.take();
        let done = self.write(&mut state, &|c| write::retag(c, run, tags));
        self.state.replace(state);
        done
    }

    fn remove(&mut self, runs: &[RunId]) -> Result<(), HistoryError> {
        let mut state = self.state.take();
        let done = self.write(&mut state, &|c| write::remove(c, runs));
        self.state.replace(state);
        done
    }

    fn runs(&self, query: &Query) -> Result<Vec<Run>, HistoryError> {
        let (runs, unreadable) = self.read(|c| read::runs(c, query))?;
        if unreadable > 0 {
            let note = format!("{unreadable} records of the history {} cannot be read", self.path.display());
            self.state.borrow_mut().notes.push(note);
        }
        Ok(runs)
    }

    fn run(&self, prefix: &str) -> Result<Run, HistoryError> {
        match self.read(|c| read::named(c, prefix))? {
            read::Named::One(run) => Ok(*run),
            read::Named::None => Err(HistoryError::NoSuchRun(prefix.to_owned())),
            read::Named::Several(candidates) => {
                Err(HistoryError::Ambiguous { prefix: prefix.to_owned(), candidates: candidates.join(", ") })
            }
        }
    }

    fn notes(&self) -> Vec<String> {
        std::mem::take(&mut self.state.borrow_mut().notes)
    }
}
