//! One stream with one master, from Hello to its end.
//!
//! ```text
//!  connect ─► claim ─► Hello ─► Welcome ─► heartbeats both ways, orders in, results out ─► end
//!               └──another session of this worker has the master: no Hello, for it would end that session
//! ```
//! In: an address, and the master that it is known to lead to. Out: [`Event`]s; the time that the master's orders
//! name is already on our clock.
//! Never: reconnects (see `standing`), or waits for room in the outbound channel.
//! Tests: with a master in `worker/tests/`.

use super::claims::{Claim, Claims};
use super::message::{Attached, Event, Heard, Said, SessionId};
use super::offset::Offset;
use super::outbound::{Beats, Outbound, way_out};
use super::wire::{self, Beat, Inbound, Welcomed};
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use shanty_model::telemetry::Telemetry;
use shanty_proto::internal::ToWorker;
use shanty_proto::internal::worker_link_client::WorkerLinkClient;
use shanty_rt::cause::innermost;
use shanty_rt::clock;
use shanty_rt::task::Scope;
use shanty_rt::tls::{self, Credentials};
use shanty_sync::connection::{self, Checked, Registry};
use std::collections::{BTreeMap, VecDeque};
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Channel;

/// To connect, name resolution not included.
const CONNECT: Duration = Duration::from_secs(2);
/// To get from a call to its Welcome.
const WELCOME: Duration = Duration::from_secs(5);
/// To let the last messages out when the worker leaves.
const CLOSE: Duration = Duration::from_millis(500);
/// Heartbeats whose answer is waited for; a master that is further behind is about to count as silent.
const UNANSWERED_KEPT: usize = 32;
/// Connections that are tried at once for one master.
const CHECKS: usize = 8;
/// HTTP/2 pings on a quiet connection, and how long their answer may take.
const PING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3));

/// What a worker shows of itself.
#[derive(Debug, Clone)]
pub(crate) struct Face {
    /// Its node id.
    pub(crate) node: NodeId,
    /// Identity of this start.
    pub(crate) incarnation: String,
    /// Kinds that it can do.
    pub(crate) kinds: Vec<String>,
    /// Attempts at once.
    pub(crate) slots: u32,
    /// Labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Most requests per second; 0 for no cap.
    pub(crate) max_rate: f64,
    /// Names of the databases that it can reach.
    pub(crate) connections: Vec<String>,
    /// Where sentinels may see whether it lives.
    pub(crate) door: String,
}

/// What sessions read of the rest of the worker.
#[derive(Debug, Clone)]
pub(crate) struct Feeds {
    /// The machine's figures, lateness included.
    pub(crate) figures: watch::Receiver<Telemetry>,
    /// Attempts under way.
    pub(crate) attempts: watch::Receiver<u32>,
    /// Largest epoch obeyed.
    pub(crate) seen: watch::Receiver<Epoch>,
    /// The databases that it can reach.
    pub(crate) connections: Registry,
    /// Certificates, where masters are spoken to over TLS.
    pub(crate) credentials: Option<Credentials>,
    /// Changes when this process was paused: every stream may be dead.
    pub(crate) roused: watch::Receiver<u64>,
}

/// What all sessions of a worker share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) face: Arc<Face>,
    pub(super) feeds: Feeds,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) claims: Claims,
    pub(super) numbers: Arc<AtomicU64>,
    /// Who was heard to lead, and when, CLOCK_BOOTTIME: told to the other masters at once, for whom it is proof of life.
    pub(super) leader: watch::Sender<Option<(NodeId, Duration)>>,
    /// Cancelled when the executor is done: let the last messages out and end.
    pub(super) closing: CancellationToken,
}

/// How a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// It could not be connected.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// No Welcome came.
    #[error("no welcome: {0}")]
    NoWelcome(String),
    /// Another process has this worker's name.
    #[error("{0}")]
    NameTaken(String),
    /// Another address leads to the same master.
    #[error("{0} has a stream already, by another address")]
    Duplicate(NodeId),
    /// The stream broke or the master ended it.
    #[error("the stream ended: {0}")]
    Broken(String),
    /// The master said nothing for too long.
    #[error("silent for {0:?}")]
    Silent(Duration),
    /// This process was paused.
    #[error("this process was paused")]
    Paused,
    /// The worker leaves.
    #[error("the worker leaves")]
    Closed,
}

/// A session that was or was not.
pub(super) struct Past {
    pub(super) ended: Ended,
    /// Workers attached to that master, if there was a Welcome.
    pub(super) fleet_size: Option<u32>,
}

