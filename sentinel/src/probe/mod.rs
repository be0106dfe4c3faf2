//! Probes: a standing stream of health from each master, and its door tried anew every two seconds.
//!
//! ```text
//!  connect ─► Watch ─► answers … ─► (2 s) a second connection, then the first one is left ─► …
//!     ╰── refused: again at once, to know whether it is gone ──╯
//! ```
//! A stream that ends is the quickest news of a death there is; a new connection tells what an old one cannot: whether
//! the door still opens.
//! In: a master's address. Out: [`Seen`]s. Never: judges what it sees.
//! Tests: with masters in the tests crate.

mod confer;

pub(crate) use confer::{Errand, confer};

use crate::evidence::{Health, Sign, Witnesses};
use futures_util::StreamExt as _;
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use shanty_model::witness::Heard;
use shanty_proto::internal::master_probe_client::MasterProbeClient;
use shanty_proto::internal::{MasterHealth, WatchHealthRequest};
use shanty_rt::cause::innermost;
use shanty_rt::clock;
use shanty_rt::tls::{self, Credentials, Refusal, Reminder};
use std::error::Error as _;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::Streaming;

/// To connect.
const CONNECT: Duration = Duration::from_millis(500);
/// To get from a connection to its first answer.
const FIRST: Duration = Duration::from_millis(750);
/// Between two connections.
const RENEW: Duration = Duration::from_secs(2);
/// Between two tries at a door that does not open: at first, and later on.
const AGAIN: (Duration, Duration) = (Duration::from_millis(55), Duration::from_millis(250));
/// Tries that are made in quick succession.
const QUICK: u32 = 10;

/// What a probe saw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    /// A new connection came about.
    Opened,
    /// A sign.
    Sign(Sign),
}

/// Probes a master until nobody listens any more.
pub(crate) async fn probe(
    node: NodeId,
    address: String,
    every: Duration,
    credentials: Option<Credentials>,
    out: mpsc::Sender<(NodeId, Seen)>,
) {
    let mut failures = 0;
    let mut notes = Notes::default();
    let mut stream: Option<Streaming<MasterHealth>> = None;
    loop {
        let fresh = match open(&address, every, credentials.as_ref()).await {
            Ok((fresh, first)) => {
                failures = 0;
                notes.opened(&node, &address, credentials.as_ref());
                if tell(&out, &node, Seen::Opened).await.is_err()
                    || tell(&out, &node, answered(first)).await.is_err()
                {
                    return;
                }
                stream = Some(fresh);
                true
            }
            Err(Closed { sign, refusal }) => {
                failures += 1;
                notes.refused(&node, &address, refusal);
                if tell(&out, &node, Seen::Sign(sign)).await.is_err() {
                    return;
                }
                false
            }
        };
        let pause = match (fresh, failures) {
            (true, _) => RENEW,
            (false, ..QUICK) => AGAIN.0,
            (false, _) => AGAIN.1,
        };
        let until = Instant::now() + pause;
        loop {
            let next = match &mut stream {
                Some(stream) => tokio::time::timeout_at(until, stream.next()).await,
                None => {
                    tokio::time::sleep_until(until).await;
                    break;
                }
            };
            match next {
                Ok(Some(Ok(health))) => {
                    if tell(&out, &node, answered(health)).await.is_err() {
                        return;
                    }
                }
                // It may have died in this moment: see at once whether its door opens.
                Ok(Some(Err(_)) | None) => {
                    stream = None;
                    break;
                }
                Err(_elapsed) => break,
            }
        }
    }
}

async fn tell(out: &mpsc::Sender<(NodeId, Seen)>, node: &NodeId, seen: Seen) -> Result<(), ()> {
    out.send((node.clone(), seen)).await.map_err(|_| ())
}

/// What is said once of a master, beside the signs: that its certificate runs out, and that TLS with it does not come
/// about, which is somebody's mistake and no fault of the master.
#[derive(Default)]
struct Notes {
    reminder: Reminder,
    said: Option<Refusal>,
}

