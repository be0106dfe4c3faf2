//! Memory of a worker under load: does it grow?
//!
//! One master, one worker, a target; the worker's resident memory is read every five seconds.
//! `--rate` (20,000) and `--seconds` (600).

use super::flags::Flags;
use super::procfs::resident_mib;
use serde_json::json;
use shanty_tests::cluster::Cluster;
use shanty_tests::target::{Options, Target};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(5);
/// The first part of the run is left out: buffers fill.
const SETTLE: u64 = 30;

/// Measures and prints.
///
/// # Errors
/// When the cluster does not do as it is told.
pub(crate) async fn run(flags: &Flags) -> anyhow::Result<()> {
    let (rate, seconds): (f64, u64) = (flags.get("rate", 20_000.0)?, flags.get("seconds", 600_u64)?);
    let cluster = Cluster::builder().workers(1).start().await;
    let (client, target) = (cluster.client(), Target::start(Options::default())?);
    let request = json!({ "spec": { "http_load": {
        "url": format!("http://{}/", target.address), "rate": rate, "duration": format!("{seconds}s"),
    } } });
    let run = client.start(&request).await?;
    let worker = cluster.workers[0].process.pid();
    let mut readings = Vec::new();
    let mut passed = 0;
    while passed + 2 * EVERY.as_secs() < seconds {
        tokio::time::sleep(EVERY).await;
        passed += EVERY.as_secs();
        if passed >= SETTLE.min(seconds / 4) {
            readings.push(resident_mib(worker)?);
        }
    }
    client.cancel(&run.name).await?;
    client.wait(&run.name).await?;
    let report = client.load_report(&run.name).await?;
    let (first, last) = (readings[0], readings[readings.len() - 1]);
    let most = readings.iter().copied().fold(0.0, f64::max);
    let least = readings.iter().copied().fold(f64::MAX, f64::min);
    println!(
        "memory: worker at {rate}/s over {passed} s: {first:.1} MiB at first, {last:.1} MiB at last, {least:.1} to {most:.1} ({:+.1} %); sent {} ({})",
        (most / least - 1.0) * 100.0,
        report.sent,
        report.verdict_reason,
    );
    Ok(())
}
