//! Pacing as the target sees it: gaps, bursts, rate.
//!
//! Seen twice: by the kernel's stamps, made when a request came ("on the wire"), and by those of the target's own
//! thread when it had read it. Where the target is held up, the second has bursts that nobody sent.
//! In: `--rate`, `--workers`, `--seconds`, `--spin`. Out: the share of gaps near the nominal one, the most
//! arrivals in a millisecond, the error of the rate over each second; beside what other tools were measured
//! to do on such a machine.

use crate::flags::Flags;
use crate::process::{TargetProcess, generate};
use std::time::Duration;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let rate: f64 = flags.get("rate", 5_000.0)?;
    let workers: String = flags.get("workers", "1,4".to_owned())?;
    let seconds: u64 = flags.get("seconds", 10)?;
    for workers in workers.split(',') {
        let target = TargetProcess::with_kernel_stamps()?;
        let mut args = [
            "--url",
            &target.url,
            "--rate",
            &rate.to_string(),
            "--seconds",
            &seconds.to_string(),
            "--workers",
            workers,
        ]
        .map(str::to_owned)
        .to_vec();
        if let Some(spin) = flags.find("spin") {
            args.extend(["--spin".to_owned(), spin.to_owned()]);
        }
        let (generated, cpu_s) = generate(&[], &args)?;
        let stamps = target.finish()?;
        println!("open loop, {rate}/s, {workers} worker(s), {seconds} s:");
        println!(
            "  sent {} completed {} failed {} dropped {}; generator CPU {:.1} %, at most {:.1} MiB",
            generated.sent,
            generated.completed,
            generated.failed,
            generated.dropped,
            100.0 * cpu_s / seconds as f64,
            generated.peak_rss_mib
        );
        println!(
            "  lateness p50 {:.3} p99 {:.3} max {:.3} ms; response p50 {:.3} p99 {:.3} ms",
            generated.lateness_p50_ms,
            generated.lateness_p99_ms,
            generated.lateness_max_ms,
            generated.response_p50_ms,
            generated.response_p99_ms
        );
        let (read, wire) = (stamps.read.len(), stamps.wire.len());
        anyhow::ensure!(wire == read, "the kernel stamped {wire} of {read} requests");
        for (how, stamps) in [("on the wire", stamps.wire), ("as read by the target", stamps.read)] {
            println!("  {how}:");
            show(&Seen::of(&stamps, generated.start_ns, rate, seconds), rate);
        }
    }
    println!(
        "  measured on a machine of this size before: oha -q 0 % of gaps near, bursts of 50 in 1 ms; wrk2 0 %, 50"
    );
    Ok(())
}

struct Seen {
    near: f64,
    /// In any millisecond, wherever it begins.
    most_in_1_ms: usize,
    /// In one of the milliseconds side by side.
    most_in_aligned_ms: usize,
    /// Of the milliseconds side by side, those with more than the bar.
    crowded_ms: usize,
    worst_second: f64,
    worst_100_ms: f64,
}

/// Arrivals in a millisecond, and twice that number and two.
fn nominal_and_bar(rate: f64) -> (f64, f64) {
    let nominal = (rate / 1000.0).max(1.0);
    (nominal, 2.0 * nominal + 2.0)
}

impl Seen {
    fn of(stamps: &[u64], start_ns: u64, rate: f64, seconds: u64) -> Seen {
        let mut stamps = stamps.to_vec();
        stamps.sort_unstable();
        let nominal = 1e9 / rate;
        let near = |pair: &&[u64]| ((pair[1] - pair[0]) as f64 / nominal - 1.0).abs() <= 0.25;
        let near = stamps.windows(2).filter(near).count() as f64 / (stamps.len().max(2) - 1) as f64;
        let mut first = 0;
        let mut most_in_1_ms = 0;
        for (last, at) in stamps.iter().enumerate() {
            while at - stamps[first] >= MS {
                first += 1;
            }
            most_in_1_ms = most_in_1_ms.max(last - first + 1);
        }
        let mut by_ms = std::collections::BTreeMap::new();
        for at in &stamps {
            *by_ms.entry(at / MS).or_insert(0_usize) += 1;
        }
        let most_in_aligned_ms = by_ms.values().max().copied().unwrap_or(0);
        let crowded_ms = by_ms.values().filter(|count| **count as f64 > nominal_and_bar(rate).1).count();
        let worst = |window: u64| {
            let expected = rate * window as f64 / 1e9;
            // Windows lie half a gap before the arrivals' grid, so that none stands on an edge.
            let half_gap = Duration::from_secs_f64(0.5 / rate).as_nanos();
            let shift = start_ns - u64::try_from(half_gap).unwrap_or(0);
            (0..seconds * SECOND / window)
                .map(|i| {
                    let (from, to) = (shift + i * window, shift + (i + 1) * window);
                    let count = stamps.partition_point(|s| *s < to) - stamps.partition_point(|s| *s < from);
                    (count as f64 / expected - 1.0).abs()
                })
                .fold(0.0, f64::max)
        };
        Seen {
            near,
            most_in_1_ms,
            most_in_aligned_ms,
            crowded_ms,
            worst_second: worst(SECOND),
            worst_100_ms: worst(100 * MS),
        }
    }
}

fn show(seen: &Seen, rate: f64) {
    let (nominal, bar) = nominal_and_bar(rate);
    println!("    gaps within ±25 % of nominal: {:.1} %", 100.0 * seen.near);
    println!(
        "    most in any 1 ms: {} (nominal {nominal:.0}, bar {bar:.0}); side by side {}, {} milliseconds over the bar",
        seen.most_in_1_ms, seen.most_in_aligned_ms, seen.crowded_ms
    );
    println!(
        "    worst rate error: {:.3} % over a second, {:.3} % over 100 ms",
        100.0 * seen.worst_second,
        100.0 * seen.worst_100_ms
    );
}
