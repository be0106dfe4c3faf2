//! One load thread: its loop.
//!
//! ```text
//!   read mail ─► hand over a second ─► expire ─► send what is due ─► wait ─► deal with events ─┐
//!       ▲                                                                                      │
//!       └──────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! In: a plan, mail. Out: [`Message`]s: a handover once a second, and a last one.
//! Never: touches tokio's clock or scheduler, allocates per request, sends after it was stopped or has stood
//! still for more than [`MOST_STILL`].
//! Tests: `worker/tests`.

use super::catch_up::{CatchUp, Turn};
use super::exchange::{Exchange, Ready};
use super::mailbox::{Mailbox, Stop};
use super::message::{Alarm, Message};
use super::pacer::Pacer;
use super::poller::{Events, MAILBOX, Poller, Wait};
use super::setup::Setup;
use super::share::ThreadPlan;
use super::slice::ask_for_short_slices;
use rustix::event::epoll::EventFlags;
use shanty_model::kind::http_load::ErrorClass;
use shanty_model::rate::Load;
use shanty_rt::clock::{boottime, monotonic_ns};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Arrivals sent before answers are looked at again: at 5 µs each this is a third of a millisecond.
const BURST: usize = 64;
/// Arrivals that may wait for a connection: 4 MiB of memory, touched only when they are many.
const RING: usize = 1 << 19;
/// After a stop, answers are awaited this long.
const GRACE_NS: u64 = 100_000_000;
/// A thread that stood still for longer, suspension of the machine included, has lost its share to others.
const MOST_STILL: Duration = Duration::from_secs(5);
const SECOND_NS: u64 = 1_000_000_000;

/// What became of an arrival that had its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Its request is on its way.
    Written,
    /// Its connection is being made, and its request is written then.
    WhenConnected,
    /// It waits for a connection, or is dropped.
    Later,
}

/// A load thread.
#[derive(Debug)]
pub(super) struct LoadThread {
    number: usize,
    setup: Arc<Setup>,
    mailbox: Arc<Mailbox>,
    control: mpsc::Sender<Message>,
    plan: ThreadPlan,
    pacer: Pacer,
    catch_up: CatchUp,
    exchange: Exchange,
    /// Intended starts of arrivals that wait for a connection.
    ring: VecDeque<u64>,
    /// The second of the run that is being counted.
    second: u32,
    /// Connections at the moment.
    connections: usize,
    /// A revision whose adoption is still to be told.
    adopted: Option<u32>,
    has_mail: bool,
    /// Set by a stop: when to give up waiting for answers.
    stopping_ns: Option<u64>,
    /// CLOCK_BOOTTIME of the last turn.
    turned: Duration,
}

impl LoadThread {
    /// A thread that is not running yet, with all the memory it will need.
    ///
    /// # Errors
    /// The system's, when it has no descriptor left.
    pub(super) fn new(
        number: usize,
        setup: Arc<Setup>,
        plan: ThreadPlan,
        mailbox: Arc<Mailbox>,
        control: mpsc::Sender<Message>,
    ) -> std::io::Result<LoadThread> {
        let poller = Poller::new(mailbox.wake())?;
        let exchange = Exchange::new(setup.clone(), poller, plan.most_connections());
        let ring = match plan.load {
            Load::Open { .. } => VecDeque::with_capacity(RING),
            Load::Closed { .. } => VecDeque::new(),
        };
        Ok(LoadThread {
            number,
            mailbox,
            control,
            pacer: Pacer::new(&plan, setup.warm_up_ns),
            catch_up: CatchUp::new(setup.catch_up_ns),
            setup,
            plan,
            exchange,
            ring,
            second: 0,
            connections: 0,
            adopted: None,
            has_mail: true,
            stopping_ns: None,
            turned: Duration::ZERO,
        })
    }

