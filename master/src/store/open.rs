//! Opening a store: from a URL to a pool of connections over an up-to-date schema.
//!
//! In: a URL, [`Options`]. Out: a [`Store`], a cheap handle that is cloned freely.
//! Never: shows a password.
//! Tests: below; the conformance suite.

use super::Error;
use super::dialect::Dialect;
use super::error::trouble;
use super::schema;
use shanty_rt::pulse::Pulse;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, ConnectOptions as _, Connection as _, Executor as _};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Between two tries at a server that is away.
const AGAIN: Duration = Duration::from_millis(500);

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Most connections at once; at least 1.
    pub max_connections: u32,
    /// Longest wait for a connection.
    pub acquire_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { max_connections: 8, acquire_timeout: Duration::from_secs(2) }
    }
}

/// What must outlive every process. Cloning is cheap; all clones share the connections.
#[derive(Clone)]
pub struct Store {
    pub(super) pool: AnyPool,
    pub(super) dialect: Dialect,
    /// Turns to write: one in SQLite, where a second writer would only wait inside the database, and less
    /// fairly; one per connection elsewhere.
    pub(super) turns: Arc<Semaphore>,
    /// Beats with each statement that is answered in a transaction.
    pub(super) pulse: Option<Arc<Pulse>>,
    shown: Arc<str>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.shown).finish()
    }
}

impl Store {
    /// Opens the store at `url` (`sqlite:///path/file.db`, `sqlite::memory:` for tests,
    /// `postgres://user:password@host/database`, `mysql://…`) and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be reached or the URL is none of these; [`Error::Corrupt`] when
    /// its schema is newer than this program. The text names the URL without its password, and a next step.
    pub async fn open(url: &str, options: Options) -> Result<Store, Error> {
        Store::try_open(url, options).await.map_err(|failure| failure.error)
    }

    /// The same, and a server that is not there yet, or is starting, is waited for: that is said once, and again when the
    /// reason changes. `waits` is called before each new try.
    ///
    /// # Errors
    /// As [`Store::open`], for what waiting does not mend.
    pub async fn open_when_there(url: &str, options: Options, waits: impl Fn()) -> Result<Store, Error> {
        let mut said = None;
        loop {
            match Store::try_open(url, options).await {
                Ok(store) => return Ok(store),
                Err(Failure { error, is_away: false }) => return Err(error),
                Err(Failure { error, is_away: true }) => {
                    if said.as_ref() != Some(&error) {
                        tracing::warn!(%error, "waiting for the store");
                        said = Some(error);
                    }
                    waits();
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn try_open(url: &str, options: Options) -> Result<Store, Failure> {
        let shown: Arc<str> = without_password(url).into();
        let explain = |error: Error| match error {
            Error::Unavailable(why) => {
                let why = scrub(&why, url);
                Error::Unavailable(format!("cannot open {shown}: {why}; {}", next_step(url)))
            }
            other @ (Error::Fenced { .. } | Error::Conflict(_) | Error::Corrupt(_)) => other,
        };
        let stays = |error: Error| Failure { error: explain(error), is_away: false };
        let Some(dialect) = Dialect::of_url(url) else {
            return Err(stays(Error::Unavailable("unknown kind of store".to_owned())));
        };
        sqlx::any::install_default_drivers();
        let is_memory = dialect == Dialect::Sqlite && url.contains(":memory:");
        let connect: AnyConnectOptions =
            sqlx_url(dialect, url).parse().map_err(|error| stays(trouble("url", error)))?;
        let connect = connect.disable_statement_logging();
        if dialect != Dialect::Sqlite {
            // The pool would say no more than that time is over.
            reach(&connect, options.acquire_timeout).await.map_err(|(error, is_away)| {
                let error = explain(error);
                Failure { error, is_away }
            })?;
        }
        // A database in memory lives and dies with its one connection.
        let most = if is_memory { 1 } else { options.max_connections.max(1) };
        // A standby that begins to lead finds two open: one for its loop, one for what is beside it.
        let least = if dialect == Dialect::Sqlite { u32::from(is_memory) } else { most.min(2) };
        let rest = if is_memory { None } else { Some(Duration::from_secs(5)) };
        let pool = AnyPoolOptions::new()
            .max_connections(most)
            .min_connections(least)
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(rest)
            .max_lifetime(None)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    for statement in dialect.on_connect() {
                        connection.execute(*statement).await?;
                    }
                    Ok(())
                })
            })
            .connect_with(connect)
            .await
            .map_err(|error| stays(trouble("connection", error)))?;
        let turns = if dialect == Dialect::Sqlite { 1 } else { most };
        let turns = Arc::new(Semaphore::new(usize::try_from(turns).unwrap_or(1)));
        let mut connection = pool.acquire().await.map_err(|error| stays(trouble("connection", error)))?;
        if let Err(error) = schema::migrate(&mut connection, dialect).await {
            // It may hold the schema's lock or an open transaction; a database in memory has no other.
            if !is_memory {
                connection.close_on_drop();
            }
            return Err(stays(error));
        }
        drop(connection);
        tracing::info!(store = %shown, "store opened");
        Ok(Store { pool, dialect, turns, pulse: None, shown })
    }

    /// The same store, in whose transactions each answered statement is a sign of life: whoever waits for a transaction of
    /// many statements over a slow line does not hang.
    #[must_use]
    pub fn beating(&self, pulse: Arc<Pulse>) -> Store {
        Store { pulse: Some(pulse), ..self.clone() }
    }

