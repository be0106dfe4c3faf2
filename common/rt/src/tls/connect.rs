//! Connections that go out: a channel to an address, with TLS where there are certificates.
//!
//! ```text
//!  TCP ─► handshake with the newest certificates ─► the other end's first bytes, or its refusal ─► channel
//! ```
//! In: an address, options of its owner, credentials. Out: a channel; the newest certificates are taken whenever it
//! connects. Never: TLS without a check of the other end's name; plaintext because TLS did not work.
//! Tests: with the gate.

use super::credentials::Credentials;
use super::material::validity;
use super::words::Refusal;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::time::Duration;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Error};
use tower::{BoxError, Service, ServiceExt as _};

/// For the handshake, when the endpoint has no shorter time to connect.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// A server that speaks first, as Shanty's do, shows within this time whether it takes the certificate. One that waits
/// for the client to speak is given this wait.
const FIRST_BYTES: Duration = Duration::from_millis(300);

/// The endpoint of `host:port`, which may have a scheme before it.
///
/// # Errors
/// When it is no address.
pub fn endpoint(address: &str, credentials: Option<&Credentials>) -> Result<Endpoint, Error> {
    let bare = address.split_once("://").map_or(address, |(_, bare)| bare);
    match credentials {
        // The connector does TLS, so the channel itself must not be asked for it.
        Some(_) => Endpoint::from_shared(format!("http://{bare}")),
        None if bare == address => Endpoint::from_shared(format!("http://{bare}")),
        None => Endpoint::from_shared(address.to_owned()),
    }
}

/// A channel that is connected.
///
/// # Errors
/// Why it is not; with TLS a [`Refusal`] may be at its bottom.
pub async fn connect(endpoint: &Endpoint, credentials: Option<&Credentials>) -> Result<Channel, Error> {
    match credentials {
        Some(credentials) => endpoint.connect_with_connector(connector(credentials)).await,
        None => endpoint.connect().await,
    }
}

/// A channel that connects when it is used, and anew when it was lost.
#[must_use]
pub fn connect_lazy(endpoint: &Endpoint, credentials: Option<&Credentials>) -> Channel {
    match credentials {
        Some(credentials) => endpoint.connect_with_connector_lazy(connector(credentials)),
        None => endpoint.connect_lazy(),
    }
}

type Io = TokioIo<TlsStream<TcpStream>>;

fn connector(
    credentials: &Credentials,
) -> impl Service<Uri, Response = Io, Error = BoxError, Future = impl Future<Output = Result<Io, BoxError>> + Send>
+ Send
+ 'static {
    let credentials = credentials.clone();
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tower::service_fn(move |uri: Uri| {
        let (tcp, credentials) = (tcp.clone(), credentials.clone());
        async move {
            let stream = tcp.oneshot(uri.clone()).await?.into_inner();
            Ok(TokioIo::new(handshake(stream, &uri, &credentials).await?))
        }
    })
}

async fn handshake(
    stream: TcpStream,
    uri: &Uri,
    credentials: &Credentials,
) -> Result<TlsStream<TcpStream>, Refusal> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let refused = |error: std::io::Error| Refusal::of(&error, host, credentials.settings());
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Refusal(format!("`{host}` is no name or address that a certificate could be for")))?;
    let shaking = TlsConnector::from(credentials.client()).connect(name, stream);
    let mut stream = timeout(HANDSHAKE, shaking)
        .await
        .map_err(|_| Refusal(format!("no TLS handshake within {HANDSHAKE:?}: a plaintext port?")))?
        .map_err(refused)?;
    let theirs = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    if let (Some((_, not_after)), Some(address)) = (theirs.and_then(|own| validity(own)), uri.authority()) {
        credentials.meet(address.as_str(), not_after);
    }
    // In TLS 1.3 the client's certificate is judged when the client has finished: its refusal comes in place of the
    // first bytes, which stay where they are.
    match timeout(FIRST_BYTES, stream.fill_buf()).await {
        Ok(Ok([])) => Err(refused(std::io::ErrorKind::UnexpectedEof.into())),
        Ok(Err(error)) => Err(refused(error)),
        Ok(Ok(_)) | Err(_) => Ok(stream),
    }
}
