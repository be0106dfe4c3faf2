//! How a client of one member is made: its address, its TLS, its user.
//!
//! In: an address and [`EtcdOptions`]. Out: a client that all who call share, while it is being made and after.
//! Never: waits for ever. It has a longer deadline than calls have: etcd checks a password with bcrypt, whose cost is the
//! point of it, and on a machine that starves that takes longer than a call may. Each call that made a client of its own, and
//! took it along when it gave up, would only add to the load that delays them all.
//! Tests: `mod.rs`, and `t25_tls` of the tests crate.

use super::EtcdOptions;
use crate::coord::Error;
use crate::tls::{self, Credentials};
use etcd_client::{Channel, Client, ConnectOptions};
use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use std::sync::Arc;
use std::time::Duration;

/// HTTP/2 pings find a peer that vanished. Under 5 s the server answers GOAWAY (its
/// `GRPCKeepAliveMinTime`), so quick detection is left to the deadline of each call.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// How many deadlines of a call the making of a client may take.
pub(super) const PATIENCE: u32 = 4;

/// A client, made or in the making. A clone is another handle to the same.
pub(super) type Connecting = Shared<BoxFuture<'static, Result<Client, Arc<etcd_client::Error>>>>;

/// What is needed to reach a member.
#[derive(Clone)]
pub(super) struct Connector {
    url: String,
    timeout: Duration,
    user: Option<(String, String)>,
    credentials: Option<Credentials>,
}

impl Connector {
    pub(super) fn new(endpoint: &str, options: &EtcdOptions) -> Result<Connector, Error> {
        let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
        let readable = tonic::transport::Endpoint::from_shared(url.clone())
            .is_ok_and(|endpoint| endpoint.uri().host().is_some_and(|host| !host.is_empty()));
        if !readable {
            return Err(Error::Refused(format!(
                "etcd endpoint `{endpoint}` is not an address: write host:port, for example 127.0.0.1:2379"
            )));
        }
        let EtcdOptions { endpoints: _, timeout, user, credentials } = options.clone();
        Ok(Connector { url, timeout, user, credentials })
    }

    /// The member's address, with its scheme.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A client in the making: it is made as far as somebody waits for it.
    pub(super) fn begin(&self) -> Connecting {
        let connector = self.clone();
        let making = async move {
            let deadline = connector.timeout * PATIENCE;
            match tokio::time::timeout(deadline, connector.connect()).await {
                Ok(made) => made.map_err(Arc::new),
                Err(_) => {
                    let what = format!("not let in within {deadline:?}");
                    let late = std::io::Error::new(std::io::ErrorKind::TimedOut, what);
                    Err(Arc::new(etcd_client::Error::IoError(late)))
                }
            }
        };
        making.boxed().shared()
    }

    async fn connect(&self) -> Result<Client, etcd_client::Error> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(self.timeout)
            .with_keep_alive(PING.0, PING.1)
            // A member that lost its leader says so at once and does not let the call hang.
            .with_require_leader(true);
        if let Some((name, password)) = &self.user {
            options = options.with_user(name, password).with_auto_token_refresh(true);
        }
        match &self.credentials {
            Some(credentials) => Client::from_channel(self.over_tls(credentials)?, Some(options)).await,
            None => Client::connect([&self.url], Some(options)).await,
        }
    }

    /// A channel with the newest certificates, which connects when it is used.
    fn over_tls(&self, credentials: &Credentials) -> Result<Channel, etcd_client::Error> {
        let endpoint = tls::endpoint(&self.url, Some(credentials))?
            .connect_timeout(self.timeout)
            .http2_keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .keep_alive_while_idle(true);
        Ok(Channel::Tonic(tls::connect_lazy(&endpoint, Some(credentials))))
    }
}
