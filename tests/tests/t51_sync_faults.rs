//! Syncs while processes die, sleep and lose their connections: workers, the target's server, masters, and the answer
//! to a COMMIT.
//!
//! In: one table, with a key and without, copied slowly enough to be hit, into one without a key, where a row that is
//! written twice shows. Out: count and hash of source and target, made
//! by the test's own SQL, and a run that SUCCEEDED. Never: trusts the report about what arrived.
//!
//! `SHANTY_LONG=1` makes fifty kills of eight.

use serde_json::{Value, json};
use shanty_proto::v1;
use shanty_proto::v1::run::State;
use shanty_proto::v1::shard::State as ShardState;
use shanty_tests::cluster::{Client, Cluster, Store};
use shanty_tests::dataset::{Database, Engine, Orders, Servers};
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::patience::until;
use shanty_tests::proxy::{Fate, Proxy};
use shanty_tests::sync::{Yard, copying_on, ended, has_written, rows, start, table, unlimited, with};
use std::time::Duration;

const ROWS: u64 = 300_000;
/// A run with all its faults may take so long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

fn kills() -> usize {
    if std::env::var_os("SHANTY_LONG").is_some() { 50 } else { 8 }
}

/// A copy of `orders` that takes about `seconds` when nothing is in its way.
fn slow(from: &str, to: &str, seconds: u32) -> Value {
    let rate = u32::try_from(ROWS).unwrap() / seconds;
    let more = json!({
        "workers": 4, "page_rows": 2000, "throttle": { "rows_per_second": rate }, "verify": "CHECKSUM"
    });
    with(table(from, to, "orders"), more)
}

/// The run succeeded, and the target holds what the source holds: no row less, none twice; and the run says so too.
async fn arrived_once(yard: &Yard, client: &Client, run: &str, orders: &Orders, ends: (&str, &str)) {
    let run = ended(client, run, PATIENCE).await;
    assert_eq!(run.state(), State::Succeeded, "{}", run.state_reason);
    let (source, target) = (orders.print(yard.db(ends.0)).await, orders.print(yard.db(ends.1)).await);
    assert_eq!(target, source, "{} to {}", ends.0, ends.1);
    let report = client.sync_report(&run.name).await.expect("a report");
    assert_eq!(u64::try_from(report.rows).unwrap(), source.rows, "what the report says: {report:?}");
    // The digest of what was copied went from hand to hand with the ranges: the rows read back are those.
    let compared = report.tables[0].verification.as_ref().expect("it was compared");
    assert!(compared.equal && compared.read_back, "{compared:?}");
}

/// An empty target whose key does not hold doubles back: a row that is written twice must show.
async fn open_to_doubles(yard: &Yard, connection: &str) {
    let target = yard.db(connection);
    target.run(&Orders::keyless("orders").create(target.engine)).await;
}

/// Highest attempt of all shards.
async fn attempts(client: &Client, run: &str) -> u32 {
    let shards = client.shards(run).await.expect("the shards");
    shards.iter().map(|shard| shard.attempt).max().unwrap_or(0)
}

/// Waits until a run has more rows than before, or everything of it is over.
async fn goes_on(client: &Client, name: &str) {
    let before = client.run(name).await.map_or(0, |run| rows(&run));
    until("the copy goes on", PATIENCE, async || match client.run(name).await {
        Ok(run) if rows(&run) > before || !matches!(run.state(), State::Pending | State::Running) => Ok(()),
        Ok(run) => Err(format!("{} rows, {:?}", rows(&run), run.state())),
        Err(status) => Err(status.to_string()),
    })
    .await;
}

