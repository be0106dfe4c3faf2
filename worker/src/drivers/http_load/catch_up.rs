//! After a stall: late arrivals go out at twice their rate, not all at once.
//!
//! A thread that was kept from running for 3 ms at 5,000/s has 15 arrivals due when it runs again. Sent
//! together they would be a burst that no schedule asked for; so each waits for half of the gap that the
//! schedule has between it and the one before. It does not wait beyond [`HOLD_NS`] after it was due: where a
//! thread is kept from running again and again, being late would only add up.
//! In: arrivals as they are sent. Out: the turn of the next one. Pure; nanoseconds since the run's start.
//! Tests: below.

/// Turns that have passed unused are kept for this long: waking up takes some 20 µs to 50 µs each time, which
/// must not slow the catching up down.
const KEPT_NS: u64 = 100_000;

/// Nothing is held back for longer than this after it was due. Below what makes a result invalid (10 ms).
const HOLD_NS: u64 = 9_000_000;

/// The turns of one thread's arrivals.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CatchUp {
    ready_ns: u64,
}

impl CatchUp {
    /// When an arrival that is due at `due_ns` has its turn.
    #[inline]
    pub(super) fn turn(&self, due_ns: u64) -> u64 {
        due_ns.max(self.ready_ns.min(due_ns.saturating_add(HOLD_NS)))
    }

    /// An arrival due at `due_ns` is sent at `now_ns`; the next is due at `next_ns`.
    #[inline]
    pub(super) fn sent(&mut self, due_ns: u64, next_ns: u64, now_ns: u64) {
        let half_gap = next_ns.saturating_sub(due_ns) / 2;
        self.ready_ns = self.ready_ns.max(now_ns.saturating_sub(KEPT_NS)).saturating_add(half_gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    /// When arrivals with this gap are sent by a thread that stands still until `stall_ns` and then runs
    /// `latency_ns` after each instant that it waits for.
    fn sent(gap_ns: u64, stall_ns: u64, latency_ns: u64, count: u64) -> Vec<u64> {
        let mut catch_up = CatchUp::default();
        let (mut now, mut sent) = (stall_ns, Vec::new());
        for i in 0..count {
            let due = i * gap_ns;
            let turn = catch_up.turn(due);
            if turn > now {
                now = turn + latency_ns;
            }
            catch_up.sent(due, due + gap_ns, now);
            sent.push(now);
        }
        sent
    }

    #[test]
    fn an_arrival_in_time_has_its_turn_when_it_is_due() {
        let sent = sent(200_000, 0, 30_000, 100);
        assert!((0u64..).zip(&sent).skip(1).all(|(i, at)| *at == i * 200_000 + 30_000));
    }

    fn most_in_1_ms(sent: &[u64]) -> u64 {
        let (mut first, mut most) = (0, 0);
        for (last, at) in sent.iter().enumerate() {
            while at - sent[first] >= MS {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most as u64
    }

    proptest! {
        #[test]
        fn a_short_stall_is_made_good_at_twice_the_rate_without_a_burst(
            gap_ns in 10_000u64..2_000_000, stall_ns in 0..=HOLD_NS, latency_ns in 0u64..60_000,
        ) {
            let count = 2 * stall_ns / gap_ns + 200;
            let sent = sent(gap_ns, stall_ns, latency_ns, count);
            let (burst, nominal) = (most_in_1_ms(&sent), MS / gap_ns + 1);
            prop_assert!(burst <= 2 * nominal + 2 + 2 * KEPT_NS / gap_ns, "{burst} in 1 ms, nominal {nominal}");
            let last = (count - 1) * gap_ns;
            prop_assert!(*sent.last().unwrap() <= last + latency_ns + gap_ns, "it never caught up");
        }

        #[test]
        fn nothing_is_held_back_for_long_after_a_long_stall(
            gap_ns in 10_000u64..2_000_000, stall_ns in 0..300 * MS, latency_ns in 0u64..60_000,
        ) {
            let sent = sent(gap_ns, stall_ns, latency_ns, 2 * stall_ns / gap_ns + 200);
            for (i, at) in (0u64..).zip(&sent) {
                prop_assert!(*at <= stall_ns.max(i * gap_ns + HOLD_NS) + latency_ns);
            }
        }
    }
}
