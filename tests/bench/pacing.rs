//! Pacing as the target sees it: gaps, bursts, rate.
//!
//! Seen twice: by the kernel's stamps, made when a request came ("on the wire"), and by those of the target's own
//! thread when it had read it. Where the target is held up, the second has bursts that nobody sent.
//! A witness looks at the time meanwhile: where a whole core of the machine stood still nobody could send, and what was
//! made good just after is told apart from what the generator did by itself.
//! In: `--rate`, `--workers`, `--seconds`, `--spin`, `--runs`. Out: the share of gaps near the nominal one, the most
//! arrivals in a millisecond, the error of the rate over each second, with and without the machine's stalls; beside what
//! other tools were measured to do on such a machine.

use crate::flags::Flags;
use crate::process::{TargetProcess, generate};
use crate::witness::{Stall, Witness};
use std::time::Duration;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let rate: f64 = flags.get("rate", 5_000.0)?;
    let workers: String = flags.get("workers", "1,4".to_owned())?;
    let seconds: u64 = flags.get("seconds", 10)?;
    let runs: usize = flags.get("runs", 1)?;
    for workers in workers.split(',') {
        let mut within = 0;
        for _ in 0..runs {
            within += usize::from(once(flags, rate, workers, seconds)?);
        }
        let (_, bar) = nominal_and_bar(rate);
        println!("  {workers} worker(s): at most {bar:.0} in any 1 ms in {within} of {runs} runs");
    }
    println!(
        "  measured on a machine of this size before: oha -q 0 % of gaps near, bursts of 50 in 1 ms; wrk2 0 %, 50"
    );
    Ok(())
}

/// One run; whether no millisecond held more than the bar.
fn once(flags: &Flags, rate: f64, workers: &str, seconds: u64) -> anyhow::Result<bool> {
    let target = TargetProcess::with_kernel_stamps()?;
    let (rate_text, seconds_text) = (rate.to_string(), seconds.to_string());
    let given =
        ["--url", &target.url, "--rate", &rate_text, "--seconds", &seconds_text, "--workers", workers];
    let mut args = given.map(str::to_owned).to_vec();
    if let Some(spin) = flags.find("spin") {
        args.extend(["--spin".to_owned(), spin.to_owned()]);
    }
    let witness = Witness::start();
    let (generated, cpu_s) = generate(&[], &args)?;
    let stalls = witness.finish();
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
    let longest = stalls.iter().map(Stall::length_ns).max().unwrap_or(0);
    println!("  the machine's cores stood still {} times, {:.1} ms at most", stalls.len(), ms(longest));
    let (read, wire) = (stamps.read.len(), stamps.wire.len());
    anyhow::ensure!(wire == read, "the kernel stamped {wire} of {read} requests");
    let on_the_wire = Seen::of(&stamps.wire, &stalls, generated.start_ns, rate, seconds);
    println!("  on the wire:");
    show(&on_the_wire, rate);
    println!("  as read by the target:");
    show(&Seen::of(&stamps.read, &stalls, generated.start_ns, rate, seconds), rate);
    Ok(on_the_wire.all.most_in_1_ms as f64 <= nominal_and_bar(rate).1)
}

fn ms(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64() * 1e3
}

/// The worst that arrivals did.
#[derive(Debug, Clone, Copy, Default)]
struct Worst {
    /// In any millisecond, wherever it begins.
    most_in_1_ms: usize,
    /// Error of the rate, as a part of it.
    second: f64,
    tenth: f64,
}

struct Seen {
    near: f64,
    /// Milliseconds side by side that hold more than the bar.
    crowded_ms: usize,
    all: Worst,
    /// While no core stood still, and nothing of a stall was made good.
    undisturbed: Worst,
}

/// Arrivals in a millisecond, and twice that number and two.
fn nominal_and_bar(rate: f64) -> (f64, f64) {
    let nominal = (rate / 1000.0).max(1.0);
    (nominal, 2.0 * nominal + 2.0)
}

impl Seen {
    fn of(stamps: &[u64], stalls: &[Stall], start_ns: u64, rate: f64, seconds: u64) -> Seen {
        let mut stamps = stamps.to_vec();
        stamps.sort_unstable();
        let nominal = 1e9 / rate;
        let near = |pair: &&[u64]| ((pair[1] - pair[0]) as f64 / nominal - 1.0).abs() <= 0.25;
        let near = stamps.windows(2).filter(near).count() as f64 / (stamps.len().max(2) - 1) as f64;
        // What a stall left undone is made good within one and a half of its length.
        let disturbed: Vec<(u64, u64)> = stalls
            .iter()
            .map(|stall| (stall.from_ns, stall.to_ns + 2 * stall.length_ns() + 2 * MS))
            .collect();
        let calm = |from: u64, to: u64| disturbed.iter().all(|(begin, end)| to < *begin || from > *end);
        let (mut all, mut undisturbed) = (Worst::default(), Worst::default());
        let mut first = 0;
        for (last, at) in stamps.iter().enumerate() {
            while at - stamps[first] >= MS {
                first += 1;
            }
            let count = last - first + 1;
            all.most_in_1_ms = all.most_in_1_ms.max(count);
            if count > undisturbed.most_in_1_ms && calm(stamps[first], *at) {
                undisturbed.most_in_1_ms = count;
            }
        }
        let mut by_ms = std::collections::BTreeMap::new();
        for at in &stamps {
            *by_ms.entry(at / MS).or_insert(0_usize) += 1;
        }
        let crowded_ms = by_ms.values().filter(|count| **count as f64 > nominal_and_bar(rate).1).count();
        let worst = |window: u64, only_calm: bool| {
            let expected = rate * window as f64 / 1e9;
            // Windows lie half a gap before the arrivals' grid, so that none stands on an edge.
            let half_gap = Duration::from_secs_f64(0.5 / rate).as_nanos();
            let shift = start_ns - u64::try_from(half_gap).unwrap_or(0);
            (0..seconds * SECOND / window)
                .map(|i| (shift + i * window, shift + (i + 1) * window))
                // What happens within a window evens out; a stall at one of its ends does not.
                .filter(|(from, to)| !only_calm || (calm(*from, *from) && calm(*to, *to)))
                .map(|(from, to)| {
                    let count = stamps.partition_point(|s| *s < to) - stamps.partition_point(|s| *s < from);
                    (count as f64 / expected - 1.0).abs()
                })
                .fold(0.0, f64::max)
        };
        (all.second, all.tenth) = (worst(SECOND, false), worst(100 * MS, false));
        (undisturbed.second, undisturbed.tenth) = (worst(SECOND, true), worst(100 * MS, true));
        Seen { near, crowded_ms, all, undisturbed }
    }
}

fn show(seen: &Seen, rate: f64) {
    let (nominal, bar) = nominal_and_bar(rate);
    let Seen { near, crowded_ms, all, undisturbed } = seen;
    println!("    gaps within ±25 % of nominal: {:.1} %", 100.0 * near);
    println!(
        "    most in any 1 ms: {} (nominal {nominal:.0}, bar {bar:.0}; {crowded_ms} milliseconds side by side over it); away \
         from the machine's stalls {}",
        all.most_in_1_ms, undisturbed.most_in_1_ms
    );
    println!(
        "    worst rate error: {:.3} % over a second, {:.3} % over 100 ms; away from the machine's stalls {:.3} %, {:.3} %",
        100.0 * all.second,
        100.0 * all.tenth,
        100.0 * undisturbed.second,
        100.0 * undisturbed.tenth
    );
}
