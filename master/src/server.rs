//! The listener: our own accept loop, so that shutting down has a hard end.
//!
//! tonic's graceful shutdown waits for all streams, and standing ones never end by themselves (hyper#4170).
//! Here streams end on the stop token, connections are asked to finish, and what is left after the grace is
//! dropped. Who may speak at all, and what others are told, is the gate's affair.
//! In: a listener, a gate, the services. Out: nothing until the stop. Never: waits for a handshake in the accept loop.
//! Tests: with processes in the tests crate.

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use shanty_rt::task::Scope;
use shanty_rt::tls::{Gate, Stream};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use crate::api::Forward;

/// After the stop, connections may take this long to finish.
const GRACE: Duration = Duration::from_secs(2);
/// Connections that may wait to be accepted: a large fleet comes all at once after a failover.
const BACKLOG: u32 = 4096;

/// Binds `listen`.
///
/// # Errors
/// A text that says who may be in the way, and what to do.
pub fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = || {
        let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As the standard library does it: a port whose connections linger from before is free.
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "cannot listen on {listen}: the port is taken; stop the process that holds it (ss -ltnp 'sport = :{}'), or choose another with --listen",
            listen.port()
        ),
        io::ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("cannot listen on {listen}: this machine has no such address; choose another with --listen")
        }
        io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("cannot listen on {listen}: not permitted; choose a port above 1023 with --listen")
        }
        _ => anyhow::anyhow!("cannot listen on {listen}: {error}"),
    })
}

/// Serves until `stop`, then for the grace at most.
pub async fn serve(listener: TcpListener, gate: Gate, service: Forward, stop: CancellationToken) {
    let mut connections = Scope::new();
    let finish = connections.token();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (gate, service, finish) = (gate.clone(), service.clone(), finish.clone());
                    connections.spawn("connection", async move {
                        if let Some(stream) = gate.pass(stream, peer).await {
                            connection(stream, peer, service, finish).await;
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: others must end before this can go on.
                    tracing::warn!(%error, "cannot accept a connection; raise the limit of open files (ulimit -n) if it persists");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            () = stop.cancelled() => break,
        }
        connections.reap();
    }
    drop(listener);
    let left = connections.drain(GRACE).await;
    if left > 0 {
        tracing::info!(left, "connections did not finish in time and were dropped");
    }
}

async fn connection(stream: Stream, peer: SocketAddr, service: Forward, finish: CancellationToken) {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(3))
        .max_concurrent_streams(1024);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = finish.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "connection broke");
    }
}
