//! Sessions of attached workers, and the sink to the leading core.

use crate::engine::{Arrival, Ending, Held, Order, Update};
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId};
use shanty_model::telemetry::Telemetry;
use shanty_model::witness::{HEARD_WITHIN, Heard};
use shanty_rt::clock;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for a worker's stream: a burst of orders for all of its attempts. A worker that does
/// not read this many is cut off and attaches again.
const OUTBOX: usize = 1024;

/// One attachment of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(u64);

/// What goes out to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// This master leads in this term.
    Announce(Epoch),
    /// Do something, in this term.
    Order(Epoch, Order),
    /// Another process, of this incarnation, tries to attach under the worker's name.
    Twin(String),
    /// Try a connection.
    Check {
        /// Number of the question, for the answer.
        question: u64,
        /// Name of the connection.
        connection: String,
    },
}

/// What a worker found at a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    /// The server's product and version; empty when it was not reached.
    pub server: String,
    /// Where the connection leads, without user and password.
    pub endpoint: String,
    /// To connect and get a first answer.
    pub latency: Option<Duration>,
    /// What is wrong and what helps; none when all is well.
    pub error: Option<String>,
    /// What works but costs speed or certainty.
    pub warnings: Vec<String>,
}

/// Questions to workers that wait for their answer, by number.
type Questions = BTreeMap<u64, (NodeId, oneshot::Sender<Finding>)>;

/// What workers say to the leading core.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerEvent {
    /// It has attached.
    Attached(Arrival),
    /// It has said what it holds.
    Inventory(NodeId, Vec<Held>),
    /// It was heard: its figures, and its clock minus ours in nanoseconds.
    Heartbeat(NodeId, Telemetry, i64),
    /// Its stream is gone: node and incarnation.
    Gone(NodeId, String),
    /// It wants to leave.
    Leaving(NodeId, String),
    /// Where an attempt is.
    Update(NodeId, AttemptId, Update),
    /// A numbered piece of results.
    Report(NodeId, AttemptId, u64, Vec<u8>),
    /// An attempt has ended.
    Ended(NodeId, Ending),
    /// Another process tried to attach under its name, and was refused.
    Twin(NodeId),
}

/// Another process is attached under this name, and lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTaken;

#[derive(Debug)]
struct Session {
    id: SessionId,
    arrival: Arrival,
    outbox: mpsc::Sender<Outbound>,
    /// When it said something last, CLOCK_BOOTTIME.
    spoke: Duration,
    /// The newest process that was refused its name.
    twin: String,
    /// The leader that the worker heard, and when, CLOCK_BOOTTIME.
    heard: Option<(NodeId, Duration)>,
}

impl Session {
    /// Whether an arrival is another process than this session's.
    fn is_other(&self, arrival: &Arrival) -> bool {
        self.arrival.incarnation != arrival.incarnation
    }
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    sessions: BTreeMap<NodeId, Session>,
    questions: Questions,
    sink: Option<mpsc::Sender<WorkerEvent>>,
}

