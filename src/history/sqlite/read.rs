//! What is asked of the record.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::codec::{from_json, from_metrics, unpack};
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::history::{Begun, Ended, Invocation, Query, Run, Status};
use crate::ids::{JobName, RunId};
use crate::launch::{Ticket, Usage};
use crate::staleness::{Key, Last, Past};

/// From so many jobs on, all of `latest` is read at once: a point query costs about as much as ten rows of a scan.
const SCAN: usize = 200;

/// The newest reusable run for each fingerprint, in the order asked; the job's own runs first.
pub(super) fn past(connection: &Connection, wanted: &[(JobName, Digest)]) -> rusqlite::Result<Vec<Option<Past>>> {
    let mut found = vec![None; wanted.len()];
    if wanted.len() >= SCAN {
        scan(connection, wanted, &mut found)?;
    } else {
        let mut statement = connection.prepare_cached("SELECT job, digest, run, outputs FROM latest WHERE job = ?1")?;
        for ((job, digest), found) in wanted.iter().zip(&mut found) {
            let mut rows = statement.query([&job.0])?;
            if let Some(row) = rows.next()? {
                *found = newest(row, digest);
            }
        }
    }
    if found.iter().any(Option::is_none) {
        let sql = "SELECT id, outputs FROM run WHERE digest = ?1 AND cached = 1 AND status = 'Completed'
            AND inputs_moved = 0 ORDER BY job = ?2 DESC, seq DESC";
        let mut statement = connection.prepare_cached(sql)?;
        for ((job, digest), found) in wanted.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            let mut rows = statement.query(params![digest.as_bytes(), job.0])?;
            // A damaged row does not hide a sound one behind it.
            while let (None, Some(row)) = (&*found, rows.next()?) {
                *found = older(row).ok();
            }
        }
    }
    Ok(found)
}

/// Walks `latest`, which is in the order of the jobs' names, beside the wanted ones in the same order.
fn scan(connection: &Connection, wanted: &[(JobName, Digest)], found: &mut [Option<Past>]) -> rusqlite::Result<()> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].0.cmp(&wanted[b].0));
    let mut order = order.into_iter().peekable();
    let mut statement = connection.prepare_cached("SELECT job, digest, run, outputs FROM latest ORDER BY job")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Ok(job) = row.get_ref(0)?.as_str() else { continue };
        while order.next_if(|&i| wanted[i].0.0.as_str() < job).is_some() {}
        while let Some(i) = order.next_if(|&i| wanted[i].0.0 == job) {
            found[i] = newest(row, &wanted[i].1);
        }
        if order.peek().is_none() {
            break;
        }
    }
    Ok(())
}

/// A row of `latest`, where it is of this fingerprint and sound.
fn newest(row: &Row<'_>, wanted: &Digest) -> Option<Past> {
    let text = |index| row.get_ref(index).ok()?.as_str().ok();
    let blob = |index| row.get_ref(index).ok()?.as_blob().ok();
    if blob(1)? != wanted.as_bytes() {
        return None;
    }
    let (job, run) = (text(0)?, text(2)?);
    Some(Past { run: RunId(run.to_owned()), outputs: unpack(job, wanted, run, blob(3)?)? })
}

fn older(row: &Row<'_>) -> rusqlite::Result<Past> {
    Ok(Past { run: RunId(row.get(0)?), outputs: from_json(row, 1)? })
}

/// The last run of a job that is over.
pub(super) fn last(connection: &Connection, job: &JobName) -> rusqlite::Result<Option<Last>> {
    let sql = "SELECT id, status, fingerprint, inputs_moved, cached FROM run WHERE job = ?1 AND ended IS NOT NULL
        ORDER BY seq DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([&job.0])?;
    while let Some(row) = rows.next()? {
        let Ok(fingerprint) = from_json(row, 2) else { continue };
        let inputs_moved = row.get::<_, Option<bool>>(3)?.unwrap_or_default();
        let cached = row.get::<_, Option<bool>>(4)?.unwrap_or_default();
        return Ok(Some(Last { run: RunId(row.get(0)?), status: row.get(1)?, fingerprint, inputs_moved, cached }));
    }
    Ok(None)
}