impl Notes {
    fn opened(&mut self, node: &NodeId, address: &str, credentials: Option<&Credentials>) {
        self.said = None;
        let Some(not_after) = credentials.and_then(|credentials| credentials.met(address)) else { return };
        if let Some(words) = self.reminder.due(not_after, clock::unix_ms() / 1000) {
            tracing::warn!(master = %node, address, "the master's certificate {words}; put a new one there");
        }
    }

    fn refused(&mut self, node: &NodeId, address: &str, refusal: Option<Refusal>) {
        if refusal.is_some() && refusal != self.said {
            let why = refusal.as_ref().map(ToString::to_string);
            tracing::warn!(master = %node, address, why, "cannot probe the master");
            self.said = refusal;
        }
    }
}

/// A door that did not open.
struct Closed {
    sign: Sign,
    /// When it was TLS that did not come about.
    refusal: Option<Refusal>,
}

impl From<Sign> for Closed {
    fn from(sign: Sign) -> Closed {
        Closed { sign, refusal: None }
    }
}

/// A new connection with its first answer.
async fn open(
    address: &str,
    every: Duration,
    credentials: Option<&Credentials>,
) -> Result<(Streaming<MasterHealth>, MasterHealth), Closed> {
    // Without a connection of its own the system's word, refused or not, would be lost in layers.
    match timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(_connected)) => {}
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(Sign::Refused.into());
        }
        Ok(Err(error)) => return Err(Sign::Unreachable(error.to_string()).into()),
        Err(_) => return Err(Sign::Unreachable(format!("no connection within {CONNECT:?}")).into()),
    }
    let unreachable = |error: tonic::transport::Error| Closed {
        sign: Sign::Unreachable(innermost(&error)),
        refusal: Refusal::below(&error),
    };
    let endpoint = tls::endpoint(address, credentials).map_err(unreachable)?;
    let endpoint = endpoint.connect_timeout(CONNECT).tcp_nodelay(true);
    let opened = async {
        let channel = tls::connect(&endpoint, credentials).await.map_err(unreachable)?;
        let interval = prost_types::Duration::try_from(every).ok();
        let refused = |status: tonic::Status| Sign::Unreachable(said(&status));
        let request = WatchHealthRequest { interval };
        let mut stream = MasterProbeClient::new(channel).watch(request).await.map_err(refused)?.into_inner();
        let first = stream.message().await.map_err(refused)?;
        let none = || Sign::Unreachable("it ended the stream".to_owned()).into();
        first.map(|first| (stream, first)).ok_or_else(none)
    };
    match timeout(FIRST, opened).await {
        Ok(opened) => opened,
        Err(_) => Err(Sign::Unreachable(format!("no answer within {FIRST:?}")).into()),
    }
}

/// What a status says: the master's own words, or those of the layers below where it could not say any.
fn said(status: &tonic::Status) -> String {
    if status.source().is_some() { innermost(status) } else { status.message().to_owned() }
}

fn answered(health: MasterHealth) -> Seen {
    let MasterHealth {
        node: _,
        incarnation,
        leading,
        epoch,
        dispatch_silence,
        store_silence,
        disk_silence,
        eligible,
        priority,
        cpu,
        memory,
        unix_ms,
        witnesses,
    } = health;
    let silence = |given: Option<prost_types::Duration>| {
        given.and_then(|given| Duration::try_from(given).ok()).unwrap_or_default()
    };
    let witnesses = witnesses.unwrap_or_default();
    let mut heard_within = Heard::default();
    for (place, heard) in heard_within.iter_mut().zip(&witnesses.heard_within) {
        *place = *heard;
    }
    Seen::Sign(Sign::Answered(Health {
        incarnation,
        leading: leading.then_some(Epoch(epoch)),
        dispatch: silence(dispatch_silence),
        store: silence(store_silence),
        disk: silence(disk_silence),
        eligible,
        priority,
        cpu,
        memory,
        unix_ms,
        witnesses: Witnesses {
            leader: witnesses.leader.parse().ok(),
            attached: witnesses.attached,
            heard_within,
        },
    }))
}
