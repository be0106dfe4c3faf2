//! What one shard of a sync does.
//!
//! The range that a copy covers is not here: it is kept beside the rows, in the target, where it can be cut
//! in the same transaction that writes them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One shard's work. Tables are numbered in the order of the plan, parts of a table in the order they were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Checks everything, creates what is missing, finds the ranges of all tables.
    Plan,
    /// Copies one range.
    Copy {
        /// The table.
        table: u32,
        /// The range.
        part: u32,
    },
    /// Makes indexes, sets counters, moves the watermark.
    Finish {
        /// The table.
        table: u32,
    },
    /// Compares one range, or with none the whole table.
    Verify {
        /// The table.
        table: u32,
        /// The range.
        part: Option<u32>,
    },
    /// Removes the sync's own state from the target.
    Close,
}

impl Step {
    /// The table that it is about; none for plan and close.
    #[must_use]
    pub fn table(self) -> Option<u32> {
        match self {
            Step::Copy { table, .. } | Step::Finish { table } | Step::Verify { table, .. } => Some(table),
            Step::Plan | Step::Close => None,
        }
    }
}

/// The name by which a step is told from all others of its run, for example `copy/0/12`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Plan => f.write_str("plan"),
            Step::Copy { table, part } => write!(f, "copy/{table}/{part}"),
            Step::Finish { table } => write!(f, "finish/{table}"),
            Step::Verify { table, part: Some(part) } => write!(f, "verify/{table}/{part}"),
            Step::Verify { table, part: None } => write!(f, "verify/{table}"),
            Step::Close => f.write_str("close"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own_and_travels_as_json() {
        let steps = [
            Step::Plan,
            Step::Copy { table: 1, part: 2 },
            Step::Finish { table: 1 },
            Step::Verify { table: 1, part: Some(2) },
            Step::Verify { table: 1, part: None },
            Step::Close,
        ];
        let names: std::collections::BTreeSet<String> = steps.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), steps.len());
        for step in steps {
            let text = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step, "{text}");
        }
    }
}
