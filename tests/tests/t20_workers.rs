//! Workers come and go under load: killed, joined, cordoned, drained, stopped.
//!
//! In: one master, its workers, an [`Origin`]. Out: arrivals at the target beside the report.
//! Never: trusts the report alone.

use serde_json::json;
use shanty_proto::v1;
use shanty_proto::v1::run::State;
use shanty_rt::clock::monotonic_ns;
use shanty_tests::cluster::{Client, Cluster};
use shanty_tests::origin::Origin;
use shanty_tests::patience::eventually;
use std::time::Duration;

async fn start(client: &Client, origin: &Origin, rate: u32, duration: &str) -> v1::Run {
    let request =
        json!({ "spec": { "http_load": { "url": origin.url(), "rate": rate, "duration": duration } } });
    let run = client.start(&request).await.expect("accepted");
    let begun = i64::from(rate);
    eventually("the load has begun", Duration::from_secs(10), async || origin.count() > begun).await;
    run
}

async fn report(client: &Client, run: &v1::Run, state: State) -> v1::HttpLoadReport {
    let run = client.wait(&run.name).await.expect("the run ends");
    assert_eq!(run.state(), state, "{}", run.state_reason);
    client.load_report(&run.name).await.expect("a report")
}

fn part<'a>(report: &'a v1::HttpLoadReport, node: &str) -> &'a v1::WorkerReport {
    let name = format!("nodes/{node}");
    let found = report.workers.iter().find(|worker| worker.node == name);
    found.unwrap_or_else(|| panic!("{name} is not in the report: {:?}", report.workers))
}

#[tokio::test]
async fn after_a_workers_death_the_others_take_its_share_within_a_second() {
    let mut cluster = Cluster::builder().workers(3).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = start(&client, &origin, 900, "8s").await;
    // Each worker has made a report by then.
    eventually("two and a half seconds of load", Duration::from_secs(10), async || origin.count() > 2250)
        .await;
    cluster.workers[1].process.kill9();
    let killed = monotonic_ns();
    let report = report(&client, &run, State::Succeeded).await;

    assert_eq!(report.scheduled, 7200);
    assert_eq!(report.sent + report.dropped + report.lost, report.scheduled, "{report:?}");
    assert_eq!(report.dropped, 0, "{report:?}");
    // What a lost worker sent after its last report arrived, but is not claimed.
    assert!(origin.count() >= report.sent, "{} arrived, {} are said to be sent", origin.count(), report.sent);
    assert!(
        report.lost > 0 && report.lost <= 900,
        "at most a second or two of one worker: {}; {} arrived",
        report.lost,
        origin.count()
    );
    assert!(part(&report, "w2").was_lost && !part(&report, "w1").was_lost);
    assert!(7200 - origin.count() <= 330, "more than a second of w2's share is missing: {}", origin.count());

    let windows = origin.windows(killed + 1_000_000_000, Duration::from_millis(500));
    assert!(windows.len() >= 5, "{windows:?}");
    for count in &windows[..windows.len() - 1] {
        assert!((430..=470).contains(count), "450 arrivals in half a second were asked for: {windows:?}");
    }
}

#[tokio::test]
async fn a_worker_that_dies_before_its_first_report_leaves_a_counted_gap() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let request = json!({ "spec": { "http_load": { "url": origin.url(), "rate": 500, "duration": "4s" } } });
    let run = client.start(&request).await.expect("accepted");
    eventually("the load has begun", Duration::from_secs(10), async || origin.count() > 100).await;
    cluster.workers[1].process.kill9();
    let report = report(&client, &run, State::Succeeded).await;
    assert_eq!(report.sent + report.dropped + report.lost, 2000, "{report:?}");
    assert!(report.lost > 0 && origin.count() >= report.sent, "{} arrived: {report:?}", origin.count());
}

#[tokio::test]
async fn a_worker_that_joins_gets_a_share_and_nothing_is_sent_twice() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = start(&client, &origin, 400, "10s").await;
    cluster.add_worker();
    let report = report(&client, &run, State::Succeeded).await;
    assert_eq!((report.sent, report.dropped, report.lost), (4000, 0, 0), "{report:?}");
    assert_eq!(origin.count(), 4000);
    assert!(part(&report, "w2").sent > 200, "{:?}", part(&report, "w2"));
}

#[tokio::test]
async fn a_cordoned_worker_gets_no_new_work_until_it_is_taken_back() {
    let cluster = Cluster::builder().workers(2).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let request = v1::CordonNodeRequest { name: "w1".to_owned(), ..Default::default() };
    let node = client.nodes.clone().cordon_node(request).await.expect("cordoned").into_inner();
    assert_eq!(node.state(), v1::node::State::Cordoned);

    let run = start(&client, &origin, 100, "2s").await;
    let first = report(&client, &run, State::Succeeded).await;
    assert_eq!(part(&first, "w2").sent, 200);
    let placed = client.run(&run.name).await.expect("the run").placements;
    let of_w1 =
        placed[0].candidates.iter().find(|candidate| candidate.node == "nodes/w1").expect("looked at");
    assert!(!of_w1.eligible && of_w1.reason.contains("cordon"), "{of_w1:?}");

    let request = v1::UncordonNodeRequest { name: "w1".to_owned(), ..Default::default() };
    let node = client.nodes.clone().uncordon_node(request).await.expect("taken back").into_inner();
    assert_eq!(node.state(), v1::node::State::Ready);
    let origin = Origin::start();
    let run = start(&client, &origin, 100, "2s").await;
    assert!(part(&report(&client, &run, State::Succeeded).await, "w1").sent > 0);
}

#[tokio::test]
async fn a_drained_worker_hands_its_share_over_and_nothing_is_lost() {
    let cluster = Cluster::builder().workers(2).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = start(&client, &origin, 400, "8s").await;
    let request = v1::DrainNodeRequest { name: "w1".to_owned(), ..Default::default() };
    client.nodes.clone().drain_node(request).await.expect("draining");
    let asked = monotonic_ns();
    let report = report(&client, &run, State::Succeeded).await;
    assert_eq!((report.sent, report.dropped, report.lost), (3200, 0, 0), "{report:?}");
    assert_eq!(origin.count(), 3200);
    assert!(!part(&report, "w1").was_lost);
    let windows = origin.windows(asked, Duration::from_millis(500));
    for count in &windows[..windows.len() - 1] {
        assert!((185..=215).contains(count), "200 arrivals in half a second were asked for: {windows:?}");
    }
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_hands_over_and_exits_with_0() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = start(&client, &origin, 400, "6s").await;
    cluster.workers[0].process.term();
    let status = cluster.workers[0].process.wait_end(Duration::from_secs(40)).await;
    assert!(status.success(), "{status}: {}", cluster.workers[0].process.last_words());
    let report = report(&client, &run, State::Succeeded).await;
    assert_eq!((report.sent, report.dropped, report.lost), (2400, 0, 0), "{report:?}");
    assert_eq!(origin.count(), 2400);
}

#[tokio::test]
async fn a_run_that_loses_every_worker_ends_and_says_so() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = start(&client, &origin, 100, "6s").await;
    cluster.workers[0].process.kill9();
    let run = client.wait(&run.name).await.expect("the run ends");
    assert_eq!(run.state(), State::Lost, "{}", run.state_reason);
    assert!(!run.state_reason.is_empty());
    let report = client.load_report(&run.name).await.expect("a report");
    assert_eq!(report.sent + report.dropped + report.lost, report.scheduled, "{report:?}");
    assert!(origin.count() >= report.sent);
}
