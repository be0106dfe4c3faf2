//! The driver against real sockets: exact counts, changes, stops, limits.
//!
//! Its timing is measured by `tests/bench`; here only what must hold on a busy machine is asserted.

mod support;

use shanty_model::histogram::Latencies;
use shanty_model::kind::http_load::{Arrivals, Partial, Spec, StageSpec, TargetPolicy};
use shanty_model::rate::Plan;
use shanty_rt::clock::monotonic_ns;
use shanty_rt::driver::{DriverError, Outcome, StopReason};
use shanty_worker::drivers::http_load::{HttpLoadDriver, Options, Spin};
use std::time::{Duration, Instant};
use support::{Reply, Server, answer, closed, driver, eventually, open, plan, start, start_at};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn polite() -> Server {
    Server::start(|_, _| Reply::Bytes(answer(200, "hello")))
}

#[test]
fn an_open_loop_sends_each_arrival_of_the_schedule_once() {
    let server = polite();
    let spec = open(&server, 1_500.0, seconds(1.3));
    let (outcome, sum) = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!(outcome.unwrap(), Outcome::Done);
    assert_eq!((sum.sent, sum.completed, sum.dropped, sum.failed()), (1_950, 1_950, 0, 0));
    assert_eq!(sum.statuses, [(200, 1_950)].into());
    assert_eq!(server.requests(), 1_950);
    let last = sum.partials.last().unwrap();
    assert!(last.covered_ns >= 1_300 * MS, "{}", last.covered_ns);
    assert_eq!(sum.partials.iter().map(|p| p.second).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(sum.partials.iter().map(|p| p.lateness.count()).sum::<u64>(), 1_950);
    let bytes = sum.partials.iter().map(|p| p.bytes_received).sum::<u64>();
    assert_eq!(bytes, 1_950 * answer(200, "hello").len() as u64);
    let bytes = sum.partials.iter().map(|p| p.bytes_sent).sum::<u64>();
    assert_eq!(bytes, 1_950 * server.seen().first.len() as u64);
    assert_eq!(last.engine, "fast");
}

#[test]
fn shares_of_three_workers_ramps_and_random_arrivals_add_up() {
    let server = polite();
    let stage = |rate: f64, s: f64, ramp: bool| StageSpec { rate, duration: seconds(s), ramp };
    let spec = Spec {
        url: server.url(),
        stages: vec![stage(800.0, 0.5, true), stage(0.5, 0.1, false), stage(1_000.0, 0.4, false)],
        arrivals: Arrivals::Poisson,
        ..Spec::default()
    };
    let plan = plan(&spec, &[5, 3, 0]);
    let start_ns = monotonic_ns() + 100 * MS;
    let running: Vec<_> = (0..3).map(|s| start_at(&driver(2), &spec, &plan.directive(s), start_ns)).collect();
    let sent: Vec<u64> = running.into_iter().map(|r| r.end().1.completed).collect();
    let owned: Vec<u64> = (0..3).map(|s| plan.owned_between(s, 0, u64::MAX)).collect();
    assert_eq!(sent, owned);
    assert_eq!(sent.iter().sum::<u64>(), plan.due_between(0, u64::MAX));
    assert_eq!(sent[2], 0);
}

#[test]
fn a_rate_below_one_per_second_keeps_its_period() {
    let server = polite();
    let spec = open(&server, 0.8, seconds(1.5));
    let running = start(&driver(1), &spec, &plan(&spec, &[1]).directive(0));
    let (_, sum) = running.end();
    assert_eq!(sum.completed, 2);
    let arrivals = server.seen().arrivals;
    let gap = arrivals[1] - arrivals[0];
    assert!(gap > seconds(1.15) && gap < seconds(1.5), "{gap:?}");
}

#[test]
fn a_change_of_rate_and_shares_on_the_way_loses_and_doubles_nothing() {
    let server = polite();
    let spec = open(&server, 1_000.0, seconds(1.5));
    let mut plan = plan(&spec, &[1, 1]);
    let start_ns = monotonic_ns() + 100 * MS;
    let running: Vec<_> = (0..2).map(|s| start_at(&driver(2), &spec, &plan.directive(s), start_ns)).collect();
    eventually("a third is sent", || server.requests() > 400);
    plan.change_rate(running[0].now_ns() + 100 * MS, 3_000_000);
    running.iter().enumerate().for_each(|(s, r)| r.direct(&plan.directive(s)));
    plan.change_split(running[0].now_ns() + 150 * MS, vec![1, 4]);
    running.iter().enumerate().for_each(|(s, r)| r.direct(&plan.directive(s)));
    for running in &running {
        running.until("the newest revision is applied", |r| r.port.seen().applied.last() == Some(&3));
    }
    let sums: Vec<_> = running.into_iter().map(|r| r.end().1).collect();
    for (shard, sum) in sums.iter().enumerate() {
        assert_eq!(
            (sum.sent, sum.completed, sum.dropped),
            (plan.owned_between(shard, 0, u64::MAX), sum.sent, 0)
        );
    }
    assert_eq!(server.requests() as u64, plan.due_between(0, u64::MAX));
}

#[test]
fn an_older_directive_is_ignored() {
    let server = polite();
    let spec = open(&server, 500.0, seconds(0.5));
    let first = plan(&spec, &[1]);
    let mut second = first.clone();
    second.change_rate(0, 600_000);
    let running = start(&driver(1), &spec, &second.directive(0));
    running.until("the newer one is in force", |r| r.port.seen().applied == [2]);
    running.direct(&first.directive(0));
    let (_, sum) = running.end();
    assert_eq!(sum.completed, 300);
}

#[test]
fn a_late_start_drops_and_counts_what_is_older_than_the_catch_up_window() {
    let server = polite();
    let spec = open(&server, 1_000.0, seconds(3.0));
    let plan = plan(&spec, &[1]);
    let (_, sum) = start_at(&driver(2), &spec, &plan.directive(0), monotonic_ns() - 2 * SECOND).end();
    assert_eq!(sum.sent + sum.dropped, 3_000);
    assert_eq!(sum.completed, sum.sent);
    assert!((1_000..1_500).contains(&sum.dropped), "{}", sum.dropped);
}

#[test]
fn a_closed_loop_sends_again_as_soon_as_it_has_its_answer() {
    let server = Server::start(|_, _| Reply::After(Duration::from_millis(20), answer(200, "")));
    let spec = closed(&server, 5, seconds(1.0));
    let (outcome, sum) = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!(outcome.unwrap(), Outcome::Done);
    assert_eq!((sum.completed, sum.failed(), sum.dropped), (sum.sent, 0, 0));
    assert_eq!(sum.sent, server.requests() as u64);
    assert!((150..=250).contains(&sum.sent), "5 × 50/s were possible, {} sent", sum.sent);
    assert_eq!(server.seen().connections, 5);
}

#[test]
fn a_closed_loop_follows_its_share_of_connections() {
    let server = Server::start(|_, _| Reply::After(Duration::from_millis(5), answer(200, "")));
    let spec = closed(&server, 8, seconds(1.2));
    let mut plan = plan(&spec, &[1]);
    let running = start(&driver(1), &spec, &plan.directive(0));
    eventually("eight connections are open", || server.seen().most_open == 8);
    plan.change_split(running.now_ns() + 50 * MS, vec![1, 3]);
    let changed = plan.directive(0);
    assert_eq!(changed.ownership.last().unwrap().connections, 2);
    running.direct(&changed);
    running.until("it is applied", |r| r.port.seen().applied == [1, 2]);
    let (_, sum) = running.end();
    let rate = |p: &Partial| p.completed;
    assert_eq!(sum.failed(), 0);
    assert!(sum.partials.len() >= 2 && sum.partials.iter().map(rate).sum::<u64>() == sum.completed);
    assert_eq!(server.seen().connections, 8, "none was opened anew");
}

#[test]
fn a_stop_is_silent_within_200_ms_and_ends_what_is_in_flight() {
    for reason in [StopReason::Cancelled, StopReason::Superseded, StopReason::Orphaned] {
        let server = Server::start(|_, request| {
            if request % 2 == 0 {
                Reply::Bytes(answer(200, ""))
            } else {
                Reply::After(Duration::from_millis(700), answer(200, ""))
            }
        });
        let spec = open(&server, 400.0, seconds(20.0));
        let running = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0));
        eventually("it sends", || server.requests() > 100);
        let stopped = Instant::now();
        running.port.stop.send_replace(Some(reason));
        let (outcome, sum) = running.end();
        let took = stopped.elapsed();
        assert_eq!(outcome.unwrap(), Outcome::Cancelled);
        assert!(took < Duration::from_millis(500), "{took:?}");
        // What was sent may lie in the sockets of the server's busy threads for a while.
        std::thread::sleep(Duration::from_millis(100));
        let late =
            server.seen().arrivals.iter().filter(|at| **at > stopped + Duration::from_millis(200)).count();
        assert_eq!(late, 0, "requests after the stop");
        assert_eq!(sum.sent, sum.completed + sum.failed());
        assert!(sum.errors.keys().all(|class| class == "stopped"), "{:?}", sum.errors);
        assert!(sum.errors["stopped"] > 0);
    }
}

