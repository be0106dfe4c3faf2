//! What the coordinator's keys say about the cluster, and what changed.
//!
//! In: watch events. Out: [`Change`]s. Never: time, I/O. Tests: below.

use serde::Deserialize;
use shanty_rt::coord::{Keys, NodeInfo, Role, WatchEvent};
use std::collections::BTreeMap;

/// Something that a person may want to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A node registered.
    Joined(NodeInfo),
    /// A node registered under a new incarnation before its old one was seen to leave.
    Restarted(NodeInfo),
    /// A node's registration is gone.
    Left(NodeInfo),
    /// A master leads.
    Leads(String),
    /// Nobody leads any more.
    NobodyLeads,
}

#[derive(Deserialize)]
struct Leader {
    node: String,
}

/// The registered nodes and the leader.
#[derive(Debug)]
pub(crate) struct View {
    keys: Keys,
    nodes: BTreeMap<String, NodeInfo>,
    leader: Option<String>,
}

impl View {
    pub(crate) fn new(keys: Keys) -> View {
        View { keys, nodes: BTreeMap::new(), leader: None }
    }

    /// Number of nodes of a role.
    pub(crate) fn count(&self, role: Role) -> usize {
        self.nodes.values().filter(|node| node.role == role).count()
    }

    /// Who leads.
    pub(crate) fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// Takes in an event and answers what it changed.
    pub(crate) fn apply(&mut self, event: WatchEvent) -> Vec<Change> {
        match event {
            WatchEvent::Put(entry) => self.put(&entry.key, &entry.value).into_iter().collect(),
            WatchEvent::Delete { key, .. } => self.delete(&key).into_iter().collect(),
            WatchEvent::Snapshot(entries) => {
                let is_there = |key: &String| entries.iter().any(|entry| entry.key == *key);
                let gone: Vec<String> = self.nodes.keys().filter(|key| !is_there(key)).cloned().collect();
                let leaderless = self.leader.is_some() && !is_there(&self.keys.leader());
                let mut changes: Vec<Change> = gone.iter().filter_map(|key| self.delete(key)).collect();
                if leaderless {
                    changes.extend(self.delete(&self.keys.leader()));
                }
                changes.extend(entries.iter().filter_map(|entry| self.put(&entry.key, &entry.value)));
                changes
            }
        }
    }

    fn put(&mut self, key: &str, value: &[u8]) -> Option<Change> {
        if key == self.keys.leader() {
            let leader: Leader = serde_json::from_slice(value).ok()?;
            let known = self.leader.replace(leader.node.clone());
            return (known.as_ref() != Some(&leader.node)).then_some(Change::Leads(leader.node));
        }
        let is_node = [Role::Master, Role::Worker, Role::Sentinel]
            .into_iter()
            .any(|role| key.starts_with(&self.keys.role(role)));
        let info = NodeInfo::from_value(value).filter(|_| is_node)?;
        match self.nodes.insert(key.to_owned(), info.clone()) {
            None => Some(Change::Joined(info)),
            Some(known) if known.incarnation != info.incarnation => Some(Change::Restarted(info)),
            Some(_) => None,
        }
    }

    fn delete(&mut self, key: &str) -> Option<Change> {
        if key == self.keys.leader() {
            return self.leader.take().map(|_| Change::NobodyLeads);
        }
        self.nodes.remove(key).map(Change::Left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shanty_rt::coord::Entry;

    fn entry(key: &str, value: &[u8]) -> Entry {
        let (create_revision, mod_revision, lease) = (1, 1, None);
        Entry { key: key.to_owned(), value: value.to_vec(), create_revision, mod_revision, lease }
    }

    fn worker(incarnation: &str) -> (NodeInfo, Entry) {
        let text = format!(r#"{{"node":"w1","role":"worker","incarnation":"{incarnation}"}}"#);
        let info = NodeInfo::from_value(text.as_bytes()).unwrap();
        (info, entry("/shanty/x/v1/workers/w1", text.as_bytes()))
    }

    #[test]
    fn it_tells_what_changed_and_nothing_twice() {
        let mut view = View::new(Keys::new("x"));
        let (one, first) = worker("a");
        let (two, second) = worker("b");
        let leader = entry("/shanty/x/v1/election/leader", br#"{"node":"m1","epoch":3}"#);
        let snapshot = WatchEvent::Snapshot(vec![leader.clone(), first.clone()]);
        assert_eq!(view.apply(snapshot.clone()), [Change::Leads("m1".into()), Change::Joined(one)]);
        assert_eq!(view.apply(snapshot), []);
        assert_eq!(view.apply(WatchEvent::Put(second)), [Change::Restarted(two.clone())]);
        assert_eq!((view.count(Role::Worker), view.leader()), (1, Some("m1")));
        let gone = WatchEvent::Delete { key: leader.key, revision: 9 };
        assert_eq!(view.apply(gone), [Change::NobodyLeads]);
        assert_eq!(view.apply(WatchEvent::Snapshot(Vec::new())), [Change::Left(two)]);
        let foreign = entry("/shanty/x/v1/election/term", b"7");
        assert_eq!(view.apply(WatchEvent::Put(foreign)), []);
    }
}
