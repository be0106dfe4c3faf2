//! A caller of the public API: connects when needed, repeats what the cluster says is passing.
//!
//! In: addresses, a patience. Out: answers, or errors that name what was asked for.
//! Never: prints.
//! Tests: `cli/tests/` against a server of their own.

use crate::connect::{Masters, diagnose};
use crate::error::Error;
use shanty_proto::v1;
use shanty_rt::backoff::Backoff;
use std::error::Error as _;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};
use v1::cluster_service_client::ClusterServiceClient;
use v1::connection_service_client::ConnectionServiceClient;
use v1::job_service_client::JobServiceClient;
use v1::node_service_client::NodeServiceClient;
use v1::run_service_client::RunServiceClient;

/// Patience of a call without `--timeout`: long enough for a change of leader.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes in an answer: a report with an hour of seconds is below 1 MiB.
const MOST_BYTES: usize = 32 << 20;

/// The way to the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    masters: Masters,
    timeout: Option<Duration>,
}

/// A connection to one master.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The channel.
    pub(crate) channel: Channel,
    /// The master's address.
    pub(crate) addr: String,
}

impl Link {
    /// Calls about runs.
    pub(crate) fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    /// Calls about jobs.
    pub(crate) fn jobs(&self) -> JobServiceClient<Channel> {
        JobServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    /// Calls about nodes.
    pub(crate) fn nodes(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    /// Calls about connections.
    pub(crate) fn connections(&self) -> ConnectionServiceClient<Channel> {
        ConnectionServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    /// Calls about the cluster.
    pub(crate) fn cluster(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }
}

impl Client {
    /// A caller of `masters`; without a timeout calls have 15 s.
    pub(crate) fn new(masters: Masters, timeout: Option<Duration>) -> Client {
        Client { masters, timeout }
    }

    /// The `--timeout` that was given.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The addresses, for printing.
    pub(crate) fn shown(&self) -> String {
        self.masters.shown()
    }

    /// A connection to the first master that can be reached.
    ///
    /// # Errors
    /// When none can.
    pub(crate) async fn link(&self) -> Result<Link, Error> {
        let (channel, addr) = self.masters.connect().await?;
        Ok(Link { channel, addr })
    }

    /// One answer. `doing` finishes "cannot …". While the cluster says UNAVAILABLE (no leader now) the call
    /// is repeated until the patience is over; mutations carry a request id, so that is safe.
    ///
    /// # Errors
    /// When no master is reached, or with the server's refusal.
    pub(crate) async fn ask<T, F>(&self, doing: &str, call: impl Fn(Link) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let patience = self.timeout.unwrap_or(PATIENCE);
        let until = Instant::now() + patience;
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
        let mut link = self.link().await?;
        loop {
            let late = || Status::deadline_exceeded(format!("no answer within {patience:?}"));
            let status = match tokio::time::timeout_at(until, call(link.clone())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => return Err(Error::status(doing, late())),
            };
            if !passing(&status) {
                return Err(refusal(doing, &link.addr, status).await);
            }
            let wait = backoff.next_wait().max(Duration::from_millis(50));
            if Instant::now() + wait >= until {
                return Err(refusal(doing, &link.addr, status).await);
            }
            tokio::time::sleep(wait).await;
            // Another master may be the one that answers now.
            if let Ok(other) = self.link().await {
                link = other;
            }
        }
    }

    /// As [`Client::ask`], for calls that start runs.
    ///
    /// # Errors
    /// As there; RESOURCE_EXHAUSTED means that no worker has room.
    pub(crate) async fn ask_to_start<T, F>(&self, doing: &str, call: impl Fn(Link) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        self.ask(doing, call).await.map_err(|error| match error {
            Error::Status { doing, status, .. } => Error::Status { doing, status, starts: true },
            other => other,
        })
    }

    /// The leader's node name, when the cluster tells it within a second.
    pub(crate) async fn leader(&self) -> Option<String> {
        let ask = async {
            let link = self.link().await.ok()?;
            let cluster = link.cluster().get_cluster(v1::GetClusterRequest {}).await.ok()?.into_inner();
            Some(bare(&cluster.leader).to_owned()).filter(|name| !name.is_empty())
        };
        tokio::time::timeout(Duration::from_secs(1), ask).await.ok().flatten()
    }
}

/// Whether a call or a stream that ended so is worth trying again: no leader now, or the connection broke.
pub(crate) fn passing(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => true,
        Code::Unknown | Code::Internal | Code::Cancelled => broke(status),
        Code::Ok
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// Whether this status was made here because the connection broke, not sent by a server.
fn broke(status: &Status) -> bool {
    status.source().is_some() || status.message().starts_with("h2 protocol error")
}

/// The error to show: a listener that is no gRPC server is named as such.
pub(crate) async fn refusal(doing: &str, addr: &str, status: Status) -> Error {
    if broke(&status)
        && let Some(unreachable) = diagnose(addr).await
    {
        return Error::Unreachable(unreachable);
    }
    Error::status(doing, status)
}

/// A name without its collection: `runs/adhoc.1` → `adhoc.1`.
pub(crate) fn bare(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A fresh request id.
pub(crate) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
