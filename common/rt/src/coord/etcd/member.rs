//! One member of the etcd cluster: a client of its own, made when needed and dropped when it fails.
//!
//! In: calls on a client. Out: an answer within the deadline, or a [`Failure`].
//! Never: tries again, asks another member, or has two clients made at once.
//! Tests: `mod.rs`, and the `coord` test of the tests crate.

use super::EtcdOptions;
use super::connect::{Connecting, Connector};
use super::failure::{self, Failure, Verdict};
use crate::coord::{Error, LeaseId};
use crate::task::Scope;
use etcd_client::Client;
use futures_util::future::FutureExt as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A member.
pub(super) struct Member {
    timeout: Duration,
    connector: Connector,
    newest: Mutex<Option<Newest>>,
}

/// The newest client, made or in the making.
struct Newest {
    connecting: Connecting,
    /// Goes on making it when each call that waits for it has given up.
    _making: Scope,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Member").field(&self.connector.url()).finish()
    }
}

impl Member {
    pub(super) fn new(endpoint: &str, options: &EtcdOptions) -> Result<Member, Error> {
        let connector = Connector::new(endpoint, options)?;
        Ok(Member { timeout: options.timeout, connector, newest: Mutex::new(None) })
    }

    /// Does one call, within the deadline, waiting for a client included.
    pub(super) async fn call<T, F>(&self, work: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut used = None;
        let attempt = async {
            let connecting = self.connecting();
            let client =
                connecting.clone().await.map_err(|error| (failure::verdict(&error), error.to_string()))?;
            used = Some(connecting);
            work(client).await.map_err(|error| (failure::verdict(&error), error.to_string()))
        };
        let (verdict, what) = match tokio::time::timeout(self.timeout, attempt).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failed)) => failed,
            Err(_) => (Verdict::Unknown, format!("no answer within {:?}", self.timeout)),
        };
        let verdict = match (verdict, used) {
            (Verdict::Unknown, None) => Verdict::NotDone,
            (verdict @ (Verdict::Unknown | Verdict::NotDone), Some(used)) => {
                self.forget(&used);
                verdict
            }
            (verdict, _) => verdict,
        };
        Err(Failure { verdict, why: format!("{}: {what}", self.connector.url()) })
    }

    /// The client that calls use: one is made if there is none, and goes on being made when this call gives up.
    fn connecting(&self) -> Connecting {
        let mut newest = self.lock();
        if let Some(Newest { connecting, .. }) = &*newest
            && !matches!(connecting.peek(), Some(Err(_)))
        {
            return connecting.clone();
        }
        let (connecting, mut making) = (self.connector.begin(), Scope::new());
        making.spawn("etcd connect", connecting.clone().map(drop));
        *newest = Some(Newest { connecting: connecting.clone(), _making: making });
        connecting
    }

    /// Drops the client that failed, unless another call did and there is a newer one.
    fn forget(&self, failed: &Connecting) {
        let mut newest = self.lock();
        if newest.as_ref().is_some_and(|newest| newest.connecting.ptr_eq(failed)) {
            *newest = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Newest>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
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
