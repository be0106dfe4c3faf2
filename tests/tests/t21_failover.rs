//! Leaders die, sleep and leave while a load test goes on: three members of etcd, two masters, PostgreSQL,
//! two workers, all real.
//!
//! In: a cluster with two masters. Out: arrivals at the target beside the report of the next leader.
//! Never: trusts the report alone.

use serde_json::json;
use shanty_proto::v1;
use shanty_proto::v1::run::State;
use shanty_rt::clock::monotonic_ns;
use shanty_tests::cluster::{Client, Cluster, Store};
use shanty_tests::databases::Postgres;
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::origin::Origin;
use shanty_tests::patience::{eventually, until};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

const RATE: u32 = 600;
const SECONDS: u32 = 14;

/// Everything that a failover needs; none where a service is missing.
struct Fleet {
    cluster: Cluster,
    _postgres: Postgres,
    _etcd: EtcdCluster,
    _alone: MutexGuard<'static, ()>,
}

/// One fleet at a time: starting a database beside a load test is noise in it.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn fleet() -> Option<Fleet> {
    let alone = ALONE.lock().await;
    let etcd = EtcdCluster::start(3)?;
    let postgres = Postgres::start()?;
    let cluster = Cluster::builder()
        .masters(2)
        .workers(2)
        .etcd(etcd.endpoints())
        .store(Store::Url(postgres.url()))
        .start()
        .await;
    Some(Fleet { cluster, _postgres: postgres, _etcd: etcd, _alone: alone })
}

async fn start(client: &Client, origin: &Origin) -> v1::Run {
    let duration = format!("{SECONDS}s");
    let request =
        json!({ "spec": { "http_load": { "url": origin.url(), "rate": RATE, "duration": duration } } });
    let run = client.start(&request).await.expect("accepted");
    let begun = i64::from(RATE) * 2;
    eventually("the load has begun", Duration::from_secs(15), async || origin.count() > begun).await;
    run
}

/// The run's end, asked again when the leader changes meanwhile.
async fn ended(client: &Client, run: &v1::Run) -> v1::Run {
    until("the run ends", Duration::from_secs(60), async || client.wait(&run.name).await).await
}

/// All arrivals are there, and none of the windows from `from` on is farther from the schedule than the
/// machine's own noise was before.
fn assert_undisturbed(origin: &Origin, from: u64) {
    let all = i64::from(RATE * SECONDS);
    assert_eq!(origin.count(), all, "arrivals at the target");
    let first = origin.arrivals()[0];
    let window = Duration::from_millis(100);
    let wanted = RATE / 10;
    let off = |counts: &[u32]| counts.iter().map(|count| count.abs_diff(wanted)).max().unwrap_or(0);
    let windows = origin.windows(first, window);
    let split = usize::try_from((from - first) / 100_000_000).expect("small");
    let (before, after) = (off(&windows[1..split]), off(&windows[split..windows.len() - 1]));
    let allowed = before.max(wanted / 20) + wanted / 20;
    assert!(after <= allowed, "a window is off by {after} of {wanted}, before it was {before}: {windows:?}");
}

fn assert_whole(report: &v1::HttpLoadReport) {
    let all = i64::from(RATE * SECONDS);
    assert_eq!((report.scheduled, report.sent), (all, all), "{report:?}");
    assert_eq!((report.dropped, report.lost, report.errors), (0, 0, 0), "{report:?}");
}

#[tokio::test]
async fn a_leaders_death_under_load_is_unnoticed_at_the_target() {
    let Some(mut fleet) = fleet().await else { return };
    let cluster = &mut fleet.cluster;
    let origin = Origin::start();
    let leader = cluster.leader().await;
    let other = 1 - leader;
    let epoch = cluster.client_of(leader).get_cluster().await.expect("answers").epoch;
    let run = start(&cluster.client_of(leader), &origin).await;

    cluster.masters[leader].process.kill9();
    let (killed, at) = (monotonic_ns(), Instant::now());
    let client = cluster.client_of(other);
    let now =
        until("the other master leads", Duration::from_secs(15), async || match client.get_cluster().await {
            Ok(found) if found.leader == format!("nodes/{}", cluster.masters[other].name) => Ok(found),
            Ok(found) => Err(format!("leader is {:?}", found.leader)),
            Err(status) => Err(status.to_string()),
        })
        .await;
    eprintln!("failover after SIGKILL took {:.2?}", at.elapsed());
    assert!(now.epoch > epoch, "the term has grown from {epoch}: {}", now.epoch);

    let run = ended(&client, &run).await;
    assert_eq!(run.state(), State::Succeeded, "{}", run.state_reason);
    assert_whole(&client.load_report(&run.name).await.expect("a report"));
    assert_undisturbed(&origin, killed);
}

