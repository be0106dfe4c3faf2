//! What all engines keep: one list of checks over each of them, and every pair of them.
//!
//! A server that is not installed is skipped in sight (see `support/servers.rs`).

use crate::support::rows::Database;
use crate::support::servers::Server;
use crate::support::{checks, pairs};
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

/// Runs each check on a database of its own; tells all that fail, not only the first.
macro_rules! run {
    ($fresh:expr, $($check:ident),+ $(,)?) => {{
        let mut failed: Vec<&str> = Vec::new();
        $(
            let database = $fresh;
            let ended = AssertUnwindSafe(checks::$check(&database)).catch_unwind().await;
            if ended.is_err() {
                failed.push(stringify!($check));
            }
        )+
        failed
    }};
}

/// All checks, on databases that `fresh` makes.
async fn keeps_the_contract(mut fresh: impl FnMut() -> Database) {
    let mut failed = run!(
        fresh(),
        names_and_texts_are_quoted,
        kinds_come_back,
        keys_part_the_rows,
        values_are_read_as_loaded,
        row_hashes_are_those_of_all_engines,
        duplicates_are_refused_or_replaced,
        errors_have_their_class,
        statements_answer_the_rows_they_matched,
        transactions_are_seen_when_committed,
        a_locked_row_is_busy,
        a_killed_session_is_lost,
        a_read_may_be_ended_early,
        raw_rows_arrive,
    );
    let (database, another) = (fresh(), fresh());
    let ended =
        AssertUnwindSafe(checks::a_database_tells_about_itself(&database, &another)).catch_unwind().await;
    if ended.is_err() {
        failed.push("a_database_tells_about_itself");
    }
    assert!(failed.is_empty(), "not kept: {failed:?}; what was said is above");
}

/// Files in a folder.
fn files(folder: &tempfile::TempDir) -> impl FnMut() -> Database + '_ {
    let mut made = 0;
    move || {
        made += 1;
        Database { url: format!("sqlite://{}/{made}.db", folder.path().display()) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    keeps_the_contract(files(&folder)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_keeps_the_contract() {
    let Some(server) = Server::mariadb() else { return };
    keeps_the_contract(|| Database { url: server.url() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    let Some(server) = Server::postgres() else { return };
    keeps_the_contract(|| Database { url: server.url() }).await;
}

/// From each engine to each, itself included: every value arrives, or is an event that is told; both ends' hashes are
/// equal where no value was lost.
#[tokio::test(flavor = "multi_thread")]
async fn every_value_arrives_between_all_engines() {
    let folder = tempfile::tempdir().unwrap();
    let servers: Vec<Server> = [Server::mariadb(), Server::postgres()].into_iter().flatten().collect();
    let mut file = files(&folder);
    let mut fresh: Vec<Box<dyn FnMut() -> Database + '_>> = vec![Box::new(&mut file)];
    for server in &servers {
        fresh.push(Box::new(|| Database { url: server.url() }));
    }
    let mut failed = Vec::new();
    for from in 0..fresh.len() {
        for to in 0..fresh.len() {
            let (source, target) = (fresh[from](), fresh[to]());
            let ended = AssertUnwindSafe(pairs::copies(&source, &target)).catch_unwind().await;
            if ended.is_err() {
                let scheme =
                    |database: &Database| database.url.split(':').next().unwrap_or_default().to_owned();
                failed.push(format!("{} → {}", scheme(&source), scheme(&target)));
            }
        }
    }
    assert!(failed.is_empty(), "not kept: {failed:?}; what was said is above");
}
