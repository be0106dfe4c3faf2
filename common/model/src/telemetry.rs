//! A worker's figures, as it measures them and as the placement reads them.

use serde::{Deserialize, Serialize};

/// Figures of a worker's machine and of its own sending.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Telemetry {
    /// Processor cores usable by the worker, cgroup quota honoured. More than 0.
    pub cores: f64,
    /// Processor use of the machine, 0 to 100, over all cores.
    pub cpu_percent: f64,
    /// Memory in use, bytes.
    pub memory_used_bytes: u64,
    /// The machine's memory or the cgroup's limit, whichever is less, bytes.
    pub memory_total_bytes: u64,
    /// Resident memory of the worker process, bytes.
    pub process_memory_bytes: u64,
    /// 99th percentile of the send lateness in the newest second with load, milliseconds; 0 without.
    pub lateness_p99_ms: f64,
}

impl Telemetry {
    /// Memory use against the limit, 0 to 100; 0 when the limit is unknown.
    #[must_use]
    pub fn memory_percent(&self) -> f64 {
        if self.memory_total_bytes == 0 {
            return 0.0;
        }
        100.0 * self.memory_used_bytes as f64 / self.memory_total_bytes as f64
    }
}