    /// Runs to the end of the plan or to a stop.
    pub(super) fn run(mut self) {
        let _alarm = Alarm::new(self.control.clone(), self.number);
        // Without this the kernel may put off a wake-up by 50 µs to save another one.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        // A closed loop sends when it is answered: it has no instant to miss, and interrupts would only cost.
        if matches!(self.plan.load, Load::Open { .. })
            && let Err(error) = ask_for_short_slices()
        {
            tracing::debug!(%error, "load threads are scheduled like all others");
        }
        self.turned = boottime();
        let mut still = None;
        let mut events = Events::new();
        if self.await_start(&mut events) {
            let now = self.setup.now_ns();
            self.second = second_of(now);
            self.leave_out_the_past(now);
            still = self.go(&mut events);
        }
        self.exchange.abandon();
        let now = self.setup.now_ns();
        self.give_up_waiting(now);
        self.count_slips();
        let message = Message::Counted {
            thread: self.number,
            second: second_of(now),
            covered_ns: self.covered_ns(now),
            is_last: true,
            handover: self.exchange.recorder.finish(),
        };
        let _ = self.control.blocking_send(message);
        if let Some(gap) = still {
            let _ = self.control.blocking_send(Message::Paused(gap));
        }
    }

    /// Waits for the run's start; false when stopped before.
    fn await_start(&mut self, events: &mut Events) -> bool {
        loop {
            self.read_mail(0);
            self.tell_adopted();
            let now = monotonic_ns();
            self.turned = boottime();
            if self.stopping_ns.is_some() {
                return false;
            }
            if now >= self.setup.start_ns {
                return true;
            }
            let until = self.setup.start_ns.min(now + SECOND_NS);
            for i in 0..self.exchange.poller.wait(Wait::Until(until), events) {
                self.has_mail |=
                    self.exchange.poller.event(events, i).is_some_and(|(token, _)| token == MAILBOX);
            }
        }
    }

    /// An attempt that begins after the run's start: what is too late for it already is dropped if it owes it,
    /// else left to whoever sent it.
    fn leave_out_the_past(&mut self, now: u64) {
        if self.setup.owes_the_past {
            let dropped = self.pacer.skip_to(now.saturating_sub(self.setup.catch_up_ns));
            if dropped > 0 {
                self.exchange.recorder.dropped(now, dropped);
            }
        } else {
            self.pacer.begin_at(now);
        }
    }

    /// The loop. Answers how long the thread stood still, if that is why it ended.
    fn go(&mut self, events: &mut Events) -> Option<Duration> {
        loop {
            let boot = boottime();
            let gap = boot.saturating_sub(self.turned);
            self.turned = boot;
            if gap > MOST_STILL {
                return Some(gap);
            }
            let now = self.setup.now_ns();
            if self.has_mail {
                self.read_mail(now);
            }
            if second_of(now) > self.second {
                self.end_second(now);
            }
            self.exchange.expire(now);
            if let Some(until) = self.stopping_ns {
                if self.exchange.pool.in_flight() == 0 || now >= until {
                    return None;
                }
            } else {
                self.send(now);
                if self.is_finished(now) {
                    return None;
                }
            }
            let wait = self.wait_for(now);
            for i in 0..self.exchange.poller.wait(wait, events) {
                if let Some((token, flags)) = self.exchange.poller.event(events, i) {
                    self.on_event(token, flags);
                }
            }
        }
    }

    #[inline]
    fn on_event(&mut self, token: u64, flags: EventFlags) {
        if token == MAILBOX {
            self.has_mail = true;
            return;
        }
        if let Some(ready) = self.exchange.on_event(token, flags) {
            self.on_ready(ready);
        }
        // Many answers at once must not keep a due arrival waiting.
        if let Some(turn) = self.next_turn()
            && self.stopping_ns.is_none()
        {
            let now = self.setup.now_ns();
            if turn <= now {
                self.send_due(now);
            }
        }
    }

    /// When the next arrival has its turn.
    #[inline]
    fn next_turn(&self) -> Option<u64> {
        self.pacer.next_due().map(|due| self.catch_up.turn(due))
    }

    /// Gives a ready connection its next request, or a place among the idle ones.
    #[inline]
    fn on_ready(&mut self, ready: Ready) {
        let Ready { slot, now_ns } = ready;
        let pool = &mut self.exchange.pool;
        if self.stopping_ns.is_some() || pool.open() > self.connections {
            pool.close(slot);
            return;
        }
        match &self.plan.load {
            Load::Open { .. } => match self.ring.pop_front() {
                Some(intended_ns) => self.exchange.begin(slot, intended_ns, now_ns),
                None => pool.put_idle(slot),
            },
            Load::Closed { end_ns, .. } if now_ns < *end_ns => self.exchange.begin(slot, now_ns, now_ns),
            Load::Closed { .. } => pool.put_idle(slot),
        }
    }

