//! How faults are done, and how they are taken back.
//!
//! In: a stage, an [`Act`]. Out: when it was done, and [`Undo`]s. Never: leaves anything undone that an undo does not
//! name. Tests: `tests/tests/t70_faults.rs`.

use super::disk::Sick;
use super::fault::{Act, Disk, Etcd, Store, Worker};
use super::on_etcd::NOISE;
use super::stage::Stage;
use crate::cluster::{Node, Process};
use crate::dataset::Database;
use crate::net::{Place, Rule, Way};
use crate::patience::asked;
use crate::relay::Relay;
use serde_json::Value;
use shanty_proto::v1;
use shanty_rt::clock::monotonic_ns;
use shanty_rt::coord::{Coord as _, Keys};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;

/// How much of the store's work a replica misses.
const LAG: Duration = Duration::from_secs(2);
/// Connections that say nothing.
const CROWD: usize = 6_000;

/// What takes a part of a fault back.
#[derive(Debug)]
pub(super) enum Undo {
    Master(usize),
    WakeMaster(usize),
    Sentinel(usize),
    WakeSentinel(usize),
    Worker(usize),
    WakeWorker(usize),
    Etcd(usize),
    WakeEtcd(usize),
    Store,
    ThawStore,
    WritableStore,
    QuickStore,
    Rules(Place),
    Disk(Sick),
    Processor(u32, Busy),
    Descriptors(u32),
    Crowd(Vec<TcpStream>),
    Double(Node),
    /// Room for etcd.
    Room,
    /// Etcd, whose data was set back while it was stopped.
    SetBackEtcd,
    /// A sentinel's log, which goes to a full disk.
    SentinelLog(usize, Sick),
}

/// Threads that want all processors, until it is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Busy {
    fn start() -> Busy {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let over = over.clone();
            std::thread::spawn(move || while !over.load(Ordering::Relaxed) {});
        }
        Busy(over)
    }
}

impl Stage {
    /// Does it to the cluster that `leader` leads. Answers when, and what takes it back.
    pub(super) async fn begin(&mut self, act: Act, leader: usize) -> Result<(u64, Vec<Undo>), String> {
        let mut at = monotonic_ns();
        let undo = match act {
            Act::Kill => vec![self.kill(leader)],
            Act::KillTwice => vec![self.kill(leader), self.kill_the_next(leader).await?],
            Act::Stop => {
                self.cluster.masters[leader].process.stop();
                vec![Undo::WakeMaster(leader)]
            }
            Act::Term => {
                self.cluster.masters[leader].process.term();
                vec![Undo::Master(leader)]
            }
            Act::Switchover => {
                self.switch_over(leader).await?;
                Vec::new()
            }
            Act::Part(whom, way, fate) => {
                let place = self.cluster.masters[leader].place.clone().ok_or("there are no places")?;
                let peer = self.peers(whom);
                match way {
                    Some(way) => place.rules(&[Rule { way, peer, fate }]),
                    None => place.rules(&Rule::both(peer, fate)),
                }
                vec![Undo::Rules(place)]
            }
            Act::Etcd(what) => {
                let mut undo = self.etcd(what, leader).await?;
                if matches!(what, Etcd::Compact | Etcd::NoSpace | Etcd::NoSpaceThenKill | Etcd::Restore) {
                    at = monotonic_ns();
                }
                if matches!(what, Etcd::Compact | Etcd::NoSpaceThenKill) {
                    undo.push(self.kill(leader));
                }
                undo
            }
            Act::Sentinels(count) => {
                self.cluster.sentinels[..count].iter_mut().for_each(|node| node.process.kill9());
                at = monotonic_ns();
                let master = self.kill(leader);
                (0..count).map(Undo::Sentinel).chain([master]).collect()
            }
            Act::StopVoter => self.stop_a_voter(leader).await?,
            Act::Disk(what) => {
                let folder = self.cluster.folder().join(&self.cluster.masters[leader].name);
                vec![Undo::Disk(Sick::over(&folder, what)?)]
            }
            Act::WorkerDisk(what) => {
                let folder = self.cluster.folder().join(&self.cluster.workers[0].name);
                let sick = Undo::Disk(Sick::over(&folder, what)?);
                // A new term is what a worker writes down.
                at = monotonic_ns();
                vec![sick, self.kill(leader)]
            }
            Act::SentinelDisks => {
                let mut undo = self.fill_logs().await?;
                at = monotonic_ns();
                undo.push(self.kill(leader));
                undo
            }
            Act::Store(Store::Lag) => {
                at = self.fail_over(None).await?;
                Vec::new()
            }
            Act::Store(Store::LagPastTerm) => {
                at = self.fail_over(Some(leader)).await?;
                Vec::new()
            }
            Act::Store(what) => vec![self.store(what)],
            Act::Starve => {
                let pid = self.cluster.masters[leader].process.pid();
                tool("chrt", &["--all-tasks", "--idle", "--pid", "0", &pid.to_string()])?;
                vec![Undo::Processor(pid, Busy::start())]
            }
            Act::Descriptors => vec![self.hold_descriptors(leader, 0)?],
            Act::Crowd => {
                let held = self.hold_descriptors(leader, 64)?;
                let crowd = crowd(&self.cluster.masters[leader].address).await;
                if crowd.len() == CROWD {
                    self.heal(vec![held]);
                    return Err("the leader's door took them all".to_owned());
                }
                vec![held, Undo::Crowd(crowd)]
            }
            Act::Worker(what) => vec![self.worker(what)?],
            Act::KillWithEtcd => {
                let member = self.etcd.raft_leader().ok_or("etcd has no leader")?;
                at = monotonic_ns();
                self.etcd.kill(member);
                vec![Undo::Etcd(member), self.kill(leader)]
            }
            Act::KillWithHeir => {
                let heir = (0..self.cluster.masters.len()).find(|at| *at != leader).unwrap_or(0);
                vec![self.kill(leader), self.kill(heir)]
            }
            Act::KillWithStore => {
                self.store.kill();
                vec![self.kill(leader), Undo::Store]
            }
        };
        Ok((at, undo))
    }

