//! Runs of shape divisible: from the plan to the close.

use super::sync::*;
use super::*;
use crate::store::EventBody;
use shanty_model::kind::db_sync::{self, Found, Note, Partial, Step, Verify};
use shanty_model::kind::{Change, Progress, Report};
use shanty_model::state::{RunState, ShardState};

#[test]
fn a_sync_is_planned_copied_on_all_workers_finished_verified_and_closed() {
    let mut world = World::with_workers(&["w1", "w2", "w3"]);
    let spec = db_sync::Spec { verify: Verify::Checksum, ..sync_spec(8) };
    let run = world.start(Spec::DbSync(Box::new(spec)));
    assert_eq!(world.given(), [("plan".to_owned(), "w1".to_owned())]);
    assert_eq!(world.run_state(&run), RunState::Planning);
    world.begin(&run, Step::Plan);
    assert_eq!(world.run_state(&run), RunState::Running);
    assert!(world.run().start_ms.is_some());

    // What the plan finds is copied while it goes on, on workers that have less to do.
    let found = |part, rows| Found { step: copy(part), rows };
    let plan = Partial {
        found: vec![found(0, 100), found(1, 300), found(2, 200)],
        tables: vec![orders(false, true)],
        ..Partial::new(Step::Plan)
    };
    world.tell(&run, 1, plan.clone());
    let larger_first = [("copy/0/1", "w2"), ("copy/0/2", "w3"), ("copy/0/0", "w1")];
    assert_eq!(world.given()[1..], larger_first.map(|(s, w)| (s.to_owned(), w.to_owned())));
    world.begin_sync(&run);
    for (part, rows) in [(0, 100), (1, 300), (2, 200)] {
        world.copied(&run, part, rows);
    }
    assert_eq!(world.shards(&run).len(), 4, "the plan goes on");
    world.tell(&run, 2, Partial { tables: vec![orders(true, true)], ..Partial::new(Step::Plan) });
    world.pass(100 * MS, &["w1", "w2", "w3"]);
    let finish = Step::Finish { table: 0 };
    assert_eq!(world.state(&run, finish), ShardState::Assigned);
    world.done(&run, Step::Plan, 2);
    world.begin_sync(&run);
    world.done(&run, finish, 0);
    for part in 0..3 {
        let verify = Step::Verify { table: 0, part: Some(part) };
        world.begin(&run, verify);
        world.tell(&run, 1, compared(part, 0));
        world.done(&run, verify, 1);
    }
    assert_eq!(world.run_state(&run), RunState::Running);
    world.begin(&run, Step::Close);
    world.pass(1000 * MS, &["w1", "w2", "w3"]);
    world.done(&run, Step::Close, 0);

    assert_eq!(world.run_state(&run), RunState::Succeeded);
    assert_eq!(world.engine.active_runs(), 0);
    let Some(Report::DbSync(report)) = world.run().report.clone() else { panic!("no report") };
    assert_eq!((report.rows, report.bytes), (600, 6000));
    assert_eq!(report.workers.len(), 3);
    assert!(report.duration_ns >= 1_000_000_000);
    assert!(report.tables[0].verification.as_ref().unwrap().equal);
    assert!(world.stored.contains(&Mutation::DropSeries(run)));
    assert!(!world.stored.iter().any(|m| matches!(m, Mutation::AppendSeries(_))));
}

#[test]
fn an_attempt_is_told_its_shard_its_run_and_its_share_of_the_limits() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let throttle = db_sync::Throttle { rows_per_second: 100, ..Default::default() };
    let run = world.start(Spec::DbSync(Box::new(db_sync::Spec { throttle, ..sync_spec(8) })));
    world.plan(&run, &[5, 5]);
    let assigned = world.assigned();
    assert_eq!(assigned.len(), 3);
    let starts: Vec<i64> = assigned.iter().map(|(_, a)| a.start_unix_ns).collect();
    assert!(starts.iter().all(|start| *start == starts[0]), "one start names the run: {starts:?}");
    assert_eq!(assigned[1].1.shard, r#"{"step":"copy","table":0,"part":0}"#);
    assert_eq!((assigned[1].1.kind.as_str(), assigned[1].1.orphan_limit.as_secs()), ("db_sync", 1800));
    // One of three, and one of two when the plan has ended.
    let shares: Vec<f64> =
        world.directives(&assigned[1].1.attempt).iter().map(|d| d.rows_per_second).collect();
    assert_eq!(shares, [100.0 / 3.0, 50.0]);
    // Told nothing twice.
    let told = world.told.len();
    world.pass(1000 * MS, &["w1", "w2"]);
    assert_eq!(world.told.len(), told);
}

