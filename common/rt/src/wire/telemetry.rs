//! A worker's figures.

use super::time::int64;
use shanty_model::telemetry::Telemetry;
use shanty_proto::v1 as pb;

/// Figures as the wire has them.
#[must_use]
pub fn encode(telemetry: &Telemetry) -> pb::Telemetry {
    let Telemetry {
        cores,
        cpu_percent,
        memory_used_bytes,
        memory_total_bytes,
        process_memory_bytes,
        lateness_p99_ms,
    } = *telemetry;
    pb::Telemetry {
        cores,
        cpu_percent,
        memory_used_bytes: int64(memory_used_bytes),
        memory_total_bytes: int64(memory_total_bytes),
        process_memory_bytes: int64(process_memory_bytes),
        lateness_p99_ms,
    }
}

/// Figures from the wire; what makes no sense (negative, not a number) becomes 0.
#[must_use]
pub fn decode(telemetry: &pb::Telemetry) -> Telemetry {
    let sane = |value: f64| if value.is_finite() && value >= 0.0 { value } else { 0.0 };
    let pb::Telemetry {
        cores,
        cpu_percent,
        memory_used_bytes,
        memory_total_bytes,
        process_memory_bytes,
        lateness_p99_ms,
    } = *telemetry;
    Telemetry {
        cores: sane(cores),
        cpu_percent: sane(cpu_percent).min(100.0),
        memory_used_bytes: u64::try_from(memory_used_bytes).unwrap_or(0),
        memory_total_bytes: u64::try_from(memory_total_bytes).unwrap_or(0),
        process_memory_bytes: u64::try_from(process_memory_bytes).unwrap_or(0),
        lateness_p99_ms: sane(lateness_p99_ms),
    }
}
