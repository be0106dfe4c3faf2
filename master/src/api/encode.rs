//! Records as messages.

use crate::engine::{RunView, ShardView, Worker};
use crate::placement::{Candidate, Decision};
use crate::store::{EventBody, EventRecord, JobRecord, NodeEventRecord, RunRecord};
use shanty_model::id::NodeId;
use shanty_model::state::ShardState;
use shanty_proto::v1 as pb;
use shanty_rt::wire;
use shanty_rt::wire::time::{pb_duration, timestamp};
use std::time::Duration;

/// A run with its shards; progress only while it goes on.
pub(super) fn run(record: &RunRecord, shards: &[ShardView], progress: Option<pb::Progress>) -> pb::Run {
    // Without a plan a decision's weights are shards held.
    let plan_total = record.detail.plan.as_ref().map(|plan| plan.weights().1);
    let total = |d: &Decision| plan_total.unwrap_or_else(|| d.candidates.iter().map(|c| c.weight).sum());
    pb::Run {
        name: record.id.resource(),
        job: record.id.job.resource(),
        spec: Some(wire::spec::encode(&record.spec)),
        state: wire::run::state(record.state).into(),
        state_reason: record.reason.clone(),
        create_time: Some(timestamp(record.create_ms)),
        start_time: record.start_ms.map(timestamp),
        end_time: record.end_ms.map(timestamp),
        progress,
        shard_counts: Some(shard_counts(shards)),
        placements: record.detail.placements.iter().rev().map(|d| decision(d, total(d))).collect(),
        sequence: record.sequence,
        epoch: u32::try_from(record.epoch.0).unwrap_or(u32::MAX),
    }
}

/// A run under way.
pub(super) fn run_view(view: &RunView) -> pb::Run {
    run(&view.record, &view.shards, progress(view))
}

/// How far a run is; none before its plan.
pub(super) fn progress(view: &RunView) -> Option<pb::Progress> {
    let kind = view.progress.as_ref()?;
    let (elapsed, fraction, remaining) = match view.end_ns {
        Some(end_ns) => {
            let elapsed = view.elapsed_ns.min(end_ns);
            let fraction = (end_ns > 0).then(|| elapsed as f64 / end_ns as f64);
            (elapsed, fraction, Some(Duration::from_nanos(end_ns.saturating_sub(elapsed))))
        }
        None => (view.elapsed_ns, kind.fraction(), kind.remaining()),
    };
    Some(pb::Progress {
        fraction,
        elapsed: Some(pb_duration(Duration::from_nanos(elapsed))),
        remaining: remaining.map(pb_duration),
        kind: Some(wire::report::encode_progress(kind)),
    })
}

fn shard_counts(shards: &[ShardView]) -> pb::ShardCounts {
    let count = |wanted: &[ShardState]| {
        let n = shards.iter().filter(|shard| wanted.contains(&shard.record.state)).count();
        Some(u32::try_from(n).unwrap_or(u32::MAX))
    };
    pb::ShardCounts {
        total: Some(u32::try_from(shards.len()).unwrap_or(u32::MAX)),
        pending: count(&[ShardState::Pending, ShardState::Assigned, ShardState::Accepted]),
        running: count(&[ShardState::Running]),
        done: count(&[ShardState::Done]),
        failed: count(&[ShardState::Failed]),
        yielded: count(&[ShardState::Yielded]),
    }
}

fn decision(decision: &Decision, weight_total: u32) -> pb::PlacementDecision {
    let Decision { time_ms, reason, revision, candidates } = decision;
    pb::PlacementDecision {
        time: Some(timestamp(*time_ms)),
        reason: reason.clone(),
        revision: *revision,
        candidates: candidates.iter().map(|c| candidate(c, weight_total)).collect(),
    }
}

fn candidate(candidate: &Candidate, weight_total: u32) -> pb::PlacementCandidate {
    pb::PlacementCandidate {
        node: candidate.node.resource(),
        eligible: candidate.refusal.is_empty(),
        reason: candidate.refusal.clone(),
        score: candidate.score,
        weight: candidate.weight,
        weight_total,
        cores: candidate.cores,
        cpu_percent: candidate.cpu_percent,
        memory_percent: candidate.memory_percent,
        lateness_p99_ms: candidate.lateness_p99_ms,
    }
}

