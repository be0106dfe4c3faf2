//! Durations and timestamps.

use prost_types::{Duration as PbDuration, Timestamp};
use std::time::Duration;

/// A protobuf duration as ours; none when it is negative or out of range.
#[must_use]
pub fn duration(pb: &PbDuration) -> Option<Duration> {
    let nanos = u32::try_from(pb.nanos).ok().filter(|n| *n < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(pb.seconds).ok()?, nanos))
}

/// Our duration as protobuf's.
#[must_use]
pub fn pb_duration(duration: Duration) -> PbDuration {
    PbDuration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// Milliseconds since 1970 as a timestamp.
#[must_use]
pub fn timestamp(unix_ms: i64) -> Timestamp {
    Timestamp {
        seconds: unix_ms.div_euclid(1000),
        nanos: i32::try_from(unix_ms.rem_euclid(1000) * 1_000_000).unwrap_or(0),
    }
}

/// A count as the wire has it.
#[must_use]
pub fn int64(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
