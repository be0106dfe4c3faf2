//! Retention: what is old or too much goes, what has not ended stays.

use super::sample::*;
use crate::election::Mandate;
use crate::store::{Mutation, Pruned, Retention, RunRecord, Store};
use shanty_model::state::RunState;

const DAY_MS: i64 = 24 * 3600 * 1000;

pub(super) async fn retention(store: Store) {
    let authority = lead(&store, 1).await;
    let mandate = Mandate::for_test(&authority);
    let now_ms = 1000 * DAY_MS;
    let mut batch = Vec::new();
    // Job a: runs 1 to 9, of which 2 has not ended; job b: one old run; job c: one that began long ago and
    // ended yesterday, and one that never ended.
    let mut put = |name: &str, state: RunState, create_ms: i64, end_ms: Option<i64>| {
        batch.push(Mutation::InsertRun(Box::new(RunRecord { state, create_ms, end_ms, ..run(name) })));
        batch.push(Mutation::InsertShard(shard(&format!("{name}/0"))));
        batch.push(Mutation::InsertAttempt(attempt(&format!("{name}/0#1"))));
        batch.push(Mutation::AppendEvent(event(name, 1)));
        batch.push(Mutation::AppendSeries(piece(&format!("{name}/0#1"), 1, vec![1])));
        batch.push(Mutation::PutCheckpoint(checkpoint(&format!("{name}/0#1"), 1, vec![1])));
    };
    for number in 1..=9 {
        let state = if number == 2 { RunState::Running } else { RunState::Failed };
        put(&format!("a.{number}"), state, now_ms - 10, (number != 2).then_some(now_ms - 5));
    }
    put("b.1", RunState::Lost, now_ms - 100 * DAY_MS, Some(now_ms - 91 * DAY_MS));
    put("c.1", RunState::Succeeded, now_ms - 100 * DAY_MS, Some(now_ms - DAY_MS));
    put("c.2", RunState::Stopping, 0, None);
    // More pieces and events than go in one transaction, of the old run and of one whose report is stored.
    batch.extend((2..=1203).map(|i| Mutation::AppendEvent(event("b.1", i))));
    batch.extend((2..=1203).map(|i| Mutation::AppendSeries(piece("b.1/0#1", i, vec![1]))));
    batch.extend((1..=703).map(|i| Mutation::AppendSeries(piece("a.9/0#2", i, vec![1]))));
    batch.push(Mutation::DropSeries(run_id("a.9")));
    for (id, time_ms) in [("old", now_ms - 3 * DAY_MS), ("day", now_ms - DAY_MS / 2), ("new", now_ms)] {
        batch.push(Mutation::RememberRequest(crate::store::RequestRecord { time_ms, ..request(id) }));
    }
    batch.extend((1..=1010).map(|i| Mutation::AppendNodeEvent(node_event(i))));
    assert_eq!(store.commit(&mandate, &batch).await, Ok(()));

    let retention =
        Retention { runs_per_job: 3, run_age_ms: 90 * DAY_MS, request_age_ms: 0, node_events: 10 };
    let pruned = store.prune(&mandate, now_ms, retention).await;
    // Of a the ended 1, 3, 4, 5, 6; b.1 by its age.
    let expected = Pruned {
        runs: 6,
        events: 5 + 1203,
        series: 5 + 1203 + 704,
        requests: 1,
        node_events: 1000,
        more: false,
    };
    assert_eq!(pruned, Ok(expected));
    for gone in ["a.1", "a.3", "a.4", "a.5", "a.6", "b.1"] {
        let id = run_id(gone);
        assert_eq!(store.run(&id).await, Ok(None), "{gone}");
        assert_eq!(store.shards(&id, None, 9).await, Ok(Vec::new()), "{gone}");
        assert_eq!(store.attempts(&id).await, Ok(Vec::new()), "{gone}");
        assert_eq!(store.events(&id, 0, 9).await, Ok(Vec::new()), "{gone}");
        assert_eq!(store.series(&id).await, Ok(Vec::new()), "{gone}");
        assert_eq!(store.checkpoints(&id).await, Ok(Vec::new()), "{gone}");
    }
    for kept in ["a.2", "a.7", "a.8", "a.9", "c.1", "c.2"] {
        let id = run_id(kept);
        assert!(matches!(store.run(&id).await, Ok(Some(_))), "{kept}");
        assert_eq!(store.shards(&id, None, 9).await.map(|rows| rows.len()), Ok(1), "{kept}");
        assert_eq!(store.attempts(&id).await.map(|rows| rows.len()), Ok(1), "{kept}");
        assert_eq!(store.events(&id, 0, 9).await.map(|rows| rows.len()), Ok(1), "{kept}");
        let pieces = usize::from(kept != "a.9");
        assert_eq!(store.series(&id).await.map(|rows| rows.len()), Ok(pieces), "{kept}");
        assert_eq!(store.checkpoints(&id).await.map(|rows| rows.len()), Ok(pieces), "{kept}");
    }
    assert_eq!(store.request("old").await, Ok(None));
    assert!(matches!(store.request("day").await, Ok(Some(_))), "a request is kept for a day at least");
    assert_eq!(store.last_node_event().await, Ok(1010));
    let first = store.node_events(0, 1).await.unwrap_or_default();
    assert_eq!(first.first().map(|event| event.sequence), Some(1001));
    let again = store.prune(&mandate, now_ms, retention).await;
    assert_eq!(again, Ok(Pruned::default()), "nothing is left to do");
}
