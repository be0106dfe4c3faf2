//! One session with a server: its settings, and the few ways in which statements are run.
//!
//! In: SQL. Out: rows of text, counts, [`DbError`]. Never: a second connection, a retry.
//! Tests: `worker/sync/tests/databases/mysql.rs`.

use super::failure::db_error;
use super::place::{Place, Tls};
use crate::db::{Class, DbError, TextRow};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, DriverError, Error, Value};
use std::time::Duration;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(15);

/// Zero and partial dates are taken as they are, id 0 stays 0, a backslash escapes, everything else is strict.
const SQL_MODE: &str = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES";

/// An answer with the names of its columns.
#[derive(Debug, Default)]
pub(super) struct Answer {
    names: Vec<String>,
    pub(super) rows: Vec<TextRow>,
}

impl Answer {
    /// A cell of the first row by the name of its column, whatever its case.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        let at = self.names.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        self.rows.first()?.get(at)?.as_deref()
    }
}

/// A session.
pub(super) struct Session {
    pub(super) conn: Conn,
    /// CONNECTION_ID().
    pub(super) id: String,
    /// Product and version.
    pub(super) server: String,
    pub(super) is_mariadb: bool,
    /// The database of the session.
    pub(super) database: Option<String>,
    /// Whether rows are loaded by LOAD DATA LOCAL; by INSERT otherwise.
    pub(super) infile: bool,
    /// Most bytes of one statement.
    pub(super) max_packet: usize,
}

impl Session {
    /// Connects and puts the settings in force.
    ///
    /// # Errors
    /// [`DbError`] as in [`open`](crate::db::open).
    pub(super) async fn open(place: &Place, read_only: bool) -> Result<Session, DbError> {
        let made = tokio::time::timeout(CONNECT, Box::pin(connect(place))).await;
        let conn = made.unwrap_or_else(|_| {
            Err(DbError::new(Class::Lost, format!("no answer in {} s", CONNECT.as_secs())))
        });
        let conn = conn.map_err(|error| at(place, error))?;
        let mut session = Session {
            conn,
            id: String::new(),
            server: String::new(),
            is_mariadb: false,
            database: None,
            infile: false,
            max_packet: 0,
        };
        let settled = tokio::time::timeout(CONNECT, session.settle(place, read_only)).await;
        settled.unwrap_or_else(|_| {
            Err(at(place, DbError::new(Class::Lost, format!("no answer in {} s", CONNECT.as_secs()))))
        })?;
        Ok(session)
    }

    async fn settle(&mut self, place: &Place, read_only: bool) -> Result<(), DbError> {
        self.execute("SET NAMES utf8mb4").await?;
        let facts = self
            .query(
                "SELECT CONNECTION_ID(), VERSION(), @@version_comment, DATABASE(), @@local_infile, \
                 @@max_allowed_packet",
            )
            .await?;
        let mut facts = facts.into_iter().next().unwrap_or_default().into_iter();
        let mut next = || facts.next().flatten();
        self.id = next().unwrap_or_default();
        let version = next().unwrap_or_default();
        let comment = next().unwrap_or_default();
        self.database = next();
        let local_infile = next();
        self.max_packet = next().and_then(|text| text.parse().ok()).unwrap_or(1 << 20);
        self.is_mariadb = version.contains("MariaDB") || comment.to_ascii_lowercase().contains("mariadb");
        let is_tidb = version.contains("TiDB");
        // TiDB may split a LOAD DATA into transactions of its own.
        self.infile = place.infile && !is_tidb && matches!(local_infile.as_deref(), Some("1" | "ON"));
        let product = match (self.is_mariadb, is_tidb) {
            (true, _) => "MariaDB",
            (_, true) => "TiDB",
            _ => "MySQL",
        };
        self.server = format!("{product} {version}");
        let writers = if read_only { "" } else { ", foreign_key_checks = 0, unique_checks = 1" };
        let settings = [
            format!(
                "SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', net_read_timeout = 600, \
                 net_write_timeout = 600, wait_timeout = 28800, innodb_lock_wait_timeout = 5, \
                 lock_wait_timeout = 30, autocommit = 1, sql_notes = 1, max_error_count = 1000, \
                 sql_safe_updates = 0, sql_select_limit = 18446744073709551615{writers}"
            ),
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
        ];
        for setting in settings {
            self.execute(&setting).await?;
        }
        if read_only {
            self.execute("SET SESSION TRANSACTION READ ONLY").await?;
        }
        // Settings that only some servers have.
        let some = if self.is_mariadb {
            ["SET SESSION max_statement_time = 0", "SET SESSION check_constraint_checks = 1"]
        } else {
            ["SET SESSION max_execution_time = 0", "SET SESSION information_schema_stats_expiry = 0"]
        };
        for setting in some {
            if let Err(error) = self.execute(setting).await
                && error.is_transient()
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs a statement; answers the rows that it matched.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn execute(&mut self, sql: &str) -> Result<u64, DbError> {
        self.execute_bytes(sql.as_bytes()).await
    }

    /// The same with bytes that are UTF-8 but need not be looked at.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn execute_bytes(&mut self, sql: &[u8]) -> Result<u64, DbError> {
        let result = self.conn.query_iter(sql).await.map_err(db_error)?;
        let matched = result.affected_rows();
        result.drop_result().await.map_err(db_error)?;
        Ok(matched)
    }

    /// Runs a statement and keeps its rows.
    ///
    /// # Errors
    /// The server's; `Other` for bytes that are no UTF-8.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<TextRow>, DbError> {
        Ok(self.answer(sql).await?.rows)
    }

    /// Runs a statement and keeps its rows and the names of its columns.
    ///
    /// # Errors
    /// As [`query`](Session::query).
    pub(super) async fn answer(&mut self, sql: &str) -> Result<Answer, DbError> {
        let mut result = self.conn.query_iter(sql).await.map_err(db_error)?;
        let mut answer = Answer::default();
        while let Some(row) = result.next().await.map_err(db_error)? {
            if answer.names.is_empty() {
                answer.names =
                    row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
            }
            let cells = (0..row.len()).map(|at| row.as_ref(at).map_or(Ok(None), text));
            answer.rows.push(cells.collect::<Result<TextRow, DbError>>()?);
        }
        result.drop_result().await.map_err(db_error)?;
        Ok(answer)
    }

    /// The first cell of the first row.
    ///
    /// # Errors
    /// As [`query`](Session::query).
    pub(super) async fn one(&mut self, sql: &str) -> Result<Option<String>, DbError> {
        Ok(self.query(sql).await?.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }
}

async fn connect(place: &Place) -> Result<Conn, DbError> {
    let with_tls = place.tls != Tls::Disabled;
    match Conn::new(place.opts(with_tls)).await {
        Err(Error::Driver(DriverError::NoClientSslFlagFromServer)) if place.tls == Tls::Preferred => {
            Conn::new(place.opts(false)).await.map_err(db_error)
        }
        Err(Error::Driver(DriverError::NoClientSslFlagFromServer)) => Err(DbError::new(
            Class::Denied,
            "the server has no TLS; give it a certificate or say ssl-mode=DISABLED",
        )),
        other => other.map_err(db_error),
    }
}

fn at(place: &Place, error: DbError) -> DbError {
    DbError { message: format!("{}: {}", place.shown, error.message), ..error }
}

fn text(value: &Value) -> Result<Option<String>, DbError> {
    match value {
        Value::NULL => Ok(None),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(DbError::new(Class::Other, "the answer holds bytes that are no UTF-8")),
        },
        other => Ok(Some(other.as_sql(true))),
    }
}
