//! The loop of a sentinel: keys, signs and ticks in; a vote, the end of a term, log lines and signs of life out.
//!
//! In: [`Config`]. Out: a registration in etcd, votes, READY and WATCHDOG to systemd (from this loop itself, so that a
//! hung sentinel is restarted). Never: waits for a master, another sentinel or the coordinator: each has a task of its
//! own.
//! Tests: in the tests crate, with processes.

use crate::args::Config;
use crate::ballot::Ballot;
use crate::brain::Brain;
use crate::evidence::Limits;
use crate::hand::{Hand, now};
use crate::peers::{self, Opinion};
use crate::picture::Change;
use crate::probe::{Errand, Seen, confer, probe};
use crate::voice::Voice;
use anyhow::Context as _;
use futures_util::StreamExt as _;
use shanty_model::id::NodeId;
use shanty_rt::clock;
use shanty_rt::coord::record::{self, SentinelSet};
use shanty_rt::coord::{Compare, Coord, Etcd, Keys, NodeInfo, Op, Registration, Role, greet};
use shanty_rt::systemd::Systemd;
use shanty_rt::task::Scope;
use shanty_rt::tls::Credentials;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Life of the registration without renewal.
const TTL: Duration = Duration::from_secs(10);
/// Between two looks at the time.
const TICK: Duration = Duration::from_millis(50);
/// Time for the registration to be taken back at the end.
const LEAVE: Duration = Duration::from_secs(3);
/// Between two tries to write down who votes.
const AGAIN: Duration = Duration::from_millis(500);
/// Signs and opinions that wait for the loop.
const WAITING: usize = 256;

