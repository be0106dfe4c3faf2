//! What election keeps in the coordinator: small JSON values.
//!
//! Unknown fields are ignored, so masters of neighbouring versions read each other.
//! Tests: below.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shanty_model::epoch::Epoch;
use shanty_model::id::NodeId;

/// The leader, as its key says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderInfo {
    /// Its node.
    pub node: NodeId,
    /// Where it is reached, `host:port`.
    pub address: String,
    /// Its term.
    pub epoch: Epoch,
    /// Its process.
    pub incarnation: String,
    /// Version of its program.
    #[serde(default)]
    pub version: String,
}

/// The term, as its key says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TermRecord {
    /// The largest term so far.
    pub term: Epoch,
    /// Who raised it.
    pub node: NodeId,
    /// In which process.
    pub incarnation: String,
    /// When, for people.
    pub unix_ms: i64,
}

/// Who shall lead next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Nominee {
    /// The term that it shall begin.
    pub for_term: Epoch,
    /// The node.
    pub node: NodeId,
    /// Who says so.
    pub by: NodeId,
    /// Why, for people.
    pub reason: String,
}

/// How a term began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    /// The term.
    pub term: Epoch,
    /// Who leads in it.
    pub node: NodeId,
    /// In which process.
    pub incarnation: String,
    /// Why it began, for people.
    pub reason: String,
    /// When, for people.
    pub unix_ms: i64,
}

/// As it is kept. These are structs of strings and numbers: writing them cannot fail.
pub(super) fn write<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

/// Reads a record; none, and a warning, if the value is not one.
pub(super) fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Option<T> {
    match serde_json::from_slice(value) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::warn!(key, %error, "unreadable value in the coordinator");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_masters_record_is_read() {
        let value = br#"{"node":"m1","address":"a:1","epoch":7,"incarnation":"i","zone":"b"}"#;
        let leader: LeaderInfo = read("k", value).unwrap();
        assert_eq!((leader.epoch, leader.version.as_str()), (Epoch(7), ""));
        assert_eq!(read::<LeaderInfo>("k", &write(&leader)), Some(leader));
        assert_eq!(read::<LeaderInfo>("k", b"m1"), None);
    }
}
