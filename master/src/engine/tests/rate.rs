//! Runs of shape rate.

use super::*;
use shanty_model::kind::http_load::{self, Partial, Verdict};
use shanty_model::kind::{Change, Report};
use shanty_model::rate::Directive;
use shanty_model::state::{RunState, ShardState};

pub(super) fn spec(rate: f64, seconds: u64) -> Spec {
    Spec::HttpLoad(http_load::Spec {
        url: "http://127.0.0.1:1/".into(),
        rate: Some(rate),
        duration: Some(Duration::from_secs(seconds)),
        ..http_load::Spec::default()
    })
}

impl World {
    /// Sends the report of a second in which a shard of equal share sent `sent` requests.
    pub(super) fn report(&mut self, name: &str, attempt: &AttemptId, second: u32, sent: u64) {
        let partial = Partial {
            second,
            covered_ns: u64::from(second + 1) * 1_000_000_000,
            sent,
            completed: sent,
            ..Partial::default()
        };
        let bytes = rmp_serde::to_vec_named(&partial).unwrap();
        self.engine.on_report(self.now, &node(name), attempt, u64::from(second) + 1, bytes);
        self.settle();
    }
}

#[test]
fn a_run_goes_to_all_workers_at_once_and_ends_with_its_report() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.start(spec(100.0, 2));
    let assigned = world.assigned();
    assert_eq!(assigned.len(), 2);
    let starts: Vec<i64> = assigned.iter().map(|(_, a)| a.start_unix_ns).collect();
    assert_eq!(starts[0], starts[1]);
    assert_eq!(starts[0] - world.now.unix_ns, 120_000_000, "the start lies ahead by the lead");
    world.begin_all();
    assert_eq!(world.run().state, RunState::Running);
    for second in 0..2 {
        for (name, index) in [("w1", 0), ("w2", 1)] {
            world.report(name, &assigned[index].1.attempt, second, 50);
        }
    }
    world.pass(2200 * MS, &["w1", "w2"]);
    for (name, index) in [("w1", 0), ("w2", 1)] {
        world.end(name, &assigned[index].1.attempt, Outcome::Done, 2);
    }
    assert_eq!(world.run().state, RunState::Succeeded);
    let Some(Report::HttpLoad(report)) = &world.run().report else { panic!("no report") };
    assert_eq!((report.scheduled, report.sent, report.lost, report.dropped), (200, 200, 0, 0));
    assert!(matches!(report.verdict, Verdict::Valid(_)));
    assert_eq!(world.engine.active_runs(), 0);
}

#[test]
fn results_count_once_and_an_end_waits_for_all_of_them() {
    let mut world = World::with_workers(&["w1"]);
    world.start(spec(10.0, 2));
    let attempt = world.assigned()[0].1.attempt.clone();
    world.begin_all();
    world.report("w1", &attempt, 0, 10);
    world.report("w1", &attempt, 0, 10);
    world.end("w1", &attempt, Outcome::Done, 2);
    assert_eq!(world.acks(&attempt), [(1, false), (1, false)], "the end came before the second report");
    world.report("w1", &attempt, 1, 10);
    world.pass(2500 * MS, &["w1"]);
    world.end("w1", &attempt, Outcome::Done, 2);
    let series = world.stored.iter().filter(|m| matches!(m, Mutation::AppendSeries(_))).count();
    assert_eq!(series, 2);
    let Some(Report::HttpLoad(report)) = &world.run().report else { panic!("no report") };
    assert_eq!(report.sent, 20);
    assert_eq!(world.acks(&attempt).last(), Some(&(2, true)));
}

#[test]
fn a_result_of_a_run_that_nobody_knows_is_acknowledged_so_that_it_can_be_forgotten() {
    let mut world = World::with_workers(&["w1"]);
    let attempt: AttemptId = "gone.7/0#1".parse().unwrap();
    world.report("w1", &attempt, 4, 1);
    world.end("w1", &attempt, Outcome::Done, 5);
    assert_eq!(world.acks(&attempt), [(5, false), (5, true)]);
}

