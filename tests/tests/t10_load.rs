//! Load runs from a request as people type it to the report, each arrival counted at the target.
//!
//! In: one master, its workers, an [`Origin`]. Out: what the API says beside what the target saw.
//! Never: trusts the report alone.

use serde_json::json;
use shanty_proto::v1;
use shanty_proto::v1::run::State;
use shanty_proto::v1::run_event::Event;
use shanty_rt::clock::monotonic_ns;
use shanty_tests::cluster::{Client, Cluster};
use shanty_tests::origin::Origin;
use shanty_tests::patience::eventually;
use std::time::{Duration, Instant};
use tonic_types::StatusExt as _;

fn load(origin: &Origin, rate: f64, duration: &str) -> serde_json::Value {
    json!({ "spec": { "http_load": { "url": origin.url(), "rate": rate, "duration": duration } } })
}

async fn ended(client: &Client, name: &str) -> v1::Run {
    client.wait(name).await.expect("the run ends")
}

#[tokio::test]
async fn what_was_asked_for_arrives_and_is_reported_exactly() {
    let cluster = Cluster::builder().workers(3).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = client.start(&load(&origin, 500.0, "3s")).await.expect("accepted");
    assert!(run.name.starts_with("runs/adhoc."), "{}", run.name);

    let run = ended(&client, &run.name).await;
    assert_eq!(run.state(), State::Succeeded, "{}", run.state_reason);
    let report = client.load_report(&run.name).await.expect("a report");
    assert_eq!((report.scheduled, report.sent, report.completed), (1500, 1500, 1500), "{report:?}");
    assert_eq!((report.errors, report.dropped, report.lost), (0, 0, 0));
    assert_eq!(origin.count(), 1500);
    let statuses: Vec<(u32, i64)> = report.statuses.iter().map(|found| (found.status, found.count)).collect();
    assert_eq!(statuses, [(200, 1500)]);
    let response = report.response.expect("latencies");
    assert_eq!(response.count, 1500);
    assert!(
        response.p50_ms > 0.0 && response.p50_ms <= response.p99_ms && response.p99_ms <= response.max_ms
    );
    let sent: i64 = report.workers.iter().map(|worker| worker.sent).sum();
    assert_eq!((report.workers.len(), sent), (3, 1500));
    assert!(!run.placements.is_empty(), "the placement is shown");
}

#[tokio::test]
async fn rates_below_one_and_below_the_number_of_workers_are_exact() {
    let cluster = Cluster::builder().workers(3).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = client.start(&load(&origin, 0.5, "4s")).await.expect("accepted");
    let run = ended(&client, &run.name).await;
    assert_eq!(run.state(), State::Succeeded, "{}", run.state_reason);
    let report = client.load_report(&run.name).await.expect("a report");
    assert_eq!((report.scheduled, report.sent, origin.count()), (2, 2, 2), "{report:?}");
}

#[tokio::test]
async fn a_change_of_rate_holds_for_all_workers_from_one_instant() {
    let cluster = Cluster::builder().workers(2).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = client.start(&load(&origin, 200.0, "6s")).await.expect("accepted");
    eventually("the load has begun", Duration::from_secs(10), async || origin.count() > 200).await;
    let asked = monotonic_ns();
    client.change_rate(&run.name, 600.0).await.expect("changed");

    let run = ended(&client, &run.name).await;
    assert_eq!(run.state(), State::Succeeded, "{}", run.state_reason);
    let report = client.load_report(&run.name).await.expect("a report");
    assert_eq!((report.sent, report.dropped, report.lost), (report.scheduled, 0, 0), "{report:?}");
    assert_eq!(origin.count(), report.scheduled);
    // From half a second after the call on, whole seconds have the new rate.
    let windows = origin.windows(asked + 500_000_000, Duration::from_secs(1));
    assert!(windows.len() >= 3, "{windows:?}");
    for count in &windows[..windows.len() - 1] {
        assert!((570..=630).contains(count), "600 arrivals a second were asked for: {windows:?}");
    }
}

#[tokio::test]
async fn a_cancelled_run_is_silent_within_200_ms() {
    let cluster = Cluster::builder().workers(2).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = client.start(&load(&origin, 500.0, "60s")).await.expect("accepted");
    eventually("the load has begun", Duration::from_secs(10), async || origin.count() > 300).await;
    let asked = monotonic_ns();
    client.cancel(&run.name).await.expect("cancelled");
    let run = ended(&client, &run.name).await;
    assert_eq!(run.state(), State::Cancelled, "{}", run.state_reason);
    let after: u32 = origin.windows(asked + 200_000_000, Duration::from_secs(3600)).iter().sum();
    assert_eq!(after, 0, "requests arrived later than 200 ms after the cancel");
    let report = client.load_report(&run.name).await.expect("a report");
    assert_eq!(report.sent, origin.count(), "{report:?}");
    // A second cancel is answered with the run as it is.
    assert_eq!(client.cancel(&run.name).await.expect("answered").state(), State::Cancelled);
}

#[tokio::test]
async fn a_threshold_that_does_not_hold_fails_the_run() {
    let cluster = Cluster::builder().start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    origin.answer_after(Duration::from_millis(5));
    let mut request = load(&origin, 100.0, "2s");
    request["spec"]["http_load"]["thresholds"] = json!(["p99_ms<1", "error_rate<0.01"]);
    let run = client.start(&request).await.expect("accepted");
    let run = ended(&client, &run.name).await;
    assert_eq!(run.state(), State::Failed);
    assert!(run.state_reason.contains("p99_ms<1"), "{}", run.state_reason);
    let report = client.load_report(&run.name).await.expect("a report");
    let holds: Vec<bool> = report.thresholds.iter().map(|threshold| threshold.holds).collect();
    assert_eq!(holds, [false, true], "{:?}", report.thresholds);
    assert!(report.thresholds[0].measured >= 5.0, "{:?}", report.thresholds);
}

