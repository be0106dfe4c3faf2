//! A coordinator on an etcd cluster (3.4 or newer).
//!
//! ```text
//!   Coord call ──► Etcd: the last good member first, then the others
//!                   └─► Member: one single-endpoint client, made when needed, dropped when it fails
//!                         └─► Connector: makes it, with TLS and a user where there are
//! ```
//! In: the calls of [`Coord`]. Out: answers within one deadline per member tried (`timeout`), or
//! [`Error::Unreachable`]. A transaction is sent once: when it is not known whether it was done, the
//! answer is `Unreachable` and the caller reads back.
//! Never: waits without a deadline, balances over members, uses the Election or Lock services (`Campaign`
//! blocks in the server and leaves its key behind when the stream dies).
//! Tests: the `coord` test of the tests crate, on real members that are killed and paused on the way.

mod connect;
mod convert;
mod failure;
mod member;
mod settings;
mod watch;

pub use settings::{EtcdSettings, EtcdSettingsError};

use super::{Compare, Coord, Entry, Error, LeaseId, Op, TxnOutcome, WatchEvent};
use crate::clock;
use crate::tls::Credentials;
use etcd_client::{Client, GetOptions, SortOrder, SortTarget, Txn};
use failure::{Failure, Verdict};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::BoxStream;
use member::Member;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// A member that answered within this time may be sent a transaction at once; an older one is asked
/// something harmless first, so that a dead member costs a retry and not an unknown outcome.
const FRESH: Duration = Duration::from_secs(1);

/// Where etcd is and how to speak to it.
#[derive(Clone)]
pub struct EtcdOptions {
    /// Client addresses of the members, `host:port`, or with http:// before it; with credentials, https://.
    pub endpoints: Vec<String>,
    /// How long one member may take for one call, 100 ms to 5 s.
    pub timeout: Duration,
    /// User and password, when etcd asks for them.
    pub user: Option<(String, String)>,
    /// With them, TLS alone; connections that are made use the newest.
    pub credentials: Option<Credentials>,
}

impl EtcdOptions {
    /// Options for these members, 800 ms per member and call, no user, no TLS.
    #[must_use]
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> EtcdOptions {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        EtcdOptions { endpoints, timeout: Duration::from_millis(800), user: None, credentials: None }
    }
}

impl std::fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdOptions")
            .field("endpoints", &self.endpoints)
            .field("timeout", &self.timeout)
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("credentials", &self.credentials)
            .finish()
    }
}

/// The etcd coordinator. A clone is another handle to the same connections.
#[derive(Debug, Clone)]
pub struct Etcd {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    members: Vec<Member>,
    /// Index of the member that answered last.
    good: AtomicUsize,
    /// When it did, CLOCK_BOOTTIME nanoseconds; 0 when the newest call failed.
    good_at_ns: AtomicU64,
}

impl Etcd {
    /// A coordinator on these members. Connects when it is first used, so etcd may be down now.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no endpoint or one cannot be read.
    pub fn connect(options: EtcdOptions) -> Result<Etcd, Error> {
        if options.endpoints.is_empty() {
            return Err(Error::Refused(
                "no etcd endpoint given: name at least one, for example 127.0.0.1:2379".into(),
            ));
        }
        let timeout = options.timeout.clamp(Duration::from_millis(100), Duration::from_secs(5));
        let options = EtcdOptions { timeout, ..options };
        let members: Result<Vec<Member>, Error> =
            options.endpoints.iter().map(|endpoint| Member::new(endpoint, &options)).collect();
        let (good, good_at_ns) = (AtomicUsize::new(0), AtomicU64::new(0));
        Ok(Etcd { inner: Arc::new(Inner { members: members?, good, good_at_ns }) })
    }

