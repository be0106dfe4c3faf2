//! Puts a cluster together and waits until it answers.
//!
//! In: what the test asks for. Out: [`Cluster`]. Never: waits for a time; each step has a condition.

use super::{Client, Cluster, Node, Process, Tls, binary, free_port};
use crate::certificates::Certificates;
use crate::net::{Place, World};
use crate::patience::until;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::Mutex;

/// One cluster at a time: two cores are few, and timings are judged.
static ALONE: LazyLock<Arc<Mutex<()>>> = LazyLock::new(|| Arc::new(Mutex::new(())));

/// Where masters keep what they know.
#[derive(Debug, Clone)]
pub enum Store {
    /// A file in the cluster's folder; for one master.
    Sqlite,
    /// A database, as a URL.
    Url(String),
}

/// A cluster to be.
#[derive(Debug)]
pub struct Builder {
    masters: usize,
    workers: usize,
    sentinels: usize,
    store: Store,
    etcd: Vec<String>,
    /// Port and advertised address of single masters.
    places: BTreeMap<usize, (u16, String)>,
    master_args: Vec<String>,
    worker_args: Vec<String>,
    connections: Vec<(String, String)>,
    world: Option<World>,
    tls: Option<Certificates>,
    /// Of every node: one file has tables for all roles.
    config: Option<toml::Table>,
    /// Where workers find the masters, when it is not where these listen.
    found_at: Vec<String>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            masters: 1,
            workers: 1,
            sentinels: 0,
            store: Store::Sqlite,
            etcd: Vec::new(),
            places: BTreeMap::new(),
            master_args: Vec::new(),
            worker_args: Vec::new(),
            connections: Vec::new(),
            world: None,
            tls: None,
            config: None,
            found_at: Vec::new(),
        }
    }
}

impl Builder {
    /// Number of masters. More than one needs etcd and a database.
    #[must_use]
    pub fn masters(mut self, count: usize) -> Builder {
        self.masters = count;
        self
    }

