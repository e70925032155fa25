//! The three ways to open the database: frozen, for reading, for writing.
//!
//! A reader may not create a file: SQLite makes `-wal` and `-shm` beside a WAL database even to read it. So where no log
//! lies beside it, it is opened frozen (`immutable=1`: no locks, no side files), and an answer counts only if the file's
//! stamp is the same before and after.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::place::{self, Stamp};
use super::schema::{self, FORMAT, Found};
use crate::history::HistoryError;

/// How long a process waits for another one's transaction.
const BUSY: Duration = Duration::from_secs(30);

/// An open database.
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Which file it is.
    pub(super) file: Option<(u64, u64)>,
    /// Of a frozen one: the stamp that the file must still have.
    frozen: Option<Stamp>,
    /// Whether it was opened for writing.
    pub(super) writes: bool,
    /// Its format, where that is newer than ours.
    pub(super) newer: Option<u32>,
}

impl Opened {
    /// Whether what was read is what the file held: always so unless it is frozen and was written meanwhile.
    pub(super) fn stands(&self, path: &Path) -> bool {
        self.frozen.is_none_or(|then| place::stamp(path).ok().flatten() == Some(then) && !place::has_log(path))
    }
}

/// Why it could not be opened.
pub(super) enum Fault {
    /// It is damaged: why, and which file that was.
    Damaged(String, Option<(u64, u64)>),
    /// It was written by a newer amlrun.
    Newer(u32),
    /// The system said no.
    Refused(String),
}

impl Fault {
    /// Sorts an error of SQLite's.
    pub(super) fn of(error: &rusqlite::Error, file: Option<(u64, u64)>) -> Self {
        if damaged(error) { Self::Damaged(words(error), file) } else { Self::Refused(words(error)) }
    }

    /// The same for whoever asked; a damaged database that cannot be set aside is an error as any other.
    pub(super) fn into_error(self, doing: &'static str, path: &Path) -> HistoryError {
        let path = path.to_owned();
        match self {
            Self::Damaged(why, _) | Self::Refused(why) => HistoryError::Database { doing, path, why },
            Self::Newer(found) => HistoryError::Newer { path, found, known: FORMAT },
        }
    }
}

/// Whether an error says that the file is damaged. Our statements and values fit the tables of our format: where SQLite
/// refuses them, the schema that it read is not what was written.
pub(super) fn damaged(error: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, DatabaseCorrupt, NotADatabase, TypeMismatch};
    match error.sqlite_error() {
        // 1 is SQLITE_ERROR: a table or column that is not there.
        Some(error) if error.extended_code & 0xff == 1 => true,
        Some(error) => matches!(error.code, DatabaseCorrupt | NotADatabase | ConstraintViolation | TypeMismatch),
        None => matches!(error, rusqlite::Error::SqlInputError { .. }),
    }
}

/// An error in words; the common ones say what to do.
pub(super) fn words(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            "the disk is full; what was on record before is kept, free some space and run amlrun again".to_owned()
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("another process kept it locked for {} s", BUSY.as_secs())
        }
        _ => error.to_string(),
    }
}

/// Opens it to read; none where there is no history yet. `frozen` where that will do.
pub(super) fn reader(path: &Path, frozen: bool) -> Result<Option<Opened>, Fault> {
    let stamp = place::stamp(path).map_err(|e| Fault::Refused(e.to_string()))?;
    let Some(stamp) = stamp else { return Ok(None) };
    let file = Some(stamp.file);
    // Between machines a stamp can be old news; and there it is no WAL database, so that SQLite's locks leave no files.
    let frozen = frozen && !place::has_log(path) && !place::on_network(place::folder(path));
    let opened = look(path, file, frozen.then_some(stamp));
    // What was read of a frozen one while another process wrote to it says nothing about it.
    if frozen && opened.is_err() && (place::has_log(path) || place::stamp(path).ok().flatten() != Some(stamp)) {
        return look(path, place::file(path), None);
    }
    opened
}

