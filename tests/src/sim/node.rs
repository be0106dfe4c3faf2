//! A simulated node: its clocks, its chance, and whether it stands still.
//!
//! In: true time, which is tokio's. Out: what the node's code takes for the time. Clocks go on during a pause, and
//! outlive the node's processes. Tests: with the simulation.

use super::dice::Dice;
use shanty_rt::simulation::Node;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// The wall clock of a right node at the beginning, nanoseconds since 1970.
const EPOCH_NS: i64 = 1_700_000_000_000_000_000;

/// A simulated node.
pub struct SimNode {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    /// What the clocks gain, millionths.
    gain_ppm: i64,
    /// What CLOCK_BOOTTIME showed at the beginning.
    boot_ns: i64,
    /// What the wall clock was set forward by.
    set_ns: i64,
    paused: bool,
    waits: Vec<Waker>,
    dice: Dice,
}

impl SimNode {
    /// A node whose clocks gain `gain_ppm`.
    #[must_use]
    pub fn new(began: Instant, boot: Duration, gain_ppm: i64, dice: Dice) -> SimNode {
        let boot_ns = i64::try_from(boot.as_nanos()).unwrap_or(0);
        let state = State { gain_ppm, boot_ns, set_ns: 0, paused: false, waits: Vec::new(), dice };
        SimNode { began, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn boot_ns(&self, state: &State) -> i64 {
        let passed = i64::try_from(self.began.elapsed().as_nanos()).unwrap_or(i64::MAX);
        state.boot_ns + passed + passed / 1_000_000 * state.gain_ppm
    }

    /// Sets the wall clock forward, or back.
    pub fn step_wall(&self, by_ms: i64) {
        self.lock().set_ns += by_ms * 1_000_000;
    }

    /// Whether it stands still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.lock().paused
    }

    /// Stands still, or goes on.
    pub fn pause(&self, paused: bool) {
        let waits = {
            let mut state = self.lock();
            state.paused = paused;
            if paused { Vec::new() } else { std::mem::take(&mut state.waits) }
        };
        waits.into_iter().for_each(Waker::wake);
    }
}

impl Node for SimNode {
    fn boottime(&self) -> Duration {
        let state = self.lock();
        Duration::from_nanos(u64::try_from(self.boot_ns(&state)).unwrap_or(0))
    }

    fn unix_ns(&self) -> i64 {
        let state = self.lock();
        EPOCH_NS + self.boot_ns(&state) - state.boot_ns + state.set_ns
    }

    fn random(&self) -> u64 {
        self.lock().dice.roll()
    }

    fn may_go_on(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.paused {
            state.waits.push(waker.clone());
        }
        !state.paused
    }
}
