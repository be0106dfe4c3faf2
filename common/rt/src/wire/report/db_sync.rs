//! The report and the progress of a sync, out.
//!
//! Tests: below.

use crate::wire::spec::verify_word;
use crate::wire::time::{int64, pb_duration};
use shanty_model::kind::db_sync::{
    Progress, Report, TableFacts, TableProgress, TableReport, Verification, WorkerPart,
};
use shanty_proto::v1 as pb;
use std::time::Duration;

/// How far a sync is.
pub(super) fn progress(progress: &Progress) -> pb::SyncProgress {
    let Progress { rows, rows_estimated, bytes, rows_per_second, bytes_per_second, workers, phase, tables } =
        progress;
    pb::SyncProgress {
        rows: Some(int64(*rows)),
        rows_estimated: rows_estimated.map(int64),
        bytes: Some(int64(*bytes)),
        rows_per_second: Some(*rows_per_second),
        bytes_per_second: Some(*bytes_per_second),
        workers: Some(*workers),
        phase: phase.clone(),
        tables: tables.iter().map(table_progress).collect(),
    }
}

fn table_progress(table: &TableProgress) -> pb::SyncTableProgress {
    let TableProgress { source, rows, rows_estimated, shards, done, running, failed, phase } = table;
    pb::SyncTableProgress {
        source: source.clone(),
        rows: Some(int64(*rows)),
        rows_estimated: rows_estimated.map(int64),
        shards: Some(*shards),
        done: Some(*done),
        running: Some(*running),
        failed: Some(*failed),
        phase: phase.clone(),
    }
}

/// What a sync came to.
pub(super) fn encode(report: &Report) -> pb::DbSyncReport {
    let Report { rows, bytes, duration_ns, bad_rows, lossy, tables, workers } = report;
    let seconds = *duration_ns as f64 / 1e9;
    pb::DbSyncReport {
        rows: int64(*rows),
        bytes: int64(*bytes),
        duration: Some(pb_duration(Duration::from_nanos(*duration_ns))),
        rows_per_second: if seconds > 0.0 { *rows as f64 / seconds } else { 0.0 },
        bad_rows: int64(*bad_rows),
        lossy: lossy
            .iter()
            .map(|(event, count)| pb::LossyCount { event: event.clone(), count: int64(*count) })
            .collect(),
        tables: tables.iter().map(table).collect(),
        workers: workers
            .iter()
            .map(|WorkerPart { node, shards, rows }| pb::SyncWorkerReport {
                node: node.resource(),
                shards: *shards,
                rows: int64(*rows),
            })
            .collect(),
    }
}

fn table(table: &TableReport) -> pb::SyncTableReport {
    let TableReport { facts, rows, bytes, shards, watermark, verification } = table;
    let TableFacts {
        table: _,
        source,
        target,
        rows_estimated,
        created,
        planned: _,
        finish: _,
        verify_by: _,
        left_out,
    } = facts;
    pb::SyncTableReport {
        source: source.clone(),
        target: target.clone(),
        rows: int64(*rows),
        bytes: int64(*bytes),
        rows_estimated: rows_estimated.map(int64),
        shards: *shards,
        created: *created,
        left_out: left_out.clone(),
        watermark: watermark.clone().unwrap_or_default(),
        verification: verification.as_ref().map(found),
    }
}

fn found(verification: &Verification) -> pb::SyncVerification {
    let Verification {
        level,
        source_rows,
        target_rows,
        missing,
        extra,
        different,
        repaired,
        not_compared,
        examples,
        equal,
        read_back,
    } = verification;
    pb::SyncVerification {
        level: verify_word(*level).into(),
        source_rows: int64(*source_rows),
        target_rows: int64(*target_rows),
        missing: int64(*missing),
        extra: int64(*extra),
        different: int64(*different),
        repaired: int64(*repaired),
        not_compared: not_compared.clone(),
        examples: examples.clone(),
        equal: *equal,
        read_back: *read_back,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_model::kind::db_sync::{Verify, VerifyBy};

    #[test]
    fn a_report_is_told_whole() {
        let facts = TableFacts {
            table: 3,
            source: "shop.orders".into(),
            target: "public.orders".into(),
            rows_estimated: Some(11),
            created: true,
            planned: true,
            finish: true,
            verify_by: VerifyBy::Part,
            left_out: vec!["check c".into()],
        };
        let verification = Verification {
            level: Verify::Repair,
            source_rows: 1,
            target_rows: 2,
            missing: 3,
            extra: 4,
            different: 5,
            repaired: 6,
            not_compared: vec!["doc".into()],
            examples: vec!["7".into()],
            equal: true,
            read_back: true,
        };
        let table = TableReport {
            facts,
            rows: 12,
            bytes: 13,
            shards: 14,
            watermark: Some("2026".into()),
            verification: Some(verification),
        };
        let report = Report {
            rows: 20,
            bytes: u64::MAX,
            duration_ns: 2_500_000_000,
            bad_rows: 21,
            lossy: [("ZERO_DATE".to_owned(), 22)].into(),
            tables: vec![table],
            workers: vec![WorkerPart { node: "w1".parse().unwrap(), shards: 23, rows: 24 }],
        };
        let expected = pb::DbSyncReport {
            rows: 20,
            bytes: i64::MAX,
            duration: Some(prost_types::Duration { seconds: 2, nanos: 500_000_000 }),
            rows_per_second: 8.0,
            bad_rows: 21,
            lossy: vec![pb::LossyCount { event: "ZERO_DATE".into(), count: 22 }],
            tables: vec![pb::SyncTableReport {
                source: "shop.orders".into(),
                target: "public.orders".into(),
                rows: 12,
                bytes: 13,
                rows_estimated: Some(11),
                shards: 14,
                created: true,
                left_out: vec!["check c".into()],
                watermark: "2026".into(),
                verification: Some(pb::SyncVerification {
                    level: pb::db_sync_spec::Verify::Repair.into(),
                    source_rows: 1,
                    target_rows: 2,
                    missing: 3,
                    extra: 4,
                    different: 5,
                    repaired: 6,
                    not_compared: vec!["doc".into()],
                    examples: vec!["7".into()],
                    equal: true,
                    read_back: true,
                }),
            }],
            workers: vec![pb::SyncWorkerReport { node: "nodes/w1".into(), shards: 23, rows: 24 }],
        };
        assert_eq!(encode(&report), expected);
        assert_eq!(encode(&Report::default()).rows_per_second, 0.0, "no time, no rate");
    }

    #[test]
    fn progress_shows_zeros_and_leaves_out_what_is_unknown() {
        let table = TableProgress { source: "t".into(), rows: 1, shards: 2, ..TableProgress::default() };
        let progress =
            progress(&Progress { tables: vec![table], phase: "copying".into(), ..Progress::default() });
        assert_eq!((progress.rows, progress.rows_estimated, progress.workers), (Some(0), None, Some(0)));
        assert_eq!(progress.phase, "copying");
        let table = &progress.tables[0];
        assert_eq!(
            (table.rows, table.shards, table.done, table.rows_estimated),
            (Some(1), Some(2), Some(0), None)
        );
    }
}
