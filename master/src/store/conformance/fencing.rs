//! The fence: whoever is at another epoch changes nothing, and nobody holds up a successor for long.

use super::sample::*;
use crate::election::{Authority, Mandate};
use crate::store::transaction::Transaction;
use crate::store::value::text;
use crate::store::{
    AttemptRecord, Error, FenceOutcome, JobRecord, Mutation, Options, Retention, RunRecord, ShardRecord,
    Store,
};
use futures_util::future::join_all;
use shanty_model::epoch::Epoch;
use std::time::{Duration, Instant};

/// Longer than any transaction of these checks.
const LONG: Duration = Duration::from_secs(30);

pub(super) async fn old_master(store: Store) {
    assert_eq!(store.fence_epoch().await, Ok(Epoch::NONE));
    let old = lead(&store, 7).await;
    let old = Mandate::for_test(&old);
    let there = [
        Mutation::InsertJob(job("a")),
        Mutation::InsertRun(Box::new(run("a.1"))),
        Mutation::InsertShard(shard("a.1/0")),
        Mutation::InsertAttempt(attempt("a.1/0#1")),
    ];
    assert_eq!(store.commit(&old, &there).await, Ok(()));
    assert_eq!(store.canary(Epoch(7)).await, Ok(()));
    let new = lead(&store, 9).await;
    let new = Mandate::for_test(&new);
    assert_eq!(store.fence_epoch().await, Ok(Epoch(9)));
    let every = [
        Mutation::InsertJob(job("b")),
        Mutation::UpdateJob(JobRecord { version: 2, ..job("a") }),
        Mutation::InsertRun(Box::new(run("a.2"))),
        Mutation::UpdateRun(Box::new(RunRecord { version: 2, ..run("a.1") })),
        Mutation::InsertShard(shard("a.1/1")),
        Mutation::UpdateShard(ShardRecord { version: 2, ..shard("a.1/0") }),
        Mutation::InsertAttempt(attempt("a.1/0#2")),
        Mutation::UpdateAttempt(AttemptRecord { version: 2, ..attempt("a.1/0#1") }),
        Mutation::AppendEvent(event("a.1", 1)),
        Mutation::AppendSeries(piece("a.1/0#1", 1, vec![1])),
        Mutation::PutCheckpoint(checkpoint("a.1/0#1", 1, vec![1])),
        Mutation::DropSeries(run_id("a.1")),
        Mutation::RememberRequest(request("r")),
        Mutation::AppendNodeEvent(node_event(1)),
        Mutation::PutNode(node("w1", true)),
    ];
    let fenced = Error::Fenced { stored: Epoch(9), mine: Epoch(7) };
    for mutation in &every {
        let batch = std::slice::from_ref(mutation);
        assert_eq!(store.commit(&old, batch).await, Err(fenced.clone()), "{mutation:?}");
        assert_eq!(store.recommit(&old, batch).await, Err(fenced.clone()), "{mutation:?}");
    }
    assert_eq!(store.commit(&old, &[]).await, Err(fenced.clone()));
    assert_eq!(store.canary(Epoch(7)).await, Err(fenced.clone()));
    assert_eq!(store.prune(&old, 0, Retention::default()).await, Err(fenced));
    assert_eq!(store.fence(Epoch(7), "me").await, Ok(FenceOutcome::Behind { stored: Epoch(9) }));
    assert_eq!(store.fence(Epoch(9), "another").await, Ok(FenceOutcome::Behind { stored: Epoch(9) }));
    assert_eq!(store.fence(Epoch(9), "me").await, Ok(FenceOutcome::Fenced), "a repetition");
    // A store from a backup is older than its master: it must be fenced again before it is written.
    let ahead = Authority::for_test(Epoch(10));
    let refused = Error::Fenced { stored: Epoch(9), mine: Epoch(10) };
    assert_eq!(store.commit(&Mandate::for_test(&ahead), &every).await, Err(refused));
    for mutation in &every {
        assert_eq!(store.commit(&new, std::slice::from_ref(mutation)).await, Ok(()), "{mutation:?}");
    }
    assert_eq!(store.canary(Epoch(9)).await, Ok(()));
}