    /// Takes it back.
    pub(super) fn heal(&mut self, undo: Vec<Undo>) {
        for undo in undo {
            match undo {
                Undo::Master(index) => self.cluster.restart_master(index),
                Undo::WakeMaster(index) => self.cluster.masters[index].process.cont(),
                Undo::Sentinel(index) => self.cluster.restart_sentinel(index),
                Undo::WakeSentinel(index) => self.cluster.sentinels[index].process.cont(),
                Undo::Worker(index) => self.cluster.restart_worker(index),
                Undo::WakeWorker(index) => self.cluster.workers[index].process.cont(),
                Undo::Etcd(index) => self.etcd.restart(index),
                Undo::WakeEtcd(index) => self.etcd.resume(index),
                Undo::Store => self.store.restart(),
                Undo::ThawStore => self.store.thaw(),
                Undo::WritableStore => self.store.set("default_transaction_read_only", None),
                Undo::QuickStore => self.line.slow(Duration::ZERO, Duration::ZERO),
                Undo::Rules(place) => place.rules(&[]),
                Undo::Disk(sick) => drop(sick),
                Undo::Processor(pid, busy) => {
                    drop(busy);
                    if let Err(why) =
                        tool("chrt", &["--all-tasks", "--other", "--pid", "0", &pid.to_string()])
                    {
                        eprintln!("{pid} stays idle: {why}");
                    }
                }
                Undo::Descriptors(pid) => {
                    if let Err(why) = tool("prlimit", &["--pid", &pid.to_string(), "--nofile=1024:"]) {
                        eprintln!("{pid} can open no files: {why}");
                    }
                }
                Undo::Crowd(crowd) => drop(crowd),
                Undo::Room => {
                    if let Err(why) = self.etcd.make_room(NOISE) {
                        eprintln!("etcd stays out of space: {why}");
                    }
                }
                Undo::SetBackEtcd => {
                    self.set_back_ns = Some(monotonic_ns());
                    self.etcd.restart_all();
                }
                Undo::SentinelLog(index, sick) => {
                    let log = self.log_of(index);
                    let _it_was_a_link = std::fs::remove_file(&log);
                    let _back = std::fs::rename(log.with_extension("before"), &log);
                    self.cluster.restart_sentinel(index);
                    drop(sick);
                }
                Undo::Double(node) => {
                    drop(node);
                    // The first one may have given way to it.
                    self.cluster.restart_worker(0);
                }
            }
        }
    }

    fn kill(&mut self, master: usize) -> Undo {
        self.cluster.masters[master].process.kill9();
        Undo::Master(master)
    }