    /// `sqlite`, `postgres` or `mysql`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.dialect.name()
    }

    /// The URL without its password.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Waits for running statements and closes all connections; the store answers unavailable afterwards.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Why a store is not open.
struct Failure {
    error: Error,
    /// Nobody answers there, or not yet: the same may do later.
    is_away: bool,
}

/// Connects once; else says why not, and whether the server is away.
async fn reach(connect: &AnyConnectOptions, limit: Duration) -> Result<(), (Error, bool)> {
    let error = match tokio::time::timeout(limit, connect.connect()).await {
        Ok(Ok(connection)) => {
            let closed = connection.close().await;
            return closed.map_err(|error| (trouble("connection", error), true));
        }
        Ok(Err(error)) => error,
        Err(_) => return Err((Error::Unavailable(format!("no answer within {limit:?}")), true)),
    };
    let is_away = match &error {
        sqlx::Error::Io(_) => true,
        // SQLSTATE: connection exceptions, too many connections, and what PostgreSQL says while it starts or stops.
        sqlx::Error::Database(database) => database.code().is_some_and(|state| {
            state.len() == 5 && (state.starts_with("08") || state.starts_with("57P0") || state == "53300")
        }),
        _ => false,
    };
    Err((trouble("connection", error), is_away))
}

/// The URL of a SQLite file.
#[must_use]
pub fn sqlite_url(path: &Path) -> String {
    let mut url = "sqlite://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                url.push(char::from(*byte))
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

/// The URL as sqlx wants it: a SQLite file is made when it is not there.
fn sqlx_url(dialect: Dialect, url: &str) -> String {
    match dialect {
        Dialect::Postgres | Dialect::MySql => url.to_owned(),
        Dialect::Sqlite if url.contains("mode=") || url.contains(":memory:") => url.to_owned(),
        Dialect::Sqlite => format!("{url}{}mode=rwc", if url.contains('?') { '&' } else { '?' }),
    }
}

/// The password's place in a URL: in `scheme://user:password@host`, up to the last `@` before the path.
fn password(url: &str) -> Option<std::ops::Range<usize>> {
    let from = url.find("://")? + 3;
    let authority = url.get(from..)?;
    // A password with a `/` in it breaks the URL, but shall not be shown either.
    let at = authority.rfind('@')?;
    let colon = authority.get(..at)?.find(':')?;
    Some(from + colon + 1..from + at)
}

fn without_password(url: &str) -> String {
    let mut shown = url.to_owned();
    if let Some(range) = password(url) {
        shown.replace_range(range, "***");
    }
    // The other place where drivers take one.
    if let Some(at) = shown.find("password=") {
        let from = at + "password=".len();
        let to =
            shown.get(from..).and_then(|rest| rest.find('&')).map_or(shown.len(), |length| from + length);
        shown.replace_range(from..to, "***");
    }
    shown
}

/// The text without the URL's password, should a driver have put it there.
fn scrub(text: &str, url: &str) -> String {
    match password(url).and_then(|range| url.get(range)) {
        Some(secret) if !secret.is_empty() => text.replace(secret, "***"),
        Some(_) | None => text.to_owned(),
    }
}

fn next_step(url: &str) -> &'static str {
    match Dialect::of_url(url) {
        Some(Dialect::Sqlite) => "look whether its folder is there and may be written",
        Some(Dialect::Postgres | Dialect::MySql) => {
            "look whether the server runs there, the database is there and the user may create tables in it"
        }
        None => "give one of sqlite:///path, postgres://user:password@host/database, mysql://…",
    }
}

#[cfg(test)]
mod tests {
    use super::super::transaction::Transaction;
    use super::*;
    use shanty_model::epoch::Epoch;
    use shanty_rt::clock;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("postgres://u:s3cret@h:5432/d", "postgres://u:***@h:5432/d"),
            ("mysql://u:s3/cr@et@h/d", "mysql://u:***@h/d"),
            ("postgres://h/d?user=u&password=s3cret&x=y", "postgres://h/d?user=u&password=***&x=y"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("sqlite:///a/b.db", "sqlite:///a/b.db"),
        ] {
            assert_eq!(without_password(url), shown);
        }
        assert_eq!(scrub("no s3cret here", "mysql://u:s3cret@h/d"), "no *** here");
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_opened_says_which_and_what_to_do() {
        let options = Options { acquire_timeout: Duration::from_millis(300), ..Options::default() };
        for (url, step) in [
            ("postgres://u:s3cret@127.0.0.1:1/d", "look whether the server runs"),
            ("sqlite:///no/such/folder/x.db", "look whether its folder"),
            ("oracle://u:s3cret@h/d", "give one of"),
        ] {
            let text = Store::open(url, options).await.unwrap_err().to_string();
            assert!(text.contains(step) && text.contains(&without_password(url)), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[tokio::test]
    async fn each_answer_in_a_transaction_is_a_sign_of_life() {
        let store = Store::open("sqlite::memory:", Options::default()).await.unwrap();
        let pulse = Arc::new(Pulse::new());
        let beating = store.beating(pulse.clone());
        let mut transaction = Transaction::begin(&beating, Duration::from_secs(5)).await.unwrap();
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let before = clock::boottime();
            transaction.check_fence(Epoch::NONE).await.unwrap();
            assert!(pulse.silence(clock::boottime()) <= clock::boottime() - before);
        }
    }

    #[tokio::test]
    async fn a_path_with_odd_characters_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a ?b#c%20.db");
        let store = Store::open(&sqlite_url(&path), Options::default()).await.unwrap();
        assert_eq!(store.kind(), "sqlite");
        store.close().await;
        assert!(path.exists());
    }
}