pub(super) async fn under_way(store: Store) {
    let old = lead(&store, 1).await;
    let Ok(mut transaction) = Transaction::begin(&store, LONG).await else { unreachable!("a turn is free") };
    assert_eq!(transaction.check_fence(Epoch(1)).await, Ok(()));
    assert_eq!(transaction.insert(&[&job("a")], "").await, Ok(()));
    let fence = store.fence(Epoch(2), "successor");
    tokio::pin!(fence);
    // Longer than the fence takes when nothing is in its way, shorter than a silent client is borne.
    let early = tokio::time::timeout(Duration::from_millis(400), &mut fence).await;
    assert!(early.is_err(), "the fence did not wait: {early:?}");
    assert_eq!(transaction.commit().await, Ok(()), "what is under way is finished");
    assert_eq!(fence.await, Ok(FenceOutcome::Fenced));
    assert_eq!(store.job(&job_id("a")).await, Ok(Some(job("a"))));
    let after = store.commit(&Mandate::for_test(&old), &[Mutation::InsertJob(job("b"))]).await;
    assert_eq!(after, Err(Error::Fenced { stored: Epoch(2), mine: Epoch(1) }));
}

/// An old master that commits without a pause, on all its connections, cannot keep its successor waiting.
pub(super) async fn busy(store: Store, url: String) {
    let old = lead(&store, 1).await;
    let successor = if url.contains(":memory:") {
        store.clone()
    } else {
        let Ok(successor) = Store::open(&url, Options::default()).await else { unreachable!("it is there") };
        successor
    };
    let writer = async |number: u32| {
        let mandate = Mandate::for_test(&old);
        for sequence in 1.. {
            let batch = [Mutation::AppendEvent(event(&format!("a.{number}"), sequence))];
            match store.commit(&mandate, &batch).await {
                Ok(()) | Err(Error::Unavailable(_)) => {}
                Err(Error::Fenced { .. }) => return sequence,
                Err(error) => unreachable!("{error}"),
            }
        }
        0
    };
    let fence = async {
        // The writers are at it.
        while store.events(&run_id("a.1"), 20, 1).await.is_ok_and(|events| events.is_empty()) {}
        let began = Instant::now();
        assert_eq!(successor.fence(Epoch(2), "successor").await, Ok(FenceOutcome::Fenced));
        began.elapsed()
    };
    let (took, written) = futures_util::join!(fence, join_all((1..=8).map(writer)));
    assert!(took < Duration::from_secs(2), "fenced after {took:?}, {written:?} commits");
    for (number, refused) in (1..).zip(written) {
        let events = store.events(&run_id(&format!("a.{number}")), 0, u32::MAX).await.unwrap_or_default();
        let last = events.last().map_or(0, |event| event.sequence);
        assert!(last < refused, "event {last} was written after the fence");
    }
}

/// A master that was stopped in the middle of a transaction, by a debugger or a hypervisor: its connection
/// stays, and says nothing.
pub(super) async fn silent(store: Store, url: String) {
    let _old = lead(&store, 1).await;
    if store.kind() == "sqlite" {
        // One machine and one file: nobody ends a stopped process there but its owner.
        return;
    }
    let Ok(mut transaction) = Transaction::begin(&store, LONG).await else { unreachable!("a turn is free") };
    assert_eq!(transaction.check_fence(Epoch(1)).await, Ok(()));
    assert_eq!(transaction.insert(&[&job("a")], "").await, Ok(()));
    let Ok(successor) = Store::open(&url, Options::default()).await else { unreachable!("it is there") };
    let began = Instant::now();
    assert_eq!(successor.fence(Epoch(2), "successor").await, Ok(FenceOutcome::Fenced));
    // The server's own patience is 2 s.
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    let late = transaction.insert(&[&job("b")], "").await;
    assert!(matches!(late, Err(Error::Unavailable(_))), "{late:?}");
    drop(transaction);
    assert_eq!(successor.job(&job_id("a")).await, Ok(None), "what it had begun is undone");
    assert_eq!(store.job(&job_id("a")).await, Ok(None), "its store goes on reading");
    successor.close().await;
}

