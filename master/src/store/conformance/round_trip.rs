//! What goes in comes out: every record, lists, large and many.

use super::sample::*;
use crate::election::Mandate;
use crate::store::{AttemptRecord, Mutation, RunCursor, RunFilter, RunRecord, ShardRecord, Store};
use shanty_model::id::JobId;
use shanty_model::state::{RunState, ShardState};

pub(super) async fn every_record(store: Store) {
    let authority = lead(&store, 7).await;
    let mandate = Mandate::for_test(&authority);
    let empty_job = crate::store::JobRecord {
        spec: None,
        title: String::new(),
        labels: Default::default(),
        deleted: true,
        ..job("empty")
    };
    let first = run("nightly.1");
    let assigned = ShardRecord {
        state: ShardState::Assigned,
        attempt: 1,
        node: Some(node_id("w1")),
        reason: ODD.to_owned(),
        version: 2,
        ..shard("nightly.1/0")
    };
    let begun = attempt("nightly.1/0#1");
    let over =
        AttemptRecord { outcome: "done".to_owned(), end_ms: Some(i64::MIN), version: 2, ..begun.clone() };
    let bytes: Vec<u8> = (0..=255).collect();
    let pieces = vec![
        piece("nightly.1/0#1", 1, bytes),
        piece("nightly.1/0#1", LARGEST, Vec::new()),
        piece("nightly.1/4294967295#4294967295", 1, vec![0]),
    ];
    let mut batch = vec![
        Mutation::InsertJob(job("nightly")),
        Mutation::InsertJob(empty_job.clone()),
        Mutation::InsertRun(Box::new(first.clone())),
        Mutation::InsertShard(shard("nightly.1/0")),
        Mutation::InsertShard(shard("nightly.1/4294967295")),
        Mutation::UpdateShard(assigned.clone()),
        Mutation::InsertAttempt(begun),
        Mutation::UpdateAttempt(over.clone()),
        Mutation::AppendEvent(event("nightly.1", 1)),
        Mutation::AppendEvent(event("nightly.1", 2)),
        Mutation::AppendEvent(event("nightly.1", u32::MAX)),
        Mutation::RememberRequest(request(ODD)),
        Mutation::RememberRequest(request("")),
        Mutation::AppendNodeEvent(node_event(1)),
        Mutation::AppendNodeEvent(node_event(u32::MAX)),
        Mutation::PutNode(node("w1", true)),
        Mutation::PutNode(node("w2", true)),
        Mutation::PutNode(node("w2", false)),
    ];
    batch.extend(pieces.iter().cloned().map(Mutation::AppendSeries));
    let newest = vec![
        checkpoint("nightly.1/0#1", LARGEST, (0..=255).collect()),
        checkpoint("nightly.1/4294967295#4294967295", 1, Vec::new()),
    ];
    batch.push(Mutation::PutCheckpoint(checkpoint("nightly.1/0#1", 1, vec![7])));
    batch.extend(newest.iter().cloned().map(Mutation::PutCheckpoint));
    assert_eq!(store.commit(&mandate, &batch).await, Ok(()));

    assert_eq!(store.job(&job_id("nightly")).await, Ok(Some(job("nightly"))));
    assert_eq!(store.job(&job_id("empty")).await, Ok(Some(empty_job)));
    assert_eq!(store.job(&job_id("none")).await, Ok(None));
    assert_eq!(store.run(&run_id("nightly.1")).await, Ok(Some(first.clone())));
    assert_eq!(store.run(&run_id("nightly.2")).await, Ok(None));
    let shards = vec![assigned, shard("nightly.1/4294967295")];
    assert_eq!(store.shards(&run_id("nightly.1"), None, 10).await, Ok(shards));
    assert_eq!(store.attempts(&run_id("nightly.1")).await, Ok(vec![over]));
    let events = vec![event("nightly.1", 1), event("nightly.1", 2), event("nightly.1", u32::MAX)];
    assert_eq!(store.events(&run_id("nightly.1"), 0, 10).await, Ok(events));
    assert_eq!(store.series(&run_id("nightly.1")).await, Ok(pieces));
    assert_eq!(store.checkpoints(&run_id("nightly.1")).await, Ok(newest), "the last of a shard counts");
    assert_eq!(store.request(ODD).await, Ok(Some(request(ODD))));
    assert_eq!(store.request("").await, Ok(Some(request(""))));
    assert_eq!(store.request("none").await, Ok(None));
    assert_eq!(store.node_events(0, 10).await, Ok(vec![node_event(1), node_event(u32::MAX)]));
    assert_eq!(store.last_node_event().await, Ok(u32::MAX));
    assert_eq!(store.nodes().await, Ok(vec![node("w1", true), node("w2", false)]));

    let last = ended(&first, 99);
    let update = vec![Mutation::UpdateRun(Box::new(last.clone())), Mutation::DropSeries(run_id("nightly.1"))];
    assert_eq!(store.commit(&mandate, &update).await, Ok(()));
    assert_eq!(store.run(&run_id("nightly.1")).await, Ok(Some(last)));
    assert_eq!(store.series(&run_id("nightly.1")).await, Ok(Vec::new()));
    assert_eq!(store.checkpoints(&run_id("nightly.1")).await, Ok(Vec::new()));
}

