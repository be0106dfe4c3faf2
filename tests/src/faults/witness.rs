//! A witness of the machine itself: one thread per processor sleeps a little again and again, and notes how much too long.
//!
//! A load thread that was held up as the witness was has not been disturbed by what is tested.
//! In: nothing. Out: [`Stall`]s. Never: works; it sleeps. Tests: below.

use rustix::thread::{CpuSet, sched_setaffinity};
use shanty_rt::clock::monotonic_ns;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const NAP: Duration = Duration::from_millis(1);
/// Waking up takes this long on a machine at rest.
const USUAL_NS: u64 = 300_000;

/// The machine did not run a thread that wanted to run. Instants of CLOCK_MONOTONIC, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stall {
    /// From when.
    pub from_ns: u64,
    /// Until when.
    pub to_ns: u64,
}

/// Witnesses, until they are asked.
#[derive(Debug)]
pub(super) struct Witness {
    over: Arc<AtomicBool>,
    stalls: Arc<Mutex<Vec<Stall>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Witness {
    /// One on each processor.
    ///
    /// # Panics
    /// When there is no thread.
    #[must_use]
    pub(super) fn start() -> Witness {
        let (over, stalls) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let watch = |processor: usize| {
            let (over, stalls) = (over.clone(), stalls.clone());
            let run = move || {
                let mut only = CpuSet::new();
                only.set(processor);
                // Where the system refuses, it is a witness of the machine as a whole.
                let _bound = sched_setaffinity(None, &only);
                while !over.load(Ordering::Relaxed) {
                    let due = monotonic_ns() + u64::try_from(NAP.as_nanos()).unwrap_or(0);
                    std::thread::sleep(NAP);
                    let now = monotonic_ns();
                    if now > due + USUAL_NS {
                        let stall = Stall { from_ns: due, to_ns: now };
                        stalls.lock().unwrap_or_else(PoisonError::into_inner).push(stall);
                    }
                }
            };
            std::thread::Builder::new().name("witness".to_owned()).spawn(run).expect("a thread")
        };
        let threads = (0..processors).map(watch).collect();
        Witness { over, stalls, threads }
    }

    /// What they saw.
    #[must_use]
    pub(super) fn finish(mut self) -> Vec<Stall> {
        self.end();
        std::mem::take(&mut *self.stalls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_busy_processor_is_seen() {
        let witness = Witness::start();
        let over = Instant::now() + Duration::from_secs(2);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let busy = move || while Instant::now() < over {};
        let threads: Vec<_> = (0..processors * 8).map(|_| std::thread::spawn(busy)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let stalls = witness.finish();
        assert!(stalls.iter().all(|stall| stall.to_ns > stall.from_ns + USUAL_NS));
        assert!(!stalls.is_empty(), "sixteen threads beside it, and it was never late");
    }
}
