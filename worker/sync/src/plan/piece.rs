//! A piece of a table: the range of keys that one shard copies.
//!
//! Ranges are half open and open at the ends, `(-∞, b1] (b1, b2] … (bn, +∞)`: wherever the borders are, they
//! cover the table once. Keys are texts of [`Dialect::key_select`], compared by the source alone.
//!
//! [`Dialect::key_select`]: crate::db::Dialect::key_select

use crate::db::{Comparison, Dialect};
use crate::plan::TablePlan;
use crate::schema::Column;
use serde::{Deserialize, Serialize};

/// A whole key, column by column.
pub type Key = Vec<String>;

/// The columns by which the pages of a piece are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The key.
    #[default]
    Key,
    /// The column of changes, then the key.
    Change,
    /// Nothing: all rows at once, in one transaction.
    Whole,
}

/// A piece of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Piece {
    /// Rows after this key; none for from the beginning.
    pub lower: Option<Key>,
    /// Rows up to this key; none for to the end.
    pub upper: Option<Key>,
    /// How its pages are read.
    pub by: By,
    /// Conditions of its own, in the source's SQL.
    pub filters: Vec<String>,
}

impl Piece {
    /// The columns that its pages are ordered by.
    #[must_use]
    pub fn order<'a>(&self, plan: &'a TablePlan) -> Vec<&'a Column> {
        match self.by {
            By::Key => plan.order.iter().collect(),
            By::Change => {
                let diff = plan.diff.as_ref().map(|pair| &pair.source);
                let others =
                    plan.order.iter().filter(|column| diff.is_none_or(|diff| diff.name != column.name));
                diff.into_iter().chain(others).collect()
            }
            By::Whole => Vec::new(),
        }
    }

    /// The conditions for its rows after `after` (or its own beginning) in the source.
    #[must_use]
    pub fn conditions(&self, dialect: &dyn Dialect, plan: &TablePlan, after: Option<&Key>) -> Vec<String> {
        let order = self.order(plan);
        let mut conditions = plan.filters.clone();
        conditions.extend(self.filters.iter().cloned());
        for (key, comparison) in
            [(after.or(self.lower.as_ref()), Comparison::After), (self.upper.as_ref(), Comparison::UpTo)]
        {
            if let Some(key) = key {
                conditions.push(compare(dialect, &order, key, comparison));
            }
        }
        conditions
    }
}

/// A comparison of columns with a key.
#[must_use]
pub fn compare(dialect: &dyn Dialect, columns: &[&Column], key: &[String], comparison: Comparison) -> String {
    let pairs: Vec<(String, String)> = columns
        .iter()
        .zip(key)
        .map(|(column, value)| {
            let expr = dialect.key_expr(column).unwrap_or_else(|| dialect.ident(&column.name));
            (expr, dialect.literal(column, value))
        })
        .collect();
    dialect.compare(&pairs, comparison)
}