/// All sessions of this master.
#[derive(Debug, Default)]
pub struct Registry {
    state: Mutex<State>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Registry {
        Registry::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker attaches: its session and what goes out to it. A session that it had before is closed.
    ///
    /// # Errors
    /// [`NameTaken`] when another process has this name and said something within `alive_within`. It is told so, once for
    /// each process that tries.
    pub async fn attach(
        &self,
        arrival: Arrival,
        alive_within: Duration,
    ) -> Result<(SessionId, mpsc::Receiver<Outbound>), NameTaken> {
        let now = clock::boottime();
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        let node = arrival.node.clone();
        let (event, id, sink) = {
            let mut state = self.lock();
            state.next += 1;
            let id = SessionId(state.next);
            let sink = state.sink.clone();
            match state.sessions.get_mut(&node) {
                Some(other) if other.is_other(&arrival) && now.saturating_sub(other.spoke) < alive_within => {
                    if other.twin == arrival.incarnation {
                        return Err(NameTaken);
                    }
                    other.twin.clone_from(&arrival.incarnation);
                    // One that does not read learns it another time, or when it is cut off.
                    let _full = other.outbox.try_send(Outbound::Twin(arrival.incarnation.clone()));
                    (WorkerEvent::Twin(node), None, sink)
                }
                Some(_) | None => {
                    state.questions.retain(|_, (asked, _)| *asked != node);
                    let session = Session {
                        id,
                        arrival: arrival.clone(),
                        outbox,
                        spoke: now,
                        twin: String::new(),
                        heard: None,
                    };
                    state.sessions.insert(node, session);
                    (WorkerEvent::Attached(arrival), Some(id), sink)
                }
            }
        };
        send(sink, event).await;
        id.map(|id| (id, outgoing)).ok_or(NameTaken)
    }

    /// A worker's stream has ended. Nothing happens if it has attached anew meanwhile.
    pub async fn detach(&self, node: &NodeId, id: SessionId) {
        let (sink, incarnation) = {
            let mut state = self.lock();
            match state.sessions.get(node) {
                Some(session) if session.id == id => {}
                Some(_) | None => return,
            }
            // Who waits for an answer of its learns that none will come.
            state.questions.retain(|_, (asked, _)| asked != node);
            let incarnation = state.sessions.remove(node).map(|session| session.arrival.incarnation);
            (state.sink.clone(), incarnation)
        };
        if let Some(incarnation) = incarnation {
            send(sink, WorkerEvent::Gone(node.clone(), incarnation)).await;
        }
    }

    /// Whether this is the worker's session still.
    #[must_use]
    pub fn is_current(&self, node: &NodeId, id: SessionId) -> bool {
        self.lock().sessions.get(node).is_some_and(|session| session.id == id)
    }

    /// Hands an event of a session to the leading core. Waits while the core is busy; drops the event when
    /// nobody leads here, since the worker keeps what was not acknowledged.
    pub async fn forward(&self, node: &NodeId, id: SessionId, event: WorkerEvent) {
        let sink = {
            let mut state = self.lock();
            match state.sessions.get_mut(node) {
                Some(session) if session.id == id => {
                    session.spoke = clock::boottime();
                    if let WorkerEvent::Heartbeat(_, telemetry, _) = &event {
                        session.arrival.telemetry = *telemetry;
                    }
                }
                Some(_) | None => return,
            }
            state.sink.clone()
        };
        send(sink, event).await;
    }

    /// A worker heard `leader` at `at` on CLOCK_BOOTTIME.
    pub fn heard_leader(&self, node: &NodeId, id: SessionId, leader: NodeId, at: Duration) {
        if let Some(session) = self.lock().sessions.get_mut(node).filter(|session| session.id == id) {
            session.heard = Some((leader, at));
        }
    }

    /// Workers attached, and of these how many heard `leader` within each of [`HEARD_WITHIN`] before `now`.
    #[must_use]
    pub fn witnesses(&self, leader: &NodeId, now: Duration) -> (u32, Heard) {
        let state = self.lock();
        let heard = |within: Duration| {
            let recent = |session: &&Session| {
                session
                    .heard
                    .as_ref()
                    .is_some_and(|(of, at)| of == leader && now.saturating_sub(*at) <= within)
            };
            u32::try_from(state.sessions.values().filter(recent).count()).unwrap_or(u32::MAX)
        };
        (u32::try_from(state.sessions.len()).unwrap_or(u32::MAX), HEARD_WITHIN.map(heard))
    }

    /// The core leads from now on: it gets all events, beginning with the workers attached already, each of
    /// which is told.
    pub async fn lead(&self, epoch: Epoch, sink: mpsc::Sender<WorkerEvent>) {
        let sessions: Vec<(SessionId, Arrival)> = {
            let mut state = self.lock();
            state.sink = Some(sink.clone());
            state.sessions.values().map(|session| (session.id, session.arrival.clone())).collect()
        };
        for (id, arrival) in sessions {
            let node = arrival.node.clone();
            // One that went, or came anew, since then has told so itself.
            if self.is_current(&node, id) {
                send(Some(sink.clone()), WorkerEvent::Attached(arrival)).await;
                self.send(&node, Outbound::Announce(epoch));
            }
        }
    }

    /// Nobody leads here any more.
    pub fn stand_by(&self) {
        self.lock().sink = None;
    }

    /// Sends to a worker if it is attached. A worker whose outbox is full is cut off: it attaches again and
    /// says what it holds.
    pub fn send(&self, node: &NodeId, message: Outbound) {
        let mut state = self.lock();
        let Some(session) = state.sessions.get_mut(node) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = session.outbox.try_send(message) {
            tracing::warn!(%node, "worker does not read its stream; cutting it off");
            // Its stream sees the closed outbox, ends, and detaches.
            session.outbox = mpsc::channel(1).0;
        }
    }

    /// The connections of each worker attached.
    #[must_use]
    pub fn connections(&self) -> BTreeMap<NodeId, Vec<String>> {
        let state = self.lock();
        state
            .sessions
            .iter()
            .map(|(node, session)| (node.clone(), session.arrival.connections.clone()))
            .collect()
    }

    /// Lets a worker try a connection, and waits for what it found for at most `patience`. Neither the leading core
    /// nor its term has a part in it.
    ///
    /// # Errors
    /// When no answer came, in words.
    pub async fn check(
        &self,
        node: &NodeId,
        connection: &str,
        patience: Duration,
    ) -> Result<Finding, String> {
        let (answer, answered) = oneshot::channel();
        let question = {
            let mut state = self.lock();
            state.next += 1;
            let question = state.next;
            state.questions.insert(question, (node.clone(), answer));
            question
        };
        // However this ends, its caller giving up included, the question does not stay.
        let _asked = Asked { registry: self, question };
        self.send(node, Outbound::Check { question, connection: connection.to_owned() });
        match tokio::time::timeout(patience, answered).await {
            Ok(Ok(finding)) => Ok(finding),
            Ok(Err(_gone)) => Err("the worker went away before it answered; try again".to_owned()),
            Err(_) => Err(format!(
                "the worker did not answer within {} s; see whether it is well: shanty node get {node}",
                patience.as_secs()
            )),
        }
    }

    /// A worker's answer. One that nobody waits for, or that was asked of another worker, is dropped.
    pub fn answer(&self, node: &NodeId, question: u64, finding: Finding) {
        let mut state = self.lock();
        if state.questions.get(&question).is_some_and(|(asked, _)| asked == node)
            && let Some((_, answer)) = state.questions.remove(&question)
        {
            // Its caller may have given up in this moment.
            let _given_up = answer.send(finding);
        }
    }

    /// Number of workers attached.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Whether no worker is attached.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A question that is forgotten when this is.
struct Asked<'a> {
    registry: &'a Registry,
    question: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.registry.lock().questions.remove(&self.question);
    }
}

