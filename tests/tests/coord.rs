//! Coordination on real etcd members: the conformance suite, the election, and what happens when members
//! die or hang.

use shanty_master::election::{
    Elector, FenceError, FenceOutcome, FenceStore, Leadership, Mandate, Options, Reign, Term,
};
use shanty_model::epoch::Epoch;
use shanty_rt::coord::{Coord, Error, Etcd, EtcdOptions, EtcdSettings, Memory, Op, WatchEvent, conformance};
use shanty_rt::task::Scope;
use shanty_tests::certificates::{Authority, Certificates};
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::patience::{eventually, until};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(cluster: &EtcdCluster) -> Etcd {
    Etcd::connect(EtcdOptions::new(cluster.endpoints())).unwrap()
}

async fn conforms(etcd: &Etcd) {
    conformance::run(Arc::new(etcd.clone())).await.unwrap();
}

fn put(key: &str, value: &str) -> Vec<Op> {
    vec![Op::Put { key: key.to_owned(), value: value.as_bytes().to_vec(), lease: None }]
}

/// Writes, again when it is not known whether it was done; etcd may be electing.
async fn write(etcd: &Etcd, key: &str, value: &str) {
    until("etcd takes a write", PATIENCE, async || etcd.txn(Vec::new(), put(key, value)).await).await;
}

#[tokio::test]
async fn memory_conforms() {
    conformance::run(Arc::new(Memory::new())).await.unwrap();
}

#[tokio::test]
async fn one_etcd_member_conforms() {
    let Some(cluster) = EtcdCluster::start(1) else { return };
    conforms(&connect(&cluster)).await;
}

#[tokio::test]
async fn etcd_with_certificates_and_users_conforms_and_lets_nobody_else_in() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new("etcd's"), Authority::new("a stranger's"));
    let certificates = Certificates::below(folder.path());
    let day = Duration::from_secs(86_400);
    for node in ["etcd", "client"] {
        certificates.write(node, &authority.issue(node, Some(day)), &authority.pem());
    }
    certificates.write("stranger", &stranger.issue("stranger", Some(day)), &authority.pem());
    let Some(mut cluster) = EtcdCluster::start_over_tls(3, &certificates) else { return };
    cluster.ask_for_users("/");
    let settings = |user: &str, password: &str, node: &str| EtcdSettings {
        endpoints: cluster.endpoints(),
        user: user.to_owned(),
        password: password.to_owned(),
        tls: certificates.of(node),
    };
    let open = |settings: &EtcdSettings| Etcd::connect(settings.options().unwrap()).unwrap();
    let etcd = open(&settings("shanty", "hunter2", "client"));
    conforms(&etcd).await;

    let wrong = open(&settings("shanty", "hunter3", "client")).get("/t/x").await.unwrap_err();
    assert!(matches!(&wrong, Error::Refused(why) if why.contains("authentication failed")), "{wrong:?}");
    let nobody = open(&settings("", "", "client")).get("/t/x").await.unwrap_err();
    assert!(matches!(&nobody, Error::Refused(_)), "{nobody:?}");
    let stranger = open(&settings("shanty", "hunter2", "stranger")).get("/t/x").await.unwrap_err();
    assert!(matches!(&stranger, Error::Unreachable(_)), "{stranger:?}");

    // Tokens of before a change of roles are not taken any more.
    let (lease, _) = etcd.grant(Duration::from_secs(60)).await.unwrap();
    let (done, said) = cluster.ctl(0, &["--user", "root:root", "role", "add", "other"]);
    assert!(done, "{said}");
    etcd.keep_alive(lease).await.unwrap();
    etcd.txn(Vec::new(), put("/t/roles", "changed")).await.unwrap();
    // A member that is started again knows no token.
    for member in 0..3 {
        cluster.restart(member);
        etcd.keep_alive(lease).await.unwrap();
        write(&etcd, "/t/restarted", "").await;
    }
    conforms(&etcd).await;
}

