//! The listener: our own accept loop, so that shutting down has a hard end.
//!
//! tonic's graceful shutdown waits for all streams, and standing ones never end by themselves (hyper#4170).
//! Here streams end on the stop token, connections are asked to finish, and what is left after the grace is
//! dropped. A client that does not speak HTTP/2 without TLS is told so, or logged, instead of a riddle.

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use shanty_rt::task::Scope;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::api::Forward;

/// After the stop, connections may take this long to finish.
const GRACE: Duration = Duration::from_secs(2);
/// A client that says nothing for this long after connecting is dropped.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// Binds `listen`.
///
/// # Errors
/// A text that says who may be in the way, and what to do.
pub fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = std::net::TcpListener::bind(listen).and_then(|listener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    bound.map_err(|error| match error.kind() {
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
pub async fn serve(listener: TcpListener, service: Forward, stop: CancellationToken) {
    let mut connections = Scope::new();
    let finish = connections.token();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (service, finish) = (service.clone(), finish.clone());
                    connections.spawn("connection", connection(stream, peer, service, finish));
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

async fn connection(mut stream: TcpStream, peer: SocketAddr, service: Forward, finish: CancellationToken) {
    // Latency matters more than packets here; a socket that cannot is still a socket.
    let _kept = stream.set_nodelay(true);
    match tokio::time::timeout(FIRST_BYTE, first_byte(&stream)).await {
        Ok(Ok(b'P')) => {}
        Ok(Ok(0x16)) => {
            tracing::warn!(%peer, "a client speaks TLS to this plaintext port: use grpcurl -plaintext, or http:// in --addr");
            return;
        }
        Ok(Ok(_)) => {
            let text =
                "this port speaks gRPC (HTTP/2 without TLS): try grpcurl -plaintext or `shanty api list`\n";
            let answer = format!(
                "HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
            // A client that does not wait for its answer does not get it.
            let _gone = stream.write_all(answer.as_bytes()).await;
            return;
        }
        Ok(Err(_)) | Err(_) => return,
    }
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

/// The first byte that a client sends, left in the socket. HTTP/2 without TLS begins with `PRI`.
async fn first_byte(stream: &TcpStream) -> io::Result<u8> {
    let mut byte = [0u8; 1];
    match stream.peek(&mut byte).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(byte[0]),
    }
}
