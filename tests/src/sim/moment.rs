//! Bad moments: what comes in between just when something is done.
//!
//! | moment | who is hit, and how |
//! |---|---|
//! | a sentinel has voted | an operator forbids ending terms, or adds a sentinel, before the votes are counted |
//! | a sentinel has ended a term | it dies before it does the rest |
//! | a master has taken the leader key | it dies before it fences the store, or before it is heard of |
//! | a worker has found its new leader | it dies, and comes back with nothing but its ledger |
//!
//! In: moments that a seed has switched on, and that come. Out: faults of their own, taken back as others are.
//! Never: hits at every moment: half of them pass. Tests: with the simulation.

use super::fault::Undo;
use super::net::{Party, SENTINELS};
use super::world::World;
use shanty_rt::coord::Op;
use shanty_rt::coord::record::{self, Pause};
use std::collections::BTreeMap;

/// How much later something comes in between: less than this, milliseconds.
const WITHIN_MS: [u64; 3] = [1, 5, 30];

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// A sentinel has voted.
    Voted,
    /// A sentinel has ended a term.
    Ended,
    /// A master has taken the leader key.
    Taken,
    /// A worker has found its new leader.
    Followed,
}

/// Moments that are bad now, with the number of faults that say so.
#[derive(Debug, Default)]
pub struct Moments {
    bad: BTreeMap<Moment, u32>,
}

impl Moments {
    /// A fault begins for which this moment is bad.
    pub fn begin(&mut self, moment: Moment) {
        *self.bad.entry(moment).or_default() += 1;
    }

    /// Such a fault ends.
    pub fn end(&mut self, moment: Moment) {
        if let Some(count) = self.bad.get_mut(&moment) {
            *count = count.saturating_sub(1);
        }
    }

    fn is_bad(&self, moment: Moment) -> bool {
        self.bad.get(&moment).is_some_and(|count| *count > 0)
    }
}

impl World {
    /// A moment has come for a party.
    pub(super) fn moment(&mut self, moment: Moment, party: Party) {
        if !self.troubles.moments.is_bad(moment) || self.dice.one_in(2) {
            return;
        }
        let within_ms = WITHIN_MS[self.dice.index(WITHIN_MS.len())];
        let late_ms = self.dice.below(within_ms);
        self.after(late_ms, "something comes in between", move |world| {
            let undo = match moment {
                Moment::Voted if world.dice.one_in(2) => world.forbid(),
                Moment::Voted => world.add_sentinel(),
                Moment::Ended | Moment::Taken | Moment::Followed => world.crash(party),
            };
            let Some(undo) = undo else { return };
            let length_ms = world.length_of_fault();
            world.trouble(&format!("{moment:?}"), length_ms, undo);
        });
    }

    /// An operator forbids sentinels to end terms.
    fn forbid(&mut self) -> Option<Undo> {
        if !self.etcd.up {
            return None;
        }
        let pause = Pause { until_unix_ms: i64::MAX, by: "an operator".to_owned(), reason: String::new() };
        let put = Op::Put { key: self.keys.pause(), value: record::write(&pause), lease: None };
        self.operate(put);
        Some(Box::new(World::allow))
    }

    fn allow(&mut self) {
        if self.etcd.up {
            return self.operate(Op::Delete(self.keys.pause()));
        }
        self.after(100, "an operator tries again", World::allow);
    }

    /// An operator configures one more sentinel, which does not run.
    fn add_sentinel(&mut self) -> Option<Undo> {
        if !self.etcd.up {
            return None;
        }
        self.configure(SENTINELS + 1);
        Some(Box::new(World::remove_sentinel))
    }

    fn remove_sentinel(&mut self) {
        if self.etcd.up {
            return self.configure(SENTINELS);
        }
        self.after(100, "an operator tries again", World::remove_sentinel);
    }

    fn operate(&mut self, op: Op) {
        self.transact(Party::Etcd, 0, &[], vec![op]).expect("no lease is asked for");
    }
}
