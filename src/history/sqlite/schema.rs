//! The tables of `history.db` and how older ones are brought up to date.
//!
//! Called by `open` alone. A step that was ever released is never changed: a new one is added.

use rusqlite::{Connection, TransactionBehavior};

/// The format that this program writes: the number of steps.
#[expect(clippy::cast_possible_truncation, reason = "a handful of steps")]
pub(super) const FORMAT: u32 = STEPS.len() as u32;

/// `application_id` of our databases: `aml` and the format again, so that a flipped bit in either is noticed.
const APPLICATION: u32 = 0x616d_6c00;

/// `STEPS[n]` leads from format `n` to `n + 1`.
const STEPS: [&str; 6] = [
    "
CREATE TABLE invocation (
    id         TEXT PRIMARY KEY,
    started    INTEGER NOT NULL,   -- milliseconds since 1970, UTC
    argv       TEXT NOT NULL,      -- JSON
    version    TEXT NOT NULL,
    host       TEXT NOT NULL,
    user       TEXT NOT NULL,
    properties TEXT NOT NULL       -- JSON: the git properties
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    seq          INTEGER PRIMARY KEY,  -- in the order of their beginnings
    id           TEXT NOT NULL UNIQUE,
    invocation   TEXT NOT NULL,
    job          TEXT NOT NULL,
    experiment   TEXT NOT NULL,
    target       TEXT NOT NULL,
    environment  TEXT NOT NULL,
    attempt      INTEGER NOT NULL,
    status       TEXT NOT NULL,
    started      INTEGER NOT NULL,     -- milliseconds since 1970, UTC
    digest       BLOB NOT NULL,        -- of the fingerprint
    fingerprint  TEXT NOT NULL,        -- JSON, as all of the following texts
    params       TEXT NOT NULL,
    tags         TEXT NOT NULL,
    reasons      TEXT NOT NULL,
    inputs       TEXT NOT NULL,
    sources_of   TEXT NOT NULL,        -- the source directory
    ended        INTEGER,              -- this and the following: null until the run is over
    outcome      TEXT,
    cpu_ms       INTEGER,
    peak_memory  INTEGER,              -- bytes
    outputs      TEXT,
    kept         TEXT,
    metrics      TEXT,
    cached       INTEGER,
    inputs_moved INTEGER,
    notes        TEXT
) STRICT;
CREATE INDEX run_of_job ON run (job);
CREATE INDEX run_of_experiment ON run (experiment);
CREATE INDEX run_open ON run (invocation) WHERE ended IS NULL;
CREATE INDEX run_result ON run (digest) WHERE cached = 1;

-- The newest cached run of every job, slim, so that ten thousand jobs are judged by one scan.
CREATE TABLE latest (
    job     TEXT PRIMARY KEY,
    seq     INTEGER NOT NULL,
    digest  BLOB NOT NULL,
    run     TEXT NOT NULL,
    outputs BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What an environment's digest was made of.
CREATE TABLE environment (
    digest BLOB PRIMARY KEY,
    facts  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- For whoever opens the database by hand.
CREATE VIEW runs AS SELECT id, job, experiment, status,
    strftime('%Y-%m-%dT%H:%M:%SZ', started / 1000, 'unixepoch') AS started,
    strftime('%Y-%m-%dT%H:%M:%SZ', ended / 1000, 'unixepoch') AS ended,
    (ended - started) / 1000.0 AS seconds, target, environment, attempt, params, metrics, tags,
    lower(hex(digest)) AS fingerprint FROM run ORDER BY seq DESC;
CREATE VIEW metrics AS SELECT run.id AS run, run.job, m.key AS name, m.value FROM run, json_each(run.metrics) AS m;
CREATE VIEW params AS SELECT run.id AS run, run.job, p.key AS name, p.value FROM run, json_each(run.params) AS p;
",
    "
-- Runs whose objects stay in the store.
CREATE TABLE pin (
    run TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
",
    "
-- Runs that were submitted to a target elsewhere and have not ended: where they are to be found again.
CREATE TABLE ticket (
    run    TEXT PRIMARY KEY,
    target TEXT NOT NULL,
    place  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
",
    "
-- What scripts logged, but for their metrics' series.
CREATE TABLE logged (
    run   TEXT PRIMARY KEY,
    facts TEXT NOT NULL        -- JSON
) STRICT;

-- The series of metrics, of runs and of the runs within them.
CREATE TABLE series (
    run    TEXT NOT NULL,
    child  TEXT NOT NULL,      -- empty: the run itself
    metric TEXT NOT NULL,
    points BLOB NOT NULL,      -- as src/logged/series.rs writes them
    PRIMARY KEY (run, child, metric)
) STRICT;
",
    "
CREATE TABLE sweep (
    seq        INTEGER PRIMARY KEY,  -- in the order of their beginnings
    id         TEXT NOT NULL UNIQUE,
    job        TEXT NOT NULL,
    experiment TEXT NOT NULL,
    key        BLOB NOT NULL,        -- what its proposals and their results depend on
    invocation TEXT NOT NULL,
    started    INTEGER NOT NULL,
    ended      INTEGER,
    state      TEXT NOT NULL,
    metric     TEXT NOT NULL,
    maximize   INTEGER NOT NULL,
    sampling   TEXT NOT NULL,
    max_trials INTEGER,
    best       INTEGER,              -- the number of the best trial
    run        TEXT,                 -- the run that stands for the sweep
    why        TEXT
) STRICT;

CREATE TABLE trial (
    sweep     TEXT NOT NULL,
    number    INTEGER NOT NULL,
    job       TEXT NOT NULL,
    vals      TEXT NOT NULL,         -- JSON: pairs of name and value, in the order of the space
    proposed  INTEGER NOT NULL,
    state     TEXT NOT NULL,
    run       TEXT,
    cached    INTEGER NOT NULL,
    objective TEXT,                  -- a number as text: it may be NaN
    logged    TEXT NOT NULL,         -- numbers as text, between blanks
    why       TEXT,
    ended     INTEGER,
    PRIMARY KEY (sweep, number)
) STRICT, WITHOUT ROWID;
",
    "
-- The register of models: the last number that each name gave.
CREATE TABLE model_name (
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE model (
    name        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    run         TEXT NOT NULL,
    nth         INTEGER,           -- which of its run's registrations; null: by hand
    job         TEXT NOT NULL,
    registered  INTEGER NOT NULL,  -- milliseconds since 1970, UTC
    path        TEXT NOT NULL,     -- among what the run left
    content     TEXT NOT NULL,     -- JSON: what lay there, or null
    environment BLOB,              -- the digest of the run's environment
    tags        TEXT NOT NULL,     -- JSON
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX model_of_run ON model (run, nth);

CREATE TABLE model_alias (
    name    TEXT NOT NULL,
    alias   TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (name, alias)
) STRICT, WITHOUT ROWID;
",
];

/// What a database says about its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing is in it.
    Empty,
    /// Ours, of this format.
    Format(u32),
    /// Not ours, or damaged: the two marks contradict each other.
    Damaged,
}

/// Reads the marks, all as of one moment: another process may be making the database, and half of what it was before and
/// half of what it is then would look like damage.
pub(super) fn found(connection: &Connection) -> rusqlite::Result<Found> {
    if !connection.is_autocommit() {
        return marks(connection);
    }
    let moment = connection.unchecked_transaction()?;
    let found = marks(&moment)?;
    moment.commit()?;
    Ok(found)
}

fn marks(connection: &Connection) -> rusqlite::Result<Found> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let (format, application) = (number("user_version")?, number("application_id")?);
    if format != 0 {
        let agree = format <= 0xff && application == (APPLICATION | format);
        return Ok(if agree { Found::Format(format) } else { Found::Damaged });
    }
    let empty = connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(if empty && application == 0 { Found::Empty } else { Found::Damaged })
}

/// Brings a database up to [`FORMAT`], in one transaction; another process may be doing the same.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<Found> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from = match found(&transaction)? {
        Found::Empty => 0,
        Found::Format(format) if format < FORMAT => format,
        other => return Ok(other),
    };
    for step in STEPS.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.pragma_update(None, "application_id", APPLICATION | FORMAT)?;
    transaction.commit()?;
    Ok(Found::Format(FORMAT))
}
