//! Speed of syncs beside other tools, in one run, alternated: rows per second from the order to the finished target.
//!
//! | name | copies | peers |
//! |---|---|---|
//! | `sync-mysql` | MariaDB to MariaDB | mydumper then myloader with 4 threads each; the server's own INSERT … SELECT |
//! | `sync-postgres` | PostgreSQL to PostgreSQL | `COPY … binary` from psql to psql |
//! | `sync-mysql-postgres` | MariaDB to PostgreSQL | pgloader; the mariadb client into `COPY` of psql |
//! | `sync-verify` | all three, with and without checksums | itself without |
//!
//! `--rows` (2,000,000), `--rounds` (3), `--workers` (2 processes), `--shards` (4 at once). 8 columns of about 176
//! bytes, a primary key, one secondary index that all but INSERT … SELECT and myloader make after the rows. The servers
//! share the machine; what they do to be durable is as they are installed.
//!
//! In: flags. Out: medians, spreads, ratios. Never: pass or fail.

use super::flags::Flags;
use super::process::spread;
use super::sync_peers::{self as peers, Account};
use anyhow::Context as _;
use serde_json::{Value, json};
use shanty_proto::v1::run::State;
use shanty_tests::cluster::{Builder, Cluster};
use shanty_tests::dataset::{Database, Engine, Orders, Servers};
use shanty_tests::sync::{Yard, ended, start, table, with};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(3600);

/// What one benchmark is told.
pub(crate) struct Size {
    pub(crate) rows: u64,
    rounds: usize,
    workers: usize,
    pub(crate) shards: u32,
}

impl Size {
    pub(crate) fn of(flags: &Flags) -> anyhow::Result<Size> {
        Ok(Size {
            rows: flags.get("rows", 2_000_000)?,
            rounds: flags.get("rounds", 3)?,
            workers: flags.get("workers", 2)?,
            shards: flags.get("shards", 4)?,
        })
    }
}

/// Servers with memory for the data; what makes them durable stays as it is.
pub(crate) async fn servers() -> anyhow::Result<Servers> {
    let mariadb = ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"];
    let postgres = ["shared_buffers=1GB", "max_wal_size=4GB", "maintenance_work_mem=256MB"];
    Servers::start_with(&mariadb, &postgres).await.context("a server is not installed")
}

/// Servers, their databases, and a cluster that knows them.
pub(crate) async fn yard(cluster: Builder) -> anyhow::Result<Yard> {
    let servers = servers().await?;
    let databases = Yard::pairs(&servers);
    Ok(Yard::open(servers, databases, &[], cluster).await)
}

/// One tool that copies the table.
enum Tool {
    Shanty,
    Dumper,
    InsertSelect,
    Pipe,
    PgLoader,
    TextPipe,
}

impl Tool {
    fn name(&self) -> &'static str {
        match self {
            Tool::Shanty => "shanty",
            Tool::Dumper => "mydumper + myloader",
            Tool::InsertSelect => "INSERT … SELECT",
            Tool::Pipe => "COPY binary, piped",
            Tool::PgLoader => "pgloader",
            Tool::TextPipe => "mariadb into COPY, piped",
        }
    }

    /// Whether its programs are here, installed if they may be.
    fn is_here(&self) -> bool {
        match self {
            Tool::Dumper => peers::have("mydumper", "mydumper") && peers::have("myloader", "mydumper"),
            Tool::PgLoader => peers::have("pgloader", "pgloader"),
            Tool::Shanty | Tool::InsertSelect | Tool::Pipe | Tool::TextPipe => true,
        }
    }
}

/// `sync-mysql`.
///
/// # Errors
/// When a tool does not do as it is told.
pub(crate) async fn mysql(flags: &Flags) -> anyhow::Result<()> {
    compare(flags, "sync-mysql", ("my_a", "my_b"), &[Tool::Shanty, Tool::Dumper, Tool::InsertSelect]).await
}

/// `sync-postgres`.
///
/// # Errors
/// When a tool does not do as it is told.
pub(crate) async fn postgres(flags: &Flags) -> anyhow::Result<()> {
    compare(flags, "sync-postgres", ("pg_a", "pg_b"), &[Tool::Shanty, Tool::Pipe]).await
}

/// `sync-mysql-postgres`.
///
/// # Errors
/// When a tool does not do as it is told.
pub(crate) async fn mysql_postgres(flags: &Flags) -> anyhow::Result<()> {
    let tools = [Tool::Shanty, Tool::PgLoader, Tool::TextPipe];
    compare(flags, "sync-mysql-postgres", ("my_a", "pg_b"), &tools).await
}

