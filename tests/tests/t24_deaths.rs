//! Deaths of workers that no stream tells of: a worker that is stopped keeps its connections. Sentinels look at its door, and
//! its work moves sooner; a worker that lost its leader alone keeps the whole wait.
//!
//! In: a real worker that is stopped, or cut off, under a sync and under load. Out: when its work moved, and why.
//! Never: takes the patience without sentinels (8 s for data, 3 s for load) for theirs.

use serde_json::{Value, json};
use shanty_proto::v1;
use shanty_proto::v1::shard::State as ShardState;
use shanty_tests::cluster::{Client, Cluster, Process, binary};
use shanty_tests::dataset::{Orders, Servers};
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::origin::Origin;
use shanty_tests::patience::{eventually, until};
use shanty_tests::relay::Relay;
use shanty_tests::sync::{Yard, ended, has_written, start, table, unlimited, with};
use std::time::{Duration, Instant};

const ROWS: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// Without sentinels data waits for 8 s and load for 3 s, less what is left of a heartbeat's interval.
const DATA_ALONE: Duration = Duration::from_millis(7_400);
const LOAD_ALONE: Duration = Duration::from_millis(2_500);

/// What happened to nodes so far, by reason.
async fn node_events(client: &Client, reason: &str) -> Vec<String> {
    let request = v1::WatchEventsRequest { after_sequence: 1 };
    let mut events = client.cluster.clone().watch_events(request).await.expect("a stream").into_inner();
    let mut found = Vec::new();
    // What is stored comes at once; what is to come does not.
    while let Ok(Ok(Some(event))) = tokio::time::timeout(Duration::from_millis(300), events.message()).await {
        if event.reason == reason {
            found.push(event.message);
        }
    }
    found
}

/// What a run that ended says of workers that it lost.
async fn lost_notes(client: &Client, run: &str) -> Vec<String> {
    let request =
        v1::WatchRunRequest { name: run.to_owned(), after_sequence: 1, ..v1::WatchRunRequest::default() };
    let mut events = client.runs.clone().watch_run(request).await.expect("a stream").into_inner();
    let mut found = Vec::new();
    while let Ok(Ok(Some(event))) = tokio::time::timeout(Duration::from_secs(1), events.message()).await {
        let text = format!("{event:?}");
        if text.contains("WORKER_LOST") {
            found.push(text);
        }
    }
    found
}

async fn yard(sentinels: usize, etcd: &EtcdCluster) -> Option<Yard> {
    let servers = Servers::start().await?;
    let databases = Yard::pairs(&servers);
    let builder = Cluster::builder().workers(2).sentinels(sentinels).etcd(etcd.endpoints());
    Some(Yard::open(servers, databases, &[], builder).await)
}

/// Stops a worker with a copy in hand; answers how long it took until another had it.
async fn data_moves(yard: &mut Yard) -> (Duration, String) {
    let orders = Orders::keyed("orders");
    orders.make(yard.db("pg_a"), ROWS).await;
    let client = yard.client();
    let limits = json!({ "workers": 2, "page_rows": 1000, "throttle": { "rows_per_second": 2_000 } });
    let run = start(&client, &with(table("pg_a", "pg_b", "orders"), limits)).await;
    has_written(&client, &run.name, 1).await;
    let shard = until("a copy runs", PATIENCE, async || {
        let shards = client.shards(&run.name).await.map_err(|status| status.to_string())?;
        let busy =
            |shard: &&v1::Shard| shard.state() == ShardState::Running && shard.title.starts_with("copy");
        shards.iter().find(busy).cloned().ok_or_else(|| format!("{shards:?}"))
    })
    .await;
    let at =
        yard.cluster.workers.iter().position(|w| shard.node == format!("nodes/{}", w.name)).expect("ours");
    let began = Instant::now();
    yard.cluster.workers[at].process.stop();
    eventually("another has it", PATIENCE, async || {
        let shards = client.shards(&run.name).await.unwrap_or_default();
        shards.iter().any(|other| {
            other.name == shard.name && other.attempt > shard.attempt && other.node != shard.node
        })
    })
    .await;
    let took = began.elapsed();
    yard.cluster.workers[at].process.cont();
    client.change_sync(&run.name, unlimited()).await.expect("changed");
    let run = ended(&client, &run.name, PATIENCE * 3).await;
    assert_eq!(run.state(), v1::run::State::Succeeded, "{}", run.state_reason);
    let (source, target) = (orders.print(yard.db("pg_a")).await, orders.print(yard.db("pg_b")).await);
    assert_eq!(target, source);
    (took, lost_notes(&client, &run.name).await.concat())
}

fn load(origin: &Origin, rate: u32, duration: &str) -> Value {
    json!({ "spec": { "http_load": { "url": origin.url(), "rate": rate, "duration": duration } } })
}

