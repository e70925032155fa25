//! Sweeps and trials as rows.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::codec::{digest, from_json, json};
use crate::clock::Timestamp;
use crate::history::sweeps::{Sweep, SweepState, Trial, TrialState, decode, encode, numbers, numbers_of};
use crate::ids::{JobName, RunId};

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Puts a sweep on record as it stands now.
pub(super) fn put_sweep(transaction: &Transaction<'_>, sweep: &Sweep) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO sweep (id, job, experiment, key, invocation, started, ended, state, metric, maximize, sampling,
            max_trials, best, run, why)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
        ON CONFLICT (id) DO UPDATE SET invocation = excluded.invocation, ended = excluded.ended, state = excluded.state,
            max_trials = excluded.max_trials, best = excluded.best, run = excluded.run, why = excluded.why";
    transaction.prepare_cached(sql)?.execute(params![
        sweep.id,
        sweep.job.0,
        sweep.experiment,
        sweep.key.as_bytes(),
        sweep.invocation,
        number(sweep.started.0),
        sweep.ended.map(|at| number(at.0)),
        sweep.state.name(),
        sweep.metric,
        sweep.maximize,
        sweep.sampling,
        sweep.max_trials,
        sweep.best,
        sweep.run.as_ref().map(|run| run.0.as_str()),
        sweep.why,
    ])?;
    Ok(())
}

/// Puts a trial on record as it stands now.
pub(super) fn put_trial(transaction: &Transaction<'_>, trial: &Trial) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO trial (sweep, number, job, vals, proposed, state, run, cached, objective, logged, why, ended)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
        ON CONFLICT (sweep, number) DO UPDATE SET state = excluded.state, run = excluded.run, cached = excluded.cached,
            objective = excluded.objective, logged = excluded.logged, why = excluded.why, ended = excluded.ended";
    transaction.prepare_cached(sql)?.execute(params![
        trial.sweep,
        trial.number,
        trial.job.0,
        json(&encode(&trial.values))?,
        number(trial.proposed.0),
        trial.state.name(),
        trial.run.as_ref().map(|run| run.0.as_str()),
        trial.cached,
        trial.objective.map(|value| value.to_string()),
        numbers(&trial.logged),
        trial.why,
        trial.ended.map(|at| number(at.0)),
    ])?;
    Ok(())
}

fn is_there(connection: &Connection) -> rusqlite::Result<bool> {
    let there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'trial'";
    Ok(connection.query_row(there, [], |_| Ok(())).optional()?.is_some())
}

/// All sweeps, newest first.
pub(super) fn sweeps(connection: &Connection) -> rusqlite::Result<Vec<Sweep>> {
    if !is_there(connection)? {
        return Ok(Vec::new()); // an older format, opened for reading
    }
    let sql =
        "SELECT id, job, experiment, key, invocation, started, ended, state, metric, maximize, sampling, max_trials,
        best, run, why FROM sweep ORDER BY seq DESC";
    let read = |row: &Row<'_>| {
        let state: String = row.get(7)?;
        Ok(Sweep {
            id: row.get(0)?,
            job: JobName(row.get(1)?),
            experiment: row.get(2)?,
            key: digest(row, 3)?,
            invocation: row.get(4)?,
            started: time(row.get(5)?),
            ended: row.get::<_, Option<i64>>(6)?.map(time),
            state: SweepState::of_name(&state).unwrap_or(SweepState::Running),
            metric: row.get(8)?,
            maximize: row.get(9)?,
            sampling: row.get(10)?,
            max_trials: row.get(11)?,
            best: row.get(12)?,
            run: row.get::<_, Option<String>>(13)?.map(RunId),
            why: row.get(14)?,
        })
    };
    connection.prepare(sql)?.query_map([], read)?.collect()
}

/// The trials of a sweep, in order.
pub(super) fn trials(connection: &Connection, sweep: &str) -> rusqlite::Result<Vec<Trial>> {
    if !is_there(connection)? {
        return Ok(Vec::new());
    }
    let sql = "SELECT sweep, number, job, vals, proposed, state, run, cached, objective, logged, why, ended
        FROM trial WHERE sweep = ?1 ORDER BY number";
    let read = |row: &Row<'_>| {
        let state: String = row.get(5)?;
        Ok(Trial {
            sweep: row.get(0)?,
            number: row.get(1)?,
            job: JobName(row.get(2)?),
            values: decode(&from_json(row, 3)?).unwrap_or_default(),
            proposed: time(row.get(4)?),
            state: TrialState::of_name(&state).unwrap_or(TrialState::Proposed),
            run: row.get::<_, Option<String>>(6)?.map(RunId),
            cached: row.get(7)?,
            objective: row.get::<_, Option<String>>(8)?.and_then(|text| text.parse().ok()),
            logged: numbers_of(&row.get::<_, String>(9)?),
            why: row.get(10)?,
            ended: row.get::<_, Option<i64>>(11)?.map(time),
        })
    };
    connection.prepare(sql)?.query_map([sweep], read)?.collect()
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp(u64::try_from(milliseconds).unwrap_or_default())
}