    /// Number of workers.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Builder {
        self.workers = count;
        self
    }

    /// Number of sentinels; they need etcd.
    #[must_use]
    pub fn sentinels(mut self, count: usize) -> Builder {
        self.sentinels = count;
        self
    }

    /// A master that listens on `port` and says that it is at `advertise`.
    #[must_use]
    pub fn master_at(mut self, index: usize, port: u16, advertise: &str) -> Builder {
        self.places.insert(index, (port, advertise.to_owned()));
        self
    }

    /// The store.
    #[must_use]
    pub fn store(mut self, store: Store) -> Builder {
        self.store = store;
        self
    }

    /// The members of etcd.
    #[must_use]
    pub fn etcd(mut self, endpoints: Vec<String>) -> Builder {
        self.etcd = endpoints;
        self
    }

    /// More arguments for each master.
    #[must_use]
    pub fn master_args(mut self, args: &[&str]) -> Builder {
        self.master_args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// More arguments for each worker.
    #[must_use]
    pub fn worker_args(mut self, args: &[&str]) -> Builder {
        self.worker_args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// A database that every worker reaches by this name.
    #[must_use]
    pub fn connection(mut self, name: &str, url: &str) -> Builder {
        self.connections.push((name.to_owned(), url.to_owned()));
        self
    }

    /// Workers are told that the masters are here.
    #[must_use]
    pub fn masters_found_at(mut self, addresses: Vec<String>) -> Builder {
        self.found_at = addresses;
        self
    }

    /// Everything is over TLS: each node has the certificates of its name, and the test those of `client`.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Builder {
        self.tls = Some(certificates.clone());
        self
    }

    /// Every node reads this file of configuration. The workers' databases go into another one, so there can be none.
    #[must_use]
    pub fn config(mut self, tables: toml::Table) -> Builder {
        self.config = Some(tables);
        self
    }

    /// Each node lives in a place of its own, named as the node.
    #[must_use]
    pub fn world(mut self, world: Option<&World>) -> Builder {
        self.world = world.cloned();
        self
    }

    /// Starts everything; answers when a master leads and all workers are ready.
    ///
    /// # Panics
    /// When a process cannot be started, ends, or does not get ready in time.
    pub async fn start(self) -> Cluster {
        let alone = ALONE.clone().lock_owned().await;
        let folder = tempfile::Builder::new().prefix("shanty-test-").tempdir().expect("temporary folder");
        let port = |index| self.places.get(&index).map_or_else(free_port, |(port, _)| *port);
        let world = self.world.as_ref();
        let tls = self.tls.map(|certificates| Tls { client: certificates.open("client"), certificates });
        let place = |name: &str| world.map(|world| world.place(name));
        let host = |index: usize| match place(&format!("m{}", index + 1)) {
            Some(place) => place.address,
            None => Ipv4Addr::LOCALHOST,
        };
        let addresses: Vec<String> =
            (0..self.masters).map(|index| format!("{}:{}", host(index), port(index))).collect();
        let config = self.config.map(|tables| {
            assert!(self.connections.is_empty(), "two files of configuration");
            let file = folder.path().join("node.toml");
            std::fs::write(&file, tables.to_string()).expect("the nodes' configuration");
            ["--config".to_owned(), file.display().to_string()]
        });
        let config: Vec<String> = config.into_iter().flatten().collect();
        let mut masters = Vec::new();
        for (i, address) in addresses.iter().enumerate() {
            let name = format!("m{}", i + 1);
            let mut args = Vec::new();
            let mut add = |flag: &str, value: String| args.extend([flag.to_owned(), value]);
            add("--node", name.clone());
            add("--listen", address.clone());
            add("--cluster", "test".to_owned());
            add("--data", folder.path().join(&name).display().to_string());
            match &self.store {
                Store::Sqlite => {
                    let file = folder.path().join(&name).join("shanty.db");
                    add("--store", format!("sqlite://{}", file.display()));
                }
                Store::Url(url) => add("--store", url.clone()),
            }
            if !self.etcd.is_empty() {
                add("--etcd", self.etcd.join(","));
            }
            if let Some((_, advertise)) = self.places.get(&i) {
                add("--advertise", advertise.clone());
            }
            args.extend(world.map(|_| "--insecure".to_owned()));
            args.extend(config.iter().cloned());
            args.extend(args_of(&name, &self.master_args, tls.as_ref()));
            masters.push(start_node("shanty-master", &name, address, folder.path(), args, place(&name)));
        }
        let found_at = if self.found_at.is_empty() { &addresses } else { &self.found_at };
        let mut worker_args = vec!["--masters".to_owned(), found_at.join(",")];
        worker_args.extend(self.worker_args);
        worker_args.extend(config.iter().cloned());
        if !self.connections.is_empty() {
            let file = folder.path().join("worker.toml");
            std::fs::write(&file, connections(&self.connections)).expect("the workers' configuration");
            worker_args.extend(["--config".to_owned(), file.display().to_string()]);
        }
        let names: Vec<String> = (1..=self.sentinels).map(|n| format!("s{n}")).collect();
        let sentinels = names
            .iter()
            .map(|name| start_sentinel(name, folder.path(), &self.etcd, &names, &config, world, tls.as_ref()))
            .collect();
        let credentials = tls.as_ref().map(|tls| tls.client.clone());
        let client = |address: &String| Client::with(address, credentials.as_ref());
        let clients: Vec<Client> = addresses.iter().map(client).collect();
        let mut cluster = Cluster {
            masters,
            workers: Vec::new(),
            sentinels,
            worker_args,
            world: self.world,
            tls,
            folder,
            _alone: alone,
        };
        for (index, client) in clients.iter().enumerate() {
            answers(&mut cluster.masters[index], client).await;
        }
        cluster.leader().await;
        for _ in 0..self.workers {
            cluster.add_worker();
        }
        cluster.workers_ready(self.workers).await;
        if self.sentinels > 0 {
            sentinels_vote(&cluster).await;
        }
        cluster
    }
}

/// The part of a worker's configuration that names databases.
fn connections(all: &[(String, String)]) -> String {
    let mut tables = toml::Table::new();
    for (name, url) in all {
        let url = toml::Value::String(url.clone());
        tables.insert(name.clone(), toml::Table::from_iter([("url".to_owned(), url)]).into());
    }
    let worker = toml::Table::from_iter([("connections".to_owned(), tables.into())]);
    toml::Table::from_iter([("worker".to_owned(), worker.into())]).to_string()
}

