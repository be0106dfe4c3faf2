//! The way to a master: one of the addresses given, the first that answers.
//!
//! In: addresses as typed. Out: a channel, or an [`Unreachable`] that says who does not answer and why.
//! Never: repeats a call; `client.rs` does.
//! Tests: below.

use shanty_rt::tls::{self, Credentials, Refusal};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;

/// Longest time for one connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a listener is given to show what it speaks.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// The first bytes of HTTP/2 and an empty SETTINGS frame (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Why no master was reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach a master at {addr}: {why}")]
pub(crate) struct Unreachable {
    addr: String,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("nothing listens there")]
    Refused,
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("it speaks TLS, and this client was given no certificate")]
    Tls,
    #[error("{0}")]
    Handshake(Refusal),
    #[error("this client's certificates: {0}")]
    Credentials(tls::Error),
    #[error("it speaks HTTP/1, not gRPC; is it another program's port?")]
    Http1,
    #[error("this is not HOST:PORT")]
    Address,
    #[error("TLS needs a certificate, its key and an authority")]
    WantsTls,
    #[error("{0}")]
    Other(String),
}

impl Unreachable {
    /// Nothing listens at `addr`.
    #[cfg(test)]
    pub(crate) fn refused(addr: &str) -> Unreachable {
        Unreachable { addr: addr.to_owned(), why: Why::Refused }
    }

    /// What to do about it.
    pub(crate) fn next_step(&self) -> String {
        match self.why {
            Why::Refused if self.addr == "127.0.0.1:7070" => {
                "start a cluster (shanty dev), or name a master: --addr HOST:PORT".to_owned()
            }
            Why::Refused => format!(
                "start a master there (shanty dev --listen {}), or name another: --addr HOST:PORT",
                self.addr
            ),
            Why::Silent(_) | Why::Other(_) => {
                "look whether the host is up and a firewall is between, or name another: --addr HOST:PORT"
                    .to_owned()
            }
            Why::Tls | Why::WantsTls => {
                "give --tls-certificate FILE --tls-key FILE --tls-authority FILE (SHANTY_TLS_CERTIFICATE, SHANTY_TLS_KEY, \
                 SHANTY_TLS_AUTHORITY)"
                    .to_owned()
            }
            Why::Handshake(_) => {
                "compare --tls-certificate and --tls-authority with the tls table of the master; a plaintext port is written \
                 http://HOST:PORT"
                    .to_owned()
            }
            Why::Credentials(_) => {
                "look at --tls-certificate, --tls-key and --tls-authority, and at the variables SHANTY_TLS_…".to_owned()
            }
            Why::Http1 => "name the master's gRPC port: --addr HOST:PORT (default 127.0.0.1:7070)".to_owned(),
            Why::Address => "write it as --addr 127.0.0.1:7070; several are joined by commas".to_owned(),
        }
    }
}

/// The masters that may be asked, in the order given.
#[derive(Debug, Clone)]
pub(crate) struct Masters {
    addrs: Vec<String>,
    tls: tls::Settings,
}

impl Masters {
    /// From `HOST:PORT[,HOST:PORT…]`, with TLS where certificates are set and an address does not say `http://`.
    pub(crate) fn new(text: &str, tls: tls::Settings) -> Masters {
        let addrs = text.split(',').map(str::trim).filter(|a| !a.is_empty()).map(str::to_owned).collect();
        Masters { addrs, tls }
    }

    /// The addresses as given, for printing.
    pub(crate) fn shown(&self) -> String {
        self.addrs.join(",")
    }

    /// The first that can be reached, with its address.
    ///
    /// # Errors
    /// What is in the way at the first address that says something, when none can be reached.
    pub(crate) async fn connect(&self) -> Result<(Channel, String), Unreachable> {
        let mut first = None;
        for addr in &self.addrs {
            match connect_one(addr, &self.tls).await {
                Ok(channel) => return Ok((channel, addr.clone())),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or(Unreachable { addr: "(no address)".to_owned(), why: Why::Address }))
    }
}

async fn connect_one(addr: &str, tls: &tls::Settings) -> Result<Channel, Unreachable> {
    let fail = |why| Unreachable { addr: addr.to_owned(), why };
    // Read at each connection: a client that follows a run for days takes new certificates as nodes do.
    let credentials = match addr.starts_with("http://") {
        true => None,
        false => Credentials::open(tls).map_err(|error| fail(Why::Credentials(error)))?,
    };
    if addr.starts_with("https://") && credentials.is_none() {
        return Err(fail(Why::WantsTls));
    }
    let bare = bare(addr);
    if bare.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
        return Err(fail(Why::Address));
    }
    let credentials = credentials.as_ref();
    let endpoint = tls::endpoint(bare, credentials)
        .map_err(|_| fail(Why::Address))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        // A watch over a dead path is noticed by these, not by waiting for the next event.
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5));
    tls::connect(&endpoint, credentials).await.map_err(|error| {
        if let Some(refusal) = Refusal::below(&error) {
            return fail(Why::Handshake(refusal));
        }
        match root_cause(&error).kind() {
            io::ErrorKind::ConnectionRefused => fail(Why::Refused),
            io::ErrorKind::TimedOut => fail(Why::Silent(CONNECT_TIMEOUT)),
            _ => fail(Why::Other(root_cause(&error).to_string())),
        }
    })
}

