//! What syncs must not exceed: time to plan a large table, memory of a worker.
//!
//! | name | measures |
//! |---|---|
//! | `sync-plan` | from the order until all ranges of a table of whole numbers are found; `--keys` (100,000,000) |
//! | `sync-memory` | most resident memory of one worker with 8 shards at once, rows of 16 MiB among them; `--rows`, `--verify` (CHECKSUM) |
//!
//! In: flags. Out: figures. Never: pass or fail.

use super::flags::Flags;
use super::sync::{Size, servers, sync, yard};
use anyhow::Context as _;
use serde_json::json;
use shanty_proto::v1::shard::State as ShardState;
use shanty_tests::cluster::Cluster;
use shanty_tests::dataset::{Engine, Orders};
use shanty_tests::sync::{Yard, start, table, with};
use std::time::{Duration, Instant};

/// Bytes that a key takes in PostgreSQL with its index, and as much for the log of writing it.
const BYTES_PER_KEY: u64 = 36 + 22 + 40;

/// `sync-plan`.
///
/// # Errors
/// When the tables cannot be made.
pub(crate) async fn plan(flags: &Flags) -> anyhow::Result<()> {
    let wanted: u64 = flags.get("keys", 100_000_000)?;
    let free = free_bytes()?;
    let keys = wanted.min(free / 2 / BYTES_PER_KEY);
    if keys < wanted {
        println!("sync-plan: {} MiB are free, which is enough for {keys} keys of {wanted}", free >> 20);
    }
    let servers = servers().await?;
    let databases = Yard::pairs(&servers);
    let yard = Yard::open(servers, databases, &[], Cluster::builder().workers(1)).await;
    let client = yard.client();
    let fill = format!("INSERT INTO keys_{keys} SELECT generate_series(1, {keys}::int8)");
    yard.db("pg_a")
        .run(&[
            format!("CREATE TABLE keys_{keys} (id BIGINT NOT NULL)"),
            fill,
            format!("ALTER TABLE keys_{keys} ADD PRIMARY KEY (id)"),
            format!("ANALYZE keys_{keys}"),
        ])
        .await;
    // MariaDB has a table of any range of numbers without storing it.
    for (from, name) in [("pg_a", format!("keys_{keys}")), ("my_a", format!("seq_1_to_{wanted}"))] {
        for _ in 0..flags.get("rounds", 3)? {
            let more = json!({ "throttle": { "rows_per_second": 1 }, "target": { "table": "t" } });
            yard.db("pg_b").run(&["DROP TABLE IF EXISTS t"]).await;
            let began = Instant::now();
            let run = start(&client, &with(table(from, "pg_b", &name), more)).await;
            let (took, shards) = loop {
                let shards = client.shards(&run.name).await?;
                let plan = shards.iter().find(|shard| shard.title.starts_with("plan"));
                match plan.map(shanty_proto::v1::Shard::state) {
                    Some(ShardState::Done) => break (began.elapsed(), shards.len() - 1),
                    Some(ShardState::Failed) => {
                        let run = client.run(&run.name).await?;
                        anyhow::bail!("the plan failed: {}", run.state_reason);
                    }
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            };
            println!(
                "sync-plan: {name} from {from}: {shards} ranges found {:.2} s after the order",
                took.as_secs_f64()
            );
            client.cancel(&run.name).await?;
            client.wait(&run.name).await?;
        }
    }
    Ok(())
}

/// Bytes free where temporary folders are.
fn free_bytes() -> anyhow::Result<u64> {
    let found = rustix::fs::statvfs(std::env::temp_dir())?;
    Ok(found.f_bavail * found.f_frsize)
}

/// `sync-memory`.
///
/// # Errors
/// When a sync fails.
pub(crate) async fn memory(flags: &Flags) -> anyhow::Result<()> {
    let size = Size::of(flags)?;
    let verify: String = flags.get("verify", "CHECKSUM".to_owned())?;
    let yard = yard(Cluster::builder().workers(1)).await?;
    let worker = yard.cluster.workers[0].process.pid();
    println!("sync-memory: at rest {:.1} MiB", most_resident_mib(worker)?);
    let orders = Orders::keyed("orders");
    let large = "CREATE TABLE large (id INT PRIMARY KEY, v LONGTEXT)";
    for engine in [Engine::MariaDb, Engine::Postgres] {
        let from = format!("{}_a", engine.short());
        orders.make(yard.db(&from), size.rows).await;
    }
    let rows = "INSERT INTO large SELECT seq, REPEAT('x', IF(seq % 20 = 0, 16777216, 200)) FROM seq_1_to_100";
    yard.db("my_a").run(&[large, rows]).await;
    for (from, to, name) in [
        ("my_a", "my_b", "orders"),
        ("pg_a", "pg_b", "orders"),
        ("my_a", "pg_b", "orders"),
        ("my_a", "pg_b", "large"),
    ] {
        yard.db(to).run(&[format!("DROP TABLE IF EXISTS {name}")]).await;
        let took =
            sync(&yard, &with(table(from, to, name), json!({ "workers": 8, "verify": verify }))).await?;
        println!(
            "sync-memory: after {name} from {from} to {to} with 8 shards ({:.1} s): at most {:.1} MiB so far",
            took.as_secs_f64(),
            most_resident_mib(worker)?
        );
    }
    Ok(())
}

/// Most resident memory of a process so far, MiB.
fn most_resident_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("VmHWM in status")?;
    let kib: f64 = line.split_whitespace().nth(1).context("a number")?.parse()?;
    Ok(kib / 1024.0)
}