    #[inline]
    fn send(&mut self, now: u64) {
        self.connections = usize::try_from(self.plan.connections_at(now)).unwrap_or(usize::MAX);
        match &self.plan.load {
            Load::Open { .. } => {
                self.serve_the_waiting(now);
                self.send_due(now);
            }
            Load::Closed { end_ns, .. } if now < *end_ns => self.fill(now),
            Load::Closed { .. } => {}
        }
    }

    /// Closed loop: as many requests in flight as there are connections to be.
    fn fill(&mut self, now: u64) {
        while self.exchange.pool.in_flight() < self.connections {
            if let Some(slot) = self.exchange.pool.take_idle() {
                self.exchange.begin(slot, now, now);
            } else if self.exchange.redial_ns <= now && self.exchange.pool.open() < self.connections {
                self.exchange.dial(now, now);
            } else {
                return;
            }
        }
    }

    /// Open loop: sends the arrivals whose turn it is.
    fn send_due(&mut self, now: u64) {
        let mut now = now;
        for _ in 0..BURST {
            let turn = self.pacer.next_due().map_or(Turn::Free, |due| self.catch_up.judge(due, now));
            if turn == Turn::Held {
                return;
            }
            let Some(arrival) = self.pacer.pop(now) else { return };
            if turn == Turn::Over {
                self.exchange.recorder.dropped(arrival.due_ns, 1);
                continue;
            }
            self.exchange.recorder.turn(arrival.due_ns, now - arrival.due_ns);
            if self.dispatch(arrival.due_ns, now) == Sent::WhenConnected {
                // The poller tells soon. Were more dialled before it is asked, all would be written together.
                return;
            }
            now = self.setup.now_ns();
        }
    }

    /// Sends an arrival on an idle or a new connection, or lets it wait for one.
    #[inline]
    fn dispatch(&mut self, intended_ns: u64, now: u64) -> Sent {
        if self.ring.is_empty() {
            if let Some(slot) = self.exchange.pool.take_idle() {
                self.exchange.begin(slot, intended_ns, now);
                return Sent::Written;
            }
            if self.exchange.pool.open() < self.connections {
                self.exchange.dial(intended_ns, now);
                return Sent::WhenConnected;
            }
        }
        if self.ring.len() < RING {
            self.ring.push_back(intended_ns);
            self.exchange.recorder.waited(intended_ns);
        } else {
            self.exchange.recorder.dropped(intended_ns, 1);
        }
        Sent::Later
    }

    /// Arrivals that wait: those whose time is up end, and those for which there is room now are sent.
    #[inline]
    fn serve_the_waiting(&mut self, now: u64) {
        while let Some(intended_ns) = self.ring.front().copied() {
            if intended_ns.saturating_add(self.setup.timeout_ns) <= now {
                self.exchange.recorder.sent(intended_ns);
                self.exchange.recorder.failed(intended_ns, ErrorClass::NoConnection);
            } else if let Some(slot) = self.exchange.pool.take_idle() {
                self.exchange.begin(slot, intended_ns, now);
            } else if self.exchange.pool.open() < self.connections {
                self.exchange.dial(intended_ns, now);
            } else {
                return;
            }
            self.ring.pop_front();
        }
    }

    /// Arrivals that still wait when the run is stopped: they were owed, and count as requests that ended by it.
    fn give_up_waiting(&mut self, now: u64) {
        for intended_ns in std::mem::take(&mut self.ring) {
            let is_over = intended_ns.saturating_add(self.setup.timeout_ns) <= now;
            let class = if is_over { ErrorClass::NoConnection } else { ErrorClass::Stopped };
            self.exchange.recorder.sent(intended_ns);
            self.exchange.recorder.failed(intended_ns, class);
        }
    }

