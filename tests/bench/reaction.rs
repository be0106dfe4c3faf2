//! How quickly a running load reacts, seen by the target: a change of rate, a stop, a worker's death.
//!
//! A cluster of real processes and a target that stamps arrivals (`origin` for what is looked at while it goes on,
//! `target` for the death at 30,000/s). All times are from the client's call (or the
//! kill) to what the target sees, so the API, the store and the workers are in them.

use serde_json::json;
use shanty_proto::v1;
use shanty_rt::clock::monotonic_ns;
use shanty_tests::cluster::{Client, Cluster};
use shanty_tests::origin::Origin;
use shanty_tests::patience::eventually;
use shanty_tests::target::{Options, Target};
use std::time::Duration;

const TRIES: usize = 5;
const MS: u64 = 1_000_000;

/// Measures and prints.
///
/// # Errors
/// When the cluster does not do as it is told.
pub(crate) async fn run() -> anyhow::Result<()> {
    let (mut changes, mut stops, mut deaths) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TRIES {
        let cluster = Cluster::builder().workers(3).start().await;
        let (client, origin) = (cluster.client(), Origin::start());
        let run = begin(&client, &origin, 2000.0).await?;
        let asked = monotonic_ns();
        client.change_rate(&run.name, 8000.0).await?;
        changes.push(reaches(&origin, asked, 160, Duration::from_secs(3)).await);

        let asked = monotonic_ns();
        client.cancel(&run.name).await?;
        client.wait(&run.name).await?;
        let last = origin.arrivals().last().copied().unwrap_or(asked);
        stops.push(last.saturating_sub(asked) as f64 / MS as f64);
    }
    for _ in 0..TRIES {
        deaths.push(death().await?);
    }
    print("rate change 2,000/s → 8,000/s effective", &mut changes, "under 200 ms");
    print("worker SIGKILL at 30,000/s, total back on target", &mut deaths, "within 1,000 ms");
    print("cancel, last request at the target", &mut stops, "within 200 ms");
    Ok(())
}

async fn begin(client: &Client, origin: &Origin, rate: f64) -> anyhow::Result<v1::Run> {
    let request =
        json!({ "spec": { "http_load": { "url": origin.url(), "rate": rate, "duration": "60s" } } });
    let run = client.start(&request).await?;
    eventually("the load is up", Duration::from_secs(10), async || origin.count() > 2000).await;
    Ok(run)
}

/// Milliseconds until 20 ms hold at least nine tenths of `wanted` arrivals.
async fn reaches(origin: &Origin, from: u64, wanted: u32, within: Duration) -> f64 {
    let mut at = None;
    eventually("the new rate is seen", within, async || {
        let windows = origin.windows(from, Duration::from_millis(20));
        let whole = &windows[..windows.len().saturating_sub(1)];
        at = whole.iter().position(|count| *count * 10 >= wanted * 9);
        at.is_some()
    })
    .await;
    at.unwrap_or(0) as f64 * 20.0
}

/// Milliseconds from a worker's SIGKILL to the last window of 100 ms that is short by a tenth of its arrivals.
async fn death() -> anyhow::Result<f64> {
    const RATE: usize = 30_000;
    let mut cluster = Cluster::builder().workers(3).start().await;
    let (client, target) = (cluster.client(), Target::start(Options::default())?);
    let url = format!("http://{}/", target.address);
    let run = client
        .start(&json!({ "spec": { "http_load": { "url": url, "rate": RATE, "duration": "60s" } } }))
        .await?;
    eventually("the load is up", Duration::from_secs(10), async || target.count() > 60_000).await;
    let killed = monotonic_ns();
    cluster.workers[2].process.kill9();
    // What is measured: two seconds of arrivals.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let until = monotonic_ns();
    client.cancel(&run.name).await?;
    let stamps = target.finish().read;
    let windows = usize::try_from((until - killed) / (100 * MS))?;
    let mut counts = vec![0_usize; windows];
    for at in stamps.into_iter().filter(|at| *at >= killed) {
        if let Some(count) = counts.get_mut(usize::try_from((at - killed) / (100 * MS))?) {
            *count += 1;
        }
    }
    let short = counts.iter().rposition(|count| count * 100 < RATE * 9);
    Ok(short.map_or(0.0, |index| (index + 1) as f64 * 100.0))
}

fn print(what: &str, values: &mut [f64], bar: &str) {
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!(
        "reaction: {what}: median {median:.0} ms ({least:.0} to {most:.0}, {} tries; bar: {bar})",
        values.len()
    );
}