    /// All keys below `prefix` and the revision that they were read at.
    async fn read_prefix(&self, prefix: &str) -> Result<(Vec<Entry>, i64), Error> {
        let answer = self
            .inner
            .call(|mut client| async move {
                let by_key = GetOptions::new().with_prefix().with_sort(SortTarget::Key, SortOrder::Ascend);
                client.get(prefix, Some(by_key)).await
            })
            .await?;
        let revision = convert::revision(answer.header())?;
        Ok((answer.kvs().iter().map(convert::entry).collect::<Result<_, _>>()?, revision))
    }
}

impl Inner {
    /// Does a call that may be done twice: member after member until one answers.
    async fn call<T, F>(&self, work: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let first = self.good.load(Ordering::Relaxed);
        let mut why = Vec::new();
        for step in 0..self.members.len() {
            let index = (first + step) % self.members.len();
            match self.call_member(index, &work).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => match failure.verdict {
                    Verdict::Answered(error) => return Err(error),
                    Verdict::NotDone | Verdict::Unknown => why.push(failure.why),
                },
            }
        }
        Err(Error::Unreachable(why.join("; ")))
    }

    /// Does a call that must not be done twice: at another member only when it was surely not done.
    async fn call_once<T, F>(&self, work: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let age =
            clock::boottime().saturating_sub(Duration::from_nanos(self.good_at_ns.load(Ordering::Relaxed)));
        if age > FRESH {
            match self.call(|mut client| async move { client.get("/", None).await }).await {
                // A refusal is an answer: this member is there.
                Ok(_) | Err(Error::Refused(_) | Error::LeaseGone) => {}
                Err(error @ Error::Unreachable(_)) => return Err(error),
            }
        }
        let first = self.good.load(Ordering::Relaxed);
        let mut why = Vec::new();
        for step in 0..self.members.len() {
            let index = (first + step) % self.members.len();
            match self.call_member(index, &work).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => match failure.verdict {
                    Verdict::Answered(error) => return Err(error),
                    Verdict::NotDone => why.push(failure.why),
                    Verdict::Unknown => return Err(Error::Unreachable(failure.why)),
                },
            }
        }
        Err(Error::Unreachable(why.join("; ")))
    }

    async fn call_member<T, F>(&self, index: usize, work: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let member = &self.members[index];
        let answer = member.call(work).await;
        let answered = match &answer {
            Ok(_) => true,
            Err(failure) => matches!(failure.verdict, Verdict::Answered(_)),
        };
        if answered {
            let now_ns = u64::try_from(clock::boottime().as_nanos()).unwrap_or(u64::MAX);
            self.good.store(index, Ordering::Relaxed);
            self.good_at_ns.store(now_ns, Ordering::Relaxed);
        } else {
            self.good_at_ns.store(0, Ordering::Relaxed);
            // The next call does not begin with the member that just failed.
            let next = (index + 1) % self.members.len();
            let _moved = self.good.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        answer
    }
}

