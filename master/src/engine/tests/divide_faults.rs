//! Runs of shape divisible: workers lost, shards failed, leaders changed, runs cancelled.

use super::sync::*;
use super::*;
use shanty_model::kind::Report;
use shanty_model::kind::db_sync::{Found, Partial, Step};
use shanty_model::state::{RunState, ShardState};

const ALL: [&str; 3] = ["w1", "w2", "w3"];

#[test]
fn a_lost_workers_shard_goes_to_another_under_a_larger_number() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(2, &[100, 90]);
    let (lost, first) = world.attempt(&run, copy(0));
    let other = if lost == "w1" { "w2" } else { "w1" };
    world.tell(&run, 1, Partial { rows: 40, ..Partial::new(copy(0)) });
    world.engine.on_gone(world.now, &node(&lost), "first");
    world.pass(1900 * MS, &[other]);
    assert_eq!(world.attempt(&run, copy(0)).1, first, "a broken stream is forgiven for two seconds");
    world.pass(200 * MS, &[other]);
    let (now_at, second) = world.attempt(&run, copy(0));
    assert_eq!((now_at.as_str(), first.number, second.number), (other, 1, 2));
    let told = world.assigned().into_iter().any(|(to, a)| to.as_str() == other && a.attempt == second);
    assert!(told && world.notes().contains(&"WORKER_LOST".to_owned()));
    assert!(world.cancels().contains(&(lost.clone(), first.clone(), true)), "its results are unwanted");

    // The first is late: it changes nothing, and may be forgotten.
    world.begin(&run, copy(0));
    world.tell(&run, 1, Partial { rows: 60, ..Partial::new(copy(0)) });
    let found = vec![Found { step: copy(7), rows: 5 }];
    world.tell_as(&lost, &first, 2, &Partial { rows: 50, found, ..Partial::new(copy(0)) });
    world.end(&lost, &first, Outcome::Done, 2);
    assert_eq!(world.acks(&first).last(), Some(&(2, true)));
    assert_eq!(world.state(&run, copy(0)), ShardState::Running);
    assert!(!world.shards(&run).iter().any(|(step, _)| *step == copy(7)));
    let Some(Report::DbSync(report)) = world.engine.report(world.now, &run) else { panic!("no report") };
    assert_eq!(report.rows, 60, "a shard's newest report holds");
    let attempts: Vec<(u32, String)> = world
        .stored
        .iter()
        .filter_map(|mutation| match mutation {
            Mutation::UpdateAttempt(attempt) if attempt.id.shard == first.shard => {
                Some((attempt.id.number, attempt.outcome.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(attempts, [(1, "lost".to_owned())]);
}

#[test]
fn a_worker_that_comes_back_in_time_goes_on_and_hears_what_it_may_have_missed() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(2, &[100, 90]);
    let (name, attempt) = world.attempt(&run, copy(0));
    let other = if name == "w1" { "w2" } else { "w1" };
    world.engine.on_gone(world.now, &node(&name), "first");
    world.pass(1000 * MS, &[other]);
    let told = world.directives(&attempt).len();
    world.attach(&name, "first", &[Held { attempt: attempt.clone(), revision: 0, acked: 0, ended: false }]);
    world.pass(10_000 * MS, &["w1", "w2"]);
    assert_eq!(world.attempt(&run, copy(0)), (name.clone(), attempt.clone()));
    assert_eq!(world.directives(&attempt).len(), told + 1);
    // A restarted one has nothing: its shards go on elsewhere at once.
    world.attach(&name, "second", &[]);
    world.pass(100 * MS, &["w1", "w2"]);
    assert_eq!(world.attempt(&run, copy(0)).1.number, 2);
}

#[test]
fn an_order_that_was_lost_with_its_stream_is_sent_again() {
    let mut world = World::with_workers(&["w1"]);
    let run = world.start_sync(1);
    world.attach("w1", "first", &[]);
    let assigned = world.assigned();
    assert_eq!(assigned.len(), 2, "the same order twice");
    assert_eq!(assigned[0].1.attempt, assigned[1].1.attempt);
    assert_eq!(assigned[0].1.directive, assigned[1].1.directive);
    // Never taken on, it goes elsewhere; there is only this worker.
    world.pass(3000 * MS, &["w1"]);
    assert_eq!(world.attempt(&run, Step::Plan).1.number, 2);
}

#[test]
fn a_silent_worker_keeps_its_shards_longer_than_one_that_sends_load() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(2, &[100, 90]);
    let (name, attempt) = world.attempt(&run, copy(0));
    let other = if name == "w1" { "w2" } else { "w1" };
    world.pass(7900 * MS, &[other]);
    assert_eq!(world.attempt(&run, copy(0)).1, attempt);
    world.pass(200 * MS, &[other]);
    assert_eq!(world.attempt(&run, copy(0)).0, other);
}

#[test]
fn a_shard_that_fails_for_now_is_tried_again_after_growing_waits_and_fails_at_the_eighth() {
    let mut world = World::with_workers(&["w1"]);
    let run = world.copying(1, &[100]);
    let mut waits = Vec::new();
    for number in 1..=7 {
        assert_eq!(world.attempt(&run, copy(0)).1.number, number);
        world.fail(&run, copy(0), true, 0);
        assert_eq!(world.state(&run, copy(0)), ShardState::Pending);
        let mut waited = 0;
        while world.state(&run, copy(0)) == ShardState::Pending {
            world.pass(100 * MS, &["w1"]);
            waited += 1;
            assert!(waited < 400, "it is not tried again");
        }
        waits.push(waited / 10);
        world.begin_sync(&run);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(world.run_state(&run), RunState::Running);
    world.fail(&run, copy(0), true, 0);
    assert_eq!((world.state(&run, copy(0)), world.run_state(&run)), (ShardState::Failed, RunState::Failed));
    assert_eq!(world.run().reason, "w1: copy orders 0: deadlock, 8 times in a row");
}

#[test]
fn a_shard_that_comes_further_between_its_failures_does_not_fail() {
    let mut world = World::with_workers(&["w1"]);
    let run = world.copying(1, &[100]);
    for round in 1..=20 {
        world.tell(&run, 1, Partial { rows: round, ..Partial::new(copy(0)) });
        world.fail(&run, copy(0), true, 1);
        world.pass(1000 * MS, &["w1"]);
        assert_eq!(world.state(&run, copy(0)), ShardState::Assigned, "{round}: the first wait each time");
        world.begin_sync(&run);
    }
    assert_eq!(world.run_state(&run), RunState::Running);
}

#[test]
fn a_failure_that_will_not_mend_stops_the_run_and_names_where() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(2, &[100, 90, 80]);
    let (name, _) = world.attempt(&run, copy(1));
    world.fail(&run, copy(1), false, 0);
    assert_eq!(world.run_state(&run), RunState::Stopping);
    let states = [0, 1, 2].map(|part| world.state(&run, copy(part)));
    assert_eq!(states, [ShardState::Running, ShardState::Failed, ShardState::Yielded], "nothing waits");
    let (other, attempt) = world.attempt(&run, copy(0));
    world.end(&other, &attempt, Outcome::Cancelled, 0);
    assert_eq!(world.run_state(&run), RunState::Failed);
    assert_eq!(world.run().reason, format!("{name}: copy orders 1: deadlock"));
    assert_eq!(world.state(&run, copy(0)), ShardState::Yielded, "a cancelled copy is not done");
}

#[test]
fn a_worker_that_refuses_is_not_asked_again_unless_it_restarts_or_nobody_else_could() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.start_sync(4);
    let refuse = |world: &mut World| {
        let (name, attempt) = world.attempt(&run, Step::Plan);
        let refusal = Update::Refused("no room".into());
        world.engine.on_update(world.now, &node(&name), &attempt, refusal);
        world.settle();
        name
    };
    assert_eq!(refuse(&mut world), "w1");
    assert_eq!(refuse(&mut world), "w2");
    world.pass(9000 * MS, &["w1", "w2"]);
    assert_eq!(world.state(&run, Step::Plan), ShardState::Pending);
    world.attach("w2", "second", &[]);
    assert_eq!(world.attempt(&run, Step::Plan).0, "w2");
    assert_eq!(refuse(&mut world), "w2");
    world.pass(11_000 * MS, &["w1", "w2"]);
    assert_eq!(world.state(&run, Step::Plan), ShardState::Assigned, "better than never");
    assert_eq!(world.notes().iter().filter(|note| *note == "SHARD_REFUSED").count(), 3);
}

#[test]
fn a_drained_worker_hands_its_shards_back_and_gets_no_others() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(4, &[100, 90]);
    let (name, attempt) = world.attempt(&run, copy(0));
    let other = if name == "w1" { "w2" } else { "w1" };
    world.engine.drain(world.now, &node(&name)).unwrap();
    world.settle();
    world.pass(1000 * MS, &["w1", "w2"]);
    assert_eq!(world.cancels(), [(name.clone(), attempt.clone(), false)], "asked once");
    assert_eq!(world.state(&run, copy(0)), ShardState::Running);
    world.tell(&run, 1, Partial { rows: 50, ..Partial::new(copy(0)) });
    world.end(&name, &attempt, Outcome::Cancelled, 1);
    assert_eq!(world.attempt(&run, copy(0)).0, other, "at once");
    assert!(!world.notes().contains(&"WORKER_LOST".to_owned()));
    let stored = stored_run(&world, &run);
    assert_eq!(stored.checkpoints[1].partial, {
        rmp_serde::to_vec_named(&Partial { rows: 50, ..Partial::new(copy(0)) }).unwrap()
    });
}

