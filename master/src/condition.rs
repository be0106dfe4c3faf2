//! This master's condition: what sentinels ask for, and what a renewal of leadership is gated by.
//!
//! ```text
//!  store canary, each second ─┐
//!  disk probe, own thread ────┼─► pulses and figures ──► probe (api), renewal (election)
//!  processors, memory ────────┘
//! ```
//! In: a store to ask, a folder to write to. Out: [`Condition`], kept up to date for the life of the process, leading or
//! not. Never: decides what is too long a silence.
//! Tests: below; the gate that it opens in `election/term.rs`.

use crate::election::{FenceError, FenceStore};
use shanty_model::epoch::Epoch;
use shanty_rt::clock;
use shanty_rt::pulse::Pulse;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use sysinfo::{MemoryRefreshKind, System};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// A store that has not answered for this long is asked anew.
const PATIENCE: Duration = Duration::from_secs(4);
/// What is written to see whether the disk takes it.
const PROBE: &str = ".disk-probe";

/// The condition of a master.
#[derive(Debug, Default)]
pub struct Condition {
    /// The store answered.
    pub store: Arc<Pulse>,
    /// The disk took a write.
    pub disk: Arc<Pulse>,
    cpu: Share,
    memory: Share,
}

impl Condition {
    /// A condition of which nothing bad is known.
    #[must_use]
    pub fn new() -> Arc<Condition> {
        Arc::new(Condition::default())
    }

    /// Share of the machine's processors in use, 0 to 1.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        self.cpu.get()
    }

    /// Share of the machine's memory in use, 0 to 1.
    #[must_use]
    pub fn memory(&self) -> f64 {
        self.memory.get()
    }

    /// Keeps it up to date for as long as it is polled.
    pub async fn keep(self: Arc<Self>, store: Arc<dyn FenceStore>, folder: PathBuf) {
        probe_disk(Arc::downgrade(&self), folder);
        let mut system = System::new()
            .inspect_err(|error| tracing::warn!(%error, "this machine's figures cannot be read"))
            .ok();
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            if let Some(system) = &mut system {
                self.measure(system);
            }
            let sent = clock::boottime();
            // At whichever epoch it is, an answer is an answer.
            match tokio::time::timeout(PATIENCE, store.canary(Epoch::NONE)).await {
                Ok(Ok(()) | Err(FenceError::Superseded { .. })) => self.store.beat_at(sent),
                Ok(Err(FenceError::Unavailable(why))) => tracing::debug!(why, "the store did not answer"),
                Err(_) => tracing::debug!("the store did not answer in time"),
            }
        }
    }

    fn measure(&self, system: &mut System) {
        system.refresh_cpu_usage();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        self.cpu.set(f64::from(system.global_cpu_usage()) / 100.0);
        let (used, all) = (system.used_memory(), system.total_memory().max(1));
        self.memory.set(used as f64 / all as f64);
    }
}

/// A number from 0 to 1 that one writes and many read.
#[derive(Debug, Default)]
struct Share(AtomicU64);

impl Share {
    fn set(&self, share: f64) {
        self.0.store(share.clamp(0.0, 1.0).to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Writes to the disk each second, on a thread of its own: a call to a disk that hangs does not come back. The thread
/// ends with the condition, or with the process.
fn probe_disk(condition: Weak<Condition>, folder: PathBuf) {
    let run = move || {
        loop {
            let Some(condition) = condition.upgrade() else { return };
            let sent = clock::boottime();
            match write_through(&folder) {
                Ok(()) => condition.disk.beat_at(sent),
                Err(error) => tracing::warn!(folder = %folder.display(), %error, "the disk takes no writes"),
            }
            drop(condition);
            std::thread::sleep(EVERY);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("disk-probe".to_owned()).spawn(run) {
        tracing::warn!(%error, "no thread for the disk's probe: it will look as if the disk were hung");
    }
}

fn write_through(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = std::fs::File::create(folder.join(PROBE))?;
    file.write_all(&clock::unix_ms().to_le_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::election::FenceOutcome;
    use futures_util::future::BoxFuture;
    use shanty_rt::task::Scope;

    struct Hung;

    impl FenceStore for Hung {
        fn fence(&self, _: Epoch) -> BoxFuture<'_, Result<FenceOutcome, FenceError>> {
            Box::pin(std::future::pending())
        }
        fn canary(&self, _: Epoch) -> BoxFuture<'_, Result<(), FenceError>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn a_hung_store_is_silent_while_the_disk_beats() {
        let folder = tempfile::tempdir().unwrap();
        let condition = Condition::new();
        let began = clock::boottime();
        let mut scope = Scope::new();
        scope.spawn("condition", condition.clone().keep(Arc::new(Hung), folder.path().to_owned()));
        tokio::time::timeout(Duration::from_secs(20), async {
            while clock::boottime() - condition.disk.silence(clock::boottime()) < began + EVERY {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("the disk takes writes");
        assert!(condition.store.silence(clock::boottime()) >= EVERY);
    }

    #[test]
    fn a_share_is_between_none_and_all() {
        let share = Share::default();
        for (given, kept) in [(-0.1, 0.0), (0.25, 0.25), (1.3, 1.0)] {
            share.set(given);
            assert_eq!(share.get(), kept);
        }
    }
}