/// Kills workers, one after the other, about every two seconds while something is copied.
async fn kill_workers(yard: &mut Yard, client: &Client, run: &str, keyed: bool) {
    let mut random: usize = 7;
    for n in 0..kills() {
        random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let mut victim = (random >> 8) % yard.cluster.workers.len();
        if !keyed {
            // One worker has the whole table: it is that one.
            let busy = until("somebody copies", PATIENCE, async || {
                let shards = client.shards(run).await.map_err(|status| status.to_string())?;
                let copy = shards
                    .iter()
                    .find(|shard| shard.state() == ShardState::Running && shard.title.starts_with("copy"));
                copy.map(|shard| shard.node.clone()).ok_or_else(|| format!("{shards:?}"))
            })
            .await;
            victim = yard
                .cluster
                .workers
                .iter()
                .position(|w| busy == format!("nodes/{}", w.name))
                .expect("one of ours");
        }
        yard.cluster.workers[victim].process.kill9();
        tokio::time::sleep(Duration::from_millis(500)).await;
        yard.cluster.restart_worker(victim);
        if keyed {
            goes_on(client, run).await;
        }
        let state = client.run(run).await.expect("the run").state();
        assert_eq!(state, State::Running, "the run was over after {n} kills: slow it down");
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    client.change_sync(run, unlimited()).await.expect("changed");
}

async fn survives_kills(engine: Engine, keyed: bool) {
    let Some(mut yard) = Yard::start(4).await else { return };
    let (from, to) = (format!("{}_a", engine.short()), format!("{}_b", engine.short()));
    let orders = if keyed { Orders::keyed("orders") } else { Orders::keyless("orders") };
    orders.make(yard.db(&from), ROWS).await;
    open_to_doubles(&yard, &to).await;
    let client = yard.client();
    let seconds = u32::try_from(kills()).unwrap() * 8;
    let run = start(&client, &slow(&from, &to, seconds)).await;
    if keyed {
        has_written(&client, &run.name, 1).await;
    }
    kill_workers(&mut yard, &client, &run.name, keyed).await;
    let most = attempts(&client, &run.name).await;
    eprintln!("{from} to {to}, keyed {keyed}: {} kills, up to {most} attempts at a shard", kills());
    assert!(most > 1, "no kill hit a copy");
    arrived_once(&yard, &client, &run.name, &orders, (&from, &to)).await;
}

#[tokio::test]
async fn workers_killed_again_and_again_lose_and_double_nothing_postgres() {
    survives_kills(Engine::Postgres, true).await;
}

#[tokio::test]
async fn workers_killed_again_and_again_lose_and_double_nothing_mariadb() {
    survives_kills(Engine::MariaDb, true).await;
}

#[tokio::test]
async fn workers_killed_again_and_again_double_no_row_without_a_key_postgres() {
    survives_kills(Engine::Postgres, false).await;
}

#[tokio::test]
async fn workers_killed_again_and_again_double_no_row_without_a_key_mariadb() {
    survives_kills(Engine::MariaDb, false).await;
}

/// A worker is stopped in the middle of a page and sleeps until others have taken its shard over and done it; then it
/// wakes.
async fn a_sleeper_writes_nothing(engine: Engine, keyed: bool) {
    let Some(mut yard) = Yard::start(3).await else { return };
    let (from, to) = (format!("{}_a", engine.short()), format!("{}_b", engine.short()));
    let orders = if keyed { Orders::keyed("orders") } else { Orders::keyless("orders") };
    orders.make(yard.db(&from), ROWS).await;
    open_to_doubles(&yard, &to).await;
    let client = yard.client();
    let run = start(&client, &slow(&from, &to, 60)).await;
    if keyed {
        has_written(&client, &run.name, 1).await;
    }
    let shard = until("a copy runs", PATIENCE, async || {
        let shards = client.shards(&run.name).await.map_err(|status| status.to_string())?;
        let busy =
            |shard: &&v1::Shard| shard.state() == ShardState::Running && shard.title.starts_with("copy");
        shards.iter().find(busy).cloned().ok_or_else(|| format!("{shards:?}"))
    })
    .await;
    let sleeper =
        yard.cluster.workers.iter().position(|w| shard.node == format!("nodes/{}", w.name)).expect("ours");
    yard.cluster.workers[sleeper].process.stop();
    let shard_name = shard.name.clone();
    let others = until("others have taken it over", PATIENCE, async || {
        let shards = client.shards(&run.name).await.map_err(|status| status.to_string())?;
        let found = shards.into_iter().find(|other| other.name == shard_name).expect("the shard");
        let taken =
            found.node != shard.node && matches!(found.state(), ShardState::Running | ShardState::Done);
        if taken { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await;
    assert!(others.attempt > shard.attempt, "{others:?}");
    if keyed {
        goes_on(&client, &run.name).await;
    }
    // It wakes while the others still copy, with a page in hand.
    yard.cluster.workers[sleeper].process.cont();
    let ready = format!("nodes/{}", yard.cluster.workers[sleeper].name);
    until("the sleeper is back", PATIENCE, async || {
        let nodes = client.list_nodes().await.map_err(|status| status.to_string())?;
        let back = nodes.iter().any(|node| node.name == ready && node.state() == v1::node::State::Ready);
        if back { Ok(()) } else { Err(format!("{nodes:?}")) }
    })
    .await;
    client.change_sync(&run.name, unlimited()).await.expect("changed");
    arrived_once(&yard, &client, &run.name, &orders, (&from, &to)).await;
}

#[tokio::test]
async fn a_worker_that_sleeps_past_its_shard_writes_nothing_when_it_wakes_postgres() {
    a_sleeper_writes_nothing(Engine::Postgres, true).await;
}

#[tokio::test]
async fn a_worker_that_sleeps_past_its_shard_writes_nothing_when_it_wakes_mariadb() {
    a_sleeper_writes_nothing(Engine::MariaDb, true).await;
}

#[tokio::test]
async fn a_worker_that_sleeps_past_its_shard_writes_nothing_without_a_key_postgres() {
    a_sleeper_writes_nothing(Engine::Postgres, false).await;
}

#[tokio::test]
async fn a_worker_that_sleeps_past_its_shard_writes_nothing_without_a_key_mariadb() {
    a_sleeper_writes_nothing(Engine::MariaDb, false).await;
}

/// The target's server is a process of its own, so that its death is not the source's.
async fn survives_the_targets_death(from: Engine, to: Engine) {
    let Some(mut yard) = Yard::start(3).await else { return };
    let (a, b) = (format!("{}_a", from.short()), format!("{}_b", to.short()));
    let orders = Orders::keyed("orders");
    orders.make(yard.db(&a), ROWS).await;
    open_to_doubles(&yard, &b).await;
    let client = yard.client();
    let run = start(&client, &slow(&a, &b, 60)).await;
    for _ in 0..2 {
        let so_far = rows(&client.run(&run.name).await.expect("the run"));
        has_written(&client, &run.name, so_far + 10_000).await;
        match to {
            Engine::MariaDb => {
                yard.servers.mariadb.kill();
                yard.servers.mariadb.restart();
            }
            Engine::Postgres => {
                yard.servers.postgres.kill();
                yard.servers.postgres.restart();
            }
            Engine::Sqlite => unreachable!("a file has no server"),
        }
    }
    goes_on(&client, &run.name).await;
    client.change_sync(&run.name, unlimited()).await.expect("changed");
    arrived_once(&yard, &client, &run.name, &orders, (&a, &b)).await;
}

#[tokio::test]
async fn the_death_of_postgres_as_target_is_survived() {
    survives_the_targets_death(Engine::MariaDb, Engine::Postgres).await;
}

#[tokio::test]
async fn the_death_of_mariadb_as_target_is_survived() {
    survives_the_targets_death(Engine::Postgres, Engine::MariaDb).await;
}

#[tokio::test]
async fn a_leaders_death_is_survived_by_the_run_under_the_next_one() {
    let Some(etcd) = EtcdCluster::start(3) else { return };
    let Some(servers) = Servers::start().await else { return };
    let store = servers.database(Engine::Postgres, "store");
    let databases = Yard::pairs(&servers);
    let builder =
        Cluster::builder().masters(2).workers(3).etcd(etcd.endpoints()).store(Store::Url(store.url));
    let mut yard = Yard::open(servers, databases, &[], builder).await;
    let orders = Orders::keyed("orders");
    orders.make(yard.db("my_a"), ROWS).await;
    open_to_doubles(&yard, "pg_b").await;
    let leader = yard.cluster.leader().await;
    let run = start(&yard.cluster.client_of(leader), &slow("my_a", "pg_b", 40)).await;
    has_written(&yard.cluster.client_of(leader), &run.name, 10_000).await;
    yard.cluster.masters[leader].process.kill9();
    let client = yard.cluster.client_of(1 - leader);
    goes_on(&client, &run.name).await;
    // The next leader loses a worker as well.
    yard.cluster.workers[0].process.kill9();
    goes_on(&client, &run.name).await;
    client.change_sync(&run.name, unlimited()).await.expect("changed");
    arrived_once(&yard, &client, &run.name, &orders, ("my_a", "pg_b")).await;
}

#[tokio::test]
async fn a_master_that_comes_back_on_its_store_goes_on_with_the_run() {
    let Some(mut yard) = Yard::start(2).await else { return };
    let orders = Orders::keyed("orders");
    orders.make(yard.db("pg_a"), ROWS).await;
    open_to_doubles(&yard, "my_b").await;
    let client = yard.client();
    let run = start(&client, &slow("pg_a", "my_b", 40)).await;
    has_written(&client, &run.name, 10_000).await;
    let before = rows(&client.run(&run.name).await.expect("the run"));
    yard.cluster.masters[0].process.kill9();
    tokio::time::sleep(Duration::from_secs(2)).await;
    yard.cluster.restart_master(0);
    until("the rows of before are known again", PATIENCE, async || match client.run(&run.name).await {
        Ok(run) if rows(&run) >= before => Ok(()),
        Ok(run) => Err(format!("{} of {before}", rows(&run))),
        Err(status) => Err(status.to_string()),
    })
    .await;
    goes_on(&client, &run.name).await;
    client.change_sync(&run.name, unlimited()).await.expect("changed");
    arrived_once(&yard, &client, &run.name, &orders, ("pg_a", "my_b")).await;
}

/// COMMITs whose fate the worker does not learn.
async fn survives_lost_commits(engine: Engine, keyed: bool) {
    let Some(servers) = Servers::start().await else { return };
    let target = servers.database(engine, "t");
    let port = match engine {
        Engine::MariaDb => servers.mariadb.port(),
        Engine::Postgres => servers.postgres.port(),
        Engine::Sqlite => unreachable!("a file has no port"),
    };
    let proxy = Proxy::start(port);
    let through = target.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    assert_ne!(through, target.url);
    let source = servers.database(engine, "s");
    let databases: Vec<(String, Database)> =
        vec![("source".to_owned(), source), ("target".to_owned(), target)];
    let builder = Cluster::builder().workers(2);
    let yard = Yard::open(servers, databases, &[("proxied", through)], builder).await;
    let orders = if keyed { Orders::keyed("orders") } else { Orders::keyless("orders") };
    orders.make(yard.db("source"), 100_000).await;
    open_to_doubles(&yard, "target").await;
    let client = yard.client();
    let fates =
        [Fate::LoseAnswer, Fate::CutBehind, Fate::Delay(Duration::from_millis(300)), Fate::LoseCommit];
    // A table without a key is one transaction: hit it, and what comes before and after it.
    let rhythms: &[u64] = if keyed { &[5] } else { &[2, 3, 4] };
    for nth in rhythms {
        proxy.every(*nth, &fates);
        let more =
            json!({ "workers": 2, "page_rows": 1000, "on_existing": "TRUNCATE", "verify": "CHECKSUM" });
        let run = start(&client, &with(table("source", "proxied", "orders"), more)).await;
        arrived_once(&yard, &client, &run.name, &orders, ("source", "target")).await;
    }
    let done = proxy.done();
    eprintln!("{engine:?}, keyed {keyed}: {done:?}");
    assert!(done.lost_answers > 0 && done.lost_commits > 0 && done.cut_behind > 0, "{done:?}");
    assert!(!keyed || (done.lost_answers > 3 && done.lost_commits > 3 && done.cut_behind > 3), "{done:?}");
}

#[tokio::test]
async fn answers_to_commits_are_lost_and_nothing_is_doubled_postgres() {
    survives_lost_commits(Engine::Postgres, true).await;
}

#[tokio::test]
async fn answers_to_commits_are_lost_and_nothing_is_doubled_mariadb() {
    survives_lost_commits(Engine::MariaDb, true).await;
}

#[tokio::test]
async fn answers_to_commits_are_lost_and_no_row_without_a_key_is_doubled_postgres() {
    survives_lost_commits(Engine::Postgres, false).await;
}

#[tokio::test]
async fn answers_to_commits_are_lost_and_no_row_without_a_key_is_doubled_mariadb() {
    survives_lost_commits(Engine::MariaDb, false).await;
}

#[tokio::test]
async fn a_drained_worker_hands_its_shards_over_and_nothing_is_doubled() {
    let Some(yard) = Yard::start(2).await else { return };
    let orders = Orders::keyed("orders");
    orders.make(yard.db("my_a"), ROWS).await;
    open_to_doubles(&yard, "my_b").await;
    let client = yard.client();
    let run = start(&client, &slow("my_a", "my_b", 40)).await;
    has_written(&client, &run.name, 1).await;
    copying_on(&client, &run.name, "w1").await;
    let request = v1::DrainNodeRequest { name: "w1".to_owned(), ..Default::default() };
    client.nodes.clone().drain_node(request).await.expect("draining");
    until("w1 copies nothing more", PATIENCE, async || {
        let shards = client.shards(&run.name).await.map_err(|status| status.to_string())?;
        let busy =
            shards.iter().any(|shard| shard.node == "nodes/w1" && shard.state() == ShardState::Running);
        if busy { Err(format!("{shards:?}")) } else { Ok(()) }
    })
    .await;
    goes_on(&client, &run.name).await;
    client.change_sync(&run.name, unlimited()).await.expect("changed");
    arrived_once(&yard, &client, &run.name, &orders, ("my_a", "my_b")).await;
}