/// An address without its scheme.
fn bare(addr: &str) -> &str {
    let bare = addr.strip_prefix("http://").or_else(|| addr.strip_prefix("https://"));
    bare.unwrap_or(addr).trim_end_matches('/')
}

/// Looks closer at a listener that took the connection and then failed the first call: is it no gRPC server?
pub(crate) async fn diagnose(addr: &str) -> Option<Unreachable> {
    probe(bare(addr)).await.err().map(|why| Unreachable { addr: addr.to_owned(), why })
}

/// HTTP/2 servers begin with SETTINGS, TLS servers with an alert. A node of Shanty that wants TLS says so in a GOAWAY.
async fn probe(addr: &str) -> Result<(), Why> {
    let mut stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)).await {
        Err(_) => return Err(Why::Silent(CONNECT_TIMEOUT)),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(Why::Refused),
        Ok(Err(error)) => return Err(Why::Other(error.to_string())),
        Ok(Ok(stream)) => stream,
    };
    let mut answer = [0_u8; 32];
    let spoken = async {
        stream.write_all(HTTP2_PREFACE).await?;
        stream.read(&mut answer).await
    };
    match tokio::time::timeout(PROBE_TIMEOUT, spoken).await {
        Ok(Ok(n)) if n >= 3 => verdict(&answer[..n]),
        // Too busy to answer, or it closed: the real connection tells.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn verdict(answer: &[u8]) -> Result<(), Why> {
    match answer {
        // TLS records: alert (0x15) or handshake (0x16), version 3.x.
        [0x15 | 0x16, 0x03, ..] => Err(Why::Tls),
        // An empty SETTINGS frame, then a GOAWAY frame whose code is INADEQUATE_SECURITY (RFC 9113, 6.8 and 7).
        [0, 0, 0, 4, 0, 0, 0, 0, 0, _, _, _, 7, _, _, _, _, _, _, _, _, _, 0, 0, 0, 0xc, ..] => Err(Why::Tls),
        [b'H', b'T', b'T', ..] => Err(Why::Http1),
        _ => Ok(()),
    }
}

/// What the operating system said, below the layers that carried it.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut innermost = error;
    loop {
        if let Some(io) = innermost.downcast_ref::<io::Error>() {
            return io::Error::new(io.kind(), io.to_string());
        }
        match innermost.source() {
            Some(source) => innermost = source,
            None => return io::Error::other(innermost.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn listener_that_says(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let mut scope = shanty_rt::task::Scope::new();
        scope.spawn("listener", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 64];
                let _read = stream.read(&mut buffer).await;
                let _sent = stream.write_all(bytes).await;
            }
        });
        std::mem::forget(scope);
        addr
    }

    #[tokio::test]
    async fn a_tls_port_is_recognised() {
        let addr = listener_that_says(&[0x15, 0x03, 0x01, 0, 2, 2, 70]).await;
        let error = diagnose(&addr).await.unwrap();
        assert!(error.to_string().contains("speaks TLS"), "{error}");
    }

    #[tokio::test]
    async fn a_node_that_wants_tls_is_recognised_and_the_flags_are_named() {
        let said = b"\0\0\0\x04\0\0\0\0\0\0\0\x0b\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0cTLS";
        let error = diagnose(&listener_that_says(said).await).await.unwrap();
        assert!(error.to_string().contains("speaks TLS"), "{error}");
        assert!(error.next_step().contains("--tls-authority"), "{}", error.next_step());
    }

    #[tokio::test]
    async fn certificates_that_cannot_be_used_are_said_to_be_this_clients() {
        let path = || Some("/nowhere/x.pem".into());
        let tls = tls::Settings::new(path(), path(), path());
        let error = Masters::new("127.0.0.1:1", tls).connect().await.unwrap_err();
        assert!(
            error.to_string().contains("this client's certificates: `certificate` cannot be read"),
            "{error}"
        );
        let error = Masters::new("https://h:1", tls::Settings::default()).connect().await.unwrap_err();
        assert!(error.next_step().contains("--tls-certificate"), "{error}");
    }

    #[tokio::test]
    async fn a_web_server_is_recognised() {
        let addr = listener_that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let error = diagnose(&addr).await.unwrap();
        assert!(error.to_string().contains("HTTP/1"), "{error}");
    }

    #[tokio::test]
    async fn a_free_port_names_how_to_start_a_master() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let error = Masters::new(&free, tls::Settings::default()).connect().await.unwrap_err();
        assert!(error.to_string().contains("nothing listens"), "{error}");
        assert!(error.next_step().contains(&format!("shanty dev --listen {free}")));
    }

    #[tokio::test]
    async fn words_that_are_no_address_are_said_to_be_none() {
        for bad in ["localhost", "", ":7070", "host:port", "https://h:1"] {
            assert!(Masters::new(bad, tls::Settings::default()).connect().await.is_err(), "{bad}");
        }
    }
}
