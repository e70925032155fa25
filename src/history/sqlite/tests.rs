//! What only a database can get wrong: damage, disks, other processes.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::LazyLock;

use super::super::tests::{begun, ended, fingerprint, invocation, output, ran};
use super::super::{Entry, History, HistoryError, Query, Status};
use super::SqliteHistory;
use crate::ids::JobName;

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A database with `n` runs, closed.
fn filled(path: &std::path::Path, n: usize) {
    let mut history = SqliteHistory::open(path, true);
    history.begin(&invocation("i"), &|_| true).unwrap();
    for i in 0..n {
        ran(&mut history, &format!("{i:032x}"), &format!("job{i}"), "1", Status::Completed, vec![output("m", b"1")]);
    }
}

fn count(history: &SqliteHistory) -> usize {
    history.runs(&Query::default()).unwrap().len()
}

#[test]
fn a_look_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for write in [false, true] {
        let path = folder.path().join("no/history.db");
        let history = SqliteHistory::open(&path, write);
        assert_eq!(count(&history), 0);
        assert_eq!(history.past(&[(JobName("a".into()), fingerprint("1").digest())]).unwrap(), [None]);
        assert!(matches!(history.run("a"), Err(HistoryError::NoSuchRun(_))));
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn a_reader_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    filled(&path, 3);
    assert_eq!(names(folder.path()), ["history.db"]);
    let before = (fs::read(&path).unwrap(), fs::metadata(folder.path()).unwrap().modified().unwrap());
    for write in [false, true] {
        let history = SqliteHistory::open(&path, write);
        assert_eq!(count(&history), 3);
    }
    let after = (fs::read(&path).unwrap(), fs::metadata(folder.path()).unwrap().modified().unwrap());
    assert!(before == after);
    let mut reader = SqliteHistory::open(&path, false);
    assert!(reader.begin(&invocation("x"), &|_| true).unwrap_err().to_string().contains("for reading only"));
}

#[test]
fn a_reader_sees_what_a_writer_has_just_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd name%23?#/history.db");
    filled(&path, 1);
    let reader = SqliteHistory::open(&path, false);
    assert_eq!(count(&reader), 1);
    let mut writer = SqliteHistory::open(&path, true);
    writer.begin(&invocation("i"), &|_| true).unwrap();
    ran(&mut writer, "b1", "b", "1", Status::Completed, vec![]);
    assert_eq!(count(&reader), 2, "by the reader that had it frozen");
    assert_eq!(count(&SqliteHistory::open(&path, false)), 2, "by a new one, through the log");
    drop(writer);
    assert_eq!(count(&reader), 2);
    assert!(!super::place::has_log(&path), "though the reader still had it open");
    // A writer that was killed leaves its log.
    let other = folder.path().join("killed");
    fs::create_dir(&other).unwrap();
    let mut killed = SqliteHistory::open(&path, true);
    killed.begin(&invocation("i"), &|_| true).unwrap();
    ran(&mut killed, "b2", "b", "1", Status::Completed, vec![]);
    for name in ["history.db", "history.db-wal"] {
        fs::copy(path.with_file_name(name), other.join(name)).unwrap();
    }
    assert_eq!(count(&SqliteHistory::open(&other.join("history.db"), false)), 3);
    let mut next = SqliteHistory::open(&other.join("history.db"), true);
    next.begin(&invocation("j"), &|_| false).unwrap();
    assert_eq!((count(&next), next.notes().len()), (3, 0));
}

/// What is asked for every job is planned once, not each time that a value is bound: that cost more than the answers.
#[test]
fn a_statement_is_planned_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    filled(&path, 3);
    let sql = "SELECT id FROM run WHERE job = ?1 AND ended IS NOT NULL ORDER BY seq DESC";
    let reader = super::open::reader(&path, false).ok().flatten().unwrap();
    let writer = super::open::writer(&path).ok().unwrap();
    for opened in [reader, writer] {
        let mut statement = opened.connection.prepare(sql).unwrap();
        for job in ["job0", "job1", "job2"] {
            assert!(statement.exists([job]).unwrap());
            statement.clear_bindings();
        }
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }
}

/// The bytes of a sound database.
static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    filled(&path, 200);
    fs::read(&path).unwrap()
});

