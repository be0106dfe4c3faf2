//! What the coordinator's keys say about the cluster, and what changed. Pure.
//!
//! In: watch events. Out: the picture, and [`Change`]s for people. Never: time, I/O. Tests: below.

use serde::de::DeserializeOwned;
use shanty_model::id::NodeId;
use shanty_rt::coord::record::{self, Ending, LeaderInfo, Pause, SentinelSet, TermRecord, Vote};
use shanty_rt::coord::{Entry, Keys, NodeInfo, Role, WatchEvent};
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
    Leads(NodeId),
    /// Nobody leads any more.
    NobodyLeads,
    /// A term was ended from outside.
    Ended(Ending),
    /// Other sentinels vote from now on.
    Voters(Vec<NodeId>),
}

/// A record with the revisions that transactions compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept<T> {
    pub entry: Entry,
    pub record: T,
}

impl<T: DeserializeOwned> Kept<T> {
    fn read(entry: &Entry) -> Option<Kept<T>> {
        Some(Kept { entry: entry.clone(), record: record::read(&entry.key, &entry.value)? })
    }
}

/// The cluster as its keys show it.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub keys: Keys,
    /// Whether anything was read yet.
    pub known: bool,
    pub leader: Option<Kept<LeaderInfo>>,
    pub term: Option<Kept<TermRecord>>,
    pub set: Option<Kept<SentinelSet>>,
    pub pause: Option<Kept<Pause>>,
    pub nominee: Option<Entry>,
    pub votes: BTreeMap<String, Kept<Vote>>,
    pub ended: BTreeMap<String, Ending>,
    nodes: BTreeMap<String, NodeInfo>,
}

