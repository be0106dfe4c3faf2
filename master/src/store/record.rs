//! What the store keeps: one record per table, and the mutations that change them.
//!
//! Every record with a state has a `version`. A mutation that updates one carries the new version and is
//! done only if the stored one is exactly one less; otherwise the whole batch fails with a conflict.

use crate::placement::Decision;
use serde::{Deserialize, Serialize};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, JobId, NodeId, RunId, ShardId};
use shanty_model::kind::{Change, Report, Spec};
use shanty_model::rate::Plan;
use shanty_model::state::{RunState, ShardState};
use std::collections::BTreeMap;

/// A kept definition.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRecord {
    /// Its name.
    pub id: JobId,
    /// A title for people.
    pub title: String,
    /// What its runs do; none for `adhoc`, whose runs bring their own.
    pub spec: Option<Spec>,
    /// Labels of its owner.
    pub labels: BTreeMap<String, String>,
    /// Number of its newest run; 0 before the first.
    pub last_run: u32,
    /// Whether it was removed; its runs are kept until their retention is over.
    pub deleted: bool,
    /// From 1.
    pub version: u64,
    /// Milliseconds since 1970.
    pub create_ms: i64,
    /// Milliseconds since 1970.
    pub update_ms: i64,
}

/// One execution of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Its name.
    pub id: RunId,
    /// What it does.
    pub spec: Spec,
    /// Where it is.
    pub state: RunState,
    /// Why it is there.
    pub reason: String,
    /// Number of its newest event.
    pub sequence: u32,
    /// Term of the master that changed it last.
    pub epoch: Epoch,
    /// What a new leader needs to go on with it.
    pub detail: RunDetail,
    /// What it came to; set with its terminal state.
    pub report: Option<Report>,
    /// From 1.
    pub version: u64,
    /// Milliseconds since 1970.
    pub create_ms: i64,
    /// Milliseconds since 1970, when its work began.
    pub start_ms: Option<i64>,
    /// Milliseconds since 1970.
    pub end_ms: Option<i64>,
}

/// What a new leader needs to go on with a run; stored as JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunDetail {
    /// The plan of a run of shape rate.
    pub plan: Option<Plan>,
    /// The run's start on the leader's clock, nanoseconds since 1970.
    pub start_unix_ns: Option<i64>,
    /// Placement decisions, newest last, the last 16.
    pub placements: Vec<Decision>,
    /// Shards whose worker was lost, and from when on others had their share, nanoseconds since the start.
    pub lost_shards: Vec<(u32, u64)>,
    /// Why it is stopping, and the state it shall end in.
    pub stopping: Option<(RunState, String)>,
    /// When it was asked to stop, nanoseconds since its start.
    pub stopped_at_ns: Option<u64>,
    /// What was changed in a run of shape divisible, all changes in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// A slice of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardRecord {
    /// Its name.
    pub id: ShardId,
    /// What tells it from the others of its run where shards are found on the way; else empty.
    pub name: String,
    /// What it does: JSON of the kind's `Shard`; empty where that is in the directive.
    pub payload: String,
    /// Its size in the kind's own measure; larger ones go first, 0 before all.
    pub size: u64,
    /// Where it is.
    pub state: ShardState,
    /// Number of its newest attempt; 0 before the first.
    pub attempt: u32,
    /// Worker of the newest attempt.
    pub node: Option<NodeId>,
    /// Why it is there.
    pub reason: String,
    /// From 1.
    pub version: u64,
}

/// One try at a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRecord {
    /// Its name.
    pub id: AttemptId,
    /// The worker.
    pub node: NodeId,
    /// Which start of the worker's process.
    pub incarnation: String,
    /// Term of the master that assigned it.
    pub epoch: Epoch,
    /// How it ended: `done`, `failed`, `cancelled`, `orphaned`, `lost`; empty while it runs.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// From 1.
    pub version: u64,
    /// Milliseconds since 1970.
    pub create_ms: i64,
    /// Milliseconds since 1970.
    pub end_ms: Option<i64>,
}

/// Something that happened to a run; stored as JSON with its own number per run.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// The run.
    pub run: RunId,
    /// From 1 without gaps.
    pub sequence: u32,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// What happened.
    pub body: EventBody,
}