#[test]
fn a_cancelled_run_gives_up_what_waits_and_ends_when_the_rest_has_stopped() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(2, &[100, 90, 80]);
    world.engine.cancel_run(world.now, &run, "enough").unwrap();
    world.settle();
    assert_eq!(world.run_state(&run), RunState::Stopping);
    assert_eq!(world.shard(&run, copy(2)).state, ShardState::Yielded);
    assert_eq!(world.shard(&run, copy(2)).reason, "enough");
    assert_eq!(world.cancels().len(), 2);
    let (name, attempt) = world.attempt(&run, copy(0));
    world.end(&name, &attempt, Outcome::Cancelled, 0);
    // What fails or is refused while it stops does not come back.
    world.fail(&run, copy(1), true, 0);
    assert_eq!((world.run_state(&run), world.run().reason.as_str()), (RunState::Cancelled, "enough"));
    assert_eq!(world.state(&run, copy(1)), ShardState::Yielded);
    assert!(world.run().report.is_some());
}

#[test]
fn a_run_that_waits_is_cancelled_at_once_and_a_hung_one_is_given_up() {
    let mut world = World::new();
    let run = world.start_sync(2);
    world.engine.cancel_run(world.now, &run, "enough").unwrap();
    world.settle();
    assert_eq!(world.run_state(&run), RunState::Cancelled);
    world.attach("w1", "first", &[]);
    let run = world.copying(2, &[100]);
    world.engine.cancel_run(world.now, &run, "enough").unwrap();
    world.pass(4900 * MS, &["w1"]);
    assert_eq!(world.run_state(&run), RunState::Stopping);
    world.pass(200 * MS, &["w1"]);
    assert_eq!(world.run_state(&run), RunState::Cancelled);
}