#[test]
fn a_broken_stream_is_forgiven_within_the_grace_and_costs_the_share_after_it() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.start(spec(100.0, 20));
    world.begin_all();
    world.pass(1000 * MS, &["w1", "w2"]);
    let attempt = world.assigned()[1].1.attempt.clone();
    world.engine.on_gone(world.now, &node("w2"), "first");
    world.pass(300 * MS, &["w1"]);
    let held = Held { attempt: attempt.clone(), revision: 1, acked: 0, ended: false };
    world.attach("w2", "first", std::slice::from_ref(&held));
    world.pass(1000 * MS, &["w1", "w2"]);
    assert_eq!(world.run().detail.plan.as_ref().unwrap().revision, 1, "nothing has moved");

    world.engine.on_gone(world.now, &node("w2"), "first");
    world.pass(500 * MS, &["w1"]);
    let plan = world.run().detail.plan.clone().unwrap();
    assert_eq!(plan.revision, 2);
    assert_eq!(plan.scores()[1], 0);
    assert!(world.notes().contains(&"WORKER_LOST".to_owned()));
    let changed = world
        .told
        .iter()
        .any(|(to, order)| *to == node("w1") && matches!(order, Order::Change { revision: 2, .. }));
    assert!(changed, "the survivor is told");

    // It was only cut off: what it still does is stopped, and it joins with a new shard.
    world.attach("w2", "first", &[held]);
    let cancelled = world.told.iter().any(|(to, order)| {
        *to == node("w2")
            && matches!(order, Order::Cancel { attempt: old, discard: false, .. } if *old == attempt)
    });
    assert!(cancelled);
    assert_eq!(world.assigned().last().unwrap().1.attempt.shard.index, 2);
}

#[test]
fn a_sending_worker_that_falls_silent_loses_its_share_and_is_told_to_stop() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.start(spec(100.0, 60));
    world.begin_all();
    world.pass(2900 * MS, &["w1"]);
    assert!(!world.notes().contains(&"WORKER_LOST".to_owned()));
    world.pass(300 * MS, &["w1"]);
    assert!(world.notes().contains(&"WORKER_LOST".to_owned()));
    let told =
        world.told.iter().any(|(to, order)| *to == node("w2") && matches!(order, Order::Cancel { .. }));
    assert!(told, "it stops as soon as it reads again");
}

#[test]
fn a_leader_that_hears_no_worker_leaves_everyone_their_share() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.start(spec(100.0, 60));
    world.begin_all();
    world.pass(1000 * MS, &["w1", "w2"]);
    world.pass(20_000 * MS, &[]);
    assert!(!world.notes().contains(&"WORKER_LOST".to_owned()), "it is the leader that is cut off");
    // One is heard again: the other one's silence counts from now on.
    world.pass(200 * MS, &["w1"]);
    assert!(world.notes().contains(&"WORKER_LOST".to_owned()));
}

#[test]
fn a_worker_that_says_anything_is_heard() {
    type Says = fn(&mut World, &AttemptId, u32);
    let ways: [(&str, Says, bool); 4] = [
        ("nothing", |_, _, _| {}, true),
        (
            "an update",
            |world, attempt, _| world.engine.on_update(world.now, &node("w2"), attempt, Update::Running),
            false,
        ),
        ("a report", |world, attempt, second| world.report("w2", attempt, second, 50), false),
        ("that it leaves", |world, _, _| world.engine.on_leaving(world.now, &node("w2"), "a test"), false),
    ];
    for (what, says, is_lost) in ways {
        let mut world = World::with_workers(&["w1", "w2"]);
        world.start(spec(100.0, 3600));
        world.begin_all();
        let (_, its) = world.assigned().into_iter().find(|(on, _)| *on == node("w2")).unwrap();
        for second in 0..8 {
            world.pass(1000 * MS, &["w1"]);
            says(&mut world, &its.attempt, second);
        }
        assert_eq!(world.notes().contains(&"WORKER_LOST".to_owned()), is_lost, "{what}");
    }
}

#[test]
fn a_worker_that_went_long_ago_is_forgotten() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.engine.on_gone(world.now, &node("w2"), "first");
    for (seconds, known) in [(3599, 2), (2, 1)] {
        world.pass(Duration::from_secs(seconds), &["w1"]);
        assert_eq!(world.engine.workers(world.now).len(), known, "{seconds} s later");
    }
}

#[test]
fn a_leader_that_was_held_up_does_not_take_its_own_deafness_for_the_workers_silence() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.start(spec(100.0, 60));
    world.begin_all();
    world.pass(1000 * MS, &["w1", "w2"]);
    world.now.boot += Duration::from_secs(6);
    world.now.unix_ns += 6_000_000_000;
    world.engine.on_tick(world.now, false);
    world.settle();
    world.pass(2000 * MS, &["w1", "w2"]);
    assert!(!world.notes().contains(&"WORKER_LOST".to_owned()));
}