async fn send(sink: Option<mpsc::Sender<WorkerEvent>>, event: WorkerEvent) {
    if let Some(sink) = sink {
        // A core that has gone away needs no events: its successor gets them anew.
        let _gone = sink.send(event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(incarnation: &str) -> Arrival {
        Arrival {
            node: "w1".parse().unwrap(),
            incarnation: incarnation.to_owned(),
            version: String::new(),
            kinds: vec![],
            slots: 1,
            labels: BTreeMap::new(),
            connections: vec![],
            door: String::new(),
            telemetry: Telemetry::default(),
        }
    }

    const ALIVE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_newest_session_wins_and_the_end_of_an_older_one_changes_nothing() {
        let registry = Registry::new();
        let (sink, mut events) = mpsc::channel(16);
        registry.lead(Epoch(1), sink).await;
        let node: NodeId = "w1".parse().unwrap();
        let (old, mut old_outbox) = registry.attach(arrival("a"), ALIVE).await.unwrap();
        let (new, mut new_outbox) = registry.attach(arrival("b"), Duration::ZERO).await.unwrap();
        assert_eq!(old_outbox.recv().await, None, "the older stream is closed");
        registry.detach(&node, old).await;
        registry.forward(&node, old, WorkerEvent::Leaving(node.clone(), "late".into())).await;
        registry.send(&node, Outbound::Announce(Epoch(1)));
        assert_eq!(new_outbox.recv().await, Some(Outbound::Announce(Epoch(1))));
        registry.detach(&node, new).await;
        assert!(matches!(events.recv().await, Some(WorkerEvent::Attached(a)) if a.incarnation == "a"));
        assert!(matches!(events.recv().await, Some(WorkerEvent::Attached(a)) if a.incarnation == "b"));
        assert_eq!(events.recv().await, Some(WorkerEvent::Gone(node, "b".into())));
    }

    #[tokio::test]
    async fn a_name_is_not_taken_from_a_process_that_lives_and_both_are_told() {
        let registry = Registry::new();
        let (sink, mut events) = mpsc::channel(16);
        registry.lead(Epoch(1), sink).await;
        let node: NodeId = "w1".parse().unwrap();
        let (id, mut outbox) = registry.attach(arrival("a"), ALIVE).await.unwrap();
        for _ in 0..2 {
            assert_eq!(registry.attach(arrival("b"), ALIVE).await.unwrap_err(), NameTaken);
        }
        registry.forward(&node, id, WorkerEvent::Leaving(node.clone(), "it works on".into())).await;
        assert_eq!(outbox.recv().await, Some(Outbound::Twin("b".into())));
        assert!(outbox.try_recv().is_err(), "said once, and the stream goes on");
        assert!(matches!(events.recv().await, Some(WorkerEvent::Attached(a)) if a.incarnation == "a"));
        assert_eq!(events.recv().await, Some(WorkerEvent::Twin(node.clone())));
        assert!(matches!(events.recv().await, Some(WorkerEvent::Leaving(..))));
        // The same process attaches anew whenever it likes, another one when this one is silent.
        assert!(registry.attach(arrival("a"), ALIVE).await.is_ok());
        assert!(registry.attach(arrival("b"), Duration::ZERO).await.is_ok());
    }

    #[tokio::test]
    async fn a_new_leader_hears_of_workers_attached_before_and_tells_them() {
        let registry = Registry::new();
        let (_, mut outbox) = registry.attach(arrival("a"), ALIVE).await.unwrap();
        let (sink, mut events) = mpsc::channel(16);
        registry.lead(Epoch(7), sink).await;
        assert!(matches!(events.recv().await, Some(WorkerEvent::Attached(_))));
        assert_eq!(outbox.recv().await, Some(Outbound::Announce(Epoch(7))));
    }

    #[tokio::test]
    async fn witnesses_speak_of_one_leader_and_of_how_long_ago() {
        let registry = Registry::new();
        let (id, _outbox) = registry.attach(arrival("a"), ALIVE).await.unwrap();
        let (w1, m1, m2): (NodeId, NodeId, NodeId) =
            ("w1".parse().unwrap(), "m1".parse().unwrap(), "m2".parse().unwrap());
        let s = Duration::from_secs;
        assert_eq!(registry.witnesses(&m1, s(9)), (1, [0; 5]));
        registry.heard_leader(&w1, id, m1.clone(), s(8));
        assert_eq!(registry.witnesses(&m1, s(9)), (1, [0, 0, 0, 1, 1]));
        assert_eq!(registry.witnesses(&m1, s(11)), (1, [0, 0, 0, 0, 1]));
        assert_eq!(registry.witnesses(&m1, s(12)), (1, [0; 5]));
        assert_eq!(registry.witnesses(&m2, s(9)), (1, [0; 5]));
    }

    #[tokio::test]
    async fn only_the_worker_that_was_asked_answers_and_nothing_stays() {
        let registry = Registry::new();
        let (id, mut outbox) = registry.attach(arrival("a"), ALIVE).await.unwrap();
        let (node, other): (NodeId, NodeId) = ("w1".parse().unwrap(), "w2".parse().unwrap());
        let found = Finding { server: "SQLite 3".into(), ..Finding::default() };
        let worker = async {
            let Some(Outbound::Check { question, connection }) = outbox.recv().await else {
                panic!("no question")
            };
            assert_eq!(connection, "shop");
            registry.answer(&other, question, Finding::default());
            registry.answer(&node, question + 1, Finding::default());
            registry.answer(&node, question, found.clone());
            registry.answer(&node, question, Finding::default());
        };
        let patience = Duration::from_secs(5);
        let (answer, ()) = tokio::join!(registry.check(&node, "shop", patience), worker);
        assert_eq!(answer, Ok(found.clone()));
        // A worker that goes away answers nothing, and its caller does not wait for it.
        let leave = async {
            outbox.recv().await;
            registry.detach(&node, id).await;
        };
        let (answer, ()) = tokio::join!(registry.check(&node, "shop", patience), leave);
        assert!(answer.unwrap_err().contains("went away"));
        assert!(registry.lock().questions.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_answer_is_waited_for_no_longer_than_said() {
        let registry = Registry::new();
        let (_id, _outbox) = registry.attach(arrival("a"), ALIVE).await.unwrap();
        let node: NodeId = "w1".parse().unwrap();
        let error = registry.check(&node, "shop", Duration::from_secs(10)).await.unwrap_err();
        assert!(error.contains("10 s") && error.contains("shanty node get w1"), "{error}");
        assert!(registry.lock().questions.is_empty());
    }

    #[tokio::test]
    async fn a_worker_that_does_not_read_is_cut_off() {
        let registry = Registry::new();
        let (_, mut outbox) = registry.attach(arrival("a"), ALIVE).await.unwrap();
        let node: NodeId = "w1".parse().unwrap();
        for _ in 0..=OUTBOX {
            registry.send(&node, Outbound::Announce(Epoch(1)));
        }
        let mut received = 0;
        while outbox.recv().await.is_some() {
            received += 1;
        }
        assert_eq!(received, OUTBOX, "the stream ends after what fitted");
    }
}
