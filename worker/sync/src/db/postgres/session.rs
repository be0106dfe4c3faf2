//! One session: how it is opened, its settings, statements and transactions.
//!
//! In: an endpoint, SQL. Out: answers, [`DbError`]. Never: logs a statement; connects again while a transaction is
//! under way or after the server ended the session.
//! Tests: against a server in `worker/sync/tests/databases/postgres.rs`.
//!
//! A COPY that the server refuses at once, or whose rest nobody wants, leaves the driver unable to count the
//! server's answers. Outside a transaction a session has no state but its settings, so such a one is
//! replaced by another before its next use; inside one everything but a rollback is refused until then, as the
//! server would.

use super::dialect::{Postgres, of_server};
use super::{catalog, error, facts, read, write};
use crate::db::{
    Class, Connection, DbError, Dialect, Endpoint, Load, Loaded, RowSink, Rows, Select, TextRow,
};
use crate::schema::{Column, Table, TableName};
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use std::str::FromStr as _;
use std::time::Duration;

/// How long a server may take until a session is ready.
const CONNECT: Duration = Duration::from_secs(15);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Name by which the server shows sessions that only read for a sync.
pub(super) const READER: &str = "shanty-sync-reader";
const WRITER: &str = "shanty-sync-writer";

/// Settings of all sessions: how values are printed, and that nothing waits for ever. A half-open session is
/// noticed by the server itself.
const SETTINGS: &str = "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; \
    SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; \
    SET extra_float_digits = 1; SET bytea_output = 'hex'; SET xmloption = 'content'; \
    SET statement_timeout = 0; SET lock_timeout = '5s'; \
    SET client_min_messages = 'error'; SET jit = off; \
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3; \
    SET default_transaction_isolation = 'read committed'; ";
/// A reader may hold a snapshot while its target is slow. Rows that a policy would hide are an error.
const READER_SETTINGS: &str = "SET default_transaction_read_only = on; SET row_security = off; \
    SET idle_in_transaction_session_timeout = '10min'";
/// A writer that stopped in the middle of a page gives its locks back.
const WRITER_SETTINGS: &str = "SET default_transaction_read_only = off; \
    SET idle_in_transaction_session_timeout = '15s'";

/// Connects; see [`open`](crate::db::open).
pub(in crate::db) async fn open(
    endpoint: &Endpoint,
    read_only: bool,
) -> Result<Box<dyn Connection>, DbError> {
    let options = PgConnectOptions::from_str(endpoint.url())
        .map_err(error::from_driver)?
        .application_name(if read_only { READER } else { WRITER })
        .disable_statement_logging();
    let opened = Box::pin(connect(&options, read_only)).await;
    let (driver, facts) = opened
        .map_err(|error| DbError { message: format!("{}: {}", endpoint.shown(), error.message), ..error })?;
    Ok(Box::new(Session { driver, options, read_only, facts, state: State::Idle, stale: false }))
}

/// What a session learns about its server at once.
#[derive(Debug)]
struct Facts {
    backend: Option<String>,
    server: String,
    /// What a durable commit sets `synchronous_commit` to: what the server is set to, if that is durable.
    durable: &'static str,
    dialect: &'static Postgres,
}

/// The oldest server whose catalog is understood: 12, as the server counts.
const OLDEST: i32 = 120_000;

async fn connect(options: &PgConnectOptions, read_only: bool) -> Result<(PgConnection, Facts), DbError> {
    let prepared = async {
        let mut driver = options.connect().await.map_err(error::from_driver)?;
        let role = if read_only { READER_SETTINGS } else { WRITER_SETTINGS };
        run(&mut driver, &format!("{SETTINGS}{role}")).await?;
        let rows = ask(
            &mut driver,
            "SELECT pid || '.' || round(extract(epoch FROM backend_start) * 1000000)::bigint, \
             current_setting('server_version'), current_setting('synchronous_commit'), \
             current_setting('server_encoding'), current_setting('server_version_num') \
             FROM pg_stat_activity WHERE pid = pg_backend_pid()",
        )
        .await?;
        let row = rows.into_iter().next().unwrap_or_default();
        let at = |index: usize| row.get(index).and_then(Option::as_deref).unwrap_or_default();
        let (version, encoding) = (at(1), at(3));
        let number = at(4).parse::<i32>().unwrap_or(OLDEST);
        if number < OLDEST {
            let message = format!("PostgreSQL {version} is too old; version 12 or a later one is needed");
            return Err(DbError::new(Class::Other, message));
        }
        let is_utf8 = encoding == "UTF8";
        let server = if is_utf8 {
            format!("PostgreSQL {version}")
        } else {
            format!("PostgreSQL {version}, {encoding}")
        };
        let durable = match at(2) {
            "remote_apply" => "remote_apply",
            "remote_write" => "remote_write",
            "local" => "local",
            _ => "on",
        };
        let backend = row.first().cloned().flatten();
        Ok((driver, Facts { backend, server, durable, dialect: of_server(is_utf8, number) }))
    };
    match tokio::time::timeout(CONNECT, Box::pin(prepared)).await {
        Ok(result) => result,
        Err(_) => Err(DbError::new(Class::Lost, format!("nobody answered within {} s", CONNECT.as_secs()))),
    }
}