async fn compare(flags: &Flags, name: &str, ends: (&str, &str), tools: &[Tool]) -> anyhow::Result<()> {
    let size = Size::of(flags)?;
    let tools: Vec<&Tool> = tools.iter().filter(|tool| tool.is_here()).collect();
    let yard = yard(Cluster::builder().workers(size.workers)).await?;
    let orders = Orders::keyed("orders");
    orders.make(yard.db(ends.0), size.rows).await;
    let want = orders.print(yard.db(ends.0)).await;
    let accounts = (peers::account(yard.db(ends.0)).await?, peers::account(yard.db(ends.1)).await?);
    let mut speeds: Vec<Vec<f64>> = vec![Vec::new(); tools.len()];
    for _ in 0..size.rounds {
        for (tool, speeds) in tools.iter().zip(&mut speeds) {
            clear(yard.db(ends.1)).await;
            let took = once(&yard, tool, ends, &orders, (&accounts.0, &accounts.1), &size).await?;
            // The order of columns and rows may differ, the content may not.
            let got = orders.print(yard.db(ends.1)).await;
            anyhow::ensure!(got == want, "{}: {got:?} arrived of {want:?}", tool.name());
            speeds.push(rate(size.rows, took));
        }
    }
    let (ours, _, _) = spread(&speeds[0]);
    for (tool, speeds) in tools.iter().zip(&speeds) {
        let (median, least, most) = spread(speeds);
        let ratio = ours / median;
        println!(
            "{name}: {:26} {:8.0} rows/s ({:.0} to {:.0}); shanty is {ratio:.2} of it",
            tool.name(),
            median,
            least,
            most
        );
    }
    Ok(())
}

fn rate(rows: u64, took: Duration) -> f64 {
    // Far below 2^52.
    rows as f64 / took.as_secs_f64()
}

/// An empty target on a server that has nothing left to do.
async fn clear(target: &Database) {
    let mut statements = vec!["DROP TABLE IF EXISTS orders"];
    if target.engine == Engine::Postgres {
        statements.push("CHECKPOINT");
    }
    target.run(&statements).await;
}

async fn once(
    yard: &Yard,
    tool: &Tool,
    ends: (&str, &str),
    orders: &Orders,
    accounts: (&Account, &Account),
    size: &Size,
) -> anyhow::Result<Duration> {
    let (source, target) = (yard.db(ends.0), yard.db(ends.1));
    let create = orders.create(target.engine);
    let began = Instant::now();
    match tool {
        Tool::Shanty => {
            let spec = with(table(ends.0, ends.1, "orders"), json!({ "workers": size.shards }));
            return sync(yard, &spec).await;
        }
        Tool::Dumper => {
            let folder = tempfile::tempdir()?;
            peers::dump_and_load(accounts.0, accounts.1, folder.path())?;
        }
        Tool::InsertSelect => {
            let copy = format!("INSERT INTO orders SELECT * FROM {}.orders", accounts.0.database);
            target.run(&create).await;
            target.run(&[copy]).await;
        }
        Tool::Pipe => {
            target.run(&create[..1]).await;
            peers::binary_pipe(accounts.0, accounts.1)?;
            target.run(&create[1..]).await;
            target.run(&["ANALYZE orders"]).await;
        }
        Tool::PgLoader => peers::pgloader(accounts.0, accounts.1)?,
        Tool::TextPipe => {
            target.run(&create[..1]).await;
            peers::text_pipe(accounts.0, accounts.1)?;
            target.run(&create[1..]).await;
            target.run(&["ANALYZE orders"]).await;
        }
    }
    let took = began.elapsed();
    let (from, to) = (source.count("orders").await, target.count("orders").await);
    anyhow::ensure!(from == to, "{}: {to} rows arrived of {from}", tool.name());
    Ok(took)
}

/// A sync from the order to its end.
pub(crate) async fn sync(yard: &Yard, spec: &Value) -> anyhow::Result<Duration> {
    let client = yard.client();
    let began = Instant::now();
    let run = start(&client, spec).await;
    let run = ended(&client, &run.name, PATIENCE).await;
    anyhow::ensure!(run.state() == State::Succeeded, "the sync failed: {}", run.state_reason);
    Ok(began.elapsed())
}

/// `sync-verify`: what checksums cost beside the copy.
///
/// # Errors
/// When a sync fails.
pub(crate) async fn verify(flags: &Flags) -> anyhow::Result<()> {
    let size = Size::of(flags)?;
    let yard = yard(Cluster::builder().workers(size.workers)).await?;
    let orders = Orders::keyed("orders");
    for from in ["my_a", "pg_a"] {
        orders.make(yard.db(from), size.rows).await;
    }
    for ends in [("my_a", "my_b"), ("pg_a", "pg_b"), ("my_a", "pg_b")] {
        let (mut plain, mut compared) = (Vec::new(), Vec::new());
        for _ in 0..size.rounds {
            for (level, times) in [("NONE", &mut plain), ("CHECKSUM", &mut compared)] {
                clear(yard.db(ends.1)).await;
                let more = json!({ "workers": size.shards, "verify": level });
                times.push(sync(&yard, &with(table(ends.0, ends.1, "orders"), more)).await?.as_secs_f64());
            }
        }
        let ((plain, ..), (compared, least, most)) = (spread(&plain), spread(&compared));
        println!(
            "sync-verify: {} to {}: copy {plain:.2} s, with checksums {compared:.2} s ({least:.2} to {most:.2}); they cost {:.0} % of the copy",
            ends.0,
            ends.1,
            (compared / plain - 1.0) * 100.0
        );
    }
    Ok(())
}
