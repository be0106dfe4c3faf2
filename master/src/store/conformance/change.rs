//! What a change needs to be done: free names, the right version, the whole batch.

use super::sample::*;
use crate::election::Mandate;
use crate::store::{AttemptRecord, Error, JobRecord, Mutation, RunRecord, SeriesRecord, ShardRecord, Store};
use futures_util::future::join_all;

fn assert_conflict(outcome: &Result<(), Error>, names: &str) {
    match outcome {
        Err(Error::Conflict(why)) => assert!(why.contains(names), "`{why}` does not name {names}"),
        other => unreachable!("{names}: {other:?}"),
    }
}

pub(super) async fn taken(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let inserts = [
        (Mutation::InsertJob(job("a")), "jobs/a"),
        (Mutation::InsertRun(Box::new(run("a.1"))), "runs/a.1"),
        (Mutation::InsertShard(shard("a.1/0")), "runs/a.1/shards/0"),
        (Mutation::InsertAttempt(attempt("a.1/0#1")), "a.1/0#1"),
        (Mutation::AppendEvent(event("a.1", 1)), "event 1"),
        (Mutation::RememberRequest(request("r-1")), "r-1"),
        (Mutation::AppendNodeEvent(node_event(1)), "node event 1"),
    ];
    for (insert, name) in inserts {
        assert_eq!(store.commit(&mandate, std::slice::from_ref(&insert)).await, Ok(()), "{name}");
        assert_conflict(&store.commit(&mandate, &[insert]).await, name);
    }
    // Names are compared byte by byte.
    for id in ["R-1", "r-1é", "ŕ-1"] {
        let other = Mutation::RememberRequest(request(id));
        assert_eq!(store.commit(&mandate, &[other]).await, Ok(()), "{id}");
    }
    let twice = [Mutation::AppendEvent(event("a.1", 2)), Mutation::AppendEvent(event("a.1", 2))];
    assert_conflict(&store.commit(&mandate, &twice).await, "event 2");
}

pub(super) async fn versions(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let insert = [
        Mutation::InsertJob(job("a")),
        Mutation::InsertRun(Box::new(run("a.1"))),
        Mutation::InsertShard(shard("a.1/0")),
        Mutation::InsertAttempt(attempt("a.1/0#1")),
    ];
    assert_eq!(store.commit(&mandate, &insert).await, Ok(()));
    let at = |version: u64| {
        [
            (Mutation::UpdateJob(JobRecord { version, ..job("a") }), "jobs/a"),
            (Mutation::UpdateRun(Box::new(RunRecord { version, ..run("a.1") })), "runs/a.1"),
            (Mutation::UpdateShard(ShardRecord { version, ..shard("a.1/0") }), "runs/a.1/shards/0"),
            (Mutation::UpdateAttempt(AttemptRecord { version, ..attempt("a.1/0#1") }), "a.1/0#1"),
        ]
    };
    for (update, name) in at(2) {
        assert_eq!(store.commit(&mandate, &[update]).await, Ok(()), "{name}");
    }
    for version in [0, 1, 2, 4, u64::MAX] {
        for (update, name) in at(version) {
            assert_conflict(&store.commit(&mandate, &[update]).await, name);
        }
    }
    for (update, name) in at(3) {
        assert_eq!(store.commit(&mandate, &[update]).await, Ok(()), "{name}");
    }
    let nobody = Mutation::UpdateRun(Box::new(RunRecord { version: 2, ..run("a.2") }));
    assert_conflict(&store.commit(&mandate, &[nobody]).await, "runs/a.2");
    assert_eq!(store.run(&run_id("a.1")).await, Ok(Some(RunRecord { version: 3, ..run("a.1") })));
}

pub(super) async fn piece_twice(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let first = piece("a.1/0#1", 1, vec![1]);
    let other = piece("a.1/0#1", 1, vec![2]);
    let second = piece("a.1/0#1", 2, vec![3]);
    let append = |pieces: &[&SeriesRecord]| -> Vec<Mutation> {
        pieces.iter().map(|piece| Mutation::AppendSeries((*piece).clone())).collect()
    };
    assert_eq!(store.commit(&mandate, &append(&[&first])).await, Ok(()));
    assert_eq!(store.commit(&mandate, &append(&[&other, &second, &second, &first])).await, Ok(()));
    assert_eq!(store.series(&run_id("a.1")).await, Ok(vec![first, second]), "the first stays");
}