async fn run(driver: &mut PgConnection, sql: &str) -> Result<u64, DbError> {
    let done = driver.execute(sqlx::raw_sql(AssertSqlSafe(plain(sql)?))).await;
    done.map(|done| done.rows_affected()).map_err(error::from_driver)
}

async fn ask(driver: &mut PgConnection, sql: &str) -> Result<Vec<TextRow>, DbError> {
    let rows =
        driver.fetch_all(sqlx::raw_sql(AssertSqlSafe(plain(sql)?))).await.map_err(error::from_driver)?;
    let mut answer = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut cells = Vec::with_capacity(row.len());
        for index in 0..row.len() {
            let value = row.try_get_raw(index).map_err(error::from_driver)?;
            cells.push(if sqlx::ValueRef::is_null(&value) {
                None
            } else {
                let text = value.as_str().map_err(|_| not_text())?;
                Some(text.to_owned())
            });
        }
        answer.push(cells);
    }
    Ok(answer)
}

fn not_text() -> DbError {
    DbError::new(Class::Other, "a value of an answer is not UTF-8; set the database's encoding right")
}

/// The protocol ends a statement at a NUL.
fn plain(sql: &str) -> Result<String, DbError> {
    if sql.contains('\0') {
        return Err(DbError::new(Class::Row, "a NUL in a statement; PostgreSQL's text cannot hold it"));
    }
    Ok(sql.to_owned())
}

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No transaction is under way.
    Idle,
    /// A transaction is under way.
    Open,
    /// A transaction is under way in which a statement failed.
    Failed,
    /// The session is gone.
    Lost,
}

/// One session.
pub(super) struct Session {
    driver: PgConnection,
    options: PgConnectOptions,
    read_only: bool,
    facts: Facts,
    state: State,
    /// Whether the driver has lost count of the server's answers.
    stale: bool,
}

impl Session {
    /// The driver, ready for a statement.
    pub(super) async fn driver(&mut self) -> Result<&mut PgConnection, DbError> {
        match self.state {
            State::Lost => return Err(DbError::new(Class::Lost, "the session is gone; connect again")),
            State::Failed if self.stale => return Err(failed()),
            State::Open | State::Failed => {}
            State::Idle if self.stale => {
                let (driver, facts) = Box::pin(connect(&self.options, self.read_only)).await?;
                goodbye(std::mem::replace(&mut self.driver, driver)).await;
                self.facts = facts;
                self.stale = false;
            }
            State::Idle => {}
        }
        Ok(&mut self.driver)
    }

    /// Notes what became of a statement.
    pub(super) fn noted<T>(&mut self, result: Result<T, DbError>) -> Result<T, DbError> {
        if let Err(error) = &result {
            match (self.state, error.class) {
                (_, Class::Lost) => self.state = State::Lost,
                (State::Open, _) => self.state = State::Failed,
                _ => {}
            }
        }
        result
    }

    /// Notes that the driver has lost count of the server's answers.
    pub(super) fn lose_count(&mut self) {
        self.stale = true;
        if self.state == State::Open {
            self.state = State::Failed;
        }
    }

    /// Whether a transaction is under way.
    pub(super) fn in_transaction(&self) -> bool {
        matches!(self.state, State::Open | State::Failed)
    }

