//! A transaction that writes: its own connection, a deadline, and the fence.
//!
//! Dropping one that is not over closes its connection, so the database undoes it: nothing depends on how
//! far a cancelled statement came.
//! In: statements in the common form. Out: rows. Tests: the conformance suite.

use super::dialect::Dialect;
use super::error::trouble;
use super::value::{Fields, Record, Value, Versioned, arguments};
use super::{Error, Store};
use shanty_model::epoch::Epoch;
use shanty_rt::pulse::Pulse;
use sqlx::any::{Any, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::{AnyConnection, AssertSqlSafe, Executor as _};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// Rows of one INSERT: few sizes, so that few statements are prepared.
const CHUNKS: [usize; 4] = [256, 32, 4, 1];
/// Bytes of one INSERT of more than one row: MySQL takes 16 MiB (Debian's default) in one packet.
const CHUNK_BYTES: usize = 1 << 20;

/// A transaction that writes.
pub(super) struct Transaction {
    connection: PoolConnection<Any>,
    dialect: Dialect,
    deadline: Instant,
    is_over: bool,
    pulse: Option<Arc<Pulse>>,
    _turn: OwnedSemaphorePermit,
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.close_on_drop();
        }
    }
}

impl Transaction {
    /// Begins one that must be over within `patience`, the wait for its turn included.
    pub(super) async fn begin(store: &Store, patience: Duration) -> Result<Transaction, Error> {
        let deadline = Instant::now() + patience;
        let turn = in_time(deadline, "turn", async {
            let turn = store.turns.clone().acquire_owned().await;
            turn.map_err(|_| Error::Unavailable("store closed".to_owned()))
        })
        .await?;
        let connection = in_time(deadline, "connection", async {
            store.pool.acquire().await.map_err(|error| trouble("connection", error))
        })
        .await?;
        let mut transaction = Transaction {
            connection,
            dialect: store.dialect,
            deadline,
            is_over: false,
            pulse: store.pulse.clone(),
            _turn: turn,
        };
        let begin = transaction.dialect.begin();
        let connection = &mut transaction.connection;
        in_time(deadline, "begin", async {
            connection.execute(begin).await.map(drop).map_err(|error| trouble("begin", error))
        })
        .await?;
        transaction.answered();
        Ok(transaction)
    }

    fn answered(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
    }

    /// Takes the shared lock on the fence row and compares epochs: from here to the end of the transaction
    /// no other master can fence the store.
    pub(super) async fn check_fence(&mut self, mine: Epoch) -> Result<(), Error> {
        let lock = self.dialect.lock_shared();
        let rows = self.rows("fence", &format!("SELECT epoch FROM fence WHERE id = 1{lock}"), vec![]).await?;
        let stored = fence_epoch(&rows)?;
        if stored == mine { Ok(()) } else { Err(Error::Fenced { stored, mine }) }
    }

    /// Carries out one statement. Answers how many rows it touched.
    pub(super) async fn run(
        &mut self,
        what: &str,
        statement: &str,
        values: Vec<Value>,
    ) -> Result<u64, Error> {
        let statement = AssertSqlSafe(self.dialect.with_placeholders(statement));
        let query = sqlx::query_with(statement, arguments(values)?);
        let connection: &mut AnyConnection = &mut self.connection;
        let touched = in_time(self.deadline, what, async {
            connection
                .execute(query)
                .await
                .map(|done| done.rows_affected())
                .map_err(|error| trouble(what, error))
        })
        .await?;
        self.answered();
        Ok(touched)
    }

    /// Carries out one SELECT.
    pub(super) async fn rows(
        &mut self,
        what: &str,
        statement: &str,
        values: Vec<Value>,
    ) -> Result<Vec<AnyRow>, Error> {
        let statement = AssertSqlSafe(self.dialect.with_placeholders(statement));
        let query = sqlx::query_with(statement, arguments(values)?);
        let connection: &mut AnyConnection = &mut self.connection;
        let rows = in_time(self.deadline, what, async {
            connection.fetch_all(query).await.map_err(|error| trouble(what, error))
        })
        .await?;
        self.answered();
        Ok(rows)
    }

