//! The schema: one text for all dialects, in numbered steps, brought up to date when a store is opened.
//!
//! In: a connection. Out: the tables. Never: changes a step that was released; a new one is added instead.
//! Tests: the conformance suite opens each store twice, and at once.

use super::Error;
use super::dialect::Dialect;
use super::error::trouble;

use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, Row as _};

/// The steps; step 1 is the first. Every statement may be done again: MySQL commits each on its own, so a
/// step can be left half done. `number` is a run's number in its job, `version` the row's own.
const STEPS: &[&[&str]] = &[FIRST, DIVISIBLE];

const FIRST: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS fence (id BIGINT NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, \
     incarnation {text} NOT NULL){table}",
    "DELETE FROM fence WHERE epoch = 0",
    "INSERT INTO fence (id, epoch, incarnation) VALUES (1, 0, '')",
    "CREATE TABLE IF NOT EXISTS canary (id BIGINT NOT NULL PRIMARY KEY, epoch BIGINT NOT NULL, \
     time_ms BIGINT NOT NULL){table}",
    "DELETE FROM canary",
    "INSERT INTO canary (id, epoch, time_ms) VALUES (1, 0, 0)",
    "CREATE TABLE IF NOT EXISTS job (id {key} NOT NULL PRIMARY KEY, title {text} NOT NULL, spec {text}, \
     labels {text} NOT NULL, last_run BIGINT NOT NULL, deleted BIGINT NOT NULL, version BIGINT NOT NULL, \
     create_ms BIGINT NOT NULL, update_ms BIGINT NOT NULL){table}",
    "CREATE TABLE IF NOT EXISTS run (job {key} NOT NULL, number BIGINT NOT NULL, spec {text} NOT NULL, \
     state {key} NOT NULL, reason {text} NOT NULL, sequence BIGINT NOT NULL, epoch BIGINT NOT NULL, \
     detail {text} NOT NULL, report {text}, version BIGINT NOT NULL, create_ms BIGINT NOT NULL, \
     start_ms BIGINT, end_ms BIGINT, series_dropped BIGINT DEFAULT 0 NOT NULL, \
     PRIMARY KEY (job, number)){table}",
    "CREATE INDEX IF NOT EXISTS run_by_time ON run (create_ms, job, number)",
    "CREATE INDEX IF NOT EXISTS run_by_state ON run (state, create_ms)",
    "CREATE INDEX IF NOT EXISTS run_by_dropped ON run (series_dropped)",
    "CREATE TABLE IF NOT EXISTS shard (job {key} NOT NULL, number BIGINT NOT NULL, shard BIGINT NOT NULL, \
     state {key} NOT NULL, attempt BIGINT NOT NULL, node {key}, reason {text} NOT NULL, \
     version BIGINT NOT NULL, PRIMARY KEY (job, number, shard)){table}",
    "CREATE TABLE IF NOT EXISTS attempt (job {key} NOT NULL, number BIGINT NOT NULL, shard BIGINT NOT NULL, \
     attempt BIGINT NOT NULL, node {key} NOT NULL, incarnation {text} NOT NULL, epoch BIGINT NOT NULL, \
     outcome {key} NOT NULL, reason {text} NOT NULL, version BIGINT NOT NULL, create_ms BIGINT NOT NULL, \
     end_ms BIGINT, PRIMARY KEY (job, number, shard, attempt)){table}",
    "CREATE TABLE IF NOT EXISTS run_event (job {key} NOT NULL, number BIGINT NOT NULL, \
     sequence BIGINT NOT NULL, time_ms BIGINT NOT NULL, body {text} NOT NULL, \
     PRIMARY KEY (job, number, sequence)){table}",
    "CREATE TABLE IF NOT EXISTS series (job {key} NOT NULL, number BIGINT NOT NULL, shard BIGINT NOT NULL, \
     attempt BIGINT NOT NULL, sequence BIGINT NOT NULL, node {key} NOT NULL, body {blob} NOT NULL, \
     PRIMARY KEY (job, number, shard, attempt, sequence)){table}",
    "CREATE TABLE IF NOT EXISTS request_dedupe (id {key} NOT NULL PRIMARY KEY, method {text} NOT NULL, \
     digest {text} NOT NULL, resource {text} NOT NULL, time_ms BIGINT NOT NULL){table}",
    "CREATE INDEX IF NOT EXISTS request_by_time ON request_dedupe (time_ms)",
    "CREATE TABLE IF NOT EXISTS node_event (sequence BIGINT NOT NULL PRIMARY KEY, time_ms BIGINT NOT NULL, \
     node {key} NOT NULL, reason {text} NOT NULL, message {text} NOT NULL, epoch BIGINT NOT NULL){table}",
    "CREATE TABLE IF NOT EXISTS node (id {key} NOT NULL PRIMARY KEY, cordoned BIGINT NOT NULL){table}",
];