/// Connects to `address` and stays attached for as long as it goes. `known` is the master that the address leads to, as
/// far as that is known; afterwards it is the one that answered.
///
/// A master ends a worker's older session when the same worker says Hello again. So nothing is said to a known master
/// that another session of this worker has; and an address that nothing is known of breaks that session once.
pub(super) async fn hold(shared: &Shared, address: &str, known: &mut Option<NodeId>) -> Past {
    let before = |ended| Past { ended, fleet_size: None };
    let greeted = tokio::select! {
        greeted = greet_claimed(shared, address, known) => greeted,
        () = shared.closing.cancelled() => return before(Ended::Closed),
    };
    let (mut session, welcomed, _claim) = match greeted {
        Ok(greeted) => greeted,
        Err(ended) => return before(ended),
    };
    let id = SessionId(shared.numbers.fetch_add(1, Ordering::Relaxed));
    let attached = Attached {
        session: id,
        master: welcomed.master.clone(),
        claim: welcomed.claim,
        outbound: session.outbound.clone(),
    };
    tracing::info!(master = %welcomed.master, address, leader = welcomed.claim.is_some(), "attached to master");
    if shared.events.send(Event::Attached(attached)).await.is_err() {
        return before(Ended::Closed);
    }
    let ended = session.stay(shared, id, &welcomed).await;
    let fleet_size = Some(session.fleet_size);
    if matches!(ended, Ended::Closed) {
        session.close().await;
    }
    // The executor may be gone by now; then nobody needs to know.
    let _gone = shared.events.send(Event::Lost(id)).await;
    Past { ended, fleet_size }
}

/// Attaches to the master at `address` unless another session has it.
async fn greet_claimed(
    shared: &Shared,
    address: &str,
    known: &mut Option<NodeId>,
) -> Result<(Session, Welcomed, Claim), Ended> {
    let take = |master: &NodeId| shared.claims.take(master).ok_or_else(|| Ended::Duplicate(master.clone()));
    let channel = connect(shared, address).await?;
    // Not before: an address out of reach keeps no other one from the master while it is tried.
    let expected = known.as_ref().map(take).transpose()?;
    let (session, welcomed) = greet(shared, channel).await?;
    *known = Some(welcomed.master.clone());
    let claim = match expected.filter(|claim| claim.is_on(&welcomed.master)) {
        Some(claim) => claim,
        // Nothing was known, or the address leads to another master now.
        None => take(&welcomed.master)?,
    };
    Ok((session, welcomed, claim))
}

struct Session {
    outbound: Outbound,
    beats: Beats,
    inbound: Streaming<ToWorker>,
    offset: Offset,
    /// Heartbeats without an answer: their number and when they were sent.
    unanswered: VecDeque<(u64, u64)>,
    sequence: u64,
    fleet_size: u32,
    /// Connections being tried, each in a task of its own, so that a slow database holds up nothing.
    checks: Scope,
}

async fn connect(shared: &Shared, address: &str) -> Result<Channel, Ended> {
    let failed = |error: tonic::transport::Error| Ended::Connect(innermost(&error));
    let credentials = shared.feeds.credentials.as_ref();
    let endpoint = tls::endpoint(address, credentials)
        .map_err(failed)?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .keep_alive_while_idle(true);
    // The outer limit covers name resolution too.
    tokio::time::timeout(CONNECT * 2, tls::connect(&endpoint, credentials))
        .await
        .map_err(|_| Ended::Connect(format!("no connection within {:?}", CONNECT * 2)))?
        .map_err(failed)
}

async fn greet(shared: &Shared, channel: Channel) -> Result<(Session, Welcomed), Ended> {
    let hello = wire::hello(&shared.face, *shared.feeds.seen.borrow(), &shared.feeds.figures.borrow());
    let (outbound, beats, outgoing) = way_out(hello);
    let sent_ns = clock::monotonic_ns();
    let welcome = async {
        let mut client = WorkerLinkClient::new(channel);
        let mut inbound = client.attach(outgoing).await?.into_inner();
        let first = inbound.message().await?;
        Ok::<_, tonic::Status>((inbound, first))
    };
    let (inbound, first) = tokio::time::timeout(WELCOME, welcome)
        .await
        .map_err(|_| Ended::NoWelcome(format!("nothing within {WELCOME:?}")))?
        .map_err(|status| match status.code() {
            tonic::Code::AlreadyExists => Ended::NameTaken(status.message().to_owned()),
            // The other end's refusal lies below the layers that carried it.
            code if status.source().is_some() => Ended::NoWelcome(format!("{code}: {}", innermost(&status))),
            code => Ended::NoWelcome(format!("{code}: {}", status.message())),
        })?;
    let answered_ns = clock::monotonic_ns();
    let first = first.ok_or_else(|| Ended::NoWelcome("the master ended the stream".to_owned()))?;
    let mut offset = Offset::default();
    let welcomed = match wire::to_worker(first, &offset) {
        Ok(Inbound::Welcome(welcomed)) => welcomed,
        Ok(Inbound::Beat(_) | Inbound::Check { .. } | Inbound::Order(_)) => {
            return Err(Ended::NoWelcome("the master's first message is another one".to_owned()));
        }
        Err(error) => return Err(Ended::NoWelcome(error.to_string())),
    };
    offset.add(sent_ns, answered_ns, welcomed.unix_ns);
    let session = Session {
        outbound,
        beats,
        inbound,
        offset,
        unanswered: VecDeque::new(),
        sequence: 0,
        fleet_size: 0,
        checks: Scope::new(),
    };
    Ok((session, welcomed))
}