#[test]
fn a_stop_before_the_start_sends_nothing() {
    let server = polite();
    let spec = open(&server, 400.0, seconds(1.0));
    let running = start_at(&driver(1), &spec, &plan(&spec, &[1]).directive(0), monotonic_ns() + 60 * SECOND);
    running.until("it is prepared", |r| r.port.seen().applied == [1]);
    running.port.stop.send_replace(Some(StopReason::Cancelled));
    let (outcome, sum) = running.end();
    assert_eq!((outcome.unwrap(), sum.sent, server.requests()), (Outcome::Cancelled, 0, 0));
}

#[test]
fn silence_is_a_timeout_from_the_intended_start() {
    let server = Server::start(|_, _| Reply::Silence);
    let spec = Spec { timeout: Some(Duration::from_millis(200)), ..open(&server, 100.0, seconds(0.5)) };
    let (_, sum) = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!((sum.sent, sum.only_error()), (50, ("timeout", 50)));
}

#[test]
fn arrivals_wait_for_a_connection_and_their_wait_is_in_the_response_time_alone() {
    let server = Server::start(|_, _| Reply::After(Duration::from_millis(50), answer(200, "")));
    let spec = Spec { max_connections: Some(1), ..open(&server, 40.0, seconds(1.0)) };
    let (_, sum) = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!((sum.completed, sum.failed(), sum.dropped), (40, 0, 0));
    assert_eq!(server.seen().connections, 1);
    assert!(sum.waited >= 30, "{}", sum.waited);
    let mut response = Latencies::new();
    let mut service = Latencies::new();
    for partial in &sum.partials {
        response.merge(&partial.response);
        service.merge(&partial.service);
    }
    assert!(response.max_ms() > 800.0, "the last one waited a second: {}", response.max_ms());
    assert!(service.max_ms() < 300.0, "{}", service.max_ms());
    let early = &sum.partials[0];
    assert!(
        early.covered_ns < 900 * MS,
        "arrivals that wait are not accounted for yet: {}",
        early.covered_ns
    );
}

