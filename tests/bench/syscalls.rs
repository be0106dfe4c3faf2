//! System calls per request, closed loop, counted by strace.
//!
//! strace slows the generator, so more connections are ready at each wait than without it; the count of calls
//! per request is that of a busy generator.
//! In: `--connections`, `--seconds`. Out: calls by name and per request, beside wrk's.

use crate::flags::Flags;
use crate::process::{TargetProcess, generate, generator_core};
use anyhow::Context as _;
use std::process::Command;

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let seconds: String = flags.get("seconds", "3".to_owned())?;
    let connections: String = flags.get("connections", "32".to_owned())?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("calls").display().to_string();
    let target = TargetProcess::start(&[])?;
    let args =
        ["--url", &target.url, "--connections", &connections, "--seconds", &seconds].map(str::to_owned);
    let (generated, _) = generate(&["strace", "-c", "-f", "-o", &file], &args)?;
    show("shanty", &file, generated.completed)?;
    let output = Command::new("strace")
        .args([
            "-c",
            "-f",
            "-o",
            &file,
            "taskset",
            "-c",
            &generator_core().to_string(),
            "wrk",
            "-t1",
            "-c",
            &connections,
        ])
        .args(["-d", &format!("{seconds}s"), &target.url])
        .output()
        .context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.contains("requests in")).context("wrk printed no count")?;
    show("wrk", &file, line.split_whitespace().next().context("no count")?.parse()?)?;
    target.finish()?;
    Ok(())
}

fn show(who: &str, file: &str, requests: u64) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let mut calls: Vec<(u64, String)> = text
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let count = fields.get(3)?.parse().ok()?;
            let name = fields.last()?;
            (*name != "total").then(|| (count, (*name).to_owned()))
        })
        .collect();
    calls.sort_unstable_by(|a, b| b.cmp(a));
    let total: u64 = calls.iter().map(|(count, _)| count).sum();
    println!("{who}: {requests} requests, {total} calls, {:.3} per request", total as f64 / requests as f64);
    for (count, name) in calls.iter().take(6) {
        println!("  {name:<18} {count:>9}  {:.3}", *count as f64 / requests as f64);
    }
    Ok(())
}