    async fn switch_over(&self, leader: usize) -> Result<(), String> {
        let request = v1::TransferLeadershipRequest::default();
        let client = self.cluster.client_of((leader + 1) % self.cluster.masters.len());
        // A standby that has just heard of the leader may be told to ask again: that time counts.
        let told = asked("a switchover", Duration::from_secs(5), async || {
            client.cluster.clone().transfer_leadership(request.clone()).await
        });
        told.await.map(drop)
    }

    /// A switchover, and waits until the next term has begun.
    pub(super) async fn next_term(&self, leader: usize) -> Result<(), String> {
        let client = self.cluster.client_of(leader);
        let now = async || client.get_cluster().await.map_err(|status| status.to_string());
        let before = now().await?.epoch;
        self.switch_over(leader).await?;
        asked("the next term", Duration::from_secs(10), async || match now().await? {
            now if now.epoch > before && !now.leader.is_empty() => Ok(()),
            now => Err(format!("{now:?}")),
        })
        .await
    }

    /// The leader may open so many descriptors more, and no others.
    fn hold_descriptors(&self, leader: usize, more: usize) -> Result<Undo, String> {
        let pid = self.cluster.masters[leader].process.pid();
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        tool("prlimit", &["--pid", &pid.to_string(), &format!("--nofile={}:", open + more)])?;
        Ok(Undo::Descriptors(pid))
    }

    fn log_of(&self, sentinel: usize) -> PathBuf {
        self.cluster.folder().join(format!("{}.log", self.cluster.sentinels[sentinel].name))
    }

    /// Starts all sentinels again, with logs on full disks, and waits until they are there.
    async fn fill_logs(&mut self) -> Result<Vec<Undo>, String> {
        let before = self.sentinel_starts().await?;
        let mut undo = Vec::new();
        for index in 0..self.cluster.sentinels.len() {
            let log = self.log_of(index);
            // Nothing else of a sentinel is on a disk, so its folder is free for this one.
            let folder = self.cluster.folder().join(&self.cluster.sentinels[index].name);
            let sick = Sick::over(&folder, Disk::Full)?;
            let moved = std::fs::rename(&log, log.with_extension("before"));
            moved.and_then(|()| symlink(folder.join("log"), &log)).map_err(|error| error.to_string())?;
            self.cluster.restart_sentinel(index);
            undo.push(Undo::SentinelLog(index, sick));
        }
        // The registrations of the processes before outlive them by their leases.
        asked("the new sentinels are registered", Duration::from_secs(20), async || {
            let now = self.sentinel_starts().await?;
            let is_new = now.len() == self.cluster.sentinels.len() && now.is_disjoint(&before);
            if is_new { Ok(()) } else { Err(format!("{now:?}, before {before:?}")) }
        })
        .await?;
        self.whole().await?;
        Ok(undo)
    }

    /// The starts of sentinels that a master knows of.
    async fn sentinel_starts(&self) -> Result<BTreeSet<String>, String> {
        let nodes = self.cluster.client().list_nodes().await.map_err(|status| status.to_string())?;
        let sentinels = nodes.into_iter().filter(|node| node.role() == v1::node::Role::Sentinel);
        Ok(sentinels.map(|node| node.incarnation).collect())
    }

    /// A replica that heard nothing of the store's last two seconds takes its place, at its address; a change of leaders may
    /// fall into them. Answers when the store died.
    async fn fail_over(&mut self, leader: Option<usize>) -> Result<u64, String> {
        let replica = self.store.replica();
        let store = self.store_base.clone();
        let parts = store.url.rsplit_once('@').and_then(|(user, rest)| Some((user, rest.split_once('/')?.1)));
        let (user, name) = parts.ok_or_else(|| format!("{} names no database", store.url))?;
        let url = format!("{user}@127.0.0.1:{}/{name}", replica.port());
        let lagging = Database { engine: store.engine, url };
        let runs = async |of: &Database| -> Result<u64, String> {
            let rows = of.try_rows("SELECT count(*) FROM run").await?;
            let cell = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
            cell.and_then(|cell| cell.parse().ok()).ok_or_else(|| "no count of runs".to_owned())
        };
        let hears = async |wanted: usize| {
            asked("what the replica hears", Duration::from_secs(10), async || {
                let streams = "SELECT status FROM pg_stat_wal_receiver WHERE status = 'streaming'";
                let rows = lagging.try_rows(streams).await?;
                if rows.len() == wanted { Ok(()) } else { Err(format!("{rows:?}")) }
            })
            .await
        };
        hears(1).await?;
        // What was committed just before may be on its way.
        let from = monotonic_ns() - 200_000_000;
        replica.hears_no_more();
        hears(0).await?;
        if let Some(leader) = leader {
            self.next_term(leader).await?;
        }
        tokio::time::sleep(LAG).await;
        let had = runs(&store).await?;
        let at = monotonic_ns();
        self.store.kill();
        let old = SocketAddr::from((Ipv4Addr::LOCALHOST, self.store.port()));
        let address = self.moved.take().map_or(old, |relay| relay.address);
        replica.promote();
        let kept = runs(&lagging).await?;
        if kept >= had {
            return Err(format!("the replica has {kept} runs of {had}: it did not lag"));
        }
        (self.forgotten_ns, self.set_back_ns) = (Some((from, at)), Some(at));
        let server = format!("127.0.0.1:{}", replica.port());
        let moved = asked("the store's address", Duration::from_secs(10), async || {
            Relay::start_on(address, server.clone()).await
        });
        self.moved = Some(moved.await?);
        self.store = replica;
        Ok(at)
    }

