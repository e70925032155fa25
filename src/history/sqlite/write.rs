//! What is put on record. Every function is one transaction, on disk when it returns.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::codec::{json, metrics, pack};
use crate::history::{Begun, Ended, Entry, Invocation, Status, lost};
use crate::ids::RunId;
use crate::staleness::Key;

/// A number as SQLite has it.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Waits for other writers at its beginning rather than failing at its end.
pub(super) fn immediate(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// An invocation begins: the open runs of those that died are closed.
pub(super) fn begin(
    connection: &mut Connection,
    invocation: &Invocation,
    alive: &dyn Fn(&str) -> bool,
) -> rusqlite::Result<()> {
    let transaction = immediate(connection)?;
    let open: Vec<(String, String)> = transaction
        .prepare(
            "SELECT invocation, id FROM run WHERE ended IS NULL AND id NOT IN (SELECT run FROM ticket)
            ORDER BY invocation",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut judged: BTreeMap<&str, bool> = BTreeMap::from([(invocation.id.as_str(), true)]);
    for (of, id) in &open {
        if !*judged.entry(of).or_insert_with(|| alive(of)) {
            end(&transaction, &lost(RunId(id.clone()), invocation.started))?;
        }
    }
    put_invocation(&transaction, invocation)?;
    transaction.commit()
}

fn put_invocation(transaction: &Transaction<'_>, invocation: &Invocation) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM invocation WHERE id = ?1", [&invocation.id])?;
    add_invocation(transaction, invocation)
}

/// One that is on record stays.
fn add_invocation(transaction: &Transaction<'_>, invocation: &Invocation) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO invocation (id, started, argv, version, host, user, properties)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    transaction.execute(
        sql,
        params![
            invocation.id,
            number(invocation.started.0),
            json(&invocation.argv)?,
            invocation.version,
            invocation.host,
            invocation.user,
            json(&invocation.properties)?,
        ],
    )?;
    Ok(())
}

/// The facts of an environment.
pub(super) fn key(connection: &mut Connection, key: &Key) -> rusqlite::Result<()> {
    let transaction = immediate(connection)?;
    let sql = "INSERT OR IGNORE INTO environment (digest, facts) VALUES (?1, ?2)";
    transaction.execute(sql, params![key.digest.as_bytes(), json(&key.facts)?])?;
    transaction.commit()
}

/// Pins a run, or lets it go.
pub(super) fn pin(connection: &mut Connection, run: &RunId, pinned: bool) -> rusqlite::Result<()> {
    let transaction = immediate(connection)?;
    let sql = if pinned { "INSERT OR IGNORE INTO pin (run) VALUES (?1)" } else { "DELETE FROM pin WHERE run = ?1" };
    transaction.execute(sql, [&run.0])?;
    transaction.commit()
}

/// Replaces a run's tags.
pub(super) fn retag(connection: &mut Connection, run: &RunId, tags: &BTreeMap<String, String>) -> rusqlite::Result<()> {
    let transaction = immediate(connection)?;
    transaction.execute("UPDATE run SET tags = ?2 WHERE id = ?1", params![run.0, json(tags)?])?;
    transaction.commit()
}

/// Takes runs off the record. An older run of the same fingerprint is found by its digest.
pub(super) fn remove(connection: &mut Connection, runs: &[RunId]) -> rusqlite::Result<()> {
    let transaction = immediate(connection)?;
    for run in runs {
        transaction.execute("DELETE FROM latest WHERE run = ?1", [&run.0])?;
        transaction.execute("DELETE FROM pin WHERE run = ?1", [&run.0])?;
        transaction.execute("DELETE FROM logged WHERE run = ?1", [&run.0])?;
        transaction.execute("DELETE FROM series WHERE run = ?1", [&run.0])?;
        transaction.execute("DELETE FROM run WHERE id = ?1", [&run.0])?;
    }
    transaction.commit()
}

/// Beginnings and ends. Where the database does not know `invocation` (it is a new one, in place of a damaged one), that
/// and the runs that were `begun` before go first. Returns the runs whose beginning is not on record.
pub(super) fn record(
    connection: &mut Connection,
    batch: &[Entry],
    invocation: Option<&Invocation>,
    begun: &BTreeMap<RunId, Begun>,
) -> rusqlite::Result<Vec<RunId>> {
    let transaction = immediate(connection)?;
    if let Some(invocation) = invocation {
        let known = "SELECT 1 FROM invocation WHERE id = ?1";
        if transaction.query_row(known, [&invocation.id], |_| Ok(())).optional()?.is_none() {
            put_invocation(&transaction, invocation)?;
            for begun in begun.values() {
                begin_run(&mut transaction.prepare(BEGIN)?, begun)?;
            }
        }
    }
    let mut lost = Vec::new();
    {
        let mut beginning = transaction.prepare(BEGIN)?;
        let mut ends = Ends::new(&transaction)?;
        for entry in batch {
            match entry {
                Entry::Elsewhere(invocation) => add_invocation(&transaction, invocation)?,
                Entry::Begun(begun) => begin_run(&mut beginning, begun)?,
                Entry::Ticket(ticket) => {
                    let sql = "INSERT OR IGNORE INTO ticket (run, target, place) VALUES (?1, ?2, ?3)";
                    transaction.execute(sql, params![ticket.run.0, ticket.target, ticket.place])?;
                }
                Entry::Salvaged(salvaged) => super::logged::salvage(&transaction, salvaged)?,
                Entry::Sweep(sweep) => super::sweeps::put_sweep(&transaction, sweep)?,
                Entry::Trial(trial) => super::sweeps::put_trial(&transaction, trial)?,
                Entry::Ended(ended) => {
                    if !ends.end(ended)? {
                        lost.push(ended.run.clone());
                    }
                }
            }
        }
    }
    transaction.commit()?;
    Ok(lost)
}

/// `OR IGNORE`: a beginning that is on record already is not told twice.
const BEGIN: &str = "INSERT OR IGNORE INTO run
    (id, invocation, job, experiment, target, environment, attempt, status, started,
     digest, fingerprint, params, tags, reasons, inputs, sources_of)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

fn begin_run(statement: &mut rusqlite::Statement<'_>, begun: &Begun) -> rusqlite::Result<()> {
    statement.execute(params![
        begun.run.0,
        begun.invocation,
        begun.job.0,
        begun.experiment,
        begun.target,
        begun.environment,
        begun.attempt,
        Status::Running.name(),
        number(begun.started.0),
        begun.fingerprint.digest().as_bytes(),
        json(&begun.fingerprint)?,
        json(&begun.params)?,
        json(&begun.tags)?,
        json(&begun.reasons)?,
        json(&begun.inputs)?,
        json(&begun.source_directory)?,
    ])?;
    Ok(())
}

fn end(transaction: &Transaction<'_>, ended: &Ended) -> rusqlite::Result<()> {
    Ends::new(transaction)?.end(ended).map(|_| ())
}

/// What ends runs, prepared once a batch.
struct Ends<'t> {
    transaction: &'t Transaction<'t>,
    update: rusqlite::Statement<'t>,
    latest: rusqlite::Statement<'t>,
    ticket: rusqlite::Statement<'t>,
}

