//! A thread's connections: the free slots, the idle ones, and those in flight in the order of their deadlines.
//!
//! The timeout is the same for all, and requests begin in the order of their intended starts, so the list in
//! flight is sorted by being appended to; the next deadline is at its head.
//! In: slots by number. Out: the same. Never: allocates for a connection that fits its capacity.
//! Tests: below.

use super::connection::{Connection, NONE, Phase};

/// The connections of one thread.
#[derive(Debug)]
pub(super) struct Pool {
    slots: Vec<Connection>,
    free: Vec<u32>,
    /// The one that was used last is used next.
    idle: Vec<u32>,
    head: u32,
    tail: u32,
    in_flight: usize,
}

fn at(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

impl Pool {
    /// With room for `capacity` connections.
    pub(super) fn new(capacity: u32) -> Pool {
        let mut pool = Pool {
            slots: Vec::new(),
            free: Vec::new(),
            idle: Vec::new(),
            head: NONE,
            tail: NONE,
            in_flight: 0,
        };
        pool.reserve(capacity);
        pool
    }

    /// Makes room for `capacity` connections in all.
    pub(super) fn reserve(&mut self, capacity: u32) {
        let more = at(capacity).saturating_sub(self.slots.len());
        self.slots.reserve_exact(more);
        let first = self.slots.len();
        self.slots.extend((0..more).map(|_| Connection::free()));
        self.free.reserve(self.slots.len() - self.free.len());
        self.idle.reserve(self.slots.len() - self.idle.len());
        self.free.extend((first..first + more).rev().filter_map(|slot| u32::try_from(slot).ok()));
    }

    /// Open connections, those being made included.
    #[inline]
    pub(super) fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Requests in flight.
    #[inline]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The connection in a slot.
    #[inline]
    pub(super) fn get(&mut self, slot: u32) -> &mut Connection {
        &mut self.slots[at(slot)]
    }

    /// The token by which the poller tells this connection, and no earlier one in its slot.
    pub(super) fn token(&self, slot: u32) -> u64 {
        (u64::from(self.slots[at(slot)].generation) << 32) | u64::from(slot)
    }

    /// The slot of a token, if its connection is still there.
    #[inline]
    pub(super) fn slot_of(&self, token: u64) -> Option<u32> {
        let slot = u32::try_from(token & u64::from(u32::MAX)).ok()?;
        let connection = self.slots.get(at(slot))?;
        (u64::from(connection.generation) == token >> 32 && connection.phase != Phase::Free).then_some(slot)
    }

    /// Takes a free slot.
    pub(super) fn take_free(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// Takes the idle connection that was used last.
    #[inline]
    pub(super) fn take_idle(&mut self) -> Option<u32> {
        let slot = self.idle.pop()?;
        self.get(slot).idle_at = NONE;
        Some(slot)
    }

    /// Puts a connection among the idle ones.
    #[inline]
    pub(super) fn put_idle(&mut self, slot: u32) {
        let position = u32::try_from(self.idle.len()).unwrap_or(NONE);
        let connection = self.get(slot);
        connection.phase = Phase::Idle;
        connection.idle_at = position;
        self.idle.push(slot);
    }

    /// Puts a request at the end of those in flight.
    #[inline]
    pub(super) fn link(&mut self, slot: u32) {
        let tail = self.tail;
        let connection = self.get(slot);
        connection.before = tail;
        connection.after = NONE;
        if tail == NONE {
            self.head = slot;
        } else {
            self.get(tail).after = slot;
        }
        self.tail = slot;
        self.in_flight += 1;
    }

    /// Takes a request out of those in flight.
    #[inline]
    pub(super) fn unlink(&mut self, slot: u32) {
        let connection = self.get(slot);
        let (before, after) = (connection.before, connection.after);
        connection.before = NONE;
        connection.after = NONE;
        if before == NONE {
            self.head = after;
        } else {
            self.get(before).after = after;
        }
        if after == NONE {
            self.tail = before;
        } else {
            self.get(after).before = before;
        }
        self.in_flight -= 1;
    }

    /// The request in flight that began first, with its intended start.
    #[inline]
    pub(super) fn oldest(&self) -> Option<(u32, u64)> {
        (self.head != NONE).then(|| (self.head, self.slots[at(self.head)].intended_ns))
    }

    /// Closes a connection that has no request in flight, and frees its slot.
    pub(super) fn close(&mut self, slot: u32) {
        let idle_at = self.get(slot).idle_at;
        if idle_at != NONE {
            self.idle.swap_remove(at(idle_at));
            if let Some(moved) = self.idle.get(at(idle_at)).copied() {
                self.get(moved).idle_at = idle_at;
            }
        }
        let connection = self.get(slot);
        connection.socket = None;
        connection.phase = Phase::Free;
        connection.idle_at = NONE;
        connection.generation = connection.generation.wrapping_add(1);
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn events_of_a_closed_connection_find_nobody() {
        let mut pool = Pool::new(1);
        let slot = pool.take_free().unwrap();
        pool.get(slot).phase = Phase::Waiting;
        let token = pool.token(slot);
        assert_eq!(pool.slot_of(token), Some(slot));
        pool.close(slot);
        assert_eq!(pool.slot_of(token), None);
        assert_eq!(pool.take_free(), Some(slot));
        pool.get(slot).phase = Phase::Connecting;
        assert_eq!(pool.slot_of(token), None);
    }

    proptest! {
        /// The three books agree with a plain model, whatever is done.
        #[test]
        fn books_stay_straight(steps in prop::collection::vec((0u8..5, any::<prop::sample::Index>()), 0..200)) {
            let mut pool = Pool::new(4);
            let (mut flying, mut idle): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
            for (i, (step, pick)) in (0u64..).zip(steps) {
                match step {
                    0 => if let Some(slot) = pool.take_free() {
                        pool.get(slot).phase = Phase::Waiting;
                        pool.get(slot).intended_ns = i;
                        pool.link(slot);
                        flying.push(slot);
                    },
                    1 if !flying.is_empty() => {
                        let slot = flying.remove(pick.index(flying.len()));
                        pool.unlink(slot);
                        pool.put_idle(slot);
                        idle.push(slot);
                    }
                    2 => {
                        let taken = pool.take_idle();
                        prop_assert_eq!(taken.is_some(), !idle.is_empty());
                        if let Some(slot) = taken {
                            idle.retain(|s| *s != slot);
                            pool.get(slot).intended_ns = i;
                            pool.link(slot);
                            flying.push(slot);
                        }
                    }
                    3 if !idle.is_empty() => pool.close(idle.remove(pick.index(idle.len()))),
                    4 => pool.reserve(6),
                    _ => {}
                }
                prop_assert_eq!(pool.open(), flying.len() + idle.len());
                prop_assert_eq!(pool.in_flight(), flying.len());
                prop_assert_eq!(pool.oldest().map(|(slot, _)| slot), flying.first().copied());
            }
        }
    }
}