#[test]
fn a_change_switches_all_workers_at_one_instant_and_is_over_when_all_have_it() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.start(spec(100.0, 20));
    world.begin_all();
    world.pass(1000 * MS, &["w1", "w2"]);
    let change = Change::HttpLoad(http_load::Change { rate: 400.0 });
    world.engine.change_run(world.now, &run, &change).unwrap();
    world.settle();
    assert_eq!(world.run().state, RunState::Changing);
    let directives: Vec<Directive> = world
        .told
        .iter()
        .filter_map(|(_, order)| match order {
            Order::Change { directive, .. } => Some(serde_json::from_str(directive).unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(directives.len(), 2);
    assert_eq!(directives[0].load, directives[1].load, "one schedule for all");
    assert_eq!(directives[0].load.rate_at(990_000_000), 100.0);
    assert_eq!(directives[0].load.rate_at(1_000_000_000), 400.0);
    for (node, assignment) in world.assigned() {
        assert_eq!(world.run().state, RunState::Changing);
        world.engine.on_update(world.now, &node, &assignment.attempt, Update::Changed(2));
        world.settle();
    }
    assert_eq!(world.run().state, RunState::Running);
}

#[test]
fn a_cancel_stops_all_workers_and_what_does_not_answer_is_given_up() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.start(spec(100.0, 20));
    world.begin_all();
    world.pass(1000 * MS, &["w1", "w2"]);
    world.engine.cancel_run(world.now, &run, "enough").unwrap();
    world.settle();
    let cancels = world.told.iter().filter(|(_, order)| matches!(order, Order::Cancel { .. })).count();
    assert_eq!((world.run().state, cancels), (RunState::Stopping, 2));
    world.engine.cancel_run(world.now, &run, "again").unwrap();
    let attempt = world.assigned()[0].1.attempt.clone();
    world.end("w1", &attempt, Outcome::Cancelled, 0);
    world.pass(6000 * MS, &["w1", "w2"]);
    assert_eq!((world.run().state, world.run().reason.as_str()), (RunState::Cancelled, "enough"));
}

#[test]
fn a_permanent_failure_on_one_worker_fails_the_run() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.start(spec(100.0, 20));
    world.begin_all();
    let attempts: Vec<AttemptId> = world.assigned().into_iter().map(|(_, a)| a.attempt).collect();
    let ending = Ending {
        attempt: attempts[0].clone(),
        outcome: Outcome::Failed { transient: false },
        reason: "no such host".into(),
        last_sequence: 0,
    };
    world.engine.on_ended(world.now, &node("w1"), ending);
    world.settle();
    world.end("w2", &attempts[1], Outcome::Cancelled, 0);
    assert_eq!((world.run().state, world.run().reason.as_str()), (RunState::Failed, "w1: no such host"));
}

#[test]
fn a_drained_worker_hands_over_first_and_is_dismissed_then() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.start(spec(100.0, 30));
    world.begin_all();
    world.pass(1000 * MS, &["w1", "w2"]);
    world.engine.drain(world.now, &node("w2")).unwrap();
    world.settle();
    assert_eq!(world.run().detail.plan.as_ref().unwrap().scores()[1], 0);
    let cancelled = |world: &World| world.told.iter().any(|(_, order)| matches!(order, Order::Cancel { .. }));
    assert!(!cancelled(&world), "its share goes over first");
    world.pass(300 * MS, &["w1", "w2"]);
    assert!(cancelled(&world));
    let attempt = world.assigned()[1].1.attempt.clone();
    world.end("w2", &attempt, Outcome::Cancelled, 0);
    assert!(world.run().detail.lost_shards.is_empty(), "a drained worker is no loss");
    world.pass(500 * MS, &["w1", "w2"]);
    assert_eq!(world.assigned().len(), 2, "it gets nothing new");
}

#[test]
fn workers_that_leave_within_a_moment_hand_over_together() {
    let names = ["w1", "w2", "w3", "w4", "w5", "w6"];
    let mut world = World::with_workers(&names);
    world.start(spec(100.0, 30));
    world.begin_all();
    world.pass(1000 * MS, &names);
    for leaving in &names[1..] {
        world.engine.drain(world.now, &node(leaving)).unwrap();
        world.settle();
        world.pass(5 * MS, &names);
    }
    let plan = world.run().detail.plan.clone().unwrap();
    assert_eq!(plan.scores()[1..], [0; 5]);
    let told = plan.directive(0).ownership;
    assert_eq!((told.len(), plan.revision), (2, 6), "one switch, told of five times: {told:?}");
    world.pass(300 * MS, &names);
    let cancelled = world.told.iter().filter(|(_, order)| matches!(order, Order::Cancel { .. })).count();
    assert_eq!(cancelled, 5);
}

