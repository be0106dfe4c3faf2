//! Registration: a key that is there for as long as its node is, and a name that one process has at a time.
//!
//! ```text
//!  free, or this node's own past ──► put under a lease, renewed ──► taken back at the stop
//!  another process has it ──► wait: a dead one's lease ends ──► it is renewed: NameTaken
//! ```
//! A predecessor is known by its address, which one process can listen on at a time; any other process is given the time
//! of two leases to be dead.
//! In: what a node says of itself, a time to live. Out: nothing, or [`NameTaken`]; the key is in the coordinator under a
//! lease of its own, put again whenever the lease is lost, and gone at once after a stop.
//! Never: takes part in decisions; a node that cannot register goes on and tries again. Takes no name from the living.
//! Tests: below, and the `coord` test of the tests crate.

use super::{Compare, Coord, Error, LeaseId, NodeInfo, Op, Role};
use crate::backoff::Backoff;
use crate::clock;
use shanty_model::id::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Another process has this name, and lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTaken {
    /// The name.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// Where it listens; empty when it does not.
    pub address: String,
}

impl std::fmt::Display for NameTaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NameTaken { node, role, address } = self;
        let role = match role {
            Role::Master => "master",
            Role::Worker => "worker",
            Role::Sentinel => "sentinel",
        };
        let at = if address.is_empty() { String::new() } else { format!(" at {address}") };
        write!(
            f,
            "another {role} is called `{node}`{at} and lives: give this one a name of its own with --node, or stop the other"
        )
    }
}

impl std::error::Error for NameTaken {}

/// A registration.
#[derive(Debug)]
pub struct Registration {
    coord: Arc<dyn Coord>,
    key: String,
    info: NodeInfo,
    ttl: Duration,
}

/// What came of a try to register.
enum Tried {
    Registered(LeaseId, Duration),
    /// Another process is registered.
    Occupied(NodeInfo),
    /// It changed hands in this moment.
    Stirred,
}