    fn is_finished(&self, now: u64) -> bool {
        now >= self.plan.load.end_ns()
            && self.exchange.pool.in_flight() == 0
            && self.ring.is_empty()
            && self.pacer.next_due().is_none()
    }

    /// Until when there is nothing to do but to deal with events.
    #[inline]
    fn wait_for(&self, now: u64) -> Wait {
        let mut until = (u64::from(self.second) + 1) * SECOND_NS;
        let timeout_ns = self.setup.timeout_ns;
        if let Some((_, intended_ns)) = self.exchange.pool.oldest() {
            until = until.min(intended_ns.saturating_add(timeout_ns));
        }
        if let Some(stop) = self.stopping_ns {
            return self.until(until.min(stop), now);
        }
        if let Some(change) = self.plan.next_change(now) {
            until = until.min(change);
        }
        match &self.plan.load {
            Load::Open { schedule, .. } => {
                if let Some(intended_ns) = self.ring.front() {
                    until = until.min(intended_ns.saturating_add(timeout_ns));
                }
                match self.next_turn() {
                    Some(turn) => until = until.min(turn.saturating_sub(self.setup.guard_ns)),
                    None if now < schedule.end_ns() => until = until.min(schedule.end_ns()),
                    None => {}
                }
            }
            Load::Closed { end_ns, .. } if now < *end_ns => {
                until = until.min(*end_ns);
                if self.exchange.pool.in_flight() < self.connections {
                    until = until.min(self.exchange.redial_ns);
                }
            }
            Load::Closed { .. } => {}
        }
        self.until(until, now)
    }

    #[inline]
    fn until(&self, until: u64, now: u64) -> Wait {
        if until <= now { Wait::Look } else { Wait::Until(self.setup.start_ns.saturating_add(until)) }
    }

    fn read_mail(&mut self, now: u64) {
        self.has_mail = false;
        let (plan, stop) = self.mailbox.read();
        if let Some(new) = plan {
            self.pacer.adopt(&new.plan, new.since_ns, new.from_ns);
            self.exchange.pool.reserve(new.plan.most_connections());
            self.plan = new.plan;
            self.adopted = Some(new.revision);
            self.tell_adopted();
        }
        match stop {
            Some(Stop::Now) => self.stopping_ns = Some(0),
            Some(Stop::Soon) if self.stopping_ns.is_none() => self.stopping_ns = Some(now + GRACE_NS),
            Some(Stop::Soon) | None => {}
        }
    }

    /// Counts what plans that were told late have moved between workers.
    fn count_slips(&mut self) {
        for slip in self.pacer.take_slips() {
            self.exchange.recorder.dropped(slip.from_ns, slip.missed);
            self.exchange.recorder.astray(slip.from_ns, slip.astray);
        }
    }

    fn tell_adopted(&mut self) {
        if let Some(revision) = self.adopted {
            let message = Message::Adopted { thread: self.number, revision };
            if self.control.try_send(message).is_ok() {
                self.adopted = None;
            }
        }
    }

    /// Hands over what was counted. When control is behind, it is counted on and handed over later.
    fn end_second(&mut self, now: u64) {
        self.has_mail = true;
        self.tell_adopted();
        let second = second_of(now);
        self.second = second;
        while let Some(empty) = self.mailbox.empty() {
            self.exchange.recorder.give_back(empty);
        }
        let covered_ns = self.covered_ns(now);
        self.count_slips();
        let Ok(permit) = self.control.try_reserve() else { return };
        let Some(handover) = self.exchange.recorder.swap() else { return };
        permit.send(Message::Counted {
            thread: self.number,
            second: second.saturating_sub(1),
            covered_ns,
            is_last: false,
            handover,
        });
    }

    /// Every arrival due before this instant was sent or dropped, and counted.
    fn covered_ns(&self, now: u64) -> u64 {
        match &self.plan.load {
            Load::Open { .. } => {
                let waiting = self.ring.front().copied().unwrap_or(u64::MAX);
                self.pacer.covered_ns().min(waiting)
            }
            Load::Closed { end_ns, .. } => now.min(*end_ns),
        }
    }
}

fn second_of(at_ns: u64) -> u32 {
    u32::try_from(at_ns / SECOND_NS).unwrap_or(u32::MAX)
}