#[test]
fn shards_without_a_size_come_before_all_and_larger_before_smaller() {
    let mut world = World::with_workers(&["w1"]);
    let run = world.start_sync(1);
    world.begin(&run, Step::Plan);
    let found = [(0, 5), (1, 50), (2, 0), (3, 20)];
    let found = found.into_iter().map(|(part, rows)| Found { step: copy(part), rows }).collect();
    world.tell(&run, 1, Partial { found, tables: vec![orders(true, false)], ..Partial::new(Step::Plan) });
    world.done(&run, Step::Plan, 1);
    for part in [2, 1, 3, 0] {
        assert_eq!(world.state(&run, copy(part)), ShardState::Assigned, "{part}");
        world.begin(&run, copy(part));
        world.copied(&run, part, 1);
    }
    let order: Vec<String> = world.given().into_iter().map(|(step, _)| step).collect();
    assert_eq!(order, ["plan", "copy/0/2", "copy/0/1", "copy/0/3", "copy/0/0", "close"]);
}

#[test]
fn what_is_found_twice_is_one_shard_and_what_is_told_twice_counts_once() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(4, &[100, 100]);
    let shards = world.shards(&run).len();
    let partial = Partial {
        found: vec![Found { step: copy(1), rows: 9 }, Found { step: copy(2), rows: 7 }],
        rows: 40,
        notes: vec![Note { warning: true, reason: "ODD".into(), message: "odd".into() }],
        ..Partial::new(copy(0))
    };
    for _ in 0..3 {
        world.tell(&run, 1, partial.clone());
    }
    assert_eq!(world.shards(&run).len(), shards + 1);
    assert_eq!(world.shard(&run, copy(1)).size, 100);
    assert_eq!(world.notes().iter().filter(|reason| *reason == "ODD").count(), 1);
    // A report that is ahead of one that is missing waits for it.
    world.tell(&run, 3, Partial { rows: 90, ..Partial::new(copy(0)) });
    let Some(Progress::DbSync(progress)) = world.engine.view(world.now, &run).unwrap().progress else {
        panic!("no progress")
    };
    assert_eq!(progress.rows, 40);
    let (_, attempt) = world.attempt(&run, copy(0));
    assert_eq!(world.acks(&attempt), [(1, false); 3]);
}

#[test]
fn what_a_report_found_is_stored_with_the_report() {
    let mut world = World::with_workers(&["w1"]);
    let run = world.start_sync(1);
    world.begin(&run, Step::Plan);
    let (name, attempt) = world.attempt(&run, Step::Plan);
    let found = vec![Found { step: copy(0), rows: 1 }];
    let partial = Partial { found, tables: vec![orders(true, false)], ..Partial::new(Step::Plan) };
    let bytes = rmp_serde::to_vec_named(&partial).unwrap();
    world.engine.on_report(world.now, &node(&name), &attempt, 1, bytes);
    let step: Vec<Command> = world.engine.take_commands();
    let stores = |wanted: fn(&Mutation) -> bool| {
        step.iter().any(|command| matches!(command, Command::Store(mutation) if wanted(mutation)))
    };
    assert!(stores(|m| matches!(m, Mutation::PutCheckpoint(_))));
    assert!(stores(|m| matches!(m, Mutation::InsertShard(shard) if shard.name == "copy/0/0")));
}

#[test]
fn a_cap_counts_the_attempts_of_all_runs_that_use_the_same_database() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let first = world.copying(3, &[9, 9, 9, 9]);
    let out = |world: &World, run: &RunId| {
        world
            .shards(run)
            .iter()
            .filter(|(_, shard)| !shard.state.is_terminal() && shard.state != ShardState::Pending)
            .count()
    };
    assert_eq!(out(&world, &first), 3);
    let second = world.start_sync(4);
    assert_eq!(out(&world, &second), 1, "the second run may see four in all");
    world.begin(&second, Step::Plan);
    world.copied(&first, 0, 9);
    // The place of the first run's shard goes to its last one; the fourth is the second run's plan.
    assert_eq!((out(&world, &first), out(&world, &second)), (2, 1));
    let third = world.start(Spec::DbSync(Box::new(db_sync::Spec {
        source: db_sync::Source { connection: "dw".into(), table: "x".into(), ..Default::default() },
        target: db_sync::Target { connection: "shop".into(), ..Default::default() },
        ..sync_spec(1)
    })));
    assert_eq!(out(&world, &third), 1, "reading from a database and writing to it are two things");
}