#[test]
fn a_run_whose_database_nobody_reaches_says_which_and_is_given_up_in_time() {
    let mut world = World::new();
    world.attach_with("w1", "first", &[], 4, &["shop"]);
    world.attach_with("w2", "first", &[], 4, &[]);
    let run = world.start_sync(2);
    let message = world.stored.iter().find_map(|mutation| match mutation {
        Mutation::AppendEvent(event) => match &event.body {
            crate::store::EventBody::Note { message, .. } => Some(message.clone()),
            _ => None,
        },
        _ => None,
    });
    let expected =
        "no worker has the connection `dw`: add it to [worker.connections.dw] of a worker's configuration";
    assert_eq!(message.as_deref(), Some(expected));
    world.pass(59_000 * MS, &["w1", "w2"]);
    assert_eq!(world.run_state(&run), RunState::Submitted);
    world.pass(1500 * MS, &["w1", "w2"]);
    assert_eq!(world.run_state(&run), RunState::Failed);
    assert!(world.run().reason.ends_with(expected), "{}", world.run().reason);
}

#[test]
fn a_run_that_loses_all_workers_on_the_way_waits_for_minutes_and_goes_on() {
    let mut world = World::with_workers(&["w1"]);
    let run = world.copying(2, &[100]);
    world.engine.on_gone(world.now, &node("w1"), "first");
    world.pass(Duration::from_secs(290), &[]);
    assert_eq!((world.run_state(&run), world.state(&run, copy(0))), (RunState::Running, ShardState::Pending));
    world.attach("w1", "second", &[]);
    assert_eq!(world.state(&run, copy(0)), ShardState::Assigned);
    world.engine.on_gone(world.now, &node("w1"), "second");
    world.pass(Duration::from_secs(303), &[]);
    assert_eq!(world.run_state(&run), RunState::Lost);
    assert_eq!(world.notes().iter().filter(|note| *note == "WAITING_FOR_WORKERS").count(), 2);
    assert!(world.run().report.is_some());
}

