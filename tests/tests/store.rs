//! The store on real servers: the conformance suite, and what happens when a server dies, hangs or comes back.

use shanty_master::election::{Authority, Mandate};
use shanty_master::store::{
    Error, FenceOutcome, JobRecord, Mutation, Options, Store, conformance, sqlite_url,
};
use shanty_model::epoch::Epoch;
use shanty_tests::databases::{MariaDb, Postgres};
use shanty_tests::patience::until;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    conformance::run(async || {
        count.set(count.get() + 1);
        sqlite_url(&folder.path().join(format!("{}.db", count.get())))
    })
    .await;
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(postgres) = Postgres::start() else { return };
    conformance::run(async || postgres.url()).await;
}

#[tokio::test]
async fn mariadb_conforms() {
    let Some(mariadb) = MariaDb::start() else { return };
    conformance::run(async || mariadb.url()).await;
}

fn job(name: &str) -> Mutation {
    Mutation::InsertJob(JobRecord {
        id: name.parse().unwrap(),
        title: String::new(),
        spec: None,
        labels: Default::default(),
        last_run: 0,
        deleted: false,
        version: 1,
        create_ms: 0,
        update_ms: 0,
    })
}

/// What was committed is there after the server was killed, and the same handle goes on by itself.
async fn survives_a_crash(url: String, mut kill: impl FnMut(), mut restart: impl FnMut()) {
    let store = Store::open(&url, Options::default()).await.unwrap();
    assert_eq!(store.fence(Epoch(1), "me").await, Ok(FenceOutcome::Fenced));
    let authority = Authority::for_test(Epoch(1));
    let mandate = Mandate::for_test(&authority);
    store.commit(&mandate, &[job("before")]).await.unwrap();
    kill();
    for outcome in [
        store.commit(&mandate, &[job("during")]).await,
        store.canary(Epoch(1)).await,
        store.fence_epoch().await.map(drop),
    ] {
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }
    restart();
    until("the store takes a commit again", PATIENCE, async || {
        store.recommit(&mandate, &[job("after")]).await
    })
    .await;
    for (name, is_there) in [("before", true), ("during", false), ("after", true)] {
        let found = store.job(&name.parse().unwrap()).await.unwrap();
        assert_eq!(found.is_some(), is_there, "{name}");
    }
    assert_eq!(store.fence_epoch().await, Ok(Epoch(1)));
}

#[tokio::test]
async fn postgres_survives_a_crash() {
    let Some(postgres) = Postgres::start() else { return };
    let url = postgres.url();
    let server = std::cell::RefCell::new(postgres);
    survives_a_crash(url, || server.borrow_mut().kill(), || server.borrow_mut().restart()).await;
}

#[tokio::test]
async fn mariadb_survives_a_crash() {
    let Some(mariadb) = MariaDb::start() else { return };
    let url = mariadb.url();
    let server = std::cell::RefCell::new(mariadb);
    survives_a_crash(url, || server.borrow_mut().kill(), || server.borrow_mut().restart()).await;
}

/// A server that hangs is told from one that works in the canary's second, and no call hangs with it.
#[tokio::test]
async fn a_hung_server_is_noticed_within_a_second() {
    let Some(mut mariadb) = MariaDb::start() else { return };
    let store = Store::open(&mariadb.url(), Options::default()).await.unwrap();
    assert_eq!(store.fence(Epoch(1), "me").await, Ok(FenceOutcome::Fenced));
    let authority = Authority::for_test(Epoch(1));
    let mandate = Mandate::for_test(&authority);
    assert_eq!(store.canary(Epoch(1)).await, Ok(()));
    mariadb.pause();
    let began = Instant::now();
    let canary = store.canary(Epoch(1)).await;
    assert!(matches!(canary, Err(Error::Unavailable(_))), "{canary:?}");
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    let began = Instant::now();
    let commit = store.commit(&mandate, &[job("a")]).await;
    assert!(matches!(commit, Err(Error::Unavailable(_))), "{commit:?}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    mariadb.resume();
    until("the store takes the commit again", PATIENCE, async || store.recommit(&mandate, &[job("a")]).await)
        .await;
    assert!(store.job(&"a".parse().unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_refused_password_is_said_without_the_password() {
    let Some(postgres) = Postgres::start() else { return };
    let url = postgres.url().replace("s3cr", "wr0ng");
    let text = Store::open(&url, Options::default()).await.unwrap_err().to_string();
    assert!(
        text.contains("postgres://shanty:***@127.0.0.1") && text.contains("authentication failed"),
        "{text}"
    );
    assert!(!text.contains("wr0ng"), "{text}");
}
