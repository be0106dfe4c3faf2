//! What a store that was set back has forgotten and workers still know: results that were acknowledged, and names that
//! were given out.
//!
//! It happens where a copy of the store that lagged behind takes its place. What is forgotten is not brought back; but no
//! run waits for it, and no name is given out twice while a worker has it.
//! In: inventories. Out: parts that wait for nothing, numbers that are passed over. Never: takes a worker's word against a
//! store that knows more.
//! Tests: `tests/forgotten.rs`.

use super::machine::Machine;
use super::worker::Held;
use super::{Engine, Now};
use shanty_model::id::{JobId, NodeId, RunId};
use shanty_model::kind::Shape;
use std::collections::BTreeMap;

/// No store forgets as many numbers as this: a worker that tells of one further on is damaged, and not believed.
const FAR: u32 = 1_000_000;

/// The largest number of a run that any worker has told, by job.
pub(super) type RunNumbers = BTreeMap<JobId, u32>;

impl Engine {
    /// Remembers the names in an inventory that the store does not know: they are passed over.
    pub(super) fn learn_names(&mut self, now: Now, node: &NodeId, held: &[Held]) {
        for attempt in held.iter().map(|held| &held.attempt) {
            let RunId { job, number } = &attempt.shard.run;
            if let Some(machine) = self.runs.get_mut(&attempt.shard.run) {
                machine.learn_number(attempt.shard.index, attempt.number);
                continue;
            }
            let told = self.told_runs.get(job).copied().unwrap_or(0);
            let known = self.jobs.get(job).map_or(0, |job| job.last_run).max(told);
            if *number > known && number - known <= FAR {
                self.told_runs.insert(job.clone(), *number);
                let message = format!(
                    "{node} works for run `{}`, which the store does not know: it was set back; that number is passed over",
                    attempt.shard.run
                );
                self.node_event(now, node, "STORE_SET_BACK", message);
            }
        }
    }

    /// The number that a job's next run gets, `last` being the one that the store knows.
    pub(super) fn next_run(&self, job: &JobId, last: u32) -> u32 {
        last.max(self.told_runs.get(job).copied().unwrap_or(0)) + 1
    }

    /// Results that a part's worker was told are safe, and that the store does not have: load goes on without them, work
    /// that has positions of its own is begun again, which finds what is done.
    pub(super) fn give_results_up(
        &mut self,
        now: Now,
        node: &NodeId,
        run: &RunId,
        forgotten: &[(usize, u64)],
    ) {
        let Some(machine) = self.runs.get_mut(run) else { return };
        match machine.record.spec.shape() {
            Shape::Divisible => {
                let reason = "the store was set back and forgot results of it".to_owned();
                let lost = forgotten.iter().map(|(index, _)| (*index, reason.clone())).collect();
                self.lose_attempts(now, run, lost);
            }
            Shape::Rate | Shape::Enumerable | Shape::OneShot | Shape::Composite => {
                for (index, acked) in forgotten {
                    let part = &mut machine.parts[*index];
                    let count = acked - part.absorbed;
                    part.absorbed = *acked;
                    let message = format!(
                        "the store was set back and forgot {count} results of {node}, which has them no more: they are \
                         missing in the report"
                    );
                    machine.note(now, true, "RESULTS_LOST", message);
                }
            }
        }
    }
}

impl Machine {
    /// A worker holds attempt `number` at shard `index`.
    fn learn_number(&mut self, index: u32, number: u32) {
        let told = self.told_numbers.entry(index).or_default();
        if number.saturating_sub(*told) > FAR {
            return;
        }
        *told = (*told).max(number);
        let part = usize::try_from(index).ok().and_then(|index| self.parts.get_mut(index));
        if let Some(part) = part {
            part.told_number = *told;
        }
    }
}
