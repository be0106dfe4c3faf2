//! What every store must do: one suite, run on SQLite, PostgreSQL and MySQL/MariaDB.
//!
//! In: a maker of URLs, each of a store that nobody else uses. Out: nothing, or a panic that names the check.
//! Tests: it is one; SQLite below, the servers in `tests/tests/store.rs`.

mod change;
mod fencing;
mod pruning;
mod round_trip;
mod sample;
mod speed;

use super::{Options, Store};
use futures_util::future::BoxFuture;
pub use speed::{Speed, measure};

type Check = fn(Store, String) -> BoxFuture<'static, ()>;

/// Runs all checks, each on a store of its own.
///
/// # Panics
/// When one does not hold.
pub async fn run(fresh: impl AsyncFn() -> String) {
    let checks: [(&str, Check); 20] = [
        ("every record comes back as it was", |s, _| Box::pin(round_trip::every_record(s))),
        ("an active run is loaded whole", |s, _| Box::pin(round_trip::active(s))),
        ("lists go on where they were left", |s, _| Box::pin(round_trip::pages(s))),
        ("large pieces come back", |s, _| Box::pin(round_trip::large(s))),
        ("a thousand rows go in one batch", |s, _| Box::pin(round_trip::thousand(s))),
        ("a name is taken once", |s, _| Box::pin(change::taken(s))),
        ("a version is passed once", |s, _| Box::pin(change::versions(s))),
        ("a piece twice is a piece", |s, _| Box::pin(change::piece_twice(s))),
        ("a batch is done whole or not at all", |s, _| Box::pin(change::whole_or_nothing(s))),
        ("a commit without an answer is found", |s, _| Box::pin(change::recommit(s))),
        ("many commit at once and none is lost", |s, _| Box::pin(change::at_once(s))),
        ("what a database would refuse is a conflict", |s, _| Box::pin(change::refused(s))),
        ("an old master changes nothing", |s, _| Box::pin(fencing::old_master(s))),
        ("fencing waits for what is under way", |s, _| Box::pin(fencing::under_way(s))),
        ("fencing gets through a busy master", |s, url| Box::pin(fencing::busy(s, url))),
        ("a silent master does not hold its successor", |s, url| Box::pin(fencing::silent(s, url))),
        ("only one incarnation gets an epoch", |s, _| Box::pin(fencing::one_of_many(s))),
        ("a store is opened by many at once", |s, url| Box::pin(fencing::opened_at_once(s, url))),
        ("an older store is brought up to date", |s, url| Box::pin(fencing::older(s, url))),
        ("history goes when its time is over", |s, _| Box::pin(pruning::retention(s))),
    ];
    for (name, check) in checks {
        let url = fresh().await;
        let store = match Store::open(&url, Options::default()).await {
            Ok(store) => store,
            Err(error) => unreachable!("{name}: {error}"),
        };
        tracing::info!(store = store.kind(), name, "checking");
        let told = Told(name, store.kind());
        check(store.clone(), url).await;
        drop(told);
        store.close().await;
    }
}

/// Says which check it was when one fails.
struct Told(&'static str, &'static str);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(check = self.0, store = self.1, "a check of the store does not hold");
            eprintln!("store conformance, {}: \"{}\" does not hold", self.1, self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite_url;
    use std::cell::Cell;

    #[tokio::test]
    async fn sqlite_in_a_file_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let count = Cell::new(0);
        run(async || {
            count.set(count.get() + 1);
            sqlite_url(&folder.path().join(format!("{}.db", count.get())))
        })
        .await;
    }

    #[tokio::test]
    async fn sqlite_in_memory_conforms() {
        run(async || "sqlite::memory:".to_owned()).await;
    }
}
