//! The other sentinels: asked four times a second what they think, and answered.
//!
//! In: their addresses, this sentinel's opinion. Out: opinions. They are for loneliness and for people: votes are cast in the
//! coordinator and nowhere else.
//! Tests: below.

use shanty_model::id::NodeId;
use shanty_proto::internal as pb;
use shanty_proto::internal::sentinel_peer_client::SentinelPeerClient;
use shanty_proto::internal::sentinel_peer_server::{SentinelPeer, SentinelPeerServer};
use shanty_rt::task::Scope;
use shanty_rt::tls::{self, Credentials, Gate, Stream};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Between two questions to a sentinel.
const EVERY: Duration = Duration::from_millis(250);
/// For an answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Connections that were let in and wait to be served.
const LET_IN: usize = 16;

/// What a sentinel thinks of the leader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Opinion {
    /// Its name.
    pub sentinel: String,
    /// Create revision of the leader key meant; 0 for none.
    pub leader: i64,
    /// Kind of its evidence; empty for none.
    pub against: String,
    /// The evidence in words.
    pub why: String,
    /// Why it does not trust itself just now; empty when it does.
    pub tilt: String,
}

impl Opinion {
    fn encode(self) -> pb::Opinion {
        let Opinion { sentinel, leader, against, why, tilt } = self;
        pb::Opinion { sentinel, leader, against, why, tilt }
    }

    fn decode(opinion: pb::Opinion) -> Opinion {
        let pb::Opinion { sentinel, leader, against, why, tilt } = opinion;
        Opinion { sentinel, leader, against, why, tilt }
    }
}

#[derive(Debug)]
struct Door {
    own: watch::Receiver<Opinion>,
    heard: mpsc::Sender<Opinion>,
}

#[tonic::async_trait]
impl SentinelPeer for Door {
    async fn exchange(&self, request: Request<pb::Opinion>) -> Result<Response<pb::Opinion>, Status> {
        // The loop that is told may be on its way out.
        let _gone = self.heard.send(Opinion::decode(request.into_inner())).await;
        Ok(Response::new(self.own.borrow().clone().encode()))
    }
}

/// Answers other sentinels until `stop`.
pub(crate) async fn answer(
    listener: TcpListener,
    credentials: Option<Credentials>,
    own: watch::Receiver<Opinion>,
    heard: mpsc::Sender<Opinion>,
    stop: CancellationToken,
) {
    let (let_in, streams) = mpsc::channel(LET_IN);
    let served = Server::builder()
        .add_service(SentinelPeerServer::new(Door { own, heard }))
        .serve_with_incoming(ReceiverStream::new(streams));
    tokio::select! {
        ended = served => tracing::error!(?ended, "other sentinels are not answered any more"),
        () = accept(listener, Gate::new(credentials), let_in) => {}
        () = stop.cancelled() => {}
    }
}

/// Lets connections in for as long as it is polled; each has a task of its own until it is through the gate.
async fn accept(listener: TcpListener, gate: Gate, let_in: mpsc::Sender<io::Result<Stream>>) {
    let mut coming = Scope::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (gate, let_in) = (gate.clone(), let_in.clone());
                coming.spawn("connection", async move {
                    if let Some(stream) = gate.pass(stream, peer).await {
                        // The server is on its way out.
                        let _gone = let_in.send(Ok(stream)).await;
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; raise the limit of open files (ulimit -n) if it persists");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        coming.reap();
    }
}

/// Asks the sentinel at `address` again and again.
pub(crate) async fn ask(
    peer: NodeId,
    address: String,
    credentials: Option<Credentials>,
    own: watch::Receiver<Opinion>,
    heard: mpsc::Sender<Opinion>,
) {
    let Ok(endpoint) = tls::endpoint(&address, credentials.as_ref()) else {
        tracing::warn!(%peer, address, "this sentinel's address cannot be asked");
        return;
    };
    let endpoint = endpoint.connect_timeout(PATIENCE).timeout(PATIENCE).tcp_nodelay(true);
    let channel = tls::connect_lazy(&endpoint, credentials.as_ref());
    let mut client = SentinelPeerClient::new(channel);
    loop {
        let opinion = own.borrow().clone();
        match tokio::time::timeout(PATIENCE, client.exchange(opinion.encode())).await {
            Ok(Ok(answer)) => {
                if heard.send(Opinion::decode(answer.into_inner())).await.is_err() {
                    return;
                }
            }
            Ok(Err(status)) => tracing::trace!(%peer, %status, "a sentinel did not answer"),
            Err(_) => tracing::trace!(%peer, "a sentinel did not answer in time"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Binds the door.
///
/// # Errors
/// A text that says what to do.
pub(crate) async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        anyhow::anyhow!("cannot listen on {listen}: {error}; choose another address with --listen")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion(sentinel: &str) -> Opinion {
        Opinion { sentinel: sentinel.to_owned(), ..Opinion::default() }
    }

    #[tokio::test]
    async fn each_hears_the_other() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (_tell, own) = watch::channel(opinion("s1"));
        let (_tell_other, other) = watch::channel(opinion("s2"));
        let (heard_by_one, mut one) = mpsc::channel(4);
        let (heard_by_two, mut two) = mpsc::channel(4);
        let mut scope = Scope::new();
        scope.spawn("door", answer(listener, None, own, heard_by_one, scope.token()));
        scope.spawn("asking", ask("s1".parse().unwrap(), address, None, other, heard_by_two));
        assert_eq!(one.recv().await.unwrap().sentinel, "s2");
        assert_eq!(two.recv().await.unwrap().sentinel, "s1");
    }
}