pub(crate) async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let credentials = Credentials::open(&config.tls).context("`sentinel.tls`")?;
    let me: NodeId = config.node.parse()?;
    let voters = config.voters()?;
    let listener = peers::bind(config.listen_on()?).await?;
    let address = listener.local_addr()?.to_string();
    let address = if config.advertise.is_empty() { address } else { config.advertise.clone() };
    let etcd = config.etcd.options().context("`sentinel.etcd`")?;
    let for_etcd = etcd.credentials.clone();
    let coord: Arc<dyn Coord> = Arc::new(Etcd::connect(etcd)?);
    let keys = Keys::new(&config.cluster);
    let systemd = Systemd::of_this_process();
    let mut scope = Scope::under(&stop);
    let info = NodeInfo {
        node: me.clone(),
        role: Role::Sentinel,
        address: address.clone(),
        incarnation: uuid::Uuid::new_v4().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        priority: 0,
    };
    let key = keys.node(Role::Sentinel, &me);
    let keep = Registration::keep(coord.clone(), key, info, TTL, scope.token());
    let (tell_taken, mut taken) = watch::channel(None);
    scope.spawn("registration", async move {
        if let Err(found) = keep.await {
            tell_taken.send_replace(Some(found));
        }
    });
    let (tell, own) = watch::channel(Opinion { sentinel: me.to_string(), ..Opinion::default() });
    let (hear, mut heard) = mpsc::channel(WAITING);
    // It has nothing to finish when the sentinel leaves.
    let mut around = Scope::new();
    if let Some(credentials) = &credentials {
        around.spawn("certificates", credentials.clone().keep());
    }
    if let Some(for_etcd) = for_etcd {
        around.spawn("certificates for etcd", for_etcd.keep());
    }
    let door = peers::answer(listener, credentials.clone(), own.clone(), hear.clone(), scope.token());
    scope.spawn("door", door);
    let ballot = Ballot { coord: coord.clone(), keys: keys.clone(), me: me.clone(), lease: None };
    let mut hand = Hand::with(ballot, &mut scope);
    let (see, mut seen) = mpsc::channel(WAITING);
    let (send, errands) = watch::channel(Errand::default());
    scope.spawn("confer", confer(me.clone(), credentials.clone(), errands));
    let greeted = coord.clone();
    let too_old = async {
        match greet(greeted).await {
            Ok(()) => std::future::pending().await,
            Err(too_old) => too_old,
        }
    };
    tokio::pin!(too_old);

    let mut events = coord.watch(keys.root());
    let limits = Limits::default();
    let mut brain = Brain::new(me.clone(), keys.clone(), limits);
    let mut links = Links { masters: Linked::default(), peers: Linked::default(), credentials };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut settled, mut proposal, mut voice) = (false, None, Voice::default());
    systemd.ready();
    systemd.status("waits for etcd".to_owned());
    tracing::info!(node = %me, %address, cluster = %config.cluster, "sentinel watches");
    loop {
        tokio::select! {
            // Time first: after a pause the brain must know that it slept before it reads what waited meanwhile, or it
            // takes its own sleep for others' silence.
            biased;
            _ = tick.tick() => {
                brain.tick(now(), TICK);
                systemd.sign_of_life(clock::boottime());
            }
            () = stop.cancelled() => break,
            event = events.next() => match event {
                Some(event) => {
                    brain.saw(now(), event).iter().for_each(announce);
                    systemd.status(status(&brain));
                    links.follow(&brain, &me, limits.probe_every, (&see, &own, &hear));
                }
                None => anyhow::bail!("the watch of {} ended; restart the sentinel", config.cluster),
            },
            Some((node, what)) = seen.recv() => match what {
                Seen::Opened => brain.opened(&node),
                Seen::Sign(sign) => brain.sign(now(), &node, sign),
            },
            Some(opinion) = heard.recv() => if let Ok(peer) = opinion.sentinel.parse() {
                brain.peer(now(), peer);
            },
            Ok(found) = async { taken.wait_for(Option::is_some).await.map(|found| found.clone()) } => {
                if let Some(found) = found {
                    return Err(found.into());
                }
            }
            too_old = &mut too_old => return Err(too_old.into()),
        }
        if !settled && brain.picture().known {
            settled = settle(&brain, &me, &voters)?;
            if !settled && proposal.is_none() {
                let mut proposing = Scope::new();
                proposing.spawn("proposal", propose(coord.clone(), keys.sentinel_set(), voters.clone()));
                proposal = Some(proposing);
            }
        }
        let errand = errand(&brain);
        send.send_if_modified(|before| std::mem::replace(before, errand.clone()) != errand);
        let opinion = opinion(&brain, &me);
        tell.send_if_modified(|before| std::mem::replace(before, opinion.clone()) != opinion);
        hand.follow(&brain);
        voice.follow(&brain);
    }
    systemd.stopping(LEAVE);
    scope.drain(LEAVE).await;
    Ok(())
}

/// Whether this sentinel is one of those that vote; false while nobody has said who they are.
///
/// # Errors
/// When it is not one of them, or does not know who is.
fn settle(brain: &Brain, me: &NodeId, voters: &[NodeId]) -> anyhow::Result<bool> {
    let names = |nodes: &[NodeId]| nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ");
    let Some(set) = &brain.picture().set else {
        if voters.is_empty() {
            anyhow::bail!(
                "nobody has said yet which sentinels vote: name three or five of them, this one included, with --members"
            );
        }
        return Ok(false);
    };
    let members = &set.record.members;
    if !members.contains(me) {
        anyhow::bail!(
            "`{me}` is not one of the sentinels that vote ({}): add it with `shanty cluster sentinel add {me}`",
            names(members)
        );
    }
    if !voters.is_empty() && voters != members.as_slice() {
        tracing::warn!(
            configured = names(voters),
            cluster = names(members),
            "the cluster's sentinels are not those of this configuration; the cluster's count"
        );
    }
    tracing::info!(members = names(members), quorum = set.record.quorum(), "this sentinel votes");
    Ok(true)
}