pub(super) async fn active(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    assert_eq!(store.load_active().await, Ok(Vec::new()));
    let mut batch: Vec<Mutation> = Vec::new();
    for (number, state) in (1..).zip(RunState::ALL) {
        let run = RunRecord { state, create_ms: 100 - i64::from(number), ..run(&format!("a.{number}")) };
        batch.push(Mutation::InsertRun(Box::new(run)));
    }
    let twice = ShardRecord { attempt: 2, ..shard("a.1/1") };
    batch.extend([
        Mutation::InsertShard(shard("a.1/0")),
        Mutation::InsertShard(twice.clone()),
        Mutation::InsertAttempt(attempt("a.1/1#1")),
        Mutation::InsertAttempt(attempt("a.1/1#2")),
        Mutation::AppendSeries(piece("a.1/1#2", 2, vec![2])),
        Mutation::AppendSeries(piece("a.1/1#2", 1, vec![1])),
        Mutation::AppendSeries(piece("a.1/1#1", 5, vec![5])),
        Mutation::AppendSeries(piece("a.2/0#1", 1, vec![9])),
        Mutation::PutCheckpoint(checkpoint("a.1/1#1", 8, vec![1])),
        Mutation::PutCheckpoint(checkpoint("a.2/0#1", 1, vec![2])),
    ]);
    assert_eq!(store.commit(&mandate, &batch).await, Ok(()));
    // Another attempt's results take the place of those before.
    let newer = checkpoint("a.1/1#2", 1, vec![3, 3]);
    assert_eq!(store.commit(&mandate, &[Mutation::PutCheckpoint(newer.clone())]).await, Ok(()));
    let active = store.load_active().await.unwrap_or_default();
    let names: Vec<String> = active.iter().map(|active| active.run.id.to_string()).collect();
    assert_eq!(names, ["a.5", "a.4", "a.3", "a.2", "a.1"], "all that have not ended, oldest first");
    let whole = &active[4];
    assert_eq!(whole.shards, [shard("a.1/0"), twice]);
    assert_eq!(whole.attempts, [attempt("a.1/1#2")], "the newest attempt of each shard");
    let unread: Vec<(u32, u64)> =
        whole.unread.iter().map(|(attempt, newest)| (attempt.number, *newest)).collect();
    assert_eq!(unread, [(1, 5), (2, 2)]);
    for (attempt, from, through, limit, expected) in [
        ("a.1/1#2", 0, 2, 9, &[1, 2][..]),
        ("a.1/1#2", 0, 2, 1, &[1]),
        ("a.1/1#2", 2, 2, 1, &[2]),
        ("a.1/1#2", 0, 1, 9, &[1]),
        ("a.1/1#2", 3, u64::MAX, 9, &[]),
        ("a.1/1#1", 0, 5, 9, &[5]),
    ] {
        let attempt = attempt_id(attempt);
        let page = store.series_of(&attempt, from, through, limit).await.unwrap_or_default();
        assert!(page.iter().all(|piece| piece.attempt == attempt), "{page:?}");
        let read: Vec<u64> = page.iter().map(|piece| piece.sequence).collect();
        assert_eq!(read, expected, "{attempt} {from}..={through}, {limit}");
    }
    assert_eq!(whole.checkpoints, [newer]);
    assert_eq!(active[3].checkpoints, [checkpoint("a.2/0#1", 1, vec![2])]);
    assert_eq!(active[3].unread, [], "of an attempt that the store does not know");
    assert_eq!(active[3].attempts, []);
}

