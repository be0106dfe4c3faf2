//! A cluster of real processes: masters and workers from their own programs, on free loopback ports, with
//! folders and logs of their own.
//!
//! ```text
//!  Cluster::builder().masters(2).workers(3).etcd(…).store(…).start()
//!        └─ builds the programs if need be → starts masters → they answer → starts workers → all attached
//! ```
//! In: numbers of nodes, a store, a coordinator. Out: [`Cluster`] with a [`Client`] per master and the
//! processes to kill, stop and continue. Never: outlives its owner. One cluster at a time per test program,
//! so that timings are not each other's.
//! Tests: `tests/tests/t10_load.rs` and the areas after it.

pub mod binary;
mod builder;
mod client;
mod ports;
mod process;

pub use builder::{Builder, Store};
pub use client::{Client, json, message};
pub use ports::free_port;
pub use process::Process;

use crate::certificates::Certificates;
use crate::net::{Place, World};
use crate::patience::{eventually, until};
use shanty_proto::v1;
use shanty_rt::tls::Credentials;
use std::path::Path;
use std::time::Duration;

/// A master or a worker.
#[derive(Debug)]
pub struct Node {
    /// Its node id.
    pub name: String,
    /// Address of its API (masters), else empty.
    pub address: String,
    /// Its process.
    pub process: Process,
    /// Where it lives, when it is not on loopback.
    pub place: Option<Place>,
    program: &'static str,
    args: Vec<String>,
}

/// The certificates of a cluster, and those that the test itself shows.
#[derive(Debug, Clone)]
struct Tls {
    certificates: Certificates,
    client: Credentials,
}

/// Processes that work together.
#[derive(Debug)]
pub struct Cluster {
    /// The masters, m1 first.
    pub masters: Vec<Node>,
    /// The workers, w1 first.
    pub workers: Vec<Node>,
    /// The sentinels, s1 first.
    pub sentinels: Vec<Node>,
    worker_args: Vec<String>,
    world: Option<World>,
    tls: Option<Tls>,
    folder: tempfile::TempDir,
    _alone: tokio::sync::OwnedMutexGuard<()>,
}

impl Cluster {
    /// A cluster to be: one master and one worker, SQLite, no etcd.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A client of the first master.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_of(0)
    }

    /// A client of a master.
    #[must_use]
    pub fn client_of(&self, master: usize) -> Client {
        Client::with(&self.masters[master].address, self.tls.as_ref().map(|tls| &tls.client))
    }

    /// The certificates that this test shows to masters.
    ///
    /// # Panics
    /// When the cluster is not over TLS.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.tls.as_ref().expect("a cluster over TLS").client
    }

    /// Folder of all data and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Index of the master that leads, asked from each until one knows.
    ///
    /// # Panics
    /// When none leads within 20 s.
    pub async fn leader(&self) -> usize {
        until("a leader", Duration::from_secs(20), async || self.find_leader().await).await
    }

    async fn find_leader(&self) -> Result<usize, String> {
        let mut last = "no master was asked".to_owned();
        for (i, master) in self.masters.iter().enumerate() {
            match self.client_of(i).get_cluster().await {
                Ok(cluster) => {
                    let leads = |node: &Node| cluster.leader == format!("nodes/{}", node.name);
                    match self.masters.iter().position(leads) {
                        Some(leader) => return Ok(leader),
                        None => last = format!("{} says leader {:?}", master.name, cluster.leader),
                    }
                }
                Err(status) => last = format!("{}: {status}", master.name),
            }
        }
        Err(last)
    }

    /// Waits until this many workers are ready at the leader.
    ///
    /// # Panics
    /// When they are not within 20 s.
    pub async fn workers_ready(&self, count: usize) {
        let ready = |nodes: &[v1::Node]| {
            let ready = |node: &&v1::Node| {
                node.role() == v1::node::Role::Worker && node.state() == v1::node::State::Ready
            };
            nodes.iter().filter(ready).count()
        };
        until("ready workers", Duration::from_secs(20), async || {
            let leader = self.find_leader().await?;
            match self.client_of(leader).list_nodes().await {
                Ok(nodes) if ready(&nodes) == count => Ok(()),
                Ok(nodes) => Err(format!("{} of {count}: {nodes:?}", ready(&nodes))),
                Err(status) => Err(status.to_string()),
            }
        })
        .await;
    }

    /// Starts one more worker.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn add_worker(&mut self) -> usize {
        let name = format!("w{}", self.workers.len() + 1);
        let args = builder::args_of(&name, &self.worker_args, self.tls.as_ref());
        let node = builder::start_worker(&name, self.folder.path(), &args, self.world.as_ref());
        self.workers.push(node);
        self.workers.len() - 1
    }

    /// Starts one more sentinel, which names no members.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn add_sentinel(&mut self, name: &str, etcd: &[String]) -> usize {
        self.sentinels.push(builder::start_sentinel(
            name,
            self.folder.path(),
            etcd,
            &[],
            &[],
            self.world.as_ref(),
            self.tls.as_ref(),
        ));
        self.sentinels.len() - 1
    }

    /// Starts another process with a node's name, with a folder and an address of its own.
    ///
    /// # Panics
    /// When the process cannot be started.
    #[must_use]
    pub fn start_twin(&self, of: &Node) -> Node {
        builder::start_twin(of, self.folder.path())
    }

    /// Starts a master again that was killed, with its old folder and address.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn restart_master(&mut self, index: usize) {
        builder::restart(&mut self.masters[index], self.folder.path());
    }

    /// Starts a worker again that was killed, with its old folder.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn restart_worker(&mut self, index: usize) {
        builder::restart(&mut self.workers[index], self.folder.path());
    }

    /// Starts a sentinel again that was killed.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn restart_sentinel(&mut self, index: usize) {
        builder::restart(&mut self.sentinels[index], self.folder.path());
    }

    /// Starts a second process under a worker's name, with a folder of its own.
    ///
    /// # Panics
    /// When the process cannot be started.
    #[must_use]
    pub fn double_of(&self, worker: usize) -> Node {
        let folder = self.folder.path().join("double");
        std::fs::create_dir_all(&folder).expect("a folder");
        let name = &self.workers[worker].name;
        let args = builder::args_of(name, &self.worker_args, self.tls.as_ref());
        builder::start_worker(name, &folder, &args, self.world.as_ref())
    }

    /// Waits until a run is in a state.
    ///
    /// # Panics
    /// When it is not within the time.
    pub async fn run_is(&self, name: &str, state: v1::run::State, within: Duration) -> v1::Run {
        let client = self.client();
        eventually(&format!("{name} is {}", state.as_str_name()), within, async || {
            client.run(name).await.is_ok_and(|run| run.state() == state)
        })
        .await;
        until("the run", within, async || client.run(name).await).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("--- data and logs are kept in {}", self.folder.path().display());
        }
    }
}
