//! Who speaks to whom, and what becomes of what is said.
//!
//! ```text
//!   calls (etcd, store, probes): each request and each answer has a fate of its own: a delay, or lost
//!   streams (worker ⇄ master):   in order, late while the line is cut, gone with the connection
//! ```
//! In: cuts, slowness, losses. Out: fates. Tests: with the simulation.

use super::dice::Dice;
use std::fmt;

/// Masters of the cluster.
pub const MASTERS: usize = 3;
/// Sentinels that vote.
pub const SENTINELS: usize = 3;
/// Most workers.
pub const WORKERS: usize = 4;
/// All parties.
pub const PARTIES: usize = MASTERS + SENTINELS + WORKERS + 2;

/// A party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// A master.
    Master(usize),
    /// A sentinel.
    Sentinel(usize),
    /// A worker.
    Worker(usize),
    /// The coordinator.
    Etcd,
    /// The store.
    Store,
}

impl Party {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Party> {
        let masters = (0..MASTERS).map(Party::Master);
        let sentinels = (0..SENTINELS).map(Party::Sentinel);
        let workers = (0..WORKERS).map(Party::Worker);
        masters.chain(sentinels).chain(workers).chain([Party::Etcd, Party::Store]).collect()
    }

    fn index(self) -> usize {
        match self {
            Party::Master(at) => at,
            Party::Sentinel(at) => MASTERS + at,
            Party::Worker(at) => MASTERS + SENTINELS + at,
            Party::Etcd => MASTERS + SENTINELS + WORKERS,
            Party::Store => MASTERS + SENTINELS + WORKERS + 1,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Master(at) => write!(f, "m{}", at + 1),
            Party::Sentinel(at) => write!(f, "s{}", at + 1),
            Party::Worker(at) => write!(f, "w{}", at + 1),
            Party::Etcd => f.write_str("etcd"),
            Party::Store => f.write_str("store"),
        }
    }
}

/// The network.
#[derive(Debug)]
pub struct Net {
    /// How many faults cut each line, one way.
    cut: [[u16; PARTIES]; PARTIES],
    /// One call in this many is lost; 0 for none.
    pub loss: u64,
    /// Calls and messages may take this much longer, milliseconds.
    pub slow_ms: u64,
    /// One message of a stream in this many comes twice; 0 for none.
    pub twice: u64,
    dice: Dice,
}

impl Net {
    /// A network that is well.
    #[must_use]
    pub fn new(dice: Dice) -> Net {
        Net { cut: [[0; PARTIES]; PARTIES], loss: 0, slow_ms: 0, twice: 0, dice }
    }

    /// Cuts a line one way, or takes one cut of it back.
    pub fn cut(&mut self, from: Party, to: Party, cut: bool) {
        let line = &mut self.cut[from.index()][to.index()];
        *line = if cut { *line + 1 } else { line.saturating_sub(1) };
    }

    /// Whether nothing goes from one to the other.
    #[must_use]
    pub fn is_cut(&self, from: Party, to: Party) -> bool {
        self.cut[from.index()][to.index()] > 0
    }

    /// Whether nothing goes from one to the other and back.
    #[must_use]
    pub fn is_apart(&self, one: Party, other: Party) -> bool {
        self.is_cut(one, other) || self.is_cut(other, one)
    }

    /// How long a call takes one way, milliseconds; none when it is lost.
    pub fn fate(&mut self, from: Party, to: Party) -> Option<u64> {
        let lost = self.loss > 0 && self.dice.one_in(self.loss);
        let delay = self.delay();
        (!lost && !self.is_cut(from, to)).then_some(delay)
    }

    /// How long a message takes on a line that is not cut, milliseconds.
    pub fn delay(&mut self) -> u64 {
        let quick = 1 + self.dice.below(4);
        if self.slow_ms > 0 && self.dice.one_in(3) { quick + self.dice.below(self.slow_ms) } else { quick }
    }

    /// Whether a message of a stream comes twice, and how much later.
    pub fn again(&mut self) -> Option<u64> {
        (self.twice > 0 && self.dice.one_in(self.twice)).then(|| self.dice.below(1500))
    }
}