impl Session {
    /// Reads orders and sends heartbeats until something ends it.
    async fn stay(&mut self, shared: &Shared, id: SessionId, welcomed: &Welcomed) -> Ended {
        let silence = welcomed.session_timeout;
        let mut roused = shared.feeds.roused.clone();
        roused.mark_unchanged();
        let mut leader = shared.leader.subscribe();
        let mut beat = tokio::time::interval(welcomed.heartbeat_interval);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                message = self.inbound.message() => {
                    heard_at = Instant::now();
                    let message = match message {
                        Ok(Some(message)) => message,
                        Ok(None) => return Ended::Broken("the master closed it".to_owned()),
                        Err(status) => {
                            return Ended::Broken(format!("{}: {}", status.code(), status.message()));
                        }
                    };
                    // The executor never waits for this stream, so waiting for it here cannot lock up.
                    let heard = self.read(message, &shared.feeds.connections);
                    if let Some(Heard::Sign(Some(_))) = &heard {
                        shared.leader.send_replace(Some((welcomed.master.clone(), clock::boottime())));
                    }
                    if let Some(heard) = heard
                        && shared.events.send(Event::Heard(id, heard)).await.is_err()
                    {
                        return Ended::Closed;
                    }
                }
                _ = beat.tick() => self.beat(&shared.feeds, leader.borrow().as_ref()),
                Ok(()) = leader.changed() => {
                    let heard = leader.borrow_and_update().clone();
                    // In place of the next beat of its own, so that news of the leader costs no beat more.
                    if heard.as_ref().is_some_and(|(master, _)| *master != welcomed.master) {
                        self.beat(&shared.feeds, heard.as_ref());
                        beat.reset();
                    }
                }
                () = tokio::time::sleep_until(heard_at + silence) => return Ended::Silent(silence),
                Ok(()) = roused.changed() => return Ended::Paused,
                () = shared.closing.cancelled() => return Ended::Closed,
            }
        }
    }

    fn beat(&mut self, feeds: &Feeds, leader: Option<&(NodeId, Duration)>) {
        self.sequence += 1;
        let leader = leader.map(|(leader, at)| (leader, clock::boottime().saturating_sub(*at)));
        let message = wire::heartbeat(
            self.sequence,
            clock::unix_ns(),
            &feeds.figures.borrow(),
            *feeds.attempts.borrow(),
            leader,
        );
        self.beats.send(message);
        // One that gives way to the next is never answered, and goes from here as others do.
        if self.unanswered.len() == UNANSWERED_KEPT {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((self.sequence, clock::monotonic_ns()));
    }

    fn read(&mut self, message: ToWorker, connections: &Registry) -> Option<Heard> {
        match wire::to_worker(message, &self.offset) {
            Ok(Inbound::Order(heard)) => Some(heard),
            Ok(Inbound::Beat(Beat { sequence, unix_ns, claim, fleet_size })) => {
                let now_ns = clock::monotonic_ns();
                let answered = self.unanswered.iter().position(|(number, _)| *number == sequence);
                if let Some((_, sent_ns)) = answered.and_then(|at| self.unanswered.remove(at)) {
                    self.offset.add(sent_ns, now_ns, unix_ns);
                }
                self.fleet_size = fleet_size;
                Some(Heard::Sign(claim))
            }
            Ok(Inbound::Welcome(again)) => Some(Heard::Sign(again.claim)),
            Ok(Inbound::Check { question, connection }) => {
                self.check(question, connection, connections.clone());
                None
            }
            Err(error) => {
                tracing::warn!(%error, "a master's message cannot be understood and is ignored");
                None
            }
        }
    }

    /// Tries a connection and says what was found when there is room.
    fn check(&mut self, question: u64, name: String, connections: Registry) {
        self.checks.reap();
        let busy = self.checks.len() >= CHECKS;
        let outbound = self.outbound.clone();
        self.checks.spawn("check of a connection", async move {
            let checked = if busy {
                let error = format!("this worker tries {CHECKS} connections already; try again in a moment");
                Checked { error: Some(error), ..Checked::default() }
            } else {
                connection::check(&connections, &name).await
            };
            let checked = Box::new(checked);
            while outbound.say(|| Said::Checked { question, checked: checked.clone() }).is_err() {
                outbound.room().await;
            }
        });
    }

    /// Lets out what was said last, then waits for the master to end the stream.
    async fn close(self) {
        let Session { outbound, beats, mut inbound, checks, .. } = self;
        // A check that is under way holds the way out open.
        drop(checks);
        drop((outbound, beats));
        let ended = async { while let Ok(Some(_)) = inbound.message().await {} };
        let _patience_over = tokio::time::timeout(CLOSE, ended).await;
    }
}
