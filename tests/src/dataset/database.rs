//! One database of one engine, spoken to through sqlx.
//!
//! In: SQL. Out: rows as text, exactly as the server prints them. Never: a pool, or a session that outlives a
//! call: servers die in these tests.
//! Tests: `tests/tests/t50_sync.rs`.

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Either, Executor as _, Row as _, ValueRef as _,
};
use std::str::FromStr as _;
use tokio_stream::StreamExt as _;

/// Cells of a row as text; none for NULL.
pub type Row = Vec<Option<String>>;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// MariaDB.
    MariaDb,
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl Engine {
    /// All of them.
    pub const ALL: [Engine; 3] = [Engine::MariaDb, Engine::Postgres, Engine::Sqlite];

    /// A short name, for connections.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Engine::MariaDb => "my",
            Engine::Postgres => "pg",
            Engine::Sqlite => "lite",
        }
    }
}

/// A database that nobody else uses.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its engine.
    pub engine: Engine,
    /// Its URL, as a connection of a worker's configuration has it.
    pub url: String,
}

impl Database {
    /// Runs statements one after the other in one session.
    ///
    /// # Panics
    /// When the server refuses one.
    pub async fn run<S: AsRef<str>>(&self, statements: &[S]) {
        if let Err(error) = self.try_run(statements).await {
            panic!("{error}");
        }
    }

    /// Runs statements one after the other in one session.
    ///
    /// # Errors
    /// The server's words, with the statement.
    pub async fn try_run<S: AsRef<str>>(&self, statements: &[S]) -> Result<(), String> {
        let mut session = Session::open(self).await?;
        for sql in statements {
            session.run(sql.as_ref()).await?;
        }
        session.close().await;
        Ok(())
    }

    /// Rows of a query.
    ///
    /// # Panics
    /// When the server refuses it, or a cell is not UTF-8.
    pub async fn rows(&self, sql: &str) -> Vec<Row> {
        self.try_rows(sql).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Rows of a query.
    ///
    /// # Errors
    /// The server's words, with the query.
    pub async fn try_rows(&self, sql: &str) -> Result<Vec<Row>, String> {
        let mut session = Session::open(self).await?;
        let rows = session.rows(sql).await?;
        session.close().await;
        Ok(rows)
    }

    /// The first cell of the first row.
    ///
    /// # Panics
    /// When there is none or it is NULL.
    pub async fn one(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        let cell = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        cell.unwrap_or_else(|| panic!("no value: {sql}"))
    }

    /// Number of rows of a table.
    ///
    /// # Panics
    /// When there is no such table.
    pub async fn count(&self, table: &str) -> u64 {
        let count = self.one(&format!("SELECT COUNT(*) FROM {table}")).await;
        count.parse().expect("a number")
    }

    /// Whether there is such a table.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn has(&self, table: &str) -> bool {
        let sql = match self.engine {
            Engine::Sqlite => format!("SELECT name FROM sqlite_master WHERE name = '{table}'"),
            Engine::MariaDb => format!(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() \
                 AND table_name = '{table}'"
            ),
            Engine::Postgres => {
                format!(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = '{table}'"
                )
            }
        };
        !self.rows(&sql).await.is_empty()
    }
}

/// One session.
#[derive(Debug)]
pub enum Session {
    /// With MariaDB.
    MariaDb(sqlx::MySqlConnection),
    /// With PostgreSQL.
    Postgres(sqlx::PgConnection),
    /// With a file.
    Sqlite(sqlx::SqliteConnection),
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// The server's words.
    pub async fn open(database: &Database) -> Result<Session, String> {
        let url = &database.url;
        let opened = match database.engine {
            Engine::MariaDb => {
                let options = sqlx::mysql::MySqlConnectOptions::from_str(url)
                    .map_err(|error| error.to_string())?
                    .pipes_as_concat(false)
                    .no_engine_substitution(false)
                    .disable_statement_logging();
                options.connect().await.map(Session::MariaDb)
            }
            Engine::Postgres => {
                let options = sqlx::postgres::PgConnectOptions::from_str(url)
                    .map_err(|error| error.to_string())?
                    .disable_statement_logging();
                options.connect().await.map(Session::Postgres)
            }
            Engine::Sqlite => {
                let options = sqlx::sqlite::SqliteConnectOptions::from_str(url)
                    .map_err(|error| error.to_string())?
                    .create_if_missing(true)
                    .disable_statement_logging();
                options.connect().await.map(Session::Sqlite)
            }
        };
        opened.map_err(|error| format!("no session: {error}"))
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// The server's words, with the statement.
    pub async fn run(&mut self, sql: &str) -> Result<(), String> {
        let raw = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let ran = match self {
            Session::MariaDb(session) => session.execute(raw).await.map(|_| ()),
            Session::Postgres(session) => session.execute(raw).await.map(|_| ()),
            Session::Sqlite(session) => session.execute(raw).await.map(|_| ()),
        };
        ran.map_err(|error| format!("{error}: {}", shortened(sql)))
    }

    /// Rows of a query.
    ///
    /// # Errors
    /// The server's words, with the query.
    pub async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        let said = |error: sqlx::Error| format!("{error}: {}", shortened(sql));
        let raw = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Session::MariaDb(session) => {
                let mut stream = session.fetch_many(raw);
                while let Some(next) = stream.next().await {
                    if let Either::Right(row) = next.map_err(said)? {
                        // NULL is told by what cannot be decoded: a zero date is no NULL.
                        let cells = (0..row.len()).map(|i| {
                            let cell = row.try_get_raw(i).ok()?;
                            <&[u8] as sqlx::Decode<sqlx::MySql>>::decode(cell).ok().map(utf8)
                        });
                        rows.push(cells.collect());
                    }
                }
            }
            Session::Postgres(session) => {
                let mut stream = session.fetch_many(raw);
                while let Some(next) = stream.next().await {
                    if let Either::Right(row) = next.map_err(said)? {
                        // Without parameters the server sends text.
                        let cells =
                            (0..row.len()).map(|i| row.try_get_raw(i).ok()?.as_bytes().ok().map(utf8));
                        rows.push(cells.collect());
                    }
                }
            }
            Session::Sqlite(session) => {
                let mut stream = session.fetch_many(raw);
                while let Some(next) = stream.next().await {
                    if let Either::Right(row) = next.map_err(said)? {
                        let cells = (0..row.len()).map(|i| {
                            let cell = row.try_get_raw(i).ok().filter(|cell| !cell.is_null())?;
                            <Vec<u8> as sqlx::Decode<sqlx::Sqlite>>::decode(cell)
                                .ok()
                                .map(|bytes| utf8(&bytes))
                        });
                        rows.push(cells.collect());
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Ends the session in good order.
    pub async fn close(self) {
        let _gone_already = match self {
            Session::MariaDb(session) => session.close().await,
            Session::Postgres(session) => session.close().await,
            Session::Sqlite(session) => session.close().await,
        };
    }
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8; ask for hex where it may be none")
}

fn shortened(sql: &str) -> String {
    sql.chars().take(400).collect()
}
