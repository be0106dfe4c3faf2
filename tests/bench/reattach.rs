//! A thousand workers and three masters: how soon all of them are with the next leader.
//!
//! The workers are the real ones, all in this process, each with its own connections, its ledger in memory, and a standing
//! stream to every master. Two faults: the leader is killed, and all masters are killed and started again. From the fault,
//! and from the moment at which somebody leads again, until the new leader has the inventory of half of the workers, of 99 in
//! 100, of all: as it says itself, asked each 25 ms. With `--rate` all workers do a load run of that many requests each second
//! meanwhile, and none of its arrivals may be lost.
//! In: `--workers`, `--kills`, `--restarts`, `--rate`. Out: p50, p99 and most of each over all faults, the run's sums.

use super::flags::Flags;
use super::process::spread;
use anyhow::Context as _;
use serde_json::json;
use shanty_rt::task::Scope;
use shanty_tests::cluster::{Client, Cluster, Store};
use shanty_tests::databases::Postgres;
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::patience::until;
use shanty_tests::target::{self, Target};
use shanty_worker::Config;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two questions to the new leader.
const ASK: Duration = Duration::from_millis(25);
/// For all of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two faults, for streams and leases to settle.
const SETTLE: Duration = Duration::from_secs(8);
/// The load run is cancelled when all is measured.
const LONGER_THAN_ALL: &str = "3600s";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    LeaderKilled,
    AllRestarted,
}

/// Seconds from the fault until somebody led, and from then on until these parts of the workers were attached.
#[derive(Debug, Clone, Copy)]
struct Took {
    led: f64,
    half: f64,
    most: f64,
    all: f64,
}

/// Measures and prints.
///
/// # Errors
/// When a cluster does not do as it is told.
pub(crate) async fn run(flags: &Flags) -> anyhow::Result<()> {
    let workers: usize = flags.get("workers", 1000)?;
    let etcd = EtcdCluster::start(3).context("etcd")?;
    let postgres = Postgres::start().context("PostgreSQL")?;
    let builder = Cluster::builder().masters(3).workers(0).sentinels(3).etcd(etcd.endpoints());
    let mut cluster = builder.store(Store::Url(postgres.url())).start().await;
    // A ledger writes to disk once per term and worker: a thousand machines have a thousand disks.
    let folder = tempfile::tempdir_in("/dev/shm").context("a folder in memory")?;
    let mut scope = Scope::new();
    let masters: Vec<String> = cluster.masters.iter().map(|master| master.address.clone()).collect();
    for number in 0..workers {
        let (config, stop) = (configured(number, &masters, folder.path()), scope.token());
        scope.spawn("worker", async move {
            let drivers = shanty_worker::drivers::of(&config);
            if let Err(error) = shanty_worker::serve(config, drivers, stop, || ()).await {
                eprintln!("worker {number}: {error}");
            }
        });
    }
    let leader = cluster.leader().await;
    attached(&cluster.client_of(leader), 0, workers).await?;
    let load = match flags.get("rate", 0)? {
        0 => None,
        rate => Some(Load::start(&cluster, leader, rate).await?),
    };
    for (fault, name, times) in [
        (Fault::LeaderKilled, "the leader killed", flags.get("kills", 10)?),
        (Fault::AllRestarted, "all masters killed and started again", flags.get("restarts", 5)?),
    ] {
        let mut took = Vec::new();
        for _ in 0..times {
            tokio::time::sleep(SETTLE).await;
            took.push(once(&mut cluster, fault, workers).await?);
        }
        print(name, workers, &took);
    }
    if let Some(load) = load {
        load.end(&cluster).await?;
    }
    scope.drain(PATIENCE).await;
    Ok(())
}

/// A load run that goes on during the faults.
struct Load {
    run: String,
    target: Target,
}

impl Load {
    /// Starts it; all workers have a part in it then.
    async fn start(cluster: &Cluster, leader: usize, rate: u64) -> anyhow::Result<Load> {
        let target = Target::start(target::Options::default()).context("a target")?;
        let spec = json!({ "url": target.url(), "rate": rate, "duration": LONGER_THAN_ALL });
        let request = json!({ "spec": { "http_load": spec } });
        let run = cluster.client_of(leader).start(&request).await?.name;
        until("the load has begun", PATIENCE, async || match target.count() {
            begun if begun > rate * 3 => Ok(()),
            begun => Err(format!("{begun} requests")),
        })
        .await;
        Ok(Load { run, target })
    }

