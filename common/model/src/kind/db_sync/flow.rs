//! Which shards follow from those that are there. Level-triggered: asked again, it answers only what is missing.
//!
//! In: the spec, the reports merged, the shards with their states. Out: new shards.
//! Tests: below, as a story and as a table.

use super::{Found, Spec, Step, Tally, Verify, VerifyBy};
use crate::state::ShardState;
use std::collections::BTreeMap;

/// The shards that are due and not there yet.
#[must_use]
pub fn next(spec: &Spec, tally: &Tally, shards: &[(Step, ShardState)]) -> Vec<Found> {
    let states: BTreeMap<Step, ShardState> = shards.iter().copied().collect();
    let state = |step: Step| states.get(&step).copied();
    let done = |step: Step| state(step) == Some(ShardState::Done);
    let due = |step: Step| Found { step, rows: 0 };
    match state(Step::Plan) {
        None => return vec![due(Step::Plan)],
        Some(_) if shards.iter().any(|(_, state)| *state == ShardState::Failed) => return Vec::new(),
        Some(_) => {}
    }
    let mut new = Vec::new();
    let mut all_over = done(Step::Plan);
    for facts in tally.tables() {
        let table = facts.table;
        let copies = || states.range(Step::Copy { table, part: 0 }..=Step::Copy { table, part: u32::MAX });
        let copied = facts.planned && copies().all(|(_, state)| *state == ShardState::Done);
        if !copied {
            all_over = false;
            continue;
        }
        let finish = Step::Finish { table };
        if facts.finish && !done(finish) {
            all_over = false;
            if state(finish).is_none() {
                new.push(due(finish));
            }
            continue;
        }
        if spec.verify_level() == Verify::None {
            continue;
        }
        let pieces: Vec<Step> = match facts.verify_by {
            VerifyBy::Whole => vec![Step::Verify { table, part: None }],
            VerifyBy::Part => copies()
                .filter_map(|(step, _)| match step {
                    Step::Copy { part, .. } => Some(Step::Verify { table, part: Some(*part) }),
                    _ => None,
                })
                .collect(),
        };
        for piece in pieces {
            all_over &= done(piece);
            if state(piece).is_none() {
                new.push(due(piece));
            }
        }
    }
    if all_over && new.is_empty() && state(Step::Close).is_none() {
        new.push(due(Step::Close));
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;
    use crate::kind::db_sync::{Partial, TableFacts};

    fn facts(table: u32, planned: bool, finish: bool, verify_by: VerifyBy) -> TableFacts {
        TableFacts {
            table,
            source: format!("s{table}"),
            target: format!("t{table}"),
            rows_estimated: None,
            created: false,
            planned,
            finish,
            verify_by,
            left_out: Vec::new(),
        }
    }

    fn tally(tables: Vec<TableFacts>) -> Tally {
        let node: NodeId = "w1".parse().unwrap();
        let mut tally = Tally::default();
        tally.absorb(0, &node, Partial { tables, ..Partial::new(Step::Plan) });
        tally
    }

    fn steps(spec: &Spec, tally: &Tally, shards: &[(Step, ShardState)]) -> Vec<String> {
        next(spec, tally, shards).into_iter().map(|found| found.step.to_string()).collect()
    }

    #[test]
    fn a_sync_goes_from_plan_to_close() {
        use ShardState::{Done, Running};
        let spec = Spec { verify: Verify::Checksum, ..Spec::default() };
        assert_eq!(steps(&spec, &Tally::default(), &[]), ["plan"]);
        let copy = |part| Step::Copy { table: 0, part };
        // While it plans, nothing follows.
        let early = tally(vec![facts(0, false, true, VerifyBy::Part)]);
        assert!(steps(&spec, &early, &[(Step::Plan, Running), (copy(1), Done)]).is_empty());
        // A table that is planned and copied is finished although the plan goes on with others.
        let planned = tally(vec![facts(0, true, true, VerifyBy::Part)]);
        let mut shards = vec![(Step::Plan, Running), (copy(1), Done), (copy(2), Running)];
        assert!(steps(&spec, &planned, &shards).is_empty());
        shards[2].1 = Done;
        assert_eq!(steps(&spec, &planned, &shards), ["finish/0"]);
        shards.push((Step::Finish { table: 0 }, Running));
        assert!(steps(&spec, &planned, &shards).is_empty());
        shards[3].1 = Done;
        assert_eq!(steps(&spec, &planned, &shards), ["verify/0/1", "verify/0/2"]);
        for part in [1, 2] {
            shards.push((Step::Verify { table: 0, part: Some(part) }, Done));
        }
        assert!(steps(&spec, &planned, &shards).is_empty(), "the plan goes on");
        shards[0].1 = Done;
        assert_eq!(steps(&spec, &planned, &shards), ["close"]);
        shards.push((Step::Close, Done));
        assert!(steps(&spec, &planned, &shards).is_empty());
    }

    #[test]
    fn an_empty_table_is_finished_and_compared_as_a_whole() {
        let spec = Spec { sweep: true, ..Spec::default() };
        let tally = tally(vec![facts(0, true, false, VerifyBy::Whole)]);
        assert_eq!(steps(&spec, &tally, &[(Step::Plan, ShardState::Done)]), ["verify/0"]);
    }

    #[test]
    fn nothing_follows_a_failure() {
        let tally = tally(vec![facts(0, true, true, VerifyBy::Whole)]);
        let shards = [(Step::Plan, ShardState::Done), (Step::Copy { table: 0, part: 0 }, ShardState::Failed)];
        assert!(steps(&Spec::default(), &tally, &shards).is_empty());
    }

    #[test]
    fn without_a_comparison_close_follows_the_copy() {
        let tally = tally(vec![facts(0, true, false, VerifyBy::Part), facts(1, true, false, VerifyBy::Part)]);
        let shards = [(Step::Plan, ShardState::Done), (Step::Copy { table: 1, part: 0 }, ShardState::Done)];
        assert_eq!(steps(&Spec::default(), &tally, &shards), ["close"]);
    }
}
