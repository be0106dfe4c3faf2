//! The masters' end of the worker link: protobuf in, registry events out; and back.
//!
//! One task per stream. What comes in is forwarded in order; what goes out waits in the session's outbox.
//! The inbound loop never waits for the outbound side, so a worker that does not read cannot block what it
//! says.

use crate::election::Leadership;
use crate::engine::{Arrival, Assignment, Ending, Held, Order, Outcome, SMALL_FLEET, Update};
use crate::registry::{Finding, Outbound, Registry, SessionId, WorkerEvent};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId};
use shanty_model::telemetry::Telemetry;
use shanty_proto::internal as pb;
use shanty_proto::internal::from_worker::Message as In;
use shanty_proto::internal::to_worker::Message as Out;
use shanty_rt::clock;
use shanty_rt::task::Scope;
use shanty_rt::wire::telemetry;
use shanty_rt::wire::time::pb_duration;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

/// Longest interval of heartbeats of a small fleet: a sentinel that hears nothing of a leader for a second asks what
/// workers heard within half a second.
const SMALL_FLEET_BEAT: Duration = Duration::from_millis(400);
/// Messages between the session's outbox and the HTTP/2 stream, whose own window does the waiting.
const AHEAD: usize = 16;

/// What workers are told at their welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkOptions {
    /// How often they shall send heartbeats.
    pub heartbeat_interval: Duration,
    /// After this silence either side counts the other as lost.
    pub session_timeout: Duration,
}

impl Default for LinkOptions {
    fn default() -> Self {
        LinkOptions { heartbeat_interval: Duration::from_secs(2), session_timeout: Duration::from_secs(8) }
    }
}

/// The service.
#[derive(Debug, Clone)]
pub struct Link {
    /// This master.
    pub me: NodeId,
    /// Where sessions are kept.
    pub registry: Arc<Registry>,
    /// Leadership as this master sees it.
    pub leadership: watch::Receiver<Leadership>,
    /// Whether the leading core's mandate is living.
    pub leading: crate::runtime::Leading,
    /// What workers are told.
    pub options: LinkOptions,
    /// Ends streams when the process does.
    pub stop: CancellationToken,
    /// The tasks of the streams. They outlive their connections by a moment: a task that went with its
    /// connection could not detach its session.
    pub tasks: Arc<Mutex<Scope>>,
}

/// A stream on which nobody has said Hello is kept for this long.
const HELLO: Duration = Duration::from_secs(5);

type Sender = mpsc::Sender<Result<pb::ToWorker, Status>>;

fn message(message: Out) -> pb::ToWorker {
    pb::ToWorker { message: Some(message) }
}

#[tonic::async_trait]
impl pb::worker_link_server::WorkerLink for Link {
    type AttachStream = BoxStream<'static, Result<pb::ToWorker, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::FromWorker>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut incoming = request.into_inner();
        let first = tokio::time::timeout(HELLO, incoming.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("a worker says Hello within 5 s"))??;
        let arrival = match first.and_then(|first| first.message) {
            Some(In::Hello(hello)) => arrival(hello)?,
            Some(_) | None => return Err(Status::failed_precondition("a worker says Hello first")),
        };
        let (out, stream) = mpsc::channel(AHEAD);
        let link = self.clone();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.reap();
        tasks.spawn("link", async move { link.serve(arrival, incoming, out).await });
        Ok(Response::new(ReceiverStream::new(stream).boxed()))
    }
}

/// A session in the registry.
struct Attached<'a> {
    registry: &'a Registry,
    node: NodeId,
    id: SessionId,
}

impl Link {
    async fn serve(self, arrival: Arrival, incoming: Streaming<pb::FromWorker>, out: Sender) {
        let (node, incarnation) = (arrival.node.clone(), arrival.incarnation.clone());
        let taken = |what: &str| {
            let why = format!(
                "another worker {what} as `{node}`: give this one a name of its own with --node, or stop the other"
            );
            Status::already_exists(why)
        };
        // As long as half a silence that ends a session.
        let alive_within = self.options.session_timeout / 2;
        let Ok((id, outbox)) = self.registry.attach(arrival, alive_within).await else {
            tracing::info!(%node, incarnation, "a worker was refused: another process has its name");
            // A worker that went away needs no reason.
            let _gone = out.send(Err(taken("is attached"))).await;
            return;
        };
        tracing::info!(%node, incarnation, "worker attached");
        let session = Attached { registry: &self.registry, node: node.clone(), id };
        // First on the stream: nobody speaks before.
        if out.send(Ok(message(Out::Welcome(self.welcome())))).await.is_ok() {
            let (beats, beating) = mpsc::channel(4);
            tokio::select! {
                () = self.listen(&session, incoming, beats) => {}
                () = speak(outbox, beating, &out) => {
                    let cut_off = self.registry.is_current(&node, id);
                    let why = if cut_off {
                        Status::resource_exhausted("this worker does not read what it is told")
                    } else {
                        taken("has attached")
                    };
                    let _gone = out.try_send(Err(why));
                }
                // The connection is gone, and the stream to the worker with it.
                () = out.closed() => {}
                () = self.stop.cancelled() => {}
            }
        }
        tracing::info!(%node, "worker detached");
        session.registry.detach(&node, id).await;
    }