    /// Inserts records, many in one statement; `or` is what follows for rows that are there.
    pub(super) async fn insert<R: Record>(&mut self, records: &[&R], or: &str) -> Result<(), Error> {
        let mut rest = records;
        while let Some(first) = rest.first() {
            let largest = CHUNKS.into_iter().find(|size| *size <= rest.len()).unwrap_or(1);
            let mut rows = vec![first.values()?];
            let mut bytes: usize = rows.iter().flatten().map(Value::len).sum();
            for record in rest.iter().take(largest).skip(1) {
                let values = record.values()?;
                bytes += values.iter().map(Value::len).sum::<usize>();
                rows.push(values);
                if bytes > CHUNK_BYTES {
                    break;
                }
            }
            let size = CHUNKS.into_iter().find(|size| *size <= rows.len()).unwrap_or(1);
            rows.truncate(size);
            let (chunk, after) = rest.split_at(size);
            let what = match (chunk.first(), chunk.last()) {
                (Some(first), Some(last)) if size > 1 => {
                    format!("one of {} to {}", first.name(), last.name())
                }
                (Some(first), _) => first.name(),
                (None, _) => R::TABLE.to_owned(),
            };
            let one = format!("({})", vec!["?"; R::COLUMNS.len()].join(", "));
            let statement = format!(
                "INSERT INTO {} ({}) VALUES {}{or}",
                R::TABLE,
                R::COLUMNS.join(", "),
                vec![one.as_str(); size].join(", ")
            );
            self.run(&what, &statement, rows.into_iter().flatten().collect()).await?;
            rest = after;
        }
        Ok(())
    }

    /// Writes a record's new version over the one before it.
    pub(super) async fn update<R: Versioned>(&mut self, record: &R) -> Result<(), Error> {
        let before = record.version().checked_sub(1).and_then(|before| i64::try_from(before).ok());
        let mut values = record.values()?;
        let key: Vec<Value> = values.drain(..R::KEYS).collect();
        let (keys, columns) = R::COLUMNS.split_at(R::KEYS);
        let statement = format!(
            "UPDATE {} SET {} = ? WHERE {} = ? AND version = ?",
            R::TABLE,
            columns.join(" = ?, "),
            keys.join(" = ? AND ")
        );
        values.extend(key);
        values.push(Value::Int(before));
        let name = record.name();
        if self.run(&name, &statement, values).await? == 0 {
            return Err(Error::Conflict(format!(
                "{name} is not at version {}",
                record.version().saturating_sub(1)
            )));
        }
        Ok(())
    }

    /// Undoes it.
    pub(super) async fn rollback(mut self) {
        let connection = &mut self.connection;
        let undone = in_time(self.deadline, "rollback", async {
            connection.execute("ROLLBACK").await.map(drop).map_err(|error| trouble("rollback", error))
        });
        // What cannot be undone by word is undone by closing the connection.
        self.is_over = undone.await.is_ok();
    }

    /// Makes it last. After an error nobody knows whether it did.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        let connection = &mut self.connection;
        in_time(self.deadline, "commit", async {
            connection.execute("COMMIT").await.map(drop).map_err(|error| trouble("commit", error))
        })
        .await?;
        self.is_over = true;
        Ok(())
    }
}

/// The epoch of the fence row.
pub(super) fn fence_epoch(rows: &[AnyRow]) -> Result<Epoch, Error> {
    let row = rows.first().ok_or_else(|| Error::Corrupt("the fence row is missing".to_owned()))?;
    Fields::new(row, "fence").number().map(Epoch)
}

/// The work's outcome, or unavailable when the deadline comes first.
pub(super) async fn in_time<T>(
    deadline: Instant,
    what: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout_at(deadline, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Unavailable(format!("{what}: no answer in time"))),
    }
}