    /// Cancels it and prints its sums.
    async fn end(self, cluster: &Cluster) -> anyhow::Result<()> {
        tokio::time::sleep(SETTLE).await;
        let client = cluster.client_of(cluster.leader().await);
        client.cancel(&self.run).await?;
        client.wait(&self.run).await?;
        let report = client.load_report(&self.run).await?;
        let arrived = i64::try_from(self.target.count())?;
        println!(
            "  the load run: {} sent, {arrived} arrived, {} dropped, {} astray, {} lost",
            report.sent, report.dropped, report.astray, report.lost
        );
        anyhow::ensure!(report.lost == 0 && report.sent == arrived, "arrivals are lost");
        Ok(())
    }
}

fn configured(number: usize, masters: &[String], folder: &Path) -> Config {
    Config {
        node: format!("w{number}"),
        masters: masters.to_vec(),
        data_dir: folder.join(number.to_string()),
        ..Config::default()
    }
}

async fn once(cluster: &mut Cluster, fault: Fault, workers: usize) -> anyhow::Result<Took> {
    let leader = cluster.leader().await;
    let epoch = cluster.client_of(leader).get_cluster().await?.epoch;
    let began = Instant::now();
    match fault {
        Fault::LeaderKilled => cluster.masters[leader].process.kill9(),
        Fault::AllRestarted => {
            for master in &mut cluster.masters {
                master.process.kill9();
            }
            for at in 0..cluster.masters.len() {
                cluster.restart_master(at);
            }
        }
    }
    let asked: Vec<Client> = (0..cluster.masters.len())
        .filter(|at| fault == Fault::AllRestarted || *at != leader)
        .map(|at| cluster.client_of(at))
        .collect();
    let next = until("somebody leads", PATIENCE, async || {
        for client in &asked {
            let seen = tokio::time::timeout(Duration::from_millis(300), client.get_cluster()).await;
            if let Ok(Ok(seen)) = seen
                && seen.epoch > epoch
                && seen.leader_since.is_some()
            {
                return Ok(client.clone());
            }
        }
        Err("nobody does")
    })
    .await;
    let led = began.elapsed();
    let (half, most, all) = attached(&next, epoch, workers).await?;
    if fault == Fault::LeaderKilled {
        cluster.restart_master(leader);
    }
    Ok(Took { led: led.as_secs_f64(), half, most, all })
}

/// Waits until the leader has all workers; answers when it had half of them, 99 in 100, all.
async fn attached(leader: &Client, epoch: u32, workers: usize) -> anyhow::Result<(f64, f64, f64)> {
    let began = Instant::now();
    let (mut half, mut most) = (None, None);
    let mut last = "nothing".to_owned();
    loop {
        anyhow::ensure!(
            began.elapsed() < PATIENCE,
            "not all workers came back within {PATIENCE:?}; half after {half:?} s, 99 in 100 after {most:?} s; seen last: {last}"
        );
        let seen = leader.get_cluster().await;
        let now = began.elapsed().as_secs_f64();
        let present = match seen {
            Ok(seen) if seen.epoch > epoch => {
                last = format!("{} workers, {} leads in term {}", seen.workers(), seen.leader, seen.epoch);
                usize::try_from(seen.workers())?
            }
            Ok(seen) => {
                last = format!("term {}", seen.epoch);
                0
            }
            Err(status) => {
                last = status.to_string();
                0
            }
        };
        if present * 2 >= workers {
            half.get_or_insert(now);
        }
        if present * 100 >= workers * 99 {
            most.get_or_insert(now);
        }
        if present >= workers {
            return Ok((half.unwrap_or(now), most.unwrap_or(now), now));
        }
        tokio::time::sleep(ASK).await;
    }
}

fn print(name: &str, workers: usize, took: &[Took]) {
    println!(
        "reattach: {workers} workers, {name}, {} times; seconds, median (smallest to largest):",
        took.len()
    );
    let line = |what: &str, figure: fn(&Took) -> f64| {
        let (median, smallest, largest) = spread(&took.iter().map(figure).collect::<Vec<_>>());
        println!("  {what:<42} {median:.2} ({smallest:.2} to {largest:.2})");
    };
    line("from the fault until somebody leads", |took| took.led);
    line("from then until half are attached", |took| took.half);
    line("from then until 99 in 100 are (bar: 2.5)", |took| took.most);
    line("from then until all are", |took| took.all);
}
