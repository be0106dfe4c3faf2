//! What happened, for people and for comparison.
//!
//! In: lines with the virtual time. Out: the last of them (all when asked for), and a hash of every line and step.
//! Tests: with the simulation.

use std::collections::VecDeque;

/// Lines kept for a failing seed.
const KEPT: usize = 60;

/// A history.
#[derive(Debug)]
pub struct History {
    lines: VecDeque<String>,
    whole: bool,
    hash: u64,
    /// Number of steps.
    pub steps: u64,
}

impl History {
    /// An empty history; a `whole` one forgets nothing.
    #[must_use]
    pub fn new(whole: bool) -> History {
        History { lines: VecDeque::new(), whole, hash: 0xCBF2_9CE4_8422_2325, steps: 0 }
    }

    /// Something worth telling happened.
    pub fn tell(&mut self, now_ms: u64, line: &str) {
        self.mix(now_ms, line);
        self.lines.push_back(format!("{:>3}.{:03}  {line}", now_ms / 1000, now_ms % 1000));
        if !self.whole && self.lines.len() > KEPT {
            self.lines.pop_front();
        }
    }

    /// A step was done.
    pub fn step(&mut self, now_ms: u64, what: &str) {
        self.steps += 1;
        self.mix(now_ms, what);
    }

    fn mix(&mut self, now_ms: u64, text: &str) {
        self.hash = (self.hash ^ now_ms).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for part in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.hash = (self.hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            self.hash ^= self.hash >> 29;
        }
    }

    /// The hash of all that happened.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines that were kept.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
