//! A worker with masters that do what the test says: attach, work, lose the stream, change the leader.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod master;
mod worker;

use master::{Master, assign, prost_duration};
use shanty_proto::internal::attempt_ended::Outcome as Ended;
use shanty_proto::internal::attempt_update::State;
use shanty_proto::internal::{self as pb, from_worker, to_worker};
use shanty_rt::clock;
use shanty_rt::driver::{DriverError, Outcome, StopReason};
use std::time::Duration;
use worker::{Finish, Worker};

const A: &str = "a.1/0#1";
const B: &str = "b.1/0#1";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

async fn attached(master: &mut Master, folder: &tempfile::TempDir) -> (Worker, master::Link) {
    let worker = Worker::start(folder.path(), &[master.address.to_string()]);
    let mut link = master.welcome(true, 1).await;
    assert_eq!(link.inventory().await, pb::Inventory { epoch: 1, attempts: vec![] });
    (worker, link)
}

#[tokio::test]
async fn an_attempt_goes_from_its_order_to_its_acknowledged_end() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (mut worker, mut link) = attached(&mut master, &folder).await;
    assert_eq!((link.hello.worker.as_str(), link.hello.max_epoch, link.hello.slots), ("w1", 0, 2));
    assert_eq!(link.hello.kinds, ["fake", "fake_data"]);
    assert_eq!(link.hello.connections, ["dw", "shop"]);
    assert!(link.hello.telemetry.as_ref().unwrap().memory_total_bytes > 0);

    link.assign(1, A).await;
    let running = worker.begun().await;
    assert_eq!((running.port.spec(), running.port.directives().borrow().as_str()), ("\"spec\"", "1"));
    assert_eq!(running.port.shard(), "\"shard\"");
    link.begun(A).await;
    running.port.applied(1);
    assert_eq!(link.update().await, (A.to_owned(), State::Changed, String::new()));
    running.emit(1..=2).await;
    assert_eq!(link.report().await, (1, vec![1]));
    assert_eq!(link.report().await, (2, vec![2]));
    running.finish(Finish::With(Ok(Outcome::Done)));
    let ended = link.ended().await;
    assert_eq!((ended.outcome(), ended.last_sequence, ended.reason.as_str()), (Ended::Done, 2, ""));
    link.ack(A, 2, true).await;
    // A late repetition of the order is not done again.
    link.assign(1, A).await;
    let (_, state, reason) = link.update().await;
    assert_eq!((state, reason.as_str()), (State::Refused, "this attempt has ended here already"));
    assert!(worker.is_idle());
    assert!(link.beats().windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
    worker.leave().await;
    link.ends().await;
}

#[tokio::test]
async fn the_start_is_the_masters_instant_whatever_its_clock_says() {
    let folder = folder();
    let mut master = Master::start("m1").await;
    master.ahead_ns = 3_600_000_000_000;
    let (mut worker, link) = attached(&mut master, &folder).await;
    let (real_ns, ours_ns) = (clock::unix_ns(), clock::monotonic_ns());
    let start_unix_ns = real_ns + master.ahead_ns + 1_000_000_000;
    link.tell(to_worker::Message::Assign(pb::Assign { start_unix_ns, ..assign(1, A) })).await;
    let running = worker.begun().await;
    let error_ns = running.port.start_monotonic_ns().abs_diff(ours_ns + 1_000_000_000);
    assert!(error_ns < 50_000_000, "off by {error_ns} ns");
    assert_eq!(running.port.start_unix_ns(), start_unix_ns, "it names the run, so it is the master's");
}

#[tokio::test]
async fn results_survive_a_lost_stream_with_the_same_numbers() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (mut worker, mut link) = attached(&mut master, &folder).await;
    link.assign(1, A).await;
    let running = worker.begun().await;
    link.begun(A).await;
    running.emit(1..=3).await;
    for expected in 1..=3 {
        assert_eq!(link.report().await.0, expected);
    }
    link.ack(A, 1, false).await;
    // The acknowledgement is known to have arrived when a later order has.
    link.assign(1, A).await;
    link.begun(A).await;
    drop(link);
    running.emit(4..=4).await;

    let mut link = master.welcome(true, 1).await;
    let attempt = A.to_owned();
    let held = pb::HeldAttempt { attempt, change: 0, report_sequence: 4, acked_sequence: 1, ended: false };
    assert_eq!(link.inventory().await.attempts, [held]);
    link.begun(A).await;
    for expected in 2..=4_u8 {
        assert_eq!(link.report().await, (u64::from(expected), vec![expected]));
    }
    assert!(running.is_undisturbed());
    // The end, too, is told to every stream until it is acknowledged.
    running.finish(Finish::With(Err(DriverError::Transient("no route".to_owned()))));
    let ended = link.ended().await;
    assert_eq!((ended.outcome(), ended.reason.as_str(), ended.transient), (Ended::Failed, "no route", true));
    drop(link);
    let mut link = master.welcome(true, 1).await;
    assert!(link.inventory().await.attempts[0].ended);
    assert_eq!(link.ended().await.last_sequence, 4);
    worker.leave().await;
}

