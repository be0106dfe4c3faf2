//! The engine with workers that are values: events in, commands out, time as an argument.

mod divide;
mod divide_faults;
mod forgotten;
mod fuzz;
mod past;
mod rate;
mod sync;
mod thousand;
mod words;

use super::*;
use crate::engine::command::{Ending, Outcome, Update};
use crate::store::{ActiveRun, Mutation};
use shanty_model::id::AttemptId;
use shanty_model::kind::Spec;
use shanty_model::telemetry::Telemetry;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// An engine with its clock, what it stored, and what it told whom.
struct World {
    engine: Engine,
    now: Now,
    stored: Vec<Mutation>,
    told: Vec<(NodeId, Order)>,
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

impl World {
    fn new() -> World {
        let now = Now { unix_ns: 1_700_000_000_000_000_000, boot: Duration::from_secs(1000) };
        let engine = Engine::take_over(now, Epoch(1), &node("m1"), Options::default(), Stored::default());
        World { engine, now, stored: Vec::new(), told: Vec::new() }
    }

    fn with_workers(names: &[&str]) -> World {
        let mut world = World::new();
        for name in names {
            world.attach(name, "first", &[]);
        }
        world
    }

    fn attach(&mut self, name: &str, incarnation: &str, held: &[Held]) {
        self.attach_with(name, incarnation, held, 4, &["shop", "dw"]);
    }

    fn attach_with(
        &mut self,
        name: &str,
        incarnation: &str,
        held: &[Held],
        slots: u32,
        connections: &[&str],
    ) {
        let telemetry = Telemetry { cores: 2.0, memory_total_bytes: 1 << 30, ..Telemetry::default() };
        let arrival = Arrival {
            node: node(name),
            incarnation: incarnation.to_owned(),
            version: "0".into(),
            kinds: vec!["http_load".into(), "db_sync".into()],
            slots,
            labels: BTreeMap::new(),
            connections: connections.iter().map(|name| (*name).to_owned()).collect(),
            door: format!("{name}:7073"),
            telemetry,
        };
        self.engine.on_attached(self.now, arrival);
        self.engine.on_inventory(self.now, &node(name), held);
        self.settle();
    }

    /// Time passes in ticks of 100 ms; the workers named are heard.
    fn pass(&mut self, time: Duration, heard: &[&str]) {
        let mut left = time;
        while left > Duration::ZERO {
            let step = left.min(100 * MS);
            left -= step;
            self.now.boot += step;
            self.now.unix_ns += i64::try_from(step.as_nanos()).unwrap();
            for name in heard {
                let telemetry = Telemetry { cores: 2.0, memory_total_bytes: 1 << 30, ..Telemetry::default() };
                self.engine.on_heartbeat(self.now, &node(name), telemetry, 0);
            }
            self.engine.on_tick(self.now, false);
            self.settle();
        }
    }

    fn settle(&mut self) {
        for command in self.engine.take_commands() {
            match command {
                Command::Store(mutation) => self.stored.push(*mutation),
                Command::Tell(node, order) => self.told.push((node, order)),
            }
        }
    }

    fn start(&mut self, spec: Spec) -> RunId {
        let run = self.engine.start_run(self.now, spec).unwrap();
        self.settle();
        run
    }

    fn run(&self) -> &crate::store::RunRecord {
        self.stored
            .iter()
            .rev()
            .find_map(|mutation| match mutation {
                Mutation::InsertRun(run) | Mutation::UpdateRun(run) => Some(&**run),
                _ => None,
            })
            .unwrap()
    }

    fn notes(&self) -> Vec<String> {
        self.stored
            .iter()
            .filter_map(|mutation| match mutation {
                Mutation::AppendEvent(event) => match &event.body {
                    crate::store::EventBody::Note { reason, .. } => Some(reason.clone()),
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }

    fn assigned(&self) -> Vec<(NodeId, Assignment)> {
        self.told
            .iter()
            .filter_map(|(node, order)| match order {
                Order::Assign(assignment) => Some((node.clone(), (**assignment).clone())),
                _ => None,
            })
            .collect()
    }

    fn begin_all(&mut self) {
        for (node, assignment) in self.assigned() {
            self.engine.on_update(self.now, &node, &assignment.attempt, Update::Accepted);
            self.engine.on_update(self.now, &node, &assignment.attempt, Update::Running);
        }
        self.settle();
    }

    fn end(&mut self, name: &str, attempt: &AttemptId, outcome: Outcome, last_sequence: u64) {
        let ending = Ending { attempt: attempt.clone(), outcome, reason: String::new(), last_sequence };
        self.engine.on_ended(self.now, &node(name), ending);
        self.settle();
    }

    fn acks(&self, attempt: &AttemptId) -> Vec<(u64, bool)> {
        self.told
            .iter()
            .filter_map(|(_, order)| match order {
                Order::Ack { attempt: acked, sequence, ended } if acked == attempt => {
                    Some((*sequence, *ended))
                }
                _ => None,
            })
            .collect()
    }
}

/// The results of a run that the store holds, as they came.
fn stored_pieces(world: &World, run: &RunId) -> Vec<crate::store::SeriesRecord> {
    let pieces = world.stored.iter().filter_map(|mutation| match mutation {
        Mutation::AppendSeries(piece) if piece.attempt.shard.run == *run => Some(piece.clone()),
        _ => None,
    });
    pieces.collect()
}

/// What the store holds of a run of a world, its results apart.
fn stored_run(world: &World, run: &RunId) -> ActiveRun {
    let mut record = None;
    let mut shards: BTreeMap<u32, crate::store::ShardRecord> = BTreeMap::new();
    let mut attempts = BTreeMap::new();
    let mut unread = BTreeMap::new();
    let mut checkpoints = BTreeMap::new();
    for mutation in &world.stored {
        match mutation {
            Mutation::InsertRun(new) | Mutation::UpdateRun(new) if new.id == *run => record = Some(&**new),
            Mutation::InsertShard(shard) | Mutation::UpdateShard(shard) if shard.id.run == *run => {
                shards.insert(shard.id.index, shard.clone());
            }
            Mutation::InsertAttempt(attempt) | Mutation::UpdateAttempt(attempt)
                if attempt.id.shard.run == *run =>
            {
                attempts.insert(attempt.id.clone(), attempt.clone());
            }
            Mutation::AppendSeries(piece) if piece.attempt.shard.run == *run => {
                unread.insert(piece.attempt.clone(), piece.sequence);
            }
            Mutation::PutCheckpoint(newest) if newest.attempt.shard.run == *run => {
                checkpoints.insert(newest.attempt.shard.index, newest.clone());
            }
            _ => {}
        }
    }
    // As the store loads them: of each shard the newest attempt.
    attempts.retain(|id: &AttemptId, _| shards[&id.shard.index].attempt == id.number);
    ActiveRun {
        run: record.unwrap().clone(),
        shards: shards.into_values().collect(),
        attempts: attempts.into_values().collect(),
        unread: unread.into_iter().collect(),
        checkpoints: checkpoints.into_values().collect(),
    }
}
