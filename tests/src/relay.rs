//! A TCP relay that can be cut: bytes are swallowed both ways, as by a firewall that drops. It can hold bytes back too, as a
//! long and uneven line does.
//!
//! In: a server's address. Out: [`Relay`], which stands before it. Never: closes what it cuts; new connections are taken
//! and lead nowhere.
//! Tests: below.

use crate::cluster::free_port;
use shanty_rt::clock::monotonic_ns;
use shanty_rt::task::Scope;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long bytes are held back: at least the first, and up to the second more, each time anew.
type Slow = (Duration, Duration);

/// A relay before a server.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    cut: watch::Sender<bool>,
    slow: watch::Sender<Slow>,
    _relaying: Scope,
}

impl Relay {
    /// Listens on a free port and leads to `server`.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start(server: String) -> Relay {
        Relay::start_at(Ipv4Addr::LOCALHOST, server).await
    }

    /// Listens on a free port of this address and leads to `server`.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start_at(host: Ipv4Addr, server: String) -> Relay {
        Relay::start_on(SocketAddr::from((host, free_port())), server).await.expect("a port")
    }

    /// Listens on this very address, which a dead server had, and leads to `server`.
    ///
    /// # Errors
    /// When somebody has it.
    pub async fn start_on(address: SocketAddr, server: String) -> std::io::Result<Relay> {
        let listener = TcpListener::bind(address).await?;
        let cut = watch::Sender::new(false);
        let slow = watch::Sender::new(Slow::default());
        let mut scope = Scope::new();
        scope.spawn("relay", accept(listener, server, cut.clone(), slow.clone()));
        Ok(Relay { address, cut, slow, _relaying: scope })
    }

    /// Swallows everything from now on, or lets it through again. What was swallowed is lost, so connections of that time
    /// are of no use any more.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    /// From now on holds all bytes back by `least` and up to `jitter` more. They keep their order.
    pub fn slow(&self, least: Duration, jitter: Duration) {
        self.slow.send_replace((least, jitter));
    }
}

async fn accept(listener: TcpListener, server: String, cut: watch::Sender<bool>, slow: watch::Sender<Slow>) {
    let mut relayed = Scope::new();
    while let Ok((client, _)) = listener.accept().await {
        relayed.reap();
        let (server, cut, slow) = (server.clone(), cut.subscribe(), slow.subscribe());
        relayed.spawn("relayed connection", async move {
            let mut free = cut.clone();
            if free.wait_for(|cut| !cut).await.is_err() {
                return;
            }
            let Ok(server) = TcpStream::connect(server).await else { return };
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::select! {
                () = pass(from_client, to_server, cut.clone(), slow.clone()) => {}
                () = pass(from_server, to_client, cut, slow) => {}
            }
        });
    }
}

/// Passes bytes on until either end is closed.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    cut: watch::Receiver<bool>,
    slow: watch::Receiver<Slow>,
) {
    let mut random = monotonic_ns() | 1;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        let swallowed = *cut.borrow();
        let (least, jitter) = *slow.borrow();
        if least + jitter > Duration::ZERO {
            // xorshift: unevenness is all that is asked of it.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            tokio::time::sleep(least + jitter.mul_f64((random % 1000) as f64 / 1000.0)).await;
        }
        if !swallowed && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn what_is_cut_hears_nothing_and_is_not_closed() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(echo.local_addr().unwrap().to_string()).await;
        let mut client = TcpStream::connect(relay.address).await.unwrap();
        let (mut server, _) = echo.accept().await.unwrap();
        client.write_all(b"a").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'a');
        relay.cut(true);
        client.write_all(b"b").await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(300), server.read_u8()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    #[tokio::test]
    async fn what_is_slow_comes_late_and_in_order() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(echo.local_addr().unwrap().to_string()).await;
        relay.slow(Duration::from_millis(30), Duration::from_millis(20));
        let mut client = TcpStream::connect(relay.address).await.unwrap();
        let (mut server, _) = echo.accept().await.unwrap();
        let began = Instant::now();
        for byte in [1_u8, 2, 3] {
            client.write_all(&[byte]).await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), byte);
        }
        assert!(began.elapsed() >= Duration::from_millis(90), "{:?}", began.elapsed());
    }
}
