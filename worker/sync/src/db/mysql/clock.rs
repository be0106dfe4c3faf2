//! What the server knows about sizes and about time.
//!
//! In: tables, conditions. Out: estimates, instants, lag. Never: a scan of a table.
//! Tests: below; against a server in `worker/sync/tests/databases/mysql.rs`.

use super::DIALECT;
use super::literals::ident;
use super::session::Session;
use crate::db::{Class, DbError, Dialect as _};
use crate::schema::{Column, Kind, TableName};
use std::time::Duration;

/// Rows that a condition holds for, by the optimizer's estimate.
pub(super) async fn estimate(
    session: &mut Session,
    table: &TableName,
    filter: &str,
) -> Result<Option<u64>, DbError> {
    let condition = if filter.trim().is_empty() { String::new() } else { format!(" WHERE {filter}") };
    let extended = if session.is_mariadb { "EXTENDED " } else { "" };
    let sql = format!("EXPLAIN {extended}SELECT 1 FROM {}{condition}", DIALECT.table(table));
    let answer = session.answer(&sql).await?;
    if answer
        .first("extra")
        .is_some_and(|extra| extra.starts_with("Impossible WHERE") || extra.starts_with("no matching row"))
    {
        return Ok(Some(0));
    }
    let rows: Option<u64> = answer.first("rows").or_else(|| answer.first("estRows")).and_then(whole);
    let filtered: Option<f64> = answer.first("filtered").and_then(|text| text.parse().ok());
    // In hundredths of a percent, as a whole number: a share of rows needs no more.
    let share =
        filtered.map_or(10_000, |percent| whole(&format!("{:.0}", percent * 100.0)).unwrap_or(10_000));
    Ok(rows.map(|rows| share_of(rows, share)))
}

fn whole(text: &str) -> Option<u64> {
    text.split('.').next()?.parse().ok()
}

fn share_of(rows: u64, hundredths: u64) -> u64 {
    let product = u128::from(rows) * u128::from(hundredths.min(10_000)) / 10_000;
    u64::try_from(product).unwrap_or(rows)
}

/// How far a replica is behind.
pub(super) async fn lag(session: &mut Session) -> Result<Option<Duration>, DbError> {
    for sql in ["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"] {
        match session.answer(sql).await {
            Ok(answer) => {
                let behind =
                    answer.first("Seconds_Behind_Source").or_else(|| answer.first("Seconds_Behind_Master"));
                return Ok(behind.and_then(|text| text.parse().ok()).map(Duration::from_secs));
            }
            Err(error) if error.is_transient() => return Err(error),
            // Another server's words for it, or no privilege to ask.
            Err(_) => {}
        }
    }
    Ok(None)
}

/// See [`safe_upper`](crate::db::Connection::safe_upper).
pub(super) async fn safe_upper(
    session: &mut Session,
    table: &TableName,
    column: &Column,
) -> Result<(Option<String>, Option<String>), DbError> {
    let open = oldest(session).await?;
    let digits = match &column.kind {
        Kind::Timestamp { digits } | Kind::DateTime { digits } => *digits,
        Kind::Date => 0,
        _ => {
            let sql = format!("SELECT MAX({}) FROM {}", ident(&column.name), DIALECT.table(table));
            let largest = session.one(&sql).await?;
            let words = "numbers may be taken before those below them are committed: rows of transactions \
                         that are open now may be found only by a sweep";
            return Ok((largest, Some(open.words.unwrap_or_else(|| words.to_owned()))));
        }
    };
    let behind = lag(session).await?.map_or(0, |lag| lag.as_secs());
    // Whole seconds of the sources below are rounded down; one more covers a column that rounds up.
    let back = open.seconds.saturating_add(behind).saturating_add(1);
    let mut words = open.words;
    let zone = match &column.kind {
        Kind::Timestamp { .. } => "'+00:00'".to_owned(),
        _ => {
            let offset = session.one("SELECT TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', @@global.time_zone))").await?;
            if offset.as_deref() != Some("0") && words.is_none() {
                words = Some(format!(
                    "{} has no time zone: the server's own is taken for it, and an hour that clocks repeat \
                     may hide rows",
                    column.name
                ));
            }
            "@@global.time_zone".to_owned()
        }
    };
    let instant = format!("CONVERT_TZ(UTC_TIMESTAMP({digits}) - INTERVAL {back} SECOND, '+00:00', {zone})");
    let expr = if column.kind == Kind::Date { format!("DATE({instant})") } else { instant };
    Ok((session.one(&format!("SELECT {expr}")).await?, words))
}

/// How long the oldest transaction or statement of others has been under way.
struct Oldest {
    seconds: u64,
    /// What is not certain.
    words: Option<String>,
}

async fn oldest(session: &mut Session) -> Result<Oldest, DbError> {
    let own = session.id.clone();
    // trx_started is in the system's zone, whatever the session's; a transaction that began in an hour that
    // clocks repeat may look younger, never older than twice.
    let transactions = session
        .one(&format!(
            "SELECT MAX(TIMESTAMPDIFF(SECOND, CONVERT_TZ(trx_started, 'SYSTEM', '+00:00'), UTC_TIMESTAMP())) \
             FROM information_schema.innodb_trx WHERE trx_mysql_thread_id NOT IN (0, {own})"
        ))
        .await;
    let (transactions, words) = match transactions {
        Ok(seconds) => (seconds, None),
        Err(error) if error.class == Class::Denied => {
            let account = session.one("SELECT CURRENT_USER()").await?.unwrap_or_default();
            let words = format!(
                "transactions of other accounts cannot be seen: GRANT PROCESS ON *.* TO {}",
                super::grants::account(&account)
            );
            (None, Some(words))
        }
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => (None, Some(format!("open transactions cannot be seen: {error}"))),
    };
    let statements = session
        .one(&format!(
            "SELECT MAX(TIME) FROM information_schema.PROCESSLIST WHERE ID <> {own} \
             AND COMMAND NOT IN ('Sleep', 'Daemon', 'Binlog Dump', 'Binlog Dump GTID', 'Slave_IO', 'Slave_SQL', \
             'Slave_worker', 'Connect')"
        ))
        .await?;
    let seconds = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Ok(Oldest { seconds: seconds(transactions).max(seconds(statements)).saturating_add(1), words })
}
