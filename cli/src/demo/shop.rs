//! The data that the demo copies: a small shop in a file of SQLite, the same in every run.
//!
//! In: a folder. Out: tables `orders` (with a key) and `visits` (without one).
//! Tests: below.

use crate::error::Error;
use shanty_sync::db::{self, Connection, DbError, Endpoint};
use std::path::Path;

/// Rows of `orders` and `visits`.
pub(super) const ROWS: (u32, u32) = (240_000, 60_000);

/// A URL of a file.
pub(super) fn url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

/// Makes the shop.
///
/// # Errors
/// When the file cannot be written.
pub(super) async fn open(file: &Path) -> Result<(), Error> {
    let (orders, visits) = ROWS;
    // Numbers that look random and are the same each time: multiples of a large odd number modulo 2^32.
    let statements = [
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, total REAL NOT NULL, \
         status TEXT NOT NULL, placed TEXT NOT NULL, note TEXT)"
            .to_owned(),
        "CREATE TABLE visits (at INTEGER NOT NULL, page TEXT NOT NULL, milliseconds INTEGER)".to_owned(),
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {orders}), \
             r(i, x) AS (SELECT i, (i * 2654435761) % 4294967296 FROM n) \
             INSERT INTO orders SELECT i, x % 5000, (x % 100000) / 8.0, \
             CASE x % 4 WHEN 0 THEN 'new' WHEN 1 THEN 'paid' WHEN 2 THEN 'sent' ELSE 'returned' END, \
             datetime(1704067200 + i * 37, 'unixepoch'), \
             CASE WHEN x % 7 = 0 THEN NULL ELSE 'order ' || i || ': ' || hex(x) || ' naïve 夜' END FROM r"
        ),
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {visits}), \
             r(i, x) AS (SELECT i, (i * 2246822519) % 4294967296 FROM n) \
             INSERT INTO visits SELECT 1704067200 + x % 86400, '/article/' || (x % 300), \
             CASE WHEN x % 11 = 0 THEN NULL ELSE x % 900 END FROM r"
        ),
    ];
    let made = async {
        let mut connection = connect(file, false).await?;
        connection.begin().await?;
        for statement in &statements {
            connection.execute(statement).await?;
        }
        connection.commit(false).await?;
        connection.close().await;
        Ok::<_, DbError>(())
    };
    made.await.map_err(|error| {
        Error::local(format!("cannot make {}: {error}", file.display()), "name another place: TMPDIR=/path")
    })
}

/// Rows of a table as this process counts them.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn count(file: &Path, table: &str) -> Result<i64, Error> {
    let counted = async {
        let mut connection = connect(file, true).await?;
        let rows = connection.query(&format!("SELECT count(*) FROM {table}")).await;
        connection.close().await;
        rows
    };
    let rows = counted.await.map_err(|error| {
        Error::local(format!("cannot count {table}: {error}"), "look at the copy with --keep")
    })?;
    let first = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
    Ok(first.and_then(|text| text.parse().ok()).unwrap_or(-1))
}

async fn connect(file: &Path, read_only: bool) -> Result<Box<dyn Connection>, DbError> {
    let endpoint = Endpoint::parse(&url(file)).map_err(|error| DbError::new(db::Class::Other, error))?;
    db::open(&endpoint, read_only).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_shop_is_made_and_is_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut sums = Vec::new();
        for name in ["a.db", "b.db"] {
            let file = folder.path().join(name);
            open(&file).await.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(count(&file, "orders").await.ok(), Some(i64::from(ROWS.0)));
            assert_eq!(count(&file, "visits").await.ok(), Some(i64::from(ROWS.1)));
            let mut connection = connect(&file, true).await.unwrap();
            let sql = "SELECT sum(customer), sum(total), sum(length(note)), sum(note IS NULL), min(placed) FROM orders";
            sums.push(connection.query(sql).await.unwrap());
        }
        assert_eq!(sums[0], sums[1]);
        assert_eq!(sums[0][0][4].as_deref(), Some("2024-01-01 00:00:37"));
    }
}
