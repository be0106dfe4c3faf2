//! A thousand workers on one load run: nothing keeps the loop for so long that its leader looks like one that hangs.

use super::rate::spec;
use super::*;
use shanty_model::kind::Report;
use std::time::Instant;

const WORKERS: usize = 1000;
/// For one event: less than a third of the silence after which a leader gives up. A busy machine takes its time, too.
const MOMENT: Duration = Duration::from_millis(600);
/// For an event of each worker, one after the other.
const ROUND: Duration = Duration::from_secs(5);
/// Events that the loop takes at once where many come together: what has changed is stored after all of them.
const TURN: usize = 20;

/// Does `event` for each of `workers`: each within [`MOMENT`], all of them within `limit`.
fn within<T>(what: &str, limit: Duration, workers: &[T], mut event: impl FnMut(&T)) {
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for worker in workers {
        let began = Instant::now();
        event(worker);
        longest = longest.max(began.elapsed());
    }
    let all = began.elapsed();
    println!("{what}: {all:.1?}, one of them at most {longest:.1?}");
    assert!(all < limit && longest < MOMENT, "{what} took {all:?}, one of them {longest:?}");
}

#[test]
fn no_event_of_a_run_on_a_thousand_workers_holds_the_loop_up() {
    let names: Vec<String> = (0..WORKERS).map(|number| format!("w{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new();
    within("workers attach", ROUND, &names, |name| world.attach(name, "first", &[]));
    let mut run = None;
    within("a run begins", MOMENT, &[()], |()| run = Some(world.start(spec(10_000.0, 60))));
    let run = run.unwrap();
    let assigned = world.assigned();
    assert_eq!(assigned.len(), WORKERS);
    within("workers begin", ROUND, &assigned, |(node, assignment)| {
        world.engine.on_update(world.now, node, &assignment.attempt, Update::Accepted);
        world.engine.on_update(world.now, node, &assignment.attempt, Update::Running);
        world.settle();
    });
    within("a second passes", ROUND, &[(); 10], |()| world.pass(100 * MS, &names));
    within("a second is reported", ROUND, &assigned, |(node, assignment)| {
        world.report(node.as_str(), &assignment.attempt, 0, 10);
    });

    let (left, stay) = names.split_at(WORKERS / 20);
    within("workers are lost one after the other", ROUND, left, |name| {
        world.engine.on_gone(world.now, &node(name), "first");
        world.now.boot += 50 * MS;
        world.engine.on_tick(world.now, false);
        world.settle();
    });
    within("the last of them", ROUND, &[(); 10], |()| world.pass(100 * MS, stay));
    let plan = world.run().detail.plan.clone().unwrap();
    assert_eq!(plan.scores().iter().filter(|score| **score > 0).count(), stay.len());
    // Of decisions with a thousand candidates each the newest are kept: they are stored whenever the run is.
    let kept: Vec<u32> = world.run().detail.placements.iter().map(|decision| decision.revision).collect();
    assert_eq!(kept, [plan.revision - 1, plan.revision]);
    within("the figures so far", MOMENT, &[()], |()| {
        let report = world.engine.report(world.now, &run);
        assert!(matches!(report, Some(Report::HttpLoad(load)) if load.sent == 10_000));
    });

    let mut next = world.taken_over(&[&run]);
    within("workers attach again", ROUND, &assigned[left.len()..], |(node, assignment)| {
        let attempt = assignment.attempt.clone();
        let held = Held { attempt, revision: plan.revision, acked: 1, ended: false };
        next.attach(node.as_str(), "first", &[held]);
    });
    next.now.boot += Duration::from_secs(60);
    next.now.unix_ns += 60_000_000_000;
    let turns: Vec<_> = assigned[left.len()..].chunks(TURN).collect();
    within("workers end", ROUND, &turns, |turn| {
        for (node, assignment) in *turn {
            let attempt = assignment.attempt.clone();
            let ending = Ending { attempt, outcome: Outcome::Done, reason: String::new(), last_sequence: 1 };
            next.engine.on_ended(next.now, node, ending);
        }
        next.settle();
    });
    assert!(next.run().state.is_terminal(), "{:?}", next.run().state);
}
