//! How long a cluster is without a leader that dispatches, fault by fault, seen by a client; beside it Redis Sentinel and
//! a plain lock of etcd's own tool, with the same faults.
//!
//! From the fault to a new run that runs on a worker: the client asks the masters that are left, one after the other, with a
//! deadline of 300 ms each, until one of them has started a run and that run is RUNNING.
//! What the cluster keeps of the term that ended says where the time went: until it was ended, until the next one began,
//! until it dispatched.
//! In: `--runs`, `--peers`. Out: p50, p99 and most of each, and the story of what took longest. Never: counts a try that a
//! master took before the fault.

use super::failover_peers::{etcd_lock, redis};
use crate::flags::Flags;
use anyhow::Context as _;
use serde_json::json;
use shanty_proto::v1;
use shanty_proto::v1::run::State;
use shanty_rt::clock;
use shanty_tests::cluster::{Client, Cluster, Store};
use shanty_tests::databases::Postgres;
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::origin::Origin;
use shanty_tests::patience::eventually;
use std::time::{Duration, Instant};

/// For one answer.
const ANSWER: Duration = Duration::from_millis(300);
/// For a failover.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Stop,
    Switchover,
}

/// Measures and prints.
///
/// # Errors
/// When a cluster does not do as it is told.
pub(crate) async fn run(flags: &Flags) -> anyhow::Result<()> {
    let runs: usize = flags.get("runs", 50)?;
    for (fault, name, sentinels) in [
        (Fault::Kill, "SIGKILL of the leader", 3),
        (Fault::Stop, "SIGSTOP of the leader", 3),
        (Fault::Switchover, "switchover", 3),
        (Fault::Kill, "SIGKILL of the leader, no sentinels", 0),
    ] {
        let times = if sentinels == 0 { runs.min(10) } else { runs };
        let etcd = EtcdCluster::start(3).context("etcd")?;
        let postgres = Postgres::start().context("PostgreSQL")?;
        let cluster = Cluster::builder()
            .masters(3)
            .workers(2)
            .sentinels(sentinels)
            .etcd(etcd.endpoints())
            .store(Store::Url(postgres.url()));
        let mut cluster = cluster.start().await;
        let origin = Origin::start();
        let mut seen = Vec::new();
        for _ in 0..times {
            seen.push(once(&mut cluster, fault, &origin).await?);
        }
        print(&format!("shanty, {name}"), &mut seen.iter().map(|each| each.took).collect::<Vec<_>>());
        tell(&mut seen);
    }
    let peers: usize = flags.get("peers", runs)?;
    if peers == 0 {
        return Ok(());
    }
    for (down_after_ms, fault) in [(200, "KILL"), (1000, "KILL"), (1000, "STOP")] {
        let mut took = Vec::new();
        for _ in 0..peers {
            took.push(redis(down_after_ms, fault).await?);
        }
        print(&format!("Redis Sentinel, down-after {down_after_ms} ms, SIG{fault}"), &mut took);
    }
    let mut took = Vec::new();
    let etcd = EtcdCluster::start(3).context("etcd")?;
    for _ in 0..peers {
        took.push(etcd_lock(&etcd.endpoints()).await?);
    }
    print("etcdctl lock --ttl=5, SIGKILL of its holder", &mut took);
    Ok(())
}

/// One failover.
struct Seen {
    /// Seconds from the fault to the first dispatch.
    took: f64,
    /// To the end of the old term and to the beginning of the next one, by the cluster's own records.
    ended: f64,
    began: f64,
    /// Why the term was ended, in its records' words.
    reason: String,
}

/// One fault, and everything as before it.
async fn once(cluster: &mut Cluster, fault: Fault, origin: &Origin) -> anyhow::Result<Seen> {
    let leader = cluster.leader().await;
    let others: Vec<Client> =
        (0..cluster.masters.len()).filter(|at| *at != leader).map(|at| cluster.client_of(at)).collect();
    let epoch = others[0].get_cluster().await?.epoch;
    let (began, fault_unix_ms) = (Instant::now(), clock::unix_ms());
    match fault {
        Fault::Kill => cluster.masters[leader].process.kill9(),
        Fault::Stop => cluster.masters[leader].process.stop(),
        Fault::Switchover => {
            let request = v1::TransferLeadershipRequest::default();
            others[0].cluster.clone().transfer_leadership(request).await?;
        }
    }
    let run = dispatched(&others, epoch, origin).await?;
    let took = began.elapsed().as_secs_f64();
    match fault {
        Fault::Kill => cluster.restart_master(leader),
        Fault::Stop => cluster.masters[leader].process.cont(),
        Fault::Switchover => {}
    }
    others[0].cancel(&run).await?;
    let terms =
        others[0].cluster.clone().list_terms(v1::ListTermsRequest::default()).await?.into_inner().terms;
    let back = cluster.client_of(leader);
    eventually("the master is back", PATIENCE, async || {
        back.get_cluster()
            .await
            .is_ok_and(|now| now.epoch > epoch && now.masters() == 3 && now.workers() == 2)
    })
    .await;
    let of = |epoch| terms.iter().find(|term| term.epoch == epoch);
    let after = |time: Option<&prost_types::Timestamp>| {
        time.map_or(f64::NAN, |time| {
            (time.seconds * 1000 + i64::from(time.nanos / 1_000_000) - fault_unix_ms) as f64 / 1e3
        })
    };
    let old = of(epoch);
    Ok(Seen {
        took,
        ended: after(old.and_then(|term| term.end_time.as_ref())),
        began: after(of(epoch + 1).and_then(|term| term.start_time.as_ref())),
        reason: old.map(|term| term.end_reason.clone()).unwrap_or_default(),
    })
}

/// Where the time went: in the middle, and in the three that took longest.
fn tell(seen: &mut [Seen]) {
    seen.sort_by(|a, b| a.took.total_cmp(&b.took));
    let line = |what: &str, each: &Seen| {
        println!(
            "  {what}: ended after {:.3} s, next term after {:.3} s, dispatched after {:.3} s ({})",
            each.ended, each.began, each.took, each.reason
        );
    };
    line("p50", &seen[seen.len() / 2]);
    seen.iter().rev().take(3).for_each(|each| line("slow", each));
}

/// A run that runs on a worker, started in a later term than `epoch`.
async fn dispatched(clients: &[Client], epoch: u32, origin: &Origin) -> anyhow::Result<String> {
    let spec = json!({ "spec": { "http_load": { "url": origin.url(), "rate": 10, "duration": "60s" } } });
    let began = Instant::now();
    let mut started: Option<String> = None;
    for client in clients.iter().cycle() {
        anyhow::ensure!(began.elapsed() < PATIENCE, "no run was dispatched within {PATIENCE:?}");
        match &started {
            None => {
                if let Ok(Ok(run)) = tokio::time::timeout(ANSWER, client.start(&spec)).await
                    && run.epoch > epoch
                {
                    started = Some(run.name);
                }
            }
            Some(name) => {
                if let Ok(Ok(run)) = tokio::time::timeout(ANSWER, client.run(name)).await
                    && run.state() == State::Running
                {
                    return Ok(name.clone());
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("there is no other master")
}

fn print(name: &str, seconds: &mut [f64]) {
    seconds.sort_by(f64::total_cmp);
    let at = |part: usize| seconds[(seconds.len() * part / 100).min(seconds.len() - 1)];
    println!(
        "failover: {name:<55} p50 {:.3} s  p99 {:.3} s  most {:.3} s  ({} runs)",
        at(50),
        at(99),
        at(100),
        seconds.len()
    );
}
