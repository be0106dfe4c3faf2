//! The loop: one event after the other, then what is due.
//!
//! In: events of links, ends of attempts, time, the stop. Out: the worker's life until it may exit.
//! Never: waits for anything but the next event (and the ledger's disk).
//! Tests: with masters in `worker/tests/`.

use super::leader::Leader;
use super::leaving::{Phase, STOP_GRACE};
use super::line::Line;
use super::pump::{Pumped, pump};
use super::roll::Roll;
use crate::door::Knock;
use crate::ledger::Ledger;
use crate::link::{End, Event, Outbound, Said, SessionId};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shanty_model::epoch::Epoch;
use shanty_model::id::{AttemptId, NodeId};
use shanty_model::telemetry::Telemetry;
use shanty_rt::clock;
use shanty_rt::driver::{ErasedDriver, StopReason};
use shanty_rt::systemd::Systemd;
use shanty_rt::task::Scope;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How often silence, pauses and deadlines are looked at.
const TICK: Duration = Duration::from_millis(250);
/// A tick later than this means that the process or the machine was paused.
const PAUSE: Duration = Duration::from_secs(5);
/// A worker without an answer from any master says that it waits after this.
const WAITS_AFTER: Duration = Duration::from_secs(2);
/// Ends that wait for the loop: it takes them at once, so a few are plenty.
const ENDS: usize = 16;

/// What an executor is told about itself.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Its node id.
    pub(crate) node: NodeId,
    /// Attempts at once.
    pub(crate) slots: u32,
    /// Longest time that an attempt goes on without a master.
    pub(crate) orphan_limit: Duration,
    /// How long attempts may go on after the stop.
    pub(crate) drain_timeout: Duration,
}

/// What an executor tells the links.
#[derive(Debug)]
pub(crate) struct Signals {
    /// The machine's figures with the attempts' lateness.
    pub(crate) figures: watch::Sender<Telemetry>,
    /// Attempts under way.
    pub(crate) attempts: watch::Sender<u32>,
    /// The largest epoch obeyed.
    pub(crate) seen: watch::Sender<Epoch>,
    /// Raised after a pause.
    pub(crate) roused: watch::Sender<u64>,
}

/// Another process has this worker's name, in a master's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameTaken(pub String);

/// The owner of what this worker does.
pub(crate) struct Executor {
    pub(super) options: Options,
    pub(super) drivers: BTreeMap<&'static str, Arc<dyn ErasedDriver>>,
    /// Away only while it is written.
    pub(super) ledger: Option<Ledger>,
    pub(super) signals: Signals,
    pub(super) sessions: BTreeMap<SessionId, Line>,
    pub(super) leader: Leader,
    pub(super) roll: Roll,
    pub(super) phase: Phase,
    pub(super) drained: bool,
    /// Claims of older terms that were logged.
    pub(super) fenced: BTreeSet<(SessionId, Epoch)>,
    /// Since when a master refuses it for its name.
    pub(super) refused_since: Option<Duration>,
    /// Why it leaves by itself.
    pub(super) name_taken: Option<NameTaken>,
    /// Addresses out of reach since the last attachment.
    pub(super) unreached: BTreeSet<String>,
    pub(super) scope: Scope,
    pub(super) wake: Arc<Notify>,
    pub(super) ends_in: mpsc::Sender<(AttemptId, End)>,
    ends: mpsc::Receiver<(AttemptId, End)>,
    machine: watch::Receiver<Telemetry>,
    systemd: Systemd,
}

impl Executor {
    /// An executor that holds nothing yet; `machine` shows the machine's figures.
    pub(crate) fn new(
        options: Options,
        drivers: Vec<Arc<dyn ErasedDriver>>,
        ledger: Ledger,
        signals: Signals,
        machine: watch::Receiver<Telemetry>,
        systemd: Systemd,
    ) -> Executor {
        let (ends_in, ends) = mpsc::channel(ENDS);
        Executor {
            options,
            drivers: drivers.into_iter().map(|driver| (driver.kind(), driver)).collect(),
            ledger: Some(ledger),
            signals,
            sessions: BTreeMap::new(),
            leader: Leader::new(clock::boottime()),
            roll: Roll::default(),
            phase: Phase::Serving,
            drained: false,
            fenced: BTreeSet::new(),
            refused_since: None,
            name_taken: None,
            unreached: BTreeSet::new(),
            scope: Scope::new(),
            wake: Arc::default(),
            ends_in,
            ends,
            machine,
            systemd,
        }
    }

