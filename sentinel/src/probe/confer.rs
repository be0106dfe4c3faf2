//! What this sentinel tells the leader, four times a second: workers that the leader does not hear, and clocks.
//!
//! ```text
//!  leader ─suspects, a sample─► looks (TCP, each 500 ms, twice) ─► Doors (pure) ─findings─► leader
//! ```
//! In: who leads, whether this sentinel trusts itself, clocks. Out: words to the leader. Never: judges what it sees; says of
//! a worker that it is dead while this sentinel doubts itself.
//! Tests: below; with processes in the tests crate.

use crate::evidence::{Door, Doors, Glance};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shanty_model::id::NodeId;
use shanty_proto::internal as pb;
use shanty_proto::internal::master_probe_client::MasterProbeClient;
use shanty_rt::clock;
use shanty_rt::tls::{self, Credentials};
use shanty_rt::wire::time::pb_duration;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tonic::transport::Channel;

/// Between two words when nothing presses.
const EVERY: Duration = Duration::from_millis(250);
/// For the leader's answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// For a worker's answer.
const LOOK: Duration = Duration::from_millis(500);
/// From one look at a suspect to the next, which does not wait for the first.
const APART: Duration = Duration::from_millis(100);
/// Each so many words, doors of workers that are well are looked at too,
const SAMPLE_EVERY: u32 = 4;
/// so many of them.
const SAMPLE: u32 = 16;
/// Suspects looked at in one go: when more fall silent at once, it is not they.
const MOST: usize = 128;
/// A line longer than this is no worker's.
const LINE: u64 = 256;

/// What the leader is to be told, and who that is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Errand {
    /// Where the leader is reached.
    pub leader: Option<String>,
    /// Whether this sentinel trusts itself.
    pub sober: bool,
    /// Clocks of other nodes minus the leader's, milliseconds.
    pub clocks: BTreeMap<NodeId, i64>,
}

/// Confers with whoever leads until nobody says so any more.
pub(crate) async fn confer(
    me: NodeId,
    credentials: Option<Credentials>,
    mut errand: watch::Receiver<Errand>,
) {
    let mut doors = Doors::default();
    let mut channel: Option<(String, Channel)> = None;
    let mut asked: Vec<Door> = Vec::new();
    let mut sampled = String::new();
    for round in 0_u32.. {
        let now = errand.borrow_and_update().clone();
        let Some(address) = now.leader else {
            if errand.changed().await.is_err() {
                return;
            }
            continue;
        };
        if channel.as_ref().is_none_or(|(of, _)| *of != address) {
            asked.clear();
            channel = open(&address, credentials.as_ref()).map(|open| (address, open));
        }
        let sample = if round.is_multiple_of(SAMPLE_EVERY) { SAMPLE } else { 0 };
        let word = pb::SentinelWord {
            sentinel: me.to_string(),
            workers: asked.iter().filter(|_| now.sober).filter_map(|door| found(&doors, door)).collect(),
            clocks: now
                .clocks
                .iter()
                .map(|(node, ms)| pb::ClockFound { master: node.to_string(), ahead_ms: *ms })
                .collect(),
            sample,
            sample_after: sampled.clone(),
        };
        let pressing = word.workers.iter().any(|found| found.state() == pb::worker_found::State::Dead);
        asked = match &channel {
            Some((_, channel)) => match tell(channel.clone(), word).await {
                Some(pb::ToLookAt { suspects, sample }) => {
                    if let Some(last) = sample.last() {
                        sampled.clone_from(&last.worker);
                    }
                    look_at(&mut doors, read(suspects), read(sample)).await
                }
                None => Vec::new(),
            },
            None => Vec::new(),
        };
        // What was just found of suspects is told at once; once told, it keeps.
        if asked.is_empty() || pressing {
            tokio::time::sleep(EVERY).await;
        }
        if errand.has_changed().is_err() {
            return;
        }
    }
}

fn open(address: &str, credentials: Option<&Credentials>) -> Option<Channel> {
    let endpoint = tls::endpoint(address, credentials).ok()?;
    Some(tls::connect_lazy(&endpoint.connect_timeout(PATIENCE).tcp_nodelay(true), credentials))
}

async fn tell(channel: Channel, word: pb::SentinelWord) -> Option<pb::ToLookAt> {
    match tokio::time::timeout(PATIENCE, MasterProbeClient::new(channel).confer(word)).await {
        Ok(Ok(answer)) => Some(answer.into_inner()),
        Ok(Err(status)) => {
            tracing::debug!(%status, "the leader does not confer");
            None
        }
        Err(_) => None,
    }
}

