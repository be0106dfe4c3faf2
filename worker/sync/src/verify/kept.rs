//! What a comparison keeps in its shard's row: repairs that are committed, and at the end the result.
//!
//! In: the row's detail. Out: figures that a later attempt goes on from. Never: a row that was counted twice because
//! a worker died between its repair and the report.
//! Tests: below; `worker/sync/tests/databases/verify.rs`.

use super::unlike::Faults;
use serde::{Deserialize, Serialize};
use shanty_model::kind::db_sync::{Note, Verification};

/// Examples of rows that differ.
const EXAMPLES: usize = 10;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Faults whose repair is committed.
    pub(super) mended: Faults,
    /// Extra rows that were deleted, which the guard counts.
    pub(super) deleted: u64,
    /// Keys of some of these rows.
    pub(super) examples: Vec<String>,
    /// What a person should know.
    pub(super) notes: Vec<Note>,
    /// The result; none before the end.
    pub(super) result: Option<Verification>,
}

impl Kept {
    /// From a shard's detail; what is not legible was never written.
    pub(super) fn read(detail: &str) -> Kept {
        serde_json::from_str(detail).unwrap_or_default()
    }

    /// A shard's detail.
    pub(super) fn detail(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Remembers an example, while there are few.
    pub(super) fn example(&mut self, shown: Option<String>) {
        if let Some(shown) =
            shown.filter(|shown| self.examples.len() < EXAMPLES && !self.examples.contains(shown))
        {
            self.examples.push(shown);
        }
    }

    /// Remembers a note, once for each reason.
    pub(super) fn note(&mut self, warning: bool, reason: &str, message: impl Into<String>) {
        if !self.notes.iter().any(|note| note.reason == reason) {
            self.notes.push(Note { warning, reason: reason.to_owned(), message: message.into() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let mut kept = Kept { mended: Faults { missing: 1, extra: 2, different: 3 }, ..Kept::default() };
        (0..20).for_each(|n| kept.example(Some(format!("({n})"))));
        kept.note(true, "A", "one");
        kept.note(true, "A", "again");
        assert_eq!((kept.examples.len(), kept.notes.len()), (10, 1));
        assert_eq!(Kept::read(&kept.detail()), kept);
        assert_eq!(Kept::read(""), Kept::default());
    }
}
