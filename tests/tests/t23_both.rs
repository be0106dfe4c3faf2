//! Nodes that are both: workers with a master that stands by beside them, and a master that works itself, each one
//! process of `shanty`.
//!
//! In: configuration files, real etcd and PostgreSQL. Out: who leads, what arrived, how each process ended.
//! Never: trusts the report alone.

use serde_json::json;
use shanty_proto::v1;
use shanty_proto::v1::run::State;
use shanty_tests::cluster::{Client, Cluster, Process, Store, binary, free_port};
use shanty_tests::databases::Postgres;
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::origin::Origin;
use shanty_tests::patience::{eventually, until};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const RATE: u32 = 400;

/// A process of `shanty` that is a worker and a master.
struct Node {
    process: Process,
    client: Client,
}

/// Starts `shanty <role>` with this configuration beside it.
fn start(role: &str, name: &str, folder: &Path, config: &str) -> Node {
    let port = free_port();
    let file = folder.join(format!("{name}.toml"));
    let config = config.replace("LISTEN", &format!("127.0.0.1:{port}"));
    std::fs::write(&file, config).expect("a configuration");
    let data = folder.join(name).display().to_string();
    let args = [role, "--node", name, "--config", &file.display().to_string(), "--data", &data];
    let args = args.map(str::to_owned);
    let process = Process::start(name, folder, &binary::shanty(), &args).expect("the process starts");
    Node { process, client: Client::new(&format!("127.0.0.1:{port}")) }
}

/// Waits until this many workers are ready; answers the names of all nodes.
async fn ready(client: &Client, workers: usize) -> Vec<String> {
    until("ready workers", Duration::from_secs(30), async || {
        let nodes = client.list_nodes().await.map_err(|status| status.to_string())?;
        let ready = |node: &&v1::Node| {
            node.role() == v1::node::Role::Worker && node.state() == v1::node::State::Ready
        };
        if nodes.iter().filter(ready).count() == workers {
            Ok(nodes.into_iter().map(|node| node.name.replace("nodes/", "")).collect())
        } else {
            Err(format!("{nodes:?}"))
        }
    })
    .await
}

async fn leads(client: &Client, node: &str, within: Duration) {
    until(&format!("{node} leads"), within, async || match client.get_cluster().await {
        Ok(now) if now.leader == format!("nodes/{node}") => Ok(()),
        Ok(now) => Err(format!("leader is {:?}", now.leader)),
        Err(status) => Err(status.to_string()),
    })
    .await;
}

async fn start_run(client: &Client, origin: &Origin, seconds: u32) -> v1::Run {
    let duration = format!("{seconds}s");
    let spec = json!({ "http_load": { "url": origin.url(), "rate": RATE, "duration": duration } });
    client.start(&json!({ "spec": spec })).await.expect("accepted")
}

/// The run has succeeded, and report and target agree on each arrival of the schedule.
async fn is_exact(client: &Client, run: &v1::Run, origin: &Origin, seconds: u32) {
    let run = until("the run ends", Duration::from_secs(60), async || client.wait(&run.name).await).await;
    assert_eq!(run.state(), State::Succeeded, "{}", run.state_reason);
    let report = client.load_report(&run.name).await.expect("a report");
    let all = i64::from(RATE * seconds);
    assert_eq!((report.scheduled, report.sent, origin.count()), (all, all, all), "{report:?}");
    assert_eq!((report.dropped, report.lost, report.errors), (0, 0, 0), "{report:?}");
}