fn read(doors: Vec<pb::WorkerDoor>) -> Vec<Door> {
    let read = |pb::WorkerDoor { worker, incarnation, door }| {
        Some(Door { worker: worker.parse().ok()?, incarnation, address: door })
    };
    doors.into_iter().filter_map(read).collect()
}

/// Looks at suspects twice and at the others once; answers the suspects.
async fn look_at(doors: &mut Doors, mut suspects: Vec<Door>, sample: Vec<Door>) -> Vec<Door> {
    suspects.truncate(MOST);
    let twice = suspects.iter().flat_map(|door| [(door.clone(), Duration::ZERO), (door.clone(), APART)]);
    let once = sample.into_iter().map(|door| (door, Duration::ZERO));
    let mut looks: FuturesUnordered<_> = twice
        .chain(once)
        .map(|(door, wait)| async move {
            tokio::time::sleep(wait).await;
            let began = clock::boottime();
            let glance = look(&door).await;
            (door, began, glance)
        })
        .collect();
    let mut seen = Vec::new();
    while let Some(look) = looks.next().await {
        seen.push(look);
    }
    // In the order in which they began, whichever ended first.
    seen.sort_by_key(|(_, began, _)| *began);
    for (door, began, glance) in seen {
        doors.looked(door, began, glance);
    }
    suspects
}

/// One look at a door.
async fn look(door: &Door) -> Glance {
    let answer = async {
        let stream = TcpStream::connect(&door.address).await?;
        let mut line = String::new();
        stream.take(LINE).read_to_string(&mut line).await?;
        Ok::<_, std::io::Error>(line)
    };
    match tokio::time::timeout(LOOK, answer).await {
        Ok(Ok(line)) if line == format!("shanty-worker {} {}\n", door.worker, door.incarnation) => {
            Glance::Answered
        }
        // A door that closes without a word is one of a worker that hangs, or that has too many callers.
        Ok(Ok(line)) if line.is_empty() => Glance::Silent,
        Ok(Ok(_)) => Glance::Another,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Glance::Refused,
        Ok(Err(_)) | Err(_) => Glance::Silent,
    }
}

fn found(doors: &Doors, door: &Door) -> Option<pb::WorkerFound> {
    let finding = doors.finding(door)?;
    let state = if finding.dead { pb::worker_found::State::Dead } else { pb::worker_found::State::Lives };
    Some(pb::WorkerFound {
        worker: door.worker.to_string(),
        incarnation: door.incarnation.clone(),
        state: state.into(),
        why: finding.why.to_owned(),
        ago: Some(pb_duration(clock::boottime().saturating_sub(finding.since))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_rt::task::Scope;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    fn door(address: String) -> Door {
        Door { worker: "w1".parse().unwrap(), incarnation: "abc".to_owned(), address }
    }

    async fn at_a_door_that_says(words: &'static str) -> Glance {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut scope = Scope::new();
        scope.spawn("door", async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(words.as_bytes()).await.unwrap();
        });
        look(&door(address)).await
    }

    #[tokio::test]
    async fn a_look_tells_the_worker_from_another_and_from_nobody() {
        assert_eq!(at_a_door_that_says("shanty-worker w1 abc\n").await, Glance::Answered);
        assert_eq!(at_a_door_that_says("shanty-worker w1 abd\n").await, Glance::Another);
        assert_eq!(at_a_door_that_says("").await, Glance::Silent);
        let (silent, gone) = (
            std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
            std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
        );
        assert_eq!(look(&door(silent.local_addr().unwrap().to_string())).await, Glance::Silent);
        assert_eq!(look(&door(gone.to_string())).await, Glance::Refused);
    }

    #[tokio::test]
    async fn a_suspect_is_looked_at_twice_and_a_worker_that_is_well_once() {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut doors = Doors::default();
        doors.looked(door(gone.clone()), clock::boottime(), Glance::Answered);
        look_at(&mut doors, Vec::new(), vec![door(gone.clone())]).await;
        assert_eq!(doors.finding(&door(gone.clone())), None);
        doors.looked(door(gone.clone()), clock::boottime(), Glance::Answered);
        let suspects = look_at(&mut doors, vec![door(gone.clone())], Vec::new()).await;
        assert_eq!(suspects, [door(gone.clone())]);
        assert!(doors.finding(&door(gone)).unwrap().dead);
    }
}