#[test]
fn slots_are_a_limit_too_and_a_shard_goes_where_fewest_of_the_run_are() {
    let mut world = World::new();
    world.attach_with("w1", "first", &[], 1, &["shop", "dw"]);
    world.attach_with("w2", "first", &[], 2, &["shop", "dw"]);
    world.attach_with("w3", "first", &[], 9, &["shop"]);
    let run = world.copying(16, &[9, 8, 7, 6]);
    let mut nodes: Vec<String> = world.given()[1..].iter().map(|(_, node)| node.clone()).collect();
    nodes.sort();
    assert_eq!(nodes, ["w1", "w2", "w2"], "three slots are within reach of both databases");
    assert_eq!(world.state(&run, copy(3)), ShardState::Pending);
    let decision = world.run().detail.placements.last().unwrap().clone();
    let refusal = |name: &str| {
        decision.candidates.iter().find(|c| c.node.as_str() == name).map(|c| c.refusal.clone()).unwrap()
    };
    assert_eq!(refusal("w3"), "lacks the connection dw");
}

#[test]
fn a_decision_says_what_went_where_and_only_the_last_are_kept() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(1, &[9; 20]);
    let decisions = world.run().detail.placements.clone();
    assert_eq!(decisions.len(), 2);
    assert_eq!(decisions[0].reason, "plan to w1");
    assert_eq!(decisions[1].reason, "copy orders 0 to w1");
    assert_eq!(decisions[1].candidates.len(), 2);
    assert!(decisions[1].candidates.iter().all(|candidate| candidate.score > 0.0));
    for part in 0..20 {
        world.begin_sync(&run);
        world.copied(&run, part, 9);
    }
    assert_eq!(world.run().detail.placements.len(), 16);
}

#[test]
fn an_idle_worker_gets_a_part_of_the_shard_with_the_most_left() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(3, &[100_000, 90_000]);
    let left = |part, remaining| Partial { remaining: Some(remaining), ..Partial::new(copy(part)) };
    world.tell(&run, 1, left(0, 60_000));
    world.tell(&run, 1, left(1, 80_000));
    let both = ["w1", "w2"];
    let cuts = |world: &World| -> Vec<u32> {
        [0, 1]
            .iter()
            .map(|part| {
                let (_, attempt) = world.attempt(&run, copy(*part));
                world.directives(&attempt).last().unwrap().cuts
            })
            .collect()
    };
    world.pass(900 * MS, &both);
    assert_eq!(cuts(&world), [0, 0], "not at once");
    world.pass(300 * MS, &both);
    assert_eq!(cuts(&world), [0, 1]);
    world.pass(1000 * MS, &both);
    assert_eq!(cuts(&world), [0, 1], "one worker is idle, one cut is on its way");
    // The answer is a shard, for the worker that was idle.
    let found = vec![Found { step: copy(2), rows: 40_000 }];
    world.tell(&run, 2, Partial { found, ..left(1, 40_000) });
    assert_eq!(world.state(&run, copy(2)), ShardState::Assigned);
    world.begin_sync(&run);
    world.pass(9000 * MS, &both);
    assert_eq!(cuts(&world), [0, 1], "all that may are at work");
    // A place is free again: now the other one has the most; the first is not answered within 5 s.
    world.copied(&run, 2, 1);
    world.pass(1300 * MS, &both);
    assert_eq!(cuts(&world), [1, 1]);
    world.pass(4000 * MS, &both);
    assert_eq!(cuts(&world), [1, 1], "it may still answer");
    world.pass(1500 * MS, &both);
    assert_eq!(cuts(&world), [2, 1]);
    world.tell(&run, 2, left(0, 19_000));
    world.tell(&run, 3, left(1, 19_999));
    world.pass(20_000 * MS, &both);
    assert_eq!(cuts(&world), [2, 1], "too little is left to be worth it");
}

#[test]
fn nothing_is_cut_while_shards_wait_or_nobody_is_free() {
    let mut world = World::with_workers(&["w1"]);
    let run = world.copying(2, &[100_000, 100_000, 100_000]);
    for part in [0, 1] {
        world.tell(&run, 1, Partial { remaining: Some(100_000), ..Partial::new(copy(part)) });
    }
    world.pass(10_000 * MS, &["w1"]);
    let cuts = |part| world.directives(&world.attempt(&run, copy(part)).1).last().unwrap().cuts;
    assert_eq!((cuts(0), cuts(1)), (0, 0));
}

