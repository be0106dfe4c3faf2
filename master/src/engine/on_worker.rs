//! Workers attached, heard, gone, cordoned, drained.

use super::command::{Command, Order, Refused};
use super::worker::{Arrival, Held, Presence, Worker};
use super::{Engine, Now};
use crate::store::{Mutation, NodeRecord};
use shanty_model::id::{NodeId, RunId, nearest};
use shanty_model::kind::Shape;
use shanty_model::state::ShardState;
use shanty_model::telemetry::Telemetry;
use std::collections::BTreeSet;
use std::time::Duration;

/// A worker that has been away for so long is not coming back.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

impl Engine {
    /// A worker has attached. It gets work once its inventory is known.
    pub fn on_attached(&mut self, now: Now, arrival: Arrival) {
        let node = arrival.node.clone();
        let before = self.workers.get(&node);
        let restarted = before.is_none_or(|worker| worker.arrival.incarnation != arrival.incarnation);
        let draining = !restarted && before.is_some_and(|worker| worker.draining);
        let worker = Worker {
            presence: Presence::Arriving,
            heard: now.boot,
            heard_unix_ms: now.unix_ms(),
            clock_offset_ns: before.map_or(0, |worker| worker.clock_offset_ns),
            cordoned: self.cordoned.get(&node).copied().unwrap_or(false),
            draining,
            words: std::collections::BTreeMap::new(),
            dead_since: None,
            arrival,
        };
        if restarted {
            let message = format!("{} attached with {} slots", node, worker.arrival.slots);
            self.node_event(now, &node, "WORKER_ATTACHED", message);
        }
        self.workers.insert(node, worker);
    }

    /// Another process tried to attach under a worker's name, and was refused.
    pub fn on_twin(&mut self, now: Now, node: &NodeId) {
        let message = format!(
            "another process tries to attach as {node} and is refused: give each worker a name of its own"
        );
        self.node_event(now, node, "WORKER_NAME_TAKEN", message);
    }

    /// A worker has said what it holds: what it should do goes on, what it should not ends.
    pub fn on_inventory(&mut self, now: Now, node: &NodeId, held: &[Held]) {
        self.heard(now, node);
        let Some(worker) = self.workers.get_mut(node) else { return };
        worker.presence = Presence::Present;
        let incarnation = worker.arrival.incarnation.clone();
        self.learn_names(now, node, held);
        for id in self.runs.keys().cloned().collect::<Vec<RunId>>() {
            let Some(machine) = self.runs.get_mut(&id) else { continue };
            let assigns =
                machine.record.spec.shape() == Shape::Divisible && machine.record.detail.stopping.is_none();
            let mut forgotten = Vec::new();
            for index in machine.active().collect::<Vec<_>>() {
                let part = &mut machine.parts[index];
                let Some(attempt) = part.attempt.as_ref().filter(|attempt| attempt.node == *node) else {
                    continue;
                };
                if part.shard.state == ShardState::Pending {
                    continue;
                }
                let same = attempt.incarnation == incarnation;
                match held.iter().find(|held| same && held.attempt == attempt.id) {
                    Some(held) => {
                        part.away_since = None;
                        part.applied = part.applied.max(held.revision);
                        part.told = held.revision;
                        part.course.tell_anew();
                        if held.acked > part.absorbed {
                            forgotten.push((index, held.acked));
                        }
                    }
                    // The order for it may have been lost with the stream before, or be on its way.
                    None if assigns
                        && same
                        && part.shard.state == ShardState::Assigned
                        && !part.course.is_recalled() =>
                    {
                        part.away_since = None;
                        machine.assign_again(now, index, &self.options);
                    }
                    // Whatever it was, this worker does not have it: others take it at once.
                    None => {
                        part.away_since = Some(now.boot);
                        part.grace = std::time::Duration::ZERO;
                    }
                }
            }
            machine.retell_cancel(node);
            self.give_results_up(now, node, &id, &forgotten);
        }
        for held in held {
            let known = self.runs.get(&held.attempt.shard.run);
            let part = known.and_then(|m| m.parts.iter().find(|part| part.is_at(&held.attempt)));
            let is_its = part.is_some_and(|part| part.is_active() && part.node() == Some(node));
            if held.ended || is_its {
                continue;
            }
            let reason = "others have this work".to_owned();
            // What a shard came to is told by whoever has it.
            let discard = known.is_none_or(|machine| machine.record.spec.shape() == Shape::Divisible);
            let order = Order::Cancel { attempt: held.attempt.clone(), reason, discard };
            self.commands.push(Command::Tell(node.clone(), order));
        }
        self.reconcile_all(now);
    }

    /// A worker was heard.
    pub fn on_heartbeat(&mut self, now: Now, node: &NodeId, telemetry: Telemetry, clock_offset_ns: i64) {
        self.heard(now, node);
        if let Some(worker) = self.workers.get_mut(node) {
            worker.arrival.telemetry = telemetry;
            worker.clock_offset_ns = clock_offset_ns;
        }
        self.judge_clock(now, node, clock_offset_ns / 1_000_000);
    }