/// Opens it to read, frozen where there is a stamp.
fn look(path: &Path, file: Option<(u64, u64)>, frozen: Option<Stamp>) -> Result<Option<Opened>, Fault> {
    let opened = if frozen.is_some() {
        Connection::open_with_flags(immutable(path), OpenFlags::SQLITE_OPEN_URI | read_only())
    } else {
        Connection::open_with_flags(path, read_only())
    };
    let connection = opened.map_err(|e| Fault::of(&e, file))?;
    settle_plans(&connection).and_then(|()| connection.busy_timeout(BUSY)).map_err(|e| Fault::of(&e, file))?;
    let newer = match schema::found(&connection).map_err(|e| Fault::of(&e, file))? {
        Found::Empty => return Ok(None),
        Found::Damaged => return Err(contradiction(file)),
        Found::Format(format) => (format > FORMAT).then_some(format),
    };
    Ok(Some(Opened { connection, file, frozen, writes: false, newer }))
}

/// Opens it to read where it lies in a folder that cannot be written and a log lies beside it that SQLite cannot read
/// there: without what that log holds.
pub(super) fn reader_without_log(path: &Path) -> Result<Option<Opened>, Fault> {
    let Some(stamp) = place::stamp(path).map_err(|e| Fault::Refused(e.to_string()))? else { return Ok(None) };
    let file = Some(stamp.file);
    let connection = Connection::open_with_flags(immutable(path), OpenFlags::SQLITE_OPEN_URI | read_only())
        .map_err(|e| Fault::of(&e, file))?;
    match schema::found(&connection).map_err(|e| Fault::of(&e, file))? {
        Found::Format(format) => {
            let newer = (format > FORMAT).then_some(format);
            Ok(Some(Opened { connection, file, frozen: None, writes: false, newer }))
        }
        _ => Ok(None),
    }
}

/// Opens it to write, and makes it first where there is none.
pub(super) fn writer(path: &Path) -> Result<Opened, Fault> {
    let folder = place::folder(path);
    let refused = |e: std::io::Error| Fault::Refused(e.to_string());
    let stamp = place::stamp(path).map_err(refused)?;
    let _guard = if stamp.is_none() {
        std::fs::create_dir_all(folder).map_err(refused)?;
        place::guard(folder)
    } else {
        None
    };
    let mut file = stamp.map(|s| s.file);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|e| Fault::of(&e, file))?;
    let mode = if place::on_network(folder) { "TRUNCATE" } else { "WAL" };
    let found = prepare(&mut connection, mode).map_err(|e| Fault::of(&e, file))?;
    if file.is_none() {
        file = place::file(path);
    }
    match found {
        Found::Format(format) if format > FORMAT => return Err(Fault::Newer(format)),
        Found::Format(_) => {}
        Found::Empty | Found::Damaged => return Err(contradiction(file)),
    }
    if connection.is_readonly(rusqlite::MAIN_DB).unwrap_or(false) {
        let writable = rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
        let why = "it is read-only".to_owned();
        return Err(if writable { Fault::Damaged(why, file) } else { Fault::Refused(why) });
    }
    Ok(Opened { connection, file, frozen: None, writes: true, newer: None })
}

/// Moves what is in the log into the database, if nobody is in the way; all of it is on disk either way.
pub(super) fn empty_log(connection: &Connection) {
    let emptied = connection
        .busy_timeout(Duration::ZERO)
        .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
    // What could not be done now, SQLite does when the log is long enough.
    drop(emptied);
}

/// Sets how it is written and brings it up to the format. `synchronous=FULL`: a commit that returned is on disk, for one
/// fsync a commit with WAL.
pub(super) fn prepare(connection: &mut Connection, mode: &str) -> rusqlite::Result<Found> {
    settle_plans(connection)?;
    connection.busy_timeout(BUSY)?;
    if let Found::Format(format) = schema::found(connection)?
        && format > FORMAT
    {
        return Ok(Found::Format(format));
    }
    if !connection.is_readonly(rusqlite::MAIN_DB)? {
        connection.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))?;
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    match schema::found(connection)? {
        Found::Format(FORMAT) => Ok(Found::Format(FORMAT)),
        Found::Damaged => Ok(Found::Damaged),
        _ => schema::migrate(connection),
    }
}

/// Has SQLite plan a statement once, whatever is bound to it. Else it plans each one anew that compares a column with a
/// parameter, every time: more work than our queries are, all of which have an index.
fn settle_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn contradiction(file: Option<(u64, u64)>) -> Fault {
    Fault::Damaged("its header is not that of a history".to_owned(), file)
}

fn read_only() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// The address of the file as it stands; every byte that means something in an address is escaped.
fn immutable(path: &Path) -> String {
    let mut address = "file:".to_owned();
    if path.is_absolute() {
        address.push_str("//");
    }
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            address.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(address, "%{byte:02X}");
        }
    }
    address + "?immutable=1"
}