#[tokio::test]
async fn a_target_that_refuses_is_said_while_the_run_goes_on() {
    let cluster = Cluster::builder().start().await;
    let client = cluster.client();
    let url = format!("http://127.0.0.1:{}/", shanty_tests::cluster::free_port());
    let request = json!({ "spec": { "http_load": { "url": url, "rate": 50, "duration": "20s" } } });
    let run = client.start(&request).await.expect("accepted");
    let began = Instant::now();
    let mut events = client.watch(&json!({ "name": run.name })).await.expect("a watch");
    let note = loop {
        let event =
            events.message().await.expect("the watch goes on").expect("the note comes before the end");
        if let Some(Event::Note(note)) = event.event
            && note.reason.starts_with("TARGET_")
        {
            break note;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "nothing was said about the target");
    };
    // One second of results, and the way they take.
    assert!(began.elapsed() < Duration::from_secs(4), "said after {:?}", began.elapsed());
    assert_eq!(note.reason, "TARGET_REFUSES", "{note:?}");
    client.cancel(&run.name).await.expect("cancelled");
    ended(&client, &run.name).await;
    let report = client.load_report(&run.name).await.expect("a report");
    assert!(report.errors > 0 && report.completed == 0, "{report:?}");
    assert!(report.error_classes.iter().any(|found| found.class.contains("refused")), "{report:?}");
}

#[tokio::test]
async fn a_request_id_makes_one_run_however_often_it_is_sent() {
    let cluster = Cluster::builder().start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let mut request = load(&origin, 10.0, "1s");
    request["request_id"] = json!("8c2f0a52-5a4e-4f1e-9b59-0d7d1c9a1f11");
    let first = client.start(&request).await.expect("accepted");
    let again = client.start(&request).await.expect("answered");
    assert_eq!(first.name, again.name);
    request["spec"]["http_load"]["rate"] = json!(11);
    let refused = client.start(&request).await.expect_err("another request under the same id");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert_eq!(refused.get_details_error_info().expect("details").reason, "REQUEST_ID_REUSED");
    ended(&client, &first.name).await;
    assert_eq!(origin.count(), 10);
}

#[tokio::test]
async fn lists_come_in_pages_without_gaps_newest_first() {
    let cluster = Cluster::builder().start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let mut names = Vec::new();
    for _ in 0..5 {
        let run = client.start(&load(&origin, 10.0, "1s")).await.expect("accepted");
        ended(&client, &run.name).await;
        names.insert(0, run.name);
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let request = v1::ListRunsRequest { page_size: 2, page_token: token, filter: String::new() };
        let page = client.runs.clone().list_runs(request).await.expect("a page").into_inner();
        assert!(page.runs.len() <= 2);
        seen.extend(page.runs.into_iter().map(|run| run.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, names);
}

#[tokio::test]
async fn a_watch_can_be_taken_up_where_it_broke_off() {
    let cluster = Cluster::builder().start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = client.start(&load(&origin, 50.0, "3s")).await.expect("accepted");

    let mut events = client.watch(&json!({ "name": run.name })).await.expect("a watch");
    let first = events.message().await.expect("a message").expect("a snapshot");
    assert!(matches!(first.event, Some(Event::Snapshot(_))), "{first:?}");
    let mut last = first.sequence;
    while let Some(event) = events.message().await.expect("a message") {
        last = last.max(event.sequence);
        if matches!(event.event, Some(Event::Progress(_))) {
            break;
        }
    }
    drop(events);

    let mut events =
        client.watch(&json!({ "name": run.name, "after_sequence": last })).await.expect("a watch");
    let mut changes = Vec::new();
    let mut done = None;
    while let Some(event) = events.message().await.expect("a message") {
        assert!(done.is_none(), "something came after done: {event:?}");
        match event.event {
            Some(Event::StateChange(change)) => {
                assert!(event.sequence > last, "event {} was seen before {last}", event.sequence);
                changes.push(change.to());
            }
            Some(Event::Done(end)) => done = Some(end),
            _ => {}
        }
    }
    assert_eq!(changes, [State::Succeeded]);
    let done = done.expect("done comes last");
    assert_eq!(done.run.expect("the run").state(), State::Succeeded);
    assert!(done.report.expect("the report").r#final);
}

#[tokio::test]
async fn a_master_that_comes_back_knows_its_runs() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = client.start(&load(&origin, 300.0, "8s")).await.expect("accepted");
    eventually("the load has begun", Duration::from_secs(10), async || origin.count() > 300).await;
    cluster.masters[0].process.kill9();
    cluster.restart_master(0);
    cluster.leader().await;
    let client = cluster.client();
    let run = ended(&client, &run.name).await;
    assert_eq!(run.state(), State::Succeeded, "{}", run.state_reason);
    let report = client.load_report(&run.name).await.expect("a report");
    assert_eq!((report.scheduled, report.sent, report.lost), (2400, 2400, 0), "{report:?}");
    assert_eq!(origin.count(), 2400, "the master's death is unnoticed at the target");
}
