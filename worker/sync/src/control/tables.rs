//! The plans of tables, as they are kept.

use crate::db::TextRow;
use crate::error::SyncError;
use crate::plan::TablePlan;

/// A plan from its row.
pub(super) fn parse(row: &TextRow) -> Result<TablePlan, SyncError> {
    let text = row.first().cloned().flatten().unwrap_or_default();
    serde_json::from_str(&text)
        .map_err(|error| SyncError::permanent(format!("unreadable plan of a table in the target: {error}")))
}