    /// Kills whoever takes the leader key after `old`, as soon as the key is there.
    async fn kill_the_next(&mut self, old: usize) -> Result<Undo, String> {
        let key = Keys::new("test").leader();
        let gone = self.cluster.masters[old].name.clone();
        let coord = self.coord.clone();
        let next = asked("another has the leader key", Duration::from_secs(10), async || {
            let entry = coord.get(&key).await.map_err(|error| error.to_string())?.ok_or("nobody leads")?;
            let value: Value = serde_json::from_slice(&entry.value).map_err(|error| error.to_string())?;
            let node = value["node"].as_str().unwrap_or_default().to_owned();
            if node.is_empty() || node == gone { Err(value.to_string()) } else { Ok(node) }
        })
        .await?;
        let next = self.cluster.masters.iter().position(|node| node.name == next).ok_or("it is no master")?;
        Ok(self.kill(next))
    }

    /// Stops the leader, and the first sentinel that votes against it.
    async fn stop_a_voter(&mut self, leader: usize) -> Result<Vec<Undo>, String> {
        let votes = |node: &Node| node.process.log().matches("votes against the leader").count();
        let before: Vec<usize> = self.cluster.sentinels.iter().map(votes).collect();
        self.cluster.masters[leader].process.stop();
        let sentinels = &self.cluster.sentinels;
        let voter = asked("a sentinel votes", Duration::from_secs(10), async || {
            (0..sentinels.len()).find(|at| votes(&sentinels[*at]) > before[*at]).ok_or("none does")
        })
        .await?;
        self.cluster.sentinels[voter].process.stop();
        Ok(vec![Undo::WakeMaster(leader), Undo::WakeSentinel(voter)])
    }

    fn store(&mut self, what: Store) -> Undo {
        match what {
            Store::Lag | Store::LagPastTerm => unreachable!("the act does these itself"),
            Store::Kill => {
                self.store.kill();
                Undo::Store
            }
            Store::Freeze => {
                self.store.freeze();
                Undo::ThawStore
            }
            Store::ReadOnly => {
                self.store.set("default_transaction_read_only", Some("on"));
                Undo::WritableStore
            }
            Store::Slow => {
                self.line.slow(Duration::from_secs(2), Duration::ZERO);
                Undo::QuickStore
            }
        }
    }

    fn worker(&mut self, what: Worker) -> Result<Undo, String> {
        let process: &mut Process = &mut self.cluster.workers[0].process;
        Ok(match what {
            Worker::Kill => {
                process.kill9();
                Undo::Worker(0)
            }
            Worker::Stop => {
                process.stop();
                Undo::WakeWorker(0)
            }
            Worker::Part => {
                let place = self.cluster.workers[0].place.clone().ok_or("there are no places")?;
                let peer = self.masters();
                place.rules(&[Way::Out, Way::In].map(|way| {
                    let peer = peer.clone();
                    Rule { way, peer, fate: crate::net::Fate::Drop }
                }));
                Undo::Rules(place)
            }
            Worker::Double => Undo::Double(self.cluster.double_of(0)),
        })
    }
}

/// Connects to a door and says nothing; those that are not taken within a second are given up.
async fn crowd(address: &str) -> Vec<TcpStream> {
    let tries = (0..CROWD).map(|_| tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address)));
    futures_util::future::join_all(tries).await.into_iter().filter_map(|tried| tried.ok()?.ok()).collect()
}

/// Runs a tool of the system.
fn tool(program: &str, args: &[&str]) -> Result<(), String> {
    let said = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if said.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&said.stderr).trim()))
}
