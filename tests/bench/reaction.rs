//! How quickly a running load reacts, seen by the target: a change of rate, a stop, a worker's death.
//!
//! A cluster of real processes and a target that stamps arrivals. All times are from the client's call (or the
//! kill) to what the target sees, so the API, the store and the workers are in them.

use serde_json::json;
use shanty_proto::v1;
use shanty_rt::clock::monotonic_ns;
use shanty_tests::cluster::{Client, Cluster};
use shanty_tests::origin::Origin;
use shanty_tests::patience::eventually;
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
        let mut cluster = Cluster::builder().workers(3).start().await;
        let (client, origin) = (cluster.client(), Origin::start());
        let run = begin(&client, &origin, 2000.0).await?;
        let asked = monotonic_ns();
        client.change_rate(&run.name, 8000.0).await?;
        changes.push(reaches(&origin, asked, 160, Duration::from_secs(3)).await);

        let killed = monotonic_ns();
        cluster.workers[2].process.kill9();
        // The share of the dead is missing at once; it is back when 20 ms hold what they should for good.
        tokio::time::sleep(Duration::from_millis(2000)).await;
        deaths.push(back_on_target(&origin, killed, 160));

        let asked = monotonic_ns();
        client.cancel(&run.name).await?;
        client.wait(&run.name).await?;
        let last = origin.arrivals().last().copied().unwrap_or(asked);
        stops.push(last.saturating_sub(asked) as f64 / MS as f64);
    }
    print("rate change 2,000/s → 8,000/s effective", &mut changes, "under 200 ms");
    print("worker SIGKILL at 8,000/s, total back on target", &mut deaths, "within 1,000 ms");
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

/// Milliseconds after which no window of 100 ms is short by a tenth of its arrivals.
fn back_on_target(origin: &Origin, from: u64, wanted_in_20_ms: u32) -> f64 {
    let windows = origin.windows(from, Duration::from_millis(100));
    let whole = &windows[..windows.len().saturating_sub(1)];
    let short = whole.iter().rposition(|count| *count * 10 < wanted_in_20_ms * 5 * 9);
    short.map_or(0.0, |index| (index + 1) as f64 * 100.0)
}

fn print(what: &str, values: &mut [f64], bar: &str) {
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!(
        "reaction: {what}: median {median:.0} ms ({least:.0} to {most:.0}, {} tries; bar: {bar})",
        values.len()
    );
}