#[test]
fn a_run_without_workers_waits_says_so_and_begins_when_one_comes() {
    let mut world = World::new();
    world.start(spec(100.0, 5));
    assert_eq!(world.run().state, RunState::Submitted);
    assert_eq!(world.notes(), ["WAITING_FOR_WORKERS"]);
    world.pass(5000 * MS, &[]);
    world.attach("w1", "first", &[]);
    assert_eq!(world.run().state, RunState::Planning);
    assert_eq!(world.assigned().len(), 1);
}

#[test]
fn results_that_come_in_the_step_in_which_their_run_ends_are_in_its_report_or_not_kept() {
    let mut world = World::with_workers(&["w1"]);
    let run = world.start(spec(100.0, 30));
    world.begin_all();
    let attempt = world.assigned()[0].1.attempt.clone();
    world.engine.cancel_run(world.now, &run, "enough").unwrap();
    world.now.boot += Options::default().stop_patience;
    world.engine.on_tick(world.now, false);
    world.report("w1", &attempt, 0, 50);
    assert_eq!(world.run().state, RunState::Cancelled);
    assert!(!world.stored.iter().any(|mutation| matches!(mutation, Mutation::AppendSeries(_))));
    assert_eq!(world.acks(&attempt), [(1, false)], "its worker may forget them");
}

#[test]
fn a_run_whose_last_worker_never_comes_back_is_lost_with_its_report() {
    let mut world = World::with_workers(&["w1"]);
    world.start(spec(100.0, 30));
    world.begin_all();
    world.pass(1000 * MS, &["w1"]);
    world.engine.on_gone(world.now, &node("w1"), "first");
    world.pass(11_000 * MS, &[]);
    assert_eq!(world.run().state, RunState::Lost);
    assert!(world.run().report.is_some());
}

#[test]
fn a_run_that_nobody_carried_to_its_end_is_lost_and_no_success() {
    let mut world = World::with_workers(&["w1"]);
    world.start(spec(100.0, 4));
    world.begin_all();
    world.pass(1000 * MS, &["w1"]);
    world.engine.on_gone(world.now, &node("w1"), "first");
    world.pass(5000 * MS, &[]);
    assert_eq!(world.run().state, RunState::Lost);
}

#[test]
fn a_share_lost_for_silence_does_not_go_back_to_the_silent_worker() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.start(spec(100.0, 60));
    world.begin_all();
    world.pass(6000 * MS, &["w1"]);
    let again = world.assigned().iter().filter(|(to, _)| *to == node("w2")).count();
    assert_eq!(again, 1, "w2 is not asked again while it says nothing");
    world.pass(300 * MS, &["w1", "w2"]);
    let again = world.assigned().iter().filter(|(to, _)| *to == node("w2")).count();
    assert_eq!(again, 2, "and gets a share when it is heard");
}

#[test]
fn a_share_that_is_refused_while_the_leader_is_frozen_stays_whole_until_it_may_be_shared_out() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.start(spec(100.0, 60));
    world.begin_all();
    world.engine.freeze(true);
    let refused = world.assigned()[1].1.attempt.clone();
    world.engine.on_update(world.now, &node("w2"), &refused, Update::Refused("no room".into()));
    world.settle();
    let before = stored_run(&world, &run);
    assert!(before.shards.iter().all(|shard| !shard.state.is_terminal()), "nobody else has it");
    let revision = before.run.detail.plan.as_ref().map(|plan| plan.revision);
    world.pass(200 * MS, &["w1", "w2"]);
    let after = stored_run(&world, &run);
    assert_eq!(after.shards[1].state, ShardState::Yielded);
    assert!(after.run.detail.plan.map(|plan| plan.revision) > revision, "in one step with the new shares");
}

#[test]
fn a_frozen_leader_decides_nothing() {
    let mut world = World::with_workers(&["w1", "w2"]);
    world.start(spec(100.0, 30));
    world.begin_all();
    world.engine.on_gone(world.now, &node("w2"), "first");
    let stored = world.stored.len();
    world.now.boot += Duration::from_secs(5);
    world.engine.on_tick(world.now, true);
    world.settle();
    assert_eq!(world.stored.len(), stored);
}

