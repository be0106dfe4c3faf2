//! One master, a thousand workers that only say that they are there.
//!
//! Each simulated worker has its own connection and its own standing stream, says Hello with its figures,
//! answers with an empty inventory, and sends a heartbeat with telemetry every 2 s. Measured: processor time
//! and memory of the master process, from /proc.

use super::procfs::{processor_seconds, resident_mib};
use anyhow::Context as _;
use shanty_proto::internal::from_worker::Message;
use shanty_proto::internal::worker_link_client::WorkerLinkClient;
use shanty_proto::internal::{FromWorker, Hello, Inventory, WorkerHeartbeat, to_worker};
use shanty_proto::v1::Telemetry;
use shanty_rt::clock;
use shanty_rt::task::Scope;
use shanty_tests::cluster::Cluster;
use shanty_tests::patience::until;
use std::time::Duration;
use tokio_stream::StreamExt as _;

const WORKERS: usize = 1000;
const BEAT: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_secs(6);
const MEASURE: Duration = Duration::from_secs(20);

/// Measures and prints.
///
/// # Errors
/// When the master cannot be started or looked at.
pub(crate) async fn run() -> anyhow::Result<()> {
    let cluster = Cluster::builder().workers(0).start().await;
    let master = &cluster.masters[0];
    let mut scope = Scope::new();
    for number in 0..WORKERS {
        let address = format!("http://{}", master.address);
        scope.spawn("simulated worker", async move {
            if let Err(error) = attach(number, &address).await {
                eprintln!("simulated worker {number}: {error:#}");
            }
        });
    }
    let client = cluster.client();
    until("a thousand workers", Duration::from_secs(60), async || match client.get_cluster().await {
        Ok(seen) if usize::try_from(seen.workers.unwrap_or(0)).is_ok_and(|n| n == WORKERS) => Ok(()),
        Ok(seen) => Err(format!("{:?} attached", seen.workers)),
        Err(status) => Err(status.to_string()),
    })
    .await;
    // The attachments themselves are not what is measured.
    tokio::time::sleep(SETTLE).await;
    let pid = master.process.pid();
    let before = processor_seconds(pid)?;
    let began = clock::boottime();
    tokio::time::sleep(MEASURE).await;
    let wall = (clock::boottime() - began).as_secs_f64();
    let cores = (processor_seconds(pid)? - before) / wall;
    let memory_mib = resident_mib(pid)?;
    println!(
        "fleet: {WORKERS} workers, telemetry every {BEAT:?}: {cores:.3} cores, {memory_mib:.0} MiB (bar: under 0.15 core)"
    );
    Ok(())
}

async fn attach(number: usize, address: &str) -> anyhow::Result<()> {
    let mut client = WorkerLinkClient::connect(address.to_owned()).await.context("connect")?;
    let figures = Telemetry {
        cores: 2.0,
        cpu_percent: 10.0,
        memory_used_bytes: 1 << 28,
        memory_total_bytes: 1 << 32,
        process_memory_bytes: 1 << 24,
        lateness_p99_ms: 0.0,
    };
    let hello = Hello {
        worker: format!("sim{number}"),
        incarnation: format!("{number}"),
        version: "bench".to_owned(),
        kinds: vec!["http_load".to_owned()],
        slots: 1,
        telemetry: Some(figures),
        ..Hello::default()
    };
    // A beat and the inventory: two may wait at a time.
    let (say, said) = tokio::sync::mpsc::channel(2);
    say.send(from_worker(Message::Hello(hello))).await?;
    say.send(from_worker(Message::Inventory(Inventory::default()))).await?;
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(said);
    let mut incoming = client.attach(outgoing).await.context("attach")?.into_inner();
    let mut beat = tokio::time::interval(BEAT);
    let mut sequence = 0;
    loop {
        tokio::select! {
            _ = beat.tick() => {
                sequence += 1;
                let heartbeat = WorkerHeartbeat {
                    sequence,
                    unix_ns: clock::unix_ns(),
                    telemetry: Some(figures),
                    attempts: 0,
                    leader: String::new(),
                    leader_silence: None,
                };
                say.send(from_worker(Message::Heartbeat(heartbeat))).await?;
            }
            heard = incoming.next() => {
                let heard = heard.context("the master ended the stream")?.context("the stream broke")?;
                if matches!(heard.message, Some(to_worker::Message::Announce(_))) {
                    say.send(from_worker(Message::Inventory(Inventory::default()))).await?;
                }
            }
        }
    }
}

fn from_worker(message: Message) -> FromWorker {
    FromWorker { message: Some(message) }
}