#[tokio::test]
async fn a_flood_of_results_arrives_whole_and_in_order() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (mut worker, mut link) = attached(&mut master, &folder).await;
    link.assign(1, A).await;
    let running = worker.begun().await;
    for _ in 0..2 {
        running.emit(0..=249).await;
    }
    for expected in 1..=500 {
        assert_eq!(link.report().await.0, expected);
    }
}

#[tokio::test]
async fn an_older_epoch_is_not_obeyed_even_after_a_restart() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let mut worker = Worker::start(folder.path(), &[master.address.to_string()]);
    let mut link = master.welcome(true, 5).await;
    link.inventory().await;
    link.assign(4, A).await;
    link.assign(5, B).await;
    assert_eq!(worker.begun().await.port.id().to_string(), B);
    link.begun(B).await;
    let cancel = pb::Cancel { epoch: 4, attempt: B.to_owned(), reason: String::new(), discard: true };
    link.tell(to_worker::Message::Cancel(cancel)).await;
    link.assign(5, B).await;
    link.begun(B).await;
    drop((worker, link));

    let mut worker = Worker::start(folder.path(), &[master.address.to_string()]);
    let mut link = master.welcome(true, 4).await;
    assert_eq!(link.hello.max_epoch, 5);
    assert_eq!(link.inventory().await.epoch, 5);
    link.assign(4, A).await;
    link.announce(6).await;
    assert_eq!(link.inventory().await, pb::Inventory { epoch: 6, attempts: vec![] });
    link.assign(6, B).await;
    assert_eq!(worker.begun().await.port.id().to_string(), B);
    link.begun(B).await;
    assert!(worker.is_idle());
}

#[tokio::test]
async fn a_new_leader_takes_over_and_the_work_is_not_disturbed() {
    let folder = folder();
    let (mut first, mut second) = (Master::start("m1").await, Master::start("m2").await);
    let mut worker = Worker::start(folder.path(), &[first.address.to_string(), second.address.to_string()]);
    let mut leader = first.welcome(true, 1).await;
    let mut standby = second.welcome(false, 1).await;
    leader.inventory().await;
    standby.inventory().await;
    leader.assign(1, A).await;
    let running = worker.begun().await;
    leader.begun(A).await;
    running.emit(1..=2).await;
    assert_eq!(leader.report().await.0, 1);
    assert_eq!(leader.report().await.0, 2);
    leader.ack(A, 1, false).await;
    leader.assign(1, A).await;
    leader.begun(A).await;

    standby.announce(2).await;
    let inventory = standby.inventory().await;
    assert_eq!((inventory.epoch, inventory.attempts[0].report_sequence), (2, 2));
    standby.begun(A).await;
    assert_eq!(standby.report().await, (2, vec![2]));
    running.emit(3..=3).await;
    assert_eq!(standby.report().await, (3, vec![3]));
    // The old leader does not know yet, and what it says changes nothing.
    let cancel = pb::Cancel { epoch: 1, attempt: A.to_owned(), reason: String::new(), discard: true };
    leader.tell(to_worker::Message::Cancel(cancel)).await;
    leader.ack(A, 3, true).await;
    drop((leader, first));
    running.emit(4..=4).await;
    assert_eq!(standby.report().await, (4, vec![4]));
    standby.announce(2).await;
    assert_eq!(standby.inventory().await.attempts[0].report_sequence, 4);
    standby.begun(A).await;
    assert_eq!(standby.report().await, (2, vec![2]));
    assert!(running.is_undisturbed());
}

#[tokio::test]
async fn a_cancelled_attempt_ends_and_a_superseded_one_keeps_nothing() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (mut worker, mut link) = attached(&mut master, &folder).await;
    for (attempt, discard, reason) in [(A, false, "cancelled"), (B, true, "another attempt took over")] {
        link.assign(1, attempt).await;
        let running = worker.begun().await;
        link.begun(attempt).await;
        let cancel = pb::Cancel { epoch: 1, attempt: attempt.to_owned(), reason: String::new(), discard };
        link.tell(to_worker::Message::Cancel(cancel)).await;
        let expected = if discard { StopReason::Superseded } else { StopReason::Cancelled };
        assert_eq!(running.stopped().await, expected);
        let ended = link.ended().await;
        assert_eq!((ended.outcome(), ended.reason.as_str()), (Ended::Cancelled, reason));
        link.ack(attempt, 0, true).await;
    }
    link.announce(1).await;
    assert_eq!(link.inventory().await.attempts, []);
}

