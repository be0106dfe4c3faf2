//! The spec and the change of a sync, in and out.
//!
//! Tests: below.

use crate::wire::time::{duration, int64, pb_duration};
use shanty_model::kind::db_sync::{
    Change, ColumnMap, DiffColumn, Mode, OnExisting, OnLossy, Source, Spec, Target, Throttle, Verify,
};
use shanty_model::violation::Violation;
use shanty_proto::v1 as pb;
use shanty_proto::v1::db_sync_spec as word;
use std::time::Duration;

/// What was found while a message is taken apart.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn time(&mut self, field: &str, given: Option<prost_types::Duration>) -> Option<Duration> {
        let decoded = duration(&given?);
        if decoded.is_none() {
            self.0.push(Violation::new(field, "must not be negative, for example \"10s\""));
        }
        decoded
    }

    fn count(&mut self, field: &str, given: i64) -> u64 {
        u64::try_from(given).unwrap_or_else(|_| {
            self.0.push(Violation::new(field, "must not be negative; 0 is for no limit"));
            0
        })
    }

    /// The word of an enum; one that it does not have is told with those that it has.
    fn word<W: TryFrom<i32> + Default>(&mut self, field: &str, given: i32, words: &str) -> W {
        W::try_from(given).unwrap_or_else(|_| {
            self.0.push(Violation::new(field, format!("must be {words}")));
            W::default()
        })
    }

    fn or<T>(self, decoded: T) -> Result<T, Vec<Violation>> {
        if self.0.is_empty() { Ok(decoded) } else { Err(self.0) }
    }
}

/// A spec from the wire.
pub(super) fn decode(spec: pb::DbSyncSpec) -> Result<Spec, Vec<Violation>> {
    let pb::DbSyncSpec {
        source,
        target,
        mode,
        columns,
        r#where,
        key,
        diff_column,
        overlap,
        sweep,
        on_existing,
        create_table,
        verify,
        on_lossy,
        max_bad_rows,
        workers,
        page_bytes,
        page_rows,
        throttle,
    } = spec;
    let mut found = Found::default();
    let mode = match found.word("mode", mode, "FULL or INCREMENTAL") {
        word::Mode::Unspecified | word::Mode::Full => Mode::Full,
        word::Mode::Incremental => Mode::Incremental,
    };
    let on_existing = match found.word("on_existing", on_existing, "FAIL, TRUNCATE or UPSERT") {
        word::OnExisting::Unspecified | word::OnExisting::Fail => OnExisting::Fail,
        word::OnExisting::Truncate => OnExisting::Truncate,
        word::OnExisting::Upsert => OnExisting::Upsert,
    };
    let verify = match found.word("verify", verify, "NONE, COUNT, CHECKSUM or REPAIR") {
        word::Verify::Unspecified | word::Verify::None => Verify::None,
        word::Verify::Count => Verify::Count,
        word::Verify::Checksum => Verify::Checksum,
        word::Verify::Repair => Verify::Repair,
    };
    let on_lossy = match found.word("on_lossy", on_lossy, "ERROR, CONVERT or SET_NULL") {
        word::OnLossy::Unspecified | word::OnLossy::Error => OnLossy::Error,
        word::OnLossy::Convert => OnLossy::Convert,
        word::OnLossy::SetNull => OnLossy::SetNull,
    };
    let overlap = found.time("overlap", overlap).unwrap_or_default();
    let throttle = decode_throttle(&mut found, throttle.unwrap_or_default());
    let pb::SyncSource { connection, schema, table, tables, exclude } = source.unwrap_or_default();
    let source = Source { connection, schema, table, tables, exclude };
    let pb::SyncTarget { connection, schema, table, key: target_key } = target.unwrap_or_default();
    let target = Target { connection, schema, table, key: target_key };
    found.or(Spec {
        source,
        target,
        mode,
        columns: columns
            .into_iter()
            .map(|pb::SyncColumn { source, target }| ColumnMap { source, target })
            .collect(),
        condition: r#where,
        key,
        diff_column: diff_column.map(|pb::SyncDiffColumn { source, target }| DiffColumn { source, target }),
        overlap,
        sweep,
        on_existing,
        create_table,
        verify,
        on_lossy,
        max_bad_rows,
        workers,
        page_bytes,
        page_rows,
        throttle,
    })
}