    /// Works until `stop`, then leaves. `ready` is called once: when a master has answered, or when this
    /// worker waits for one.
    ///
    /// # Errors
    /// When it has left because another process has its name.
    pub(crate) async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut knocks: mpsc::Receiver<Knock>,
        stop: CancellationToken,
        ready: impl FnOnce(),
    ) -> Result<(), NameTaken> {
        let mut ready = Some(ready);
        let began = clock::boottime();
        let mut ticked = began;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.phase != Phase::Over {
            let full = self.pump();
            let wake = self.wake.clone();
            tokio::select! {
                Some(event) = events.recv() => self.on_event(event).await,
                Some((attempt, end)) = self.ends.recv() => self.on_end(&attempt, end),
                // A caller that went away needs no answer.
                Some(knock) = knocks.recv() => {
                    let _gone = knock.send(());
                }
                () = wake.notified() => {}
                () = until_room(&full) => {}
                _ = tick.tick() => {
                    let now = clock::boottime();
                    self.on_tick(now, now.saturating_sub(ticked));
                    ticked = now;
                }
                () = stop.cancelled(), if !self.phase.is_leaving() => self.leave(),
            }
            let now = clock::boottime();
            let waits = !self.unreached.is_empty() || now.saturating_sub(began) >= WAITS_AFTER;
            if (!self.sessions.is_empty() || waits)
                && let Some(ready) = ready.take()
            {
                self.systemd.ready();
                ready();
            }
            self.step(now);
        }
        // That it leaves, for an idle worker. A stream that is full now learns it from its end.
        self.pump();
        self.name_taken.map_or(Ok(()), Err)
    }

    /// Says what is due, debts first. Answers the streams that had no room.
    fn pump(&mut self) -> Vec<Outbound> {
        let epoch = self.ledger.as_ref().map_or(Epoch::NONE, Ledger::seen);
        let leader = self.leader.leading().map(|leading| leading.session);
        let mut full = Vec::new();
        for (session, line) in &mut self.sessions {
            let mut pumped = line.pay(|| Said::Inventory { epoch, held: self.roll.inventory() });
            if pumped == Pumped::Dry && leader == Some(*session) {
                pumped = pump(&mut self.roll, line.outbound());
            }
            if pumped == Pumped::Full {
                full.push(line.outbound().clone());
            }
        }
        full
    }

    fn on_end(&mut self, attempt: &AttemptId, end: End) {
        if let Some(held) = self.roll.get_mut(attempt) {
            held.end = Some(end);
        }
        self.scope.reap();
    }

    fn on_tick(&mut self, now: Duration, gap: Duration) {
        if gap > PAUSE {
            tracing::warn!(gap_s = gap.as_secs_f64(), "this process was paused; attaching again");
            self.leader.forgive(gap);
            self.signals.roused.send_modify(|times| *times += 1);
        }
        let heard = self.leader.last_heard();
        for (attempt, held) in self.roll.iter_mut().filter(|(_, held)| held.is_under_way()) {
            let silence = now.saturating_sub(heard.max(held.taken));
            if held.asked.is_none() && silence > held.orphan_limit {
                tracing::warn!(%attempt, silence_s = silence.as_secs_f64(), "no master for too long; stopping");
                held.ask_to_stop(StopReason::Orphaned, now);
            }
            if held.asked.is_some_and(|asked| now.saturating_sub(asked) > STOP_GRACE) {
                held.abort.cancel();
            }
        }
        self.show(now);
    }

    /// Shows figures to the links, and a line to systemd.
    fn show(&mut self, now: Duration) {
        let under_way = u32::try_from(self.roll.under_way()).unwrap_or(u32::MAX);
        let running = self.roll.iter().filter(|(_, held)| held.is_under_way());
        let lateness_p99_ms = running.map(|(_, held)| held.port.lateness_p99_ms()).fold(0.0, f64::max);
        let machine = *self.machine.borrow();
        self.signals.figures.send_replace(Telemetry { lateness_p99_ms, ..machine });
        self.signals.attempts.send_if_modified(|n| std::mem::replace(n, under_way) != under_way);
        self.systemd.sign_of_life(now);
        let status = match (self.leader.leading(), self.sessions.len()) {
            (Some(leading), _) => {
                format!("{} leads ({}); {under_way} attempts under way", leading.master, leading.epoch)
            }
            (None, 0) if self.unreached.is_empty() => "waiting for a master".to_owned(),
            (None, 0) => {
                let tried: Vec<&str> = self.unreached.iter().map(String::as_str).collect();
                format!("waiting for a master; out of reach: {}", tried.join(", "))
            }
            (None, masters) => format!("{masters} masters, none leads; {under_way} attempts under way"),
        };
        self.systemd.status(status);
    }

    /// A session leads anew: it is told what is held, and then everything else.
    pub(super) fn tell_anew(&mut self) {
        let Some(session) = self.leader.leading().map(|leading| leading.session) else { return };
        if let Some(line) = self.sessions.get_mut(&session) {
            line.owe_inventory();
        }
        for (_, held) in self.roll.iter_mut() {
            held.rewind();
        }
    }

    pub(super) fn leave(&mut self) {
        let (now, patience) = (clock::boottime(), self.options.drain_timeout);
        tracing::info!(
            attempts = self.roll.under_way(),
            ?patience,
            "leaving: no new work, waiting for the rest"
        );
        self.systemd.stopping(patience + STOP_GRACE * 2);
        self.phase = self.phase.leave(now, patience);
        for line in self.sessions.values_mut() {
            line.owe_leaving();
        }
    }

    fn step(&mut self, now: Duration) {
        let next = self.phase.step(now, self.roll.under_way(), self.roll.len());
        if matches!(next, Phase::Cancelling { .. }) && !matches!(self.phase, Phase::Cancelling { .. }) {
            tracing::info!(attempts = self.roll.under_way(), "time to drain is over; cancelling the rest");
            for (_, held) in self.roll.iter_mut() {
                held.ask_to_stop(StopReason::Cancelled, now);
            }
        }
        if next == Phase::Over && self.roll.len() > 0 {
            tracing::warn!(
                attempts = self.roll.len(),
                "leaving with results that no master has acknowledged"
            );
        }
        self.phase = next;
    }
}