/// Damages a sound database and sees that nothing crashes and that the next writer works.
fn damaged(what: &str, damage: &dyn Fn(&mut fs::File), expect_aside: Option<bool>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    fs::File::create(&path).unwrap().write_all(&SOUND).unwrap();
    damage(&mut fs::OpenOptions::new().read(true).write(true).open(&path).unwrap());
    let bytes = fs::read(&path).unwrap();

    let reader = SqliteHistory::open(&path, false);
    let wanted: Vec<_> = (0..250).map(|n| (JobName(format!("job{n}")), fingerprint("1").digest())).collect();
    reader.past(&wanted).unwrap();
    reader.runs(&Query::default()).unwrap();
    reader.last(&wanted[7].0).unwrap();
    if expect_aside == Some(true) {
        assert!(reader.notes().iter().any(|note| note.contains("is damaged")), "{:?}", reader.notes());
    }
    assert!(fs::read(&path).unwrap() == bytes, "a reader changes nothing");

    let mut history = SqliteHistory::open(&path, true);
    history.past(&wanted).unwrap();
    history.runs(&Query::default()).unwrap();
    history.begin(&invocation("next"), &|_| false).unwrap();
    history.record(&[Entry::Begun(Box::new(begun("next", "ffff", "job7", "9")))]).unwrap();
    history.record(&[Entry::Ended(Box::new(ended("ffff", Status::Completed, vec![])))]).unwrap();
    let aside = names(folder.path()).iter().any(|name| name.starts_with("history.db.corrupt-1"));
    if let Some(expected) = expect_aside {
        assert_eq!(aside, expected, "{what}");
    }
    if aside {
        let notes = history.notes();
        assert!(notes.iter().any(|note| note.contains("set aside as") && note.contains(".corrupt-1")), "{notes:?}");
    }
    // What is written last is found, whatever was damaged before.
    let past = history.past(&[(JobName("job7".into()), fingerprint("9").digest())]).unwrap();
    assert_eq!(past[0].as_ref().map(|past| past.run.0.as_str()), Some("ffff"), "{what}");
    drop(history);
    assert_eq!(SqliteHistory::open(&path, false).run("ffff").unwrap().status, Status::Completed);
}

#[test]
fn damage_is_set_aside() {
    let put = |at: u64, bytes: &[u8], aside: Option<bool>| {
        let write = |file: &mut fs::File| {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(bytes).unwrap();
        };
        damaged(&format!("{bytes:?} at {at}"), &write, aside);
    };
    put(0, b"garbage, not a database at all", Some(true));
    put(0, &[0; 4096], Some(true));
    put(60, &[0; 4], Some(true));
    put(63, &[9], Some(true));
    put(18, &[9, 2], None);
    put(100, &[0xFF; 300], Some(true));
    for (length, aside) in [(0, false), (100, true), (5000, true), (SOUND.len() as u64 / 2, true)] {
        damaged(&format!("cut to {length}"), &|file| file.set_len(length).unwrap(), Some(aside));
    }
}

#[test]
fn one_flipped_byte_crashes_nothing() {
    for n in 0..150_u64 {
        // Spread over the file, and every third into its first page.
        let at = if n % 3 == 0 { (n * 34) % 4096 } else { (n * 2_654_435_761) % SOUND.len() as u64 };
        let flip = |file: &mut fs::File| {
            let mut byte = [0];
            file.seek(SeekFrom::Start(at)).unwrap();
            file.read_exact(&mut byte).unwrap();
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[byte[0] ^ (1 << (n % 8))]).unwrap();
        };
        damaged(&format!("bit {} at {at} of {}", n % 8, SOUND.len()), &flip, None);
    }
}

#[test]
fn a_damaged_row_of_the_slim_table_does_not_hide_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    filled(&path, 1);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("UPDATE latest SET outputs = CAST(replace(outputs, 'm', 'n') AS BLOB)", []).unwrap();
    drop(raw);
    let history = SqliteHistory::open(&path, true);
    let past = history.past(&[(JobName("job0".into()), fingerprint("1").digest())]).unwrap();
    assert_eq!(past[0].as_ref().unwrap().outputs, [output("m", b"1")]);
}

#[test]
fn a_database_that_goes_away_under_a_run_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let mut history = SqliteHistory::open(&path, true);
    history.begin(&invocation("i"), &|_| true).unwrap();
    history.record(&[Entry::Begun(Box::new(begun("i", "a1", "a", "1")))]).unwrap();
    for name in names(folder.path()) {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    history.record(&[Entry::Ended(Box::new(ended("a1", Status::Completed, vec![])))]).unwrap();
    let run = history.run("a1").unwrap();
    assert_eq!((run.status, run.invocation.host.as_str()), (Status::Completed, "vm"));
}

#[test]
fn a_newer_format_is_read_and_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    filled(&path, 2);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 7).unwrap();
    raw.pragma_update(None, "application_id", 0x616d_6c07).unwrap();
    drop(raw);
    let mut history = SqliteHistory::open(&path, true);
    assert_eq!(count(&history), 2);
    let refused = history.begin(&invocation("j"), &|_| true);
    assert!(matches!(refused, Err(HistoryError::Newer { found: 7, known: super::schema::FORMAT, .. })), "{refused:?}");
    assert_eq!(count(&history), 2);
    assert_eq!(names(folder.path()), ["history.db"]);
}

