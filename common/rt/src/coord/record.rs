//! What masters and sentinels keep in the coordinator about who leads: small JSON values.
//!
//! Unknown fields are ignored and missing ones have defaults, so nodes of neighbouring versions read each other.
//! In: values. Out: records, and back. Never: decides anything.
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
pub struct TermRecord {
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
pub struct Nominee {
    /// The term that it shall begin.
    pub for_term: Epoch,
    /// The nodes, the best first; each waits until those before it had their time.
    pub candidates: Vec<NodeId>,
    /// Who says so.
    pub by: NodeId,
    /// Why, for people.
    pub reason: String,
}

/// How a term began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    /// The term.
    pub term: Epoch,
    /// Who leads in it.
    pub node: NodeId,
    /// In which process.
    pub incarnation: String,
    /// Why it began, for people.
    pub reason: String,
    /// When, milliseconds since 1970.
    pub unix_ms: i64,
}

/// How a term was ended, from outside or by who led in it. A term whose lease ran out has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The term.
    pub term: Epoch,
    /// Who led in it.
    pub node: NodeId,
    /// Who ended it: a sentinel, the master that an operator spoke to, or its leader.
    pub by: NodeId,
    /// Why, for people.
    pub reason: String,
    /// The votes that it was ended by.
    #[serde(default)]
    pub votes: Vec<Cast>,
    /// The masters that were looked at as successors, the best first, those that were passed over last.
    #[serde(default)]
    pub candidates: Vec<Candidacy>,
    /// When the first evidence was seen, milliseconds since 1970; 0 for none.
    #[serde(default)]
    pub suspected_unix_ms: i64,
    /// When, milliseconds since 1970.
    pub unix_ms: i64,
}

impl Ending {
    /// Whether it was ended against its leader's will.
    #[must_use]
    pub fn is_from_outside(&self) -> bool {
        self.by != self.node
    }
}

/// A vote as history keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// The sentinel.
    pub by: NodeId,
    /// What it saw.
    pub vote: Vote,
}

/// A sentinel's word that a leader does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Create revision of the leader key voted against: no later leader is meant.
    pub against: i64,
    /// Kind of the evidence: HARD, SILENT or GREY.
    pub class: String,
    /// The evidence, for people.
    pub why: String,
    /// When it was first seen, milliseconds since 1970.
    pub suspected_unix_ms: i64,
}

/// A master looked at as a successor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidacy {
    /// The master.
    pub node: NodeId,
    /// Its score, for people.
    pub score: String,
    /// Why it was passed over; empty for a candidate.
    #[serde(default)]
    pub refused: String,
}

/// Which sentinels vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentinelSet {
    /// Their names, in order.
    pub members: Vec<NodeId>,
}

impl SentinelSet {
    /// Fewest sentinels that can decide anything.
    pub const FEWEST: usize = 3;

    /// Votes that decide: more than half of all members, whether they are up or not.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.members.len() / 2 + 1
    }
}

/// Whether sentinels may end a term.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Until then they may not, milliseconds since 1970.
    pub until_unix_ms: i64,
    /// Who asked for it.
    #[serde(default)]
    pub by: String,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// As it is kept. These are structs of strings and numbers: writing them cannot fail.
#[must_use]
pub fn write<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

/// Reads a record; none, and a warning, if the value is not one.
#[must_use]
pub fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Option<T> {
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

    #[test]
    fn more_than_half_of_all_members_decide() {
        let node = |n: usize| format!("s{n}").parse().unwrap();
        for (members, quorum) in [(3, 2), (4, 3), (5, 3)] {
            assert_eq!(SentinelSet { members: (0..members).map(node).collect() }.quorum(), quorum);
        }
    }
}
