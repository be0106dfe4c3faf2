//! Connections that come in: whoever speaks something else is told so, and with TLS everybody shows a certificate.
//!
//! ```text
//!  first byte ─► 'P' (HTTP/2), plaintext here ───────────────────────────────► Stream
//!            ├─► 0x16 (TLS), TLS here ─► handshake, at most 128 at once ─────► Stream
//!            └─► anything else, or the other one of the two ─► refusal that can be read
//! ```
//! In: accepted sockets. Out: [`Stream`]s; each handshake takes the newest certificates.
//! Never: lets in a client without a certificate of the authority where there are credentials; waits for a silent client
//! for long.
//! Tests: below; between processes in `tests/tests/t25_tls.rs`.

use super::credentials::Credentials;
use super::stream::Stream;
use super::words;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// A client that says nothing for this long after connecting is dropped.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// For a handshake, the wait for its turn included.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// Handshakes at once; they cost processor time, so that more of them would only be later all together.
const AT_ONCE: usize = 128;
/// For a refusal to reach its reader: closed at once, the system might throw it away.
const LINGER: Duration = Duration::from_millis(300);
/// Between two lines of the log that say the same of refused clients.
const LINES: Duration = Duration::from_secs(1);
/// Different lines that are remembered.
const KINDS: usize = 32;

/// Lets connections in.
#[derive(Debug, Clone)]
pub struct Gate {
    credentials: Option<Credentials>,
    turns: Arc<Semaphore>,
    /// When each line was said last, and how often it was not said since.
    said: Arc<Mutex<BTreeMap<String, (Instant, u32)>>>,
}

impl Gate {
    /// A gate with TLS, or without.
    #[must_use]
    pub fn new(credentials: Option<Credentials>) -> Gate {
        Gate { credentials, turns: Arc::new(Semaphore::new(AT_ONCE)), said: Arc::default() }
    }

    /// The connection, if it may be served. Whoever is refused was told, and so was the log.
    pub async fn pass(&self, stream: TcpStream, peer: SocketAddr) -> Option<Stream> {
        // Latency matters more than packets here; a socket that cannot is still a socket.
        let _kept = stream.set_nodelay(true);
        let first = timeout(FIRST_BYTE, first_byte(&stream)).await.ok()?.ok()?;
        match (first, &self.credentials) {
            (b'P', None) => Some(Stream::plain(stream)),
            (0x16, Some(credentials)) => self.shake_hands(stream, peer, credentials).await,
            (0x16, None) => {
                self.say(
                    peer,
                    "a client speaks TLS to this plaintext port: use grpcurl -plaintext, write http:// in --addr, or give \
                     this node certificates ([tls] in its table)",
                );
                None
            }
            (b'P', Some(_)) => {
                self.say(
                    peer,
                    "a client speaks plaintext to this TLS port: give it --tls-certificate, --tls-key and \
                                --tls-authority",
                );
                refuse(stream, &goaway(PLAINTEXT_REFUSED)).await;
                None
            }
            (_, None) => {
                let text = "this port speaks gRPC (HTTP/2 without TLS): try grpcurl -plaintext or `shanty api list`\n";
                refuse(stream, &http1(text, "h2c")).await;
                None
            }
            (_, Some(_)) => {
                refuse(stream, &http1(&format!("{PLAINTEXT_REFUSED}\n"), "TLS/1.3")).await;
                None
            }
        }
    }

    async fn shake_hands(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        credentials: &Credentials,
    ) -> Option<Stream> {
        let shaking = async {
            let _turn = self.turns.acquire().await.ok()?;
            Some(TlsAcceptor::from(credentials.server()).accept(stream).into_fallible().await)
        };
        match timeout(HANDSHAKE, shaking).await {
            Ok(Some(Ok(stream))) => Some(Stream::tls(stream)),
            Ok(Some(Err((error, stream)))) => {
                if let Some(why) = words::of_client(&error, credentials.settings()) {
                    self.say(peer, &format!("a client is refused: {why}"));
                    linger(stream).await;
                }
                None
            }
            Ok(None) => None,
            Err(_) => {
                self.say(peer, "a client is refused: its TLS handshake takes too long");
                None
            }
        }
    }

    /// The same line once a second; clients that try again and again are counted.
    fn say(&self, peer: SocketAddr, what: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let untold = match said.get_mut(what) {
            Some((at, untold)) if at.elapsed() < LINES => {
                *untold = untold.saturating_add(1);
                return;
            }
            Some((_, untold)) => *untold,
            None => 0,
        };
        if said.len() >= KINDS {
            said.clear();
        }
        said.insert(what.to_owned(), (Instant::now(), 0));
        if untold > 0 {
            tracing::warn!(%peer, untold, "{what}");
        } else {
            tracing::warn!(%peer, "{what}");
        }
    }
}

/// The first byte that a client sends, left in the socket. HTTP/2 without TLS begins with `PRI`, TLS with 0x16.
async fn first_byte(stream: &TcpStream) -> io::Result<u8> {
    let mut byte = [0u8; 1];
    match stream.peek(&mut byte).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(byte[0]),
    }
}

const PLAINTEXT_REFUSED: &str = "this port speaks TLS and asks for a certificate: shanty --tls-certificate FILE --tls-key \
                                 FILE --tls-authority FILE, or grpcurl -cert FILE -key FILE -cacert FILE";

/// An answer that HTTP/1 clients show.
fn http1(text: &str, upgrade: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: {upgrade}\r\nConnection: Upgrade, close\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

/// An answer that HTTP/2 clients show: SETTINGS, then GOAWAY (RFC 9113, 6.8) with INADEQUATE_SECURITY and this text.
fn goaway(text: &str) -> Vec<u8> {
    let mut frames = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    let [_, length @ ..] = u32::try_from(text.len() + 8).unwrap_or(8).to_be_bytes();
    frames.extend(length);
    frames.extend([7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc]);
    frames.extend(text.as_bytes());
    frames
}

async fn refuse(mut stream: TcpStream, answer: &[u8]) {
    // A client that does not wait for its answer does not get it.
    if stream.write_all(answer).await.is_ok() {
        linger(stream).await;
    }
}

async fn linger(mut stream: TcpStream) {
    let mut rest = [0_u8; 1024];
    let reads = async {
        stream.shutdown().await?;
        while stream.read(&mut rest).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whether it read its refusal is its own affair.
    let _gone = timeout(LINGER, reads).await;
}

#[cfg(test)]
#[path = "gate_test.rs"]
mod tests;
