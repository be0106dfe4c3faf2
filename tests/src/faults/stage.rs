//! The stage: three masters, three sentinels, three workers, three members of etcd, a store, and databases for a sync, each
//! node in a place of its own where there can be places.
//!
//! In: nothing. Out: [`Stage`], healthy. Never: is used after a trial that failed on it. Tests: `tests/tests/t70_faults.rs`.

use super::fault::Whom;
use crate::cluster::{Client, Cluster, Store};
use crate::databases::Postgres;
use crate::dataset::{Database, Engine, Orders};
use crate::etcd::EtcdCluster;
use crate::net::{Peer, Place, World};
use crate::patience::asked;
use crate::relay::Relay;
use shanty_rt::coord::{Etcd, EtcdOptions};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Rows that the sync copies.
const ROWS: u64 = 60_000;
/// How long a cluster may take to be whole again.
const WHOLE: Duration = Duration::from_secs(40);
/// Between two starts of a master that ends by itself: `RestartSec` of its unit.
const RESTART: Duration = Duration::from_millis(500);
/// For one answer.
const ANSWER: Duration = Duration::from_millis(500);

/// All of it. The order is that of ending.
#[derive(Debug)]
pub struct Stage {
    /// Masters, sentinels, workers.
    pub cluster: Cluster,
    pub(super) etcd: EtcdCluster,
    /// What the cluster coordinates through.
    pub(super) coord: Etcd,
    /// Where masters reach the store.
    pub(super) line: Relay,
    pub(super) store: Postgres,
    /// The store as the test reaches it.
    pub(super) store_base: Database,
    pub(super) source: Database,
    pub(super) target: Database,
    _data: Postgres,
    pub(super) world: Option<World>,
    /// When a master was last started again that had ended by itself.
    started: Option<Instant>,
    /// Masters that did.
    pub(super) fell: Vec<String>,
    /// The address of a store that is gone, led to the one that took its place.
    pub(super) moved: Option<Relay>,
    /// What the store took in this time is lost, nanoseconds of CLOCK_MONOTONIC.
    pub(super) forgotten_ns: Option<(u64, u64)>,
    /// When the store or etcd was set back.
    pub(super) set_back_ns: Option<u64>,
}

impl Stage {
    /// Starts everything; none where a service is missing.
    ///
    /// # Panics
    /// When something does not come up.
    pub async fn start() -> Option<Stage> {
        let world = World::start();
        let place = |name: &str| world.as_ref().map(|world| world.place(name));
        let host = |last: u8| world.as_ref().map_or(Ipv4Addr::LOCALHOST, |world| world.outside(last));
        // So small that it can be filled; a hundred terms take a thousandth of it.
        let etcd =
            EtcdCluster::start_with(&["e0", "e1", "e2"].map(place), &["--quota-backend-bytes=33554432"])?;
        let store = Postgres::start()?;
        let base = store.url();
        let line = Relay::start_at(host(2), format!("127.0.0.1:{}", store.port())).await;
        let store_url =
            base.replace(&format!("@127.0.0.1:{}/", store.port()), &format!("@{}/", line.address));
        let at = world.as_ref().map(|world| world.outside(3));
        let data = Postgres::start_at(at.as_slice(), &[])?;
        let database = |url| Database { engine: Engine::Postgres, url };
        let (source, target) = (database(data.url()), database(data.url()));
        let as_seen = |database: &Database| database.url.replace("@127.0.0.1:", &format!("@{}:", host(3)));
        Orders::keyed("orders").make(&source, ROWS).await;
        let coord = Etcd::connect(EtcdOptions::new(etcd.endpoints())).expect("addresses of etcd");
        let cluster = Cluster::builder()
            .masters(3)
            .workers(3)
            .sentinels(3)
            .etcd(etcd.endpoints())
            .store(Store::Url(store_url))
            .connection("source", &as_seen(&source))
            .connection("target", &as_seen(&target))
            .world(world.as_ref())
            .start()
            .await;
        let store_base = database(base);
        Some(Stage {
            cluster,
            etcd,
            coord,
            line,
            store,
            store_base,
            source,
            target,
            _data: data,
            world,
            started: None,
            fell: Vec::new(),
            moved: None,
            forgotten_ns: None,
            set_back_ns: None,
        })
    }

