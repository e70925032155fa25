//! What scripts logged: the facts as JSON, every series as a row of its own.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::codec::{from_json, from_metrics, json, metrics};
use crate::history::models::{Change, aliases, model_tags, of_run};
use crate::history::{Salvaged, merge};
use crate::ids::RunId;
use crate::logged::{Logged, Series, decode, encode};
use crate::staleness::{Fingerprint, Recorded};

/// Puts on record what was logged. A run that is not on record itself has nothing to it.
pub(super) fn put(transaction: &Transaction<'_>, run: &RunId, logged: &Logged) -> rusqlite::Result<()> {
    let columns = "SELECT params, tags, job, fingerprint FROM run WHERE id = ?1";
    let read = |row: &rusqlite::Row<'_>| Ok((from_json(row, 0)?, from_json(row, 1)?, row.get(2)?, from_json(row, 3)?));
    let found: Option<(BTreeMap<_, _>, BTreeMap<_, _>, String, Fingerprint)> =
        transaction.query_row(columns, [&run.0], read).optional()?;
    let Some((mut own, mut tags, job, print)) = found else { return Ok(()) };
    merge(&mut own, &mut tags, &logged.own);
    let sql = "UPDATE run SET params = ?2, tags = ?3 WHERE id = ?1";
    transaction.execute(sql, params![run.0, json(&own)?, json(&tags)?])?;
    let sql = "INSERT OR REPLACE INTO logged (run, facts) VALUES (?1, ?2)";
    transaction.execute(sql, params![run.0, json(logged)?])?;
    let sql = "INSERT OR REPLACE INTO series (run, child, metric, points) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = transaction.prepare_cached(sql)?;
    for series in &logged.series {
        let child = series.of.as_deref().unwrap_or_default();
        statement.execute(params![run.0, child, series.name, encode(&series.points)])?;
    }
    // Another amlrun may have registered the number meanwhile that the script was told.
    let mut numbers = BTreeMap::new();
    for registration in of_run(run, &job, print.environment, logged) {
        let number = super::models::register(transaction, &registration)?;
        numbers.insert((registration.version.name, registration.version.version), number);
    }
    let number = |model: &str, told: u32| numbers.get(&(model.to_owned(), told)).copied().unwrap_or(told);
    for given in model_tags(logged) {
        let change = Change::Tag(given.tag.clone(), given.value.clone());
        super::models::change(transaction, &given.model, number(&given.model, given.version), &change)?;
    }
    for (model, alias, version) in aliases(logged) {
        let alias = alias.to_owned();
        let change = if version.is_some() { Change::Alias(alias) } else { Change::NoAlias(alias) };
        super::models::change(transaction, model, number(model, version.unwrap_or_default()), &change)?;
    }
    Ok(())
}

/// The same for a run that was ended by whoever noticed that its amlrun had died.
pub(super) fn salvage(transaction: &Transaction<'_>, salvaged: &Salvaged) -> rusqlite::Result<()> {
    let run = &salvaged.run;
    let columns = "SELECT metrics, kept FROM run WHERE id = ?1 AND ended IS NOT NULL";
    let read = |row: &rusqlite::Row<'_>| Ok((from_metrics(row, 0)?, from_json::<Vec<Recorded>>(row, 1)?));
    let Some((mut found, mut kept)) = transaction.query_row(columns, [&run.0], read).optional()? else {
        return Ok(());
    };
    for (name, value) in salvaged.logged.metrics(None) {
        found.entry(name).or_insert(value);
    }
    kept.retain(|old| salvaged.kept.iter().all(|new| new.path != old.path));
    kept.extend(salvaged.kept.iter().cloned());
    let sql = "UPDATE run SET metrics = ?2, kept = ?3 WHERE id = ?1";
    transaction.execute(sql, params![run.0, metrics(&found)?, json(&kept)?])?;
    put(transaction, run, &salvaged.logged)
}

/// What the script of a run logged; nothing in a database of a format that had no place for it.
pub(super) fn of(connection: &Connection, run: &RunId) -> rusqlite::Result<Option<Logged>> {
    let there = "SELECT 1 FROM sqlite_schema WHERE name = 'logged'";
    if connection.query_row(there, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let sql = "SELECT facts FROM logged WHERE run = ?1";
    let facts = connection.query_row(sql, [&run.0], |row| from_json::<Logged>(row, 0)).optional()?;
    let Some(mut logged) = facts else { return Ok(None) };
    let sql = "SELECT child, metric, points FROM series WHERE run = ?1 ORDER BY child, metric";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([&run.0])?;
    while let Some(row) = rows.next()? {
        let child: String = row.get(0)?;
        // A damaged series hides no other.
        if let Some(points) = decode(row.get_ref(2)?.as_blob()?) {
            logged.series.push(Series { of: (!child.is_empty()).then_some(child), name: row.get(1)?, points });
        }
    }
    Ok(Some(logged))
}
