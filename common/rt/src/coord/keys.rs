//! Where things are in the coordinator: `/shanty/{cluster}/v1/…`.
//!
//! | key | lease | value |
//! |---|---|---|
//! | `election/term` | none, never deleted | the term, who raised it, when |
//! | `election/leader` | the leader's own | who leads, in which term |
//! | `election/nominee` | 3 s, the writer's | who shall lead next |
//! | `election/history/{term}` | none, the last 100 | how a term began |
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
        assert_eq!(keys.history(7), "/shanty/prod/v1/election/history/00000000000000000007");
        assert_eq!(keys.node(Role::Master, &node), "/shanty/prod/v1/masters/m1");
        assert_eq!(keys.node(Role::Worker, &node), "/shanty/prod/v1/workers/m1");
        assert_eq!(keys.node(Role::Sentinel, &node), "/shanty/prod/v1/sentinels/live/m1");
    }
}
