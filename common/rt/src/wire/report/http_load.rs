//! The report and the progress of a load test, out.

use crate::wire::time::{int64, pb_duration};
use shanty_model::kind::http_load::{
    LatencySummary, Progress, Report, SecondPoint, ThresholdResult, Verdict, WorkerReport,
};
use shanty_proto::v1 as pb;
use std::time::Duration;

/// How far a load test is.
pub(super) fn progress(progress: &Progress) -> pb::LoadProgress {
    let Progress { target_rate, sent_rate, completed_rate, sent, completed, errors, p50_ms, p99_ms, workers } =
        *progress;
    pb::LoadProgress {
        target_rate: Some(target_rate),
        sent_rate: Some(sent_rate as f64),
        completed_rate: Some(completed_rate as f64),
        sent: sent.map(int64),
        completed: completed.map(int64),
        errors: errors.map(int64),
        p50_ms: Some(p50_ms),
        p99_ms: Some(p99_ms),
        workers: Some(workers),
    }
}

/// What a load test came to.
pub(super) fn encode(report: &Report) -> pb::HttpLoadReport {
    let (verdict, verdict_reason) = match &report.verdict {
        Verdict::Valid(why) => (pb::http_load_report::Verdict::Valid, why.clone()),
        Verdict::Invalid(why) => (pb::http_load_report::Verdict::Invalid, why.clone()),
    };
    pb::HttpLoadReport {
        verdict: verdict.into(),
        verdict_reason,
        scheduled: int64(report.scheduled),
        sent: int64(report.sent),
        completed: int64(report.completed),
        errors: int64(report.errors),
        dropped: int64(report.dropped),
        astray: int64(report.astray),
        lost: int64(report.lost),
        waited: int64(report.waited),
        duration: Some(pb_duration(Duration::from_nanos(report.duration_ns))),
        target_rate: report.target_rate,
        sent_rate: report.sent_rate,
        completed_rate: report.completed_rate,
        error_rate: report.error_rate,
        bytes_sent: int64(report.bytes_sent),
        bytes_received: int64(report.bytes_received),
        response: Some(latency(&report.response)),
        service: Some(latency(&report.service)),
        lateness: Some(latency(&report.lateness)),
        statuses: report
            .statuses
            .iter()
            .map(|(status, count)| pb::StatusCount { status: u32::from(*status), count: int64(*count) })
            .collect(),
        error_classes: report
            .error_classes
            .iter()
            .map(|(class, count)| pb::ErrorCount { class: class.clone(), count: int64(*count) })
            .collect(),
        workers: report.workers.iter().map(worker).collect(),
        thresholds: report
            .thresholds
            .iter()
            .map(|ThresholdResult { threshold, measured, holds }| pb::ThresholdResult {
                threshold: threshold.clone(),
                measured: *measured,
                holds: *holds,
            })
            .collect(),
        engine: report.engine.clone(),
        seconds: report.seconds.iter().map(second).collect(),
    }
}

fn latency(summary: &LatencySummary) -> pb::LatencySummary {
    let LatencySummary { count, min_ms, mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms, clamped } =
        *summary;
    pb::LatencySummary {
        count: int64(count),
        min_ms,
        mean_ms,
        p50_ms,
        p90_ms,
        p95_ms,
        p99_ms,
        p999_ms,
        max_ms,
        clamped: int64(clamped),
    }
}

fn worker(worker: &WorkerReport) -> pb::WorkerReport {
    let WorkerReport { node, sent, completed, errors, lost, response, lateness, was_lost } = worker;
    pb::WorkerReport {
        node: node.resource(),
        sent: int64(*sent),
        completed: int64(*completed),
        errors: int64(*errors),
        lost: int64(*lost),
        response: Some(latency(response)),
        lateness: Some(latency(lateness)),
        was_lost: *was_lost,
    }
}

fn second(point: &SecondPoint) -> pb::SecondPoint {
    let SecondPoint { second, sent, completed, errors, p50_ms, p99_ms } = *point;
    pb::SecondPoint {
        second,
        sent: int64(sent),
        completed: int64(completed),
        errors: int64(errors),
        p50_ms,
        p99_ms,
    }
}