/// Shards that are found on the way, and their newest results. A text column has no default in MySQL.
const DIVISIBLE: &[&str] = &[
    "ALTER TABLE shard ADD COLUMN IF NOT EXISTS name {text}",
    "ALTER TABLE shard ADD COLUMN IF NOT EXISTS payload {text}",
    "ALTER TABLE shard ADD COLUMN IF NOT EXISTS size BIGINT DEFAULT 0 NOT NULL",
    "CREATE TABLE IF NOT EXISTS checkpoint (job {key} NOT NULL, number BIGINT NOT NULL, \
     shard BIGINT NOT NULL, attempt BIGINT NOT NULL, sequence BIGINT NOT NULL, node {key} NOT NULL, \
     body {blob} NOT NULL, PRIMARY KEY (job, number, shard)){table}",
];

/// Brings the tables up to date.
///
/// # Errors
/// [`Error::Corrupt`] when they are newer than this program; [`Error::Unavailable`] otherwise.
pub(super) async fn migrate(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), Error> {
    let newest = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    // Somebody without the right to create tables may open a store that is up to date.
    if let Ok(version) = version(connection).await
        && check(version, newest)?
    {
        return Ok(());
    }
    let (lock, unlock) = dialect.schema_lock().unzip();
    run(connection, lock.unwrap_or("BEGIN IMMEDIATE")).await?;
    let done = climb(connection, dialect, newest).await;
    let ended = run(connection, unlock.unwrap_or(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })).await;
    done.and(ended)
}

async fn climb(connection: &mut AnyConnection, dialect: Dialect, newest: i64) -> Result<(), Error> {
    let table = dialect.with_types(
        "CREATE TABLE IF NOT EXISTS schema_version (id BIGINT NOT NULL PRIMARY KEY, version BIGINT NOT NULL){table}",
    );
    run(connection, &table).await?;
    let from = version(connection).await?;
    if check(from, newest)? {
        return Ok(());
    }
    for (number, step) in (1_i64..).zip(STEPS).filter(|(number, _)| *number > from) {
        for statement in *step {
            let statement = dialect.without_missing_words(&dialect.with_types(statement));
            match connection.execute(AssertSqlSafe(statement)).await {
                Err(error) if !dialect.is_there(&error) => return Err(trouble("schema", error)),
                Ok(_) | Err(_) => {}
            }
        }
        run(connection, "DELETE FROM schema_version").await?;
        run(connection, &format!("INSERT INTO schema_version (id, version) VALUES (1, {number})")).await?;
        tracing::info!(version = number, "store schema brought up to date");
    }
    Ok(())
}

/// Whether nothing is to do.
fn check(version: i64, newest: i64) -> Result<bool, Error> {
    if version > newest {
        return Err(Error::Corrupt(format!(
            "its schema is version {version}, this program knows up to {newest}: use a newer shanty"
        )));
    }
    Ok(version == newest)
}

async fn version(connection: &mut AnyConnection) -> Result<i64, Error> {
    let row = connection
        .fetch_optional("SELECT version FROM schema_version")
        .await
        .map_err(|error| trouble("schema", error))?;
    row.map_or(Ok(0), |row| row.try_get(0).map_err(|error| trouble("schema", error)))
}

async fn run(connection: &mut AnyConnection, statement: &str) -> Result<(), Error> {
    connection
        .execute(AssertSqlSafe(statement.to_owned()))
        .await
        .map(drop)
        .map_err(|error| trouble("schema", error))
}