/// What happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum EventBody {
    /// Its state changed.
    State {
        /// Before.
        from: RunState,
        /// Now.
        to: RunState,
        /// Why.
        reason: String,
    },
    /// A shard's state changed.
    Shard {
        /// The shard.
        shard: ShardId,
        /// Its attempt; 0 before the first.
        attempt: u32,
        /// The worker.
        node: Option<NodeId>,
        /// Now.
        state: ShardState,
        /// Why.
        reason: String,
    },
    /// Something a person should know.
    Note {
        /// Whether the result may suffer.
        warning: bool,
        /// UPPER_SNAKE_CASE.
        reason: String,
        /// In words.
        message: String,
    },
}

/// One numbered piece of results of an attempt, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRecord {
    /// The attempt.
    pub attempt: AttemptId,
    /// The worker.
    pub node: NodeId,
    /// From 1 without gaps.
    pub sequence: u64,
    /// The kind's `Partial`, MessagePack.
    pub partial: Vec<u8>,
}

/// The newest results of a shard whose reports replace each other, as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// The attempt that reported them; there is one record per shard.
    pub attempt: AttemptId,
    /// The worker.
    pub node: NodeId,
    /// Number of the report.
    pub sequence: u64,
    /// The kind's `Partial`, MessagePack.
    pub partial: Vec<u8>,
}

/// A request that was answered, so that its repetition gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// The caller's `request_id`.
    pub id: String,
    /// The method, for example `StartRun`.
    pub method: String,
    /// A digest of the request without its id, so that another request under the same id is refused.
    pub digest: String,
    /// Name of the resource that it made or changed, for example `runs/adhoc.1`.
    pub resource: String,
    /// Milliseconds since 1970.
    pub time_ms: i64,
}

/// Something that happened to a node or to leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEventRecord {
    /// From 1 without gaps over the cluster's life.
    pub sequence: u32,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// The node.
    pub node: NodeId,
    /// UPPER_SNAKE_CASE.
    pub reason: String,
    /// In words.
    pub message: String,
    /// Term in which it happened.
    pub epoch: Epoch,
}

/// What is kept about a node between terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// The node.
    pub id: NodeId,
    /// Whether it gets no new work.
    pub cordoned: bool,
}

/// A change of the store. A batch of them is done in one transaction or not at all.
#[derive(Debug, Clone, PartialEq)]
pub enum Mutation {
    /// A new job; a conflict if the name is taken.
    InsertJob(JobRecord),
    /// A job's new version.
    UpdateJob(JobRecord),
    /// A new run; a conflict if the name is taken.
    InsertRun(Box<RunRecord>),
    /// A run's new version.
    UpdateRun(Box<RunRecord>),
    /// A new shard.
    InsertShard(ShardRecord),
    /// A shard's new version.
    UpdateShard(ShardRecord),
    /// A new attempt.
    InsertAttempt(AttemptRecord),
    /// An attempt's new version.
    UpdateAttempt(AttemptRecord),
    /// A run's event; a conflict if the number is taken.
    AppendEvent(EventRecord),
    /// A piece of results; nothing happens if it is there already.
    AppendSeries(SeriesRecord),
    /// The newest results of a shard, in place of those before.
    PutCheckpoint(CheckpointRecord),
    /// Removes the pieces of results and the checkpoints of a run whose report is stored.
    DropSeries(RunId),
    /// Remembers an answered request; a conflict if the id is taken.
    RememberRequest(RequestRecord),
    /// A node event; a conflict if the number is taken.
    AppendNodeEvent(NodeEventRecord),
    /// What is kept about a node, new or changed.
    PutNode(NodeRecord),
}

/// An unfinished run with all that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveRun {
    /// The run.
    pub run: RunRecord,
    /// Its shards by index.
    pub shards: Vec<ShardRecord>,
    /// The newest attempt of each shard that has one.
    pub attempts: Vec<AttemptRecord>,
    /// The number of the newest piece of results of each attempt that has some. The pieces themselves may be very many:
    /// [`super::Store::series_of`] has them.
    pub unread: Vec<(AttemptId, u64)>,
    /// The newest results of each shard that has some, by index.
    pub checkpoints: Vec<CheckpointRecord>,
}

/// Which runs a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Only of this job.
    pub job: Option<JobId>,
    /// Only in one of these states; empty for all.
    pub states: Vec<RunState>,
}

/// How long history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Ended runs per job; older ones go with all that belongs to them.
    pub runs_per_job: u32,
    /// Age after which ended runs go, milliseconds.
    pub run_age_ms: i64,
    /// Age after which answered requests are forgotten, milliseconds; at least a day.
    pub request_age_ms: i64,
    /// Node events kept.
    pub node_events: u32,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        Retention { runs_per_job: 1000, run_age_ms: 90 * DAY_MS, request_age_ms: DAY_MS, node_events: 10_000 }
    }
}
