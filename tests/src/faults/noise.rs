//! A bad network and a starved sentinel, and nothing else: nobody may lose the lead.
//!
//! Each master, sentinel and member of etcd loses 5 % of the packets that come to it, by rules of its own. Jitter of up to
//! 50 ms is made by relays in this process, before each master and each member of etcd: everybody else reaches them through
//! these. One sentinel runs in SCHED_IDLE and only 10 ms of each 100 ms (SIGSTOP and SIGCONT): a processor that is busy for
//! an hour would be noise in everything else on this machine.
//! In: how long. Out: terms that began, and what clients heard. Never: without namespaces. Tests: `tests/tests/t70_faults.rs`.

use crate::cluster::{Client, Cluster, Store, free_port};
use crate::databases::Postgres;
use crate::etcd::EtcdCluster;
use crate::net::{Fate, Peer, Rule, Way, World};
use crate::relay::Relay;
use rustix::process::{Pid, Signal, kill_process};
use shanty_rt::task::Scope;
use std::process::Command;
use std::time::{Duration, Instant};

const LOST_PERCENT: u8 = 5;
const JITTER: Duration = Duration::from_millis(50);
const RUNS: Duration = Duration::from_millis(10);
const STANDS: Duration = Duration::from_millis(90);

/// What was heard in the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// How long it lasted.
    pub lasted: Duration,
    /// Terms that began meanwhile.
    pub new_terms: u32,
    /// Questions to masters.
    pub asked: u32,
    /// Those that were answered within two seconds.
    pub answered: u32,
}

/// Makes noise; none where it cannot be made.
///
/// # Panics
/// When the cluster does not come up before it, or is not whole after it.
pub async fn noise(lasts: Duration) -> Option<Heard> {
    let world = World::start()?;
    let etcd = EtcdCluster::start_in(&["e0", "e1", "e2"].map(|name| Some(world.place(name))))?;
    let host = world.outside(4);
    let store = Postgres::start_at(&[world.outside(2)], &[])?;
    let mut relays = Vec::new();
    for endpoint in etcd.endpoints() {
        relays.push(Relay::start_at(host, endpoint).await);
    }
    let endpoints = relays.iter().map(|relay| relay.address.to_string()).collect();
    let mut builder = Cluster::builder().masters(3).workers(2).sentinels(3).world(Some(&world));
    let mut doors = Vec::new();
    for index in 0..3 {
        let port = free_port();
        let master = world.place(&format!("m{}", index + 1));
        let relay = Relay::start_at(host, format!("{}:{port}", master.address)).await;
        builder = builder.master_at(index, port, &relay.address.to_string());
        doors.push(relay.address.to_string());
        relays.push(relay);
    }
    let store_url = store.url_at(world.outside(2));
    let cluster = builder.masters_found_at(doors).etcd(endpoints).store(Store::Url(store_url)).start().await;
    let before = cluster.client_of(cluster.leader().await).get_cluster().await.expect("answers").epoch;

    let mut starving = Scope::new();
    let starved = cluster.sentinels[0].process.pid();
    let idle =
        Command::new("chrt").args(["--all-tasks", "--idle", "--pid", "0", &starved.to_string()]).status();
    assert!(idle.expect("chrt").success(), "the sentinel cannot be made idle");
    starving.spawn("starving", starve(starved));
    let names = ["m1", "m2", "m3", "s1", "s2", "s3", "e0", "e1", "e2"];
    let lossy = [Rule { way: Way::In, peer: Peer::All, fate: Fate::Loss(LOST_PERCENT) }];
    names.iter().for_each(|name| world.place(name).rules(&lossy));
    relays.iter().for_each(|relay| relay.slow(Duration::ZERO, JITTER));

    let clients: Vec<Client> = (0..3).map(|index| cluster.client_of(index)).collect();
    let mut heard = Heard { lasted: Duration::ZERO, new_terms: 0, asked: 0, answered: 0 };
    let began = Instant::now();
    for client in clients.iter().cycle() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        heard.asked += 1;
        if let Ok(Ok(now)) = tokio::time::timeout(Duration::from_secs(2), client.get_cluster()).await {
            heard.answered += 1;
            heard.new_terms = heard.new_terms.max(now.epoch.saturating_sub(before));
        }
        if heard.asked.is_multiple_of(300) {
            eprintln!("{heard:?}");
        }
        if began.elapsed() >= lasts {
            break;
        }
    }
    heard.lasted = began.elapsed();
    drop(starving);
    resume(starved);
    names.iter().for_each(|name| world.place(name).rules(&[]));
    relays.iter().for_each(|relay| relay.slow(Duration::ZERO, Duration::ZERO));
    let now = cluster.client_of(cluster.leader().await).get_cluster().await.expect("answers");
    heard.new_terms = now.epoch - before;
    Some(heard)
}

/// Lets a process run for a tenth of the time.
async fn starve(pid: u32) {
    loop {
        signal(pid, Signal::STOP);
        tokio::time::sleep(STANDS).await;
        signal(pid, Signal::CONT);
        tokio::time::sleep(RUNS).await;
    }
}

fn resume(pid: u32) {
    signal(pid, Signal::CONT);
}

fn signal(pid: u32, signal: Signal) {
    // The process is a child that nobody has waited for, so the pid is its own.
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _has_ended = kill_process(pid, signal);
    }
}
