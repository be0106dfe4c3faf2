//! Where things are in the coordinator: `/shanty/{cluster}/v1/…`.
//!
//! | key | lease | value |
//! |---|---|---|
//! | `election/term` | none, never deleted | the term, who raised it, when |
//! | `election/leader` | the leader's own | who leads, in which term |
//! | `election/nominee` | 3 s, the master's, or the lease of the sentinel's vote | who shall lead next |
//! | `election/history/{term}` | none, the last 100 | how a term began |
//! | `election/ended/{term}` | none, the last 100 | how a term was ended from outside |
//! | `votes/{sentinel}` | 5 s, the sentinel's | its word that the leader does not work |
//! | `sentinels/set` | none | which sentinels vote |
//! | `election/pause` | its length | that sentinels may not end terms |
//! | `requests/{id}` | a day | what was done under a caller's request id |
//! | `masters/{node}` `workers/{node}` `sentinels/live/{node}` | the node's own | [`NodeInfo`](super::NodeInfo) |
//! Tests: below.

use super::node_info::Role;
use shanty_model::id::NodeId;

/// The keys of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    root: String,
}

impl Keys {
    /// Keys of the cluster of this name.
    #[must_use]
    pub fn new(cluster: &str) -> Keys {
        Keys { root: format!("/shanty/{cluster}/v1/") }
    }

    /// The prefix of all keys.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The term: a counter that only grows.
    #[must_use]
    pub fn term(&self) -> String {
        format!("{}election/term", self.root)
    }

    /// Who leads.
    #[must_use]
    pub fn leader(&self) -> String {
        format!("{}election/leader", self.root)
    }

    /// Who shall lead next.
    #[must_use]
    pub fn nominee(&self) -> String {
        format!("{}election/nominee", self.root)
    }

    /// How a term began. Zero-padded, so that keys sort by term.
    #[must_use]
    pub fn history(&self, term: u64) -> String {
        format!("{}election/history/{term:020}", self.root)
    }

    /// The last term that has fenced the store.
    #[must_use]
    pub fn fenced(&self) -> String {
        format!("{}election/fenced", self.root)
    }

    /// How a term was ended, unless its lease ran out. Zero-padded, so that keys sort by term.
    #[must_use]
    pub fn ended(&self, term: u64) -> String {
        format!("{}election/ended/{term:020}", self.root)
    }

    /// The prefix of how terms began; with `ended`, of how they were ended.
    #[must_use]
    pub fn terms(&self, ended: bool) -> String {
        format!("{}election/{}/", self.root, if ended { "ended" } else { "history" })
    }

    /// That sentinels may not end terms.
    #[must_use]
    pub fn pause(&self) -> String {
        format!("{}election/pause", self.root)
    }

    /// What was done under a caller's request id.
    #[must_use]
    pub fn request(&self, id: &str) -> String {
        format!("{}requests/{id}", self.root)
    }

    /// Which sentinels vote.
    #[must_use]
    pub fn sentinel_set(&self) -> String {
        format!("{}sentinels/set", self.root)
    }

    /// The prefix of the sentinels' votes.
    #[must_use]
    pub fn votes(&self) -> String {
        format!("{}votes/", self.root)
    }

    /// A sentinel's vote.
    #[must_use]
    pub fn vote(&self, sentinel: &NodeId) -> String {
        format!("{}votes/{sentinel}", self.root)
    }

    /// The prefix of the registrations of a role.
    #[must_use]
    pub fn role(&self, role: Role) -> String {
        let folder = match role {
            Role::Master => "masters/",
            Role::Worker => "workers/",
            Role::Sentinel => "sentinels/live/",
        };
        format!("{}{folder}", self.root)
    }

    /// The registration of a node.
    #[must_use]
    pub fn node(&self, role: Role, node: &NodeId) -> String {
        format!("{}{node}", self.role(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_what_other_tools_may_rely_on() {
        let keys = Keys::new("prod");
        let node: NodeId = "m1".parse().unwrap();
        assert_eq!(keys.term(), "/shanty/prod/v1/election/term");
        assert_eq!(keys.leader(), "/shanty/prod/v1/election/leader");
        assert_eq!(keys.nominee(), "/shanty/prod/v1/election/nominee");
        assert_eq!(keys.fenced(), "/shanty/prod/v1/election/fenced");
        assert_eq!(keys.history(7), "/shanty/prod/v1/election/history/00000000000000000007");
        assert_eq!(keys.ended(7), "/shanty/prod/v1/election/ended/00000000000000000007");
        assert!(
            keys.ended(7).starts_with(&keys.terms(true)) && keys.history(7).starts_with(&keys.terms(false))
        );
        assert_eq!(keys.vote(&node), "/shanty/prod/v1/votes/m1");
        assert_eq!(keys.sentinel_set(), "/shanty/prod/v1/sentinels/set");
        assert_eq!(keys.pause(), "/shanty/prod/v1/election/pause");
        assert_eq!(keys.request("4f/1"), "/shanty/prod/v1/requests/4f/1");
        assert_eq!(keys.node(Role::Master, &node), "/shanty/prod/v1/masters/m1");
        assert_eq!(keys.node(Role::Worker, &node), "/shanty/prod/v1/workers/m1");
        assert_eq!(keys.node(Role::Sentinel, &node), "/shanty/prod/v1/sentinels/live/m1");
    }
}
