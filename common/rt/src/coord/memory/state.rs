//! The memory coordinator's keys and leases: what etcd would answer, without a network.
//!
//! In: operations with the time of now. Out: answers, and the events that watchers shall see.
//! Never: reads a clock, waits or locks.
//! Tests: [`super::super::conformance`], and below for what needs a clock of its own.

use crate::coord::{Compare, Entry, Error, LeaseId, Op, TxnOutcome, WatchEvent};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A lease: how long it was granted for, when it ends, what hangs on it.
#[derive(Debug)]
struct Lease {
    ttl: Duration,
    ends: Duration,
    keys: BTreeSet<String>,
}

/// All keys and leases. Revisions begin at 1, as etcd's do.
#[derive(Debug)]
pub(super) struct State {
    revision: i64,
    last_lease: i64,
    keys: BTreeMap<String, Entry>,
    leases: BTreeMap<LeaseId, Lease>,
}

impl State {
    pub(super) fn new() -> State {
        State { revision: 1, last_lease: 0, keys: BTreeMap::new(), leases: BTreeMap::new() }
    }

    /// Ends the leases that are over at `now`. Answers the events of their keys' removal.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<WatchEvent> {
        let over: Vec<LeaseId> =
            self.leases.iter().filter(|(_, l)| l.ends <= now).map(|(id, _)| *id).collect();
        over.into_iter().flat_map(|id| self.revoke(id)).collect()
    }

    /// When the next lease with keys on it ends.
    pub(super) fn next_end(&self) -> Option<Duration> {
        self.leases.values().filter(|lease| !lease.keys.is_empty()).map(|lease| lease.ends).min()
    }

    pub(super) fn grant(&mut self, now: Duration, ttl: Duration) -> LeaseId {
        self.last_lease += 1;
        let id = LeaseId(self.last_lease);
        self.leases.insert(id, Lease { ttl, ends: now + ttl, keys: BTreeSet::new() });
        id
    }

    pub(super) fn keep_alive(&mut self, now: Duration, id: LeaseId) -> Result<Duration, Error> {
        let lease = self.leases.get_mut(&id).ok_or(Error::LeaseGone)?;
        lease.ends = now + lease.ttl;
        Ok(lease.ttl)
    }

    pub(super) fn revoke(&mut self, id: LeaseId) -> Vec<WatchEvent> {
        let Some(lease) = self.leases.remove(&id) else { return Vec::new() };
        if lease.keys.is_empty() {
            return Vec::new();
        }
        self.revision += 1;
        let revision = self.revision;
        lease
            .keys
            .into_iter()
            .map(|key| {
                self.keys.remove(&key);
                WatchEvent::Delete { key, revision }
            })
            .collect()
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.keys.get(key).cloned()
    }

    pub(super) fn list(&self, prefix: &str) -> Vec<Entry> {
        self.keys
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    /// A transaction, and the events it makes.
    pub(super) fn txn(
        &mut self,
        when: &[Compare],
        then: Vec<Op>,
    ) -> Result<(TxnOutcome, Vec<WatchEvent>), Error> {
        let mut named = BTreeSet::new();
        for op in &then {
            let key = match op {
                Op::Put { key, .. } | Op::Delete(key) => key,
            };
            if !named.insert(key.clone()) {
                return Err(Error::Refused(format!("duplicate key `{key}` in one transaction")));
            }
        }
        if !when.iter().all(|compare| self.holds(compare)) {
            return Ok((TxnOutcome { succeeded: false, revision: self.revision }, Vec::new()));
        }
        for op in &then {
            if let Op::Put { lease: Some(lease), .. } = op
                && !self.leases.contains_key(lease)
            {
                return Err(Error::LeaseGone);
            }
        }
        let revision = self.revision + 1;
        let events: Vec<WatchEvent> = then.into_iter().filter_map(|op| self.apply(op, revision)).collect();
        if !events.is_empty() {
            self.revision = revision;
        }
        Ok((TxnOutcome { succeeded: true, revision: self.revision }, events))
    }

    fn holds(&self, compare: &Compare) -> bool {
        let revisions =
            |key: &String| self.keys.get(key).map_or((0, 0), |e| (e.create_revision, e.mod_revision));
        match compare {
            Compare::Absent(key) => revisions(key).0 == 0,
            Compare::CreatedAt(key, at) => revisions(key).0 == *at,
            Compare::ModifiedAt(key, at) => revisions(key).1 == *at,
        }
    }

    fn apply(&mut self, op: Op, revision: i64) -> Option<WatchEvent> {
        match op {
            Op::Put { key, value, lease } => {
                let old = self.keys.get(&key);
                let create_revision = old.map_or(revision, |entry| entry.create_revision);
                let former = old.and_then(|entry| entry.lease);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, lease: Option<LeaseId>) -> Vec<Op> {
        vec![Op::Put { key: key.to_owned(), value: Vec::new(), lease }]
    }

    #[test]
    fn a_renewed_lease_lives_on_and_a_forgotten_one_takes_its_keys() {
        let mut state = State::new();
        let second = Duration::from_secs(1);
        let lease = state.grant(second, 5 * second);
        state.txn(&[], put("a", Some(lease))).unwrap();
        assert_eq!(state.next_end(), Some(6 * second));
        assert_eq!(state.keep_alive(4 * second, lease).unwrap(), 5 * second);
        assert!(state.expire(6 * second).is_empty());
        assert_eq!(state.expire(9 * second), [WatchEvent::Delete { key: "a".to_owned(), revision: 3 }]);
        assert!(state.keep_alive(9 * second, lease).is_err());
        assert_eq!(state.next_end(), None);
    }

    #[test]
    fn a_key_that_moved_to_another_lease_outlives_the_first() {
        let mut state = State::new();
        let second = Duration::from_secs(1);
        let (first, other) = (state.grant(second, second), state.grant(second, 60 * second));
        state.txn(&[], put("a", Some(first))).unwrap();
        state.txn(&[], put("a", Some(other))).unwrap();
        assert!(state.expire(3 * second).is_empty());
        assert!(state.get("a").is_some());
    }
}
