//! The two ways in which encoded rows get to the server: LOAD DATA LOCAL INFILE, and INSERT of many rows.
//!
//! Both leave a table with exactly the rows handed over or an error of class `Row`: LOCAL turns errors into
//! warnings and skips duplicates, so every warning counts as an error and the rows written are counted.
//! In: a quoted table, columns, rows made by [`super::encode`]. Out: nothing but rows in the table.
//! Never: a transaction of its own.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use super::encode::{NULL, is_hex};
use super::failure::{class, db_error};
use super::literals::ident;
use super::session::Session;
use crate::db::{Class, DbError};
use crate::schema::Column;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mysql_async::prelude::Queryable as _;
use std::convert::Infallible;
use tokio::sync::mpsc;

/// Bytes per packet of LOAD DATA.
const CHUNK: usize = 256 << 10;
/// Bytes per INSERT, about; fewer when the server takes fewer.
const STATEMENT: usize = 1 << 20;
/// What the server may add to or need beside a statement.
const MARGIN: usize = 4 << 10;

/// Writes rows into a table.
///
/// # Errors
/// The server's; `Row` when a row was refused, skipped or changed.
pub(super) async fn fill(
    session: &mut Session,
    table: &str,
    columns: &[Column],
    rows: &[u8],
    count: u64,
) -> Result<(), DbError> {
    if count == 0 {
        return Ok(());
    }
    let mut written = None;
    if session.infile {
        match infile(session, table, columns, rows).await {
            // Forbidden since the session began (1148 MySQL 5, 3948 MySQL 8, 4166 MariaDB): nothing was done.
            Err(error) if matches!(error.code.as_str(), "1148" | "3948" | "4166") => session.infile = false,
            other => written = Some(other?),
        }
    }
    let written = match written {
        Some(written) => written,
        None => inserts(session, table, columns, rows).await?,
    };
    if written == count {
        Ok(())
    } else {
        Err(DbError::new(
            Class::Row,
            format!("{count} rows were handed over for {table} and {written} written"),
        ))
    }
}

async fn infile(session: &mut Session, table: &str, columns: &[Column], rows: &[u8]) -> Result<u64, DbError> {
    let (chunks, mut taken) = mpsc::channel(1);
    let asked_for = stream::poll_fn(move |cx| taken.poll_recv(cx)).map(Ok);
    session.conn.set_infile_handler(async move { Ok(asked_for.boxed()) });
    let sql = infile_statement(table, columns);
    tokio::select! {
        loaded = run(session, sql.as_bytes()) => loaded,
        never = feed(rows, chunks) => match never {},
    }
}

/// Hands rows over as the server takes them, so that no second copy of them all is made. The statement ends first:
/// with the last rows, or without asking for any.
async fn feed(rows: &[u8], chunks: mpsc::Sender<Bytes>) -> Infallible {
    for chunk in rows.chunks(CHUNK) {
        if chunks.send(Bytes::copy_from_slice(chunk)).await.is_err() {
            break;
        }
    }
    drop(chunks);
    std::future::pending().await
}

/// LOAD DATA for encoded rows.
fn infile_statement(table: &str, columns: &[Column]) -> String {
    let mut targets = Vec::with_capacity(columns.len());
    let mut sets = Vec::new();
    // With a SET, MariaDB forgets that a value was given for what it numbers, and takes 0 for none: unless the SET
    // gives it.
    let has_set = columns.iter().any(|column| is_hex(&column.kind));
    for (at, column) in columns.iter().enumerate() {
        let name = ident(&column.name);
        if is_hex(&column.kind) {
            targets.push(format!("@h{at}"));
            sets.push(format!("{name} = UNHEX(@h{at})"));
        } else if column.auto && has_set {
            targets.push(format!("@h{at}"));
            sets.push(format!("{name} = @h{at}"));
        } else {
            targets.push(name);
        }
    }
    let sets = if sets.is_empty() { String::new() } else { format!(" SET {}", sets.join(", ")) };
    format!(
        "LOAD DATA LOCAL INFILE 'page' INTO TABLE {table} CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\\t' \
         ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){sets}",
        targets.join(", ")
    )
}

