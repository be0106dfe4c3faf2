//! A world with a sync in it: what its workers would report.

use super::*;
use shanty_model::id::ShardId;
use shanty_model::kind::db_sync::{self, Directive, Found, Partial, Step, TableFacts, Verify, VerifyBy};
use shanty_model::state::{RunState, ShardState};

/// A sync of one table from `shop` to `dw`.
pub(super) fn sync_spec(workers: u32) -> db_sync::Spec {
    db_sync::Spec {
        source: db_sync::Source { connection: "shop".into(), table: "orders".into(), ..Default::default() },
        target: db_sync::Target { connection: "dw".into(), ..Default::default() },
        workers,
        ..db_sync::Spec::default()
    }
}

pub(super) fn copy(part: u32) -> Step {
    Step::Copy { table: 0, part }
}

/// The table, its ranges all found or not.
pub(super) fn orders(planned: bool, finish: bool) -> TableFacts {
    TableFacts {
        table: 0,
        source: "orders".into(),
        target: "orders".into(),
        rows_estimated: Some(1000),
        created: true,
        planned,
        finish,
        verify_by: VerifyBy::Part,
        left_out: Vec::new(),
    }
}

impl World {
    pub(super) fn start_sync(&mut self, workers: u32) -> RunId {
        self.start(Spec::DbSync(Box::new(sync_spec(workers))))
    }

    /// A sync whose plan has found `sizes` ranges and is done; their attempts have begun.
    pub(super) fn copying(&mut self, workers: u32, sizes: &[u64]) -> RunId {
        let run = self.start_sync(workers);
        self.plan(&run, sizes);
        run
    }

    /// Carries out the plan of a sync.
    pub(super) fn plan(&mut self, run: &RunId, sizes: &[u64]) {
        self.begin(run, Step::Plan);
        let found = (0..).zip(sizes).map(|(part, rows)| Found { step: copy(part), rows: *rows }).collect();
        let partial = Partial { found, tables: vec![orders(true, false)], ..Partial::new(Step::Plan) };
        self.tell(run, 1, partial);
        self.done(run, Step::Plan, 1);
        self.begin_sync(run);
    }

    /// The shards of a run with their steps.
    pub(super) fn shards(&self, run: &RunId) -> Vec<(Step, crate::store::ShardRecord)> {
        let shards = stored_run(self, run).shards.into_iter();
        shards.map(|shard| (serde_json::from_str(&shard.payload).unwrap(), shard)).collect()
    }

    pub(super) fn shard(&self, run: &RunId, step: Step) -> crate::store::ShardRecord {
        let found = self.shards(run).into_iter().find(|(s, _)| *s == step);
        found.unwrap_or_else(|| panic!("no shard {step}")).1
    }

    pub(super) fn state(&self, run: &RunId, step: Step) -> ShardState {
        self.shard(run, step).state
    }

    pub(super) fn run_state(&self, run: &RunId) -> RunState {
        stored_run(self, run).run.state
    }

    /// The newest attempt at a step, and its worker.
    pub(super) fn attempt(&self, run: &RunId, step: Step) -> (String, AttemptId) {
        let shard = self.shard(run, step);
        let id = AttemptId { shard: shard.id, number: shard.attempt };
        (shard.node.map(|node| node.to_string()).unwrap_or_default(), id)
    }

    /// The newest attempt at a step begins.
    pub(super) fn begin(&mut self, run: &RunId, step: Step) {
        let (name, attempt) = self.attempt(run, step);
        self.engine.on_update(self.now, &node(&name), &attempt, Update::Accepted);
        self.engine.on_update(self.now, &node(&name), &attempt, Update::Running);
        self.settle();
    }

    /// All attempts that were sent begin.
    pub(super) fn begin_sync(&mut self, run: &RunId) {
        for (step, shard) in self.shards(run) {
            if shard.state == ShardState::Assigned {
                self.begin(run, step);
            }
        }
    }

    /// The newest attempt at a step reports.
    pub(super) fn tell(&mut self, run: &RunId, sequence: u64, partial: Partial) {
        let (name, attempt) = self.attempt(run, partial.step);
        self.tell_as(&name, &attempt, sequence, &partial);
    }