#[test]
fn a_worker_that_attaches_to_a_frozen_leader_gets_work_once_it_is_none() {
    let mut world = World::with_workers(&["w1"]);
    world.start(spec(100.0, 30));
    world.begin_all();
    world.engine.freeze(true);
    world.attach("w2", "first", &[]);
    assert_eq!(world.assigned().len(), 1, "a frozen leader gives nothing out");
    world.pass(100 * MS, &["w1", "w2"]);
    assert_eq!(world.assigned().len(), 2);
}

#[test]
fn a_new_leader_adopts_what_workers_hold_and_repeats_the_change_they_missed() {
    let mut old = World::with_workers(&["w1", "w2"]);
    let run = old.start(spec(100.0, 60));
    old.begin_all();
    old.pass(1000 * MS, &["w1", "w2"]);
    let attempts: Vec<AttemptId> = old.assigned().into_iter().map(|(_, a)| a.attempt).collect();
    old.report("w1", &attempts[0], 0, 50);
    let change = Change::HttpLoad(http_load::Change { rate: 400.0 });
    old.engine.change_run(old.now, &run, &change).unwrap();
    old.settle();

    let active = stored_run(&old, &run);
    let stored = Stored { runs: vec![active], ..Stored::default() };
    let engine = Engine::take_over(old.now, Epoch(2), &node("m2"), Options::default(), stored);
    let mut new = World { engine, now: old.now, stored: Vec::new(), told: Vec::new() };
    new.settle();
    new.attach("w1", "first", &[Held { attempt: attempts[0].clone(), revision: 1, acked: 0, ended: false }]);
    let repeated = new.told.iter().any(|(_, order)| matches!(order, Order::Change { revision: 2, .. }));
    assert!(repeated, "w1 had not applied the change");
    assert!(new.assigned().is_empty(), "nothing is restarted");
    new.report("w1", &attempts[0], 0, 50);
    assert_eq!(new.acks(&attempts[0]), [(1, false)]);
    new.pass(14_000 * MS, &["w1"]);
    assert!(!new.notes().contains(&"WORKER_LOST".to_owned()), "w2 has a grace to attach");
    new.pass(1500 * MS, &["w1"]);
    assert!(new.notes().contains(&"WORKER_LOST".to_owned()));
}

/// Time passes while all workers are heard, and one of them sends late.
fn pass_late(world: &mut World, seconds: u32, late: &str, heard: &[&str]) {
    for _ in 0..seconds * 10 {
        let lateness_p99_ms = 80.0;
        world.pass(100 * MS, heard);
        let figures = Telemetry { cores: 2.0, lateness_p99_ms, ..Telemetry::default() };
        world.engine.on_heartbeat(world.now, &node(late), figures, 0);
    }
}