#[test]
fn arrivals_that_never_got_a_connection_say_so() {
    let server = Server::start(|_, _| Reply::Silence);
    let spec = Spec {
        max_connections: Some(1),
        timeout: Some(Duration::from_millis(100)),
        ..open(&server, 20_000.0, seconds(0.3))
    };
    let (_, sum) = start(&driver(1), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!((sum.sent, sum.failed(), sum.dropped), (6_000, 6_000, 0));
    assert!(sum.errors["no_connection"] > 0, "{:?}", sum.errors);
    assert!(sum.waited > 5_000);
}

#[test]
fn a_target_that_refuses_is_an_error_class_for_each_arrival() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let spec = Spec {
        url: format!("http://{address}/"),
        rate: Some(200.0),
        duration: Some(seconds(0.5)),
        ..Spec::default()
    };
    let (outcome, sum) = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!(outcome.unwrap(), Outcome::Done);
    assert_eq!((sum.sent, sum.only_error()), (100, ("connect_refused", 100)));
    let spec = Spec { rate: None, connections: Some(3), ..spec };
    let (_, sum) = start(&driver(1), &spec, &plan(&spec, &[1]).directive(0)).end();
    let (class, count) = sum.only_error();
    assert_eq!((class, count), ("connect_refused", sum.sent));
    assert!((3..=30).contains(&count), "a closed loop does not hammer a closed door: {count}");
}

#[test]
fn localhost_is_served_whichever_family_listens() {
    let server = polite();
    let spec = Spec {
        url: format!("http://localhost:{}/", server.address.port()),
        ..open(&server, 200.0, seconds(0.3))
    };
    let (_, sum) = start(&driver(1), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!((sum.completed, sum.failed()), (60, 0));
    assert!(String::from_utf8(server.seen().first).unwrap().contains("Host: localhost:"));
}

#[test]
fn without_keep_alive_each_request_has_its_connection() {
    let server = Server::start(|_, _| Reply::Last(answer(200, "x")));
    let spec = Spec { keep_alive: Some(false), ..open(&server, 200.0, seconds(0.5)) };
    let (_, sum) = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!((sum.completed, sum.failed(), server.seen().connections), (100, 0, 100));
    assert!(String::from_utf8(server.seen().first).unwrap().contains("Connection: close\r\n"));
}

#[test]
fn a_large_body_goes_out_and_a_large_answer_comes_in_whole() {
    let large = "z".repeat(700_000);
    let reply = answer(201, &large);
    let server = Server::start(move |_, _| Reply::Bytes(reply.clone()));
    let body = vec![b'y'; 1 << 20];
    let spec = Spec { method: "POST".into(), body: Some(body), ..open(&server, 40.0, seconds(0.5)) };
    let (_, sum) = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0)).end();
    assert_eq!((sum.completed, sum.failed()), (20, 0));
    assert_eq!(sum.statuses, [(201, 20)].into());
    assert!(server.seen().first.ends_with(b"yyyy"));
}