/// The facts of an environment; none where what is on record does not have that digest.
pub(super) fn key(connection: &Connection, digest: &Digest) -> rusqlite::Result<Option<Key>> {
    let sql = "SELECT facts FROM environment WHERE digest = ?1";
    let facts = connection.query_row(sql, [digest.as_bytes()], |row| Ok(from_json(row, 0).ok())).optional()?;
    Ok(facts.flatten().map(Key::of).filter(|key| key.digest == *digest))
}

/// Runs that are pinned; none in a database of a format that had no pins.
pub(super) fn pins(connection: &Connection) -> rusqlite::Result<BTreeSet<RunId>> {
    let there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'pin'";
    if connection.query_row(there, [], |_| Ok(())).optional()?.is_none() {
        return Ok(BTreeSet::new());
    }
    connection.prepare("SELECT run FROM pin")?.query_map([], |row| Ok(RunId(row.get(0)?)))?.collect()
}

/// The columns that [`whole`] reads, in its order.
const COLUMNS: &str = "id, invocation, job, experiment, target, environment, attempt, status, started, fingerprint,
    params, tags, reasons, inputs, ended, outcome, cpu_ms, peak_memory, outputs, kept, metrics, cached, inputs_moved, notes,
    sources_of";

/// Runs, newest first, and how many records could not be read.
pub(super) fn runs(connection: &Connection, query: &Query) -> rusqlite::Result<(Vec<Run>, usize)> {
    let limit = query.limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1);
    let sql = format!(
        "SELECT {COLUMNS} FROM run WHERE (?1 IS NULL OR job = ?1 OR experiment = ?1)
         AND (?2 IS NULL OR status = ?2 COLLATE NOCASE) ORDER BY seq DESC LIMIT ?3"
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![query.job, query.status, limit])?;
    let (mut runs, mut unreadable) = (Vec::new(), 0);
    let mut invocations = BTreeMap::new();
    while let Some(row) = rows.next()? {
        match whole(connection, row, &mut invocations) {
            Ok(run) => runs.push(run),
            Err(error) if super::open::damaged(&error) => return Err(error),
            Err(_) => unreadable += 1,
        }
    }
    Ok((runs, unreadable))
}

/// What a text names.
#[derive(Default)]
pub(super) enum Named {
    #[default]
    None,
    One(Box<Run>),
    /// Runs whose identities begin with it.
    Several(Vec<String>),
}

/// The run of this identity, else the last one of the job or experiment of this name, else the one of this prefix.
pub(super) fn named(connection: &Connection, text: &str) -> rusqlite::Result<Named> {
    let one = |condition: &str| {
        let sql = format!("SELECT {COLUMNS} FROM run WHERE {condition} ORDER BY seq DESC LIMIT 1");
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([text])?;
        rows.next()?.map(|row| whole(connection, row, &mut BTreeMap::new())).transpose()
    };
    for condition in ["id = ?1", "job = ?1", "experiment = ?1"] {
        if let Some(run) = one(condition)? {
            return Ok(Named::One(Box::new(run)));
        }
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Named::None);
    }
    let prefix = text.to_ascii_lowercase();
    let mut statement =
        connection.prepare("SELECT id, job FROM run WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT 6")?;
    let candidates: Vec<(String, String)> =
        statement.query_map([&prefix], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    if let [(id, _)] = candidates.as_slice() {
        let sql = format!("SELECT {COLUMNS} FROM run WHERE id = ?1");
        let run = connection.query_row(&sql, [id], |row| whole(connection, row, &mut BTreeMap::new()))?;
        return Ok(Named::One(Box::new(run)));
    }
    Ok(if candidates.is_empty() { Named::None } else { Named::Several(crate::history::candidates(&candidates)) })
}