impl<'t> Ends<'t> {
    fn new(transaction: &'t Transaction<'t>) -> rusqlite::Result<Self> {
        let update = "UPDATE run SET status = ?2, ended = ?3, outcome = ?4, cpu_ms = ?5, peak_memory = ?6, outputs = ?7,
            kept = ?8, metrics = ?9, cached = ?10, inputs_moved = ?11, notes = ?12 WHERE id = ?1 RETURNING seq, job, digest";
        let ticket = transaction.prepare("DELETE FROM ticket WHERE run = ?1")?;
        let latest = "INSERT INTO latest (job, seq, digest, run, outputs) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (job) DO UPDATE SET seq = excluded.seq, digest = excluded.digest, run = excluded.run,
            outputs = excluded.outputs WHERE excluded.seq >= seq";
        let (update, latest) = (transaction.prepare(update)?, transaction.prepare(latest)?);
        Ok(Self { transaction, update, latest, ticket })
    }

    /// False where the run's beginning is not on record.
    fn end(&mut self, ended: &Ended) -> rusqlite::Result<bool> {
        let reusable = ended.reusable();
        let row = params![
            ended.run.0,
            ended.status.name(),
            number(ended.ended.0),
            json(&ended.outcome)?,
            number(ended.usage.cpu_ms),
            number(ended.usage.peak_memory),
            json(&ended.outputs)?,
            json(&ended.kept)?,
            metrics(&ended.metrics)?,
            reusable,
            ended.inputs_moved,
            json(&ended.notes)?,
        ];
        let of = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, super::codec::digest(row, 2)?))
        };
        self.ticket.execute([&ended.run.0])?;
        let Some((seq, job, digest)) = self.update.query_row(row, of).optional()? else { return Ok(false) };
        if let Some(logged) = &ended.logged {
            super::logged::put(self.transaction, &ended.run, logged)?;
        }
        if reusable {
            let outputs = pack(&job, &digest, &ended.run.0, &ended.outputs);
            self.latest.execute(params![job, seq, digest.as_bytes(), ended.run.0, outputs])?;
        }
        Ok(true)
    }
}