#[test]
fn the_warm_up_is_told_apart_by_the_intended_start() {
    let server = Server::start(|_, _| Reply::After(Duration::from_millis(120), answer(200, "")));
    let spec = Spec { warm_up: Some(Duration::from_millis(500)), ..open(&server, 200.0, seconds(1.5)) };
    let (_, sum) = start(&driver(2), &spec, &plan(&spec, &[1]).directive(0)).end();
    let of = |warm_up: bool| {
        let part = sum.partials.iter().filter(move |p| p.warm_up == warm_up);
        part.fold((0, 0), |(sent, completed), p| (sent + p.sent, completed + p.completed))
    };
    assert_eq!((of(true), of(false)), ((100, 100), (200, 200)));
}

#[test]
fn what_this_worker_may_not_do_is_refused_at_once_with_the_option_to_change() {
    let server = polite();
    let refused = |options: Options, spec: &Spec, plan: &Plan| {
        let (outcome, _) = start(&HttpLoadDriver::new(options), spec, &plan.directive(0)).end();
        match outcome {
            Err(DriverError::Permanent(text)) => text,
            other => panic!("{other:?}"),
        }
    };
    let spec = open(&server, 1_000.0, seconds(1.0));
    let capped = Options { max_rate: 400.0, ..Options::default() };
    assert!(refused(capped.clone(), &spec, &plan(&spec, &[1, 1])).contains("load.max_rate"));
    let many = closed(&server, 50, seconds(1.0));
    let few = Options { max_connections: 49, ..Options::default() };
    assert!(refused(few, &many, &plan(&many, &[1])).contains("load.max_connections"));
    let endless = closed(&server, 2_000_000_000, seconds(1.0));
    let lenient = Options { max_connections: u32::MAX, ..Options::default() };
    assert!(refused(lenient, &endless, &plan(&endless, &[1])).contains("LimitNOFILE"));
    let outside = Spec { url: "http://192.0.2.1/".into(), ..spec.clone() };
    assert!(refused(Options::default(), &outside, &plan(&outside, &[1])).contains("allow_targets"));
    let nowhere = Spec { url: "http://nowhere.invalid/".into(), ..spec.clone() };
    let text = refused(
        Options { targets: TargetPolicy::default(), ..Options::default() },
        &nowhere,
        &plan(&nowhere, &[1]),
    );
    assert!(text.contains("nowhere.invalid"), "{text}");
    let small = open(&server, 100.0, seconds(5.0));
    let mut grown = plan(&small, &[1]);
    let running = start(&HttpLoadDriver::new(capped), &small, &grown.directive(0));
    eventually("it sends", || server.requests() > 5);
    grown.change_rate(running.now_ns() + 50 * MS, 900_000);
    running.direct(&grown.directive(0));
    let (outcome, sum) = running.end();
    assert!(matches!(&outcome, Err(DriverError::Permanent(text)) if text.contains("900/s")), "{outcome:?}");
    assert_eq!(sum.sent, sum.completed + sum.failed(), "what was done before is told");
    assert!(sum.completed > 5);
}

#[test]
fn precise_and_eco_modes_send_the_same() {
    for spin in [Spin::Eco, Spin::Precise] {
        let server = polite();
        let spec = open(&server, 500.0, seconds(0.4));
        let driver = HttpLoadDriver::new(Options { spin, ..Options::default() });
        let (_, sum) = start(&driver, &spec, &plan(&spec, &[1]).directive(0)).end();
        assert_eq!((sum.completed, sum.failed()), (200, 0), "{spin:?}");
    }
}

#[test]
fn dropping_the_attempt_stops_its_threads() {
    let server = polite();
    let spec = open(&server, 500.0, seconds(60.0));
    let (cx, port) = shanty_rt::driver::AttemptContext::for_test(
        &spec,
        &(),
        &plan(&spec, &[1]).directive(0),
        monotonic_ns(),
    )
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let driver = driver(2);
    runtime.block_on(async {
        let attempt = shanty_rt::driver::Driver::run(&driver, cx);
        let _ = tokio::time::timeout(Duration::from_millis(400), attempt).await;
    });
    drop((runtime, port));
    assert!(server.requests() > 50);
    // Several times longer than a request takes.
    let quiet = || {
        let before = server.requests();
        std::thread::sleep(Duration::from_millis(100));
        server.requests() == before
    };
    eventually("no more requests come", quiet);
    assert!(quiet());
}
