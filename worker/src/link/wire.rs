//! Protobuf ⇄ the words of the link.
//!
//! In: messages of `shanty.internal.v1`. Out: [`Heard`]; and the other way. Messages are taken apart
//! exhaustively, so that a new field must be decided about here.
//! Tests: below.

use super::message::{Assign, Cancel, Change, End, EndKind, Heard, Held, Progress, Said, Update};
use super::offset::Offset;
use super::session::Face;
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId};
use shanty_model::telemetry::Telemetry;
use shanty_proto::internal::{self as pb, from_worker, to_worker};
use shanty_sync::connection::Checked;
use std::time::Duration;

/// A message that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    /// Nothing that this version knows is set.
    #[error("a message of a kind that this worker does not know")]
    Unknown,
    /// A field is not what it should be.
    #[error("field {field}: {message}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
}

fn invalid(field: &'static str) -> impl Fn(shanty_model::id::InvalidId) -> Invalid {
    move |error| Invalid::Field { field, message: error.to_string() }
}

/// What a Welcome says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Welcomed {
    /// The master.
    pub(super) master: NodeId,
    /// The term that it leads in, if it leads.
    pub(super) claim: Option<Epoch>,
    /// How often it wants heartbeats, 100 ms to 10 s.
    pub(super) heartbeat_interval: Duration,
    /// Silence after which a side is lost, 1 s or more.
    pub(super) session_timeout: Duration,
    /// Its wall clock, nanoseconds since 1970.
    pub(super) unix_ns: i64,
}

/// Sign of life of a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beat {
    /// The heartbeat that it answers.
    pub(super) sequence: u64,
    /// Its wall clock when it answered, nanoseconds since 1970.
    pub(super) unix_ns: i64,
    /// The term that it leads in, if it leads.
    pub(super) claim: Option<Epoch>,
    /// Workers attached to it.
    pub(super) fleet_size: u32,
}

/// What a master's message is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Inbound {
    /// The answer to Hello.
    Welcome(Welcomed),
    /// The answer to a heartbeat.
    Beat(Beat),
    /// Try a connection and say what was found.
    Check {
        /// Number of the question.
        question: u64,
        /// Name of the connection.
        connection: String,
    },
    /// For the executor.
    Order(Heard),
}

fn claim(leader: bool, epoch: u64) -> Option<Epoch> {
    leader.then_some(Epoch(epoch))
}

/// Reads a master's message; instants become this machine's by `offset`.
pub(super) fn to_worker(message: pb::ToWorker, offset: &Offset) -> Result<Inbound, Invalid> {
    let pb::ToWorker { message } = message;
    let order = match message.ok_or(Invalid::Unknown)? {
        to_worker::Message::Welcome(welcome) => return welcomed(welcome).map(Inbound::Welcome),
        to_worker::Message::Heartbeat(beat) => {
            let pb::MasterHeartbeat { sequence, echo_unix_ns: _, unix_ns, leader, epoch, fleet_size } = beat;
            return Ok(Inbound::Beat(Beat { sequence, unix_ns, claim: claim(leader, epoch), fleet_size }));
        }
        to_worker::Message::Announce(pb::Announce { epoch }) => Heard::Announce(Epoch(epoch)),
        to_worker::Message::Assign(order) => assign(order, offset)?,
        to_worker::Message::Change(pb::Change { epoch, attempt, change, directive }) => {
            Heard::Change(Change {
                epoch: Epoch(epoch),
                attempt: attempt.parse().map_err(invalid("change.attempt"))?,
                change,
                directive,
            })
        }
        to_worker::Message::Cancel(pb::Cancel { epoch, attempt, reason, discard }) => Heard::Cancel(Cancel {
            epoch: Epoch(epoch),
            attempt: attempt.parse().map_err(invalid("cancel.attempt"))?,
            reason,
            discard,
        }),
        to_worker::Message::Ack(pb::ReportAck { attempt, sequence, ended }) => {
            Heard::Ack { attempt: attempt.parse().map_err(invalid("ack.attempt"))?, sequence, ended }
        }
        to_worker::Message::Check(pb::CheckConnection { question, connection }) => {
            return Ok(Inbound::Check { question, connection });
        }
        to_worker::Message::Twin(pb::Twin { incarnation }) => Heard::Twin { incarnation },
        to_worker::Message::Drain(pb::Drain { epoch, drain }) => Heard::Drain { epoch: Epoch(epoch), drain },
    };
    Ok(Inbound::Order(order))
}