    fn welcome(&self) -> pb::Welcome {
        let (leader, epoch) = self.standing();
        pb::Welcome {
            master: self.me.to_string(),
            leader,
            epoch: epoch.0,
            heartbeat_interval: Some(pb_duration(self.heartbeat_interval())),
            session_timeout: Some(pb_duration(self.options.session_timeout)),
            unix_ns: clock::unix_ns(),
        }
    }

    /// The fewer workers there are, the more often each must be heard to be of use as a witness.
    fn heartbeat_interval(&self) -> Duration {
        let most = if self.registry.len() < SMALL_FLEET { SMALL_FLEET_BEAT } else { Duration::MAX };
        self.options.heartbeat_interval.min(most)
    }

    /// Whether a core leads here, and its term or the largest known.
    fn standing(&self) -> (bool, Epoch) {
        match self.leading.core() {
            Ok(core) => (true, core.epoch()),
            Err(_) => (false, self.leadership.borrow().largest_epoch),
        }
    }

    async fn listen(
        &self,
        session: &Attached<'_>,
        mut incoming: Streaming<pb::FromWorker>,
        beats: mpsc::Sender<pb::MasterHeartbeat>,
    ) {
        loop {
            let received = match incoming.message().await {
                Ok(Some(pb::FromWorker { message: Some(received) })) => received,
                Ok(Some(pb::FromWorker { message: None })) => continue,
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(node = %session.node, %status, "worker stream broke");
                    return;
                }
            };
            if let In::Heartbeat(beat) = &received {
                self.hear_of_leader(session, beat);
                // A worker that does not read its answers is found out by its outbox; this one may be skipped.
                let _full = beats.try_send(self.beat(beat));
            }
            if let In::Checked(pb::ConnectionChecked { question, check }) = received {
                session.registry.answer(&session.node, question, finding(check.unwrap_or_default()));
                continue;
            }
            match event(&session.node, received) {
                Ok(Some(event)) => session.registry.forward(&session.node, session.id, event).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(node = %session.node, %error, "worker said something unreadable")
                }
            }
        }
    }

    /// The worker says whom it heard lead.
    fn hear_of_leader(&self, session: &Attached<'_>, beat: &pb::WorkerHeartbeat) {
        if let Ok(leader) = beat.leader.parse() {
            let ago = beat.leader_silence.and_then(|ago| Duration::try_from(ago).ok()).unwrap_or_default();
            let at = clock::boottime().saturating_sub(ago);
            session.registry.heard_leader(&session.node, session.id, leader, at);
        }
    }

    fn beat(&self, beat: &pb::WorkerHeartbeat) -> pb::MasterHeartbeat {
        let (leader, epoch) = self.standing();
        pb::MasterHeartbeat {
            sequence: beat.sequence,
            echo_unix_ns: beat.unix_ns,
            unix_ns: clock::unix_ns(),
            leader,
            epoch: epoch.0,
            fleet_size: u32::try_from(self.registry.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Sends what waits for the worker, until its session is closed or its stream is.
async fn speak(
    mut outbox: mpsc::Receiver<Outbound>,
    mut beats: mpsc::Receiver<pb::MasterHeartbeat>,
    out: &Sender,
) {
    loop {
        let next = tokio::select! {
            queued = outbox.recv() => match queued {
                Some(queued) => encode(queued),
                None => return,
            },
            Some(beat) = beats.recv() => Out::Heartbeat(beat),
        };
        if out.send(Ok(message(next))).await.is_err() {
            return;
        }
    }
}

fn arrival(hello: pb::Hello) -> Result<Arrival, Status> {
    let pb::Hello {
        worker,
        incarnation,
        max_epoch: _,
        version,
        kinds,
        slots,
        labels,
        max_rate: _,
        telemetry: figures,
        connections,
        door,
    } = hello;
    let node = worker.parse().map_err(|error| Status::invalid_argument(format!("hello.worker: {error}")))?;
    if incarnation.is_empty() {
        return Err(Status::invalid_argument("hello.incarnation: is mandatory"));
    }
    Ok(Arrival {
        node,
        incarnation,
        version,
        kinds,
        slots,
        labels: labels.into_iter().collect(),
        connections,
        door,
        telemetry: figures.as_ref().map(telemetry::decode).unwrap_or_default(),
    })
}

/// What a message means to the engine; none for what only the link answers.
fn event(node: &NodeId, received: In) -> Result<Option<WorkerEvent>, shanty_model::id::InvalidId> {
    let node = node.clone();
    Ok(match received {
        In::Hello(_) | In::Checked(_) => None,
        In::Heartbeat(pb::WorkerHeartbeat { unix_ns, telemetry: figures, .. }) => {
            let figures: Telemetry = figures.as_ref().map(telemetry::decode).unwrap_or_default();
            Some(WorkerEvent::Heartbeat(node, figures, unix_ns.saturating_sub(clock::unix_ns())))
        }
        In::Inventory(pb::Inventory { epoch: _, attempts }) => {
            let held: Result<Vec<Held>, _> = attempts
                .into_iter()
                .map(|pb::HeldAttempt { attempt, change, report_sequence: _, ended, acked_sequence }| {
                    Ok(Held { attempt: attempt.parse()?, revision: change, acked: acked_sequence, ended })
                })
                .collect();
            Some(WorkerEvent::Inventory(node, held?))
        }
        In::Update(pb::AttemptUpdate { attempt, state, change, reason }) => {
            let attempt: AttemptId = attempt.parse()?;
            let update = match pb::attempt_update::State::try_from(state) {
                Ok(pb::attempt_update::State::Accepted) => Update::Accepted,
                Ok(pb::attempt_update::State::Running) => Update::Running,
                Ok(pb::attempt_update::State::Refused) => Update::Refused(reason),
                Ok(pb::attempt_update::State::Changed) => Update::Changed(change),
                Ok(pb::attempt_update::State::Unspecified) | Err(_) => return Ok(None),
            };
            Some(WorkerEvent::Update(node, attempt, update))
        }
        In::Report(pb::AttemptReport { attempt, sequence, partial }) => {
            Some(WorkerEvent::Report(node, attempt.parse()?, sequence, partial))
        }
        In::Ended(pb::AttemptEnded { attempt, outcome, reason, last_sequence, transient }) => {
            let outcome = match pb::attempt_ended::Outcome::try_from(outcome) {
                Ok(pb::attempt_ended::Outcome::Done) => Outcome::Done,
                Ok(pb::attempt_ended::Outcome::Cancelled) => Outcome::Cancelled,
                Ok(pb::attempt_ended::Outcome::Orphaned) => Outcome::Orphaned,
                Ok(pb::attempt_ended::Outcome::Failed | pb::attempt_ended::Outcome::Unspecified) | Err(_) => {
                    Outcome::Failed { transient }
                }
            };
            Some(WorkerEvent::Ended(
                node,
                Ending { attempt: attempt.parse()?, outcome, reason, last_sequence },
            ))
        }
        In::Leaving(pb::Leaving { reason }) => Some(WorkerEvent::Leaving(node, reason)),
    })
}

/// What a worker found at a connection. One that says that it could not, without a word why, gets one.
fn finding(check: shanty_proto::v1::ConnectionCheck) -> Finding {
    let shanty_proto::v1::ConnectionCheck { node: _, ok, server, endpoint, latency, error, warnings } = check;
    let error = match (ok, error.is_empty()) {
        (true, _) => None,
        (false, false) => Some(error),
        (false, true) => Some("it did not work, and the worker does not say why".to_owned()),
    };
    let latency = latency.and_then(|latency| Duration::try_from(latency).ok());
    Finding { server, endpoint, latency, error, warnings }
}

fn encode(outbound: Outbound) -> Out {
    let (epoch, order) = match outbound {
        Outbound::Announce(epoch) => return Out::Announce(pb::Announce { epoch: epoch.0 }),
        Outbound::Twin(incarnation) => return Out::Twin(pb::Twin { incarnation }),
        Outbound::Check { question, connection } => {
            return Out::Check(pb::CheckConnection { question, connection });
        }
        Outbound::Order(epoch, order) => (epoch.0, order),
    };
    match order {
        Order::Assign(assignment) => {
            let Assignment { attempt, kind, spec, shard, directive, revision, start_unix_ns, orphan_limit } =
                *assignment;
            Out::Assign(pb::Assign {
                epoch,
                attempt: attempt.to_string(),
                kind,
                spec,
                shard,
                directive,
                change: revision,
                orphan_limit: Some(pb_duration(orphan_limit)),
                start_unix_ns,
            })
        }
        Order::Change { attempt, revision, directive } => {
            Out::Change(pb::Change { epoch, attempt: attempt.to_string(), change: revision, directive })
        }
        Order::Cancel { attempt, reason, discard } => {
            Out::Cancel(pb::Cancel { epoch, attempt: attempt.to_string(), reason, discard })
        }
        Order::Ack { attempt, sequence, ended } => {
            Out::Ack(pb::ReportAck { attempt: attempt.to_string(), sequence, ended })
        }
        Order::Drain(drain) => Out::Drain(pb::Drain { epoch, drain }),
    }
}