fn decode_throttle(found: &mut Found, throttle: pb::SyncThrottle) -> Throttle {
    let pb::SyncThrottle { rows_per_second, bytes_per_second, max_source_lag, max_source_latency } = throttle;
    Throttle {
        rows_per_second,
        bytes_per_second: found.count("throttle.bytes_per_second", bytes_per_second),
        max_source_lag: found.time("throttle.max_source_lag", max_source_lag),
        max_source_latency: found.time("throttle.max_source_latency", max_source_latency),
    }
}

/// A change from the wire.
pub(super) fn decode_change(change: pb::DbSyncChange) -> Result<Change, Vec<Violation>> {
    let pb::DbSyncChange { rows_per_second, bytes_per_second, workers } = change;
    let mut found = Found::default();
    let bytes_per_second = bytes_per_second.map(|given| found.count("bytes_per_second", given));
    found.or(Change { rows_per_second, bytes_per_second, workers })
}

/// A level of comparison as the wire has it.
pub(in crate::wire) fn verify_word(verify: Verify) -> word::Verify {
    match verify {
        Verify::None => word::Verify::None,
        Verify::Count => word::Verify::Count,
        Verify::Checksum => word::Verify::Checksum,
        Verify::Repair => word::Verify::Repair,
    }
}

/// A spec as the wire has it: what was left out and has a word is told by it.
pub(super) fn encode(spec: &Spec) -> pb::DbSyncSpec {
    let Spec {
        source,
        target,
        mode,
        columns,
        condition,
        key,
        diff_column,
        overlap,
        sweep,
        on_existing,
        create_table,
        verify,
        on_lossy,
        max_bad_rows,
        workers,
        page_bytes,
        page_rows,
        throttle,
    } = spec.clone();
    let Source { connection, schema, table, tables, exclude } = source;
    let source = pb::SyncSource { connection, schema, table, tables, exclude };
    let Target { connection, schema, table, key: target_key } = target;
    let target = pb::SyncTarget { connection, schema, table, key: target_key };
    let mode = match mode {
        Mode::Full => word::Mode::Full,
        Mode::Incremental => word::Mode::Incremental,
    };
    let on_existing = match on_existing {
        OnExisting::Fail => word::OnExisting::Fail,
        OnExisting::Truncate => word::OnExisting::Truncate,
        OnExisting::Upsert => word::OnExisting::Upsert,
    };
    let on_lossy = match on_lossy {
        OnLossy::Error => word::OnLossy::Error,
        OnLossy::Convert => word::OnLossy::Convert,
        OnLossy::SetNull => word::OnLossy::SetNull,
    };
    pb::DbSyncSpec {
        source: Some(source),
        target: Some(target),
        mode: mode.into(),
        columns: columns
            .into_iter()
            .map(|ColumnMap { source, target }| pb::SyncColumn { source, target })
            .collect(),
        r#where: condition,
        key,
        diff_column: diff_column.map(|DiffColumn { source, target }| pb::SyncDiffColumn { source, target }),
        overlap: (!overlap.is_zero()).then(|| pb_duration(overlap)),
        sweep,
        on_existing: on_existing.into(),
        create_table,
        verify: verify_word(verify).into(),
        on_lossy: on_lossy.into(),
        max_bad_rows,
        workers,
        page_bytes,
        page_rows,
        throttle: (throttle != Throttle::default()).then(|| encode_throttle(throttle)),
    }
}