#[test]
fn a_new_leader_goes_on_with_shards_results_and_changes() {
    let mut old = World::with_workers(&["w1", "w2"]);
    let run = old.copying(2, &[100, 90, 80]);
    let found = vec![Found { step: copy(3), rows: 10 }];
    old.tell(&run, 1, Partial { rows: 40, found, ..Partial::new(copy(0)) });
    old.tell(&run, 2, Partial { rows: 50, remaining: Some(50_000), ..Partial::new(copy(0)) });
    let change = shanty_model::kind::db_sync::Change { rows_per_second: Some(10), ..Default::default() };
    old.engine.change_run(old.now, &run, &shanty_model::kind::Change::DbSync(change)).unwrap();
    old.settle();
    let (name, attempt) = old.attempt(&run, copy(0));
    let revisions = |world: &World| {
        world
            .told
            .iter()
            .filter_map(|(_, order)| match order {
                Order::Change { revision, .. } => Some(*revision),
                Order::Assign(assignment) => Some(assignment.revision),
                _ => None,
            })
            .max()
    };
    let largest = revisions(&old).unwrap();

    let mut new = old.taken_over(&[&run]);
    assert_eq!(new.shards(&run).len(), old.shards(&run).len());
    for name in ["w1", "w2"] {
        let held: Vec<Held> = [0, 1]
            .iter()
            .map(|part| old.attempt(&run, copy(*part)))
            .filter(|(at, _)| at == name)
            .map(|(_, attempt)| Held { attempt, revision: 0, acked: 0, ended: false })
            .collect();
        new.attach(name, "first", &held);
    }
    assert!(new.assigned().is_empty(), "nothing is restarted, what waited still waits");
    assert!(revisions(&new).unwrap() > largest, "a worker takes larger revisions only");
    let directive = *new.directives(&attempt).last().unwrap();
    assert_eq!((directive.rows_per_second, directive.cuts), (5.0, 0));
    let Some(Report::DbSync(report)) = new.engine.report(new.now, &run) else { panic!("no report") };
    assert_eq!((report.rows, report.tables.len()), (50, 1));
    // The report that was stored comes again: acknowledged, not taken in; the next one is.
    new.tell_as(&name, &attempt, 2, &Partial { rows: 1, ..Partial::new(copy(0)) });
    assert_eq!(new.acks(&attempt), [(2, false)]);
    new.tell_as(&name, &attempt, 3, &Partial { rows: 100, ..Partial::new(copy(0)) });
    new.end(&name, &attempt, Outcome::Done, 3);
    for part in [1, 2, 3] {
        new.begin_sync(&run);
        let number = if part == 1 { 0 } else { 1 };
        if number == 1 {
            new.tell(&run, 1, Partial { rows: 1, ..Partial::new(copy(part)) });
        }
        new.done(&run, copy(part), number);
    }
    new.begin_sync(&run);
    new.done(&run, Step::Close, 0);
    assert_eq!(new.run_state(&run), RunState::Succeeded);
    let Some(Report::DbSync(report)) = new.run().report.clone() else { panic!("no report") };
    assert_eq!(report.rows, 102);
}

