//! Tables that broke other tools, each with what must arrive.
//!
//! | file | cases |
//! |---|---|
//! | `keys` | keys at the ends of their types, with gaps and skew, in orders that are not those of their bytes |
//! | `shapes` | empty, keyless, wide, large, swapped |
//! | `values` | numbers, times and text that not every engine takes |
//!
//! In: nothing. Out: [`Case`]s: statements for source and target, fields of the spec, and what the target must answer.
//! Never: an expectation made by the sync under test.
//! Tests: `tests/tests/t50_sync.rs` runs each.

mod keys;
mod shapes;
mod values;

use super::Engine;
use serde_json::{Value, json};

/// A table and what must become of it. Its name is the case's.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name, and the table's.
    pub name: &'static str,
    /// Where it comes from.
    pub from: Engine,
    /// Where it goes.
    pub to: Engine,
    /// Makes and fills it in the source.
    pub source: Vec<String>,
    /// Makes it in the target; empty when the sync shall do so.
    pub target: Vec<String>,
    /// More fields of the spec.
    pub spec: Value,
    /// What must become of it.
    pub outcome: Outcome,
    /// Lossy events that the report must count.
    pub lossy: Vec<(&'static str, i64)>,
}

/// What must become of a case.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The target answers the query with these rows.
    Rows(String, Vec<Vec<Option<&'static str>>>),
    /// Source and target answer with the same rows, in any order: each its own query.
    Same(String, String),
    /// The run fails, and says all of these words; the target has no rows.
    Fails(Vec<&'static str>),
}

fn case(name: &'static str, from: Engine, to: Engine, source: &[&str], outcome: Outcome) -> Case {
    let source = source.iter().map(|sql| sql.replace("{t}", name)).collect();
    let outcome = match outcome {
        Outcome::Rows(query, rows) => Outcome::Rows(query.replace("{t}", name), rows),
        Outcome::Same(a, b) => Outcome::Same(a.replace("{t}", name), b.replace("{t}", name)),
        fails @ Outcome::Fails(_) => fails,
    };
    Case { name, from, to, source, target: Vec::new(), spec: json!({}), outcome, lossy: Vec::new() }
}

impl Case {
    fn into_existing(mut self, statements: &[&str]) -> Case {
        self.target = statements.iter().map(|sql| sql.replace("{t}", self.name)).collect();
        self
    }

    fn with(mut self, spec: Value) -> Case {
        self.spec = spec;
        self
    }

    fn losing(mut self, event: &'static str, count: i64) -> Case {
        self.lossy.push((event, count));
        self
    }
}

fn same(query: &str) -> Outcome {
    Outcome::Same(query.to_owned(), query.to_owned())
}

fn same_as(source: &str, target: &str) -> Outcome {
    Outcome::Same(source.to_owned(), target.to_owned())
}

fn rows<const N: usize>(query: &str, rows: &[[&'static str; N]]) -> Outcome {
    let cell = |text: &&'static str| (*text != "NULL").then_some(*text);
    Outcome::Rows(query.to_owned(), rows.iter().map(|row| row.iter().map(cell).collect()).collect())
}

fn fails(words: &[&'static str]) -> Outcome {
    Outcome::Fails(words.to_vec())
}

/// All cases.
#[must_use]
pub fn all() -> Vec<Case> {
    [keys::keys(), keys::collations(), shapes::shapes(), values::numbers(), values::times(), values::texts()]
        .concat()
}