    /// One statement that answers few rows.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Vec<TextRow>, DbError> {
        let result = ask(self.driver().await?, sql).await;
        self.noted(result)
    }

    /// The only value of an answer; none for NULL or no row.
    pub(super) async fn ask_one(&mut self, sql: &str) -> Result<Option<String>, DbError> {
        let rows = self.ask(sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// One statement; the rows that it touched. After a rollback to a savepoint a transaction that failed goes on.
    pub(super) async fn run(&mut self, sql: &str) -> Result<u64, DbError> {
        let result = run(self.driver().await?, sql).await;
        let goes_on = sql.get(..11).is_some_and(|head| head.eq_ignore_ascii_case("ROLLBACK TO"));
        if goes_on && result.is_ok() && self.state == State::Failed {
            self.state = State::Open;
        }
        self.noted(result)
    }

    async fn begin(&mut self) -> Result<(), DbError> {
        if self.in_transaction() {
            return Err(DbError::new(Class::Other, "a transaction is under way; commit or roll back first"));
        }
        self.run("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
        self.state = State::Open;
        Ok(())
    }

    async fn commit(&mut self, durable: bool) -> Result<(), DbError> {
        match self.state {
            State::Lost => return Err(DbError::new(Class::Lost, "the session is gone; connect again")),
            State::Idle => return Err(DbError::new(Class::Other, "no transaction is under way")),
            // COMMIT of such a one rolls back and calls it success.
            State::Failed => {
                self.rollback().await?;
                return Err(failed());
            }
            State::Open => {}
        }
        let level = if durable { self.facts.durable } else { "off" };
        let done = self.run(&format!("SET LOCAL synchronous_commit TO {level}; COMMIT")).await;
        if done.is_err() {
            if self.state != State::Lost {
                self.rollback().await?;
            }
        } else {
            self.state = State::Idle;
        }
        done.map(drop)
    }

    async fn rollback(&mut self) -> Result<(), DbError> {
        if !self.in_transaction() {
            return Ok(());
        }
        // The server rolls back a stale session when it is replaced.
        if !self.stale {
            self.run("ROLLBACK").await?;
        }
        self.state = State::Idle;
        Ok(())
    }
}

fn failed() -> DbError {
    DbError::new(Class::Other, "a statement of this transaction failed; roll back first")
}

/// Ends a session; the server notices a lost one by itself.
async fn goodbye(driver: PgConnection) {
    drop(tokio::time::timeout(GOODBYE, driver.close()).await);
}

impl Connection for Session {
    fn dialect(&self) -> &'static dyn Dialect {
        self.facts.dialect
    }

    fn backend(&self) -> Option<String> {
        self.facts.backend.clone()
    }

    fn server(&self) -> String {
        self.facts.server.clone()
    }

    fn query<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Vec<TextRow>, DbError>> {
        Box::pin(self.ask(sql))
    }

    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<u64, DbError>> {
        Box::pin(self.run(sql))
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), DbError>> {
        Box::pin(Session::begin(self))
    }

    fn commit(&mut self, durable: bool) -> BoxFuture<'_, Result<(), DbError>> {
        Box::pin(Session::commit(self, durable))
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), DbError>> {
        Box::pin(Session::rollback(self))
    }

    fn tables<'a>(&'a mut self, schema: Option<&'a str>) -> BoxFuture<'a, Result<Vec<TableName>, DbError>> {
        Box::pin(catalog::tables(self, schema))
    }

    fn describe<'a>(&'a mut self, table: &'a TableName) -> BoxFuture<'a, Result<Option<Table>, DbError>> {
        Box::pin(catalog::describe(self, table))
    }

    fn estimate<'a>(
        &'a mut self,
        table: &'a TableName,
        filter: &'a str,
    ) -> BoxFuture<'a, Result<Option<u64>, DbError>> {
        Box::pin(facts::estimate(self, table, filter))
    }

    fn histogram<'a>(
        &'a mut self,
        table: &'a TableName,
        column: &'a Column,
    ) -> BoxFuture<'a, Result<Vec<String>, DbError>> {
        Box::pin(facts::histogram(self, table, column))
    }

    fn identity(&mut self) -> BoxFuture<'_, Result<String, DbError>> {
        Box::pin(facts::identity(self))
    }

    fn missing_privileges<'a>(
        &'a mut self,
        table: &'a TableName,
        write: bool,
    ) -> BoxFuture<'a, Result<Vec<String>, DbError>> {
        Box::pin(facts::missing_privileges(self, table, write))
    }

    fn safe_upper<'a>(
        &'a mut self,
        table: &'a TableName,
        column: &'a Column,
    ) -> BoxFuture<'a, Result<(Option<String>, Option<String>), DbError>> {
        Box::pin(facts::safe_upper(self, table, column))
    }

    fn lag(&mut self) -> BoxFuture<'_, Result<Option<Duration>, DbError>> {
        Box::pin(facts::lag(self))
    }

    fn read<'a>(
        &'a mut self,
        select: Select<'a>,
        sink: &'a mut dyn RowSink,
    ) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(read::read(self, select, sink))
    }

    fn load<'a>(
        &'a mut self,
        load: &'a Load,
        rows: Rows<'a>,
        count: u64,
    ) -> BoxFuture<'a, Result<Loaded, DbError>> {
        Box::pin(write::load(self, load, rows, count))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(goodbye(self.driver))
    }
}
