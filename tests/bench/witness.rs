//! A witness of the machine: a thread on each core that only looks at the time. When none of its threads was let run, the
//! machine stood still (another tenant had the core, or the kernel was busy), and no tool on it can be blamed.
//!
//! In: nothing. Out: [`Stall`]s. Never: competes with what is measured for more than some microseconds.

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};
use shanty_rt::clock::monotonic_ns;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks.
const LOOK: Duration = Duration::from_micros(500);
/// A look that comes later than this after the one before was kept from its core.
const STILL_NS: u64 = 1_500_000;
/// The most favoured: what else runs on the core waits.
const FAVOURED: i32 = -20;

/// A core stood still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stall {
    /// CLOCK_MONOTONIC, nanoseconds.
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
}

impl Stall {
    pub(crate) fn length_ns(&self) -> u64 {
        self.to_ns - self.from_ns
    }
}

/// Threads that look at the time until they are asked what they saw.
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Stall>>>,
}

impl Witness {
    pub(crate) fn start() -> Witness {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let watch = |core| {
            let stop = stop.clone();
            std::thread::spawn(move || look(core, &stop))
        };
        Witness { threads: (0..cores).map(watch).collect(), stop }
    }

    /// What all of them saw, by time.
    pub(crate) fn finish(self) -> Vec<Stall> {
        self.stop.store(true, Ordering::Relaxed);
        let mut stalls: Vec<Stall> =
            self.threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect();
        stalls.sort_by_key(|stall| stall.from_ns);
        stalls
    }
}

fn look(core: usize, stop: &AtomicBool) -> Vec<Stall> {
    let mut only = CpuSet::new();
    only.set(core);
    // Where these are refused the witness sees more stalls than there are, never fewer.
    let _unpinned = sched_setaffinity(None, &only);
    let _unfavoured = setpriority_process(None, FAVOURED);
    let _slack = set_current_timer_slack(NonZeroU64::new(1));
    let mut stalls = Vec::with_capacity(4096);
    let mut last_ns = monotonic_ns();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        let now_ns = monotonic_ns();
        if now_ns - last_ns > STILL_NS {
            stalls.push(Stall { from_ns: last_ns, to_ns: now_ns });
        }
        last_ns = now_ns;
    }
    stalls
}
