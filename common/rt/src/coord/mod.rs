//! Coordination: leases, transactions and watches over small keys.
//!
//! [`Coord`] is the whole of etcd that Shanty uses. `etcd` speaks to a cluster with one connection per
//! member and deadlines of its own; `memory` serves a single process. Both pass [`conformance`].
//!
//! In: keys and values of less than 1 KiB. Out: entries with the revisions that transactions compare.
//! Never: decides anything about leadership (see `master::election`).

pub mod conformance;
mod etcd;
mod greet;
mod keys;
mod memory;
mod node_info;
pub mod record;
mod register;

pub use etcd::{Etcd, EtcdOptions, EtcdSettings, EtcdSettingsError};
pub use greet::{TooOld, greet};
pub use keys::Keys;
pub use memory::Memory;
pub use node_info::{NodeInfo, Role};
pub use register::{NameTaken, Registration};

use futures_util::future::{self, BoxFuture};
use futures_util::stream::BoxStream;
use std::time::Duration;

/// A right that expires by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// A key with its value and revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// Revision at which the key was created; a key that was deleted and made again has another one.
    pub create_revision: i64,
    /// Revision of its newest change.
    pub mod_revision: i64,
    /// The lease it hangs on, if any.
    pub lease: Option<LeaseId>,
}

/// A condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The key does not exist.
    Absent(String),
    /// The key's create revision is this.
    CreatedAt(String, i64),
    /// The key's mod revision is this; 0 for a key that does not exist.
    ModifiedAt(String, i64),
}

/// A step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets a key.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
        /// The lease to hang it on.
        lease: Option<LeaseId>,
    },
    /// Removes a key; nothing happens if it does not exist.
    Delete(String),
}

/// What a transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnOutcome {
    /// Whether the conditions held and the steps were done.
    pub succeeded: bool,
    /// The revision of the store after it; if it succeeded, the `mod_revision` of what it put.
    pub revision: i64,
}

/// One message of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// All keys below the prefix as they are: first message, and again whenever the watch may have missed
    /// something (reconnect, compaction).
    Snapshot(Vec<Entry>),
    /// A key was made or changed.
    Put(Entry),
    /// A key is gone.
    Delete {
        /// The key.
        key: String,
        /// Revision at which it went.
        revision: i64,
    },
}

/// What went wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No member answered in time. A write may or may not have been done: read back before trusting either.
    #[error("coordinator unreachable: {0}")]
    Unreachable(String),
    /// The lease is gone.
    #[error("the lease is gone")]
    LeaseGone,
    /// It answered something that we do not expect.
    #[error("coordinator refused: {0}")]
    Refused(String),
}

/// A coordinator.
pub trait Coord: Send + Sync + std::fmt::Debug + 'static {
    /// `etcd` or `memory`.
    fn name(&self) -> &'static str;

    /// The version of its server; none where it has none.
    fn version(&self) -> BoxFuture<'_, Result<Option<String>, Error>>;

    /// What is the matter with it although it answers, and what helps, in a line for people; none when all is well. It is
    /// asked now and then, so it must cost its server no write.
    fn ailment(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(future::ready(Ok(None)))
    }

    /// Makes a lease. Answers the time granted, which may be longer than the one asked for.
    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<(LeaseId, Duration), Error>>;

    /// Renews a lease once. Answers the time that it now lives, counted from the call.
    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<Duration, Error>>;

    /// Ends a lease and removes its keys. A lease that is gone already is fine.
    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>>;

    /// Reads a key, linearizably.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, Error>>;

    /// Reads all keys that begin with `prefix`, by key, linearizably.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, Error>>;

    /// Does `then` if all of `when` hold, all or nothing.
    fn txn(&self, when: Vec<Compare>, then: Vec<Op>) -> BoxFuture<'_, Result<TxnOutcome, Error>>;

    /// Follows all keys that begin with `prefix`. Never ends by itself: while the coordinator is away it
    /// waits, and begins again with a snapshot.
    fn watch(&self, prefix: &str) -> BoxStream<'static, WatchEvent>;
}