fn welcomed(welcome: pb::Welcome) -> Result<Welcomed, Invalid> {
    let pb::Welcome { master, leader, epoch, heartbeat_interval, session_timeout, unix_ns } = welcome;
    let heartbeat_interval =
        heartbeat_interval.and_then(|d| Duration::try_from(d).ok()).unwrap_or(Duration::from_secs(2));
    let session_timeout =
        session_timeout.and_then(|d| Duration::try_from(d).ok()).unwrap_or(Duration::from_secs(8));
    Ok(Welcomed {
        master: master.parse().map_err(invalid("welcome.master"))?,
        claim: claim(leader, epoch),
        heartbeat_interval: heartbeat_interval.clamp(Duration::from_millis(100), Duration::from_secs(10)),
        session_timeout: session_timeout.max(Duration::from_secs(1)),
        unix_ns,
    })
}

fn assign(order: pb::Assign, offset: &Offset) -> Result<Heard, Invalid> {
    let pb::Assign { epoch, attempt, kind, spec, shard, directive, change, orphan_limit, start_unix_ns } =
        order;
    let (epoch, attempt): (_, AttemptId) =
        (Epoch(epoch), attempt.parse().map_err(invalid("assign.attempt"))?);
    let Some(start_monotonic_ns) = offset.to_monotonic_ns(start_unix_ns) else {
        return Ok(Heard::Unreadable {
            epoch,
            attempt,
            reason: "the master's clock is not known yet".to_owned(),
        });
    };
    let orphan_limit = match orphan_limit.map(Duration::try_from).transpose() {
        Ok(limit) => limit.filter(|limit| !limit.is_zero()),
        Err(_negative) => {
            return Ok(Heard::Unreadable {
                epoch,
                attempt,
                reason: "assign.orphan_limit is negative".to_owned(),
            });
        }
    };
    Ok(Heard::Assign(Box::new(Assign {
        epoch,
        attempt,
        kind,
        spec,
        shard,
        directive,
        change,
        orphan_limit,
        start_monotonic_ns,
        start_unix_ns,
    })))
}

/// The first message of a stream.
pub(super) fn hello(face: &Face, max_epoch: Epoch, telemetry: &Telemetry) -> pb::FromWorker {
    wrap(from_worker::Message::Hello(pb::Hello {
        worker: face.node.to_string(),
        incarnation: face.incarnation.clone(),
        max_epoch: max_epoch.0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kinds: face.kinds.clone(),
        slots: face.slots,
        labels: face.labels.clone().into_iter().collect(),
        max_rate: face.max_rate,
        telemetry: Some(shanty_rt::wire::telemetry::encode(telemetry)),
        connections: face.connections.clone(),
        door: face.door.clone(),
    }))
}

/// A heartbeat.
pub(super) fn heartbeat(
    sequence: u64,
    unix_ns: i64,
    telemetry: &Telemetry,
    attempts: u32,
    leader: Option<(&NodeId, Duration)>,
) -> pb::FromWorker {
    wrap(from_worker::Message::Heartbeat(pb::WorkerHeartbeat {
        sequence,
        unix_ns,
        telemetry: Some(shanty_rt::wire::telemetry::encode(telemetry)),
        attempts,
        leader: leader.map(|(leader, _)| leader.to_string()).unwrap_or_default(),
        leader_silence: leader.and_then(|(_, ago)| ago.try_into().ok()),
    }))
}