#[test]
fn a_change_of_the_limits_reaches_all_attempts_and_one_of_the_workers_the_caps() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(2, &[9, 8, 7, 6]);
    let change = |rows: Option<u32>, workers: Option<u32>| {
        Change::DbSync(db_sync::Change { rows_per_second: rows, bytes_per_second: None, workers })
    };
    let state = |world: &World, part| world.state(&run, copy(part));
    world.engine.change_run(world.now, &run, &change(Some(1000), None)).unwrap();
    world.settle();
    for part in [0, 1] {
        let (_, attempt) = world.attempt(&run, copy(part));
        assert_eq!(world.directives(&attempt).last().unwrap().rows_per_second, 500.0);
    }
    // More may be at work: at once, each with less.
    world.engine.change_run(world.now, &run, &change(None, Some(4))).unwrap();
    world.settle();
    assert_eq!(state(&world, 3), ShardState::Assigned);
    let (_, attempt) = world.attempt(&run, copy(0));
    assert_eq!(world.directives(&attempt).last().unwrap().rows_per_second, 250.0);
    // Fewer: the newest are handed back and wait.
    world.begin_sync(&run);
    world.engine.change_run(world.now, &run, &change(None, Some(1))).unwrap();
    world.settle();
    let mut asked: Vec<u32> = world.cancels().iter().map(|(_, attempt, _)| attempt.shard.index).collect();
    asked.sort_unstable();
    let index = |part| world.shard_id(&run, copy(part)).index;
    assert_eq!(asked, [index(1), index(2), index(3)]);
    for part in [1, 2, 3] {
        let (name, attempt) = world.attempt(&run, copy(part));
        world.end(&name, &attempt, Outcome::Cancelled, 0);
        assert_eq!(state(&world, part), ShardState::Pending);
    }
    assert_eq!(world.cancels().len(), 3, "each is asked once");
    assert_eq!(state(&world, 0), ShardState::Running);
    let stored = stored_run(&world, &run).run.detail.change;
    assert_eq!(stored, Some(change(Some(1000), Some(1))), "one change holds all");
    assert_eq!(world.notes().iter().filter(|note| *note == "CHANGE").count(), 3);
    let wrong = world.engine.change_run(world.now, &run, &change(None, Some(0)));
    assert!(matches!(wrong, Err(Refused::Invalid(_))));
}

#[test]
fn what_is_wrong_after_a_comparison_fails_the_run() {
    let mut world = World::with_workers(&["w1"]);
    let spec = db_sync::Spec { verify: Verify::Checksum, ..sync_spec(4) };
    let run = world.start(Spec::DbSync(Box::new(spec)));
    world.plan(&run, &[10]);
    world.copied(&run, 0, 10);
    let verify = Step::Verify { table: 0, part: Some(0) };
    world.begin(&run, verify);
    world.tell(&run, 1, compared(0, 2));
    world.done(&run, verify, 1);
    world.begin(&run, Step::Close);
    world.done(&run, Step::Close, 0);
    assert_eq!(world.run_state(&run), RunState::Failed);
    assert!(world.run().reason.contains("2 rows missing"), "{}", world.run().reason);
    assert!(world.run().report.is_some());
}

#[test]
fn the_view_shows_titles_progress_and_states() {
    let mut world = World::with_workers(&["w1", "w2"]);
    let run = world.copying(4, &[600, 400]);
    world.copied(&run, 0, 600);
    world.pass(2000 * MS, &["w1", "w2"]);
    let view = world.engine.view(world.now, &run).unwrap();
    let titles: Vec<&str> = view.shards.iter().map(|shard| shard.title.as_str()).collect();
    assert_eq!(titles, ["plan", "copy orders 0", "copy orders 1"]);
    let Some(progress @ Progress::DbSync(sync)) = &view.progress else { panic!("no progress") };
    assert_eq!((sync.rows, sync.workers, sync.phase.as_str()), (600, 1, "copying"));
    assert_eq!(progress.fraction(), Some(0.6));
    assert_eq!((view.end_ns, view.elapsed_ns), (None, 2_000_000_000));
    let report = world.engine.report(world.now, &run);
    assert!(matches!(report, Some(Report::DbSync(report)) if report.rows == 600));
    let ended = |body: &EventBody| matches!(body, EventBody::Shard { state: ShardState::Done, .. });
    let done = world.stored.iter().filter(|m| matches!(m, Mutation::AppendEvent(e) if ended(&e.body)));
    assert_eq!(done.count(), 2);
}