/// A shard of a run.
pub(super) fn shard(view: &ShardView) -> pb::Shard {
    let ShardView { record, weight, weight_total, title } = view;
    pb::Shard {
        name: record.id.resource(),
        index: record.id.index,
        state: wire::run::shard_state(record.state).into(),
        attempt: record.attempt,
        node: record.node.as_ref().map(NodeId::resource).unwrap_or_default(),
        state_reason: record.reason.clone(),
        weight: *weight,
        weight_total: *weight_total,
        title: title.clone(),
    }
}

/// A stored event of a run.
pub(super) fn event(record: &EventRecord) -> pb::RunEvent {
    let event = match &record.body {
        EventBody::State { from, to, reason } => pb::run_event::Event::StateChange(pb::RunStateChange {
            from: wire::run::state(*from).into(),
            to: wire::run::state(*to).into(),
            reason: reason.clone(),
        }),
        EventBody::Shard { shard, attempt, node, state, reason } => {
            pb::run_event::Event::ShardChange(pb::ShardChange {
                shard: shard.resource(),
                attempt: *attempt,
                node: node.as_ref().map(NodeId::resource).unwrap_or_default(),
                state: wire::run::shard_state(*state).into(),
                reason: reason.clone(),
            })
        }
        EventBody::Note { warning, reason, message } => {
            let severity =
                if *warning { pb::run_note::Severity::Warning } else { pb::run_note::Severity::Info };
            pb::run_event::Event::Note(pb::RunNote {
                severity: severity.into(),
                reason: reason.clone(),
                message: message.clone(),
            })
        }
    };
    pb::RunEvent { sequence: record.sequence, time: Some(timestamp(record.time_ms)), event: Some(event) }
}

/// A job.
pub(super) fn job(record: &JobRecord) -> pb::Job {
    let JobRecord { id, title, spec, labels, last_run, deleted: _, version, create_ms, update_ms } = record;
    pb::Job {
        name: id.resource(),
        title: title.clone(),
        spec: spec.as_ref().map(wire::spec::encode),
        labels: labels.clone().into_iter().collect(),
        etag: version.to_string(),
        create_time: Some(timestamp(*create_ms)),
        update_time: Some(timestamp(*update_ms)),
        last_run: *last_run,
    }
}

/// A worker.
pub(super) fn worker(worker: &Worker, attempts: u32, score: f64, present: bool) -> pb::Node {
    let state = if !present {
        pb::node::State::Away
    } else if worker.draining {
        pb::node::State::Draining
    } else if worker.cordoned {
        pb::node::State::Cordoned
    } else {
        pb::node::State::Ready
    };
    let arrival = &worker.arrival;
    pb::Node {
        name: arrival.node.resource(),
        role: pb::node::Role::Worker.into(),
        state: state.into(),
        leader: false,
        address: String::new(),
        version: arrival.version.clone(),
        incarnation: arrival.incarnation.clone(),
        labels: arrival.labels.clone().into_iter().collect(),
        kinds: arrival.kinds.clone(),
        slots: Some(arrival.slots),
        attempts: Some(attempts),
        telemetry: Some(wire::telemetry::encode(&arrival.telemetry)),
        heartbeat_time: Some(timestamp(worker.heard_unix_ms)),
        clock_offset_ms: worker.clock_offset_ns as f64 / 1e6,
        score,
        connections: arrival.connections.clone(),
    }
}

/// A stored event of a node.
pub(super) fn node_event(record: &NodeEventRecord) -> pb::ClusterEvent {
    let NodeEventRecord { sequence, time_ms, node, reason, message, epoch } = record;
    pb::ClusterEvent {
        sequence: *sequence,
        time: Some(timestamp(*time_ms)),
        node: node.resource(),
        reason: reason.clone(),
        message: message.clone(),
        epoch: u32::try_from(epoch.0).unwrap_or(u32::MAX),
    }
}