/// Waits for room in any of these streams, which had none; for ever without one.
async fn until_room(full: &[Outbound]) {
    let mut rooms: FuturesUnordered<_> = full.iter().map(Outbound::room).collect();
    if rooms.next().await.is_none() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Attached, Heard, way_out};
    use futures_util::{FutureExt as _, Stream};
    use shanty_proto::internal::from_worker::Message;
    use shanty_proto::internal::{FromWorker, Hello};

    fn executor(folder: &std::path::Path) -> Executor {
        let options = Options {
            node: "w1".parse().unwrap(),
            slots: 1,
            orphan_limit: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(60),
        };
        let signals = Signals {
            figures: watch::Sender::new(Telemetry::default()),
            attempts: watch::Sender::new(0),
            seen: watch::Sender::new(Epoch::NONE),
            roused: watch::Sender::new(0),
        };
        let machine = watch::channel(Telemetry::default()).1;
        let ledger = Ledger::open(folder, "test").unwrap();
        Executor::new(options, vec![], ledger, signals, machine, Systemd::default())
    }

    /// A master's end of a stream that nobody reads but the test.
    struct Wire(std::pin::Pin<Box<dyn Stream<Item = FromWorker> + Send>>);

    impl Wire {
        /// What is on it now.
        fn read(&mut self) -> Vec<Message> {
            std::iter::from_fn(|| self.0.next().now_or_never().flatten())
                .map(|message| message.message.unwrap())
                .filter(|message| !matches!(message, Message::Hello(_) | Message::Checked(_)))
                .collect()
        }
    }

    async fn attach(executor: &mut Executor, number: u64, is_full: bool) -> Wire {
        let hello = FromWorker { message: Some(Message::Hello(Hello::default())) };
        let (outbound, _beats, stream) = way_out(hello);
        let filler = || Said::Checked { question: 0, checked: Box::default() };
        while is_full && outbound.say(filler).is_ok() {}
        let (session, master) = (SessionId(number), format!("m{number}").parse().unwrap());
        executor.on_event(Event::Attached(Attached { session, master, claim: None, outbound })).await;
        Wire(Box::pin(stream))
    }

    #[tokio::test]
    async fn what_a_full_stream_has_no_room_for_is_said_when_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let mut executor = executor(folder.path());
        let mut leader = attach(&mut executor, 1, true).await;
        let mut standby = attach(&mut executor, 2, false).await;
        let (epoch, attempt) = (Epoch(7), "a.1/0#1".parse().unwrap());
        let order = Heard::Unreadable { epoch, attempt, reason: "no spec".to_owned() };
        executor.on_event(Event::Heard(SessionId(1), order)).await;
        executor.leave();
        assert_eq!(executor.pump().len(), 1, "one of the two streams is full");
        assert!(matches!(standby.read().as_slice(), [Message::Inventory(_), Message::Leaving(_)]));

        assert_eq!(leader.read(), [], "it had no room for more than was on it");
        assert!(executor.pump().is_empty());
        let said = leader.read();
        let [Message::Inventory(inventory), Message::Leaving(_), Message::Update(refusal)] = said.as_slice()
        else {
            panic!("{said:?}")
        };
        assert_eq!((inventory.epoch, refusal.reason.as_str()), (7, "no spec"));
        executor.pump();
        assert_eq!(leader.read(), [], "said twice");
    }

    #[tokio::test]
    async fn a_stream_with_room_again_is_not_kept_waiting_by_one_without() {
        let folder = tempfile::tempdir().unwrap();
        let mut executor = executor(folder.path());
        let _stuck = attach(&mut executor, 1, true).await;
        let mut reads = attach(&mut executor, 2, true).await;
        let full = executor.pump();
        assert_eq!(full.len(), 2);
        assert!(until_room(&full).now_or_never().is_none());
        reads.read();
        until_room(&full).await;
        assert_eq!(executor.pump().len(), 1);
        assert!(matches!(reads.read().as_slice(), [Message::Inventory(_)]));
    }
}
