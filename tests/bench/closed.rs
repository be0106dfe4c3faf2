//! Closed loop: requests per second of generator CPU, paired and alternated with Debian's wrk.
//!
//! Requests per second of wall time say as much about the target as about the generator, so they are only
//! shown; the figure is the CPU that a request costs the generator.
//! In: `--connections`, `--seconds`, `--rounds`. Out: median, spread, ratio.

use crate::flags::Flags;
use crate::process::{TargetProcess, children_cpu_s, generate, generator_core, spread};
use anyhow::Context as _;
use std::process::Command;

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let seconds: u64 = flags.get("seconds", 4)?;
    let rounds: usize = flags.get("rounds", 5)?;
    for connections in flags.find("connections").unwrap_or("32,100").split(',') {
        pair(connections, seconds, rounds)?;
    }
    Ok(())
}

fn pair(connections: &str, seconds: u64, rounds: usize) -> anyhow::Result<()> {
    println!("closed loop, {connections} connections, {seconds} s, {rounds} rounds, generator on one core:");
    println!("  round   shanty req/CPU-s  (req/s)     wrk req/CPU-s  (req/s)     ratio");
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let (a, b) = if round.is_multiple_of(2) {
            let a = shanty(connections, seconds)?;
            (a, wrk(connections, seconds)?)
        } else {
            let b = wrk(connections, seconds)?;
            (shanty(connections, seconds)?, b)
        };
        println!("  {round:>5} {:>17.0} {:>9.0} {:>16.0} {:>9.0} {:>10.3}", a.0, a.1, b.0, b.1, a.0 / b.0);
        ours.push(a.0);
        theirs.push(b.0);
        ratios.push(a.0 / b.0);
    }
    let (a, b, r) = (spread(&ours), spread(&theirs), spread(&ratios));
    println!(
        "  shanty {:.0} ({:.0} to {:.0}), wrk {:.0} ({:.0} to {:.0}), ratio {:.3} ({:.3} to {:.3})",
        a.0, a.1, a.2, b.0, b.1, b.2, r.0, r.1, r.2
    );
    Ok(())
}

/// Requests per CPU second, and per second.
fn shanty(connections: &str, seconds: u64) -> anyhow::Result<(f64, f64)> {
    let target = TargetProcess::start(&[])?;
    let flags = ["--url", &target.url, "--connections", connections, "--seconds", &seconds.to_string()];
    let (generated, cpu_s) = generate(&[], &flags.map(str::to_owned))?;
    anyhow::ensure!(generated.failed == 0, "{} requests failed", generated.failed);
    target.finish()?;
    Ok((generated.completed as f64 / cpu_s, generated.completed as f64 / seconds as f64))
}

fn wrk(connections: &str, seconds: u64) -> anyhow::Result<(f64, f64)> {
    let target = TargetProcess::start(&[])?;
    let before = children_cpu_s()?;
    let output = Command::new("taskset")
        .args([
            "-c",
            &generator_core().to_string(),
            "wrk",
            "-t1",
            "-c",
            connections,
            "-d",
            &format!("{seconds}s"),
            &target.url,
        ])
        .output()
        .context("cannot run wrk; apt-get install wrk")?;
    let cpu_s = children_cpu_s()? - before;
    target.finish()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.contains("requests in")).context("wrk printed no count")?;
    let requests: f64 = line.split_whitespace().next().context("no count")?.parse()?;
    Ok((requests / cpu_s, requests / seconds as f64))
}
