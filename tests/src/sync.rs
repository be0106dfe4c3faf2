//! A cluster whose workers know databases by name, and syncs on it.
//!
//! In: databases with names, specs as people type them. Out: runs that have ended, their reports, and what happened
//! on the way. Never: a judgement of the copied rows: tests compare them through [`dataset`](crate::dataset).
//! Tests: `tests/tests/t50_sync.rs`.

use crate::cluster::{Builder, Client, Cluster, message};
use crate::dataset::{Database, Engine, Servers};
use crate::patience::until;
use serde_json::{Value, json};
use shanty_proto::v1;
use shanty_proto::v1::run::State;
use shanty_proto::v1::shard::State as ShardState;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a sync of a test may take.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Servers, databases with names, and a cluster that knows them.
#[derive(Debug)]
pub struct Yard {
    /// The cluster; dropped before its databases.
    pub cluster: Cluster,
    databases: BTreeMap<String, Database>,
    /// The servers.
    pub servers: Servers,
}

impl Yard {
    /// Two databases of each engine, `my_a`, `my_b`, `pg_a`, `pg_b`, `lite_a`, `lite_b`, and a cluster with so many
    /// workers; none when a server is not installed.
    ///
    /// # Panics
    /// When something does not come up.
    pub async fn start(workers: usize) -> Option<Yard> {
        let servers = Servers::start().await?;
        let databases = Yard::pairs(&servers);
        Some(Yard::open(servers, databases, &[], Cluster::builder().workers(workers)).await)
    }

    /// Two databases of each engine, with their names.
    #[must_use]
    pub fn pairs(servers: &Servers) -> Vec<(String, Database)> {
        let named = |engine: Engine| {
            ["a", "b"].map(|end| {
                let name = format!("{}_{end}", engine.short());
                let database = servers.database(engine, &name);
                (name, database)
            })
        };
        Engine::ALL.into_iter().flat_map(named).collect()
    }

    /// A cluster that knows these databases, and `more` connections by name and URL.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn open(
        servers: Servers,
        databases: Vec<(String, Database)>,
        more: &[(&str, String)],
        mut builder: Builder,
    ) -> Yard {
        for (name, database) in &databases {
            builder = builder.connection(name, &database.url);
        }
        for (name, url) in more {
            builder = builder.connection(name, url);
        }
        let cluster = builder.start().await;
        Yard { cluster, databases: databases.into_iter().collect(), servers }
    }

    /// A database by its connection's name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn db(&self, name: &str) -> &Database {
        self.databases.get(name).unwrap_or_else(|| panic!("no database is called {name}"))
    }

    /// A client of the first master.
    #[must_use]
    pub fn client(&self) -> Client {
        self.cluster.client()
    }

    /// Starts a sync, waits for its end, and answers its report.
    ///
    /// # Panics
    /// When it does not succeed.
    pub async fn syncs(&self, spec: &Value) -> v1::DbSyncReport {
        let run = self.ends(spec).await;
        assert_eq!(run.state(), State::Succeeded, "{} — {spec}", run.state_reason);
        self.client().sync_report(&run.name).await.expect("a report")
    }

    /// Starts a sync that must fail; answers why, and the report.
    ///
    /// # Panics
    /// When it does not fail.
    pub async fn fails(&self, spec: &Value) -> (String, v1::DbSyncReport) {
        let run = self.ends(spec).await;
        assert_eq!(run.state(), State::Failed, "{} — {spec}", run.state_reason);
        let report = self.client().sync_report(&run.name).await.expect("a report");
        (run.state_reason, report)
    }

    /// Starts a sync and waits for its end.
    ///
    /// # Panics
    /// When it is not accepted, or does not end in time.
    pub async fn ends(&self, spec: &Value) -> v1::Run {
        let client = self.client();
        let run = start(&client, spec).await;
        ended(&client, &run.name, PATIENCE).await
    }
}

/// The spec of a whole table: `from` and `to` are connections.
#[must_use]
pub fn table(from: &str, to: &str, table: &str) -> Value {
    json!({ "source": { "connection": from, "table": table }, "target": { "connection": to, "table": table } })
}

/// A spec with more fields; objects are merged.
#[must_use]
pub fn with(mut spec: Value, more: Value) -> Value {
    merge(&mut spec, more);
    spec
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

/// Starts a sync.
///
/// # Panics
/// When it is not accepted.
pub async fn start(client: &Client, spec: &Value) -> v1::Run {
    let request = json!({ "spec": { "db_sync": spec } });
    client.start(&request).await.unwrap_or_else(|status| panic!("{status} — {spec}"))
}

/// The run when it has ended, asked again when a leader changes meanwhile.
///
/// # Panics
/// When it has not within the time.
pub async fn ended(client: &Client, name: &str, within: Duration) -> v1::Run {
    let over = [State::Succeeded, State::Failed, State::Cancelled, State::TimedOut, State::Lost];
    until("the sync ends", within, async || match client.run(name).await {
        Ok(run) if over.contains(&run.state()) => Ok(run),
        Ok(run) => Err(format!("{:?} {}: {:?}", run.state(), run.state_reason, run.progress)),
        Err(status) => Err(status.to_string()),
    })
    .await
}

/// What a sync has written so far, as its run tells it.
#[must_use]
pub fn rows(run: &v1::Run) -> i64 {
    match run.progress.as_ref().and_then(|progress| progress.kind.as_ref()) {
        Some(v1::progress::Kind::DbSync(progress)) => progress.rows.unwrap_or(0),
        _ => 0,
    }
}

/// Waits until a run has written so many rows.
///
/// # Panics
/// When it has not within the patience of a test, or ends before.
pub async fn has_written(client: &Client, name: &str, least: i64) {
    until("rows are written", PATIENCE, async || match client.run(name).await {
        Ok(run) if rows(&run) >= least => Ok(()),
        Ok(run) if !matches!(run.state(), State::Pending | State::Running) => {
            panic!("the run has ended before: {:?} {}", run.state(), run.state_reason)
        }
        Ok(run) => Err(format!("{} of {least}", rows(&run))),
        Err(status) => Err(status.to_string()),
    })
    .await;
}

/// A copy that runs on a worker: its shard.
///
/// # Panics
/// When none does within the patience of a test.
pub async fn copying_on(client: &Client, name: &str, node: &str) -> v1::Shard {
    let node = format!("nodes/{node}");
    until("a copy runs there", PATIENCE, async || {
        let shards = client.shards(name).await.map_err(|status| status.to_string())?;
        let running = |shard: &&v1::Shard| {
            shard.node == node && shard.state() == ShardState::Running && shard.title.starts_with("copy")
        };
        shards.iter().find(running).cloned().ok_or_else(|| format!("{shards:?}"))
    })
    .await
}

/// The changes of a run that lift every limit.
#[must_use]
pub fn unlimited() -> v1::DbSyncChange {
    v1::DbSyncChange { rows_per_second: Some(0), bytes_per_second: Some(0), workers: None }
}

/// A message of the API from JSON, for requests that have no shorter way.
#[must_use]
pub fn run_and_watch(spec: &Value) -> v1::RunAndWatchRequest {
    message("RunAndWatchRequest", &json!({ "spec": { "db_sync": spec }, "interval": "0.2s" }))
}
