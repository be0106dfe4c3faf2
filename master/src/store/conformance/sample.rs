//! Samples of all records, with everything in them that a database could spoil.

use crate::election::Authority;
use crate::placement::{Candidate, Decision};
use crate::store::{
    AttemptRecord, CheckpointRecord, EventBody, EventRecord, FenceOutcome, JobRecord, NodeEventRecord,
    NodeRecord, RequestRecord, RunDetail, RunRecord, SeriesRecord, ShardRecord, Store,
};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, JobId, NodeId, RunId, ShardId};
use shanty_model::kind::{Change, Report, Spec, db_sync, http_load};
use shanty_model::rate::{Load, Plan};
use shanty_model::state::{RunState, ShardState};
use std::time::Duration;

/// Quotes, newlines, several scripts, a character beyond the basic plane, question marks and dollars.
pub(super) const ODD: &str = "a ? $1 'b' \"c\" \\ \n\t ü 多 שָׁלוֹם 🚢 %s -- /* ; trailing ";

/// The largest number a row can hold.
pub(super) const LARGEST: u64 = i64::MAX.unsigned_abs();

/// Fences the store for an epoch and gives its authority.
pub(super) async fn lead(store: &Store, epoch: u64) -> Authority {
    let outcome = store.fence(Epoch(epoch), "me").await;
    assert_eq!(outcome, Ok(FenceOutcome::Fenced), "the store is fenced for a test");
    Authority::for_test(Epoch(epoch))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> T {
    match text.parse() {
        Ok(id) => id,
        Err(error) => unreachable!("{error}"),
    }
}

pub(super) fn job_id(text: &str) -> JobId {
    parsed(text)
}

pub(super) fn run_id(text: &str) -> RunId {
    parsed(text)
}

pub(super) fn shard_id(text: &str) -> ShardId {
    parsed(text)
}

pub(super) fn attempt_id(text: &str) -> AttemptId {
    parsed(text)
}

pub(super) fn node_id(text: &str) -> NodeId {
    parsed(text)
}

pub(super) fn spec() -> Spec {
    Spec::HttpLoad(http_load::Spec {
        url: "http://127.0.0.1:8080/ü?x=1".to_owned(),
        headers: [("x-odd".to_owned(), ODD.to_owned()), ("x-nul".to_owned(), "a\0b".to_owned())].into(),
        body: Some((0..=255).collect()),
        rate: Some(0.1 + 0.2),
        duration: Some(Duration::new(3, 141_592_653)),
        thresholds: vec!["p99_ms<50".to_owned(), String::new()],
        ..http_load::Spec::default()
    })
}

pub(super) fn job(name: &str) -> JobRecord {
    JobRecord {
        id: job_id(name),
        title: ODD.to_owned(),
        spec: Some(spec()),
        labels: [("team".to_owned(), ODD.to_owned()), (String::new(), String::new())].into(),
        last_run: u32::MAX,
        deleted: false,
        version: 1,
        create_ms: -1,
        update_ms: i64::MAX,
    }
}

pub(super) fn run(name: &str) -> RunRecord {
    // From JSON, so that fields that are not kept need no value here.
    let candidate = serde_json::json!({
        "node": "w1", "refusal": ODD, "score": 1.0 / 3.0, "weight": 7, "cores": 1e-300, "cpu_percent": f64::MAX,
        "memory_percent": 5e-324, "lateness_p99_ms": 0.1 + 0.7,
    });
    let candidate: Candidate = match serde_json::from_value(candidate) {
        Ok(candidate) => candidate,
        Err(error) => unreachable!("{error}"),
    };
    let decision =
        Decision { time_ms: 9, reason: "start".to_owned(), revision: 1, candidates: vec![candidate] };
    RunRecord {
        id: run_id(name),
        spec: spec(),
        state: RunState::Running,
        reason: ODD.to_owned(),
        sequence: 3,
        epoch: Epoch(LARGEST),
        detail: RunDetail {
            plan: Some(Plan::new(Load::Closed { connections: 9, end_ns: u64::MAX }, vec![u64::MAX, 0])),
            start_unix_ns: Some(i64::MIN),
            placements: vec![decision],
            lost_shards: vec![(u32::MAX, u64::MAX)],
            stopping: Some((RunState::Cancelled, ODD.to_owned())),
            stopped_at_ns: Some(u64::MAX),
            change: Some(Change::DbSync(db_sync::Change {
                bytes_per_second: Some(u64::MAX),
                ..Default::default()
            })),
        },
        report: None,
        version: 1,
        create_ms: 1_700_000_000_000,
        start_ms: None,
        end_ms: None,
    }
}

/// The run's last version.
pub(super) fn ended(run: &RunRecord, end_ms: i64) -> RunRecord {
    let mut report =
        http_load::Report { engine: ODD.to_owned(), target_rate: 1.0 / 7.0, ..Default::default() };
    report.statuses = vec![(200, u64::MAX)];
    RunRecord {
        state: RunState::Succeeded,
        reason: String::new(),
        detail: RunDetail::default(),
        report: Some(Report::HttpLoad(Box::new(report))),
        version: run.version + 1,
        start_ms: Some(0),
        end_ms: Some(end_ms),
        ..run.clone()
    }
}

pub(super) fn shard(name: &str) -> ShardRecord {
    ShardRecord {
        id: shard_id(name),
        name: ODD.to_owned(),
        payload: format!("{{\"odd\":\"{ODD}\"}}"),
        size: LARGEST,
        state: ShardState::Pending,
        attempt: 0,
        node: None,
        reason: String::new(),
        version: 1,
    }
}

pub(super) fn attempt(name: &str) -> AttemptRecord {
    AttemptRecord {
        id: attempt_id(name),
        node: node_id("w1"),
        incarnation: ODD.to_owned(),
        epoch: Epoch(7),
        outcome: String::new(),
        reason: ODD.to_owned(),
        version: 1,
        create_ms: 5,
        end_ms: None,
    }
}

pub(super) fn event(run: &str, sequence: u32) -> EventRecord {
    let body = match sequence % 3 {
        0 => EventBody::State { from: RunState::Running, to: RunState::Stopping, reason: ODD.to_owned() },
        1 => EventBody::Shard {
            shard: shard_id(&format!("{run}/3")),
            attempt: 2,
            node: Some(node_id("w2")),
            state: ShardState::Yielded,
            reason: "nul \0 here".to_owned(),
        },
        _ => EventBody::Note { warning: true, reason: "ODD".to_owned(), message: ODD.to_owned() },
    };
    EventRecord { run: run_id(run), sequence, time_ms: i64::from(sequence), body }
}

pub(super) fn piece(attempt: &str, sequence: u64, partial: Vec<u8>) -> SeriesRecord {
    SeriesRecord { attempt: attempt_id(attempt), node: node_id("w1"), sequence, partial }
}

pub(super) fn checkpoint(attempt: &str, sequence: u64, partial: Vec<u8>) -> CheckpointRecord {
    CheckpointRecord { attempt: attempt_id(attempt), node: node_id("w1"), sequence, partial }
}

pub(super) fn request(id: &str) -> RequestRecord {
    RequestRecord {
        id: id.to_owned(),
        method: "StartRun".to_owned(),
        digest: ODD.to_owned(),
        resource: "runs/adhoc.1".to_owned(),
        time_ms: 3,
    }
}

pub(super) fn node_event(sequence: u32) -> NodeEventRecord {
    NodeEventRecord {
        sequence,
        time_ms: 4,
        node: node_id("m1"),
        reason: "ELECTED".to_owned(),
        message: ODD.to_owned(),
        epoch: Epoch(LARGEST),
    }
}

pub(super) fn node(name: &str, cordoned: bool) -> NodeRecord {
    NodeRecord { id: node_id(name), cordoned }
}
