//! `shanty cluster …`: the cluster as a whole.
//!
//! In: nothing, or the master that shall lead. Out: who leads; what happens to nodes and leadership.
//! Tests: `cli/tests/nouns.rs`.

use crate::client::{bare, passing, refusal, request_id};
use crate::context::{Context, interrupted};
use crate::error::Error;
use crate::exit::Exit;
use crate::quantity;
use shanty_proto::v1;
use shanty_rt::backoff::Backoff;
use std::time::Duration;
use tokio::time::Instant;

/// How long a stream of events is looked for after it broke.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do with the cluster.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show who leads, and on what the cluster stands
    Status,
    /// Stream what happens to nodes and leadership, until Ctrl-C
    Events {
        /// Begin with the events after this one
        #[arg(long, default_value_t = 0, value_name = "SEQUENCE")]
        after: u32,
    },
    /// Hand leadership to another master
    Transfer {
        /// The master that shall lead; the cluster chooses when it is left out
        #[arg(default_value = "")]
        target: String,
    },
}

/// Does it.
///
/// # Errors
/// Says what could not be done.
pub(crate) async fn run(verb: Verb, cx: &Context) -> Result<Exit, Error> {
    match verb {
        Verb::Status => {
            let cluster = cx
                .client
                .ask("show the cluster", |link| async move {
                    link.cluster().get_cluster(v1::GetClusterRequest {}).await
                })
                .await?;
            cx.print(&cluster, |cluster| status(cluster, cx))?;
            Ok(Exit::Done)
        }
        Verb::Transfer { target } => {
            let request = v1::TransferLeadershipRequest { target, request_id: request_id() };
            let cluster = cx
                .client
                .ask("transfer leadership", |link| {
                    let request = request.clone();
                    async move { link.cluster().transfer_leadership(request).await }
                })
                .await?;
            cx.print(&cluster, |cluster| status(cluster, cx))?;
            Ok(Exit::Done)
        }
        Verb::Events { after } => {
            tokio::select! {
                ended = events(after, cx) => ended,
                () = interrupted() => Err(Error::Interrupted),
            }
        }
    }
}

fn status(cluster: &v1::Cluster, cx: &Context) -> String {
    let paint = cx.screen.out;
    let now = shanty_rt::clock::unix_ms();
    let leader = match cluster.leader.as_str() {
        "" => paint.bad("nobody leads"),
        name => format!(
            "{} leads, since {} (epoch {})",
            paint.strong(bare(name)),
            quantity::ago(cluster.leader_since.as_ref(), now),
            cluster.epoch
        ),
    };
    let name = if cluster.name.is_empty() { "cluster" } else { &cluster.name };
    format!(
        "{}  {leader}\n  {}, {}, {}; {}\n  coordinator {}, store {}, version {}",
        paint.strong(name),
        quantity::things(cluster.masters(), "master"),
        quantity::things(cluster.workers(), "worker"),
        quantity::things(cluster.sentinels(), "sentinel"),
        quantity::things(cluster.active_runs(), "active run"),
        cluster.coordinator,
        cluster.store,
        cluster.version
    )
}

async fn events(mut after: u32, cx: &Context) -> Result<Exit, Error> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    let mut link = cx.client.link().await?;
    let mut heard = Instant::now();
    loop {
        let request = v1::WatchEventsRequest { after_sequence: after };
        let status = match link.cluster().watch_events(request).await {
            Err(status) => status,
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(event)) => {
                            heard = Instant::now();
                            after = after.max(event.sequence);
                            cx.print_line(&event, line)?;
                        }
                        Ok(None) => break tonic::Status::unavailable("the stream of events ended"),
                        Err(status) => break status,
                    }
                }
            }
        };
        if !passing(&status) || heard.elapsed() > PATIENCE {
            return Err(refusal("watch events", &link.addr, status).await);
        }
        loop {
            tokio::time::sleep(backoff.next_wait().max(Duration::from_millis(50))).await;
            match cx.client.link().await {
                Ok(other) => {
                    link = other;
                    break;
                }
                Err(error) if heard.elapsed() > PATIENCE => return Err(error),
                Err(_) => {}
            }
        }
    }
}

fn line(event: &v1::ClusterEvent) -> String {
    format!(
        "{}  {:>5}  epoch {:<3} {:<10} {:<18} {}",
        quantity::clock(event.time.as_ref()),
        event.sequence,
        event.epoch,
        bare(&event.node),
        event.reason,
        event.message
    )
}
