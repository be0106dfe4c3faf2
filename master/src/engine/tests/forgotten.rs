//! A store that was set back: a new leader whose store ends earlier than what its workers know.

use super::rate::spec;
use super::sync::{copy, sync_spec};
use super::*;
use shanty_model::kind::db_sync::{Partial, Step};
use shanty_model::state::{RunState, ShardState};

fn held(attempt: &AttemptId, acked: u64) -> Held {
    Held { attempt: attempt.clone(), revision: 1, acked, ended: false }
}

fn attempts(world: &World) -> Vec<AttemptId> {
    world.assigned().into_iter().map(|(_, assignment)| assignment.attempt).collect()
}

#[test]
fn load_whose_acknowledged_results_were_forgotten_goes_on_and_ends_and_says_so() {
    let mut old = World::with_workers(&["w1"]);
    let run = old.start(spec(100.0, 4));
    old.begin_all();
    let attempt = attempts(&old).remove(0);
    old.report("w1", &attempt, 0, 100);
    let kept = old.stored.len();
    old.report("w1", &attempt, 1, 100);
    old.report("w1", &attempt, 2, 100);
    old.stored.truncate(kept);

    let mut new = old.taken_over(&[&run]);
    new.attach("w1", "first", &[held(&attempt, 3)]);
    assert!(new.notes().contains(&"RESULTS_LOST".to_owned()));
    new.report("w1", &attempt, 3, 100);
    assert_eq!(new.acks(&attempt), [(4, false)]);
    new.pass(4500 * MS, &["w1"]);
    new.end("w1", &attempt, Outcome::Done, 4);
    let report = new.run().report.clone().unwrap();
    let shanty_model::kind::Report::HttpLoad(report) = report else { panic!("{report:?}") };
    assert_eq!((report.scheduled, report.sent), (400, 200), "what is missing is missing");
}

#[test]
fn a_shard_whose_acknowledged_results_were_forgotten_is_begun_again_under_another_number() {
    let mut old = World::with_workers(&["w1", "w2"]);
    let run = old.copying(2, &[100, 90]);
    let kept = old.stored.len();
    old.tell(&run, 1, Partial { rows: 50, remaining: Some(50), ..Partial::new(copy(0)) });
    let attempt = old.attempt(&run, copy(0)).1;
    let (name, other) = old.attempt(&run, copy(1));
    let first = old.attempt(&run, copy(0)).0;
    old.stored.truncate(kept);

    let mut new = old.taken_over(&[&run]);
    new.attach(&name, "first", &[held(&other, 0)]);
    new.attach(&first, "first", &[held(&attempt, 1)]);
    assert!(new.cancels().iter().any(|(_, cancelled, discard)| *cancelled == attempt && *discard));
    assert_eq!(new.attempt(&run, copy(0)).1.number, attempt.number + 1);
    assert_eq!(new.attempt(&run, copy(1)).1, other, "what is whole goes on");
    new.begin_sync(&run);
    new.copied(&run, 0, 100);
    assert_eq!(new.state(&run, copy(0)), ShardState::Done);
}

#[test]
fn a_name_that_a_worker_has_is_not_given_out_again() {
    let mut old = World::with_workers(&["w1", "w2"]);
    let run = old.start_sync(1);
    old.begin_sync(&run);
    let kept = old.stored.len();
    let rate = old.start(spec(100.0, 60));
    let unknown = attempts(&old).pop().unwrap();
    assert_eq!(unknown.shard.run, rate);
    // A second attempt at the plan, of which the store knows the first alone.
    let (planner, first) = old.attempt(&run, Step::Plan);
    old.engine.on_gone(old.now, &node(&planner), "first");
    let other = if planner == "w1" { "w2" } else { "w1" };
    old.pass(2500 * MS, &[other]);
    let second = old.attempt(&run, Step::Plan).1;
    assert_eq!((first.number, second.number), (1, 2));
    old.stored.truncate(kept);

    let mut new = old.taken_over(&[&run]);
    new.attach(other, "first", &[held(&second, 0), held(&unknown, 0)]);
    let cancelled: Vec<AttemptId> = new.cancels().into_iter().map(|(_, attempt, _)| attempt).collect();
    assert!(cancelled.contains(&second) && cancelled.contains(&unknown), "{cancelled:?}");
    let told = new.stored.iter().any(
        |mutation| matches!(mutation, Mutation::AppendNodeEvent(event) if event.reason == "STORE_SET_BACK"),
    );
    assert!(told);
    new.attach(&planner, "second", &[]);
    new.pass(3000 * MS, &["w1", "w2"]);
    assert_eq!(new.attempt(&run, Step::Plan).1.number, 3);
    let next = new.start(Spec::DbSync(Box::new(sync_spec(1))));
    assert_eq!((rate.number, next.number), (2, 3));
}

#[test]
fn of_a_shard_that_two_workers_hold_only_the_one_that_it_was_given_to_goes_on() {
    let mut old = World::with_workers(&["w1"]);
    let run = old.start(spec(100.0, 60));
    old.begin_all();
    let attempt = attempts(&old).remove(0);
    let mut new = old.taken_over(&[&run]);
    new.attach("w1", "first", &[held(&attempt, 0)]);
    new.attach("w2", "first", &[held(&attempt, 0)]);
    assert_eq!(new.cancels(), [("w2".to_owned(), attempt, false)]);
    assert_eq!(new.run_state(&run), RunState::Running);
}