impl Registration {
    /// Keeps `key` at `info` under a lease of `ttl` until `stop`. Renews three times per time to live.
    /// Dropping the future leaves the key to its lease.
    ///
    /// # Errors
    /// [`NameTaken`] when another process has held the key for so long that it must have renewed it.
    pub async fn keep(
        coord: Arc<dyn Coord>,
        key: String,
        info: NodeInfo,
        ttl: Duration,
        stop: CancellationToken,
    ) -> Result<(), NameTaken> {
        let registration = Registration { coord, key, info, ttl };
        let mut held = None;
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            taken = registration.hold(&mut held) => Err(taken),
        };
        if let Some(lease) = held
            && let Err(error) = registration.coord.revoke(lease).await
        {
            tracing::info!(key = %registration.key, %error, "registration is left to its lease");
        }
        ended
    }

    /// Registers again and again, until another process turns out to have the name.
    async fn hold(&self, held: &mut Option<LeaseId>) -> NameTaken {
        let mut backoff = Backoff::new(self.ttl / 10, self.ttl / 2);
        let mut occupied: Option<(String, Duration)> = None;
        loop {
            match self.register(held).await {
                Ok(Tried::Registered(lease, granted)) => {
                    tracing::debug!(key = %self.key, ttl_s = granted.as_secs_f64(), "registered");
                    backoff.reset();
                    occupied = None;
                    self.renew(lease, granted).await;
                    tracing::info!(key = %self.key, "registration lost; registering again");
                }
                Ok(Tried::Occupied(other)) => {
                    let now = clock::boottime();
                    let since = match &occupied {
                        Some((incarnation, since)) if *incarnation == other.incarnation => *since,
                        Some(_) | None => {
                            tracing::info!(
                                node = %other.node, address = other.address,
                                "this name is registered by another process; waiting whether it lives"
                            );
                            occupied = Some((other.incarnation.clone(), now));
                            now
                        }
                    };
                    if now.saturating_sub(since) > self.ttl * 2 {
                        return NameTaken { node: other.node, role: other.role, address: other.address };
                    }
                    tokio::time::sleep(self.ttl / 10).await;
                }
                Ok(Tried::Stirred) => tokio::time::sleep(self.ttl / 10).await,
                Err(error) => {
                    tracing::debug!(key = %self.key, %error, "cannot register yet");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    async fn register(&self, held: &mut Option<LeaseId>) -> Result<Tried, Error> {
        let entry = self.coord.get(&self.key).await?;
        if let Some(other) = entry.as_ref().and_then(|entry| NodeInfo::from_value(&entry.value))
            && !self.is_own(&other)
        {
            return Ok(Tried::Occupied(other));
        }
        // A put that may or may not have been done is done again, on the same lease while it lives.
        let (lease, granted) = match *held {
            Some(lease) if let Ok(left) = self.coord.keep_alive(lease).await => (lease, left),
            _ => self.coord.grant(self.ttl).await?,
        };
        *held = Some(lease);
        let when = Compare::ModifiedAt(self.key.clone(), entry.map_or(0, |entry| entry.mod_revision));
        let put = Op::Put { key: self.key.clone(), value: self.info.to_value(), lease: Some(lease) };
        let put = self.coord.txn(vec![when], vec![put]).await?;
        Ok(if put.succeeded { Tried::Registered(lease, granted) } else { Tried::Stirred })
    }

    /// Whether this is this node's registration: of this process, or of one before it at the same address.
    fn is_own(&self, other: &NodeInfo) -> bool {
        let here = !other.address.is_empty() && other.address == self.info.address;
        other.incarnation == self.info.incarnation || here
    }

    /// Renews until the lease is gone.
    async fn renew(&self, lease: LeaseId, granted: Duration) {
        let mut ttl = granted;
        let mut renewed = clock::boottime();
        loop {
            tokio::time::sleep(ttl / 3).await;
            let sent = clock::boottime();
            match self.coord.keep_alive(lease).await {
                Ok(left) => (ttl, renewed) = (left, sent),
                Err(Error::LeaseGone) => return,
                Err(error @ (Error::Unreachable(_) | Error::Refused(_))) => {
                    let silent_s = clock::boottime().saturating_sub(renewed).as_secs_f64();
                    tracing::debug!(key = %self.key, %error, silent_s, "registration not renewed");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coord::Memory;
    use crate::task::Scope;

    const TTL: Duration = Duration::from_millis(300);
    const KEY: &str = "workers/w1";

    fn info(incarnation: &str, address: &str) -> NodeInfo {
        NodeInfo {
            node: "w1".parse().unwrap(),
            role: Role::Worker,
            address: address.to_owned(),
            incarnation: incarnation.to_owned(),
            version: String::new(),
            priority: 0,
        }
    }

    async fn present(coord: &Memory, wanted: bool) {
        let reached = async {
            while coord.get(KEY).await.unwrap().is_some() != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), reached).await.unwrap();
    }

    fn keep(coord: &Memory, scope: &mut Scope, info: NodeInfo) -> CancellationToken {
        let stop = CancellationToken::new();
        let kept = Registration::keep(Arc::new(coord.clone()), KEY.to_owned(), info, TTL, stop.clone());
        scope.spawn("registration", async move { assert_eq!(kept.await, Ok(())) });
        stop
    }

    #[tokio::test]
    async fn a_registration_outlives_its_ttl_and_goes_at_stop() {
        let (coord, mut scope) = (Memory::new(), Scope::new());
        let stop = keep(&coord, &mut scope, info("a", ""));
        present(&coord, true).await;
        let first = coord.get(KEY).await.unwrap().unwrap();
        tokio::time::sleep(TTL * 2).await;
        assert_eq!(coord.get(KEY).await.unwrap().unwrap(), first);
        stop.cancel();
        assert_eq!(scope.next_end().await, Some(crate::task::End::Returned));
        assert_eq!(coord.get(KEY).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_lost_lease_is_replaced_and_a_dropped_one_expires() {
        let (coord, mut scope) = (Memory::new(), Scope::new());
        let _stop = keep(&coord, &mut scope, info("a", ""));
        present(&coord, true).await;
        let first = coord.get(KEY).await.unwrap().unwrap();
        coord.revoke(first.lease.unwrap()).await.unwrap();
        present(&coord, false).await;
        present(&coord, true).await;
        drop(scope);
        present(&coord, false).await;
    }

    #[tokio::test]
    async fn the_second_of_two_with_one_name_is_told_so_and_the_first_stays() {
        let (coord, mut scope) = (Memory::new(), Scope::new());
        let _stop = keep(&coord, &mut scope, info("a", "10.0.0.1:7"));
        present(&coord, true).await;
        let second = info("b", "10.0.0.2:7");
        let kept = Registration::keep(
            Arc::new(coord.clone()),
            KEY.to_owned(),
            second,
            TTL,
            CancellationToken::new(),
        );
        let taken = tokio::time::timeout(TTL * 20, kept).await.unwrap().unwrap_err();
        assert_eq!(taken.address, "10.0.0.1:7");
        let words = taken.to_string();
        assert!(
            words.contains("another worker is called `w1` at 10.0.0.1:7") && words.contains("--node"),
            "{words}"
        );
        let kept = NodeInfo::from_value(&coord.get(KEY).await.unwrap().unwrap().value).unwrap();
        assert_eq!(kept.incarnation, "a");
    }

    #[tokio::test]
    async fn a_dead_ones_name_is_free_when_its_lease_ends_and_a_predecessors_at_once() {
        let (coord, mut scope) = (Memory::new(), Scope::new());
        drop(keep(&coord, &mut scope, info("a", "10.0.0.1:7")));
        present(&coord, true).await;
        drop(scope);
        let began = clock::boottime();
        let mut scope = Scope::new();
        let is = async |incarnation: &str| {
            let reached = async {
                loop {
                    let kept = coord.get(KEY).await.unwrap();
                    let kept = kept.and_then(|entry| NodeInfo::from_value(&entry.value));
                    if kept.is_some_and(|kept| kept.incarnation == incarnation) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::time::timeout(TTL * 10, reached).await.unwrap();
        };
        let _stop = keep(&coord, &mut scope, info("b", "10.0.0.2:7"));
        is("b").await;
        assert!(clock::boottime() - began > TTL / 4, "it was taken from one that may live");
        drop(scope);
        let mut scope = Scope::new();
        let began = clock::boottime();
        let _stop = keep(&coord, &mut scope, info("c", "10.0.0.2:7"));
        is("c").await;
        assert!(clock::boottime() - began < TTL / 4, "its own past was waited for");
    }
}
