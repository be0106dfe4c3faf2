//! What everybody else may know: who leads, and which nodes are registered. Kept by standbys too.
//!
//! In: one watch on all keys of the cluster. Out: [`Leadership`] and [`Members`] as watch channels, and a
//! nudge to the elector whenever a key of the election changes.
//! Never: decides; what it shows may be late, the transactions of [`super::claim`] are what counts.
//! Tests: below, and `elector_test.rs`.

use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;
use shanty_rt::coord::record::{self, LeaderInfo, Pause, SentinelSet, TermRecord};
use shanty_rt::coord::{Coord, Entry, Keys, NameTaken, NodeInfo, Role, WatchEvent};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_stream::StreamExt as _;

/// Who leads, as far as this master knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader; none between two terms.
    pub leader: Option<LeaderInfo>,
    /// Whether this master reigns.
    pub mine: bool,
    /// The largest epoch seen.
    pub largest_epoch: Epoch,
}

impl Leadership {
    /// The leader's key says `seen`. What a reigning master knows of itself comes before a late watch.
    fn see(&mut self, seen: Option<LeaderInfo>) {
        // The leader of a term that is over leads nobody: a coordinator that was restored from a backup shows such a key.
        let seen = seen.filter(|leader| leader.epoch >= self.largest_epoch);
        if let Some(leader) = &seen {
            self.largest_epoch = self.largest_epoch.max(leader.epoch);
        }
        let mine = if self.mine { self.leader.as_ref().map(|leader| leader.epoch) } else { None };
        if mine.is_none() || seen.as_ref().map(|leader| leader.epoch) > mine {
            self.leader = seen;
        }
    }
}

/// Registered nodes, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Masters, this one included.
    pub masters: BTreeMap<NodeId, NodeInfo>,
    /// Workers that register; those of an embedded cluster need not.
    pub workers: BTreeMap<NodeId, NodeInfo>,
    /// Sentinels.
    pub sentinels: BTreeMap<NodeId, NodeInfo>,
    /// The sentinels that vote.
    pub voters: Vec<NodeId>,
    /// Sentinels may not end terms meanwhile; none when they may.
    pub pause: Option<Pause>,
}

impl Members {
    fn of(&mut self, role: Role) -> &mut BTreeMap<NodeId, NodeInfo> {
        match role {
            Role::Master => &mut self.masters,
            Role::Worker => &mut self.workers,
            Role::Sentinel => &mut self.sentinels,
        }
    }
}

/// Where the views are written. A clone is another handle to the same ones.
#[derive(Debug, Clone)]
pub(super) struct Board {
    pub leadership: watch::Sender<Leadership>,
    pub members: watch::Sender<Members>,
    /// Counts changes of the election's keys.
    pub stirred: watch::Sender<u64>,
    /// Another master has this one's name.
    pub taken: watch::Sender<Option<NameTaken>>,
}

impl Board {
    pub(super) fn new() -> Board {
        Board {
            leadership: watch::Sender::default(),
            members: watch::Sender::default(),
            stirred: watch::Sender::default(),
            taken: watch::Sender::default(),
        }
    }

    /// This master reigns.
    pub(super) fn reigns(&self, leader: LeaderInfo) {
        self.leadership.send_modify(|now| {
            now.largest_epoch = now.largest_epoch.max(leader.epoch);
            (now.leader, now.mine) = (Some(leader), true);
        });
    }

    /// This master reigns no more.
    pub(super) fn reigned(&self, incarnation: &str) {
        self.leadership.send_modify(|now| {
            now.mine = false;
            if now.leader.as_ref().is_some_and(|leader| leader.incarnation == incarnation) {
                now.leader = None;
            }
        });
    }

    /// Follows the coordinator for ever.
    pub(super) async fn follow(self, coord: Arc<dyn Coord>, keys: Keys) {
        let mut events = coord.watch(keys.root());
        while let Some(event) = events.next().await {
            match event {
                WatchEvent::Snapshot(entries) => self.snapshot(&keys, &entries),
                WatchEvent::Put(entry) => self.put(&keys, &entry),
                WatchEvent::Delete { key, .. } => self.delete(&keys, &key),
            }
        }
    }

    fn snapshot(&self, keys: &Keys, entries: &[Entry]) {
        let mut members = Members::default();
        for entry in entries {
            if let Some((role, node)) = registration(keys, &entry.key)
                && let Some(info) = node_info(entry)
            {
                members.of(role).insert(node, info);
            }
        }
        let kept = |key: String| entries.iter().find(|entry| entry.key == key);
        members.voters = kept(keys.sentinel_set()).map(voters).unwrap_or_default();
        members.pause = kept(keys.pause()).and_then(pause);
        self.set_members(|now| *now = members.clone());
        let leader = entries.iter().find(|entry| entry.key == keys.leader());
        self.see_leader(leader.and_then(|entry| record::read(&entry.key, &entry.value)));
        if let Some(term) = entries.iter().find(|entry| entry.key == keys.term()) {
            self.see_term(term);
        }
        self.stir();
    }