/// Waits until a part of the run was given up; answers when.
async fn load_moved(client: &Client, run: &str, began: Instant) -> Duration {
    eventually("its share is with others", PATIENCE, async || {
        let shards = client.shards(run).await.unwrap_or_default();
        shards.iter().any(|shard| shard.state() == ShardState::Yielded)
    })
    .await;
    began.elapsed()
}

async fn all_send(client: &Client, run: &str, workers: usize) {
    eventually("all send", PATIENCE, async || {
        let shards = client.shards(run).await.unwrap_or_default();
        shards.iter().filter(|shard| shard.state() == ShardState::Running).count() == workers
    })
    .await;
}

#[tokio::test]
async fn the_data_of_a_stopped_worker_moves_as_soon_as_sentinels_agree() {
    let Some(etcd) = EtcdCluster::start(1) else { return };
    let Some(mut yard) = yard(3, &etcd).await else { return };
    let (took, notes) = data_moves(&mut yard).await;
    eprintln!("with sentinels data moved after {took:.2?}");
    assert!(took < DATA_ALONE, "{took:?}");
    assert!(notes.contains("sentinels find it dead"), "{notes}");
    let events = node_events(&yard.client(), "WORKER_DEATH_CONFIRMED").await;
    assert!(
        events.len() == 1
            && events[0].contains("of 3 sentinels agree")
            && events[0].contains("nothing answers at its door"),
        "{events:?}"
    );
}

#[tokio::test]
async fn without_sentinels_the_data_of_a_stopped_worker_waits() {
    let Some(etcd) = EtcdCluster::start(1) else { return };
    let Some(mut yard) = yard(0, &etcd).await else { return };
    let (took, notes) = data_moves(&mut yard).await;
    eprintln!("without sentinels data moved after {took:.2?}");
    assert!(took >= DATA_ALONE, "{took:?}");
    // Silent, or gone when its stream broke after all: either way nobody confirmed it.
    let learned = notes.contains("its worker is silent") || notes.contains("its worker is gone");
    assert!(learned && !notes.contains("sentinels"), "{notes}");
}

#[tokio::test]
async fn the_load_of_a_stopped_worker_moves_as_soon_as_sentinels_agree() {
    let Some(etcd) = EtcdCluster::start(1) else { return };
    let mut cluster = Cluster::builder().workers(2).sentinels(3).etcd(etcd.endpoints()).start().await;
    let (client, origin) = (cluster.client(), Origin::start());
    for _ in 0..3 {
        let run = client.start(&load(&origin, 100, "60s")).await.expect("started");
        all_send(&client, &run.name, 2).await;
        // Two seconds of load: by then each sentinel has met both doors.
        let before = origin.count();
        eventually("two seconds of load", PATIENCE, async || origin.count() >= before + 200).await;
        let began = Instant::now();
        cluster.workers[0].process.stop();
        let took = load_moved(&client, &run.name, began).await;
        eprintln!("with sentinels load moved after {took:.2?}");
        assert!(took < LOAD_ALONE, "{took:?}");
        cluster.workers[0].process.cont();
        client.cancel(&run.name).await.expect("cancelled");
        let run = client.wait(&run.name).await.expect("it ends");
        let notes = lost_notes(&client, &run.name).await.concat();
        assert!(notes.contains("sentinels find it dead"), "{notes}");
        cluster.workers_ready(2).await;
    }
}

#[tokio::test]
async fn a_worker_that_lost_its_leader_alone_keeps_the_whole_wait() {
    let Some(etcd) = EtcdCluster::start(1) else { return };
    let cluster = Cluster::builder().workers(1).sentinels(3).etcd(etcd.endpoints()).start().await;
    let relay = Relay::start(cluster.masters[0].address.clone()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("far").display().to_string();
    let args = ["--node", "far", "--masters", &relay.address.to_string(), "--data", &data].map(str::to_owned);
    let program = binary::program("shanty-worker");
    let _far = Process::start("far", folder.path(), &program, &args).expect("started");
    cluster.workers_ready(2).await;
    let (client, origin) = (cluster.client(), Origin::start());
    let run = client.start(&load(&origin, 100, "30s")).await.expect("started");
    all_send(&client, &run.name, 2).await;
    // Two seconds of load: by then each sentinel has met its door.
    eventually("two seconds of load", PATIENCE, async || origin.count() >= 200).await;
    let began = Instant::now();
    relay.cut(true);
    let took = load_moved(&client, &run.name, began).await;
    eprintln!("the load of a worker that sentinels reach moved after {took:.2?}");
    assert!(took >= LOAD_ALONE, "{took:?}");
    assert!(node_events(&client, "WORKER_DEATH_CONFIRMED").await.is_empty());
    client.cancel(&run.name).await.expect("cancelled");
}