#[test]
fn cuts_of_a_new_leader_are_larger_than_all_before() {
    let mut old = World::with_workers(&["w1", "w2"]);
    let run = old.copying(4, &[100_000]);
    old.tell(&run, 1, Partial { remaining: Some(90_000), ..Partial::new(copy(0)) });
    old.pass(30_000 * MS, &["w1", "w2"]);
    let (name, attempt) = old.attempt(&run, copy(0));
    let before = old.directives(&attempt).last().unwrap().cuts;
    assert!(before > 1);
    let mut new = old.taken_over(&[&run]);
    for worker in ["w1", "w2"] {
        let held = Held { attempt: attempt.clone(), revision: 0, acked: 0, ended: false };
        new.attach(worker, "first", if worker == name { std::slice::from_ref(&held) } else { &[] });
    }
    new.pass(2000 * MS, &["w1", "w2"]);
    let cuts: Vec<u32> = new.directives(&attempt).iter().map(|directive| directive.cuts).collect();
    assert_eq!(cuts.len(), 2);
    assert!(cuts[0] <= before && cuts[1] > before, "{before} then {cuts:?}");
}

#[test]
fn an_attempt_whose_worker_does_not_come_to_the_new_leader_is_lost_after_its_grace() {
    let mut old = World::with_workers(&["w1", "w2"]);
    let run = old.copying(2, &[100, 90]);
    let (lost, first) = old.attempt(&run, copy(0));
    let (other, held) = old.attempt(&run, copy(1));
    let mut new = old.taken_over(&[&run]);
    new.attach(&other, "first", &[Held { attempt: held, revision: 0, acked: 0, ended: false }]);
    new.pass(14_500 * MS, &[&other]);
    assert_eq!(new.attempt(&run, copy(0)).1, first);
    new.pass(1000 * MS, &[&other]);
    assert_eq!((new.attempt(&run, copy(0)).0, new.attempt(&run, copy(0)).1.number), (other.clone(), 2));
    // It comes after all, with what is no longer its own.
    new.attach(&lost, "first", &[Held { attempt: first.clone(), revision: 0, acked: 0, ended: false }]);
    assert!(new.cancels().contains(&(lost, first, true)));
    assert_eq!(new.attempt(&run, copy(0)).0, other);
}

#[test]
fn versions_of_shards_and_attempts_grow_by_one_and_numbers_too() {
    let mut world = World::with_workers(&ALL);
    let run = world.copying(3, &[100, 90, 80, 70]);
    for (name, incarnation) in [("w1", "first"), ("w2", "first"), ("w1", "first")] {
        world.engine.on_gone(world.now, &node(name), incarnation);
        world.pass(2500 * MS, &["w3"]);
        world.begin_sync(&run);
    }
    let mut shards: BTreeMap<String, u64> = BTreeMap::new();
    let mut attempts: BTreeMap<String, u64> = BTreeMap::new();
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    for mutation in &world.stored {
        match mutation {
            Mutation::InsertShard(shard) | Mutation::UpdateShard(shard) => {
                let version = shards.entry(shard.id.to_string()).or_default();
                *version += 1;
                assert_eq!(shard.version, *version);
            }
            Mutation::InsertAttempt(attempt) | Mutation::UpdateAttempt(attempt) => {
                let version = attempts.entry(attempt.id.to_string()).or_default();
                *version += 1;
                assert_eq!(attempt.version, *version);
                if *version == 1 {
                    let number = numbers.entry(attempt.id.shard.to_string()).or_default();
                    *number += 1;
                    assert_eq!(attempt.id.number, *number);
                }
            }
            _ => {}
        }
    }
    assert!(numbers.values().any(|number| *number > 1));
}
