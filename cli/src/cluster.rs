//! `shanty cluster …`: the cluster as a whole.
//!
//! In: nothing, or the master that shall lead. Out: who leads; what happens to nodes and leadership; how the last terms
//! began and ended.
//! Tests: `cli/tests/runs.rs`.

use crate::client::{Link, bare, passing, refusal, request_id};
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
    /// Show how the last terms began and ended: evidence, votes, scores, timings
    Why {
        /// How many terms
        #[arg(long, default_value_t = 3, value_name = "NUMBER")]
        last: u32,
    },
    /// Hand leadership to another master, with the leader's help
    #[command(alias = "transfer")]
    Switchover {
        /// The master that shall lead; the cluster chooses when it is left out
        #[arg(default_value = "")]
        target: String,
    },
    /// End the leader's term without asking it, for a leader that no longer answers
    Failover {
        /// The master that shall lead; the cluster chooses when it is left out
        #[arg(default_value = "")]
        target: String,
        /// Why, for the history
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// Keep sentinels from ending terms for a while; leases still expire
    Pause {
        /// For how long, such as 30m
        #[arg(value_parser = quantity::duration)]
        duration: Duration,
        /// Why, for other people
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// Take a pause back
    Resume,
    /// Change which sentinels vote, one at a time
    #[command(subcommand)]
    Sentinel(Sentinel),
}

/// What to do with the sentinels that vote.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Sentinel {
    /// Let a sentinel vote
    Add {
        /// Its name
        name: String,
    },
    /// Let a sentinel vote no more
    Remove {
        /// Its name
        name: String,
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
        Verb::Why { last } => {
            let request = v1::ListTermsRequest { page_size: last, page_token: String::new() };
            let terms = cx
                .client
                .ask("show the last terms", |link| {
                    let request = request.clone();
                    async move { link.cluster().list_terms(request).await }
                })
                .await?;
            cx.print(&terms, |terms| why(terms, cx))?;
            Ok(Exit::Done)
        }
        Verb::Switchover { target } => {
            let request = v1::TransferLeadershipRequest { target, request_id: request_id() };
            shown(cx, "hand leadership over", |link| {
                let request = request.clone();
                async move { link.cluster().transfer_leadership(request).await }
            })
            .await
        }
        Verb::Failover { target, reason } => {
            let request = v1::ForceFailoverRequest { target, reason, request_id: request_id() };
            shown(cx, "force a failover", |link| {
                let request = request.clone();
                async move { link.cluster().force_failover(request).await }
            })
            .await
        }
        Verb::Pause { duration, reason } => {
            let duration = Some(quantity::proto_duration(duration));
            let request = v1::PauseFailoverRequest { duration, reason, request_id: request_id() };
            shown(cx, "pause failover", |link| {
                let request = request.clone();
                async move { link.cluster().pause_failover(request).await }
            })
            .await
        }
        Verb::Resume => {
            let request = v1::ResumeFailoverRequest { request_id: request_id() };
            shown(cx, "resume failover", |link| {
                let request = request.clone();
                async move { link.cluster().resume_failover(request).await }
            })
            .await
        }
        Verb::Sentinel(change) => {
            let (add, remove) = match change {
                Sentinel::Add { name } => (name, String::new()),
                Sentinel::Remove { name } => (String::new(), name),
            };
            let request = v1::ChangeSentinelsRequest { add, remove, request_id: request_id() };
            shown(cx, "change the sentinels", |link| {
                let request = request.clone();
                async move { link.cluster().change_sentinels(request).await }
            })
            .await
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
    let voters: Vec<&str> = cluster.voters.iter().map(|voter| bare(voter)).collect();
    let failover = match (cluster.coordinator.as_str(), &cluster.paused_until, voters.as_slice()) {
        ("memory", _, _) => "failover: none, this is the only master".to_owned(),
        (_, Some(until), _) => {
            let why = match cluster.pause_reason.as_str() {
                "" => String::new(),
                reason => format!(": {reason}"),
            };
            let paused = format!("paused until {}{why}", quantity::clock(Some(until)));
            format!("failover: {}", paint.bad(&paused))
        }
        (_, None, []) => "failover: by the leader's lease, no sentinel votes".to_owned(),
        (_, None, voters) => {
            format!("failover: by {} of the sentinels {}", voters.len() / 2 + 1, voters.join(", "))
        }
    };
    let warnings: String =
        cluster.warnings.iter().map(|warning| format!("\n  {}", paint.bad(warning))).collect();
    format!(
        "{}  {leader}\n  {}, {}, {}; {}\n  {failover}\n  coordinator {}, store {}, version {}{warnings}",
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

/// The last terms, the newest first.
fn why(terms: &v1::ListTermsResponse, cx: &Context) -> String {
    let terms = &terms.terms;
    let before = terms.iter().skip(1).map(Some).chain([None]);
    let blocks: Vec<String> =
        terms.iter().zip(before).map(|(term, before)| story(term, before, cx)).collect();
    if blocks.is_empty() { "no term has begun yet".to_owned() } else { blocks.join("\n\n") }
}

/// How a term began, after the one `before` it, and ended.
fn story(term: &v1::Term, before: Option<&v1::Term>, cx: &Context) -> String {
    let paint = cx.screen.out;
    let vacant = before.and_then(|before| since(before.end_time.as_ref()?, term.start_time.as_ref()?));
    let vacant = vacant
        .map(|vacant| format!(", {} after the end of the last one", quantity::time(vacant)))
        .unwrap_or_default();
    let mut lines = vec![format!(
        "{}  {} led from {}{vacant}: {}",
        paint.strong(&format!("term {}", term.epoch)),
        paint.strong(bare(&term.leader)),
        quantity::clock(term.start_time.as_ref()),
        term.start_reason
    )];
    if !term.end_reason.is_empty() {
        lines.push(format!("  {}: {}", ended(term), paint.bad(&term.end_reason)));
    }
    for vote in &term.votes {
        lines.push(format!("  vote  {:<10} {:<6} {}", bare(&vote.sentinel), vote.evidence, vote.message));
    }
    for candidate in &term.candidates {
        let (mark, text) = match candidate.refused_reason.as_str() {
            "" => ("next", candidate.score.as_str()),
            refused => ("not", refused),
        };
        lines.push(format!("  {mark:<5} {:<10} {text}", bare(&candidate.master)));
    }
    lines.join("\n")
}

/// When a term ended, by whom, and how long after the first evidence.
fn ended(term: &v1::Term) -> String {
    let Some(end) = &term.end_time else { return "ended".to_owned() };
    let who = if term.ended_by == term.leader { "itself" } else { bare(&term.ended_by) };
    let after = term.suspect_time.as_ref().and_then(|suspect| since(suspect, end));
    let after =
        after.map(|took| format!(", {} after the first evidence", quantity::time(took))).unwrap_or_default();
    format!("ended {} by {who}{after}", quantity::clock(Some(end)))
}

/// Time from one instant to a later one.
fn since(from: &prost_types::Timestamp, to: &prost_types::Timestamp) -> Option<Duration> {
    let ns = |at: &prost_types::Timestamp| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    u64::try_from(ns(to) - ns(from)).ok().map(Duration::from_nanos)
}

/// Asks for a change of the cluster and shows the cluster after it.
async fn shown<F, T>(cx: &Context, what: &'static str, ask: F) -> Result<Exit, Error>
where
    F: Fn(Link) -> T,
    T: Future<Output = Result<tonic::Response<v1::Cluster>, tonic::Status>>,
{
    let cluster = cx.client.ask(what, ask).await?;
    cx.print(&cluster, |cluster| status(cluster, cx))?;
    Ok(Exit::Done)
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
