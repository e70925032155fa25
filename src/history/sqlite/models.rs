//! The register of models as rows.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::codec::{digest, from_json, json};
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::history::models::{Change, Registration, Version};
use crate::ids::RunId;

/// Registers a version, unless it is registered already; its number.
pub(super) fn register(transaction: &Transaction<'_>, registration: &Registration) -> rusqlite::Result<u32> {
    let Registration { version, nth } = registration;
    let nth = nth.and_then(|nth| i64::try_from(nth).ok());
    let there = "SELECT version FROM model WHERE run = ?1 AND nth = ?2";
    if let Some(number) = transaction.query_row(there, params![version.run.0, nth], |row| row.get(0)).optional()? {
        return Ok(number);
    }
    // A number that was given once is not given again: the versions that were removed still stand in `last`.
    let last = "SELECT last FROM model_name WHERE name = ?1";
    let last: u32 = transaction.query_row(last, [&version.name], |row| row.get(0)).optional()?.unwrap_or_default();
    let number = if version.version > last { version.version } else { last.saturating_add(1) };
    let sql =
        "INSERT INTO model_name (name, last) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET last = excluded.last";
    transaction.execute(sql, params![version.name, number])?;
    let sql = "INSERT INTO model (name, version, run, nth, job, registered, path, content, environment, tags)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    transaction.execute(
        sql,
        params![
            version.name,
            number,
            version.run.0,
            nth,
            version.job,
            i64::try_from(version.registered.0).unwrap_or(i64::MAX),
            version.path,
            json(&version.content)?,
            version.environment.as_ref().map(Digest::as_bytes),
            json(&version.tags)?,
        ],
    )?;
    for alias in &version.aliases {
        change(transaction, &version.name, number, &Change::Alias(alias.clone()))?;
    }
    Ok(number)
}

/// Changes a version.
pub(super) fn change(transaction: &Transaction<'_>, name: &str, version: u32, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Tags(tags) => {
            let sql = "UPDATE model SET tags = ?3 WHERE name = ?1 AND version = ?2";
            transaction.execute(sql, params![name, version, json(tags)?])?;
        }
        Change::Tag(tag, value) => {
            let sql = "SELECT tags FROM model WHERE name = ?1 AND version = ?2";
            let found = transaction.query_row(sql, params![name, version], |row| from_json(row, 0)).optional()?;
            let Some::<BTreeMap<String, String>>(mut tags) = found else { return Ok(()) };
            match value {
                Some(value) => drop(tags.insert(tag.clone(), value.clone())),
                None => drop(tags.remove(tag)),
            }
            self::change(transaction, name, version, &Change::Tags(tags))?;
        }
        Change::Alias(alias) => {
            let sql = "INSERT INTO model_alias (name, alias, version) VALUES (?1, ?2, ?3)
                ON CONFLICT (name, alias) DO UPDATE SET version = excluded.version";
            transaction.execute(sql, params![name, alias, version])?;
        }
        Change::NoAlias(alias) => {
            transaction.execute("DELETE FROM model_alias WHERE name = ?1 AND alias = ?2", [name, alias])?;
        }
        Change::Remove => {
            transaction.execute("DELETE FROM model_alias WHERE name = ?1 AND version = ?2", params![name, version])?;
            transaction.execute("DELETE FROM model WHERE name = ?1 AND version = ?2", params![name, version])?;
        }
    }
    Ok(())
}

/// All versions, by name and number; none in a database of a format that had no register.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Version>> {
    let there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'model'";
    if connection.query_row(there, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    let sql = "SELECT name, version, run, job, registered, path, content, environment, tags FROM model ORDER BY name, version";
    let read = |row: &Row<'_>| {
        let environment = row.get_ref(7)? != rusqlite::types::ValueRef::Null;
        Ok(Version {
            name: row.get(0)?,
            version: row.get(1)?,
            run: RunId(row.get(2)?),
            job: row.get(3)?,
            registered: Timestamp(u64::try_from(row.get::<_, i64>(4)?).unwrap_or_default()),
            path: row.get(5)?,
            content: from_json(row, 6)?,
            environment: environment.then(|| digest(row, 7)).transpose()?,
            tags: from_json(row, 8)?,
            aliases: BTreeSet::new(),
        })
    };
    let mut versions: Vec<Version> = connection.prepare(sql)?.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare("SELECT name, version, alias FROM model_alias")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, number): (String, u32) = (row.get(0)?, row.get(1)?);
        if let Some(of) = versions.iter_mut().find(|of| of.name == name && of.version == number) {
            of.aliases.insert(row.get(2)?);
        }
    }
    Ok(versions)
}
