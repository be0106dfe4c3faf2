//! Waiting for sockets, for control, and for an instant: one epoll, with one timerfd in it.
//!
//! A timerfd wakes to the nanosecond (epoll's own timeout counts milliseconds before Linux 5.11), and it is set
//! only when the instant to wake at comes nearer, which in a closed loop is once a second.
//! In: descriptors, instants of CLOCK_MONOTONIC. Out: events.
//! Tests: below, and all of `worker/tests`.

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// Events taken at once: more would keep due arrivals waiting, fewer cost system calls.
const BATCH: usize = 128;
/// The mailbox's token; sockets have tokens below.
pub(super) const MAILBOX: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// Waits.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// The instant that the timer is set to; 0 when it is not.
    armed_ns: u64,
}

/// What the last wait found. Made by the thread that waits, since it cannot move between threads.
pub(super) struct Events(Vec<Event>);

impl Events {
    /// With room for a batch.
    pub(super) fn new() -> Events {
        Events(Vec::with_capacity(BATCH))
    }
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Not at all.
    Look,
    /// Until this instant of CLOCK_MONOTONIC, nanoseconds.
    Until(u64),
}

impl Poller {
    /// A poller that is woken by `mailbox`.
    ///
    /// # Errors
    /// The system's, when it has no descriptor left.
    pub(super) fn new(mailbox: impl AsFd) -> std::io::Result<Poller> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, mailbox, EventData::new_u64(MAILBOX), EventFlags::IN | EventFlags::ET)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
        Ok(Poller { epoll, timer, armed_ns: 0 })
    }

    /// Watches a socket for everything, by edge, once and for all.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn watch(&self, socket: impl AsFd, token: u64) -> rustix::io::Result<()> {
        let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(token), all)
    }

    /// Waits, and answers how many events there are.
    pub(super) fn wait(&mut self, wait: Wait, events: &mut Events) -> usize {
        events.0.clear();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = match wait {
            Wait::Look => Some(&at_once),
            Wait::Until(instant_ns) => {
                self.arm(instant_ns);
                None
            }
        };
        // An interrupted wait is one that found nothing.
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut events.0), timeout);
        events.0.len()
    }

    /// Event `at` of the last wait: its token and what happened. None for the timer.
    #[inline]
    pub(super) fn event(&mut self, events: &Events, at: usize) -> Option<(u64, EventFlags)> {
        let event = events.0.get(at)?;
        let (data, flags) = (event.data, event.flags);
        match data.u64() {
            TIMER => {
                self.armed_ns = 0;
                None
            }
            token => Some((token, flags)),
        }
    }

    fn arm(&mut self, instant_ns: u64) {
        // An earlier instant that is still set wakes too early, which does no harm.
        if self.armed_ns != 0 && self.armed_ns <= instant_ns {
            return;
        }
        let instant_ns = instant_ns.max(1);
        let at = Timespec {
            tv_sec: i64::try_from(instant_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(instant_ns % 1_000_000_000).unwrap_or(0),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        self.armed_ns = match timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once) {
            Ok(_) => instant_ns,
            Err(_) => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::mailbox::{Mailbox, Stop};
    use super::*;
    use shanty_rt::clock::monotonic_ns;

    #[test]
    fn it_wakes_at_the_instant_again_and_again_and_by_the_mailbox() {
        let mailbox = Mailbox::new().unwrap();
        let mut poller = Poller::new(mailbox.wake()).unwrap();
        let mut events = Events::new();
        for _ in 0..3 {
            let at = monotonic_ns() + 3_000_000;
            while monotonic_ns() < at {
                for i in 0..poller.wait(Wait::Until(at), &mut events) {
                    assert_eq!(poller.event(&events, i), None, "only the timer is set");
                }
            }
        }
        mailbox.stop(Stop::Soon);
        let far = monotonic_ns() + 60_000_000_000;
        assert_eq!(poller.wait(Wait::Until(far), &mut events), 1);
        assert_eq!(poller.event(&events, 0).map(|(token, _)| token), Some(MAILBOX));
        assert_eq!(poller.wait(Wait::Look, &mut events), 0, "by edge: it tells each letter once");
    }
}