/// What the executor says, as a message.
pub(super) fn from_worker(said: Said) -> pb::FromWorker {
    wrap(match said {
        Said::Inventory { epoch, held } => from_worker::Message::Inventory(pb::Inventory {
            epoch: epoch.0,
            attempts: held.into_iter().map(held_attempt).collect(),
        }),
        Said::Update(Update { attempt, progress, change }) => {
            let (state, reason) = match progress {
                Progress::Accepted => (pb::attempt_update::State::Accepted, String::new()),
                Progress::Running => (pb::attempt_update::State::Running, String::new()),
                Progress::Refused(reason) => (pb::attempt_update::State::Refused, reason),
                Progress::Changed => (pb::attempt_update::State::Changed, String::new()),
            };
            from_worker::Message::Update(pb::AttemptUpdate {
                attempt: attempt.to_string(),
                state: state.into(),
                change,
                reason,
            })
        }
        Said::Report { attempt, sequence, partial } => from_worker::Message::Report(pb::AttemptReport {
            attempt: attempt.to_string(),
            sequence,
            partial,
        }),
        Said::Ended { attempt, end: End { kind, reason, transient }, last_sequence } => {
            let outcome = match kind {
                EndKind::Done => pb::attempt_ended::Outcome::Done,
                EndKind::Failed => pb::attempt_ended::Outcome::Failed,
                EndKind::Cancelled => pb::attempt_ended::Outcome::Cancelled,
                EndKind::Orphaned => pb::attempt_ended::Outcome::Orphaned,
            };
            from_worker::Message::Ended(pb::AttemptEnded {
                attempt: attempt.to_string(),
                outcome: outcome.into(),
                reason,
                last_sequence,
                transient,
            })
        }
        Said::Checked { question, checked } => {
            let Checked { server, endpoint, latency, warnings, error } = *checked;
            let check = shanty_proto::v1::ConnectionCheck {
                node: String::new(),
                ok: error.is_none(),
                server,
                endpoint,
                latency: latency.map(shanty_rt::wire::time::pb_duration),
                error: error.unwrap_or_default(),
                warnings,
            };
            from_worker::Message::Checked(pb::ConnectionChecked { question, check: Some(check) })
        }
        Said::Leaving { reason } => from_worker::Message::Leaving(pb::Leaving { reason }),
    })
}

fn held_attempt(held: Held) -> pb::HeldAttempt {
    let Held { attempt, change, report_sequence, acked_sequence, ended } = held;
    pb::HeldAttempt { attempt: attempt.to_string(), change, report_sequence, ended, acked_sequence }
}

fn wrap(message: from_worker::Message) -> pb::FromWorker {
    pb::FromWorker { message: Some(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(message: to_worker::Message, offset: &Offset) -> Result<Inbound, Invalid> {
        to_worker(pb::ToWorker { message: Some(message) }, offset)
    }

    fn an_assign() -> pb::Assign {
        pb::Assign {
            epoch: 3,
            attempt: "nightly.17/3#2".to_owned(),
            kind: "http_load".to_owned(),
            spec: "{}".to_owned(),
            shard: "{\"step\":\"plan\"}".to_owned(),
            directive: "{}".to_owned(),
            change: 1,
            orphan_limit: None,
            start_unix_ns: 1500,
        }
    }

    #[test]
    fn the_start_of_an_attempt_is_read_on_this_machines_clock() {
        let mut offset = Offset::default();
        offset.add(100, 100, 1100);
        let Inbound::Order(Heard::Assign(assign)) =
            order(to_worker::Message::Assign(an_assign()), &offset).unwrap()
        else {
            panic!("no assign")
        };
        assert_eq!((assign.start_monotonic_ns, assign.start_unix_ns), (500, 1500));
        assert_eq!(assign.shard, "{\"step\":\"plan\"}");
        assert_eq!(assign.attempt.to_string(), "nightly.17/3#2");
        let early = order(to_worker::Message::Assign(an_assign()), &Offset::default()).unwrap();
        assert!(matches!(early, Inbound::Order(Heard::Unreadable { .. })));
    }

    #[test]
    fn only_a_master_that_says_so_claims_to_lead() {
        let beat = |leader| pb::MasterHeartbeat { epoch: 9, leader, ..Default::default() };
        let claim = |leader| match order(to_worker::Message::Heartbeat(beat(leader)), &Offset::default()) {
            Ok(Inbound::Beat(beat)) => beat.claim,
            other => panic!("{other:?}"),
        };
        assert_eq!((claim(true), claim(false)), (Some(Epoch(9)), None));
    }

    #[test]
    fn a_bad_message_names_the_field() {
        let bad = pb::Cancel { attempt: "nightly".to_owned(), ..Default::default() };
        let error = order(to_worker::Message::Cancel(bad), &Offset::default()).unwrap_err().to_string();
        assert!(error.contains("cancel.attempt") && error.contains("{job}.{n}/{i}#{k}"), "{error}");
        assert_eq!(to_worker(pb::ToWorker { message: None }, &Offset::default()), Err(Invalid::Unknown));
    }

    #[test]
    fn intervals_of_a_welcome_are_kept_within_reason() {
        let welcome = pb::Welcome { master: "m1".to_owned(), ..Default::default() };
        let Ok(Inbound::Welcome(read)) = order(to_worker::Message::Welcome(welcome), &Offset::default())
        else {
            panic!("no welcome")
        };
        assert_eq!(
            (read.heartbeat_interval, read.session_timeout),
            (Duration::from_secs(2), Duration::from_secs(8))
        );
    }
}
