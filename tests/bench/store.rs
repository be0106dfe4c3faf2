//! Commits per second of each store, side by side: SQLite, PostgreSQL, MariaDB.
//!
//! A batch of 1 is one run's new version; a batch of 100 is 50 events and 50 pieces of 2 KiB. Databases that
//! are not installed are left out.

use shanty_master::store::{Options, Store, conformance, sqlite_url};
use shanty_tests::databases::{MariaDb, Postgres};
use std::time::Duration;

/// Measures and prints.
///
/// # Errors
/// When a store cannot be opened.
pub(crate) async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let postgres = Postgres::start();
    let mariadb = MariaDb::start();
    let urls = [
        Some(sqlite_url(&folder.path().join("speed.db"))),
        postgres.as_ref().map(Postgres::url),
        mariadb.as_ref().map(MariaDb::url),
    ];
    for url in urls.into_iter().flatten() {
        let store = Store::open(&url, Options::default()).await?;
        let speed = conformance::measure(&store, Duration::from_secs(3)).await;
        println!(
            "store: {:8}  batch of 1: {:6.0}/s   batch of 100: {:6.0}/s   batch of 1, eight at once: {:6.0}/s",
            store.kind(),
            speed.single,
            speed.hundred,
            speed.eight
        );
    }
    Ok(())
}