#[tokio::test]
async fn when_the_only_dedicated_master_dies_a_worker_s_master_leads_and_no_arrival_is_lost() {
    let Some(etcd) = EtcdCluster::start(3) else { return };
    let Some(postgres) = Postgres::start() else { return };
    // One database: each `url` names a new one.
    let store = postgres.url();
    let cluster = Cluster::builder().workers(0).etcd(etcd.endpoints()).store(Store::Url(store.clone()));
    let mut cluster = cluster.start().await;
    let config = format!(
        "[worker]\neligible = true\ncluster = \"test\"\n[worker.etcd]\nendpoints = {:?}\n\
         [master]\nlisten = \"LISTEN\"\nstore = {store:?}\n",
        etcd.endpoints()
    );
    let folder = cluster.folder().to_path_buf();
    let mut nodes = ["w1", "w2"].map(|name| start("worker", name, &folder, &config));
    assert_eq!(ready(&cluster.client(), 2).await, ["m-w1", "m-w2", "m1", "w1", "w2"]);
    leads(&nodes[0].client, "m1", Duration::from_secs(1)).await;

    let origin = Origin::start();
    let run = start_run(&cluster.client(), &origin, 12).await;
    let begun = i64::from(RATE) * 2;
    eventually("the load has begun", Duration::from_secs(15), async || origin.count() > begun).await;
    cluster.masters[0].process.kill9();
    leads(&nodes[1].client, "m-w1", Duration::from_secs(15)).await;
    is_exact(&nodes[1].client, &run, &origin, 12).await;

    // The master that has the higher priority stands by after its return, and leads again when the other one leaves.
    cluster.restart_master(0);
    let back = cluster.client();
    until("m1 is back", Duration::from_secs(20), async || match back.get_cluster().await {
        Ok(now) if now.masters() == 3 => Ok(()),
        Ok(now) => Err(format!("{now:?}")),
        Err(status) => Err(status.to_string()),
    })
    .await;
    ready(&nodes[1].client, 2).await;
    nodes[0].process.term();
    leads(&nodes[1].client, "m1", Duration::from_secs(10)).await;
    let status = nodes[0].process.wait_end(Duration::from_secs(20)).await;
    assert!(status.success(), "{status}: {}", nodes[0].process.last_words());
    let log = nodes[0].process.log();
    let at = |words: &str| log.find(words).unwrap_or_else(|| panic!("{words}: {log}"));
    assert!(at("worker has left") < at("shutting down"), "the worker leaves first: {log}");
    ready(&back, 1).await;
}

#[tokio::test]
async fn a_master_that_works_itself_runs_a_load_test_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let config = "[master]\nembedded_worker = true\nlisten = \"LISTEN\"\n[worker]\nslots = 3\n";
    let mut node = start("master", "m1", folder.path(), config);
    assert_eq!(ready(&node.client, 1).await, ["m1", "w-m1"]);
    let origin = Origin::start();
    let run = start_run(&node.client, &origin, 3).await;
    is_exact(&node.client, &run, &origin, 3).await;

    // With a run under way: the worker drains it before the master closes.
    let run = start_run(&node.client, &origin, 4).await;
    let begun = i64::from(RATE) * 4;
    eventually("the second load has begun", Duration::from_secs(15), async || origin.count() > begun).await;
    node.process.term();
    let status = node.process.wait_end(Duration::from_secs(30)).await;
    assert!(status.success(), "{status}: {}", node.process.last_words());
    assert!(node.process.log().contains("worker has left"), "{} {}", run.name, node.process.last_words());
    assert!(folder.path().join("m1/worker").is_dir(), "the worker's folder lies in the master's");
}

#[test]
fn programs_that_hold_one_crate_refuse_to_be_both_and_name_the_one_that_can() {
    for (program, flag, remedy) in [
        ("shanty-worker", "--eligible", "run `shanty worker`"),
        ("shanty-master", "--embedded-worker", "run `shanty master`"),
    ] {
        let output = Command::new(binary::program(program)).arg(flag).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(remedy) && said.trim_end().lines().count() == 1, "{said}");
    }
}

#[test]
fn an_eligible_worker_without_the_masters_store_is_refused_before_it_begins() {
    let output = Command::new(binary::shanty())
        .args(["worker", "--eligible", "--node", "w1", "--etcd", "127.0.0.1:1"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("SHANTY_MASTER__STORE"), "{said}");
}