fn encode_throttle(throttle: Throttle) -> pb::SyncThrottle {
    let Throttle { rows_per_second, bytes_per_second, max_source_lag, max_source_latency } = throttle;
    pb::SyncThrottle {
        rows_per_second,
        bytes_per_second: int64(bytes_per_second),
        max_source_lag: max_source_lag.map(pb_duration),
        max_source_latency: max_source_latency.map(pb_duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> pb::DbSyncSpec {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 5 });
        pb::DbSyncSpec {
            source: Some(pb::SyncSource {
                connection: "shop".into(),
                schema: "s".into(),
                table: "t".into(),
                tables: vec!["a*".into()],
                exclude: vec!["ab".into()],
            }),
            target: Some(pb::SyncTarget {
                connection: "dw".into(),
                schema: "p".into(),
                table: "x_{table}".into(),
                key: vec!["k".into()],
            }),
            mode: word::Mode::Incremental.into(),
            columns: vec![pb::SyncColumn { source: "a".into(), target: "b".into() }],
            r#where: "region = 'eu'".into(),
            key: vec!["id".into()],
            diff_column: Some(pb::SyncDiffColumn { source: "u".into(), target: "v".into() }),
            overlap: seconds(1),
            sweep: true,
            on_existing: word::OnExisting::Upsert.into(),
            create_table: Some(false),
            verify: word::Verify::Checksum.into(),
            on_lossy: word::OnLossy::SetNull.into(),
            max_bad_rows: 2,
            workers: 3,
            page_bytes: 4,
            page_rows: 5,
            throttle: Some(pb::SyncThrottle {
                rows_per_second: 6,
                bytes_per_second: 7,
                max_source_lag: seconds(8),
                max_source_latency: seconds(9),
            }),
        }
    }

    #[test]
    fn every_field_goes_there_and_back() {
        let decoded = decode(full()).unwrap();
        assert_eq!(decoded.condition, "region = 'eu'");
        assert_eq!(encode(&decoded), full());
    }

    #[test]
    fn every_word_goes_there_and_back_and_what_was_left_out_is_the_first() {
        let with = |mode, on_existing, verify, on_lossy| pb::DbSyncSpec {
            mode,
            on_existing,
            verify,
            on_lossy,
            source: Some(pb::SyncSource::default()),
            target: Some(pb::SyncTarget::default()),
            ..pb::DbSyncSpec::default()
        };
        for word in 1..=4_i32 {
            let spec = with(word.min(2), word.min(3), word, word.min(3));
            assert_eq!(encode(&decode(spec.clone()).unwrap()), spec);
        }
        let nothing = decode(pb::DbSyncSpec::default()).unwrap();
        assert_eq!(nothing, Spec::default());
        assert_eq!(encode(&nothing), with(1, 1, 1, 1));
    }

    #[test]
    fn what_the_model_has_no_place_for_is_told_all_at_once() {
        let negative = Some(prost_types::Duration { seconds: -1, nanos: 0 });
        let spec = pb::DbSyncSpec {
            mode: 9,
            on_existing: 9,
            verify: 9,
            on_lossy: 9,
            overlap: negative,
            throttle: Some(pb::SyncThrottle {
                bytes_per_second: -1,
                max_source_lag: negative,
                max_source_latency: negative,
                ..pb::SyncThrottle::default()
            }),
            ..full()
        };
        let found = decode(spec).unwrap_err();
        let fields: Vec<&str> = found.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "mode",
                "on_existing",
                "verify",
                "on_lossy",
                "overlap",
                "throttle.bytes_per_second",
                "throttle.max_source_lag",
                "throttle.max_source_latency"
            ]
        );
        assert_eq!(found[2].message, "must be NONE, COUNT, CHECKSUM or REPAIR");
    }

    #[test]
    fn an_absent_field_of_a_change_stays_absent() {
        let change =
            |bytes| pb::DbSyncChange { rows_per_second: Some(0), bytes_per_second: bytes, workers: None };
        let expected = Change { rows_per_second: Some(0), bytes_per_second: None, workers: None };
        assert_eq!(decode_change(change(None)), Ok(expected));
        assert_eq!(decode_change(change(Some(-1))).unwrap_err()[0].field, "bytes_per_second");
    }
}
