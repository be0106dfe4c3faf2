//! Sentinels end the terms of leaders that do not work: three members of etcd, three masters, three sentinels,
//! PostgreSQL, two workers, all real.
//!
//! In: a cluster, a fault. Out: who leads next, how soon, and what history says of it.
//! Never: takes the lease's own end for the sentinels' doing: it comes 3.5 s after the fault at the earliest.

use shanty_proto::v1;
use shanty_tests::cluster::{Builder, Client, Cluster, Node, Store, free_port};
use shanty_tests::databases::Postgres;
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::patience::{eventually, until};
use shanty_tests::relay::Relay;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// A failover that took longer may have been the lease's.
const BEFORE_THE_LEASE: Duration = Duration::from_millis(3_400);

struct Fleet {
    cluster: Cluster,
    etcd: EtcdCluster,
    _postgres: Postgres,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::const_new(());

async fn fleet(masters: usize, change: impl FnOnce(Builder) -> Builder) -> Option<Fleet> {
    let alone = ALONE.lock().await;
    let etcd = EtcdCluster::start(3)?;
    let postgres = Postgres::start()?;
    let builder = Cluster::builder()
        .masters(masters)
        .workers(2)
        .sentinels(3)
        .etcd(etcd.endpoints())
        .store(Store::Url(postgres.url()));
    let cluster = change(builder).start().await;
    Some(Fleet { cluster, etcd, _postgres: postgres, _alone: alone })
}

/// A client of a master that does not lead.
async fn bystander(cluster: &Cluster, leader: usize) -> Client {
    cluster.client_of((leader + 1) % cluster.masters.len())
}

/// Waits until somebody else leads; answers how long it took.
async fn succeeded(cluster: &Cluster, client: &Client, leader: usize, began: Instant) -> Duration {
    let old = format!("nodes/{}", cluster.masters[leader].name);
    eventually("another master leads", Duration::from_secs(20), async || {
        client.get_cluster().await.is_ok_and(|now| !now.leader.is_empty() && now.leader != old)
    })
    .await;
    began.elapsed()
}

/// The last terms, the newest first.
async fn terms(client: &Client) -> Vec<v1::Term> {
    let request = v1::ListTermsRequest { page_size: 5, page_token: String::new() };
    client.cluster.clone().list_terms(request).await.expect("terms").into_inner().terms
}

/// The term that was ended last.
async fn last_ended(client: &Client) -> v1::Term {
    let ended = terms(client).await.into_iter().find(|term| term.end_time.is_some());
    ended.expect("a term was ended")
}

/// The term that sentinels ended has its votes and its candidates.
fn assert_ended_by_votes(term: &v1::Term, evidence: &str) {
    assert!(term.ended_by.starts_with("nodes/s"), "{term:?}");
    assert!(term.votes.len() >= 2 && term.votes.iter().any(|vote| vote.evidence == evidence), "{term:?}");
    assert!(term.candidates.iter().any(|candidate| candidate.refused_reason.is_empty()), "{term:?}");
    assert!(term.suspect_time.is_some(), "{term:?}");
}

#[tokio::test]
async fn a_killed_leader_is_replaced_long_before_its_lease_ends() {
    let Some(mut fleet) = fleet(3, |builder| builder).await else { return };
    let cluster = &mut fleet.cluster;
    let leader = cluster.leader().await;
    let client = bystander(cluster, leader).await;
    let began = Instant::now();
    cluster.masters[leader].process.kill9();
    let took = succeeded(cluster, &client, leader, began).await;
    eprintln!("failover after SIGKILL took {took:.2?}");
    assert!(took < BEFORE_THE_LEASE, "{took:?}");
    assert_ended_by_votes(&last_ended(&client).await, "HARD");
}

#[tokio::test]
async fn a_leader_that_dies_and_is_up_again_at_once_has_a_successor_long_before_its_lease_ends() {
    let Some(mut fleet) = fleet(3, |builder| builder).await else { return };
    let cluster = &mut fleet.cluster;
    let leader = cluster.leader().await;
    let client = bystander(cluster, leader).await;
    let before = client.get_cluster().await.expect("answers").epoch;
    let began = Instant::now();
    cluster.masters[leader].process.kill9();
    cluster.restart_master(leader);
    eventually("the next term", Duration::from_secs(20), async || {
        client.get_cluster().await.is_ok_and(|now| !now.leader.is_empty() && now.epoch > before)
    })
    .await;
    let took = began.elapsed();
    eprintln!("failover after SIGKILL and a start at once took {took:.2?}");
    assert!(took < BEFORE_THE_LEASE, "{took:?}");
    assert_ended_by_votes(&last_ended(&client).await, "HARD");
}

#[tokio::test]
async fn a_sleeping_leader_is_replaced_and_changes_nothing_when_it_wakes() {
    let Some(mut fleet) = fleet(3, |builder| builder).await else { return };
    let cluster = &mut fleet.cluster;
    let leader = cluster.leader().await;
    let client = bystander(cluster, leader).await;
    let began = Instant::now();
    cluster.masters[leader].process.stop();
    let took = succeeded(cluster, &client, leader, began).await;
    eprintln!("failover after SIGSTOP took {took:.2?}");
    assert!(took < BEFORE_THE_LEASE, "{took:?}");
    assert_ended_by_votes(&last_ended(&client).await, "SILENT");
    let reign = client.get_cluster().await.expect("answers");
    cluster.masters[leader].process.cont();
    let woken = cluster.client_of(leader);
    eventually("the old leader knows", Duration::from_secs(10), async || {
        woken.get_cluster().await.is_ok_and(|now| now.leader == reign.leader && now.epoch == reign.epoch)
    })
    .await;
}

#[tokio::test]
async fn one_sentinel_decides_nothing_and_the_lease_still_does() {
    let Some(mut fleet) = fleet(3, |builder| builder).await else { return };
    let cluster = &mut fleet.cluster;
    for sentinel in &mut cluster.sentinels[1..] {
        sentinel.process.kill9();
    }
    let leader = cluster.leader().await;
    let client = bystander(cluster, leader).await;
    eventually("it is told that they cannot decide", Duration::from_secs(20), async || {
        let now = client.get_cluster().await;
        now.is_ok_and(|now| now.warnings.iter().any(|warning| warning.contains("Start s2, s3")))
    })
    .await;
    cluster.sentinels[0].process.stop();
    // Longer than a hold-up that counts, 1 s.
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.sentinels[0].process.cont();
    eventually("it does not trust itself", Duration::from_secs(5), async || {
        cluster.sentinels[0].process.log().contains("this sentinel does not trust itself")
    })
    .await;
    let began = Instant::now();
    cluster.masters[leader].process.kill9();
    let took = succeeded(cluster, &client, leader, began).await;
    eprintln!("failover by the lease took {took:.2?}");
    assert!(took > BEFORE_THE_LEASE, "{took:?}: one vote of three has ended a term");
    let terms = terms(&client).await;
    let told: Vec<_> = terms.iter().map(|term| (term.end_reason.as_str(), term.end_time.is_some())).collect();
    assert_eq!(told[..2], [("", false), ("its lease ran out", false)], "{terms:?}");
}

#[tokio::test]
async fn a_pause_holds_sentinels_back_and_an_operator_is_still_obeyed() {
    let Some(mut fleet) = fleet(3, |builder| builder).await else { return };
    let cluster = &mut fleet.cluster;
    let leader = cluster.leader().await;
    let client = bystander(cluster, leader).await;
    let duration = Some(prost_types::Duration { seconds: 600, nanos: 0 });
    let request = v1::PauseFailoverRequest { duration, reason: "a test".into(), request_id: String::new() };
    let paused = client.cluster.clone().pause_failover(request).await.expect("paused").into_inner();
    assert!(paused.paused_until.is_some() && paused.pause_reason == "a test", "{paused:?}");
    cluster.masters[leader].process.stop();
    let votes = |node: &Node| node.process.log().contains("votes against the leader");
    eventually("sentinels see it all the same", Duration::from_secs(3), async || {
        cluster.sentinels.iter().filter(|node| votes(node)).count() >= 2
    })
    .await;
    // With these votes they would end the term at once.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(terms(&client).await.iter().all(|term| term.end_time.is_none()), "nobody ended the term");

    let began = Instant::now();
    let request =
        v1::ForceFailoverRequest { reason: "it hangs".into(), ..v1::ForceFailoverRequest::default() };
    let now = client.cluster.clone().force_failover(request).await.expect("forced").into_inner();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_ne!(now.leader, format!("nodes/{}", cluster.masters[leader].name));
    let term = last_ended(&client).await;
    assert!(term.end_reason == "it hangs" && term.votes.is_empty(), "{term:?}");
    let resumed = client.cluster.clone().resume_failover(v1::ResumeFailoverRequest::default()).await;
    assert!(resumed.expect("resumed").into_inner().paused_until.is_none());
}

#[tokio::test]
async fn a_leader_that_workers_hear_is_not_ended_by_sentinels_that_do_not() {
    // Sentinels reach m1 through the relay alone; workers know its own address.
    let port = free_port();
    let relay = Relay::start(format!("127.0.0.1:{port}")).await;
    let advertise = relay.address.to_string();
    let change = |builder: Builder| builder.master_at(0, port, &advertise);
    let Some(fleet) = fleet(2, change).await else { return };
    let cluster = &fleet.cluster;
    if cluster.leader().await != 0 {
        let request = v1::TransferLeadershipRequest { target: "m1".into(), request_id: String::new() };
        cluster.client_of(1).cluster.clone().transfer_leadership(request).await.expect("m1 leads");
    }
    let client = cluster.client_of(0);
    // A transfer is done when the key is m1's; m1 fences the store before it answers as leader.
    let epoch = until("m1 answers", Duration::from_secs(5), async || client.get_cluster().await).await.epoch;
    relay.cut(true);
    // Long enough for silence, and for the door that nobody opens.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let now = until("a leader answers", Duration::from_secs(15), async || client.get_cluster().await).await;
    let terms = terms(&client).await;
    let of_sentinels: Vec<_> = terms.iter().filter(|term| term.ended_by.starts_with("nodes/s")).collect();
    assert!(of_sentinels.is_empty(), "deaf sentinels have ended a term: {of_sentinels:?}");
    assert_eq!((now.leader.as_str(), now.epoch), ("nodes/m1", epoch), "a term has ended: {terms:?}");
    for node in &cluster.sentinels {
        let log = node.process.log();
        assert!(log.contains("workers hear it: see why the sentinels do not"), "{}: {log}", node.name);
    }
}

#[tokio::test]
async fn sentinels_change_one_at_a_time_and_a_stranger_is_told_so() {
    let Some(mut fleet) = fleet(2, |builder| builder).await else { return };
    let cluster = &mut fleet.cluster;
    let client = cluster.client();
    let change = async |add: &str, remove: &str| {
        let (add, remove, request_id) = (add.to_owned(), remove.to_owned(), String::new());
        client.cluster.clone().change_sentinels(v1::ChangeSentinelsRequest { add, remove, request_id }).await
    };
    let few = change("", "s1").await.expect_err("three are the fewest");
    assert!(few.message().contains("fewest"), "{few}");
    let both = change("s4", "s1").await.expect_err("one at a time");
    assert_eq!(both.code(), tonic::Code::InvalidArgument, "{both}");

    let stranger = cluster.add_sentinel("s4", &fleet.etcd.endpoints());
    let status = until("the stranger ends", Duration::from_secs(15), async || {
        cluster.sentinels[stranger].process.ended().ok_or("it runs")
    })
    .await;
    let words = cluster.sentinels[stranger].process.log();
    let line = words.lines().find(|line| line.starts_with("shanty-sentinel: ")).unwrap_or_default();
    assert!(!status.success() && line.contains("shanty cluster sentinel add s4"), "{words}");
    let now = change("s4", "").await.expect("four").into_inner();
    assert_eq!(now.voters, ["nodes/s1", "nodes/s2", "nodes/s3", "nodes/s4"]);
    let now = change("", "s1").await.expect("three again").into_inner();
    assert_eq!(now.voters, ["nodes/s2", "nodes/s3", "nodes/s4"]);
}

#[tokio::test]
async fn a_repeated_request_changes_nothing_more_whichever_master_it_reaches() {
    let Some(fleet) = fleet(2, |builder| builder).await else { return };
    let cluster = &fleet.cluster;
    let clients = [cluster.client_of(0), cluster.client_of(1)];
    let cluster_service = |at: usize| clients[at].cluster.clone();
    let epoch = clients[0].get_cluster().await.expect("answers").epoch;

    let force = |reason: &str| v1::ForceFailoverRequest {
        reason: reason.into(),
        request_id: "force".into(),
        ..v1::ForceFailoverRequest::default()
    };
    for at in [0, 1, 0] {
        let now = cluster_service(at).force_failover(force("it hangs")).await.expect("forced").into_inner();
        assert_eq!(now.epoch, epoch + 1, "m{}", at + 1);
    }
    let another = cluster_service(0).force_failover(force("it hangs again")).await.expect_err("another wish");
    assert!(another.message().contains("was used for another request"), "{another}");

    let transfer = || v1::TransferLeadershipRequest { request_id: "transfer".into(), ..Default::default() };
    for at in [0, 1, 0] {
        let moved = async || cluster_service(at).transfer_leadership(transfer()).await;
        // A standby whose leader handed over in this moment says so, as the CLI knows: it repeats.
        let now = until("transferred", Duration::from_secs(10), moved).await.into_inner();
        assert_eq!(now.epoch, epoch + 2, "m{}", at + 1);
    }

    let handed = terms(&clients[0]).await.into_iter().find(|term| term.epoch == epoch + 1).expect("kept");
    assert!(handed.ended_by == handed.leader && handed.end_reason.contains("resigned"), "{handed:?}");

    let duration = Some(prost_types::Duration { seconds: 600, nanos: 0 });
    let pause = || v1::PauseFailoverRequest { duration, reason: "a test".into(), request_id: "pause".into() };
    let resume = || v1::ResumeFailoverRequest { request_id: "resume".into() };
    assert!(
        cluster_service(0).pause_failover(pause()).await.expect("paused").into_inner().paused_until.is_some()
    );
    cluster_service(1).resume_failover(resume()).await.expect("resumed");
    let late = cluster_service(1).pause_failover(pause()).await.expect("answered").into_inner();
    assert_eq!(late.paused_until, None, "a late repetition has paused it again");

    let change = |at: usize, add: &str, remove: &str, id: &str| {
        let (add, remove, request_id) = (add.to_owned(), remove.to_owned(), id.to_owned());
        let mut service = cluster_service(at);
        async move {
            let request = v1::ChangeSentinelsRequest { add, remove, request_id };
            service.change_sentinels(request).await.expect("changed").into_inner().voters.len()
        }
    };
    assert_eq!(change(0, "s4", "", "add").await, 4);
    assert_eq!(change(1, "", "s4", "remove").await, 3);
    assert_eq!(change(1, "s4", "", "add").await, 3, "a late repetition has added it again");
}
