//! A placement decision with the figures that led to it; kept with the run, so that "why this worker" has
//! an answer.

use serde::{Deserialize, Serialize};
use shanty_model::id::NodeId;

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// Why it was made, for example `start` or `worker w2 lost`.
    pub reason: String,
    /// The plan's revision that it led to.
    pub revision: u32,
    /// The workers looked at.
    pub candidates: Vec<Candidate>,
}

/// A worker as the placement saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The worker.
    pub node: NodeId,
    /// Identity of this start of its process.
    #[serde(skip)]
    pub incarnation: String,
    /// Why it could not be given work; empty if it could.
    pub refusal: String,
    /// Its score; 0 for one that could not.
    pub score: f64,
    /// Its share in parts of the sum of all weights.
    pub weight: u32,
    /// Usable cores.
    pub cores: f64,
    /// Processor use, 0 to 100.
    pub cpu_percent: f64,
    /// Memory use, 0 to 100.
    pub memory_percent: f64,
    /// 99th percentile of its send lateness, milliseconds.
    pub lateness_p99_ms: f64,
}
