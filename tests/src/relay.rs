//! A TCP relay that can be cut: bytes are swallowed both ways, as by a firewall that drops.
//!
//! In: a server's address. Out: [`Relay`], which stands before it. Never: closes what it cuts; new connections are taken
//! and lead nowhere.
//! Tests: below.

use shanty_rt::task::Scope;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A relay before a server.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    cut: watch::Sender<bool>,
    _relaying: Scope,
}

impl Relay {
    /// Listens on a free port and leads to `server`.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start(server: String) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let cut = watch::Sender::new(false);
        let mut scope = Scope::new();
        scope.spawn("relay", accept(listener, server, cut.clone()));
        Relay { address, cut, _relaying: scope }
    }

    /// Swallows everything from now on, or lets it through again. What was swallowed is lost, so connections of that time
    /// are of no use any more.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

async fn accept(listener: TcpListener, server: String, cut: watch::Sender<bool>) {
    let mut relayed = Scope::new();
    while let Ok((client, _)) = listener.accept().await {
        relayed.reap();
        let (server, cut) = (server.clone(), cut.subscribe());
        relayed.spawn("relayed connection", async move {
            let mut free = cut.clone();
            if free.wait_for(|cut| !cut).await.is_err() {
                return;
            }
            let Ok(server) = TcpStream::connect(server).await else { return };
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::select! {
                () = pass(from_client, to_server, cut.clone()) => {}
                () = pass(from_server, to_client, cut) => {}
            }
        });
    }
}

/// Passes bytes on until either end is closed.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        let swallowed = *cut.borrow();
        if !swallowed && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
}
