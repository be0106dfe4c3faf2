//! One member of the etcd cluster: a client of its own, made when needed and dropped when it fails.
//!
//! In: calls on a client. Out: an answer within the deadline, or a [`Failure`].
//! Never: tries again, or asks another member.
//! Tests: `mod.rs`, and the `coord` test of the tests crate.

use super::EtcdOptions;
use super::failure::{self, Failure, Verdict};
use crate::coord::{Error, LeaseId};
use crate::tls::{self, Credentials};
use etcd_client::{Channel, Client, ConnectOptions};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// HTTP/2 pings find a peer that vanished. Under 5 s the server answers GOAWAY (its
/// `GRPCKeepAliveMinTime`), so quick detection is left to the deadline of each call.
const PING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// A member.
pub(super) struct Member {
    endpoint: String,
    timeout: Duration,
    user: Option<(String, String)>,
    credentials: Option<Credentials>,
    client: Mutex<Option<Client>>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Member").field(&self.endpoint).finish()
    }
}

impl Member {
    pub(super) fn new(endpoint: &str, options: &EtcdOptions) -> Result<Member, Error> {
        let url = if endpoint.contains("://") { endpoint.to_owned() } else { format!("http://{endpoint}") };
        let readable = tonic::transport::Endpoint::from_shared(url.clone())
            .is_ok_and(|endpoint| endpoint.uri().host().is_some_and(|host| !host.is_empty()));
        if !readable {
            return Err(Error::Refused(format!(
                "etcd endpoint `{endpoint}` is not an address: write host:port, for example 127.0.0.1:2379"
            )));
        }
        let EtcdOptions { endpoints: _, timeout, user, credentials } = options.clone();
        Ok(Member { endpoint: url, timeout, user, credentials, client: Mutex::new(None) })
    }

    /// Does one call, within the deadline, connecting included.
    pub(super) async fn call<T, F>(&self, work: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut sent = false;
        let attempt = async {
            let client = self.client().await?;
            sent = true;
            work(client).await
        };
        let (verdict, what) = match tokio::time::timeout(self.timeout, attempt).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => (failure::verdict(&error), error.to_string()),
            Err(_) => (Verdict::Unknown, format!("no answer within {:?}", self.timeout)),
        };
        let verdict = match verdict {
            Verdict::Unknown if !sent => Verdict::NotDone,
            Verdict::Unknown | Verdict::NotDone | Verdict::Answered(_) => verdict,
        };
        if !matches!(verdict, Verdict::Answered(_)) {
            self.forget();
        }
        Err(Failure { verdict, why: format!("{}: {what}", self.endpoint) })
    }

    /// The client, made now if there is none.
    async fn client(&self) -> Result<Client, etcd_client::Error> {
        if let Some(client) = self.lock().clone() {
            return Ok(client);
        }
        let mut options = ConnectOptions::new()
            .with_connect_timeout(self.timeout)
            .with_keep_alive(PING.0, PING.1)
            // A member that lost its leader says so at once and does not let the call hang.
            .with_require_leader(true);
        if let Some((name, password)) = &self.user {
            options = options.with_user(name, password).with_auto_token_refresh(true);
        }
        let client = match &self.credentials {
            Some(credentials) => Client::from_channel(self.over_tls(credentials)?, Some(options)).await?,
            None => Client::connect([&self.endpoint], Some(options)).await?,
        };
        *self.lock() = Some(client.clone());
        Ok(client)
    }

    /// A channel with the newest certificates, which connects when it is used.
    fn over_tls(&self, credentials: &Credentials) -> Result<Channel, etcd_client::Error> {
        let endpoint = tls::endpoint(&self.endpoint, Some(credentials))?
            .connect_timeout(self.timeout)
            .http2_keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .keep_alive_while_idle(true);
        Ok(Channel::Tonic(tls::connect_lazy(&endpoint, Some(credentials))))
    }

    /// Drops the client: the next call connects anew.
    fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews a lease once, on a stream of its own, and waits for what the server says: seconds to live.
///
/// The client's `keep_alive` waits for the first answer but keeps its time to itself, so a second one is
/// asked for on the same stream.
pub(super) async fn renew(mut client: Client, lease: LeaseId) -> Result<i64, etcd_client::Error> {
    let (mut keeper, mut answers) = client.lease_keep_alive(lease.0).await?;
    keeper.keep_alive().await?;
    let ttl = answers.message().await?.map_or(0, |answer| answer.ttl());
    if ttl <= 0 {
        return Err(etcd_client::Error::LeaseKeepAliveError("lease not found".to_owned()));
    }
    Ok(ttl)
}