#[test]
fn several_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let mut history = SqliteHistory::open(path, true);
                history.begin(&invocation(&format!("i{writer}")), &|_| true).unwrap();
                for n in 0..25 {
                    let run = format!("{writer:x}{n:031x}");
                    history.record(&[Entry::Begun(Box::new(begun("i", &run, "a", "1")))]).unwrap();
                    history.record(&[Entry::Ended(Box::new(ended(&run, Status::Completed, vec![])))]).unwrap();
                }
                assert_eq!(history.notes(), Vec::<String>::new());
            });
        }
    });
    let history = SqliteHistory::open(&path, false);
    assert_eq!(count(&history), 100);
    assert_eq!(names(folder.path()), ["history.db"]);
}

/// A look at a database that is just being made sees none or all of it, and never takes it for a damaged one.
#[test]
fn looks_while_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..15 {
        let path = folder.path().join(format!("{round}/history.db"));
        let made = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for write in [false, true] {
                let (path, made) = (&path, &made);
                scope.spawn(move || {
                    while !made.load(std::sync::atomic::Ordering::Relaxed) {
                        let history = SqliteHistory::open(path, write);
                        assert!(count(&history) <= 1);
                        assert_eq!(history.notes(), Vec::<String>::new());
                    }
                });
            }
            filled(&path, 1);
            made.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(count(&SqliteHistory::open(&path, false)), 1);
    }
}

#[test]
fn a_folder_that_cannot_be_written_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::File::create(folder.path().join("file")).unwrap();
    let mut history = SqliteHistory::open(&folder.path().join("file/history.db"), true);
    let error = history.begin(&invocation("i"), &|_| true).unwrap_err().to_string();
    assert!(error.starts_with("could not open the history ") && error.contains("file/history.db"), "{error}");
}

#[test]
fn users_may_look_at_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    filled(&path, 1);
    let raw = rusqlite::Connection::open(&path).unwrap();
    let one = |sql: &str| raw.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(one("SELECT started FROM runs"), "1970-01-01T00:00:02Z");
    assert_eq!(one("SELECT fingerprint FROM runs"), fingerprint("1").digest().to_string());
    assert_eq!(one("SELECT CAST(value AS TEXT) FROM metrics WHERE name = 'mse'"), "0.25");
    assert_eq!(one("SELECT CAST(value AS TEXT) FROM params WHERE name = 'alpha'"), "0.1");
}

#[test]
fn between_machines_there_is_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let mut raw = rusqlite::Connection::open(&path).unwrap();
    super::open::prepare(&mut raw, "TRUNCATE").unwrap();
    super::write::begin(&mut raw, &invocation("i"), &|_| true).unwrap();
    let entry = Entry::Begun(Box::new(begun("i", "a1", "a", "1")));
    super::write::record(&mut raw, &[entry], None, &std::collections::BTreeMap::new()).unwrap();
    let mode: String = raw.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "truncate");
    assert_eq!(count(&SqliteHistory::open(&path, false)), 1);
    assert!(!names(folder.path()).iter().any(|name| name.ends_with("-wal") || name.ends_with("-shm")));
    // A transaction that was killed leaves its journal, which the next reader undoes or passes by.
    fs::File::create(folder.path().join("history.db-journal")).unwrap().write_all(b"not a journal").unwrap();
    drop(raw);
    assert_eq!(count(&SqliteHistory::open(&path, false)), 1);
}

#[test]
fn a_database_without_a_register_of_models_gets_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    filled(&path, 3);
    let older = rusqlite::Connection::open(&path).unwrap();
    older.execute_batch("DROP TABLE model; DROP TABLE model_name; DROP TABLE model_alias;").unwrap();
    older.pragma_update(None, "user_version", 5).unwrap();
    older.pragma_update(None, "application_id", 0x616d_6c00 | 5).unwrap();
    drop(older);
    assert!(SqliteHistory::open(&path, false).models().unwrap().is_empty(), "read as it is");
    let run = begun("i", "0", "job0", "1");
    let model = crate::history::models::by_hand(
        "m",
        &run,
        output("m", b"1"),
        std::collections::BTreeMap::default(),
        run.started,
    );
    assert_eq!(SqliteHistory::open(&path, true).register(&model).unwrap(), 1);
    let history = SqliteHistory::open(&path, false);
    assert_eq!((count(&history), history.models().unwrap().len()), (3, 1));
}