pub(super) async fn one_of_many(store: Store) {
    for epoch in 1..=5 {
        let names: Vec<String> = (0..6).map(|i| format!("master {i}")).collect();
        let outcomes = join_all(names.iter().map(|name| store.fence(Epoch(epoch), name))).await;
        let won = outcomes.iter().filter(|outcome| **outcome == Ok(FenceOutcome::Fenced)).count();
        assert_eq!(won, 1, "{outcomes:?}");
        let behind = Ok(FenceOutcome::Behind { stored: Epoch(epoch) });
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == behind).count(), 5, "{outcomes:?}");
    }
}

pub(super) async fn opened_at_once(store: Store, url: String) {
    if url.contains(":memory:") {
        return;
    }
    // The tables are there already; without their versions they are brought up to date again, by all.
    let Ok(mut transaction) = Transaction::begin(&store, LONG).await else { unreachable!("a turn is free") };
    assert!(
        transaction
            .run("schema", "DELETE FROM schema_version WHERE id = ?", vec![crate::store::value::int(1)])
            .await
            .is_ok()
    );
    assert_eq!(transaction.commit().await, Ok(()));
    let opened = join_all((0..4).map(|_| Store::open(&url, Options::default()))).await;
    for another in opened {
        let Ok(another) = another else { unreachable!("{another:?}") };
        assert_eq!(another.fence_epoch().await, Ok(Epoch::NONE));
        another.close().await;
    }
    // A newer schema is left alone.
    let Ok(mut transaction) = Transaction::begin(&store, LONG).await else { unreachable!("a turn is free") };
    let newer = "UPDATE schema_version SET version = 1000000 WHERE id = ? AND ? = ''";
    assert_eq!(transaction.run("schema", newer, vec![crate::store::value::int(1), text("")]).await, Ok(1));
    assert_eq!(transaction.commit().await, Ok(()));
    let newer = Store::open(&url, Options::default()).await;
    assert!(matches!(&newer, Err(Error::Corrupt(why)) if why.contains("newer shanty")), "{newer:?}");
}

/// A store of the first schema, with a shard in it.
pub(super) async fn older(store: Store, url: String) {
    if url.contains(":memory:") {
        return;
    }
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let batch = [Mutation::InsertRun(Box::new(run("a.1"))), Mutation::InsertShard(shard("a.1/0"))];
    assert_eq!(store.commit(&mandate, &batch).await, Ok(()));
    let Ok(mut transaction) = Transaction::begin(&store, LONG).await else { unreachable!("a turn is free") };
    for statement in [
        "DROP TABLE checkpoint",
        "ALTER TABLE shard DROP COLUMN name",
        "ALTER TABLE shard DROP COLUMN payload",
        "ALTER TABLE shard DROP COLUMN size",
        "UPDATE schema_version SET version = 1",
    ] {
        let done = transaction.run("schema", statement, vec![]).await;
        assert!(done.is_ok(), "{statement}: {done:?}");
    }
    assert_eq!(transaction.commit().await, Ok(()));
    store.close().await;
    let newer = match Store::open(&url, Options::default()).await {
        Ok(newer) => newer,
        Err(error) => unreachable!("{error}"),
    };
    let plain = ShardRecord { name: String::new(), payload: String::new(), size: 0, ..shard("a.1/0") };
    assert_eq!(newer.shards(&run_id("a.1"), None, 9).await, Ok(vec![plain]));
    let newest = checkpoint("a.1/0#1", 1, vec![1]);
    let put = [Mutation::PutCheckpoint(newest.clone()), Mutation::InsertShard(shard("a.1/1"))];
    assert_eq!(newer.commit(&mandate, &put).await, Ok(()));
    assert_eq!(newer.checkpoints(&run_id("a.1")).await, Ok(vec![newest]));
    newer.close().await;
}