#[tokio::test]
async fn a_panic_of_a_driver_is_a_failed_attempt_and_no_more() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (mut worker, mut link) = attached(&mut master, &folder).await;
    link.assign(1, A).await;
    worker.begun().await.finish(Finish::Panic);
    link.begun(A).await;
    let ended = link.ended().await;
    assert_eq!((ended.outcome(), ended.reason.as_str()), (Ended::Failed, "the driver panicked: on purpose"));
    assert!(!ended.transient);
    link.assign(1, B).await;
    assert_eq!(worker.begun().await.port.id().to_string(), B);
}

#[tokio::test]
async fn a_repeated_order_begins_nothing_and_a_newer_change_is_taken() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (mut worker, mut link) = attached(&mut master, &folder).await;
    link.assign(1, A).await;
    let running = worker.begun().await;
    link.begun(A).await;
    let directives = running.port.directives();
    let change = |change, directive: &str| {
        let change = pb::Change { epoch: 1, attempt: A.to_owned(), change, directive: directive.to_owned() };
        to_worker::Message::Change(change)
    };
    link.tell(change(3, "3")).await;
    link.tell(change(2, "2")).await;
    link.tell(change(3, "three")).await;
    link.assign(1, A).await;
    link.begun(A).await;
    assert_eq!(directives.borrow().as_str(), "3");
    link.tell(to_worker::Message::Assign(pb::Assign {
        change: 4,
        directive: "4".to_owned(),
        ..assign(1, A)
    }))
    .await;
    link.begun(A).await;
    assert_eq!(directives.borrow().as_str(), "4");
    assert!(worker.is_idle() && running.is_undisturbed());
}

#[tokio::test]
async fn what_a_worker_cannot_take_is_refused_with_the_reason() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (mut worker, mut link) = attached(&mut master, &folder).await;
    link.tell(to_worker::Message::Assign(pb::Assign { kind: "fakir".to_owned(), ..assign(1, A) })).await;
    let (_, state, reason) = link.update().await;
    assert_eq!(state, State::Refused);
    assert!(reason.contains("`fakir`") && reason.contains("fake"), "{reason}");
    let mut running = vec![];
    for attempt in [A, B] {
        link.assign(1, attempt).await;
        running.push(worker.begun().await);
        link.begun(attempt).await;
    }
    link.assign(1, "c.1/0#1").await;
    let (_, state, reason) = link.update().await;
    assert_eq!((state, reason.as_str()), (State::Refused, "all 2 slots are busy"));
    let drain = |drain| to_worker::Message::Drain(pb::Drain { epoch: 1, drain });
    link.tell(drain(true)).await;
    running.pop().unwrap().finish(Finish::With(Ok(Outcome::Done)));
    link.ended().await;
    link.assign(1, "c.1/0#1").await;
    assert!(link.update().await.2.contains("drained"));
    link.tell(drain(false)).await;
    link.assign(1, "c.1/0#1").await;
    link.begun("c.1/0#1").await;
}

#[tokio::test]
async fn without_any_master_an_attempt_stops_after_its_orphan_limit() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (mut worker, link) = attached(&mut master, &folder).await;
    let order = |attempt, limit| {
        let limit = Some(prost_duration(limit));
        to_worker::Message::Assign(pb::Assign { orphan_limit: limit, ..assign(1, attempt) })
    };
    link.tell(order(A, Duration::from_millis(1500))).await;
    let short = worker.begun().await;
    link.tell(order(B, Duration::from_secs(20))).await;
    let long = worker.begun().await;
    drop(link);
    assert_eq!(short.stopped().await, StopReason::Orphaned);
    assert!(long.is_undisturbed());
    let mut link = master.welcome(true, 1).await;
    link.inventory().await;
    let ended = link.ended().await;
    assert_eq!((ended.attempt.as_str(), ended.outcome()), (A, Ended::Orphaned));
}