impl Picture {
    pub(crate) fn new(keys: Keys) -> Picture {
        Picture {
            keys,
            known: false,
            leader: None,
            term: None,
            set: None,
            pause: None,
            nominee: None,
            votes: BTreeMap::new(),
            ended: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// Registered nodes of a role by name.
    pub(crate) fn nodes(&self, role: Role) -> BTreeMap<NodeId, NodeInfo> {
        let nodes = self.nodes.values().filter(|node| node.role == role);
        nodes.map(|node| (node.node.clone(), node.clone())).collect()
    }

    /// The sentinels that vote.
    pub(crate) fn members(&self) -> &[NodeId] {
        self.set.as_ref().map_or(&[], |set| &set.record.members)
    }

    /// Takes in an event and answers what it changed.
    pub(crate) fn apply(&mut self, event: WatchEvent) -> Vec<Change> {
        match event {
            WatchEvent::Put(entry) => self.put(&entry).into_iter().collect(),
            WatchEvent::Delete { key, .. } => self.delete(&key).into_iter().collect(),
            WatchEvent::Snapshot(entries) => {
                let is_there = |key: &str| entries.iter().any(|entry| entry.key == *key);
                let mut changes = Vec::new();
                for key in self.all_keys().into_iter().filter(|key| !is_there(key)) {
                    changes.extend(self.delete(&key));
                }
                changes.extend(entries.iter().filter_map(|entry| self.put(entry)));
                self.known = true;
                changes
            }
        }
    }

    /// The keys of all that is in the picture.
    fn all_keys(&self) -> Vec<String> {
        let leader = self.leader.as_ref().map(|kept| kept.entry.key.clone());
        let term = self.term.as_ref().map(|kept| kept.entry.key.clone());
        let set = self.set.as_ref().map(|kept| kept.entry.key.clone());
        let pause = self.pause.as_ref().map(|kept| kept.entry.key.clone());
        let nominee = self.nominee.as_ref().map(|entry| entry.key.clone());
        let single = [leader, term, set, pause, nominee].into_iter().flatten();
        let many = self.votes.keys().chain(self.ended.keys()).chain(self.nodes.keys()).cloned();
        single.chain(many).collect()
    }

    fn put(&mut self, entry: &Entry) -> Option<Change> {
        let key = entry.key.clone();
        if key == self.keys.leader() {
            let leader = Kept::<LeaderInfo>::read(entry)?;
            let node = leader.record.node.clone();
            let before = self.leader.replace(leader);
            let same = before.is_some_and(|before| before.entry.create_revision == entry.create_revision);
            (!same).then_some(Change::Leads(node))
        } else if key == self.keys.term() {
            self.term = Kept::read(entry);
            None
        } else if key == self.keys.sentinel_set() {
            let set = Kept::<SentinelSet>::read(entry)?;
            let members = set.record.members.clone();
            let before = self.set.replace(set).map(|before| before.record.members);
            (before.as_ref() != Some(&members)).then_some(Change::Voters(members))
        } else if key == self.keys.pause() {
            self.pause = Kept::read(entry);
            None
        } else if key == self.keys.nominee() {
            self.nominee = Some(entry.clone());
            None
        } else if key.starts_with(&self.keys.votes()) {
            self.votes.insert(key, Kept::read(entry)?);
            None
        } else if key.starts_with(&self.keys.terms(true)) {
            let ending: Ending = record::read(&key, &entry.value)?;
            let news = self.ended.insert(key, ending.clone()).is_none() && self.known;
            news.then_some(Change::Ended(ending))
        } else {
            self.put_node(entry)
        }
    }

    fn put_node(&mut self, entry: &Entry) -> Option<Change> {
        let is_node = [Role::Master, Role::Worker, Role::Sentinel]
            .into_iter()
            .any(|role| entry.key.starts_with(&self.keys.role(role)));
        let info = NodeInfo::from_value(&entry.value).filter(|_| is_node)?;
        match self.nodes.insert(entry.key.clone(), info.clone()) {
            None => Some(Change::Joined(info)),
            Some(known) if known.incarnation != info.incarnation => Some(Change::Restarted(info)),
            Some(_) => None,
        }
    }

    fn delete(&mut self, key: &str) -> Option<Change> {
        if key == self.keys.leader() {
            return self.leader.take().map(|_| Change::NobodyLeads);
        }
        if key == self.keys.term() {
            self.term = None;
        } else if key == self.keys.sentinel_set() {
            self.set = None;
        } else if key == self.keys.pause() {
            self.pause = None;
        } else if key == self.keys.nominee() {
            self.nominee = None;
        }
        self.votes.remove(key);
        self.ended.remove(key);
        self.nodes.remove(key).map(Change::Left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &str, create_revision: i64) -> Entry {
        let value = value.as_bytes().to_vec();
        Entry { key: key.to_owned(), value, create_revision, mod_revision: create_revision, lease: None }
    }

    fn worker(incarnation: &str) -> (NodeInfo, Entry) {
        let text = format!(r#"{{"node":"w1","role":"worker","incarnation":"{incarnation}"}}"#);
        let info = NodeInfo::from_value(text.as_bytes()).unwrap();
        (info, entry("/shanty/x/v1/workers/w1", &text, 1))
    }

    #[test]
    fn it_tells_what_changed_and_nothing_twice() {
        let mut picture = Picture::new(Keys::new("x"));
        let (one, first) = worker("a");
        let (two, second) = worker("b");
        let text = r#"{"node":"m1","epoch":3,"address":"","incarnation":""}"#;
        let leader = entry("/shanty/x/v1/election/leader", text, 1);
        let m1: NodeId = "m1".parse().unwrap();
        let snapshot = WatchEvent::Snapshot(vec![leader.clone(), first]);
        assert_eq!(picture.apply(snapshot.clone()), [Change::Leads(m1.clone()), Change::Joined(one)]);
        assert_eq!(picture.apply(snapshot), []);
        assert_eq!(picture.apply(WatchEvent::Put(second)), [Change::Restarted(two.clone())]);
        assert_eq!(picture.nodes(Role::Worker).len(), 1);
        // The same master in its next term is another leader.
        assert_eq!(picture.apply(WatchEvent::Put(entry(&leader.key, text, 9))), [Change::Leads(m1)]);
        let gone = WatchEvent::Delete { key: leader.key, revision: 9 };
        assert_eq!(picture.apply(gone), [Change::NobodyLeads]);
        assert_eq!(picture.apply(WatchEvent::Snapshot(Vec::new())), [Change::Left(two)]);
        assert_eq!(picture.apply(WatchEvent::Put(entry("/shanty/x/v1/election/term", "7", 9))), []);
    }

    #[test]
    fn votes_and_the_set_come_and_go() {
        let mut picture = Picture::new(Keys::new("x"));
        let vote = entry(
            "/shanty/x/v1/votes/s1",
            r#"{"against":5,"class":"HARD","why":"","suspected_unix_ms":1}"#,
            6,
        );
        let set = entry("/shanty/x/v1/sentinels/set", r#"{"members":["s1","s2","s3"]}"#, 2);
        let changes = picture.apply(WatchEvent::Snapshot(vec![vote.clone(), set]));
        assert!(matches!(&changes[..], [Change::Voters(members)] if members.len() == 3));
        assert_eq!((picture.votes.len(), picture.members().len()), (1, 3));
        picture.apply(WatchEvent::Delete { key: vote.key, revision: 8 });
        assert!(picture.votes.is_empty());
    }
}