#[test]
fn shares_move_from_a_slow_worker_seconds_ahead_and_not_while_somebody_cannot_be_told() {
    let mut world = World::with_workers(&["w1", "w2", "w3"]);
    let run = world.start(spec(100.0, 60));
    world.begin_all();
    pass_late(&mut world, 4, "w1", &["w2", "w3"]);
    assert!(!world.notes().contains(&"SHARES_CHANGED".to_owned()), "a leader looks around first");
    world.engine.options.link_grace = Duration::from_secs(20);
    world.engine.on_gone(world.now, &node("w3"), "first");
    pass_late(&mut world, 4, "w1", &["w2"]);
    assert!(!world.notes().contains(&"SHARES_CHANGED".to_owned()), "w3 would not know");
    let attempt = world.assigned()[2].1.attempt.clone();
    let held = Held { attempt, revision: 1, acked: 0, ended: false };
    let at_ns = world.engine.runs[&run].run_ns(world.now);
    world.attach("w3", "first", &[held]);
    pass_late(&mut world, 1, "w1", &["w2", "w3"]);
    let plan = world.engine.runs[&run].plan().unwrap().clone();
    assert_eq!((plan.revision, plan.scores()[0] < plan.scores()[1]), (2, true));
    let told: Vec<&str> = world
        .told
        .iter()
        .filter_map(|(node, order)| match order {
            Order::Change { revision: 2, .. } => Some(node.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["w1", "w2", "w3"]);
    let from_ns = plan.directive(0).ownership.last().unwrap().from_ns;
    assert!(
        from_ns >= at_ns + 3_000_000_000,
        "the next leader has the time to tell them: {from_ns}, {at_ns}"
    );
}

#[test]
fn nobody_joins_a_run_before_a_new_leader_has_heard_those_that_do_it() {
    let mut old = World::with_workers(&["w1", "w2"]);
    let run = old.start(spec(100.0, 60));
    old.begin_all();
    let attempts: Vec<AttemptId> = old.assigned().into_iter().map(|(_, a)| a.attempt).collect();
    let held = |i: usize| Held { attempt: attempts[i].clone(), revision: 1, acked: 0, ended: false };
    let mut new = old.taken_over(&[&run]);
    new.attach("w1", "first", &[held(0)]);
    new.attach("w3", "first", &[]);
    assert!(new.assigned().is_empty(), "w2 would go on with its old share");
    new.attach("w2", "first", &[held(1)]);
    assert_eq!(new.assigned().len(), 1);
}

#[test]
fn versions_grow_by_one_and_event_numbers_have_no_gaps() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.start(spec(100.0, 10));
    world.begin_all();
    world.pass(500 * MS, &["w1", "w2"]);
    world.engine.on_gone(world.now, &node("w2"), "first");
    world.pass(1000 * MS, &["w1"]);
    world.engine.cancel_run(world.now, &run, "enough").unwrap();
    world.pass(6000 * MS, &["w1"]);
    let mut version = 0;
    let mut sequence = 0;
    for mutation in &world.stored {
        match mutation {
            Mutation::InsertRun(run) | Mutation::UpdateRun(run) => {
                version += 1;
                assert_eq!(run.version, version);
            }
            Mutation::AppendEvent(event) => {
                sequence += 1;
                assert_eq!(event.sequence, sequence);
            }
            _ => {}
        }
    }
    assert_eq!(world.run().sequence, sequence);
    assert!(world.run().state.is_terminal());
}

#[test]
fn jobs_are_kept_compared_by_etag_and_not_removed_while_they_run() {
    let mut world = World::with_workers(&["w1"]);
    let id: JobId = "nightly".parse().unwrap();
    let draft = JobDraft { title: "t".into(), spec: spec(10.0, 5), labels: BTreeMap::new() };
    world.engine.create_job(world.now, &id, draft.clone()).unwrap();
    assert!(matches!(world.engine.create_job(world.now, &id, draft.clone()), Err(Refused::Exists { .. })));
    let run = world.engine.run_job(world.now, &id).unwrap();
    assert_eq!(run.to_string(), "nightly.1");
    assert!(matches!(world.engine.delete_job(world.now, &id, ""), Err(Refused::Precondition { .. })));
    assert!(matches!(
        world.engine.update_job(world.now, &id, "1", draft.clone()),
        Err(Refused::Changed { .. })
    ));
    assert!(world.engine.update_job(world.now, &id, "2", draft).is_ok());
    let unknown = world.engine.run_job(world.now, &"nigthly".parse().unwrap()).unwrap_err();
    assert!(matches!(unknown, Refused::NotFound { nearest, .. } if nearest == ["nightly"]));
}

#[test]
fn a_target_that_refuses_is_told_after_its_first_second_and_stops_the_run_when_it_lasts() {
    let mut world = World::with_workers(&["w1"]);
    world.start(spec(100.0, 60));
    let attempt = world.assigned()[0].1.attempt.clone();
    world.begin_all();
    for second in 0..6u32 {
        world.pass(1000 * MS, &["w1"]);
        let mut partial = Partial { second, sent: 100, ..Partial::default() };
        partial.covered_ns = u64::from(second + 1) * 1_000_000_000;
        partial.errors.insert(http_load::ErrorClass::ConnectRefused, 100);
        let bytes = rmp_serde::to_vec_named(&partial).unwrap();
        world.engine.on_report(world.now, &node("w1"), &attempt, u64::from(second) + 1, bytes);
        world.settle();
        if second == 0 {
            world.pass(200 * MS, &["w1"]);
            assert_eq!(world.notes(), ["TARGET_REFUSES"]);
        }
    }
    world.pass(300 * MS, &["w1"]);
    assert_eq!(world.run().state, RunState::Stopping);
    assert!(world.run().reason.contains("refuses connections"), "{}", world.run().reason);
}

#[test]
fn shards_that_end_well_are_done_and_counted() {
    let mut world = World::with_workers(&["w1"]);
    let run = world.start(spec(10.0, 2));
    world.begin_all();
    let view = world.engine.view(world.now, &run).unwrap();
    assert_eq!(view.shards[0].record.state, ShardState::Running);
    assert_eq!((view.shards[0].weight, view.shards[0].weight_total), (1000, 1000));
}