/// Waits until a master answers, or says why it ended.
async fn answers(master: &mut Node, client: &Client) {
    let process = &mut master.process;
    let asked = until("the master answers", Duration::from_secs(30), async || {
        if let Some(status) = process.ended() {
            return Ok(Err(format!("{} ended with {status}:\n{}", process.name(), process.last_words())));
        }
        match client.get_cluster().await {
            Ok(_) => Ok(Ok(())),
            // A master that speaks is there, whoever leads.
            Err(status)
                if status.code() == tonic::Code::Unavailable && status.message().contains("leader") =>
            {
                Ok(Ok(()))
            }
            Err(status) => Err(status),
        }
    });
    if let Err(reason) = asked.await {
        panic!("{reason}");
    }
}

/// Waits until each sentinel has seen all others and every master.
async fn sentinels_vote(cluster: &Cluster) {
    until("sentinels that vote", Duration::from_secs(20), async || {
        let now = cluster.client().get_cluster().await.map_err(|status| status.to_string())?;
        let ready = |node: &Node| node.process.log().contains("this sentinel votes");
        match cluster.sentinels.iter().find(|node| !ready(node)) {
            Some(node) => Err(format!("{}: {}", node.name, node.process.last_words())),
            None if now.voters.len() == cluster.sentinels.len() => Ok(()),
            None => Err(format!("{now:?}")),
        }
    })
    .await;
}

/// A node's arguments, with those that name its certificates.
pub(super) fn args_of(name: &str, args: &[String], tls: Option<&Tls>) -> Vec<String> {
    let flags = tls.map(|tls| tls.certificates.flags(name)).unwrap_or_default();
    args.iter().cloned().chain(flags).collect()
}

pub(super) fn start_sentinel(
    name: &str,
    folder: &Path,
    etcd: &[String],
    members: &[String],
    more: &[String],
    world: Option<&World>,
    tls: Option<&Tls>,
) -> Node {
    let place = world.map(|world| world.place(name));
    let mut args = Vec::new();
    let mut add = |flag: &str, value: String| args.extend([flag.to_owned(), value]);
    add("--node", name.to_owned());
    add("--cluster", "test".to_owned());
    add("--etcd", etcd.join(","));
    if !members.is_empty() {
        add("--members", members.join(","));
    }
    if let Some(place) = &place {
        add("--listen", format!("{}:0", place.address));
        args.push("--insecure".to_owned());
    }
    args.extend(more.iter().cloned());
    let args = args_of(name, &args, tls);
    start_node("shanty-sentinel", name, "", folder, args, place)
}

pub(super) fn start_worker(name: &str, folder: &Path, more: &[String], world: Option<&World>) -> Node {
    let place = world.map(|world| world.place(name));
    let mut args = vec!["--node".to_owned(), name.to_owned()];
    args.extend(["--data".to_owned(), folder.join(name).display().to_string()]);
    args.extend(more.iter().cloned());
    start_node("shanty-worker", name, "", folder, args, place)
}

pub(super) fn restart(node: &mut Node, folder: &Path) {
    let args = node.args.clone();
    node.process.kill9();
    let place = node.place.clone();
    *node = start_node(node.program, &node.name.clone(), &node.address.clone(), folder, args, place);
}

pub(super) fn start_twin(of: &Node, folder: &Path) -> Node {
    let name = format!("{}-twin", of.name);
    let mut args = of.args.clone();
    for at in 1..args.len() {
        match args[at - 1].as_str() {
            "--listen" => args[at] = format!("127.0.0.1:{}", free_port()),
            "--data" => args[at] = folder.join(&name).display().to_string(),
            _ => {}
        }
    }
    start_node(of.program, &name, "", folder, args, None)
}

fn start_node(
    program: &'static str,
    name: &str,
    address: &str,
    folder: &Path,
    args: Vec<String>,
    place: Option<Place>,
) -> Node {
    std::fs::create_dir_all(folder.join(name)).expect("the node's folder");
    let file = binary::program(program);
    let (file, words) = match &place {
        Some(place) => place.inside(&file, &args),
        None => (file, args.clone()),
    };
    let process = Process::start(name, folder, &file, &words).expect("the process starts");
    Node { name: name.to_owned(), address: address.to_owned(), process, place, program, args }
}