pub(super) async fn pages(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let mut batch: Vec<Mutation> = Vec::new();
    for job_name in ["b", "a"] {
        let removed = crate::store::JobRecord { deleted: true, ..job(&format!("{job_name}-gone")) };
        batch.extend([Mutation::InsertJob(job(job_name)), Mutation::InsertJob(removed)]);
        for number in 1..=12_u32 {
            // Three runs to a millisecond, so that the name decides too.
            let mut run = run(&format!("{job_name}.{number}"));
            run.create_ms = i64::from(number / 3);
            run.state = if number % 2 == 0 { RunState::Succeeded } else { RunState::Running };
            batch.push(Mutation::InsertRun(Box::new(run)));
        }
    }
    batch.extend((0..7).map(|i| Mutation::InsertShard(shard(&format!("a.1/{i}")))));
    batch.extend((1..=7).map(|i| Mutation::AppendEvent(event("a.1", i))));
    batch.extend((1..=7).map(|i| Mutation::AppendNodeEvent(node_event(i))));
    assert_eq!(store.commit(&mandate, &batch).await, Ok(()));

    let all = paged(&store, &RunFilter::default(), 5).await;
    assert_eq!(all.len(), 24);
    assert_eq!(all[..3], ["b.12", "a.12", "b.11"].map(run_id), "newest first, then by name and number");
    assert_eq!(paged(&store, &RunFilter::default(), 24).await, all);
    assert_eq!(paged(&store, &RunFilter::default(), 1).await, all);
    let of_a = RunFilter { job: Some(job_id("a")), states: Vec::new() };
    let numbers: Vec<u32> = paged(&store, &of_a, 5).await.iter().map(|id| id.number).collect();
    assert_eq!(numbers, (1..=12).rev().collect::<Vec<_>>());
    let ended_b = RunFilter { job: Some(job_id("b")), states: vec![RunState::Succeeded, RunState::Failed] };
    let numbers: Vec<u32> = paged(&store, &ended_b, 4).await.iter().map(|id| id.number).collect();
    assert_eq!(numbers, [12, 10, 8, 6, 4, 2]);

    let names =
        |jobs: Vec<crate::store::JobRecord>| jobs.into_iter().map(|job| job.id).collect::<Vec<JobId>>();
    assert_eq!(store.jobs(None, 1).await.map(names), Ok(vec![job_id("a")]));
    assert_eq!(store.jobs(Some(&job_id("a")), 5).await.map(names), Ok(vec![job_id("b")]));
    let rest = store.shards(&run_id("a.1"), Some(4), 10).await.unwrap_or_default();
    assert_eq!(rest.iter().map(|shard| shard.id.index).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(store.shards(&run_id("a.1"), None, 3).await.map(|shards| shards.len()), Ok(3));
    let events = store.events(&run_id("a.1"), 2, 3).await.unwrap_or_default();
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [3, 4, 5]);
    let events = store.node_events(5, 100).await.unwrap_or_default();
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [6, 7]);
}

async fn paged(store: &Store, filter: &RunFilter, limit: u32) -> Vec<shanty_model::id::RunId> {
    let mut ids = Vec::new();
    let mut after: Option<RunCursor> = None;
    loop {
        let page = store.runs(filter, after.as_ref(), limit).await.unwrap_or_default();
        let Some(last) = page.last() else { return ids };
        after = Some(RunCursor::from(last));
        ids.extend(page.into_iter().map(|run| run.id));
    }
}

pub(super) async fn large(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let noise = |seed: u64, length: usize| -> Vec<u8> {
        let mut x = seed | 1;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    };
    let sizes = [4 << 20, 64 << 10, 64 << 10, 0, 1, 600 << 10, 600 << 10, 600 << 10];
    let pieces: Vec<_> = (1..).zip(sizes).map(|(i, size)| piece("a.1/0#1", i, noise(i, size))).collect();
    let batch: Vec<Mutation> = pieces.iter().cloned().map(Mutation::AppendSeries).collect();
    assert_eq!(store.commit(&mandate, &batch).await, Ok(()));
    let stored = store.series(&run_id("a.1")).await.unwrap_or_default();
    assert!(stored == pieces, "large pieces differ");
    let title = "多".repeat(1 << 20);
    let long = crate::store::JobRecord { title, ..job("long") };
    assert_eq!(store.commit(&mandate, &[Mutation::InsertJob(long.clone())]).await, Ok(()));
    assert!(store.job(&job_id("long")).await == Ok(Some(long)), "a long text differs");
}

pub(super) async fn thousand(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let pieces: Vec<_> = (1..=1234).map(|i| piece("a.1/0#1", i, i.to_le_bytes().repeat(500))).collect();
    let events: Vec<_> = (1..=1234).map(|i| event("a.1", i)).collect();
    let mut batch: Vec<Mutation> = Vec::new();
    for (piece, event) in pieces.iter().zip(&events) {
        batch.extend([Mutation::AppendSeries(piece.clone()), Mutation::AppendEvent(event.clone())]);
    }
    assert_eq!(store.commit(&mandate, &batch).await, Ok(()));
    assert!(store.series(&run_id("a.1")).await == Ok(pieces), "many pieces differ");
    assert!(store.events(&run_id("a.1"), 0, u32::MAX).await == Ok(events), "many events differ");
}