#[tokio::test]
async fn the_limit_of_a_workers_owner_is_for_load_and_data_goes_on_as_long_as_its_master_said() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let addresses = [master.address.to_string()];
    let mut worker = Worker::with(folder.path(), &addresses, |config| {
        config.orphan_limit = Duration::from_millis(1500);
    });
    let mut link = master.welcome(true, 1).await;
    link.inventory().await;
    let order = |attempt, kind: &str| {
        let limit = Some(prost_duration(Duration::from_secs(60)));
        to_worker::Message::Assign(pb::Assign {
            orphan_limit: limit,
            kind: kind.to_owned(),
            ..assign(1, attempt)
        })
    };
    link.tell(order(A, "fake_data")).await;
    let data = worker.begun().await;
    link.tell(order(B, "fake")).await;
    let load = worker.begun().await;
    drop(link);
    assert_eq!(load.stopped().await, StopReason::Orphaned);
    assert!(data.is_undisturbed());
}

#[tokio::test]
async fn a_silent_master_is_left_and_attached_to_again() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (_worker, link) = attached(&mut master, &folder).await;
    // It goes on living, but nothing is said on the stream any more.
    link.mute();
    let mut again = master.welcome(true, 1).await;
    again.inventory().await;
    assert_eq!(again.hello.incarnation, link.hello.incarnation);
}

/// Welcomes a worker until it is content with its stream, which must be soon.
async fn settled(master: &mut Master, most: usize) -> master::Link {
    let quiet = Duration::from_millis(1500);
    let mut link = master.welcome(true, 1).await;
    for _ in 1..most {
        match master.welcome_within(quiet, true, 1).await {
            Some(newer) => link = newer,
            None => return link,
        }
    }
    assert!(master.welcome_within(quiet, true, 1).await.is_none(), "it called more often than {most} times");
    link
}

#[tokio::test]
async fn a_master_with_two_addresses_gets_one_stream_and_the_other_address_takes_over() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let addresses = [master.address.to_string(), format!("localhost:{}", master.address.port())];
    let _worker = Worker::start(folder.path(), &addresses);
    // Nobody knows yet that they are one: the second Hello ends the first stream, and one of them comes again.
    let mut link = settled(&mut master, 3).await;
    for _ in 0..2 {
        link.inventory().await;
        drop(link);
        link = settled(&mut master, 1).await;
    }
    // Another master is found at both. Again they cannot know it.
    link.inventory().await;
    master.node = "m2";
    drop(link);
    settled(&mut master, 3).await.inventory().await;
}

#[tokio::test]
async fn a_worker_that_leaves_says_so_takes_nothing_new_and_waits_for_its_work() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (mut worker, mut link) = attached(&mut master, &folder).await;
    link.assign(1, A).await;
    let running = worker.begun().await;
    link.begun(A).await;
    worker.stop.cancel();
    assert!(matches!(link.next().await, from_worker::Message::Leaving(_)));
    link.assign(1, B).await;
    assert!(link.update().await.2.contains("leaving"));
    running.emit(1..=1).await;
    assert_eq!(link.report().await.0, 1);
    assert!(running.is_undisturbed());
    running.finish(Finish::With(Ok(Outcome::Done)));
    assert_eq!(link.ended().await.outcome(), Ended::Done);
    link.ack(A, 1, true).await;
    worker.left(Duration::from_secs(2)).await;
    link.ends().await;
}

#[tokio::test]
async fn what_does_not_end_while_draining_is_cancelled_and_still_reported() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let drain_timeout = Duration::from_millis(300);
    let mut worker = Worker::with(folder.path(), &[master.address.to_string()], |config| {
        config.drain_timeout = drain_timeout;
    });
    let mut link = master.welcome(true, 1).await;
    link.inventory().await;
    link.assign(1, A).await;
    let running = worker.begun().await;
    worker.stop.cancel();
    link.begun(A).await;
    assert!(matches!(link.next().await, from_worker::Message::Leaving(_)));
    assert_eq!(running.stopped().await, StopReason::Cancelled);
    let ended = link.ended().await;
    assert_eq!(ended.outcome(), Ended::Cancelled);
    link.ack(A, 0, true).await;
    worker.left(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn an_idle_worker_leaves_at_once_with_a_master_and_without() {
    let (folder, mut master) = (folder(), Master::start("m1").await);
    let (worker, mut link) = attached(&mut master, &folder).await;
    worker.stop.cancel();
    worker.left(Duration::from_secs(2)).await;
    assert!(matches!(link.next().await, from_worker::Message::Leaving(_)));
    // The folder is free again, and nobody listens at that address.
    let worker = Worker::start(folder.path(), &["127.0.0.1:9".to_owned()]);
    worker.stop.cancel();
    worker.left(Duration::from_secs(2)).await;
}