    /// A worker said something, whatever it was.
    pub(super) fn heard(&mut self, now: Now, node: &NodeId) {
        if let Some(worker) = self.workers.get_mut(node) {
            worker.heard = now.boot;
            worker.heard_unix_ms = now.unix_ms();
            worker.words.clear();
            if worker.dead_since.take().is_some() {
                let message = format!("{node} is heard again: it was not dead, but slow or cut off");
                self.node_event(now, node, "WORKER_HEARD_AGAIN", message);
            }
        }
    }

    /// A worker's stream is gone; it may come back.
    pub fn on_gone(&mut self, now: Now, node: &NodeId, incarnation: &str) {
        let Some(worker) = self.workers.get_mut(node) else { return };
        if worker.arrival.incarnation != incarnation {
            return;
        }
        worker.presence = Presence::Away(now.boot);
        let draining = worker.draining;
        for machine in self.runs.values_mut() {
            let grace = match machine.record.spec.shape() {
                _ if draining => std::time::Duration::ZERO,
                Shape::Divisible => self.options.hand_over_grace,
                Shape::Rate | Shape::Enumerable | Shape::OneShot | Shape::Composite => {
                    self.options.link_grace
                }
            };
            for index in machine.active().collect::<Vec<_>>() {
                let part = &mut machine.parts[index];
                if part.node() == Some(node) && part.away_since.is_none() {
                    part.away_since = Some(now.boot);
                    part.grace = grace;
                }
            }
        }
    }

    /// Forgets workers that went long ago and have no part in anything: where workers come and go under new names, they
    /// would be looked at for as long as the term lasts.
    pub(super) fn forget_gone(&mut self, now: Now) {
        let long_ago = |worker: &Worker| match worker.presence {
            Presence::Away(since) => now.boot.saturating_sub(since) >= FORGOTTEN_AFTER,
            Presence::Arriving | Presence::Present => false,
        };
        if !self.workers.values().any(long_ago) {
            return;
        }
        let parts = self.runs.values().flat_map(|machine| machine.parts.iter());
        let busy: BTreeSet<NodeId> =
            parts.filter(|part| part.is_active()).filter_map(|part| part.node().cloned()).collect();
        self.workers.retain(|node, worker| busy.contains(node) || !long_ago(worker));
        self.apart.retain(|node, _| self.workers.contains_key(node));
    }

    /// A worker says that it wants to leave.
    pub fn on_leaving(&mut self, now: Now, node: &NodeId, reason: &str) {
        self.heard(now, node);
        let Some(worker) = self.workers.get_mut(node) else { return };
        if worker.draining {
            return;
        }
        worker.draining = true;
        self.node_event(now, node, "WORKER_LEAVING", format!("{node} leaves: {reason}"));
        self.reconcile_all(now);
    }

    /// Gives a worker no new work, or gives it some again.
    ///
    /// # Errors
    /// [`Refused::NotFound`] with the nearest names.
    pub fn cordon(&mut self, now: Now, node: &NodeId, cordoned: bool) -> Result<(), Refused> {
        let worker = self.known_worker(node)?;
        let was_draining = worker.draining;
        if worker.cordoned == cordoned && (cordoned || !was_draining) {
            return Ok(());
        }
        worker.cordoned = cordoned;
        if !cordoned {
            worker.draining = false;
        }
        self.cordoned.insert(node.clone(), cordoned);
        let record = NodeRecord { id: node.clone(), cordoned };
        self.commands.push(Command::store(Mutation::PutNode(record)));
        if was_draining && !cordoned {
            self.commands.push(Command::Tell(node.clone(), Order::Drain(false)));
        }
        let reason = if cordoned { "WORKER_CORDONED" } else { "WORKER_UNCORDONED" };
        let message = if cordoned { "gets no new work" } else { "gets work again" };
        self.node_event(now, node, reason, format!("{node} {message}"));
        self.reconcile_all(now);
        Ok(())
    }

    /// Cordons a worker and hands its work to the others.
    ///
    /// # Errors
    /// [`Refused::NotFound`] with the nearest names.
    pub fn drain(&mut self, now: Now, node: &NodeId) -> Result<(), Refused> {
        self.cordon(now, node, true)?;
        let worker = self.known_worker(node)?;
        if worker.draining {
            return Ok(());
        }
        worker.draining = true;
        self.commands.push(Command::Tell(node.clone(), Order::Drain(true)));
        self.node_event(now, node, "WORKER_DRAINING", format!("{node} hands its work over"));
        self.reconcile_all(now);
        Ok(())
    }

    fn known_worker(&mut self, node: &NodeId) -> Result<&mut Worker, Refused> {
        let known: Vec<String> = nearest(node.as_str(), self.workers.keys().map(NodeId::as_str))
            .into_iter()
            .map(str::to_owned)
            .collect();
        self.workers.get_mut(node).ok_or_else(|| Refused::NotFound {
            what: "worker",
            name: node.to_string(),
            nearest: known,
        })
    }
}
