//! Names of things, as newtypes that print and parse as people write them.
//!
//! `nightly` a job, `nightly.17` a run, `nightly.17/3` a shard, `nightly.17/3#2` an attempt, `w1` a node.
//! In: text. Out: ids, or an [`InvalidId`] that says what is allowed.
//! Tests: below.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A text that is not an id, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct InvalidId {
    text: String,
    what: &'static str,
}

const NAME_RULE: &str = "a name: 1 to 63 of a-z, 0-9, - and _, beginning with a letter";

fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

macro_rules! name_id {
    ($(#[$doc:meta])* $id:ident, $collection:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $id(String);

        impl $id {
            /// The name without its collection.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            #[doc = concat!("The resource name, `", $collection, "/{name}`.")]
            #[must_use]
            pub fn resource(&self) -> String {
                format!(concat!($collection, "/{}"), self.0)
            }
        }

        impl FromStr for $id {
            type Err = InvalidId;
            /// Takes the bare name and the resource name.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let name = text.strip_prefix(concat!($collection, "/")).unwrap_or(text);
                if is_name(name) {
                    Ok(Self(name.to_owned()))
                } else {
                    Err(InvalidId { text: text.to_owned(), what: NAME_RULE })
                }
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_serde!($id);
    };
}

macro_rules! text_serde {
    ($id:ident) => {
        impl TryFrom<String> for $id {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> String {
                id.to_string()
            }
        }
    };
}

name_id!(
    /// A job: a definition that is kept and run again and again.
    JobId,
    "jobs"
);
name_id!(
    /// A node: a process of the cluster.
    NodeId,
    "nodes"
);
name_id!(
    /// A connection: a database by its name in the configuration of workers.
    ConnectionId,
    "connections"
);

impl NodeId {
    /// The name as people count: `m2` comes before `m10`. What precedes its last digits, the number that these are, and
    /// the name, for numbers with zeros in front.
    #[must_use]
    pub fn counted(&self) -> (&str, u64, &str) {
        let head = self.0.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = self.0.strip_prefix(head).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        (head, number, &self.0)
    }
}

impl JobId {
    /// The job of runs that were started without one.
    #[must_use]
    pub fn adhoc() -> JobId {
        JobId("adhoc".to_owned())
    }
}

/// A run: the `n`-th execution of a job, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId {
    /// Its job.
    pub job: JobId,
    /// Its number in the job, from 1.
    pub number: u32,
}

impl RunId {
    /// The resource name, `runs/{job}.{n}`.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("runs/{self}")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.number)
    }
}

impl FromStr for RunId {
    type Err = InvalidId;
    /// Takes `nightly.17` and `runs/nightly.17`.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bare = text.strip_prefix("runs/").unwrap_or(text);
        let invalid =
            || InvalidId { text: text.to_owned(), what: "a run: {job}.{n}, for example nightly.17" };
        let (job, number) = bare.rsplit_once('.').ok_or_else(invalid)?;
        let number = number.parse().ok().filter(|n| *n > 0).ok_or_else(invalid)?;
        Ok(RunId { job: job.parse().map_err(|_| invalid())?, number })
    }
}

text_serde!(RunId);

/// A shard: the slice `index` of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShardId {
    /// Its run.
    pub run: RunId,
    /// Its index in the run, from 0.
    pub index: u32,
}

impl ShardId {
    /// The resource name, `runs/{job}.{n}/shards/{i}`.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("runs/{}/shards/{}", self.run, self.index)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.index)
    }
}

impl FromStr for ShardId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid =
            || InvalidId { text: text.to_owned(), what: "a shard: {job}.{n}/{i}, for example nightly.17/3" };
        let (run, index) = text.rsplit_once('/').ok_or_else(invalid)?;
        Ok(ShardId { run: run.parse().map_err(|_| invalid())?, index: index.parse().map_err(|_| invalid())? })
    }
}

text_serde!(ShardId);

/// An attempt: the `number`-th try at a shard, counted from 1, on one worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttemptId {
    /// Its shard.
    pub shard: ShardId,
    /// Its number, from 1.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.shard, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            text: text.to_owned(),
            what: "an attempt: {job}.{n}/{i}#{k}, for example nightly.17/3#2",
        };
        let (shard, number) = text.rsplit_once('#').ok_or_else(invalid)?;
        let number = number.parse().ok().filter(|n| *n > 0).ok_or_else(invalid)?;
        Ok(AttemptId { shard: shard.parse().map_err(|_| invalid())?, number })
    }
}

text_serde!(AttemptId);

/// Up to three of `known` that are nearest to `text`, nearest first; for "did you mean".
///
/// Nearness is the Levenshtein distance; names further away than half of their length are left out.
#[must_use]
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut by_distance: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (distance(text, name), name))
        .filter(|(d, name)| *d <= name.len().max(text.len()) / 2)
        .collect();
    by_distance.sort_unstable();
    by_distance.into_iter().take(3).map(|(_, name)| name).collect()
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_prints_and_parses_the_same() {
        let attempt: AttemptId = "nightly-1.17/3#2".parse().unwrap();
        assert_eq!(attempt.to_string(), "nightly-1.17/3#2");
        assert_eq!(attempt.shard.run.resource(), "runs/nightly-1.17");
        assert_eq!(attempt.shard.resource(), "runs/nightly-1.17/shards/3");
        let json = serde_json::to_string(&attempt).unwrap();
        assert_eq!(json, "\"nightly-1.17/3#2\"");
        assert_eq!(serde_json::from_str::<AttemptId>(&json).unwrap(), attempt);
        assert_eq!("jobs/nightly".parse::<JobId>().unwrap(), "nightly".parse().unwrap());
    }

    #[test]
    fn nodes_are_counted_as_people_count() {
        let mut nodes: Vec<NodeId> =
            ["m10", "m2", "worker", "m02", "m", "m1-2"].map(|name| name.parse().unwrap()).into();
        nodes.sort_by(|one, other| one.counted().cmp(&other.counted()));
        let names: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
        assert_eq!(names, ["m", "m02", "m2", "m10", "m1-2", "worker"]);
    }

    #[test]
    fn what_is_no_id_is_refused_with_the_rule() {
        for bad in ["", "Nightly", "1a", "a b", &"a".repeat(64)] {
            assert!(bad.parse::<JobId>().unwrap_err().to_string().contains("a-z"), "{bad}");
        }
        for bad in ["nightly", "nightly.0", "nightly.x", ".1", "nightly.4294967296"] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
        assert!("a.1/2#0".parse::<AttemptId>().is_err());
    }

    #[test]
    fn nearest_names_come_nearest_first_and_far_ones_not_at_all() {
        assert_eq!(nearest("nigthly", ["nightly", "weekly", "nightly2"]), ["nightly", "nightly2"]);
        assert!(nearest("zzz", ["nightly"]).is_empty());
    }
}