pub(super) async fn whole_or_nothing(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let before = [Mutation::InsertRun(Box::new(run("a.1"))), Mutation::PutNode(node("w1", false))];
    assert_eq!(store.commit(&mandate, &before).await, Ok(()));
    let mut batch = vec![
        Mutation::InsertJob(job("b")),
        Mutation::UpdateRun(Box::new(ended(&run("a.1"), 5))),
        Mutation::DropSeries(run_id("a.1")),
        Mutation::PutNode(node("w1", true)),
        Mutation::RememberRequest(request("r-1")),
    ];
    batch.extend((0..300).map(|i| Mutation::InsertShard(shard(&format!("a.1/{i}")))));
    batch.extend((1..=300).map(|i| Mutation::AppendEvent(event("a.1", i))));
    batch.extend((1..=300).map(|i| Mutation::AppendSeries(piece("a.1/0#1", i, vec![1]))));
    // Both an insert and an update at the very end, each in vain.
    for last in [
        Mutation::UpdateShard(ShardRecord { version: 5, ..shard("a.1/0") }),
        Mutation::InsertRun(Box::new(run("a.1"))),
    ] {
        batch.push(last);
        assert!(matches!(store.commit(&mandate, &batch).await, Err(Error::Conflict(_))));
        batch.pop();
        assert_eq!(store.job(&job_id("b")).await, Ok(None));
        assert_eq!(store.run(&run_id("a.1")).await, Ok(Some(run("a.1"))));
        assert_eq!(store.shards(&run_id("a.1"), None, 10).await, Ok(Vec::new()));
        assert_eq!(store.events(&run_id("a.1"), 0, 10).await, Ok(Vec::new()));
        assert_eq!(store.series(&run_id("a.1")).await, Ok(Vec::new()));
        assert_eq!(store.request("r-1").await, Ok(None));
        assert_eq!(store.nodes().await, Ok(vec![node("w1", false)]));
    }
    assert_eq!(store.commit(&mandate, &batch).await, Ok(()));
    assert_eq!(store.shards(&run_id("a.1"), None, 1000).await.map(|shards| shards.len()), Ok(300));
}

pub(super) async fn recommit(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let batch = [
        Mutation::InsertRun(Box::new(run("a.1"))),
        Mutation::InsertShard(shard("a.1/0")),
        Mutation::UpdateRun(Box::new(RunRecord { version: 2, ..run("a.1") })),
        Mutation::AppendSeries(piece("a.1/0#1", 1, vec![1])),
    ];
    assert_eq!(store.recommit(&mandate, &batch).await, Ok(()), "not done before: done now");
    assert_eq!(store.recommit(&mandate, &batch).await, Ok(()), "done before: seen");
    assert!(matches!(store.commit(&mandate, &batch).await, Err(Error::Conflict(_))));
    let other = [Mutation::InsertRun(Box::new(RunRecord { create_ms: 1, ..run("a.1") }))];
    assert!(matches!(store.recommit(&mandate, &other).await, Err(Error::Conflict(_))), "another's");
    assert_eq!(store.shards(&run_id("a.1"), None, 9).await, Ok(vec![shard("a.1/0")]));
}

pub(super) async fn at_once(store: Store) {
    const WRITERS: u64 = 12;
    const ROUNDS: u64 = 8;
    let authority = lead(&store, 1).await;
    assert_eq!(
        store.commit(&Mandate::for_test(&authority), &[Mutation::InsertJob(job("shared"))]).await,
        Ok(())
    );
    let writer = async |number: u64| {
        let mandate = Mandate::for_test(&authority);
        let name = format!("w{number}");
        assert_eq!(store.commit(&mandate, &[Mutation::InsertJob(job(&name))]).await, Ok(()));
        let mut mine = 0;
        for round in 1..=ROUNDS {
            let own = Mutation::UpdateJob(JobRecord { version: round + 1, ..job(&name) });
            assert_eq!(store.commit(&mandate, &[own]).await, Ok(()), "nobody else writes {name}");
            // Everybody raises the shared row by one; a conflict or a lost race is tried again.
            loop {
                let Ok(Some(shared)) = store.job(&job_id("shared")).await else { continue };
                let update = Mutation::UpdateJob(JobRecord { version: shared.version + 1, ..shared });
                match store.commit(&mandate, &[update]).await {
                    Ok(()) => break mine += 1,
                    Err(Error::Conflict(_) | Error::Unavailable(_)) => {}
                    Err(error) => unreachable!("{error}"),
                }
            }
        }
        mine
    };
    let done: u64 = join_all((1..=WRITERS).map(writer)).await.into_iter().sum();
    assert_eq!(done, WRITERS * ROUNDS);
    let version = store.job(&job_id("shared")).await.ok().flatten().map(|job| job.version);
    assert_eq!(version, Some(1 + WRITERS * ROUNDS), "each of them was done once");
}

pub(super) async fn refused(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let huge = Mutation::InsertJob(JobRecord { version: u64::MAX, ..job("huge") });
    assert_conflict(&store.commit(&mandate, &[huge]).await, "jobs/huge");
    let long = store.commit(&mandate, &[Mutation::RememberRequest(request(&"x".repeat(192)))]).await;
    assert_conflict(&long, "request id");
    let longest = Mutation::RememberRequest(request(&"ü".repeat(191)));
    assert_eq!(store.commit(&mandate, &[longest]).await, Ok(()));
    // A NUL is kept as its picture.
    let nul = JobRecord { title: "a\0b".to_owned(), ..job("nul") };
    assert_eq!(store.commit(&mandate, &[Mutation::InsertJob(nul)]).await, Ok(()));
    let title = store.job(&job_id("nul")).await.ok().flatten().map(|job| job.title);
    assert_eq!(title.as_deref(), Some("a\u{2400}b"));
}
