//! How long a cluster is without a leader that dispatches, fault by fault, while a load run and a sync go on; beside it Redis
//! Sentinel and a plain lock of etcd's own tool.
//!
//! From the fault to a new run that runs on a worker, asked by a client of the masters that are left. The faults are those of
//! the matrix, on its stage, and are taken back as soon as a run was dispatched; what must hold there must hold here.
//! The peers have the same faults: from there to a replica that takes a write, or to the next holder of the lock.
//! In: `--runs`, `--peers`, `--only` with a part of a name. Out: p50, p99 and most of each, the worst window of 100 ms of the
//! load, the rows of the syncs. Never: counts a run that was asked for before the fault.

use super::failover_peers::{etcd_lock, redis};
use crate::flags::Flags;
use anyhow::{Context as _, anyhow};
use shanty_tests::etcd::EtcdCluster;
use shanty_tests::faults::{Fault, Pace, Stage, measured, trial};

/// Faults during one load run.
const AT_ONCE: usize = 10;

/// Measures and prints.
///
/// # Errors
/// When a cluster does not do as it is told.
pub(crate) async fn run(flags: &Flags) -> anyhow::Result<()> {
    let runs: usize = flags.get("runs", 50)?;
    let only = flags.find("only").unwrap_or_default();
    println!("| what | runs | p50 | p99 | most | worst 100 ms: all / machine's stalls apart | syncs |");
    println!("|---|---|---|---|---|---|---|");
    let chosen: Vec<Fault> = measured().into_iter().filter(|fault| fault.name.contains(only)).collect();
    if !chosen.is_empty() {
        let mut stage = Stage::start().await.context("a service is missing")?;
        for fault in &chosen {
            ours(&mut stage, fault, runs).await?;
        }
    }
    let peers: usize = flags.get("peers", runs)?;
    if peers == 0 {
        return Ok(());
    }
    for (down_after_ms, fault) in [(200, "KILL"), (1000, "KILL"), (1000, "STOP")] {
        let mut took = Vec::new();
        for _ in 0..peers {
            took.push(redis(down_after_ms, fault).await?);
        }
        print(&format!("Redis Sentinel, down-after {down_after_ms} ms, SIG{fault}"), &mut took, "| |");
    }
    let mut took = Vec::new();
    let etcd = EtcdCluster::start(3).context("etcd")?;
    for _ in 0..peers {
        took.push(etcd_lock(&etcd.endpoints()).await?);
    }
    print("`etcdctl lock --ttl=5`, SIGKILL of its holder", &mut took, "| |");
    Ok(())
}

/// One fault, so often.
async fn ours(stage: &mut Stage, fault: &Fault, runs: usize) -> anyhow::Result<()> {
    let (mut took, mut pace, mut rows_off) = (Vec::new(), Pace::default(), 0_i64);
    let (mut windows, mut said) = (Vec::new(), Vec::new());
    while took.len() < runs {
        let fault = Fault { times: AT_ONCE.min(runs - took.len()), ..*fault };
        let outcome = trial(stage, &fault).await.map_err(|why| anyhow!("{}: {why}", fault.name))?;
        anyhow::ensure!(!outcome.took.is_empty(), "{}: nobody took over", fault.name);
        took.extend(outcome.took.iter().map(std::time::Duration::as_secs_f64));
        if let Some(one) = outcome.pace {
            pace = pace.worse(one);
            windows.push(format!("{:.1}", 100.0 * one.worst_unexplained));
        }
        rows_off = if outcome.rows_off.abs() > rows_off.abs() { outcome.rows_off } else { rows_off };
        said.extend(outcome.breaches.into_iter().map(|breach| format!("BREACH {breach}")));
        said.extend(outcome.shortfalls);
    }
    let rows = if rows_off == 0 { "exact".to_owned() } else { format!("{rows_off:+} rows") };
    let (all, apart) = (100.0 * pace.worst, 100.0 * pace.worst_unexplained);
    print(fault.name, &mut took, &format!("{all:.1} / {apart:.1} % | {rows} |"));
    eprintln!(
        "  {}: each load's worst window {} %, latest arrival {:.1} ms; {said:?}",
        fault.name,
        windows.join(", "),
        pace.latest_ms
    );
    Ok(())
}

fn print(name: &str, seconds: &mut [f64], rest: &str) {
    seconds.sort_by(f64::total_cmp);
    let at = |part: usize| seconds[(seconds.len() * part / 100).min(seconds.len() - 1)];
    let (p50, p99, most) = (at(50), at(99), at(100));
    println!("| {name} | {} | {p50:.3} s | {p99:.3} s | {most:.3} s | {rest}", seconds.len());
}
