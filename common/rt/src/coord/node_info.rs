//! What a node says of itself in its registration: JSON of less than 1 KiB.
//!
//! Unknown fields are ignored and missing ones have defaults, so nodes of neighbouring versions read each
//! other. Load figures are not here: they travel on gRPC.
//! Tests: below.

use serde::{Deserialize, Serialize};
use shanty_model::id::NodeId;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Places work and answers the API.
    Master,
    /// Does the work.
    Worker,
    /// Watches the masters.
    Sentinel,
}

/// A node's registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// Where it listens, `host:port`; empty when it does not.
    #[serde(default)]
    pub address: String,
    /// New with every start of the process.
    #[serde(default)]
    pub incarnation: String,
    /// Version of the program.
    #[serde(default)]
    pub version: String,
    /// For masters: larger leads first.
    #[serde(default)]
    pub priority: u32,
}

impl NodeInfo {
    /// As it is kept in the coordinator.
    #[must_use]
    pub fn to_value(&self) -> Vec<u8> {
        // Strings and numbers only: this cannot fail, and an empty value would not be read back as a node.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a registration; none if the value is not one.
    #[must_use]
    pub fn from_value(value: &[u8]) -> Option<NodeInfo> {
        serde_json::from_slice(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_versions_read_each_other() {
        let newer = br#"{"node":"w1","role":"worker","address":"10.0.0.7:7071","zone":"b"}"#;
        let info = NodeInfo::from_value(newer).unwrap();
        assert_eq!((info.role, info.priority, info.address.as_str()), (Role::Worker, 0, "10.0.0.7:7071"));
        assert_eq!(NodeInfo::from_value(&info.to_value()), Some(info));
        assert_eq!(NodeInfo::from_value(b"{}"), None);
    }
}
