//! A worker as the leader knows it.

use super::Options;
use crate::placement::Standing;
use shanty_model::id::{AttemptId, NodeId};
use shanty_model::telemetry::Telemetry;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a worker says when it attaches.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Its node id.
    pub node: NodeId,
    /// Identity of this start of its process.
    pub incarnation: String,
    /// Its version.
    pub version: String,
    /// Kinds that it can do.
    pub kinds: Vec<String>,
    /// Attempts it may run at once.
    pub slots: u32,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Names of the databases that it can reach.
    pub connections: Vec<String>,
    /// Where sentinels may see whether it lives; empty for nowhere.
    pub door: String,
    /// Its figures.
    pub telemetry: Telemetry,
}

/// An attempt that a worker says it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The attempt.
    pub attempt: AttemptId,
    /// Number of the newest change that was applied.
    pub revision: u32,
    /// Reports up to this one were acknowledged to it.
    pub acked: u64,
    /// Whether it has ended.
    pub ended: bool,
}

/// Whether a worker can be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Attached, but it has not said yet what it holds.
    Arriving,
    /// Attached, and its inventory is known.
    Present,
    /// Its stream is gone since then.
    Away(Duration),
}

/// A worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// What it said when it attached, with its newest figures.
    pub arrival: Arrival,
    /// Whether it can be spoken to.
    pub presence: Presence,
    /// When it was heard last.
    pub heard: Duration,
    /// The same for people, milliseconds since 1970.
    pub heard_unix_ms: i64,
    /// Its clock minus the leader's, nanoseconds.
    pub clock_offset_ns: i64,
    /// Whether it gets no new work.
    pub cordoned: bool,
    /// Whether it hands its work over: since it was asked to, or said that it leaves.
    pub draining: bool,
    /// What sentinels found of it since it was last heard.
    pub words: BTreeMap<NodeId, Word>,
    /// Since when enough of them agree that it is dead.
    pub dead_since: Option<Duration>,
}

/// What a sentinel found of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Whether it found it dead.
    pub dead: bool,
    /// What it saw, for people.
    pub why: String,
    /// When.
    pub at: Duration,
}

impl Worker {
    /// Whether its stream stands.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        !matches!(self.presence, Presence::Away(_))
    }

    /// Whether it is attached, known, was heard lately, and not found dead since.
    #[must_use]
    pub fn is_present(&self, now: Duration, options: &Options) -> bool {
        self.presence == Presence::Present
            && self.dead_since.is_none()
            && now.saturating_sub(self.heard) < options.load_silence
    }

    /// It as the placement looks at it, `busy` attempts running.
    #[must_use]
    pub fn standing(&self, now: Duration, options: &Options, busy: u32) -> Standing {
        Standing {
            node: self.arrival.node.clone(),
            incarnation: self.arrival.incarnation.clone(),
            telemetry: self.arrival.telemetry,
            kinds: self.arrival.kinds.clone(),
            labels: self.arrival.labels.clone(),
            connections: self.arrival.connections.clone(),
            free_slots: self.arrival.slots.saturating_sub(busy),
            cordoned: self.cordoned,
            draining: self.draining,
            present: self.is_present(now, options),
        }
    }
}