    /// An address of the bridge, or loopback.
    #[must_use]
    pub fn host(&self, last: u8) -> Ipv4Addr {
        self.world.as_ref().map_or(Ipv4Addr::LOCALHOST, |world| world.outside(last))
    }

    /// Whether nodes live in places of their own.
    #[must_use]
    pub fn has_world(&self) -> bool {
        self.world.is_some()
    }

    /// Clients of all masters but this one.
    pub(super) fn others(&self, but: Option<usize>) -> Vec<Client> {
        (0..self.cluster.masters.len())
            .filter(|at| Some(*at) != but)
            .map(|at| self.cluster.client_of(at))
            .collect()
    }

    /// The other side of a cut.
    pub(super) fn peers(&self, whom: Whom) -> Peer {
        let Some(world) = &self.world else { return Peer::All };
        let named = |names: [&str; 3]| Peer::These(names.map(|name| world.place(name).address).to_vec());
        match whom {
            Whom::All => Peer::All,
            Whom::Etcd => named(["e0", "e1", "e2"]),
            Whom::Workers => named(["w1", "w2", "w3"]),
            Whom::Sentinels => named(["s1", "s2", "s3"]),
            Whom::Store => Peer::These(vec![world.outside(2)]),
        }
    }

    /// Addresses of all masters.
    pub(super) fn masters(&self) -> Peer {
        let place = |place: &Place| place.address;
        Peer::These(self.cluster.masters.iter().filter_map(|node| node.place.as_ref().map(place)).collect())
    }

    /// Waits until all nodes are there and all masters name the same leader; answers its index and its term. Masters that
    /// ended, since their store was away as they began, are started again as systemd would do it.
    ///
    /// # Errors
    /// When it takes too long.
    pub async fn whole(&mut self) -> Result<(usize, u32), String> {
        let clients = self.others(None);
        asked("the cluster is whole", WHOLE, async || {
            self.start_the_ended();
            let mut named = Vec::new();
            for (client, node) in clients.iter().zip(&self.cluster.masters) {
                let now = tokio::time::timeout(ANSWER, client.get_cluster()).await;
                let now = now.map_err(|_| format!("{} does not answer", node.name))?;
                let now = now.map_err(|status| format!("{}: {status}", node.name))?;
                if (now.masters(), now.workers(), now.sentinels()) != (3, 3, 3) || now.leader.is_empty() {
                    return Err(format!("{now:?}"));
                }
                named.push((now.leader, now.epoch));
            }
            let is_one = named.windows(2).all(|pair| pair[0] == pair[1]);
            let leads = |node: &crate::cluster::Node| named[0].0 == format!("nodes/{}", node.name);
            match self.cluster.masters.iter().position(leads) {
                Some(leader) if is_one => Ok((leader, named[0].1)),
                _ => Err(format!("{named:?}")),
            }
        })
        .await
    }

    /// The units' `Restart=always`, with their `RestartSec` between two starts.
    fn start_the_ended(&mut self) {
        if self.started.is_some_and(|last| last.elapsed() < RESTART) {
            return;
        }
        for at in 0..self.cluster.masters.len() {
            if let Some(status) = self.cluster.masters[at].process.ended() {
                self.fell.push(format!("{} ended by itself: {status}", self.cluster.masters[at].name));
                self.cluster.restart_master(at);
                self.started = Some(Instant::now());
            }
        }
    }

    /// What each node said last, for a fault that was not survived.
    #[must_use]
    pub fn last_words(&self) -> String {
        let cluster = &self.cluster;
        let nodes = cluster.masters.iter().chain(&cluster.sentinels).chain(&cluster.workers);
        nodes.map(|node| format!("--- {} said last\n{}\n", node.name, node.process.last_words())).collect()
    }

    /// An empty target for a sync, without a key: a row that is written twice shows.
    pub(super) async fn empty_target(&self) -> Result<(), String> {
        let mut statements = vec!["DROP TABLE IF EXISTS orders".to_owned()];
        statements.extend(Orders::keyless("orders").create(Engine::Postgres));
        self.target.try_run(&statements).await
    }
}