/// Writes down who votes, unless somebody has; the watch brings what was written, by whomever it was.
async fn propose(coord: Arc<dyn Coord>, key: String, voters: Vec<NodeId>) {
    let set = record::write(&SentinelSet { members: voters });
    loop {
        let put = Op::Put { key: key.clone(), value: set.clone(), lease: None };
        match coord.txn(vec![Compare::Absent(key.clone())], vec![put]).await {
            Ok(_) => return,
            Err(error) => tracing::warn!(%error, "cannot write down who votes; trying again"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Tasks by the address that they speak to.
#[derive(Default)]
struct Linked(BTreeMap<NodeId, (String, Scope)>);

impl Linked {
    /// One task for each node of `nodes`, begun anew when its address changes.
    fn follow<F>(
        &mut self,
        name: &'static str,
        nodes: BTreeMap<NodeId, NodeInfo>,
        begin: impl Fn(NodeInfo) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.retain(|node, (address, _)| nodes.get(node).is_some_and(|info| info.address == *address));
        for (node, info) in nodes {
            if info.address.is_empty() {
                continue;
            }
            self.0.entry(node).or_insert_with(|| {
                let mut scope = Scope::new();
                let address = info.address.clone();
                scope.spawn(name, begin(info));
                (address, scope)
            });
        }
    }
}

struct Links {
    masters: Linked,
    peers: Linked,
    credentials: Option<Credentials>,
}

impl Links {
    fn follow(
        &mut self,
        brain: &Brain,
        me: &NodeId,
        every: Duration,
        (see, own, hear): (&mpsc::Sender<(NodeId, Seen)>, &watch::Receiver<Opinion>, &mpsc::Sender<Opinion>),
    ) {
        let masters = brain.picture().nodes(Role::Master);
        let credentials = &self.credentials;
        self.masters.follow("probe", masters, |info| {
            probe(info.node, info.address, every, credentials.clone(), see.clone())
        });
        let mut peers = brain.picture().nodes(Role::Sentinel);
        peers.remove(me);
        self.peers.follow("peer", peers, |info| {
            peers::ask(info.node, info.address, credentials.clone(), own.clone(), hear.clone())
        });
    }
}

fn opinion(brain: &Brain, me: &NodeId) -> Opinion {
    let leader = brain.picture().leader.as_ref().map_or(0, |leader| leader.entry.create_revision);
    let vote = brain.vote();
    Opinion {
        sentinel: me.to_string(),
        leader,
        against: vote.map(|vote| vote.class.clone()).unwrap_or_default(),
        why: vote.map(|vote| vote.why.clone()).unwrap_or_default(),
        tilt: brain.tilt().unwrap_or_default().to_owned(),
    }
}

/// What the leader is to be told. A sentinel that has no vote yet tells it too: the leader knows who counts.
fn errand(brain: &Brain) -> Errand {
    Errand {
        leader: brain.picture().leader.as_ref().map(|leader| leader.record.address.clone()),
        sober: brain.tilt().is_none(),
        clocks: brain.clocks(now()),
    }
}

fn status(brain: &Brain) -> String {
    let picture = brain.picture();
    let leader = picture.leader.as_ref().map_or("nobody", |leader| leader.record.node.as_str());
    let count = |role| picture.nodes(role).len();
    let voters = picture.members().len();
    let voting = if voters < SentinelSet::FEWEST {
        ", no failover by votes".to_owned()
    } else {
        format!(", {voters} vote")
    };
    format!("{leader} leads, {} masters, {} workers{voting}", count(Role::Master), count(Role::Worker))
}

fn announce(change: &Change) {
    match change {
        Change::Joined(node) => {
            tracing::info!(node = %node.node, role = ?node.role, address = %node.address, "node joined");
        }
        Change::Restarted(node) => tracing::warn!(node = %node.node, role = ?node.role, "node restarted"),
        Change::Left(node) => tracing::warn!(node = %node.node, role = ?node.role, "node left"),
        Change::Leads(node) => tracing::info!(node = %node, "master leads"),
        Change::NobodyLeads => tracing::warn!("nobody leads"),
        Change::Ended(ending) => {
            tracing::warn!(term = %ending.term, node = %ending.node, by = %ending.by, reason = %ending.reason, "term ended");
        }
        Change::Voters(members) => {
            let members: Vec<&str> = members.iter().map(NodeId::as_str).collect();
            tracing::info!(?members, "these sentinels vote");
        }
    }
}
