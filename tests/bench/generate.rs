//! The generator's process: the `http_load` driver alone, without a cluster.
//!
//! In: flags. Out: JSON of what it did.

use crate::flags::Flags;
use crate::process::Generated;
use anyhow::Context as _;
use shanty_model::histogram::Latencies;
use shanty_model::kind::http_load::{HttpLoad, Partial, Spec};
use shanty_model::rate::Plan;
use shanty_rt::clock::monotonic_ns;
use shanty_rt::driver::{AttemptContext, Driver as _, TestPort};
use shanty_worker::drivers::http_load::{HttpLoadDriver, Options, Spin};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// Between the beginning of the process and of the run.
const LEAD_NS: u64 = 200_000_000;

pub(crate) fn run(flags: &Flags) -> anyhow::Result<()> {
    let seconds: f64 = flags.get("seconds", 5.0)?;
    let spec = Spec {
        url: flags.find("url").context("--url is missing")?.to_owned(),
        rate: flags.find("rate").map(str::parse).transpose()?,
        connections: flags.find("connections").map(str::parse).transpose()?,
        duration: Some(Duration::from_secs_f64(seconds)),
        ..Spec::default()
    };
    let settled = spec.settle().map_err(|found| anyhow::anyhow!("{found:?}"))?;
    let workers: usize = flags.get("workers", 1)?;
    let spin = match flags.find("spin") {
        None => Spin::default(),
        Some(name) => serde_json::from_value(serde_json::Value::from(name))?,
    };
    let threads = NonZeroUsize::new(flags.get("threads", 1)?);
    let driver = HttpLoadDriver::new(Options { threads, spin, ..Options::default() });
    let plan = Plan::new(settled.load, vec![1; workers]);
    let start_ns = monotonic_ns() + LEAD_NS;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ports = Vec::new();
    let mut attempts = tokio::task::JoinSet::new();
    for shard in 0..workers {
        let (cx, port) = AttemptContext::<HttpLoad>::for_test(&spec, &(), &plan.directive(shard), start_ns)?;
        let driver = driver.clone();
        ports.push(port);
        attempts.spawn_on(async move { driver.run(cx).await }, runtime.handle());
    }
    while let Some(ended) = runtime.block_on(attempts.join_next()) {
        ended??;
    }
    let mut generated = sum(&ports, start_ns)?;
    generated.peak_rss_mib = peak_rss_mib()?;
    println!("{}", serde_json::to_string(&generated)?);
    Ok(())
}

fn sum(ports: &[Arc<TestPort>], start_ns: u64) -> anyhow::Result<Generated> {
    let (mut response, mut service, mut lateness) = (Latencies::new(), Latencies::new(), Latencies::new());
    let (mut sent, mut completed, mut failed, mut dropped) = (0, 0, 0, 0);
    for port in ports {
        for bytes in port.seen().partials {
            let partial: Partial = rmp_serde::from_slice(&bytes)?;
            sent += partial.sent;
            completed += partial.completed;
            failed += partial.error_count();
            dropped += partial.dropped;
            response.merge(&partial.response);
            service.merge(&partial.service);
            lateness.merge(&partial.lateness);
        }
    }
    Ok(Generated {
        sent,
        completed,
        failed,
        dropped,
        lateness_p50_ms: lateness.quantile_ms(0.5),
        lateness_p99_ms: lateness.quantile_ms(0.99),
        lateness_max_ms: lateness.max_ms(),
        response_p50_ms: response.quantile_ms(0.5),
        response_p95_ms: response.quantile_ms(0.95),
        response_p99_ms: response.quantile_ms(0.99),
        service_p99_ms: service.quantile_ms(0.99),
        start_ns,
        peak_rss_mib: 0.0,
    })
}

/// The kernel's books, KiB there.
fn peak_rss_mib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).context("no figure")?.parse::<f64>()? / 1024.0)
}