#[tokio::test]
async fn a_leader_that_sleeps_past_its_lease_changes_nothing_when_it_wakes() {
    let Some(mut fleet) = fleet().await else { return };
    let cluster = &mut fleet.cluster;
    let origin = Origin::start();
    let leader = cluster.leader().await;
    let other = 1 - leader;
    let run = start(&cluster.client_of(leader), &origin).await;

    cluster.masters[leader].process.stop();
    let stopped = monotonic_ns();
    let client = cluster.client_of(other);
    let name = format!("nodes/{}", cluster.masters[other].name);
    let leads = async || client.get_cluster().await.is_ok_and(|found| found.leader == name);
    eventually("the other master leads", Duration::from_secs(15), leads).await;
    let reign = client.get_cluster().await.expect("answers");
    cluster.masters[leader].process.cont();
    let woken = cluster.client_of(leader);
    eventually("the old leader knows", Duration::from_secs(10), async || {
        woken.get_cluster().await.is_ok_and(|found| found.leader == name && found.epoch == reign.epoch)
    })
    .await;

    let run = ended(&client, &run).await;
    assert_eq!((run.state(), run.epoch), (State::Succeeded, reign.epoch), "{}", run.state_reason);
    assert_eq!(client.get_cluster().await.expect("answers").epoch, reign.epoch, "nobody else has led since");
    assert_whole(&client.load_report(&run.name).await.expect("a report"));
    assert_undisturbed(&origin, stopped);
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_at_once() {
    let Some(mut fleet) = fleet().await else { return };
    let cluster = &mut fleet.cluster;
    let leader = cluster.leader().await;
    let other = 1 - leader;
    let client = cluster.client_of(other);
    let name = format!("nodes/{}", cluster.masters[other].name);
    cluster.masters[leader].process.term();
    let at = Instant::now();
    let leads = async || client.get_cluster().await.is_ok_and(|found| found.leader == name);
    eventually("the other master leads", Duration::from_secs(4), leads).await;
    eprintln!("hand-over after SIGTERM took {:.2?}", at.elapsed());
    let status = cluster.masters[leader].process.wait_end(Duration::from_secs(15)).await;
    assert!(status.success(), "{status}: {}", cluster.masters[leader].process.last_words());
}

#[tokio::test]
async fn a_standby_answers_every_call_as_the_leader_does() {
    let Some(fleet) = fleet().await else { return };
    let cluster = &fleet.cluster;
    let origin = Origin::start();
    let leader = cluster.leader().await;
    let (at_leader, at_standby) = (cluster.client_of(leader), cluster.client_of(1 - leader));
    let request = json!({ "spec": { "http_load": { "url": origin.url(), "rate": 50, "duration": "2s" } } });

    let run = at_standby.start(&request).await.expect("a standby takes a run");
    let mut events = at_standby.watch(&json!({ "name": run.name })).await.expect("a standby streams");
    let mut done = false;
    while let Some(event) = events.message().await.expect("a message") {
        done = matches!(event.event, Some(v1::run_event::Event::Done(_)));
    }
    assert!(done, "done comes last");
    let (one, two) = (at_leader.run(&run.name).await, at_standby.run(&run.name).await);
    assert_eq!(one.expect("leader"), two.expect("standby"));
    let error = at_standby.run("nothing.1").await.expect_err("no such run");
    assert_eq!(error.code(), tonic::Code::NotFound, "errors come through: {error}");
    assert_eq!(at_standby.list_nodes().await.expect("nodes").len(), 4);
    // The answer of a leader that has just handed over still comes through.
    let request = v1::TransferLeadershipRequest::default();
    let now =
        at_standby.cluster.clone().transfer_leadership(request).await.expect("handed over").into_inner();
    assert_eq!(now.leader, format!("nodes/{}", cluster.masters[1 - leader].name));
}
