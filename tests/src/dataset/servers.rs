//! MariaDB and PostgreSQL for a test, and a folder for SQLite's files.
//!
//! In: nothing. Out: new databases of each engine. Never: two sets of servers at once in one test program, since
//! starting one is noise in the other's timings.
//! Tests: `tests/tests/t50_sync.rs`.

use super::{Database, Engine};
use crate::databases::{MariaDb, Postgres};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tokio::sync::Mutex;

static ALONE: LazyLock<Arc<Mutex<()>>> = LazyLock::new(|| Arc::new(Mutex::new(())));

/// The servers of a test.
#[derive(Debug)]
pub struct Servers {
    /// MariaDB.
    pub mariadb: MariaDb,
    /// PostgreSQL.
    pub postgres: Postgres,
    folder: tempfile::TempDir,
    _alone: tokio::sync::OwnedMutexGuard<()>,
}

impl Servers {
    /// Starts both servers with the memory of a test; none when one is not installed.
    ///
    /// # Panics
    /// When one does not come up.
    pub async fn start() -> Option<Servers> {
        Servers::start_with(&[], &[]).await
    }

    /// Starts both servers with more arguments for each.
    ///
    /// # Panics
    /// When one does not come up.
    pub async fn start_with(mariadb: &[&str], postgres: &[&str]) -> Option<Servers> {
        let alone = ALONE.clone().lock_owned().await;
        let postgres = Postgres::start_with(postgres)?;
        // Rows of 16 MiB pass.
        let mut more =
            vec!["--max-allowed-packet=128M", "--character-set-server=utf8mb4", "--local-infile=1"];
        more.extend_from_slice(mariadb);
        let mariadb = MariaDb::start_with(&more)?;
        let folder = tempfile::Builder::new().prefix("shanty-sqlite-").tempdir().expect("temporary folder");
        Some(Servers { mariadb, postgres, folder, _alone: alone })
    }

    /// A new, empty database. `name` is the file's for SQLite.
    ///
    /// # Panics
    /// When the server does not make it.
    #[must_use]
    pub fn database(&self, engine: Engine, name: &str) -> Database {
        let url = match engine {
            Engine::MariaDb => self.mariadb.url(),
            Engine::Postgres => self.postgres.url(),
            Engine::Sqlite => format!("sqlite://{}", self.folder.path().join(format!("{name}.db")).display()),
        };
        Database { engine, url }
    }

    /// The folder of SQLite's files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