/// Runs that were submitted elsewhere and have not ended.
pub(super) fn tickets(connection: &Connection, of: Option<&Digest>) -> rusqlite::Result<Vec<(Ticket, Run)>> {
    let there = "SELECT 1 FROM sqlite_schema WHERE name = 'ticket'";
    if connection.query_row(there, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new()); // an older format, opened for reading
    }
    let columns: Vec<String> = COLUMNS.split(',').map(|column| format!("run.{}", column.trim())).collect();
    let sql = format!(
        "SELECT {}, ticket.target, ticket.place FROM ticket JOIN run ON run.id = ticket.run
            WHERE run.ended IS NULL AND (?1 IS NULL OR run.digest = ?1) ORDER BY run.seq",
        columns.join(", ")
    );
    let mut invocations = BTreeMap::new();
    let read = |row: &Row<'_>| {
        let run = whole(connection, row, &mut invocations)?;
        let place = columns.len();
        Ok((Ticket { run: run.begun.run.clone(), target: row.get(place)?, place: row.get(place + 1)? }, run))
    };
    connection.prepare(&sql)?.query_map([of.map(Digest::as_bytes)], read)?.collect()
}

/// A run in full.
fn whole(
    connection: &Connection,
    row: &Row<'_>,
    invocations: &mut BTreeMap<String, Invocation>,
) -> rusqlite::Result<Run> {
    let begun = Begun {
        run: RunId(row.get(0)?),
        invocation: row.get(1)?,
        job: JobName(row.get(2)?),
        experiment: row.get(3)?,
        target: row.get(4)?,
        environment: row.get(5)?,
        attempt: row.get(6)?,
        started: time(row, 8)?,
        fingerprint: from_json(row, 9)?,
        params: from_json(row, 10)?,
        tags: from_json(row, 11)?,
        reasons: from_json(row, 12)?,
        inputs: from_json(row, 13)?,
        source_directory: from_json(row, 24)?,
    };
    let name: String = row.get(7)?;
    let status = Status::of_name(&name).ok_or_else(|| unknown(7, &name))?;
    let ended = if row.get_ref(14)? == ValueRef::Null { None } else { Some(ended(row, &begun.run, status)?) };
    let id = begun.invocation.clone();
    if !invocations.contains_key(&id) {
        invocations.insert(id.clone(), invocation(connection, &id)?);
    }
    let invocation = invocations.get(&id).cloned().unwrap_or_else(|| Invocation::unknown(&id));
    Ok(Run { begun, ended, status, invocation })
}

fn ended(row: &Row<'_>, run: &RunId, status: Status) -> rusqlite::Result<Ended> {
    Ok(Ended {
        run: run.clone(),
        status,
        ended: time(row, 14)?,
        outcome: from_json(row, 15)?,
        usage: Usage { cpu_ms: count(row, 16)?, peak_memory: count(row, 17)? },
        outputs: from_json(row, 18)?,
        kept: from_json(row, 19)?,
        metrics: from_metrics(row, 20)?,
        cached: row.get(21)?,
        inputs_moved: row.get(22)?,
        notes: from_json(row, 23)?,
        logged: None,
    })
}

fn invocation(connection: &Connection, id: &str) -> rusqlite::Result<Invocation> {
    let sql = "SELECT id, started, argv, version, host, user, properties FROM invocation WHERE id = ?1";
    let read = |row: &Row<'_>| {
        Ok(Invocation {
            id: row.get(0)?,
            started: time(row, 1)?,
            argv: from_json(row, 2)?,
            version: row.get(3)?,
            host: row.get(4)?,
            user: row.get(5)?,
            properties: from_json(row, 6)?,
        })
    };
    Ok(connection.query_row(sql, [id], read).optional()?.unwrap_or_else(|| Invocation::unknown(id)))
}

fn count(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or_default())
}

fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    count(row, index).map(Timestamp)
}

fn unknown(index: usize, name: &str) -> rusqlite::Error {
    let why = format!("`{name}` is not a status of a run");
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, why.into())
}
