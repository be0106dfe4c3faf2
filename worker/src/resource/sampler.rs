//! The sampler: measures once a second and tells the newest figures.
//!
//! In: time passing. Out: a watch that holds [`Telemetry`] (its lateness is not this room's: see
//! `executor`).
//! Never: blocks the runtime; reading `/proc` happens aside.
//! Tests: below.

use super::cgroup;
use rustix::thread::sched_getaffinity;
use shanty_model::telemetry::Telemetry;
use shanty_rt::task;
use std::path::Path;
use std::time::Duration;
use sysinfo::System;
use tokio::sync::watch;

/// Placement looks at seconds, so a second is often enough.
const EVERY: Duration = Duration::from_secs(1);

/// Measures this machine.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// None when the machine shows nothing of itself; figures are then 0, but for the cores.
    system: Option<System>,
}

impl Sampler {
    /// A sampler with its first processor reading made; processor use is measured between two.
    pub(crate) fn new() -> Sampler {
        let mut system = System::new()
            .inspect_err(|error| tracing::warn!(%error, "this machine's figures cannot be read"))
            .ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        Sampler { system }
    }

    /// Measures now. Blocks for about a millisecond.
    pub(crate) fn sample(&mut self) -> Telemetry {
        let (cpu_percent, used, total) = match &mut self.system {
            Some(system) => {
                system.refresh_cpu_usage();
                system.refresh_memory();
                (f64::from(system.global_cpu_usage()), system.used_memory(), system.total_memory())
            }
            None => (0.0, 0, 0),
        };
        let limits = cgroup::limits(Path::new("/"));
        let own_cores = sched_getaffinity(None).map_or(1.0, |set| f64::from(set.count().max(1)));
        let (used, total) = match limits.memory {
            Some(memory) if memory.limit_bytes < total || total == 0 => {
                (memory.used_bytes, memory.limit_bytes)
            }
            Some(_) | None => (used, total),
        };
        Telemetry {
            cores: own_cores.min(limits.cores.unwrap_or(f64::INFINITY)).max(0.01),
            cpu_percent: cpu_percent.clamp(0.0, 100.0),
            memory_used_bytes: used,
            memory_total_bytes: total,
            process_memory_bytes: resident_bytes(),
            lateness_p99_ms: 0.0,
        }
    }
}

/// Resident memory of this process, bytes; 0 when it cannot be told.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// Samples for as long as somebody looks.
pub(crate) async fn keep_sampling(mut sampler: Sampler, figures: watch::Sender<Telemetry>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let measured = task::blocking("sampler", move || {
            let sample = sampler.sample();
            (sampler, sample)
        })
        .await;
        match measured {
            Ok((back, sample)) => {
                sampler = back;
                if figures.send(sample).is_err() {
                    return;
                }
            }
            // The panic was logged; the next sampler begins anew.
            Err(_panicked) => sampler = Sampler::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_this_machine_is_plausible() {
        let sample = Sampler::new().sample();
        assert!(sample.cores > 0.0 && sample.cores <= 4096.0, "{sample:?}");
        assert!((0.0..=100.0).contains(&sample.cpu_percent), "{sample:?}");
        assert!(sample.memory_total_bytes > sample.process_memory_bytes, "{sample:?}");
        assert!(sample.process_memory_bytes > 100_000, "{sample:?}");
        assert!(sample.memory_percent() <= 100.0, "{sample:?}");
    }
}