async fn inserts(
    session: &mut Session,
    table: &str,
    columns: &[Column],
    rows: &[u8],
) -> Result<u64, DbError> {
    let most = session.max_packet.saturating_sub(MARGIN).min(STATEMENT);
    let names: Vec<String> = columns.iter().map(|column| ident(&column.name)).collect();
    let head = format!("INSERT INTO {table} ({}) VALUES ", names.join(", "));
    let hex: Vec<bool> = columns.iter().map(|column| is_hex(&column.kind)).collect();
    let mut statement = Vec::with_capacity(most);
    let mut written = 0_u64;
    let mut values = Vec::new();
    for row in rows.split_inclusive(|&byte| byte == b'\n') {
        values.clear();
        row_values(row.strip_suffix(b"\n").unwrap_or(row), &hex, &mut values);
        if !statement.is_empty() && statement.len() + values.len() >= most {
            written += run(session, &statement).await?;
            statement.clear();
        }
        if statement.is_empty() {
            statement.extend_from_slice(head.as_bytes());
        } else {
            statement.push(b',');
        }
        statement.extend_from_slice(&values);
        if statement.len() > session.max_packet.saturating_sub(MARGIN) {
            let words = format!(
                "a row of {} bytes for {table} is longer than the server takes; raise its max_allowed_packet",
                values.len()
            );
            return Err(DbError::new(Class::Row, words));
        }
    }
    if !statement.is_empty() {
        written += run(session, &statement).await?;
    }
    Ok(written)
}

/// An encoded row as `('a',NULL,X'00')`.
fn row_values(row: &[u8], hex: &[bool], out: &mut Vec<u8>) {
    out.push(b'(');
    for (at, cell) in row.split(|&byte| byte == b'\t').enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if cell == NULL {
            out.extend_from_slice(b"NULL");
            continue;
        }
        if hex.get(at) == Some(&true) {
            out.push(b'X');
        }
        out.push(b'\'');
        out.extend_from_slice(cell);
        out.push(b'\'');
    }
    out.push(b')');
}

/// Runs a statement that writes rows; a warning is an error.
pub(super) async fn run(session: &mut Session, sql: &[u8]) -> Result<u64, DbError> {
    let result = session.conn.query_iter(sql).await.map_err(db_error)?;
    let (written, warnings) = (result.affected_rows(), result.warnings());
    result.drop_result().await.map_err(db_error)?;
    if warnings > 0 {
        no_harm(session, usize::from(warnings)).await?;
    }
    Ok(written)
}

/// Notes that say nothing about a value: deprecated words, statements that replicate by row.
const HARMLESS: [&str; 4] = ["1287", "1592", "1681", "3778"];

async fn no_harm(session: &mut Session, count: usize) -> Result<(), DbError> {
    let listed = session.query("SHOW WARNINGS").await?;
    let harm = listed.iter().find(|row| !row.get(1).is_some_and(|code| is_harmless(code.as_deref())));
    let (code, message) = match harm {
        Some(row) => {
            let cell = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
            (cell(1), cell(2))
        }
        None if listed.len() >= count => return Ok(()),
        None => (String::new(), "the server warns of more than it lists".to_owned()),
    };
    let class = code.parse().map_or(Class::Row, |number| match class(number, "") {
        Class::Lost | Class::Other | Class::Missing => Class::Row,
        other => other,
    });
    let message = if count > 1 { format!("{message} (one of {count} warnings)") } else { message };
    Err(DbError { class, code, message })
}

fn is_harmless(code: Option<&str>) -> bool {
    code.is_some_and(|code| HARMLESS.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_row_becomes_values() {
        let values = |row: &[u8]| {
            let mut out = Vec::new();
            row_values(row, &[false, true, false], &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(values(b"1\t00FF\t\\'\\t"), "('1',X'00FF','\\'\\t')");
        assert_eq!(values(b"\\N\t\\N\t\\\\N"), "(NULL,NULL,'\\\\N')");
        assert_eq!(values(b"\t\t"), "('',X'','')");
    }
}