impl Coord for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn version(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        async move {
            let answer = self.inner.call(|mut client| async move { client.status().await }).await?;
            Ok(Some(answer.version().to_owned()))
        }
        .boxed()
    }

    fn ailment(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        async move {
            // A member's status is its own knowledge; a list of alarms would be a proposal to all of them.
            let answer = self.inner.call(|mut client| async move { client.status().await }).await?;
            Ok(failure::ailment(answer.errors()))
        }
        .boxed()
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<(LeaseId, Duration), Error>> {
        async move {
            // etcd counts whole seconds. A grant done twice leaves a lease without keys, which expires.
            let seconds = convert::whole_seconds(ttl);
            let answer =
                self.inner.call(|mut client| async move { client.lease_grant(seconds, None).await }).await?;
            Ok((LeaseId(answer.id()), convert::seconds(answer.ttl())))
        }
        .boxed()
    }

    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration, Error>> {
        self.inner
            .call(move |client| member::renew(client, lease))
            .map(|ttl| ttl.map(convert::seconds))
            .boxed()
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let answer =
                self.inner.call(|mut client| async move { client.lease_revoke(lease.0).await }).await;
            match answer {
                Ok(_) | Err(Error::LeaseGone) => Ok(()),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, Error>> {
        async move {
            let answer = self.inner.call(|mut client| async move { client.get(key, None).await }).await?;
            answer.kvs().first().map(convert::entry).transpose()
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        async move { Ok(self.read_prefix(prefix).await?.0) }.boxed()
    }

    fn txn(&self, when: Vec<Compare>, then: Vec<Op>) -> BoxFuture<'_, Result<TxnOutcome, Error>> {
        async move {
            let txn = Txn::new()
                .when(when.into_iter().map(convert::compare).collect::<Vec<_>>())
                .and_then(then.into_iter().map(convert::op).collect::<Vec<_>>());
            let answer = self
                .inner
                .call_once(|mut client| {
                    let txn = txn.clone();
                    async move { client.txn(txn).await }
                })
                .await?;
            Ok(TxnOutcome { succeeded: answer.succeeded(), revision: convert::revision(answer.header())? })
        }
        .boxed()
    }

    fn watch(&self, prefix: &str) -> BoxStream<'static, WatchEvent> {
        watch::follow(self.clone(), prefix.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked_before_anything_is_sent() {
        let none: [&str; 0] = [];
        assert!(Etcd::connect(EtcdOptions::new(none)).is_err());
        let error = Etcd::connect(EtcdOptions::new(["127.0.0.1:2379", "not an address"])).unwrap_err();
        assert!(error.to_string().contains("not an address"), "{error}");
    }

    #[tokio::test]
    async fn nobody_listening_is_unreachable_and_not_an_error_at_start() {
        let port = {
            let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            taken.local_addr().unwrap()
        };
        let etcd = Etcd::connect(EtcdOptions::new([port.to_string()])).unwrap();
        assert!(matches!(etcd.get("a").await, Err(Error::Unreachable(_))));
        assert!(matches!(etcd.txn(Vec::new(), Vec::new()).await, Err(Error::Unreachable(_))));
    }

    #[tokio::test]
    async fn a_member_that_says_nothing_costs_one_deadline() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut options = EtcdOptions::new([silent.local_addr().unwrap().to_string()]);
        options.timeout = Duration::from_millis(150);
        let began = clock::boottime();
        let answer = Etcd::connect(options).unwrap().keep_alive(LeaseId(1)).await;
        assert!(matches!(answer, Err(Error::Unreachable(_))), "{answer:?}");
        assert!(clock::boottime() - began < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn callers_that_give_up_share_one_client_in_the_making() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut options = EtcdOptions::new([silent.local_addr().unwrap().to_string()]);
        options.timeout = Duration::from_millis(150);
        options.user = Some(("root".into(), "secret".into()));
        let (etcd, timeout) = (Etcd::connect(options.clone()).unwrap(), options.timeout);
        let began = clock::boottime();
        let calls = async || {
            let (one, other) = tokio::join!(etcd.get("a"), etcd.get("b"));
            assert!(one.is_err() && other.is_err(), "{one:?} {other:?}");
        };
        calls().await;
        calls().await;
        let lasted = clock::boottime() - began;
        silent.set_nonblocking(true).unwrap();
        let connections = std::iter::from_fn(|| silent.accept().ok()).count();
        // One for each deadline of a making, and four calls were given up in half of one.
        let most =
            1 + usize::try_from(lasted.as_millis() / (timeout * connect::PATIENCE).as_millis()).unwrap();
        assert!((1..=most).contains(&connections), "{connections} connections in {lasted:?}");
    }

    #[test]
    fn a_password_is_not_printed() {
        let mut options = EtcdOptions::new(["127.0.0.1:2379"]);
        options.user = Some(("root".into(), "secret".into()));
        assert!(!format!("{options:?}").contains("secret"));
    }
}
