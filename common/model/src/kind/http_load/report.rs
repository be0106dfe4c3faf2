//! What a load test came to, and whether to believe it.

use crate::histogram::Latencies;
use crate::id::NodeId;
use serde::{Deserialize, Serialize};

/// The figures of a load test; the warm-up is left out. Field by field as in `report.proto`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is described once, in report.proto")]
pub struct Report {
    pub verdict: Verdict,
    pub scheduled: u64,
    pub sent: u64,
    pub completed: u64,
    pub errors: u64,
    pub dropped: u64,
    #[serde(default)]
    pub astray: u64,
    pub lost: u64,
    pub waited: u64,
    pub duration_ns: u64,
    pub target_rate: f64,
    pub sent_rate: f64,
    pub completed_rate: f64,
    pub error_rate: f64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub response: LatencySummary,
    pub service: LatencySummary,
    pub lateness: LatencySummary,
    pub statuses: Vec<(u16, u64)>,
    pub error_classes: Vec<(String, u64)>,
    pub workers: Vec<WorkerReport>,
    pub thresholds: Vec<ThresholdResult>,
    pub engine: String,
    pub seconds: Vec<SecondPoint>,
}

impl Report {
    /// The thresholds that do not hold, in words.
    #[must_use]
    pub fn broken_thresholds(&self) -> Vec<String> {
        let broken = self.thresholds.iter().filter(|t| !t.holds);
        broken.map(|t| format!("{} does not hold: measured {:.6}", t.threshold, t.measured)).collect()
    }
}

/// Whether the figures may be believed, and why, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The load was what was asked for.
    Valid(String),
    /// It was not.
    Invalid(String),
}

impl Default for Verdict {
    fn default() -> Self {
        Verdict::Invalid("nothing was measured yet".to_owned())
    }
}

/// A distribution of times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is described once, in report.proto")]
pub struct LatencySummary {
    pub count: u64,
    pub min_ms: f64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    pub clamped: u64,
}

impl From<&Latencies> for LatencySummary {
    fn from(latencies: &Latencies) -> LatencySummary {
        LatencySummary {
            count: latencies.count(),
            min_ms: latencies.min_ms(),
            mean_ms: latencies.mean_ms(),
            p50_ms: latencies.quantile_ms(0.5),
            p90_ms: latencies.quantile_ms(0.9),
            p95_ms: latencies.quantile_ms(0.95),
            p99_ms: latencies.quantile_ms(0.99),
            p999_ms: latencies.quantile_ms(0.999),
            max_ms: latencies.max_ms(),
            clamped: latencies.clamped(),
        }
    }
}

/// The part of one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is described once, in report.proto")]
pub struct WorkerReport {
    pub node: NodeId,
    pub sent: u64,
    pub completed: u64,
    pub errors: u64,
    pub lost: u64,
    pub response: LatencySummary,
    pub lateness: LatencySummary,
    pub was_lost: bool,
}

/// A threshold and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is described once, in report.proto")]
pub struct ThresholdResult {
    pub threshold: String,
    pub measured: f64,
    pub holds: bool,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is described once, in report.proto")]
pub struct SecondPoint {
    pub second: u32,
    pub sent: u64,
    pub completed: u64,
    pub errors: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// How far a load test is. Rates are of the newest second that all workers have reported.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[expect(missing_docs, reason = "each field is described once, in run.proto")]
pub struct Progress {
    pub target_rate: f64,
    pub sent_rate: u64,
    pub completed_rate: u64,
    pub sent: Option<u64>,
    pub completed: Option<u64>,
    pub errors: Option<u64>,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub workers: u32,
}