    pub(super) fn tell_as(&mut self, name: &str, attempt: &AttemptId, sequence: u64, partial: &Partial) {
        let bytes = rmp_serde::to_vec_named(partial).unwrap();
        self.engine.on_report(self.now, &node(name), attempt, sequence, bytes);
        self.settle();
    }

    /// The newest attempt at a step ends well.
    pub(super) fn done(&mut self, run: &RunId, step: Step, last_sequence: u64) {
        let (name, attempt) = self.attempt(run, step);
        self.end(&name, &attempt, Outcome::Done, last_sequence);
    }

    /// The newest attempt at a step fails.
    pub(super) fn fail(&mut self, run: &RunId, step: Step, transient: bool, last_sequence: u64) {
        let (name, attempt) = self.attempt(run, step);
        let outcome = Outcome::Failed { transient };
        let ending = Ending { attempt, outcome, reason: "deadlock".into(), last_sequence };
        self.engine.on_ended(self.now, &node(&name), ending);
        self.settle();
    }

    /// Copies a range in one report.
    pub(super) fn copied(&mut self, run: &RunId, part: u32, rows: u64) {
        self.tell(run, 1, Partial { rows, bytes: rows * 10, remaining: Some(0), ..Partial::new(copy(part)) });
        self.done(run, copy(part), 1);
    }

    /// The directives that an attempt was told, oldest first.
    pub(super) fn directives(&self, attempt: &AttemptId) -> Vec<Directive> {
        let text = self.told.iter().filter_map(|(_, order)| match order {
            Order::Assign(assignment) if assignment.attempt == *attempt => Some(assignment.directive.clone()),
            Order::Change { attempt: changed, directive, .. } if changed == attempt => {
                Some(directive.clone())
            }
            _ => None,
        });
        text.map(|text| serde_json::from_str(&text).unwrap()).collect()
    }

    /// Who was asked to stop which attempt, and whether results are unwanted.
    pub(super) fn cancels(&self) -> Vec<(String, AttemptId, bool)> {
        let cancels = self.told.iter().filter_map(|(node, order)| match order {
            Order::Cancel { attempt, discard, .. } => Some((node.to_string(), attempt.clone(), *discard)),
            _ => None,
        });
        cancels.collect()
    }

    /// The assignments as steps and workers, in order.
    pub(super) fn given(&self) -> Vec<(String, String)> {
        let assigned = self.assigned().into_iter();
        assigned
            .map(|(node, a)| (serde_json::from_str::<Step>(&a.shard).unwrap().to_string(), node.to_string()))
            .collect()
    }

    /// A new leader takes the runs over, with the jobs that are stored, and has read all results; its workers have not attached.
    pub(super) fn taken_over(&self, ids: &[&RunId]) -> World {
        let runs = ids.iter().map(|run| stored_run(self, run)).collect();
        let jobs: BTreeMap<_, _> = self
            .stored
            .iter()
            .filter_map(|mutation| match mutation {
                Mutation::InsertJob(job) | Mutation::UpdateJob(job) => Some((job.id.clone(), job.clone())),
                _ => None,
            })
            .collect();
        let stored = Stored { runs, jobs: jobs.into_values().collect(), ..Stored::default() };
        let mut engine = Engine::take_over(self.now, Epoch(2), &node("m2"), Options::default(), stored);
        for run in ids {
            engine.on_past(run, &stored_pieces(self, run), true);
        }
        let mut world = World { engine, now: self.now, stored: self.stored.clone(), told: Vec::new() };
        world.settle();
        world
    }

    pub(super) fn shard_id(&self, run: &RunId, step: Step) -> ShardId {
        self.shard(run, step).id
    }
}

/// What a comparison of a range found.
pub(super) fn compared(part: u32, missing: u64) -> Partial {
    let found = db_sync::Verification {
        level: Verify::Checksum,
        source_rows: 10,
        target_rows: 10 - missing,
        missing,
        extra: 0,
        different: 0,
        repaired: 0,
        not_compared: Vec::new(),
        examples: Vec::new(),
        equal: missing == 0,
        read_back: false,
    };
    let step = Step::Verify { table: 0, part: Some(part) };
    Partial { verification: Some(found), ..Partial::new(step) }
}
