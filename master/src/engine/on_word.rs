//! What sentinels say: whether workers that this leader does not hear are dead, and how far clocks are apart.
//!
//! A worker whose stream broke is known to be away at once. One that falls silent on a stream that stands (its machine is
//! stopped, or cut off) could be alive, so its work waits. Sentinels shorten that wait: when a majority of those that vote
//! find its door dead, each with a look that began after the worker was last heard, its work goes to others. A worker that
//! they reach has lost its leader alone and keeps the whole wait.
//! No harm comes of a wrong word: an attempt that was given away is fenced by its number, here and in the target.
//! In: words with the time of what was seen, the sentinels that vote. Out: events, work that moves sooner.
//! Tests: `tests/words.rs`.

use super::worker::Word;
use super::{Engine, Now};
use shanty_model::id::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;

/// A fleet is small below this number of workers: it beats more than twice a second.
pub const SMALL_FLEET: usize = 100;
/// A larger one beats less often, and is suspected so many times later.
const LARGE_FLEET_FACTOR: u32 = 3;
/// Fewest sentinels that can decide anything.
const FEWEST: usize = 3;
/// A word older than this says nothing about now.
const FRESH: Duration = Duration::from_secs(2);
/// Clocks are apart from this on, milliseconds, and together again below the half of it.
const APART_MS: i64 = 1000;
/// For so long, before it is said: a message that waited looks like a clock that lags.
const APART_FOR: Duration = Duration::from_secs(3);

/// A worker as a sentinel found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The worker.
    pub node: NodeId,
    /// The start of its process that was looked for.
    pub incarnation: String,
    /// Whether nothing answered, where something had before.
    pub dead: bool,
    /// What was seen, in words.
    pub why: String,
    /// When that was, CLOCK_BOOTTIME of this machine.
    pub at: Duration,
}

/// Where a worker can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The worker.
    pub node: NodeId,
    /// The start of its process.
    pub incarnation: String,
    /// `host:port`.
    pub address: String,
}

/// A clock that is apart from the leader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Apart {
    since: Duration,
    ahead_ms: i64,
    told: bool,
}

impl Engine {
    /// Workers that a sentinel shall look at: those not heard for a moment, and `sample` others, those after a name first.
    #[must_use]
    pub fn to_look_at(&self, now: Now, sample: usize, after: Option<&NodeId>) -> (Vec<Door>, Vec<Door>) {
        let factor = if self.workers.len() < SMALL_FLEET { 1 } else { LARGE_FLEET_FACTOR };
        let suspect_after = self.options.suspect_after * factor;
        let doors: Vec<(&NodeId, Door, bool)> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.is_attached() && !worker.arrival.door.is_empty())
            .map(|(node, worker)| {
                let arrival = &worker.arrival;
                let door = Door {
                    node: node.clone(),
                    incarnation: arrival.incarnation.clone(),
                    address: arrival.door.clone(),
                };
                (node, door, now.boot.saturating_sub(worker.heard) >= suspect_after)
            })
            .collect();
        let suspects =
            doors.iter().filter(|(_, _, suspect)| *suspect).map(|(_, door, _)| door.clone()).collect();
        let others = || doors.iter().filter(|(_, _, suspect)| !suspect);
        let later = others().filter(|(node, ..)| after.is_none_or(|after| *node > after));
        let earlier = others().filter(|(node, ..)| after.is_some_and(|after| *node <= after));
        (suspects, later.chain(earlier).take(sample).map(|(_, door, _)| door.clone()).collect())
    }

    /// A sentinel says what it found of workers. `voters` are the sentinels that count.
    pub fn on_found(&mut self, now: Now, sentinel: &NodeId, voters: &[NodeId], found: Vec<Found>) {
        if !voters.contains(sentinel) || voters.len() < FEWEST {
            return;
        }
        let mut confirmed = Vec::new();
        for Found { node, incarnation, dead, why, at } in found {
            let Some(worker) = self.workers.get_mut(&node) else { continue };
            if worker.arrival.incarnation != incarnation || at > now.boot {
                continue;
            }
            worker.words.insert(sentinel.clone(), Word { dead, why, at });
            let against: Vec<(&NodeId, &Word)> = worker
                .words
                .iter()
                .filter(|(by, word)| voters.contains(by) && word.dead)
                .filter(|(_, word)| word.at > worker.heard && now.boot.saturating_sub(word.at) <= FRESH)
                .collect();
            if against.len() <= voters.len() / 2 || !worker.is_attached() || worker.dead_since.is_some() {
                continue;
            }
            let names: Vec<&str> = against.iter().map(|(by, _)| by.as_str()).collect();
            let why = against.iter().map(|(_, word)| word.why.as_str()).next_back().unwrap_or_default();
            let silence = now.boot.saturating_sub(worker.heard).as_secs_f64();
            let text = format!(
                "{node} is dead: not heard for {silence:.1} s, and {} of {} sentinels agree ({}): {why}",
                against.len(),
                voters.len(),
                names.join(", "),
            );
            worker.dead_since = Some(now.boot);
            confirmed.push((node, text));
        }
        for (node, text) in confirmed {
            self.node_event(now, &node, "WORKER_DEATH_CONFIRMED", text);
        }
    }

    /// Clocks of other masters minus this leader's, milliseconds, as a sentinel found them.
    pub fn on_clocks(&mut self, now: Now, clocks: BTreeMap<NodeId, i64>) {
        for (master, ahead_ms) in clocks {
            self.judge_clock(now, &master, ahead_ms);
        }
    }

    /// Says once when a node's clock stays apart from this leader's.
    pub(super) fn judge_clock(&mut self, now: Now, node: &NodeId, ahead_ms: i64) {
        if ahead_ms.abs() <= APART_MS {
            if ahead_ms.abs() <= APART_MS / 2 {
                self.apart.remove(node);
            }
            return;
        }
        let fresh = Apart { since: now.boot, ahead_ms, told: false };
        let apart = self.apart.entry(node.clone()).or_insert(fresh);
        apart.ahead_ms = ahead_ms;
        if !apart.told && now.boot.saturating_sub(apart.since) >= APART_FOR {
            apart.told = true;
            let message = apart.words(node);
            self.node_event(now, node, "CLOCK_APART", message);
        }
    }

    /// What an operator should mend, in words.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.apart.iter().filter(|(_, apart)| apart.told).map(|(node, apart)| apart.words(node)).collect()
    }
}

impl Apart {
    fn words(self, node: &NodeId) -> String {
        let direction = if self.ahead_ms > 0 { "ahead of" } else { "behind" };
        let apart = self.ahead_ms.unsigned_abs() as f64 / 1000.0;
        format!("the clock of {node} is {apart:.1} s {direction} the leader's: let NTP set both")
    }
}