    fn put(&self, keys: &Keys, entry: &Entry) {
        if let Some((role, node)) = registration(keys, &entry.key) {
            if let Some(info) = node_info(entry) {
                self.set_members(|now| _ = now.of(role).insert(node.clone(), info.clone()));
            }
            return;
        }
        if entry.key == keys.sentinel_set() {
            return self.set_members(|now| now.voters = voters(entry));
        }
        if entry.key == keys.pause() {
            return self.set_members(|now| now.pause = pause(entry));
        }
        if entry.key == keys.leader() {
            self.see_leader(record::read(&entry.key, &entry.value));
        } else if entry.key == keys.term() {
            self.see_term(entry);
        }
        self.stir();
    }

    fn delete(&self, keys: &Keys, key: &str) {
        if let Some((role, node)) = registration(keys, key) {
            self.set_members(|now| _ = now.of(role).remove(&node));
            return;
        }
        if key == keys.pause() {
            return self.set_members(|now| now.pause = None);
        }
        if key == keys.leader() {
            self.see_leader(None);
        }
        self.stir();
    }

    fn see_leader(&self, leader: Option<LeaderInfo>) {
        self.set_leadership(|now| now.see(leader.clone()));
    }

    fn see_term(&self, entry: &Entry) {
        if let Some(record) = record::read::<TermRecord>(&entry.key, &entry.value) {
            self.set_leadership(|now| now.largest_epoch = now.largest_epoch.max(record.term));
        }
    }

    fn set_leadership(&self, change: impl Fn(&mut Leadership)) {
        self.leadership.send_if_modified(|now| changed(now, &change));
    }

    fn set_members(&self, change: impl Fn(&mut Members)) {
        self.members.send_if_modified(|now| changed(now, &change));
    }

    fn stir(&self) {
        self.stirred.send_modify(|count| *count = count.wrapping_add(1));
    }
}

fn changed<T: Clone + PartialEq>(now: &mut T, change: impl Fn(&mut T)) -> bool {
    let before = now.clone();
    change(now);
    *now != before
}

/// Whose registration a key is, if it is one.
fn registration(keys: &Keys, key: &str) -> Option<(Role, NodeId)> {
    [Role::Master, Role::Worker, Role::Sentinel].into_iter().find_map(|role| {
        let node = key.strip_prefix(&keys.role(role))?;
        Some((role, node.parse().ok()?))
    })
}

fn voters(entry: &Entry) -> Vec<NodeId> {
    record::read::<SentinelSet>(&entry.key, &entry.value).map(|set| set.members).unwrap_or_default()
}

fn pause(entry: &Entry) -> Option<Pause> {
    record::read(&entry.key, &entry.value)
}

fn node_info(entry: &Entry) -> Option<NodeInfo> {
    let info = NodeInfo::from_value(&entry.value);
    if info.is_none() {
        tracing::warn!(key = %entry.key, "unreadable registration");
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(node: &str, epoch: u64) -> LeaderInfo {
        LeaderInfo {
            node: node.parse().unwrap(),
            address: String::new(),
            epoch: Epoch(epoch),
            incarnation: node.to_owned(),
            version: String::new(),
        }
    }

    #[test]
    fn a_late_watch_does_not_unseat_a_reigning_master_but_a_newer_leader_does() {
        let board = Board::new();
        board.reigns(leader("m1", 3));
        board.see_leader(None);
        board.see_leader(Some(leader("m2", 2)));
        assert_eq!(board.leadership.borrow().leader, Some(leader("m1", 3)));
        board.see_leader(Some(leader("m2", 4)));
        assert_eq!(board.leadership.borrow().leader, Some(leader("m2", 4)));
        board.reigned("m1");
        let now = board.leadership.borrow().clone();
        assert_eq!(now, Leadership { leader: Some(leader("m2", 4)), mine: false, largest_epoch: Epoch(4) });
    }

    #[test]
    fn a_leader_of_a_term_that_is_over_is_none() {
        let board = Board::new();
        board.see_leader(Some(leader("m2", 4)));
        board.see_leader(Some(leader("m1", 3)));
        let now = board.leadership.borrow().clone();
        assert_eq!((now.leader, now.largest_epoch), (None, Epoch(4)));
        board.see_leader(Some(leader("m3", 5)));
        assert_eq!(board.leadership.borrow().leader, Some(leader("m3", 5)));
    }

    #[test]
    fn a_snapshot_replaces_what_was_seen_and_registrations_do_not_stir_the_election() {
        let (board, keys) = (Board::new(), Keys::new("c"));
        let entry = |role, name: &str| {
            let node: NodeId = name.parse().unwrap();
            let key = keys.node(role, &node);
            let json = format!(r#"{{"node":"{name}","role":"master"}}"#);
            Entry { key, value: json.into_bytes(), create_revision: 1, mod_revision: 1, lease: None }
        };
        board.put(&keys, &entry(Role::Master, "m1"));
        board.put(&keys, &entry(Role::Worker, "w1"));
        board.delete(&keys, &keys.node(Role::Worker, &"w9".parse().unwrap()));
        assert_eq!(*board.stirred.borrow(), 0);
        assert_eq!(board.members.borrow().masters.len(), 1);
        board.snapshot(&keys, &[entry(Role::Sentinel, "s1")]);
        let members = board.members.borrow().clone();
        assert_eq!((members.masters.len(), members.workers.len(), members.sentinels.len()), (0, 0, 1));
        assert_eq!(*board.stirred.borrow(), 1);
    }
}
