//! A model of etcd: keys, revisions, leases. One state, changed by one transaction after the other.
//!
//! In: operations with the true time, milliseconds. Out: answers, and what watchers shall see. Never: waits, checks.
//! Tests: with the simulation.

use shanty_rt::coord::{Compare, Entry, LeaseId, Op, TxnOutcome, WatchEvent};
use std::collections::{BTreeMap, BTreeSet};

/// A lease.
#[derive(Debug, Clone)]
pub struct Lease {
    /// What was granted, milliseconds.
    pub ttl_ms: u64,
    /// When it ends.
    pub ends_ms: u64,
    keys: BTreeSet<String>,
}

/// The state.
#[derive(Debug)]
pub struct Etcd {
    /// Whether it has a quorum.
    pub up: bool,
    /// Whether calls are refused at once while it has none.
    pub refuses: bool,
    revision: i64,
    last_lease: i64,
    keys: BTreeMap<String, Entry>,
    leases: BTreeMap<LeaseId, Lease>,
}

impl Default for Etcd {
    fn default() -> Self {
        Etcd {
            up: true,
            refuses: false,
            revision: 1,
            last_lease: 100,
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
        }
    }
}

impl Etcd {
    /// A new lease.
    pub fn grant(&mut self, now_ms: u64, ttl_ms: u64) -> LeaseId {
        self.last_lease += 1;
        let id = LeaseId(self.last_lease);
        self.leases.insert(id, Lease { ttl_ms, ends_ms: now_ms + ttl_ms, keys: BTreeSet::new() });
        id
    }

    /// Renews a lease; none when it is gone.
    pub fn keep_alive(&mut self, now_ms: u64, id: LeaseId) -> Option<u64> {
        let lease = self.leases.get_mut(&id)?;
        lease.ends_ms = now_ms + lease.ttl_ms;
        Some(lease.ttl_ms)
    }

    /// Ends a lease; its keys go.
    pub fn revoke(&mut self, id: LeaseId) -> Vec<WatchEvent> {
        let Some(lease) = self.leases.remove(&id) else { return Vec::new() };
        if lease.keys.is_empty() {
            return Vec::new();
        }
        self.revision += 1;
        let revision = self.revision;
        let gone = lease.keys.into_iter().map(|key| {
            self.keys.remove(&key);
            WatchEvent::Delete { key, revision }
        });
        gone.collect()
    }

    /// A lease.
    #[must_use]
    pub fn lease(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// A new leader of etcd does not know how old leases are: each begins anew. Answers them with their ends.
    pub fn extend_all(&mut self, now_ms: u64) -> Vec<(LeaseId, u64)> {
        for lease in self.leases.values_mut() {
            lease.ends_ms = now_ms + lease.ttl_ms;
        }
        self.leases.iter().map(|(id, lease)| (*id, lease.ends_ms)).collect()
    }

    /// A key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.keys.get(key)
    }

    /// All keys below a prefix.
    #[must_use]
    pub fn list(&self, prefix: &str) -> Vec<Entry> {
        let from = self.keys.range(prefix.to_owned()..);
        from.take_while(|(key, _)| key.starts_with(prefix)).map(|(_, entry)| entry.clone()).collect()
    }

    /// Whether a condition holds.
    #[must_use]
    pub fn holds(&self, compare: &Compare) -> bool {
        let revisions =
            |key: &String| self.keys.get(key).map_or((0, 0), |e| (e.create_revision, e.mod_revision));
        match compare {
            Compare::Absent(key) => revisions(key).0 == 0,
            Compare::CreatedAt(key, at) => revisions(key).0 == *at,
            Compare::ModifiedAt(key, at) => revisions(key).1 == *at,
        }
    }

    /// What a transaction whose conditions do not hold answers.
    #[must_use]
    pub fn refusal(&self) -> TxnOutcome {
        TxnOutcome { succeeded: false, revision: self.revision }
    }

    /// Whether a key shall hang on a lease that is not there: then nothing is done.
    #[must_use]
    pub fn lacks_lease(&self, then: &[Op]) -> bool {
        let lacks = |op: &Op| matches!(op, Op::Put { lease: Some(id), .. } if !self.leases.contains_key(id));
        then.iter().any(lacks)
    }

    /// Does all steps.
    pub fn apply(&mut self, then: Vec<Op>) -> (TxnOutcome, Vec<WatchEvent>) {
        let revision = self.revision + 1;
        let events: Vec<WatchEvent> = then.into_iter().filter_map(|op| self.step(op, revision)).collect();
        if !events.is_empty() {
            self.revision = revision;
        }
        (TxnOutcome { succeeded: true, revision: self.revision }, events)
    }

    fn step(&mut self, op: Op, revision: i64) -> Option<WatchEvent> {
        match op {
            Op::Put { key, value, lease } => {
                let before = self.keys.get(&key);
                let create_revision = before.map_or(revision, |entry| entry.create_revision);
                let former = before.and_then(|entry| entry.lease);
                self.detach(former, &key);
                if let Some(lease) = lease.and_then(|id| self.leases.get_mut(&id)) {
                    lease.keys.insert(key.clone());
                }
                let entry = Entry { key: key.clone(), value, create_revision, mod_revision: revision, lease };
                self.keys.insert(key, entry.clone());
                Some(WatchEvent::Put(entry))
            }
            Op::Delete(key) => {
                let entry = self.keys.remove(&key)?;
                self.detach(entry.lease, &key);
                Some(WatchEvent::Delete { key, revision })
            }
        }
    }

    fn detach(&mut self, lease: Option<LeaseId>, key: &str) {
        if let Some(lease) = lease.and_then(|id| self.leases.get_mut(&id)) {
            lease.keys.remove(key);
        }
    }
}