#[tokio::test]
async fn three_etcd_members_conform_with_one_paused_or_dead() {
    let Some(mut cluster) = EtcdCluster::start(3) else { return };
    let etcd = connect(&cluster);
    conforms(&etcd).await;

    cluster.pause(0);
    write(&etcd, "/t/paused", "").await;
    conforms(&etcd).await;
    cluster.resume(0);

    // The one that leads, so that etcd elects on the way.
    until("etcd has a leader", PATIENCE, async || cluster.raft_leader().ok_or("none")).await;
    let leader = cluster.raft_leader().unwrap_or(1);
    cluster.kill(leader);
    write(&etcd, "/t/killed", "").await;
    conforms(&etcd).await;
    cluster.restart(leader);
    conforms(&etcd).await;
}

#[tokio::test]
async fn a_watch_misses_nothing_while_its_members_hang_and_die() {
    let Some(mut cluster) = EtcdCluster::start(3) else { return };
    let etcd = connect(&cluster);
    let mut watch = etcd.watch("/t/");
    assert_eq!(watch.next().await, Some(WatchEvent::Snapshot(Vec::new())));
    for (round, fault) in ["pause", "kill", "pause", "kill"].into_iter().enumerate() {
        let member = round % 3;
        match fault {
            "pause" => cluster.pause(member),
            _ => cluster.kill(member),
        }
        let value = format!("{round}");
        write(&etcd, "/t/k", &value).await;
        let told = async {
            while let Some(event) = watch.next().await {
                let newest = match event {
                    WatchEvent::Snapshot(entries) => entries.into_iter().find(|entry| entry.key == "/t/k"),
                    WatchEvent::Put(entry) => Some(entry),
                    WatchEvent::Delete { .. } => None,
                };
                if newest.is_some_and(|entry| entry.value == value.as_bytes()) {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("the watch tells what was written");
        match fault {
            "pause" => cluster.resume(member),
            _ => cluster.restart(member),
        }
    }
}

#[tokio::test]
async fn without_a_majority_every_call_ends_in_time_and_says_unreachable() {
    let Some(mut cluster) = EtcdCluster::start(3) else { return };
    let etcd = connect(&cluster);
    let (lease, _) = etcd.grant(Duration::from_secs(60)).await.unwrap();
    write(&etcd, "/t/k", "1").await;
    cluster.pause(0);
    cluster.kill(1);

    let began = Instant::now();
    assert!(matches!(etcd.get("/t/k").await, Err(Error::Unreachable(_))));
    assert!(matches!(etcd.txn(Vec::new(), put("/t/k", "2")).await, Err(Error::Unreachable(_))));
    // Two calls, three members, 800 ms each, and a quick question before the write.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());

    cluster.resume(0);
    eventually("etcd answers again", PATIENCE, async || etcd.get("/t/k").await.is_ok()).await;
    // The lease was not renewed for a while and lives: etcd's new leader gave it its whole time again.
    until("the lease is renewed", PATIENCE, async || etcd.keep_alive(lease).await).await;
}

type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store that is nothing but its fence.
#[derive(Default)]
struct Fence(AtomicU64);

impl FenceStore for Fence {
    fn fence(&self, epoch: Epoch) -> Later<'_, Result<FenceOutcome, FenceError>> {
        let stored = Epoch(self.0.fetch_max(epoch.0, Ordering::SeqCst));
        let ahead = stored > epoch;
        Box::pin(
            async move { Ok(if ahead { FenceOutcome::Behind { stored } } else { FenceOutcome::Fenced }) },
        )
    }

    fn canary(&self, epoch: Epoch) -> Later<'_, Result<(), FenceError>> {
        let stored = Epoch(self.0.load(Ordering::SeqCst));
        Box::pin(async move { if stored == epoch { Ok(()) } else { Err(FenceError::Superseded { stored }) } })
    }
}

/// Shows its epoch, 0 while it does not reign, and whether its mandate is live.
struct Show(watch::Sender<(u64, bool)>);

impl Reign for Show {
    fn reign<'t>(&'t mut self, mandate: Mandate<'t>, term: &'t Term) -> Later<'t, ()> {
        Box::pin(async move {
            loop {
                term.gates().tick_dispatch();
                self.0.send_if_modified(|shown| {
                    let now = (mandate.epoch().0, mandate.is_live());
                    std::mem::replace(shown, now) != now
                });
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    }
}

struct Master {
    shown: watch::Receiver<(u64, bool)>,
    leadership: watch::Receiver<Leadership>,
    scope: Scope,
}

impl Master {
    fn start(name: &str, cluster: &EtcdCluster, fence: &Arc<Fence>) -> Master {
        let options = Options::new("t", name.parse().unwrap(), &format!("{name}:7070"));
        let elector = Elector::new(Arc::new(connect(cluster)), fence.clone(), options);
        let leadership = elector.leadership();
        let (show, shown) = watch::channel((0, false));
        let mut scope = Scope::new();
        let stop = scope.token();
        scope.spawn("elector", async move { elector.run(&mut Show(show), stop).await });
        Master { shown, leadership, scope }
    }

    async fn shows(&mut self, what: (u64, bool)) {
        let reached = self.shown.wait_for(|shown| *shown == what);
        let reached = tokio::time::timeout(2 * PATIENCE, reached).await.map(|shown| shown.map(|_| ()));
        assert!(matches!(reached, Ok(Ok(()))), "wanted {what:?}, shows {:?}", *self.shown.borrow());
    }
}

#[tokio::test]
async fn masters_follow_each_other_while_etcd_members_die() {
    let Some(mut cluster) = EtcdCluster::start(3) else { return };
    let fence = Arc::new(Fence::default());
    let mut first = Master::start("m1", &cluster, &fence);
    first.shows((1, true)).await;
    let mut second = Master::start("m2", &cluster, &fence);
    let known = second.leadership.wait_for(|now| now.leader.is_some());
    tokio::time::timeout(PATIENCE, known).await.unwrap().unwrap();

    // One member hangs, then another dies: the leader renews elsewhere and stays. The one that hangs is a
    // follower: an etcd leader that was paused revokes all leases when it wakes, before 3.4.31 and 3.5.13
    // (Debian 12 has 3.4.23), and then a new term is right.
    let raft_leader =
        until("etcd has a leader", PATIENCE, async || cluster.raft_leader().ok_or("none")).await;
    let follower = (raft_leader + 1) % 3;
    cluster.pause(follower);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(*first.shown.borrow(), (1, true));
    cluster.resume(follower);
    let leader = until("etcd has a leader", PATIENCE, async || cluster.raft_leader().ok_or("none")).await;
    cluster.kill(leader);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(first.shown.borrow().0, 1, "an election of etcd is not one of ours");

    // The master dies with one member still away: its lease ends, the other follows.
    let died = Instant::now();
    drop(first.scope);
    second.shows((2, true)).await;
    println!("takeover {:?} after the master died", died.elapsed());
    assert_eq!(fence.0.load(Ordering::SeqCst), 2);

    // A stop hands over at once.
    cluster.restart(leader);
    let mut third = Master::start("m3", &cluster, &fence);
    let known = third.leadership.wait_for(|now| now.leader.is_some());
    tokio::time::timeout(PATIENCE, known).await.unwrap().unwrap();
    let stopped = Instant::now();
    second.scope.token().cancel();
    third.shows((3, true)).await;
    println!("handed over {:?} after a stop", stopped.elapsed());
    assert!(stopped.elapsed() < Duration::from_secs(3), "{:?}", stopped.elapsed());
}

#[tokio::test]
async fn a_leader_freezes_without_a_majority_of_etcd_and_one_leads_when_it_is_back() {
    let Some(mut cluster) = EtcdCluster::start(3) else { return };
    let fence = Arc::new(Fence::default());
    let mut first = Master::start("m1", &cluster, &fence);
    first.shows((1, true)).await;
    let second = Master::start("m2", &cluster, &fence);
    for member in 0..3 {
        cluster.pause(member);
    }
    first.shows((1, false)).await;
    // Longer than the lease: nobody can know whether it ended.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(*first.shown.borrow(), (1, false));
    for member in 0..3 {
        cluster.resume(member);
    }
    // Either etcd elected anew, which gives leases their time again and the same term goes on, or the lease
    // ended and the next term begins.
    eventually("one leads again", 2 * PATIENCE, async || {
        let (first, second) = (*first.shown.borrow(), *second.shown.borrow());
        assert!(!(first.1 && second.1), "two lead: {first:?} and {second:?}");
        first == (1, true) || first == (2, true) || second == (2, true)
    })
    .await;
}
